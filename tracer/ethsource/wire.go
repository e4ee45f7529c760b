package ethsource

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/holiman/uint256"
)

// The answers of a node, with the fields that are read and no others. Unknown
// transaction types do not matter here: senders are given, not recovered.

var (
	errNull    = errors.New("null where there should be an answer")
	errMissing = errors.New("a field is missing")
)

// An optional is a number that may be absent. Nodes write numbers as hex
// quantities, some with leading zeros, and as plain integers in traces.
type optional struct {
	n  uint64
	ok bool
}

func (o *optional) UnmarshalJSON(b []byte) error {
	*o = optional{}
	s := string(b)
	if s == "null" || s == `""` {
		return nil
	}
	base := 10
	if len(s) > 4 && s[0] == '"' && s[len(s)-1] == '"' && s[1] == '0' && s[2] == 'x' {
		s, base = s[3:len(s)-1], 16
	}
	n, err := strconv.ParseUint(s, base, 64)
	if err != nil {
		return fmt.Errorf("%.40q is not a number", b)
	}
	*o = optional{n, true}
	return nil
}

// An amount is a number of 256 bits that may be absent; absent is zero.
type amount struct{ uint256.Int }

func (a *amount) UnmarshalJSON(b []byte) error {
	a.Clear()
	s := string(b)
	if s == "null" || s == `""` || s == `"0x"` {
		return nil
	}
	if len(s) < 5 || s[0] != '"' || s[1] != '0' || s[2] != 'x' || s[len(s)-1] != '"' {
		return fmt.Errorf("%.80q is not an amount", b)
	}
	s = s[3 : len(s)-1]
	for len(s) > 1 && s[0] == '0' {
		s = s[1:]
	}
	if err := a.SetFromHex("0x" + s); err != nil {
		return fmt.Errorf("%.80q is not an amount: %v", b, err)
	}
	return nil
}

type wireLog struct {
	Address          common.Address `json:"address"`
	Topics           []common.Hash  `json:"topics"`
	Data             hexutil.Bytes  `json:"data"`
	BlockNumber      optional       `json:"blockNumber"`
	BlockHash        common.Hash    `json:"blockHash"`
	BlockTimestamp   optional       `json:"blockTimestamp"`
	TransactionHash  common.Hash    `json:"transactionHash"`
	TransactionIndex optional       `json:"transactionIndex"`
	LogIndex         optional       `json:"logIndex"`
	Removed          bool           `json:"removed"`
}

// check refuses logs that are not, or no longer, on the chain.
func (l *wireLog) check() error {
	switch {
	case l.Removed:
		return errors.New("a log is marked as removed")
	case !l.BlockNumber.ok || !l.TransactionIndex.ok || !l.LogIndex.ok:
		return fmt.Errorf("log: %w", errMissing)
	case l.TransactionIndex.n > 1<<32-1:
		return errors.New("a transaction index is too large")
	}
	return nil
}

type wireReceipt struct {
	BlockHash         common.Hash `json:"blockHash"`
	BlockNumber       optional    `json:"blockNumber"`
	TransactionHash   common.Hash `json:"transactionHash"`
	TransactionIndex  optional    `json:"transactionIndex"`
	GasUsed           optional    `json:"gasUsed"`
	EffectiveGasPrice *amount     `json:"effectiveGasPrice"`
	L1Fee             amount      `json:"l1Fee"` // OP stack: the price of the data on the parent chain
	BlobGasUsed       optional    `json:"blobGasUsed"`
	BlobGasPrice      amount      `json:"blobGasPrice"`
	Status            optional    `json:"status"` // absent before Byzantium
	Timestamp         optional    `json:"timestamp"`
	Logs              []wireLog   `json:"logs"`
}

func (r *wireReceipt) check(tx common.Hash) error {
	switch {
	case r.TransactionHash != tx:
		return errors.New("the receipt of another transaction")
	case !r.BlockNumber.ok || !r.TransactionIndex.ok || !r.GasUsed.ok:
		return fmt.Errorf("receipt: %w", errMissing)
	case r.TransactionIndex.n > 1<<32-1:
		return errors.New("a transaction index is too large")
	}
	for i := range r.Logs {
		l := &r.Logs[i]
		if err := l.check(); err != nil {
			return err
		}
		if l.TransactionHash != tx || l.BlockNumber != r.BlockNumber {
			return errors.New("a receipt holds a log of another transaction")
		}
	}
	return nil
}

// failed reports whether the transaction moved nothing. A receipt from before
// Byzantium does not say; it is taken as a success.
func (r *wireReceipt) failed() bool { return r.Status.ok && r.Status.n == 0 }

// fee returns what the sender paid for the transaction. price is the gas price
// of the transaction, for receipts that do not name the one that was paid.
func (r *wireReceipt) fee(price *amount) (uint256.Int, error) {
	var sum, blob uint256.Int
	if r.EffectiveGasPrice != nil {
		price = r.EffectiveGasPrice
	}
	if price == nil {
		return sum, fmt.Errorf("effectiveGasPrice: %w", errMissing)
	}
	_, o1 := sum.MulOverflow(&price.Int, uint256.NewInt(r.GasUsed.n))
	_, o2 := blob.MulOverflow(&r.BlobGasPrice.Int, uint256.NewInt(r.BlobGasUsed.n))
	_, o3 := sum.AddOverflow(&sum, &blob)
	_, o4 := sum.AddOverflow(&sum, &r.L1Fee.Int)
	if o1 || o2 || o3 || o4 {
		return sum, errors.New("a fee is larger than 256 bits")
	}
	return sum, nil
}

type wireTx struct {
	Hash             common.Hash     `json:"hash"`
	BlockHash        common.Hash     `json:"blockHash"`
	BlockNumber      optional        `json:"blockNumber"` // absent while pending
	BlockTimestamp   optional        `json:"blockTimestamp"`
	TransactionIndex optional        `json:"transactionIndex"`
	From             common.Address  `json:"from"`
	To               *common.Address `json:"to"`
	Value            amount          `json:"value"`
	Nonce            optional        `json:"nonce"`
	GasPrice         *amount         `json:"gasPrice"`
}

func (t *wireTx) check() error {
	if !t.BlockNumber.ok || !t.TransactionIndex.ok {
		return fmt.Errorf("transaction: %w", errMissing)
	}
	if t.TransactionIndex.n > 1<<32-1 {
		return errors.New("a transaction index is too large")
	}
	return nil
}

type wireBlock struct {
	Number       optional        `json:"number"`
	Hash         common.Hash     `json:"hash"`
	Timestamp    optional        `json:"timestamp"`
	Transactions json.RawMessage `json:"transactions"`
}

func (b *wireBlock) check(number uint64) error {
	if !b.Number.ok || !b.Timestamp.ok || b.Hash == (common.Hash{}) {
		return fmt.Errorf("block: %w", errMissing)
	}
	if b.Number.n != number {
		return fmt.Errorf("block %d instead of block %d", b.Number.n, number)
	}
	return nil
}

// decode unmarshals a result that must not be null.
func decode(raw json.RawMessage, v any) error {
	if string(raw) == "null" {
		return errNull
	}
	return json.Unmarshal(raw, v)
}

// hex writes a quantity as JSON-RPC wants it.
func hex(n uint64) string { return "0x" + strconv.FormatUint(n, 16) }
