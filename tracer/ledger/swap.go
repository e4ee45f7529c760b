package ledger

import (
	"cmp"
	"slices"

	"scamtrace/tracer"

	"github.com/holiman/uint256"
)

const (
	// maxParts bounds what is netted. A transaction with more transfers is a
	// batch of strangers' payments; its transfers are played one by one.
	maxParts = 2_000
	// maxPaths bounds the pairs of payers and payees whose ways are looked for,
	// times the transfers to look through.
	maxPaths = 1 << 20
	// maxValues bounds what is put in order, which takes its square.
	maxValues = 200
)

// transaction plays the entries i to j, which are one transaction.
//
// A transaction happens at once: who passes everything on vanishes from it,
// in whatever order its transfers are listed. Where money of several assets
// moves, it may hold swaps. Each address's net change of each asset tells,
// with no list of exchange contracts: who gave one thing and got another of
// about the same worth has swapped, which is as true of the pool as of its
// customer, and each keeps its own money's history. The method follows
// MFTracer (SIGMETRICS 2026), in units of each asset instead of dollars.
func (r *run) transaction(i, j int) {
	defer r.settle()
	if n := j - i; n > 1 && n <= maxParts {
		if n <= maxValues && r.Assets[r.Entries[i].Asset].Value {
			r.values(i, j)
			return
		}
		if r.mixed(i, j) {
			if x := r.net(i, j, false); x.paths() <= maxPaths && x.swaps() {
				x.play()
				return
			}
		}
		if r.passes(i, j) {
			if x := r.net(i, j, true); x.paths() <= maxPaths {
				x.play()
				return
			}
		}
	}
	for k := i; k < j; k++ {
		r.transfer(k)
	}
}

// passes reports whether somebody who is no stop gets an asset and gives it.
func (r *run) passes(i, j int) bool {
	gives := make(map[uint64]bool)
	for k := i; k < j; k++ {
		if e := &r.Entries[k]; r.nets(e) {
			gives[uint64(e.From)<<32|uint64(e.Asset)] = true
		}
	}
	for k := i; k < j; k++ {
		if e := &r.Entries[k]; r.nets(e) && r.stops[e.To] != Sink && gives[uint64(e.To)<<32|uint64(e.Asset)] {
			return true
		}
	}
	return false
}

// mixed reports whether more than one known asset moves, fees aside.
func (r *run) mixed(i, j int) bool {
	first := int64(-1)
	for k := i; k < j; k++ {
		e := &r.Entries[k]
		if e.Kind == tracer.KindFee || !r.Assets[e.Asset].Known {
			continue
		}
		if first < 0 {
			first = int64(e.Asset)
		} else if first != int64(e.Asset) {
			return true
		}
	}
	return false
}

// A change is the net change of one asset of one address in a transaction.
type change struct {
	wallet, asset uint32
	in, out       uint256.Int // gross
	net           uint256.Int // |in − out|
	gave          bool        // out > in
	outside       bool        // the wallet is a stop, and this is what it gave
	swapped       bool        // the wallet is a party that swaps
	party         int         // index into exchange.spare
}

// exchange is the netted view of one transaction.
type exchange struct {
	*run
	i, j  int
	split bool // stops are not netted
	// changes are the nets that are not zero: those of one wallet together, in
	// the order in which wallets and assets appear in the transaction, which
	// unlike their numbers is the same for every caller.
	changes []change
	// spare is, per party that swaps, the worth that it gave beyond what it
	// got: what it may have paid to others beside its swap. It has a tenth of
	// slack, for prices are of the day and not of the minute.
	spare []tracer.Micros
}

