package cluster

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"scamtrace/tracer"
)

// maxFundees is the most wallets that a gas funder may have sent native coin
// to. The payout wallet of an exchange or a relayer passes 500 in hours, a
// person hardly ever does, and two wallets that share such a funder share a
// service.
const maxFundees = 500

// lockstep is how many seconds two wallets may be apart that were funded
// together: one sitting with a script.
const lockstep = 3600

// The signals that count beside a common gas funder, with how much each is
// trusted, in percent; several add up as independent chances. A common funder
// on its own is a lead and no more: on a labelled heist, 6 of 89 wallets with
// a suspect as funder were the thief's. Coins sent at the same time are part
// of the same observation and so do not reach [Join] alone.
const (
	trustDirect    = 85 // money went straight from one to the other
	trustCollector = 85 // most of what both paid went to the same wallet
	trustLockstep  = 60 // the same amount of gas, within an hour
)

// fundees returns the wallets that got native coin from a gas funder, no more
// than one above maxFundees, and whether any of it was no more than gas.
func (f *finder) fundees(funder tracer.Wallet) map[tracer.Wallet]bool {
	to := f.gassed[funder]
	if to != nil {
		return to
	}
	to = make(map[tracer.Wallet]bool)
	f.gassed[funder] = to
	for t := range f.g.Of(funder) {
		if t.From == funder.Address && t.Asset.Kind == tracer.Native && f.moves(&t) {
			w := f.wallet(t.To)
			if to[w] = to[w] || f.gasSized(&t); len(to) > maxFundees {
				break
			}
		}
	}
	return to
}

// private reports whether a gas funder can be one person's wallet.
func (f *finder) private(funder tracer.Wallet) bool {
	ok, known := f.valid[funder]
	if !known {
		_, deposit := f.deposit[funder]
		ok = !f.stop(funder) && !deposit && f.account(funder) && f.complete(funder) && len(f.fundees(funder)) <= maxFundees
		f.valid[funder] = ok
	}
	return ok
}

// funder returns the gas funder that two wallets have in common, if it counts.
func (f *finder) funder(p pair) (tracer.Wallet, bool) {
	x, y := f.of(p.a).funding, f.of(p.b).funding
	if x == nil || y == nil || x.from != y.from || !f.private(x.from) {
		return tracer.Wallet{}, false
	}
	return x.from, true
}

// gasFunders applies [RuleFunder] between wallets with the same funder.
func (f *finder) gasFunders() []Link {
	of := make(map[tracer.Wallet][]tracer.Wallet) // funder → suspects, sorted
	for _, w := range f.wallets {
		if x := f.of(w).funding; x != nil && f.suspect[w] {
			of[x.from] = append(of[x.from], w)
		}
	}
	var links []Link
	for _, from := range slices.SortedFunc(maps.Keys(of), tracer.Wallet.Compare) {
		ws := of[from]
		if len(ws) < 2 || !f.private(from) {
			continue
		}
		for i, a := range ws {
			for _, b := range ws[i+1:] {
				if l, ok := f.funded(from, pair{a, b}); ok {
					links = append(links, l)
				}
			}
		}
	}
	return links
}

