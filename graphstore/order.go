package graphstore

import (
	"slices"
	"sync"
)

// A chainOrder is the order of the first n transfers of a store.
type chainOrder struct {
	n    int
	rows []uint32 // nil when the rows stand in chain order as they are

	// The transfers of each wallet, in chain order: list[start[w]:start[w+1]].
	// Built when first asked for.
	once  sync.Once
	start []uint32
	list  []uint32
}

func (o *chainOrder) row(i int) uint32 {
	if o.rows == nil {
		return uint32(i)
	}
	return o.rows[i]
}

// chainOrder returns the order of all transfers, building it if there was a
// write since.
func (s *Store) chainOrder() *chainOrder {
	if o := s.order.Load(); o != nil {
		return o
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.order.Load()
	if o == nil {
		o = s.extend(s.past)
		s.past = o
		s.order.Store(o)
	}
	return o
}

// extend sorts the transfers added since past and merges them into it.
func (s *Store) extend(past *chainOrder) *chainOrder {
	if past == nil {
		past = &chainOrder{}
	}
	n := s.transfers.n
	if past.n == n {
		return &chainOrder{n: n, rows: past.rows}
	}
	if past.rows == nil {
		i := max(past.n, 1)
		for i < n && s.compareRows(uint32(i-1), uint32(i)) <= 0 {
			i++
		}
		if i == n {
			return &chainOrder{n: n}
		}
	}
	tail := make([]uint32, n-past.n)
	for i := range tail {
		tail[i] = uint32(past.n + i)
	}
	slices.SortFunc(tail, s.compareRows)
	rows := make([]uint32, 0, n)
	i := 0
	for _, t := range tail {
		for i < past.n && s.compareRows(past.row(i), t) <= 0 {
			rows = append(rows, past.row(i))
			i++
		}
		rows = append(rows, t)
	}
	for ; i < past.n; i++ {
		rows = append(rows, past.row(i))
	}
	return &chainOrder{n: n, rows: rows}
}

// of returns the rows of a wallet.
func (o *chainOrder) of(s *Store, wallet uint32) []uint32 {
	o.once.Do(func() { o.group(s) })
	return o.list[o.start[wallet]:o.start[wallet+1]]
}

func (o *chainOrder) group(s *Store) {
	start := make([]uint32, s.wallets.len()+1)
	for i := range o.n {
		r := s.transfers.at(uint32(i))
		start[r.from]++
		if r.to != r.from {
			start[r.to]++
		}
	}
	var sum uint32
	for w := range start {
		sum += start[w]
		start[w] = sum // the end of w's rows; moves down to their start
	}
	list := make([]uint32, sum)
	for i := o.n - 1; i >= 0; i-- {
		n := o.row(i)
		r := s.transfers.at(n)
		start[r.from]--
		list[start[r.from]] = n
		if r.to != r.from {
			start[r.to]--
			list[start[r.to]] = n
		}
	}
	o.start, o.list = start, list
}
