package graphstore

import (
	"cmp"
	"iter"
	"math"
	"strconv"
	"strings"

	"scamtrace/tracer"

	"github.com/holiman/uint256"
)

// A transferRow is a transfer in 36 bytes.
type transferRow struct {
	from, to uint32
	tx       uint32
	asset    uint32
	position uint32    // the number, or that of the string in Store.positions
	amount   [3]uint32 // low word first; with wideAmount, amount[0] numbers Store.amounts
	kind     tracer.Kind
	flags    uint8
}

const (
	plainPosition = 1 << iota // the position is a number
	wideAmount                // the amount needs more than 96 bits
	strayed                   // the place is in Store.strays
)

// narrow returns v in 96 bits, if it fits.
func narrow(v *uint256.Int) ([3]uint32, bool) {
	return [3]uint32{uint32(v[0]), uint32(v[0] >> 32), uint32(v[1])}, v[1]>>32|v[2]|v[3] == 0
}

func widen(a [3]uint32) uint256.Int {
	return uint256.Int{uint64(a[0]) | uint64(a[1])<<32, uint64(a[2])}
}

// plain returns the number that s writes in decimal, if s is how
// [strconv.FormatUint] writes a 32-bit number.
func plain(s string) (uint32, bool) {
	if s == "" || len(s) > 10 || s[0] == '0' && s != "0" {
		return 0, false
	}
	var n uint64
	for i := range len(s) {
		d := s[i] - '0'
		if d > 9 {
			return 0, false
		}
		n = n*10 + uint64(d)
	}
	return uint32(n), n <= math.MaxUint32
}

// Add merges ts and returns how many were new. A transfer whose
// [tracer.TransferID] is known already is ignored: the first reading stays, as
// it is. Every transfer is kept exactly as given, and those that move money
// from wallet to wallet ([tracer.Transfer.Counts], and not a fee) also join
// the flow of their asset between their wallets.
//
// What the store holds after several calls does not depend on their order,
// unless two transfers with one id differ.
func (s *Store) Add(ts []tracer.Transfer) int {
	before := s.transfers.n
	for i := range ts {
		s.addTransfer(&ts[i])
	}
	added := s.transfers.n - before
	if added > 0 {
		s.changed()
	}
	return added
}

func (s *Store) addTransfer(t *tracer.Transfer) {
	r := transferRow{kind: t.Kind}
	h := s.keys.hash(t.Asset.Chain, &t.Tx)
	tx, known := s.findTx(t.Asset.Chain, &t.Tx, h)
	if n, ok := plain(t.Position); ok {
		r.position, r.flags = n, plainPosition
	} else if r.position, ok = s.positionIDs[t.Position]; !ok {
		r.position = uint32(len(s.positions))
		position := strings.Clone(t.Position) // not the page it was cut from
		s.positions = append(s.positions, position)
		s.positionIDs[position] = r.position
	}
	r.tx = tx
	if known {
		if _, ok := s.findTransfer(&r); ok {
			return
		}
	}
	place := placeRow{index: t.TxIndex, block: s.block(&blockRow{chain: t.Asset.Chain, number: t.Block, time: t.Time, hash: t.BlockHash})}
	if !known {
		r.tx = s.addTx(txRow{t.Tx, place}, h)
	} else if s.txs.at(tx).placeRow != place {
		r.flags |= strayed
		s.stray(uint32(s.transfers.n), place)
	}
	r.from = s.wallet(&tracer.Wallet{Chain: t.Asset.Chain, Address: t.From})
	r.to = s.wallet(&tracer.Wallet{Chain: t.Asset.Chain, Address: t.To})
	r.asset = s.asset(&t.Asset)
	s.appendTransfer(r, &t.Amount)
}

func (s *Store) stray(row uint32, place placeRow) {
	if s.strays == nil {
		s.strays = make(map[uint32]placeRow)
	}
	s.strays[row] = place
}

// appendTransfer stores a transfer whose id is new.
func (s *Store) appendTransfer(r transferRow, amount *uint256.Int) {
	var ok bool
	if r.amount, ok = narrow(amount); !ok {
		r.flags |= wideAmount
		r.amount = [3]uint32{uint32(len(s.amounts))}
		s.amounts = append(s.amounts, *amount)
	}
	if s.transferIndex.full() {
		s.transferIndex = s.transferIndex.larger()
		for i := range s.transfers.n {
			s.transferIndex.insert(s.hashTransfer(s.transfers.at(uint32(i))), uint32(i))
		}
	}
	s.transferIndex.insert(s.hashTransfer(&r), s.transfers.add(r))
}

func (s *Store) hashTransfer(r *transferRow) uint64 {
	return s.keys.numbers(r.tx, r.position, uint32(r.kind), uint32(r.flags&plainPosition))
}

// findTransfer returns the transfer with the id of r.
func (s *Store) findTransfer(r *transferRow) (uint32, bool) {
	for p := s.transferIndex.probe(s.hashTransfer(r)); p.next(); {
		o := s.transfers.at(p.number)
		if o.tx == r.tx && o.kind == r.kind && o.position == r.position && (o.flags^r.flags)&plainPosition == 0 {
			return p.number, true
		}
	}
	return 0, false
}

