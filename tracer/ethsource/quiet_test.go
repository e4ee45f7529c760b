package ethsource_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/ethsource"

	"github.com/ethereum/go-ethereum/common"
)

// everybody are the addresses of a world, but for tokens and those nobody has.
func everybody(w *devnet.World) (who []common.Address) {
	for _, a := range slices.SortedFunc(maps.Keys(w.Truth.Owner), common.Address.Cmp) {
		if w.Truth.Owner[a].Role != devnet.RoleToken && a != (common.Address{}) {
			who = append(who, a)
		}
	}
	return who
}

// openAt opens a node at a block of the world.
func openAt(t testing.TB, w *devnet.World, url string, block uint64) *ethsource.Source {
	t.Helper()
	s, err := ethsource.Open(t.Context(), devnet.Chain(), url, ethsource.Hasty(ethsource.Options{Pin: &w.Blocks[block]}))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// moved are the wallets that have transfers after a block and up to another.
func moved(w *devnet.World, after, to uint64) map[common.Address]bool {
	m := make(map[common.Address]bool)
	for _, t := range w.Transfers() {
		if after < t.Block && t.Block <= to {
			m[t.From], m[t.To] = true, true
		}
	}
	return m
}

// TestQuiet asks everybody of a world between many pairs of blocks. Who is
// called quiet must have no transfer; who has none must be called so wherever
// the node shows enough to tell.
func TestQuiet(t *testing.T) {
	small := devnet.Config{Days: 7, Transfers: 4000, Victims: 2, Syndicates: 1, Noise: 60}
	told := small
	told.NativeLogs = true
	for _, tt := range []struct {
		name  string
		world devnet.Config
		node  devnet.NodeOptions
		sees  bool   // also what contracts do
		width uint64 // blocks of eth_getLogs
	}{
		{name: "a whole node", world: small, sees: true},
		{name: "small ranges", world: small, node: devnet.NodeOptions{MaxRange: 999, MaxTraceRange: 5000}, sees: true, width: 1000},
		{name: "few logs, batches of three", world: small, node: devnet.NodeOptions{MaxLogs: 100, MaxBatch: 3}, sees: true},
		{name: "no traces", world: small, node: devnet.NodeOptions{NoTraces: true}},
		{name: "native coin in logs and no traces", world: told, node: devnet.NodeOptions{NoTraces: true, NoTimestamps: true}, sees: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := made(tt.world)
			url := serve(t, devnet.NewNode(w, tt.node))
			who := everybody(w)
			var quiet, contracts, still, asked int
			for _, p := range [][2]uint64{{100, 101}, {9000, 9300}, {9500, 9501}, {20_000, 20_100}, {20_000, 30_000}, {40_000, 48_000}, {12_000, w.Head()}} {
				states, n, err := openAt(t, w, url, p[0]).Watch(t.Context(), who, 0)
				if err != nil || n < 2*len(who) || n > 3*len(who)+3 && tt.node.MaxBatch == 0 {
					t.Fatalf("Watch: %d wallets, %d requests, %v", len(who), n, err)
				}
				src := openAt(t, w, url, p[1])
				got, n, err := src.Quiet(t.Context(), p[0], states, 0)
				if err != nil {
					t.Fatal(err)
				}
				asked += n
				did := moved(w, p[0], p[1])
				for i, a := range who {
					plain := states[i].Plain
					switch {
					case got[i] && did[a]:
						t.Errorf("blocks %d to %d: %s (%s) is called quiet", p[0]+1, p[1], a, w.Truth.Owner[a].Role)
					case !got[i] && !did[a] && (tt.sees || plain):
						t.Errorf("blocks %d to %d: %s (%s) did nothing and is not called quiet", p[0]+1, p[1], a, w.Truth.Owner[a].Role)
					}
					if !did[a] {
						still++
					}
					if got[i] {
						quiet++
						if !plain {
							contracts++
						}
					}
				}
				windows := uint64(1)
				if tt.width > 0 {
					windows = (p[1]-p[0]-1)/tt.width + 1
				}
				if most := 2*len(who) + 2*int(windows)*((len(who)-1)/1000+1) + 12; n > most && tt.node.MaxBatch+tt.node.MaxLogs == 0 && tt.node.MaxTraceRange == 0 {
					t.Errorf("blocks %d to %d: %d requests for %d wallets and %d windows, want at most %d", p[0]+1, p[1], n, len(who), windows, most)
				}
			}
			t.Logf("%d wallets, %d requests for 7 checks: %d of %d quiet, %d of them with code", len(who), asked, quiet, still, contracts)
			if quiet < still/2 || still == 7*len(who) || tt.sees && contracts == 0 {
				t.Error("the test shows little")
			}
		})
	}
}

