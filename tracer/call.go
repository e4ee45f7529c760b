package tracer

import (
	"context"
	"errors"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
)

// Newest, as the block of a [Call], is whatever block the node is at.
const Newest = ^uint64(0)

// ErrBudget reports that a question takes more requests than it may.
var ErrBudget = errors.New("the budget of requests ran out")

// A Call runs a contract's function at the end of a block, and changes nothing.
type Call struct {
	To    common.Address
	Data  []byte
	Block uint64
}

// A Refusal says why a [Call] has no result.
type Refusal uint8

// The refusals. All but the last stay, whoever asks again.
const (
	RefusedNot      Refusal = iota // there is a result
	RefusedReverted                // the contract refuses
	RefusedGone                    // the node does not keep states that old
	RefusedMissing                 // the node runs no calls, or not for this key
	RefusedNow                     // trouble with the node, which may pass
)

// A Reply is the outcome of a [Call].
type Reply struct {
	Data    []byte // of any length
	Refusal Refusal
}

// A CallSource is a [Source] that can run calls.
type CallSource interface {
	// Calls returns the outcome of each call, in order, and the requests spent,
	// which are at most most. If that is too few, the error wraps [ErrBudget];
	// no other trouble with the node is an error.
	Calls(ctx context.Context, calls []Call, most int) ([]Reply, int, error)

	// Times returns the time (Unix seconds) of each block, in order, and the
	// requests spent, as Calls does, but here trouble with the node is an error.
	// No block may be after the pinned one.
	Times(ctx context.Context, blocks []uint64, most int) ([]uint64, int, error)
}

// A StateSource is a [Source] that shows what accounts had at old blocks.
type StateSource interface {
	// States returns the nonces and balances of native coin that wallets had at
	// the ends of blocks, one of each for every wallet, and the number of
	// requests spent, at most most; 0 is no bound.
	States(ctx context.Context, wallets []common.Address, blocks []uint64, most int) (nonces []uint64, balances []uint256.Int, requests int, err error)
}
