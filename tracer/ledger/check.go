package ledger

import (
	"fmt"

	"scamtrace/tracer"

	"github.com/holiman/uint256"
)

// check recomputes every account from what the result says happened, and
// compares it with what the result says is left (promise P11).
func (r *run) check() error {
	type sums struct{ in, out uint256.Int }
	books := make(map[uint64]*sums)
	at := func(w, a uint32) *sums {
		k := uint64(w)<<32 | uint64(a)
		s := books[k]
		if s == nil {
			s = new(sums)
			books[k] = s
		}
		return s
	}
	fail := func(w, a uint32, format string, args ...any) error {
		return &ConservationError{w, a, fmt.Sprintf(format, args...)}
	}
	totals := make([]Total, len(r.Assets))
	add := func(z, x *uint256.Int) { z.Add(z, x) }
	for _, v := range r.res.Receipts {
		add(&at(v.Wallet, v.Asset).in, &v.Amount)
		add(&totals[v.Asset].Reported, &v.Amount)
	}
	for _, m := range r.res.Moves {
		e := &r.Entries[m.Entry]
		if e.Amount.Lt(&m.Traced) {
			return fail(e.From, e.Asset, "entry %d moves %s of which %s are traced", m.Entry, e.Amount.Dec(), m.Traced.Dec())
		}
		add(&at(e.From, e.Asset).out, &m.Traced)
		if e.Kind == tracer.KindFee {
			add(&totals[e.Asset].Fees, &m.Traced)
			continue
		}
		add(&at(e.To, e.Asset).in, &m.Traced)
	}
	for _, c := range r.res.Conversions {
		for _, p := range c.Out {
			add(&at(c.Payer, p.Asset).out, &p.Amount)
			add(&totals[p.Asset].ConvertedOut, &p.Amount)
		}
		for _, p := range c.In {
			add(&at(c.Receiver, p.Asset).in, &p.Amount)
			add(&totals[p.Asset].ConvertedIn, &p.Amount)
		}
	}
	for _, a := range r.res.Arrivals {
		add(&at(a.Wallet, a.Asset).out, &a.Amount)
		add(&totals[a.Asset].Stopped, &a.Amount)
	}
	for _, h := range r.res.Held {
		add(&at(h.Wallet, h.Asset).out, &h.Amount)
		add(&totals[h.Asset].Held, &h.Amount)
	}
	for k, s := range books {
		if !s.in.Eq(&s.out) {
			return fail(uint32(k>>32), uint32(k), "%s came in, %s went out or is held", s.in.Dec(), s.out.Dec())
		}
	}
	for asset, t := range totals {
		if t != r.res.Totals[asset] {
			return fail(0, uint32(asset), "the totals differ from the sum of the accounts")
		}
		var in, out uint256.Int
		in.Add(&t.Reported, &t.ConvertedIn)
		for _, v := range []*uint256.Int{&t.Stopped, &t.Held, &t.Fees, &t.ConvertedOut} {
			out.Add(&out, v)
		}
		if !in.Eq(&out) {
			return fail(0, uint32(asset), "%s came in, %s went out or is held", in.Dec(), out.Dec())
		}
	}
	return nil
}
