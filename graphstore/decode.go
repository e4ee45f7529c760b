package graphstore

import (
	"cmp"
	"math"
	"slices"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
)

// groups calls f for every run of at most groupLen numbers below n, until
// something is wrong.
func (d *decoder) groups(n int, f func(first, end int)) {
	for i := 0; i < n && d.err == nil; i += groupLen {
		f(i, min(n, i+groupLen))
	}
}

// decodeV1 reads the content that [Store.encode] writes. Nothing is believed:
// numbers must be in range and every list in order, so there is one way to
// write a thing.
func decodeV1(d *decoder) *Store {
	s := New()
	s.decodeWallets(d)
	s.decodeAssets(d)
	s.decodeBlocks(d)
	s.decodePositions(d)
	s.decodeTransfers(d)
	switch own := d.byte(); {
	case d.err != nil:
	case own == 0:
	case own == 1:
		s.ownFlows = true
		s.derived = s.transfers.n
		s.decodeFlows(d)
	default:
		d.fail("the mark before the flows is %d", own)
	}
	s.decodeUnused(d)
	return s
}

// decodeUnused fails if there is anything that nothing refers to. Wallets may
// stand alone.
func (s *Store) decodeUnused(d *decoder) {
	if d.err != nil {
		return
	}
	assets, blocks, positions := make([]bool, s.assets.n), make([]bool, s.blocks.n), make([]bool, len(s.positions))
	for i := range uint32(s.transfers.n) {
		r := s.transfers.at(i)
		assets[r.asset] = true
		blocks[s.place(i, r).block] = true
		if r.flags&plainPosition == 0 {
			positions[r.position] = true
		}
	}
	for i := range uint32(s.flows.n) {
		if a := s.assetOf(s.flows.at(i)); a != bare {
			assets[a] = true
		}
	}
	if slices.Contains(assets, false) || slices.Contains(blocks, false) || slices.Contains(positions, false) {
		d.fail("it holds an asset, a block or a position without a use")
	}
}

func (s *Store) decodeWallets(d *decoder) {
	n := d.count("wallets")
	var last tracer.Wallet
	chains := make([]uint64, 0, groupLen)
	d.groups(n, func(first, end int) {
		chains = chains[:0]
		for range end - first {
			chains = append(chains, d.uvarint())
		}
		for i := range chains {
			w := tracer.Wallet{Chain: last.Chain + chains[i]}
			d.bytes(w.Address[:])
			if d.err != nil {
				return
			}
			if w.Chain < last.Chain || s.wallets.len() > 0 && w.Compare(last) <= 0 {
				d.fail("wallet %d is out of order", s.wallets.len())
				return
			}
			s.wallet(&w)
			last = w
		}
	})
}

func (s *Store) decodeAssets(d *decoder) {
	n := d.count("assets")
	d.groups(n, func(first, end int) {
		for i := first; i < end; i++ {
			a := tracer.Asset{Chain: d.uvarint(), Kind: tracer.AssetKind(d.byte())}
			d.bytes(a.Token[:])
			if d.err != nil {
				return
			}
			if i > 0 && s.assets.at(uint32(i-1)).Compare(a) >= 0 {
				d.fail("asset %d is out of order", i)
				return
			}
			s.asset(&a)
		}
	})
}

func (s *Store) decodeBlocks(d *decoder) {
	n := d.count("blocks")
	var last blockRow
	rows := make([]blockRow, 0, groupLen)
	d.groups(n, func(first, end int) {
		rows = rows[:0]
		for range end - first {
			b := blockRow{chain: d.uvarint(), number: d.uvarint(), time: last.time + uint64(d.varint())}
			if b.chain == 0 {
				b.number += last.number
				if b.number < last.number {
					d.fail("a block number above 2^64-1")
				}
			}
			if b.chain += last.chain; b.chain < last.chain {
				d.fail("a chain id above 2^64-1")
			}
			rows = append(rows, b)
			last = b
		}
		for i := range rows {
			switch d.byte() {
			case 0:
			case 1:
				rows[i].hash[0] = 1
			default:
				d.fail("block %d has a wrong mark", first+i)
			}
		}
		for i := range rows {
			if h := &rows[i].hash; h[0] == 1 {
				d.bytes(h[:])
				if *h == (common.Hash{}) {
					d.fail("block %d has an empty hash", first+i)
				}
			}
			if d.err != nil {
				return
			}
			if n := s.blocks.n; n > 0 && s.blocks.at(uint32(n-1)).compare(&rows[i]) >= 0 {
				d.fail("block %d is out of order", n)
				return
			}
			s.block(&rows[i])
		}
	})
}

