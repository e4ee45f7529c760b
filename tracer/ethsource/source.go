// Package ethsource reads transfers from any standard Ethereum node over
// JSON-RPC.
//
// Token transfers come from eth_getLogs, a thousand wallets and both
// directions at once, over as many blocks as the endpoint allows. Moves of the
// native coin come from the same logs where the chain has EIP-7708, else from
// trace_filter, from Otterscan's index, from the blocks in which a wallet's
// nonce or balance changed, or from all blocks, whichever the node has and
// costs least. Coins that validators withdraw or are paid are not
// transfers, and are not read.
//
// What it promises: an answer covers what was asked, or says what it does not
// cover; a node that refuses is asked for less, one that fails is asked again,
// and neither is ever taken for "nothing moved"; what a node leaves out or
// changes is told by the wallets' balances, where it keeps old ones, mended
// from receipts and traces, or reported; an answer that cannot be
// right is refused; nothing moves twice, whichever way it is told, and nothing
// that was reverted moves; the same answers with one read at a time or with
// many, up to the same block where a budget ends them; and no error holds the
// endpoint's address, which may hold a key.
package ethsource

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"scamtrace/tracer"
	"scamtrace/tracer/balance"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/rpc"
	"golang.org/x/time/rate"
)

// Options are settings of a [Source]. The zero value reads up to the node's
// finalized block, as fast as the node answers.
type Options struct {
	// Pin, when set, is the block to read up to, in place of the finalized one:
	// the block that an earlier run pinned. The node must still have it.
	Pin *tracer.Block
	// Rate bounds the calls in a second; each call of a batch counts. Zero
	// means no bound.
	Rate float64
	// Limiter, when set, bounds the calls in place of Rate; it may be shared by
	// the sources of several traces.
	Limiter *rate.Limiter
	// Reads is how many requests are under way at once; default 4. Answers are
	// the same with any number.
	Reads int
	// Timeout bounds one request; default one minute.
	Timeout time.Duration
	// Wrap, when set, wraps what requests go through: to record them, or to
	// answer them in place of the network.
	Wrap func(http.RoundTripper) http.RoundTripper
	// Recorded says that the answers come from a recording: the source waits
	// before no request.
	Recorded bool

	pause func(context.Context, time.Duration) error // in place of sleeping, for tests
}

// A Source reads one chain from one node. It is safe for concurrent use.
type Source struct {
	c      *client
	chain  tracer.Chain
	pinned tracer.Block
	notes  []string

	// What the node can do.
	traces  bool   // trace_filter
	index   bool   // ots_searchTransactionsAfter
	byBlock string // the method that traces a block, if there is one
	archive bool   // old states

	balances *balance.Checker

	logs   *window // of eth_getLogs
	traced *window // of trace_filter

	mu     sync.Mutex
	group  int                    // wallets in a request
	inner  string                 // the method that traces a transaction; empty when there is none
	newest bool                   // the node shows states of the newest block only
	told   uint64                 // the first block known to tell moves of native coin in logs (EIP-7708)
	untold uint64                 // the last block known to have moves of native coin that no log tells
	hashes map[uint64]common.Hash // of blocks that the node has shown
	blocks map[uint64]*block      // whole ones
	kept   []uint64               // their numbers, the first read first
	held   int                    // transactions in them

	sheets sync.Pool    // of *[]tracer.Transfer, lists to be used again
	usual  atomic.Int64 // how many transfers there were in a page
}

var _ interface {
	tracer.Source
	tracer.CodeSource
} = (*Source)(nil)

// Open connects to a node, checks that it serves the chain, pins a block and
// finds out what the node can do. An address that is none, or another chain, is
// an error that wraps [tracer.ErrUsage]; a block of [Options.Pin] that is no
// longer on the node's chain one that wraps [tracer.ErrReorg].
func Open(ctx context.Context, chain tracer.Chain, endpoint string, o Options) (*Source, error) {
	c, err := dial(ctx, endpoint, o)
	if err != nil {
		return nil, err
	}
	s := &Source{c: c, chain: chain, balances: balance.New(chain), logs: newWindow(anyWidth), traced: newWindow(anyWidth),
		group: maxTopics, inner: traceMethods[0], told: never, blocks: make(map[uint64]*block)}
	p := newPurse(0, new(counter))
	if err := s.pin(ctx, p, o.Pin); err != nil {
		if errors.Is(err, tracer.ErrUsage) || errors.Is(err, tracer.ErrReorg) {
			return nil, err
		}
		return nil, fmt.Errorf("connect to %s: %w", c.host, err)
	}
	s.hashes = map[uint64]common.Hash{s.pinned.Number: s.pinned.Hash}
	if err := s.explore(ctx, p); err != nil {
		return nil, fmt.Errorf("connect to %s: %w", c.host, err)
	}
	return s, nil
}

// Notes says, in sentences, what the node could not do.
func (s *Source) Notes() []string { return s.notes }

