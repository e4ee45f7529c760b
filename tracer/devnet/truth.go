package devnet

import (
	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
)

// Truth is what really happened. The generator writes it down while it moves
// the money, coin by coin; it never reads it back from the chain.
type Truth struct {
	Owner   map[common.Address]Owner // every address of the world that is somebody's
	Victims []Victim
	// Groups are the sets of victims whose money met in one wallet. Which coin
	// was whose is not decided there, so only the sums of a group are true.
	Groups []Group
	// Hubs pool the money of thousands and are not publicly known. Money that
	// enters one is gone from sight: see [Outcome.Pooled].
	Hubs []common.Address
}

// A Role says what an address is for.
type Role string

// The roles.
const (
	RoleVictim    Role = "victim"
	RoleSeed      Role = "scam wallet" // victims pay here
	RoleCollector Role = "collector"
	RoleLayer     Role = "layer"
	RolePeel      Role = "peel"
	RoleGas       Role = "gas funder"
	RoleOperator  Role = "operator" // deploys a syndicate's contracts
	RoleHot       Role = "hot wallet"
	RoleTopUp     Role = "gas wallet" // an exchange's own, for its deposit addresses
	RoleDeposit   Role = "deposit address"
	RoleUser      Role = "user"
	RoleMerchant  Role = "merchant"
	RoleHub       Role = "hub"
	RolePoisoner  Role = "poisoner" // and its look-alike addresses
	RoleToken     Role = "token"
	RolePool      Role = "pool"
	RoleRouter    Role = "router"
	RoleContract  Role = "contract"
	RoleBridge    Role = "bridge"
	RoleMixer     Role = "mixer"
)

// An Owner is who controls an address.
type Owner struct {
	Actor string // "syndicate 1", "victim 2", "user 17", a service's name
	Role  Role
	// Customer is the actor an exchange made a deposit address for. Empty for
	// other roles.
	Customer string
}

// A Victim is somebody who paid.
type Victim struct {
	Name      string
	Syndicate string
	Wallet    common.Address   // the victim's own
	Seeds     []common.Address // scam wallets the victim paid, in order of first payment
	Payments  []Payment        // chain order
	// Unambiguous says that no other victim's money ever shared a wallet with
	// this victim's, so that the outcome is forced under "traced money leaves
	// first". Outcome is empty otherwise; see [Truth.Groups].
	Unambiguous bool
	Outcome
}

// A Payment is what a victim sent to a scam wallet.
type Payment struct {
	Tx     common.Hash
	Block  uint64
	Wallet common.Address // the scam wallet that received it
	Asset  tracer.Asset
	Amount uint256.Int
}

// A Group is two or more victims whose money met.
type Group struct {
	Victims []int // indexes into [Truth.Victims], rising
	Outcome
}

// An Outcome says where money ended when the traced money of a wallet always
// leaves it first. Per asset
//
//	paid + converted in = exits + held + pooled + written off + converted out
//
// holds in whole base units.
type Outcome struct {
	Exits       []Exit       // by service, wallet, deposit address, asset
	Held        []Holding    // money nobody moved on, by wallet and asset
	Pooled      []Holding    // money that entered a hub, by hub and asset
	WrittenOff  []Amount     // fees paid out of the money, by asset
	Conversions []Conversion // chain order
}

// An Exit is money that arrived at a publicly known wallet of a service.
type Exit struct {
	Service string
	Wallet  common.Address // the service's known wallet
	// Deposit is the service's deposit address that passed it on, zero when it
	// came straight. What a deposit address paid for passing on native coin is
	// in [Outcome.WrittenOff], and what it has not passed on is in [Outcome.Held].
	Deposit common.Address
	Asset   tracer.Asset
	Amount  uint256.Int
}

// A Holding is money in a wallet.
type Holding struct {
	Wallet common.Address
	Asset  tracer.Asset
	Amount uint256.Int
}

// An Amount is a sum of one asset.
type Amount struct {
	Asset  tracer.Asset
	Amount uint256.Int
}

// A Conversion is a swap of a victim's money.
type Conversion struct {
	Tx               common.Hash
	Wallet, Receiver common.Address // Receiver got In; most often Wallet itself
	Out, In          Amount
}
