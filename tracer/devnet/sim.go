package devnet

import (
	"container/heap"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/holiman/uint256"
)

// A sim is the world while it is being made: a queue of things that will
// happen, the balances that decide whether they can, and the record of what
// did. Time only runs forward, so everything is recorded in chain order.
type sim struct {
	*chain
	cfg      Config
	prices   []uint64 // by day, in millionths of a dollar
	now, end uint64   // milliseconds since the genesis block
	queue    queue
	seq      uint64
	balances [][assets]uint256.Int // by address
	nonces   []uint32              // by address
	moved    int                   // transfers so far
	owners   map[addr]Owner
	onPaid   map[addr]func(from addr, a asset) // what an address does when it is paid
	sinks    map[addr]bool                     // money that enters stays
	books    *books
	victims  []Victim
	services []service
	hubs     []addr
	city
}

// A service is a [Service] in the making.
type service struct {
	name, category string
	wallets        []addr
}

func newRand(seed uint64, name string) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(name))
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}

func newSim(cfg Config) *sim {
	s := &sim{
		chain: &chain{
			ids:      make(map[common.Address]addr),
			raws:     make(map[uint32]rawLog),
			inputs:   make(map[uint32][]byte),
			codes:    make(map[addr]code),
			speeches: make(map[addr]speech),
			seed:     cfg.Seed,
			id:       cfg.chainID(),
		},
		cfg:    cfg,
		end:    uint64(cfg.Days)*24*3600*1000 - quiet*blockTime*1000,
		owners: make(map[addr]Owner),
		onPaid: make(map[addr]func(addr, asset)),
		sinks:  make(map[addr]bool),
		books:  newBooks(),
	}
	for _, p := range prices(cfg.Seed, cfg.Days) {
		s.prices = append(s.prices, uint64(p))
	}
	s.at(common.Address{}) // number 0
	return s
}

// at returns the number of an address, a new one if need be.
func (s *sim) at(a common.Address) addr {
	if id, ok := s.ids[a]; ok {
		return id
	}
	id := addr(len(s.addrs))
	s.ids[a] = id
	s.addrs = append(s.addrs, a)
	s.balances = append(s.balances, [assets]uint256.Int{})
	s.nonces = append(s.nonces, 0)
	return id
}

// person makes an address that somebody owns. The name is unique in the world.
func (s *sim) person(name string, o Owner) addr {
	id := s.at(address(s.cfg.Seed, name))
	s.owners[id] = o
	return id
}

// contract makes an address with code.
func (s *sim) contract(name string, o Owner) addr {
	id := s.person(name, o)
	s.setCode(id, 0, name)
	return id
}

// setCode gives an address code from a block on: a short runtime that nobody runs.
func (s *sim) setCode(id addr, since uint64, name string) {
	s.nonces[id] = 1
	h := crypto.Keccak256([]byte(name))
	s.codes[id] = code{append([]byte{0x60, 0x80, 0x60, 0x40, 0x52, 0x7f}, h...), since}
}

// A task is something that will happen.
type task struct {
	at, seq uint64
	do      func()
}

type queue []task

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].seq < q[j].seq
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(task)) }
func (q *queue) Pop() any {
	t := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return t
}

// after lets something happen later. What would happen after the end of the
// world does not.
func (s *sim) after(d time.Duration, do func()) {
	s.seq++
	if at := s.now + uint64(d.Milliseconds()); at < s.end {
		heap.Push(&s.queue, task{at, s.seq, do})
	}
}

func (s *sim) run() {
	s.alloc = slices.Clone(s.balances)
	for len(s.queue) > 0 {
		t := heap.Pop(&s.queue).(task)
		s.now = t.at
		t.do()
	}
	s.seal(uint64(s.cfg.Days) * blocksPerDay)
}

func (s *sim) block() uint64 { return 1 + s.now/(blockTime*1000) }

// price returns what one ETH costs now, in millionths of a dollar.
func (s *sim) price() uint64 { return s.prices[s.now/(24*3600*1000)] }

// gas is what transactions use.
const (
	gasPlain    = 21_000
	gasToken    = 63_209
	gasApprove  = 46_402
	gasSwap     = 184_310
	gasContract = 58_120
	gasCreate   = 412_700
	gasEach     = 41_500 // of a batch
)

