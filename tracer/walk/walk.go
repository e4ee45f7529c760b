// Package walk follows money: it reads transfers where they matter most, and
// stops when what is left is not worth a request.
//
// One step accounts for everything known ([ledger.Run]), chooses the wallets
// that hold traced money at a time that was not read yet, largest dollar
// amount first, and reads them together. Depth is never the reason to stop:
// value and budget are (true laundering runs 9 to 19 hops). Money stops at
// services and hubs.
//
// What it promises: every unit of reported money ends as arrived at a service,
// held, spent on fees, or in a gap with its reason; the result depends on the
// chain, the seeds and the options alone, not on how many reads run at once;
// no budget is exceeded; and whatever ends a walk early, what was found until
// then is in the result.
package walk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"scamtrace/graphstore"
	"scamtrace/tracer"
	"scamtrace/tracer/ledger"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
)

// Limits bound a walk. Zero fields mean the defaults.
type Limits struct {
	Requests int           // sent to the source; default 10,000
	Wallets  int           // read; default 10,000
	MinUSD   tracer.Micros // a wallet with less traced money is not read; default one dollar
	// Hub is how many transfers a wallet may have in the time that is read of
	// it; one with more is a hub, where strangers' money is pooled; default
	// 3,000. Seeds may have ten times as many.
	Hub int
}

// WithDefaults returns l with zero fields filled in.
func (l Limits) WithDefaults() Limits {
	return Limits{
		Requests: cmp.Or(l.Requests, 10_000),
		Wallets:  cmp.Or(l.Wallets, 10_000),
		MinUSD:   cmp.Or(l.MinUSD, tracer.Dollar),
		Hub:      cmp.Or(l.Hub, 3_000),
	}
}

// Options are the settings of a walk.
type Options struct {
	Chain        tracer.Chain
	Policy       ledger.Policy
	Since, Until uint64 // Unix seconds, both included: which receipts of a seed wallet are the victim's; zero means all
	Limits       Limits
	// Service says whether a wallet is a known service, its name, and whether
	// money stays there or may pass through in one transaction. nil: none is.
	Service func(tracer.Wallet) (name string, stop ledger.Stop)
	// Worth is the dollar value of an amount at a time; nil: not known.
	Worth func(a tracer.Asset, amount *uint256.Int, time uint64) (tracer.Micros, bool)
	// Progress is called after every step, from the goroutine of [Run].
	Progress func(Progress)
}

// Progress is how far a walk has come.
type Progress struct {
	Step, Wallets, Transfers, Requests int
	Waiting                            int           // wallets with traced money not read yet
	Followed                           tracer.Micros // arrived at services so far
}

const (
	batch = 500 // wallets per read
	// Windows in which one wallet is read: money moves within hours or days,
	// so the first is short.
	firstWindow  = 3 * 24 * time.Hour
	secondWindow = 30 * 24 * time.Hour
	// Two times in which a wallet held traced money are read as one when less
	// than this lies between them.
	near = 12 * time.Hour
	// wholeTransactions is how many transactions that paid contracts are
	// fetched at once.
	wholeTransactions = 200
)

// Run walks from the seeds until nothing worth reading is left, the budget is
// spent, or ctx ends. A budget, an interruption or a source that fails end the
// walk with what is known: the result's Stopped says why, and err is nil.
//
// An error means that nothing could be traced: it wraps [tracer.ErrUsage] when
// the seeds are at fault (a service, a transaction that is not there).
func Run(ctx context.Context, src tracer.Source, seeds []tracer.Seed, o Options) (*Result, error) {
	w := &walk{
		Options: o,
		src:     src,
		store:   graphstore.New(),
		read:    make(map[common.Address]*reading),
		code:    make(map[common.Address]bool),
		whole:   make(map[common.Hash]bool),
	}
	w.Limits = o.Limits.WithDefaults()
	if err := w.start(ctx, seeds); err != nil {
		return nil, err
	}
	for {
		more, err := w.step(ctx)
		if err != nil {
			return nil, err
		}
		if !more {
			return w.finish()
		}
	}
}

// walk is the state of one [Run].
type walk struct {
	Options
	src    tracer.Source
	pinned tracer.Block
	since  uint64 // block
	until  uint64
	seeds  []Seed

	store *graphstore.Store
	read  map[common.Address]*reading
	code  map[common.Address]bool // wallets whose code was asked for: is it a contract
	whole map[common.Hash]bool

	entries []ledger.Entry
	rows    []int // entry → row of the store
	books   *ledger.Result

	requests, steps int
	stopped         Stopped
}

