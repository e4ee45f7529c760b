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
	s.ground.init(s, o.Pin)
	return s, nil
}

// NewBlockscout makes a source of Blockscout: the one service for all chains,
// which needs a key, or with [Options.URL] the API of an instance, as in
// https://eth.blockscout.com/api.
func NewBlockscout(chain tracer.Chain, o Options) (*Explorer, error) {
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
		n.secrets = secrets(n.base, o.Key)
		c.query.Set("chain_id", strconv.FormatUint(chain.ID, 10))
	}
	s := &Explorer{c: c, chain: chain, node: &rpc{c: &n, path: at, batch: 1}}
	s.ground.init(s, o.Pin)
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

// A place is where a transaction is.
type place struct {
	index uint32
	hash  common.Hash // of the block
}

// exploring is the reading of one span.
type exploring struct {
	*Explorer
	r      *reading
	p      *purse
	span   tracer.Span
	places map[common.Hash]place // of the transactions seen
	told   map[common.Hash]bool  // those whose moves of native coin are in logs
}

func (e *exploring) run(ctx context.Context) error {
	for _, part := range [...]struct {
		part tracer.Part
		read func(context.Context) error
	}{{tracer.PartTokens, e.tokens}, {tracer.PartNative, e.txs}, {tracer.PartInternal, e.inside}} {
		n := len(e.r.ts)
		if err := part.read(ctx); err != nil {
			if final(ctx, err) {
				return err
			}
			e.r.ts = e.r.ts[:n]
			e.r.miss(e.span, part.part, err)
		}
	}
	return nil
}

// list reads a list of the span and records what it does not show.
func (e *exploring) list(ctx context.Context, part tracer.Part, q url.Values, row func(json.RawMessage) (int, error)) error {
	dense, err := e.rows(ctx, e.p, q, e.span.From, e.span.To, e.r.most, row)
	for _, b := range dense {
		e.gap(part, b, "has more rows in one block than it shows")
	}
	return err
}

func (e *exploring) gap(part tracer.Part, block uint64, what string) {
	e.r.miss(tracer.Span{Wallet: e.span.Wallet, From: block, To: block}, part, &fault{kind: kindRefused, text: e.c.name + " " + what})
}

func (e *exploring) add(t tracer.Transfer) {
	e.places[t.Tx] = place{t.TxIndex, t.BlockHash}
	if t.Kind == tracer.KindToken && t.Asset.Kind == tracer.Native {
		e.told[t.Tx] = true
	}
	e.r.ts = append(e.r.ts, t)
}

// tokens reads logs by their topics: unlike the lists of token transfers, logs
// have their index, and no token is missing.
func (e *exploring) tokens(ctx context.Context) error {
	me := topicOf(e.span.Wallet).Hex()
	logs := func(more map[string]string) error {
		q := url.Values{"module": {"logs"}, "action": {"getLogs"}}
		for k, v := range more {
			q.Set(k, v)
		}
		return e.list(ctx, tracer.PartTokens, q, func(raw json.RawMessage) (int, error) {
			var l log
			if err := json.Unmarshal(raw, &l); err != nil {
				return 0, err
			}
			if l.Time == nil {
				return 0, errRow
			}
			t, ok, err := l.transfer(&e.chain)
			if err != nil || !ok || t.From != e.span.Wallet && t.To != e.span.Wallet {
				return 0, err
			}
			e.add(t)
			return 1, nil
		})
	}
	n, m := len(e.r.ts), len(e.r.unread)
	var err error
	for _, topic := range []string{"topic1", "topic2"} {
		if e.listed.Load() {
			break
		}
		if err = logs(map[string]string{"topic0": topicTransfer.Hex(), topic: me, "topic0_" + topic[5:] + "_opr": "and"}); err != nil {
			break
		}
	}
	if f, ok := errors.AsType[*fault](err); ok && f.kind == kindRefused {
		e.listed.Store(true)
		e.r.ts, e.r.unread, err = e.r.ts[:n], e.r.unread[:m], nil
	}
	if err == nil && e.listed.Load() {
		err = e.tokenLists(ctx)
	}
	for _, token := range wrapped(&e.chain) {
		for _, topic := range []common.Hash{topicDeposit, topicWithdrawal} {
			if err == nil {
				err = logs(map[string]string{"address": token, "topic0": topic.Hex(), "topic1": me, "topic0_1_opr": "and"})
			}
		}
	}
	return err
}