// fee returns what a transaction costs now.
func (s *sim) fee(gas uint32) uint256.Int {
	var f uint256.Int
	f.Mul(uint256.NewInt(baseFee(s.seed, s.block())), uint256.NewInt(uint64(gas)))
	return f
}

// has reports whether a wallet owns at least amount.
func (s *sim) has(w addr, a asset, amount *uint256.Int) bool {
	return !s.balances[w][a].Lt(amount)
}

// begin starts a transaction; the calls below add to it. It reports whether
// the sender can pay for it; if not, nothing has happened.
func (s *sim) begin(from, to addr, value *uint256.Int, m method, gas uint32) bool {
	var v uint256.Int
	if value != nil {
		v = *value
	}
	fee := s.fee(gas)
	var need uint256.Int
	if _, over := need.AddOverflow(&fee, &v); over || !s.has(from, eth, &need) {
		return false
	}
	t := txn{
		value: v, price: baseFee(s.seed, s.block()), from: from, to: to, nonce: s.nonces[from],
		gas: gas + gas/4, used: gas, block: uint32(s.block()),
		event: uint32(len(s.events)), call: uint32(len(s.calls)), method: m,
	}
	if m == plain && gas == gasPlain {
		t.gas = gas
	}
	s.nonces[from]++
	s.txs = append(s.txs, t)
	s.moved++
	b := &s.balances[from][eth]
	b.Sub(b, &fee)
	s.books.burn(from, &fee)
	if !v.IsZero() {
		s.shift(from, to, eth, &v)
		s.nativeLog(from, to, &v)
		s.moved++
	}
	return true
}

// tx returns the number of the transaction in the making.
func (s *sim) tx() uint32 { return uint32(len(s.txs) - 1) }

// shift moves balances. Its callers have checked that the money is there.
func (s *sim) shift(from, to addr, a asset, amount *uint256.Int) {
	f := &s.balances[from][a]
	if _, under := f.SubOverflow(f, amount); under {
		panic(fmt.Sprintf("devnet: %s of %s is overdrawn at block %d", symbols[a], s.addrs[from], s.block()))
	}
	t := &s.balances[to][a]
	t.Add(t, amount)
}

// fail makes the transaction in the making a failed one: the fee is gone,
// everything else is undone.
func (s *sim) fail() {
	t := &s.txs[s.tx()]
	t.failed = true
	for i := len(s.calls) - 1; i >= int(t.call); i-- {
		if c := &s.calls[i]; c.moved {
			s.shift(c.to, c.from, eth, &c.value)
			c.moved = false
			s.moved--
		}
	}
	if !t.value.IsZero() {
		s.shift(t.to, t.from, eth, &t.value)
		s.moved--
	}
	s.events = s.events[:t.event]
}

// log adds an event to the transaction.
func (s *sim) log(kind eventKind, token, a, b addr, amount *uint256.Int) {
	s.events = append(s.events, event{*amount, s.tx(), token, a, b, kind})
	if kind <= evNFT || kind == evDeposit || kind == evWithdrawal {
		s.moved++
	}
}

func (s *sim) nativeLog(from, to addr, amount *uint256.Int) {
	if s.cfg.NativeLogs && from != to {
		s.log(evNative, s.native, from, to, amount)
	}
}

// token moves a token inside the transaction.
func (s *sim) token(a asset, from, to addr, amount *uint256.Int) {
	s.shift(from, to, a, amount)
	s.log(evTransfer, s.tokens[a], from, to, amount)
}

// wrap and unwrap turn native coin that the contract has got, or gives, into
// the wrapped token and back.
func (s *sim) wrap(w addr, amount *uint256.Int) {
	b := &s.balances[w][weth]
	b.Add(b, amount)
	s.log(evDeposit, s.tokens[weth], w, 0, amount)
}

func (s *sim) unwrap(w addr, amount *uint256.Int) {
	b := &s.balances[w][weth]
	b.Sub(b, amount)
	s.log(evWithdrawal, s.tokens[weth], w, 0, amount)
}

