package indexsource

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
)

// A reading is one query under way.
type reading struct {
	spans  []tracer.Span                    // by wallet, clamped to the pinned block, those of a wallet apart
	of     map[common.Address][]tracer.Span // the same
	asked  []tracer.Span                    // as they were asked for, clamped
	most   int                              // transfers of one wallet
	ts     []tracer.Transfer
	unread []tracer.Unread
}

func newReading(q tracer.Query, last uint64) *reading {
	r := &reading{of: make(map[common.Address][]tracer.Span), most: q.MaxTransfers}
	for _, p := range q.Spans {
		if p.To = min(p.To, last); p.From <= p.To {
			r.asked = append(r.asked, p)
		}
	}
	slices.SortFunc(r.asked, compareSpans)
	for _, p := range r.asked {
		if n := len(r.spans) - 1; n >= 0 && r.spans[n].Wallet == p.Wallet && p.From <= r.spans[n].To+1 {
			r.spans[n].To = max(r.spans[n].To, p.To)
			continue
		}
		r.spans = append(r.spans, p)
	}
	for _, p := range r.spans {
		r.of[p.Wallet] = append(r.of[p.Wallet], p)
	}
	return r
}

func compareSpans(a, b tracer.Span) int {
	return cmp.Or(a.Wallet.Cmp(b.Wallet), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
}

// wants reports whether what happens to a wallet in a block is asked for.
func (r *reading) wants(w common.Address, block uint64) bool {
	return slices.ContainsFunc(r.of[w], func(p tracer.Span) bool { return p.From <= block && block <= p.To })
}

// touches reports whether a transfer is one of a wallet that is asked for.
func (r *reading) touches(t *tracer.Transfer) bool {
	return r.wants(t.From, t.Block) || t.Kind != tracer.KindFee && r.wants(t.To, t.Block)
}

// miss records that a part of a span was not read.
func (r *reading) miss(p tracer.Span, part tracer.Part, why error) {
	if p.From <= p.To {
		r.unread = append(r.unread, tracer.Unread{Span: p, Part: part, Reason: reason(part, why), Detail: why.Error()})
	}
}

// missAll records that nothing was read of any span from a block on, and drops
// what was.
func (r *reading) missAll(from uint64, why error) {
	r.ts = slices.DeleteFunc(r.ts, func(t tracer.Transfer) bool { return t.Block >= from })
	r.unread = slices.DeleteFunc(r.unread, func(u tracer.Unread) bool { return u.From >= from })
	for _, p := range r.spans {
		p.From = max(p.From, from)
		r.miss(p, tracer.PartAll, why)
	}
}

func reason(part tracer.Part, err error) tracer.Reason {
	f, ok := errors.AsType[*fault](err)
	switch {
	case errors.Is(err, tracer.ErrBudget):
		return tracer.ReasonBudget
	case ok && f.late, !ok && !errors.Is(err, tracer.ErrReorg) && !errors.Is(err, tracer.ErrWrongChain):
		return tracer.ReasonStopped // the context's own cause
	case part == tracer.PartInternal:
		return tracer.ReasonNoTraces
	}
	return tracer.ReasonSource
}

// answer ends the reading: transfers of the wallets in order and once, crowded
// wallets up to where they are crowded.
func (r *reading) answer(requests int) tracer.Answer {
	r.ts = slices.DeleteFunc(r.ts, func(t tracer.Transfer) bool { return !r.touches(&t) })
	r.ts = once(tracer.SortTransfers(r.ts))
	r.crowd()
	return tracer.Answer{Transfers: r.ts, Unread: r.within(r.unread), Requests: requests}
}

// crowd ends the spans of wallets with more transfers than the query wants to
// see, before the block in which there are too many.
func (r *reading) crowd() {
	if r.most <= 0 {
		return
	}
	count := make(map[common.Address]int)
	end := make(map[common.Address]uint64) // the first block that is not read
	one := func(w common.Address, block uint64) {
		if _, known := end[w]; !known && r.wants(w, block) {
			if count[w]++; count[w] > r.most {
				end[w] = block
			}
		}
	}
	for i := range r.ts {
		t := &r.ts[i]
		one(t.From, t.Block)
		if t.To != t.From && t.Kind != tracer.KindFee {
			one(t.To, t.Block)
		}
	}
	if len(end) == 0 {
		return
	}
	r.unread = slices.DeleteFunc(r.unread, func(u tracer.Unread) bool {
		at, ok := end[u.Wallet]
		return ok && u.From >= at
	})
	for i := range r.unread {
		if at, ok := end[r.unread[i].Wallet]; ok {
			r.unread[i].To = min(r.unread[i].To, at-1)
		}
	}
	for i := range r.spans {
		p := r.spans[i]
		if at, ok := end[p.Wallet]; ok && p.To >= at {
			p.From = max(p.From, at)
			r.unread = append(r.unread, tracer.Unread{Span: p, Reason: tracer.ReasonCrowded,
				Detail: fmt.Sprintf("more than %d transfers up to block %d", r.most, at)})
		}
	}
	still := func(w common.Address, block uint64) bool {
		at, ok := end[w]
		return r.wants(w, block) && (!ok || block < at)
	}
	r.ts = slices.DeleteFunc(r.ts, func(t tracer.Transfer) bool {
		return !still(t.From, t.Block) && (t.Kind == tracer.KindFee || !still(t.To, t.Block))
	})
}

// within sorts what was not read, joins what belongs together and cuts it to
// the spans that were asked for.
func (r *reading) within(us []tracer.Unread) []tracer.Unread {
	slices.SortStableFunc(us, func(a, b tracer.Unread) int {
		return cmp.Or(a.Wallet.Cmp(b.Wallet), cmp.Compare(a.Part, b.Part), cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Detail, b.Detail), cmp.Compare(a.From, b.From))
	})
	var joined []tracer.Unread
	for _, u := range us {
		if n := len(joined) - 1; n >= 0 && u.From <= joined[n].To+1 && u.Wallet == joined[n].Wallet && u.Part == joined[n].Part && u.Reason == joined[n].Reason && u.Detail == joined[n].Detail {
			joined[n].To = max(joined[n].To, u.To)
			continue
		}
		joined = append(joined, u)
	}
	spans := make(map[common.Address][]tracer.Span)
	for _, p := range r.asked {
		spans[p.Wallet] = append(spans[p.Wallet], p)
	}
	var out []tracer.Unread
	for _, u := range joined {
		for _, p := range spans[u.Wallet] {
			v := u
			if v.From, v.To = max(u.From, p.From), min(u.To, p.To); v.From <= v.To {
				out = append(out, v)
			}
		}
	}
	sortUnread(out)
	return slices.Compact(out)
}

