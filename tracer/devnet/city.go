package devnet

import (
	"fmt"
	"math/rand/v2"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/crypto"
	"github.com/holiman/uint256"
)

// A city is what people find when they come: tokens, services, contracts.
type city struct {
	native      addr // logs native coin; see [tracer.NativeLogs]
	tokens      [assets]addr
	router      addr
	ethPool     addr // USDT and WETH
	daiPool     addr // USDT and DAI
	exchanges   []*exchange
	bridge      addr
	mixer       addr
	hub         addr
	disperser   addr // pays many at once
	platform    addr // passes native coin on
	logic       addr // what platform delegates to
	collectible addr
	users       []addr
	merchants   []addr
	funders     []addr // the syndicates' gas funders
	poison      *poisoner
	spam        *spammer
}

// An exchange has hot wallets that are publicly known, a gas wallet, and a
// deposit address for each customer, which it empties into a hot wallet.
type exchange struct {
	s        *sim
	name     string
	hot      []addr
	gas      addr
	deposits map[string]addr
	rng      *rand.Rand
}

func ether(n uint64) *uint256.Int {
	return new(uint256.Int).Mul(uint256.NewInt(n), uint256.NewInt(1e18))
}

// give lets an address own amount from before the first block.
func (s *sim) give(w addr, a asset, amount *uint256.Int) {
	b := &s.balances[w][a]
	b.Add(b, amount)
}

// found builds the city.
func (s *sim) found() {
	s.native = s.at(tracer.NativeLogs)
	for a := usdt; a < assets; a++ {
		s.tokens[a] = s.at(s.tokenAddress(symbols[a]))
		s.owners[s.tokens[a]] = Owner{Actor: symbols[a], Role: RoleToken}
		s.setCode(s.tokens[a], 0, symbols[a])
	}
	known := func(category string, o Owner) addr {
		w := s.contract(o.Actor+" "+string(o.Role), o)
		s.services = append(s.services, service{o.Actor, category, []addr{w}})
		return w
	}
	const swap = "Meridian Swap"
	s.router = known("swap", Owner{Actor: swap, Role: RoleRouter})
	// The pool of DAI is not publicly known, so that only what it does shows
	// what it is.
	s.ethPool = s.contract(swap+" USDT WETH", Owner{Actor: swap, Role: RolePool})
	s.daiPool = s.contract(swap+" USDT DAI", Owner{Actor: swap, Role: RolePool})
	s.services[0].wallets = append(s.services[0].wallets, s.ethPool)
	s.give(s.ethPool, usdt, s.cents(usdt, 400_000_000_00))
	s.give(s.ethPool, weth, ether(200_000))
	s.give(s.tokens[weth], eth, ether(200_000))
	s.give(s.daiPool, usdt, s.cents(usdt, 100_000_000_00))
	s.give(s.daiPool, dai, s.cents(dai, 100_000_000_00))

	s.bridge = known("bridge", Owner{Actor: "Harbor Bridge", Role: RoleBridge})
	s.mixer = known("mixer", Owner{Actor: "Fogbank", Role: RoleMixer})
	s.give(s.mixer, eth, ether(5_000))
	for i, name := range []string{"Aurora Exchange", "Borealis Markets", "Cinder Trade", "Delphi Coin"} {
		s.exchanges = append(s.exchanges, s.exchange(name, i == 0))
	}
	s.sinks[s.bridge], s.sinks[s.mixer] = true, true

	s.hub = s.person("Lantern Pay", Owner{Actor: "Lantern Pay", Role: RoleHub})
	s.hubs = append(s.hubs, s.hub)
	s.sinks[s.hub] = true
	s.give(s.hub, eth, ether(2_000))
	s.give(s.hub, usdt, s.cents(usdt, 30_000_000_00))
	s.disperser = s.contract("disperser", Owner{Actor: "Manypay", Role: RoleContract})
}

// exchange opens an exchange; allKnown says that its gas wallet is publicly
// known too.
func (s *sim) exchange(name string, allKnown bool) *exchange {
	x := &exchange{s: s, name: name, deposits: make(map[string]addr), rng: newRand(s.cfg.Seed, name)}
	for i := range 2 {
		w := s.person(fmt.Sprintf("%s hot %d", name, i+1), Owner{Actor: name, Role: RoleHot})
		s.sinks[w] = true
		s.give(w, eth, ether(2_000_000))
		for _, a := range []asset{usdt, usdc, dai} {
			s.give(w, a, s.cents(a, 4_000_000_000_00))
		}
		x.hot = append(x.hot, w)
	}
	x.gas = s.person(name+" gas", Owner{Actor: name, Role: RoleTopUp})
	s.give(x.gas, eth, ether(100_000))
	public := service{name, "exchange", x.hot}
	if allKnown {
		s.sinks[x.gas] = true
		public.wallets = append(public.wallets[:len(x.hot):len(x.hot)], x.gas)
	}
	s.services = append(s.services, public)
	return x
}

