package ledger

import "github.com/holiman/uint256"

// Some exports give, in place of units of an asset, the dollar value of every
// movement ([Asset.Value]). Then the same money has another amount each time it
// moves: prices change while a wallet holds it, and a price list values the two
// sides of a swap apart. Strict books would lose what is plainly the same
// money, so its amount may change in two ways, both booked as conversions of a
// wallet with itself: by [Input.Drift] while it is held, and inside one
// transaction as [exchange.swaps] allows for swaps.

// values plays the entries i to j, one transaction of values. Their order is
// not known: money arrives before it leaves, where there is such an order.
func (r *run) values(i, j int) {
	type sums struct {
		waits           int // entries to the wallet not played yet
		in, out, traced uint256.Int
		paid            bool
	}
	all := make(map[uint64]*sums)
	at := func(wallet, asset uint32) *sums {
		k := uint64(wallet)<<32 | uint64(asset)
		if all[k] == nil {
			all[k] = new(sums)
		}
		return all[k]
	}
	for k := i; k < j; k++ {
		if e := &r.Entries[k]; r.nets(e) {
			s := at(e.From, e.Asset)
			s.out.Add(&s.out, &e.Amount)
			s = at(e.To, e.Asset)
			s.in.Add(&s.in, &e.Amount)
			s.waits++
		}
	}
	played := make([]bool, j-i)
	for range j - i {
		next := -1
		for k, done := range played {
			e := &r.Entries[i+k]
			if done {
				continue
			}
			if next < 0 {
				next = k // the first of a circle
			}
			if !r.nets(e) || at(e.From, e.Asset).waits == 0 {
				next = k
				break
			}
		}
		played[next] = true
		e := &r.Entries[i+next]
		if !r.nets(e) {
			r.transfer(i + next)
			continue
		}
		s := at(e.From, e.Asset)
		if !s.paid {
			s.paid = true
			r.swapped(i+next, &s.in, &s.out, &s.traced)
		}
		before := len(r.res.Moves)
		r.transfer(i + next)
		s = at(e.To, e.Asset)
		s.waits--
		for _, m := range r.res.Moves[before:] {
			s.traced.Add(&s.traced, &m.Traced)
		}
	}
}

// swapped changes the amount of the money that came to the payer of entry i in
// this transaction, when the payer passes on more than it got and has. As in a
// swap, the smaller side must be half of the larger one at least.
func (r *run) swapped(i int, in, out, traced *uint256.Int) {
	e := &r.Entries[i]
	var twice uint256.Int
	if traced.IsZero() || !in.Lt(out) || twice.Add(in, in).Lt(out) || r.stops[e.From] == Sink {
		return
	}
	a := r.account(e.From, e.Asset)
	var have, gain, part uint256.Int
	have.Add(&a.traced, &a.clean)
	if !have.Lt(out) {
		return
	}
	gain.Sub(out, in)
	if have.Sub(out, &have); have.Lt(&gain) {
		gain = have
	}
	part.MulDivOverflow(&gain, traced, in)
	r.revalue(i, a, &part)
	r.credit(i, a, &uint256.Int{}, gain.Sub(&gain, &part))
}

// drift lets the traced money of the payer of entry i be worth up to
// [Input.Drift] percent more than when it came, when the payer pays more than
// all it has.
func (r *run) drift(i int, a *account, amount *uint256.Int) {
	var have, missing, gain uint256.Int
	have.Add(&a.traced, &a.clean)
	if !have.Lt(amount) {
		return
	}
	missing.Sub(amount, &have)
	gain.MulDivOverflow(&a.received, uint256.NewInt(uint64(r.Drift)), uint256.NewInt(100))
	if gain.Lt(&a.drifted) || gain.Eq(&a.drifted) {
		return
	}
	gain.Sub(&gain, &a.drifted)
	if missing.Lt(&gain) {
		gain = missing
	}
	a.drifted.Add(&a.drifted, &gain)
	r.revalue(i, a, &gain)
}

// revalue adds gain to the traced money of an account.
func (r *run) revalue(i int, a *account, gain *uint256.Int) {
	if gain.IsZero() {
		return
	}
	c := Conversion{Entry: i, Payer: a.wallet, Receiver: a.wallet}
	t := &r.res.Totals[a.asset]
	if !a.traced.IsZero() {
		c.Out = []Part{{a.asset, a.traced}}
		t.ConvertedOut.Add(&t.ConvertedOut, &a.traced)
	}
	r.credit(i, a, gain, &uint256.Int{})
	c.In = []Part{{a.asset, a.traced}}
	t.ConvertedIn.Add(&t.ConvertedIn, &a.traced)
	r.res.Conversions = append(r.res.Conversions, c)
}
