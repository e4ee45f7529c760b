package devnet

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// populate makes everybody and schedules what they do.
func (s *sim) populate() {
	s.found()
	s.poison = s.poisoner()
	s.settle()
	s.defraud()
	s.curiosities()
	s.speak()
	s.spam = s.spammer()
	s.live()
}

// settle moves the ordinary users and merchants in.
func (s *sim) settle() {
	rng := newRand(s.cfg.Seed, "settle")
	for i := range s.cfg.Noise {
		name := fmt.Sprintf("user %d", i+1)
		u := s.person(name, Owner{Actor: name, Role: RoleUser})
		s.users = append(s.users, u)
		s.give(u, eth, s.cents(eth, uint64(50_00+rng.IntN(3_000_00))))
		s.give(u, usdt, s.cents(usdt, uint64(rng.IntN(2_000_00))))
		s.give(u, usdc, s.cents(usdc, uint64(rng.IntN(1_000_00))))
	}
	for i := range 4 {
		name := fmt.Sprintf("merchant %d", i+1)
		m := s.person(name, Owner{Actor: name, Role: RoleMerchant})
		s.give(m, eth, ether(1))
		s.merchants = append(s.merchants, m)
		s.banks(m, name, s.exchanges[i])
	}
}

// banks lets a merchant carry its takings to an exchange every few days.
func (s *sim) banks(m addr, name string, x *exchange) {
	rng := newRand(s.cfg.Seed, name+" banks")
	var visit func()
	visit = func() {
		for a := usdt; a <= dai; a++ {
			if have := s.balances[m][a]; !have.IsZero() {
				s.pay(m, x.deposit(name, 0), a, &have)
			}
		}
		s.after(minutes(rng, 2*1440, 4*1440), visit)
	}
	s.after(minutes(rng, 2*1440, 4*1440), visit)
}

// live lets ordinary life happen, as much of it as makes the world the size
// asked for.
func (s *sim) live() {
	rng := newRand(s.cfg.Seed, "life")
	deeds, base := 0, 0
	var tick func()
	tick = func() {
		before := s.moved
		s.deed(rng)
		deeds++
		base += s.moved - before
		// So many deeds are still to be done in the time that is left.
		if left := s.cfg.Transfers - s.moved; left > 0 {
			each := max(1, base/deeds)
			mean := (s.end - s.now) / max(1, uint64(left/each))
			s.after(time.Duration(rng.Uint64N(2*mean+1))*time.Millisecond, tick)
		}
	}
	s.after(time.Second, tick)
}

// deed is one thing that an ordinary user does.
func (s *sim) deed(rng *rand.Rand) {
	n := rng.IntN(len(s.users))
	u := s.users[n]
	name := s.owners[u].Actor
	friend := s.users[(n*7+1+rng.IntN(5))%len(s.users)]
	x := s.exchanges[(n+rng.IntN(2))%len(s.exchanges)]
	a := []asset{eth, usdt, usdt, usdc}[rng.IntN(4)]
	some := s.cents(a, uint64(5_00+rng.IntN(400_00)))
	ok := true
	switch r := rng.IntN(100); {
	case r < 24:
		ok = s.pay(u, friend, a, some)
	case r < 44:
		x.withdraw(u, a, some)
	case r < 58:
		ok = s.pay(u, x.deposit(name, 0), a, some)
	case r < 70:
		ok = s.pay(u, s.hub, usdt, s.cents(usdt, uint64(10_00+rng.IntN(300_00))))
	case r < 82:
		s.pay(s.hub, u, usdt, s.cents(usdt, uint64(10_00+rng.IntN(300_00))))
	case r < 88:
		ok = s.trade(rng, u)
	case r < 92:
		ok = s.pay(u, s.merchants[rng.IntN(len(s.merchants))], usdt, s.cents(usdt, uint64(3_00+rng.IntN(90_00))))
	case r < 94:
		ok = s.allow(u)
	default:
		ok = s.odd(rng, u, friend)
	}
	if !ok { // broke: buys something at the exchange
		if rng.IntN(2) == 0 {
			a = eth
		}
		x.withdraw(u, a, s.cents(a, uint64(100_00+rng.IntN(1_000_00))))
	}
}

// trade is a user's swap.
func (s *sim) trade(rng *rand.Rand, u addr) bool {
	pair := [][2]asset{{usdt, eth}, {eth, usdt}, {usdt, dai}, {dai, usdt}}[rng.IntN(4)]
	return s.swap(u, pair[0], pair[1], s.cents(pair[0], uint64(20_00+rng.IntN(300_00))), u)
}

// allow is an approval of the router.
func (s *sim) allow(u addr) bool {
	if !s.begin(u, s.tokens[usdt], nil, approve, gasApprove) {
		return false
	}
	s.log(evApproval, s.tokens[usdt], u, s.router, s.cents(usdt, 1_000_000_00))
	return true
}
