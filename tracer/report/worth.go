package report

// A worth is what a sum comes to for people: dollars, and the coins in it whose
// price is not known, which no sum of dollars holds.
type worth struct {
	usd   string
	coins []string // "6.12 ETH"
}

// worth adds up, beside the dollars of a sum, its amounts without a price.
func (r *Report) worth(usd string, lists ...[]Amount) worth {
	w := worth{usd: usd}
	sums := newTally("")
	for _, list := range lists {
		for i := range list {
			if list[i].USD == "" {
				sums.add("", list[i].Asset, list[i].Amount)
			}
		}
	}
	more := 0
	for i := range r.Totals.Assets {
		t := &r.Totals.Assets[i]
		v := sums.of(place{"", t.Asset})
		switch {
		case v.IsZero():
		case t.Decimals == nil || len(w.coins) == 3: // by a number without a meaning nobody is helped
			more++
		default:
			w.coins = append(w.coins, grouped(t.readable(v.Dec()), 6)+" "+t.Symbol)
		}
	}
	if more > 0 {
		w.coins = append(w.coins, count(more, "coin of unknown value", "coins of unknown value"))
	}
	return w
}

func (r *Report) reported() worth {
	var lists [][]Amount
	for i := range r.Seeds {
		lists = append(lists, r.Seeds[i].Amounts)
	}
	return r.worth(r.Totals.USD.Reported, lists...)
}

func (r *Report) exited() worth {
	var lists [][]Amount
	for i := range r.Exits {
		lists = append(lists, r.Exits[i].Amounts)
	}
	return r.worth(r.Totals.USD.Exited, lists...)
}

func (r *Report) held() worth {
	var lists [][]Amount
	for i := range r.Wallets {
		lists = append(lists, r.Wallets[i].Held)
	}
	return r.worth(r.Totals.USD.Held, lists...)
}

func (r *Report) notFollowed() worth {
	var lists [][]Amount
	for i := range r.Gaps {
		lists = append(lists, r.Gaps[i].Amounts)
	}
	return r.worth(r.Totals.USD.Gaps, lists...)
}

func (r *Report) writtenOff() worth {
	var lists [][]Amount
	for i := range r.Wallets {
		lists = append(lists, r.Wallets[i].WrittenOff)
	}
	return r.worth(r.Totals.USD.WrittenOff, lists...)
}

// none reports whether there is no money in the sum.
func (w worth) none() bool { return w.zero() && len(w.coins) == 0 }

func (w worth) zero() bool { return w.usd == "" || w.usd == "0.00" }

// Dollars is the sum in dollars, if anything in it has a price.
func (w worth) Dollars() string {
	if w.zero() && len(w.coins) > 0 {
		return dollar("")
	}
	return dollar(w.usd)
}

// Coins names those whose price is not known, or is empty.
func (w worth) Coins() string { return and(w.coins) }

// String is the whole of it: "$5.00 and 6.12 ETH".
func (w worth) String() string {
	parts := w.coins
	if !w.zero() || len(parts) == 0 {
		parts = append([]string{dollar(w.usd)}, parts...)
	}
	return and(parts)
}

// verb is one that fits String.
func (w worth) verb(one, more string) string {
	if len(w.coins) > 1 || len(w.coins) == 1 && !w.zero() {
		return more
	}
	return one
}
