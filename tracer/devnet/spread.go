package devnet

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
)

// Spread makes a world for measurements, in which one victim's money spreads
// from hop to hop over so many wallets and ends at exchanges. levels are these
// wallets by hop, the scam wallets that the victim paid first; there are four
// times as many in each as in the one before, as far as the numbers allow.
//
// Some hours after it was paid, a wallet pays all of it to wallets of the next
// hop, many or few, or to an exchange. Beside that, strangers pay it, and it
// pays exchanges and wallets of its own and of earlier hops, so that it has
// about 16 transfers of tokens. Poisoners answer, as everywhere.
//
// The same numbers give the same world. There is at least one hop, and a wallet
// for each.
func Spread(seed uint64, wallets, hops int) (w *World, levels [][]common.Address) {
	hops = max(hops, 1)
	wallets = max(wallets, hops)
	s := newSim(Config{Seed: seed, Victims: 1, Syndicates: 1}.withDefaults())
	s.found()
	s.speak()
	s.poison, s.spam = s.poisoner(), s.spammer()
	p := &spread{s: s, rng: newRand(seed, "spread"), at: make([][]addr, hops)}
	for hop, left := hops-1, wallets; hop >= 0; hop-- {
		n := left
		if hop > 0 {
			n = max(1, min(left*4/5, left-hop))
		}
		left -= n
		for i := range n {
			o := Owner{Actor: "syndicate 1", Role: RoleLayer}
			if hop == 0 {
				o.Role = RoleSeed
			}
			p.at[hop] = append(p.at[hop], s.person(fmt.Sprintf("hop %d wallet %d", hop, i), o))
		}
	}
	p.start()
	s.run()
	for _, level := range p.at {
		var as []common.Address
		for _, a := range level {
			as = append(as, s.addrs[a])
		}
		levels = append(levels, as)
	}
	return s.world(), levels
}

// A spread is the money of one victim on its way.
type spread struct {
	s        *sim
	rng      *rand.Rand
	at       [][]addr        // by hop
	children map[addr][]addr // the wallets of the next hop that a wallet pays
}

// start schedules everything that will happen.
func (p *spread) start() {
	s := p.s
	p.children = make(map[addr][]addr)
	for i := range 1000 {
		name := fmt.Sprintf("user %d", i+1)
		u := s.person(name, Owner{Actor: name, Role: RoleUser})
		s.users = append(s.users, u)
		s.give(u, eth, ether(10))
		s.give(u, dai, s.cents(dai, 10_000_00))
	}
	for hop, level := range p.at {
		for _, w := range level {
			s.give(w, eth, ether(1))
			s.give(w, dai, s.cents(dai, 2_000_00))
			s.onPaid[w] = p.passOn(w)
			p.live(w, hop)
			if hop > 0 {
				before := p.at[hop-1]
				u := p.rng.Float64()
				parent := before[int(u*u*float64(len(before)))]
				p.children[parent] = append(p.children[parent], w)
			}
		}
	}

	const name = "victim 1"
	own := s.person(name, Owner{Actor: name, Role: RoleVictim})
	s.victims = append(s.victims, Victim{Name: name, Syndicate: "syndicate 1", Wallet: s.addrs[own]})
	s.books.party = append(s.books.party, 0)
	s.give(own, eth, ether(10))
	total := 0
	for _, level := range p.at {
		total += len(level)
	}
	// 5,000 dollars a wallet, so that no branch becomes dust.
	amount := s.cents(usdt, uint64(5_000_00*total/len(p.at[0])))
	for _, to := range p.at[0] {
		s.give(own, usdt, amount)
		s.after(minutes(p.rng, 1440, 2*1440), func() {
			if s.pay(own, to, usdt, amount) {
				s.books.pays = append(s.books.pays, payNote{0, s.tx(), to, usdt, *amount})
				s.books.put(to, usdt, []coin{{0, *amount}})
			}
		})
	}
}

// passOn returns what a wallet does when it is paid: some hours later, it pays
// all that it got of the victim's on, in shares.
func (p *spread) passOn(w addr) func(addr, asset) {
	begun := false
	return func(_ addr, a asset) {
		if a != usdt || begun {
			return
		}
		begun = true
		s := p.s
		to := p.children[w]
		if len(to) == 0 {
			x := s.exchanges[p.rng.IntN(len(s.exchanges))]
			to = []addr{x.hot[p.rng.IntN(len(x.hot))]}
		}
		unpaid := uint64(len(to))
		for _, r := range to {
			s.after(minutes(p.rng, 30, 10*60), func() {
				left := s.books.holds(w, usdt)
				s.pay(w, r, usdt, part(&left, 1, unpaid))
				unpaid--
			})
		}
	}
}

// live schedules what else happens to a wallet.
func (p *spread) live(w addr, hop int) {
	s := p.s
	sometimes := func(mean float64, do func(amount *uint256.Int)) {
		for range int(p.rng.ExpFloat64()*mean + 0.5) {
			amount := s.cents(dai, uint64(1_00+p.rng.IntN(20_00)))
			s.after(time.Duration(p.rng.Uint64N(s.end))*time.Millisecond, func() { do(amount) })
		}
	}
	sometimes(5, func(amount *uint256.Int) {
		s.pay(s.users[p.rng.IntN(len(s.users))], w, dai, amount)
	})
	sometimes(4, func(amount *uint256.Int) {
		x := s.exchanges[p.rng.IntN(len(s.exchanges))]
		s.pay(w, x.hot[0], dai, amount)
	})
	sometimes(2, func(amount *uint256.Int) {
		level := p.at[p.rng.IntN(hop+1)]
		if to := level[p.rng.IntN(len(level))]; to != w {
			s.pay(w, to, dai, amount)
		}
	})
}
