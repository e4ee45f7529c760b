// Package indextest serves a built-in world the way indexers do: SQD Portal,
// Etherscan and Blockscout, Alchemy, TronGrid, each built from its documentation
// with its paging, its bounds and the shapes of its errors.
//
// A fake is an http.Handler over a [Book]. All know one [Key], where the
// indexer has keys. They are for tests: of the indexers, and of what uses them.
package indextest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/holiman/uint256"
)

// Key is the key that the fakes accept.
const Key = "S3CRETKEYS3CRETKEY"

// A Book is what an indexer has in its tables: a world as its node shows it.
type Book struct {
	World *devnet.World
	Last  uint64 // the newest block that is final

	node   http.Handler
	blocks []*bookBlock
	byHash map[common.Hash]*bookTx
	of     map[common.Address][]*bookTx // in which an address is met
}

type bookBlock struct {
	tracer.Block
	txs []*bookTx
}

type bookTx struct {
	Hash     common.Hash     `json:"hash"`
	From     common.Address  `json:"from"`
	To       *common.Address `json:"to"`
	Value    *hexutil.U256   `json:"value"`
	Gas      hexutil.Uint64  `json:"gas"`
	GasPrice *hexutil.U256   `json:"gasPrice"`
	Nonce    hexutil.Uint64  `json:"nonce"`
	Input    hexutil.Bytes   `json:"input"`
	Index    hexutil.Uint64  `json:"transactionIndex"`

	block    *bookBlock
	contract *common.Address
	status   uint64
	used     uint64
	logs     []bookLog
	traces   []bookTrace
}

type bookLog struct {
	Address common.Address `json:"address"`
	Topics  []common.Hash  `json:"topics"`
	Data    hexutil.Bytes  `json:"data"`
	Index   hexutil.Uint64 `json:"logIndex"`
}

type bookTrace struct {
	Action struct {
		CallType string          `json:"callType"`
		From     common.Address  `json:"from"`
		To       *common.Address `json:"to"`
		Value    *hexutil.U256   `json:"value"`
		Address  common.Address  `json:"address"`
		Refund   *common.Address `json:"refundAddress"`
		Balance  *hexutil.U256   `json:"balance"`
	} `json:"action"`
	Result *struct {
		Address *common.Address `json:"address"`
	} `json:"result"`
	Error string `json:"error"`
	Type  string `json:"type"`
	Path  []int  `json:"traceAddress"`
	Index uint64 `json:"transactionPosition"`
	alive bool   // nothing above it failed either
}

// parties returns who a trace goes from and to, and what it carries away.
func (r *bookTrace) parties() (from common.Address, to *common.Address, value uint256.Int) {
	v := r.Action.Value
	from, to = r.Action.From, r.Action.To
	switch {
	case r.Type == "suicide":
		from, to, v = r.Action.Address, r.Action.Refund, r.Action.Balance
	case r.Type == "create" && r.Result != nil:
		to = r.Result.Address
	case r.Action.CallType == "delegatecall" || r.Action.CallType == "staticcall":
		v = nil
	}
	if v != nil {
		value = uint256.Int(*v)
	}
	return from, to, value
}

