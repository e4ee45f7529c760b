package functions

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// An issuer signs tokens and shows its keys, as Cognito does.
type issuer struct {
	url  string
	rsa  *rsa.PrivateKey
	ec   *ecdsa.PrivateKey
	evil *rsa.PrivateKey // whose public half it does not show
	now  func() time.Time
}

const audience = "the-page"

func newIssuer(t *testing.T, now func() time.Time) *issuer {
	t.Helper()
	i := &issuer{now: now}
	var err error
	if i.rsa, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	if i.evil, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	if i.ec, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
			{Key: i.rsa.Public(), KeyID: "rsa", Algorithm: "RS256", Use: "sig"},
			{Key: i.ec.Public(), KeyID: "ec", Algorithm: "ES256", Use: "sig"},
		}})
	}))
	t.Cleanup(srv.Close)
	i.url = srv.URL
	return i
}

func (i *issuer) verifier() *JWT { return NewJWT(i.url, audience, i.url+"/jwks.json", i.now) }

// claims are those of a good token.
func (i *issuer) claims(ws, sub string, roles any) map[string]any {
	now := i.now()
	return map[string]any{
		"iss": i.url, "aud": audience, "sub": sub, "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"custom:workspace": ws, "custom:role": roles,
	}
}

func sign(t *testing.T, alg jose.SignatureAlgorithm, key any, kid string, claims map[string]any) string {
	t.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: key, KeyID: kid}}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := s.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	token, err := sig.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func without(claims map[string]any, name string) map[string]any {
	c := maps.Clone(claims)
	delete(c, name)
	return c
}

func with(claims map[string]any, name string, value any) map[string]any {
	c := maps.Clone(claims)
	c[name] = value
	return c
}

