package ethsource_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/ethsource"

	"github.com/ethereum/go-ethereum/common"
)

// TestReads asks the same with different numbers of reads at once: answers,
// what is reported as unread and what is spent must be the same, also where a
// budget ends in the midst.
func TestReads(t *testing.T) {
	w := made(devnet.Config{})
	q := someWallets(w)
	q.Spans = q.Spans[:25]
	for _, tt := range []struct {
		name string
		node devnet.NodeOptions
	}{
		{"unlimited", devnet.NodeOptions{}},
		{"small ranges", devnet.NodeOptions{MaxRange: 3000, MaxTraceRange: 1000}},
		{"few logs at once", devnet.NodeOptions{MaxLogs: 60, NoTimestamps: true}},
		{"no traces", devnet.NodeOptions{NoTraces: true, MaxRange: 20_000}},
	} {
		for _, budget := range []int{0, 2, 7, 60, 200, 400} {
			t.Run(tt.name+"/"+strconv.Itoa(budget), func(t *testing.T) {
				var first tracer.Answer
				for _, reads := range []int{1, 16, 3} {
					s := openWith(t, w, tt.node, ethsource.Options{Reads: reads})
					q.MaxRequests = budget
					ans, err := s.Transfers(t.Context(), q)
					if err != nil {
						t.Fatal(err)
					}
					if budget > 0 && ans.Requests > budget {
						t.Errorf("%d reads at once: %d requests of %d", reads, ans.Requests, budget)
					}
					if reads == 1 {
						first = ans
						continue
					}
					if !reflect.DeepEqual(ans.Transfers, first.Transfers) || !reflect.DeepEqual(ans.Unread, first.Unread) {
						t.Errorf("%d reads at once: %d transfers, %d unread; one at a time: %d and %d", reads, len(ans.Transfers), len(ans.Unread), len(first.Transfers), len(first.Unread))
					}
					if budget == 0 && ans.Requests != first.Requests {
						t.Errorf("%d reads at once: %d requests, one at a time %d", reads, ans.Requests, first.Requests)
					}
				}
			})
		}
	}
}

// TestBudgetCovers spends a growing budget: what is read is right, and a larger
// budget never reads less far.
func TestBudgetCovers(t *testing.T) {
	w := made(devnet.Config{})
	q := someWallets(w)
	node := devnet.NodeOptions{MaxRange: 2000, MaxTraceRange: 2000}
	honest, err := open(t, w, node).Transfers(t.Context(), q)
	if err != nil || len(honest.Unread) > 0 {
		t.Fatal(honest.Unread, err)
	}
	last := -1
	for budget := 3; budget < honest.Requests+200; budget += 97 {
		q.MaxRequests = budget
		ans, err := open(t, w, node).Transfers(t.Context(), q)
		if err != nil || ans.Requests > budget {
			t.Fatalf("%d requests of %d, %v", ans.Requests, budget, err)
		}
		covered(t, q, ans, honest)
		for _, u := range ans.Unread {
			if u.Reason != tracer.ReasonBudget || u.Part != tracer.PartAll {
				t.Fatalf("unread: %v", u)
			}
		}
		if len(ans.Transfers) < last {
			t.Errorf("with %d requests %d transfers, with fewer %d", budget, len(ans.Transfers), last)
		}
		last = len(ans.Transfers)
	}
	if last != len(honest.Transfers) {
		t.Errorf("with all it takes %d transfers, want %d", last, len(honest.Transfers))
	}
}

// TestWindows counts the requests that it takes to find out how much an
// endpoint gives at once, and to read on with that.
func TestWindows(t *testing.T) {
	w := made(devnet.Config{})
	v := w.Truth.Victims[0]
	q := tracer.Query{Spans: []tracer.Span{{Wallet: v.Seeds[0], To: 100_000}}}
	for _, tt := range []struct {
		name   string
		node   devnet.NodeOptions
		method string
		most   int // requests of the method in the first and in a second reading
		again  int
	}{
		{"unlimited", devnet.NodeOptions{}, "eth_getLogs", 2, 2},
		{"a limit that is named", devnet.NodeOptions{MaxRange: 5000}, "eth_getLogs", 2 + 42, 42},
		{"a limit of traces", devnet.NodeOptions{MaxTraceRange: 5000}, "trace_filter", 1 + 1 + 21, 21},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var n atomic.Int64
			l := &liar{node: devnet.NewNode(w, tt.node), lie: func(c call, _ int, _ *call) {
				if c.Method == tt.method {
					n.Add(1)
				}
			}}
			s, err := ethsource.Open(t.Context(), devnet.Chain(), serve(t, l), ethsource.Hasty(ethsource.Options{}))
			if err != nil {
				t.Fatal(err)
			}
			for _, most := range []int{tt.most, tt.again} {
				if ans, err := s.Transfers(t.Context(), q); err != nil || len(ans.Unread) > 0 {
					t.Fatal(ans.Unread, err)
				}
				if got := int(n.Swap(0)); got > most {
					t.Errorf("%d calls of %s, want at most %d", got, tt.method, most)
				}
			}
		})
	}
}

