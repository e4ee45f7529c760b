package graphstore

import (
	"iter"
	"math"
	"slices"

	"scamtrace/tracer"

	"github.com/holiman/uint256"
)

// A Pair is two wallets in the direction of the money.
type Pair struct {
	From, To tracer.Wallet
}

// A Flow is all that moved of one asset from one wallet to another.
type Flow struct {
	Asset       tracer.Asset
	Amount      uint256.Int // base units; a sum above 2^256-1 stays there
	Transfers   uint32      // how many; more than 2^32-1 stays there
	First, Last uint64      // block numbers
}

// A flowValue is a flow by its asset's number.
type flowValue struct {
	amount      uint256.Int
	first, last uint64
	count       uint32
	asset       uint32
}

// merge adds o to v.
func (v *flowValue) merge(o *flowValue) {
	if _, over := v.amount.AddOverflow(&v.amount, &o.amount); over {
		v.amount.SetAllOne()
	}
	v.first, v.last = min(v.first, o.first), max(v.last, o.last)
	if v.count += o.count; v.count < o.count {
		v.count = math.MaxUint32
	}
}

// A flowRow is a flow in 32 bytes. What does not fit is in Store.wideFlows.
// The first flow of a pair is its head, and what the pair is found by; the
// others hang on it through Store.nextFlow.
type flowRow struct {
	from, to    uint32
	amount      [3]uint32 // low word first; with code codeWide, amount[0] numbers Store.wideFlows
	first, last uint32
	count       uint16
	asset       uint16 // below codeDead the number, else a code; and the extra bit
}

const (
	extra    = 1 << 15 // not the head of its pair
	codeDead = extra - 3
	codeBare = extra - 2 // a pair without flows; count is the weight it was given
	codeWide = extra - 1
)

// bare is the asset of a flowValue that stands for a pair without flows.
const bare = math.MaxUint32

func (r *flowRow) code() uint16 { return r.asset &^ extra }

// value returns the flow in r.
func (s *Store) value(r *flowRow) flowValue {
	switch r.code() {
	case codeWide:
		return s.wideFlows[r.amount[0]]
	case codeBare:
		return flowValue{asset: bare, count: uint32(r.count)}
	}
	return flowValue{
		amount: widen(r.amount), first: uint64(r.first), last: uint64(r.last),
		count: uint32(r.count), asset: uint32(r.code()),
	}
}

// setValue puts v into r.
func (s *Store) setValue(r *flowRow, v *flowValue) {
	wasWide, slot := r.code() == codeWide, r.amount[0]
	code := codeBare
	if v.asset != bare {
		code = int(min(v.asset, codeDead))
	}
	amount, ok := narrow(&v.amount)
	if ok && code != codeDead && v.count <= math.MaxUint16 && v.last <= math.MaxUint32 && v.first <= v.last {
		if wasWide {
			s.freeWide = append(s.freeWide, slot)
		}
		r.amount, r.first, r.last, r.count = amount, uint32(v.first), uint32(v.last), uint16(v.count)
		r.asset = r.asset&extra | uint16(code)
		return
	}
	switch {
	case wasWide:
	case len(s.freeWide) > 0:
		slot = s.freeWide[len(s.freeWide)-1]
		s.freeWide = s.freeWide[:len(s.freeWide)-1]
	default:
		slot = uint32(len(s.wideFlows))
		s.wideFlows = append(s.wideFlows, flowValue{})
	}
	s.wideFlows[slot] = *v
	r.amount, r.first, r.last, r.count = [3]uint32{slot}, 0, 0, 0
	r.asset = r.asset&extra | codeWide
}

func (s *Store) assetOf(r *flowRow) uint32 {
	switch c := r.code(); c {
	case codeWide:
		return s.wideFlows[r.amount[0]].asset
	case codeBare:
		return bare
	default:
		return uint32(c)
	}
}

func (s *Store) hashFlow(id uint32) uint64 {
	r := s.flows.at(id)
	if r.asset&extra != 0 {
		return s.keys.numbers(r.from, r.to, s.assetOf(r), 1)
	}
	return s.hashPair(r.from, r.to)
}

// findPair returns the head of a pair, given its hash.
func (s *Store) findPair(from, to uint32, h uint64) (uint32, bool) {
	for p := s.flowIndex.probe(h); p.next(); {
		if r := s.flows.at(p.number); r.from == from && r.to == to && r.asset&extra == 0 {
			return p.number, true
		}
	}
	return 0, false
}

