package functions

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"scamtrace/graphstore"
	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/ethsource"
	"scamtrace/tracer/evidence"
	"scamtrace/tracer/report"

	"github.com/ethereum/go-ethereum/common"
	"golang.org/x/time/rate"
)

// theWorld is the world of the demo, made once.
var theWorld = sync.OnceValue(func() *devnet.World { return devnet.Generate(devnet.Config{}) })

// A scene is a pipeline over a folder, a made-up chain behind a real HTTP
// server, and a clock that stands still until it is moved.
type scene struct {
	*App
	t      *testing.T
	world  *devnet.World
	node   *devnet.Node
	url    string
	bucket graphstore.Bucket
	queue  *list
	logs   *bytes.Buffer
	clock  time.Time
	mu     sync.Mutex   // of logs
	fault  atomic.Int32 // a devnet.Fault of the node
}

// list is a Queue that a test takes Jobs from.
type list struct{ jobs []Job }

func (l *list) Send(_ context.Context, j Job) error {
	l.jobs = append(l.jobs, j)
	return nil
}

// words is an Authenticator whose tokens are workspace, subject and roles.
type words3 struct{}

func (words3) Identify(_ context.Context, token string) (Identity, error) {
	f := strings.Fields(token)
	if len(f) < 3 {
		return Identity{}, errors.New("no such token")
	}
	id := Identity{Workspace: f[0], Subject: f[1]}
	for _, r := range f[2:] {
		id.Roles = append(id.Roles, Role(r))
	}
	return id, nil
}

const (
	alice = "ngo alice advocate"
	bob   = "ngo bob advocate"
	ivan  = "ngo ivan investigator"
	root  = "ngo root admin"
	mal   = "other mal advocate investigator admin"
)

// publicData are the objects that make the made-up chain known.
func publicData(t testing.TB, w *devnet.World) map[string][]byte {
	t.Helper()
	c := devnet.Chain()
	chains, err := json.Marshal([]map[string]any{{
		"id": c.ID, "name": c.Name, "title": c.Title, "symbol": c.Symbol, "decimals": c.Decimals,
		"blockSeconds": c.BlockTime.Seconds(), "finalityDepth": c.FinalityDepth, "tokens": c.Tokens,
	}})
	if err != nil {
		t.Fatal(err)
	}
	var labels strings.Builder
	labels.WriteString("chain,address,name,category,confidence\n")
	for _, s := range w.Services {
		for _, a := range s.Addresses {
			fmt.Fprintf(&labels, "%s,%s,%s,%s,100\n", c.Name, a.Hex(), s.Name, s.Category)
		}
	}
	var prices strings.Builder
	prices.WriteString("asset,time,usd\n")
	for day, p := range w.Prices {
		fmt.Fprintf(&prices, "%s,%d,%s\n", tracer.NativeOf(c.ID), w.Blocks[0].Time+uint64(day)*86_400, p.Decimal())
	}
	return map[string][]byte{"public/chains.json": chains, "public/labels/devnet.csv": []byte(labels.String()), "public/prices/devnet.csv": []byte(prices.String())}
}

func newScene(t *testing.T) *scene { return newSceneWith(t, devnet.NodeOptions{}) }

func newSceneWith(t *testing.T, o devnet.NodeOptions) *scene {
	t.Helper()
	s := &scene{t: t, world: theWorld(), queue: new(list), logs: new(bytes.Buffer)}
	if o.Faults == nil {
		o.Faults = func(devnet.Request) devnet.Fault { return devnet.Fault(s.fault.Load()) }
	}
	s.node = devnet.NewNode(s.world, o)
	srv := httptest.NewServer(s.node)
	t.Cleanup(srv.Close)
	s.url = srv.URL
	dir, err := graphstore.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	s.bucket = dir
	for key, data := range publicData(t, s.world) {
		if _, err := dir.Create(t.Context(), key, data); err != nil {
			t.Fatal(err)
		}
	}
	s.clock = time.Unix(int64(s.world.Blocks[s.world.Head()].Time), 0).UTC()
	s.App = s.newApp()
	return s
}

