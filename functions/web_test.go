package functions

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"scamtrace/graphstore"
	"scamtrace/tracer"

	"github.com/go-jose/go-jose/v4"
)

// A site is the whole service over a folder and a made-up chain, at an address,
// with a browser before it. Cases move only when the test says so.
type site struct {
	*scene
	*browser
	url   string
	queue *Local
	clock atomic.Int64

	down atomic.Bool  // whether it ends connections instead of answering
	lose atomic.Int32 // how many answers to new cases are still to be lost
}

func newSite(t *testing.T, auth func(*site) Authenticator) *site {
	t.Helper()
	s := &site{scene: newScene(t), browser: newBrowser(t), queue: NewLocal()}
	s.at(7)
	s.App.Queue, s.App.Chains = s.queue, []string{"devnet", "ethereum"}
	s.App.Now = func() time.Time { return time.Unix(s.clock.Load(), 0).UTC() }
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if s.down.Load() {
			panic(http.ErrAbortHandler)
		}
		if r.Method == http.MethodPost && r.URL.Path == "/v1/cases" && s.lose.Add(-1) >= 0 {
			s.Handler().ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		}
		s.Handler().ServeHTTP(w, r)
	})
	mux.Handle(graphstore.LinkPath, s.scene.bucket.(*graphstore.Dir))
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	s.url = srv.URL
	s.App.Auth = auth(s)
	return s
}

// at moves the chain and the clock to a day of the world.
func (s *site) at(day int) {
	n := min(uint64(day)*7200, s.world.Head())
	s.node.SetHead(n)
	s.clock.Store(int64(s.world.Blocks[n].Time))
}

// work drives the queue until it is empty.
func (s *site) work() {
	t := s.scene.t
	t.Helper()
	for {
		j, _, ok := s.queue.take(time.Now())
		if !ok {
			return
		}
		if err := s.Work(t.Context(), j.Job); err != nil {
			t.Fatal(err)
		}
	}
}

func (s *site) open(path string) {
	s.scene.t.Helper()
	s.call("Page.navigate", map[string]any{"url": s.url + path}, nil)
	s.until(`document.readyState === "complete" && document.querySelector("h1:not([hidden])")?.checkVisibility() || [...document.querySelectorAll("h1")].some(h => h.checkVisibility())`)
}

// looks checks what must hold on every screen, wide and narrow, light and dark:
// nothing is cut off or runs out of the window, all text can be told from what
// is behind it, every control has a name, and the warning is in sight.
func (s *site) looks(name string) {
	t := s.scene.t
	t.Helper()
	for _, v := range []struct {
		width, height int
		scheme        string
	}{{1280, 1500, "light"}, {1280, 1500, "dark"}, {360, 1500, "light"}, {320, 640, "dark"}} {
		s.size(v.width, v.height)
		s.media(v.scheme, "reduce")
		var wrong []string
		s.eval(look, &wrong)
		for _, w := range wrong {
			t.Errorf("%s at %d pixels, %s: %s", name, v.width, v.scheme, w)
		}
		s.shoot(fmt.Sprintf("%s-%d-%s", name, v.width, v.scheme))
	}
	s.size(1280, 800)
	s.media("light", "no-preference")
}

