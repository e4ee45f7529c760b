package graphstore

import (
	"encoding/binary"
	"sync"
	"sync/atomic"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
)

// A Store holds transfers and flows. Use [New] to make one.
//
// Writing (Add, AddFlows, Grow, and the library's AddVertex, AddEdge, UpdateEdge,
// RemoveEdge, RemoveVertex) is not safe for concurrent use. Reading is, as long
// as nobody writes. The first read after a write that needs an order or an
// adjacency (Transfers, Rows, Of, Flows, Out, In, Freeze, ListVertices,
// ListEdges, WriteSnapshot) builds it once, in time proportional to the whole
// store: write in batches.
//
// Wallets, assets and transactions have dense numbers, given out from 0 in the
// order in which the store met them and never changed. The same calls give the
// same numbers; a store that was read from a snapshot has them in sorted order.
type Store struct {
	keys keys

	wallets     column[walletRow]
	walletIndex index
	gone        map[uint32]struct{} // wallets taken out by RemoveVertex

	assets     column[tracer.Asset]
	assetIndex index
	lastAsset  uint32 // the asset asked for last is the likeliest

	blocks      column[blockRow]
	blockIndex  index
	txs         column[txRow]
	txIndex     index
	positions   []string // those that are not plain numbers
	positionIDs map[string]uint32

	transfers     column[transferRow]
	transferIndex index
	amounts       []uint256.Int       // of transfers, where they need more than 96 bits
	strays        map[uint32]placeRow // of transfers that do not stand where their transaction does

	flows     column[flowRow]
	flowIndex index
	nextFlow  map[uint32]uint32 // from a flow to another of the same pair
	wideFlows []flowValue       // those that do not fit a flowRow
	freeWide  []uint32
	freeFlows []uint32
	pairs     int
	ownFlows  bool // there are flows that do not follow from the transfers

	// What is built on the first read; mu guards the building.
	mu    sync.Mutex
	order atomic.Pointer[chainOrder]
	past  *chainOrder // the last one, to build the next from
	view  atomic.Pointer[View]
}

// New returns an empty Store.
func New() *Store {
	return &Store{
		keys:          newKeys(),
		walletIndex:   newIndex(0),
		assetIndex:    newIndex(0),
		blockIndex:    newIndex(0),
		txIndex:       newIndex(0),
		transferIndex: newIndex(0),
		flowIndex:     newIndex(0),
		positionIDs:   make(map[string]uint32),
	}
}

// changed forgets what was built from the state before a write.
func (s *Store) changed() {
	s.order.Store(nil)
	s.view.Store(nil)
}

// A walletRow is a wallet without padding.
type walletRow struct {
	address common.Address
	chain   [8]byte // little endian
}

func (r *walletRow) wallet() tracer.Wallet {
	return tracer.Wallet{Chain: binary.LittleEndian.Uint64(r.chain[:]), Address: r.address}
}

func (r *walletRow) is(w *tracer.Wallet) bool {
	return r.address == w.Address && binary.LittleEndian.Uint64(r.chain[:]) == w.Chain
}

// Wallets returns how many wallet numbers were given out: they are 0 to
// Wallets()-1.
func (s *Store) Wallets() int { return s.wallets.n }

// Wallet returns the wallet with a number, which must be below [Store.Wallets].
func (s *Store) Wallet(id uint32) tracer.Wallet { return s.wallets.at(id).wallet() }

// WalletID returns the number of a wallet, if the store has it.
func (s *Store) WalletID(w tracer.Wallet) (uint32, bool) {
	id, ok := s.findWallet(&w, s.keys.address(w.Chain, &w.Address))
	if ok && s.isGone(id) {
		return 0, false
	}
	return id, ok
}

func (s *Store) isGone(id uint32) bool {
	if len(s.gone) == 0 {
		return false
	}
	_, gone := s.gone[id]
	return gone
}

func (s *Store) findWallet(w *tracer.Wallet, h uint64) (uint32, bool) {
	for p := s.walletIndex.probe(h); p.next(); {
		if s.wallets.at(p.number).is(w) {
			return p.number, true
		}
	}
	return 0, false
}

// wallet returns the number of w, a new one if need be.
func (s *Store) wallet(w *tracer.Wallet) uint32 {
	return s.walletGuessed(w, s.keys.address(w.Chain, &w.Address), 0)
}

// walletGuessed is wallet, given the hash and a number that may be the one.
func (s *Store) walletGuessed(w *tracer.Wallet, h uint64, guess uint32) uint32 {
	id, ok := guess, int(guess) < s.wallets.n && s.wallets.at(guess).is(w)
	if !ok {
		id, ok = s.findWallet(w, h)
	}
	if ok {
		if len(s.gone) > 0 {
			delete(s.gone, id)
		}
		return id
	}
	return s.addWallet(w, h)
}