// TestTenancy is promise P7, as a matrix made from the routes themselves: every
// operation asked by everybody. A route without a row here fails.
func TestTenancy(t *testing.T) {
	s := newScene(t)
	iss := newIssuer(t, func() time.Time { return s.clock })
	s.App.Auth = iss.verifier()
	rs := func(c map[string]any) string { return sign(t, jose.RS256, iss.rsa, "rsa", c) }
	es := func(c map[string]any) string { return sign(t, jose.ES256, iss.ec, "ec", c) }
	good := iss.claims("ngo", "alice", "advocate")
	askers := []struct{ name, token string }{
		{"owner", rs(good)},
		{"colleague", es(iss.claims("ngo", "bob", "advocate"))},
		{"investigator", rs(iss.claims("ngo", "ivan", []string{"investigator"}))},
		{"admin", es(iss.claims("ngo", "root", "admin"))},
		{"stranger", rs(iss.claims("other", "alice", "advocate investigator admin"))},
	}
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + base64.RawURLEncoding.EncodeToString(mustBytes(t, good)) + "."
	public := x509.MarshalPKCS1PublicKey(&iss.rsa.PublicKey)
	bad := []struct{ name, token string }{
		{"no token", ""},
		{"no JWT", "abc"},
		{"alg none", none},
		{"HS256 with the public key", sign(t, jose.HS256, public, "rsa", good)},
		{"RS384", sign(t, jose.RS384, iss.rsa, "rsa", good)},
		{"a stranger's key", sign(t, jose.RS256, iss.evil, "rsa", good)},
		{"a key nobody has", sign(t, jose.RS256, iss.evil, "evil", good)},
		{"expired", rs(with(good, "exp", s.clock.Add(-time.Minute).Unix()))},
		{"without end", rs(without(good, "exp"))},
		{"not yet", rs(with(good, "nbf", s.clock.Add(time.Hour).Unix()))},
		{"another issuer", rs(with(good, "iss", "https://evil.example"))},
		{"another audience", rs(with(good, "aud", "another-page"))},
		{"without audience", rs(without(good, "aud"))},
		{"without workspace", rs(without(good, "custom:workspace"))},
		{"a path for a workspace", rs(with(good, "custom:workspace", "../other"))},
		{"a list for a workspace", rs(with(good, "custom:workspace", []string{"ngo"}))},
		{"without role", rs(without(good, "custom:role"))},
		{"a role nobody has", rs(with(good, "custom:role", "superuser"))},
		{"without subject", rs(without(good, "sub"))},
		{"changed", strings.Replace(rs(good), ".ey", ".eY", 1)},
	}
	// In the order of askers.
	want := map[string][5]int{
		"submit-case":      {202, 202, 403, 403, 202},
		"list-cases":       {200, 200, 200, 403, 200},
		"read-case":        {200, 404, 200, 403, 404},
		"download-file":    {302, 404, 302, 403, 404},
		"retrace-case":     {202, 404, 202, 403, 404},
		"erase-case":       {204, 404, 403, 204, 404},
		"parse-text":       {200, 200, 200, 200, 200},
		"read-workspace":   {403, 403, 403, 200, 200},
		"change-workspace": {403, 403, 403, 200, 200},
		"read-audit":       {403, 403, 403, 200, 200},
	}
	bodies := map[string]any{
		"submit-case":      Submission{Chain: "devnet", Seeds: victimSeeds(s.world, 1)},
		"parse-text":       map[string]any{"text": addr(1)},
		"change-workspace": map[string]any{"webhooks": []string{}},
	}
	ids := map[string]func() string{
		"own":       s.finished,
		"guessed":   func() string { return strings.Repeat("0", 36) },
		"malformed": func() string { return "..%2F..%2Fother%2Fcases%2F" + strings.Repeat("0", 36) },
	}
	_, api := s.routes()
	asked := 0
	for path, item := range api.OpenAPI().Paths {
		for method, o := range map[string]any{"GET": item.Get, "POST": item.Post, "PUT": item.Put, "DELETE": item.Delete, "PATCH": item.Patch} {
			op := operation(o)
			if op == "" {
				continue
			}
			row, ok := want[op]
			if !ok {
				t.Errorf("%s %s (%s) has no row in the matrix", method, path, op)
				continue
			}
			delete(want, op)
			target := func(id string) string {
				return strings.NewReplacer("{id}", id, "{block}", "7", "{file}", "report.html").Replace(path)
			}
			for i, asker := range askers {
				if code, body := s.do(asker.token, method, target(s.finished()), bodies[op]); code != row[i] {
					t.Errorf("%s by the %s: %d, want %d: %s", op, asker.name, code, row[i], body)
				}
				asked++
			}
			for _, b := range bad {
				if code, body := s.do(b.token, method, target(s.finished()), bodies[op]); code != http.StatusUnauthorized || strings.Contains(body, "ngo") {
					t.Errorf("%s with a token that is %s: %d: %s", op, b.name, code, body)
				}
				asked++
			}
			if !strings.Contains(path, "{id}") {
				continue
			}
			// What is another's is answered as what is not there.
			for i, asker := range askers {
				for name, id := range ids {
					code, body := s.do(asker.token, method, target(id()), bodies[op])
					if wantCode := row[i]; name == "own" && code != wantCode || name != "own" && code != 404 && code != 403 {
						t.Errorf("%s of a case that is %s by the %s: %d", op, name, asker.name, code)
					}
					_, there := s.do(askers[4].token, method, target(s.finished()), bodies[op])
					if code == 404 && body != there && op != "download-file" {
						t.Errorf("%s tells %q of a case that is %s, and %q of another's", op, body, name, there)
					}
					asked++
				}
			}
		}
	}
	for op := range want {
		t.Errorf("the matrix has a row for %s, which is no route", op)
	}
	for _, path := range []string{"/", "/healthz", "/v1/openapi.json"} {
		if code, _ := s.do("", "GET", path, nil); code != http.StatusOK {
			t.Errorf("GET %s without a token: %d", path, code)
		}
	}
	t.Logf("%d requests", asked)

	// Lists, and what they tell of others.
	for i, asker := range askers {
		if i == 3 {
			continue
		}
		_, body := s.do(asker.token, "GET", "/v1/cases?limit=100", nil)
		own, others := 0, 0
		for _, v := range decode[struct{ Cases []CaseView }](t, body).Cases {
			switch c, _, err := s.load(t.Context(), []string{"ngo", "ngo", "ngo", "", "other"}[i], v.ID); {
			case err != nil:
				t.Errorf("the list of the %s has a case of another workspace", asker.name)
			case c.Owner == []string{"alice", "bob", "ivan", "", "alice"}[i]:
				own++
			default:
				others++
			}
		}
		if i != 2 && others > 0 || i == 2 && others == 0 || i == 0 && own == 0 {
			t.Errorf("the list of the %s has %d own and %d other cases", asker.name, own, others)
		}
	}
	if logs := s.logs.String(); strings.Contains(logs, "eyJ") || strings.Contains(logs, "alice") {
		t.Error("a token or a subject is in the logs")
	}
}

