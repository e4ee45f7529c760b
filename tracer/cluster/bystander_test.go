package cluster_test

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/holiman/uint256"
)

// The built-in world has few people whom a rule could take for a syndicate by
// mistake. These here are made to be mistaken: they are what the published
// precision is measured against.

// bystanders are kinds of people who touch a syndicate's money without being
// of it.
const (
	kiosk      = "customers of a gas kiosk"
	company    = "staff of a company"
	unlisted   = "an exchange that nobody labeled"
	baited     = "victims with gas from the syndicate"
	trader     = "traders who pay where they are told"
	freelancer = "freelancers with one client"
	mule       = "mules who pay into the syndicate's accounts"
)

// a crowd adds bystanders to a town.
type crowd struct {
	*town
	rng    *rand.Rand
	ts     []tracer.Transfer
	n      uint32
	last   uint64
	launch []tracer.Transfer // money that arrived at wallets of syndicates
}

func (t *town) bystanders(seed uint64) {
	c := &crowd{town: t, rng: rand.New(rand.NewPCG(seed, 99)), last: t.Head() - 2000}
	for x := range t.store.Transfers() {
		role := t.Truth.Owner[x.To].Role
		if x.Counts() && x.Block < c.last/2 && x.Asset == c.usdt() && (role == devnet.RoleLayer || role == devnet.RolePeel || role == devnet.RoleCollector) {
			c.launch = append(c.launch, x)
		}
	}
	for range 2 {
		c.kiosk()
		c.company()
		c.unlisted()
		c.baited()
		c.trader()
		c.freelancers()
		c.mule()
	}
	t.store.Add(c.ts)
}

func (c *crowd) usdt() tracer.Asset {
	return tracer.TokenOf(c.in.Chain.ID, c.in.Chain.Tokens[0].Address)
}
func (c *crowd) eth() tracer.Asset { return tracer.NativeOf(c.in.Chain.ID) }

// person makes a wallet of somebody.
func (c *crowd) person(kind, actor string) common.Address {
	c.n++
	a := common.BytesToAddress(crypto.Keccak256(fmt.Append(nil, c.Config.Seed, kind, c.n)))
	c.owner[a] = devnet.Owner{Actor: actor, Role: devnet.Role(kind)}
	return a
}

// name makes an actor.
func (c *crowd) name(kind string) string {
	c.n++
	return fmt.Sprintf("%s %d", kind, c.n)
}

// pay moves money in a transaction of its own, at a block not before at, and
// returns the block.
func (c *crowd) pay(at uint64, from, to common.Address, a tracer.Asset, amount *uint256.Int) uint64 {
	c.n++
	at = min(at, c.last+1000)
	t := tracer.Transfer{Asset: a, From: from, To: to, Amount: *amount, Block: at, Time: c.Blocks[at].Time,
		Tx: crypto.Keccak256Hash(fmt.Append(nil, "bystander", c.Config.Seed, c.n)), TxIndex: 1000 + c.n, Kind: tracer.KindNative}
	if a.Kind == tracer.ERC20 {
		t.Kind, t.Position = tracer.KindToken, fmt.Sprint(100_000+c.n)
	}
	fee := t
	fee.Asset, fee.Kind, fee.To, fee.Position = c.eth(), tracer.KindFee, common.Address{}, ""
	fee.Amount.SetUint64(3e14)
	c.ts = append(c.ts, fee, t)
	return at
}

func (c *crowd) usd(at uint64, from, to common.Address, dollars int) uint64 {
	return c.pay(at, from, to, c.usdt(), uint256.NewInt(uint64(dollars)*1e6))
}

func (c *crowd) gas(at uint64, from, to common.Address) uint64 {
	return c.pay(at, from, to, c.eth(), uint256.NewInt(uint64(3+c.rng.IntN(6))*1e15))
}

// soon is some blocks later.
func (c *crowd) soon(at uint64) uint64 { return at + 20 + c.rng.Uint64N(600) }

// between is a number from low to high.
func (c *crowd) between(low, high int) int { return low + c.rng.IntN(high-low+1) }

// tainted lets a wallet of a syndicate pay somebody, and returns that wallet
// and the block.
func (c *crowd) tainted(to common.Address, dollars int) (from common.Address, at uint64) {
	x := c.launch[c.rng.IntN(len(c.launch))]
	return x.To, c.usd(c.soon(x.Block), x.To, to, dollars)
}

// outside is a wallet of somebody who has nothing to do with anything.
func (c *crowd) outside() common.Address { return c.person("outsider", c.name("outsider")) }

// kiosk sells gas to people who trade with each other, and whom the syndicate
// buys from.
func (c *crowd) kiosk() {
	k := c.person(kiosk, c.name("kiosk"))
	var people []common.Address
	for range c.between(20, 200) {
		p := c.person(kiosk, c.name("customer"))
		people = append(people, p)
		at := c.gas(c.rng.Uint64N(c.last/2), k, p)
		c.usd(c.soon(at), c.outside(), p, c.between(300, 3000))
	}
	for range 2 * len(people) {
		a, b := people[c.rng.IntN(len(people))], people[c.rng.IntN(len(people))]
		if a != b {
			c.usd(c.last/2+c.rng.Uint64N(c.last/2), a, b, c.between(5, 200))
		}
	}
	for _, p := range people[:8] {
		_, at := c.tainted(p, c.between(50, 900))
		c.usd(c.soon(at), p, people[9+c.rng.IntN(10)], c.between(20, 600))
	}
}

