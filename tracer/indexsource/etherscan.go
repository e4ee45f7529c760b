package indexsource

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
)

// An Explorer reads a chain from an explorer with Etherscan's account API, one
// wallet at a time: its logs, its transactions and its internal transactions.
type Explorer struct {
	c     *client
	chain tracer.Chain
	node  node
	ground
	listed atomic.Bool // logs are not found by their topics alone; the token lists are read
}

var _ tracer.Source = (*Explorer)(nil)

const (
	explorerRows   = 1000   // of a page on the free plan, since July 2026
	explorerWindow = 10_000 // page times rows
	etherscanRate  = 3
	blockscoutRate = 5
)

// NewEtherscan makes a source of Etherscan V2, which needs a key. Its free plan
// does not have BSC, Base, Optimism and Avalanche. Options that make no sense
// are an error that wraps [tracer.ErrUsage].
func NewEtherscan(chain tracer.Chain, o Options) (*Explorer, error) {
	if tracer.Tron(chain.ID) {
		return nil, fmt.Errorf("%w: Etherscan does not have %s; TronGrid does", tracer.ErrUsage, chain.Title)
	}
	c, err := newClient("Etherscan", "https://api.etherscan.io/v2/api", etherscanRate, o)
	if err != nil {
		return nil, err
	}
	c.query.Set("chainid", strconv.FormatUint(chain.ID, 10))
	if o.Key != "" {
		c.query.Set("apikey", o.Key)
	}
	s := &Explorer{c: c, chain: chain}
	s.node = &proxy{s}
	s.ground.init(s, c, o.Pin)
	return s, nil
}

// NewBlockscout makes a source of Blockscout: the one service for all chains,
// which needs a key, or with [Options.URL] the API of an instance, as in
// https://eth.blockscout.com/api.
func NewBlockscout(chain tracer.Chain, o Options) (*Explorer, error) {
	if tracer.Tron(chain.ID) {
		return nil, fmt.Errorf("%w: Blockscout does not have %s; TronGrid does", tracer.ErrUsage, chain.Title)
	}
	c, err := newClient("Blockscout", "https://api.blockscout.com/v2/api", blockscoutRate, o)
	if err != nil {
		return nil, err
	}
	if o.Key != "" {
		c.header.Set("Authorization", "Bearer "+o.Key)
	}
	n := *c
	n.query = make(url.Values)
	at := "eth-rpc"
	if o.URL == "" {
		n.base, at = n.base.JoinPath("../..", strconv.FormatUint(chain.ID, 10), "json-rpc"), ""
		n.secrets = tracer.Scrubber([]*url.URL{n.base}, o.Key)
		c.query.Set("chain_id", strconv.FormatUint(chain.ID, 10))
	}
	s := &Explorer{c: c, chain: chain, node: &rpc{c: &n, path: at, batch: 1}}
	s.ground.init(s, c, o.Pin)
	return s, nil
}

// A proxy is a node behind Etherscan's module of that name.
type proxy struct{ s *Explorer }

