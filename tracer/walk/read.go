package walk

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
)

// reading is what was read of one wallet.
type reading struct {
	covered   []span
	windows   int    // begun
	window    uint64 // the last block of the latest, which the chain may not have reached
	transfers int
	hub       bool
	pool      bool          // a hub by whom it deals with
	judged    int           // how many transfers there were when that was last looked at
	failed    tracer.Reason // no use to read more
	detail    string
	native    string // why native transfers are missing, if they are
	blind     bool   // and asking again would not help
	internal  string // why internal transfers are missing, if they are
	unchecked bool   // some of it was not compared with balances
	doubtful  []span // not yet compared
}

type span struct{ from, to uint64 }

// cover adds [from, to] to the covered spans.
func (r *reading) cover(from, to uint64) {
	if from > to {
		return
	}
	r.covered = append(r.covered, span{from, to})
	slices.SortFunc(r.covered, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	out := r.covered[:1]
	for _, s := range r.covered[1:] {
		last := &out[len(out)-1]
		if s.from <= last.to || s.from-last.to == 1 {
			last.to = max(last.to, s.to)
			continue
		}
		out = append(out, s)
	}
	r.covered = out
}

// uncover takes back what is covered from a block on.
func (r *reading) uncover(from uint64) {
	r.covered = slices.DeleteFunc(r.covered, func(s span) bool { return s.from >= from })
	if n := len(r.covered); n > 0 && from > 0 {
		r.covered[n-1].to = min(r.covered[n-1].to, from-1)
	}
}

// missing returns the first part of [from, to] that is not covered.
func (r *reading) missing(from, to uint64) (span, bool) {
	for _, s := range r.covered {
		if s.to < from {
			continue
		}
		if s.from > from {
			return span{from, min(to, s.from-1)}, from <= to
		}
		from = s.to + 1
	}
	return span{from, to}, from <= to
}

func (w *Walk) reading(a common.Address) *reading {
	r := w.read[a]
	if r == nil {
		r = new(reading)
		w.read[a] = r
	}
	return r
}

// known is reading for looking only: of a wallet that was not read it is empty
// and not kept.
func (w *Walk) known(a common.Address) *reading {
	if r := w.read[a]; r != nil {
		return r
	}
	return new(reading)
}

// work carries out the plan and reports whether the walk can go on. What could
// not be done stays in the plan.
func (w *Walk) work(ctx context.Context) bool {
	if !w.look(ctx) || !w.complete(ctx) {
		return false
	}
	if w.plan.learned {
		w.plan = nil
		return true
	}
	return w.fetch(ctx)
}

// look finds out which of the planned wallets are contracts, and plans to
// fetch the whole of the transactions that brought traced money to them: what
// looks like a payment to a contract is often a swap, or is passed on at once.
func (w *Walk) look(ctx context.Context) bool {
	p := w.plan
	cs, ok := tracer.As[tracer.CodeSource](w.src)
	if p.looked || !ok {
		return true
	}
	var ask []common.Address
	for _, s := range p.spans {
		if _, known := w.code[s.Wallet]; !known {
			ask = append(ask, s.Wallet)
		}
	}
	for len(ask) > 0 {
		if !w.may(ctx) {
			return false
		}
		left := w.o.Limits.Requests - w.requests
		some := ask[:min(len(ask), left)]
		code, n, err := cs.Contracts(ctx, some, left)
		w.requests += n
		if err != nil {
			return w.failed(ctx, err)
		}
		for i, a := range some {
			w.code[a] = code[i]
		}
		ask = ask[len(some):]
	}
	contract := make(map[uint32]bool)
	for _, s := range p.spans {
		if id, ok := w.store.WalletID(w.wallet(s.Wallet)); ok && w.code[s.Wallet] {
			contract[id] = true
		}
	}
	planned := make(map[common.Hash]bool)
	for _, m := range w.books.Moves {
		e := &w.entries[m.Entry]
		if tx := w.store.Tx(e.Tx); contract[e.To] && !w.whole[tx] && !planned[tx] && len(p.txs) < wholeTransactions {
			planned[tx] = true
			p.txs = append(p.txs, tx)
		}
	}
	p.looked = true
	return true
}

// complete fetches the planned transactions.
func (w *Walk) complete(ctx context.Context) bool {
	p := w.plan
	for len(p.txs) > 0 {
		if !w.may(ctx) {
			return false
		}
		// One takes a request for each of its parts: the transaction, its
		// receipt, what was moved inside.
		left := w.o.Limits.Requests - w.requests
		n := min(len(p.txs), max(left/4, 1))
		ans, err := w.src.Transactions(ctx, p.txs[:n], left)
		w.requests += ans.Requests
		if err != nil {
			return w.failed(ctx, err)
		}
		w.contradict(ans.Transfers)
		if w.store.Add(ans.Transfers) > 0 {
			p.learned = true
		}
		for _, tx := range p.txs[:n] {
			w.whole[tx] = true
		}
		p.txs = p.txs[n:]
	}
	return true
}

// fetch reads the planned spans.
func (w *Walk) fetch(ctx context.Context) bool {
	if !w.may(ctx) {
		return false
	}
	p := w.plan
	q := tracer.Query{MaxTransfers: w.o.Limits.Hub, MaxRequests: w.o.Limits.Requests - w.requests}
	if p.seeds {
		q.MaxTransfers *= 10
	}
	for i, s := range p.spans {
		q.Spans = append(q.Spans, s.Span)
		if s.Window > 0 {
			r := w.reading(s.Wallet)
			r.windows, r.window = r.windows+1, s.Window
			p.spans[i].Window = 0
		}
	}
	ans, err := w.src.Transfers(ctx, q)
	w.requests += ans.Requests
	w.store.Add(ans.Transfers)
	w.contradict(ans.Transfers)

	unread := make(map[common.Address][]tracer.Unread)
	for _, u := range ans.Unread {
		unread[u.Wallet] = append(unread[u.Wallet], u)
	}
	var rest []planned
	reason := tracer.ReasonSource
	read := make(map[common.Address]span)
	for _, s := range p.spans {
		end := s.To + 1 // the first block that was not read
		for _, u := range unread[s.Wallet] {
			if u.From < end && u.To >= s.From && later(u, err) {
				end = max(u.From, s.From)
				reason = u.Reason
			}
		}
		if end <= s.To {
			rest = append(rest, planned{Span: tracer.Span{Wallet: s.Wallet, From: end, To: s.To}})
		}
		if s.From < end {
			read[s.Wallet] = span{s.From, end - 1}
			w.reading(s.Wallet).mark(read[s.Wallet], unread[s.Wallet])
		}
	}
	w.doubt(ans.Unchecked, err)
	w.count(ans.Transfers, read, q.MaxTransfers)

	p.spans = rest
	if len(rest) == 0 {
		w.plan = nil
	}
	switch {
	case err != nil || ctx.Err() != nil:
		return w.failed(ctx, err)
	case len(rest) == 0:
		return true
	case reason == tracer.ReasonStopped:
		w.stopped = Stopped{reason, "the run was interrupted"}
	default:
		w.stopped = w.outOfRequests()
	}
	return false
}

// later reports whether what was not read is worth asking for again when the
// walk goes on: the budget or the time ran out, or the answer ended in an error.
func later(u tracer.Unread, err error) bool {
	return u.Reason == tracer.ReasonBudget || u.Reason == tracer.ReasonStopped || err != nil && u.Reason == tracer.ReasonSource
}

// mark records what an answer covered of a span.
func (r *reading) mark(s span, unread []tracer.Unread) {
	at := s.from
	for _, u := range unread { // sorted by From
		if u.To < s.from || u.From > s.to {
			continue
		}
		switch {
		case u.Part == tracer.PartInternal:
			r.internal = cmp.Or(clause(u), "the endpoint shows no internal transfers")
			continue
		case u.Part == tracer.PartNative:
			r.blind = u.Reason == tracer.ReasonNoTraces && (r.native == "" || r.blind)
			r.native = cmp.Or(clause(u), "the endpoint shows no native transfers")
			continue
		case u.Reason == tracer.ReasonCrowded:
			r.hub = true
		default:
			r.failed, r.detail = u.Reason, clause(u)
		}
		if u.From > at {
			r.cover(at, u.From-1)
		}
		at = max(at, min(u.To, s.to)+1)
	}
	r.cover(at, s.to)
}

// clause is why something was not read, short enough to keep for every wallet.
func clause(u tracer.Unread) string { return tracer.CleanText(u.Detail, 300) }

// count counts the transfers of wallets in the spans that were read, which
// tells hubs. A wallet has one span.
func (w *Walk) count(ts []tracer.Transfer, read map[common.Address]span, hub int) {
	one := func(a common.Address, block uint64) {
		if s, ok := read[a]; ok && s.from <= block && block <= s.to {
			w.reading(a).transfers++
		}
	}
	for i := range ts {
		t := &ts[i]
		one(t.From, t.Block)
		if t.To != t.From {
			one(t.To, t.Block)
		}
	}
	for a := range read {
		if r := w.reading(a); r.transfers > hub {
			r.hub = true
		}
	}
}

// failed notes why the source ended the step, and returns false.
func (w *Walk) failed(ctx context.Context, err error) bool {
	switch {
	case ctx.Err() != nil:
		w.stopped = Stopped{tracer.ReasonStopped, "the run was interrupted"}
	case errors.Is(err, tracer.ErrBudget):
		w.stopped = w.outOfRequests()
	default:
		w.stopped = Stopped{tracer.ReasonSource, err.Error()}
	}
	return false
}