func mustBytes(t *testing.T, v any) []byte { return []byte(mustJSON(t, v)) }

// operation is the id of an operation of the description, empty for none.
func operation(o any) string {
	b, err := json.Marshal(o)
	if err != nil || string(b) == "null" {
		return ""
	}
	var v struct{ OperationID string }
	if json.Unmarshal(b, &v) != nil {
		return ""
	}
	return v.OperationID
}

// finished makes a case of alice that has a report.
func (s *scene) finished() string {
	s.t.Helper()
	id, err := s.newID()
	if err != nil {
		s.t.Fatal(err)
	}
	c := &Case{
		ID: id, Workspace: "ngo", Owner: "alice", Chain: "devnet", Seeds: []string{addr(1)}, Status: StatusDone, Epoch: 2,
		Created: s.clock, Due: s.clock.Add(time.Hour), Reports: []Row{{Block: 7, Status: StatusDone, Files: []string{"report.html"}}},
	}
	if err := s.create(s.t.Context(), c); err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.bucket.Create(s.t.Context(), c.key("reports/7/report.html"), []byte("<p>")); err != nil {
		s.t.Fatal(err)
	}
	return id
}

// TestKeysAreFetchedSeldom: tokens that name keys nobody has do not become
// requests to the issuer without end.
func TestKeysAreFetchedSeldom(t *testing.T) {
	s := newScene(t)
	iss := newIssuer(t, func() time.Time { return s.clock })
	fetched := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fetched++
		fmt.Fprint(w, `{"keys":[]}`)
	}))
	t.Cleanup(srv.Close)
	j := NewJWT(iss.url, audience, srv.URL, iss.now)
	for n := range 50 {
		if _, err := j.Identify(t.Context(), sign(t, jose.RS256, iss.evil, fmt.Sprint(n), iss.claims("ngo", "alice", "advocate"))); err == nil {
			t.Fatal("a token of a key that nobody has is taken")
		}
	}
	if fetched > 6 {
		t.Errorf("the keys were fetched %d times", fetched)
	}
}

