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
// Several nodes make a pool ([OpenPool]). Each call goes to a node of its role,
// and to another when that one fails, is behind, limits the rate, or lacks the
// data or the method, but not when it finds the question too large. A node that
// fails three times in a row rests, longer each time, and before it is asked again it
// must still show the pinned block. All nodes that a reading asked must show it at
// its end too.
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
	"fmt"
	"net/http"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"scamtrace/tracer"
	"scamtrace/tracer/balance"

	"github.com/ethereum/go-ethereum/common"
	"golang.org/x/time/rate"
)

// Options are settings of a [Source]. The zero value reads up to the node's
// finalized block, as fast as the node answers.
type Options struct {
	// Pin, when set, is the block to read up to, in place of the finalized one:
	// the block that an earlier run pinned. The node must still have it.
	Pin *tracer.Block
	// Rate bounds the calls in a second to each node; each call of a batch
	// counts. Zero means no bound.
	Rate float64
	// Limiter, when set, bounds the calls in place of Rate; it may be shared by
	// the sources of several traces.
	Limiter *rate.Limiter
	// Reads is how many requests are under way at once at each node; default 4.
	// Answers are the same with any number.
	Reads int
	// Timeout bounds one request; default one minute.
	Timeout time.Duration
	// Wrap, when set, wraps what requests to a node go through: to record them,
	// or to answer them in place of the network. The node's name is its host,
	// with #2 and so on for further ones at the same host.
	Wrap func(node string, next http.RoundTripper) http.RoundTripper
	// Recorded says that the answers come from a recording: the source waits
	// before no request, and takes what is Known, by the names of the nodes, for good.
	Recorded bool
	// Known is what earlier runs have learnt, see [Source.Learned].
	Known map[string]Ability

	pause func(context.Context, time.Duration) error // in place of sleeping, for tests
}

// A Source reads one chain from one node or several. It is safe for concurrent use.
type Source struct {
	c      *client
	chain  tracer.Chain
	pinned tracer.Block
	notes  []string
	setup  []SetupNode

	checker *balance.Checker

	logs   *window // of eth_getLogs
	traced *window // of trace_filter

	mu     sync.Mutex
	can    Ability                // what the nodes can do together
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
