package indexsource

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/holiman/uint256"
	"golang.org/x/time/rate"
)

// An Alchemy reads a chain from Alchemy's transfers, one wallet at a time. They
// say which transactions to look at; what these moved is read from their
// receipts, and nonces and balances prove that none is missing.
type Alchemy struct {
	c      *client
	chain  tracer.Chain
	node   *rpc
	inside bool // internal transfers are listed
	ground
}

var _ tracer.Source = (*Alchemy)(nil)

// networks are the names that Alchemy has for the chains.
var networks = map[uint64]string{1: "eth", 56: "bnb", 137: "polygon", 42161: "arb", 10: "opt", 8453: "base", 43114: "avax"}

// alchemyInside are the chains whose internal transfers Alchemy lists.
var alchemyInside = map[uint64]bool{1: true, 137: true}

const (
	// Of 500 compute units in a second a page of transfers takes 150, and a
	// receipt 20.
	alchemyRate     = 3
	alchemyNodeRate = 20
	alchemyBatch    = 50
	alchemyRows     = 1000
)

// NewAlchemy makes a source of Alchemy's endpoint for a chain, whose key stands
// in [Options.Key] or in [Options.URL]. Options that make no sense are an error
// that wraps [tracer.ErrUsage].
func NewAlchemy(chain tracer.Chain, o Options) (*Alchemy, error) {
	def := ""
	if name, ok := networks[chain.ID]; ok {
		def = "https://" + name + "-mainnet.g.alchemy.com/v2"
	}
	c, err := newClient("Alchemy", def, alchemyRate, o)
	if err != nil {
		return nil, err
	}
	if o.Key != "" {
		c.header.Set("Authorization", "Bearer "+o.Key)
	}
	n := *c
	if o.Rate == 0 && !o.Recorded {
		n.limit = rate.NewLimiter(alchemyNodeRate, 1)
	}
	s := &Alchemy{c: c, chain: chain, node: &rpc{c: &n, batch: alchemyBatch}, inside: alchemyInside[chain.ID]}
	s.ground.init(s, c, o.Pin)
	return s, nil
}

func (s *Alchemy) newest(ctx context.Context, p *purse) (uint64, error) {
	var id number
	if err := one(ctx, s.node, p, &id, "eth_chainId"); err != nil {
		return 0, err
	}
	if uint64(id) != s.chain.ID {
		return 0, fmt.Errorf("%w: Alchemy's endpoint serves chain %d, not %s", tracer.ErrWrongChain, id, s.chain.Title)
	}
	b, err := nodeHeader(ctx, s.c, s.node, p, "finalized")
	return b.Number, err
}

func (s *Alchemy) header(ctx context.Context, p *purse, n uint64) (tracer.Block, error) {
	return nodeHeader(ctx, s.c, s.node, p, n)
}

type alchemyQuery struct {
	From     string   `json:"fromBlock"`
	To       string   `json:"toBlock"`
	Sender   string   `json:"fromAddress,omitempty"`
	Receiver string   `json:"toAddress,omitempty"`
	Category []string `json:"category"`
	NoZero   bool     `json:"excludeZeroValue"`
	Metadata bool     `json:"withMetadata"`
	Order    string   `json:"order"`
	Count    string   `json:"maxCount"`
	Page     string   `json:"pageKey,omitempty"`
}

type alchemyRow struct {
	Block    *number         `json:"blockNum"`
	ID       string          `json:"uniqueId"`
	Hash     common.Hash     `json:"hash"`
	From     common.Address  `json:"from"`
	To       *common.Address `json:"to"` // null for a creation
	Category string          `json:"category"`
	Raw      struct {
		Value *amount `json:"value"`
	} `json:"rawContract"`
	Metadata struct {
		Time string `json:"blockTimestamp"`
	} `json:"metadata"`
}

