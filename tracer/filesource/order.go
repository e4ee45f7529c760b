package filesource

import (
	"cmp"
	"container/heap"
	"fmt"
	"slices"

	"scamtrace/tracer"

	"github.com/holiman/uint256"
)

// order sorts the transactions by block and place in it, and returns their
// numbers in that order. Where a file does not tell the places in a block,
// they are made up: money arrives before it leaves, where there is such an
// order, and otherwise the file's order holds. It also returns in how many
// blocks that mattered, and which files made it so.
func (b *builder) order(rows []raw, first []uint32) (ids []uint32, blocks int, files []uint16, err error) {
	ids = make([]uint32, len(b.txs))
	for i := range ids {
		ids[i] = uint32(i)
	}
	slices.SortFunc(ids, func(x, y uint32) int {
		a, c := &b.txs[x], &b.txs[y]
		return cmp.Or(cmp.Compare(a.block, c.block), cmp.Compare(b.place(a), b.place(c)), a.hash.Cmp(c.hash))
	})
	which := make(map[uint16]bool)
	for i := 0; i < len(ids); {
		j, unknown := i, false
		for ; j < len(ids) && b.txs[ids[j]].block == b.txs[ids[i]].block; j++ {
			unknown = unknown || !b.txs[ids[j]].known
		}
		block := ids[i:j]
		i = j
		if err := b.sortKnown(block); err != nil {
			return nil, 0, nil, err
		}
		if !unknown {
			continue
		}
		if len(block) > 1 {
			blocks++
			for _, id := range block {
				if t := &b.txs[id]; !t.known && !which[t.file] {
					which[t.file] = true
					files = append(files, t.file)
				}
			}
			b.arrange(block, rows, first)
		}
		for n, id := range block {
			b.txs[id].index = uint32(n)
		}
	}
	slices.Sort(files)
	return ids, blocks, files, nil
}

// sortKnown puts the transactions of a block whose index is known in that
// order, and leaves the others where they stand.
func (b *builder) sortKnown(block []uint32) error {
	var known []uint32
	for _, id := range block {
		if b.txs[id].known {
			known = append(known, id)
		}
	}
	slices.SortFunc(known, func(x, y uint32) int {
		return cmp.Or(cmp.Compare(b.txs[x].index, b.txs[y].index), cmp.Compare(b.place(&b.txs[x]), b.place(&b.txs[y])))
	})
	n := 0
	for i, id := range block {
		if b.txs[id].known {
			block[i] = known[n]
			n++
		}
	}
	for i := 1; i < len(known); i++ {
		x, y := &b.txs[known[i-1]], &b.txs[known[i]]
		if x.index != y.index {
			continue
		}
		if y.file < x.file || y.file == x.file && y.line < x.line {
			x, y = y, x
		}
		return &RowError{File: b.files[y.file].name, Line: int(y.line), Reason: fmt.Sprintf(
			"transactions %s and %s both have index %d in block %d; leave the transaction index empty where it is not known",
			b.showTx(x.hash), b.showTx(y.hash), y.index, y.block)}
	}
	return nil
}

// A purse is what one wallet holds of one asset.
type purse struct{ wallet, asset uint32 }

// arrange puts the transactions of one block in an order in which a purse is
// filled before it is emptied. Where that would go in a circle, and between
// transactions that have nothing to do with each other, the order given stays.
func (b *builder) arrange(block []uint32, rows []raw, first []uint32) {
	// The graph has a node for each transaction, and two for each purse:
	// transactions that fill it lead there, from there lead those that empty it. Two
	// transactions whose index is known are bound to each other by that alone.
	const fromKnown, fromUnknown = 0, 1
	g := graph{next: make([][]int32, len(block))}
	nodes := make(map[purse][2]int32)
	node := func(p purse, side int) int32 {
		pair, ok := nodes[p]
		if !ok {
			n := int32(len(g.next))
			pair = [2]int32{n, n + 1}
			nodes[p] = pair
			g.next = append(g.next, nil, nil)
		}
		return pair[side]
	}
	last := int32(-1)
	for i, id := range block {
		known := b.txs[id].known
		if known && last >= 0 {
			g.edge(last, int32(i))
		}
		if known {
			last = int32(i)
		}
		for _, c := range changes(rows[first[id]:first[id+1]]) {
			switch {
			case c.fills && known:
				g.edge(int32(i), node(c.purse, fromKnown))
			case c.fills:
				g.edge(int32(i), node(c.purse, fromUnknown))
			case known:
				g.edge(node(c.purse, fromUnknown), int32(i))
			default:
				g.edge(node(c.purse, fromKnown), int32(i))
				g.edge(node(c.purse, fromUnknown), int32(i))
			}
		}
	}
	given := slices.Clone(block)
	at := 0
	for _, n := range g.sort(len(block)) {
		block[at] = given[n]
		at++
	}
}

