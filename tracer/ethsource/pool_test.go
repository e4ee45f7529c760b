package ethsource_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/ethsource"

	"github.com/ethereum/go-ethereum/common"
)

// A counted stands before a node, counts the calls of each method, and may
// answer in its place.
type counted struct {
	node http.Handler
	// instead answers a request whose first call is of a method, or not.
	instead func(w http.ResponseWriter, method string) bool

	mu    sync.Mutex
	calls map[string]int
}

func (c *counted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	first := ""
	c.mu.Lock()
	if c.calls == nil {
		c.calls = make(map[string]int)
	}
	for _, part := range strings.Split(string(body), `"method":"`)[1:] {
		method, _, _ := strings.Cut(part, `"`)
		c.calls[method]++
		if first == "" {
			first = method
		}
	}
	c.mu.Unlock()
	if c.instead == nil || !c.instead(w, first) {
		c.node.ServeHTTP(w, r)
	}
}

// reset forgets the calls up to now.
func (c *counted) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.calls)
}

func (c *counted) total() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, k := range c.calls {
		n += k
	}
	return n
}

// only reports the methods of the calls that none of the prefixes fits.
func (c *counted) others(prefixes ...string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for m := range c.calls {
		if !slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(m, p) }) {
			out = append(out, m)
		}
	}
	slices.Sort(out)
	return out
}

const keyPath = "/v3/secretpath?key=secretquery"

