package ethsource_test

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/ethsource"

	"github.com/ethereum/go-ethereum/common"
)

// TestFaultsPool reads through three nodes, one of which, another for each seed,
// fails and lies at random. Nearly all answers must be whole, and all true.
func TestFaultsPool(t *testing.T) {
	from, to := 0, *seeds/2
	if *oneSeed >= 0 {
		from, to = *oneSeed, *oneSeed+1
	}
	w := made(smallWorld)
	var mu sync.Mutex
	outcomes := make(map[string]int)
	t.Run("seed", func(t *testing.T) {
		for seed := from; seed < to; seed++ {
			t.Run(strconv.Itoa(seed), func(t *testing.T) {
				t.Parallel()
				outcome := poolFaultRun(t, w, uint64(seed))
				mu.Lock()
				defer mu.Unlock()
				outcomes[outcome]++
			})
		}
	})
	t.Logf("%d answers were whole, %d partial, %d ended in an error", outcomes["whole"], outcomes["partial"], outcomes["error"])
	if outcomes["whole"] < (to-from)*9/10 {
		t.Errorf("only %d of %d answers were whole", outcomes["whole"], to-from)
	}
}

func poolFaultRun(t *testing.T, w *devnet.World, seed uint64) string {
	rng := rand.New(rand.NewPCG(seed, 3))
	var texts []string
	for i, role := range []string{"", "archive=", "trace="} {
		o := devnet.NodeOptions{Delay: time.Millisecond, NoTraces: i == 1, NoTimestamps: rng.IntN(4) == 0}
		if i == int(seed%3) {
			o.Faults = devnet.Sometimes(seed, 5+rng.IntN(20), faults...)
		}
		texts = append(texts, role+serve(t, devnet.NewNode(w, o))+keyPath)
	}
	clean := func(text string) {
		if strings.Contains(text, "secret") {
			t.Errorf("a key: %s", text)
		}
	}
	pin := w.Blocks[w.Head()-500]
	s, err := ethsource.OpenPool(t.Context(), devnet.Chain(), pool(t, texts...), ethsource.Hasty(ethsource.Options{Pin: &pin, Reads: 1 + rng.IntN(8)}))
	if err != nil {
		clean(err.Error())
		return "error"
	}
	clean(strings.Join(s.Notes(), " "))
	var q tracer.Query
	all := w.Transfers()
	seen := make(map[common.Address]bool)
	for range 12 {
		x := all[rng.IntN(len(all))]
		if w.Truth.Owner[x.From].Role != devnet.RoleToken && x.From != (common.Address{}) && !seen[x.From] {
			seen[x.From] = true
			q.Spans = append(q.Spans, tracer.Span{Wallet: x.From, To: pin.Number})
		}
	}
	ans, err := s.Transfers(t.Context(), q)
	var truth []tracer.Transfer
	for _, x := range all {
		if x.Block <= pin.Number {
			truth = append(truth, x)
		}
	}
	covered(t, q, ans, tracer.Answer{Transfers: truth})
	for _, u := range ans.Unread {
		clean(u.Detail)
	}
	switch {
	case err != nil:
		clean(err.Error())
		return "error"
	case len(ans.Unread) > 0:
		return "partial"
	}
	return "whole"
}