// TestAlone is the server on one's own machine: no token, and nobody from
// elsewhere.
func TestAlone(t *testing.T) {
	s := newScene(t)
	s.App.Auth = nil
	h := s.Handler()
	for _, tt := range []struct {
		host, origin, site string
		want               int
	}{
		{"127.0.0.1:8080", "", "", 200},
		{"localhost:8080", "", "", 200},
		{"[::1]:8080", "", "", 200},
		{"localhost", "http://localhost", "same-origin", 200},
		{"evil.example", "", "", 421},
		{"127.0.0.1.evil.example:8080", "", "", 421},
		{"", "", "", 421},
		{"127.0.0.1:8080", "http://evil.example", "cross-site", 403},
		{"127.0.0.1:8080", "http://127.0.0.1:9999", "", 403},
	} {
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/v1/parse", strings.NewReader(`{"text":"x"}`))
		r.Host = tt.host
		r.Header.Set("Content-Type", "application/json")
		if tt.origin != "" {
			r.Header.Set("Origin", tt.origin)
		}
		if tt.site != "" {
			r.Header.Set("Sec-Fetch-Site", tt.site)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != tt.want {
			t.Errorf("host %q, origin %q: %d, want %d: %s", tt.host, tt.origin, w.Code, tt.want, w.Body)
		}
	}
}

// TestAudit: the log is a chain without holes however many write at once, and a
// change anywhere in it is found.
func TestAudit(t *testing.T) {
	s := newScene(t)
	errs := make(chan error)
	for n := range 30 {
		go func() { errs <- s.audit(t.Context(), "ngo", Entry{Action: "test", Detail: fmt.Sprint(n)}) }()
	}
	for range 30 {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	log, err := s.Audit(t.Context(), "ngo", 0, 100)
	if err != nil || len(log) != 30 {
		t.Fatalf("the log has %d entries, %v", len(log), err)
	}
	var details []string
	for _, e := range log {
		details = append(details, e.Detail)
	}
	slices.Sort(details)
	if len(slices.Compact(details)) != 30 {
		t.Error("an entry was lost")
	}
	page, err := s.Audit(t.Context(), "ngo", 20, 5)
	if err != nil || len(page) != 5 || page[0].N != 21 {
		t.Errorf("a page of the log: %d entries, %v", len(page), err)
	}
	data, tag, err := s.bucket.Get(t.Context(), auditKey("ngo", 12))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.bucket.Replace(t.Context(), auditKey("ngo", 12), []byte(strings.Replace(string(data), "test", "TEST", 1)), tag); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Audit(t.Context(), "ngo", 0, 100); err == nil || !strings.Contains(err.Error(), "entry 13") {
		t.Errorf("with entry 12 changed, Audit says %v", err)
	}
	// By the API: reading it is logged too, and so is every act.
	id := s.submit(alice, 1)
	if code, _ := s.do(root, "GET", "/v1/audit?after=13", nil); code != http.StatusOK {
		t.Errorf("GET /v1/audit answers %d", code)
	}
	_, body := s.do(root, "GET", "/v1/audit?after=30", nil)
	list := decode[struct{ Entries []Entry }](t, body).Entries
	if len(list) != 3 || list[0].Action != "submit" || list[0].Case != id || list[0].Subject != "alice" || list[2].Subject != "root" {
		t.Errorf("the log ends with %+v", list)
	}
}

func TestQuota(t *testing.T) {
	s := newScene(t)
	s.App.Quota = Quota{CasesPerDay: 3, PerSecond: 1e6}
	post := func(who string, header ...string) (int, string) {
		return s.do(who, "POST", "/v1/cases", Submission{Chain: "devnet", Seeds: []string{addr(1)}}, header...)
	}
	post(alice, "Idempotency-Key", "a")
	post(alice, "Idempotency-Key", "a") // is not counted twice
	post(bob)
	post(alice)
	if code, body := post(bob); code != http.StatusTooManyRequests || !strings.Contains(body, "3 cases") {
		t.Errorf("the fourth case: %d: %s", code, body)
	}
	if code, _ := post(alice, "Idempotency-Key", "a"); code != http.StatusAccepted {
		t.Errorf("a repeated case beyond the quota: %d", code)
	}
	if code, _ := post(mal); code != http.StatusAccepted {
		t.Errorf("another workspace: %d", code)
	}
	s.clock = s.clock.Add(24 * time.Hour)
	if code, _ := post(bob); code != http.StatusAccepted {
		t.Errorf("the day after: %d", code)
	}
	if code, body := s.do(root, "PUT", "/v1/workspace", map[string]any{"webhooks": []string{}, "casesPerDay": 1}); code != http.StatusOK || !strings.Contains(body, `"today":1`) {
		t.Errorf("PUT answers %d: %s", code, body)
	}
	if code, _ := post(bob); code != http.StatusTooManyRequests {
		t.Errorf("beyond the workspace's own quota: %d", code)
	}
	s.App.Quota.PerSecond = 1
	codes := make(map[int]int)
	for range 20 {
		code, _ := s.do(ivan, "GET", "/v1/cases", nil)
		codes[code]++
	}
	if codes[http.StatusTooManyRequests] < 10 || codes[http.StatusOK] < 5 {
		t.Errorf("of 20 requests at once, %v", codes)
	}
}