// list reads all pages of transfers. visit is told each row and may end the
// reading.
func (s *Alchemy) list(ctx context.Context, p *purse, q alchemyQuery, from, to uint64, visit func(*alchemyRow, time.Time) (enough bool)) error {
	q.NoZero, q.Metadata, q.Order, q.Count = false, true, "asc", hexutil.EncodeUint64(alchemyRows)
	seen := make(map[string]bool)
	for at := from; ; {
		q.From, q.To = hexutil.EncodeUint64(from), hexutil.EncodeUint64(to)
		var page *struct {
			Rows []alchemyRow `json:"transfers"`
			Next string       `json:"pageKey"`
		}
		rpc := rpc{c: s.c, batch: 1}
		if err := one(ctx, &rpc, p, &page, "alchemy_getAssetTransfers", q); err != nil {
			return err
		}
		if page == nil {
			return s.c.broken("it shows null for a page of transfers")
		}
		for i := range page.Rows {
			r := &page.Rows[i]
			when, err := time.Parse(time.RFC3339, r.Metadata.Time)
			if err != nil || r.Block == nil || r.Hash == (common.Hash{}) {
				return s.c.broken("%v", errRow)
			}
			if n := uint64(*r.Block); n < at || n > to {
				return s.c.broken("it shows a row of block %d where %d to %d were to come", n, at, to)
			}
			at = uint64(*r.Block)
			if visit(r, when) {
				return nil
			}
		}
		switch {
		case page.Next != "" && seen[page.Next]:
			return s.c.broken("its pages go round in a circle")
		case page.Next != "":
			seen[page.Next] = true
			q.Page = page.Next
		case full(len(page.Rows), alchemyRows) && at > from: // cut, and nobody says so
			from, q.Page = at, ""
			clear(seen)
		default:
			return nil
		}
	}
}

// Transfers reads wallet by wallet.
func (s *Alchemy) Transfers(ctx context.Context, q tracer.Query) (tracer.Answer, error) {
	p := newPurse(q.MaxRequests)
	pinned, last, err := s.at(ctx, p)
	if err != nil {
		return refuse(ctx, q, p, err)
	}
	r := newReading(q, pinned.Number)
	err = r.each(ctx, last, s.c.name, func(span tracer.Span) error { return s.wallet(ctx, p, r, span) })
	return r.answer(p.spent), err
}

// wallet reads a span.
func (s *Alchemy) wallet(ctx context.Context, p *purse, r *reading, span tracer.Span) error {
	q := alchemyQuery{Category: []string{"external", "erc20", "erc721"}}
	if s.inside {
		q.Category = append(q.Category, "internal")
	}
	values := make(map[common.Hash]*tx)
	times := make(map[uint64]uint64)
	var inner []tracer.Transfer
	var hashes []common.Hash
	var failed error
	whole := span
	for _, sent := range []bool{true, false} {
		if q.Sender, q.Receiver = "", tracer.Hex(span.Wallet); sent {
			q.Sender, q.Receiver = q.Receiver, ""
		}
		count := 0
		err := s.list(ctx, p, q, span.From, span.To, func(row *alchemyRow, when time.Time) bool {
			n := uint64(*row.Block)
			hashes = append(hashes, row.Hash)
			times[n] = uint64(when.Unix())
			switch row.Category {
			case "external":
				values[row.Hash] = &tx{Hash: row.Hash, From: row.From, To: row.To, Value: row.Raw.Value}
			case "internal":
				if t, ok := s.internal(row); ok {
					inner = append(inner, t)
				} else {
					failed = s.c.fault(kindRefused, "it does not show the place of an internal transfer")
				}
			}
			if sent && row.Category == "external" || strings.HasPrefix(row.Category, "erc") {
				count++ // each is a transfer for sure
			}
			if r.most > 0 && count > r.most {
				span.To = n
				return true
			}
			return false
		})
		if err != nil {
			return err
		}
	}
	hashes = unique(hashes)
	receipts := make([]*receipt, len(hashes))
	var cs []rpcCall
	for i, h := range hashes {
		cs = append(cs, rpcCall{"eth_getTransactionReceipt", []any{h}, &receipts[i]})
	}
	if err := s.node.calls(ctx, p, cs); err != nil {
		return err
	}
	var ts []tracer.Transfer
	at := make(map[common.Hash]*receipt)
	for i, rc := range receipts {
		if rc == nil || rc.Tx != hashes[i] {
			return s.c.broken("it does not show what came of a transaction that it lists")
		}
		x := values[rc.Tx]
		if x == nil {
			x = &tx{}
		}
		all, err := rc.transfers(&s.chain, x)
		if err != nil {
			return s.c.broken("%v", err)
		}
		ts = append(ts, all...)
		at[rc.Tx] = rc
	}
	for _, t := range inner {
		if rc := at[t.Tx]; *rc.Status == 1 {
			t.TxIndex, t.BlockHash = uint32(*rc.TxIndex), rc.BlockHash
			ts = append(ts, t)
		}
	}
	ts = slices.DeleteFunc(ts, func(t tracer.Transfer) bool {
		return t.From != span.Wallet && (t.Kind == tracer.KindFee || t.To != span.Wallet)
	})
	for i := range ts {
		if ts[i].Time = times[ts[i].Block]; ts[i].Time == 0 {
			return s.c.broken("it shows a transaction in another block than it lists it")
		}
	}
	r.ts = append(r.ts, ts...)
	if span.To < whole.To { // it is crowded: the last block is of no use
		if span.To == span.From {
			return nil
		}
		span.To--
	}
	return s.prove(ctx, p, r, span, once(tracer.SortTransfers(ts)), failed)
}

