package devnet

import (
	"fmt"
	"math/rand/v2"

	"github.com/holiman/uint256"
)

// A fraud is one victim and the syndicate that fleeces them.
type fraud struct {
	*syndicate
	victim int
	own    addr      // the victim's wallet
	bank   *exchange // where the victim buys coins
	luck   *rand.Rand
}

// defraud sets up all victims. In the world of the demo the first pays tether
// and shows most that laundering does; the second pays ether, once through a
// contract; the third to the fifth pay scam wallets that share a collector;
// the others, and all more of them, are laundered by chance.
func (s *sim) defraud() {
	var gangs []*syndicate
	for n := range s.cfg.Syndicates {
		gangs = append(gangs, s.syndicate(n))
	}
	var shared addr
	for v := range s.cfg.Victims {
		y := gangs[0]
		if v >= 5 {
			y = gangs[(v-4)%len(gangs)]
		}
		name := fmt.Sprintf("victim %d", v+1)
		f := &fraud{syndicate: y, victim: v, luck: newRand(s.cfg.Seed, name), bank: s.exchanges[(v+2)%4]}
		f.own = s.person(name, Owner{Actor: name, Role: RoleVictim})
		s.victims = append(s.victims, Victim{Name: name, Syndicate: y.name, Wallet: s.addrs[f.own]})
		s.books.party = append(s.books.party, v)
		s.after(minutes(f.luck, 120+int64(v%8)*200, 300+int64(v%8)*200), func() { f.bank.withdraw(f.own, eth, ether(1)) })
		switch {
		case v == 0:
			f.first()
		case v == 1:
			f.second()
		case v < 5:
			if shared == 0 {
				shared = y.funded(RoleCollector)
			}
			f.collected(shared)
		default:
			f.plain()
		}
	}
}

// pays lets the victim buy coins and, some hours later, pay them to a scam
// wallet; then follows. when is in minutes from the first block.
func (f *fraud) pays(when int64, to addr, a asset, amount *uint256.Int, then func(haul)) {
	s := f.s
	s.after(minutes(f.luck, when-300, when-200), func() { f.bank.withdraw(f.own, a, amount) })
	var try func()
	try = func() {
		if back := s.books.holds(f.own, a); !back.IsZero() {
			// What the syndicate sent back is not paid a second time.
			s.after(minutes(f.luck, 60, 90), try)
			return
		}
		if s.pay(f.own, to, a, amount) {
			f.paid(to, a, amount)
			f.later(haul{victim: f.victim, in: to, asset: a}, then)
		}
	}
	s.after(minutes(f.luck, when, when+90), try)
}

// paid writes the payment of the transaction in the making into the books.
func (f *fraud) paid(to addr, a asset, amount *uint256.Int) {
	b := f.s.books
	b.pays = append(b.pays, payNote{f.victim, f.s.tx(), to, a, *amount})
	b.put(to, a, []coin{{f.victim, *amount}})
}

// first pays 12,000, 25,000 and 48,500 USDT to two scam wallets. They meet in
// a collector; three fifths run through layers into a peel chain, the rest
// becomes ether, goes round a loop, over the bridge, to the mixer and to an
// exchange; some stays, some goes to a hub, and 500 USDT go back to the victim,
// who cashes them and trusts the more.
func (f *fraud) first() {
	s := f.s
	a, b := f.funded(RoleSeed), f.funded(RoleSeed)
	collector := f.funded(RoleCollector)
	gather := func(h haul) { f.send(h, collector, f.all(h), nil) }
	f.pays(1*1440, a, usdt, s.cents(usdt, 12_000_00), gather)
	back := s.cents(usdt, 500_00)
	s.after(minutes(f.luck, 1*1440+100, 1*1440+110), func() {
		f.send(haul{victim: f.victim, in: a, asset: usdt}, f.own, back, nil)
	})
	s.after(minutes(f.luck, 1*1440+300, 1*1440+400), func() { s.pay(f.own, f.bank.deposit("victim 1", 0), usdt, back) })
	f.pays(2*1440, a, usdt, s.cents(usdt, 25_000_00), gather)
	f.pays(3*1440, b, usdt, s.cents(usdt, 48_500_00), gather)
	s.after(minutes(f.luck, 6*1440, 6*1440+200), func() {
		h := haul{victim: f.victim, in: collector, asset: usdt, hops: 1}
		left, right := f.funded(RoleLayer), f.funded(RoleLayer)
		s.after(minutes(f.rng, 10, 20), func() {
			f.send(h, left, part(f.all(h), 3, 5), f.layers)
			f.send(h, right, f.all(h), f.ether)
		})
	})
}