// findExtra returns a flow that is not the head of its pair, given its hash.
func (s *Store) findExtra(from, to, asset uint32, h uint64) (uint32, bool) {
	for p := s.flowIndex.probe(h); p.next(); {
		if r := s.flows.at(p.number); r.from == from && r.to == to && r.asset&extra != 0 && s.assetOf(r) == asset {
			return p.number, true
		}
	}
	return 0, false
}

// hashPair is the hash by which the head of a pair is found.
func (s *Store) hashPair(from, to uint32) uint64 { return s.keys.numbers(from, to, 0, 0) }

// mergeFlow adds v to the flow of its asset from one wallet to another, given
// the hash of the pair. A pair without flows stops being one.
func (s *Store) mergeFlow(from, to uint32, h uint64, v *flowValue) {
	head, ok := s.findPair(from, to, h)
	if !ok {
		s.insertPair(from, to, v, h)
		return
	}
	r := s.flows.at(head)
	switch s.assetOf(r) {
	case v.asset:
		s.addValue(r, v)
		return
	case bare:
		s.setValue(r, v)
		return
	}
	h = s.keys.numbers(from, to, v.asset, 1)
	if id, ok := s.findExtra(from, to, v.asset, h); ok {
		s.addValue(s.flows.at(id), v)
		return
	}
	id := s.insertFlow(flowRow{from: from, to: to, asset: extra}, v, h)
	if s.nextFlow == nil {
		s.nextFlow = make(map[uint32]uint32)
	}
	if next, ok := s.nextFlow[head]; ok {
		s.nextFlow[id] = next
	}
	s.nextFlow[head] = id
}

func (s *Store) addValue(r *flowRow, v *flowValue) {
	sum := s.value(r)
	sum.merge(v)
	s.setValue(r, &sum)
}

// growFlows moves the flows to a larger index.
func (s *Store) growFlows(to index) {
	s.flowIndex = to
	for i := range uint32(s.flows.n) {
		if s.flows.at(i).code() != codeDead {
			s.flowIndex.insert(s.hashFlow(i), i)
		}
	}
}

// insertPair adds a pair that the store does not have, with its first flow or
// without one.
func (s *Store) insertPair(from, to uint32, v *flowValue, h uint64) {
	s.insertFlow(flowRow{from: from, to: to}, v, h)
	s.pairs++
}

func (s *Store) insertFlow(r flowRow, v *flowValue, h uint64) uint32 {
	if s.flowIndex.full() {
		s.growFlows(s.flowIndex.larger())
	}
	s.setValue(&r, v)
	var id uint32
	if n := len(s.freeFlows); n > 0 {
		id, s.freeFlows = s.freeFlows[n-1], s.freeFlows[:n-1]
		*s.flows.at(id) = r
	} else {
		id = s.flows.add(r)
	}
	s.flowIndex.insert(h, id)
	return id
}

// removePair removes a pair and its flows, given its head.
func (s *Store) removePair(head uint32) {
	ids := s.chain(head)
	for _, id := range ids {
		s.flowIndex.remove(id, s.hashFlow)
	}
	for _, id := range ids {
		r := s.flows.at(id)
		if r.code() == codeWide {
			s.freeWide = append(s.freeWide, r.amount[0])
		}
		*r = flowRow{asset: codeDead}
		s.freeFlows = append(s.freeFlows, id)
		delete(s.nextFlow, id)
	}
	s.pairs--
}

// chain returns the flows of a pair: its head, then the others.
func (s *Store) chain(head uint32) []uint32 {
	ids := []uint32{head}
	for len(s.nextFlow) > 0 {
		next, ok := s.nextFlow[ids[len(ids)-1]]
		if !ok {
			break
		}
		ids = append(ids, next)
	}
	return ids
}

// flowsOf appends the flows of a pair to dst in the order of their assets,
// given its head. A pair without flows has none.
func (s *Store) flowsOf(dst []Flow, head uint32) []Flow {
	r := s.flows.at(head)
	if len(s.nextFlow) > 0 {
		if _, ok := s.nextFlow[head]; ok {
			first := len(dst)
			for _, id := range s.chain(head) {
				v := s.value(s.flows.at(id))
				dst = append(dst, s.flow(&v))
			}
			slices.SortFunc(dst[first:], func(a, b Flow) int { return a.Asset.Compare(b.Asset) })
			return dst
		}
	}
	if v := s.value(r); v.asset != bare {
		dst = append(dst, s.flow(&v))
	}
	return dst
}

func (s *Store) flow(v *flowValue) Flow {
	return Flow{Asset: *s.assets.at(v.asset), Amount: v.amount, Transfers: v.count, First: v.first, Last: v.last}
}

// Grow makes room for n more flows, at 6 bytes each. It saves time where many are added, and
// changes nothing else.
func (s *Store) Grow(n int) {
	if n > s.flowIndex.room-s.flowIndex.n {
		s.growFlows(newIndex(s.flowIndex.n + n))
	}
}

