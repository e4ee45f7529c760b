package indexsource

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"sync"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
)

// A TronGrid reads Tron from TronGrid, one wallet at a time. Its lists say
// which transactions to look at and what they cost; where these are and what their
// logs say is read through its JSON-RPC.
type TronGrid struct {
	c     *client
	chain tracer.Chain
	node  *rpc
	ground

	mu    sync.Mutex
	times map[uint64]uint64 // of blocks
}

var _ tracer.Source = (*TronGrid)(nil)

const (
	tronID    = 728126428
	tronRate  = 10  // requests a second; keys were good for 15
	tronRows  = 200 // of a page
	tronBatch = 20
	tronTimes = 1 << 16 // blocks whose times are remembered
)

// NewTronGrid makes a source of TronGrid. Amounts are in sun, millionths of TRX.
// Options that make no sense are an error that wraps [tracer.ErrUsage].
func NewTronGrid(chain tracer.Chain, o Options) (*TronGrid, error) {
	def := ""
	if chain.ID == tronID {
		def = "https://api.trongrid.io"
	}
	c, err := newClient("TronGrid", def, tronRate, o)
	if err != nil {
		return nil, err
	}
	if o.Key != "" {
		c.header.Set("TRON-PRO-API-KEY", o.Key)
	}
	c.forbids = true
	s := &TronGrid{c: c, chain: chain, node: &rpc{c: c, path: "jsonrpc", batch: tronBatch}, times: make(map[uint64]uint64)}
	s.ground.init(s, c, o.Pin)
	return s, nil
}

// newest returns the last solid block.
func (s *TronGrid) newest(ctx context.Context, p *purse) (uint64, error) {
	var id number
	if err := one(ctx, s.node, p, &id, "eth_chainId"); err != nil {
		return 0, err
	}
	if uint64(id) != s.chain.ID {
		return 0, fmt.Errorf("%w: TronGrid's endpoint serves chain %d, not %s", tracer.ErrWrongChain, id, s.chain.Title)
	}
	var n number
	err := s.c.ask(ctx, p, 1, "walletsolidity/getnowblock", nil, struct{}{}, func(a *answer) error {
		var v struct {
			Header struct {
				Raw struct {
					Number *number `json:"number"`
				} `json:"raw_data"`
			} `json:"block_header"`
		}
		if err := a.json(&v); err != nil {
			return err
		}
		if v.Header.Raw.Number == nil {
			return errors.New("it shows no newest block")
		}
		n = *v.Header.Raw.Number
		return nil
	})
	return uint64(n), err
}

func (s *TronGrid) header(ctx context.Context, p *purse, n uint64) (tracer.Block, error) {
	b, err := nodeHeader(ctx, s.c, s.node, p, n)
	if err == nil {
		s.mu.Lock()
		if len(s.times) >= tronTimes {
			clear(s.times)
		}
		s.times[n] = b.Time
		s.mu.Unlock()
	}
	return b, err
}

// timeOf returns when a block was made.
func (s *TronGrid) timeOf(ctx context.Context, p *purse, n uint64) (uint64, error) {
	s.mu.Lock()
	t, ok := s.times[n]
	s.mu.Unlock()
	if ok {
		return t, nil
	}
	b, err := s.header(ctx, p, n)
	return b.Time, err
}

// A tronHash is the hash of a transaction, without 0x.
type tronHash common.Hash

// UnmarshalJSON reads 64 hex digits in quotes.
func (h *tronHash) UnmarshalJSON(b []byte) error {
	s := unquote(b)
	if len(s) != 64 {
		return fmt.Errorf("%.80q is not the id of a transaction", s)
	}
	return (*common.Hash)(h).UnmarshalText([]byte("0x" + s))
}

// A tronRet is the result of the one contract of a transaction.
type tronRet struct {
	Result string  `json:"contractRet"`
	Fee    *amount `json:"fee"` // none when nothing was burned
}

// fee is what the lists say that a transaction cost.
func (x *tronTx) fee() *amount {
	if len(x.Ret) == 0 {
		return nil
	}
	return x.Ret[0].Fee
}

