package devnet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/rpc"
)

// NodeOptions shape a node. The zero value is an archive node with traces,
// with the limits geth has and no others.
type NodeOptions struct {
	Head     uint64 // the last block served; 0 is the world's last
	Finality uint64 // how far the finalized block is behind the head; default 64

	NoTraces        bool // no trace_ methods, as geth
	NoBlockReceipts bool // no eth_getBlockReceipts, as Hardhat
	NoFinalized     bool // the tags finalized and safe are unknown
	NoTimestamps    bool // logs without blockTimestamp, as nodes before 2025
	NoArchive       bool // state of the last 128 blocks only
	// Tron makes a node of java-tron 4.8, as its JSON-RPC is: no nonces, no traces,
	// states of the newest block only, 5,000 blocks and 10,000 logs in an answer to
	// eth_getLogs, blocks without blooms and roots, and 19 blocks to finality.
	Tron        bool
	NoMulticall bool // no Multicall3 on the chain

	MaxRange      uint64 // blocks of eth_getLogs, as geth counts them: to minus from; 0 is no limit
	MaxLogs       int    // logs in an answer to a range of blocks, as Reth; 0 is no limit
	MaxTraceRange uint64 // blocks of trace_filter, as Reth; 0 is no limit
	MaxBatch      int    // calls in a batch; default 1,000
	// Rate is how many calls a second are answered, each of a batch counting;
	// a second's worth may come at once, and a batch is not cut. Requests
	// beyond that get 429 with Retry-After. 0 is no limit.
	Rate float64

	// Faults decides, request by request, how the node fails or lies. nil is
	// an honest node. It must be safe for concurrent use.
	Faults func(Request) Fault
	// MaxShort is how many logs an answer keeps under [FaultShort]; default 100.
	MaxShort int
	// ReorgDepth is how many of the last blocks have other hashes under
	// [FaultReorg]; default 16.
	ReorgDepth uint64
	// Delay is how long [FaultSlow] holds an answer back; default 100 ms.
	Delay time.Duration
}

// A Node serves a world over JSON-RPC: what a real node of a real chain would
// answer to the methods of eth, net, web3 and trace that a trace needs. It is
// safe for concurrent use.
type Node struct {
	w      *World
	opts   NodeOptions
	x      *index
	server *rpc.Server
	head   atomic.Uint64
	count  atomic.Int64
	calls  atomic.Int64
	meter  meter
	fork   func() *fork
}

// NewNode makes a node of a world and indexes it, which takes a small part of
// the time of [Generate].
func NewNode(w *World, opts NodeOptions) *Node {
	if opts.Tron {
		opts.Finality, opts.MaxRange, opts.MaxLogs = cmp.Or(opts.Finality, 19), cmp.Or(opts.MaxRange, 5000), cmp.Or(opts.MaxLogs, 10_000)
		opts.NoTraces, opts.NoTimestamps = true, true
	}
	opts.Finality = cmp.Or(opts.Finality, 64)
	opts.MaxBatch = cmp.Or(opts.MaxBatch, 1000)
	opts.MaxShort = cmp.Or(opts.MaxShort, 100)
	opts.ReorgDepth = cmp.Or(opts.ReorgDepth, 16)
	opts.Delay = cmp.Or(opts.Delay, 100*time.Millisecond)
	n := &Node{w: w, opts: opts, x: newIndex(w.chain), server: rpc.NewServer()}
	n.SetHead(cmp.Or(opts.Head, w.Head()))
	n.fork = sync.OnceValue(func() *fork { return newFork(w.chain, opts.ReorgDepth) })
	n.server.SetBatchLimits(opts.MaxBatch, 25_000_000) // geth's size
	register := func(name string, api any) {
		if err := n.server.RegisterName(name, api); err != nil {
			panic("devnet: " + err.Error()) // the receivers are ours
		}
	}
	register("eth", &ethAPI{n})
	if opts.Tron {
		register("eth", &tronAPI{&stateAPI{n}})
	} else {
		register("eth", &stateAPI{n})
	}
	register("net", &netAPI{n})
	register("web3", &web3API{})
	if !opts.NoBlockReceipts {
		register("eth", &receiptsAPI{n})
	}
	if !opts.NoTraces {
		register("trace", &traceAPI{n})
	}
	return n
}

// SetHead moves the last block that the node serves, at most to the end of the
// world, as if time had passed.
func (n *Node) SetHead(head uint64) { n.head.Store(min(head, n.w.Head())) }

// Requests returns how many HTTP requests the node has got.
func (n *Node) Requests() int { return int(n.count.Load()) }

// Calls returns how many calls the node has answered, each of a batch counted:
// what a provider bills. Those beyond [NodeOptions.Rate] are not.
func (n *Node) Calls() int { return int(n.calls.Load()) }