// internal decodes a row of an internal transfer, whose unique id ends in its
// trace path, as in 0x…:internal:0_1.
func (s *Alchemy) internal(row *alchemyRow) (t tracer.Transfer, ok bool) {
	_, at, ok := strings.Cut(row.ID, ":internal:")
	t = tracer.Transfer{Asset: tracer.NativeOf(s.chain.ID), Kind: tracer.KindInternal, From: row.From, Block: uint64(*row.Block), Tx: row.Hash,
		Position: strings.ReplaceAll(at, "_", ".")}
	for n := range strings.SplitSeq(t.Position, ".") {
		_, err := strconv.ParseUint(n, 10, 31)
		ok = ok && err == nil
	}
	if row.To == nil || row.Raw.Value == nil {
		return t, false
	}
	t.To, t.Amount = *row.To, uint256.Int(*row.Raw.Value)
	return t, ok && !t.Amount.IsZero()
}

// prove compares what was found of a wallet with its nonces and balances.
// Failed transactions are in no list, and internal transfers not on all
// chains: where something is missing, it is unread.
func (s *Alchemy) prove(ctx context.Context, p *purse, r *reading, span tracer.Span, ts []tracer.Transfer, failed error) error {
	var code hexutil.Bytes
	var nonces [2]number
	var balances [2]amount
	cs := []rpcCall{{"eth_getCode", []any{span.Wallet, hexutil.EncodeUint64(span.To)}, &code}}
	for i, n := range [...]uint64{max(span.From, 1) - 1, span.To} {
		at := hexutil.EncodeUint64(n)
		cs = append(cs, rpcCall{"eth_getTransactionCount", []any{span.Wallet, at}, &nonces[i]}, rpcCall{"eth_getBalance", []any{span.Wallet, at}, &balances[i]})
	}
	if err := s.node.calls(ctx, p, cs); err != nil {
		if final(ctx, err) {
			return err
		}
		r.miss(span, tracer.PartNative, err)
		r.miss(span, tracer.PartInternal, err)
		return nil
	}
	contract := len(code) > 0 && !(len(code) == 23 && code[0] == 0xef && code[1] == 1 && code[2] == 0)
	sent, change := explained(span, ts)
	want := new(big.Int).Sub((*uint256.Int)(&balances[1]).ToBig(), (*uint256.Int)(&balances[0]).ToBig())
	fits := change.Cmp(want) == 0
	if !contract && nonces[1]-nonces[0] != number(sent) {
		r.miss(span, tracer.PartNative, s.c.fault(kindRefused, "it lists no failed transactions"))
		if !s.inside {
			r.miss(span, tracer.PartInternal, s.c.fault(kindRefused, "it lists no internal transfers of this chain"))
		}
	} else if !fits {
		why := s.c.fault(kindRefused, "what it lists does not make up the change of the balance")
		r.miss(span, tracer.PartInternal, why)
		r.miss(span, tracer.PartNative, why) // as what a contract is made with
	}
	if !s.inside && (len(code) > 0 || nonces[1] == 0) {
		// What a contract gets may leave again unseen, and one that was destroyed
		// looks like an account that never sent anything.
		why := s.c.fault(kindRefused, "it lists nothing of what contracts do")
		r.miss(span, tracer.PartNative, why)
		r.miss(span, tracer.PartInternal, why)
		if len(code) > 0 {
			r.miss(span, tracer.PartTokens, why)
		}
	}
	if failed != nil {
		r.miss(span, tracer.PartInternal, failed)
	}
	return nil
}

