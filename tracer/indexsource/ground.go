package indexsource

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"sort"
	"strings"
	"sync"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
)

// A blocks shows the blocks of a chain.
type blocks interface {
	newest(ctx context.Context, p *purse) (uint64, error) // the last one that is final
	header(ctx context.Context, p *purse, n uint64) (tracer.Block, error)
}

// A ground is what all indexers stand on: the block they read up to, found when
// it is first needed and the same from then on.
type ground struct {
	blocks blocks
	client *client
	known  *tracer.Block

	mu     sync.Mutex
	pinned *tracer.Block
	last   uint64 // the newest block that the indexer has, at most the pinned one
}

func (g *ground) init(b blocks, c *client, pin *tracer.Block) {
	g.blocks, g.client, g.known = b, c, pin
}

// Name returns what the indexer is called.
func (g *ground) Name() string { return g.client.name }

// Endpoint returns the address that is asked; it may hold a key.
func (g *ground) Endpoint() string { return g.client.base.String() }

// at returns the pinned block and the newest one up to it that can be read.
func (g *ground) at(ctx context.Context, p *purse) (tracer.Block, uint64, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.pinned != nil {
		return *g.pinned, g.last, nil
	}
	newest, err := g.blocks.newest(ctx, p)
	if err != nil {
		return tracer.Block{}, 0, err
	}
	if g.known != nil && g.known.Number > newest { // nobody can say whether it is the same chain
		b := *g.known
		g.pinned, g.last = &b, newest
		return b, newest, nil
	}
	n := newest
	if g.known != nil {
		n = g.known.Number
	}
	b, err := g.blocks.header(ctx, p, n)
	if err != nil {
		return tracer.Block{}, 0, err
	}
	if k := g.known; k != nil && k.Hash != (common.Hash{}) && k.Hash != b.Hash {
		return tracer.Block{}, 0, fmt.Errorf("%w: block %d was %s and is now %s, or it is another chain", tracer.ErrReorg, n, k.Hash, b.Hash)
	}
	g.pinned, g.last = &b, n
	return b, n, nil
}

// Pin returns the block of [Options.Pin], or the newest final one. A block of
// another hash is an error that wraps [tracer.ErrReorg].
func (g *ground) Pin(ctx context.Context) (tracer.Block, error) {
	b, _, err := g.at(ctx, newPurse(0))
	return b, err
}

// BlockAt finds the block by its time in some twenty requests.
func (g *ground) BlockAt(ctx context.Context, time uint64) (uint64, error) {
	p := newPurse(0)
	pinned, last, err := g.at(ctx, p)
	if err != nil {
		return 0, err
	}
	if time > pinned.Time {
		return pinned.Number + 1, nil
	}
	n := sort.Search(int(last), func(i int) bool {
		if err != nil {
			return true
		}
		var b tracer.Block
		b, err = g.blocks.header(ctx, p, uint64(i))
		return err != nil || b.Time >= time
	})
	return uint64(n), err
}

// An rpcCall is a call of a node's JSON-RPC; result stays as it is when the
// node answers null.
type rpcCall struct {
	method string
	args   []any
	result any
}

// A node makes calls in the order given, several in a request where it can.
type node interface {
	calls(ctx context.Context, p *purse, cs []rpcCall) error
}

// rpc is a node at the other end of a client.
type rpc struct {
	c     *client
	path  string
	batch int
}

type rpcRequest struct {
	Version string `json:"jsonrpc"`
	ID      int    `json:"id"`
	Method  string `json:"method"`
	Params  []any  `json:"params"`
}

