package functions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/time/rate"
)

// A SignIn says where the page sends people to sign in, with a code and PKCE,
// and where it changes the code for an ID token. Nothing of it is secret.
type SignIn struct {
	Authorize string `json:"authorize"`
	Token     string `json:"token"`
	Logout    string `json:"logout,omitempty"`
	Client    string `json:"client"`
}

// A door finds out where an issuer lets people in, when first asked.
type door struct {
	issuer, client string
	http           *http.Client

	mu   sync.Mutex
	know *SignIn // under mu
}

func newDoor(issuer, client string) door {
	return door{issuer: issuer, client: client, http: &http.Client{Timeout: 5 * time.Second, Transport: &seldom{rate.NewLimiter(rate.Every(10*time.Second), 5)}}}
}

// SignIn asks the issuer's /.well-known/openid-configuration, until it answers
// once.
func (j *JWT) SignIn(ctx context.Context) (SignIn, error) {
	d := &j.door
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.know != nil {
		return *d.know, nil
	}
	p, err := oidc.NewProvider(oidc.ClientContext(ctx, d.http), d.issuer)
	if err != nil {
		return SignIn{}, fmt.Errorf("ask the issuer where to sign in: %w", err)
	}
	var more struct {
		Logout string `json:"end_session_endpoint"`
	}
	if err := p.Claims(&more); err != nil {
		return SignIn{}, fmt.Errorf("ask the issuer where to sign in: %w", err)
	}
	s := SignIn{p.Endpoint().AuthURL, p.Endpoint().TokenURL, more.Logout, d.client}
	if origin(s.Authorize) == "" || origin(s.Token) == "" || s.Logout != "" && origin(s.Logout) == "" {
		return SignIn{}, errors.New("the issuer names no web address to sign in at")
	}
	d.know = &s
	return s, nil
}

var isHost = regexp.MustCompile(`^[A-Za-z0-9.-]+(:[0-9]+)?$`)

// origin is the scheme and the host of a web address, empty for any other text.
func origin(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || !isHost.MatchString(u.Host) {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// signIn is where to sign in; nil if there is no need to, or no page for it.
func (a *App) signIn(ctx context.Context) (*SignIn, error) {
	j, ok := a.Auth.(interface {
		SignIn(context.Context) (SignIn, error)
	})
	if !ok {
		return nil, nil
	}
	s, err := j.SignIn(ctx)
	return &s, err
}

// pagePolicy is what the page may do: nothing beyond this server.
const pagePolicy = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"

// connect is what the page may ask beside this server: the issuer, when somebody
// comes back from it with a code.
func (a *App) connect(r *http.Request) string {
	if !r.URL.Query().Has("code") {
		return ""
	}
	s, err := a.signIn(r.Context())
	if s == nil || err != nil {
		return ""
	}
	return "; connect-src 'self' " + origin(s.Token)
}

// config serves what the page must know before anybody is signed in.
func (a *App) config(w http.ResponseWriter, r *http.Request) {
	type chain struct {
		Name  string `json:"name"`
		Title string `json:"title"`
	}
	var v struct {
		Chains []chain `json:"chains"`
		SignIn *SignIn `json:"signIn,omitempty"`
	}
	w.Header().Set("Cache-Control", "no-store")
	k, err := a.knowledge(r.Context(), "")
	if err == nil {
		v.SignIn, err = a.signIn(r.Context())
	}
	if err != nil {
		request(r.Context()).err = err
		problem(w, http.StatusServiceUnavailable, "The service has trouble now; please try again in a minute.")
		return
	}
	for _, c := range k.chains {
		if len(a.Chains) == 0 || slices.Contains(a.Chains, c.Name) {
			v.Chains = append(v.Chains, chain{c.Name, c.Title})
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}
