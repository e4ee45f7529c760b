package graphstore

import (
	"encoding/binary"
	"slices"
	"sort"
	"sync"

	"scamtrace/tracer"
)

// A View is the graph of a [Store] at one moment: its wallets, and for each
// those it paid, without amounts. It never changes, and is safe for concurrent
// use, also while the store is written.
//
// Wallets have numbers of their own here, from 0 to Len()-1 in the order of
// [tracer.Wallet.Compare], so that every answer depends on the content of the
// store only, not on how it came in. The zero address is a wallet like others.
type View struct {
	wallets column[walletRow] // of the store
	order   []uint32          // the store's number of each wallet

	// The receivers of a are outTo[outStart[a]:outStart[a+1]], ascending.
	outStart, outTo []uint32

	once            sync.Once // for the other direction
	inStart, inFrom []uint32
}

// Freeze returns the graph as it is now. It costs time proportional to the
// store after a write, and nothing before the next one.
func (s *Store) Freeze() *View {
	if v := s.view.Load(); v != nil {
		return v
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.view.Load()
	if v == nil {
		v = s.freeze()
		s.view.Store(v)
	}
	return v
}

func (s *Store) freeze() *View {
	v := &View{order: s.sortedWallets()}
	v.wallets.pieces, v.wallets.n = slices.Clone(s.wallets.pieces), s.wallets.n

	rank := make([]uint32, s.wallets.n)
	for i, id := range v.order {
		rank[id] = uint32(i)
	}
	// Two stable distributions, by receiver and then by sender, leave the
	// pairs sorted by both.
	n := len(v.order)
	inStart := make([]uint32, n+1)
	outStart := make([]uint32, n+1)
	for i := range s.flows.n {
		if r := s.flows.at(uint32(i)); r.isHead() {
			inStart[rank[r.to]]++
			outStart[rank[r.from]]++
		}
	}
	ends(inStart)
	ends(outStart)
	inFrom := make([]uint32, s.pairs)
	for i := range s.flows.n {
		if r := s.flows.at(uint32(i)); r.isHead() {
			b := rank[r.to]
			inStart[b]--
			inFrom[inStart[b]] = rank[r.from]
		}
	}
	v.outTo = make([]uint32, s.pairs)
	for b := n - 1; b >= 0; b-- {
		for _, a := range inFrom[inStart[b]:inStart[b+1]] {
			outStart[a]--
			v.outTo[outStart[a]] = uint32(b)
		}
	}
	v.outStart = outStart
	return v
}

func (r *flowRow) isHead() bool { return r.asset&extra == 0 && r.asset != codeDead }

// ends turns counts into the sums of all up to and including each. Whoever
// fills the rows from their ends downwards is left with their starts.
func ends(counts []uint32) {
	var sum uint32
	for i, c := range counts {
		sum += c
		counts[i] = sum
	}
}

// sortedWallets returns the numbers of all wallets in order: distributed by
// the first two bytes of their addresses, which are as good as random, then
// sorted in each of the small heaps.
func (s *Store) sortedWallets() []uint32 {
	heap := func(id uint32) uint16 { return binary.BigEndian.Uint16(s.wallets.at(id).address[:]) }
	start := make([]uint32, 1<<16)
	n := 0
	for id := range uint32(s.wallets.n) {
		if !s.isGone(id) {
			start[heap(id)]++
			n++
		}
	}
	ends(start)
	ids := make([]uint32, n)
	chain, chains := uint64(0), false
	for i := s.wallets.n - 1; i >= 0; i-- {
		id := uint32(i)
		if s.isGone(id) {
			continue
		}
		h := heap(id)
		start[h]--
		ids[start[h]] = id
		c := binary.LittleEndian.Uint64(s.wallets.at(id).chain[:])
		chains = chains || i < s.wallets.n-1 && c != chain
		chain = c
	}
	if chains { // which come before addresses
		slices.SortFunc(ids, func(a, b uint32) int { return s.Wallet(a).Compare(s.Wallet(b)) })
		return ids
	}
	byAddress := func(a, b uint32) int { return s.wallets.at(a).address.Cmp(s.wallets.at(b).address) }
	for h, first := range start {
		end := uint32(n)
		if h+1 < len(start) {
			end = start[h+1]
		}
		if end-first > 1 {
			slices.SortFunc(ids[first:end], byAddress)
		}
	}
	return ids
}

// Len returns how many wallets there are.
func (v *View) Len() int { return len(v.order) }

// Pairs returns how many pairs of wallets have a flow.
func (v *View) Pairs() int { return len(v.outTo) }

// Wallet returns the wallet with a number of the view, which must be below
// [View.Len].
func (v *View) Wallet(id uint32) tracer.Wallet { return v.wallets.at(v.order[id]).wallet() }

// ID returns the number of a wallet in the view, if it is there.
func (v *View) ID(w tracer.Wallet) (uint32, bool) {
	i, ok := sort.Find(len(v.order), func(i int) int { return w.Compare(v.Wallet(uint32(i))) })
	return uint32(i), ok
}

// Out returns the wallets that one paid, ascending. The slice is the view's
// own and must not be written.
func (v *View) Out(id uint32) []uint32 { return v.outTo[v.outStart[id]:v.outStart[id+1]] }

// In returns the wallets that paid one, ascending. The slice is the view's own
// and must not be written.
func (v *View) In(id uint32) []uint32 {
	v.once.Do(v.turn)
	return v.inFrom[v.inStart[id]:v.inStart[id+1]]
}

// turn builds the other direction.
func (v *View) turn() {
	v.inStart = make([]uint32, v.Len()+1)
	for _, b := range v.outTo {
		v.inStart[b]++
	}
	ends(v.inStart)
	v.inFrom = make([]uint32, len(v.outTo))
	for a := v.Len() - 1; a >= 0; a-- {
		for _, b := range v.Out(uint32(a)) {
			v.inStart[b]--
			v.inFrom[v.inStart[b]] = uint32(a)
		}
	}
}
