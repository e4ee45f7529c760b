package graphstore

import (
	"math"
	"runtime"

	"scamtrace/tracer"

	"github.com/holiman/uint256"
)

// A flowValue is a flow by its asset's number.
type flowValue struct {
	amount      uint256.Int
	first, last uint64
	count       uint32
	asset       uint32
}

// bare is the asset of a flowValue that stands for a pair without flows.
const bare = math.MaxUint32

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

// A pair is two wallets by their numbers.
type pair struct {
	from, to uint32
}

// nobody stands for both wallets of a row that is free.
const nobody = math.MaxUint32

// A flowRow is a flow without its wallets, in 24 bytes. What does not fit is in
// Store.wideFlows. The first flow of a pair is its head, and what the pair is
// found by; the others hang on it through Store.nextFlow.
type flowRow struct {
	amount      [3]uint32 // low word first; with code codeWide, amount[0] numbers Store.wideFlows
	first, last uint32
	count       uint16
	asset       uint16 // below codeWide the number, else a code; and the extra bit
}

const (
	extra    = 1 << 15 // not the head of its pair
	codeWide = extra - 2
	codeBare = extra - 1 // a pair without flows; count is the weight it was given
)

func (r *flowRow) code() uint16 { return r.asset &^ extra }

// value returns the flow in r.
func (s *Store) value(r *flowRow) flowValue {
	switch r.code() {
	case codeWide:
		return *s.wideFlows.at(r.amount[0])
	case codeBare:
		return flowValue{asset: bare, count: uint32(r.count)}
	}
	return flowValue{
		amount: widen(r.amount), first: uint64(r.first), last: uint64(r.last),
		count: uint32(r.count), asset: uint32(r.code()),
	}
}

// set puts a value into r, if it fits.
func (r *flowRow) set(amount *uint256.Int, first, last uint64, count, asset uint32) bool {
	if (amount[1]|first|last)>>32|amount[2]|amount[3]|uint64(count>>16) != 0 || asset >= codeWide && asset != bare {
		return false
	}
	r.amount[0], r.amount[1], r.amount[2] = uint32(amount[0]), uint32(amount[0]>>32), uint32(amount[1])
	r.first, r.last = uint32(first), uint32(last)
	r.count, r.asset = uint16(count), uint16(asset)&^extra|r.asset&extra
	return true
}

// setValue puts v into r.
func (s *Store) setValue(r *flowRow, v *flowValue) {
	wide, slot := r.code() == codeWide, r.amount[0]
	switch ok := r.set(&v.amount, v.first, v.last, v.count, v.asset); {
	case ok && wide:
		s.freeWide = append(s.freeWide, slot)
	case ok:
	case wide:
		*s.wideFlows.at(slot) = *v
	default:
		r.setWide(s.addWide(v))
	}
}

func (r *flowRow) setWide(slot uint32) {
	*r = flowRow{amount: [3]uint32{slot}, asset: codeWide | r.asset&extra}
}

// addWide keeps a value that does not fit a row and returns its number.
func (s *Store) addWide(v *flowValue) uint32 {
	if n := len(s.freeWide); n > 0 {
		slot := s.freeWide[n-1]
		s.freeWide = s.freeWide[:n-1]
		*s.wideFlows.at(slot) = *v
		return slot
	}
	return s.wideFlows.add(*v)
}

func (s *Store) assetOf(r *flowRow) uint32 {
	switch c := r.code(); c {
	case codeWide:
		return s.wideFlows.at(r.amount[0]).asset
	case codeBare:
		return bare
	default:
		return uint32(c)
	}
}

// hashPair is the hash by which the head of a pair is found.
func (s *Store) hashPair(p pair) uint64 {
	return fold(uint64(p.from)<<32^uint64(p.to)^s.keys[0], s.keys[1])
}

// hashExtra is the hash by which a flow is found that is not the head.
func (s *Store) hashExtra(p pair, asset uint32) uint64 {
	return s.keys.numbers(p.from, p.to, asset, 1)
}