// TestQuietReads: who is called quiet depends neither on how many reads run at
// once nor on the order of the question.
func TestQuietReads(t *testing.T) {
	w := made(devnet.Config{})
	url := serve(t, devnet.NewNode(w, devnet.NodeOptions{MaxRange: 3000}))
	states, _, err := openAt(t, w, url, 60_000).Watch(t.Context(), everybody(w)[:300], 0)
	if err != nil {
		t.Fatal(err)
	}
	want, n, err := openAt(t, w, url, 70_000).Quiet(t.Context(), 60_000, states, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, reads := range []int{1, 16} {
		s, err := ethsource.Open(t.Context(), devnet.Chain(), url, ethsource.Hasty(ethsource.Options{Pin: &w.Blocks[70_000], Reads: reads}))
		if err != nil {
			t.Fatal(err)
		}
		slices.Reverse(states)
		slices.Reverse(want)
		got, m, err := s.Quiet(t.Context(), 60_000, states, 0)
		if err != nil || m != n || !slices.Equal(got, want) {
			t.Errorf("%d reads at once: %d requests, want %d; %v", reads, m, n, err)
		}
	}
}

// TestQuietRefused has nodes that fail, lie or end up on another chain while
// they are asked, and budgets that are too small: nobody is called quiet then.
func TestQuietRefused(t *testing.T) {
	w := made(devnet.Config{})
	who := everybody(w)[:200]
	const after, to = 60_000, 61_000
	states, _, err := openAt(t, w, serve(t, devnet.NewNode(w, devnet.NodeOptions{})), after).Watch(t.Context(), who, 0)
	if err != nil {
		t.Fatal(err)
	}
	did := moved(w, after, to)
	answer := func(text string) func(*testing.T, json.RawMessage) json.RawMessage {
		return func(*testing.T, json.RawMessage) json.RawMessage { return json.RawMessage(text) }
	}
	for _, tt := range []struct {
		name   string
		node   devnet.NodeOptions
		method string
		lie    func(*testing.T, json.RawMessage) json.RawMessage
		multi  bool // Multicall3 is there
		most   int
		want   error
		some   bool // are called quiet all the same
	}{
		{name: "an honest node", some: true},
		{name: "with Multicall3", multi: true, some: true},
		{name: "a budget that is just enough", most: 2*len(who) + 1 + 2 + 2, some: true},
		{name: "a budget that ends in the midst", most: 2*len(who) - 20, want: tracer.ErrBudget},
		{name: "a budget that is too small from the beginning", most: len(who) + 4, want: tracer.ErrBudget},
		{name: "traces, and a budget for these", node: devnet.NodeOptions{MaxBatch: 1000}, most: len(who) + 1 + 2 + 1 + 2, some: true},
		{name: "null for traces", node: devnet.NodeOptions{MaxBatch: 1000}, method: "trace_filter", lie: answer("null"), some: true},
		{name: "a balance too many", multi: true, method: "eth_call", lie: answer(`"0x1234"`), some: true},
		{name: "no budget", most: 1, want: tracer.ErrBudget},
		{name: "null for nonces", method: "eth_getTransactionCount", lie: answer("null")},
		{name: "null for balances", method: "eth_getBalance", lie: answer("null")},
		{name: "null for logs", method: "eth_getLogs", lie: answer("null")},
		{name: "logs of nobody", method: "eth_getLogs", lie: answer(`[{}]`)},
		{name: "another chain", method: "eth_chainId", lie: answer(`"0x1"`), want: tracer.ErrWrongChain},
		{name: "another block", method: "eth_getBlockByNumber", lie: func(_ *testing.T, r json.RawMessage) json.RawMessage {
			var x map[string]any
			if json.Unmarshal(r, &x) == nil {
				x["hash"] = common.Hash{1}
				r, _ = json.Marshal(x)
			}
			return r
		}, want: tracer.ErrReorg},
		{name: "nonces that fall", method: "eth_getTransactionCount", lie: answer(`"0x0"`), some: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.node.NoTraces = tt.node.MaxBatch == 0
			l := &liar{node: devnet.NewNode(w, tt.node), lie: func(call, int, *call) {}}
			s := openAt(t, w, serve(t, l), to)
			l.lie = func(c call, _ int, answer *call) {
				switch {
				case c.Method == tt.method:
					answer.Result = tt.lie(t, answer.Result)
				case c.Method == "eth_call" && !tt.multi:
					answer.Result, answer.Error = json.RawMessage(`"0x"`), nil
				}
			}
			got, n, err := s.Quiet(t.Context(), after, states, tt.most)
			if !errors.Is(err, tt.want) || tt.most > 0 && n > tt.most {
				t.Errorf("%d requests of %d; it says %v, want %v", n, tt.most, err, tt.want)
			}
			if slices.Contains(got, true) != tt.some {
				t.Errorf("somebody is called quiet: %v, want %v", !tt.some, tt.some)
			}
			for i, a := range who {
				if got[i] && did[a] {
					t.Errorf("%s is called quiet", a)
				}
			}
		})
	}
	t.Run("a node that is gone", func(t *testing.T) {
		node := devnet.NewNode(w, devnet.NodeOptions{})
		url := serve(t, node)
		s := openAt(t, w, url, to)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if got, _, err := s.Quiet(ended, after, states, 0); !errors.Is(err, context.Canceled) || slices.Contains(got, true) {
			t.Errorf("interrupted, it says %v", err)
		}
		if _, _, err := s.Watch(ended, who, 0); !errors.Is(err, context.Canceled) {
			t.Errorf("interrupted, Watch says %v", err)
		}
		if _, n, err := s.Watch(t.Context(), who, 3*len(who)); !errors.Is(err, tracer.ErrBudget) || n > 0 {
			t.Errorf("without the budget Watch spends %d and says %v", n, err)
		}
	})
	// Where nothing lies between, there is nothing to ask.
	s := openAt(t, w, serve(t, devnet.NewNode(w, devnet.NodeOptions{})), to)
	if got, n, err := s.Quiet(t.Context(), to, states, 0); err != nil || n > 0 || slices.Contains(got, false) {
		t.Errorf("at the same block it takes %d requests and says %v", n, err)
	}
}
