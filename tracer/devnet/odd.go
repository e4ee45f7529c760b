package devnet

import (
	"fmt"
	"math/rand/v2"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/holiman/uint256"
)

// The odd things of a chain: spam, poison, failures, and logs that look like
// transfers and are not.

// A poisoner watches payments and plants look-alike addresses in histories.
type poisoner struct {
	s       *sim
	rng     *rand.Rand
	wallet  addr
	planter addr // a contract that calls transferFrom with zero amounts
	fake    addr // a token that calls itself USDT too
	n       int
}

func (s *sim) poisoner() *poisoner {
	o := Owner{Actor: "poisoner", Role: RolePoisoner}
	p := &poisoner{s: s, rng: newRand(s.cfg.Seed, "poisoner")}
	p.wallet = s.person("poisoner", o)
	p.planter = s.contract("poison planter", o)
	p.fake = s.contract("counterfeit USDT", o)
	s.speeches[p.fake] = speech{text("Tether USD"), text("USDT"), word(6)}
	s.give(p.wallet, eth, ether(50))
	s.give(p.wallet, usdt, s.cents(usdt, 500_00))
	return p
}

// lookAlike makes an address with the first and the last four digits of a.
func (p *poisoner) lookAlike(a addr) addr {
	p.n++
	shown := p.s.addrs[a]
	b := crypto.Keccak256(shown[:], fmt.Append(nil, p.n))
	fake := common.BytesToAddress(b)
	copy(fake[:2], shown[:2])
	copy(fake[18:], shown[18:])
	id := p.s.at(fake)
	p.s.owners[id] = Owner{Actor: "poisoner", Role: RolePoisoner}
	return id
}

// watch sees a payment of a token, and sometimes answers with bait.
func (p *poisoner) watch(from, to addr, a asset, amount *uint256.Int) {
	s := p.s
	switch s.owners[from].Role {
	case RoleVictim, RoleSeed, RoleCollector, RoleLayer:
		if p.rng.IntN(2) == 0 {
			return
		}
	case RoleUser:
		if p.rng.IntN(60) > 0 {
			return
		}
	default:
		return
	}
	fake, n := p.lookAlike(to), *amount
	kind := p.rng.IntN(3)
	s.after(minutes(p.rng, 1, 25), func() {
		switch kind {
		case 0: // anybody may "transfer" nothing from anybody
			if s.begin(p.wallet, p.planter, nil, other, gasContract+gasEach) {
				s.data("plant", from, fake)
				s.internal("0", p.planter, s.tokens[a], new(uint256.Int), opCall)
				s.token(a, from, fake, new(uint256.Int))
			}
		case 1: // a token of their own may say anything
			if s.begin(p.wallet, p.fake, nil, other, gasToken) {
				s.data("plant", from, fake)
				s.log(evTransfer, p.fake, from, fake, &n)
			}
		default: // a real payment, of a thousandth of a cent
			dust := uint256.NewInt(10)
			fuel := s.fee(2 * gasToken)
			if s.pay(p.wallet, fake, usdt, dust) && s.pay(p.wallet, fake, eth, &fuel) {
				s.after(minutes(p.rng, 1, 3), func() { s.pay(fake, from, usdt, dust) })
			}
		}
	})
}

// odd is something unusual that an ordinary user does.
func (s *sim) odd(rng *rand.Rand, u, friend addr) bool {
	some := s.cents(usdt, uint64(5_00+rng.IntN(100_00)))
	switch rng.IntN(8) {
	case 0:
		return s.failedToken(u, friend, some)
	case 1: // a payment that fails: the value comes back, the fee does not
		if !s.begin(u, s.router, s.cents(eth, 10_00), other, gasSwap) {
			return false
		}
		s.data("swap", u)
		s.internal("0", s.router, s.tokens[weth], s.cents(eth, 10_00), opCall)
		s.fail()
	case 2: // to itself
		return s.pay(u, u, usdt, some)
	case 3: // nothing to itself, to cancel a transaction
		return s.pay(u, u, eth, new(uint256.Int))
	case 4:
		to, amounts := []addr{}, []*uint256.Int{}
		for i := range 2 + rng.IntN(6) {
			to = append(to, s.users[(int(friend)+i*13)%len(s.users)])
			amounts = append(amounts, s.cents(usdt, uint64(1_00+rng.IntN(20_00))))
		}
		return s.batch(u, usdt, to, amounts)
	case 5:
		if s.platform == 0 {
			return false
		}
		return s.payThrough(s.platform, u, friend, s.cents(eth, uint64(5_00+rng.IntN(50_00))))
	case 6:
		if !s.begin(u, s.collectible, nil, other, gasToken) {
			return false
		}
		s.data("give", friend)
		s.log(evNFT, s.collectible, u, friend, uint256.NewInt(uint64(rng.IntN(10_000))))
	default: // wraps some ether, or unwraps all it has
		if have := s.balances[u][weth]; !have.IsZero() {
			return s.unwrapped(u, &have)
		}
		return s.wrapped(u, s.cents(eth, 15_00))
	}
	return true
}

