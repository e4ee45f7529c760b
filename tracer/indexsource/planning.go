package indexsource

import (
	"cmp"
	"context"
	"fmt"
	"math/big"
	"slices"

	"scamtrace/tracer"
	"scamtrace/tracer/balance"

	"github.com/ethereum/go-ethereum/common"
)

// planning is a query of a planner under way.
type planning struct {
	*Planner
	q     tracer.Query
	r     *reading
	purse *purse
	gaps  []tracer.Unread // what nobody has read yet
	final []tracer.Unread // crowded: nobody is to read it
	found []finding
	at    map[tracer.TransferID]int // in found
	sure  []tracer.Unread           // what the node was asked for

	unchecked []tracer.Unread
}

// A finding is a transfer and who says so.
type finding struct {
	tracer.Transfer
	sure bool // the node
}

// ask asks a source for the gaps, and keeps as gaps what it does not cover.
func (w *planning) ask(ctx context.Context, s tracer.Source, who int) (asked []tracer.Span, err error) {
	if len(w.gaps) == 0 {
		return nil, context.Cause(ctx)
	}
	if w.q.MaxRequests > 0 && w.purse.left == 0 {
		for i := range w.gaps {
			w.gaps[i].Reason, w.gaps[i].Detail = tracer.ReasonBudget, tracer.ErrBudget.Error()
		}
		return nil, context.Cause(ctx)
	}
	q := tracer.Query{MaxTransfers: w.q.MaxTransfers}
	if w.q.MaxRequests > 0 {
		q.MaxRequests = w.purse.left
	}
	for _, g := range w.gaps {
		q.Spans = append(q.Spans, g.Span)
	}
	q.Spans = newReading(q, ^uint64(0)).spans // joined
	// What a source that ends early leaves out must not pass for read.
	last := ^uint64(0)
	if b, err := s.Pin(ctx); err == nil {
		last = b.Number
	}
	ans, err := s.Transfers(ctx, q)
	w.unchecked = append(w.unchecked, ans.Unchecked...)
	w.purse.left, w.purse.spent = w.purse.left-ans.Requests, w.purse.spent+ans.Requests
	for _, p := range q.Spans {
		if p.From = max(p.From, last+1); last < ^uint64(0) && p.From <= p.To {
			ans.Unread = append(ans.Unread, tracer.Unread{Span: p, Reason: tracer.ReasonSource, Detail: fmt.Sprintf("%s has no blocks after %d", w.shares[who].Name, last)})
		}
	}
	w.mu.Lock()
	w.shares[who].Requests += ans.Requests
	w.shares[who].Transfers += len(ans.Transfers)
	w.mu.Unlock()
	var gaps []tracer.Unread
	unread := byWallet(ans.Unread)
	for _, g := range w.gaps {
		for _, u := range unread[g.Wallet] {
			part, ok := both(g.Part, u.Part)
			v := tracer.Unread{Span: tracer.Span{Wallet: g.Wallet, From: max(g.From, u.From), To: min(g.To, u.To)}, Part: part, Reason: u.Reason, Detail: u.Detail}
			if !ok || v.From > v.To {
				continue
			}
			if part != tracer.PartTokens && part != tracer.PartAll && who == len(w.faster) && w.blind() && g.Detail != "" {
				v.Reason, v.Detail = g.Reason, g.Detail // what the node says does not help
			}
			if u.Reason == tracer.ReasonCrowded {
				w.final = append(w.final, v)
			} else {
				gaps = append(gaps, v)
			}
		}
	}
	node := who == len(w.faster)
	for _, t := range ans.Transfers {
		if !w.r.touches(&t) {
			continue
		}
		i, ok := w.at[t.ID()]
		switch {
		case !ok:
			w.at[t.ID()] = len(w.found)
			w.found = append(w.found, finding{t, node})
		case node:
			w.found[i] = finding{t, true}
		case !agree(&w.found[i].Transfer, &t): // the node has to say
			for _, a := range [...]common.Address{t.From, t.To, w.found[i].From, w.found[i].To} {
				for _, b := range [...]uint64{t.Block, w.found[i].Block} {
					if w.r.wants(a, b) {
						gaps = append(gaps, tracer.Unread{Span: tracer.Span{Wallet: a, From: b, To: b}, Reason: tracer.ReasonSource, Detail: "two sources contradict each other"})
					}
				}
			}
		case w.found[i].BlockHash == common.Hash{}:
			w.found[i].BlockHash = t.BlockHash
		}
	}
	if node {
		w.show(ans.Transfers)
		for _, p := range q.Spans {
			w.sure = append(w.sure, tracer.Unread{Span: p})
		}
		if err == nil {
			w.mu.Lock()
			for _, p := range q.Spans {
				w.read[p.Wallet] = append(w.read[p.Wallet], tracer.Unread{Span: p})
				w.Planner.unread[p.Wallet] = append(w.Planner.unread[p.Wallet], unread[p.Wallet]...)
			}
			w.mu.Unlock()
		}
		w.believe(unread)
	}
	w.gaps = gaps
	return q.Spans, err
}

