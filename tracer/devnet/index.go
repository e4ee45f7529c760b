package devnet

import (
	"slices"
	"sort"

	"github.com/ethereum/go-ethereum/common"
)

// An index finds logs and traces without looking at all of them.
type index struct {
	c      *chain
	values map[common.Hash]uint32 // what may stand in a topic
	topics [4]postings            // by position: logs by value
	at     postings               // logs by the number of the address that logged
	txs    map[common.Hash]uint32
	blocks map[common.Hash]uint64

	// A trace is numbered by its transaction and its place in it: the top
	// level, then the calls. firstTrace is the number of a transaction's top level.
	firstTrace []uint32
	from, to   postings // traces by the number of the address
}

// postings are lists of rising numbers, one list for each key.
type postings struct {
	start []uint32 // by key, and one more
	list  []uint32
}

// of returns the list of a key; a key beyond the last has none.
func (p *postings) of(key uint32) []uint32 {
	if int(key)+1 >= len(p.start) {
		return nil
	}
	return p.list[p.start[key]:p.start[key+1]]
}

// post makes postings of n numbered things. key says where each belongs; ok is
// false for things that are not listed.
func post(n int, key func(i uint32) (uint32, bool)) postings {
	var p postings
	for i := range uint32(n) {
		if k, ok := key(i); ok {
			for len(p.start) < int(k)+2 {
				p.start = append(p.start, 0)
			}
			p.start[k+1]++
		}
	}
	for k := 1; k < len(p.start); k++ {
		p.start[k] += p.start[k-1]
	}
	if len(p.start) == 0 {
		return p
	}
	p.list = make([]uint32, p.start[len(p.start)-1])
	next := slices.Clone(p.start)
	for i := range uint32(n) {
		if k, ok := key(i); ok {
			p.list[next[k]] = i
			next[k]++
		}
	}
	return p
}

const none = ^uint32(0)

func newIndex(c *chain) *index {
	x := &index{
		c:      c,
		values: make(map[common.Hash]uint32),
		txs:    make(map[common.Hash]uint32, len(c.txs)),
		blocks: make(map[common.Hash]uint64, len(c.blocks)),
	}
	for i := range c.blocks {
		x.blocks[c.blocks[i].Hash] = uint64(i)
	}
	for i := range c.txs {
		x.txs[c.txs[i].hash] = uint32(i)
	}

	// Most topics are addresses, whose value has the number of the address.
	for a := range c.addrs {
		x.values[c.topic(addr(a))] = uint32(a)
	}
	value := func(h common.Hash) uint32 {
		v, ok := x.values[h]
		if !ok {
			v = uint32(len(x.values))
			x.values[h] = v
		}
		return v
	}
	keys := make([][4]uint32, len(c.events))
	for i := range c.events {
		keys[i] = [4]uint32{none, none, none, none}
		_, topics, _ := c.log(uint32(i))
		for j, t := range topics {
			keys[i][j] = value(t)
		}
	}
	for j := range x.topics {
		x.topics[j] = post(len(keys), func(i uint32) (uint32, bool) { return keys[i][j], keys[i][j] != none })
	}
	x.at = post(len(c.events), func(i uint32) (uint32, bool) { return uint32(c.events[i].token), true })

	x.firstTrace = make([]uint32, len(c.txs)+1)
	n := uint32(0)
	for i := range c.txs {
		x.firstTrace[i] = n
		n += 1 + c.firstCall(uint32(i)+1) - c.txs[i].call
	}
	x.firstTrace[len(c.txs)] = n
	tx := make([]uint32, n)
	for i := range c.txs {
		for k := x.firstTrace[i]; k < x.firstTrace[i+1]; k++ {
			tx[k] = uint32(i)
		}
	}
	party := func(sender bool) func(i uint32) (uint32, bool) {
		return func(i uint32) (uint32, bool) {
			from, to := x.parties(tx[i], i)
			if sender {
				return uint32(from), true
			}
			return uint32(to), true
		}
	}
	x.from, x.to = post(int(n), party(true)), post(int(n), party(false))
	return x
}

