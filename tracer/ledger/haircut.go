package ledger

import "github.com/holiman/uint256"

// haircut takes traced money and other money in proportion to what the account
// holds of each, the traced part rounded down to a base unit. Most risk scores
// work so.
var haircut = Policy{name: "haircut", past: true, pay: func(a *account, amount *uint256.Int) uint256.Int {
	var all, traced uint256.Int
	all.Add(&a.traced, &a.clean)
	if !amount.Lt(&all) {
		return a.traced
	}
	traced.MulDivOverflow(amount, &a.traced, &all)
	return traced
}}