// both returns what two parts have in common.
func both(a, b tracer.Part) (tracer.Part, bool) {
	switch {
	case a == tracer.PartAll:
		return b, true
	case b == tracer.PartAll, a == b:
		return a, true
	}
	return 0, false
}

// agree reports whether two readings say the same; a block's hash may be
// missing.
func agree(a, b *tracer.Transfer) bool {
	return a.TxIndex == b.TxIndex && a.Time == b.Time && tracer.SameTransfer(*a, *b)
}

func byWallet(us []tracer.Unread) map[common.Address][]tracer.Unread {
	of := make(map[common.Address][]tracer.Unread)
	for _, u := range us {
		of[u.Wallet] = append(of[u.Wallet], u)
	}
	return of
}

// believe drops what only others say where the node was asked, now or before, and
// shows it not; of what it showed before, its own words count.
func (w *planning) believe(unread map[common.Address][]tracer.Unread) {
	sure := byWallet(w.sure)
	kept := w.found[:0]
	clear(w.at)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range w.found {
		if own, ok := w.shown[f.ID()]; ok && !f.sure {
			f = finding{own, true}
		}
		part := tracer.PartOf(&f.Transfer)
		reads := func(read, not []tracer.Unread) bool {
			return holds(read, f.Block, tracer.PartAll) && !holds(not, f.Block, part)
		}
		denied := false
		for _, a := range [...]common.Address{f.From, f.To} {
			if a == f.To && f.Kind == tracer.KindFee && f.From != f.To {
				continue
			}
			denied = denied || !f.sure && (reads(sure[a], unread[a]) || reads(w.read[a], w.Planner.unread[a]))
		}
		if !denied {
			w.at[f.ID()] = len(kept)
			kept = append(kept, f)
		}
	}
	w.found = kept
}

// finish lets the node fill the gaps, and read anew what cannot be right.
func (w *planning) finish(ctx context.Context) error {
	node := len(w.faster)
	w.believe(nil)
	asked, err := w.ask(ctx, w.node, node)
	if err != nil || ctx.Err() != nil {
		return cmp.Or(context.Cause(ctx), err)
	}
	doubt, err := w.doubts(ctx, asked)
	if err != nil || len(doubt) == 0 {
		return err
	}
	left := w.gaps
	w.gaps = nil
	for _, p := range doubt {
		w.gaps = append(w.gaps, tracer.Unread{Span: p})
	}
	_, err = w.ask(ctx, w.node, node)
	w.gaps = append(w.gaps, left...)
	return err
}

// doubts returns the spans whose transfers do not explain what became of the
// wallet's nonce and balances. Those that the node has read are not looked at.
func (w *planning) doubts(ctx context.Context, asked []tracer.Span) (doubt []tracer.Span, err error) {
	ts := make([]tracer.Transfer, 0, len(w.found))
	for _, f := range w.found {
		ts = append(ts, f.Transfer)
	}
	ts = once(tracer.SortTransfers(ts))
	if states, ok := w.node.(tracer.StateSource); ok && !w.blind() {
		doubt, err = w.check(ctx, states, w.covered(asked, false), ts)
	}
	if b, ok := w.node.(balancer); ok && err == nil {
		var claims []balance.Claim
		for _, p := range w.covered(asked, true) {
			if !slices.Contains(doubt, p) {
				claims = append(claims, balance.Claim{Span: p, Tokens: true})
			}
		}
		wrong, unchecked, n, bad := b.Check(ctx, claims, w.purse.left, ts)
		w.pay(n)
		w.unchecked, err = append(w.unchecked, unchecked...), bad
		for i := range wrong {
			doubt = append(doubt, wrong[i].Span)
		}
	}
	slices.SortFunc(doubt, compareSpans)
	return slices.Compact(doubt), err
}

