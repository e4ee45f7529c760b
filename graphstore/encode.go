package graphstore

import (
	"cmp"
	"slices"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
)

// groupLen is how many rows stand together in a snapshot: a group holds its
// rows column by column, which compresses better than row by row, and still
// can be checked before the next is read.
const groupLen = 8192

// groups calls f for every run of at most groupLen numbers below n.
func (e *encoder) groups(n int, f func(first, end int)) {
	for i := 0; i < n; i += groupLen {
		f(i, min(n, i+groupLen))
		e.spill()
	}
}

// Flags of a transfer in a snapshot; plainPosition is the third.
const (
	newTx   = 1 << 3 // the first transfer of its transaction
	notOfTx = 1 << 4 // not at the place of its transaction
)

// encode writes the content of version 1. Everything is sorted, and refers to
// other things by their place in the sorted order:
//
//	wallets    chain, address
//	assets     chain, kind, token
//	blocks     chain, number, time, hash
//	positions  those that are not numbers
//	transfers  in chain order; a transaction stands with its first transfer
//	flows      only if some do not follow from the transfers
func (s *Store) encode(e *encoder) {
	s.settle()
	view := s.Freeze()
	wallets := make([]uint32, s.wallets.len())
	for i, id := range view.order {
		wallets[id] = uint32(i)
	}
	e.wallets(view)
	assets := s.encodeAssets(e)
	blocks := s.encodeBlocks(e)
	positions := s.encodePositions(e)
	s.encodeTransfers(e, wallets, assets, blocks, positions)
	if !s.ownFlows {
		e.byte(0)
		return
	}
	e.byte(1)
	s.encodeFlows(e, view, assets)
}

func (e *encoder) wallets(v *View) {
	e.uvarint(uint64(v.Len()))
	var chain uint64
	e.groups(v.Len(), func(first, end int) {
		for i := first; i < end; i++ {
			w := v.Wallet(uint32(i))
			e.uvarint(w.Chain - chain)
			chain = w.Chain
		}
		for i := first; i < end; i++ {
			w := v.Wallet(uint32(i))
			e.bytes(w.Address[:])
		}
	})
}

// ranked sorts the numbers below n for which use is true and returns them, and
// for each number its rank.
func ranked(n int, use func(uint32) bool, compare func(a, b uint32) int) (order, rank []uint32) {
	for i := range uint32(n) {
		if use == nil || use(i) {
			order = append(order, i)
		}
	}
	slices.SortFunc(order, compare)
	rank = make([]uint32, n)
	for i, id := range order {
		rank[id] = uint32(i)
	}
	return order, rank
}

// encodeAssets writes the assets that are in use: a flow that was removed may
// have left one behind.
func (s *Store) encodeAssets(e *encoder) (rank []uint32) {
	used := make([]bool, s.assets.n)
	for i := range s.transfers.n {
		used[s.transfers.at(uint32(i)).asset] = true
	}
	for i := range s.flows.n {
		if a := s.assetOf(s.flows.at(uint32(i))); a != bare && s.pairs.at(uint32(i)).from != nobody {
			used[a] = true
		}
	}
	order, rank := ranked(s.assets.n,
		func(i uint32) bool { return used[i] },
		func(a, b uint32) int { return s.assets.at(a).Compare(*s.assets.at(b)) })
	e.uvarint(uint64(len(order)))
	e.groups(len(order), func(first, end int) {
		for _, id := range order[first:end] {
			a := s.assets.at(id)
			e.uvarint(a.Chain)
			e.byte(byte(a.Kind))
			e.bytes(a.Token[:])
		}
	})
	return rank
}

func (r *blockRow) compare(o *blockRow) int {
	return cmp.Or(cmp.Compare(r.chain, o.chain), cmp.Compare(r.number, o.number), cmp.Compare(r.time, o.time), r.hash.Cmp(o.hash))
}

func (s *Store) encodeBlocks(e *encoder) (rank []uint32) {
	order, rank := ranked(s.blocks.n, nil, func(a, b uint32) int { return s.blocks.at(a).compare(s.blocks.at(b)) })
	e.uvarint(uint64(len(order)))
	var last blockRow
	e.groups(len(order), func(first, end int) {
		for _, id := range order[first:end] {
			b := *s.blocks.at(id)
			if b.chain != last.chain {
				last.number = 0
			}
			e.uvarint(b.chain - last.chain)
			e.uvarint(b.number - last.number)
			e.varint(int64(b.time - last.time))
			last = b
		}
		for _, id := range order[first:end] {
			e.byte(known(s.blocks.at(id).hash))
		}
		for _, id := range order[first:end] {
			if h := &s.blocks.at(id).hash; known(*h) == 1 {
				e.bytes(h[:])
			}
		}
	})
	return rank
}

// known returns 0 for the zero hash, which stands for an unknown one, else 1.
func known(h common.Hash) byte {
	if h == (common.Hash{}) {
		return 0
	}
	return 1
}