// calls makes one request for each call: lists are not taken.
func (x *proxy) calls(ctx context.Context, p *purse, cs []rpcCall) error {
	for _, c := range cs {
		q := url.Values{"module": {"proxy"}, "action": {c.method}}
		switch c.method {
		case "eth_getBlockByNumber":
			q.Set("tag", fmt.Sprint(c.args[0]))
			q.Set("boolean", "false")
		case "eth_getTransactionByHash", "eth_getTransactionReceipt":
			q.Set("txhash", fmt.Sprint(c.args[0]))
		}
		err := x.s.c.ask(ctx, p, 1, "", q, nil, func(a *answer) error {
			var v struct {
				explorerAnswer
				rpcAnswer
				Result json.RawMessage `json:"result"`
			}
			if err := a.json(&v); err != nil {
				return err
			}
			if v.Error != nil {
				return x.s.c.fault(rpcKind(v.Error.Code, v.Error.Message), v.Error.Message)
			}
			if v.Status != "" {
				return x.s.refusal(v.Message, v.Result)
			}
			if len(v.Result) == 0 {
				return errors.New("it has no result")
			}
			return json.Unmarshal(v.Result, c.result)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

type explorerAnswer struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

// refusal makes an error of an answer that is not OK: the text is in its result.
func (s *Explorer) refusal(message string, result json.RawMessage) *fault {
	said := message
	if text := ""; json.Unmarshal(result, &text) == nil && text != "" {
		said = text
	}
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(strings.ToLower(said), w) })
	}
	switch {
	case has("rate limit", "too many requests"):
		return s.c.fault(kindRate, said)
	case has("api key", "apikey", "free api access", "upgrade", "api pro", "daily limit", "not supported for this chain"):
		return s.c.fault(kindDenied, said)
	case has("timeout", "timed out", "busy", "try again", "unexpected error", "temporar"):
		return s.c.fault(kindDown, said)
	}
	return s.c.fault(kindRefused, said)
}

func (s *Explorer) newest(ctx context.Context, p *purse) (uint64, error) {
	var n number
	if err := one(ctx, s.node, p, &n, "eth_blockNumber"); err != nil {
		return 0, err
	}
	return uint64(n) - min(uint64(n), s.chain.FinalityDepth), nil
}

func (s *Explorer) header(ctx context.Context, p *purse, n uint64) (tracer.Block, error) {
	return nodeHeader(ctx, s.c, s.node, p, n)
}

// page asks for one page of rows.
func (s *Explorer) page(ctx context.Context, p *purse, q url.Values, from, to uint64, page, size int) (rows []json.RawMessage, err error) {
	q = maps.Clone(q)
	first, last := "startblock", "endblock"
	if q.Get("module") == "logs" {
		first, last = "fromBlock", "toBlock"
	} else {
		q.Set("sort", "asc")
	}
	q.Set(first, strconv.FormatUint(from, 10))
	q.Set(last, strconv.FormatUint(to, 10))
	q.Set("page", strconv.Itoa(page))
	q.Set("offset", strconv.Itoa(size))
	err = s.c.ask(ctx, p, 1, "", q, nil, func(a *answer) error {
		rows = nil
		var v struct {
			explorerAnswer
			Result json.RawMessage `json:"result"`
		}
		if err := a.json(&v); err != nil {
			return err
		}
		switch {
		case v.Status == "1":
		case v.Status == "0" && strings.HasPrefix(v.Message, "No "): // … found
		default:
			return s.refusal(v.Message, v.Result)
		}
		if err := json.Unmarshal(v.Result, &rows); err != nil {
			return err
		}
		if len(rows) > size || v.Status == "0" && len(rows) > 0 {
			return errors.New("it has more rows than were asked for")
		}
		return s.inOrder(rows, from, to)
	})
	return rows, err
}

func blockOf(row json.RawMessage) (uint64, error) {
	var r struct {
		Block *number `json:"blockNumber"`
	}
	if err := json.Unmarshal(row, &r); err != nil {
		return 0, err
	}
	if r.Block == nil {
		return 0, errRow
	}
	return uint64(*r.Block), nil
}

func (s *Explorer) inOrder(rows []json.RawMessage, from, to uint64) error {
	at := from
	for _, row := range rows {
		n, err := blockOf(row)
		if err != nil {
			return err
		}
		if n < at || n > to {
			return fmt.Errorf("it shows a row of block %d where %d to %d were to come", n, at, to)
		}
		at = n
	}
	return nil
}

// full reports whether there may be more after a page of n rows: also when it
// is of a round size that nobody asked for, as from an endpoint that cuts
// silently.
func full(n, size int) bool { return n > 0 && (n >= size || n%100 == 0) }

// rows reads all pages of a list. row counts what it makes of a row; with more
// than most of these the reading ends. dense are blocks with more rows than the
// endpoint shows, of which none is kept.
func (s *Explorer) rows(ctx context.Context, p *purse, q url.Values, from, to uint64, most int, row func(json.RawMessage) (int, error)) (dense []uint64, err error) {
	count := 0
	keep := func(rows []json.RawMessage) (enough bool, err error) {
		for _, r := range rows {
			n, err := row(r)
			if err != nil {
				return false, s.c.broken("%v", err)
			}
			count += n
		}
		return most > 0 && count > most, nil
	}
	for at := from; at <= to; {
		page, err := s.page(ctx, p, q, at, to, 1, explorerRows)
		if err != nil {
			return nil, err
		}
		last, next := uint64(0), to+1
		if full(len(page), explorerRows) {
			last, _ = blockOf(page[len(page)-1]) // checked before
			next = last
		}
		if next == at { // all of one block
			size := len(page)
			if page, err = s.block(ctx, p, q, at, size); err != nil {
				return nil, err
			}
			if page == nil {
				dense = append(dense, at)
			}
			next++
		} else if next <= to { // the block may go on: it is asked for anew
			page = slices.DeleteFunc(page, func(r json.RawMessage) bool { n, _ := blockOf(r); return n == last })
		}
		if enough, err := keep(page); err != nil || enough {
			return dense, err
		}
		at = next
	}
	return dense, nil
}

// block reads one block of a list, page by page; nil when it has too many rows.
func (s *Explorer) block(ctx context.Context, p *purse, q url.Values, n uint64, size int) ([]json.RawMessage, error) {
	var all []json.RawMessage
	for page := 1; page*size <= explorerWindow; page++ {
		rows, err := s.page(ctx, p, q, n, n, page, size)
		if err != nil {
			return nil, err
		}
		if all = append(all, rows...); len(rows) < size {
			return all, nil
		}
	}
	return nil, nil
}

// Transfers reads wallet by wallet.
func (s *Explorer) Transfers(ctx context.Context, q tracer.Query) (tracer.Answer, error) {
	p := newPurse(q.MaxRequests)
	pinned, last, err := s.at(ctx, p)
	if err != nil {
		return refuse(ctx, q, p, err)
	}
	r := newReading(q, pinned.Number)
	err = r.each(ctx, last, s.c.name, func(span tracer.Span) error {
		return (&exploring{s, r, p, span, make(map[common.Hash]place), make(map[common.Hash]bool)}).run(ctx)
	})
	return r.answer(p.spent), err
}

// Transactions reads transactions from the explorer's node, and what was moved
// inside them from its list of the internal transactions of a block.
func (s *Explorer) Transactions(ctx context.Context, txs []common.Hash, most int) (tracer.Answer, error) {
	return s.nodeTransactions(ctx, s.c, s.node, &s.chain, txs, most, func(p *purse, rs []*receipt, ans *tracer.Answer) error {
		of := make(map[uint64][]*receipt)
		var numbers []uint64
		for _, r := range rs {
			if *r.Status == 1 && !(*uint256.Int)(r.GasUsed).Eq(uint256.NewInt(plainGas)) {
				n := uint64(*r.Block)
				if of[n] == nil {
					numbers = append(numbers, n)
				}
				of[n] = append(of[n], r)
			}
		}
		slices.Sort(numbers)
		for _, n := range numbers {
			in := make(map[common.Hash]*receipt)
			for _, r := range of[n] {
				in[r.Tx] = r
			}
			q := url.Values{"module": {"account"}, "action": {"txlistinternal"}}
			var why error
			dense, err := s.rows(ctx, p, q, n, n, 0, func(raw json.RawMessage) (int, error) {
				t, ok, err := s.internal(raw)
				r := in[t.Tx]
				if err != nil || !ok || r == nil {
					return 0, err
				}
				if t.Position == "" {
					why = errPlaceless
					return 0, nil
				}
				t.TxIndex, t.BlockHash = uint32(*r.TxIndex), r.BlockHash
				ans.Transfers = append(ans.Transfers, t)
				return 1, nil
			})
			if err != nil && final(ctx, err) {
				return err
			}
			if err != nil {
				why = err
			} else if dense != nil {
				why = errPlaceless
			}
			if why == nil {
				continue
			}
			for _, r := range of[n] {
				ans.Unread = append(ans.Unread, tracer.Unread{Span: tracer.Span{Wallet: r.From, From: n, To: n},
					Part: tracer.PartInternal, Reason: tracer.ReasonNoTraces, Detail: why.Error()})
			}
		}
		sortUnread(ans.Unread)
		return nil
	})
}

var errPlaceless = errors.New("the explorer does not show the place of an internal transfer in its transaction")

// plainGas is what a transaction uses that calls nothing.
const plainGas = 21_000
