package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"scamtrace/tracer"

	"github.com/holiman/uint256"
)

// A tally is sums of base units by where and asset. Where is a wallet, two
// wallets of a flow, or empty for a sum over all.
type tally struct {
	what string // in the words of an error
	sums map[place]*uint256.Int
	err  error // the first
}

type place struct{ where, asset string }

func newTally(what string) *tally { return &tally{what: what, sums: make(map[place]*uint256.Int)} }

func (t *tally) add(where, asset, units string) {
	v, err := uint256.FromDecimal(units)
	if err != nil {
		t.err = cmp.Or(t.err, fmt.Errorf("%q is not an amount", clean(units, 80)))
		return
	}
	k := place{where, asset}
	s := t.sums[k]
	if s == nil {
		s = new(uint256.Int)
		t.sums[k] = s
	}
	if _, overflow := s.AddOverflow(s, v); overflow {
		t.err = cmp.Or(t.err, fmt.Errorf("the sums of %s are more than 256 bits can hold", asset))
	}
}

func (t *tally) list(where string, list []Amount) {
	for i := range list {
		t.add(where, list[i].Asset, list[i].Amount)
	}
}

func (t *tally) of(k place) uint256.Int {
	if v := t.sums[k]; v != nil {
		return *v
	}
	return uint256.Int{}
}

// equal reports the first sum in which two tallies differ.
func (t *tally) equal(o *tally) error {
	if err := cmp.Or(t.err, o.err); err != nil {
		return err
	}
	var differ []place
	for k := range t.sums {
		if t.of(k) != o.of(k) {
			differ = append(differ, k)
		}
	}
	for k := range o.sums {
		if t.sums[k] == nil && !o.sums[k].IsZero() {
			differ = append(differ, k)
		}
	}
	if len(differ) == 0 {
		return nil
	}
	k := slices.MinFunc(differ, func(x, y place) int { return cmp.Or(cmp.Compare(x.where, y.where), cmp.Compare(x.asset, y.asset)) })
	where := ""
	if k.where != "" {
		where = " at " + k.where
	}
	a, b := t.of(k), o.of(k)
	return fmt.Errorf("the sums of %s%s do not add up: %s %s, %s %s", k.asset, where, t.what, a.Dec(), o.what, b.Dec())
}

