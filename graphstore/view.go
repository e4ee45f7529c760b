package graphstore

import (
	"encoding/binary"
	"maps"
	"slices"
	"sort"
	"sync"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
)

// A View is the graph of a [Store] at one moment: its wallets, and for each
// those it paid, without amounts. It never changes, and is safe for concurrent
// use, also while the store is written.
//
// Wallets have numbers of their own here, from 0 to Len()-1 in the order of
// [tracer.Wallet.Compare], so that every answer depends on the content of the
// store only, not on how it came in. The zero address is a wallet like others.
type View struct {
	wallets column[tracer.Wallet] // of the store
	order   []uint32              // the store's number of each wallet

	// The receivers of a are outTo[outStart[a]:outStart[a+1]], ascending.
	outStart, outTo []uint32

	inOnce          sync.Once
	inStart, inFrom []uint32 // the other direction

	strongOnce             sync.Once
	component, byComponent []uint32 // see strong
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
	if s.derived < s.transfers.n {
		s.merge()
	}
	v := &View{order: s.sortedWallets()}
	v.wallets = s.wallets
	v.wallets.pieces = slices.Clone(s.wallets.pieces)

	// Two stable distributions, by receiver and then by sender, leave the
	// pairs sorted by both. The first is by the store's numbers, the second by
	// the view's.
	in := make([]uint32, s.wallets.n+1)
	out := make([]uint32, s.wallets.n+1)
	for _, pairs := range s.pairs.runs() {
		for _, p := range pairs {
			if p.from != nobody {
				in[p.to]++
				out[p.from]++
			}
		}
	}
	ends(in)
	inFrom := make([]uint32, in[s.wallets.n])
	for _, pairs := range s.pairs.runs() {
		for _, p := range pairs {
			if p.from != nobody {
				in[p.to]--
				inFrom[in[p.to]] = p.from
			}
		}
	}
	var sum uint32
	for _, id := range v.order {
		sum += out[id]
		out[id] = sum
	}
	v.outTo = make([]uint32, sum)
	for b := len(v.order) - 1; b >= 0; b-- {
		id := v.order[b]
		for _, a := range inFrom[in[id]:in[id+1]] {
			out[a]--
			v.outTo[out[a]] = uint32(b)
		}
	}
	v.outStart = make([]uint32, len(v.order)+1)
	for a, id := range v.order {
		v.outStart[a] = out[id]
	}
	v.outStart[len(v.order)] = sum
	if s.merged < s.flows.n || len(s.nextFlow) > 0 {
		v.compact()
	}
	return v
}

// compact drops repeated pairs.
func (v *View) compact() {
	n := uint32(0)
	for a := range v.order {
		to := v.Out(uint32(a))
		v.outStart[a] = n
		for i, b := range to {
			if i == 0 || b != to[i-1] {
				v.outTo[n] = b
				n++
			}
		}
	}
	v.outStart[len(v.order)] = n
	v.outTo = v.outTo[:n]
}

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
// the first two bytes of their addresses, which are as good as random, sorted
// in each of the small heaps, and then distributed by chain, if there are
// several.
func (s *Store) sortedWallets() []uint32 {
	start := make([]uint32, 1<<16+1)
	count := make(map[uint64]uint32) // of wallets by chain
	var last uint64                  // the chain of the wallet before
	var n uint32                     // wallets on that chain, not counted yet
	for first, ws := range s.wallets.runs() {
		for i := range ws {
			w := &ws[i]
			if s.isGone(first + uint32(i)) {
				continue
			}
			start[binary.BigEndian.Uint16(w.Address[:])]++
			if w.Chain != last && n > 0 {
				count[last] += n
				n = 0
			}
			last = w.Chain
			n++
		}
	}
	count[last] += n
	ends(start)
	ids := make([]uint32, start[1<<16])
	for first, ws := range s.wallets.runs() {
		for i := range ws {
			if id := first + uint32(i); !s.isGone(id) {
				h := binary.BigEndian.Uint16(ws[i].Address[:])
				start[h]--
				ids[start[h]] = id
			}
		}
	}
	for h := range 1 << 16 {
		if heap := ids[start[h]:start[h+1]]; len(heap) > 1 {
			s.sortHeap(heap)
		}
	}
	if len(count) < 2 {
		return ids
	}
	n = 0
	for _, chain := range slices.Sorted(maps.Keys(count)) {
		count[chain], n = n, n+count[chain]
	}
	byChain := make([]uint32, len(ids))
	for _, id := range ids {
		c := s.wallets.at(id).Chain
		byChain[count[c]] = id
		count[c]++
	}
	return byChain
}

// sortHeap sorts wallets by address alone, given that the first two bytes are
// the same.
func (s *Store) sortHeap(ids []uint32) {
	address := func(id uint32) *common.Address { return &s.wallets.at(id).Address }
	var keys [32]uint64 // the next eight bytes
	if len(ids) > len(keys) {
		slices.SortFunc(ids, func(a, b uint32) int { return address(a).Cmp(*address(b)) })
		return
	}
	for i, id := range ids {
		key := binary.BigEndian.Uint64(address(id)[2:])
		for i > 0 && (keys[i-1] > key || keys[i-1] == key && address(ids[i-1]).Cmp(*address(id)) > 0) {
			keys[i], ids[i] = keys[i-1], ids[i-1]
			i--
		}
		keys[i], ids[i] = key, id
	}
}

// Len returns how many wallets there are.
func (v *View) Len() int { return len(v.order) }

// Pairs returns how many pairs of wallets have a flow.
func (v *View) Pairs() int { return len(v.outTo) }

// Wallet returns the wallet with a number of the view, which must be below
// [View.Len].
func (v *View) Wallet(id uint32) tracer.Wallet { return *v.wallets.at(v.order[id]) }

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
	v.inOnce.Do(v.turn)
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
