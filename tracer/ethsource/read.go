package ethsource

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"scamtrace/tracer"
	"scamtrace/tracer/balance"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/rpc"
)

// Transfers reads the blocks of the spans from the first to the last, all
// parts of each before the next. A part that the node refuses for good is in
// Unread, and so is everything from the block on at which the budget ends or
// the node fails. It is an error when ctx ends, when the node answers nothing
// any more, when it turns out to serve another chain ([tracer.ErrWrongChain]),
// and when its pinned block is gone ([tracer.ErrReorg]).
func (s *Source) Transfers(ctx context.Context, q tracer.Query) (tracer.Answer, error) {
	spent := new(counter)
	r := &reading{Source: s, blind: s.blindness(), most: q.MaxTransfers, of: make(map[common.Address][]tracer.Span),
		count: make(map[common.Address]int), crowded: make(map[common.Address]uint64), held: make(map[common.Address][]balance.Claim)}
	for _, p := range q.Spans {
		if p.To = min(p.To, s.pinned.Number); p.From <= p.To {
			r.spans = append(r.spans, p)
		}
	}
	slices.SortFunc(r.spans, func(a, b tracer.Span) int {
		return cmp.Or(a.Wallet.Cmp(b.Wallet), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
	r.spans = slices.Compact(r.spans)
	for _, p := range r.spans {
		r.of[p.Wallet] = append(r.of[p.Wallet], p)
	}
	err := r.run(ctx, q.MaxRequests, spent)
	return tracer.Answer{
		Transfers: tracer.SortTransfers(r.ts), Unread: r.within(tidy(r.unread)), Unchecked: r.within(tidy(r.unchecked)), Requests: spent.count(),
	}, err
}

// A reading is one query under way.
type reading struct {
	*Source
	spans   []tracer.Span                    // clamped to the pinned block, by wallet
	of      map[common.Address][]tracer.Span // the same
	most    int                              // transfers of one wallet
	ts      []tracer.Transfer
	unread  []tracer.Unread
	count   map[common.Address]int
	crowded map[common.Address]uint64 // from which block on
	total   uint64                    // blocks
	done    uint64                    // of these
	blind   error                     // why moves of native coin are not read any more

	// Pieces hold more than what was asked: the whole of them for each wallet.
	held      map[common.Address][]balance.Claim // what was read whole, in order
	more      []tracer.Transfer                  // of the wallets, and not asked for
	exact     bool                               // there was too much more, and only what was asked is kept
	unchecked []tracer.Unread                    // read, and not compared with balances
}

func (r *reading) run(ctx context.Context, budget int, spent *counter) error {
	if len(r.spans) == 0 {
		return context.Cause(ctx)
	}
	if budget > 0 && budget <= r.witnessCalls() {
		r.rest(0, tracer.ErrBudget)
		return context.Cause(ctx)
	}
	blocks := union(r.spans)
	for _, b := range blocks {
		r.total += b.to - b.from + 1
	}
	from, err := inOrder(ctx, rest(budget, r.forReading(budget), spent), blocks, r.logs, r.plan, r.keep)
	if e, ok := errors.AsType[*cutError](err); ok {
		from, err = e.from, e.err
	}
	if ctx.Err() != nil {
		r.rest(from, context.Cause(ctx))
		r.unsure(r.claims(), context.Cause(ctx))
		return context.Cause(ctx)
	}
	e, ok := errors.AsType[*nodeError](err)
	if ok && e.fork {
		r.mu.Lock()
		r.forget()
		r.mu.Unlock()
		from = 0 // nobody knows which of the two was read before
	}
	if err != nil {
		r.rest(from, err)
	}
	switch {
	case errors.Is(err, tracer.ErrBudget) && from == blocks[0].from: // nothing was read
	case ok && e.gone():
		r.unsure(r.claims(), err)
	default:
		if !r.prove(ctx, budget, spent) {
			r.rest(0, context.Cause(ctx)) // it was read in time, and will be again
			return context.Cause(ctx)
		}
		bad := r.witness(ctx, rest(budget, budget-spent.count(), spent))
		// What cannot be asked speaks against nothing.
		if e, ok := errors.AsType[*nodeError](bad); bad != nil && ctx.Err() == nil && !errors.Is(bad, tracer.ErrBudget) && !(ok && e.gone()) {
			err = bad
			r.rest(0, err)
		}
	}
	if err == nil {
		return nil
	}
	if errors.Is(err, tracer.ErrWrongChain) || errors.Is(err, tracer.ErrReorg) || down(err) {
		return err
	}
	return context.Cause(ctx)
}

// gone reports whether the endpoint answers nothing any more.
func (e *nodeError) gone() bool {
	return e.late || e.kind == kindTransient || e.kind == kindRate || e.kind == kindQuota
}

// down reports whether an error says that the endpoint answers nobody, rather
// than not this question.
func down(err error) bool {
	e, ok := errors.AsType[*nodeError](err)
	return ok && !e.late && (e.gone() || e.kind == kindBehind)
}

// union returns the blocks of spans, each once.
func union(spans []tracer.Span) []stretch {
	var all []stretch
	for _, p := range spans {
		all = append(all, stretch{p.From, p.To})
	}
	slices.SortFunc(all, func(a, b stretch) int { return cmp.Compare(a.from, b.from) })
	out := all[:1]
	for _, b := range all[1:] {
		if last := &out[len(out)-1]; b.from <= last.to+1 {
			last.to = max(last.to, b.to)
		} else {
			out = append(out, b)
		}
	}
	return out
}

// rest records that from a block on nothing was read, and drops what was.
func (r *reading) rest(from uint64, err error) {
	after := func(t tracer.Transfer) bool { return t.Block >= from }
	r.ts, r.more = slices.DeleteFunc(r.ts, after), slices.DeleteFunc(r.more, after)
	for w, cs := range r.held {
		cs = slices.DeleteFunc(cs, func(c balance.Claim) bool { return c.From >= from })
		if n := len(cs) - 1; n >= 0 && cs[n].To >= from {
			cs[n].To = from - 1
		}
		r.held[w] = cs
	}
	late := func(u tracer.Unread) bool { return u.Reason != tracer.ReasonCrowded && u.From >= from }
	r.unread, r.unchecked = slices.DeleteFunc(r.unread, late), slices.DeleteFunc(r.unchecked, late)
	for _, p := range r.spans {
		if p.To = min(p.To, r.end(p.Wallet)); p.To >= max(p.From, from) {
			r.miss(tracer.Span{Wallet: p.Wallet, From: max(p.From, from), To: p.To}, tracer.PartAll, err)
		}
	}
}

// end is the last block that is still to be read of a wallet.
func (r *reading) end(w common.Address) uint64 {
	if c, ok := r.crowded[w]; ok {
		return c - 1
	}
	return r.pinned.Number
}

// miss records that a part of a span was not read.
func (r *reading) miss(p tracer.Span, part tracer.Part, err error) {
	r.unread = append(r.unread, tracer.Unread{Span: p, Part: part, Reason: reason(part, err), Detail: err.Error()})
}

func reason(part tracer.Part, err error) tracer.Reason {
	e, ok := errors.AsType[*nodeError](err)
	switch {
	case errors.Is(err, tracer.ErrBudget):
		return tracer.ReasonBudget
	case ok && e.late, !ok && !errors.Is(err, tracer.ErrReorg) && !errors.Is(err, tracer.ErrWrongChain):
		return tracer.ReasonStopped // the context's own cause
	case part == tracer.PartInternal:
		return tracer.ReasonNoTraces
	}
	return tracer.ReasonSource
}

// tidy sorts what was not read and joins what belongs together.
func tidy(us []tracer.Unread) []tracer.Unread {
	slices.SortStableFunc(us, func(a, b tracer.Unread) int {
		return cmp.Or(a.Wallet.Cmp(b.Wallet), cmp.Compare(a.Part, b.Part), cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Detail, b.Detail), cmp.Compare(a.From, b.From))
	})
	out := us[:0]
	for _, u := range us {
		if n := len(out) - 1; n >= 0 && u.From <= out[n].To+1 && u.Wallet == out[n].Wallet && u.Part == out[n].Part && u.Reason == out[n].Reason && u.Detail == out[n].Detail {
			out[n].To = max(out[n].To, u.To)
			continue
		}
		out = append(out, u)
	}
	slices.SortStableFunc(out, func(a, b tracer.Unread) int {
		return cmp.Or(a.Wallet.Cmp(b.Wallet), cmp.Compare(a.From, b.From), cmp.Compare(a.Part, b.Part), cmp.Compare(a.To, b.To))
	})
	return out
}

// within cuts what was not read to the spans that were asked for.
func (r *reading) within(us []tracer.Unread) []tracer.Unread {
	var out []tracer.Unread
	for _, u := range us {
		for _, p := range r.of[u.Wallet] {
			v := u
			if v.From, v.To = max(u.From, p.From), min(u.To, p.To); v.From <= v.To {
				out = append(out, v)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b tracer.Unread) int {
		return cmp.Or(a.Wallet.Cmp(b.Wallet), cmp.Compare(a.From, b.From), cmp.Compare(a.Part, b.Part), cmp.Compare(a.To, b.To))
	})
	return slices.Compact(out)
}

// asked reports whether what happens to a wallet in a block is asked for.
func (r *reading) asked(w common.Address, block uint64) bool {
	for _, p := range r.of[w] {
		if p.From <= block && block <= min(p.To, r.end(w)) {
			return true
		}
	}
	return false
}

// A part is what a piece holds.
type part struct {
	wallets []common.Address        // of which it holds everything, but for
	dark    map[common.Address]bool // moves of native coin of these

	ts     []tracer.Transfer
	logs   int
	traced *window // as learnt
	unread []tracer.Unread
	blind  error  // moves of native coin cannot be read, here and from here on
	cut    uint64 // with stop: from here on nothing was read
	stop   error
}

// A cutError ends a reading inside a piece.
type cutError struct {
	from uint64
	err  error
}

func (e *cutError) Error() string { return e.err.Error() }

// plan reads a piece: which wallets, is decided at once.
func (r *reading) plan(b stretch) func(context.Context, *purse) (part, error) {
	var active []tracer.Span
	var wallets []common.Address
	for _, p := range r.spans {
		if p.From, p.To = max(p.From, b.from), min(p.To, b.to, r.end(p.Wallet)); p.From <= p.To {
			active = append(active, p)
			wallets = append(wallets, p.Wallet)
		}
	}
	wallets = slices.Compact(wallets)
	r.mu.Lock()
	j := &job{Source: r.Source, stretch: b, active: active, wallets: wallets, traced: r.traced.copy(), told: r.told, total: r.total, most: cmp.Or(r.most, mostChanges), blind: r.blind}
	r.mu.Unlock()
	return func(ctx context.Context, p *purse) (got part, err error) {
		if len(wallets) == 0 {
			return part{}, nil
		}
		for range 3 { // what does not fit together is asked for again
			if got, err = j.read(ctx, p); !errors.Is(err, errDiffers) {
				return got, err
			}
		}
		return got, r.c.unusable("%v", err)
	}
}

// mostChanges is in how many blocks the coins of a wallet may come and go for
// these to be looked for, when a query does not say.
const mostChanges = 100_000

// errDiffers reports that two answers do not fit together.
var errDiffers = errors.New("what it says does not fit together")

// keep adds what a piece holds, and counts it against the wallets.
func (r *reading) keep(b stretch, got part) error {
	if got.traced == nil {
		return nil // nobody was asked
	}
	r.done += b.to - b.from + 1
	r.room(len(got.ts))
	r.hold(b, got)
	r.logs.answered(b, got.logs)
	r.traced.adopt(got.traced)
	if got.blind != nil {
		r.blind = got.blind
	}
	for i := range got.ts {
		t := &got.ts[i]
		from := r.asked(t.From, t.Block)
		to := t.To != t.From && r.asked(t.To, t.Block)
		if got.stop != nil && t.Block >= got.cut {
			continue
		}
		if !from && !to {
			r.beyond(t)
			continue
		}
		if from {
			r.count[t.From]++
		}
		if to {
			r.count[t.To]++
		}
		if logged(t) {
			r.mu.Lock()
			r.told = min(r.told, t.Block)
			r.mu.Unlock()
		}
		r.ts = append(r.ts, *t)
	}
	r.reuse(got.ts)
	r.unread = append(r.unread, got.unread...)
	if got.stop != nil {
		return &cutError{got.cut, got.stop}
	}
	if r.most <= 0 {
		return nil
	}
	for w, n := range r.count {
		if _, known := r.crowded[w]; known || n <= r.most || r.of[w] == nil {
			continue
		}
		r.crowded[w] = b.to + 1
		for _, p := range r.of[w] {
			if p.From = max(p.From, b.to+1); p.From <= p.To {
				r.unread = append(r.unread, tracer.Unread{Span: p, Reason: tracer.ReasonCrowded,
					Detail: fmt.Sprintf("more than %d transfers up to block %d", r.most, b.to)})
			}
		}
	}
	return nil
}

// room makes room for n more transfers, and for as many in each block to come
// as there were so far: a long answer copied time and again would take twice
// the memory.
func (r *reading) room(n int) {
	if need := len(r.ts) + n; need > cap(r.ts) {
		whole := float64(need) * float64(r.total) / float64(r.done) * 1.1
		r.ts = append(make([]tracer.Transfer, 0, max(need, int(min(whole, 128*float64(need))))), r.ts...)
	}
}

// times fills in the times that nodes leave out, from the blocks' headers.
func (s *Source) times(ctx context.Context, p *purse, ts []tracer.Transfer) error {
	at := make(map[uint64]uint64)
	for i := range ts {
		if t := &ts[i]; t.Time != 0 {
			at[t.Block] = t.Time
		}
	}
	var need []uint64
	for i := range ts {
		if _, ok := at[ts[i].Block]; !ok {
			at[ts[i].Block] = 0
			need = append(need, ts[i].Block)
		}
	}
	slices.Sort(need)
	headers := make([]*header, len(need))
	calls := make([]rpc.BatchElem, len(need))
	for i, n := range need {
		calls[i] = blockCall(n, false, &headers[i])
	}
	if err := s.c.sure(ctx, p, calls, func(i int) error {
		h := headers[i]
		if h == nil || uint64(h.Number) != need[i] {
			return s.c.unusable("it does not show block %d", need[i])
		}
		at[need[i]] = uint64(h.Time)
		return s.agree(need[i], h.Hash)
	}); err != nil {
		return err
	}
	for i := range ts {
		ts[i].Time = at[ts[i].Block]
	}
	return nil
}

// Transactions reads whole transactions: what they moved themselves, their
// logs, and what was moved inside them where the node can tell.
func (s *Source) Transactions(ctx context.Context, hashes []common.Hash, most int) (tracer.Answer, error) {
	spent := new(counter)
	ans, err := s.transactions(ctx, newPurse(most, spent), unique(hashes))
	ans.Requests = spent.count()
	return ans, err
}

func (s *Source) transactions(ctx context.Context, p *purse, hashes []common.Hash) (ans tracer.Answer, err error) {
	if len(hashes) == 0 {
		return ans, context.Cause(ctx)
	}
	txs, err := s.fetchTxs(ctx, p, hashes)
	if err != nil {
		return ans, err
	}
	receipts, err := s.fetchReceipts(ctx, p, hashes)
	if err != nil {
		return ans, err
	}
	var ts []tracer.Transfer
	inLogs := make(map[common.Hash]bool)
	inside := make(map[common.Hash]*tx)
	for i, r := range receipts {
		x := txs[i]
		if x.BlockHash != r.Hash || x.From != r.From {
			return ans, s.c.unusable("it shows a transaction and its receipt in different blocks")
		}
		blind := s.blindness() != nil
		if blind {
			ans.Unread = append(ans.Unread, hidden(x)...)
		} else {
			ts = append(ts, s.fee(r, 0))
			if t, ok := s.value(x, r, 0); ok {
				ts = append(ts, t)
			}
		}
		for k := range r.Logs {
			if t, ok := s.transfer(&r.Logs[k]); ok && r.succeeded(uint64(x.Gas)) {
				ts = append(ts, t)
				inLogs[r.Tx] = inLogs[r.Tx] || logged(&t)
			}
		}
		if !blind && r.succeeded(uint64(x.Gas)) && r.GasUsed != plainGas && !inLogs[r.Tx] && uint64(r.Block) < s.toldFrom() {
			inside[r.Tx] = x
		}
	}
	rows, err := s.traceTxs(ctx, p, slices.Collect(maps.Keys(inside)))
	if err != nil && (ctx.Err() != nil || passing(err)) {
		return ans, err
	}
	for i := range rows {
		if t, ok := s.native(&rows[i]); ok && t.Kind == tracer.KindInternal {
			ts = append(ts, t)
		}
	}
	if err != nil {
		for _, x := range inside {
			if x.To != nil {
				b := uint64(*x.Block)
				ans.Unread = append(ans.Unread, tracer.Unread{Span: tracer.Span{Wallet: *x.To, From: b, To: b}, Part: tracer.PartInternal, Reason: reason(tracer.PartInternal, err), Detail: err.Error()})
			}
		}
	}
	ts = once(ts, inLogs)
	if err := s.times(ctx, p, ts); err != nil {
		return tracer.Answer{}, err
	}
	if err := s.witness(ctx, p); err != nil {
		return tracer.Answer{}, err
	}
	ans.Transfers, ans.Unread = tracer.SortTransfers(ts), tidy(ans.Unread)
	return ans, nil
}

// toldFrom is the first block known to tell moves of native coin in logs.
func (s *Source) toldFrom() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.told
}

// fetchTxs asks for transactions, and three times for one that is not there: a
// pool may ask a node that is behind.
func (s *Source) fetchTxs(ctx context.Context, p *purse, hashes []common.Hash) ([]*tx, error) {
	txs := make([]*tx, len(hashes))
	for range 3 {
		var calls []rpc.BatchElem
		for i, h := range hashes {
			if x := txs[i]; x == nil || x.Block == nil {
				calls = append(calls, rpc.BatchElem{Method: "eth_getTransactionByHash", Args: []any{h}, Result: &txs[i]})
			}
		}
		if err := s.c.all(ctx, p, calls); err != nil {
			return nil, err
		}
	}
	for i, x := range txs {
		if x == nil || x.Block == nil || uint64(*x.Block) > s.pinned.Number {
			if err := s.witness(ctx, p); err != nil {
				return nil, err
			}
			return nil, fmt.Errorf("transaction %s: %w", hashes[i].Hex(), tracer.ErrNotFound)
		}
		if x.Hash != hashes[i] {
			return nil, s.c.unusable("it shows another transaction than was asked for")
		}
	}
	return txs, nil
}