// balance sums up what transfers of native coin make of a wallet's balance, and
// counts the transactions that it sent.
func explained(span tracer.Span, ts []tracer.Transfer) (sent int, change *big.Int) {
	change = new(big.Int)
	for i := range ts {
		t := &ts[i]
		if t.Asset.Kind != tracer.Native || t.Block < span.From || t.Block > span.To {
			continue
		}
		if t.From == span.Wallet {
			change.Sub(change, t.Amount.ToBig())
			if t.Kind == tracer.KindFee {
				sent++
			}
		}
		if t.To == span.Wallet && t.Kind != tracer.KindFee {
			change.Add(change, t.Amount.ToBig())
		}
	}
	return sent, change
}

// Transactions reads transactions from Alchemy's node, and what was moved
// inside them from the transfers of their blocks.
func (s *Alchemy) Transactions(ctx context.Context, txs []common.Hash, most int) (tracer.Answer, error) {
	return s.nodeTransactions(ctx, s.c, s.node, &s.chain, txs, most, func(p *purse, rs []*receipt, ans *tracer.Answer) error {
		in := make(map[uint64][]*receipt)
		for _, r := range rs {
			if *r.Status == 1 && !(*uint256.Int)(r.GasUsed).Eq(uint256.NewInt(plainGas)) {
				in[uint64(*r.Block)] = append(in[uint64(*r.Block)], r)
			}
		}
		for _, r := range rs { // in the order of the hashes
			n := uint64(*r.Block)
			of := in[n]
			delete(in, n)
			if of == nil {
				continue
			}
			why := errors.New("Alchemy lists no internal transfers of this chain")
			if s.inside {
				why = nil
				if err := s.list(ctx, p, alchemyQuery{Category: []string{"internal"}}, n, n, func(row *alchemyRow, _ time.Time) bool {
					i := slices.IndexFunc(of, func(r *receipt) bool { return r.Tx == row.Hash })
					if i < 0 {
						return false
					}
					t, ok := s.internal(row)
					if !ok {
						why = errors.New("Alchemy does not show the place of an internal transfer")
						return false
					}
					t.TxIndex, t.BlockHash = uint32(*of[i].TxIndex), of[i].BlockHash
					ans.Transfers = append(ans.Transfers, t)
					return false
				}); err != nil {
					return err
				}
			}
			if why != nil {
				for _, r := range of {
					ans.Unread = append(ans.Unread, tracer.Unread{Span: tracer.Span{Wallet: r.From, From: n, To: n},
						Part: tracer.PartInternal, Reason: tracer.ReasonNoTraces, Detail: why.Error()})
				}
			}
		}
		sortUnread(ans.Unread)
		return nil
	})
}