// pay counts what the node was asked beside transfers.
func (w *planning) pay(n int) {
	w.purse.left, w.purse.spent = w.purse.left-n, w.purse.spent+n
	w.mu.Lock()
	defer w.mu.Unlock()
	w.shares[len(w.faster)].Requests += n
}

// covered returns what others than the node have read whole, of tokens or of
// all else.
func (w *planning) covered(asked []tracer.Span, tokens bool) (spans []tracer.Span) {
	crowded, gaps := byWallet(w.final), byWallet(w.gaps)
	read := make(map[tracer.Span]bool)
	for _, p := range asked {
		read[p] = true
	}
	for _, p := range w.r.spans {
		whole := p
		for _, u := range crowded[p.Wallet] {
			if u.From <= p.To && u.To >= p.From {
				if u.From <= p.From {
					p.From, p.To = 1, 0
					break
				}
				p.To = u.From - 1
			}
		}
		open := slices.ContainsFunc(gaps[p.Wallet], func(u tracer.Unread) bool {
			return u.From <= p.To && u.To >= p.From && (u.Part == tracer.PartAll || (u.Part == tracer.PartTokens) == tokens)
		})
		if p.From <= p.To && !open && !read[whole] {
			spans = append(spans, p)
		}
	}
	return spans
}

// check returns the spans in which transfers do not explain what became of the
// wallet's nonce and of its balance of native coin.
func (w *planning) check(ctx context.Context, states tracer.StateSource, spans []tracer.Span, ts []tracer.Transfer) ([]tracer.Span, error) {
	if len(spans) == 0 {
		return nil, context.Cause(ctx)
	}
	const each = 4 // two states, with a nonce and a balance
	if n := w.purse.left / each; n < len(spans) {
		for _, p := range spans[n:] {
			w.gaps = append(w.gaps, tracer.Unread{Span: p, Part: tracer.PartNative, Reason: tracer.ReasonBudget, Detail: tracer.ErrBudget.Error()},
				tracer.Unread{Span: p, Part: tracer.PartInternal, Reason: tracer.ReasonBudget, Detail: tracer.ErrBudget.Error()})
		}
		if spans = spans[:n]; n == 0 {
			return nil, nil
		}
	}
	var wallets []common.Address
	var blocks []uint64
	for _, p := range spans {
		wallets = append(wallets, p.Wallet, p.Wallet)
		blocks = append(blocks, max(p.From, 1)-1, p.To)
	}
	most := 0
	if w.q.MaxRequests > 0 {
		most = w.purse.left
	}
	nonces, balances, n, err := states.States(ctx, wallets, blocks, most)
	w.pay(n)
	if ctx.Err() != nil {
		for _, p := range spans {
			w.r.miss(p, tracer.PartAll, context.Cause(ctx))
		}
		return nil, context.Cause(ctx)
	}
	if err != nil { // as of a node that keeps no old states: it reads all there is to check
		return spans, nil
	}
	of := make(map[common.Address][]tracer.Transfer)
	for _, t := range ts {
		of[t.From] = append(of[t.From], t)
		if t.To != t.From {
			of[t.To] = append(of[t.To], t)
		}
	}
	var doubt []tracer.Span
	for i, p := range spans {
		sent, change := explained(p, of[p.Wallet])
		want := new(big.Int).Sub(balances[2*i+1].ToBig(), balances[2*i].ToBig())
		if change.Cmp(want) != 0 || nonces[2*i+1]-nonces[2*i] != uint64(sent) {
			doubt = append(doubt, p)
		}
	}
	return doubt, nil
}

// answer ends the query.
func (w *planning) answer() tracer.Answer {
	for _, f := range w.found {
		w.r.ts = append(w.r.ts, f.Transfer)
	}
	for _, u := range slices.Concat(w.gaps, w.final) {
		if u.Reason == "" { // nobody got to it
			u.Reason, u.Detail = tracer.ReasonStopped, "the run was interrupted"
		}
		w.r.unread = append(w.r.unread, u)
	}
	ans := w.r.answer(w.purse.spent)
	ans.Unchecked = w.r.within(w.unchecked)
	return ans
}