// TestGroups asks an endpoint that takes few wallets at once.
func TestGroups(t *testing.T) {
	w := made(devnet.Config{})
	q := someWallets(w)
	honest, err := open(t, w, devnet.NodeOptions{}).Transfers(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	var asked, refused atomic.Int64
	l := &liar{node: devnet.NewNode(w, devnet.NodeOptions{}), lie: func(c call, _ int, a *call) {
		if c.Method != "eth_getLogs" {
			return
		}
		var f struct{ Topics []json.RawMessage }
		json.Unmarshal(c.Params[0], &f)
		asked.Add(1)
		if n := strings.Count(string(f.Topics[len(f.Topics)-1]), "0x"); n > 20 {
			refused.Add(1)
			a.Result, a.Error = nil, json.RawMessage(`{"code":-32602,"message":"exceed max topics"}`)
		}
	}}
	s, err := ethsource.Open(t.Context(), devnet.Chain(), serve(t, l), ethsource.Hasty(ethsource.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		got, err := s.Transfers(t.Context(), q)
		if err != nil || !reflect.DeepEqual(got.Transfers, honest.Transfers) || len(got.Unread) > 0 {
			t.Fatalf("%d transfers, want %d; unread %v, %v", len(got.Transfers), len(honest.Transfers), got.Unread, err)
		}
		if i == 0 && refused.Swap(0) == 0 || i == 1 && refused.Load() > 0 {
			t.Errorf("reading %d was refused %d times", i, refused.Load())
		}
	}
}

// TestDense has one of several groups of wallets with more logs than the node
// hands out: that one is read in two parts, and no other is asked again. When
// all have, the blocks are.
func TestDense(t *testing.T) {
	w, levels := devnet.Spread(1, 2600, 2)
	wallets := slices.SortedFunc(slices.Values(levels[1]), common.Address.Cmp)
	var q tracer.Query
	group := make(map[common.Address]int)
	for i, a := range wallets {
		group[a] = 1 + i/1000
		q.Spans = append(q.Spans, tracer.Span{Wallet: a, To: 1 << 40})
	}
	logs := make([]int, 8) // by group and direction
	for _, x := range w.Transfers() {
		if x.Kind != tracer.KindToken {
			continue
		}
		logs[2*group[x.From]]++
		logs[2*group[x.To]+1]++
	}
	most := slices.Max(logs[2:])
	full := devnet.NodeOptions{NoTraces: true, NoArchive: true} // then it is all logs
	honest, err := open(t, w, full).Transfers(t.Context(), q)
	if err != nil || honest.Requests != 6+2 {
		t.Fatalf("%d requests, %v; want three groups in two directions, and a look at the chain", honest.Requests, err)
	}
	for _, tt := range []struct{ cap, least, most int }{
		{most, 8, 8},
		{most - 1, 10, 10},
		{most / 10, 60, 200},
	} {
		full.MaxLogs = tt.cap
		got, err := open(t, w, full).Transfers(t.Context(), q)
		if err != nil || !reflect.DeepEqual(got.Transfers, honest.Transfers) || !reflect.DeepEqual(got.Unread, honest.Unread) {
			t.Errorf("%d logs in an answer: %d transfers, want %d; %v", tt.cap, len(got.Transfers), len(honest.Transfers), err)
		}
		if got.Requests < tt.least || got.Requests > tt.most {
			t.Errorf("%d logs in an answer: %d requests, want %d to %d", tt.cap, got.Requests, tt.least, tt.most)
		}
	}
}
