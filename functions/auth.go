package functions

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/time/rate"
)

// A Role says what somebody may do in a workspace.
type Role string

// The roles. Somebody may have several.
const (
	Advocate     Role = "advocate"     // submits cases, and sees those alone
	Investigator Role = "investigator" // sees and re-traces all cases of the workspace
	Admin        Role = "admin"        // settings, the audit log and erasure; no contents of cases
)

// An Identity is who asks, as a verified token says.
type Identity struct {
	Workspace string
	Subject   string
	Roles     []Role
}

func (id Identity) is(any ...Role) bool {
	return slices.ContainsFunc(any, func(r Role) bool { return slices.Contains(id.Roles, r) })
}

// sees reports whether the contents of a case are for id.
func (id Identity) sees(c *Case) bool {
	return id.is(Investigator) || id.is(Advocate) && c.Owner == id.Subject && c.Owner != ""
}

// An Authenticator tells who a bearer token stands for.
type Authenticator interface {
	Identify(ctx context.Context, token string) (Identity, error)
}

// alone is the one user of a server on one's own machine.
var alone = Identity{Workspace: "local", Subject: "local", Roles: []Role{Advocate, Investigator, Admin}}

// JWT verifies the tokens of an OpenID Connect issuer, as Amazon Cognito is
// one. Only signatures by RS256 and ES256 count.
type JWT struct {
	// WorkspaceClaim and RoleClaim name the claims. A role is a word, several
	// with spaces between, or a list.
	WorkspaceClaim, RoleClaim string
	verifier                  *oidc.IDTokenVerifier
	door                      door
}

// NewJWT returns a verifier of tokens of issuer that are meant for audience.
// Keys are fetched when a token needs them, from the address jwks or else from
// the issuer's /.well-known/jwks.json. now may be nil.
func NewJWT(issuer, audience, jwks string, now func() time.Time) *JWT {
	jwks = cmp.Or(jwks, strings.TrimSuffix(issuer, "/")+"/.well-known/jwks.json")
	// Anybody can send tokens that name a key nobody has; each would be a fetch.
	client := &http.Client{Timeout: 10 * time.Second, Transport: &seldom{rate.NewLimiter(rate.Every(10*time.Second), 5)}}
	keys := oidc.NewRemoteKeySet(oidc.ClientContext(context.Background(), client), jwks)
	return &JWT{
		WorkspaceClaim: "custom:workspace", RoleClaim: "custom:role", door: newDoor(issuer, audience),
		verifier: oidc.NewVerifier(issuer, keys, &oidc.Config{
			ClientID: audience, SupportedSigningAlgs: []string{oidc.RS256, oidc.ES256}, Now: now,
		}),
	}
}

type seldom struct{ *rate.Limiter }

func (s *seldom) RoundTrip(r *http.Request) (*http.Response, error) {
	if !s.Allow() {
		return nil, errors.New("the keys of the issuer were fetched too often")
	}
	return http.DefaultTransport.RoundTrip(r)
}

// Identify implements [Authenticator].
func (j *JWT) Identify(ctx context.Context, token string) (Identity, error) {
	t, err := j.verifier.Verify(ctx, token)
	if err != nil {
		return Identity{}, err
	}
	claims := make(map[string]any)
	if err := t.Claims(&claims); err != nil {
		return Identity{}, err
	}
	id := Identity{Subject: t.Subject}
	id.Workspace, _ = claims[j.WorkspaceClaim].(string)
	var words []string
	switch v := claims[j.RoleClaim].(type) {
	case string:
		words = strings.Fields(v)
	case []any:
		for _, x := range v {
			words = append(words, fmt.Sprint(x))
		}
	}
	for _, w := range words {
		if r := Role(w); slices.Contains([]Role{Advocate, Investigator, Admin}, r) {
			id.Roles = append(id.Roles, r)
		}
	}
	switch {
	case !isWorkspace.MatchString(id.Workspace):
		return Identity{}, errors.New("the token names no workspace")
	case id.Subject == "" || len(id.Subject) > 256:
		return Identity{}, errors.New("the token names no subject")
	case len(id.Roles) == 0:
		return Identity{}, errors.New("the token gives no role")
	}
	return id, nil
}

type identityKey struct{}

func identity(ctx context.Context) Identity {
	id, _ := ctx.Value(identityKey{}).(Identity)
	return id
}

// open are the paths that need no token: they tell nothing about anybody.
func open(path string) bool {
	return !strings.HasPrefix(path, "/v1/") || strings.HasPrefix(path, "/v1/openapi")
}

// authenticate finds out who asks. Without an [Authenticator] everybody is the
// one user, if the request came to a loopback name: a page of a stranger that
// has its own name lead here is refused.
func (a *App) authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var id Identity
		switch {
		case a.Auth == nil && !loopback(r.Host):
			problem(w, http.StatusMisdirectedRequest, "This server answers on this machine only; open it as http://127.0.0.1.")
			return
		case a.Auth == nil:
			id = alone
		case !open(r.URL.Path):
			token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
			var err error
			if id, err = a.Auth.Identify(r.Context(), token); !ok || err != nil {
				if ok {
					a.log().InfoContext(r.Context(), "token refused", "err", err)
				}
				w.Header().Set("WWW-Authenticate", "Bearer")
				problem(w, http.StatusUnauthorized, "Please sign in: the request has no token, or one that is not valid here any more.")
				return
			}
		}
		if !open(r.URL.Path) && !a.limiter.allow(id.Workspace+"/"+id.Subject, a.Quota.withDefaults().PerSecond) {
			w.Header().Set("Retry-After", "1")
			problem(w, http.StatusTooManyRequests, "That is too many requests at once; please wait a second.")
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), identityKey{}, id)))
	})
}

// loopback reports whether a Host header names this machine.
func loopback(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// A limiter bounds the requests of each asker in one process.
type limiter struct {
	mu sync.Mutex
	of map[string]*rate.Limiter
}

func (l *limiter) allow(who string, perSecond float64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.of == nil || len(l.of) > 10_000 {
		l.of = make(map[string]*rate.Limiter)
	}
	if l.of[who] == nil {
		l.of[who] = rate.NewLimiter(rate.Limit(perSecond), int(5*perSecond)+1)
	}
	return l.of[who].Allow()
}
