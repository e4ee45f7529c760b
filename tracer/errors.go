package tracer

import "errors"

var (
	// ErrNotFound reports that a transaction is not on the chain, or not yet final.
	ErrNotFound = errors.New("not found on this chain")

	// ErrWrongChain reports that an endpoint serves another chain than the one asked for.
	ErrWrongChain = errors.New("wrong chain")

	// ErrReorg reports that a block that was final is no longer on the chain.
	ErrReorg = errors.New("a block that was final is no longer on the chain")

	// ErrUsage marks an error that the caller can mend by asking differently;
	// the command line ends with exit code 2.
	ErrUsage = errors.New("usage")
)
