package tracer

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"
)

// A Chain is what the tracer must know of an EVM chain, or of Tron, which is
// nearly one.
type Chain struct {
	ID       uint64 // EIP-155
	Name     string // lower case, as on the command line
	Title    string // for people
	Symbol   string // of the native coin
	Decimals uint8  // of the native coin
	// BlockTime is the usual time between blocks. It sizes reading windows and
	// is never used to date anything.
	BlockTime time.Duration
	// FinalityDepth is how many blocks behind the head are taken as final when
	// a node does not know the finalized tag.
	FinalityDepth uint64
	Tokens        []Token // whose amounts have a value without asking anybody
}

// A Token is an ERC-20 contract that the tracer knows by address.
type Token struct {
	Address  common.Address
	Symbol   string
	Decimals uint8
	Stable   bool // stands for one US dollar
	Wrapped  bool // the chain's own coin, wrapped one to one
}

// NativeLogs is the address that logs moves of native coin from EIP-7708 on,
// with the topic of an ERC-20 Transfer.
var NativeLogs = common.HexToAddress("0xfffffffffffffffffffffffffffffffffffffffe")

// Token returns the token of an asset, if the chain's table has it.
func (c *Chain) Token(a Asset) (Token, bool) {
	if a.Kind != ERC20 || a.Chain != c.ID {
		return Token{}, false
	}
	i := slices.IndexFunc(c.Tokens, func(t Token) bool { return t.Address == a.Token })
	if i < 0 {
		return Token{}, false
	}
	return c.Tokens[i], true
}

// Describe returns the symbol and decimals of an asset. For a token that the
// table does not have, ok is false: its symbol is whatever its author wrote
// and is not used.
func (c *Chain) Describe(a Asset) (symbol string, decimals uint8, ok bool) {
	if a.Chain != c.ID {
		return "", 0, false
	}
	switch a.Kind {
	case Native:
		return c.Symbol, c.Decimals, true
	case USD:
		return "USD", 2, true
	}
	t, ok := c.Token(a)
	return t.Symbol, t.Decimals, ok
}

// Known reports whether the asset has a value that the tracer can rely on: the
// native coin, a token of the table, or a USD value. Anybody can deploy a
// token and give it any name, so transfers of all others are kept and never
// followed as money unless they are the reported payment itself.
func (c *Chain) Known(a Asset) bool {
	_, _, ok := c.Describe(a)
	return ok && a.Money()
}

// Blocks returns about how many blocks the chain makes in d, at least 1.
func (c *Chain) Blocks(d time.Duration) uint64 {
	return max(1, uint64(d/max(c.BlockTime, time.Millisecond)))
}

// Chains returns the chains this version traces, by id. The caller owns the slice.
func Chains() []Chain {
	cs := slices.Clone(chains)
	slices.SortFunc(cs, func(a, b Chain) int { return cmp.Compare(a.ID, b.ID) })
	return cs
}

// ChainNamed returns the chain with a name or a decimal chain id. An id that
// the table does not have is a chain of which only what all EVM chains share is
// taken for granted: a coin with 18 decimals, no token with a value, and
// Ethereum's pace and finality.
func ChainNamed(name string) (Chain, error) {
	var names []string
	for _, c := range chains {
		if c.Name == strings.ToLower(name) || strconv.FormatUint(c.ID, 10) == name {
			return c, nil
		}
		names = append(names, c.Name)
	}
	if id, err := strconv.ParseUint(name, 10, 63); err == nil && id > 0 {
		return Chain{
			ID: id, Name: name, Title: "chain " + name, Symbol: "coin", Decimals: 18,
			BlockTime: chains[0].BlockTime, FinalityDepth: chains[0].FinalityDepth,
		}, nil
	}
	return Chain{}, fmt.Errorf("%w: chain %q is not known; use one of %s, or the number of another EVM chain", ErrUsage, CleanText(name, 40), strings.Join(names, ", "))
}

// ChainByID returns the chain with an id.
func ChainByID(id uint64) (Chain, bool) {
	i := slices.IndexFunc(chains, func(c Chain) bool { return c.ID == id })
	if i < 0 {
		return Chain{}, false
	}
	return chains[i], true
}

func stable(symbol string, decimals uint8, address string) Token {
	return Token{Address: common.HexToAddress(address), Symbol: symbol, Decimals: decimals, Stable: true}
}

func wrapped(symbol, address string) Token {
	return Token{Address: common.HexToAddress(address), Symbol: symbol, Decimals: 18, Wrapped: true}
}

