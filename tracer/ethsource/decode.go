package ethsource

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/holiman/uint256"
)

// Topics: keccak256 of the events' signatures.
var (
	topicTransfer   = common.HexToHash("0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef") // Transfer(address,address,uint256)
	topicDeposit    = common.HexToHash("0xe1fffcc4923d04b559f4d29a8bfc6cda04eb5b0d3c460751c2402c5c5cc9109c") // Deposit(address,uint256)
	topicWithdrawal = common.HexToHash("0x7fcf532c15f0a6db0bd6d0e038bea71d30d808c7d98cb3bf7268a95bf5081b65") // Withdrawal(address,uint256)
)

// The types are our own and not go-ethereum's, which refuses blocks with the
// system transactions of the OP stack, Arbitrum and Polygon.

type header struct {
	Number hexutil.Uint64 `json:"number"`
	Hash   common.Hash    `json:"hash"`
	Time   hexutil.Uint64 `json:"timestamp"`
}

type block struct {
	header
	Txs         []tx `json:"transactions"`
	Withdrawals []struct {
		Address common.Address `json:"address"`
		Gwei    hexutil.Uint64 `json:"amount"`
	} `json:"withdrawals"`
}

type tx struct {
	Hash      common.Hash     `json:"hash"`
	From      common.Address  `json:"from"`
	To        *common.Address `json:"to"`
	Value     *hexutil.U256   `json:"value"`
	Gas       hexutil.Uint64  `json:"gas"`
	GasPrice  *hexutil.U256   `json:"gasPrice"`
	Index     hexutil.Uint64  `json:"transactionIndex"`
	Block     *hexutil.Uint64 `json:"blockNumber"`
	BlockHash common.Hash     `json:"blockHash"`
}

// UnmarshalJSON reads a transaction. Some of Tron's are sent by nobody.
func (x *tx) UnmarshalJSON(b []byte) error {
	type plain tx
	row := struct {
		*plain
		From *common.Address `json:"from"`
	}{plain: (*plain)(x)}
	if err := json.Unmarshal(b, &row); err != nil {
		return err
	}
	if row.From != nil {
		x.From = *row.From
	}
	return nil
}

type receipt struct {
	Tx        common.Hash     `json:"transactionHash"`
	Index     hexutil.Uint64  `json:"transactionIndex"`
	Block     hexutil.Uint64  `json:"blockNumber"`
	Hash      common.Hash     `json:"blockHash"`
	From      common.Address  `json:"from"`
	Contract  *common.Address `json:"contractAddress"`
	Status    *hexutil.Uint64 `json:"status"` // none before Byzantium
	GasUsed   hexutil.Uint64  `json:"gasUsed"`
	GasPrice  *hexutil.U256   `json:"effectiveGasPrice"`
	BlobGas   hexutil.Uint64  `json:"blobGasUsed"`
	BlobPrice *hexutil.U256   `json:"blobGasPrice"`
	L1Fee     *hexutil.U256   `json:"l1Fee"` // OP-stack chains
	Logs      []log           `json:"logs"`
}

// A trace is a row of the trace_ methods. A call of the debug_ methods is
// turned into such rows.
type trace struct {
	Action struct {
		CallType string          `json:"callType"`
		From     common.Address  `json:"from"`
		To       *common.Address `json:"to"`
		Value    *hexutil.U256   `json:"value"`
		Address  common.Address  `json:"address"`       // suicide
		Refund   common.Address  `json:"refundAddress"` // suicide
		Balance  *hexutil.U256   `json:"balance"`       // suicide
	} `json:"action"`
	Result *struct {
		Address *common.Address `json:"address"` // create
	} `json:"result"`
	Error traceError  `json:"error"`
	Type  string      `json:"type"`
	Path  []int       `json:"traceAddress"`
	Tx    common.Hash `json:"transactionHash"`
	Index uint64      `json:"transactionPosition"`
	Block uint64      `json:"blockNumber"`
	Hash  common.Hash `json:"blockHash"`
}

// UnmarshalJSON reads a row. Rewards for a block are of no transaction.
func (r *trace) UnmarshalJSON(b []byte) error {
	type plain trace
	row := struct {
		*plain
		Tx    *common.Hash `json:"transactionHash"`
		Index *uint64      `json:"transactionPosition"`
	}{plain: (*plain)(r)}
	if err := json.Unmarshal(b, &row); err != nil {
		return err
	}
	if row.Tx != nil {
		r.Tx = *row.Tx
	}
	if row.Index != nil {
		r.Index = *row.Index
	}
	return nil
}

// A traceError is the error of a row: a text when the call failed, and an
// object when the node itself failed in the midst of its answer.
type traceError struct {
	failed bool
	node   *rpcError
}

