package ethsource_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/ethsource"
)

// TestUnchecked has nodes that cannot show balances: what they tell is read,
// and said to be their word alone.
func TestUnchecked(t *testing.T) {
	w := made(devnet.Config{})
	q := someWallets(w)
	honest, err := open(t, w, devnet.NodeOptions{}).Transfers(t.Context(), q)
	if err != nil || len(honest.Unchecked) > 0 {
		t.Fatal(honest.Unchecked, err)
	}
	l := &liar{node: devnet.NewNode(w, devnet.NodeOptions{}), lie: func(c call, _ int, a *call) {
		if c.Method == "eth_call" {
			a.Result, a.Error = nil, json.RawMessage(`{"code":-32601,"message":"the method eth_call does not exist/is not available"}`)
		}
	}}
	s, err := ethsource.Open(t.Context(), devnet.Chain(), serve(t, l), ethsource.Hasty(ethsource.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	ans, err := s.Transfers(t.Context(), q)
	if err != nil || len(ans.Unread) > 0 || !reflect.DeepEqual(ans.Transfers, honest.Transfers) {
		t.Errorf("without eth_call: %d transfers, want %d; unread %v, %v", len(ans.Transfers), len(honest.Transfers), ans.Unread, err)
	}
	said := make(map[tracer.Span]tracer.Unread)
	for _, u := range ans.Unchecked {
		said[u.Span] = u
	}
	for _, p := range q.Spans {
		p.To = min(p.To, w.Head()-64)
		if u := said[p]; u.Reason != tracer.ReasonSource || u.Detail != "the endpoint runs no calls" {
			t.Errorf("of %v it is said that it is unchecked: %v", p, u)
		}
	}

	// A budget that is enough to read with is not to ask for each balance.
	q.MaxRequests = honest.Requests * 3 / 2
	ans, err = open(t, w, devnet.NodeOptions{NoMulticall: true}).Transfers(t.Context(), q)
	if err != nil || ans.Requests > q.MaxRequests || len(ans.Unread) > 0 || !reflect.DeepEqual(ans.Transfers, honest.Transfers) {
		t.Errorf("%d requests of %d, %d transfers, unread %v, %v", ans.Requests, q.MaxRequests, len(ans.Transfers), ans.Unread, err)
	}
	if len(ans.Unchecked) == 0 || ans.Unchecked[0].Reason != tracer.ReasonBudget {
		t.Errorf("unchecked with a small budget: %v", ans.Unchecked)
	}

	old := open(t, w, devnet.NodeOptions{NoArchive: true})
	q.MaxRequests = 0
	if ans, err := old.Transfers(t.Context(), q); err != nil || len(ans.Unchecked) > 0 || !strings.Contains(strings.Join(old.Notes(), " "), "no old balances") {
		t.Errorf("a node without old states: unchecked %v, notes %q, %v", ans.Unchecked, old.Notes(), err)
	}
}

// TestChecksCost compares what it takes to read wallets whose spans have nothing
// in common with what it takes without comparing.
func TestChecksCost(t *testing.T) {
	w := made(devnet.Config{})
	q := someWallets(w)
	calls := 0
	l := &liar{node: devnet.NewNode(w, devnet.NodeOptions{}), lie: func(c call, _ int, _ *call) {
		if c.Method == "eth_call" {
			calls++
		}
	}}
	s, err := ethsource.Open(t.Context(), devnet.Chain(), serve(t, l), ethsource.Hasty(ethsource.Options{Reads: 1}))
	if err != nil {
		t.Fatal(err)
	}
	ans, err := s.Transfers(t.Context(), q)
	if err != nil || len(ans.Unread) > 0 {
		t.Fatal(ans.Unread, err)
	}
	if calls == 0 || calls*20 > ans.Requests {
		t.Errorf("%d of %d requests compare balances, want at most a twentieth", calls, ans.Requests)
	}
	first := calls
	if _, err := s.Transfers(t.Context(), q); err != nil || calls > first {
		t.Errorf("%d balances that are known are asked for again, %v", calls-first, err)
	}
}

// TestPurse has a chain without Multicall3, where each balance is a call: all
// calls are counted, and none is made beyond the budget.
func TestPurse(t *testing.T) {
	w := made(smallWorld)
	q := someWallets(w)
	node := &counted{node: devnet.NewNode(w, devnet.NodeOptions{NoMulticall: true})}
	url := serve(t, node)
	read := func(most int) tracer.Answer {
		s, err := ethsource.Open(t.Context(), devnet.Chain(), url, ethsource.Hasty(ethsource.Options{Reads: 1}))
		if err != nil {
			t.Fatal(err)
		}
		node.reset()
		q.MaxRequests = most
		ans, err := s.Transfers(t.Context(), q)
		if calls := node.total(); err != nil || calls != ans.Requests || most > 0 && calls > most {
			t.Errorf("of %d calls %d were made, %d are counted, %v", most, calls, ans.Requests, err)
		}
		return ans
	}
	all := read(0).Requests
	for i := range 12 {
		read(all/2 + i*all/24)
	}
}

// TestSmallPurse has many nodes, whose pinned block must be looked at in the end:
// what that leaves of a budget may be nothing.
func TestSmallPurse(t *testing.T) {
	w := made(smallWorld)
	node := &counted{node: devnet.NewNode(w, devnet.NodeOptions{})}
	url := serve(t, node)
	s, err := ethsource.OpenPool(t.Context(), devnet.Chain(), pool(t, url, url, url, url, url), ethsource.Hasty(ethsource.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	q := someWallets(w)
	for q.MaxRequests = 1; q.MaxRequests < 16; q.MaxRequests++ {
		node.reset()
		ans, err := s.Transfers(t.Context(), q)
		if calls := node.total(); err != nil || calls > q.MaxRequests || ans.Requests != calls {
			t.Errorf("of %d calls %d were made, %d are counted, %v", q.MaxRequests, calls, ans.Requests, err)
		}
	}
}
