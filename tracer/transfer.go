package tracer

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
)

// A Kind says how a transfer moved.
type Kind uint8

// The kinds of transfers, in their order inside one transaction.
const (
	KindFee      Kind = iota // the sender's payment for the transaction; To is the zero address
	KindNative               // the transaction's own value
	KindInternal             // native coin moved by a contract call
	KindToken                // ERC-20 Transfer event, or an EIP-7708 log of native coin
	KindNFT                  // ERC-721 Transfer event; Amount is the token id
)

var kindNames = [...]string{"fee", "native", "internal", "token", "nft"}

// String returns fee, native, internal, token or nft.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// ParseKind is the inverse of [Kind.String].
func ParseKind(s string) (Kind, bool) {
	i := slices.Index(kindNames[:], s)
	return Kind(max(i, 0)), i >= 0
}

// A Transfer is one movement of one asset. Only movements that happened are
// transfers: a failed transaction moves nothing but its fee.
type Transfer struct {
	Asset     Asset
	From, To  common.Address
	Amount    uint256.Int // base units; for [KindNFT] the token id
	Block     uint64
	BlockHash common.Hash // zero when the source does not know it
	Time      uint64      // Unix seconds, from the block
	Tx        common.Hash
	TxIndex   uint32 // position of the transaction in its block
	Kind      Kind
	// Position tells the transfers of one kind in one transaction apart: the
	// log index in the block in decimal ("17"), the trace path of an internal
	// transfer ("0.2.1"), or empty.
	Position string
}

// A TransferID identifies a transfer on its chain. Two readings of the same
// transfer have the same id.
type TransferID struct {
	Chain    uint64
	Tx       common.Hash
	Kind     Kind
	Position string
}

// ID returns the transfer's identity.
func (t *Transfer) ID() TransferID {
	return TransferID{t.Asset.Chain, t.Tx, t.Kind, t.Position}
}

// Counts reports whether the transfer moves money: a non-zero amount of a
// fungible asset from one address to another.
func (t *Transfer) Counts() bool {
	return t.Asset.Money() && t.Kind != KindNFT && t.From != t.To && !t.Amount.IsZero()
}

// Compare is chain order: chain, block, transaction index, transaction, kind,
// position. It is total over transfers with different ids. Native moves sort
// before logs because a node does not say how they interleave; the ledger
// nets each transaction, so the order inside one does not matter.
func (t *Transfer) Compare(o *Transfer) int {
	if c := cmp.Or(
		cmp.Compare(t.Asset.Chain, o.Asset.Chain),
		cmp.Compare(t.Block, o.Block),
		cmp.Compare(t.TxIndex, o.TxIndex),
	); c != 0 {
		return c
	}
	return cmp.Or(t.Tx.Cmp(o.Tx), cmp.Compare(t.Kind, o.Kind), ComparePositions(t.Position, o.Position))
}

// ComparePositions orders positions segment by segment, numbers by value and
// before all other text, a parent before its children. It is total.
func ComparePositions(a, b string) int {
	for a != "" && b != "" {
		var x, y string
		x, a, _ = strings.Cut(a, ".")
		y, b, _ = strings.Cut(b, ".")
		m, err1 := strconv.ParseUint(x, 10, 64)
		n, err2 := strconv.ParseUint(y, 10, 64)
		var c int
		switch {
		case err1 == nil && err2 == nil:
			c = cmp.Or(cmp.Compare(m, n), cmp.Compare(x, y))
		case err1 == nil:
			c = -1
		case err2 == nil:
			c = 1
		default:
			c = cmp.Compare(x, y)
		}
		if c != 0 {
			return c
		}
	}
	return cmp.Compare(a, b)
}

// SortTransfers puts ts in chain order and drops repeated readings of the same
// transfer. It returns the shortened slice.
func SortTransfers(ts []Transfer) []Transfer {
	slices.SortStableFunc(ts, func(a, b Transfer) int { return a.Compare(&b) })
	return slices.CompactFunc(ts, func(a, b Transfer) bool { return a.ID() == b.ID() })
}