const look = `(async () => {
  scrollTo(0, document.body.scrollHeight / 2);
  await new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)));
  const wrong = [], wide = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > wide) wrong.push("it scrolls sideways");
  const w = document.querySelector(".never").getBoundingClientRect();
  if (w.height === 0 || w.bottom > innerHeight + 1 || w.top < 0) wrong.push("the warning is out of sight");
  const rgb = c => c.match(/[\d.]+/g).map(Number);
  const light = c => { const [r, g, b] = rgb(c).map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  for (const e of document.body.querySelectorAll("*")) {
    if (!e.checkVisibility() || e.closest(".skip, .unseen")) continue;
    const r = e.getBoundingClientRect(), own = [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
    if (r.right > wide + 1) wrong.push(e.tagName + " " + e.id + " runs out of the window");
    if (own) {
      let behind = e;
      while (behind && (rgb(getComputedStyle(behind).backgroundColor)[3] ?? 1) === 0) behind = behind.parentElement;
      const a = light(getComputedStyle(e).color), b = light(behind ? getComputedStyle(behind).backgroundColor : "rgb(255,255,255)");
      const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      if (contrast < 4.5) wrong.push("contrast " + contrast.toFixed(1) + " of " + e.innerText.slice(0, 40));
    }
    if (e.matches("input, select, textarea") && !(e.labels.length > 0 && e.labels[0].innerText.trim())) wrong.push(e.id + " has no label");
    if (e.matches("button, a, summary") && !e.innerText.trim()) wrong.push(e.tagName + " has no name");
    if (e.matches("button, select, input, textarea") && (r.height < 24 && e.type !== "checkbox" || r.width < 20)) wrong.push(e.id + " is too small to hit");
    if (e.getAttribute("style") || [...e.attributes].some(a => a.name.startsWith("on"))) wrong.push(e.tagName + " has a style or a handler");
  }
  const ids = [...document.querySelectorAll("[id]")].map(e => e.id);
  if (new Set(ids).size < ids.length) wrong.push("two elements have the same id");
  for (const a of ["aria-describedby", "aria-labelledby"]) for (const e of document.querySelectorAll("[" + a + "]")) if (!document.getElementById(e.getAttribute(a))) wrong.push(a + " leads nowhere");
  if ([...document.querySelectorAll("h1")].filter(h => h.checkVisibility()).length !== 1) wrong.push("there is not one main heading");
  if (document.scripts.length !== 1 || document.querySelector("img, iframe, object, embed, base, style")) wrong.push("there are foreign elements");
  scrollTo(0, 0);
  return wrong;
})()`

// hostileText runs or reorders something wherever it becomes markup.
const hostileText = "\"><img src=x onerror=alert(1)><script>document.title='owned'</script><b onclick=alert(2)>\u202egpj.exe"

