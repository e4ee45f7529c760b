package graphstore

import (
	"cmp"
	"encoding/binary"
	"runtime"
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
	wallets walletRows // of the store
	order   []uint32   // the store's number of each wallet

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
	v := &View{wallets: s.wallets, order: s.sortedWallets()}

	// Two stable distributions, by receiver and then by sender, leave the
	// pairs sorted by both. The first is by the store's numbers, the second by
	// the view's.
	in := make([]uint32, s.wallets.len()+1)
	out := make([]uint32, s.wallets.len()+1)
	for _, pairs := range s.pairs.runs() {
		for _, p := range pairs {
			if p.from != nobody {
				in[p.to]++
				out[p.from]++
			}
		}
	}
	ends(in)
	inFrom := make([]uint32, in[s.wallets.len()])
	for _, pairs := range s.pairs.runs() {
		for _, p := range pairs {
			if p.from != nobody {
				i := in[p.to] - 1
				in[p.to], inFrom[i] = i, p.from
			}
		}
	}
	var sum uint32
	for _, id := range v.order {
		sum += out[id]
		out[id] = sum
	}
	v.outTo = make([]uint32, sum)
	var read uint32
	for b := len(v.order) - 1; b >= 0; b-- {
		if b >= ahead {
			if i := in[v.order[b-ahead]]; i < sum {
				read ^= inFrom[i]
			}
		}
		id := v.order[b]
		for _, a := range inFrom[in[id]:in[id+1]] {
			i := out[a] - 1
			out[a], v.outTo[i] = i, uint32(b)
		}
	}
	runtime.KeepAlive(read)
	v.outStart = in[:len(v.order)+1] // in has done its work
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
	if v.outTo = v.outTo[:n]; len(v.outTo) < cap(v.outTo)/2 {
		v.outTo = slices.Clone(v.outTo)
	}
}

// ahead is how many steps before its turn a list is looked at, so that it is
// near the processor then.
const ahead = 12

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
	for first, addresses := range s.wallets.addresses.runs() {
		for i := range addresses {
			if !s.isGone(first + uint32(i)) {
				start[binary.BigEndian.Uint16(addresses[i][:])]++
			}
		}
	}
	ends(start)
	ids := make([]uint32, start[1<<16])
	keys := make([]uint32, len(ids)) // the next four bytes of each
	for first, addresses := range s.wallets.addresses.runs() {
		for i := range addresses {
			if id := first + uint32(i); !s.isGone(id) {
				a := addresses[i][:]
				h := binary.BigEndian.Uint16(a)
				start[h]--
				ids[start[h]], keys[start[h]] = id, binary.BigEndian.Uint32(a[2:])
			}
		}
	}
	for h := range 1 << 16 {
		if first, end := start[h], start[h+1]; end-first > 1 {
			s.sortHeap(ids[first:end], keys[first:end])
		}
	}
	if len(s.wallets.chains) > 1 {
		return s.sortedByChain(ids)
	}
	return ids
}

// sortedByChain returns ids by chain, otherwise in the order they are in.
func (s *Store) sortedByChain(ids []uint32) []uint32 {
	chains := s.wallets.chains
	count := make([]uint32, len(chains))
	for _, id := range ids {
		count[s.wallets.chainNumber(id)]++
	}
	order, _ := ranked(len(chains), nil, func(a, b uint32) int { return cmp.Compare(chains[a], chains[b]) })
	var n uint32
	for _, c := range order {
		count[c], n = n, n+count[c] // from here on a chain's next place
	}
	sorted := make([]uint32, len(ids))
	for _, id := range ids {
		next := &count[s.wallets.chainNumber(id)]
		sorted[*next] = id
		*next++
	}
	return sorted
}

// sortHeap sorts wallets by address alone, given that the first two bytes are
// the same, and the four after those.
func (s *Store) sortHeap(ids, keys []uint32) {
	compare := func(a, b uint32) int { return s.wallets.addresses.at(a).Cmp(*s.wallets.addresses.at(b)) }
	if len(ids) > 64 {
		slices.SortFunc(ids, compare)
		return
	}
	for i, id := range ids {
		key := keys[i]
		for i > 0 && (keys[i-1] > key || keys[i-1] == key && compare(ids[i-1], id) > 0) {
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
func (v *View) Wallet(id uint32) tracer.Wallet { return v.wallets.at(v.order[id]) }

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
