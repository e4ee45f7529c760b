package tracer

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
)

// An AssetKind says what an [Asset] is.
type AssetKind uint8

// The kinds of assets. Only native coins, ERC-20 tokens and USD values are
// money; NFTs are recorded and never counted.
const (
	Native AssetKind = iota // the chain's own coin
	ERC20
	NFT // ERC-721; ERC-1155 is not read
	USD // not a token: the US dollar value of a movement, in cents, as some exports give it
)

// An Asset is one thing that can be owned: a chain's coin, or a token contract
// on a chain. Identity is the contract, never the symbol.
type Asset struct {
	Chain uint64 // EIP-155 chain id
	Kind  AssetKind
	Token common.Address // zero for Native and USD
}

// NativeOf returns the native coin of a chain.
func NativeOf(chain uint64) Asset { return Asset{Chain: chain} }

// TokenOf returns an ERC-20 token.
func TokenOf(chain uint64, token common.Address) Asset {
	return Asset{Chain: chain, Kind: ERC20, Token: token}
}

// slip44 are the coin types of the native coins, from SLIP-44; chains whose
// coin is ether, and chains not in the table, use 60.
var slip44 = map[uint64]int{56: 714, 137: 966, 43114: 9005}

// String returns the asset's CAIP-19 id, as in eip155:1/slip44:60 or
// eip155:1/erc20:0xdac17f958d2ee523a2206206994597c13d831ec7. A [USD] value is
// eip155:1/iso4217:usd. Those of Tron are tron:728126428/slip44:195 and
// tron:728126428/trc20:TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t, as wallets write
// them; CAIP has no profile of assets for it.
func (a Asset) String() string {
	kind := "erc"
	if Tron(a.Chain) {
		kind = "trc"
	}
	chain := ChainID(a.Chain)
	switch a.Kind {
	case ERC20:
		return chain + "/" + kind + "20:" + Text(a.Chain, a.Token)
	case NFT:
		return chain + "/" + kind + "721:" + Text(a.Chain, a.Token)
	case USD:
		return chain + "/iso4217:usd"
	}
	n, ok := slip44[a.Chain]
	switch {
	case Tron(a.Chain):
		n = 195
	case !ok:
		n = 60
	}
	return fmt.Sprintf("%s/slip44:%d", chain, n)
}

// ParseAsset is the inverse of [Asset.String].
func ParseAsset(s string) (Asset, error) {
	chain, rest, ok := strings.Cut(s, "/")
	id, err := ParseChainID(chain)
	if !ok || err != nil {
		return Asset{}, fmt.Errorf("asset %q is not a CAIP-19 id like eip155:1/slip44:60", s)
	}
	a := Asset{Chain: id}
	space, ref, _ := strings.Cut(rest, ":")
	switch space {
	case "slip44":
	case "iso4217":
		a.Kind = USD
	case "erc20", "erc721", "trc20", "trc721":
		a.Kind = ERC20
		if strings.HasSuffix(space, "721") {
			a.Kind = NFT
		}
		if a.Token, err = (&Chain{ID: id}).ParseAddress(ref); err != nil {
			return Asset{}, fmt.Errorf("asset %q: %w", s, err)
		}
	}
	if a.String() != s {
		return Asset{}, fmt.Errorf("asset %q is not a CAIP-19 id like eip155:1/slip44:60", s)
	}
	return a, nil
}

// Compare orders assets by chain, kind and token.
func (a Asset) Compare(b Asset) int {
	return cmp.Or(cmp.Compare(a.Chain, b.Chain), cmp.Compare(a.Kind, b.Kind), a.Token.Cmp(b.Token))
}

// Money reports whether amounts of the asset can be somebody's money at all:
// NFTs cannot.
func (a Asset) Money() bool { return a.Kind != NFT }

// Readable writes base units with the given decimals, without rounding and
// without trailing zeros: Readable(1500000, 6) is "1.5".
func Readable(amount *uint256.Int, decimals uint8) string {
	s := amount.Dec()
	d := int(decimals)
	if d == 0 {
		return s
	}
	if len(s) <= d {
		s = strings.Repeat("0", d-len(s)+1) + s
	}
	whole, frac := s[:len(s)-d], strings.TrimRight(s[len(s)-d:], "0")
	if frac == "" {
		return whole
	}
	return whole + "." + frac
}

// A Micros is an amount of US dollars in millionths. It is for ordering and
// for display; no ledger is kept in it.
type Micros int64

// Dollar is one US dollar.
const Dollar Micros = 1_000_000

// String writes dollars and cents, rounded half away from zero, with commas: "$1,234.50".
func (m Micros) String() string {
	sign := ""
	if m < 0 {
		sign, m = "-", -m
	}
	cents := (m + 5_000) / 10_000
	s := strconv.FormatInt(int64(cents/100), 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return fmt.Sprintf("%s$%s.%02d", sign, s, cents%100)
}

// Decimal writes dollars and cents for machines, without sign or commas: "1234.50".
func (m Micros) Decimal() string {
	return strings.ReplaceAll(strings.Replace(m.String(), "$", "", 1), ",", "")
}

// ParseDollars reads a decimal number of dollars that is not negative, with at
// most six decimals: "1234.5". Anything else is an error that wraps [ErrUsage].
func ParseDollars(s string) (Micros, error) {
	whole, frac, dot := strings.Cut(s, ".")
	if len(whole) == 0 || len(whole) > 12 || len(frac) > 6 || dot && frac == "" {
		return 0, fmt.Errorf("%w: %q is not a number of dollars; write 1234.50", ErrUsage, CleanText(s, 20))
	}
	n, err := strconv.ParseUint(whole+frac+strings.Repeat("0", 6-len(frac)), 10, 63)
	if err != nil {
		return 0, fmt.Errorf("%w: %q is not a number of dollars; write 1234.50", ErrUsage, CleanText(s, 20))
	}
	return Micros(n), nil
}
