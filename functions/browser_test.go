package functions

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// A browser is a Chromium with one tab, spoken to over a pipe in the Chrome
// DevTools Protocol: JSON messages that end with a zero byte.
type browser struct {
	t       *testing.T
	in      io.Writer
	session string
	id      int
	answers chan message

	mu     sync.Mutex
	events []message // since they were taken
}

type message struct {
	ID      int             `json:"id,omitempty"`
	Session string          `json:"sessionId,omitempty"`
	Method  string          `json:"method,omitempty"`
	Params  json.RawMessage `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   json.RawMessage `json:"error,omitempty"`
}

// patience is how long a browser may take for anything.
const patience = time.Minute

func newBrowser(t *testing.T) *browser {
	t.Helper()
	name := os.Getenv("SCAMTRACE_CHROMIUM")
	for _, n := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(n); err == nil && name == "" {
			name = p
		}
	}
	if name == "" {
		if os.Getenv("CI") != "" {
			t.Fatal("there is no Chromium; name one in SCAMTRACE_CHROMIUM")
		}
		t.Skip("there is no Chromium; name one in SCAMTRACE_CHROMIUM")
	}
	theirs, ours, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	back, answer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, name, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--lang=en-US", "--user-data-dir="+profile(t), "about:blank")
	cmd.ExtraFiles = []*os.File{theirs, answer} // 3 and 4
	cmd.Env = append(os.Environ(), "TZ=UTC")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	answer.Close()
	b := &browser{t: t, in: ours, answers: make(chan message, 100)}
	done := make(chan struct{})
	go func() { // ends when the browser does
		defer close(done)
		defer close(b.answers)
		for r := bufio.NewReaderSize(back, 1<<20); ; {
			line, err := r.ReadBytes(0)
			if err != nil {
				return
			}
			var m message
			switch err := json.Unmarshal(bytes.TrimSuffix(line, []byte{0}), &m); {
			case err != nil:
			case m.ID != 0:
				b.answers <- m
			default:
				b.mu.Lock()
				b.events = append(b.events, m)
				b.mu.Unlock()
			}
		}
	}()
	t.Cleanup(func() {
		ours.Close() // it ends, and its helpers, who write into their folder to the last
		kill := time.AfterFunc(20*time.Second, cancel)
		<-done
		_ = cmd.Wait()
		kill.Stop()
		cancel()
		back.Close()
	})
	var target struct{ TargetID string }
	b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	b.session = attached.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log", "Network"} {
		b.call(domain+".enable", nil, nil)
	}
	return b
}

// call asks the browser and waits for its answer.
func (b *browser) call(method string, params, result any) {
	b.t.Helper()
	if err := b.try(method, params, result); err != nil {
		b.t.Fatal(err)
	}
}

func (b *browser) try(method string, params, result any) error {
	b.t.Helper()
	b.id++
	p, err := json.Marshal(params)
	if err != nil {
		b.t.Fatal(err)
	}
	if params == nil {
		p = nil
	}
	q, err := json.Marshal(message{ID: b.id, Session: b.session, Method: method, Params: p})
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.in.Write(append(q, 0)); err != nil {
		b.t.Fatal(err)
	}
	timeout := time.After(patience)
	for {
		select {
		case m, ok := <-b.answers:
			switch {
			case !ok:
				b.t.Fatalf("the browser ended at %s", method)
			case m.ID != b.id:
				continue
			case m.Error != nil:
				return fmt.Errorf("%s: %s", method, m.Error)
			case result != nil:
				return json.Unmarshal(m.Result, result)
			}
			return nil
		case <-timeout:
			b.t.Fatalf("no answer to %s", method)
		}
	}
}

// take returns the events since it was last called.
func (b *browser) take() []message {
	b.mu.Lock()
	defer b.mu.Unlock()
	events := b.events
	b.events = nil
	return events
}

// eval evaluates an expression in the page, waits if it is a promise, and
// decodes its value into v.
func (b *browser) eval(expression string, v any) {
	b.t.Helper()
	if err := b.tryEval(expression, v); err != nil {
		b.t.Fatal(err)
	}
}

func (b *browser) tryEval(expression string, v any) error {
	b.t.Helper()
	var a struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails json.RawMessage
	}
	if err := b.try("Runtime.evaluate", map[string]any{"expression": expression, "awaitPromise": true, "returnByValue": true}, &a); err != nil {
		return err
	}
	if a.ExceptionDetails != nil {
		return fmt.Errorf("%s: %s", expression, a.ExceptionDetails)
	}
	if v == nil {
		return nil
	}
	return json.Unmarshal(a.Result.Value, v)
}

// until waits until an expression is true. Another page may come meanwhile.
func (b *browser) until(expression string) {
	b.t.Helper()
	end := time.Now().Add(patience)
	for {
		var ok bool
		err := b.tryEval(`new Promise(done => { const began = Date.now(); (function look() { let ok = false; try { ok = Boolean(`+expression+`) } catch {}
			ok || Date.now() - began > 1000 ? done(ok) : setTimeout(look, 10) })() })`, &ok)
		if ok {
			return
		}
		if time.Now().After(end) {
			var body string
			_ = b.tryEval("document.body.innerText", &body)
			b.t.Fatalf("it never came that %s (%v); the page says\n%s", expression, err, body)
		}
	}
}

// text is what an element says, as people see it.
func (b *browser) text(id string) string {
	b.t.Helper()
	var s string
	b.eval(fmt.Sprintf("document.getElementById(%q).innerText", id), &s)
	return s
}

// says waits until an element that can be seen says something.
func (b *browser) says(id, part string) {
	b.t.Helper()
	b.until(fmt.Sprintf("(e => e.checkVisibility() && e.innerText.includes(%s))(document.getElementById(%q))", quote(part), id))
}

func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// click presses the left button of the mouse on the first element that a
// selector finds, and fails if something else lies over it.
func (b *browser) click(selector string) {
	b.t.Helper()
	var at struct {
		X, Y float64
		Hit  bool
	}
	b.eval(`(() => { const e = document.querySelector(`+quote(selector)+`); e.scrollIntoView({block: "center", behavior: "instant"});
		const r = e.getBoundingClientRect(), x = r.x + r.width / 2, y = r.y + r.height / 2, hit = document.elementFromPoint(x, y);
		return {x, y, hit: e === hit || e.contains(hit)} })()`, &at)
	if !at.Hit {
		b.t.Fatalf("%s is covered by something, or outside of the window", selector)
	}
	for _, typ := range []string{"mousePressed", "mouseReleased"} {
		b.call("Input.dispatchMouseEvent", map[string]any{"type": typ, "x": at.X, "y": at.Y, "button": "left", "clickCount": 1}, nil)
	}
}

// write puts text where the focus is, as if it was pasted.
func (b *browser) write(selector, text string) {
	b.t.Helper()
	b.eval(`(e => { e.focus(); e.select() })(document.querySelector(`+quote(selector)+`))`, nil)
	b.call("Input.insertText", map[string]any{"text": text}, nil)
}

// press types a key that is no letter.
func (b *browser) press(key string, code int, text string) {
	b.t.Helper()
	for _, typ := range []string{"keyDown", "keyUp"} {
		b.call("Input.dispatchKeyEvent", map[string]any{"type": typ, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text}, nil)
		text = ""
	}
}

// size is that of the window, in CSS pixels.
func (b *browser) size(width, height int) {
	b.t.Helper()
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}, nil)
}

// media sets what the person likes: dark or light, and reduced motion.
func (b *browser) media(scheme, motion string) {
	b.t.Helper()
	b.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{
		{"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": motion},
	}}, nil)
}

// shoot writes a picture of the window, if SCAMTRACE_SHOTS names a folder.
func (b *browser) shoot(name string) {
	b.t.Helper()
	dir := os.Getenv("SCAMTRACE_SHOTS")
	if dir == "" {
		return
	}
	var shot struct{ Data string }
	b.call("Page.captureScreenshot", map[string]any{"format": "png"}, &shot)
	data, err := base64.StdEncoding.DecodeString(shot.Data)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), data, 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// calm takes the events and wants none that a quiet page does not make: no
// error, no warning, no breach of its policy, no dialog, and no request but to
// these origins.
func (b *browser) calm(origins ...string) {
	b.t.Helper()
	for _, m := range b.take() {
		params := string(m.Params)
		switch m.Method {
		case "Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded", "Page.javascriptDialogOpening", "Page.windowOpen":
			b.t.Errorf("%s: %.600s", m.Method, params)
		case "Network.requestWillBeSent":
			var v struct{ Request struct{ URL string } }
			if err := json.Unmarshal(m.Params, &v); err != nil {
				b.t.Fatal(err)
			}
			ok := false
			for _, o := range origins {
				ok = ok || strings.HasPrefix(v.Request.URL, o+"/") || strings.HasPrefix(v.Request.URL, "data:") // the browser's own icons
			}
			if !ok {
				b.t.Errorf("a request to %.200s", v.Request.URL)
			}
		}
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