// A meter is how far the calls answered are ahead of the rate.
type meter struct {
	mu   sync.Mutex
	paid time.Time // when all calls so far will have been paid for
}

// admit takes n calls. When it does not, wait is how long to stay away.
func (m *meter) admit(now time.Time, n int, rate float64) (wait time.Duration, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.paid.Before(now) {
		m.paid = now
	}
	if wait = m.paid.Sub(now) - time.Second; wait > 0 {
		return wait, false
	}
	m.paid = m.paid.Add(time.Duration(float64(n) / rate * float64(time.Second)))
	return 0, true
}

// Start serves the node on a free port of the loopback interface until stop is
// called.
func (n *Node) Start() (url string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("serve the built-in chain: %w", err)
	}
	srv := &http.Server{Handler: n, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		srv.Serve(l) // ends with ErrServerClosed
	}()
	return "http://" + l.Addr().String(), func() { srv.Close(); <-done }, nil
}

// An rpcError is an error with the code a node gives it.
type rpcError struct {
	code int
	text string
}

func (e *rpcError) Error() string  { return e.text }
func (e *rpcError) ErrorCode() int { return e.code }

func invalidParams(format string, args ...any) error {
	return &rpcError{-32602, fmt.Sprintf(format, args...)}
}

// The answers of geth v1.17 that have no numbers in them.
var (
	errUnknownBlock = errors.New("unknown block")
	errNoHeader     = errors.New("header not found")
	errIntoFuture   = invalidParams("block range extends beyond current head block")
	errInvalidRange = invalidParams("invalid block range params")
	errPending      = invalidParams("pending logs are not supported")
	errMaxTopics    = errors.New("exceed max topics")
	errInvalidTopic = invalidParams("invalid topic(s)")
	errMaxAddresses = errors.New("exceed max addresses or topics per search position")
)

// A view is what a node believes during one request.
type view struct {
	*Node
	fault     Fault
	last      uint64
	finalized uint64
}

func (n *Node) view(ctx context.Context) view {
	v := view{Node: n, fault: faultOf(ctx), last: n.head.Load()}
	if v.fault == FaultBackwards {
		v.last -= min(v.last, 100)
	}
	v.finalized = v.last - min(v.last, n.opts.Finality)
	return v
}

// resolve turns a number or tag into a block number. ok is false for blocks
// that are not there.
func (v view) resolve(b rpc.BlockNumber) (n uint64, ok bool, err error) {
	switch b {
	case rpc.EarliestBlockNumber:
		return 0, true, nil
	case rpc.LatestBlockNumber, rpc.PendingBlockNumber:
		return v.last, true, nil
	case rpc.FinalizedBlockNumber, rpc.SafeBlockNumber:
		if v.opts.NoFinalized || v.fault == FaultNoFinalized {
			name := "finalized"
			if b == rpc.SafeBlockNumber {
				name = "safe"
			}
			return 0, false, &rpcError{-32000, name + " block not found"}
		}
		if b == rpc.SafeBlockNumber {
			return v.last - min(v.last, v.opts.Finality/2), true, nil
		}
		return v.finalized, true, nil
	}
	if b < 0 {
		return 0, false, errors.New("negative block number")
	}
	return uint64(b), uint64(b) <= v.last, nil
}

// hash returns the hash of a block.
func (v view) hash(n uint64) common.Hash {
	if v.fault == FaultReorg {
		if h, ok := v.Node.fork().hash(n); ok {
			return h
		}
	}
	return v.w.Blocks[n].Hash
}

// number is the inverse of hash.
func (v view) number(h common.Hash) (uint64, bool) {
	n, ok := v.x.blocks[h]
	if v.fault == FaultReorg {
		f := v.Node.fork()
		if m, other := f.number[h]; other {
			n, ok = m, true
		} else if _, forked := f.hash(n); ok && forked {
			return 0, false
		}
	}
	return n, ok && n <= v.last
}

// at resolves a block given by number, tag or hash.
func (v view) at(b rpc.BlockNumberOrHash) (uint64, error) {
	if h, ok := b.Hash(); ok {
		n, ok := v.number(h)
		if !ok {
			return 0, errors.New("header for hash not found")
		}
		return n, nil
	}
	number, _ := b.Number()
	n, ok, err := v.resolve(number)
	if err == nil && !ok {
		err = errNoHeader
	}
	return n, err
}

// tx returns the number of a transaction on the chain up to the head.
func (v view) tx(h common.Hash) (uint32, bool) {
	i, ok := v.x.txs[h]
	return i, ok && uint64(v.w.chain.txs[i].block) <= v.last
}

type netAPI struct{ n *Node }

func (api *netAPI) Version() string { return fmt.Sprint(api.n.w.chain.id) }
func (*netAPI) Listening() bool     { return true }

type web3API struct{}

func (*web3API) ClientVersion() string { return "devnet/v1/scamtrace" }