// company pays wages, and gas, and has the syndicate among its clients.
func (c *crowd) company() {
	co := c.person(company, c.name("company"))
	for range 5 {
		c.usd(c.rng.Uint64N(c.last/3), c.outside(), co, c.between(10_000, 30_000))
	}
	c.tainted(co, c.between(1000, 8000))
	var staff []common.Address
	for range c.between(5, 25) {
		p := c.person(company, c.name("employee"))
		staff = append(staff, p)
		at := c.gas(c.last/2, co, p)
		c.usd(c.soon(at), co, p, c.between(1500, 4000))
	}
	for range 3 * len(staff) {
		a, b := staff[c.rng.IntN(len(staff))], staff[c.rng.IntN(len(staff))]
		if a != b {
			c.usd(c.last/2+c.rng.Uint64N(c.last/3), a, b, c.between(5, 100))
		}
	}
}

// unlisted is an exchange of some size, where the syndicate has accounts.
func (c *crowd) unlisted() {
	name := c.name("unlisted exchange")
	hot, gas := c.person(unlisted, name), c.person(unlisted, name)
	for i := range c.between(10, 300) {
		d := c.person(unlisted, name)
		at := c.rng.Uint64N(c.last / 2)
		dollars := c.between(50, 5000)
		if i < 4 {
			_, at = c.tainted(d, dollars)
		} else {
			c.usd(at, c.outside(), d, dollars)
		}
		c.gas(at+5, gas, d)
		c.usd(at+30, d, hot, dollars)
		c.usd(c.soon(at+900), hot, c.outside(), dollars/2)
	}
}

// baited victims are told what to do by the syndicate, which also sends them
// gas and, once, a little money back.
func (c *crowd) baited() {
	scam, at := c.launch[c.rng.IntN(len(c.launch))].To, uint64(0)
	syndicate := c.owner[scam].Actor
	var funder common.Address
	for a, o := range c.owner {
		if o.Role == devnet.RoleGas && o.Actor == syndicate {
			funder = a
		}
	}
	for i := range 4 {
		v := c.person(baited, c.name("victim"))
		from := c.outside()
		if i%2 == 0 {
			from = c.Services[0].Addresses[0]
		}
		at = c.gas(c.rng.Uint64N(c.last/3), funder, v)
		at = c.usd(c.soon(at), from, v, c.between(3000, 20_000))
		at = c.usd(c.soon(at), v, scam, c.between(500, 1000))
		c.usd(c.soon(at), scam, v, c.between(50, 300))
		c.usd(c.soon(at+600), v, scam, c.between(1500, 2000))
	}
}

// account returns a deposit address of a syndicate.
func (c *crowd) account(syndicate string) (d common.Address, ok bool) {
	var all []common.Address
	for a, o := range c.owner {
		if o.Role == devnet.RoleDeposit && o.Customer == syndicate {
			all = append(all, a)
		}
	}
	if len(all) == 0 {
		return d, false
	}
	slices.SortFunc(all, common.Address.Cmp)
	return all[c.rng.IntN(len(all))], true
}

// forward lets a deposit address pass on what it got.
func (c *crowd) forward(at uint64, d common.Address, a tracer.Asset, amount *uint256.Int) {
	for _, s := range c.Services {
		if s.Name == c.owner[d].Actor {
			c.pay(at+40, d, s.Addresses[0], a, amount)
		}
	}
}

// traders give one asset for another, and deliver where they are told to.
func (c *crowd) trader() {
	for i := range 4 {
		p := c.person(trader, c.name("trader"))
		c.gas(c.rng.Uint64N(c.last/4), c.outside(), p)
		if i%2 == 0 { // with other customers
			for range 6 {
				at := c.usd(c.rng.Uint64N(c.last/2), c.outside(), p, c.between(500, 4000))
				c.pay(c.soon(at), p, c.outside(), c.eth(), uint256.NewInt(1e18))
			}
		}
		from, at := c.tainted(p, 2000)
		if d, ok := c.account(c.owner[from].Actor); ok {
			coin := uint256.NewInt(uint64(c.between(700, 900)) * 1e15)
			at = c.pay(c.soon(at), p, d, c.eth(), coin)
			c.forward(at, d, c.eth(), coin)
		}
	}
}

// freelancers live of what the syndicate pays them, know each other, and got
// their first gas from the same friend.
func (c *crowd) freelancers() {
	friend := c.person(freelancer, c.name("friend"))
	var people []common.Address
	for range 3 {
		p := c.person(freelancer, c.name("freelancer"))
		people = append(people, p)
		c.gas(c.rng.Uint64N(c.last/8), friend, p)
		c.tainted(p, c.between(200, 900))
	}
	c.usd(c.last-50, people[0], people[1], c.between(20, 600))
}

// a mule keeps a part and pays the rest into an account of the syndicate.
func (c *crowd) mule() {
	p := c.person(mule, c.name("mule"))
	c.gas(c.rng.Uint64N(c.last/8), c.outside(), p)
	from, at := c.tainted(p, 1000)
	if d, ok := c.account(c.owner[from].Actor); ok {
		at = c.usd(c.soon(at), p, d, 900)
		c.forward(at, d, c.usdt(), uint256.NewInt(900e6))
	}
}
