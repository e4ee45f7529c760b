package devnet

import (
	"cmp"
	"maps"
	"slices"

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

// books are the scenario's own records of the victims' coins. They know
// nothing of logs or traces.
type books struct {
	purses map[purse][]coin
	exits  map[exitKey]*uint256.Int
	fees   map[feeKey]*uint256.Int
	swaps  []swapNote
	pays   []payNote
	party  []int // by victim: the set it belongs to, as the smallest member known
}

type purse struct {
	wallet addr
	asset  asset
}

type coin struct {
	victim int
	amount uint256.Int
}

type exitKey struct {
	victim       int
	wallet, from addr
	asset        asset
}

type feeKey struct {
	victim int
	asset  asset
}

type swapNote struct {
	victim           int
	tx               uint32
	wallet, receiver addr
	out, in          asset
	gave, got        uint256.Int
}

type payNote struct {
	victim int
	tx     uint32
	wallet addr
	asset  asset
	amount uint256.Int
}

func newBooks() *books {
	return &books{
		purses: make(map[purse][]coin),
		exits:  make(map[exitKey]*uint256.Int),
		fees:   make(map[feeKey]*uint256.Int),
	}
}

// sum returns the value of coins.
func sum(coins []coin) uint256.Int {
	var t uint256.Int
	for i := range coins {
		t.Add(&t, &coins[i].amount)
	}
	return t
}

// holds returns how much of a wallet's money is victims'.
func (b *books) holds(w addr, a asset) uint256.Int { return sum(b.purses[purse{w, a}]) }

// take removes coins worth at most amount, the oldest first. What is missing
// was not a victim's.
func (b *books) take(w addr, a asset, amount *uint256.Int) []coin {
	k := purse{w, a}
	have := b.purses[k]
	if len(have) == 0 {
		return nil
	}
	var out []coin
	left := *amount
	for len(have) > 0 && !left.IsZero() {
		c := have[0]
		if left.Lt(&c.amount) {
			out = append(out, coin{c.victim, left})
			have = slices.Clone(have)
			have[0].amount.Sub(&c.amount, &left)
			left.Clear()
			break
		}
		left.Sub(&left, &c.amount)
		out = append(out, c)
		have = have[1:]
	}
	if len(have) == 0 {
		delete(b.purses, k)
	} else {
		b.purses[k] = have
	}
	return out
}

// put gives coins to a wallet that keeps them. Coins of several victims in one
// purse make a group of them.
func (b *books) put(w addr, a asset, coins []coin) {
	if len(coins) == 0 {
		return
	}
	k := purse{w, a}
	have := b.purses[k]
	for _, c := range coins {
		if n := len(have) - 1; n >= 0 && have[n].victim == c.victim {
			have[n].amount.Add(&have[n].amount, &c.amount)
		} else {
			have = append(have, c)
		}
	}
	for _, c := range have[1:] {
		b.unite(have[0].victim, c.victim)
	}
	b.purses[k] = have
}

// exit records coins that arrived at a service or hub.
func (b *books) exit(wallet, from addr, a asset, coins []coin) {
	for _, c := range coins {
		add(b.exits, exitKey{c.victim, wallet, from, a}, &c.amount)
	}
}

// burn takes a fee out of a wallet.
func (b *books) burn(w addr, fee *uint256.Int) {
	for _, c := range b.take(w, eth, fee) {
		add(b.fees, feeKey{c.victim, eth}, &c.amount)
	}
}

// convert turns what a wallet gives into what the receiver gets. When all that
// is given is victims' money, all that is got is; otherwise the same share of
// it, rounded down. It returns the coins got.
func (b *books) convert(tx uint32, w addr, out asset, gave *uint256.Int, receiver addr, in asset, got *uint256.Int) []coin {
	var coins []coin
	var given, left uint256.Int
	taken := b.take(w, out, gave)
	given = sum(taken)
	left.MulDivOverflow(got, &given, gave)
	for i, c := range taken {
		n := coin{victim: c.victim, amount: left}
		if i < len(taken)-1 {
			n.amount.MulDivOverflow(got, &c.amount, gave)
		}
		left.Sub(&left, &n.amount)
		coins = append(coins, n)
		b.swaps = append(b.swaps, swapNote{c.victim, tx, w, receiver, out, in, c.amount, n.amount})
	}
	return coins
}

func (b *books) unite(v, u int) {
	x, y := b.set(v), b.set(u)
	b.party[max(x, y)] = min(x, y)
}

func (b *books) set(v int) int {
	for b.party[v] != v {
		v = b.party[v]
	}
	return v
}

// foreign reports whether a wallet holds coins of a victim outside v's set.
func (b *books) foreign(w addr, v int) bool {
	for a := range assets {
		for _, c := range b.purses[purse{w, a}] {
			if b.set(c.victim) != b.set(v) {
				return true
			}
		}
	}
	return false
}

func add[K comparable](m map[K]*uint256.Int, k K, n *uint256.Int) {
	t := m[k]
	if t == nil {
		t = new(uint256.Int)
		m[k] = t
	}
	t.Add(t, n)
}

// truth closes the books.
func (s *sim) truth(services map[addr]string) Truth {
	t := Truth{Owner: make(map[common.Address]Owner, len(s.owners)), Victims: s.victims}
	for a, o := range s.owners {
		t.Owner[s.addrs[a]] = o
	}
	sets := make(map[int][]int)
	for v := range t.Victims {
		p := s.books.set(v)
		sets[p] = append(sets[p], v)
	}
	for _, h := range s.hubs {
		t.Hubs = append(t.Hubs, s.addrs[h])
	}
	for _, p := range s.books.pays {
		v := &t.Victims[p.victim]
		to := s.addrs[p.wallet]
		v.Payments = append(v.Payments, Payment{s.txs[p.tx].hash, uint64(s.txs[p.tx].block), to, p.asset.asset(), p.amount})
		if !slices.Contains(v.Seeds, to) {
			v.Seeds = append(v.Seeds, to)
		}
	}
	for _, set := range slices.Sorted(maps.Keys(sets)) {
		victims := sets[set]
		out := s.outcome(set, services)
		if len(victims) == 1 {
			t.Victims[victims[0]].Unambiguous = true
			t.Victims[victims[0]].Outcome = out
			continue
		}
		t.Groups = append(t.Groups, Group{victims, out})
	}
	return t
}

// outcome sums up what became of the money of one set of victims.
func (s *sim) outcome(set int, services map[addr]string) Outcome {
	var out Outcome
	type place struct {
		service, deposit addr
		asset            asset
	}
	exits := make(map[place]*uint256.Int)
	for k, n := range s.books.exits {
		if s.books.set(k.victim) != set {
			continue
		}
		at := place{service: k.wallet, asset: k.asset}
		if s.owners[k.from].Role == RoleDeposit {
			at.deposit = k.from
		}
		add(exits, at, n)
	}
	for k, n := range exits {
		if name := services[k.service]; name != "" {
			out.Exits = append(out.Exits, Exit{name, s.addrs[k.service], s.addrs[k.deposit], k.asset.asset(), *n})
		} else {
			out.Pooled = append(out.Pooled, Holding{s.addrs[k.service], k.asset.asset(), *n})
		}
	}
	held := make(map[purse]*uint256.Int)
	for k, coins := range s.books.purses {
		for _, c := range coins {
			if s.books.set(c.victim) == set {
				add(held, k, &c.amount)
			}
		}
	}
	for k, n := range held {
		out.Held = append(out.Held, Holding{s.addrs[k.wallet], k.asset.asset(), *n})
	}
	fees := make(map[asset]*uint256.Int)
	for k, n := range s.books.fees {
		if s.books.set(k.victim) == set {
			add(fees, k.asset, n)
		}
	}
	for a, n := range fees {
		out.WrittenOff = append(out.WrittenOff, Amount{a.asset(), *n})
	}
	for _, n := range s.books.swaps {
		if s.books.set(n.victim) != set {
			continue
		}
		c := Conversion{s.txs[n.tx].hash, s.addrs[n.wallet], s.addrs[n.receiver], Amount{n.out.asset(), n.gave}, Amount{n.in.asset(), n.got}}
		if k := len(out.Conversions) - 1; k >= 0 && out.Conversions[k].Tx == c.Tx {
			p := &out.Conversions[k]
			p.Out.Amount.Add(&p.Out.Amount, &n.gave)
			p.In.Amount.Add(&p.In.Amount, &n.got)
			continue
		}
		out.Conversions = append(out.Conversions, c)
	}
	slices.SortFunc(out.Exits, func(a, b Exit) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), a.Wallet.Cmp(b.Wallet), a.Deposit.Cmp(b.Deposit), a.Asset.Compare(b.Asset))
	})
	byWallet := func(a, b Holding) int { return cmp.Or(a.Wallet.Cmp(b.Wallet), a.Asset.Compare(b.Asset)) }
	slices.SortFunc(out.Held, byWallet)
	slices.SortFunc(out.Pooled, byWallet)
	slices.SortFunc(out.WrittenOff, func(a, b Amount) int { return a.Asset.Compare(b.Asset) })
	return out
}
