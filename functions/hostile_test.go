package functions

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"scamtrace/graphstore"
	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
)

// key is nobody's: the digits of pi in hexadecimal.
const key = "243f6a8885a308d313198a2e03707344a4093822299f31d0082efa98ec4e6c89"

// TestHostileSeeds sends what people and enemies put where an address belongs
// (H1, H2, H8): each is declined in words, and no secret is repeated, stored or
// logged.
func TestHostileSeeds(t *testing.T) {
	s := newScene(t)
	good := common20(s)
	service := s.world.Services[0]
	for _, tt := range []struct{ name, seed, want string }{
		{"short", good[:41], "39 digits"},
		{"long", good + "0", "41 digits"},
		{"0X", "0X" + good[2:], "small x"},
		{"no 0x", good[2:], "0x is missing"},
		{"a space inside", good[:10] + " " + good[10:], "space"},
		{"zero-width", good[:10] + "\u200b" + good[10:], "invisible"},
		{"bidi", "\u202e" + good, "invisible"},
		{"NUL", good + "\x00", "invisible"},
		{"full width", "0x" + strings.Repeat("\uff11", 40), "not a plain digit"},
		{"homoglyph", "0x" + strings.Repeat("\u0430", 40), "not a plain digit"},
		{"a private key", key, "private key"},
		{"a WIF key", "5KQ" + strings.Repeat("a", 48), "private key"},
		{"a phrase", "legal winner thank year wave sausage worth useful legal winner thank yellow", "recovery phrase"},
		{"Tron", "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t", "Tron"},
		{"Bitcoin", "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", "Bitcoin"},
		{"a name", "victim.eth", "name"},
		{"an exchange's number", "UID 12345678", "space"},
		{"a service", service.Addresses[0].Hex(), service.Name},
		{"the zero address", "0x0000000000000000000000000000000000000000", "nobody has the key"},
		{"HTML", `<script>alert(1)</script>`, "not an address"},
		{"a formula", `=HYPERLINK("http://evil.example")`, "not an address"},
		{"a path", "../../../etc/passwd", "not an address"},
		{"long text", strings.Repeat("x", 10_000), "10000 characters"},
		{"empty", "", "missing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := objects(t, s.bucket, "")
			code, body := s.do(alice, "POST", "/v1/cases", map[string]any{"chain": "devnet", "seeds": []string{good, tt.seed}})
			if code != http.StatusUnprocessableEntity || !strings.Contains(body, tt.want) || !strings.Contains(body, "body.seeds[1]") {
				t.Errorf("POST answers %d: %s, want %q", code, body, tt.want)
			}
			if strings.ContainsAny(body, "\u202e\u200b\x00") || strings.Contains(body, "<script>") {
				t.Errorf("the answer repeats what is dangerous: %q", body)
			}
			differ(t, objects(t, s.bucket, ""), before)
		})
	}
	for _, secret := range []string{key, "5KQaaaaaaaa", "sausage"} {
		_, parsed := s.do(alice, "POST", "/v1/parse", map[string]any{"text": "my key is " + key + " and 5KQ" + strings.Repeat("a", 48) + "\nlegal winner thank year wave sausage worth useful legal winner thank yellow"})
		_, typed := s.do(alice, "POST", "/v1/cases", `{"seeds": "`+key+`"}`)
		_, field := s.do(alice, "POST", "/v1/cases", `{"seeds": ["`+good+`"], "`+key+`": 1}`)
		_, policy := s.do(alice, "POST", "/v1/cases", map[string]any{"seeds": []string{good}, "policy": key})
		_, chain := s.do(alice, "POST", "/v1/cases", map[string]any{"seeds": []string{good}, "chain": key[:40]})
		_, list := s.do(alice, "GET", "/v1/cases?after="+key, nil)
		_, id := s.do(alice, "GET", "/v1/cases/"+key[:36], nil)
		for _, body := range []string{parsed, typed, policy, list, id, s.logs.String()} {
			if strings.Contains(body, secret) {
				t.Errorf("a secret (%s…) is repeated: %s", secret[:5], body[:min(len(body), 300)])
			}
		}
		_, _ = field, chain
		if all := objects(t, s.bucket, ""); slices.ContainsFunc(sortedValues(all), func(v string) bool { return strings.Contains(v, secret) }) {
			t.Errorf("a secret (%s…) is stored", secret[:5])
		}
	}
	if items := decode[struct{ Items []Found }](t, second(s.do(alice, "POST", "/v1/parse", map[string]any{"chain": "devnet", "text": "to " + service.Addresses[0].Hex() + ", " + good}))).Items; len(items) != 2 || items[0].Kind != "problem" || !strings.Contains(items[0].Problem, service.Name) || items[1].Kind != "address" {
		t.Errorf("parse finds %+v", items)
	}
}