// A tronTx is a transaction.
type tronTx struct {
	ID  tronHash  `json:"txID"`
	Ret []tronRet `json:"ret"`
	Raw struct {
		Contract []struct {
			Type      string `json:"type"`
			Parameter struct {
				Value struct {
					Owner    string  `json:"owner_address"`
					To       string  `json:"to_address"`
					Contract string  `json:"contract_address"`
					Amount   *amount `json:"amount"`     // TransferContract
					Call     *amount `json:"call_value"` // TriggerSmartContract
					New      *struct {
						Call *amount `json:"call_value"`
					} `json:"new_contract"` // CreateSmartContract
				} `json:"value"`
			} `json:"parameter"`
		} `json:"contract"`
	} `json:"raw_data"`
	Time *number `json:"block_timestamp"`
}

// transfers returns the fee and the value of a transaction at the place that
// its receipt tells.
func (x *tronTx) transfers(chain *tracer.Chain, r *receipt, paid *amount) ([]tracer.Transfer, error) {
	if len(x.Raw.Contract) != 1 || len(x.Ret) == 0 {
		return nil, errRow
	}
	c := &x.Raw.Contract[0]
	from, err := tracer.ParseTronAddress(c.Parameter.Value.Owner)
	if err != nil {
		return nil, err
	}
	t := tracer.Transfer{Asset: tracer.NativeOf(chain.ID), From: from, Kind: tracer.KindFee, Block: uint64(*r.Block), BlockHash: r.BlockHash,
		Tx: common.Hash(x.ID), TxIndex: uint32(*r.TxIndex)}
	if paid != nil {
		t.Amount = uint256.Int(*paid)
	}
	ts := []tracer.Transfer{t}
	if x.Ret[0].Result != "SUCCESS" {
		return ts, nil
	}
	v := &c.Parameter.Value
	to, value := "", (*amount)(nil)
	switch c.Type {
	case "TransferContract":
		to, value = v.To, v.Amount
	case "TriggerSmartContract":
		to, value = v.Contract, v.Call
	case "CreateSmartContract":
		if v.New != nil {
			value = v.New.Call
		}
	}
	if value == nil || (*uint256.Int)(value).IsZero() {
		return ts, nil
	}
	t.Kind, t.Amount = tracer.KindNative, uint256.Int(*value)
	if c.Type == "CreateSmartContract" {
		if r.Contract == nil {
			return nil, errRow
		}
		t.To = *r.Contract
	} else if t.To, err = tracer.ParseTronAddress(to); err != nil {
		return nil, err
	}
	return append(ts, t), nil
}

// tronPages reads all pages of a list of a wallet. The times are in seconds.
func tronPages[T any](ctx context.Context, s *TronGrid, p *purse, w common.Address, list string, from, to uint64, timeOf func(*T) *number, visit func(*T) (enough bool)) error {
	q := url.Values{"limit": {strconv.Itoa(tronRows)}, "only_confirmed": {"true"}, "order_by": {"block_timestamp,asc"}}
	seen := make(map[string]bool)
	at := from * 1000
	q.Set("max_timestamp", strconv.FormatUint(to*1000, 10))
	for first := at; ; {
		q.Set("min_timestamp", strconv.FormatUint(first, 10))
		var page struct {
			Success bool   `json:"success"`
			Error   string `json:"error"`
			Rows    []T    `json:"data"`
			Meta    struct {
				Next string `json:"fingerprint"`
			} `json:"meta"`
		}
		err := s.c.ask(ctx, p, 1, "v1/accounts/"+tracer.TronAddress(w)+"/"+list, q, nil, func(a *answer) error {
			page.Rows, page.Meta.Next, page.Success = nil, "", false
			if err := a.json(&page); err != nil {
				return err
			}
			if !page.Success {
				return s.c.fault(kindRefused, page.Error)
			}
			last := at
			for i := range page.Rows {
				t := timeOf(&page.Rows[i])
				if t == nil || uint64(*t) < last || uint64(*t) > to*1000 {
					return errors.New("its rows are not of the times asked for, or not in order")
				}
				last = uint64(*t)
			}
			return nil
		})
		if err != nil {
			return err
		}
		for i := range page.Rows {
			at = uint64(*timeOf(&page.Rows[i]))
			if visit(&page.Rows[i]) {
				return nil
			}
		}
		switch next := page.Meta.Next; {
		case next != "" && seen[next]:
			return s.c.broken("its pages go round in a circle")
		case next != "":
			seen[next] = true
			q.Set("fingerprint", next)
		case full(len(page.Rows), tronRows) && at > first: // cut, and nobody says so
			first = at
			clear(seen)
			q.Del("fingerprint")
		default:
			return nil
		}
	}
}

