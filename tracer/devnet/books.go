package devnet

import (
	"cmp"
	"slices"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
)

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

// A tally sums up what became of the money of one set of victims.
type tally struct {
	victims []int
	exits   map[exitKey]*uint256.Int // of no victim; from is a deposit address, or 0
	held    map[purse]*uint256.Int
	fees    map[asset]*uint256.Int
	swaps   []swapNote
}

// tallies returns the books by set of victims, the set of the first victim first.
func (b *books) tallies(deposit func(addr) bool) []*tally {
	sets := make([]*tally, len(b.party))
	var order []*tally
	of := func(victim int) *tally {
		p := b.set(victim)
		if sets[p] == nil {
			sets[p] = &tally{
				exits: make(map[exitKey]*uint256.Int),
				held:  make(map[purse]*uint256.Int),
				fees:  make(map[asset]*uint256.Int),
			}
			order = append(order, sets[p])
		}
		return sets[p]
	}
	for v := range b.party {
		t := of(v)
		t.victims = append(t.victims, v)
	}
	for k, n := range b.exits {
		at := exitKey{wallet: k.wallet, asset: k.asset}
		if deposit(k.from) {
			at.from = k.from
		}
		add(of(k.victim).exits, at, n)
	}
	for k, coins := range b.purses {
		for i := range coins {
			add(of(coins[i].victim).held, k, &coins[i].amount)
		}
	}
	for k, n := range b.fees {
		add(of(k.victim).fees, k.asset, n)
	}
	for _, n := range b.swaps {
		t := of(n.victim)
		if k := len(t.swaps) - 1; k >= 0 && t.swaps[k].tx == n.tx {
			p := &t.swaps[k]
			p.gave.Add(&p.gave, &n.gave)
			p.got.Add(&p.got, &n.got)
			continue
		}
		t.swaps = append(t.swaps, n)
	}
	return order
}

// truth closes the books. services are the names of the known wallets.
func (s *sim) truth(services map[addr]string) Truth {
	t := Truth{Owner: make(map[common.Address]Owner, len(s.owners)), Victims: s.victims}
	for a, o := range s.owners {
		t.Owner[s.addrs[a]] = o
	}
	for _, h := range s.hubs {
		t.Hubs = append(t.Hubs, s.addrs[h])
	}
	for _, p := range s.books.pays {
		v, to := &t.Victims[p.victim], s.addrs[p.wallet]
		v.Payments = append(v.Payments, Payment{s.txs[p.tx].hash, uint64(s.txs[p.tx].block), to, s.asset(p.asset), p.amount})
		if !slices.Contains(v.Seeds, to) {
			v.Seeds = append(v.Seeds, to)
		}
	}
	for _, c := range s.books.tallies(func(a addr) bool { return s.owners[a].Role == RoleDeposit }) {
		if len(c.victims) > 1 {
			t.Groups = append(t.Groups, Group{c.victims, s.outcome(c, services)})
			continue
		}
		v := &t.Victims[c.victims[0]]
		v.Unambiguous, v.Outcome = true, s.outcome(c, services)
	}
	return t
}

// outcome writes a tally out.
func (s *sim) outcome(c *tally, services map[addr]string) Outcome {
	var out Outcome
	for k, n := range c.exits {
		if name := services[k.wallet]; name != "" {
			out.Exits = append(out.Exits, Exit{name, s.addrs[k.wallet], s.addrs[k.from], s.asset(k.asset), *n})
		} else {
			out.Pooled = append(out.Pooled, Holding{s.addrs[k.wallet], s.asset(k.asset), *n})
		}
	}
	for k, n := range c.held {
		out.Held = append(out.Held, Holding{s.addrs[k.wallet], s.asset(k.asset), *n})
	}
	for a, n := range c.fees {
		out.WrittenOff = append(out.WrittenOff, Amount{s.asset(a), *n})
	}
	for i := range c.swaps {
		n := &c.swaps[i]
		out.Conversions = append(out.Conversions, Conversion{
			s.txs[n.tx].hash, s.addrs[n.wallet], s.addrs[n.receiver],
			Amount{s.asset(n.out), n.gave}, Amount{s.asset(n.in), n.got},
		})
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
