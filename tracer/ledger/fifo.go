package ledger

import "github.com/holiman/uint256"

// fifo is "first in, first out": money leaves in the order in which it came
// (Clayton's case, 1 Mer. 572, 1816).
var fifo = Policy{name: "fifo", past: true, lots: true, pay: func(a *account, amount *uint256.Int) uint256.Int {
	var traced uint256.Int
	left := *amount
	for !left.IsZero() && len(a.lots) > 0 {
		t := a.lots[0].take(&left)
		traced.Add(&traced, &t)
		if a.lots[0].empty() {
			a.lots = a.lots[1:]
		}
	}
	return traced
}}