func pool(t testing.TB, texts ...string) []ethsource.Endpoint {
	t.Helper()
	list, err := ethsource.ParseEndpoints(texts...)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

var smallWorld = devnet.Config{Days: 7, Transfers: 4000, Victims: 2, Syndicates: 1, Noise: 60}

// TestPool reads from a node that has thrown old states away, an archive and one
// with traces. It must find what one perfect node has, and ask each for what it is
// there for.
func TestPool(t *testing.T) {
	for _, told := range []bool{false, true} {
		config := smallWorld
		config.NativeLogs = told
		w := made(config)
		q := someWallets(w)
		honest, err := open(t, w, devnet.NodeOptions{}).Transfers(t.Context(), q)
		if err != nil || len(honest.Unread) > 0 {
			t.Fatal(honest.Unread, err)
		}
		full := &counted{node: devnet.NewNode(w, devnet.NodeOptions{NoTraces: true, NoArchive: true})}
		old := &counted{node: devnet.NewNode(w, devnet.NodeOptions{NoTraces: true})}
		traces := &counted{node: devnet.NewNode(w, devnet.NodeOptions{NoArchive: true})}
		s, err := ethsource.OpenPool(t.Context(), devnet.Chain(), pool(t, serve(t, full)+keyPath, "archive="+serve(t, old), "trace="+serve(t, traces)), ethsource.Hasty(ethsource.Options{}))
		if err != nil {
			t.Fatal(err)
		}
		if len(s.Notes()) > 0 {
			t.Errorf("notes: %q", s.Notes())
		}
		for _, c := range []*counted{full, old, traces} {
			if n := c.total(); n > 15 {
				t.Errorf("finding out what a node can do took %d calls: %v", n, c.calls)
			}
			c.reset()
		}
		ans, err := s.Transfers(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(ans.Transfers, honest.Transfers) || len(ans.Unread) > 0 {
			t.Errorf("%d transfers, %d unread; one node has %d", len(ans.Transfers), len(ans.Unread), len(honest.Transfers))
		}
		if _, _, _, err = s.States(t.Context(), []common.Address{q.Spans[0].Wallet}, []uint64{10}, 0); err != nil {
			t.Error(err)
		}
		if _, _, err = s.Contracts(t.Context(), []common.Address{q.Spans[0].Wallet}, 0); err != nil {
			t.Error(err)
		}
		witness := []string{"eth_chainId", "eth_getBlockByNumber"}
		if got := full.others("eth_getLogs", "eth_getTransactionReceipt", "eth_getTransactionByHash", "eth_chainId", "eth_getBlockByNumber"); len(got) > 0 {
			t.Errorf("the primary was asked for %q", got)
		}
		if got := old.others(append(witness, "eth_getBalance", "eth_getTransactionCount", "eth_getCode", "eth_call")...); len(got) > 0 {
			t.Errorf("the archive was asked for %q", got)
		}
		if got := traces.others(append(witness, "trace_")...); len(got) > 0 {
			t.Errorf("the node with traces was asked for %q", got)
		}
		if full.calls["eth_getLogs"] == 0 || old.calls["eth_getBalance"] == 0 || !told && traces.calls["trace_filter"] == 0 {
			t.Errorf("who was asked: %v, %v, %v", full.calls, old.calls, traces.calls)
		}
	}
}

// TestRotation has the first of two nodes refuse eth_getLogs in the words of
// each kind. Another node is asked where that can help, and only then.
func TestRotation(t *testing.T) {
	w := made(smallWorld)
	q := someWallets(w)
	q.Spans = q.Spans[:5]
	honest, err := open(t, w, devnet.NodeOptions{}).Transfers(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	refusal := func(code int, text string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":null,"error":{"code":%d,"message":%q}}`, code, text)
		}
	}
	status := func(n int) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { w.WriteHeader(n) }
	}
	for _, tt := range []struct {
		name    string
		refuse  func(http.ResponseWriter)
		rotates bool
		most    int // calls of the method at the one that refuses
	}{
		{"transient", status(503), true, 8},
		{"a web page", func(w http.ResponseWriter) { io.WriteString(w, "<html>") }, true, 8},
		{"unusable", func(w http.ResponseWriter) { io.WriteString(w, "{") }, true, 8},
		{"rate", status(429), true, 8},
		{"quota", refusal(-32000, "daily limit reached"), true, 2},
		{"behind", refusal(-32602, "block range extends beyond current head block"), true, 1000},
		{"pruned", refusal(4444, "pruned history unavailable"), true, 1000},
		{"missing", refusal(-32601, "the method eth_getLogs does not exist"), true, 2},
		{"denied", refusal(-32000, "Unauthorized"), true, 2},
		{"range", refusal(-32000, "block range too large"), false, 0},
		{"dense", refusal(-32000, "query returned more than 10000 results"), false, 0},
		{"topics", refusal(-32000, "exceed max topics"), false, 0},
		{"a wrong question", refusal(-32602, "invalid argument 0"), false, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bad := &counted{node: devnet.NewNode(w, devnet.NodeOptions{})}
			good := &counted{node: devnet.NewNode(w, devnet.NodeOptions{})}
			s, err := ethsource.OpenPool(t.Context(), devnet.Chain(), pool(t, serve(t, bad)+keyPath, serve(t, good)+keyPath), ethsource.Hasty(ethsource.Options{Reads: 1}))
			if err != nil {
				t.Fatal(err)
			}
			bad.instead = func(w http.ResponseWriter, method string) bool {
				if method == "eth_getLogs" {
					tt.refuse(w)
				}
				return method == "eth_getLogs"
			}
			good.reset()
			bad.reset()
			ans, err := s.Transfers(t.Context(), q)
			if !tt.rotates {
				if good.calls["eth_getLogs"] > 0 {
					t.Errorf("the other node was asked %d times", good.calls["eth_getLogs"])
				}
				if len(ans.Unread) == 0 {
					t.Error("nothing is unread")
				}
				for _, u := range ans.Unread {
					if strings.Contains(u.Detail, "secret") {
						t.Errorf("a key: %s", u.Detail)
					}
				}
				return
			}
			if err != nil || len(ans.Unread) > 0 || !reflect.DeepEqual(ans.Transfers, honest.Transfers) {
				t.Errorf("%d transfers, unread %v, %v; want %d", len(ans.Transfers), ans.Unread, err, len(honest.Transfers))
			}
			if n := bad.calls["eth_getLogs"]; n == 0 || n > tt.most {
				t.Errorf("%d calls at the node that refuses, want at most %d", n, tt.most)
			}
		})
	}
}

