package tracer

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/ethereum/go-ethereum/common"
)

// A Wallet is an address on a chain: a vertex of the flow graph. It may be an
// account or a contract.
type Wallet struct {
	Chain   uint64 // EIP-155 chain id
	Address common.Address
}

// String returns the wallet's CAIP-10 id with the address in lower case, as in
// eip155:1:0xdac17f958d2ee523a2206206994597c13d831ec7.
func (w Wallet) String() string {
	return fmt.Sprintf("eip155:%d:%s", w.Chain, Hex(w.Address))
}

// Compare orders wallets by chain, then by address.
func (w Wallet) Compare(o Wallet) int {
	return cmp.Or(cmp.Compare(w.Chain, o.Chain), w.Address.Cmp(o.Address))
}

// Hex returns a in lower case, the form for JSON and for exports that other
// tools join on. Text meant for people uses a.Hex, which is EIP-55.
func Hex(a common.Address) string { return strings.ToLower(a.Hex()) }

// LookAlike reports whether a and b differ but show the same first 4 and last
// 4 hex digits, which is all that most screens show of an address. Address
// poisoning depends on it (arXiv 2501.16681).
func LookAlike(a, b common.Address) bool {
	return a != b && a[0] == b[0] && a[1] == b[1] && a[18] == b[18] && a[19] == b[19]
}
