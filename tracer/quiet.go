package tracer

import (
	"context"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
)

// A State is what an account had at the end of a block.
type State struct {
	Wallet  common.Address
	Nonce   uint64
	Balance uint256.Int // of native coin
	Plain   bool        // no code, and no delegation to code either (EIP-7702)
}

// A QuietSource is a [Source] that can tell, for less than reading takes, that
// nothing happened to wallets.
type QuietSource interface {
	// Watch returns the states of wallets at the pinned block, in order, for a
	// later Quiet.
	Watch(ctx context.Context, wallets []common.Address, most int) ([]State, int, error)

	// Quiet reports, for each of the states that wallets had at the end of an
	// earlier block, in order, whether that wallet is proven to have no transfer
	// after that block and up to the pinned one: reading it would find none. One
	// that is not may have some or none. The states of quiet wallets are still
	// what they were.
	//
	// Both return the requests spent, which are at most most; zero means no
	// bound. If that is too few, the error wraps [ErrBudget]. A node that refuses
	// to tell makes nobody quiet, without an error.
	Quiet(ctx context.Context, after uint64, was []State, most int) ([]bool, int, error)
}