// TestDead kills the primary while it is read: what is left reads on, and the
// dead one costs no more than the tries of its breaker.
func TestDead(t *testing.T) {
	w := made(devnet.Config{})
	q := someWallets(w)
	node := devnet.NodeOptions{MaxRange: 3000}
	honest, err := open(t, w, node).Transfers(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	dies := &counted{node: devnet.NewNode(w, node)}
	rest := &counted{node: devnet.NewNode(w, node)}
	s, err := ethsource.OpenPool(t.Context(), devnet.Chain(), pool(t, serve(t, dies), serve(t, rest)), ethsource.Hasty(ethsource.Options{Reads: 1}))
	if err != nil {
		t.Fatal(err)
	}
	dead := 0
	n := 0
	dies.instead = func(http.ResponseWriter, string) bool {
		if n++; n > 50 {
			dead++
			panic(http.ErrAbortHandler)
		}
		return false
	}
	ans, err := s.Transfers(t.Context(), q)
	if err != nil || len(ans.Unread) > 0 || !reflect.DeepEqual(ans.Transfers, honest.Transfers) {
		t.Errorf("%d transfers, unread %v, %v; want %d", len(ans.Transfers), ans.Unread, err, len(honest.Transfers))
	}
	// A connection that is cut is tried twice by the transport.
	if dead == 0 || dead > 2*5 {
		t.Errorf("%d requests to a dead node", dead)
	}
}

// TestAllDead ends as with one dead node: what is left is unread, for the
// endpoint's failure, and may be read another time.
func TestAllDead(t *testing.T) {
	w := made(smallWorld)
	q := someWallets(w)
	var servers []*httptest.Server
	var texts []string
	for range 3 {
		srv := httptest.NewServer(devnet.NewNode(w, devnet.NodeOptions{}))
		defer srv.Close()
		servers, texts = append(servers, srv), append(texts, srv.URL+keyPath)
	}
	s, err := ethsource.OpenPool(t.Context(), devnet.Chain(), pool(t, texts...), ethsource.Hasty(ethsource.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	for _, srv := range servers {
		srv.Close()
	}
	ans, err := s.Transfers(t.Context(), q)
	if err == nil || strings.Contains(err.Error(), "secret") || len(ans.Transfers) > 0 || len(ans.Unread) != len(q.Spans) {
		t.Errorf("%d transfers, %d unread, %v", len(ans.Transfers), len(ans.Unread), err)
	}
	for _, u := range ans.Unread {
		if u.Reason != tracer.ReasonSource || strings.Contains(u.Detail, "secret") {
			t.Errorf("unread: %v", u)
		}
	}
	if _, err := ethsource.OpenPool(t.Context(), devnet.Chain(), pool(t, texts...), ethsource.Hasty(ethsource.Options{})); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("Open of dead nodes says %v", err)
	}
}

// TestPoolPin opens pools of which some node is not as the others.
func TestPoolPin(t *testing.T) {
	w := made(smallWorld)
	other := smallWorld
	other.Seed = 77
	liar := made(other)
	always := func(f devnet.Fault) func(devnet.Request) devnet.Fault { return devnet.From(0, f) }
	url := func(w *devnet.World, o devnet.NodeOptions) string { return serve(t, devnet.NewNode(w, o)) + keyPath }
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	behind := w.Head() - 40
	good := func() string { return url(w, devnet.NodeOptions{}) }
	pin := w.Blocks[500]
	for _, tt := range []struct {
		name  string
		list  []string
		pin   *tracer.Block
		want  uint64 // the pinned block
		fails error
		says  string // in a note, or in the error
	}{
		{"all the same", []string{good(), good(), good()}, nil, w.Head() - 64, nil, ""},
		{"one lags", []string{good(), url(w, devnet.NodeOptions{Head: behind})}, nil, behind - 64, nil, ""},
		{"one is far behind", []string{good(), url(w, devnet.NodeOptions{Head: 1000})}, nil, w.Head() - 64, nil, "behind the others, and was left out"},
		{"one does not say what is final", []string{good(), url(w, devnet.NodeOptions{NoFinalized: true})}, nil, w.Head() - devnet.Chain().FinalityDepth, nil, ""},
		{"a dead one", []string{closed.URL + keyPath, good()}, nil, w.Head() - 64, nil, "cannot be reached, and was left out"},
		{"two dead ones", []string{closed.URL + keyPath, closed.URL}, nil, 0, nil, "connect to 127.0.0.1: the endpoint cannot be reached (nothing listens there); check its address and that it runs, or name another; connect to"},
		{"a liar among three", []string{url(liar, devnet.NodeOptions{Head: w.Head()}), good(), good()}, nil, w.Head() - 64, nil, "than the others, and was left out"},
		{"two that disagree", []string{url(liar, devnet.NodeOptions{Head: w.Head()}), good()}, nil, 0, tracer.ErrReorg, "show different blocks"},
		{"another chain", []string{good(), url(w, devnet.NodeOptions{Faults: always(devnet.FaultChainID)})}, nil, 0, tracer.ErrWrongChain, "127.0.0.1#2 serves Ethereum"},
		{"a known block", []string{good(), url(liar, devnet.NodeOptions{})}, &pin, 500, nil, "shows another block 500 than the others"},
		{"a known block that is gone", []string{url(liar, devnet.NodeOptions{}), url(liar, devnet.NodeOptions{})}, &pin, 0, tracer.ErrReorg, "block 500 was"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := ethsource.OpenPool(t.Context(), devnet.Chain(), pool(t, tt.list...), ethsource.Hasty(ethsource.Options{Pin: tt.pin}))
			if tt.fails != nil {
				if !errors.Is(err, tt.fails) || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "secret") {
					t.Errorf("Open says %v, want %q", err, tt.says)
				}
				return
			}
			if err != nil && tt.want == 0 {
				if !strings.Contains(err.Error(), tt.says) || strings.ContainsAny(err.Error(), "\n") || strings.Contains(err.Error(), "secret") {
					t.Errorf("Open says %v, want %q", err, tt.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			notes := strings.Join(s.Notes(), " ")
			if got, _ := s.Pin(t.Context()); got != w.Blocks[tt.want] || !strings.Contains(notes, tt.says) || tt.says == "" && tt.want == w.Head()-64 && notes != "" || strings.Contains(notes, "secret") {
				t.Errorf("pinned at %v, notes %q; want block %d and %q", got, notes, tt.want, tt.says)
			}
			q := someWallets(w)
			q.Spans = q.Spans[:3]
			ans, err := s.Transfers(t.Context(), q)
			if err != nil || len(ans.Unread) > 0 {
				t.Errorf("unread %v, %v", ans.Unread, err)
			}
			covered(t, q, ans, tracer.Answer{Transfers: slices.DeleteFunc(w.Transfers(), func(x tracer.Transfer) bool { return x.Block > tt.want })})
		})
	}
}

// TestTurncoat has a node leave the chain while it is read: what it took part in
// is not believed. One that comes back to another chain after a rest is not
// asked any more.
func TestTurncoat(t *testing.T) {
	w := made(smallWorld)
	q := someWallets(w)
	var mu sync.Mutex
	logs := 0
	turned := &liar{node: devnet.NewNode(w, devnet.NodeOptions{}), lie: func(c call, n int, a *call) {
		mu.Lock()
		defer mu.Unlock()
		if c.Method == "eth_getLogs" {
			logs++
		}
		if c.Method == "eth_chainId" && logs > 0 {
			a.Result = []byte(`"0x1"`)
		}
	}}
	s, err := ethsource.OpenPool(t.Context(), devnet.Chain(), pool(t, serve(t, turned)+keyPath, serve(t, devnet.NewNode(w, devnet.NodeOptions{}))), ethsource.Hasty(ethsource.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	ans, err := s.Transfers(t.Context(), q)
	if !errors.Is(err, tracer.ErrWrongChain) || len(ans.Transfers) > 0 || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "127.0.0.1") {
		t.Errorf("%d transfers, %v", len(ans.Transfers), err)
	}
}

// TestMisnamed names roles and chains that are none.
func TestMisnamed(t *testing.T) {
	for _, tt := range []struct{ list, want string }{
		{"https://a.example,archive=https://b.example,bsc=trace=https://c.example,devnet=https://d.example", ""},
		{"https://a.example,achive=https://b.example/secretkey", "achive is neither a role (archive or trace) nor a chain"},
	} {
		err := ethsource.Misnamed(pool(t, tt.list), "devnet")
		if (err != nil) != (tt.want != "") || err != nil && (!errors.Is(err, tracer.ErrUsage) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret")) {
			t.Errorf("%s: %v, want %q", tt.list, err, tt.want)
		}
	}
}