func (s *Store) hashFlow(id uint32) uint64 {
	if r := s.flows.at(id); r.asset&extra != 0 {
		return s.hashExtra(*s.pairs.at(id), s.assetOf(r))
	}
	return s.hashPair(*s.pairs.at(id))
}

// findPair returns the head of a pair, given its hash.
func (s *Store) findPair(p pair, h uint64) (uint32, bool) {
	for c := s.flowIndex.probe(h); c.next(); {
		if *s.pairs.at(c.number) == p && s.flows.at(c.number).asset&extra == 0 {
			return c.number, true
		}
	}
	return 0, false
}

// findExtra returns a flow that is not the head of its pair, given its hash.
func (s *Store) findExtra(p pair, asset uint32, h uint64) (uint32, bool) {
	for c := s.flowIndex.probe(h); c.next(); {
		if r := s.flows.at(c.number); *s.pairs.at(c.number) == p && r.asset&extra != 0 && s.assetOf(r) == asset {
			return c.number, true
		}
	}
	return 0, false
}

// head returns the head of a pair that the view has.
func (s *Store) head(from, to uint32) uint32 {
	p := pair{from, to}
	id, _ := s.findPair(p, s.hashPair(p))
	return id
}

// next returns the flow that hangs on another.
func (s *Store) next(id uint32) (uint32, bool) {
	if len(s.nextFlow) == 0 {
		return 0, false
	}
	next, ok := s.nextFlow[id]
	return next, ok
}

// mergeFlow adds v to the flow of its asset from one wallet to another, given
// the hash of the pair. A pair without flows stops being one.
func (s *Store) mergeFlow(p pair, h uint64, v *flowValue) {
	if head, ok := s.findPair(p, h); ok {
		s.mergeInto(head, v)
	} else {
		s.insertPair(p, h, v)
	}
}

