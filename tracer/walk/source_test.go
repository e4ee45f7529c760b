package walk_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
)

// listSource is a Source over a list of transfers: the plainest there is.
type listSource struct {
	ts        []tracer.Transfer        // chain order
	of        map[common.Address][]int // wallet → its transfers
	pinned    tracer.Block
	contracts map[common.Address]bool
	noTraces  bool // hides internal transfers
	fail      int  // the node is gone from this operation on, when more than zero
	stop      int  // cancel is called in this operation, when more than zero
	cancel    func()
	refuses   func(common.Address) bool // wallets that cannot be read, without an error; nil: none

	calls int           // of Transfers
	ops   int           // requests
	asked []tracer.Span // of all queries
}

func newListSource(ts []tracer.Transfer, pinned tracer.Block) *listSource {
	s := &listSource{ts: ts, of: make(map[common.Address][]int), pinned: pinned}
	for i := range ts {
		s.of[ts[i].From] = append(s.of[ts[i].From], i)
		if ts[i].To != ts[i].From {
			s.of[ts[i].To] = append(s.of[ts[i].To], i)
		}
	}
	return s
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
	var err error
	unread := func(p tracer.Span, reason tracer.Reason, detail string) {
		ans.Unread = append(ans.Unread, tracer.Unread{Span: p, Reason: reason, Detail: detail})
	}
	var spans []tracer.Span
	// Three spans are one request. Where the budget, the time or the node
	// ends, it does so in the middle of a span.
	for i, p := range q.Spans {
		s.asked = append(s.asked, p)
		var reason tracer.Reason
		detail := ""
		switch n := i/3 + 1; {
		case s.refuses != nil && s.refuses(p.Wallet):
			unread(p, tracer.ReasonSource, "nobody knows this wallet")
			ans.Requests = n
			continue
		case q.MaxRequests > 0 && n > q.MaxRequests:
			reason, detail = tracer.ReasonBudget, "the budget of requests is spent"
		case s.ops+n >= s.fail && s.fail > 0:
			reason, detail = tracer.ReasonSource, "the node is gone"
			err = errors.New(detail)
		case ctx.Err() != nil || s.ops+n >= s.stop && s.stop > 0:
			if s.cancel != nil {
				s.cancel()
			}
			reason, detail = tracer.ReasonStopped, "the run was interrupted"
			err = context.Canceled
		default:
			ans.Requests = n
			spans = append(spans, p)
			continue
		}
		if half := p.From + (p.To-p.From)/2; len(ans.Unread) == 0 && half < p.To {
			spans = append(spans, tracer.Span{Wallet: p.Wallet, From: p.From, To: half})
			p.From = half + 1
		}
		unread(p, reason, detail)
	}
	s.ops += ans.Requests
	q.Spans = spans
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
				unread(tracer.Span{Wallet: a, From: t.Block, To: p.To}, tracer.ReasonCrowded, "")
			}
		}
		return ok
	}
	var some []int
	for a := range at {
		some = append(some, s.of[a]...)
	}
	slices.Sort(some)
	for _, i := range slices.Compact(some) {
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
	slices.SortStableFunc(ans.Unread, func(a, b tracer.Unread) int {
		return cmp.Or(a.Wallet.Cmp(b.Wallet), cmp.Compare(a.From, b.From), cmp.Compare(a.Part, b.Part))
	})
	return ans, err
}

func (s *listSource) Transactions(ctx context.Context, txs []common.Hash, most int) (tracer.Answer, error) {
	if most > 0 && len(txs) > most {
		return tracer.Answer{Requests: most}, tracer.ErrBudget
	}
	ans := tracer.Answer{Requests: len(txs)}
	if err := s.op(ctx, len(txs)); err != nil {
		return ans, err
	}
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

// op counts n operations, or fails.
func (s *listSource) op(ctx context.Context, n int) error {
	s.ops += n
	if s.stop > 0 && s.ops >= s.stop && s.cancel != nil {
		s.cancel()
	}
	if s.fail > 0 && s.ops >= s.fail {
		return errors.New("the node is gone")
	}
	return ctx.Err()
}

func (s *listSource) Contracts(ctx context.Context, addrs []common.Address, _ int) ([]bool, int, error) {
	if err := s.op(ctx, 1); err != nil {
		return nil, 1, err
	}
	code := make([]bool, len(addrs))
	for i, a := range addrs {
		code[i] = s.contracts[a]
	}
	return code, 1, nil
}
