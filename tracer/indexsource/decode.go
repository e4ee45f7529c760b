package indexsource

import (
	"errors"
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

// A number is a small number the way indexers write them: bare, quoted, in
// hex, and 0x alone for zero.
type number uint64

// UnmarshalJSON reads it; null is an error.
func (n *number) UnmarshalJSON(b []byte) error {
	s := unquote(b)
	if hex, ok := strings.CutPrefix(s, "0x"); ok {
		if hex == "" {
			*n = 0
			return nil
		}
		v, err := strconv.ParseUint(hex, 16, 64)
		*n = number(v)
		return err
	}
	v, err := strconv.ParseUint(s, 10, 64)
	*n = number(v)
	return err
}

// An amount is a number of up to 256 bits, written likewise.
type amount uint256.Int

// UnmarshalJSON reads it; null is an error.
func (a *amount) UnmarshalJSON(b []byte) error {
	v, s := (*uint256.Int)(a), unquote(b)
	hex, ok := strings.CutPrefix(s, "0x")
	switch hex = strings.TrimLeft(hex, "0"); {
	case ok && hex == "":
		v.Clear()
		return nil
	case ok:
		return v.SetFromHex("0x" + hex)
	}
	if s == "" || len(s) > 78 || strings.Trim(s, "0123456789") != "" {
		return fmt.Errorf("%.40q is not an amount", s)
	}
	return v.SetFromDecimal(s)
}

func unquote(b []byte) string {
	s := string(b)
	if n := len(s); n >= 2 && s[0] == '"' && s[n-1] == '"' {
		return s[1 : n-1]
	}
	return s
}

// A log is a log of a contract, as nodes and indexers show it.
type log struct {
	Address   common.Address `json:"address"`
	Topics    []*common.Hash `json:"topics"` // Blockscout fills up to four with null
	Data      hexutil.Bytes  `json:"data"`
	Index     *number        `json:"logIndex"`
	Tx        common.Hash    `json:"transactionHash"`
	TxIndex   *number        `json:"transactionIndex"`
	Block     *number        `json:"blockNumber"`
	BlockHash common.Hash    `json:"blockHash"` // some do not show it
	Time      *number        `json:"timeStamp"` // Etherscan's
}

var errRow = errors.New("a row lacks what tells where it is")

// transfer decodes a log. Three topics and a word of data are ERC-20, four
// topics and no data ERC-721; one topic and three words is how some early
// tokens wrote it. ok is false for everything else.
func (l *log) transfer(chain *tracer.Chain) (t tracer.Transfer, ok bool, err error) {
	if l.Index == nil || l.Tx == (common.Hash{}) || l.TxIndex == nil || l.Block == nil {
		return t, false, errRow
	}
	topics := l.Topics
	for len(topics) > 0 && topics[len(topics)-1] == nil {
		topics = topics[:len(topics)-1]
	}
	for _, h := range topics {
		if h == nil {
			return t, false, errRow
		}
	}
	if len(topics) == 0 {
		return t, false, nil
	}
	t = tracer.Transfer{Asset: tracer.TokenOf(chain.ID, l.Address), Kind: tracer.KindToken, Block: uint64(*l.Block), BlockHash: l.BlockHash,
		Tx: l.Tx, TxIndex: uint32(*l.TxIndex), Position: strconv.FormatUint(uint64(*l.Index), 10)}
	if l.Time != nil {
		t.Time = uint64(*l.Time)
	}
	ok1, ok2 := true, true
	switch n := len(topics); {
	case *topics[0] != topicTransfer:
		tok, known := chain.Token(t.Asset)
		if !known || !tok.Wrapped || n != 2 || len(l.Data) != 32 {
			return t, false, nil
		}
		who, ok := address(topics[1][:])
		t.Amount.SetBytes(l.Data)
		switch *topics[0] {
		case topicDeposit:
			t.From, t.To = l.Address, who
		case topicWithdrawal:
			t.From, t.To = who, l.Address
		default:
			ok = false
		}
		return t, ok, nil
	case n == 3 && len(l.Data) >= 32:
		t.From, ok1 = address(topics[1][:])
		t.To, ok2 = address(topics[2][:])
		t.Amount.SetBytes(l.Data[:32])
		if l.Address == tracer.NativeLogs { // EIP-7708
			t.Asset = tracer.NativeOf(chain.ID)
		}
	case n == 4 && len(l.Data) == 0:
		t.From, ok1 = address(topics[1][:])
		t.To, ok2 = address(topics[2][:])
		t.Amount.SetBytes(topics[3][:])
		t.Kind, t.Asset.Kind = tracer.KindNFT, tracer.NFT
	case n == 1 && len(l.Data) == 96:
		t.From, ok1 = address(l.Data[:32])
		t.To, ok2 = address(l.Data[32:64])
		t.Amount.SetBytes(l.Data[64:])
	default:
		return t, false, nil
	}
	return t, ok1 && ok2, nil
}

// address reads an address from a topic; the first 12 bytes must be zero.
func address(h []byte) (common.Address, bool) {
	return common.Address(h[12:32]), [12]byte(h[:12]) == [12]byte{}
}

func topicOf(a common.Address) common.Hash { return common.BytesToHash(a[:]) }

// A receipt is what came of a transaction.
type receipt struct {
	Tx        common.Hash     `json:"transactionHash"`
	TxIndex   *number         `json:"transactionIndex"`
	Block     *number         `json:"blockNumber"`
	BlockHash common.Hash     `json:"blockHash"`
	From      common.Address  `json:"from"`
	Contract  *common.Address `json:"contractAddress"`
	Status    *number         `json:"status"`
	GasUsed   *amount         `json:"gasUsed"`
	GasPrice  *amount         `json:"effectiveGasPrice"`
	BlobGas   *amount         `json:"blobGasUsed"`
	BlobPrice *amount         `json:"blobGasPrice"`
	L1Fee     *amount         `json:"l1Fee"` // OP-stack chains
	Logs      []log           `json:"logs"`
}

// A tx is a transaction.
type tx struct {
	Hash      common.Hash     `json:"hash"`
	From      common.Address  `json:"from"`
	To        *common.Address `json:"to"`
	Value     *amount         `json:"value"`
	GasPrice  *amount         `json:"gasPrice"`
	Block     *number         `json:"blockNumber"`
	BlockHash common.Hash     `json:"blockHash"`
	Index     *number         `json:"transactionIndex"`
}

// fee sums up what a transaction cost; the prices and the amounts of gas must
// be there, the others may be nil.
func fee(gas, price, blobGas, blobPrice, l1 *amount) (sum uint256.Int) {
	mul := func(a, b *amount) {
		if a != nil && b != nil {
			var part uint256.Int
			sum.Add(&sum, part.Mul((*uint256.Int)(a), (*uint256.Int)(b)))
		}
	}
	mul(gas, price)
	mul(blobGas, blobPrice)
	if l1 != nil {
		sum.Add(&sum, (*uint256.Int)(l1))
	}
	return sum
}

// transfers returns everything that a transaction and its receipt tell: the
// fee, the value and the logs. Times are left out.
func (r *receipt) transfers(chain *tracer.Chain, x *tx) ([]tracer.Transfer, error) {
	price := r.GasPrice
	if price == nil && x != nil {
		price = x.GasPrice
	}
	if r.Tx == (common.Hash{}) || r.TxIndex == nil || r.Block == nil || r.Status == nil || r.GasUsed == nil || price == nil {
		return nil, errRow
	}
	base := tracer.Transfer{Asset: tracer.NativeOf(chain.ID), From: r.From, Kind: tracer.KindFee,
		Block: uint64(*r.Block), BlockHash: r.BlockHash, Tx: r.Tx, TxIndex: uint32(*r.TxIndex)}
	paid := base
	paid.Amount = fee(r.GasUsed, price, r.BlobGas, r.BlobPrice, r.L1Fee)
	ts := []tracer.Transfer{paid}
	if *r.Status != 1 {
		return ts, nil
	}
	if x != nil && x.Value != nil && !(*uint256.Int)(x.Value).IsZero() {
		v := base
		v.Kind, v.Amount = tracer.KindNative, uint256.Int(*x.Value)
		switch {
		case x.To != nil:
			v.To = *x.To
		case r.Contract != nil:
			v.To = *r.Contract
		default:
			return nil, errRow
		}
		ts = append(ts, v)
	}
	for i := range r.Logs {
		l := &r.Logs[i]
		if l.Tx != r.Tx || l.Block == nil || *l.Block != *r.Block {
			return nil, errors.New("a receipt has logs of elsewhere")
		}
		l.BlockHash = r.BlockHash
		t, ok, err := l.transfer(chain)
		if err != nil {
			return nil, err
		}
		if ok {
			ts = append(ts, t)
		}
	}
	return ts, nil
}