// deposit returns the deposit address of one account of a customer.
func (x *exchange) deposit(customer string, account int) addr {
	key := fmt.Sprintf("%s account %d", customer, account)
	if d, ok := x.deposits[key]; ok {
		return d
	}
	d := x.s.person(x.name+" deposit "+key, Owner{Actor: x.name, Role: RoleDeposit, Customer: customer})
	x.deposits[key] = d
	pending := make(map[asset]bool)
	x.s.onPaid[d] = func(from addr, a asset) {
		if from == x.gas || pending[a] {
			return
		}
		pending[a] = true
		x.s.after(minutes(x.rng, 3, 40), func() {
			pending[a] = false
			x.sweep(d, a)
		})
	}
	return d
}

// sweep empties a deposit address into a hot wallet, with gas from the gas
// wallet where the money is a token.
func (x *exchange) sweep(d addr, a asset) {
	s := x.s
	hot := x.hot[x.rng.IntN(len(x.hot))]
	if a == eth {
		left, fee := s.balances[d][eth], s.fee(gasPlain)
		if left.Gt(&fee) {
			left.Sub(&left, &fee)
			s.pay(d, hot, eth, &left)
		}
		return
	}
	all := s.balances[d][a]
	if all.IsZero() {
		return
	}
	need := s.fee(gasToken)
	if s.has(d, eth, &need) {
		s.pay(d, hot, a, &all)
		return
	}
	need.Mul(&need, uint256.NewInt(2)) // the gas price may rise meanwhile
	s.pay(x.gas, d, eth, &need)
	s.after(minutes(x.rng, 1, 5), func() {
		all := s.balances[d][a]
		s.pay(d, hot, a, &all)
	})
}

// withdraw pays a customer out of a hot wallet.
func (x *exchange) withdraw(to addr, a asset, amount *uint256.Int) bool {
	return x.s.pay(x.hot[x.rng.IntN(len(x.hot))], to, a, amount)
}

// data gives the transaction in the making its calldata: a selector made up
// from a name, and addresses.
func (s *sim) data(name string, args ...addr) {
	b := crypto.Keccak256([]byte(name))[:4]
	for _, a := range args {
		h := s.topic(a)
		b = append(b, h[:]...)
	}
	s.inputs[s.tx()] = b
}

// quote returns what a swap pays, after a fee of 0.3%. ok is false for pairs
// that have no pool.
func (s *sim) quote(out, in asset, amount *uint256.Int) (got *uint256.Int, ok bool) {
	got = new(uint256.Int)
	price := uint256.NewInt(s.price())
	switch [2]asset{out, in} {
	case [2]asset{usdt, eth}: // a millionth of a USDT is a millionth of a dollar
		got.MulDivOverflow(amount, ether(1), price)
	case [2]asset{eth, usdt}:
		got.MulDivOverflow(amount, price, ether(1))
	case [2]asset{usdt, dai}:
		got.Mul(amount, uint256.NewInt(1e12))
	case [2]asset{dai, usdt}:
		got.Div(amount, uint256.NewInt(1e12))
	default:
		return nil, false
	}
	return part(got, 997, 1000), true
}

// swap trades in one transaction through the router; receiver gets what it
// yields. It reports whether it could; if not, nothing has happened.
func (s *sim) swap(w addr, out, in asset, amount *uint256.Int, receiver addr) bool {
	got, ok := s.quote(out, in, amount)
	if !ok || got.IsZero() || !s.has(w, out, amount) {
		return false
	}
	pool, paid := s.daiPool, in
	if out == eth || in == eth {
		pool = s.ethPool
	}
	if in == eth {
		paid = weth
	}
	var value *uint256.Int
	if out == eth {
		value = amount
	}
	if !s.has(pool, paid, got) || !s.begin(w, s.router, value, other, gasSwap) {
		return false
	}
	s.data("swap", receiver)
	zero := new(uint256.Int)
	switch {
	case out == eth:
		s.internal("0", s.router, s.tokens[weth], amount, opCall)
		s.wrap(s.router, amount)
		s.internal("1", s.router, s.tokens[weth], zero, opCall)
		s.token(weth, s.router, pool, amount)
		s.internal("2", s.router, pool, zero, opCall)
		s.internal("2.0", pool, s.tokens[in], zero, opCall)
		s.token(in, pool, receiver, got)
		s.log(evSwap, pool, s.router, receiver, amount)
	case in == eth:
		s.internal("0", s.router, s.tokens[out], zero, opCall)
		s.token(out, w, pool, amount)
		s.internal("1", s.router, pool, zero, opCall)
		s.internal("1.0", pool, s.tokens[weth], zero, opCall)
		s.token(weth, pool, s.router, got)
		s.internal("1.1", pool, s.tokens[out], zero, opStatic)
		s.log(evSwap, pool, s.router, s.router, amount)
		s.internal("2", s.router, s.tokens[weth], zero, opCall)
		s.internal("2.0", s.tokens[weth], s.router, got, opCall)
		s.unwrap(s.router, got)
		s.internal("3", s.router, receiver, got, opCall)
	default:
		s.internal("0", s.router, s.tokens[out], zero, opCall)
		s.token(out, w, pool, amount)
		s.internal("1", s.router, pool, zero, opCall)
		s.internal("1.0", pool, s.tokens[in], zero, opCall)
		s.token(in, pool, receiver, got)
		s.log(evSwap, pool, s.router, receiver, amount)
	}
	s.arrive(s.router, receiver, in, s.books.convert(s.tx(), w, out, amount, receiver, in, got))
	return true
}