// Transfers reads wallet by wallet.
func (s *TronGrid) Transfers(ctx context.Context, q tracer.Query) (tracer.Answer, error) {
	p := newPurse(q.MaxRequests)
	pinned, last, err := s.at(ctx, p)
	if err != nil {
		return refuse(ctx, q, p, err)
	}
	r := newReading(q, pinned.Number)
	err = r.each(ctx, last, s.c.name, func(span tracer.Span) error { return s.wallet(ctx, p, r, span) })
	return r.answer(p.spent), err
}

type tronToken struct {
	ID   tronHash `json:"transaction_id"`
	Type string   `json:"type"` // Transfer or Approval
	Time *number  `json:"block_timestamp"`
}

type tronInner struct {
	Tx   tronHash `json:"tx_id"`
	Time *number  `json:"block_timestamp"`
	Data struct {
		Rejected bool               `json:"rejected"`
		Call     map[string]*amount `json:"call_value"` // by token; _ is TRX
	} `json:"data"`
}

// wallet reads a span.
func (s *TronGrid) wallet(ctx context.Context, p *purse, r *reading, span tracer.Span) error {
	from, err := s.timeOf(ctx, p, span.From)
	if err != nil {
		return err
	}
	to, err := s.timeOf(ctx, p, span.To)
	if err != nil {
		return err
	}
	times := make(map[common.Hash]uint64)
	count := 0
	seen := func(h tronHash, t *number, certain bool) bool {
		times[common.Hash(h)] = uint64(*t) / 1000
		if certain {
			count++
		}
		if r.most > 0 && count > r.most { // all that is later is of no use
			to = uint64(*t) / 1000
			return true
		}
		return false
	}
	if err := tronPages(ctx, s, p, span.Wallet, "transactions/trc20", from, to, func(t *tronToken) *number { return t.Time },
		func(t *tronToken) bool { return seen(t.ID, t.Time, t.Type == "Transfer") }); err != nil {
		return err
	}
	count = 0
	txs := make(map[common.Hash]*tronTx)
	if err := tronPages(ctx, s, p, span.Wallet, "transactions", from, to, func(t *tronTx) *number { return t.Time }, func(t *tronTx) bool {
		txs[common.Hash(t.ID)] = t
		return seen(t.ID, t.Time, false)
	}); err != nil {
		return err
	}
	inner := make(map[common.Hash]bool)
	err = tronPages(ctx, s, p, span.Wallet, "internal-transactions", from, to, func(t *tronInner) *number { return t.Time }, func(t *tronInner) bool {
		if v := t.Data.Call["_"]; !t.Data.Rejected && v != nil && !(*uint256.Int)(v).IsZero() {
			inner[common.Hash(t.Tx)] = true
			times[common.Hash(t.Tx)] = uint64(*t.Time) / 1000
		}
		return false
	})
	if err != nil {
		if final(ctx, err) {
			return err
		}
		r.miss(span, tracer.PartInternal, err)
	}
	var hashes []common.Hash
	for h := range times {
		hashes = append(hashes, h)
	}
	hashes = unique(hashes)
	receipts, err := s.receipts(ctx, p, hashes)
	if err != nil {
		return err
	}
	for i, rc := range receipts {
		n := uint64(*rc.Block)
		if n < span.From || n > span.To {
			return s.c.broken("it shows a transaction of block %d where %d to %d were asked for", n, span.From, span.To)
		}
		if inner[rc.Tx] {
			r.miss(tracer.Span{Wallet: span.Wallet, From: n, To: n}, tracer.PartInternal, &fault{kind: kindRefused, text: "TronGrid does not show the place of an internal transfer in its transaction"})
		}
		ts, err := rc.transfers(&s.chain, &tx{GasPrice: new(amount)})
		if err != nil {
			return s.c.broken("%v", err)
		}
		ts = ts[1:] // the fee is another here
		if x := txs[rc.Tx]; x != nil {
			own, err := x.transfers(&s.chain, rc, x.fee())
			if err != nil {
				return s.c.broken("%v", err)
			}
			ts = append(ts, own...)
		}
		for _, t := range ts {
			if t.Time = times[hashes[i]]; t.From == span.Wallet || t.Kind != tracer.KindFee && t.To == span.Wallet {
				r.ts = append(r.ts, t)
			}
		}
	}
	return nil
}