// check adds everything up again, from the report alone (promise P11): every
// wallet and flow, the totals, the lists against the totals, and the dollars.
func (r *Report) check() error {
	// What the parts of the report say, to be held against each other.
	got, gave := newTally("by what came"), newTally("by what went")                // at wallets
	received, kept := newTally("received"), newTally("sent, kept or lost")         // at wallets
	sent, fees, off := newTally("sent"), newTally("fees"), newTally("written off") // at wallets
	moved, flows := newTally("by the transfers"), newTally("by the flows")
	seeds, payments := newTally("by the seeds"), newTally("by their payments")
	in, out := newTally("by the conversions"), newTally("by the conversions")
	exits, gaps := newTally("by the exits"), newTally("by the gaps")
	wallet := make(map[string]*tally) // sums over wallets
	for _, name := range []string{"assumed", "held", "exited", "written off", "in gaps"} {
		wallet[name] = newTally("by the wallets")
	}
	for i := range r.Seeds {
		s := &r.Seeds[i]
		seeds.list("", s.Amounts)
		for _, p := range s.Payments {
			payments.add("", p.Asset, p.Amount)
			got.add(s.Address, p.Asset, p.Amount)
		}
	}
	for i := range r.Transfers {
		t := &r.Transfers[i]
		if t.Kind == tracer.KindFee.String() {
			fees.add(t.From, t.Asset, t.Traced)
			continue
		}
		gave.add(t.From, t.Asset, t.Traced)
		got.add(t.To, t.Asset, t.Traced)
		moved.add(t.From+" to "+t.To, t.Asset, t.Traced)
	}
	for i := range r.Flows {
		f := &r.Flows[i]
		flows.add(f.From+" to "+f.To, f.Asset, f.Traced)
	}
	for i := range r.Conversions {
		c := &r.Conversions[i]
		gave.list(c.Wallet, c.Out)
		got.list(c.Receiver, c.In)
		out.list("", c.Out)
		in.list("", c.In)
	}
	for i := range r.Exits {
		exits.list("", r.Exits[i].Amounts)
	}
	for i := range r.Gaps {
		gaps.list("", r.Gaps[i].Amounts)
	}
	for i := range r.Wallets {
		w := &r.Wallets[i]
		received.list(w.Address, w.Received)
		got.list(w.Address, w.Assumed)
		wallet["assumed"].list("", w.Assumed)
		sent.list(w.Address, w.Sent)
		off.list(w.Address, w.WrittenOff)
		wallet["held"].list("", w.Held)
		wallet["exited"].list("", w.Exited)
		wallet["written off"].list("", w.WrittenOff)
		wallet["in gaps"].list("", w.Gap)
		for _, list := range [][]Amount{w.Sent, w.Held, w.Exited, w.WrittenOff, w.Gap} {
			kept.list(w.Address, list)
		}
	}
	came, went := newTally("came in"), newTally("is accounted for")
	total := make(map[string]*tally)
	for _, t := range r.Totals.Assets {
		for _, c := range []struct {
			name, units string
			side        *tally
		}{
			{"reported", t.Reported, came}, {"assumed", t.Assumed, came}, {"converted in", t.ConvertedIn, came},
			{"converted out", t.ConvertedOut, went}, {"exited", t.Exited, went}, {"held", t.Held, went},
			{"written off", t.WrittenOff, went}, {"in gaps", t.Gaps, went},
		} {
			if total[c.name] == nil {
				total[c.name] = newTally(c.name)
			}
			total[c.name].add("", t.Asset, c.units)
			c.side.add("", t.Asset, c.units)
		}
	}
	of := func(name string) *tally { return cmp.Or(total[name], newTally(name)) }
	for _, pair := range [][2]*tally{
		{came, went}, {received, kept}, {received, got}, {sent, gave}, {flows, moved}, {seeds, payments},
		{of("reported"), seeds}, {of("assumed"), wallet["assumed"]}, {of("converted in"), in}, {of("converted out"), out},
		{of("exited"), exits}, {of("exited"), wallet["exited"]}, {of("held"), wallet["held"]},
		{of("written off"), wallet["written off"]}, {of("in gaps"), gaps}, {of("in gaps"), wallet["in gaps"]},
	} {
		if err := pair[0].equal(pair[1]); err != nil {
			return err
		}
	}
	// The rest of what was written off was burned.
	for _, k := range slices.SortedFunc(maps.Keys(fees.sums), func(x, y place) int { return cmp.Compare(x.where+x.asset, y.where+y.asset) }) {
		if a, b := fees.of(k), off.of(k); b.Lt(&a) {
			return fmt.Errorf("%s paid fees of %s %s, but only %s is written off there", k.where, a.Dec(), k.asset, b.Dec())
		}
	}
	if fees.err != nil {
		return fees.err
	}
	if got := r.dollars(); got != r.Totals.USD {
		return fmt.Errorf("the dollars do not add up: the totals say %+v, the lists %+v", r.Totals.USD, got)
	}
	return nil
}

// dollars adds up the dollars that the lists of a report print.
func (r *Report) dollars() USDTotal {
	var reported, assumed, exited, held, off, gaps dollars
	add := func(d *dollars, list []Amount) {
		for i := range list {
			d.add(parseUSD(list[i].USD))
		}
	}
	for i := range r.Seeds {
		add(&reported, r.Seeds[i].Amounts)
	}
	for i := range r.Exits {
		add(&exited, r.Exits[i].Amounts)
	}
	for i := range r.Wallets {
		add(&assumed, r.Wallets[i].Assumed)
		add(&held, r.Wallets[i].Held)
		add(&off, r.Wallets[i].WrittenOff)
	}
	for i := range r.Gaps {
		add(&gaps, r.Gaps[i].Amounts)
	}
	return USDTotal{
		Reported: reported.sum.Decimal(), Assumed: assumed.sum.Decimal(), Exited: exited.sum.Decimal(), Held: held.sum.Decimal(),
		WrittenOff: off.sum.Decimal(), Gaps: gaps.sum.Decimal(),
		PriceChange: (plus(plus(exited.sum, held.sum), plus(off.sum, gaps.sum)) - plus(reported.sum, assumed.sum)).Decimal(),
		Unpriced:    reported.missing || assumed.missing || exited.missing || held.missing || off.missing || gaps.missing,
	}
}

// parseUSD reads an amount of dollars. ok is false for the empty string, which
// is one without a price.
func parseUSD(s string) (usd tracer.Micros, ok bool) {
	if s == "" {
		return 0, false
	}
	usd, err := tracer.ParseDollars(s)
	return min(usd, mostUSD), err == nil
}