// sceneKey signs the reports of all scenes, so that their signatures are the
// same too.
type sceneKey struct{}

var scenePrivate = ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))

func (sceneKey) Public() ed25519.PublicKey { return scenePrivate.Public().(ed25519.PublicKey) }

func (sceneKey) Sign(_ context.Context, message []byte) ([]byte, error) {
	return ed25519.Sign(scenePrivate, message), nil
}

// newApp is another process over the same bucket and queue.
func (s *scene) newApp() *App {
	return &App{
		Bucket: s.bucket, Queue: s.queue, Open: openNode(s.url, 0), Auth: words3{}, Signer: sceneKey{}, Version: "test",
		Log: slog.New(slog.NewJSONHandler(s, nil)), Metrics: s, Now: func() time.Time { return s.clock },
		Random: rand.NewChaCha8([32]byte{1}), Turn: time.Hour, Quota: Quota{PerSecond: 1e6, CasesPerDay: 1e6},
	}
}

func (s *scene) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.logs.Write(b)
}

// do asks the API as somebody and returns the status and the body.
func (s *scene) do(who, method, path string, body any, header ...string) (int, string) {
	s.t.Helper()
	w := s.ask(who, method, path, body, header...)
	return w.Code, w.Body.String()
}

func (s *scene) ask(who, method, path string, body any, header ...string) *httptest.ResponseRecorder {
	s.t.Helper()
	var r io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		r = strings.NewReader(b)
	default:
		data, err := json.Marshal(b)
		if err != nil {
			s.t.Fatal(err)
		}
		r = bytes.NewReader(data)
	}
	req := httptest.NewRequestWithContext(s.t.Context(), method, path, r)
	if who != "" {
		req.Header.Set("Authorization", "Bearer "+who)
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, req)
	return w
}

// victimSeeds are the payments of a victim of the world and the wallets paid.
func victimSeeds(w *devnet.World, victim int) []string {
	var seeds []string
	for _, p := range w.Truth.Victims[victim].Payments {
		seeds = append(seeds, p.Tx.Hex(), p.Wallet.Hex())
	}
	return seeds
}

// submit makes a case of a victim and returns its id.
func (s *scene) submit(who string, victim int, header ...string) string {
	s.t.Helper()
	code, body := s.do(who, "POST", "/v1/cases", Submission{Chain: "devnet", Seeds: victimSeeds(s.world, victim), Hub: 1000}, header...)
	if code != http.StatusAccepted {
		s.t.Fatalf("POST /v1/cases answers %d: %s", code, body)
	}
	return decode[CaseView](s.t, body).ID
}

func decode[T any](t *testing.T, body string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return v
}

// work drives the queue until it is empty.
func (s *scene) work() {
	s.t.Helper()
	for len(s.queue.jobs) > 0 {
		j := s.queue.jobs[0]
		s.queue.jobs = s.queue.jobs[1:]
		if err := s.Work(s.t.Context(), j); err != nil {
			s.t.Fatalf("Work(%v): %v", j, err)
		}
		s.grow()
	}
}

// grow makes turns that are short longer, so that a case is done in the end on
// the slowest machine.
func (s *scene) grow() { s.App.Turn = min(s.App.Turn+s.App.Turn/2, time.Hour) }

// settle drives the queue and, by moving the clock from marker to marker, the
// schedule, until no case is at work and no alert waits.
func (s *scene) settle() {
	s.t.Helper()
	for range 100 {
		s.work()
		var next time.Time
		for key, err := range s.bucket.List(s.t.Context(), "due/", "") {
			if err != nil {
				s.t.Fatal(err)
			}
			at, ws, id, ok := parseDue(key)
			c, _, err := s.load(s.t.Context(), ws, id)
			if ok && (errors.Is(err, fs.ErrNotExist) || err == nil && (c.working() || len(c.Alerts) > 0 || !c.Due.Equal(at))) {
				next = at
				break
			}
		}
		if next.IsZero() {
			return
		}
		if next.After(s.clock) {
			s.clock = next
		}
		if err := s.Schedule(s.t.Context()); err != nil {
			s.t.Fatal(err)
		}
	}
	s.t.Fatal("the pipeline does not come to rest")
}