// TestPage is an advocate's whole way through the page, in a real browser:
// paste, recognise, confirm, progress, outcome, download, what changed, the
// list, erasure. It asks nobody but its own server.
func TestPage(t *testing.T) {
	s := newSite(t, func(*site) Authenticator { return nil })
	s.size(1280, 800)
	s.open("/")
	s.looks("new")

	// By the keyboard alone, in the order of the page.
	var order []string
	for range 7 {
		s.press("Tab", 9, "")
		var at string
		s.eval(`document.activeElement.id || document.activeElement.innerText`, &at)
		order = append(order, at)
	}
	if got, want := strings.Join(order, ", "), "skip, New case, All cases, text, What am I looking for?, chain, Look for addresses"; got != want {
		t.Errorf("the tab key leads to %s, want %s", got, want)
	}
	s.press("Enter", 13, "\r")
	s.says("error", "The field is empty")

	// A text without any address, and one with two that look alike.
	s.write("#text", "They told me to pay with crypto and then they were gone.")
	s.click("#paste button")
	s.says("counts", "no address and no transaction hash")

	victim := s.world.Truth.Victims[0]
	pay := victim.Payments[0]
	wallet := pay.Wallet.Hex()
	s.write("#text", wallet+" "+strings.ToLower(wallet[:6]+strings.Repeat("7", 32)+wallet[38:]))
	s.click("#paste button")
	s.says("alike", "look alike, and are not the same")
	s.click("#items li label input")
	s.until(`document.querySelector("#items li.out code") && document.getElementById("alike").hidden`)

	// A chat with all that chats have. What was taken out stays out.
	lines := []string{
		"[12:01] Lily 🌸: send to " + wallet + " baby", "[12:02] me: ok " + pay.Tx.Hex(),
		"again " + strings.ToLower(wallet) + " and " + wallet[:41] + " or TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t",
		s.world.Services[0].Addresses[0].Hex(), hostileText,
	}
	for _, p := range victim.Payments[1:] {
		lines = append(lines, p.Tx.Hex()+" "+p.Wallet.Hex())
	}
	chat := strings.Join(lines, "\n")
	s.eval(`(e => { e.value = "devnet"; e.dispatchEvent(new Event("change")) })(document.getElementById("chain"))`, nil)
	s.write("#text", chat)
	s.click("#paste button")
	s.says("counts", "things cannot be used")
	found := s.text("items")
	for _, want := range []string{wallet, pay.Tx.Hex(), "39 digits", "please copy it again", "Tron", s.world.Services[0].Name, "An address", "A payment, by its transaction hash"} {
		if !strings.Contains(found, want) {
			t.Errorf("what was recognised does not say %q:\n%s", want, found)
		}
	}
	var n int
	if s.eval(fmt.Sprintf(`[...document.querySelectorAll("#items code")].filter(c => c.innerText === %q).length`, wallet), &n); n != 1 {
		t.Errorf("a wallet stands there %d times", n)
	}
	var focus string
	if s.eval(`document.activeElement.id`, &focus); focus != "found" {
		t.Errorf("the focus is at %q, want the heading of what was recognised", focus)
	}
	s.looks("recognised")

	// A secret is refused, wiped and not repeated.
	s.write("#text", "my words: legal winner thank year wave sausage worth useful legal winner thank yellow\n"+chat)
	s.click("#paste button")
	s.says("secret", "we emptied the field")
	s.says("items", "secret recovery phrase")
	var left string
	if s.eval(`document.getElementById("text").value + document.body.innerText`, &left); strings.Contains(left, "sausage") {
		t.Error("a recovery phrase is still in the page")
	}
	s.looks("secret")

	// Put back what was taken out.
	s.click("#items li.out label input")
	s.until(`!document.querySelector("#items li.out code")`)
	s.says("counts", "2 addresses and 3 payments")

	// A mistake in a date is told in words, and nothing is lost.
	s.click("#more summary")
	s.eval(`document.getElementById("since").value = "2026-03-01"; document.getElementById("until").value = "2026-02-01"`, nil)
	s.write("#reference", "File 7 "+hostileText[:40])
	s.calm(s.url)
	s.click("#go")
	s.says("error", "The end of the time span is before its beginning")
	s.take() // a refused request is an entry in the browser's log
	s.eval(`document.getElementById("since").value = document.getElementById("until").value = ""`, nil)

	// The answer is lost, however often the browser tries, and the button is
	// pressed again: it is one case.
	s.lose.Store(100)
	s.click("#go")
	s.says("error", "The server cannot be reached")
	s.take() // a request without an answer, too
	s.lose.Store(0)
	s.click("#go")
	s.says("progress", "waits for its turn")
	if n := len(objects(t, s.scene.bucket, listPrefix("local"))); n != 1 {
		t.Errorf("there are %d cases", n)
	}
	s.looks("waiting")

	// Progress, in words, and still there after a reload.
	var hash string
	s.eval(`location.hash`, &hash)
	id := strings.TrimPrefix(hash, "#case=")
	if _, err := s.change(t.Context(), "local", id, func(c *Case) error {
		c.Status, c.Progress = StatusTracing, Progress{Wallets: 212, Transfers: 1800, Requests: 40, Waiting: 31, Followed: 48_100 * tracer.Dollar}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	const progress = "Looked at 212 wallets; $48,100 has reached services so far. 31 wallets to look at next."
	s.says("progress", progress)
	s.call("Page.reload", nil, nil)
	s.says("progress", progress)
	s.says("patience", "You can close this page")
	s.looks("progress")

	// The server is gone for a while.
	s.calm(s.url)
	s.down.Store(true)
	s.says("error", "we keep trying")
	s.says("progress", progress)
	s.down.Store(false)
	s.until(`document.getElementById("error").hidden`)
	s.take()

	// The outcome comes by itself.
	s.work()
	c := s.find1("local", id)
	if c.Status != StatusDone || len(c.Reports) != 1 {
		t.Fatalf("the case is %s (%s)", c.Status, c.Reason)
	}
	s.says("outcome", c.Reports[0].Sentence)
	s.says("status", "complete")
	if called := s.text("called"); !strings.HasPrefix(called, "Reference File 7 \"><img src=x") {
		t.Errorf("the case is called %q", called)
	}
	files := s.text("files")
	for _, f := range c.Reports[0].Files {
		if f != "report.html" && !strings.Contains(files, f) {
			t.Errorf("the file %s is not offered", f)
		}
	}
	if strings.Contains(files, "Another file") {
		t.Errorf("the page does not know a file of the report:\n%s", files)
	}
	s.looks("outcome")

	// Downloads are the files, byte for byte.
	folder := t.TempDir()
	s.call("Page.setDownloadBehavior", map[string]any{"behavior": "allow", "downloadPath": folder}, nil)
	for _, d := range []struct{ selector, file string }{{"#report", "report.html"}, {"#files li button", "bundle.zip"}} {
		s.click(d.selector)
		want, _, err := s.scene.bucket.Get(t.Context(), c.key("reports/%d/%s", c.Reports[0].Block, d.file))
		if err != nil {
			t.Fatal(err)
		}
		if got := s.downloaded(folder, fmt.Sprintf("%d-%s", c.Reports[0].Block, d.file)); got != string(want) {
			t.Errorf("%s was downloaded with %d bytes, want %d", d.file, len(got), len(want))
		}
	}
	s.says("got", "among your downloads")

	// Later more has moved.
	s.at(12)
	s.click("#again")
	s.says("status", "waits for its turn")
	s.work()
	c = s.find1("local", id)
	if len(c.Reports) != 2 {
		t.Fatalf("the case is %s (%s) with %d reports", c.Status, c.Reason, len(c.Reports))
	}
	s.says("change", c.Reports[1].Changes)
	if !strings.Contains(c.Reports[1].Changes, "moved on") {
		t.Errorf("what changed is %q", c.Reports[1].Changes)
	}
	s.says("files", "diff.json")
	s.click("#older summary")
	s.says("reports", c.Reports[0].Sentence)
	s.looks("changed")

	// The list, newest first, a page at a time.
	for n := range 24 {
		s.clock.Add(60)
		old := &Case{Workspace: "local", Owner: "local", Chain: "devnet", Seeds: []string{wallet}, Status: StatusPartial, Reason: "It was stopped.", Created: s.App.now().Add(-30 * 24 * time.Hour)}
		var err error
		if old.ID, err = s.newID(); err != nil {
			t.Fatal(err)
		}
		if n == 22 {
			old.Reason = hostileText
		}
		if n == 23 {
			old.Status, old.Reason = StatusFailed, "The chain could not be read. You can have it tried again."
		}
		if err := s.create(t.Context(), old); err != nil {
			t.Fatal(err)
		}
	}
	s.click("nav a[href='#cases']")
	s.says("list", c.Reports[1].Sentence)
	s.looks("cases")
	s.until(`document.querySelectorAll("#list > li").length === 20`)
	s.click("#further")
	s.until(`document.querySelectorAll("#list > li").length === 25 && document.getElementById("further").hidden`)
	s.click("#list li:nth-child(2) a")
	s.says("outcome", "could not be finished")
	s.says("again", "Try again")
	s.says("reason", "The chain could not be read")
	s.looks("failed")
	s.eval(`history.back()`, nil)
	s.until(`document.querySelectorAll("#list > li").length === 20`)

	// Erased, but only if one is sure.
	s.click("#list a[href='#case=" + id + "']")
	s.says("called", "File 7")
	s.click("#erase")
	s.until(`document.getElementById("sure").open && document.activeElement.innerText === "Keep it"`)
	s.looks("sure")
	s.press("Escape", 27, "")
	s.until(`!document.getElementById("sure").open`)
	if s.find1("local", id).Erased != (time.Time{}) {
		t.Error("it was erased without a yes")
	}
	s.click("#erase")
	s.click("#sure button.danger")
	s.says("note", "The case was erased")
	if s.find1("local", id).Erased.IsZero() {
		t.Error("it was not erased")
	}
	s.says("list", "erased")
	if list := s.text("list"); strings.Contains(list, "File 7") {
		t.Error("the reference is still in the list")
	}
	var title string
	if s.eval("document.title", &title); title != "All cases · Where did the money go?" {
		t.Errorf("the title is %q", title)
	}
	s.calm(s.url)

	// What is not there.
	s.open("/#case=" + strings.Repeat("0", 36))
	s.says("error", "There is no such case, or it is not yours.")
}

// downloaded waits for a download to end, and returns the file.
func (s *site) downloaded(folder, name string) string {
	t := s.scene.t
	t.Helper()
	tick, timeout := time.NewTicker(20*time.Millisecond), time.After(patience)
	defer tick.Stop()
	for {
		data, err := os.ReadFile(filepath.Join(folder, name))
		if err == nil {
			return string(data)
		}
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("%s was not downloaded", name)
		}
	}
}

// TestPageForStrangers: everything of the page comes with its policy and a type,
// and what is no part of it is not there.
func TestPageForStrangers(t *testing.T) {
	s := newScene(t)
	for path, typ := range map[string]string{"/": "text/html; charset=utf-8", "/page.js": "text/javascript; charset=utf-8", "/page.css": "text/css; charset=utf-8", "/icon.svg": "image/svg+xml", "/config.json": "application/json"} {
		w := s.ask("", "GET", path, nil)
		h := w.Header()
		if w.Code != http.StatusOK || h.Get("Content-Type") != typ || h.Get("X-Content-Type-Options") != "nosniff" || path != "/config.json" && !strings.Contains(h.Get("Content-Security-Policy"), "default-src 'self'") {
			t.Errorf("GET %s answers %d with %v", path, w.Code, h)
		}
	}
	for _, path := range []string{"/page.go", "/web/page.js", "/..%2fapi.go", "/.git/config"} {
		if code, _ := s.do("", "GET", path, nil); code != http.StatusNotFound {
			t.Errorf("GET %s answers %d", path, code)
		}
	}
	// Nothing is written as markup, and nothing comes from elsewhere.
	js, err := page.ReadFile("web/page.js")
	if err != nil {
		t.Fatal(err)
	}
	for _, never := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "localStorage", "http://", "https://"} {
		if strings.Contains(string(js), never) {
			t.Errorf("page.js has %s", never)
		}
	}
}

