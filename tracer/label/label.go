// Package label knows what has been said about addresses: which are services,
// who said so, and how sure they are.
//
// Labels come from the built-in set of facts ([New]), from TagPack files and
// from CSV files ([Set.Load]). Every label keeps its source. What it promises:
// a built-in service is a service whatever an imported file says, so no import
// can turn an exchange into a suspect or hide one; a file is read whole or not
// at all; and a [Set] has one SHA-256 that names exactly the labels a report
// used.
//
// # The built-in set
//
// builtin.csv is the project's own table of plain facts: this address, on this
// chain, is a wallet or a contract of this service. Names and addresses are
// facts; no file of others is copied. A service is in it when many people use
// it and its name means something to them; deposit addresses, persons and
// suspects never are. A row is there only if two public collections of labels,
// kept by different projects, name the same service for the same address on
// the same chain, and none names anything bad. A test holds every row to that
// wherever the collections are at hand. Two collections can share a mistake:
// most of them began with the name tags of explorers.
//
// Of the chains of [tracer.Chains], the collections say this much about
// Ethereum, BNB Smart Chain, Arbitrum and OP Mainnet only. The rest of the set
// are facts of the protocol, made from code: the token contracts of the chain
// table, wrapped coins (swap), the zero address, the precompiled contracts and
// the address 0x…dEaD (burn), on each chain. The labels by chain and category:
//
//	           exchange   bridge     swap    mixer  lending  payment gambling   issuer    token     burn
//	ethereum        312      106       65       33       32        3        4        2        3       11
//	optimism          4        7        6        0        5        0        0        0        5       11
//	bsc              35       18        6        0        0        0        1        0        3       11
//	polygon           0        0        1        0        0        0        0        0        4       11
//	base              0        0        1        0        0        0        0        0        4       11
//	arbitrum          4       16        6        4        5        0        0        0        4       11
//	avalanche         0        0        1        0        0        0        0        0        5       11
//	tron              0        0        0        0        0        0        0        0        2       11
package label

import "slices"

// A Category says what a labelled wallet is.
type Category string

// The categories.
const (
	Exchange   Category = "exchange" // holds its customers' coins; asks who they are
	Bridge     Category = "bridge"   // moves value to another chain
	Mixer      Category = "mixer"
	Swap       Category = "swap" // gives one asset for another: routers, pools, wrapped coins
	Gambling   Category = "gambling"
	Payment    Category = "payment" // sells or takes coins for merchants
	Lending    Category = "lending"
	Issuer     Category = "issuer" // of a token; can freeze it
	TokenCode  Category = "token"  // a token's own contract: what is sent there is lost
	Burned     Category = "burn"   // nobody has the key
	Scam       Category = "scam"
	Sanctioned Category = "sanctioned"
	Other      Category = "other"
)

var (
	services = []Category{Exchange, Bridge, Mixer, Swap, Gambling, Payment, Lending, Issuer, TokenCode, Burned}
	others   = []Category{Scam, Sanctioned, Other}
)

// Service reports whether many people use wallets of the category, so that
// money that arrives there is not followed.
func (c Category) Service() bool { return slices.Contains(services, c) }

// Burn reports whether nobody can spend what arrives there.
func (c Category) Burn() bool { return c == TokenCode || c == Burned }