// wrapped turns ETH into WETH, and unwrapped WETH into ETH.
func (s *sim) wrapped(w addr, amount *uint256.Int) bool {
	if !s.begin(w, s.tokens[weth], amount, deposit, gasContract) {
		return false
	}
	s.wrap(w, amount)
	s.arrive(w, w, weth, s.books.convert(s.tx(), w, eth, amount, w, weth, amount))
	return true
}

func (s *sim) unwrapped(w addr, amount *uint256.Int) bool {
	if !s.has(w, weth, amount) || !s.begin(w, s.tokens[weth], nil, withdraw, gasContract) {
		return false
	}
	s.internal("0", s.tokens[weth], w, amount, opCall)
	s.unwrap(w, amount)
	s.arrive(w, w, eth, s.books.convert(s.tx(), w, weth, amount, w, eth, amount))
	return true
}

// payThrough pays native coin through a contract, which delegates to another
// one, and whose call to a third goes wrong and is undone.
func (s *sim) payThrough(contract, from, to addr, amount *uint256.Int) bool {
	if !s.begin(from, contract, amount, other, gasContract) {
		return false
	}
	s.data("pay", to)
	s.internal("0", contract, s.logic, amount, opDelegate)
	s.internal("0.0", contract, to, amount, opCall)
	s.dead("1", contract, s.router, uint256.NewInt(1), true)
	s.dead("1.0", s.router, to, uint256.NewInt(1), false)
	s.carry(from, to, eth, amount)
	return true
}

// batch pays several receivers the same asset in one transaction.
func (s *sim) batch(from addr, a asset, to []addr, amounts []*uint256.Int) bool {
	var total uint256.Int
	for _, n := range amounts {
		total.Add(&total, n)
	}
	gas := uint32(gasContract + gasEach*len(to))
	if a == eth {
		if !s.begin(from, s.disperser, &total, other, gas) {
			return false
		}
	} else if !s.has(from, a, &total) || !s.begin(from, s.disperser, nil, other, gas) {
		return false
	}
	s.data("disperse", to...)
	for i, r := range to {
		if a == eth {
			s.internal(fmt.Sprint(i), s.disperser, r, amounts[i], opCall)
		} else {
			s.internal(fmt.Sprint(i), s.disperser, s.tokens[a], new(uint256.Int), opCall)
			s.token(a, from, r, amounts[i])
		}
	}
	for i, r := range to {
		s.carry(from, r, a, amounts[i])
	}
	return true
}

// bridged sends a token over the bridge.
func (s *sim) bridged(from addr, a asset, amount *uint256.Int) bool {
	if a == eth {
		return s.pay(from, s.bridge, eth, amount)
	}
	if !s.has(from, a, amount) || !s.begin(from, s.bridge, nil, other, gasToken+gasContract) {
		return false
	}
	s.data("bridge", from)
	s.internal("0", s.bridge, s.tokens[a], new(uint256.Int), opCall)
	s.token(a, from, s.bridge, amount)
	s.carry(from, s.bridge, a, amount)
	return true
}

// deploy makes a contract out of a transaction and returns it.
func (s *sim) deploy(from addr, value *uint256.Int, name string, o Owner) (addr, bool) {
	made := crypto.CreateAddress(s.addrs[from], uint64(s.nonces[from]))
	to := s.at(made)
	if !s.begin(from, to, value, other, gasCreate) {
		return 0, false
	}
	s.txs[s.tx()].creates = true
	s.owners[to] = o
	s.setCode(to, s.block(), name)
	s.inputs[s.tx()] = append([]byte{0x60, 0x2a, 0x80, 0x60, 0x0b, 0x5f, 0x39, 0x5f, 0xf3}, s.codes[to].bytes...)
	if value != nil {
		s.carry(from, to, eth, value)
	}
	return to, true
}