type rpcAnswer struct {
	ID     *number         `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

// calls counts each call as a request, as providers do.
func (n *rpc) calls(ctx context.Context, p *purse, cs []rpcCall) error {
	for len(cs) > 0 {
		some := cs[:min(len(cs), n.batch)]
		cs = cs[len(some):]
		var body any
		list := make([]rpcRequest, len(some))
		for i, c := range some {
			list[i] = rpcRequest{"2.0", i + 1, c.method, c.args}
		}
		if body = list; len(list) == 1 {
			body = list[0]
		}
		err := n.c.ask(ctx, p, len(some), n.path, nil, body, func(a *answer) error {
			answers := make([]rpcAnswer, 1)
			into := any(&answers)
			if len(some) == 1 {
				into = &answers[0]
			}
			if err := a.json(into); err != nil {
				return err
			}
			done := make([]bool, len(some))
			for _, a := range answers {
				if a.Error != nil {
					return n.c.fault(rpcKind(a.Error.Code, a.Error.Message), a.Error.Message)
				}
				if a.ID == nil || *a.ID < 1 || int(*a.ID) > len(some) || len(a.Result) == 0 {
					return fmt.Errorf("it answers another question")
				}
				i := int(*a.ID) - 1
				done[i] = true
				if err := json.Unmarshal(a.Result, some[i].result); err != nil {
					return err
				}
			}
			for _, ok := range done {
				if !ok {
					return fmt.Errorf("it leaves a call without an answer")
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// rpcKind says what an error of a node means, as far as an indexer's goes.
func rpcKind(code int, text string) kind {
	text = strings.ToLower(text)
	has := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(text, w) {
				return true
			}
		}
		return false
	}
	switch {
	case code == 429, code == -32005, has("rate limit", "too many requests", "compute units per second", "exceeded its"):
		return kindRate
	case has("api key", "apikey", "unauthorized", "upgrade", "authenticated", "plan"):
		return kindDenied
	case code == -32603, code == -32000 && has("timeout", "internal"), has("try again", "temporar"):
		return kindDown
	}
	return kindRefused
}

// one makes a single call.
func one(ctx context.Context, n node, p *purse, result any, method string, args ...any) error {
	return n.calls(ctx, p, []rpcCall{{method, args, result}})
}

// nodeHeader reads the header of a block from a node.
func nodeHeader(ctx context.Context, c *client, n node, p *purse, tag any) (tracer.Block, error) {
	var h *struct {
		Number *number     `json:"number"`
		Hash   common.Hash `json:"hash"`
		Time   *number     `json:"timestamp"`
	}
	if v, ok := tag.(uint64); ok {
		tag = hexutil.EncodeUint64(v)
	}
	for range maxTries {
		if err := one(ctx, n, p, &h, "eth_getBlockByNumber", tag, false); err != nil {
			return tracer.Block{}, err
		}
		if h != nil && h.Number != nil && h.Time != nil && h.Hash != (common.Hash{}) {
			return tracer.Block{Number: uint64(*h.Number), Hash: h.Hash, Time: uint64(*h.Time)}, nil
		}
		h = nil
	}
	return tracer.Block{}, c.fault(kindRefused, fmt.Sprintf("it does not show block %v", tag))
}

// nodeTxs reads transactions with what came of them, in the order of hashes. One
// that is not there is nil.
func nodeTxs(ctx context.Context, c *client, n node, p *purse, hashes []common.Hash) ([]*tx, []*receipt, error) {
	xs, rs := make([]*tx, len(hashes)), make([]*receipt, len(hashes))
	for range 3 { // a pool may ask a node that is behind
		var cs []rpcCall
		for i, h := range hashes {
			if xs[i] == nil || xs[i].Block == nil {
				cs = append(cs, rpcCall{"eth_getTransactionByHash", []any{h}, &xs[i]})
			}
			if rs[i] == nil {
				cs = append(cs, rpcCall{"eth_getTransactionReceipt", []any{h}, &rs[i]})
			}
		}
		if len(cs) == 0 {
			break
		}
		if err := n.calls(ctx, p, cs); err != nil {
			return nil, nil, err
		}
	}
	for i, h := range hashes {
		if x, r := xs[i], rs[i]; x == nil || r == nil || x.Block == nil {
			xs[i], rs[i] = nil, nil
		} else if x.Hash != h || r.Tx != h || r.Block == nil || *r.Block != *x.Block || r.From != x.From {
			return nil, nil, c.broken("it shows another transaction than was asked for")
		}
	}
	return xs, rs, nil
}

// nodeTransactions answers [tracer.Source.Transactions] from a node, but for
// what was moved inside, which inner adds: it gets what each transaction is.
func (g *ground) nodeTransactions(ctx context.Context, c *client, n node, chain *tracer.Chain, hashes []common.Hash, most int,
	inner func(p *purse, rs []*receipt, ans *tracer.Answer) error) (ans tracer.Answer, err error) {
	if len(hashes) == 0 || ctx.Err() != nil {
		return ans, context.Cause(ctx)
	}
	p := newPurse(most)
	defer func() { ans.Requests = p.spent }()
	pinned, _, err := g.at(ctx, p)
	if err != nil {
		return ans, err
	}
	hashes = unique(hashes)
	xs, rs, err := nodeTxs(ctx, c, n, p, hashes)
	if err != nil {
		return ans, err
	}
	var got tracer.Answer
	for i, x := range xs {
		if x == nil || uint64(*x.Block) > pinned.Number {
			return ans, fmt.Errorf("transaction %s: %w", hashes[i].Hex(), tracer.ErrNotFound)
		}
		ts, err := rs[i].transfers(chain, x)
		if err != nil {
			return ans, c.broken("%v", err)
		}
		got.Transfers = append(got.Transfers, ts...)
	}
	if err := inner(p, rs, &got); err != nil {
		return ans, err
	}
	if err := g.times(ctx, p, got.Transfers); err != nil {
		return ans, err
	}
	got.Transfers = once(tracer.SortTransfers(got.Transfers))
	return got, nil
}

// times fills in the times that are missing, from the headers.
func (g *ground) times(ctx context.Context, p *purse, ts []tracer.Transfer) error {
	at := make(map[uint64]uint64)
	for i := range ts {
		if t := &ts[i]; t.Time != 0 {
			at[t.Block] = t.Time
		}
	}
	for i := range ts {
		t := &ts[i]
		if at[t.Block] == 0 {
			b, err := g.blocks.header(ctx, p, t.Block)
			if err != nil {
				return err
			}
			at[t.Block] = cmp.Or(b.Time, 1)
		}
		t.Time = at[t.Block]
	}
	return nil
}