// pin checks the chain and fetches the finalized block, or checks that the
// block known is still there.
func (s *Source) pin(ctx context.Context, p *purse, known *tracer.Block) error {
	var id hexutil.Uint64
	if err := s.c.one(ctx, p, &id, "eth_chainId"); err != nil {
		return err
	}
	if err := s.sameChain(uint64(id)); err != nil {
		return fmt.Errorf("%w: %w; name the right chain or endpoint", tracer.ErrUsage, err)
	}
	if known != nil {
		h, err := s.header(ctx, p, true, known.Number)
		if err != nil {
			return err
		}
		if known.Hash != (common.Hash{}) && h.Hash != known.Hash {
			return fmt.Errorf("%w: block %d was %s and is now %s", tracer.ErrReorg, known.Number, known.Hash, h.Hash)
		}
		s.pinned = tracer.Block{Number: known.Number, Hash: h.Hash, Time: uint64(h.Time)}
		return nil
	}
	var head, final *header
	if err := s.c.one(ctx, p, &head, "eth_getBlockByNumber", "latest", false); err != nil {
		return err
	}
	if head == nil {
		return s.c.unusable("it shows no newest block")
	}
	if err := s.c.probe(ctx, p, &final, "eth_getBlockByNumber", "finalized", false); ctx.Err() != nil {
		return context.Cause(ctx)
	} else if err != nil || final == nil || final.Number > head.Number || final.Number == 0 && head.Number > 0 && s.chain.FinalityDepth < uint64(head.Number) {
		back := min(uint64(head.Number), s.chain.FinalityDepth)
		if final, err = s.header(ctx, p, false, uint64(head.Number)-back); err != nil {
			return err
		}
		s.notes = append(s.notes, fmt.Sprintf("The node does not say which block is final; the block %d behind the newest was taken.", back))
	}
	s.pinned = tracer.Block{Number: uint64(final.Number), Hash: final.Hash, Time: uint64(final.Time)}
	return nil
}

func (s *Source) sameChain(id uint64) error {
	if id == s.chain.ID {
		return nil
	}
	other := fmt.Sprintf("chain %d", id)
	if c, ok := tracer.ChainByID(id); ok {
		other = c.Title
	}
	return fmt.Errorf("%w: the endpoint at %s serves %s, not %s (chain %d)", tracer.ErrWrongChain, s.c.host, other, s.chain.Title, s.chain.ID)
}

// header fetches the header of a block that must be there.
func (s *Source) header(ctx context.Context, p *purse, probe bool, n uint64) (*header, error) {
	var h *header
	err := s.c.call(ctx, p, probe, func(sc *scanner) error {
		h = nil
		if err := into(&h)(sc); err != nil {
			return err
		}
		if h == nil || uint64(h.Number) != n {
			return &nodeError{kind: kindBehind, text: fmt.Sprintf("the endpoint does not have block %d", n)}
		}
		return nil
	}, "eth_getBlockByNumber", hexutil.EncodeUint64(n), false)
	return h, err
}

// witness asks the node after a reading whether it is still on the chain that
// was read: a pool may have sent some questions to a node that is not.
func (s *Source) witness(ctx context.Context, p *purse) error {
	var id hexutil.Uint64
	var h *header
	if err := s.c.all(ctx, p, []rpc.BatchElem{
		{Method: "eth_chainId", Result: &id},
		{Method: "eth_getBlockByNumber", Args: []any{hexutil.EncodeUint64(s.pinned.Number), false}, Result: &h},
	}); err != nil {
		return err
	}
	if err := s.sameChain(uint64(id)); err != nil {
		return err
	}
	if h == nil || uint64(h.Number) != s.pinned.Number {
		return &nodeError{kind: kindBehind, text: fmt.Sprintf("the endpoint no longer shows block %d, up to which it is read", s.pinned.Number)}
	}
	if h.Hash != s.pinned.Hash {
		return fmt.Errorf("%w: block %d was %s and is now %s", tracer.ErrReorg, s.pinned.Number, s.pinned.Hash, h.Hash)
	}
	return nil
}

// witnessCalls is what witness costs.
const witnessCalls = 2

// manyBlocks bounds how many hashes are remembered.
const manyBlocks = 1 << 17

// agree checks that the node shows one block at each height.
func (s *Source) agree(n uint64, h common.Hash) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known, ok := s.hashes[n]; ok {
		if known != h {
			return &nodeError{kind: kindUnusable, fork: true, text: fmt.Sprintf("the endpoint shows two different blocks %d", n)}
		}
		return nil
	}
	if len(s.hashes) >= manyBlocks {
		s.forget()
	}
	s.hashes[n] = h
	return nil
}

// forget drops all hashes but the pinned block's. The caller holds mu.
func (s *Source) forget() {
	clear(s.hashes)
	s.hashes[s.pinned.Number] = s.pinned.Hash
}

// Pin returns the block that [Open] pinned.
func (s *Source) Pin(context.Context) (tracer.Block, error) { return s.pinned, nil }

// BlockAt finds the block by its time in some twenty requests.
func (s *Source) BlockAt(ctx context.Context, time uint64) (uint64, error) {
	if time > s.pinned.Time {
		return s.pinned.Number + 1, nil
	}
	p := newPurse(0, new(counter))
	var failed error
	n := sort.Search(int(s.pinned.Number), func(i int) bool {
		if failed != nil {
			return true
		}
		h, err := s.header(ctx, p, false, uint64(i))
		if err != nil {
			failed = err
			return true
		}
		return uint64(h.Time) >= time
	})
	return uint64(n), failed
}

// Contracts asks for the code of addresses at the pinned block.
func (s *Source) Contracts(ctx context.Context, addrs []common.Address, most int) ([]bool, int, error) {
	spent := new(counter)
	out, err := s.contracts(ctx, newPurse(most, spent), addrs)
	return out, spent.count(), err
}

func (s *Source) contracts(ctx context.Context, p *purse, addrs []common.Address) ([]bool, error) {
	code, err := s.code(ctx, p, addrs)
	if err != nil {
		return nil, err
	}
	out := make([]bool, len(addrs))
	for i := range code {
		b := *code[i]
		delegated := len(b) == 23 && b[0] == 0xef && b[1] == 1 && b[2] == 0 // EIP-7702
		out[i] = len(b) > 0 && !delegated
	}
	return out, nil
}