func (s *scene) find1(ws, id string) *Case {
	s.t.Helper()
	c, _, err := s.load(s.t.Context(), ws, id)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// objects are all objects under a prefix.
func objects(t *testing.T, b graphstore.Bucket, prefix string) map[string]string {
	t.Helper()
	out := make(map[string]string)
	for key, err := range b.List(t.Context(), prefix, "") {
		if err != nil {
			t.Fatal(err)
		}
		data, _, err := b.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		out[key] = string(data)
	}
	return out
}

// reports are the bytes of all reports and diffs of a case, by name.
func (s *scene) reports(ws, id string) map[string]string {
	s.t.Helper()
	out := make(map[string]string)
	for key, data := range objects(s.t, s.bucket, caseFolder(ws, id)) {
		if name := strings.TrimPrefix(key, caseFolder(ws, id)); path.Base(name) != evidenceName && (strings.HasPrefix(name, "reports/") || strings.HasPrefix(name, "diffs/")) {
			out[name] = data
		}
	}
	return out
}

func differ(t *testing.T, got, want map[string]string) bool {
	t.Helper()
	bad := false
	for name, data := range want {
		if got[name] != data {
			t.Errorf("%s differs: %d bytes, want %d", name, len(got[name]), len(data))
			bad = true
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s should not be there", name)
			bad = true
		}
	}
	return bad
}

// addr returns some address.
func addr(n byte) string { return common.Address{0: 0xab, 19: n}.Hex() }

func TestSubmitToReport(t *testing.T) {
	s := newScene(t)
	id := s.submit(alice, 0)
	s.work()
	c := s.find1("ngo", id)
	if c.Status != StatusDone || len(c.Reports) != 1 || c.Epoch != 2 {
		t.Fatalf("the case is %s (%s) with %d reports at epoch %d", c.Status, c.Reason, len(c.Reports), c.Epoch)
	}
	row := c.Reports[0]
	if !strings.Contains(row.Sentence, "We followed $85,500.00") || !slices.Contains(row.Files, "manifest.sig") {
		t.Errorf("the report says %q and has %q", row.Sentence, row.Files)
	}
	data := s.reports("ngo", id)[fmt.Sprintf("reports/%d/%s", row.Block, bundleName)]
	whole, err := zip.NewReader(strings.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatalf("%s: %v", bundleName, err)
	}
	if _, err := report.VerifyFS(whole, nil); err != nil || len(whole.File) != len(row.Files)-2 {
		t.Errorf("%s has %d of %d files, %v", bundleName, len(whole.File), len(row.Files)-2, err)
	}
	code, body := s.do(alice, "GET", "/v1/cases/"+id, nil)
	if v := decode[CaseView](t, body); code != http.StatusOK || v.Status != StatusDone || v.Next.IsZero() {
		t.Errorf("GET answers %d: %s", code, body)
	}
	t.Log(s.node.Requests(), "requests;", c.Progress)
	if strings.Contains(s.logs.String(), strings.ToLower(c.Seeds[0])) {
		t.Error("a wallet is in the logs")
	}
}

func number(n uint64) string { return fmt.Sprint(n) }

type reportGap = report.Gap

func commonAddress(s string) common.Address { return common.HexToAddress(s) }

// openNode opens the node at a URL, at so many calls a second for all together.
func openNode(url string, perSecond float64) Opener {
	var limiter *rate.Limiter
	if perSecond > 0 {
		limiter = rate.NewLimiter(rate.Limit(perSecond), int(perSecond))
	}
	return func(ctx context.Context, chain tracer.Chain, pin *tracer.Block, rec *evidence.Recorder) (tracer.Source, error) {
		src, err := ethsource.Open(ctx, chain, url, ethsource.Options{Pin: pin, Limiter: limiter, Wrap: rec.WrapNode})
		if err != nil {
			return nil, err
		}
		return src, nil
	}
}