func second(_ int, s string) string { return s }

func sortedValues(m map[string]string) (v []string) {
	for _, s := range m {
		v = append(v, s)
	}
	return v
}

func common20(s *scene) string {
	for _, p := range s.world.Truth.Victims[1].Payments {
		return p.Wallet.Hex()
	}
	return ""
}

// TestHostileRequests sends too much, and what is not JSON as it should be (H3,
// H12).
func TestHostileRequests(t *testing.T) {
	s := newScene(t)
	many := func(n int, f func(int) string) []string {
		out := make([]string, n)
		for i := range out {
			out[i] = f(i)
		}
		return out
	}
	different := func(i int) string { return "0x" + strings.Repeat("ab", 18) + hex4(i) }
	deep := strings.Repeat(`[`, 100_000) + strings.Repeat(`]`, 100_000)
	for _, tt := range []struct {
		name, path string
		body       any
		want       int
		says       string
	}{
		{"10,000 addresses", "/v1/cases", map[string]any{"seeds": many(10_000, different)}, 413, ""},
		{"5,001 addresses", "/v1/cases", map[string]any{"seeds": many(5_001, func(int) string { return "0x" })}, 422, ""},
		{"500 addresses", "/v1/cases", map[string]any{"seeds": many(500, different)}, 422, "500 wallets"},
		{"one address 4,000 times", "/v1/cases", map[string]any{"chain": "devnet", "seeds": many(4_000, func(int) string { return different(1) })}, 202, ""},
		{"50 MB", "/v1/parse", `{"text":"` + strings.Repeat("x", 50<<20) + `"}`, 413, ""},
		{"a megabyte of one address", "/v1/parse", map[string]any{"text": strings.Repeat(different(1)+" ", 20_000)}, 200, `"address"`},
		{"many addresses", "/v1/parse", map[string]any{"text": strings.Join(many(20_000, different), " ")}, 200, `"more":true`},
		{"no seeds", "/v1/cases", map[string]any{"seeds": []string{}}, 422, "seeds"},
		{"null", "/v1/cases", "null", 422, ""},
		{"no body", "/v1/cases", "", 400, ""},
		{"half", "/v1/cases", `{"seeds": [`, 400, ""},
		{"deep", "/v1/cases", `{"seeds": ` + deep + `}`, 400, ""},
		{"another type", "/v1/cases", `{"seeds": {"a": 1}}`, 422, ""},
		{"an unknown field", "/v1/cases", `{"seeds": ["` + different(1) + `"], "workspace": "other"}`, 422, "unexpected property"},
		{"a negative budget", "/v1/cases", map[string]any{"chain": "devnet", "seeds": []string{different(1)}, "maxRequests": -1}, 422, ""},
		{"a large budget", "/v1/cases", map[string]any{"chain": "devnet", "seeds": []string{different(1)}, "maxRequests": 1 << 40}, 422, "At most 20000"},
		{"a huge number", "/v1/cases", `{"seeds": ["` + different(1) + `"], "maxRequests": 1e400}`, 400, ""},
		{"the end before the beginning", "/v1/cases", map[string]any{"chain": "devnet", "seeds": []string{different(1)}, "since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, 422, "before its beginning"},
		{"no time", "/v1/cases", map[string]any{"seeds": []string{different(1)}, "since": "yesterday"}, 400, ""},
		{"another chain", "/v1/cases", map[string]any{"chain": "nosuch", "seeds": []string{different(1)}}, 422, "not known here"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := s.ask(alice, "POST", tt.path, tt.body)
			body := w.Body.String()
			short := body[:min(len(body), 300)]
			if w.Code != tt.want && !(tt.want == 400 && w.Code == 422) || !strings.Contains(body, tt.says) {
				t.Errorf("the answer is %d: %s, want %d", w.Code, short, tt.want)
			}
			if w.Code < 400 {
				return
			}
			var p struct {
				Status int
				Title  string
				Detail string
			}
			if err := json.Unmarshal([]byte(body), &p); err != nil || p.Status != w.Code || p.Title == "" || p.Detail == "" || w.Header().Get("Content-Type") != "application/problem+json" {
				t.Errorf("the answer is no problem detail: %s", short)
			}
		})
	}
	w := s.ask(alice, "POST", "/v1/parse", `{"text":"x"}`, "Content-Encoding", "gzip", "Content-Type", "application/x-www-form-urlencoded")
	if w.Code < 400 {
		t.Errorf("a form is answered with %d", w.Code)
	}
}

func hex4(i int) string {
	const digits = "0123456789abcdef"
	return string([]byte{digits[i>>12&15], digits[i>>8&15], digits[i>>4&15], digits[i&15]})
}

// TestHostileFiles asks for files that are not of a report (H12).
func TestHostileFiles(t *testing.T) {
	s := newScene(t)
	id := s.finished()
	for _, file := range []string{"..%2F..%2Fcase.json", "case.json", "%2e%2e", "report.html%00", "..", "report.html/..", "diff.json", "%2Freport.html", "REPORT.HTML", strings.Repeat("a", 500)} {
		w := s.ask("ngo alice advocate", "GET", "/v1/cases/"+id+"/reports/7/"+file, nil)
		if w.Code < 300 || w.Code == http.StatusFound {
			t.Errorf("GET %s answers %d", file, w.Code)
		}
		if loc := w.Header().Get("Location"); strings.Contains(loc, "objects") {
			t.Errorf("GET %s leads to %s", file, loc)
		}
	}
	for _, block := range []string{"8", "-1", "18446744073709551616", "7e0", "%2e%2e"} {
		if code, _ := s.do("ngo alice advocate", "GET", "/v1/cases/"+id+"/reports/"+block+"/report.html", nil); code < 400 {
			t.Errorf("GET of block %s answers %d", block, code)
		}
	}
}

// TestHostileWebhooks are addresses that lead where no alert may go (H9).
func TestHostileWebhooks(t *testing.T) {
	rules := HookRules{Hosts: []string{"hooks.example.org"}}
	for _, bad := range []string{
		"", "hooks.example.org", "http://hooks.example.org/x", "https://evil.example/x", "https://hooks.example.org.evil.example/",
		"https://user:pass@hooks.example.org/", "https://hooks.example.org@evil.example/", "https://hooks.example.org:8443/x",
		"file:///etc/passwd", "https://169.254.169.254/latest/meta-data/", "https://[fd00::1]/", "https://127.0.0.1/", "https://2130706433/",
		"https://0x7f000001/", "https://localhost/", "gopher://hooks.example.org/", "https://hooks.example.org\\@evil.example/", "https://HOOKS.EXAMPLE.ORG./",
	} {
		if u, err := rules.check(bad); err == nil {
			t.Errorf("check(%q) = %v", bad, u)
		}
	}
	for _, good := range []string{"https://hooks.example.org/x?y=1", "https://HOOKS.example.org:443/"} {
		if _, err := rules.check(good); err != nil {
			t.Errorf("check(%q): %v", good, err)
		}
	}
	for ip, want := range map[string]bool{
		"8.8.8.8": true, "2606:4700::1111": true, "127.0.0.1": false, "10.0.0.1": false, "172.16.5.4": false, "192.168.1.1": false,
		"169.254.169.254": false, "100.64.0.1": false, "0.0.0.0": false, "255.255.255.255": false, "224.0.0.1": false, "::1": false,
		"::": false, "fe80::1": false, "fd00::1": false, "ff02::1": false, "64:ff9b::7f00:1": false, "2002:7f00:1::": false,
	} {
		if got := public(netip.MustParseAddr(ip)); got != want {
			t.Errorf("public(%s) = %v", ip, got)
		}
	}
	// A name on the list that leads to this machine is refused when the
	// connection is made, whatever the name server says then.
	box := newInbox(t)
	_, port, _ := strings.Cut(strings.TrimPrefix(box.url, "http://"), ":")
	port, _, _ = strings.Cut(port, "/")
	c := rules.client()
	if resp, err := c.Get("http://localhost:" + port + "/"); err == nil || !strings.Contains(err.Error(), "internal address") {
		t.Errorf("a name that leads to loopback is connected to: %v, %v", resp, err)
	}
	if len(box.got) > 0 {
		t.Error("a request arrived")
	}
	s := newScene(t)
	if code, body := s.do(root, "PUT", "/v1/workspace", map[string]any{"webhooks": []string{"https://169.254.169.254/"}}); code != http.StatusUnprocessableEntity {
		t.Errorf("PUT of an internal webhook answers %d: %s", code, body)
	}
}

// TestHostileMessages are messages that are no Jobs (H12).
func TestHostileMessages(t *testing.T) {
	id := strings.Repeat("0", 36)
	for _, body := range []string{
		"", "null", "[]", "{}", `{"workspace":"ngo"}`, `{"workspace":"ngo","case":"../x","epoch":1}`, `{"workspace":"../ngo","case":"` + id + `","epoch":1}`,
		`{"workspace":"ngo","case":"` + id + `","epoch":1} {}`, `{"workspace":"ngo","case":"` + id + `","epoch":1e9999}`, `{"workspace":"ngo","case":"` + id + `","epoch":1,"more":1}`,
		strings.Repeat("[", 10_000), `{"workspace":"ngo","case":"` + id + `","epoch":1,` + strings.Repeat(" ", 2000) + `"epoch":2}`,
	} {
		if j, err := decodeJob(body); err == nil {
			t.Errorf("decodeJob(%.60q) = %v", body, j)
		}
	}
	if j, err := decodeJob(`{"workspace":"ngo","case":"` + id + `","epoch":3}`); err != nil || j != (Job{"ngo", id, 3}) {
		t.Errorf("decodeJob of a Job = %v, %v", j, err)
	}
}

// TestHostileState are objects that were tampered with (H12): nothing of them
// is used, nothing panics, and the other cases go on.
func TestHostileState(t *testing.T) {
	s := newScene(t)
	good := s.submit(alice, 1)
	valid, _, err := s.bucket.Get(t.Context(), caseKey("ngo", good))
	if err != nil {
		t.Fatal(err)
	}
	for n, data := range [][]byte{
		nil, []byte("null"), []byte("{}"), []byte(`{"schema":1}`), []byte(`{"schema":-1}`), []byte(strings.Repeat("[", 20_000)),
		bytes.Replace(valid, []byte(`"ngo"`), []byte(`"other"`), 1),
		bytes.Replace(valid, []byte(good), []byte(strings.Repeat("0", 36)), 1),
		bytes.Replace(valid, []byte(`"epoch": 1`), []byte(`"epoch": 1, "epoch": 9`), 1),
		bytes.Replace(valid, []byte(`"epoch": 1`), []byte(`"Epoch": 9`), 1),
		bytes.Replace(valid, []byte(`"status"`), []byte(`"evil": true, "status"`), 1),
		append(bytes.Clone(valid), "{}"...), valid[:len(valid)/2],
		bytes.ReplaceAll(valid, []byte("\n"), nil),
	} {
		id := strings.Repeat("0", 34) + hex4(n)[2:]
		if n != 7 {
			data = bytes.ReplaceAll(data, []byte(good), []byte(id))
		}
		if _, err := s.bucket.Create(t.Context(), caseKey("ngo", id), data); err != nil {
			t.Fatal(err)
		}
		marker := (&Case{ID: id, Workspace: "ngo"}).dueKey(s.clock)
		if _, err := s.bucket.Create(t.Context(), marker, nil); err != nil {
			t.Fatal(err)
		}
		if err := s.Work(t.Context(), Job{"ngo", id, 1}); err != nil {
			t.Errorf("%d: Work says %v", n, err)
		}
		if code, _ := s.do(ivan, "GET", "/v1/cases/"+id, nil); code != http.StatusServiceUnavailable {
			t.Errorf("%d: GET answers %d", n, code)
		}
	}
	for _, key := range []string{"due/0nonsense", "due/20240101T0000Z/ngo", "due/19990101T0000Z/NGO/" + good} {
		if _, err := s.bucket.Create(t.Context(), key, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Schedule(t.Context()); err == nil {
		t.Error("Schedule does not mind damaged cases")
	}
	var left []string
	for k := range objects(t, s.bucket, "due/") {
		left = append(left, k)
	}
	if len(left) != 1 || !strings.HasSuffix(left[0], good) {
		t.Errorf("the markers left are %q", left)
	}
	// A state that is damaged, or of another case, is trouble of ours.
	s.App.Turn = 1
	s.work1(t)
	s.App.Turn = time.Hour
	c := s.find1("ngo", good)
	_ = s.bucket.Delete(t.Context(), c.stateKey(c.State))
	for _, state := range [][]byte{nil, []byte("STWALK\r\n"), bytes.Repeat([]byte{0xff}, 1000)} {
		if _, err := s.bucket.Create(t.Context(), c.stateKey(c.State), state); err != nil {
			t.Fatal(err)
		}
		if err := s.Work(t.Context(), Job{"ngo", good, c.Epoch}); err == nil {
			t.Errorf("Work does not mind a state of %d bytes", len(state))
		}
		_ = s.bucket.Delete(t.Context(), c.stateKey(c.State))
	}
	// The schedule gives up on it in the end, and says so.
	for range 2 * maxTries {
		s.queue.jobs = nil
		s.clock = s.clock.Add(lost + time.Minute)
		if err := s.Schedule(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if c := s.find1("ngo", good); c.Status != StatusFailed {
		t.Errorf("the case is %s", c.Status)
	}
}

// work1 does one Job.
func (s *scene) work1(t *testing.T) {
	t.Helper()
	j := s.queue.jobs[0]
	s.queue.jobs = s.queue.jobs[1:]
	if err := s.Work(t.Context(), j); err != nil {
		t.Fatal(err)
	}
}

// TestHostileChain: what the world is full of anyway (H4 to H7): a hub, dust,
// counterfeit tokens, look-alikes, loops and peel chains neither end up as money
// nor use up the budget. The report says where it stopped.
func TestHostileChain(t *testing.T) {
	s := newScene(t)
	id := s.submit(alice, 0)
	s.settle()
	r := s.report("ngo", id, 0)
	known := make(map[string]bool)
	chain := devnet.Chain()
	for _, tok := range chain.Tokens {
		known[tracer.TokenOf(chain.ID, tok.Address).String()] = true
	}
	known[tracer.NativeOf(chain.ID).String()] = true
	for _, tr := range r.Transfers {
		if !known[tr.Asset] {
			t.Errorf("%s counts as money", tr.Asset)
		}
	}
	for _, w := range r.Wallets {
		if o := s.world.Truth.Owner[commonAddress(w.Address)]; o.Role == devnet.RolePoisoner || o.Role == devnet.RoleVictim && w.Hop == 0 {
			t.Errorf("%s, a %s, is in the report as %s", w.Address, o.Role, w.Role)
		}
	}
	if !slices.ContainsFunc(r.Gaps, func(g reportGap) bool { return g.Reason == string(tracer.ReasonCrowded) }) {
		t.Error("no gap says that money went into a hub")
	}
	if n := s.node.Requests(); n > 1000 {
		t.Errorf("%d requests", n)
	}
}

// TestHostileLabels: labels cannot make an exchange a suspect, nor a report
// unreadable (H8, H10).
func TestHostileLabels(t *testing.T) {
	s := newScene(t)
	exchange := s.world.Services[slices.IndexFunc(s.world.Services, func(x devnet.Service) bool { return x.Category == "exchange" })]
	evil := "chain,address,name,category,confidence\ndevnet," + exchange.Addresses[0].Hex() + ",\"<script>alert(1)</script>\u202e =1+1\",scam,100\n"
	if _, err := s.bucket.Create(t.Context(), "public/labels/evil.csv", []byte(evil)); err != nil {
		t.Fatal(err)
	}
	id := s.submit(alice, 0)
	s.settle()
	r := s.report("ngo", id, 0)
	for _, c := range r.Clusters {
		if slices.Contains(c.Wallets, tracer.Hex(exchange.Addresses[0])) {
			t.Error("an exchange is in a cluster")
		}
	}
	if !slices.ContainsFunc(r.Notes, func(n string) bool {
		return strings.Contains(n, "a service by one label") || strings.Contains(n, "a scam by another")
	}) {
		t.Errorf("the notes do not tell of the conflict: %q", r.Notes)
	}
	for name, data := range s.reports("ngo", id) {
		if strings.HasSuffix(name, ".html") && strings.Contains(data, "<script>alert(1)") || strings.Contains(data, "\u202e") {
			t.Errorf("%s holds a label as it was written", name)
		}
	}
	// A file that is none stops every case in words of ours, and loses none.
	if _, err := s.bucket.Create(t.Context(), "public/labels/broken.csv", []byte("no,such,columns\n")); err != nil {
		t.Fatal(err)
	}
	s.clock = s.clock.Add(stays)
	if code, body := s.do(alice, "POST", "/v1/cases", Submission{Chain: "devnet", Seeds: []string{addr(1)}}); code != http.StatusServiceUnavailable || strings.Contains(body, "broken") {
		t.Errorf("POST with broken labels answers %d: %s", code, body)
	}
	if !strings.Contains(s.logs.String(), "broken.csv") {
		t.Error("the log does not name the broken file")
	}
}

var _ graphstore.Bucket = (*failing)(nil)