func (e *traceError) UnmarshalJSON(b []byte) error {
	switch b[0] {
	case '{':
		return json.Unmarshal(b, &e.node)
	case '"':
		e.failed = len(b) > len(`""`)
	}
	return nil
}

// address reads an address from a topic; the first 12 bytes must be zero.
func address(h []byte) (common.Address, bool) {
	return common.Address(h[12:32]), [12]byte(h[:12]) == [12]byte{}
}

// positions are the numbers of the logs of most blocks, written once.
var positions = func() (t [1024]string) {
	for i := range t {
		t[i] = strconv.Itoa(i)
	}
	return t
}()

func position(n uint64) string {
	if n < uint64(len(positions)) {
		return positions[n]
	}
	return strconv.FormatUint(n, 10)
}

// transfer decodes a log. Three topics and a word of data are ERC-20, four
// topics and no data ERC-721; one topic and three words is how some early
// tokens wrote it. ok is false for everything else.
func (s *Source) transfer(l *log) (t tracer.Transfer, ok bool) {
	if l.NumTopics == 0 {
		return t, false
	}
	t = tracer.Transfer{
		Asset: tracer.TokenOf(s.chain.ID, l.Address), Kind: tracer.KindToken, Block: l.Block, BlockHash: l.Hash,
		Time: l.Time, Tx: l.Tx, TxIndex: uint32(l.TxIndex), Position: position(l.Index),
	}
	ok1, ok2 := true, true
	switch n := l.NumTopics; {
	case l.Topics[0] != topicTransfer:
		return s.wrap(t, l)
	case n == 3 && l.Size >= 32:
		t.From, ok1 = address(l.Topics[1][:])
		t.To, ok2 = address(l.Topics[2][:])
		t.Amount.SetBytes(l.Data[:32])
		if l.Address == tracer.NativeLogs { // EIP-7708
			t.Asset = tracer.NativeOf(s.chain.ID)
		}
	case n == 4 && l.Size == 0:
		t.From, ok1 = address(l.Topics[1][:])
		t.To, ok2 = address(l.Topics[2][:])
		t.Amount.SetBytes(l.Topics[3][:])
		t.Kind, t.Asset.Kind = tracer.KindNFT, tracer.NFT
	case n == 1 && l.Size == 96:
		t.From, ok1 = address(l.Data[:32])
		t.To, ok2 = address(l.Data[32:64])
		t.Amount.SetBytes(l.Data[64:])
	default:
		return t, false
	}
	return t, ok1 && ok2
}

// wrap decodes the events of a wrapped coin, which leave no Transfer: the
// contract gives its token to who deposits, and takes it back.
func (s *Source) wrap(t tracer.Transfer, l *log) (tracer.Transfer, bool) {
	tok, ok := s.chain.Token(t.Asset)
	if !ok || !tok.Wrapped || l.NumTopics != 2 || l.Size != 32 {
		return t, false
	}
	who, ok := address(l.Topics[1][:])
	t.Amount.SetBytes(l.Data[:32])
	switch l.Topics[0] {
	case topicDeposit:
		t.From, t.To = l.Address, who
	case topicWithdrawal:
		t.From, t.To = who, l.Address
	default:
		return t, false
	}
	return t, ok
}

// logged reports whether a transfer is a log of native coin: one that EIP-7708
// has every move of native coin leave. In a transaction with one of these all
// such moves are in logs, and are told by them alone.
func logged(t *tracer.Transfer) bool {
	return t.Kind == tracer.KindToken && t.Asset.Kind == tracer.Native
}

// once drops what traces and values tell again in the transactions whose logs
// tell it, and returns the shortened slice.
func once(ts []tracer.Transfer, told map[common.Hash]bool) []tracer.Transfer {
	return slices.DeleteFunc(ts, func(t tracer.Transfer) bool {
		return (t.Kind == tracer.KindNative || t.Kind == tracer.KindInternal) && told[t.Tx]
	})
}

// fee returns what a transaction cost its sender.
func (s *Source) fee(r *receipt, time uint64) tracer.Transfer {
	t := tracer.Transfer{Asset: tracer.NativeOf(s.chain.ID), Kind: tracer.KindFee, From: r.From,
		Block: uint64(r.Block), BlockHash: r.Hash, Time: time, Tx: r.Tx, TxIndex: uint32(r.Index)}
	add := func(gas hexutil.Uint64, price *hexutil.U256) {
		if price != nil {
			var part uint256.Int
			t.Amount.Add(&t.Amount, part.Mul(uint256.NewInt(uint64(gas)), (*uint256.Int)(price)))
		}
	}
	add(r.GasUsed, r.GasPrice)
	add(r.BlobGas, r.BlobPrice)
	add(1, r.L1Fee)
	return t
}