func (s *Store) place(row uint32, r *transferRow) placeRow {
	if r.flags&strayed != 0 {
		return s.strays[row]
	}
	return s.txs.at(r.tx).placeRow
}

func (s *Store) amount(r *transferRow) uint256.Int {
	if r.flags&wideAmount != 0 {
		return s.amounts[r.amount[0]]
	}
	return widen(r.amount)
}

func (s *Store) position(r *transferRow) string {
	if r.flags&plainPosition != 0 {
		return strconv.FormatUint(uint64(r.position), 10)
	}
	return s.positions[r.position]
}

// Len returns how many transfers the store holds.
func (s *Store) Len() int { return s.transfers.n }

// A Row is one transfer by the store's numbers.
type Row struct {
	From, To uint32      // [Store.Wallet]
	Asset    uint32      // [Store.Asset]
	Tx       uint32      // [Store.Tx]
	Amount   uint256.Int // base units; for [tracer.KindNFT] the token id
	Block    uint64
	Time     uint64 // Unix seconds
	TxIndex  uint32
	Kind     tracer.Kind
}

// Row returns the transfer with a row number, which must be below [Store.Len].
func (s *Store) Row(n int) Row {
	r := s.transfers.at(uint32(n))
	p := s.place(uint32(n), r)
	b := s.blocks.at(p.block)
	return Row{
		From: r.from, To: r.to, Asset: r.asset, Tx: r.tx, Amount: s.amount(r),
		Block: b.number, Time: b.time, TxIndex: p.index, Kind: r.kind,
	}
}

// Transfer returns the transfer with a row number, which must be below
// [Store.Len], as it was added.
func (s *Store) Transfer(n int) tracer.Transfer {
	r := s.transfers.at(uint32(n))
	p := s.place(uint32(n), r)
	b := s.blocks.at(p.block)
	return tracer.Transfer{
		Asset: *s.assets.at(r.asset),
		From:  *s.wallets.addresses.at(r.from), To: *s.wallets.addresses.at(r.to),
		Amount: s.amount(r),
		Block:  b.number, BlockHash: b.hash, Time: b.time,
		Tx: s.txs.at(r.tx).hash, TxIndex: p.index,
		Kind: r.kind, Position: s.position(r),
	}
}

// Rows yields every transfer in chain order with its row number. A row number
// belongs to its transfer for the life of the store: transfers are numbered
// from 0 as they are added and never removed. Chain order and number agree
// only in a store that was read from a snapshot.
func (s *Store) Rows() iter.Seq2[int, Row] {
	return func(yield func(int, Row) bool) {
		o := s.chainOrder()
		for i := range o.n {
			n := int(o.row(i))
			if !yield(n, s.Row(n)) {
				return
			}
		}
	}
}

// RowsOf yields the transfers in or out of the wallet with a number, each once,
// in chain order with its row number.
func (s *Store) RowsOf(wallet uint32) iter.Seq2[int, Row] {
	return func(yield func(int, Row) bool) {
		for _, n := range s.chainOrder().of(s, wallet) {
			if !yield(int(n), s.Row(int(n))) {
				return
			}
		}
	}
}

// Transfers yields every transfer in chain order ([tracer.Transfer.Compare]).
func (s *Store) Transfers() iter.Seq[tracer.Transfer] {
	return func(yield func(tracer.Transfer) bool) {
		o := s.chainOrder()
		for i := range o.n {
			if !yield(s.Transfer(int(o.row(i)))) {
				return
			}
		}
	}
}

// Of yields the transfers in or out of w in chain order, each once: all kinds,
// fees and NFTs too.
func (s *Store) Of(w tracer.Wallet) iter.Seq[tracer.Transfer] {
	return func(yield func(tracer.Transfer) bool) {
		id, ok := s.WalletID(w)
		if !ok {
			return
		}
		for _, n := range s.chainOrder().of(s, id) {
			if !yield(s.Transfer(int(n))) {
				return
			}
		}
	}
}

// compareRows is [tracer.Transfer.Compare] by row numbers. Positions that it
// takes for equal ("1" and "01") are ordered as text.
func (s *Store) compareRows(a, b uint32) int {
	x, y := s.transfers.at(a), s.transfers.at(b)
	p, q := s.place(a, x), s.place(b, y)
	if p.block != q.block {
		m, n := s.blocks.at(p.block), s.blocks.at(q.block)
		if c := cmp.Or(cmp.Compare(m.chain, n.chain), cmp.Compare(m.number, n.number)); c != 0 {
			return c
		}
	}
	if p.index != q.index {
		return cmp.Compare(p.index, q.index)
	}
	if x.tx != y.tx {
		return s.txs.at(x.tx).hash.Cmp(s.txs.at(y.tx).hash)
	}
	if x.kind != y.kind {
		return cmp.Compare(x.kind, y.kind)
	}
	if x.flags&y.flags&plainPosition != 0 {
		return cmp.Compare(x.position, y.position)
	}
	m, n := s.position(x), s.position(y)
	return cmp.Or(tracer.ComparePositions(m, n), cmp.Compare(m, n))
}
