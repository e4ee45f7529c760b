package graphstore

import (
	"sync"
	"sync/atomic"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
)

// A Store holds transfers and flows. Use [New] to make one.
//
// Writing (Add, AddFlows, Loader, and the library's AddVertex, AddEdge, UpdateEdge,
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

	wallets     walletRows
	walletIndex index
	gone        map[uint32]struct{} // wallets taken out by RemoveVertex
	lastWallets [2]uint32           // which AddVertex met last: the next calls will ask for them

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

	// The rows from merged on, which may repeat each other and those before,
	// and the transfers from derived on wait to become flows that are found by
	// their wallets: see settle.
	pairs     column[pair] // of each row in flows
	flows     column[flowRow]
	merged    int
	derived   int
	flowIndex index
	nextFlow  map[uint32]uint32 // from a flow to another of the same pair
	wideFlows column[flowValue] // those that do not fit a flowRow
	freeWide  []uint32
	freeFlows []uint32
	distinct  int  // pairs that are merged
	ownFlows  bool // there are flows that do not follow from the transfers

	// What is built on the first read; mu guards the building.
	mu      sync.Mutex
	settled atomic.Bool // nothing waits
	order   atomic.Pointer[chainOrder]
	past    *chainOrder // the last one, to build the next from
	view    atomic.Pointer[View]
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
	s.settled.Store(s.merged == s.flows.n && s.derived == s.transfers.n)
	s.order.Store(nil)
	s.view.Store(nil)
}

func sameAsset(a, b *tracer.Asset) bool {
	return differ(&a.Token, &b.Token)|(a.Chain^b.Chain)|uint64(a.Kind^b.Kind) == 0
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
		if sameAsset(s.assets.at(p.number), a) {
			return p.number, true
		}
	}
	return 0, false
}

// asset returns the number of a, a new one if need be.
func (s *Store) asset(a *tracer.Asset) uint32 {
	if last := s.lastAsset; last < uint32(s.assets.n) && sameAsset(s.assets.at(last), a) {
		return last
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