func (s *Store) decodePositions(d *decoder) {
	n := d.count("positions")
	d.groups(n, func(first, end int) {
		for i := first; i < end; i++ {
			var b []byte
			for left := d.uvarint(); left > 0 && d.more(); {
				k := min(left, uint64(len(d.buf)-d.off))
				b = append(b, d.buf[d.off:d.off+int(k)]...)
				d.off += int(k)
				left -= k
			}
			if d.err != nil {
				return
			}
			p := string(b)
			if _, ok := plain(p); ok || i > 0 && s.positions[i-1] >= p {
				d.fail("position %d is out of order", i)
				return
			}
			s.positionIDs[p] = uint32(i)
			s.positions = append(s.positions, p)
		}
	})
}

func (s *Store) decodeTransfers(d *decoder) {
	n := d.count("transfers")
	var lastBlock int64
	rows := make([]transferRow, 0, groupLen)
	places := make([]placeRow, 0, groupLen)
	hashes := make([]common.Hash, 0, groupLen)
	var back []uint32
	var amounts []uint256.Int
	d.groups(n, func(first, end int) {
		rows, places, hashes, back = rows[:0], places[:0], hashes[:0], back[:0]
		var fresh, placed int
		for i := first; i < end; i++ {
			f := d.byte()
			if f&^(plainPosition|newTx|notOfTx) != 0 || f&newTx != 0 && f&notOfTx != 0 {
				d.fail("transfer %d has the flags %#x", i, f)
			}
			if f&newTx != 0 {
				fresh++
			}
			if f&(newTx|notOfTx) != 0 {
				placed++
			}
			rows = append(rows, transferRow{flags: f})
		}
		for i := range rows {
			rows[i].kind = tracer.Kind(d.byte())
		}
		for range fresh {
			var h common.Hash
			d.bytes(h[:])
			hashes = append(hashes, h)
		}
		for range len(rows) - fresh {
			back = append(back, d.below(math.MaxUint32, "transaction"))
		}
		for range placed {
			lastBlock += d.varint()
			if lastBlock < 0 || lastBlock >= int64(s.blocks.n) {
				d.fail("block %d of %d", lastBlock, s.blocks.n)
				lastBlock = 0
			}
			places = append(places, placeRow{block: uint32(lastBlock)})
		}
		for i := range places {
			places[i].index = d.below(math.MaxUint32+1, "transaction index")
		}
		for i := range rows {
			rows[i].from = d.below(uint64(s.wallets.len()), "wallet")
		}
		for i := range rows {
			rows[i].to = d.below(uint64(s.wallets.len()), "wallet")
		}
		for i := range rows {
			rows[i].asset = d.below(uint64(s.assets.n), "asset")
		}
		for i := range rows {
			if rows[i].flags&plainPosition != 0 {
				rows[i].position = d.below(math.MaxUint32+1, "position")
			} else {
				rows[i].position = d.below(uint64(len(s.positions)), "position")
			}
		}
		amounts = append(amounts[:0], make([]uint256.Int, len(rows))...)
		d.amounts(amounts)
		for i := range rows {
			if d.err != nil {
				return
			}
			if f := rows[i].flags; f&newTx != 0 {
				s.decodeNewTx(d, &rows[i], places[0], hashes[0])
				places, hashes = places[1:], hashes[1:]
			} else {
				s.decodeKnownTx(d, &rows[i], back[0])
				back = back[1:]
				if f&notOfTx != 0 {
					if d.err == nil && s.txs.at(rows[i].tx).placeRow == places[0] {
						d.fail("transfer %d is where its transaction is", first+i)
					}
					s.stray(uint32(first+i), places[0])
					places = places[1:]
				}
			}
			if d.err == nil {
				s.decodeTransfer(d, rows[i], &amounts[i])
			}
		}
	})
}

