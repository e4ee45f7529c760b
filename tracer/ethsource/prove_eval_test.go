package ethsource

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
)

// TestEvalProve holds recorded blocks of real chains against their headers, and
// proves every transfer that is decoded from one.
func TestEvalProve(t *testing.T) {
	dir := evalDir(t, "chainstorage")
	s := bare(t)
	whole, proven := 0, 0
	for _, name := range append(evalFiles(t, dir, "*raw_*block*.json.gz"), evalFiles(t, dir, "block_*_raw_*.json.gz")...) {
		var raw struct {
			Ethereum struct {
				Header   []byte
				Receipts [][]byte `json:"transactionReceipts"`
			}
		}
		if json.Unmarshal(readEval(t, name), &raw) != nil || raw.Ethereum.Header == nil {
			continue // other shapes
		}
		var b block
		if err := json.Unmarshal(raw.Ethereum.Header, &b); err != nil {
			t.Fatal(err)
		}
		receipts := slices.Concat([]byte("["), bytes.Join(raw.Ethereum.Receipts, []byte(",")), []byte("]"))
		got := seal(uint64(b.Number), raw.Ethereum.Header, receipts)
		rel, _ := filepath.Rel(dir, name)
		t.Logf("%s: block %d, %d transactions: %q", rel, b.Number, len(b.Txs), got.bad)
		if got.bad != "" {
			continue
		}
		whole++
		var ts []tracer.Transfer
		at := make(map[common.Hash]*tx)
		for i := range b.Txs {
			at[b.Txs[i].Hash] = &b.Txs[i]
		}
		for _, data := range raw.Ethereum.Receipts {
			var r receipt
			if err := json.Unmarshal(data, &r); err != nil {
				t.Fatal(err)
			}
			x := at[r.Tx]
			if r.From, r.Hash, r.Block = x.From, b.Hash, b.Number; r.GasPrice == nil {
				r.GasPrice = x.GasPrice
			}
			ts = append(ts, s.fee(&r, uint64(b.Time)))
			if v, ok := s.value(x, &r, uint64(b.Time)); ok {
				ts = append(ts, v)
			}
			for k := range r.Logs {
				if v, ok := s.transfer(&r.Logs[k]); ok {
					v.Time = uint64(b.Time)
					ts = append(ts, v)
				}
			}
		}
		for i := range ts {
			why := s.prove(got, &ts[i])
			if why == unprovenFee && ts[i].Kind == tracer.KindFee && strings.HasPrefix(rel, "base") { // a part of it is for the chain below
				continue
			}
			if why == unprovenStatus && b.Number < 4_370_000 { // Byzantium
				continue
			}
			if why != "" {
				t.Errorf("%s: %+v: %s", rel, ts[i], why)
				continue
			}
			proven++
			forged := ts[i]
			if forged.Amount.AddUint64(&forged.Amount, 1); s.prove(got, &forged) == "" {
				t.Errorf("%s: a forged transfer is proven: %+v", rel, forged)
			}
		}
	}
	t.Logf("%d blocks are whole, and %d transfers proven", whole, proven)
	if whole < 5 || proven < 500 {
		t.Errorf("only %d blocks are whole and %d transfers proven", whole, proven)
	}
}

// TestEvalProveAPIs holds the recorded answers of go-ethereum to the tests of
// the execution APIs against their headers.
func TestEvalProveAPIs(t *testing.T) {
	dir := evalDir(t, "execution-apis")
	ask := func(name string) (result json.RawMessage) {
		for line := range strings.Lines(string(readEval(t, filepath.Join(dir, filepath.FromSlash(name))))) {
			if text, ok := strings.CutPrefix(line, "<< "); ok {
				var in struct{ Result json.RawMessage }
				if err := json.Unmarshal([]byte(text), &in); err != nil {
					t.Fatal(err)
				}
				result = in.Result
			}
		}
		return result
	}
	blocks := make(map[common.Hash]json.RawMessage)
	for _, method := range []string{"eth_getBlockByNumber", "eth_getBlockByHash"} {
		for _, name := range evalFiles(t, filepath.Join(dir, method), "*.io") {
			rel, _ := filepath.Rel(dir, name)
			raw := ask(filepath.ToSlash(rel))
			var h *header
			if json.Unmarshal(raw, &h) == nil && h != nil && bytes.Contains(raw, []byte(`"blockHash"`)) { // whole transactions
				blocks[h.Hash] = raw
			}
		}
	}
	found := 0
	for _, name := range evalFiles(t, filepath.Join(dir, "eth_getBlockReceipts"), "*.io") {
		rel, _ := filepath.Rel(dir, name)
		raw := ask(filepath.ToSlash(rel))
		var rs []receipt
		if json.Unmarshal(raw, &rs) != nil || len(rs) == 0 || blocks[rs[0].Hash] == nil {
			continue
		}
		found++
		if b := seal(uint64(rs[0].Block), blocks[rs[0].Hash], raw); b.bad != "" {
			t.Errorf("%s: %s", rel, b.bad)
		}
	}
	if found == 0 {
		t.Error("no block is there with its receipts")
	}
}