// Open writes a world down.
func Open(w *devnet.World) (*Book, error) {
	b := &Book{World: w, node: devnet.NewNode(w, devnet.NodeOptions{}), Last: w.Head() - 64, byHash: make(map[common.Hash]*bookTx), of: make(map[common.Address][]*bookTx)}
	var numbers []uint64
	for _, x := range w.Transfers() {
		if n := len(numbers); n == 0 || numbers[n-1] != x.Block {
			numbers = append(numbers, x.Block)
		}
	}
	for some := range slices.Chunk(numbers, 200) {
		if err := b.read(some); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func (b *Book) read(numbers []uint64) error {
	var calls []map[string]any
	for i, n := range numbers {
		for k, call := range [][]any{{"eth_getBlockByNumber", hexutil.EncodeUint64(n), true}, {"eth_getBlockReceipts", hexutil.EncodeUint64(n)}, {"trace_block", hexutil.EncodeUint64(n)}} {
			calls = append(calls, map[string]any{"jsonrpc": "2.0", "id": 3*i + k, "method": call[0], "params": call[1:]})
		}
	}
	var answers []struct {
		ID     int             `json:"id"`
		Result json.RawMessage `json:"result"`
	}
	if err := json.Unmarshal(b.rpc(calls), &answers); err != nil {
		return err
	}
	results := make([]json.RawMessage, len(calls))
	for _, a := range answers {
		results[a.ID] = a.Result
	}
	for i, n := range numbers {
		blk := &bookBlock{Block: b.World.Blocks[n]}
		var block struct {
			Txs []*bookTx `json:"transactions"`
		}
		var receipts []struct {
			Contract *common.Address `json:"contractAddress"`
			Status   hexutil.Uint64  `json:"status"`
			Used     hexutil.Uint64  `json:"gasUsed"`
			Logs     []bookLog       `json:"logs"`
		}
		var traces []bookTrace
		for k, into := range []any{&block, &receipts, &traces} {
			if err := json.Unmarshal(results[3*i+k], into); err != nil {
				return fmt.Errorf("block %d: %w", n, err)
			}
		}
		for k, x := range block.Txs {
			r := &receipts[k]
			x.block, x.contract, x.status, x.used, x.logs = blk, r.Contract, uint64(r.Status), uint64(r.Used), r.Logs
			b.byHash[x.Hash] = x
		}
		for _, r := range traces {
			x := block.Txs[r.Index]
			r.alive = r.Error == ""
			for _, up := range x.traces {
				if len(up.Path) < len(r.Path) && slices.Equal(up.Path, r.Path[:len(up.Path)]) {
					r.alive = r.alive && up.alive
				}
			}
			x.traces = append(x.traces, r)
		}
		blk.txs = block.Txs
		for _, x := range block.Txs {
			b.meet(x)
		}
		b.blocks = append(b.blocks, blk)
	}
	return nil
}

// meet notes who is met in a transaction.
func (b *Book) meet(x *bookTx) {
	who := []common.Address{x.From}
	add := func(a *common.Address) {
		if a != nil {
			who = append(who, *a)
		}
	}
	add(x.To)
	add(x.contract)
	for _, l := range x.logs {
		for _, h := range l.Topics {
			who = append(who, common.BytesToAddress(h[:]))
		}
	}
	for i := range x.traces {
		from, to, _ := x.traces[i].parties()
		add(&from)
		add(to)
	}
	slices.SortFunc(who, common.Address.Cmp)
	for _, a := range slices.Compact(who) {
		b.of[a] = append(b.of[a], x)
	}
}

// with returns the transactions in which an address is met, in the blocks from
// from to to.
func (b *Book) with(a common.Address, from, to uint64) (txs []*bookTx) {
	for _, x := range b.of[a] {
		if n := x.block.Number; from <= n && n <= min(to, b.Last) {
			txs = append(txs, x)
		}
	}
	return txs
}

// rpc asks the node itself.
func (b *Book) rpc(body any) []byte {
	raw, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(raw))
	r.Header.Set("Content-Type", "application/json")
	rec := httptest.NewRecorder()
	b.node.ServeHTTP(rec, r)
	return rec.Body.Bytes()
}

// in returns the blocks with transactions from from to to.
func (b *Book) in(from, to uint64) []*bookBlock {
	at := func(n uint64) int {
		i, _ := slices.BinarySearchFunc(b.blocks, n, func(x *bookBlock, n uint64) int { return int(x.Number) - int(n) })
		return i
	}
	if to = min(to, b.Last); from > to {
		return nil
	}
	return b.blocks[at(from):at(to+1)]
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v) // fails when the client has left
}

// set is a list of texts to look in; nil holds everything.
type set map[string]bool

func setOf(list []string) set {
	if list == nil {
		return nil
	}
	s := make(set, len(list))
	for _, x := range list {
		s[strings.ToLower(x)] = true
	}
	return s
}

func (s set) has(x string) bool { return s == nil || s[strings.ToLower(x)] }

func dec(n *hexutil.U256) string { return (*uint256.Int)(n).Dec() }

func (x *bookTx) fee() *uint256.Int {
	return new(uint256.Int).Mul((*uint256.Int)(x.GasPrice), uint256.NewInt(x.used))
}

func hexOf(a *common.Address) any {
	if a == nil {
		return nil
	}
	return tracer.Hex(*a)
}

var transferTopic = common.HexToHash("0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef")

// zeros begins a topic that is an address.
var zeros = common.Hash{}.Hex()[:26]
