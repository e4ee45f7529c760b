package ethsource_test

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/ethsource"
	"scamtrace/tracer/sourcetest"

	"github.com/ethereum/go-ethereum/common"
)

// made returns a world, and the same one to everybody who asks.
var made = func() func(devnet.Config) *devnet.World {
	var mu sync.Mutex
	worlds := make(map[devnet.Config]*devnet.World)
	return func(c devnet.Config) *devnet.World {
		mu.Lock()
		defer mu.Unlock()
		if worlds[c] == nil {
			worlds[c] = devnet.Generate(c)
		}
		return worlds[c]
	}
}()

func serve(t testing.TB, h http.Handler) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL
}

func open(t testing.TB, w *devnet.World, o devnet.NodeOptions) *ethsource.Source {
	t.Helper()
	return openWith(t, w, o, ethsource.Options{})
}

func openWith(t testing.TB, w *devnet.World, n devnet.NodeOptions, o ethsource.Options) *ethsource.Source {
	t.Helper()
	s, err := ethsource.Open(t.Context(), devnet.Chain(), serve(t, devnet.NewNode(w, n)), ethsource.Hasty(o))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestContract holds the source to the contract of all sources, over nodes of
// many kinds.
func TestContract(t *testing.T) {
	small := devnet.Config{Days: 7, Transfers: 4000, Victims: 2, Syndicates: 1, Noise: 60}
	told := small
	told.NativeLogs = true
	for _, tt := range []struct {
		name  string
		world devnet.Config
		node  devnet.NodeOptions
		opts  ethsource.Options
		blind []tracer.Part
	}{
		{name: "a whole node"},
		{name: "one read at a time", world: small, opts: ethsource.Options{Reads: 1}},
		{name: "sixteen reads at once", world: small, opts: ethsource.Options{Reads: 16}},
		{name: "small ranges", world: small, node: devnet.NodeOptions{MaxRange: 5000, MaxTraceRange: 2000}},
		{name: "few logs at once", world: small, node: devnet.NodeOptions{MaxLogs: 200}},
		{name: "batches of three", world: small, node: devnet.NodeOptions{MaxBatch: 3}},
		{name: "no batches", world: small, node: devnet.NodeOptions{MaxBatch: 1}},
		{name: "no times in logs", world: small, node: devnet.NodeOptions{NoTimestamps: true}},
		{name: "no finalized block", world: small, node: devnet.NodeOptions{NoFinalized: true}},
		{name: "native coin in logs", world: told},
		{name: "native coin in logs and no traces", world: told, node: devnet.NodeOptions{NoTraces: true}},
		{name: "no traces", world: small, node: devnet.NodeOptions{NoTraces: true, NoArchive: true}, blind: []tracer.Part{tracer.PartNative, tracer.PartInternal}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := made(tt.world)
			sourcetest.Test(t, w, openWith(t, w, tt.node, tt.opts), sourcetest.Options{Blind: tt.blind})
		})
	}
}

// TestTransfers asks for random wallets and spans and wants exactly what moved.
func TestTransfers(t *testing.T) {
	w := made(devnet.Config{})
	all := w.Transfers()
	for _, tt := range []struct {
		name     string
		opts     devnet.NodeOptions
		internal bool // internal transfers can be seen
		span     uint64
	}{
		{"a whole node", devnet.NodeOptions{}, true, 1 << 62},
		{"small ranges", devnet.NodeOptions{MaxRange: 5000, MaxTraceRange: 20_000}, true, 1 << 62},
		{"few logs at once", devnet.NodeOptions{MaxLogs: 500}, true, 1 << 62},
		{"no times in logs", devnet.NodeOptions{NoTimestamps: true}, true, 1 << 62},
		{"no traces", devnet.NodeOptions{NoTraces: true}, false, 300},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := open(t, w, tt.opts)
			pinned, err := s.Pin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			rng := rand.New(rand.NewPCG(1, 1))
			var q tracer.Query
			in := make(map[common.Address]tracer.Span)
			for range 40 {
				x := all[rng.IntN(len(all)-2000)]
				a, from := x.From, x.Block
				// The wrapped coin's own contract is no wallet: nobody asks for it.
				if a == (common.Address{}) || w.Truth.Owner[a].Role == devnet.RoleToken {
					continue
				}
				in[a] = tracer.Span{Wallet: a, From: from, To: min(from+rng.Uint64N(min(tt.span, pinned.Number)), pinned.Number)}
			}
			for _, p := range in {
				q.Spans = append(q.Spans, p)
			}
			ans, err := s.Transfers(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			has := func(a common.Address, b uint64) bool { p, ok := in[a]; return ok && p.From <= b && b <= p.To }
			key := func(ts []tracer.Transfer) []string {
				var out []string
				for i := range ts {
					x := &ts[i]
					if !has(x.From, x.Block) && !has(x.To, x.Block) || x.Kind == tracer.KindInternal && !tt.internal {
						continue
					}
					out = append(out, strings.Join([]string{x.Tx.Hex(), x.Kind.String(), x.Position, x.Asset.String(), x.From.Hex(), x.To.Hex(), x.Amount.Dec()}, " "))
				}
				slices.Sort(out)
				return out
			}
			got, want := key(ans.Transfers), key(all)
			for _, x := range got {
				if _, ok := slices.BinarySearch(want, x); !ok {
					t.Errorf("got a transfer that did not happen: %s", x)
				}
			}
			for _, x := range want {
				if _, ok := slices.BinarySearch(got, x); !ok {
					t.Errorf("missed %s", x)
				}
			}
			if len(want) < 20 {
				t.Errorf("only %d transfers to compare", len(want))
			}
			if blind := slices.ContainsFunc(ans.Unread, func(u tracer.Unread) bool { return u.Part == tracer.PartInternal }); blind == tt.internal {
				t.Errorf("internal transfers reported as unread: %v, want %v", blind, !tt.internal)
			}
			if others := slices.DeleteFunc(ans.Unread, func(u tracer.Unread) bool { return u.Part == tracer.PartInternal }); len(others) > 0 {
				t.Errorf("unread: %v", others)
			}
		})
	}
}

