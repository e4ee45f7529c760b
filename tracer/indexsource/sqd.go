package indexsource

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
	"golang.org/x/time/rate"
)

// An SQD reads a chain from SQD Portal: hundreds of wallets and all that they
// moved in one streamed request.
type SQD struct {
	c     *client
	chain tracer.Chain
	ground
}

var _ tracer.Source = (*SQD)(nil)

// datasets are the names that SQD Portal has for the chains.
var datasets = map[uint64]string{1: "ethereum-mainnet", 56: "binance-mainnet", 137: "polygon-mainnet", 42161: "arbitrum-one",
	10: "optimism-mainnet", 8453: "base-mainnet", 43114: "avalanche-mainnet"}

const (
	// sqdWallets is how many wallets are asked for in one request: each takes
	// about 600 bytes of a query, which may have 256 KB.
	sqdWallets = 400
	// The public portal takes 20 requests in 10 seconds: so many at once, and
	// so many in each second.
	sqdBurst = 10
	sqdRate  = 1
	// sqdNear is how far spans may be from each other to be read in one stream:
	// scanning is cheap there, and requests are few.
	sqdNear = 7 * 24 * time.Hour
)

// NewSQD makes a source of a chain's dataset, which [Options.URL] names with its
// whole address, as in https://portal.sqd.dev/datasets/base-mainnet. SQD Portal
// has no keys. Options that make no sense are an error that wraps
// [tracer.ErrUsage].
func NewSQD(chain tracer.Chain, o Options) (*SQD, error) {
	def := ""
	if name, ok := datasets[chain.ID]; ok {
		def = "https://portal.sqd.dev/datasets/" + name
	}
	if o.Key != "" {
		return nil, fmt.Errorf("%w: SQD Portal takes no key", tracer.ErrUsage)
	}
	c, err := newClient("SQD Portal", def, sqdRate, o)
	if err != nil {
		return nil, err
	}
	if o.Rate == 0 && !o.Recorded {
		c.limit = rate.NewLimiter(sqdRate, sqdBurst)
	}
	s := &SQD{c: c, chain: chain}
	s.ground.init(s, c, o.Pin)
	return s, nil
}

type sqdHeader struct {
	Number *number     `json:"number"`
	Hash   common.Hash `json:"hash"`
	Time   *number     `json:"timestamp"`
}

