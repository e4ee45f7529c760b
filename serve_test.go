package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"scamtrace/functions"
	"scamtrace/graphstore"
	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/report"
)

// program builds the command, once.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "scamtrace-test-")
	if err != nil {
		return "", err
	}
	name := filepath.Join(dir, "scamtrace")
	if out, err := exec.Command("go", "build", "-o", name, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %v\n%s", err, out)
	}
	return name, nil
})

func built(t *testing.T) string {
	t.Helper()
	name, err := program()
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// A running is the command serving a folder.
type running struct {
	t    *testing.T
	cmd  *exec.Cmd
	url  string
	logs *lockedBuffer
	done chan error
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// runServer starts a server and returns when it listens.
func runServer(t *testing.T, cmd *exec.Cmd) *running {
	t.Helper()
	r := &running{t: t, cmd: cmd, logs: new(lockedBuffer), done: make(chan error, 1)}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = r.logs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	go func() { r.done <- cmd.Wait() }()
	t.Cleanup(r.kill)
	var ok bool
	if _, r.url, ok = strings.Cut(line, "http://"); !ok {
		t.Fatalf("the server says %q and %s", line, r.logs)
	}
	r.url, _, _ = strings.Cut("http://"+r.url, ";")
	return r
}

func (r *running) kill() {
	_ = r.cmd.Process.Kill()
	if r.done != nil {
		<-r.done
		r.done = nil
	}
}

func (r *running) get(path string, v any) int {
	resp, err := http.Get(r.url + path)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	if v != nil {
		_ = json.NewDecoder(resp.Body).Decode(v)
	}
	return resp.StatusCode
}

// until polls a case until it is at rest or the server is gone.
func (r *running) until(id string) (v functions.CaseView, ok bool) {
	r.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	end := time.After(2 * time.Minute)
	for {
		select {
		case <-tick.C:
		case <-end:
			r.t.Fatalf("the case is %s after two minutes: %s\n%s", v.Status, v.Reason, r.logs)
		}
		switch r.get("/v1/cases/"+id, &v) {
		case http.StatusOK:
			if v.Status != functions.StatusQueued && v.Status != functions.StatusTracing {
				return v, true
			}
		case 0:
			return v, false
		}
	}
}

// template is a folder in which a case waits to be traced.
func template(t *testing.T, w *devnet.World) (dir, id string) {
	t.Helper()
	dir = t.TempDir()
	d, err := graphstore.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	c := devnet.Chain()
	chains, err := json.Marshal([]map[string]any{{
		"id": c.ID, "name": c.Name, "title": c.Title, "symbol": c.Symbol, "decimals": c.Decimals,
		"blockSeconds": c.BlockTime.Seconds(), "finalityDepth": c.FinalityDepth, "tokens": c.Tokens,
	}})
	if err != nil {
		t.Fatal(err)
	}
	labels, prices := "chain,address,name,category,confidence\n", "asset,time,usd\n"
	for _, s := range w.Services {
		for _, a := range s.Addresses {
			labels += fmt.Sprintf("%s,%s,%s,%s,100\n", c.Name, a.Hex(), s.Name, s.Category)
		}
	}
	for day, p := range w.Prices {
		prices += fmt.Sprintf("%s,%d,%s\n", tracer.NativeOf(c.ID), w.Blocks[0].Time+uint64(day)*86_400, p.Decimal())
	}
	for key, data := range map[string]string{"public/chains.json": string(chains), "public/labels/devnet.csv": labels, "public/prices/devnet.csv": prices} {
		if _, err := d.Create(t.Context(), key, []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := report.OpenKey(filepath.Join(dir, ".scamtrace", "signing.key")); err != nil {
		t.Fatal(err)
	}
	app := &functions.App{Bucket: d, Queue: functions.NewLocal(), Log: slog.New(slog.DiscardHandler)}
	var seeds []string
	for _, p := range w.Truth.Victims[2].Payments {
		seeds = append(seeds, p.Tx.Hex(), p.Wallet.Hex())
	}
	body, err := json.Marshal(functions.Submission{Chain: c.Name, Seeds: seeds})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), "POST", "/v1/cases", bytes.NewReader(body))
	r.Host = "localhost"
	r.Header.Set("Content-Type", "application/json")
	resp := httptest.NewRecorder()
	app.Handler().ServeHTTP(resp, r)
	var v functions.CaseView
	if err := json.Unmarshal(resp.Body.Bytes(), &v); err != nil || resp.Code != http.StatusAccepted {
		t.Fatalf("POST answers %d: %s", resp.Code, resp.Body)
	}
	return dir, v.ID
}

func copyDir(t *testing.T, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "data")
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	// CopyFS gives new files the modes it likes.
	if err := os.Chmod(filepath.Join(to, ".scamtrace", "signing.key"), 0o600); err != nil {
		t.Fatal(err)
	}
	return to
}

// reports are the files of all reports in a folder, with their bytes. A server
// may be at work in it.
func reports(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() && strings.Contains(path, "/reports/") && e.Name() != "evidence.zip" { // which says what was asked, not what came of it
			var data []byte
			data, err = os.ReadFile(path)
			name, _ := filepath.Rel(dir, path)
			out[name] = string(data)
		}
		if errors.Is(err, fs.ErrNotExist) { // gone since it was listed
			return nil
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func same(t *testing.T, got, want map[string]string) {
	t.Helper()
	for name, data := range want {
		if got[name] != data {
			t.Errorf("%s differs: %d bytes, want %d", name, len(got[name]), len(data))
		}
	}
	if len(got) != len(want) {
		t.Errorf("there are %d files, want %d", len(got), len(want))
	}
}

// A slowNode is a node that counts its requests, and tells at one of them.
type slowNode struct {
	http.Handler
	count, at atomic.Int64
	reached   chan struct{}
}

func (n *slowNode) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if n.count.Add(1) == n.at.Load() {
		_, _ = io.Copy(io.Discard, r.Body) // only then is it noticed that the asker is gone
		n.reached <- struct{}{}
		<-r.Context().Done()
		return
	}
	n.Handler.ServeHTTP(w, r)
}

var killRounds = flag.Int("kill", 10, "how often TestServeKilled kills the server")

// TestServeKilled is promise P3 on the real program: kill -9 at some request to
// the node, or while the report is written, and started again, until it is done;
// the reports have the bytes of an undisturbed run.
func TestServeKilled(t *testing.T) {
	scamtrace := built(t)
	w := devnet.Generate(devnet.Config{})
	node := &slowNode{Handler: devnet.NewNode(w, devnet.NodeOptions{}), reached: make(chan struct{}, 1)}
	srv := httptest.NewServer(node)
	t.Cleanup(srv.Close)
	from, id := template(t, w)
	serve := func(dir string) *running {
		return runServer(t, exec.Command(scamtrace, "serve", "--addr", "127.0.0.1:0", "--data", dir, "--rpc", "devnet="+srv.URL, "--turn", "1s"))
	}
	dir := copyDir(t, from)
	r := serve(dir)
	v, _ := r.until(id)
	if v.Status != functions.StatusDone {
		t.Fatalf("undisturbed, the case is %s: %s\n%s", v.Status, v.Reason, r.logs)
	}
	r.kill()
	want := reports(t, dir)
	requests := node.count.Load()
	if len(want) < 8 || requests < 50 {
		t.Fatalf("undisturbed, there are %d files after %d requests", len(want), requests)
	}
	kills := 0
	for round := range *killRounds {
		dir := copyDir(t, from)
		if round%2 == 0 { // at a request
			for kill := range int64(3) {
				node.count.Store(0)
				node.at.Store(1 + (int64(round)*37+kill*11)%requests)
				r := serve(dir)
				done := make(chan bool, 1)
				go func() { _, ok := r.until(id); done <- ok }()
				select {
				case <-node.reached:
					kills++
					r.kill()
					<-done
				case <-done:
					r.kill()
				}
			}
			node.at.Store(0)
		} else { // when so many files of the report are there
			r := serve(dir)
			files := 1 + round/2%len(want)
			for tick := time.NewTicker(time.Millisecond); len(reports(t, dir)) < files; <-tick.C {
			}
			kills++
			r.kill()
		}
		r := serve(dir)
		if v, _ := r.until(id); v.Status != functions.StatusDone || len(v.Reports) != 1 {
			t.Fatalf("round %d: the case is %s (%s) with %d reports\n%s", round, v.Status, v.Reason, len(v.Reports), r.logs)
		}
		r.kill()
		if same(t, reports(t, dir), want); t.Failed() {
			t.Fatalf("round %d", round)
		}
	}
	t.Logf("killed %d times in %d rounds", kills, *killRounds)
}

// TestServe is the server as one person sees it.
func TestServe(t *testing.T) {
	scamtrace := built(t)
	dir := filepath.Join(t.TempDir(), "data")
	serve := func(args ...string) *exec.Cmd {
		return exec.Command(scamtrace, append([]string{"serve", "--addr", "127.0.0.1:0", "--data", dir}, args...)...)
	}
	r := runServer(t, serve())
	if code := r.get("/healthz", nil); code != http.StatusOK {
		t.Errorf("GET /healthz answers %d", code)
	}
	if code := r.get("/", nil); code != http.StatusOK {
		t.Errorf("GET / answers %d", code)
	}
	// A second server on the folder, and one that others could reach.
	for _, tt := range []struct {
		args []string
		code int
		says string
	}{
		{nil, exitFailed, "another scamtrace is using it"},
		{[]string{"--addr", "0.0.0.0:0"}, exitUsage, "--issuer"},
		{[]string{"--addr", "nonsense"}, exitUsage, "127.0.0.1:8080"},
		{[]string{"--rpc", "SECRETKEY"}, exitUsage, "bsc=https"},
		{[]string{"--issuer", "https://issuer.example"}, exitUsage, "--audience"},
		{[]string{"--workers", "0"}, exitUsage, "--workers"},
		{[]string{"extra"}, exitUsage, ""},
	} {
		out, err := serve(tt.args...).CombinedOutput()
		ee, ok := err.(*exec.ExitError)
		if !ok || ee.ExitCode() != tt.code || !strings.Contains(string(out), tt.says) || strings.Contains(string(out), "SECRETKEY") {
			t.Errorf("serve %q ends with %v: %s", tt.args, err, out)
		}
	}
	// It ends when it is asked to.
	if err := r.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := <-r.done; err != nil {
		t.Errorf("interrupted, it ends with %v: %s", err, r.logs)
	}
	r.done = nil
}

// TestServeDownload follows a link to a file of a report.
func TestServeDownload(t *testing.T) {
	w := devnet.Generate(devnet.Config{})
	srv := httptest.NewServer(devnet.NewNode(w, devnet.NodeOptions{}))
	t.Cleanup(srv.Close)
	from, id := template(t, w)
	r := runServer(t, exec.Command(built(t), "serve", "--addr", "127.0.0.1:0", "--data", from, "--rpc", "devnet="+srv.URL))
	v, _ := r.until(id)
	if v.Status != functions.StatusDone {
		t.Fatalf("the case is %s: %s\n%s", v.Status, v.Reason, r.logs)
	}
	dir := t.TempDir()
	for _, name := range v.Reports[0].Files {
		resp, err := http.Get(fmt.Sprintf("%s/v1/cases/%s/reports/%d/%s", r.url, id, v.Reports[0].Block, strings.ReplaceAll(name, "/", "%2F")))
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Header.Get("Content-Disposition"), "attachment") {
			t.Fatalf("%s: status %d, %v", name, resp.StatusCode, err)
		}
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	whole := filepath.Join(t.TempDir(), "bundle.zip")
	if err := os.Rename(filepath.Join(dir, "bundle.zip"), whole); err != nil {
		t.Fatal(err)
	}
	told := filepath.Join(t.TempDir(), "evidence.zip")
	if err := os.Rename(filepath.Join(dir, "evidence.zip"), told); err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{dir, whole} {
		if out, err := exec.Command(built(t), "replay", what, told).CombinedOutput(); err != nil {
			t.Errorf("replay of %s: %v: %s", filepath.Base(what), err, out)
		}
		if out, err := exec.Command(built(t), "verify", what).CombinedOutput(); err != nil {
			t.Errorf("verify of %s: %v: %s", filepath.Base(what), err, out)
		}
	}
	data, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(whole, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(built(t), "verify", whole).CombinedOutput(); err == nil {
		t.Errorf("verify of a changed bundle.zip says %s", out)
	}
}

// TestServeUnknown: endpoints of a chain that nobody knows end it at the start.
func TestServeUnknown(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // it would serve
	defer cancel()
	for _, name := range []string{"achive", "foo=trace"} {
		code, _, errs := command(ctx, "serve", "--addr", "127.0.0.1:0", "--data", t.TempDir(), "--rpc", name+"=https://node.example/SECRETKEY")
		if word, _, _ := strings.Cut(name, "="); code != exitUsage || !strings.Contains(errs, `"`+word+`" is neither a role (archive, trace) nor a chain`) || strings.Contains(errs, "SECRETKEY") {
			t.Errorf("with --rpc %s=… it ends with %d: %s", name, code, errs)
		}
	}
}
