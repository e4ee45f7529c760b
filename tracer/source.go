package tracer

import (
	"context"
	"fmt"

	"github.com/ethereum/go-ethereum/common"
)

// A Block is a block of a chain.
type Block struct {
	Number uint64
	Hash   common.Hash // zero when the source does not know it
	Time   uint64      // Unix seconds
}

// A Span is one wallet and the blocks to read for it, both ends included.
type Span struct {
	Wallet   common.Address
	From, To uint64
}

// A Query asks for everything that moved in or out of wallets.
type Query struct {
	Spans []Span // any order; a wallet may appear more than once
	// MaxTransfers bounds what is read of one wallet. A wallet with more is
	// crowded: it is read no further and reported in [Answer.Unread]. Zero
	// means no bound.
	MaxTransfers int
	// MaxRequests bounds the requests of this query. Zero means no bound.
	MaxRequests int
}

// A Part is a kind of movement that a source may or may not be able to read.
type Part uint8

// The parts of a wallet's movements.
const (
	PartAll      Part = iota // everything
	PartTokens               // ERC-20 and ERC-721 transfers
	PartNative               // values of transactions, and their fees
	PartInternal             // native coin moved by contract calls
)

var partNames = [...]string{"all movements", "token transfers", "native transfers", "internal transfers"}

// String names the part in words.
func (p Part) String() string {
	if int(p) < len(partNames) {
		return partNames[p]
	}
	return fmt.Sprintf("part(%d)", uint8(p))
}

// A Reason says why something was not read or not followed. Its text is part
// of the report format.
type Reason string

// The reasons.
const (
	ReasonBudget   Reason = "budget"   // the budget of requests or wallets ran out
	ReasonStopped  Reason = "stopped"  // the run was interrupted
	ReasonSource   Reason = "source"   // the endpoint failed or refused
	ReasonNoTraces Reason = "internal" // the endpoint has no way to read internal transfers, or on Tron any of native coin
	ReasonCrowded  Reason = "hub"      // more transfers than a person's wallet has: pooled with strangers' money
	ReasonDust     Reason = "dust"     // below the smallest amount worth following
	ReasonUnpriced Reason = "unpriced" // converted into a token with no known value
)

// An Unread is a part of a query that an [Answer] does not cover.
type Unread struct {
	Span
	Part   Part
	Reason Reason
	Detail string // one clause for people, without addresses of endpoints or keys
}

// An Answer is what a source found. Coverage is told by what is missing:
// whatever was asked, up to the pinned block, and is not in Unread is covered,
// by wallet, part and block; there, no transfer in the answer means no transfer
// on the chain. No list of what is covered stands beside it, because whoever
// asks has the spans, and two lists could contradict each other.
type Answer struct {
	// Transfers are in chain order, each once. Beside the transfers of the
	// wallets they may hold others of the same transactions.
	Transfers []Transfer
	Unread    []Unread // sorted by wallet, From, part
	// Unchecked is what is covered by the source's word alone, of a source that
	// compares what it reads with the wallets' balances: here the budget or the
	// node did not allow it. Sorted as Unread. Sources that never compare, as
	// their notes say, leave it empty.
	Unchecked []Unread
	Requests  int // spent on this query, retries included
}

// A Source reads the transfers of one chain. Implementations are safe for
// concurrent use, and answer the same however many reads they run at once.
type Source interface {
	// Pin checks that the source serves the chain it should, and returns the
	// block that the trace reads up to: the finalized block of a node, the
	// last block of a file. It is the same for the life of the Source.
	Pin(ctx context.Context) (Block, error)

	// BlockAt returns the number of the first block at or after a time (Unix
	// seconds), at most the pinned block's number plus one.
	BlockAt(ctx context.Context, time uint64) (uint64, error)

	// Transfers answers q. With an error the answer still holds what was read
	// before it, and Unread holds all of the rest; a source that merely could
	// not read a part reports that in Unread, without an error.
	Transfers(ctx context.Context, q Query) (Answer, error)

	// Transactions returns all transfers of the given transactions, for at most
	// most requests; zero means no bound. One that failed or moved nothing has
	// none; one that is not on the chain up to the pinned block is an error that
	// wraps [ErrNotFound]. Too few requests are one that wraps [ErrBudget].
	Transactions(ctx context.Context, txs []common.Hash, most int) (Answer, error)
}

// As finds what a source can do beside reading, or else the source that it reads
// through, which its method Unwrap returns.
func As[T any](s Source) (able T, ok bool) {
	for s != nil {
		if able, ok = s.(T); ok {
			return able, true
		}
		u, more := s.(interface{ Unwrap() Source })
		if !more {
			break
		}
		s = u.Unwrap()
	}
	return able, false
}

// A CodeSource is a [Source] that can tell contracts from accounts.
type CodeSource interface {
	// Contracts returns, for each address in order, whether it has code at the
	// pinned block. An EIP-7702 delegation does not count as code. The int is
	// the number of requests spent, which is at most most; zero means no bound.
	// If that is too few, the error wraps [ErrBudget].
	Contracts(ctx context.Context, addrs []common.Address, most int) ([]bool, int, error)
}
