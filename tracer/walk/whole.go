package walk

import "github.com/ethereum/go-ethereum/common"

// Whole reports whether everything that a wallet ever did was read, up to the
// pinned block. A walk reads most wallets only while they hold traced money,
// which is complete for the money ([Status.Complete]) and not whole.
func (r *Result) Whole(a common.Address) bool {
	x := r.read[a]
	if x == nil || x.hub || x.failed != "" || x.native != "" || x.internal != "" {
		return false
	}
	_, missing := x.missing(0, r.Pinned.Number)
	return !missing
}

// Account reports whether the source says of an address that it has no code.
func (r *Result) Account(a common.Address) bool {
	code, known := r.code[a]
	return known && !code
}