// mergeInto is mergeFlow, given the head of the pair.
func (s *Store) mergeInto(head uint32, v *flowValue) {
	r := s.flows.at(head)
	switch s.assetOf(r) {
	case v.asset:
		s.addValue(r, v)
		return
	case bare:
		s.setValue(r, v)
		return
	}
	p := *s.pairs.at(head)
	h := s.hashExtra(p, v.asset)
	if id, ok := s.findExtra(p, v.asset, h); ok {
		s.addValue(s.flows.at(id), v)
		return
	}
	row := flowRow{asset: extra}
	s.setValue(&row, v)
	id := s.insertRow(p, h, row)
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

// growFlows moves the merged flows to a larger index.
func (s *Store) growFlows(to index) {
	s.flowIndex = to
	for i := range uint32(s.merged) {
		if s.pairs.at(i).from != nobody {
			s.flowIndex.insert(s.hashFlow(i), i)
		}
	}
}

// insertPair adds a pair that the store does not have, given its hash, with its
// first flow or without one.
func (s *Store) insertPair(p pair, h uint64, v *flowValue) {
	var r flowRow
	s.setValue(&r, v)
	s.insertRow(p, h, r)
	s.distinct++
}

// insertRow adds a flow that the store does not have, given the hash by which
// it is to be found. It takes the place of the first that waits to be merged,
// so that one must have been read.
func (s *Store) insertRow(p pair, h uint64, r flowRow) uint32 {
	if s.flowIndex.full() {
		s.growFlows(s.flowIndex.larger())
	}
	var id uint32
	if n := len(s.freeFlows); n > 0 {
		id, s.freeFlows = s.freeFlows[n-1], s.freeFlows[:n-1]
		*s.pairs.at(id), *s.flows.at(id) = p, r
	} else {
		id = s.addRow(p, r)
		s.merged++
	}
	s.flowIndex.insert(h, id)
	return id
}

func (s *Store) addRow(p pair, r flowRow) uint32 {
	s.pairs.add(p)
	return s.flows.add(r)
}

// removePair removes a pair and its flows, given its head.
func (s *Store) removePair(head uint32) {
	for id, ok := head, true; ok; {
		s.flowIndex.remove(id, s.hashFlow)
		if r := s.flows.at(id); r.code() == codeWide {
			s.freeWide = append(s.freeWide, r.amount[0])
		}
		*s.pairs.at(id), *s.flows.at(id) = pair{nobody, nobody}, flowRow{}
		s.freeFlows = append(s.freeFlows, id)
		id, ok = s.cutNext(id)
	}
	s.distinct--
}

// cutNext is next, and forgets it.
func (s *Store) cutNext(id uint32) (uint32, bool) {
	next, ok := s.next(id)
	delete(s.nextFlow, id)
	return next, ok
}

// Flows are merged when one is first asked for by its wallets, not before: a
// store that is only filled, searched, or read in chain order needs no index of
// its pairs. But no more than this wait, or than are merged, so that a store
// into which the same flows come again and again stays small.
const maxWaiting = 1 << 21

// settle merges the flows that wait. Whoever asks for a flow by its wallets
// calls it first.
func (s *Store) settle() {
	if s.settled.Load() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.settled.Load() {
		s.merge()
		s.pairs.trim()
		s.flows.trim()
	}
}

func (s *Store) merge() {
	if waiting := s.flows.n - s.merged; waiting > s.flowIndex.room-s.flowIndex.n {
		s.growFlows(newIndex(s.flowIndex.n + waiting))
	}
	var b batch
	// Those that are merged take the places of those that have been read.
	pairs, flows := s.pairs, s.flows
	s.pairs.n, s.flows.n = s.merged, s.merged
	for i := s.merged; i < flows.n; i++ {
		s.mergeRow(&b, *pairs.at(uint32(i)), *flows.at(uint32(i)))
	}
	s.mergeBatch(&b)
	for ; s.derived < s.transfers.n; s.derived++ {
		n := uint32(s.derived)
		t := s.transfers.at(n)
		amount := s.amount(t)
		if !s.pays(t, &amount) {
			continue
		}
		var r flowRow
		block := s.blocks.at(s.place(n, t).block).number
		s.setValue(&r, &flowValue{asset: t.asset, count: 1, amount: amount, first: block, last: block})
		s.mergeRow(&b, pair{t.from, t.to}, r)
	}
	s.mergeBatch(&b)
	s.settled.Store(true)
}

// pays reports whether a transfer is part of a flow: see [Store.Add].
func (s *Store) pays(r *transferRow, amount *uint256.Int) bool {
	t := tracer.Transfer{
		Asset: *s.assets.at(r.asset), From: *s.wallets.addresses.at(r.from), To: *s.wallets.addresses.at(r.to),
		Amount: *amount, Kind: r.kind,
	}
	return t.Counts() && t.Kind != tracer.KindFee
}

// A batch is flows on their way to be merged, many at once as in a [Loader].
type batch struct {
	n      int
	pairs  [batchLen]pair
	rows   [batchLen]flowRow
	hashes [batchLen]uint64
}

func (s *Store) mergeRow(b *batch, p pair, r flowRow) {
	b.pairs[b.n], b.rows[b.n] = p, r
	if b.n++; b.n == batchLen {
		s.mergeBatch(b)
	}
}

// hashBatch hashes the pairs of b and reads the slots where they are found.
func (s *Store) hashBatch(b *batch) {
	x, read := &s.flowIndex, uint32(0)
	for i, p := range b.pairs[:b.n] {
		b.hashes[i] = s.hashPair(p)
		read ^= x.slots[x.home(b.hashes[i])]
	}
	runtime.KeepAlive(read)
}

// mergeBatch merges the flows of b and empties it.
func (s *Store) mergeBatch(b *batch) {
	s.hashBatch(b)
	for i := range b.n {
		r := &b.rows[i]
		head, ok := s.findPair(b.pairs[i], b.hashes[i])
		if !ok {
			s.insertRow(b.pairs[i], b.hashes[i], *r)
			s.distinct++
			continue
		}
		v := s.value(r)
		if r.code() == codeWide {
			s.freeWide = append(s.freeWide, r.amount[0])
		}
		s.mergeInto(head, &v)
	}
	b.n = 0
}
