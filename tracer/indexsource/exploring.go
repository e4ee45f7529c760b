package indexsource

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
)

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

func parse(s string) (a common.Address, ok bool) {
	return a, a.UnmarshalText([]byte(s)) == nil
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