// tokenLists reads the lists of token transfers. Where their rows have no log
// index, they only say which transactions to look at.
func (e *exploring) tokenLists(ctx context.Context) error {
	var look []common.Hash
	times := make(map[common.Hash]uint64)
	for _, action := range []string{"tokentx", "tokennfttx"} {
		q := url.Values{"module": {"account"}, "action": {action}, "address": {tracer.Hex(e.span.Wallet)}}
		err := e.list(ctx, tracer.PartTokens, q, func(raw json.RawMessage) (int, error) {
			var v struct {
				explorerRow
				Index *number `json:"logIndex"`
				ID    *amount `json:"tokenID"`
			}
			if err := json.Unmarshal(raw, &v); err != nil {
				return 0, err
			}
			t, err := v.transfer()
			if err != nil {
				return 0, err
			}
			if v.Index == nil || v.TxIndex == nil {
				look, times[t.Tx] = append(look, t.Tx), t.Time
				return 1, nil
			}
			token, ok := parse(v.Contract)
			t.Kind, t.Asset, t.Amount = tracer.KindToken, tracer.TokenOf(e.chain.ID, token), uint256.Int{}
			t.Position = strconv.FormatUint(uint64(*v.Index), 10)
			switch {
			case ok && action == "tokennfttx" && v.ID != nil:
				t.Kind, t.Asset.Kind, t.Amount = tracer.KindNFT, tracer.NFT, uint256.Int(*v.ID)
			case ok && action == "tokentx" && v.Value != nil:
				t.Amount = uint256.Int(*v.Value)
			default:
				return 0, errRow
			}
			if token == tracer.NativeLogs {
				t.Asset = tracer.NativeOf(e.chain.ID)
			}
			e.add(t)
			return 1, nil
		})
		if err != nil {
			return err
		}
	}
	for _, h := range unique(look) {
		var rc *receipt
		if err := one(ctx, e.node, e.p, &rc, "eth_getTransactionReceipt", h); err != nil {
			return err
		}
		if rc == nil || rc.Tx != h {
			return e.c.broken("it does not show what came of a transaction that it lists")
		}
		ts, err := rc.transfers(&e.chain, &tx{GasPrice: new(amount)})
		if err != nil {
			return e.c.broken("%v", err)
		}
		for _, t := range ts[1:] { // the first is the fee
			if t.Time = times[h]; t.From == e.span.Wallet || t.To == e.span.Wallet {
				e.add(t)
			}
		}
	}
	return nil
}

// An explorerRow is a row of the account API: everything is a text.
type explorerRow struct {
	Block     *number     `json:"blockNumber"`
	Time      *number     `json:"timeStamp"`
	Hash      common.Hash `json:"hash"`
	BlockHash common.Hash `json:"blockHash"`
	TxIndex   *number     `json:"transactionIndex"`
	From      string      `json:"from"`
	To        string      `json:"to"`
	Contract  string      `json:"contractAddress"`
	Value     *amount     `json:"value"`
	GasUsed   *amount     `json:"gasUsed"`
	GasPrice  *amount     `json:"gasPrice"`
	IsError   string      `json:"isError"`
	Status    string      `json:"txreceipt_status"`
	Type      string      `json:"type"`
	TraceID   string      `json:"traceId"`
}

func parse(s string) (common.Address, bool) {
	return common.HexToAddress(s), strings.HasPrefix(s, "0x") && common.IsHexAddress(s)
}

// transfer fills in what all lists have.
func (v *explorerRow) transfer() (t tracer.Transfer, err error) {
	from, ok := parse(v.From)
	to, okTo := parse(v.To)
	if !okTo && v.To == "" { // a new contract
		to, okTo = parse(v.Contract)
	}
	if !ok || !okTo || v.Block == nil || v.Time == nil || v.Hash == (common.Hash{}) {
		return t, errRow
	}
	t = tracer.Transfer{From: from, To: to, Block: uint64(*v.Block), BlockHash: v.BlockHash, Time: uint64(*v.Time), Tx: v.Hash}
	if v.TxIndex != nil {
		t.TxIndex = uint32(*v.TxIndex)
	}
	if v.Value != nil {
		t.Amount = uint256.Int(*v.Value)
	}
	return t, nil
}

// l1Fees are the chains whose transactions pay a fee that the account API does
// not show.
var l1Fees = map[uint64]bool{10: true, 8453: true}