// TestKnown opens again with what a first run has learnt: nothing is asked that
// is known, and the answers are the same, also when what is known is wrong.
func TestKnown(t *testing.T) {
	for _, native := range []bool{false, true} {
		config := smallWorld
		config.NativeLogs = native
		w := made(config)
		q := someWallets(w)
		node := &counted{node: devnet.NewNode(w, devnet.NodeOptions{NoTraces: native, MaxRange: 3000})}
		url := serve(t, node) + keyPath
		read := func(known map[string]ethsource.Ability) (*ethsource.Source, tracer.Answer, int) {
			node.reset()
			s, err := ethsource.Open(t.Context(), devnet.Chain(), url, ethsource.Hasty(ethsource.Options{Known: known}))
			if err != nil {
				t.Fatal(err)
			}
			opening := node.total()
			ans, err := s.Transfers(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			return s, ans, opening
		}
		first, want, calls := read(nil)
		known := first.Learned()
		if len(known) != 1 {
			t.Fatalf("%d endpoints are known", len(known))
		}
		for key := range known {
			if !strings.Contains(key, "/127.0.0.1#") || strings.Contains(key, "secret") {
				t.Errorf("an endpoint is known as %s", key)
			}
		}
		_, got, less := read(known)
		if less >= calls || less > 4 || !reflect.DeepEqual(got.Transfers, want.Transfers) || !reflect.DeepEqual(got.Unread, want.Unread) {
			t.Errorf("with what is known %d calls open, without %d; %d and %d transfers", less, calls, len(got.Transfers), len(want.Transfers))
		}
		wrong := make(map[string]ethsource.Ability)
		for key, a := range known {
			told := uint64(3)
			a.Traces, a.Index, a.Archive, a.ByBlock, a.Told, a.Batch = true, true, true, "trace_block", &told, 1
			wrong[key] = a
		}
		s, got, _ := read(wrong)
		if !reflect.DeepEqual(got.Transfers, want.Transfers) || len(got.Unread) != len(want.Unread) {
			t.Errorf("with what is wrong there are %d transfers and %d unread, want %d and %d", len(got.Transfers), len(got.Unread), len(want.Transfers), len(want.Unread))
		}
		for _, a := range s.Learned() {
			if native && a.Traces {
				t.Error("what turned out to be wrong is still known")
			}
		}
		for key, a := range known { // an old one is asked again
			a.Asked -= 2 * 24 * 3600
			wrong[key] = a
		}
		if _, _, again := read(wrong); again != calls {
			t.Errorf("with what is old %d calls open, want %d", again, calls)
		}
	}
}

// TestAgree asks three nodes for transfers, one of which forges what receipts
// hold.
func TestAgree(t *testing.T) {
	w := made(smallWorld)
	all := w.Transfers()
	ts := all[100:160]
	good := func() string { return serve(t, devnet.NewNode(w, devnet.NodeOptions{})) + keyPath }
	forger := &liar{node: devnet.NewNode(w, devnet.NodeOptions{}), lie: func(c call, _ int, a *call) {
		if c.Method == "eth_getTransactionReceipt" {
			a.Result = []byte(strings.ReplaceAll(string(a.Result), `"data":"0x00`, `"data":"0x01`))
		}
	}}
	for _, tt := range []struct {
		name   string
		list   []string
		tokens string // what is said of them; of others nothing
		alone  int
		most   int
	}{
		{"two that agree", []string{good(), good()}, "", 0, 1e6},
		{"one alone", []string{good()}, "", len(ts), 1e6},
		{"no requests left", []string{good(), good()}, "", len(ts), 0},
		{"too few for one", []string{good(), good()}, "", len(ts), 40},
		{"a forger", []string{good(), serve(t, forger) + keyPath, good()}, "the endpoint at 127.0.0.1#2 shows the transaction otherwise", 0, 1e6},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := ethsource.OpenPool(t.Context(), devnet.Chain(), pool(t, tt.list...), ethsource.Hasty(ethsource.Options{}))
			if err != nil {
				t.Fatal(err)
			}
			why, alone, err := s.Agree(t.Context(), ts, tt.most)
			if err != nil || alone != tt.alone {
				t.Fatalf("%d transfers are shown by one alone, want %d; %v", alone, tt.alone, err)
			}
			tokens := 0
			for i, x := range ts {
				want := ""
				if x.Kind == tracer.KindToken {
					want = tt.tokens
					tokens++
				}
				if !strings.HasPrefix(why[i], want) || want == "" && why[i] != "" || strings.Contains(why[i], "secret") {
					t.Errorf("transfer %d (%s): %q, want %q", i, x.Kind, why[i], want)
				}
			}
			if tokens == 0 {
				t.Error("there are no tokens among them")
			}
		})
	}
}

// TestKnownByKey opens one host with two keys, of which one may do more, and a
// node that denies what it will not deny the next time.
func TestKnownByKey(t *testing.T) {
	w := made(smallWorld)
	denied := true
	url := serve(t, &liar{node: devnet.NewNode(w, devnet.NodeOptions{}), lie: func(c call, _ int, a *call) {
		if denied && (c.Method == "trace_filter" || c.Method == "eth_getBlockReceipts") {
			a.Result, a.Error = nil, json.RawMessage(`{"code":-32001,"message":"Unauthorized: upgrade your plan"}`)
		}
	}})
	open := func(path string, known map[string]ethsource.Ability) map[string]ethsource.Ability {
		s, err := ethsource.Open(t.Context(), devnet.Chain(), url+path, ethsource.Hasty(ethsource.Options{Known: known}))
		if err != nil {
			t.Fatal(err)
		}
		return s.Learned()
	}
	if free := open("/free", nil); len(free) > 0 {
		t.Errorf("what was denied is known for good: %v", free)
	}
	denied = false
	one := open("/one", nil)
	for key, a := range one {
		a.Archive, a.Traces = false, false
		one[key] = a
	}
	for key, a := range open("/two", one) {
		if !a.Archive || !a.Traces || one[key].Asked != 0 {
			t.Errorf("with another key %s can do %+v", key, a)
		}
	}
}
