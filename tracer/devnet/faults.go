package devnet

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
)

// A Fault is a way for a node to fail or to lie.
type Fault uint8

// The faults. Those up to [FaultSlow] concern the whole HTTP request, the
// others what is answered.
const (
	NoFault          Fault = iota
	FaultRate              // 429
	FaultRateAfter         // 429 with Retry-After: 1
	FaultRateJSON          // 200 with a JSON-RPC error that speaks of a rate limit
	FaultServer            // 500, 502, 503 and 504 in turn
	FaultCut               // the connection is closed without an answer
	FaultTruncated         // the first half of the answer
	FaultHTML              // 200 with a web page
	FaultBatch             // a batch answered in reverse, its last call not at all
	FaultSlow              // an honest answer after [NodeOptions.Delay]
	FaultEmpty             // eth_getLogs finds nothing, as at a pruned or lagging node
	FaultShort             // eth_getLogs keeps the first [NodeOptions.MaxShort] logs and says nothing
	FaultDropped           // eth_getLogs leaves out every third log
	FaultDuplicate         // eth_getLogs answers every log twice
	FaultForeign           // eth_getLogs adds a log that the filter does not match
	FaultForged            // eth_getLogs changes the amounts
	FaultNull              // null for blocks, transactions, receipts and traces
	FaultChainID           // the chain id is 1
	FaultReorg             // the last [NodeOptions.ReorgDepth] blocks have other hashes
	FaultBackwards         // the head is 100 blocks behind
	FaultNoFinalized       // the tags finalized and safe are unknown
	FaultPruned            // no state
	FaultDrip              // the answer stops after its first bytes, and the connection stays open
	FaultID                // an answer to another call
	FaultDisorder          // eth_getLogs answers the last log first
	FaultMalformed         // eth_getLogs answers a log whose data is half a byte short
)

var faultNames = [...]string{
	"none", "rate", "rate-after", "rate-json", "server", "cut", "truncated", "html", "batch", "slow",
	"empty", "short", "dropped", "duplicate", "foreign", "forged", "null", "chain-id", "reorg", "backwards", "no-finalized", "pruned",
	"drip", "id", "disorder", "malformed",
}

// String returns a short name.
func (f Fault) String() string {
	if int(f) < len(faultNames) {
		return faultNames[f]
	}
	return "fault(" + strconv.Itoa(int(f)) + ")"
}

// A Request is what [NodeOptions.Faults] decides on.
type Request struct {
	N      int    // how many HTTP requests came before it
	Method string // of its first call
	Calls  int    // in it
}

// Sometimes fails about one request in every, with one of the faults; which
// ones depends only on seed and the request's number.
func Sometimes(seed uint64, every int, faults ...Fault) func(Request) Fault {
	return func(r Request) Fault {
		h := mix(seed, uint64(r.N))
		if len(faults) == 0 || h%uint64(max(every, 1)) > 0 {
			return NoFault
		}
		return faults[h>>32%uint64(len(faults))]
	}
}

// From fails every request from number n on.
func From(n int, f Fault) func(Request) Fault {
	return func(r Request) Fault {
		if r.N < n {
			return NoFault
		}
		return f
	}
}

// Method fails the requests whose first call is of a method.
func Method(name string, f Fault) func(Request) Fault {
	return func(r Request) Fault {
		if r.Method != name {
			return NoFault
		}
		return f
	}
}

type faultKey struct{}

func faultOf(ctx context.Context) Fault {
	f, _ := ctx.Value(faultKey{}).(Fault)
	return f
}

// maxBody is geth's cap on the body of a request.
const maxBody = 5 * 1024 * 1024

// ServeHTTP answers JSON-RPC over HTTP POST.
func (n *Node) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	count := int(n.count.Add(1)) - 1
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	calls := splitCalls(body)
	if n.opts.Rate > 0 {
		if wait, ok := n.meter.admit(time.Now(), len(calls), n.opts.Rate); !ok {
			w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
			http.Error(w, "Too Many Requests", http.StatusTooManyRequests)
			return
		}
	}
	n.calls.Add(int64(len(calls)))
	fault := NoFault
	if n.opts.Faults != nil {
		req := Request{N: count, Calls: len(calls)}
		if len(calls) > 0 {
			req.Method = calls[0].Method
		}
		fault = n.opts.Faults(req)
	}
	r = r.WithContext(context.WithValue(r.Context(), faultKey{}, fault))
	if serve, ok := transport[fault]; ok {
		serve(n, w, r, count, calls)
		return
	}
	n.server.ServeHTTP(w, r)
}

type rpcCall struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
}

// splitCalls returns the calls of a request, one or a batch; nil if it is neither.
func splitCalls(body []byte) []rpcCall {
	var many []rpcCall
	if json.Unmarshal(body, &many) == nil {
		return many
	}
	var one rpcCall
	if json.Unmarshal(body, &one) == nil {
		return []rpcCall{one}
	}
	return nil
}