// decodeNewTx gives a transfer the transaction that it is the first of.
func (s *Store) decodeNewTx(d *decoder, r *transferRow, place placeRow, tx common.Hash) {
	chain := s.blocks.at(place.block).chain
	h := s.keys.hash(chain, &tx)
	if _, ok := s.findTx(chain, &tx, h); ok {
		d.fail("transaction %v twice", tx)
		return
	}
	r.tx = s.addTx(txRow{tx, place}, h)
	r.flags &= plainPosition
}

// decodeKnownTx gives a transfer the transaction that is so many back.
func (s *Store) decodeKnownTx(d *decoder, r *transferRow, back uint32) {
	if back == 0 || int(back) > s.txs.n {
		d.fail("a transaction %d before the first", back)
		return
	}
	r.tx = uint32(s.txs.n) - back
	if r.flags&notOfTx != 0 {
		r.flags |= strayed
	}
	r.flags &= plainPosition | strayed
}

// decodeTransfer adds a transfer if it may follow those before it.
func (s *Store) decodeTransfer(d *decoder, r transferRow, amount *uint256.Int) {
	n := uint32(s.transfers.n)
	chain := s.blocks.at(s.place(n, &r).block).chain
	if s.assets.at(r.asset).Chain != chain || s.Wallet(r.from).Chain != chain || s.Wallet(r.to).Chain != chain ||
		s.blocks.at(s.txs.at(r.tx).block).chain != chain {
		d.fail("transfer %d is on two chains", n)
		return
	}
	if _, ok := s.findTransfer(&r); ok {
		d.fail("transfer %d twice", n)
		return
	}
	s.appendTransfer(r, amount)
	if n > 0 && s.compareRows(n-1, n) >= 0 {
		d.fail("transfer %d is out of order", n)
	}
}

func (s *Store) decodeFlows(d *decoder) {
	n := d.count("flows")
	type row struct {
		from, to uint32
		flowValue
	}
	var last row
	rows := make([]row, 0, groupLen)
	var amounts []uint256.Int
	d.groups(n, func(first, end int) {
		rows = rows[:0]
		from, to := last.from, last.to
		for range end - first {
			f := d.below(uint64(s.wallets.len()), "wallet")
			if f > 0 {
				to = 0
			}
			t := d.below(uint64(s.wallets.len()), "wallet")
			if int(from)+int(f) >= s.wallets.len() || int(to)+int(t) >= s.wallets.len() {
				d.fail("a flow of a wallet above %d", s.wallets.len())
				return
			}
			from, to = from+f, to+t
			rows = append(rows, row{from: from, to: to})
		}
		for i := range rows {
			rows[i].asset = d.below(uint64(s.assets.n+1), "asset")
		}
		for i := range rows {
			rows[i].count = d.below(math.MaxUint32+1, "transfers")
		}
		for i := range rows {
			rows[i].first = d.uvarint()
		}
		for i := range rows {
			rows[i].last = rows[i].first + uint64(d.varint())
		}
		amounts = append(amounts[:0], make([]uint256.Int, len(rows))...)
		d.amounts(amounts)
		for i := range rows {
			if d.err != nil {
				return
			}
			r := &rows[i]
			r.amount = amounts[i]
			if first+i > 0 {
				c := cmp.Or(cmp.Compare(last.from, r.from), cmp.Compare(last.to, r.to), cmp.Compare(last.asset, r.asset))
				if c >= 0 || last.asset == 0 && last.from == r.from && last.to == r.to {
					d.fail("flow %d is out of order", first+i)
					return
				}
			}
			last = *r
			v := r.flowValue
			if v.asset == 0 {
				if v.first|v.last != 0 || !v.amount.IsZero() {
					d.fail("flow %d is of no asset", first+i)
					return
				}
				v.asset = bare
			} else {
				v.asset--
			}
			var flow flowRow
			s.setValue(&flow, &v)
			s.addRow(pair{r.from, r.to}, flow)
		}
	})
}
