package graphstore

import (
	"iter"
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
	for _, a := range from {
		if depth[a] < 0 {
			depth[a] = 0
			queue = append(queue, a)
		}
	}
	for i := 0; i < len(queue); i++ {
		a := queue[i]
		d := depth[a]
		if maxHops >= 0 && int(d) >= maxHops {
			break
		}
		for _, b := range v.Out(a) {
			if depth[b] < 0 {
				depth[b] = d + 1
				queue = append(queue, b)
			}
		}
	}
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
		all = append(all, v.reached(group, maxHops))
	}
	return all
}

func (v *View) reached(from []tracer.Wallet, maxHops int) []uint64 {
	n := v.Len()
	seen := make([]uint64, n)
	fresh := make([]uint64, n) // come to with the last hop
	next := make([]uint64, n)  // come to with this hop, perhaps again
	var now, touched []uint32
	for i, w := range from {
		if id, ok := v.ID(w); ok {
			if next[id] == 0 {
				touched = append(touched, id)
			}
			next[id] |= 1 << i
		}
	}
	settle := func(a uint32) {
		if f := next[a] &^ seen[a]; f != 0 {
			seen[a] |= f
			fresh[a] = f
			now = append(now, a)
		}
		next[a] = 0
	}
	for hop := 0; len(touched) > 0; hop++ {
		now = now[:0]
		if len(touched) > n/16 { // in memory order is faster, then
			for a := range uint32(n) {
				settle(a)
			}
		} else {
			for _, a := range touched {
				settle(a)
			}
		}
		touched = touched[:0]
		if maxHops >= 0 && hop >= maxHops {
			break
		}
		for _, a := range now {
			f := fresh[a]
			for _, b := range v.Out(a) {
				if next[b] == 0 {
					touched = append(touched, b)
				}
				next[b] |= f
			}
		}
	}
	return seen
}

// Path returns the wallets on a way from one wallet to another in the fewest
// payments, both included; of several such ways, the one that comes first when
// they are compared wallet by wallet. It returns nil if there is none.
func (v *View) Path(from, to tracer.Wallet) []tracer.Wallet {
	a, ok1 := v.ID(from)
	b, ok2 := v.ID(to)
	if !ok1 || !ok2 {
		return nil
	}
	// Receivers ascend, so wallets are met in the order of their first ways.
	before := map[uint32]uint32{a: a}
	queue := []uint32{a}
	for i := 0; i < len(queue); i++ {
		if _, ok := before[b]; ok {
			break
		}
		for _, c := range v.Out(queue[i]) {
			if _, ok := before[c]; !ok {
				before[c] = queue[i]
				queue = append(queue, c)
			}
		}
	}
	if _, ok := before[b]; !ok {
		return nil
	}
	path := []tracer.Wallet{v.Wallet(b)}
	for c := b; c != a; {
		c = before[c]
		path = append(path, v.Wallet(c))
	}
	slices.Reverse(path)
	return path
}

// Components returns for every wallet the number of its weakly connected
// component, and how many there are. Components are numbered by their first
// wallets.
func (v *View) Components() ([]uint32, int) {
	parent := make([]uint32, v.Len())
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
	for a := range parent {
		x := find(uint32(a))
		for _, b := range v.Out(uint32(a)) {
			y := find(b)
			if y < x {
				x, y = y, x
			}
			parent[y] = x
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