// transport are the faults of the HTTP request.
var transport = map[Fault]func(n *Node, w http.ResponseWriter, r *http.Request, count int, calls []rpcCall){
	FaultRate: func(_ *Node, w http.ResponseWriter, _ *http.Request, _ int, _ []rpcCall) {
		http.Error(w, "Too Many Requests", http.StatusTooManyRequests)
	},
	FaultRateAfter: func(_ *Node, w http.ResponseWriter, _ *http.Request, _ int, _ []rpcCall) {
		w.Header().Set("Retry-After", "1")
		http.Error(w, "Too Many Requests", http.StatusTooManyRequests)
	},
	FaultRateJSON: func(_ *Node, w http.ResponseWriter, _ *http.Request, _ int, calls []rpcCall) {
		id := json.RawMessage("null")
		if len(calls) > 0 && calls[0].ID != nil {
			id = calls[0].ID
		}
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"jsonrpc":"2.0","id":`+string(id)+`,"error":{"code":-32005,"message":"daily request count exceeded, request rate limited"}}`)
	},
	FaultServer: func(_ *Node, w http.ResponseWriter, _ *http.Request, count int, _ []rpcCall) {
		status := []int{500, 502, 503, 504}[count%4]
		http.Error(w, http.StatusText(status), status)
	},
	FaultCut: func(_ *Node, _ http.ResponseWriter, _ *http.Request, _ int, _ []rpcCall) {
		panic(http.ErrAbortHandler)
	},
	FaultTruncated: func(n *Node, w http.ResponseWriter, r *http.Request, _ int, _ []rpcCall) {
		b := n.answer(r)
		w.Header().Set("Content-Type", "application/json")
		w.Write(b[:len(b)/2])
	},
	FaultHTML: func(_ *Node, w http.ResponseWriter, _ *http.Request, _ int, _ []rpcCall) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, "<!DOCTYPE html><html><title>Checking your browser</title></html>")
	},
	FaultBatch: func(n *Node, w http.ResponseWriter, r *http.Request, _ int, _ []rpcCall) {
		b := n.answer(r)
		var many []json.RawMessage
		if json.Unmarshal(b, &many) == nil && len(many) > 1 {
			many = many[:len(many)-1]
			slices.Reverse(many)
			b, _ = json.Marshal(many) // it was JSON a moment ago
		}
		w.Header().Set("Content-Type", "application/json")
		w.Write(b)
	},
	FaultSlow: func(n *Node, w http.ResponseWriter, r *http.Request, _ int, _ []rpcCall) {
		timer := time.NewTimer(n.opts.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
			n.server.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	},
	FaultDrip: func(n *Node, w http.ResponseWriter, r *http.Request, _ int, _ []rpcCall) {
		b := n.answer(r)
		w.Header().Set("Content-Type", "application/json")
		w.Write(b[:min(len(b), 20)])
		if f, ok := w.(http.Flusher); ok {
			f.Flush()
		}
		<-r.Context().Done()
	},
	FaultID: func(n *Node, w http.ResponseWriter, r *http.Request, _ int, _ []rpcCall) {
		w.Header().Set("Content-Type", "application/json")
		w.Write(bytes.ReplaceAll(n.answer(r), []byte(`"id":`), []byte(`"id":9`)))
	},
}

// answer returns the body of the honest answer.
func (n *Node) answer(r *http.Request) []byte {
	rec := &recorder{header: make(http.Header)}
	n.server.ServeHTTP(rec, r)
	return rec.body.Bytes()
}

// A recorder keeps what is written to it.
type recorder struct {
	header http.Header
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(int)             {}
func (r *recorder) Write(b []byte) (int, error) { return r.body.Write(b) }

// tamper changes what eth_getLogs found in blocks from to to.
func (v view) tamper(found []uint32, from, to uint64) []uint32 {
	switch v.fault {
	case FaultEmpty:
		return nil
	case FaultShort:
		return found[:min(len(found), v.opts.MaxShort)]
	case FaultDropped:
		var kept []uint32
		for k, i := range found {
			if k%3 < 2 {
				kept = append(kept, i)
			}
		}
		return kept
	case FaultDuplicate:
		return slices.Sorted(slices.Values(slices.Concat(found, found)))
	case FaultDisorder:
		found = slices.Clone(found)
		slices.Reverse(found)
	case FaultForeign:
		c := v.w.chain
		for i := c.firstEvent(c.firstTx[from]); i < c.firstEvent(c.firstTx[to+1]); i++ {
			if _, ok := slices.BinarySearch(found, i); !ok {
				return append(slices.Clone(found), i)
			}
		}
	}
	return found
}

// A fork is another end of the chain: the same transactions in blocks with
// other hashes.
type fork struct {
	from   uint64
	hashes []common.Hash
	number map[common.Hash]uint64
}

func newFork(c *chain, depth uint64) *fork {
	f := &fork{number: make(map[common.Hash]uint64)}
	f.from = uint64(len(c.blocks)) - min(depth, uint64(len(c.blocks)-1))
	for n := f.from; n < uint64(len(c.blocks)); n++ {
		h := f.header(c, n).Hash()
		f.hashes = append(f.hashes, h)
		f.number[h] = n
	}
	return f
}

func (f *fork) hash(n uint64) (common.Hash, bool) {
	if n < f.from {
		return common.Hash{}, false
	}
	return f.hashes[n-f.from], true
}

// header returns the header of a block of the fork, nil before it.
func (f *fork) header(c *chain, n uint64) *types.Header {
	if n < f.from {
		return nil
	}
	parent := c.blocks[n-1].Hash
	if n > f.from {
		parent = f.hashes[n-1-f.from]
	}
	return c.header(n, parent, []byte("fork"))
}