// AddFlows merges flows whose transfers the store need not hold: sums add up,
// First and Last widen. A flow that the transfers of the store already make
// up would count twice. Unlike those, it may have any count, also 0, and go
// from a wallet to itself.
func (s *Store) AddFlows(flows iter.Seq2[Pair, Flow]) {
	s.ownFlows = true
	b := new(batch)
	for p, f := range flows {
		b.pairs[b.n], b.flows[b.n] = p, f
		if b.n++; b.n == batchLen {
			s.mergeBatch(b)
		}
	}
	s.mergeBatch(b)
	s.changed()
}

// A batch is flows on their way into the store. Nearly all of the time goes
// into waiting for memory: rows and slots lie where their hashes put them.
// Taking many flows through one step after the other lets the processor wait
// for many at once.
type batch struct {
	n       int
	pairs   [batchLen]Pair
	flows   [batchLen]Flow
	hashes  [2 * batchLen]uint64 // of senders and receivers, in turn; then of pairs
	guesses [2 * batchLen]uint32 // numbers that those hashes may stand for
	touched byte
}

const batchLen = 128

// mergeBatch adds the flows of b and empties it.
func (s *Store) mergeBatch(b *batch) {
	hashes, guesses := b.hashes[:2*b.n], b.guesses[:2*b.n]
	for i := range b.n {
		p := &b.pairs[i]
		hashes[2*i] = s.keys.address(p.From.Chain, &p.From.Address)
		hashes[2*i+1] = s.keys.address(p.To.Chain, &p.To.Address)
	}
	for i, h := range hashes {
		guesses[i] = s.walletIndex.guess(h)
	}
	if s.wallets.n > 0 {
		for _, g := range guesses {
			b.touched ^= s.wallets.at(g).chain[0]
		}
	}
	for i := range b.n {
		p := &b.pairs[i]
		guesses[2*i] = s.walletGuessed(&p.From, hashes[2*i], guesses[2*i])
		guesses[2*i+1] = s.walletGuessed(&p.To, hashes[2*i+1], guesses[2*i+1])
		hashes[i] = s.hashPair(guesses[2*i], guesses[2*i+1])
	}
	for _, h := range hashes[:b.n] {
		b.touched ^= byte(s.flowIndex.slots[s.flowIndex.home(h)])
	}
	for i := range b.n {
		f := &b.flows[i]
		v := flowValue{amount: f.Amount, first: f.First, last: f.Last, count: f.Transfers, asset: s.asset(&f.Asset)}
		s.mergeFlow(guesses[2*i], guesses[2*i+1], hashes[i], &v)
	}
	b.n = 0
}

// head returns the head of a pair that the view has.
func (s *Store) head(from, to uint32) uint32 {
	id, _ := s.findPair(from, to, s.hashPair(from, to))
	return id
}

// Flows yields every flow, by sender, receiver and asset. Pairs that the graph
// library added without flows are not among them.
func (s *Store) Flows() iter.Seq2[Pair, Flow] {
	return func(yield func(Pair, Flow) bool) {
		v := s.Freeze()
		var buf []Flow
		for a := range uint32(v.Len()) {
			for _, b := range v.Out(a) {
				buf = s.flowsOf(buf[:0], s.head(v.order[a], v.order[b]))
				for _, f := range buf {
					if !yield(Pair{v.Wallet(a), v.Wallet(b)}, f) {
						return
					}
				}
			}
		}
	}
}

// Out yields what w sent: the receiver and the flow, by receiver and asset.
func (s *Store) Out(w tracer.Wallet) iter.Seq2[tracer.Wallet, Flow] {
	return func(yield func(tracer.Wallet, Flow) bool) {
		v := s.Freeze()
		a, ok := v.ID(w)
		if !ok {
			return
		}
		for _, b := range v.Out(a) {
			for _, f := range s.flowsOf(nil, s.head(v.order[a], v.order[b])) {
				if !yield(v.Wallet(b), f) {
					return
				}
			}
		}
	}
}

// In yields what w received: the sender and the flow, by sender and asset.
func (s *Store) In(w tracer.Wallet) iter.Seq2[tracer.Wallet, Flow] {
	return func(yield func(tracer.Wallet, Flow) bool) {
		v := s.Freeze()
		b, ok := v.ID(w)
		if !ok {
			return
		}
		for _, a := range v.In(b) {
			for _, f := range s.flowsOf(nil, s.head(v.order[a], v.order[b])) {
				if !yield(v.Wallet(a), f) {
					return
				}
			}
		}
	}
}
