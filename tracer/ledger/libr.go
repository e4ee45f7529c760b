package ledger

import "github.com/holiman/uint256"

// libr is the lowest intermediate balance rule of trust law: traced money
// leaves last, so it is never more than the lowest balance since it came, and
// what was gone is not made good by later receipts (Cunningham v. Brown, 265
// U.S. 1, 1924).
var libr = Policy{name: "libr", past: true, pay: func(a *account, amount *uint256.Int) uint256.Int {
	if !a.clean.Lt(amount) {
		return uint256.Int{}
	}
	var rest uint256.Int
	rest.Sub(amount, &a.clean)
	return least(&rest, &a.traced)
}}