// layers is the first victim's larger part: four hops, then peeling.
func (f *fraud) layers(h haul) {
	if h.hops < 6 {
		f.hop(h, f.layers)
		return
	}
	f.peel(h, 7, func(h haul) {
		f.send(h, f.s.hub, part(f.all(h), 1, 6), nil)
		f.later(h, func(h haul) { f.split(h, 2, f.end) })
	})
}

// end cashes half and keeps half.
func (f *fraud) end(h haul) { f.cash(h, part(f.all(h), 1, 2)) }

// ether is the first victim's smaller part.
func (f *fraud) ether(h haul) {
	s := f.s
	f.trade(h, eth, h.in, func(h haul) {
		f.loop(h, func(h haul) {
			s.bridged(h.in, eth, ether(2))
			s.pay(h.in, s.mixer, eth, ether(1))
			f.later(h, func(h haul) {
				f.peel(h, 4, func(h haul) {
					other := f.funded(RoleLayer)
					f.trade(h, usdt, other, func(h haul) { f.hop(h, f.leave) })
				})
			})
		})
	})
}

// second pays ether three times, the last through a contract.
func (f *fraud) second() {
	s := f.s
	seed := f.wallet(RoleSeed) // nobody sends it gas, it is paid in ether
	f.pays(1*1440+300, seed, eth, ether(4), func(h haul) {
		f.hop(h, func(h haul) { f.split(h, 2, f.launder) })
	})
	f.pays(4*1440, seed, eth, ether(7), func(h haul) {
		fee := s.fee(gasContract)
		have := s.books.holds(h.in, eth)
		have.Sub(&have, &fee)
		if s.wrapped(h.in, &have) {
			h.asset = weth
			f.later(h, func(h haul) {
				f.hop(h, func(h haul) {
					amount := s.books.holds(h.in, weth)
					if s.unwrapped(h.in, &amount) {
						h.asset = eth
						f.later(h, f.launder)
					}
				})
			})
		}
	})
	amount := ether(5)
	s.after(minutes(f.luck, 6*1440, 6*1440+60), func() { f.bank.withdraw(f.own, eth, ether(6)) })
	s.after(minutes(f.luck, 6*1440+200, 6*1440+260), func() {
		if s.payThrough(s.platform, f.own, seed, amount) {
			f.paid(seed, eth, amount)
			f.later(haul{victim: f.victim, in: seed, asset: eth}, func(h haul) {
				f.trade(h, usdt, seed, func(h haul) {
					f.trade(h, dai, seed, func(h haul) { f.split(h, 3, f.launder) })
				})
			})
		}
	})
}

// collected pays a scam wallet that empties into the shared collector, which
// moves what is there every other day.
func (f *fraud) collected(shared addr) {
	s := f.s
	seed := f.funded(RoleSeed)
	for i := range int64(3) {
		amount := s.cents(usdt, uint64(3_000+f.luck.IntN(30_000))*100)
		f.pays((2+2*i)*1440+f.luck.Int64N(600), seed, usdt, amount, func(h haul) {
			f.send(h, shared, f.all(h), nil)
		})
	}
	if s.books.party[f.victim] != 2 {
		return
	}
	merge := f.funded(RoleLayer)
	for i := range int64(4) {
		s.after(minutes(f.luck, (4+2*i)*1440, (4+2*i)*1440+90), func() {
			h := haul{victim: f.victim, in: shared, asset: usdt, hops: 1, merge: merge}
			f.batchOut(h)
		})
	}
}

// batchOut pays everything to three fresh wallets in one transaction.
func (f *fraud) batchOut(h haul) {
	s := f.s
	all := f.all(h)
	if s.worth(h.asset, all) < 100_00 {
		return
	}
	var to []addr
	var amounts []*uint256.Int
	left := *all
	for i := range uint64(3) {
		to = append(to, f.funded(RoleLayer))
		n := part(&left, 1, 3-i)
		left.Sub(&left, n)
		amounts = append(amounts, n)
	}
	s.after(minutes(f.luck, 10, 20), func() {
		if s.batch(h.in, h.asset, to, amounts) {
			for _, w := range to {
				next := h
				next.in, next.hops = w, h.hops+1
				f.later(next, f.launder)
			}
		}
	})
}

// plain pays a few times in one asset; every payment is laundered by chance.
func (f *fraud) plain() {
	s := f.s
	a := []asset{usdt, usdt, eth}[f.luck.IntN(3)]
	day := int64(1 + f.luck.IntN(max(1, s.cfg.Days/3)))
	n := 1 + f.luck.IntN(3)
	if f.victim == 5 {
		n = 3
	}
	for i := range n {
		seed := f.funded(RoleSeed)
		amount := s.cents(a, uint64(1_500+f.luck.IntN(60_000))*100)
		f.pays((day+int64(i))*1440, seed, a, amount, f.launder)
	}
}
