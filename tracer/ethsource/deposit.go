package ethsource

import (
	"bytes"
	"encoding/json"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/rlp"
)

// depositType is the type of the transactions that OP-stack chains (Optimism,
// Base) take from the chain below. Every block there begins with one, nobody
// signs them, and go-ethereum does not know them.
const depositType = 0x7e

// A sealedTx is a transaction as the root of its block has it.
type sealedTx struct {
	hash  common.Hash
	bytes []byte
	tx    *types.Transaction // nil for a deposit
	from  common.Address     // of a deposit
	to    *common.Address    // of a deposit
	value *hexutil.Big       // of a deposit
}

// encodeTx encodes what a node shows of a transaction.
func encodeTx(raw json.RawMessage, kind uint64) (x sealedTx, err error) {
	if kind != depositType {
		x.tx = new(types.Transaction)
		if err := x.tx.UnmarshalJSON(raw); err != nil {
			return x, err
		}
		x.hash = x.tx.Hash()
		x.bytes, err = x.tx.MarshalBinary()
		return x, err
	}
	var in struct {
		Source common.Hash     `json:"sourceHash"`
		From   common.Address  `json:"from"`
		To     *common.Address `json:"to"`
		Mint   *hexutil.Big    `json:"mint"`
		Value  *hexutil.Big    `json:"value"`
		Gas    hexutil.Uint64  `json:"gas"`
		System bool            `json:"isSystemTx"`
		Input  hexutil.Bytes   `json:"input"`
	}
	if err := json.Unmarshal(raw, &in); err != nil {
		return x, err
	}
	to := []byte{}
	if in.To != nil {
		to = in.To.Bytes()
	}
	b, err := rlp.EncodeToBytes([]any{in.Source, in.From, to, in.Mint.ToInt(), in.Value.ToInt(), uint64(in.Gas), in.System, []byte(in.Input)})
	x.bytes = append([]byte{depositType}, b...)
	x.hash, x.from, x.to, x.value = crypto.Keccak256Hash(x.bytes), in.From, in.To, in.Value
	return x, err
}

// encodeReceipt encodes what a node shows of a receipt. The bloom follows from
// the logs.
func encodeReceipt(raw json.RawMessage, kind uint64) (*types.Receipt, []byte, error) {
	r := new(types.Receipt)
	if err := r.UnmarshalJSON(raw); err != nil {
		return nil, nil, err
	}
	r.Bloom = types.CreateBloom(r)
	var b bytes.Buffer
	if kind != depositType {
		types.Receipts{r}.EncodeIndex(0, &b)
		return r, b.Bytes(), nil
	}
	var in struct {
		Nonce   *hexutil.Uint64 `json:"depositNonce"`
		Version *hexutil.Uint64 `json:"depositReceiptVersion"`
	}
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, nil, err
	}
	status := []byte{}
	if r.Status == types.ReceiptStatusSuccessful {
		status = []byte{1}
	}
	fields := []any{status, r.CumulativeGasUsed, r.Bloom, r.Logs}
	if in.Nonce != nil && in.Version != nil { // before Canyon the root was without
		fields = append(fields, uint64(*in.Nonce), uint64(*in.Version))
	}
	b.WriteByte(depositType)
	err := rlp.Encode(&b, fields)
	return r, b.Bytes(), err
}

// encodings are the elements of a list whose root is derived.
type encodings [][]byte

func (e encodings) Len() int                           { return len(e) }
func (e encodings) EncodeIndex(i int, w *bytes.Buffer) { w.Write(e[i]) }