// succeeded reports whether the receipt's transaction did what it was meant to.
// Before Byzantium receipts did not say; failing took all of the gas.
func (rc *receipt) succeeded(gas uint64) bool {
	if rc.Status == nil {
		return uint64(rc.GasUsed) < gas || gas == plainGas
	}
	return *rc.Status == 1
}

// plainGas is what a transaction uses that calls nothing: the only one that can
// have moved nothing inside.
const plainGas = 21_000

// value returns the coins that a transaction itself moved.
func (s *Source) value(x *tx, rc *receipt, time uint64) (tracer.Transfer, bool) {
	t := s.fee(rc, time)
	t.Kind, t.Amount = tracer.KindNative, uint256.Int{}
	to := x.To
	if to == nil {
		to = rc.Contract
	}
	if !rc.succeeded(uint64(x.Gas)) || x.Value == nil || to == nil {
		return t, false
	}
	t.To, t.Amount = *to, uint256.Int(*x.Value)
	return t, !t.Amount.IsZero()
}

// native returns the coins that a trace moved. Top-level traces are the
// transaction's own value.
func (s *Source) native(r *trace) (t tracer.Transfer, ok bool) {
	t = tracer.Transfer{Asset: tracer.NativeOf(s.chain.ID), Kind: tracer.KindInternal, From: r.Action.From,
		Block: r.Block, BlockHash: r.Hash, Tx: r.Tx, TxIndex: uint32(r.Index), Position: path(r.Path)}
	if len(r.Path) == 0 {
		t.Kind = tracer.KindNative
	}
	value, to := r.Action.Value, r.Action.To
	switch r.Type {
	case "call":
		if r.Action.CallType != "call" && r.Action.CallType != "" {
			return t, false // delegatecall, staticcall and callcode carry nothing away
		}
	case "create":
		if r.Result != nil {
			to = r.Result.Address
		}
	case "suicide":
		t.From, to, value = r.Action.Address, &r.Action.Refund, r.Action.Balance
		t.Kind = tracer.KindInternal
	default:
		return t, false
	}
	if value == nil || to == nil {
		return t, false
	}
	t.To, t.Amount = *to, uint256.Int(*value)
	return t, !t.Amount.IsZero()
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

// alive drops traces that failed, and everything below them: a failed call
// takes back what the calls in it did, and these say nothing of it. The rows
// of a transaction must all be there.
func alive(rows []trace) []trace {
	type place struct {
		tx   common.Hash
		path string
	}
	dead := make(map[place]bool)
	for i := range rows {
		if r := &rows[i]; r.Error.failed {
			dead[place{r.Tx, path(r.Path)}] = true
		}
	}
	return slices.DeleteFunc(rows, func(r trace) bool {
		for n := range len(r.Path) + 1 {
			if len(dead) > 0 && dead[place{r.Tx, path(r.Path[:n])}] {
				return true
			}
		}
		return false
	})
}

// A frame is a call as go-ethereum's callTracer shows it.
type frame struct {
	Type  string          `json:"type"`
	From  common.Address  `json:"from"`
	To    *common.Address `json:"to"`
	Value *hexutil.U256   `json:"value"`
	Error string          `json:"error"`
	Calls []frame         `json:"calls"`
}

// precompiled reports whether an address is one of the contracts that nodes
// bring along, up to P256VERIFY of EIP-7951.
func precompiled(a common.Address) bool {
	n := new(uint256.Int).SetBytes(a[:])
	return !n.IsZero() && n.LtUint64(0x12) || n.Eq(uint256.NewInt(0x100))
}

// rows turns a frame and what is below it into traces. Calls of precompiled
// contracts that carry nothing have no trace, and no number.
func (f *frame) rows(base trace, at []int) []trace {
	base.Path = at
	base.Action.From, base.Action.To, base.Action.Value = f.From, f.To, f.Value
	base.Error.failed = f.Error != ""
	switch f.Type {
	case "CREATE", "CREATE2":
		base.Type = "create"
	case "SELFDESTRUCT":
		base.Type = "suicide"
		base.Action.Address, base.Action.Balance = f.From, f.Value
		if f.To != nil {
			base.Action.Refund = *f.To
		}
	default:
		base.Type, base.Action.CallType = "call", strings.ToLower(f.Type)
	}
	all := []trace{base}
	n := 0
	for i := range f.Calls {
		c := &f.Calls[i]
		if c.To != nil && precompiled(*c.To) && (c.Value == nil || (*uint256.Int)(c.Value).IsZero()) {
			continue
		}
		all = append(all, c.rows(base, append(slices.Clip(at), n))...)
		n++
	}
	return all
}
