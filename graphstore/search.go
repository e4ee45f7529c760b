package graphstore

import (
	"iter"
	"math"
	"runtime"
	"slices"

	"scamtrace/tracer"
)

// Reach yields every wallet that money of the given ones can have come to in
// at most maxHops payments, with the fewest hops it takes: first the given
// ones at 0, in their order, then those at 1, and so on. Without a limit
// maxHops is negative. Wallets that the view does not have are passed over.
func (v *View) Reach(from []tracer.Wallet, maxHops int) iter.Seq2[tracer.Wallet, int] {
	return func(yield func(tracer.Wallet, int) bool) {
		depth, queue := v.search(v.ids(from), maxHops)
		for _, id := range queue {
			if !yield(v.Wallet(id), int(depth[id])) {
				return
			}
		}
	}
}

// Depths is [View.Reach] by numbers: the fewest hops to every wallet, -1 for
// those out of reach.
func (v *View) Depths(from []uint32, maxHops int) []int32 {
	depth, _ := v.search(from, maxHops)
	return depth
}

// search returns the depths, and what it reached in the order it did.
func (v *View) search(from []uint32, maxHops int) (depth []int32, queue []uint32) {
	depth = make([]int32, v.Len())
	for i := range depth {
		depth[i] = -1
	}
	queue = make([]uint32, 0, v.Len())
	met := make([]uint64, v.Len()/64+1) // bits, which stay near the processor where depths would not
	reach := func(d int32, to []uint32) {
		for _, b := range to {
			if bit := uint64(1) << (b % 64); met[b/64]&bit == 0 {
				met[b/64] |= bit
				depth[b] = d
				queue = append(queue, b)
			}
		}
	}
	reach(0, from)
	var read uint32
	for i := 0; i < len(queue); i++ {
		if i+ahead < len(queue) {
			if j := v.outStart[queue[i+ahead]]; int(j) < len(v.outTo) {
				read ^= v.outTo[j]
			}
		}
		a := queue[i]
		if maxHops >= 0 && int(depth[a]) >= maxHops {
			break
		}
		reach(depth[a]+1, v.Out(a))
	}
	runtime.KeepAlive(read)
	return depth, queue
}

// ids returns the numbers of the wallets that the view has.
func (v *View) ids(ws []tracer.Wallet) []uint32 {
	var ids []uint32
	for _, w := range ws {
		if id, ok := v.ID(w); ok {
			ids = append(ids, id)
		}
	}
	return ids
}

// Reached answers [View.Reach] for each of many wallets apart, 64 in one pass:
// bit i%64 of Reached(from, maxHops)[i/64][w] tells whether from[i] reaches the
// wallet with number w. A wallet reaches itself.
func (v *View) Reached(from []tracer.Wallet, maxHops int) [][]uint64 {
	var all [][]uint64
	for group := range slices.Chunk(from, 64) {
		by := make([]uint64, v.Len())
		for i, w := range group {
			if id, ok := v.ID(w); ok {
				by[id] |= 1 << i
			}
		}
		if maxHops < 0 {
			v.spread(by)
		} else {
			v.spreadHops(by, maxHops)
		}
		all = append(all, by)
	}
	return all
}

// spread hands the bits of each wallet on to all that it reaches.
func (v *View) spread(by []uint64) {
	// Wallets that reach each other get the same bits, so one pass is enough.
	component, order := v.strong()
	bits := make([]uint64, len(order))
	for a, b := range by {
		bits[component[a]] |= b
	}
	for _, a := range order {
		if b := bits[component[a]]; b != 0 {
			for _, to := range v.Out(a) {
				bits[component[to]] |= b
			}
		}
	}
	for a := range by {
		by[a] = bits[component[a]]
	}
}

// spreadHops is spread for what can be reached in a number of hops.
func (v *View) spreadHops(by []uint64, hops int) {
	type step struct {
		wallet uint32
		bits   uint64 // that came with the last hop
	}
	var now []step
	for a, b := range by {
		if b != 0 {
			now = append(now, step{uint32(a), b})
		}
	}
	next := make([]uint64, len(by)) // what comes with this hop
	var met []uint32                // the wallets that it comes to
	for ; hops > 0 && len(now) > 0; hops-- {
		for _, s := range now {
			for _, to := range v.Out(s.wallet) {
				if b := s.bits &^ by[to]; b != 0 {
					if next[to] == 0 {
						met = append(met, to)
					}
					next[to] |= b
				}
			}
		}
		now = now[:0]
		for _, a := range met {
			now = append(now, step{a, next[a]})
			by[a] |= next[a]
			next[a] = 0
		}
		met = met[:0]
	}
}