func TestWrongChain(t *testing.T) {
	w := made(devnet.Config{})
	srv := httptest.NewServer(devnet.NewNode(w, devnet.NodeOptions{}))
	defer srv.Close()
	eth, _ := tracer.ChainNamed("ethereum")
	_, err := ethsource.Open(t.Context(), eth, srv.URL+"/secret-key", ethsource.Options{})
	if !errors.Is(err, tracer.ErrWrongChain) || !errors.Is(err, tracer.ErrUsage) || strings.Contains(err.Error(), "secret-key") {
		t.Errorf("Open says %v", err)
	}
	for _, bad := range []string{"", "ftp://x", "not a url", "http://"} {
		if _, err := ethsource.Open(t.Context(), eth, bad, ethsource.Options{}); !errors.Is(err, tracer.ErrUsage) {
			t.Errorf("Open(%q) says %v", bad, err)
		}
	}
}

func TestBudget(t *testing.T) {
	w := made(devnet.Config{})
	s := open(t, w, devnet.NodeOptions{MaxRange: 500})
	v := w.Truth.Victims[0]
	ans, err := s.Transfers(t.Context(), tracer.Query{MaxRequests: 10, Spans: []tracer.Span{{Wallet: v.Seeds[0], To: 1 << 40}}})
	if err != nil || ans.Requests > 10 || len(ans.Unread) == 0 || ans.Unread[0].Reason != tracer.ReasonBudget {
		t.Errorf("%d requests, unread %v, %v; want at most 10 and the rest unread for the budget", ans.Requests, ans.Unread, err)
	}
}

func TestTransactions(t *testing.T) {
	w := made(devnet.Config{})
	s := open(t, w, devnet.NodeOptions{})
	var txs []common.Hash
	for _, v := range w.Truth.Victims {
		for _, p := range v.Payments {
			txs = append(txs, p.Tx)
		}
	}
	ans, err := s.Transactions(t.Context(), txs, 0)
	if err != nil {
		t.Fatal(err)
	}
	var want []tracer.TransferID
	for _, x := range w.Transfers() {
		if slices.Contains(txs, x.Tx) {
			want = append(want, x.ID())
		}
	}
	var got []tracer.TransferID
	for _, x := range ans.Transfers {
		got = append(got, x.ID())
	}
	if !slices.Equal(got, want) {
		t.Errorf("Transactions gives %d transfers, want %d:\n%v\n%v", len(got), len(want), got, want)
	}
	if _, err := s.Transactions(t.Context(), []common.Hash{{1}}, 0); !errors.Is(err, tracer.ErrNotFound) {
		t.Errorf("an unknown transaction: %v", err)
	}
}

// TestPinned opens again at the block of an earlier run.
func TestPinned(t *testing.T) {
	w := made(devnet.Config{})
	srv := httptest.NewServer(devnet.NewNode(w, devnet.NodeOptions{}))
	defer srv.Close()
	at := w.Blocks[1000]
	s, err := ethsource.Open(t.Context(), devnet.Chain(), srv.URL, ethsource.Options{Pin: &at})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Pin(t.Context()); err != nil || got != at {
		t.Errorf("Pin() = %v, %v, want %v", got, err, at)
	}
	other := at
	other.Hash[0] ^= 1
	if _, err := ethsource.Open(t.Context(), devnet.Chain(), srv.URL, ethsource.Options{Pin: &other}); !errors.Is(err, tracer.ErrReorg) || errors.Is(err, tracer.ErrUsage) {
		t.Errorf("a block that is no longer there: %v", err)
	}
	other = tracer.Block{Number: w.Head() + 1}
	if _, err := ethsource.Open(t.Context(), devnet.Chain(), srv.URL, ethsource.Options{Pin: &other}); err == nil || errors.Is(err, tracer.ErrReorg) {
		t.Errorf("a block that the node does not have: %v", err)
	}
}

// TestOldReceipts has receipts as they were before London and Byzantium, which
// say neither what gas cost nor whether the transaction worked.
func TestOldReceipts(t *testing.T) {
	w := made(devnet.Config{})
	q := someWallets(w)
	honest, err := open(t, w, devnet.NodeOptions{}).Transfers(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range []devnet.NodeOptions{{}, {NoTraces: true}} {
		l := &liar{node: devnet.NewNode(w, node), lie: func(c call, _ int, a *call) {
			if c.Method == "eth_getTransactionReceipt" && len(a.Result) > 10 {
				a.Result = rows(t, []byte("["+string(a.Result)+"]"), func(l []map[string]any) []map[string]any {
					delete(l[0], "effectiveGasPrice")
					delete(l[0], "status")
					return l
				})
				a.Result = a.Result[1 : len(a.Result)-1]
			}
		}}
		s, err := ethsource.Open(t.Context(), devnet.Chain(), serve(t, l), ethsource.Hasty(ethsource.Options{}))
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Transfers(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		covered(t, q, got, honest)
		if !node.NoTraces && len(got.Transfers) != len(honest.Transfers) {
			t.Errorf("%d transfers, want %d", len(got.Transfers), len(honest.Transfers))
		}
	}
}