// receipts reads what came of transactions.
func (s *TronGrid) receipts(ctx context.Context, p *purse, hashes []common.Hash) ([]*receipt, error) {
	rs := make([]*receipt, len(hashes))
	var cs []rpcCall
	for i, h := range hashes {
		cs = append(cs, rpcCall{"eth_getTransactionReceipt", []any{h}, &rs[i]})
	}
	if err := s.node.calls(ctx, p, cs); err != nil {
		return nil, err
	}
	for i, r := range rs {
		if r == nil || r.Tx != hashes[i] || r.Block == nil || r.TxIndex == nil {
			return nil, s.c.broken("it does not show what came of a transaction that it lists")
		}
	}
	return rs, nil
}

// Transactions reads transactions by their ids.
func (s *TronGrid) Transactions(ctx context.Context, hashes []common.Hash, most int) (ans tracer.Answer, err error) {
	if len(hashes) == 0 || ctx.Err() != nil {
		return ans, context.Cause(ctx)
	}
	p := newPurse(most)
	defer func() { ans.Requests = p.spent }()
	pinned, _, err := s.at(ctx, p)
	if err != nil {
		return ans, err
	}
	hashes = unique(hashes)
	var got tracer.Answer
	var known []common.Hash
	type info struct {
		tx    tronTx
		Fee   *amount `json:"fee"`
		Block *number `json:"blockNumber"`
		Time  *number `json:"blockTimeStamp"`
		Inner []struct {
			Rejected bool `json:"rejected"`
			Call     []struct {
				Value *amount `json:"callValue"`
			} `json:"callValueInfo"`
		} `json:"internal_transactions"`
	}
	infos := make([]info, len(hashes))
	for i, h := range hashes {
		in := &infos[i]
		body := map[string]string{"value": h.Hex()[2:]}
		for _, ask := range []struct {
			path string
			into any
		}{{"walletsolidity/gettransactioninfobyid", in}, {"walletsolidity/gettransactionbyid", &in.tx}} {
			if err := s.c.ask(ctx, p, 1, ask.path, nil, body, func(a *answer) error { return a.json(ask.into) }); err != nil {
				return ans, err
			}
			if in.Block == nil || in.Time == nil || uint64(*in.Block) > pinned.Number {
				return ans, fmt.Errorf("transaction %s: %w", h.Hex(), tracer.ErrNotFound)
			}
		}
		if common.Hash(in.tx.ID) != h {
			return ans, s.c.broken("it shows another transaction than was asked for")
		}
		known = append(known, h)
	}
	receipts, err := s.receipts(ctx, p, known)
	if err != nil {
		return ans, err
	}
	for i, rc := range receipts {
		in := &infos[i]
		own, err := in.tx.transfers(&s.chain, rc, in.Fee)
		if err != nil {
			return ans, s.c.broken("%v", err)
		}
		logs, err := rc.transfers(&s.chain, &tx{GasPrice: new(amount)})
		if err != nil {
			return ans, s.c.broken("%v", err)
		}
		for _, t := range slices.Concat(own, logs[1:]) {
			t.Time = uint64(*in.Time) / 1000
			got.Transfers = append(got.Transfers, t)
		}
		for _, v := range in.Inner {
			for _, c := range v.Call {
				if n := uint64(*rc.Block); !v.Rejected && c.Value != nil && !(*uint256.Int)(c.Value).IsZero() {
					got.Unread = append(got.Unread, tracer.Unread{Span: tracer.Span{Wallet: own[0].From, From: n, To: n}, Part: tracer.PartInternal,
						Reason: tracer.ReasonNoTraces, Detail: "TronGrid does not show the place of an internal transfer in its transaction"})
				}
			}
		}
	}
	got.Transfers = once(tracer.SortTransfers(got.Transfers))
	sortUnread(got.Unread)
	got.Unread = slices.Compact(got.Unread)
	return got, nil
}
