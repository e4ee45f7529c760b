package report

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestChromium opens the page of every hostile report in a real browser, sorts,
// filters and copies in it, and wants nothing to happen that the page is not
// for: no request, no dialog, no error, no violation of its policy, no element
// that its template does not have.
func TestChromium(t *testing.T) {
	name := os.Getenv("SCAMTRACE_CHROMIUM")
	if name == "" {
		for _, n := range []string{"chromium", "chromium-browser", "google-chrome"} {
			if p, err := exec.LookPath(n); err == nil {
				name = p
				break
			}
		}
	}
	if name == "" {
		if os.Getenv("CI") != "" {
			t.Fatal("there is no Chromium; name one in SCAMTRACE_CHROMIUM")
		}
		t.Skip("there is no Chromium; name one in SCAMTRACE_CHROMIUM")
	}
	b := startBrowser(t, name)
	want := b.look(t, pageOf(t, small(t)))
	if want.Boxes < 5 || want.Rows < 20 || want.Scripts != 1 || want.Foreign != 0 {
		t.Errorf("the page has %+v", want)
	}
	in, err := demoWalk()
	if err != nil {
		t.Fatal(err)
	}
	if whole := b.look(t, pageOf(t, Build(in))); whole.Boxes <= want.Boxes || whole.Rows <= want.Rows || whole.Scripts != 1 || whole.Foreign != 0 {
		t.Errorf("the page of the demo has %+v", whole)
	}
	for _, h := range corpus {
		got := b.look(t, pageOf(t, hostile(t, h.text)))
		// Equal names may fold into one service, so boxes may be fewer.
		if got.Scripts != 1 || got.Foreign != 0 || got.Tables != want.Tables || got.Boxes > want.Boxes || got.Boxes < 3 {
			t.Errorf("%s: the page has %+v, want as %+v", h.name, got, want)
		}
	}
}

