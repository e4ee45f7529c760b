package report

import (
	"cmp"
	"fmt"
	"slices"

	"scamtrace/tracer"

	"github.com/holiman/uint256"
)

// A seenPart is the part of the page for one reason why something is not counted.
type seenPart struct {
	Title, Why string
	Fakes      []fake
	Rows       []seenRow
	More       int // transfers
}

// A fake is a token that passes for another.
type fake struct{ Token, Says, ReadsAs, Real string }

// A seenRow is a transfer that is not counted.
type seenRow struct {
	Sample
	Wallet, What string
	In           bool
}

// mostSeen is how many transfers the page shows of a reason.
const mostSeen = 20

// why says, for each reason, what to call it and why it is no money, in a
// sentence for somebody who has seen it in an explorer.
var why = map[string][2]string{
	counterfeit:   {"Tokens that pass for others", "Anybody can make a token and call it USDT: only the contract that the issuer names is money, these are other contracts, and so a payment in one is no payment, whatever an explorer or a wallet calls it."},
	zeroTransfer:  {"Transfers of nothing", "Anybody can have the chain write down a transfer of 0 coins out of anybody’s wallet: nothing was paid, and the owner of the wallet need not know of it."},
	lookAlike:     {"Next to nothing, and an address that resembles another", "The other address shows the same first and last digits as one that the wallet really dealt with, so that it may be copied by mistake: compare all digits before you use an address from such a list."},
	dusting:       {"Next to nothing, to many at once", "Less than a dollar came to more than 20 wallets in one transaction: that is an advertisement or bait, and no payment."},
	airdropped:    {"Tokens given to many at once", "They came to more than 20 wallets in one transaction, unasked, and have no value that is known: visit no website that is named in one."},
	unvaluedToken: {"Tokens of no known value", "This version has no price for them, so they are kept and not followed: a known one may be worth something, and then an analyst should look at it."},
	collectible:   {"Collectibles (NFTs)", "They are single pieces without a price, and are not followed."},
}

// sightings are what was seen and is not counted, by reason.
func sightings(r *Report) []seenPart {
	parts := []seenPart{}
	for _, reason := range uncountedReasons {
		transfers, wallets, shown := 0, 0, 0
		p := seenPart{Why: why[reason][1]}
		for i := range r.Uncounted {
			u := &r.Uncounted[i]
			if u.Reason != reason {
				continue
			}
			wallets++
			transfers += u.Transfers
			for _, s := range u.Samples {
				if shown == mostSeen {
					break
				}
				shown++
				a := Amount{Asset: s.Asset, Symbol: s.Symbol, Amount: s.Amount, Readable: s.Readable}
				row := seenRow{Sample: s, Wallet: u.Address, What: r.people(&a), In: s.To == u.Address}
				if reason == collectible {
					row.What = "number " + s.Amount
					if s.Claim != "" {
						row.What += fmt.Sprintf(" of “%s”, it says", s.Claim)
					}
				}
				p.Rows = append(p.Rows, row)
			}
		}
		if transfers == 0 {
			continue
		}
		p.Title = fmt.Sprintf("%s: %s, %s", why[reason][0], count(transfers, "transfer", "transfers"), count(wallets, "wallet", "wallets"))
		p.More = transfers - shown
		if reason == counterfeit {
			for i := range r.Tokens {
				if t := &r.Tokens[i]; t.ReadsAs != "" && t.Transfers > 0 && len(p.Fakes) < mostSeen {
					p.Fakes = append(p.Fakes, fake{contract(t.Asset), cmp.Or(t.Symbol, t.Name), t.ReadsAs, contract(t.Real)})
				}
			}
		}
		parts = append(parts, p)
	}
	return parts
}

// contract is the address of a token for people, or nothing for a coin.
func contract(asset string) string {
	a, err := tracer.ParseAsset(asset)
	if err != nil || a.Kind == tracer.Native || a.Kind == tracer.USD {
		return ""
	}
	return tracer.Show(a.Chain, a.Token)
}

// people is the amount for reading, with what an unlisted token says of itself.
func (r *Report) people(a *Amount) string {
	if a.Readable != "" {
		return people(a)
	}
	i, ok := slices.BinarySearchFunc(r.Tokens, a.Asset, func(t Token, a string) int { return cmp.Compare(t.Asset, a) })
	if !ok {
		return people(a)
	}
	t := &r.Tokens[i]
	units := grouped(a.Amount, 0) + " base units"
	said := cmp.Or(t.Symbol, t.Name)
	v, err := uint256.FromDecimal(a.Amount)
	switch {
	case !t.Asked:
		return units + " of a token"
	case said == "":
		return units + "; the token does not say what it is"
	case t.Decimals == nil || err != nil:
		return fmt.Sprintf("%s; the token says it is “%s”", units, said)
	}
	return fmt.Sprintf("%s; the token says this is %s “%s”", units, grouped(tracer.Readable(v, *t.Decimals), 6), said)
}
