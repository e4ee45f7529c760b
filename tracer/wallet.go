package tracer

import (
	"cmp"
	"fmt"
	"strconv"
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
// eip155:1:0xdac17f958d2ee523a2206206994597c13d831ec7, or in base58, as in
// tron:728126428:TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t.
func (w Wallet) String() string { return ChainID(w.Chain) + ":" + w.Text() }

// Show returns the address as [Show] writes it, for people.
func (w Wallet) Show() string { return Show(w.Chain, w.Address) }

// Text returns the address as [Text] writes it, for machines.
func (w Wallet) Text() string { return Text(w.Chain, w.Address) }

// ChainID returns the CAIP-2 id of a chain: eip155:1, or tron:728126428.
func ChainID(chain uint64) string {
	if Tron(chain) {
		return "tron:" + strconv.FormatUint(chain, 10)
	}
	return "eip155:" + strconv.FormatUint(chain, 10)
}

// ParseChainID is the inverse of [ChainID].
func ParseChainID(s string) (uint64, error) {
	_, ref, _ := strings.Cut(s, ":")
	id, err := strconv.ParseUint(ref, 10, 64)
	if err != nil || ChainID(id) != s {
		return 0, fmt.Errorf("chain %q is not a CAIP-2 id like eip155:1", CleanText(s, 60))
	}
	return id, nil
}

// Compare orders wallets by chain, then by address.
func (w Wallet) Compare(o Wallet) int {
	return cmp.Or(cmp.Compare(w.Chain, o.Chain), w.Address.Cmp(o.Address))
}

// Hex returns a in lower case with 0x, as nodes write it. Reports use [Show]
// and [Text], which know the chain.
func Hex(a common.Address) string { return strings.ToLower(a.Hex()) }

// LookAlike reports whether a and b differ but show the same first 4 and last
// 4 hex digits, which is all that most screens show of an address. Address
// poisoning depends on it (arXiv 2501.16681).
func LookAlike(a, b common.Address) bool {
	return a != b && a[0] == b[0] && a[1] == b[1] && a[18] == b[18] && a[19] == b[19]
}
