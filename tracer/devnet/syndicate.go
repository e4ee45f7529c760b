package devnet

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/holiman/uint256"
)

// A syndicate moves victims' money from the scam wallets to the services, one
// victim's at a time except where it collects for several.
type syndicate struct {
	s      *sim
	name   string
	rng    *rand.Rand
	n      int  // wallets so far
	funder addr // sends every wallet its first gas
	reach  []*exchange
}

// A haul is money of one victim, or of several who share a collector, in one
// wallet of a syndicate.
type haul struct {
	victim int
	in     addr
	asset  asset
	hops   int  // so far
	merge  addr // a wallet that branches meet in again, or 0
}

func (s *sim) syndicate(n int) *syndicate {
	y := &syndicate{s: s, name: fmt.Sprintf("syndicate %d", n+1)}
	y.rng = newRand(s.cfg.Seed, y.name)
	y.funder = y.wallet(RoleGas)
	s.funders = append(s.funders, y.funder)
	y.reach = []*exchange{s.exchanges[n%4], s.exchanges[(n+1)%4]}
	// The funder bought its coins at an exchange, like anybody.
	s.after(minutes(y.rng, 10, 60), func() { y.reach[0].withdraw(y.funder, eth, ether(6)) })
	return y
}

// wallet makes a wallet of the syndicate.
func (y *syndicate) wallet(r Role) addr {
	y.n++
	return y.s.person(fmt.Sprintf("%s wallet %d", y.name, y.n), Owner{Actor: y.name, Role: r})
}

// funded makes a wallet and sends it its first gas in a few minutes.
func (y *syndicate) funded(r Role) addr {
	w := y.wallet(r)
	y.s.after(minutes(y.rng, 1, 8), func() { y.fuel(w) })
	return w
}

func (y *syndicate) fuel(w addr) {
	amount := new(uint256.Int).Mul(uint256.NewInt(uint64(12+y.rng.IntN(6))), uint256.NewInt(1e15))
	if need := new(uint256.Int).Add(amount, ether(1)); !y.s.has(y.funder, eth, need) {
		y.reach[0].withdraw(y.funder, eth, ether(6))
	}
	y.s.pay(y.funder, w, eth, amount)
}

// dwell is how long money rests: half of the time minutes, else hours, and
// one time in eight a day or two. It is longer than funding takes.
func (y *syndicate) dwell() time.Duration {
	switch r := y.rng.IntN(8); {
	case r < 4:
		return minutes(y.rng, 12, 70)
	case r < 7:
		return minutes(y.rng, 70, 9*60)
	}
	return minutes(y.rng, 18*60, 50*60)
}

// later goes on with a haul after a dwell.
func (y *syndicate) later(h haul, step func(haul)) {
	y.s.after(y.dwell(), func() { step(h) })
}

// all returns what a wallet can send of the victims' money when it sends
// everything: of native coin, less the fee.
func (y *syndicate) all(h haul) *uint256.Int {
	amount := y.s.books.holds(h.in, h.asset)
	if h.asset == eth {
		fee := y.s.fee(gasPlain)
		if !amount.Gt(&fee) {
			return new(uint256.Int)
		}
		amount.Sub(&amount, &fee)
	}
	return &amount
}

// send moves amount to a wallet and returns the haul there. When gas runs out
// the money stays where it is until the funder has sent more.
func (y *syndicate) send(h haul, to addr, amount *uint256.Int, then func(haul)) {
	if amount.IsZero() {
		return
	}
	next := h
	next.in, next.hops = to, h.hops+1
	if y.s.pay(h.in, to, h.asset, amount) {
		if then != nil {
			y.later(next, then)
		}
		return
	}
	y.s.after(minutes(y.rng, 5, 20), func() {
		y.fuel(h.in)
		y.s.after(minutes(y.rng, 2, 9), func() {
			if y.s.pay(h.in, to, h.asset, amount) && then != nil {
				y.later(next, then)
			}
		})
	})
}

// hop moves everything to a fresh wallet.
func (y *syndicate) hop(h haul, then func(haul)) {
	to := y.funded(RoleLayer)
	// The gas has to be there before the money moves on.
	y.s.after(minutes(y.rng, 9, 15), func() { y.send(h, to, y.all(h), then) })
}

// split moves everything to n fresh wallets in uneven parts; each goes on.
func (y *syndicate) split(h haul, n int, then func(haul)) {
	for i := range n {
		to := y.funded(RoleLayer)
		y.s.after(minutes(y.rng, int64(9+20*i), int64(18+20*i)), func() {
			amount := y.all(h)
			if left := uint64(n - i); left > 1 {
				amount = part(amount, 800+uint64(y.rng.IntN(300)), 1000*left)
			}
			y.send(h, to, amount, then)
		})
	}
}