// txs reads the transactions: values and fees.
func (e *exploring) txs(ctx context.Context) error {
	q := url.Values{"module": {"account"}, "action": {"txlist"}, "address": {tracer.Hex(e.span.Wallet)}}
	return e.list(ctx, tracer.PartNative, q, func(raw json.RawMessage) (int, error) {
		if n, _ := blockOf(raw); n == 0 {
			return 0, nil // what the genesis block gave: no transactions
		}
		var v explorerRow
		if err := json.Unmarshal(raw, &v); err != nil {
			return 0, err
		}
		t, err := v.transfer()
		if err != nil || v.TxIndex == nil || v.Value == nil || v.GasUsed == nil || v.GasPrice == nil || v.IsError != "0" && v.IsError != "1" {
			return 0, errRow
		}
		t.Asset, t.Kind = tracer.NativeOf(e.chain.ID), tracer.KindNative
		if v.IsError == "0" && v.Status != "0" && !t.Amount.IsZero() {
			e.add(t)
		}
		e.places[t.Tx] = place{t.TxIndex, t.BlockHash}
		switch {
		case t.From != e.span.Wallet:
			return 0, nil
		case l1Fees[e.chain.ID]:
			e.gap(tracer.PartNative, t.Block, "does not show all of the fees of this chain")
			return 0, nil
		}
		t.Kind, t.To, t.Amount = tracer.KindFee, common.Address{}, fee(v.GasUsed, v.GasPrice, nil, nil, nil)
		e.add(t)
		return 1, nil
	})
}

// inside reads internal transactions.
func (e *exploring) inside(ctx context.Context) error {
	q := url.Values{"module": {"account"}, "action": {"txlistinternal"}, "address": {tracer.Hex(e.span.Wallet)}}
	var ts []tracer.Transfer
	var placeless []uint64
	err := e.list(ctx, tracer.PartInternal, q, func(raw json.RawMessage) (int, error) {
		t, ok, err := e.internal(raw)
		if err != nil || !ok || t.From != e.span.Wallet && t.To != e.span.Wallet {
			return 0, err
		}
		if t.Position == "" {
			placeless = append(placeless, t.Block)
			return 0, nil
		}
		ts = append(ts, t)
		if e.told[t.Tx] {
			return 0, nil
		}
		return 1, nil
	})
	if err != nil {
		return err
	}
	for _, b := range slices.Compact(placeless) {
		e.gap(tracer.PartInternal, b, "does not show the place of an internal transfer in its transaction")
	}
	for _, t := range ts {
		at, ok := e.places[t.Tx]
		if !ok {
			var x *tx
			if err := one(ctx, e.node, e.p, &x, "eth_getTransactionByHash", t.Tx); err != nil {
				return err
			}
			if x == nil || x.Hash != t.Tx || x.Index == nil || x.Block == nil || uint64(*x.Block) != t.Block {
				return e.c.broken("it does not show a transaction that it lists")
			}
			at = place{uint32(*x.Index), x.BlockHash}
			e.places[t.Tx] = at
		}
		t.TxIndex, t.BlockHash = at.index, at.hash
		e.r.ts = append(e.r.ts, t)
	}
	return nil
}

// internal decodes a row of internal transactions; the position is empty where
// the row does not tell it.
func (s *Explorer) internal(raw json.RawMessage) (t tracer.Transfer, ok bool, err error) {
	var v struct {
		explorerRow
		Tx       common.Hash `json:"transactionHash"` // Blockscout's
		CallType string      `json:"callType"`
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		return t, false, err
	}
	if v.Hash == (common.Hash{}) {
		v.Hash = v.Tx
	}
	switch v.Type {
	case "call":
		if v.CallType != "" && v.CallType != "call" {
			return t, false, nil
		}
	case "create", "create2", "suicide", "selfdestruct":
	default:
		return t, false, nil
	}
	if v.IsError != "0" || v.Value == nil || (*uint256.Int)(v.Value).IsZero() {
		return t, false, nil
	}
	if t, err = v.transfer(); err != nil {
		return t, false, err
	}
	t.Asset, t.Kind = tracer.NativeOf(s.chain.ID), tracer.KindInternal
	t.Position = strings.ReplaceAll(v.TraceID, "_", ".")
	for n := range strings.SplitSeq(t.Position, ".") {
		if _, err := strconv.ParseUint(n, 10, 31); err != nil {
			t.Position = ""
			break
		}
	}
	return t, true, nil
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