// strong returns the number of the strongly connected component of every
// wallet, and all wallets component by component, in an order in which money
// only goes from earlier components to later ones, which have higher numbers.
// It is the algorithm of Pearce, "A space-efficient algorithm for finding
// strongly connected components" (2016), without recursion.
func (v *View) strong() (component, order []uint32) {
	v.strongOnce.Do(func() {
		n := v.Len()
		order := make([]uint32, n)
		done := n // order is full from here on
		// Of each wallet 0 until it is met, then when it was, or when the first
		// was that it reaches; and in the end the number of its component,
		// counted down from the highest number there is.
		index := make([]uint32, n)
		time, number := uint32(0), uint32(math.MaxUint32)
		type call struct{ wallet, next, time uint32 }
		var calls []call
		var open []uint32 // met, and in a component that began before them
		meet := func(a uint32) {
			time++
			index[a] = time
			calls = append(calls, call{a, v.outStart[a], time})
		}
		finish := func(a uint32) {
			time--
			index[a] = number
			done--
			order[done] = a
		}
		for a := range uint32(n) {
			if index[a] == 0 {
				meet(a)
			}
		visit:
			for len(calls) > 0 {
				c := &calls[len(calls)-1]
				a := c.wallet
				low := index[a]
				for ; c.next < v.outStart[a+1]; c.next++ {
					b := v.outTo[c.next]
					if index[b] == 0 {
						index[a] = low
						meet(b)
						continue visit
					}
					low = min(low, index[b])
				}
				began := c.time
				calls = calls[:len(calls)-1]
				if low < began {
					index[a] = low
					open = append(open, a)
					continue
				}
				for len(open) > 0 && index[open[len(open)-1]] >= began {
					finish(open[len(open)-1])
					open = open[:len(open)-1]
				}
				finish(a)
				number--
			}
		}
		for a := range index {
			index[a] -= number + 1
		}
		v.component, v.byComponent = index, order
	})
	return v.component, v.byComponent
}

// Ways are shortest ways from some wallets to all that they reach.
type Ways struct {
	v      *View
	before []uint32 // the wallet before each on its way, itself where ways begin, or nobody
}

// Ways returns the ways with the fewest payments from any of some wallets. Of
// several to one wallet, it is that from the wallet given first, and of those
// the one that comes first when they are compared wallet by wallet. Wallets
// that the view does not have are passed over.
func (v *View) Ways(from []tracer.Wallet) *Ways {
	before := make([]uint32, v.Len())
	for a := range before {
		before[a] = nobody
	}
	queue := make([]uint32, 0, v.Len())
	for _, a := range v.ids(from) {
		if before[a] == nobody {
			before[a] = a
			queue = append(queue, a)
		}
	}
	// Receivers ascend, so wallets are met in the order of their first ways.
	for i := 0; i < len(queue); i++ {
		for _, b := range v.Out(queue[i]) {
			if before[b] == nobody {
				before[b] = queue[i]
				queue = append(queue, b)
			}
		}
	}
	return &Ways{v, before}
}

// To returns the wallets on the way to one, both ends included, or nil if there
// is none. It has a hop less than wallets.
func (w *Ways) To(to tracer.Wallet) []tracer.Wallet {
	a, ok := w.v.ID(to)
	if !ok || w.before[a] == nobody {
		return nil
	}
	path := []tracer.Wallet{to}
	for w.before[a] != a {
		a = w.before[a]
		path = append(path, w.v.Wallet(a))
	}
	slices.Reverse(path)
	return path
}

// Path returns the way from one wallet to another, as [View.Ways] finds it. Who
// asks for many ways from the same wallets asks for Ways.
func (v *View) Path(from, to tracer.Wallet) []tracer.Wallet {
	return v.Ways([]tracer.Wallet{from}).To(to)
}

// Components returns for every wallet the number of its weakly connected
// component, and how many there are. Components are numbered by their first
// wallets.
func (v *View) Components() ([]uint32, int) {
	parent := make([]uint32, v.Len()) // never above its child
	for i := range parent {
		parent[i] = uint32(i)
	}
	find := func(a uint32) uint32 {
		for parent[a] != a {
			parent[a] = parent[parent[a]]
			a = parent[a]
		}
		return a
	}
	for a := range uint32(v.Len()) {
		x := find(a)
		for _, b := range v.Out(a) {
			if parent[b] == x {
				continue // as most are, before long
			}
			y := find(b)
			parent[max(x, y)] = min(x, y)
			x = min(x, y)
		}
	}
	// A parent is never above its child, so it has its number already.
	n := uint32(0)
	for a := range parent {
		if p := parent[a]; p == uint32(a) {
			parent[a] = n
			n++
		} else {
			parent[a] = parent[p]
		}
	}
	return parent, int(n)
}