// chains is the table. Token addresses and decimals: the issuers' pages and
// the Aave address book; note that the dollar tokens of BSC have 18 decimals.
// Finality depths: what indexers use where the tag is missing (Ponder), and for
// BSC, Optimism, Base and Avalanche a multiple of the usual lag of the tag; Tron's
// solid block is that of 19 of its 27 producers.
var chains = []Chain{
	{ID: 1, Name: "ethereum", Title: "Ethereum", Symbol: "ETH", Decimals: 18, BlockTime: 12 * time.Second, FinalityDepth: 65, Tokens: []Token{
		stable("USDT", 6, "0xdAC17F958D2ee523a2206206994597C13D831ec7"),
		stable("USDC", 6, "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"),
		stable("DAI", 18, "0x6B175474E89094C44Da98b954EedeAC495271d0F"),
		wrapped("WETH", "0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2"),
	}},
	{ID: 56, Name: "bsc", Title: "BNB Smart Chain", Symbol: "BNB", Decimals: 18, BlockTime: 450 * time.Millisecond, FinalityDepth: 30, Tokens: []Token{
		stable("USDT", 18, "0x55d398326f99059fF775485246999027B3197955"),
		stable("USDC", 18, "0x8AC76a51cc950d9822D68b83fE1Ad97B32Cd580d"),
		stable("DAI", 18, "0x1AF3F329e8BE154074D8769D1FFa4eE058B1DBc3"),
		wrapped("WBNB", "0xbb4CdB9CBd36B01bD1cBaEBF2De08d9173bc095c"),
	}},
	{ID: 137, Name: "polygon", Title: "Polygon PoS", Symbol: "POL", Decimals: 18, BlockTime: 2 * time.Second, FinalityDepth: 200, Tokens: []Token{
		stable("USDT", 6, "0xc2132D05D31c914a87C6611C10748AEb04B58e8F"),
		stable("USDC", 6, "0x3c499c542cEF5E3811e1192ce70d8cC03d5c3359"),
		stable("USDC.e", 6, "0x2791Bca1f2de4661ED88A30C99A7a9449Aa84174"),
		stable("DAI", 18, "0x8f3Cf7ad23Cd3CaDbD9735AFf958023239c6A063"),
		wrapped("WPOL", "0x0d500B1d8E8eF31E21C99d1Db9A6444d3ADf1270"),
	}},
	{ID: 42161, Name: "arbitrum", Title: "Arbitrum One", Symbol: "ETH", Decimals: 18, BlockTime: 250 * time.Millisecond, FinalityDepth: 240, Tokens: []Token{
		stable("USDT", 6, "0xFd086bC7CD5C481DCC9C85ebE478A1C0b69FCbb9"),
		stable("USDC", 6, "0xaf88d065e77c8cC2239327C5EDb3A432268e5831"),
		stable("USDC.e", 6, "0xFF970A61A04b1cA14834A43f5dE4533eBDDB5CC8"),
		stable("DAI", 18, "0xDA10009cBd5D07dd0CeCc66161FC93D7c9000da1"),
		wrapped("WETH", "0x82aF49447D8a07e3bd95BD0d56f35241523fBab1"),
	}},
	{ID: 10, Name: "optimism", Title: "OP Mainnet", Symbol: "ETH", Decimals: 18, BlockTime: 2 * time.Second, FinalityDepth: 150, Tokens: []Token{
		stable("USDT", 6, "0x94b008aA00579c1307B0EF2c499aD98a8ce58e58"),
		stable("USDT0", 6, "0x01bFF41798a0BcF287b996046Ca68b395DbC1071"),
		stable("USDC", 6, "0x0b2C639c533813f4Aa9D7837CAf62653d097Ff85"),
		stable("USDC.e", 6, "0x7F5c764cBc14f9669B88837ca1490cCa17c31607"),
		stable("DAI", 18, "0xDA10009cBd5D07dd0CeCc66161FC93D7c9000da1"),
		wrapped("WETH", "0x4200000000000000000000000000000000000006"),
	}},
	{ID: 8453, Name: "base", Title: "Base", Symbol: "ETH", Decimals: 18, BlockTime: 2 * time.Second, FinalityDepth: 150, Tokens: []Token{
		stable("USDT", 6, "0xfde4C96c8593536E31F229EA8f37b2ADa2699bb2"),
		stable("USDC", 6, "0x833589fCD6eDb6E08f4c7C32D4f71b54bDA02913"),
		stable("USDbC", 6, "0xd9aAEc86B65D86f6A7B5B1b0c42FFA531710b6CA"),
		stable("DAI", 18, "0x50c5725949A6F0c72E6C4a641F24049A917DB0Cb"),
		wrapped("WETH", "0x4200000000000000000000000000000000000006"),
	}},
	{ID: 43114, Name: "avalanche", Title: "Avalanche C-Chain", Symbol: "AVAX", Decimals: 18, BlockTime: 2 * time.Second, FinalityDepth: 5, Tokens: []Token{
		stable("USDT", 6, "0x9702230A8Ea53601f5cD2dc00fDBc13d4dF4A8c7"),
		stable("USDT.e", 6, "0xc7198437980c041c805A1EDcbA50c1Ce5db95118"),
		stable("USDC", 6, "0xB97EF9Ef8734C71904D8002F8b6Bc66Dd9c48a6E"),
		stable("USDC.e", 6, "0xA7D7079b0FEaD91F3e65f86E8915Cb59c1a4C664"),
		stable("DAI.e", 18, "0xd586E7F844cEa2F87f50152665BCbc2C279D8d70"),
		wrapped("WAVAX", "0xB31f66AA3C1e785363F0875A1B74E27b85FD66c7"),
	}},
	{ID: 728126428, Name: "tron", Title: "Tron", Symbol: "TRX", Decimals: 6, BlockTime: 3 * time.Second, FinalityDepth: 20, Tokens: []Token{
		stable("USDT", 6, "0xa614f803B6FD780986A42c78Ec9c7f77e6DeD13C"), // TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t
		stable("USDC", 6, "0x3487b63D30B5B2C87fb7fFa8bcfADE38EAaC1abe"), // TEkxiTehnzSmSe2XqrBj4w32RUN966rdz8
	}},
}