// once drops what values and traces tell again in the transactions whose logs
// tell it (EIP-7708), and returns the shortened slice.
func once(ts []tracer.Transfer) []tracer.Transfer {
	told := make(map[common.Hash]bool)
	for i := range ts {
		if t := &ts[i]; t.Kind == tracer.KindToken && t.Asset.Kind == tracer.Native {
			told[t.Tx] = true
		}
	}
	return slices.DeleteFunc(ts, func(t tracer.Transfer) bool {
		return (t.Kind == tracer.KindNative || t.Kind == tracer.KindInternal) && told[t.Tx]
	})
}

// each reads a query span by span, by an indexer that is asked about one wallet
// at a time. last is the newest block that it has. wallet adds what a span holds and
// what it could not read of it; its error is about all of the span.
func (r *reading) each(ctx context.Context, last uint64, name string, wallet func(tracer.Span) error) error {
	for i, p := range r.spans {
		if p.To > last {
			late := p
			late.From = max(p.From, last+1)
			r.miss(late, tracer.PartAll, &fault{kind: kindRefused, text: fmt.Sprintf("%s does not have the blocks after %d yet", name, last)})
			if p.To = last; p.From > p.To {
				continue
			}
		}
		n, m := len(r.ts), len(r.unread)
		err := wallet(p)
		if err == nil {
			continue
		}
		r.ts, r.unread = r.ts[:n], r.unread[:m]
		if !final(ctx, err) {
			r.miss(p, tracer.PartAll, err)
			continue
		}
		r.miss(p, tracer.PartAll, err)
		for _, q := range r.spans[i+1:] {
			r.miss(q, tracer.PartAll, err)
		}
		if down(err) || errors.Is(err, tracer.ErrReorg) || errors.Is(err, tracer.ErrWrongChain) {
			return err
		}
		return context.Cause(ctx)
	}
	return context.Cause(ctx)
}

// refuse answers a query of which nothing was read.
func refuse(ctx context.Context, q tracer.Query, p *purse, err error) (tracer.Answer, error) {
	r := newReading(q, ^uint64(0))
	r.missAll(0, err)
	if !errors.Is(err, tracer.ErrBudget) || ctx.Err() != nil {
		return r.answer(p.spent), cmp.Or(context.Cause(ctx), err)
	}
	return r.answer(p.spent), nil
}

func unique(txs []common.Hash) []common.Hash {
	txs = slices.Clone(txs)
	slices.SortFunc(txs, common.Hash.Cmp)
	return slices.Compact(txs)
}

func sortUnread(us []tracer.Unread) {
	slices.SortStableFunc(us, func(a, b tracer.Unread) int {
		return cmp.Or(a.Wallet.Cmp(b.Wallet), cmp.Compare(a.From, b.From), cmp.Compare(a.Part, b.Part), cmp.Compare(a.To, b.To), cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Detail, b.Detail))
	})
}
