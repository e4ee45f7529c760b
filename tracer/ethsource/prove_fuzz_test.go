package ethsource

import (
	"encoding/json"
	"math/big"
	"testing"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/trie"
)

// FuzzSeal holds what a hostile node may show of a block against its header, and
// looks for transfers in it.
func FuzzSeal(f *testing.F) {
	tx := types.NewTx(&types.LegacyTx{To: &common.Address{1}, Value: big.NewInt(5), Gas: 21_000, GasPrice: big.NewInt(1), V: big.NewInt(27), R: big.NewInt(1), S: big.NewInt(1)})
	r := &types.Receipt{Status: 1, CumulativeGasUsed: 21_000, TxHash: tx.Hash(), Logs: []*types.Log{}}
	r.Bloom = types.CreateBloom(r)
	b := types.NewBlock(&types.Header{Number: big.NewInt(1), Difficulty: new(big.Int)}, &types.Body{Transactions: types.Transactions{tx}}, types.Receipts{r}, trie.NewListHasher())
	head, _ := json.Marshal(b.Header())
	shown, _ := json.Marshal(tx)
	receipt, _ := json.Marshal(r)
	block := string(head[:len(head)-1]) + `,"transactions":[` + string(shown) + `]}`
	f.Add(block, "["+string(receipt)+"]")
	f.Add(string(head[:len(head)-1])+`,"transactions":[{"type":"0x7e","value":null}]}`, `[{"type":"0x7e","depositNonce":"0x1","depositReceiptVersion":"0x1","logs":[],"cumulativeGasUsed":"0x0","logsBloom":"0x","transactionHash":"0x","gasUsed":"0x0"}]`)
	f.Add("null", "[]")
	if got := seal(1, json.RawMessage(block), json.RawMessage("["+string(receipt)+"]")); got.bad != "" {
		f.Fatal(got.bad)
	}
	s := &Source{c: &client{}, chain: tracer.Chain{ID: 1}}
	f.Fuzz(func(t *testing.T, block, receipts string) {
		b := seal(1, json.RawMessage(block), json.RawMessage(receipts))
		for i := range b.txs {
			for k := range tracer.KindNFT + 1 {
				s.prove(b, &tracer.Transfer{Block: 1, BlockHash: b.hash, Time: b.header.Time, Tx: b.txs[i].hash, Kind: k, Position: "0"})
			}
		}
	})
}
