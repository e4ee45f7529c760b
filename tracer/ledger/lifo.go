package ledger

import "github.com/holiman/uint256"

// lifo is "last in, first out": what came last leaves first. The United States
// traced $225 million of tokens so in 2025 (D.D.C. 1:25-cv-01907).
var lifo = Policy{name: "lifo", past: true, lots: true, pay: func(a *account, amount *uint256.Int) uint256.Int {
	var traced uint256.Int
	left := *amount
	for !left.IsZero() && len(a.lots) > 0 {
		last := len(a.lots) - 1
		t := a.lots[last].take(&left)
		traced.Add(&traced, &t)
		if a.lots[last].empty() {
			a.lots = a.lots[:last]
		}
	}
	return traced
}}