// newest returns the last block that the portal calls final.
func (s *SQD) newest(ctx context.Context, p *purse) (uint64, error) {
	var h sqdHeader
	err := s.c.ask(ctx, p, 1, "finalized-head", nil, nil, func(a *answer) error {
		h = sqdHeader{}
		if err := a.json(&h); err != nil {
			return err
		}
		if h.Number == nil || h.Hash == (common.Hash{}) {
			return errors.New("it shows no newest block")
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return uint64(*h.Number), nil
}

// header reads one block, which the first and the last line of every stream show.
func (s *SQD) header(ctx context.Context, p *purse, n uint64) (b tracer.Block, err error) {
	q := sqdQuery{Type: "evm", From: n, To: n, Fields: map[string]map[string]bool{"block": sqdFields["block"]}}
	err = s.c.ask(ctx, p, 1, "finalized-stream", nil, q, func(a *answer) error {
		b = tracer.Block{}
		_, err := s.lines(a, n, n, func(l *sqdLine) error {
			b = tracer.Block{Number: n, Hash: l.Header.Hash, Time: uint64(*l.Header.Time)}
			return nil
		})
		if err == nil && b.Hash == (common.Hash{}) {
			err = fmt.Errorf("it does not show block %d", n)
		}
		return err
	})
	return b, err
}

type sqdQuery struct {
	Type   string                     `json:"type"`
	From   uint64                     `json:"fromBlock"`
	To     uint64                     `json:"toBlock"`
	Fields map[string]map[string]bool `json:"fields"`
	Logs   []sqdFilter                `json:"logs,omitempty"`
	Txs    []sqdFilter                `json:"transactions,omitempty"`
	Traces []sqdFilter                `json:"traces,omitempty"`
}

// A sqdFilter is a list for each field, and flags for what comes along.
type sqdFilter map[string]any

var sqdFields = map[string]map[string]bool{
	"block": {"number": true, "hash": true, "timestamp": true},
	"log":   {"address": true, "topics": true, "data": true, "logIndex": true, "transactionIndex": true, "transactionHash": true},
	"transaction": {"transactionIndex": true, "hash": true, "from": true, "to": true, "value": true, "status": true, "type": true, "gasUsed": true,
		"gasPrice": true, "effectiveGasPrice": true, "contractAddress": true, "l1Fee": true},
	"trace": {"transactionIndex": true, "traceAddress": true, "type": true, "error": true, "callFrom": true, "callTo": true, "callValue": true,
		"callCallType": true, "createFrom": true, "createValue": true, "createResultAddress": true, "suicideAddress": true, "suicideRefundAddress": true, "suicideBalance": true},
}

// A sqdLine is a block of a stream.
type sqdLine struct {
	Header *sqdHeader `json:"header"`
	Logs   []log      `json:"logs"`
	Txs    []sqdTx    `json:"transactions"`
	Traces []sqdTrace `json:"traces"`
}

type sqdTx struct {
	tx
	TxIndex  *number         `json:"transactionIndex"`
	Contract *common.Address `json:"contractAddress"`
	Status   *number         `json:"status"`
	Type     *number         `json:"type"`
	GasUsed  *amount         `json:"gasUsed"`
	Price    *amount         `json:"effectiveGasPrice"`
	L1Fee    *amount         `json:"l1Fee"`
}

type sqdTrace struct {
	TxIndex *number `json:"transactionIndex"`
	Path    []int   `json:"traceAddress"`
	Type    string  `json:"type"`
	Error   *string `json:"error"`
	Action  struct {
		CallType string          `json:"callType"`
		From     common.Address  `json:"from"`
		To       *common.Address `json:"to"`
		Value    *amount         `json:"value"`
		Address  common.Address  `json:"address"`       // suicide
		Refund   *common.Address `json:"refundAddress"` // suicide
		Balance  *amount         `json:"balance"`       // suicide
	} `json:"action"`
	Result *struct {
		Address *common.Address `json:"address"` // create
	} `json:"result"`
}

// ask asks for everything that wallets moved.
func (s *SQD) query(wallets []common.Address, from, to uint64) sqdQuery {
	addrs, topics := make([]string, len(wallets)), make([]string, len(wallets))
	for i, w := range wallets {
		addrs[i], topics[i] = tracer.Hex(w), topicOf(w).Hex()
	}
	transfer := []string{topicTransfer.Hex()}
	q := sqdQuery{Type: "evm", From: from, To: to, Fields: sqdFields,
		Logs: []sqdFilter{{"topic0": transfer, "topic1": topics}, {"topic0": transfer, "topic2": topics}},
		Txs:  []sqdFilter{{"from": addrs}, {"to": addrs}},
	}
	if tokens := wrapped(&s.chain); len(tokens) > 0 {
		q.Logs = append(q.Logs, sqdFilter{"address": tokens, "topic0": []string{topicDeposit.Hex(), topicWithdrawal.Hex()}, "topic1": topics})
	}
	for _, f := range [...]struct{ kind, field string }{{"call", "callFrom"}, {"call", "callTo"}, {"create", "createFrom"},
		{"create", "createResultAddress"}, {"suicide", "suicideAddress"}, {"suicide", "suicideRefundAddress"}} {
		q.Traces = append(q.Traces, sqdFilter{"type": []string{f.kind}, f.field: addrs, "transaction": true, "parents": true})
	}
	return q
}

// wrapped returns the contracts that wrap the chain's own coin.
func wrapped(chain *tracer.Chain) (addrs []string) {
	for _, t := range chain.Tokens {
		if t.Wrapped {
			addrs = append(addrs, tracer.Hex(t.Address))
		}
	}
	return addrs
}

// Transfers streams the blocks of the spans, some hundred wallets at a time.
func (s *SQD) Transfers(ctx context.Context, q tracer.Query) (tracer.Answer, error) {
	p := newPurse(q.MaxRequests)
	pinned, last, err := s.at(ctx, p)
	if err != nil {
		return refuse(ctx, q, p, err)
	}
	r := newReading(q, pinned.Number)
	known := make(map[uint64]common.Hash)
	var failed error
	for group := range slices.Chunk(r.wallets(), sqdWallets) {
		if failed = s.group(ctx, p, r, group, last, known); failed != nil {
			break
		}
	}
	if failed == nil || failed == errEnough {
		failed = context.Cause(ctx)
	}
	return r.answer(p.spent), failed
}

// group reads the blocks in which something is asked of a group of wallets.
func (s *SQD) group(ctx context.Context, p *purse, r *reading, group []common.Address, last uint64, known map[uint64]common.Hash) error {
	var spans []tracer.Span
	for _, w := range group {
		spans = append(spans, r.of[w]...)
	}
	count := make(map[common.Address]int)
	for _, b := range union(spans, s.chain.Blocks(sqdNear)) {
		at := b.From
		for at <= min(b.To, last) {
			var wallets []common.Address // those of which more is to be read
			for _, w := range group {
				if (r.most <= 0 || count[w] <= r.most) && slices.ContainsFunc(r.of[w], func(p tracer.Span) bool { return p.From <= b.To && p.To >= at }) {
					wallets = append(wallets, w)
				}
			}
			if len(wallets) == 0 {
				break
			}
			next, err := s.stream(ctx, p, r, wallets, at, min(b.To, last), known, count)
			at = next
			if err == nil {
				continue
			}
			for _, q := range spans {
				if q.From = max(q.From, at); q.From <= q.To {
					r.miss(q, tracer.PartAll, err)
				}
			}
			if !final(ctx, err) {
				return nil
			}
			for _, q := range r.spans { // the groups after this one
				if !slices.Contains(group, q.Wallet) && q.Wallet.Cmp(group[0]) > 0 {
					r.miss(q, tracer.PartAll, err)
				}
			}
			if down(err) || errors.Is(err, tracer.ErrReorg) {
				return err
			}
			return errEnough
		}
	}
	for _, q := range spans {
		if q.From = max(q.From, last+1); q.From <= q.To {
			r.miss(q, tracer.PartAll, &fault{kind: kindRefused, text: fmt.Sprintf("%s does not have the blocks after %d yet", s.c.name, last)})
		}
	}
	return nil
}

// errEnough ends a query without an error of its own.
var errEnough = errors.New("enough")

// stream makes one request and returns the first block that it did not cover.
// What breaks off is kept up to where it broke off.
func (s *SQD) stream(ctx context.Context, p *purse, r *reading, wallets []common.Address, from, to uint64, known map[uint64]common.Hash, count map[common.Address]int) (uint64, error) {
	at := from
	in := make(map[common.Address]bool, len(wallets))
	for _, w := range wallets {
		in[w] = true
	}
	err := s.c.ask(ctx, p, 1, "finalized-stream", nil, s.query(wallets, from, to), func(a *answer) error {
		if a.status == http.StatusNoContent {
			return s.c.fault(kindRefused, fmt.Sprintf("no blocks from %d on yet", at))
		}
		next, err := s.lines(a, from, to, func(l *sqdLine) error {
			n := uint64(*l.Header.Number)
			if h, ok := known[n]; ok && h != l.Header.Hash {
				return fmt.Errorf("it shows two different blocks %d", n)
			}
			known[n] = l.Header.Hash
			ts, unread, err := s.block(l, in)
			if err != nil {
				return err
			}
			for _, t := range ts {
				if r.touches(&t) {
					r.ts = append(r.ts, t)
				}
				if r.wants(t.From, n) {
					count[t.From]++
				}
				if t.To != t.From && t.Kind != tracer.KindFee && r.wants(t.To, n) {
					count[t.To]++
				}
			}
			for _, u := range unread {
				if r.wants(u.Wallet, n) {
					r.unread = append(r.unread, u)
				}
			}
			return nil
		})
		if next > at { // some is better than asking for all of it again
			at = next
			return nil
		}
		return err
	})
	return at, err
}

// lines reads the blocks of a stream and returns the first block that it did
// not get to.
func (s *SQD) lines(a *answer, from, to uint64, block func(*sqdLine) error) (next uint64, err error) {
	in := bufio.NewReaderSize(a.body, 1<<16)
	next = from
	for {
		raw, err := in.ReadBytes('\n')
		if len(strings.TrimSpace(string(raw[:min(len(raw), 64)]))) > 0 {
			var l sqdLine
			if bad := json.Unmarshal(raw, &l); bad != nil {
				return next, cmp.Or(noEOF(err), bad)
			}
			if l.Header == nil || l.Header.Number == nil || l.Header.Time == nil || l.Header.Hash == (common.Hash{}) {
				return next, errors.New("a line has no block")
			}
			if n := uint64(*l.Header.Number); n < next || n > to {
				return next, fmt.Errorf("it shows block %d where %d to %d were to come", n, next, to)
			}
			if bad := block(&l); bad != nil {
				return next, bad
			}
			next = uint64(*l.Header.Number) + 1
		}
		switch {
		case err == io.EOF && next == from:
			return next, errors.New("it has no blocks")
		case err == io.EOF:
			return next, nil
		case err != nil:
			return next, err
		}
	}
}

func noEOF(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

// block decodes a block: what wallets moved in it, and what of that it does not show.
func (s *SQD) block(l *sqdLine, in map[common.Address]bool) (ts []tracer.Transfer, unread []tracer.Unread, err error) {
	n := uint64(*l.Header.Number)
	add := func(t tracer.Transfer) {
		if t.BlockHash, t.Time = l.Header.Hash, uint64(*l.Header.Time); in[t.From] || t.Kind != tracer.KindFee && in[t.To] {
			ts = append(ts, t)
		}
	}
	for i := range l.Logs {
		l.Logs[i].Block = l.Header.Number
		t, ok, err := l.Logs[i].transfer(&s.chain)
		if err != nil {
			return nil, nil, err
		}
		if ok {
			add(t)
		}
	}
	txs := make(map[number]*sqdTx)
	for i := range l.Txs {
		x := &l.Txs[i]
		if x.TxIndex == nil || x.Hash == (common.Hash{}) {
			return nil, nil, errRow
		}
		txs[*x.TxIndex] = x
		missing := func(w common.Address, detail string) {
			if in[w] {
				unread = append(unread, tracer.Unread{Span: tracer.Span{Wallet: w, From: n, To: n}, Part: tracer.PartNative, Reason: tracer.ReasonSource, Detail: s.c.name + detail})
			}
		}
		base := tracer.Transfer{Asset: tracer.NativeOf(s.chain.ID), From: x.From, Block: n, Tx: x.Hash, TxIndex: uint32(*x.TxIndex)}
		price := x.Price
		if price == nil {
			price = x.GasPrice
		}
		deposit := x.Type != nil && *x.Type == depositType
		if deposit && price == nil {
			price = new(amount) // its gas was paid on the other chain
		}
		if x.GasUsed == nil || price == nil || x.Type != nil && *x.Type == blobType || l1Fees[s.chain.ID] && x.L1Fee == nil && !deposit {
			missing(x.From, " does not show all of the fee of a transaction")
		} else {
			paid := base
			paid.Amount = fee(x.GasUsed, price, nil, nil, x.L1Fee)
			add(paid)
		}
		to := x.To
		if to == nil {
			to = x.Contract
		}
		if x.Status == nil || x.Value == nil || to == nil {
			missing(x.From, " does not show what came of a transaction")
			if to != nil {
				missing(*to, " does not show what came of a transaction")
			}
		} else if *x.Status == 1 && !(*uint256.Int)(x.Value).IsZero() {
			base.Kind, base.To, base.Amount = tracer.KindNative, *to, uint256.Int(*x.Value)
			add(base)
		}
	}
	inner, err := s.inside(l, txs)
	if err != nil {
		return nil, nil, err
	}
	for _, t := range inner {
		add(t)
	}
	return once(tracer.SortTransfers(ts)), unread, nil
}

const (
	blobType    = 3    // EIP-4844: the price of blobs is in no field of the portal
	depositType = 0x7e // from another chain, on the OP stack
)

// inside decodes traces. One is dropped when it failed, or one above it: a
// failed call takes back what the calls in it did.
func (s *SQD) inside(l *sqdLine, txs map[number]*sqdTx) (ts []tracer.Transfer, err error) {
	type place struct {
		tx   number
		path string
	}
	failed := make(map[place]bool)
	for i := range l.Traces {
		r := &l.Traces[i]
		if r.TxIndex == nil {
			return nil, errRow
		}
		failed[place{*r.TxIndex, path(r.Path)}] = r.Error != nil && *r.Error != ""
	}
	for i := range l.Traces {
		r := &l.Traces[i]
		to, value, from := r.Action.To, r.Action.Value, r.Action.From
		switch r.Type {
		case "call":
			if r.Action.CallType != "call" && r.Action.CallType != "" {
				continue // delegatecall, staticcall and callcode carry nothing away
			}
		case "create":
			if r.Result != nil {
				to = r.Result.Address
			}
		case "suicide":
			from, to, value = r.Action.Address, r.Action.Refund, r.Action.Balance
		default:
			continue
		}
		if len(r.Path) == 0 || value == nil || (*uint256.Int)(value).IsZero() {
			continue // the top level is the transaction's own value
		}
		x := txs[*r.TxIndex]
		if x == nil || x.Status == nil {
			return nil, errors.New("it shows a trace without its transaction")
		}
		alive := *x.Status == 1
		for n := range len(r.Path) + 1 {
			bad, shown := failed[place{*r.TxIndex, path(r.Path[:n])}]
			if !shown {
				return nil, errors.New("it shows a trace without those above it")
			}
			alive = alive && !bad
		}
		if !alive || to == nil {
			continue
		}
		ts = append(ts, tracer.Transfer{Asset: tracer.NativeOf(s.chain.ID), Kind: tracer.KindInternal, From: from, To: *to, Amount: uint256.Int(*value),
			Block: uint64(*l.Header.Number), Tx: x.Hash, TxIndex: uint32(*x.TxIndex), Position: path(r.Path)})
	}
	return ts, nil
}

func path(p []int) string {
	var b []byte
	for i, n := range p {
		if i > 0 {
			b = append(b, '.')
		}
		b = strconv.AppendInt(b, int64(n), 10)
	}
	return string(b)
}

// Transactions is an error that wraps [errors.ErrUnsupported]: the portal finds
// nothing by hash.
func (s *SQD) Transactions(ctx context.Context, txs []common.Hash, _ int) (tracer.Answer, error) {
	if len(txs) == 0 || ctx.Err() != nil {
		return tracer.Answer{}, context.Cause(ctx)
	}
	return tracer.Answer{}, fmt.Errorf("SQD Portal cannot find transactions by their hash: %w", errors.ErrUnsupported)
}

// wallets returns the wallets that are asked for, sorted.
func (r *reading) wallets() []common.Address {
	return slices.SortedFunc(maps.Keys(r.of), common.Address.Cmp)
}

// union returns the blocks of spans, each once, and those between spans that
// are no more than near blocks apart.
func union(spans []tracer.Span, near uint64) (out []tracer.Span) {
	spans = slices.Clone(spans)
	slices.SortFunc(spans, func(a, b tracer.Span) int { return cmp.Compare(a.From, b.From) })
	for _, p := range spans {
		if n := len(out) - 1; n >= 0 && p.From <= out[n].To+1+near {
			out[n].To = max(out[n].To, p.To)
			continue
		}
		out = append(out, tracer.Span{From: p.From, To: p.To})
	}
	return out
}
