package walk

import (
	"cmp"
	"iter"
	"maps"
	"math"
	"slices"

	"scamtrace/tracer"
	"scamtrace/tracer/ledger"

	"github.com/ethereum/go-ethereum/common"
)

// maxAmount is the length in bits of amounts that can be money. No asset has
// as many units; a token that says otherwise would only upset sums.
const maxAmount = 192

// account runs the ledger over everything known, again whenever learn reports
// that more is known.
func (w *Walk) account(learn func() bool) error {
	w.entries, w.rows = w.entries[:0], w.rows[:0]
	for n, r := range w.store.Rows() {
		if r.Kind == tracer.KindNFT || r.Amount.IsZero() || r.Amount.BitLen() > maxAmount || r.From == r.To {
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
		Policy:  w.o.Policy,
		Near:    w.o.Chain.Blocks(near),
		Drift:   max(w.o.Drift, 0),
		Unseen:  w.o.Unseen,
	}
	for id := range w.store.Assets() {
		a := w.store.Asset(uint32(id))
		in.Assets = append(in.Assets, ledger.Asset{Known: w.o.Chain.Known(a), Value: a.Kind == tracer.USD})
	}
	for _, s := range w.seeds {
		id, ok := w.store.WalletID(s.Wallet)
		if !ok {
			continue
		}
		if s.Tx == (common.Hash{}) {
			in.Seeds = append(in.Seeds, ledger.Seed{Wallet: id, From: w.since, To: w.until, Unseen: w.o.Since == 0})
			continue
		}
		if tx, ok := w.store.TxID(w.o.Chain.ID, s.Tx); ok {
			in.Payments = append(in.Payments, ledger.Payment{Tx: tx, Wallet: id})
		}
	}
	w.input = in
	for {
		var err error
		if w.books, err = ledger.Run(in); err != nil {
			return err
		}
		if !learn() && !w.pools() && !learn() {
			return nil
		}
	}
}

// pools finds wallets that pool the money of many: those that many paid and
// that paid many, while most of what they got is not traced. It reports whether
// it found one. Whose money such a wallet pays out is a matter
// of the accounting rule alone. A wallet that collects from many and pays few is none.
func (w *Walk) pools() bool {
	type party struct {
		senders, receivers map[uint32]bool
		got, traced        tracer.Micros
	}
	parties := make(map[uint32]*party)
	for id := range uint32(w.store.Wallets()) {
		r := w.read[w.store.Wallet(id).Address]
		if r != nil && !r.hub && r.transfers >= 2*manyParties && r.transfers > r.judged {
			parties[id] = &party{senders: make(map[uint32]bool), receivers: make(map[uint32]bool)}
		}
	}
	if len(parties) == 0 {
		return false
	}
	for i := range w.entries {
		e := &w.entries[i]
		if e.Kind == tracer.KindFee || !w.o.Chain.Known(w.store.Asset(e.Asset)) {
			continue
		}
		if p := parties[e.From]; p != nil {
			p.receivers[e.To] = true
		}
		if p := parties[e.To]; p != nil {
			p.senders[e.From] = true
			usd, _ := w.worth(e.Asset, &e.Amount, e.Time)
			p.got += usd
		}
	}
	for _, m := range w.books.Moves {
		e := &w.entries[m.Entry]
		if p := parties[e.To]; p != nil && e.Kind != tracer.KindFee {
			usd, _ := w.worth(e.Asset, &m.Traced, e.Time)
			p.traced += usd
		}
	}
	if w.lacks() {
		return false // not before it is known what all that was worth
	}
	for id := range parties {
		r := w.read[w.store.Wallet(id).Address]
		r.judged = r.transfers
	}
	found := false
	for _, s := range w.seeds {
		if id, ok := w.store.WalletID(s.Wallet); ok {
			delete(parties, id)
		}
	}
	for id, p := range parties {
		if len(p.senders) > manyParties && len(p.receivers) > manyParties && p.traced < p.got/2 {
			r := w.read[w.store.Wallet(id).Address]
			r.hub, r.pool, found = true, true, true
		}
	}
	return found
}

// stop says what money does at a wallet of the store.
func (w *Walk) stop(id uint32) ledger.Stop {
	for n := len(w.services); n <= int(id); n++ {
		_, stop := w.service(w.store.Wallet(uint32(n)))
		w.services = append(w.services, stop)
	}
	x := w.store.Wallet(id)
	if x.Address == (common.Address{}) {
		return ledger.Sink
	}
	if w.services[id] != ledger.Follow {
		return w.services[id]
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
	window   uint64        // the last block of the window that this begins; zero when it begins none
}

// choose returns what is worth reading up to a block, the best first: seeds, then
// by dollars at stake. Every tie has an order.
func (w *Walk) choose(end uint64) []choice {
	var todo []choice
	seeds := make(map[common.Address]bool)
	for _, s := range w.seeds {
		if s.Tx != (common.Hash{}) {
			continue
		}
		a := s.Wallet.Address
		seeds[a] = true
		r := w.reading(a)
		if gap, ok := r.missing(w.since, end); ok && !r.hub && r.failed == "" {
			todo = append(todo, choice{wallet: a, from: gap.from, to: gap.to, seed: true, stake: math.MaxInt64})
		}
	}
	past := w.past()
	type candidate struct {
		gap  span
		open bool
		r    *reading
	}
	candidates := make(map[uint32]candidate)
	some := make(map[uint32]bool)
	for id, all := range w.holders() {
		a := w.store.Wallet(id).Address
		r := w.known(a)
		if seeds[a] || r.hub || r.failed != "" {
			continue
		}
		if gap, open, ok := w.unread(r, all, past, end); ok {
			candidates[id] = candidate{gap, open, r}
			some[id] = true
		}
	}
	stakes := w.stakes(some)
	for id, x := range candidates {
		gap, open, r := x.gap, x.open, x.r
		c := choice{wallet: w.store.Wallet(id).Address, from: gap.from, to: gap.to, stake: stakes[id]}
		switch {
		case open && gap.from <= r.window:
			c.to = min(gap.to, r.window) // the chain has grown since the window was begun
		case c.stake < w.o.Limits.MinUSD:
			continue
		case open:
			c.window = gap.from + w.window(r.windows)
			c.to = min(gap.to, c.window)
		}
		todo = append(todo, c)
	}
	slices.SortFunc(todo, func(a, b choice) int {
		return cmp.Or(cmp.Compare(b.stake, a.stake), a.wallet.Cmp(b.wallet))
	})
	return todo
}

// holders yields the wallets that held traced money, and when.
func (w *Walk) holders() iter.Seq2[uint32, []ledger.Interval] {
	return func(yield func(uint32, []ledger.Interval) bool) {
		all := w.books.Intervals
		for i := 0; i < len(all); {
			j := i + 1
			for j < len(all) && all[j].Wallet == all[i].Wallet {
				j++
			}
			if !yield(all[i].Wallet, all[i:j]) {
				return
			}
			i = j
		}
	}
}

// past reports whether what a wallet did before it held traced money matters
// too: to know all that it was seen to receive.
func (w *Walk) past() bool {
	for id := range w.store.Assets() {
		if w.store.Asset(uint32(id)).Kind == tracer.USD {
			return true
		}
	}
	return w.o.Unseen || w.o.Policy.Past()
}

// unread returns the first part of a wallet's holding intervals up to a block
// that was not read, and whether the wallet still held traced money at its end.
func (w *Walk) unread(r *reading, all []ledger.Interval, past bool, end uint64) (gap span, open, ok bool) {
	if past {
		if gap, ok := r.missing(0, all[0].From); ok {
			return gap, false, true
		}
	}
	for _, v := range all {
		to := v.To
		if v.Open {
			to = end
		}
		if gap, ok := r.missing(v.From, to); ok {
			return gap, v.Open, true
		}
	}
	return span{}, false, false
}

// window returns how many blocks beyond the first a wallet's window has after
// n others.
func (w *Walk) window(n int) uint64 {
	switch n {
	case 0:
		return w.o.Chain.Blocks(firstWindow)
	case 1:
		return w.o.Chain.Blocks(secondWindow)
	}
	return math.MaxUint64 / 2
}

// stakes returns, for some wallets, the dollars that may have moved on unseen: all it
// got, or, once some of it was read, what the books say it holds, unless they
// say that all is gone. What others show of a wallet that was not read is not
// all that it did. Money without a price counts as just worth reading.
func (w *Walk) stakes(of map[uint32]bool) map[uint32]tracer.Micros {
	got := make(map[uint32]tracer.Micros)
	add := func(m map[uint32]tracer.Micros, wallet uint32, p ledger.Part, time uint64) {
		if !of[wallet] {
			return
		}
		usd, ok := w.worth(p.Asset, &p.Amount, time)
		if !ok {
			usd = w.o.Limits.MinUSD
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
		if r := w.read[w.store.Wallet(h.Wallet).Address]; r != nil && len(r.covered) > 0 {
			add(held, h.Wallet, h.Part, h.Time)
		}
	}
	maps.Copy(got, held)
	return got
}