// net nets a transaction. With stops, what a stop gave is not netted against
// what it got: money that comes to a stop stays there.
func (r *run) net(i, j int, stops bool) *exchange {
	x := &exchange{run: r, i: i, j: j, split: stops}
	at := make(map[changeKey]int)
	seen := make(map[uint32]int) // wallet → its place in the order
	of := func(wallet, asset uint32, outside bool) *change {
		k := changeKey{wallet, asset, outside}
		n, ok := at[k]
		if !ok {
			n = len(x.changes)
			at[k] = n
			if _, ok := seen[wallet]; !ok {
				seen[wallet] = len(seen)
			}
			x.changes = append(x.changes, change{wallet: wallet, asset: asset, outside: outside})
		}
		return &x.changes[n]
	}
	for k := i; k < j; k++ {
		e := &r.Entries[k]
		if !r.nets(e) {
			continue
		}
		c := of(e.From, e.Asset, x.outside(e.From))
		c.out.Add(&c.out, &e.Amount)
		c = of(e.To, e.Asset, false)
		c.in.Add(&c.in, &e.Amount)
	}
	x.changes = slices.DeleteFunc(x.changes, func(c change) bool { return c.in.Eq(&c.out) })
	for n := range x.changes {
		c := &x.changes[n]
		c.gave = c.in.Lt(&c.out)
		if c.gave {
			c.net.Sub(&c.out, &c.in)
		} else {
			c.net.Sub(&c.in, &c.out)
		}
	}
	slices.SortStableFunc(x.changes, func(a, b change) int { return cmp.Compare(seen[a.wallet], seen[b.wallet]) })
	return x
}

type changeKey struct {
	wallet, asset uint32
	outside       bool
}

// outside reports whether what a wallet gives is not netted.
func (x *exchange) outside(wallet uint32) bool { return x.split && x.stops[wallet] == Sink }

// node is a wallet in a flow network: a stop is two, for nothing passes it.
func (x *exchange) node(wallet uint32, outside bool) uint64 {
	n := uint64(wallet)
	if outside {
		n |= 1 << 32
	}
	return n
}

// nets reports whether an entry takes part in the netting.
func (r *run) nets(e *Entry) bool {
	return e.Kind != tracer.KindFee && r.Assets[e.Asset].Known && e.From != e.To && !e.Amount.IsZero()
}

// paths bounds the work of finding who paid whom.
func (x *exchange) paths() int {
	gave := 0
	for n := range x.changes {
		if x.changes[n].gave {
			gave++
		}
	}
	return gave * (len(x.changes) - gave) * (x.j - x.i)
}

// swaps marks the parties that swap, and reports whether there are any: who
// gave at least one asset and got at least one other, of at least half the
// worth, where the worth of both is known.
func (x *exchange) swaps() bool {
	any := false
	for lo := 0; lo < len(x.changes); {
		hi := lo + 1
		for hi < len(x.changes) && x.changes[hi].wallet == x.changes[lo].wallet {
			hi++
		}
		party := x.changes[lo:hi]
		var gave, got tracer.Micros
		var n, m int
		priced := true
		for k := range party {
			c := &party[k]
			usd, ok := x.worth(c.asset, &c.net)
			priced = priced && ok
			if c.gave {
				gave += usd
				n++
			} else {
				got += usd
				m++
			}
		}
		if n > 0 && m > 0 && (!priced || min(gave, got) >= max(gave, got)/2) {
			for k := range party {
				party[k].swapped = true
				party[k].party = len(x.spare)
			}
			spare := tracer.Micros(0)
			if priced {
				spare = max(0, gave-got) + gave/10
			}
			x.spare = append(x.spare, spare)
			any = true
		}
		lo = hi
	}
	return any
}

func (x *exchange) worth(asset uint32, amount *uint256.Int) (tracer.Micros, bool) {
	if x.Worth == nil {
		return 0, false
	}
	return x.Worth(asset, amount, x.Entries[x.i].Time)
}

// play carries the traced money through the transaction: fees and unknown
// tokens one by one, then payments in one asset from who gave to who only got,
// then the swaps, then what a payer gave up so that another got something else.
func (x *exchange) play() {
	for k := x.i; k < x.j; k++ {
		if e := &x.Entries[k]; !x.nets(e) {
			x.transfer(k)
		}
	}
	var credits []func() // everybody pays from what was held before
	left := make([]uint256.Int, len(x.changes))
	for n := range x.changes {
		left[n] = x.changes[n].net
	}
	pay := func(to func(*change) bool) {
		for _, asset := range x.assets() {
			credits = append(credits, x.pay(asset, left, to)...)
		}
	}
	// Payments: to those who got it and gave nothing for it.
	pay(func(c *change) bool { return !c.swapped })
	if len(x.spare) > 0 {
		credits = append(credits, x.convert(left)...)
		credits = append(credits, x.convertFor(left)...)
	}
	// What is left went into somebody's swap and bought nothing: it is there,
	// beside what that party got for itself.
	for n := range x.changes {
		if c := &x.changes[n]; c.swapped && !c.gave {
			left[n] = c.net
		}
	}
	pay(func(c *change) bool { return c.swapped })
	for _, credit := range credits {
		credit()
	}
}

