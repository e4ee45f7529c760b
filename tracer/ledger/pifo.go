package ledger

import "github.com/holiman/uint256"

// PIFO is "poison in, first out": traced money leaves first (United States v.
// Banco Cafetero, 797 F.2d 1154, 2d Cir. 1986, for the government's choice;
// MFTracer, SIGMETRICS 2026; the default of the B.A.T.S. notation).
var PIFO = Policy{name: "pifo", pay: func(a *account, amount *uint256.Int) uint256.Int {
	return least(amount, &a.traced)
}}