// An entrance is the sign-in of an issuer as OpenID Connect wants it: discovery,
// a page, a token for a code and its PKCE verifier, and the way out.
type entrance struct {
	*issuer
	t    *testing.T
	mu   sync.Mutex
	code map[string]url.Values // by code, what was asked for
	down bool
	out  url.Values // what was asked for when somebody signed out
}

func newEntrance(t *testing.T, now func() time.Time) *entrance {
	e := &entrance{issuer: newIssuer(t, now), t: t, code: make(map[string]url.Values)}
	srv := httptest.NewServer(e)
	t.Cleanup(srv.Close)
	e.issuer.url = srv.URL
	return e
}

func (e *entrance) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	q := r.URL.Query()
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		if e.down {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{
			"issuer": e.url, "jwks_uri": e.url + "/keys", "authorization_endpoint": e.url + "/authorize", "token_endpoint": e.url + "/token",
			"end_session_endpoint": e.url + "/logout", "id_token_signing_alg_values_supported": []string{"RS256"},
		})
	case "/.well-known/jwks.json":
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: e.rsa.Public(), KeyID: "rsa", Algorithm: "RS256", Use: "sig"}}})
	case "/authorize": // a person who is quick to sign in
		code := fmt.Sprint("code-", len(e.code))
		e.code[code] = q
		http.Redirect(w, r, q.Get("redirect_uri")+"?"+url.Values{"code": {code}, "state": {q.Get("state")}}.Encode(), http.StatusFound)
	case "/token":
		w.Header().Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
		asked := e.code[r.PostFormValue("code")]
		delete(e.code, r.PostFormValue("code"))
		sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
		if asked == nil || asked.Get("code_challenge_method") != "S256" || asked.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(sum[:]) ||
			asked.Get("client_id") != audience || r.PostFormValue("client_id") != audience || r.PostFormValue("redirect_uri") != asked.Get("redirect_uri") ||
			r.PostFormValue("grant_type") != "authorization_code" || asked.Get("response_type") != "code" || len(r.PostFormValue("code_verifier")) < 43 {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		claims := with(e.claims("ngo", "alice", "advocate"), "email", "alice@ngo.example")
		_ = json.NewEncoder(w).Encode(map[string]any{"id_token": sign(e.t, jose.RS256, e.rsa, "rsa", claims), "token_type": "Bearer"})
	case "/logout":
		e.out = q
		http.Redirect(w, r, q.Get("post_logout_redirect_uri"), http.StatusFound)
	default:
		http.NotFound(w, r)
	}
}

