package ethsource

import (
	"fmt"
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

type header struct {
	Number hexutil.Uint64 `json:"number"`
	Hash   common.Hash    `json:"hash"`
	Time   hexutil.Uint64 `json:"timestamp"`
}

type block struct {
	header
	Txs []tx `json:"transactions"`

	receipts []receipt
}

type tx struct {
	Hash  common.Hash     `json:"hash"`
	From  common.Address  `json:"from"`
	To    *common.Address `json:"to"`
	Value *hexutil.U256   `json:"value"`
	Index hexutil.Uint64  `json:"transactionIndex"`
	Block *hexutil.Uint64 `json:"blockNumber"`
}

type receipt struct {
	Tx       common.Hash     `json:"transactionHash"`
	Index    hexutil.Uint64  `json:"transactionIndex"`
	Block    hexutil.Uint64  `json:"blockNumber"`
	Hash     common.Hash     `json:"blockHash"`
	From     common.Address  `json:"from"`
	Contract *common.Address `json:"contractAddress"`
	Status   hexutil.Uint64  `json:"status"`
	GasUsed  hexutil.Uint64  `json:"gasUsed"`
	GasPrice *hexutil.U256   `json:"effectiveGasPrice"`
	L1Fee    *hexutil.U256   `json:"l1Fee"` // OP-stack chains
	Logs     []log           `json:"logs"`
}

type log struct {
	Address common.Address `json:"address"`
	Topics  []common.Hash  `json:"topics"`
	Data    hexutil.Bytes  `json:"data"`
	Block   hexutil.Uint64 `json:"blockNumber"`
	Hash    common.Hash    `json:"blockHash"`
	Time    hexutil.Uint64 `json:"blockTimestamp"` // zero on older nodes
	Tx      common.Hash    `json:"transactionHash"`
	TxIndex hexutil.Uint64 `json:"transactionIndex"`
	Index   hexutil.Uint64 `json:"logIndex"`
	Removed bool           `json:"removed"`
}

// A trace is a row of trace_filter and trace_transaction.
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
	Error string      `json:"error"`
	Type  string      `json:"type"`
	Path  []int       `json:"traceAddress"`
	Tx    common.Hash `json:"transactionHash"`
	Index uint64      `json:"transactionPosition"`
	Block uint64      `json:"blockNumber"`
	Hash  common.Hash `json:"blockHash"`
}

// address reads an address from a topic; the first 12 bytes must be zero.
func address(h common.Hash) (common.Address, bool) {
	return common.Address(h[12:]), [12]byte(h[:12]) == [12]byte{}
}

// transfer decodes a log. Three topics and a word of data are ERC-20, four
// topics and no data ERC-721; one topic and three words is how some early
// tokens wrote it. ok is false for everything else.
func (s *Source) transfer(l *log) (t tracer.Transfer, ok bool) {
	if len(l.Topics) == 0 || l.Removed {
		return t, false
	}
	t = tracer.Transfer{
		Asset: tracer.TokenOf(s.chain.ID, l.Address), Kind: tracer.KindToken, Block: uint64(l.Block), BlockHash: l.Hash,
		Time: uint64(l.Time), Tx: l.Tx, TxIndex: uint32(l.TxIndex), Position: strconv.FormatUint(uint64(l.Index), 10),
	}
	var ok1, ok2 = true, true
	switch n := len(l.Topics); {
	case l.Topics[0] != topicTransfer:
		return s.wrap(t, l)
	case n == 3 && len(l.Data) >= 32:
		t.From, ok1 = address(l.Topics[1])
		t.To, ok2 = address(l.Topics[2])
		t.Amount.SetBytes(l.Data[:32])
		if l.Address == tracer.NativeLogs { // EIP-7708
			t.Asset, t.Kind = tracer.NativeOf(s.chain.ID), tracer.KindInternal
			t.Position = "log." + t.Position
		}
	case n == 4 && len(l.Data) == 0:
		t.From, ok1 = address(l.Topics[1])
		t.To, ok2 = address(l.Topics[2])
		t.Amount.SetBytes(l.Topics[3][:])
		t.Kind, t.Asset.Kind = tracer.KindNFT, tracer.NFT
	case n == 1 && len(l.Data) == 96:
		t.From, ok1 = address(common.Hash(l.Data[:32]))
		t.To, ok2 = address(common.Hash(l.Data[32:64]))
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
	if !ok || !tok.Wrapped || len(l.Topics) != 2 || len(l.Data) != 32 {
		return t, false
	}
	who, ok := address(l.Topics[1])
	t.Amount.SetBytes(l.Data)
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

// fee returns what a transaction cost its sender.
func (s *Source) fee(r *receipt, time uint64) tracer.Transfer {
	t := tracer.Transfer{Asset: tracer.NativeOf(s.chain.ID), Kind: tracer.KindFee, From: r.From,
		Block: uint64(r.Block), BlockHash: r.Hash, Time: time, Tx: r.Tx, TxIndex: uint32(r.Index)}
	if r.GasPrice != nil {
		t.Amount.Mul(uint256.NewInt(uint64(r.GasUsed)), (*uint256.Int)(r.GasPrice))
	}
	if r.L1Fee != nil {
		t.Amount.Add(&t.Amount, (*uint256.Int)(r.L1Fee))
	}
	return t
}

// native returns the coins that a trace moved. Top-level traces are the
// transaction's own value.
func (s *Source) native(r *trace, time uint64) (t tracer.Transfer, ok bool) {
	t = tracer.Transfer{Asset: tracer.NativeOf(s.chain.ID), Kind: tracer.KindInternal, From: r.Action.From,
		Block: r.Block, BlockHash: r.Hash, Time: time, Tx: r.Tx, TxIndex: uint32(r.Index), Position: path(r.Path)}
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
	var b strings.Builder
	for i, n := range p {
		if i > 0 {
			b.WriteByte('.')
		}
		fmt.Fprint(&b, n)
	}
	return b.String()
}

// alive drops traces that failed, and everything below them.
func alive(rows []trace) []trace {
	dead := make(map[string]bool)
	key := func(r *trace, n int) string { return r.Tx.Hex() + path(r.Path[:n]) + "/" }
	for i := range rows {
		if rows[i].Error != "" {
			dead[key(&rows[i], len(rows[i].Path))] = true
		}
	}
	out := rows[:0]
	for _, r := range rows {
		ok := true
		for n := range len(r.Path) + 1 {
			ok = ok && !dead[key(&r, n)]
		}
		if ok {
			out = append(out, r)
		}
	}
	return out
}