// internal adds a call to the transaction, and moves its value.
func (s *sim) internal(path string, from, to addr, value *uint256.Int, o op) {
	moved := !value.IsZero() && (o == opCall || o == opSuicide)
	s.calls = append(s.calls, call{value: *value, tx: s.tx(), from: from, to: to, path: path, op: o, moved: moved})
	if moved {
		s.shift(from, to, eth, value)
		s.nativeLog(from, to, value)
		s.moved++
	}
}

// dead adds a call that was undone, on its own or with one above it.
func (s *sim) dead(path string, from, to addr, value *uint256.Int, failed bool) {
	s.calls = append(s.calls, call{value: *value, tx: s.tx(), from: from, to: to, path: path, failed: failed})
}

// pay moves amount of one asset in the plainest way. It reports whether the
// payer could; if not, nothing has happened.
func (s *sim) pay(from, to addr, a asset, amount *uint256.Int) bool {
	if a == eth {
		gas := uint32(gasPlain)
		if _, ok := s.codes[to]; ok {
			gas = gasContract
		}
		if !s.begin(from, to, amount, plain, gas) {
			return false
		}
	} else {
		if !s.has(from, a, amount) || !s.begin(from, s.tokens[a], nil, transfer, gasToken) {
			return false
		}
		s.token(a, from, to, amount)
	}
	s.carry(from, to, a, amount)
	if a == usdt || a == usdc {
		s.poison.watch(from, to, a, amount)
	}
	s.spam.watch(from, to)
	return true
}

// carry moves victims' coins in the books along with amount, and tells the
// receiver. Transactions that pass money through contracts call it for their
// first payer and last receiver.
func (s *sim) carry(from, to addr, a asset, amount *uint256.Int) {
	s.arrive(from, to, a, s.books.take(from, a, amount))
}

// arrive puts coins where the money went.
func (s *sim) arrive(from, to addr, a asset, coins []coin) {
	if s.sinks[to] {
		s.books.exit(to, from, a, coins)
	} else {
		s.books.put(to, a, coins)
	}
	if do := s.onPaid[to]; do != nil {
		do(from, a)
	}
}

// world closes the books.
func (s *sim) world() *World {
	w := &World{Config: s.cfg, Blocks: s.blocks, chain: s.chain}
	names := make(map[addr]string)
	for _, v := range s.services {
		service := Service{Name: v.name, Category: v.category}
		for _, a := range v.wallets {
			names[a] = v.name
			service.Addresses = append(service.Addresses, s.addrs[a])
		}
		w.Services = append(w.Services, service)
	}
	w.Prices = prices(s.cfg.Seed, s.cfg.Days)
	w.Truth = s.truth(names)
	return w
}

// minutes returns a random time between a and b minutes.
func minutes(rng *rand.Rand, a, b int64) time.Duration {
	return time.Duration(a*60+rng.Int64N((b-a)*60+1)) * time.Second
}

// cents returns an amount worth about so many cents.
func (s *sim) cents(a asset, n uint64) *uint256.Int {
	amount := uint256.NewInt(n)
	switch a {
	case usdt, usdc:
		return amount.Mul(amount, uint256.NewInt(1e4))
	case dai:
		return amount.Mul(amount, uint256.NewInt(1e16))
	}
	amount.Mul(amount, uint256.NewInt(1e16)) // cents to wei at one dollar
	return amount.Div(amount.Mul(amount, uint256.NewInt(1e6)), uint256.NewInt(s.price()))
}

// worth is the inverse of cents.
func (s *sim) worth(a asset, amount *uint256.Int) uint64 {
	var n uint256.Int
	switch a {
	case usdt, usdc:
		n.Div(amount, uint256.NewInt(1e4))
	case dai:
		n.Div(amount, uint256.NewInt(1e16))
	default:
		n.MulDivOverflow(amount, uint256.NewInt(s.price()), uint256.NewInt(1e6))
		n.Div(&n, uint256.NewInt(1e16))
	}
	return n.Uint64()
}

// part returns n of every of parts.
func part(amount *uint256.Int, n, of uint64) *uint256.Int {
	var p uint256.Int
	p.MulDivOverflow(amount, uint256.NewInt(n), uint256.NewInt(of))
	return &p
}
