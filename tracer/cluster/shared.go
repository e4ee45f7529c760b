package cluster

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"scamtrace/tracer"
)

// maxPayers is the most wallets that may pay a deposit address or a collector
// for it to be one person's. Shops and payment processors have more; a mean
// cluster of Tutela's 2.5 million has 4.3 wallets, with a deviation of 8.6, of
// which three make 30.
const maxPayers = 30

// shared returns, for every two suspects that pay into the same deposit
// addresses, these, the surest first.
func (f *finder) shared() map[pair][]Deposit {
	ds := slices.SortedFunc(maps.Values(f.deposit), func(a, b Deposit) int {
		return cmp.Or(cmp.Compare(b.Confidence, a.Confidence), a.Wallet.Compare(b.Wallet))
	})
	pairs := make(map[pair][]Deposit)
	for _, d := range ds {
		if d.Confidence < Join {
			break
		}
		if f.crowded(d.Wallet) {
			continue
		}
		ws := slices.SortedFunc(maps.Keys(f.payers(d.Wallet)), tracer.Wallet.Compare)
		ws = slices.DeleteFunc(ws, func(w tracer.Wallet) bool { return !f.suspect[w] })
		for i, a := range ws {
			for _, b := range ws[i+1:] {
				pairs[pair{a, b}] = append(pairs[pair{a, b}], d)
			}
		}
	}
	return pairs
}

// sharedDeposits applies [RuleDeposit].
func (f *finder) sharedDeposits() []Link {
	var links []Link
	for p, ds := range f.common {
		d := ds[0]
		rs := slices.Concat(f.of(p.a).paid[d.Wallet].refs, f.of(p.b).paid[d.Wallet].refs)
		var also []string
		if n := len(ds) - 1; n > 0 {
			more := "another deposit address"
			if n > 1 {
				more = fmt.Sprintf("%d more deposit addresses", n)
			}
			also = append(also, fmt.Sprintf("into %s, such as %s of %s", more, ds[1].Wallet.Show(), ds[1].Service))
			rs = slices.Concat(rs, f.of(p.a).paid[ds[1].Wallet].refs, f.of(p.b).paid[ds[1].Wallet].refs)
		}
		if from, ok := f.funder(p); ok {
			also = append(also, "got their first gas from "+from.Show())
			rs = append(rs, f.of(p.a).funding.ref, f.of(p.b).funding.ref)
		}
		if direct := f.direct(p, ds); len(direct) > 0 {
			also = append(also, "passed money of the kind they paid in from one to the other")
			rs = append(rs, direct...)
		}
		if len(also) == 0 {
			continue
		}
		links = append(links, Link{
			A: p.a, B: p.b, Rule: RuleDeposit, Confidence: d.Confidence, Evidence: hashes(rs),
			Detail: fmt.Sprintf("Both paid into %s, a deposit address of %s (confidence %d%%), and %s.",
				d.Wallet.Show(), d.Service, d.Confidence, strings.Join(also, ", and ")),
		})
	}
	slices.SortFunc(links, func(x, y Link) int { return pair{x.A, x.B}.compare(pair{y.A, y.B}) })
	return links
}

// direct returns the transactions in which money, not gas, went straight from
// one wallet to the other, if it was at least half of all that one of them ever
// got: a lunch is no laundering. With ds it must be of an asset that the one
// who got it paid into one of these deposit addresses: who trades an asset for
// another and is told where to deliver does not act for the other side.
func (f *finder) direct(p pair, ds []Deposit) []ref {
	var rs []ref
	for _, d := range [...][2]tracer.Wallet{{p.a, p.b}, {p.b, p.a}} {
		x, y := f.of(d[0]), f.of(d[1])
		paid := x.paid[d[1]]
		if paid == nil || !paid.total.covers(&x.in, 2) && !paid.total.covers(&y.in, 2) {
			continue
		}
		if ds == nil || slices.ContainsFunc(ds, func(d Deposit) bool {
			to := y.paid[d.Wallet]
			return to != nil && slices.ContainsFunc(slices.Collect(maps.Keys(to.assets)), func(a tracer.Asset) bool { return paid.assets[a] })
		}) {
			rs = append(rs, paid.money...)
		}
	}
	return rs
}