// parties returns who a trace goes from and to. A creation goes to what it made.
func (x *index) parties(tx, trace uint32) (from, to addr) {
	t := &x.c.txs[tx]
	if k := trace - x.firstTrace[tx]; k > 0 {
		c := &x.c.calls[t.call+k-1]
		return c.from, c.to
	}
	return t.from, t.to
}

// txOf returns the transaction of a trace.
func (x *index) txOf(trace uint32) uint32 {
	return uint32(sort.Search(len(x.firstTrace)-1, func(i int) bool { return x.firstTrace[i+1] > trace }))
}

// within returns the part of a rising list from lo up to, not including, hi.
func within(list []uint32, lo, hi uint32) []uint32 {
	i, _ := slices.BinarySearch(list, lo)
	j, _ := slices.BinarySearch(list, hi)
	return list[i:j]
}

// union returns the numbers of all lists, rising, each once. It may return a
// list itself, so the caller only reads it.
func union(lists [][]uint32) []uint32 {
	switch len(lists) {
	case 0:
		return nil
	case 1:
		return lists[0]
	}
	u := slices.Concat(lists...)
	slices.Sort(u)
	return slices.Compact(u)
}

// logs returns the logs that a filter matches in blocks from to to, rising. A
// position without values matches everything.
func (x *index) logs(from, to uint64, addrs []common.Address, topics [][]common.Hash) []uint32 {
	c := x.c
	lo := c.firstEvent(c.firstTx[from])
	hi := c.firstEvent(c.firstTx[to+1])

	// The position with the fewest candidates leads; the others check.
	var best [][]uint32
	least := -1
	lead := func(lists [][]uint32) {
		n := 0
		for i := range lists {
			lists[i] = within(lists[i], lo, hi)
			n += len(lists[i])
		}
		if least < 0 || n < least {
			least, best = n, lists
		}
	}
	want := make(map[uint32]bool, len(addrs))
	if len(addrs) > 0 {
		var lists [][]uint32
		for _, a := range addrs {
			if id, ok := c.ids[a]; ok && !want[uint32(id)] {
				want[uint32(id)] = true
				lists = append(lists, x.at.of(uint32(id)))
			}
		}
		lead(lists)
	}
	wants := make([]map[uint32]bool, len(topics))
	for j, or := range topics {
		if len(or) == 0 {
			continue
		}
		wants[j] = make(map[uint32]bool, len(or))
		var lists [][]uint32
		for _, h := range or {
			if v, ok := x.values[h]; ok && !wants[j][v] {
				wants[j][v] = true
				lists = append(lists, x.topics[j].of(v))
			}
		}
		lead(lists)
	}

	check := func(i uint32) bool {
		if len(addrs) > 0 && !want[uint32(c.events[i].token)] {
			return false
		}
		_, got, _ := c.log(i)
		if len(got) < len(topics) {
			return false
		}
		for j := range topics {
			if wants[j] != nil && !wants[j][x.values[got[j]]] {
				return false
			}
		}
		return true
	}
	var found []uint32
	if least < 0 {
		for i := lo; i < hi; i++ {
			if check(i) {
				found = append(found, i)
			}
		}
		return found
	}
	for _, i := range union(best) {
		if check(i) {
			found = append(found, i)
		}
	}
	return found
}

// traces returns the traces of blocks from to to whose sender is in senders or
// whose receiver is in receivers, rising; all of them when both are empty.
func (x *index) traces(from, to uint64, senders, receivers []common.Address) []uint32 {
	lo := x.firstTrace[x.c.firstTx[from]]
	hi := x.firstTrace[x.c.firstTx[to+1]]
	if len(senders) == 0 && len(receivers) == 0 {
		all := make([]uint32, 0, hi-lo)
		for i := lo; i < hi; i++ {
			all = append(all, i)
		}
		return all
	}
	var lists [][]uint32
	for _, side := range []struct {
		addrs []common.Address
		by    *postings
	}{{senders, &x.from}, {receivers, &x.to}} {
		for _, a := range side.addrs {
			if id, ok := x.c.ids[a]; ok {
				lists = append(lists, within(side.by.of(uint32(id)), lo, hi))
			}
		}
	}
	return union(lists)
}
