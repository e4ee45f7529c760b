package walk_test

import (
	"context"
	"fmt"
	"slices"
	"sort"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
)

// listSource is a Source over a list of transfers: the plainest there is.
type listSource struct {
	ts        []tracer.Transfer // chain order
	pinned    tracer.Block
	contracts map[common.Address]bool
	noTraces  bool // hides internal transfers
	fail      int  // fails from this call on, when more than zero
	calls     int
}

func newListSource(ts []tracer.Transfer, pinned tracer.Block) *listSource {
	return &listSource{ts: ts, pinned: pinned}
}

func (s *listSource) Pin(context.Context) (tracer.Block, error) { return s.pinned, nil }

func (s *listSource) BlockAt(_ context.Context, time uint64) (uint64, error) {
	i := sort.Search(len(s.ts), func(i int) bool { return s.ts[i].Time >= time })
	if i == len(s.ts) {
		return s.pinned.Number + 1, nil
	}
	return s.ts[i].Block, nil
}

func (s *listSource) Transfers(ctx context.Context, q tracer.Query) (tracer.Answer, error) {
	s.calls++
	var ans tracer.Answer
	if s.fail > 0 && s.calls >= s.fail {
		for _, p := range q.Spans {
			ans.Unread = append(ans.Unread, tracer.Unread{Span: p, Reason: tracer.ReasonSource, Detail: "the node is gone"})
		}
		return ans, fmt.Errorf("the node is gone")
	}
	at := make(map[common.Address][]tracer.Span)
	for _, p := range q.Spans {
		at[p.Wallet] = append(at[p.Wallet], p)
	}
	n := make(map[common.Address]int)
	in := func(a common.Address, t *tracer.Transfer) bool {
		if q.MaxTransfers > 0 && n[a] > q.MaxTransfers {
			return false
		}
		ok := slices.ContainsFunc(at[a], func(p tracer.Span) bool { return p.From <= t.Block && t.Block <= p.To })
		if ok {
			if n[a]++; q.MaxTransfers > 0 && n[a] > q.MaxTransfers {
				p := at[a][0]
				ans.Unread = append(ans.Unread, tracer.Unread{Span: tracer.Span{Wallet: a, From: t.Block, To: p.To}, Reason: tracer.ReasonCrowded})
			}
		}
		return ok
	}
	for i := range s.ts {
		t := &s.ts[i]
		if s.noTraces && t.Kind == tracer.KindInternal {
			continue
		}
		a, b := in(t.From, t), t.To != t.From && in(t.To, t)
		if a || b {
			ans.Transfers = append(ans.Transfers, *t)
		}
	}
	if s.noTraces {
		for _, p := range q.Spans {
			ans.Unread = append(ans.Unread, tracer.Unread{Span: p, Part: tracer.PartInternal, Reason: tracer.ReasonNoTraces, Detail: "this list has no internal transfers"})
		}
	}
	ans.Requests = 2
	return ans, nil
}

func (s *listSource) Transactions(_ context.Context, txs []common.Hash) (tracer.Answer, error) {
	ans := tracer.Answer{Requests: len(txs)}
	found := make(map[common.Hash]bool)
	for i := range s.ts {
		if slices.Contains(txs, s.ts[i].Tx) {
			found[s.ts[i].Tx] = true
			if !s.noTraces || s.ts[i].Kind != tracer.KindInternal {
				ans.Transfers = append(ans.Transfers, s.ts[i])
			}
		}
	}
	for _, tx := range txs {
		if !found[tx] {
			return ans, fmt.Errorf("transaction %s: %w", tx.Hex(), tracer.ErrNotFound)
		}
	}
	return ans, nil
}

func (s *listSource) Contracts(_ context.Context, addrs []common.Address) ([]bool, int, error) {
	code := make([]bool, len(addrs))
	for i, a := range addrs {
		code[i] = s.contracts[a]
	}
	return code, 1, nil
}
