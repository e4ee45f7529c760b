package report

import (
	"cmp"
	"fmt"

	"scamtrace/tracer"
	"scamtrace/tracer/ledger"

	"github.com/ethereum/go-ethereum/common"
)

// policies says what exited and what did not under every accounting rule. One
// whose books cannot be made is left out.
func (b *builder) policies() []Policy {
	out := []Policy{}
	for _, p := range ledger.Policies() {
		books := b.w.Books
		if p.String() != b.w.Policy.String() {
			var err error
			if books, err = b.w.Under(p); err != nil {
				continue
			}
		}
		var exited, held money
		for i := range books.Arrivals {
			a := &books.Arrivals[i]
			usd, _, ok := b.usd(a.Asset, &a.Amount, b.w.Entries[a.Entry].Time)
			wallet := b.w.Store.Wallet(a.Wallet)
			switch l, _ := b.Labels.Service(wallet); {
			case l.Category.Burn() || wallet.Address == (common.Address{}):
			case b.w.Status(wallet.Address).Hub:
				held.add(a.Asset, &a.Amount, usd, ok)
			default:
				exited.add(a.Asset, &a.Amount, usd, ok)
			}
		}
		for i := range books.Held {
			h := &books.Held[i]
			usd, _, ok := b.usd(h.Asset, &h.Amount, h.Time)
			held.add(h.Asset, &h.Amount, usd, ok)
		}
		out = append(out, Policy{
			Name:   p.String(),
			Exited: b.list(exited), ExitedUSD: exited.dollars().String(),
			Held: b.list(held), HeldUSD: held.dollars().String(),
		})
	}
	return out
}

// Compares reports whether a source holds what it reads against balances.
func Compares(src tracer.Source) bool {
	c, ok := tracer.As[interface{ Compares() bool }](src)
	return ok && c.Compares()
}

// notes says what the report assumes and what it leaves out.
func (b *builder) notes(r *Report) []string {
	notes := []string{}
	for _, n := range b.Notes {
		notes = append(notes, clean(n, 1000))
	}
	if r.blind() {
		notes = append(notes, fmt.Sprintf("No exchange, bridge, mixer or other service is known on %s, so money is followed through their wallets as through anybody’s: what lies behind such a wallet, and what is held in it, may be its customers’. Labels of your own change that.", b.chain.Title))
	}
	if n := b.w.Blind; n > 0 {
		notes = append(notes, fmt.Sprintf("Coins that contracts pay out (internal transfers) could not be read for %d wallets: money that such a wallet received that way is not in this report.", n))
	}
	if n := b.w.WalletsRead - b.w.Unchecked; b.Compared && n > 0 {
		notes = append(notes, fmt.Sprintf("What was read of %s was compared with the balances that the node keeps, up to block %d; what differed, and could not be found, is under Gaps.", count(n, "wallet", "wallets"), b.w.Pinned.Number))
	}
	if n := b.w.Unchecked; n > 0 {
		notes = append(notes, fmt.Sprintf("What was read of %d wallets could not all be compared with their balances, for lack of requests or because the node refused: transfers that the node left out there would not be noticed.", n))
	}
	var unseen money
	for i := range b.w.Books.Receipts {
		if x := &b.w.Books.Receipts[i]; x.Unseen && !b.assumed(x) {
			unseen.add(x.Asset, &x.Amount, 0, true)
		}
	}
	for _, a := range b.list(unseen) {
		notes = append(notes, fmt.Sprintf("The reported wallets paid out %s %s more than they were seen to receive; it is counted as reported.", cmp.Or(a.Readable, a.Amount), a.Symbol))
	}
	if b.w.Policy.String() == "poison" {
		notes = append(notes, "Under this rule other money in the same wallets counts in as well, so the sums are more than was taken from anybody: an upper bound, and no court’s rule.")
	} else if r.Totals.USD.Assumed != "0.00" {
		notes = append(notes, fmt.Sprintf("The transfers that were read have holes: %s that wallets with the victim’s money paid out, and were not seen to receive, counts in.", dollar(r.Totals.USD.Assumed)))
	}
	if r.Totals.USD.Unpriced {
		notes = append(notes, "Some amounts have no known dollar price and are in no dollar sum.")
	}
	return notes
}