// assets returns the assets that changed hands, in the order of the changes.
func (x *exchange) assets() []uint32 {
	var as []uint32
	for _, c := range x.changes {
		if !slices.Contains(as, c.asset) {
			as = append(as, c.asset)
		}
	}
	return as
}

// pay moves one asset from who gave to who got along the transfers of the
// transaction, as far as left allows, and returns the credits to make.
func (x *exchange) pay(asset uint32, left []uint256.Int, to func(*change) bool) []func() {
	f := newFlow()
	for k := x.i; k < x.j; k++ {
		if e := &x.Entries[k]; x.nets(e) && e.Asset == asset {
			f.edge(x.node(e.From, x.outside(e.From)), x.node(e.To, false), k, &e.Amount)
		}
	}
	var credits []func()
	for n := range x.changes {
		payer := &x.changes[n]
		if payer.asset != asset || !payer.gave {
			continue
		}
		for m := range x.changes {
			payee := &x.changes[m]
			if payee.asset != asset || payee.gave || !to(payee) || left[n].IsZero() || left[m].IsZero() {
				continue
			}
			limit := left[n]
			if left[m].Lt(&limit) {
				limit = left[m]
			}
			if payer.swapped {
				usd, ok := x.worth(asset, &limit)
				if !ok || usd > x.spare[payer.party] {
					continue
				}
				x.spare[payer.party] -= usd
			}
			sent, used := f.send(x.node(payer.wallet, payer.outside), x.node(payee.wallet, false), &limit)
			if sent.IsZero() {
				continue
			}
			left[n].Sub(&left[n], &sent)
			left[m].Sub(&left[m], &sent)
			traced := x.take(used[0].entry, payer.wallet, asset, &sent)
			// The traced part goes over the paths in the order they were found.
			rest := traced
			for _, u := range used {
				part := u.amount
				if rest.Lt(&part) {
					part = rest
				}
				x.move(u.entry, &part)
				if u.last {
					rest.Sub(&rest, &part)
				}
			}
			at := used[len(used)-1].entry
			credits = append(credits, func() { x.put(at, payee.wallet, asset, &sent, &traced, true) })
		}
	}
	return credits
}

// convert plays the swaps of parties that got something for themselves.
func (x *exchange) convert(left []uint256.Int) []func() {
	var credits []func()
	for lo := 0; lo < len(x.changes); {
		hi := lo + 1
		for hi < len(x.changes) && x.changes[hi].wallet == x.changes[lo].wallet {
			hi++
		}
		if x.changes[lo].swapped {
			var gave, got []int
			for n := lo; n < hi; n++ {
				if left[n].IsZero() {
					continue
				}
				if x.changes[n].gave {
					gave = append(gave, n)
				} else {
					got = append(got, n)
				}
			}
			if len(gave) > 0 && len(got) > 0 {
				credits = append(credits, x.swap(gave, got, left, false)...)
			}
		}
		lo = hi
	}
	return credits
}

