// Package ethsource reads transfers from any standard Ethereum node over
// JSON-RPC.
//
// Token transfers come from eth_getLogs, a thousand wallets and both
// directions at once; moves of the native coin from trace_filter where the
// node has it, else from whole blocks with their receipts.
//
// What it promises: an answer covers what was asked, or says what it does not
// cover; a node that refuses is asked for less, one that fails is asked again,
// and neither is ever taken for "nothing moved"; and no error holds the
// endpoint's address, which may hold a key.
package ethsource

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"sync"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/rpc"
	"golang.org/x/time/rate"
)

// A Source reads one chain from one node. It is safe for concurrent use.
type Source struct {
	c      *client
	chain  tracer.Chain
	pinned tracer.Block
	traces bool // the node has trace_filter
	notes  []string

	mu     sync.Mutex
	window uint64 // blocks that eth_getLogs is asked for at once
	traced uint64 // the same of trace_filter
	blocks map[uint64]*block
}

var _ interface {
	tracer.Source
	tracer.CodeSource
} = (*Source)(nil)

// Options are settings of a [Source]. The zero value reads up to the node's
// finalized block, as fast as the node answers.
type Options struct {
	// Pin, when set, is the block to read up to, in place of the finalized one:
	// the block that an earlier run pinned. The node must still have it.
	Pin *tracer.Block
	// Rate bounds the calls in a second; each call of a batch counts. Zero
	// means no bound.
	Rate float64
	// Limiter, when set, bounds the calls in place of Rate: it may be shared by
	// the sources of several traces, and must let 100 calls through at once.
	Limiter *rate.Limiter
	// Reads is how many requests are under way at once; default 4. Answers are
	// the same with any number.
	Reads int
}

// Open connects to a node, checks that it serves the chain, pins a block and
// finds out what the node can do. An address that is none, or another chain, is
// an error that wraps [tracer.ErrUsage]; a block of [Options.Pin] that is no
// longer on the node's chain one that wraps [tracer.ErrReorg].
func Open(ctx context.Context, chain tracer.Chain, endpoint string, o Options) (*Source, error) {
	c, err := dial(ctx, endpoint, o)
	if err != nil {
		return nil, err
	}
	s := &Source{c: c, chain: chain, window: 1 << 62, traced: 1 << 62, blocks: make(map[uint64]*block)}
	if err := s.pin(ctx, o.Pin); err != nil {
		if errors.Is(err, tracer.ErrUsage) || errors.Is(err, tracer.ErrReorg) {
			return nil, err
		}
		return nil, fmt.Errorf("connect to %s: %w", c.host, err)
	}
	var rows []trace
	at := hexutil.EncodeUint64(s.pinned.Number)
	err = s.one(ctx, new(spent), &rows, "trace_filter", map[string]any{"fromBlock": at, "toBlock": at, "toAddress": []common.Address{chain.Tokens[0].Address}})
	s.traces = err == nil
	if !s.traces {
		s.notes = append(s.notes, "The node cannot list internal transfers (it has no trace_filter): coins that contracts passed on are not seen.")
	}
	return s, nil
}

// Notes says, in sentences, what the node could not do.
func (s *Source) Notes() []string { return s.notes }

func (s *Source) one(ctx context.Context, n *spent, result any, method string, args ...any) error {
	return s.c.batch(ctx, n, []rpc.BatchElem{{Method: method, Args: args, Result: result}})
}

// pin checks the chain and fetches the finalized block, or checks that the
// block known is still there.
func (s *Source) pin(ctx context.Context, known *tracer.Block) error {
	n := new(spent)
	var id hexutil.Uint64
	var head *header
	if err := s.one(ctx, n, &id, "eth_chainId"); err != nil {
		return err
	}
	if uint64(id) != s.chain.ID {
		other := fmt.Sprint(uint64(id))
		if c, ok := tracer.ChainByID(uint64(id)); ok {
			other = c.Title
		}
		return fmt.Errorf("%w: %w: the endpoint at %s serves %s, not %s (chain %d); name the right chain or endpoint", tracer.ErrUsage, tracer.ErrWrongChain, s.c.host, other, s.chain.Title, s.chain.ID)
	}
	if known != nil {
		return s.still(ctx, n, *known)
	}
	if err := s.one(ctx, n, &head, "eth_getBlockByNumber", "latest", false); err != nil {
		return err
	}
	if head == nil {
		return &nodeError{kindOther, "the node has no blocks"}
	}
	var final *header
	if err := s.one(ctx, n, &final, "eth_getBlockByNumber", "finalized", false); err != nil || final == nil || final.Number > head.Number {
		back := min(uint64(head.Number), s.chain.FinalityDepth)
		final = nil
		if err := s.one(ctx, n, &final, "eth_getBlockByNumber", hexutil.EncodeUint64(uint64(head.Number)-back), false); err != nil {
			return err
		}
		s.notes = append(s.notes, fmt.Sprintf("The node does not say which block is final; the block %d behind the newest was taken.", back))
	}
	if final == nil {
		return &nodeError{kindOther, "the node does not have its own final block"}
	}
	s.pinned = tracer.Block{Number: uint64(final.Number), Hash: final.Hash, Time: uint64(final.Time)}
	return nil
}

// still pins a block of an earlier run, if the node has that very block.
func (s *Source) still(ctx context.Context, n *spent, known tracer.Block) error {
	var h *header
	if err := s.one(ctx, n, &h, "eth_getBlockByNumber", hexutil.EncodeUint64(known.Number), false); err != nil {
		return err
	}
	if h == nil || uint64(h.Number) != known.Number {
		return &nodeError{kindOther, fmt.Sprintf("the node does not have block %d, up to which an earlier run read", known.Number)}
	}
	if known.Hash != (common.Hash{}) && h.Hash != known.Hash {
		return fmt.Errorf("%w: block %d was %s and is now %s", tracer.ErrReorg, known.Number, known.Hash, h.Hash)
	}
	s.pinned = tracer.Block{Number: known.Number, Hash: h.Hash, Time: uint64(h.Time)}
	return nil
}

// Pin returns the block that [Open] pinned.
func (s *Source) Pin(context.Context) (tracer.Block, error) { return s.pinned, nil }

// BlockAt finds the block by its time in some twenty requests.
func (s *Source) BlockAt(ctx context.Context, time uint64) (uint64, error) {
	var failed error
	n := sort.Search(int(s.pinned.Number)+1, func(i int) bool {
		if failed != nil {
			return true
		}
		var h *header
		if failed = s.one(ctx, new(spent), &h, "eth_getBlockByNumber", hexutil.EncodeUint64(uint64(i)), false); failed != nil || h == nil {
			return true
		}
		return uint64(h.Time) >= time
	})
	return uint64(n), failed
}

// Contracts asks for the code of addresses at the pinned block.
func (s *Source) Contracts(ctx context.Context, addrs []common.Address) ([]bool, int, error) {
	n := new(spent)
	code := make([]hexutil.Bytes, len(addrs))
	calls := make([]rpc.BatchElem, len(addrs))
	for i, a := range addrs {
		calls[i] = rpc.BatchElem{Method: "eth_getCode", Args: []any{a, hexutil.EncodeUint64(s.pinned.Number)}, Result: &code[i]}
	}
	err := s.c.batch(ctx, n, calls)
	out := make([]bool, len(addrs))
	for i, c := range code {
		delegated := len(c) == 23 && c[0] == 0xef && c[1] == 1 && c[2] == 0 // EIP-7702
		out[i] = len(c) > 0 && !delegated
	}
	return out, int(n.n.Load()), err
}