// reading is what was read of one wallet.
type reading struct {
	covered   []span
	windows   int
	transfers int
	hub       bool
	failed    tracer.Reason // no use to read more
	detail    string
	native    string // why native transfers are missing, if they are
	internal  string // why internal transfers are missing, if they are
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

func (w *walk) wallet(a common.Address) tracer.Wallet {
	return tracer.Wallet{Chain: w.Chain.ID, Address: a}
}

func (w *walk) reading(a common.Address) *reading {
	r := w.read[a]
	if r == nil {
		r = new(reading)
		w.read[a] = r
	}
	return r
}

// service asks Options.Service.
func (w *walk) service(x tracer.Wallet) (string, ledger.Stop) {
	if w.Service == nil {
		return "", ledger.Follow
	}
	return w.Service(x)
}

// start pins the block and reads the seeds.
func (w *walk) start(ctx context.Context, seeds []tracer.Seed) error {
	if len(seeds) == 0 {
		return fmt.Errorf("%w: name at least one wallet or transaction that was paid", tracer.ErrUsage)
	}
	var err error
	if w.pinned, err = w.src.Pin(ctx); err != nil {
		return fmt.Errorf("find the last final block: %w", err)
	}
	w.until = w.pinned.Number
	if w.Since > 0 {
		if w.since, err = w.src.BlockAt(ctx, w.Since); err != nil {
			return fmt.Errorf("find the first block of the time span: %w", err)
		}
	}
	if w.Until > 0 && w.Until < math.MaxUint64 {
		after, err := w.src.BlockAt(ctx, w.Until+1)
		if err != nil {
			return fmt.Errorf("find the last block of the time span: %w", err)
		}
		w.until = min(w.until, max(after, 1)-1)
	}
	if w.since > w.until {
		return fmt.Errorf("%w: there is no block between the two times; the last final block is of %s", tracer.ErrUsage, time.Unix(int64(w.pinned.Time), 0).UTC().Format(time.RFC3339))
	}
	var txs []common.Hash
	var wallets []common.Address
	for _, s := range seeds {
		if s.IsTx() {
			txs = append(txs, s.Tx)
			continue
		}
		if name, stop := w.service(w.wallet(s.Wallet)); stop != ledger.Follow || s.Wallet == (common.Address{}) {
			return fmt.Errorf("%w: %s is %s, a service that many people use; tracing it would follow strangers' money, so please give the transaction hash of the payment instead", tracer.ErrUsage, s.Wallet.Hex(), cmp.Or(name, "the zero address"))
		}
		wallets = append(wallets, s.Wallet)
	}
	slices.SortFunc(wallets, common.Address.Cmp)
	slices.SortFunc(txs, common.Hash.Cmp)
	wallets, txs = slices.Compact(wallets), slices.Compact(txs)
	paid, err := w.payments(ctx, txs, wallets)
	if err != nil {
		return err
	}
	for _, a := range wallets {
		if !paid[a] {
			w.seeds = append(w.seeds, Seed{Wallet: w.wallet(a)})
		}
	}
	slices.SortFunc(w.seeds, func(a, b Seed) int { return cmp.Or(a.Wallet.Compare(b.Wallet), a.Tx.Cmp(b.Tx)) })
	return nil
}

// payments fetches the reported transactions and finds out whom they paid.
func (w *walk) payments(ctx context.Context, txs []common.Hash, wallets []common.Address) (map[common.Address]bool, error) {
	paid := make(map[common.Address]bool)
	if len(txs) == 0 {
		return paid, nil
	}
	ans, err := w.src.Transactions(ctx, txs)
	w.requests += ans.Requests
	if errors.Is(err, tracer.ErrNotFound) {
		return nil, fmt.Errorf("%w: %w; check the hash and the chain, and if the payment is very new try again in half an hour", tracer.ErrUsage, err)
	} else if err != nil {
		return nil, fmt.Errorf("read the reported payments: %w", err)
	}
	w.store.Add(ans.Transfers)
	for _, tx := range txs {
		w.whole[tx] = true
		to := w.receivers(ans.Transfers, tx)
		if named := slices.DeleteFunc(slices.Clone(to), func(a common.Address) bool { return !slices.Contains(wallets, a) }); len(named) > 0 {
			to = named
		}
		switch {
		case len(to) == 0:
			return nil, fmt.Errorf("%w: transaction %s moved no money: it failed, or it only called a contract; please check the hash", tracer.ErrUsage, tx.Hex())
		case len(to) > 1 && !slices.Contains(wallets, to[0]):
			var names []string
			for _, a := range to[:min(len(to), 5)] {
				names = append(names, a.Hex())
			}
			if len(to) > len(names) {
				names = append(names, fmt.Sprintf("and %d more", len(to)-len(names)))
			}
			return nil, fmt.Errorf("%w: transaction %s paid %d wallets (%s); please name the wallet that was the scam's as well", tracer.ErrUsage, tx.Hex(), len(to), strings.Join(names, ", "))
		}
		for _, a := range to {
			paid[a] = true
			w.seeds = append(w.seeds, Seed{Wallet: w.wallet(a), Tx: tx})
		}
	}
	return paid, nil
}

// receivers returns who got something in a transaction and gave nothing for
// it, sorted. Known money counts first; a token nobody knows only when nothing
// else moved.
func (w *walk) receivers(ts []tracer.Transfer, tx common.Hash) []common.Address {
	for _, known := range []bool{true, false} {
		type key struct {
			a     common.Address
			asset tracer.Asset
		}
		in, out := make(map[key]*uint256.Int), make(map[key]*uint256.Int)
		at := func(m map[key]*uint256.Int, k key) *uint256.Int {
			if m[k] == nil {
				m[k] = new(uint256.Int)
			}
			return m[k]
		}
		for i := range ts {
			t := &ts[i]
			if t.Tx != tx || !t.Counts() || t.Kind == tracer.KindFee || known && !w.Chain.Known(t.Asset) {
				continue
			}
			v := at(in, key{t.To, t.Asset})
			v.Add(v, &t.Amount)
			v = at(out, key{t.From, t.Asset})
			v.Add(v, &t.Amount)
		}
		gave := make(map[common.Address]bool)
		for k, o := range out {
			if at(in, k).Lt(o) {
				gave[k.a] = true
			}
		}
		var to []common.Address
		for k, i := range in {
			if at(out, k).Lt(i) && !gave[k.a] {
				to = append(to, k.a)
			}
		}
		slices.SortFunc(to, common.Address.Cmp)
		if to = slices.Compact(to); len(to) > 0 {
			return to
		}
	}
	return nil
}

// step does one round and reports whether there may be more to do.
func (w *walk) step(ctx context.Context) (bool, error) {
	if err := w.account(); err != nil {
		return false, err
	}
	todo := w.choose()
	if w.Progress != nil {
		w.Progress(Progress{w.steps, len(w.read), w.store.Len(), w.requests, len(todo), w.arrived()})
	}
	if len(todo) == 0 {
		return false, nil
	}
	if ctx.Err() != nil {
		w.stopped = Stopped{tracer.ReasonStopped, "the run was interrupted"}
		return false, nil
	}
	left := w.Limits.Requests - w.requests
	if left <= 0 {
		w.stopped = Stopped{tracer.ReasonBudget, fmt.Sprintf("the budget of %d requests ran out", w.Limits.Requests)}
		return false, nil
	}
	room := w.Limits.Wallets - w.wallets()
	todo = slices.DeleteFunc(todo, func(c choice) bool {
		if r := w.read[c.wallet]; r != nil && len(r.covered) > 0 {
			return false
		}
		room--
		return room < 0
	})
	if len(todo) == 0 {
		w.stopped = Stopped{tracer.ReasonBudget, fmt.Sprintf("the budget of %d wallets ran out", w.Limits.Wallets)}
		return false, nil
	}
	w.steps++
	todo = todo[:min(len(todo), batch)]
	if again := w.complete(ctx, todo); again {
		return true, nil
	}
	if left = w.Limits.Requests - w.requests; left <= 0 {
		return true, nil // the next step says so
	}
	return w.fetch(ctx, todo, left), nil
}

// wallets counts the wallets that were read.
func (w *walk) wallets() int {
	n := 0
	for _, r := range w.read {
		if len(r.covered) > 0 {
			n++
		}
	}
	return n
}

// fetch reads the chosen spans and reports whether the walk can go on.
func (w *walk) fetch(ctx context.Context, todo []choice, left int) bool {
	q := tracer.Query{MaxTransfers: w.Limits.Hub, MaxRequests: left}
	seeds := todo[0].seed
	if seeds {
		q.MaxTransfers *= 10
	}
	asked := make(map[common.Address]bool)
	for _, c := range todo {
		if c.seed != seeds {
			continue // seeds are read first, with their own bound
		}
		asked[c.wallet] = true
		q.Spans = append(q.Spans, tracer.Span{Wallet: c.wallet, From: c.from, To: c.to})
	}
	ans, err := w.src.Transfers(ctx, q)
	w.requests += ans.Requests
	w.store.Add(ans.Transfers)
	unread := make(map[common.Address][]tracer.Unread)
	for _, u := range ans.Unread {
		unread[u.Wallet] = append(unread[u.Wallet], u)
	}
	for i := range ans.Transfers {
		t := &ans.Transfers[i]
		if asked[t.From] {
			w.reading(t.From).transfers++
		}
		if asked[t.To] && t.To != t.From {
			w.reading(t.To).transfers++
		}
	}
	for _, s := range q.Spans {
		w.mark(w.reading(s.Wallet), s, unread[s.Wallet], q.MaxTransfers)
	}
	switch {
	case ctx.Err() != nil:
		w.stopped = Stopped{tracer.ReasonStopped, "the run was interrupted"}
	case err != nil:
		w.stopped = Stopped{tracer.ReasonSource, err.Error()}
	default:
		return true
	}
	return false
}

// mark records what an answer covered of one span.
func (w *walk) mark(r *reading, s tracer.Span, unread []tracer.Unread, hub int) {
	r.windows++
	to := s.To
	for _, u := range unread {
		if u.To < s.From || u.From > s.To {
			continue
		}
		switch {
		case u.Part == tracer.PartInternal:
			r.internal = cmp.Or(u.Detail, "the endpoint shows no internal transfers")
		case u.Part == tracer.PartNative:
			r.native = cmp.Or(u.Detail, "the endpoint shows no native transfers")
		case u.Reason == tracer.ReasonCrowded:
			r.hub = true
		case u.From > s.From && (u.Reason == tracer.ReasonBudget || u.Reason == tracer.ReasonStopped):
			// The rest stays to be read, by this walk or by the next.
		default:
			r.failed, r.detail = u.Reason, u.Detail
		}
		if u.Part == tracer.PartAll || u.Part == tracer.PartTokens {
			if u.From <= s.From {
				to = 0
				if u.To < s.To {
					r.cover(u.To+1, s.To)
				}
			} else {
				to = min(to, u.From-1)
			}
		}
	}
	if to > 0 {
		r.cover(s.From, to)
	}
	if r.transfers > hub {
		r.hub = true
	}
}

// complete finds out which of the chosen wallets are contracts, and fetches
// the whole of the transactions that brought traced money to them: what looks
// like a payment to a contract is often a swap, or is passed on at once. It
// reports whether it learned of new transfers.
func (w *walk) complete(ctx context.Context, todo []choice) bool {
	cs, ok := w.src.(tracer.CodeSource)
	if !ok {
		return false
	}
	var ask []common.Address
	for _, c := range todo {
		if _, known := w.code[c.wallet]; !known {
			ask = append(ask, c.wallet)
		}
	}
	ask = ask[:min(len(ask), w.Limits.Requests-w.requests)]
	if len(ask) > 0 {
		code, n, err := cs.Contracts(ctx, ask)
		w.requests += n
		if err != nil {
			return false // the read that follows meets the same trouble and reports it
		}
		for i, a := range ask {
			w.code[a] = code[i]
		}
	}
	contract := make(map[uint32]bool)
	for _, c := range todo {
		if id, ok := w.store.WalletID(w.wallet(c.wallet)); ok {
			contract[id] = w.code[c.wallet]
		}
	}
	var txs []common.Hash
	for _, m := range w.books.Moves {
		e := &w.entries[m.Entry]
		if tx := w.store.Tx(e.Tx); contract[e.To] && !w.whole[tx] && len(txs) < wholeTransactions {
			w.whole[tx] = true
			txs = append(txs, tx)
		}
	}
	if left := w.Limits.Requests - w.requests; len(txs) > left/4 {
		txs = txs[:left/4]
	}
	if len(txs) == 0 {
		return false
	}
	ans, err := w.src.Transactions(ctx, txs)
	w.requests += ans.Requests
	return w.store.Add(ans.Transfers) > 0 && err == nil
}

// arrived is the dollar value of what reached services.
func (w *walk) arrived() tracer.Micros {
	var sum tracer.Micros
	for _, a := range w.books.Arrivals {
		if r := w.read[w.store.Wallet(a.Wallet).Address]; r == nil || !r.hub {
			usd, _ := w.worth(a.Asset, &a.Amount, w.entries[a.Entry].Time)
			sum += usd
		}
	}
	return sum
}

func (w *walk) worth(asset uint32, amount *uint256.Int, time uint64) (tracer.Micros, bool) {
	if w.Worth == nil {
		return 0, false
	}
	return w.Worth(w.store.Asset(asset), amount, time)
}