// convertFor plays swaps whose proceeds went to somebody else: one payer gave
// something into a swap and got nothing, and others, whom the payer's money
// reaches, got something and gave nothing. With several such payers nobody can
// say whose money bought what, and their money is taken to rest at the swap.
func (x *exchange) convertFor(left []uint256.Int) []func() {
	var gave, got []int
	for n, c := range x.changes {
		switch {
		case left[n].IsZero() || c.swapped:
		case c.gave:
			gave = append(gave, n)
		default:
			got = append(got, n)
		}
	}
	if len(gave) == 0 {
		return nil
	}
	payer := x.changes[gave[0]].wallet
	for _, n := range gave {
		if x.changes[n].wallet != payer {
			return nil
		}
	}
	f := newFlow()
	one := uint256.NewInt(1)
	for k := x.i; k < x.j; k++ {
		if e := &x.Entries[k]; x.nets(e) {
			f.edge(uint64(e.From), uint64(e.To), k, one)
		}
	}
	got = slices.DeleteFunc(got, func(n int) bool { return !f.reaches(uint64(payer), uint64(x.changes[n].wallet)) })
	var gaveUSD, gotUSD tracer.Micros
	priced := true
	for _, n := range slices.Concat(gave, got) {
		usd, ok := x.worth(x.changes[n].asset, &left[n])
		priced = priced && ok
		if x.changes[n].gave {
			gaveUSD += usd
		} else {
			gotUSD += usd
		}
	}
	if len(got) == 0 || priced && gotUSD < gaveUSD/2 {
		return nil
	}
	return x.swap(gave, got, left, true)
}

// swap takes what is left of the gave changes, all of one wallet, and carries
// the traced fraction into what is left of the got changes.
func (x *exchange) swap(gave, got []int, left []uint256.Int, receipt bool) []func() {
	payer := x.changes[gave[0]].wallet
	num, den := new(uint256.Int), new(uint256.Int)
	var usdNum, usdDen tracer.Micros
	priced := true
	var out []Part
	for _, n := range gave {
		c := &x.changes[n]
		amount := left[n]
		left[n].Clear()
		traced := x.take(x.i, payer, c.asset, &amount)
		a, ok1 := x.worth(c.asset, &traced)
		b, ok2 := x.worth(c.asset, &amount)
		priced = priced && ok1 && ok2
		usdNum, usdDen = usdNum+a, usdDen+b
		if !traced.IsZero() {
			out = append(out, Part{c.asset, traced})
			t := &x.res.Totals[c.asset]
			t.ConvertedOut.Add(&t.ConvertedOut, &traced)
		}
		// Without prices the asset with the largest traced fraction decides.
		if den.IsZero() || less(num, den, &traced, &amount) {
			num.Set(&traced)
			den.Set(&amount)
		}
	}
	if len(gave) > 1 && priced && usdDen > 0 {
		num.SetUint64(uint64(usdNum))
		den.SetUint64(uint64(usdDen))
	}
	by := make(map[uint32]int) // receiver → index into x.res.Conversions
	var credits []func()
	for _, n := range got {
		c := &x.changes[n]
		amount := left[n]
		left[n].Clear()
		var traced uint256.Int
		traced.MulDivOverflow(&amount, num, den)
		if len(out) > 0 {
			m, ok := by[c.wallet]
			if !ok {
				m = len(x.res.Conversions)
				by[c.wallet] = m
				v := Conversion{Entry: x.i, Payer: payer, Receiver: c.wallet}
				if len(by) == 1 {
					v.Out = out
				}
				x.res.Conversions = append(x.res.Conversions, v)
			}
			v := &x.res.Conversions[m]
			v.In = append(v.In, Part{c.asset, traced})
			t := &x.res.Totals[c.asset]
			t.ConvertedIn.Add(&t.ConvertedIn, &traced)
		}
		at := x.i
		for k := x.i; k < x.j; k++ {
			if e := &x.Entries[k]; e.To == c.wallet && e.Asset == c.asset {
				at = k
			}
		}
		credits = append(credits, func() { x.put(at, c.wallet, c.asset, &amount, &traced, receipt) })
	}
	return credits
}

// less reports whether a/b < c/d, by cross multiplication.
func less(a, b, c, d *uint256.Int) bool {
	if d.IsZero() {
		return false
	}
	p, q := new(uint256.Int), new(uint256.Int)
	_, o1 := p.MulOverflow(a, d)
	_, o2 := q.MulOverflow(c, b)
	if o1 || o2 { // amounts above 2^128: compare what fits
		p.Rsh(a, 128).Mul(p, new(uint256.Int).Rsh(d, 128))
		q.Rsh(c, 128).Mul(q, new(uint256.Int).Rsh(b, 128))
	}
	return p.Lt(q)
}
