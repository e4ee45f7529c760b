package walk

import (
	"cmp"
	"maps"
	"math"
	"slices"

	"scamtrace/tracer"
	"scamtrace/tracer/ledger"

	"github.com/ethereum/go-ethereum/common"
)

// account runs the ledger over everything known.
func (w *walk) account() error {
	w.entries, w.rows = w.entries[:0], w.rows[:0]
	for n, r := range w.store.Rows() {
		if r.Kind == tracer.KindNFT || r.Amount.IsZero() || r.From == r.To {
			continue
		}
		w.entries = append(w.entries, ledger.Entry{
			From: r.From, To: r.To, Asset: r.Asset, Tx: r.Tx,
			Block: r.Block, Time: r.Time, Amount: r.Amount, Kind: r.Kind,
		})
		w.rows = append(w.rows, n)
	}
	in := ledger.Input{
		Entries: w.entries,
		Wallets: w.store.Wallets(),
		Stop:    w.stop,
		Worth:   w.worth,
		Policy:  w.Policy,
		Near:    w.Chain.Blocks(near),
	}
	for a := range w.store.Assets() {
		in.Assets = append(in.Assets, ledger.Asset{Known: w.Chain.Known(w.store.Asset(uint32(a)))})
	}
	for _, s := range w.seeds {
		id, ok := w.store.WalletID(s.Wallet)
		if !ok {
			continue
		}
		if s.Tx == (common.Hash{}) {
			in.Seeds = append(in.Seeds, ledger.Seed{Wallet: id, From: w.since, To: w.until, Unseen: w.Since == 0})
			continue
		}
		if tx, ok := w.store.TxID(w.Chain.ID, s.Tx); ok {
			in.Payments = append(in.Payments, ledger.Payment{Tx: tx, Wallet: id})
		}
	}
	var err error
	w.books, err = ledger.Run(in)
	return err
}

// stop says what money does at a wallet of the store.
func (w *walk) stop(id uint32) ledger.Stop {
	x := w.store.Wallet(id)
	if _, stop := w.service(x); stop != ledger.Follow {
		return stop
	}
	if x.Address == (common.Address{}) {
		return ledger.Sink
	}
	if r := w.read[x.Address]; r != nil && r.hub {
		return ledger.Sink
	}
	return ledger.Follow
}

// A choice is a wallet to read, and the blocks to read of it.
type choice struct {
	wallet   common.Address
	from, to uint64
	seed     bool          // a seed wallet whose receipts are the victim's
	stake    tracer.Micros // traced money that may have moved on unseen
}

// choose returns what is worth reading, the best first: seeds, then by dollars
// at stake. Every tie has an order.
func (w *walk) choose() []choice {
	var todo []choice
	seeds := make(map[common.Address]bool)
	for _, s := range w.seeds {
		if s.Tx != (common.Hash{}) {
			continue
		}
		a := s.Wallet.Address
		seeds[a] = true
		r := w.reading(a)
		if gap, ok := r.missing(w.since, w.pinned.Number); ok && !r.hub && r.failed == "" {
			todo = append(todo, choice{a, gap.from, gap.to, true, math.MaxInt64})
		}
	}
	stakes := w.stakes()
	for i := 0; i < len(w.books.Intervals); {
		j := i
		id := w.books.Intervals[i].Wallet
		for j < len(w.books.Intervals) && w.books.Intervals[j].Wallet == id {
			j++
		}
		all := w.books.Intervals[i:j]
		i = j
		a := w.store.Wallet(id).Address
		if seeds[a] {
			continue
		}
		r := w.read[a]
		if r == nil {
			r = new(reading) // not kept: only what is read has one
		}
		if r.hub || r.failed != "" || stakes[id] < w.Limits.MinUSD {
			continue
		}
		if gap, open, ok := w.unread(r, all); ok {
			if open {
				gap.to = min(gap.to, gap.from+w.window(r.windows))
			}
			todo = append(todo, choice{a, gap.from, gap.to, false, stakes[id]})
		}
	}
	slices.SortFunc(todo, func(a, b choice) int {
		return cmp.Or(cmp.Compare(b.stake, a.stake), a.wallet.Cmp(b.wallet))
	})
	return todo
}

// unread returns the first part of a wallet's holding intervals that was not
// read, and whether the wallet still held traced money at its end.
func (w *walk) unread(r *reading, all []ledger.Interval) (gap span, open, ok bool) {
	for _, v := range all {
		to := v.To
		if v.Open {
			to = w.pinned.Number
		}
		if gap, ok := r.missing(v.From, to); ok {
			return gap, v.Open, true
		}
	}
	return span{}, false, false
}

// window returns how many blocks beyond the first to read of a wallet that was
// read n times.
func (w *walk) window(n int) uint64 {
	switch n {
	case 0:
		return w.Chain.Blocks(firstWindow)
	case 1:
		return w.Chain.Blocks(secondWindow)
	}
	return math.MaxUint64 / 2
}

// stakes returns, by wallet, the dollars that may have moved on unseen: what
// the books say it holds, or, where they say that all is gone, what it got.
// Money without a price counts as just worth reading.
func (w *walk) stakes() map[uint32]tracer.Micros {
	got := make(map[uint32]tracer.Micros)
	add := func(m map[uint32]tracer.Micros, wallet uint32, p ledger.Part, time uint64) {
		usd, ok := w.worth(p.Asset, &p.Amount, time)
		if !ok {
			usd = w.Limits.MinUSD
		}
		m[wallet] += usd
	}
	for _, v := range w.books.Receipts {
		add(got, v.Wallet, ledger.Part{Asset: v.Asset, Amount: v.Amount}, w.entries[v.Entry].Time)
	}
	for _, m := range w.books.Moves {
		e := &w.entries[m.Entry]
		if e.Kind != tracer.KindFee {
			add(got, e.To, ledger.Part{Asset: e.Asset, Amount: m.Traced}, e.Time)
		}
	}
	for _, c := range w.books.Conversions {
		for _, p := range c.In {
			add(got, c.Receiver, p, w.entries[c.Entry].Time)
		}
	}
	held := make(map[uint32]tracer.Micros)
	for _, h := range w.books.Held {
		add(held, h.Wallet, h.Part, h.Time)
	}
	maps.Copy(got, held)
	return got
}