// addWallet gives a number to a wallet that the store does not have.
func (s *Store) addWallet(w *tracer.Wallet, h uint64) uint32 {
	if s.walletIndex.full() {
		s.walletIndex = s.walletIndex.larger()
		for i := range s.wallets.n {
			r := s.wallets.at(uint32(i))
			s.walletIndex.insert(s.keys.address(binary.LittleEndian.Uint64(r.chain[:]), &r.address), uint32(i))
		}
	}
	r := walletRow{address: w.Address}
	binary.LittleEndian.PutUint64(r.chain[:], w.Chain)
	id := s.wallets.add(r)
	s.walletIndex.insert(h, id)
	return id
}

// Assets returns how many asset numbers were given out.
func (s *Store) Assets() int { return s.assets.n }

// Asset returns the asset with a number, which must be below [Store.Assets].
func (s *Store) Asset(id uint32) tracer.Asset { return *s.assets.at(id) }

// AssetID returns the number of an asset, if the store has it.
func (s *Store) AssetID(a tracer.Asset) (uint32, bool) {
	return s.findAsset(&a, s.keys.asset(&a))
}

func (s *Store) findAsset(a *tracer.Asset, h uint64) (uint32, bool) {
	for p := s.assetIndex.probe(h); p.next(); {
		if *s.assets.at(p.number) == *a {
			return p.number, true
		}
	}
	return 0, false
}

// asset returns the number of a, a new one if need be.
func (s *Store) asset(a *tracer.Asset) uint32 {
	if int(s.lastAsset) < s.assets.n && *s.assets.at(s.lastAsset) == *a {
		return s.lastAsset
	}
	id := s.assetHashed(a, s.keys.asset(a))
	s.lastAsset = id
	return id
}

func (s *Store) assetHashed(a *tracer.Asset, h uint64) uint32 {
	if id, ok := s.findAsset(a, h); ok {
		return id
	}
	if s.assetIndex.full() {
		s.assetIndex = s.assetIndex.larger()
		for i := range s.assets.n {
			s.assetIndex.insert(s.keys.asset(s.assets.at(uint32(i))), uint32(i))
		}
	}
	id := s.assets.add(*a)
	s.assetIndex.insert(h, id)
	return id
}

// A blockRow is a block as a source gave it. One number with two hashes or two
// times is two blocks.
type blockRow struct {
	chain, number, time uint64
	hash                common.Hash
}

func (s *Store) hashBlock(b *blockRow) uint64 {
	return fold(s.keys.hash(b.chain, &b.hash)^b.number, s.keys[1]) ^ b.time
}

// block returns the number of b, a new one if need be.
func (s *Store) block(b *blockRow) uint32 {
	h := s.hashBlock(b)
	for p := s.blockIndex.probe(h); p.next(); {
		if *s.blocks.at(p.number) == *b {
			return p.number
		}
	}
	if s.blockIndex.full() {
		s.blockIndex = s.blockIndex.larger()
		for i := range s.blocks.n {
			s.blockIndex.insert(s.hashBlock(s.blocks.at(uint32(i))), uint32(i))
		}
	}
	id := s.blocks.add(*b)
	s.blockIndex.insert(h, id)
	return id
}

// A placeRow says where in its chain a transaction stands.
type placeRow struct {
	block uint32
	index uint32 // in the block
}

// A txRow is a transaction, at the place that its first transfer had.
type txRow struct {
	hash common.Hash
	placeRow
}

// Txs returns how many transaction numbers were given out.
func (s *Store) Txs() int { return s.txs.n }

// Tx returns the hash of the transaction with a number, which must be below
// [Store.Txs].
func (s *Store) Tx(id uint32) common.Hash { return s.txs.at(id).hash }

// TxID returns the number of a transaction on a chain, if the store has a
// transfer of it.
func (s *Store) TxID(chain uint64, tx common.Hash) (uint32, bool) {
	return s.findTx(chain, &tx, s.keys.hash(chain, &tx))
}

func (s *Store) findTx(chain uint64, tx *common.Hash, h uint64) (uint32, bool) {
	for p := s.txIndex.probe(h); p.next(); {
		if r := s.txs.at(p.number); r.hash == *tx && s.blocks.at(r.block).chain == chain {
			return p.number, true
		}
	}
	return 0, false
}

// addTx gives a number to a transaction that the store does not have.
func (s *Store) addTx(r txRow, h uint64) uint32 {
	if s.txIndex.full() {
		s.txIndex = s.txIndex.larger()
		for i := range s.txs.n {
			t := s.txs.at(uint32(i))
			s.txIndex.insert(s.keys.hash(s.blocks.at(t.block).chain, &t.hash), uint32(i))
		}
	}
	id := s.txs.add(r)
	s.txIndex.insert(h, id)
	return id
}
