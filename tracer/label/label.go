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
// chain, is a wallet or a contract of this service. A service is in it when
// many people use it and its name means something to them; deposit addresses,
// persons and suspects never are. A row is there only if two public
// collections of labels, kept by different projects, name the same service for
// the same address on the same chain, and none names anything bad. A test
// holds every row to that wherever the collections are at hand. Of the chains
// of [tracer.Chains], the collections say this much about Ethereum, BNB Smart
// Chain, Arbitrum and OP Mainnet; on the others the built-in set has the facts
// of the protocol only.
//
// Those facts are not in the table but made from code: the token contracts of
// [tracer.Chains], the zero address, the precompiled contracts and the address
// 0x…dEaD, on each chain.
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