// failedToken is a token transfer that fails.
func (s *sim) failedToken(from, to addr, amount *uint256.Int) bool {
	if !s.begin(from, s.tokens[usdt], nil, other, gasToken/2) {
		return false
	}
	n := amount.Bytes32()
	h := s.topic(to)
	s.inputs[s.tx()] = append(append(common.FromHex("a9059cbb"), h[:]...), n[:]...)
	s.fail()
	return true
}

// raw adds a log of any shape to the transaction.
func (s *sim) raw(at addr, data []byte, topics ...common.Hash) {
	s.raws[uint32(len(s.events))] = rawLog{topics, data}
	s.log(evRaw, at, 0, 0, new(uint256.Int))
}

// curiosities happen once in every world, around the first victim.
func (s *sim) curiosities() {
	rng := newRand(s.cfg.Seed, "curiosities")
	o := Owner{Actor: "tinkerer", Role: RoleUser}
	t := s.person("tinkerer", o)
	s.give(t, eth, ether(20))
	maker := s.person("platform maker", Owner{Actor: "syndicate 1", Role: RoleOperator})
	s.logic = s.contract("platform logic", Owner{Actor: "syndicate 1", Role: RoleContract})
	s.collectible = s.contract("collectible", Owner{Actor: "Tiles", Role: RoleToken})
	strange := s.contract("strange token", Owner{Actor: "tinkerer", Role: RoleContract})
	issuer := s.person("issuer", Owner{Actor: "USDT", Role: RoleToken})
	s.give(issuer, eth, ether(2))

	s.after(minutes(rng, 5, 20), func() { s.exchanges[0].withdraw(maker, eth, ether(1)) })
	s.after(minutes(rng, 30, 60), func() {
		s.platform, _ = s.deploy(maker, nil, "platform", Owner{Actor: "syndicate 1", Role: RoleContract})
	})

	// A contract is made with money in it, and destroyed.
	var egg addr
	s.after(minutes(rng, 1500, 1600), func() {
		egg, _ = s.deploy(t, ether(2), "egg", Owner{Actor: "tinkerer", Role: RoleContract})
	})
	s.after(minutes(rng, 1700, 1800), func() {
		if egg != 0 && s.begin(t, egg, nil, other, gasContract) {
			s.data("break", t)
			s.internal("0", egg, t, ether(2), opSuicide)
			s.carry(egg, t, eth, ether(2))
		}
	})

	// The issuer makes tether and destroys some.
	s.after(minutes(rng, 1200, 1300), func() {
		if s.begin(issuer, s.tokens[usdt], nil, other, gasToken) {
			s.data("issue", s.exchanges[0].hot[0])
			n := s.cents(usdt, 5_000_000_00)
			s.give(0, usdt, n)
			s.token(usdt, 0, s.exchanges[0].hot[0], n)
		}
	})
	s.after(minutes(rng, 2600, 2700), func() {
		if n := s.cents(usdt, 1_000_000_00); s.begin(s.exchanges[0].hot[0], s.tokens[usdt], nil, transfer, gasToken) {
			s.token(usdt, s.exchanges[0].hot[0], 0, n)
		}
	})

	// Logs that begin like a transfer, around the first victim and the wallet
	// it paid.
	s.after(minutes(rng, 3000, 3100), func() {
		if !s.begin(t, strange, nil, other, gasSwap) {
			return
		}
		s.data("mess")
		victim := s.topic(s.at(s.victims[0].Wallet))
		funder := s.topic(s.funders[0])
		dirty := funder
		dirty[3] = 0xde
		word := make([]byte, 32)
		word[31] = 7
		s.raw(strange, make([]byte, 64), topicTransfer)
		s.raw(strange, make([]byte, 64), topicTransfer, victim)
		s.raw(strange, word, topicTransfer, victim, dirty)
		s.raw(strange, word, topicTransfer, dirty, victim)
		s.raw(strange, nil, topicTransfer, victim, funder)
		s.raw(strange, word[:31], topicTransfer, funder, victim)
		s.raw(strange, word, topicTransfer, victim, funder, common.Hash{31: 9})
		s.raw(strange, word)
		s.raw(strange, nil, sig("Nothing()"), victim, funder, victim)
	})
	s.after(minutes(rng, 3200, 3300), func() {
		if s.begin(t, s.collectible, nil, other, gasToken) {
			s.data("give")
			s.log(evNFT, s.collectible, t, s.at(s.victims[0].Wallet), uint256.NewInt(77))
			s.log(evNFT, s.collectible, t, s.funders[0], uint256.NewInt(78))
		}
	})
	s.after(minutes(rng, 3400, 3500), func() { s.failedToken(s.at(s.victims[0].Wallet), s.funders[0], s.cents(usdt, 9_999_00)) })

	// Somebody falls for a look-alike.
	s.after(minutes(rng, 4000, 4100), func() {
		u := s.users[1]
		s.exchanges[1].withdraw(u, usdt, s.cents(usdt, 2_000_00))
		s.pay(u, s.poison.lookAlike(s.exchanges[1].deposit(s.owners[u].Actor, 0)), usdt, s.cents(usdt, 1_800_00))
	})

	// An account lets a contract's code act for it (EIP-7702).
	u := s.users[0]
	s.codes[u] = code{append([]byte{0xef, 0x01, 0x00}, s.addrs[s.router][:]...), 9000}
}