// TestSignIn is the way in, out, and back in where an issuer must say who one is.
func TestSignIn(t *testing.T) {
	var e *entrance
	s := newSite(t, func(s *site) Authenticator {
		e = newEntrance(t, s.App.Now)
		return NewJWT(e.issuer.url, audience, "", s.App.Now)
	})
	s.size(1280, 800)
	s.open("/#cases")
	s.looks("sign-in")
	s.click("#enter")
	s.says("none", "There are no cases yet") // where one wanted to go
	s.says("email", "alice@ngo.example")
	var at string
	if s.eval("location.href", &at); at != s.url+"/#cases" {
		t.Errorf("after signing in one is at %s", at)
	}
	s.calm(s.url, e.url)

	// A case of a signed-in advocate; the token is no part of any address.
	s.click("nav a[href='#new']")
	s.says("paste", "Paste what you have")
	s.eval(`document.getElementById("chain").value = "devnet"`, nil)
	pay := s.world.Truth.Victims[0].Payments[0]
	s.write("#text", pay.Tx.Hex()+" "+pay.Wallet.Hex())
	s.click("#paste button")
	s.says("counts", "1 address and 1 payment")

	// An hour later the token has expired: what was recognised is not lost.
	s.clock.Add(2 * 3600)
	s.click("#go")
	s.says("why", "Your sign-in has ended")
	s.click("#enter")
	s.says("counts", "1 address and 1 payment")
	s.take() // the refused request
	s.click("#go")
	s.says("progress", "waits for its turn")
	s.work()
	s.says("status", "complete")
	folder := t.TempDir()
	s.call("Page.setDownloadBehavior", map[string]any{"behavior": "allow", "downloadPath": folder}, nil)
	var hash string
	s.eval("location.hash", &hash)
	c := s.find1("ngo", strings.TrimPrefix(hash, "#case="))
	s.click("#report")
	if got := s.downloaded(folder, fmt.Sprintf("%d-report.html", c.Reports[0].Block)); !strings.Contains(got, "<!DOCTYPE html>") {
		t.Errorf("the report has %d bytes", len(got))
	}
	s.looks("signed-in")
	s.calm(s.url, e.url)

	s.click("#leave")
	s.says("enter", "Sign in")
	if e.out.Get("client_id") != audience || e.out.Get("logout_uri") != s.url+"/" {
		t.Errorf("the issuer was asked to sign out %v", e.out)
	}
	var kept int
	if s.eval("sessionStorage.length", &kept); kept != 0 {
		t.Errorf("%d things are kept after signing out", kept)
	}

	// A code that nobody asked for is not taken.
	s.open("/?code=code-9&state=guessed")
	s.says("error", "Signing in did not work")
	s.says("enter", "Sign in")
	s.calm(s.url, e.url)
	if logs := s.logs.String(); strings.Contains(logs, "eyJ") || strings.Contains(logs, "code-") {
		t.Error("a token or a code is in the logs")
	}
}