// A change is the net effect of a transaction on a purse.
type change struct {
	purse
	fills bool
}

// changes returns which purses a transaction fills and empties, in the order
// of its rows.
func changes(rows []raw) []change {
	type sums struct{ in, out uint256.Int }
	all := make(map[purse]*sums)
	var keys []purse
	of := func(wallet, asset uint32) *sums {
		p := purse{wallet, asset}
		s := all[p]
		if s == nil {
			s = new(sums)
			all[p] = s
			keys = append(keys, p)
		}
		return s
	}
	add := func(x, y *uint256.Int) {
		if _, over := x.AddOverflow(x, y); over {
			x.SetAllOne()
		}
	}
	for i := range rows {
		r := &rows[i]
		if r.kind == tracer.KindNFT || r.from == r.to {
			continue
		}
		add(&of(r.from, r.asset).out, &r.amount)
		if r.kind != tracer.KindFee {
			add(&of(r.to, r.asset).in, &r.amount)
		}
	}
	var cs []change
	for _, p := range keys {
		if c := all[p].in.Cmp(&all[p].out); c != 0 {
			cs = append(cs, change{p, c > 0})
		}
	}
	return cs
}

// A graph has numbered nodes.
type graph struct{ next [][]int32 }

func (g *graph) edge(from, to int32) { g.next[from] = append(g.next[from], to) }

// sort returns the nodes below n in topological order, the smallest number
// first where there is a choice. Nodes on a circle stay together, in the order
// of their numbers.
func (g *graph) sort(n int) []int32 {
	group, groups := g.components()
	members := make([][]int32, groups)
	for v := range n {
		members[group[v]] = append(members[group[v]], int32(v))
	}
	waits := make([]int, groups)
	for v, next := range g.next {
		for _, w := range next {
			if group[v] != group[w] {
				waits[group[w]]++
			}
		}
	}
	in := make([][]int32, groups) // all nodes, for their edges
	for v := range g.next {
		in[group[v]] = append(in[group[v]], int32(v))
	}
	ready := &queue{}
	push := func(c int32) {
		key := int32(-1) // only purses: goes on at once
		if len(members[c]) > 0 {
			key = members[c][0]
		}
		heap.Push(ready, [2]int32{key, c})
	}
	for c := range groups {
		if waits[c] == 0 {
			push(int32(c))
		}
	}
	out := make([]int32, 0, n)
	for ready.Len() > 0 {
		c := heap.Pop(ready).([2]int32)[1]
		out = append(out, members[c]...)
		for _, v := range in[c] {
			for _, w := range g.next[v] {
				if group[w] == c {
					continue
				}
				if waits[group[w]]--; waits[group[w]] == 0 {
					push(group[w])
				}
			}
		}
	}
	return out
}

// components finds the strongly connected components by Tarjan's algorithm,
// without recursion: a file can hold a chain of any length.
func (g *graph) components() (group []int32, groups int) {
	n := len(g.next)
	group = make([]int32, n)
	seen, low := make([]int32, n), make([]int32, n) // seen counts from 1
	for i := range group {
		group[i] = -1
	}
	type frame struct{ v, edge int32 }
	var open []int32
	var stack []frame
	clock := int32(0)
	for root := range n {
		if seen[root] != 0 {
			continue
		}
		stack = append(stack, frame{int32(root), 0})
		for len(stack) > 0 {
			f := &stack[len(stack)-1]
			v := f.v
			if f.edge == 0 && seen[v] == 0 {
				clock++
				seen[v], low[v] = clock, clock
				open = append(open, v)
			}
			if int(f.edge) < len(g.next[v]) {
				w := g.next[v][f.edge]
				f.edge++
				if seen[w] == 0 {
					stack = append(stack, frame{w, 0})
				} else if group[w] < 0 {
					low[v] = min(low[v], seen[w])
				}
				continue
			}
			stack = stack[:len(stack)-1]
			if len(stack) > 0 {
				up := stack[len(stack)-1].v
				low[up] = min(low[up], low[v])
			}
			if low[v] != seen[v] {
				continue
			}
			for {
				w := open[len(open)-1]
				open = open[:len(open)-1]
				group[w] = int32(groups)
				if w == v {
					break
				}
			}
			groups++
		}
	}
	return group, groups
}

// A queue is a heap of groups by key.
type queue [][2]int32

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	return q[i][0] < q[j][0] || q[i][0] == q[j][0] && q[i][1] < q[j][1]
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.([2]int32)) }
func (q *queue) Pop() any {
	old := *q
	x := old[len(old)-1]
	*q = old[:len(old)-1]
	return x
}