func (s *Store) encodePositions(e *encoder) (rank []uint32) {
	order, rank := ranked(len(s.positions), nil, func(a, b uint32) int { return cmp.Compare(s.positions[a], s.positions[b]) })
	e.uvarint(uint64(len(order)))
	e.groups(len(order), func(first, end int) {
		for _, id := range order[first:end] {
			e.uvarint(uint64(len(s.positions[id])))
			e.bytes([]byte(s.positions[id]))
		}
	})
	return rank
}

func (s *Store) encodeTransfers(e *encoder, wallets, assets, blocks, positions []uint32) {
	o := s.chainOrder()
	e.uvarint(uint64(o.n))
	const unseen = ^uint32(0)
	txs := make([]uint32, s.txs.n) // by the store's number, that of the snapshot
	for i := range txs {
		txs[i] = unseen
	}
	places := make([]placeRow, 0, s.txs.n) // of each transaction's first transfer
	var lastBlock uint32
	rows := make([]transferRow, 0, groupLen) // by the numbers of the snapshot
	where := make([]placeRow, 0, groupLen)
	hashes := make([]common.Hash, 0, groupLen)
	back := make([]uint32, 0, groupLen) // how many transactions back
	amounts := make([]uint256.Int, 0, groupLen)
	e.groups(o.n, func(first, end int) {
		rows, where, hashes, back, amounts = rows[:0], where[:0], hashes[:0], back[:0], amounts[:0]
		for i := first; i < end; i++ {
			n := o.row(i)
			r := *s.transfers.at(n)
			place := s.place(n, &r)
			amounts = append(amounts, s.amount(&r))
			r.flags &= plainPosition
			if r.flags == 0 {
				r.position = positions[r.position]
			}
			tx := &txs[r.tx]
			if *tx == unseen {
				r.flags |= newTx
				*tx = uint32(len(places))
				places = append(places, place)
				hashes = append(hashes, s.txs.at(r.tx).hash)
			} else {
				back = append(back, uint32(len(places))-*tx)
				if places[*tx] != place {
					r.flags |= notOfTx
				}
			}
			if r.flags&(newTx|notOfTx) != 0 {
				where = append(where, placeRow{blocks[place.block], place.index})
			}
			r.from, r.to, r.asset = wallets[r.from], wallets[r.to], assets[r.asset]
			rows = append(rows, r)
		}
		for i := range rows {
			e.byte(rows[i].flags)
		}
		for i := range rows {
			e.byte(byte(rows[i].kind))
		}
		for i := range hashes {
			e.bytes(hashes[i][:])
		}
		for _, n := range back {
			e.uvarint(uint64(n))
		}
		for _, p := range where {
			e.varint(int64(p.block) - int64(lastBlock))
			lastBlock = p.block
		}
		for _, p := range where {
			e.uvarint(uint64(p.index))
		}
		for i := range rows {
			e.uvarint(uint64(rows[i].from))
		}
		for i := range rows {
			e.uvarint(uint64(rows[i].to))
		}
		for i := range rows {
			e.uvarint(uint64(rows[i].asset))
		}
		for i := range rows {
			e.uvarint(uint64(rows[i].position))
		}
		e.amounts(amounts)
	})
}

// encodeFlows writes all flows, and the pairs without.
func (s *Store) encodeFlows(e *encoder, view *View, assets []uint32) {
	type row struct {
		from, to uint32
		flowValue
	}
	var rows []row
	var values []flowValue // of one pair
	var amounts []uint256.Int
	var from, to uint32
	write := func() {
		for i := range rows {
			e.uvarint(uint64(rows[i].from - from))
			if rows[i].from != from {
				to = 0
			}
			e.uvarint(uint64(rows[i].to - to))
			from, to = rows[i].from, rows[i].to
		}
		for i := range rows {
			e.uvarint(uint64(rows[i].asset))
		}
		for i := range rows {
			e.uvarint(uint64(rows[i].count))
		}
		for i := range rows {
			e.uvarint(rows[i].first)
		}
		for i := range rows {
			e.varint(int64(rows[i].last - rows[i].first))
		}
		amounts = amounts[:0]
		for i := range rows {
			amounts = append(amounts, rows[i].amount)
		}
		e.amounts(amounts)
		e.spill()
		rows = rows[:0]
	}
	e.uvarint(uint64(s.flows.n - len(s.freeFlows)))
	for p, head := range s.heads(view) {
		values = values[:0]
		for id, ok := head, true; ok; id, ok = s.next(id) {
			v := s.value(s.flows.at(id))
			if v.asset == bare {
				v.asset = 0
			} else {
				v.asset = assets[v.asset] + 1
			}
			values = append(values, v)
		}
		slices.SortFunc(values, func(a, b flowValue) int { return cmp.Compare(a.asset, b.asset) })
		for _, v := range values {
			if rows = append(rows, row{p.from, p.to, v}); len(rows) == groupLen {
				write()
			}
		}
	}
	write()
}