func pageOf(t *testing.T, r *Report) string {
	t.Helper()
	if err := r.hold(); err != nil {
		t.Fatal(err)
	}
	b, err := page(r)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// seen is what a page holds.
type seen struct {
	Title                                 string
	Scripts, Boxes, Rows, Tables, Foreign int
	Sorted, Shown                         int
}

// probe uses the page as a reader would and counts what is in it. Foreign is
// elements that load or run something, and attributes that do.
const probe = `(async () => {
  for (const b of document.querySelectorAll("button")) b.click();
  const table = document.querySelector("table.sort");
  const sorted = table.querySelectorAll("th[aria-sort]").length;
  const input = document.querySelector("input[type=search]");
  let shown = 0;
  if (input) {
    input.value = "0x";
    input.dispatchEvent(new Event("input"));
    shown = [...document.querySelectorAll("tr")].filter(r => !r.hidden).length;
    input.value = "no such text";
    input.dispatchEvent(new Event("input"));
    shown -= [...document.querySelectorAll("tr")].filter(r => !r.hidden).length;
  }
  for (const d of document.querySelectorAll("details")) d.open = true;
  await new Promise(r => setTimeout(r, 20));
  const all = [...document.querySelectorAll("*")];
  const foreign = all.filter(e => ["IMG", "IFRAME", "OBJECT", "EMBED", "FORM", "BASE", "VIDEO", "AUDIO", "IMAGE", "FOREIGNOBJECT", "TEXTAREA"].includes(e.tagName.toUpperCase()) ||
    [...e.attributes].some(a => a.name.startsWith("on") || a.name === "style" || a.name === "src" || a.name === "srcdoc" || a.name === "ping" || /^\s*javascript:/i.test(a.value)) ||
    e.tagName === "LINK" && e.getAttribute("href") !== "data:," || e.tagName === "A" && !e.getAttribute("href").startsWith("#"));
  return JSON.stringify({Title: document.title, Scripts: document.scripts.length, Boxes: document.querySelectorAll("svg.main .box").length,
    Rows: document.querySelectorAll("tr").length, Tables: document.querySelectorAll("table").length, Foreign: foreign.length, Sorted: sorted, Shown: shown});
})()`

// A browser is a Chromium that is spoken to over a pipe, in the Chrome DevTools
// Protocol: JSON messages that end with a zero byte.
type browser struct {
	in      io.Writer
	session string
	id      atomic.Int64
	answers chan message
	events  chan message
}

type message struct {
	ID        int64           `json:"id,omitempty"`
	Session   string          `json:"sessionId,omitempty"`
	Method    string          `json:"method,omitempty"`
	Params    any             `json:"params,omitempty"`
	Result    json.RawMessage `json:"result,omitempty"`
	Error     json.RawMessage `json:"error,omitempty"`
	rawParams json.RawMessage
}

func startBrowser(t *testing.T, name string) *browser {
	t.Helper()
	theirs, ours, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	back, answer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, name, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe",
		"--no-first-run", "--disable-background-networking", "--disable-component-update", "--user-data-dir="+profile(t), "about:blank")
	cmd.ExtraFiles = []*os.File{theirs, answer} // 3 and 4
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	answer.Close()
	b := &browser{in: ours, answers: make(chan message, 100), events: make(chan message, 10_000)}
	done := make(chan struct{})
	go func() { // ends when the browser does
		defer close(done)
		r := bufio.NewReaderSize(back, 1<<20)
		for {
			line, err := r.ReadBytes(0)
			if err != nil {
				close(b.answers)
				return
			}
			var m struct {
				message
				Params json.RawMessage `json:"params"`
			}
			if json.Unmarshal(bytes.TrimSuffix(line, []byte{0}), &m) != nil {
				continue
			}
			m.rawParams = m.Params
			if m.ID != 0 {
				b.answers <- m.message
			} else {
				b.events <- m.message
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // it was killed
		ours.Close()
		<-done
		back.Close()
	})
	var target struct{ TargetID string }
	b.call(t, "Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	b.call(t, "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	b.session = attached.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log", "Network"} {
		b.call(t, domain+".enable", nil, nil)
	}
	return b
}

// call asks the browser and waits for its answer.
func (b *browser) call(t *testing.T, method string, params, result any) {
	t.Helper()
	id := b.id.Add(1)
	q, err := json.Marshal(message{ID: id, Session: b.session, Method: method, Params: params})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.in.Write(append(q, 0)); err != nil {
		t.Fatal(err)
	}
	timeout := time.After(5 * time.Minute)
	for {
		select {
		case m, ok := <-b.answers:
			if !ok {
				t.Fatalf("the browser ended at %s", method)
			}
			if m.ID != id {
				continue
			}
			if m.Error != nil {
				t.Fatalf("%s: %s", method, m.Error)
			}
			if result != nil {
				if err := json.Unmarshal(m.Result, result); err != nil {
					t.Fatal(err)
				}
			}
			return
		case <-timeout:
			t.Fatalf("no answer to %s", method)
		}
	}
}

// look opens a page, uses it, and reports every event that should not be.
func (b *browser) look(t *testing.T, name string) seen {
	t.Helper()
	address := (&url.URL{Scheme: "file", Path: name}).String()
	b.call(t, "Page.navigate", map[string]any{"url": address}, nil)
	timeout := time.After(5 * time.Minute)
	check := func(m message) {
		params := string(m.rawParams)
		switch m.Method {
		case "Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded", "Page.javascriptDialogOpening", "Page.downloadWillBegin", "Page.windowOpen":
			t.Errorf("%s: %.500s", m.Method, params)
		case "Network.requestWillBeSent":
			if !strings.Contains(params, `"url":"`+address) && !strings.Contains(params, `"url":"data:,`) {
				t.Errorf("a request: %.500s", params)
			}
		}
		if m.Method == "Page.javascriptDialogOpening" {
			b.call(t, "Page.handleJavaScriptDialog", map[string]any{"accept": true}, nil)
		}
	}
	for loaded := false; !loaded; {
		select {
		case m := <-b.events:
			check(m)
			loaded = m.Method == "Page.loadEventFired"
		case <-timeout:
			t.Fatal("the page does not load")
		}
	}
	var answer struct {
		Result           struct{ Value string }
		ExceptionDetails any
	}
	b.call(t, "Runtime.evaluate", map[string]any{"expression": probe, "awaitPromise": true}, &answer)
	if answer.ExceptionDetails != nil {
		t.Fatalf("the page fails: %v", answer.ExceptionDetails)
	}
	var s seen
	if err := json.Unmarshal([]byte(answer.Result.Value), &s); err != nil {
		t.Fatal(err)
	}
	if s.Sorted == 0 || s.Shown <= 0 {
		t.Errorf("the tables do not sort or filter: %+v", s)
	}
	if !strings.HasPrefix(s.Title, "Where the money went") {
		t.Errorf("the title is %q", s.Title)
	}
	for {
		select {
		case m := <-b.events:
			check(m)
			continue
		default:
		}
		return s
	}
}

// profile is a folder for a browser's files. A process of the browser may still
// write there when the browser has ended, so what is left of it is no failure.
func profile(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "chromium-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