// funded links two wallets with the same gas funder if another signal does.
func (f *finder) funded(from tracer.Wallet, p pair) (Link, bool) {
	x, y := f.of(p.a), f.of(p.b)
	rs := []ref{x.funding.ref, y.funding.ref}
	var also []string
	doubt := 100 * 100
	signal := func(trust int, what string, evidence ...[]ref) {
		doubt = doubt * (100 - trust) / 100
		also = append(also, what)
		rs = append(rs, slices.Concat(evidence...)...)
	}
	if ds := f.common[p]; len(ds) > 0 {
		d := ds[0]
		signal(d.Confidence, fmt.Sprintf("paid into %s, a deposit address of %s", d.Wallet.Show(), d.Service), x.paid[d.Wallet].refs, y.paid[d.Wallet].refs)
	}
	if direct := f.direct(p, nil); len(direct) > 0 {
		signal(trustDirect, "passed each other at least half of all that one of them ever got", direct)
	}
	if c, ok := f.collector(p); ok {
		signal(trustCollector, "sent most of their money to "+c.Show(), x.paid[c].money, y.paid[c].money)
	}
	apart := max(x.funding.time, y.funding.time) - min(x.funding.time, y.funding.time)
	if apart <= lockstep && x.funding.amount == y.funding.amount {
		signal(trustLockstep, "got it within an hour and in the same amount")
	}
	confidence := min(99, 100-(doubt+99)/100)
	if confidence < Join {
		return Link{}, false
	}
	return Link{
		A: p.a, B: p.b, Rule: RuleFunder, Confidence: confidence, Evidence: hashes(rs),
		Detail: fmt.Sprintf("Both got their first %s from %s, and %s.", f.Chain.Symbol, from.Show(), strings.Join(also, ", and ")),
	}, true
}

// collector returns the wallet to which both sent most of their money, if it
// was read and is not many people's.
func (f *finder) collector(p pair) (tracer.Wallet, bool) {
	x, y := f.of(p.a), f.of(p.b)
	c := x.collector
	_, deposit := f.deposit[c]
	if c == (tracer.Wallet{}) || c != y.collector || deposit || f.stop(c) || !f.account(c) || !f.complete(c) || f.crowded(c) {
		return tracer.Wallet{}, false
	}
	return c, true
}

// ownMoney reports whether a gas funder paid the wallets that traced money reached
// more than it got from them: then it has money of its own, as a victim has.
func (f *finder) ownMoney(funder tracer.Wallet) bool {
	var paid, got sums
	for t := range f.g.Of(funder) {
		switch {
		case !f.money(&t):
		case t.From == funder.Address && f.has[f.wallet(t.To)] && !f.gasSized(&t):
			paid.add(f, &t)
		case t.To == funder.Address && f.has[f.wallet(t.From)] && !f.stop(f.wallet(t.From)):
			got.add(f, &t)
		}
	}
	return !got.covers(&paid, 1)
}

// funders links gas funders that stand in no set yet to the wallets of one
// set, if these are most of the wallets they ever sent coins to. At least two
// of them must not be seeds: a victim may have sent coins to every wallet that
// a victim knows. Nor may it have paid any of them with money of its own.
func (f *finder) funders(s sets) []Link {
	of := make(map[tracer.Wallet]map[tracer.Wallet][]tracer.Wallet) // funder → set → wallets, sorted
	for _, w := range f.wallets {
		x := f.of(w).funding
		if _, joined := s[w]; !joined || x == nil {
			continue
		}
		if of[x.from] == nil {
			of[x.from] = make(map[tracer.Wallet][]tracer.Wallet)
		}
		root := s.find(w)
		of[x.from][root] = append(of[x.from][root], w)
	}
	var links []Link
	for _, from := range slices.SortedFunc(maps.Keys(of), tracer.Wallet.Compare) {
		if _, joined := s[from]; joined || !f.private(from) || f.fake[from] || f.ownMoney(from) {
			continue
		}
		all := len(f.fundees(from))
		for _, ws := range of[from] { // at most one of them is most
			private := slices.DeleteFunc(slices.Clone(ws), func(w tracer.Wallet) bool { return f.seed[w] })
			confidence := 100 * len(ws) / (all + 1) // one more that nobody has seen
			if len(private) < 2 || confidence < Join {
				continue
			}
			for _, w := range ws {
				p := pairOf(from, w)
				links = append(links, Link{
					A: p.a, B: p.b, Rule: RuleFunder, Confidence: min(99, confidence),
					Evidence: hashes([]ref{f.of(w).funding.ref}),
					Detail: fmt.Sprintf("%s got its first %s from %s, which sent coins to %d wallets, %d of them in this cluster.",
						w.Show(), f.Chain.Symbol, from.Show(), all, len(ws)),
				})
			}
		}
	}
	return links
}