// TestWhereToSignIn: what the page is told of the issuer, and that an issuer
// that does not answer is asked seldom.
func TestWhereToSignIn(t *testing.T) {
	s := newScene(t)
	e := newEntrance(t, s.App.Now)
	s.App.Auth = NewJWT(e.issuer.url, audience, "", s.App.Now)
	e.down = true
	if code, body := s.do("", "GET", "/config.json", nil); code != http.StatusServiceUnavailable || strings.Contains(body, e.issuer.url) {
		t.Errorf("with the issuer down, config.json answers %d: %s", code, body)
	}
	e.mu.Lock()
	e.down = false
	e.mu.Unlock()
	code, body := s.do("", "GET", "/config.json", nil)
	var v struct{ SignIn SignIn }
	if err := json.Unmarshal([]byte(body), &v); err != nil || code != http.StatusOK || v.SignIn != (SignIn{e.url + "/authorize", e.url + "/token", e.url + "/logout", audience}) {
		t.Errorf("config.json answers %d: %s", code, body)
	}
	for path, want := range map[string]bool{"/": false, "/?code=1": true} {
		if csp := s.ask("", "GET", path, nil).Header().Get("Content-Security-Policy"); strings.Contains(csp, e.url) != want {
			t.Errorf("GET %s has the policy %q", path, csp)
		}
	}
	for address, want := range map[string]string{
		"https://a.example/token": "https://a.example", "http://127.0.0.1:1/x": "http://127.0.0.1:1", "javascript:alert(1)": "",
		"https://a.example;script-src *": "", "https://": "", "//a.example": "", "https://user@a.example/": "https://a.example",
	} {
		if got := origin(address); got != want {
			t.Errorf("origin(%q) = %q, want %q", address, got, want)
		}
	}
}