// peel sends a small part to a deposit address and the rest to a fresh wallet,
// and so on.
func (y *syndicate) peel(h haul, steps int, then func(haul)) {
	if steps == 0 {
		then(h)
		return
	}
	y.cash(h, part(y.all(h), 40+uint64(y.rng.IntN(60)), 1000))
	to := y.funded(RolePeel)
	y.s.after(minutes(y.rng, 12, 90), func() {
		y.send(h, to, y.all(h), func(next haul) { y.peel(next, steps-1, then) })
	})
}

// cash sends amount to a deposit address that other wallets of the syndicate
// use too, but none with another victim's money in it now.
func (y *syndicate) cash(h haul, amount *uint256.Int) {
	x := y.reach[y.rng.IntN(len(y.reach))]
	start := y.rng.IntN(3)
	for i := range 3 {
		if d := x.deposit(y.name, (start+i)%3); !y.s.books.foreign(d, h.victim) {
			y.send(h, d, amount, nil)
			return
		}
	}
	y.send(h, x.deposit(y.name, 3+h.victim), amount, nil)
}

// trade swaps everything into another asset, for receiver or for the wallet itself.
func (y *syndicate) trade(h haul, in asset, receiver addr, then func(haul)) {
	amount := y.s.books.holds(h.in, h.asset)
	if h.asset == eth {
		fee := y.s.fee(gasSwap)
		if !amount.Gt(&fee) {
			return
		}
		amount.Sub(&amount, &fee)
	}
	next := h
	next.asset, next.in = in, receiver
	if y.s.swap(h.in, h.asset, in, &amount, receiver) {
		y.later(next, then)
	}
}

// loop sends everything through three wallets and back to where it was.
func (y *syndicate) loop(h haul, then func(haul)) {
	a, b := y.funded(RoleLayer), y.funded(RoleLayer)
	y.s.after(minutes(y.rng, 10, 30), func() {
		y.send(h, a, y.all(h), func(h2 haul) {
			y.send(h2, b, y.all(h2), func(h3 haul) { y.send(h3, h.in, y.all(h3), then) })
		})
	})
}

// leave takes everything out, one of the ways there are.
func (y *syndicate) leave(h haul) {
	s := y.s
	switch r := y.rng.IntN(10); {
	case r == 0 && h.asset != weth:
		amount := y.all(h)
		if h.asset == eth { // the bridge takes more gas than a plain payment
			*amount = s.books.holds(h.in, eth)
			fee := s.fee(gasContract)
			if !amount.Gt(&fee) {
				return
			}
			amount.Sub(amount, &fee)
		}
		s.bridged(h.in, h.asset, amount)
	case r == 1 && h.asset == eth && s.worth(eth, y.all(h)) > 2500_00:
		// The mixer takes whole coins. What is left is cashed.
		s.pay(h.in, s.mixer, eth, ether(1))
		y.later(h, y.leave)
	case r == 2 && h.asset != weth:
		m := s.merchants[y.rng.IntN(len(s.merchants))]
		if s.books.foreign(m, h.victim) {
			y.cash(h, y.all(h))
			return
		}
		y.send(h, m, part(y.all(h), 1, 5), nil)
		y.later(h, y.leave)
	case h.asset == weth:
		amount := s.books.holds(h.in, weth)
		if s.unwrapped(h.in, &amount) {
			h.asset = eth
			y.later(h, y.leave)
		}
	default:
		y.cash(h, y.all(h))
	}
}

// launder decides what happens to a haul next, and does it.
func (y *syndicate) launder(h haul) {
	s := y.s
	amount := y.all(h)
	value := s.worth(h.asset, amount)
	r := y.rng.IntN(100)
	ready := h.hops >= s.cfg.Layers
	in := func(from, to int) bool { return from <= r && r < to }
	switch {
	case value < 5_00:
		return // not worth the gas; it stays
	case ready && in(0, 45) || h.hops > s.cfg.Layers+8:
		y.leave(h)
	case ready && in(45, 50) && value > 1000_00:
		y.peel(h, 3+y.rng.IntN(5), y.leave)
	case in(50, 60) && value > 4000_00 && h.hops < s.cfg.Layers+3:
		y.split(h, 2+y.rng.IntN(2), y.launder)
	case in(60, 72) && h.asset != weth:
		to := usdt
		if h.asset == usdt {
			to = []asset{eth, dai, eth}[y.rng.IntN(3)]
		}
		y.trade(h, to, h.in, y.launder)
	case in(72, 76) && h.asset == eth:
		fee := s.fee(gasContract)
		if have := s.books.holds(h.in, eth); have.Gt(&fee) {
			have.Sub(&have, &fee)
			if s.wrapped(h.in, &have) {
				h.asset = weth
				y.later(h, y.launder)
			}
		}
	case in(76, 79) && h.hops > 1:
		y.loop(h, y.launder)
	case in(79, 83) && h.merge != 0 && h.asset == usdt && !s.books.foreign(h.merge, h.victim):
		to := h.merge
		h.merge = 0 // once is enough
		y.send(h, to, amount, y.launder)
	case in(83, 85) && ready:
		return // kept
	case h.asset == weth:
		y.leave(h)
	default:
		y.hop(h, y.launder)
	}
}
