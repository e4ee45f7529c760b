package ethsource_test

import (
	"crypto/ecdsa"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/ethsource"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/trie"
	"github.com/holiman/uint256"
)

// A sealedChain is a chain of one full block, number 1, and some empty ones, all
// built by go-ethereum, and what the node says of them.
type sealedChain struct {
	chain   tracer.Chain
	truth   []tracer.Transfer
	answers map[string]any // by method and first parameter
	broken  func(method string, result []byte) []byte
}

const sealedTime = 1_700_000_000

var tokenOfSealed = common.HexToAddress("0x70CE")

// newSealed makes a block with a transaction of every kind that go-ethereum
// knows; old is before London and Byzantium: no base fee, and no status.
func newSealed(t *testing.T, old bool) *sealedChain {
	t.Helper()
	c := &sealedChain{chain: devnet.Chain(), answers: make(map[string]any)}
	id := new(big.Int).SetUint64(c.chain.ID)
	signer := types.LatestSignerForChainID(id)
	var keys []*ecdsa.PrivateKey
	var who []common.Address
	for i := range 6 {
		key, err := crypto.ToECDSA(crypto.Keccak256([]byte{byte(i)}))
		if err != nil {
			t.Fatal(err)
		}
		keys, who = append(keys, key), append(who, crypto.PubkeyToAddress(key.PublicKey))
	}
	small := func(n uint64) *uint256.Int { return uint256.NewInt(n) }
	big10 := big.NewInt(10)
	sign := func(i int, data types.TxData) *types.Transaction {
		tx, err := types.SignNewTx(keys[i], signer, data)
		if err != nil {
			t.Fatal(err)
		}
		return tx
	}
	homestead, err := types.SignNewTx(keys[0], types.HomesteadSigner{}, &types.LegacyTx{GasPrice: big10, Gas: 50_000, To: &who[1], Value: big.NewInt(7)})
	if err != nil {
		t.Fatal(err)
	}
	auth, err := types.SignSetCode(keys[4], types.SetCodeAuthorization{ChainID: *small(c.chain.ID), Address: tokenOfSealed})
	if err != nil {
		t.Fatal(err)
	}
	txs := types.Transactions{homestead, sign(1, &types.LegacyTx{GasPrice: big10, Gas: 50_000, Value: big.NewInt(8), Data: []byte{1}})}
	if !old {
		txs = append(txs,
			sign(2, &types.AccessListTx{ChainID: id, GasPrice: big10, Gas: 50_000, To: &who[3], Value: big.NewInt(9)}),
			sign(3, &types.DynamicFeeTx{ChainID: id, GasTipCap: big.NewInt(1), GasFeeCap: big10, Gas: 50_000, To: &who[4], Value: big.NewInt(11)}),
			sign(4, &types.BlobTx{ChainID: small(c.chain.ID), GasTipCap: small(2), GasFeeCap: small(10), Gas: 50_000, To: who[5], Value: small(12), BlobFeeCap: small(1), BlobHashes: []common.Hash{{1}}}),
			sign(5, &types.SetCodeTx{ChainID: small(c.chain.ID), GasTipCap: small(1), GasFeeCap: small(8), Gas: 50_000, To: who[0], Value: small(13), AuthList: []types.SetCodeAuthorization{auth}}),
			sign(0, &types.DynamicFeeTx{ChainID: id, Nonce: 1, GasTipCap: big.NewInt(1), GasFeeCap: big10, Gas: 50_000, To: &who[2], Value: big.NewInt(14)})) // fails
	}
	transfer := common.HexToHash("0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef")
	topic := func(a common.Address) common.Hash { return common.BytesToHash(a[:]) }
	head := &types.Header{Number: big.NewInt(1), Time: sealedTime, Difficulty: new(big.Int), GasLimit: 30_000_000, Extra: []byte("sealed")}
	if !old {
		head.BaseFee = big.NewInt(5)
	}
	var receipts types.Receipts
	place := 0
	base := tracer.Transfer{Block: 1, Time: sealedTime, Asset: tracer.NativeOf(c.chain.ID)}
	for i, tx := range txs {
		from, _ := types.Sender(signer, tx)
		r := &types.Receipt{Type: tx.Type(), Status: 1, CumulativeGasUsed: uint64(i+1) * 30_000, TxHash: tx.Hash(), GasUsed: 30_000, TransactionIndex: uint(i), BlockNumber: head.Number, Logs: []*types.Log{}}
		failed := !old && i == len(txs)-1
		if old {
			r.PostState, r.Status = crypto.Keccak256([]byte{byte(i)}), 0
		}
		if failed {
			r.Status = 0
		}
		x := base
		x.Tx, x.TxIndex, x.From = tx.Hash(), uint32(i), from
		fee := x
		price := tx.GasPrice()
		if head.BaseFee != nil {
			tip, err := tx.EffectiveGasTip(head.BaseFee)
			if err != nil {
				t.Fatal(err)
			}
			price = tip.Add(tip, head.BaseFee)
		}
		fee.Kind, fee.Amount = tracer.KindFee, *small(30_000 * price.Uint64())
		c.truth = append(c.truth, fee)
		if !failed {
			value := x
			value.Kind, value.Amount = tracer.KindNative, *uint256.MustFromBig(tx.Value())
			if value.To = crypto.CreateAddress(from, tx.Nonce()); tx.To() != nil {
				value.To = *tx.To()
			}
			c.truth = append(c.truth, value)
			for k := range 2 {
				to := who[(i+k+1)%len(who)]
				l := &types.Log{Address: tokenOfSealed, Topics: []common.Hash{transfer, topic(from), topic(to)}, Data: common.BigToHash(big.NewInt(int64(100*i + k))).Bytes(),
					Index: uint(place), TxHash: tx.Hash(), TxIndex: uint(i), BlockNumber: 1}
				r.Logs = append(r.Logs, l)
				move := x
				move.Kind, move.Asset, move.To, move.Amount, move.Position = tracer.KindToken, tracer.TokenOf(c.chain.ID, tokenOfSealed), to, *small(uint64(100*i + k)), strconv.Itoa(place)
				c.truth = append(c.truth, move)
				place++
			}
		}
		r.Bloom = types.CreateBloom(r)
		receipts = append(receipts, r)
	}
	h := trie.NewListHasher()
	block := types.NewBlock(head, &types.Body{Transactions: txs}, receipts, h)
	var list, shown []any
	for i, r := range receipts {
		r.BlockHash = block.Hash()
		for _, l := range r.Logs {
			l.BlockHash = block.Hash()
		}
		c.answers["eth_getTransactionReceipt "+r.TxHash.Hex()] = r
		list = append(list, r)
		shown = append(shown, txs[i])
	}
	for i := range c.truth {
		c.truth[i].BlockHash = block.Hash()
	}
	c.answers["eth_getBlockReceipts 0x1"] = list
	c.show(1, block.Header(), shown)
	parent := block.Hash()
	for n := uint64(2); n < 200; n++ {
		h := &types.Header{Number: new(big.Int).SetUint64(n), ParentHash: parent, Time: sealedTime + 12*n, Difficulty: new(big.Int), TxHash: types.EmptyTxsHash, ReceiptHash: types.EmptyReceiptsHash}
		parent = h.Hash()
		c.show(n, h, []any{})
		for _, tag := range []string{"latest", "finalized"} {
			c.answers["eth_getBlockByNumber "+tag] = c.answers["eth_getBlockByNumber "+hexutil.EncodeUint64(n)]
		}
	}
	c.answers["eth_chainId "] = hexutil.Uint64(c.chain.ID)
	return c
}

// show says what the node answers for a block.
func (c *sealedChain) show(n uint64, h *types.Header, txs []any) {
	b, _ := json.Marshal(h)
	var fields map[string]any
	json.Unmarshal(b, &fields)
	fields["transactions"] = txs
	c.answers["eth_getBlockByNumber "+hexutil.EncodeUint64(n)] = fields
}

func (c *sealedChain) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var raw json.RawMessage
	json.NewDecoder(r.Body).Decode(&raw)
	type question struct {
		ID     json.RawMessage
		Method string
		Params []any
	}
	var list []question
	batch := json.Unmarshal(raw, &list) == nil
	if !batch {
		list = make([]question, 1)
		json.Unmarshal(raw, &list[0])
	}
	var out []string
	for _, q := range list {
		first := ""
		if len(q.Params) > 0 {
			first = fmt.Sprint(q.Params[0])
		}
		a, ok := c.answers[q.Method+" "+first]
		if !ok {
			out = append(out, fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"the method does not exist"}}`, q.ID))
			continue
		}
		b, _ := json.Marshal(a)
		if c.broken != nil {
			b = c.broken(q.Method, b)
		}
		out = append(out, fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":%s}`, q.ID, b))
	}
	w.Header().Set("Content-Type", "application/json")
	if batch {
		fmt.Fprintf(w, "[%s]", strings.Join(out, ","))
	} else {
		fmt.Fprint(w, out[0])
	}
}

// proofs counts reasons; the proven are under an empty one.
func (c *sealedChain) proofs(t *testing.T, ts []tracer.Transfer) map[string]int {
	t.Helper()
	src, err := ethsource.Open(t.Context(), c.chain, serve(t, c), ethsource.Hasty(ethsource.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	why, err := src.Prove(t.Context(), ts)
	if err != nil {
		t.Fatal(err)
	}
	n := make(map[string]int)
	for _, w := range why {
		n[w]++
	}
	return n
}

// TestProve proves transfers of every kind in blocks that go-ethereum sealed,
// with receipts of the block and one by one.
func TestProve(t *testing.T) {
	for _, single := range []bool{false, true} {
		c := newSealed(t, false)
		if single {
			delete(c.answers, "eth_getBlockReceipts 0x1")
		}
		// The fee of a transaction with blobs has a part that is not in the block.
		got := c.proofs(t, c.truth)
		if n := len(c.truth); n != 7+6+12 || got[""] != n-1 || got["the fee has parts that the block does not show"] != 1 {
			t.Errorf("single receipts %v: of %d transfers the proofs are %v", single, n, got)
		}
		old := newSealed(t, true)
		got = old.proofs(t, old.truth)
		if n := len(old.truth); got[""] != n-2 || got["receipts before 2017 do not say whether a transaction failed"] != 2 {
			t.Errorf("before Byzantium: of %d transfers the proofs are %v", n, got)
		}
	}
	c := newSealed(t, false)
	odd := slices.Clone(c.truth[:4])
	odd[0].Kind, odd[0].Position = tracer.KindInternal, "0.1"
	odd[1].BlockHash = common.Hash{}
	odd[2].Block = 500
	odd[3].Block = 3
	got := c.proofs(t, odd)
	for _, w := range []string{"traced by the node inside a transaction, not provable from the header of a block", "the hash of the block is not known",
		"the block is newer than the last one that is read", "the node shows another block at that height"} {
		if got[w] != 1 {
			t.Errorf("no transfer is unproven because %s: %v", w, got)
		}
	}
}

// TestProveForged changes each field of each transfer in turn: what is not in
// the block is not proven.
func TestProveForged(t *testing.T) {
	c := newSealed(t, false)
	forge := map[string]func(*tracer.Transfer){
		"amount":    func(x *tracer.Transfer) { x.Amount.AddUint64(&x.Amount, 1) },
		"zero":      func(x *tracer.Transfer) { x.Amount.Clear() },
		"sender":    func(x *tracer.Transfer) { x.From[19] ^= 1 },
		"receiver":  func(x *tracer.Transfer) { x.To[0] ^= 1 },
		"asset":     func(x *tracer.Transfer) { x.Asset = tracer.TokenOf(c.chain.ID, common.HexToAddress("0xbad")) },
		"time":      func(x *tracer.Transfer) { x.Time++ },
		"block":     func(x *tracer.Transfer) { x.BlockHash[0] ^= 1 },
		"tx":        func(x *tracer.Transfer) { x.Tx[0] ^= 1 },
		"position":  func(x *tracer.Transfer) { x.Position = "3" + x.Position },
		"no number": func(x *tracer.Transfer) { x.Position += "x" },
		"kind":      func(x *tracer.Transfer) { x.Kind = (x.Kind + 1) % (tracer.KindNFT + 1) },
	}
	var ts []tracer.Transfer
	for name, f := range forge {
		for _, x := range c.truth {
			if was := x; name != "zero" || !x.Amount.IsZero() {
				if f(&x); x == was {
					t.Fatalf("%s changes nothing in %+v", name, x)
				}
				ts = append(ts, x)
			}
		}
	}
	// A log of another transaction, in its true place, and one of a transaction
	// that failed.
	last := c.truth[len(c.truth)-1] // the fee of the one that failed
	value := last
	value.Kind, value.To, value.Amount = tracer.KindNative, c.truth[0].From, *uint256.NewInt(14)
	other := c.truth[3]
	other.Tx, other.From = c.truth[len(c.truth)-2].Tx, c.truth[len(c.truth)-2].From
	ts = append(ts, value, other)
	if got := c.proofs(t, ts); got[""] > 0 {
		t.Errorf("%d of %d forged transfers are proven: %v", got[""], len(ts), got)
	}
}

// TestProveLies has a node change, drop or add what a block holds, so that it
// shows a transfer that never was, or lacks one that was. Without the hash of a
// header that says so nothing is proven.
func TestProveLies(t *testing.T) {
	edit := func(b []byte, f func(v any) any) []byte {
		var v any
		json.Unmarshal(b, &v)
		out, _ := json.Marshal(f(v))
		return out
	}
	receipts := func(f func(list []any) []any) func(string, []byte) []byte {
		return func(method string, b []byte) []byte {
			if method != "eth_getBlockReceipts" {
				return b
			}
			return edit(b, func(v any) any { return f(v.([]any)) })
		}
	}
	block := func(f func(b map[string]any)) func(string, []byte) []byte {
		return func(method string, b []byte) []byte {
			if method != "eth_getBlockByNumber" {
				return b
			}
			return edit(b, func(v any) any {
				if m := v.(map[string]any); m["number"] == "0x1" {
					f(m)
				}
				return v
			})
		}
	}
	logs := func(r any) []any { return r.(map[string]any)["logs"].([]any) }
	for _, tt := range []struct {
		name string
		lie  func(string, []byte) []byte
		want string
	}{
		{"a forged amount", receipts(func(l []any) []any {
			logs(l[0])[0].(map[string]any)["data"] = common.BigToHash(big.NewInt(999)).Hex()
			return l
		}), "the receipts are not those of the header"},
		{"a dropped log", receipts(func(l []any) []any { l[1].(map[string]any)["logs"] = logs(l[1])[:1]; return l }), "the receipts are not those of the header"},
		{"an added log", receipts(func(l []any) []any { l[6].(map[string]any)["logs"] = logs(l[1])[:1]; return l }), "the receipts are not those of the header"},
		{"logs swapped", receipts(func(l []any) []any { x := logs(l[1]); x[0], x[1] = x[1], x[0]; return l }), "the receipts are not those of the header"},
		{"a failed one that did not fail", receipts(func(l []any) []any { l[6].(map[string]any)["status"] = "0x1"; return l }), "the receipts are not those of the header"},
		{"a receipt less", receipts(func(l []any) []any { return l[:6] }), "the node does not show the block whole"},
		{"no receipts", receipts(func([]any) []any { return nil }), "the node does not show the block whole"},
		{"receipts that are none", receipts(func(l []any) []any { return append(l[:6], map[string]any{}) }), "the receipts are not those of the header"},
		{"receipts swapped", receipts(func(l []any) []any { l[0], l[1] = l[1], l[0]; return l }), "the receipts are not those of the header"},
		{"another value", block(func(b map[string]any) { b["transactions"].([]any)[0].(map[string]any)["value"] = "0x99" }), "the transactions are not those of the header"},
		{"another hash of a transaction", block(func(b map[string]any) {
			x := b["transactions"].([]any)
			x[0].(map[string]any)["value"], x[0].(map[string]any)["hash"] = "0x99", common.Hash{1}.Hex()
		}), "the transactions are not those of the header"},
		{"a system transaction", block(func(b map[string]any) { b["transactions"].([]any)[0].(map[string]any)["type"] = "0x64" }), "the block has transactions of a kind that only this chain has"},
		{"another root", block(func(b map[string]any) { b["receiptsRoot"] = common.Hash{2}.Hex() }), "the header does not have the block's hash: it was changed, or has fields that only this chain has"},
		{"another time", block(func(b map[string]any) { b["timestamp"] = "0x1" }), "the header does not have the block's hash: it was changed, or has fields that only this chain has"},
		{"a header without a root", block(func(b map[string]any) { delete(b, "receiptsRoot") }), "the header does not have the block's hash: it was changed, or has fields that only this chain has"},
		{"another block, whole", block(func(b map[string]any) {
			b["extraData"] = "0x"
			raw, _ := json.Marshal(b)
			var h types.Header
			json.Unmarshal(raw, &h)
			b["hash"] = h.Hash().Hex()
		}), "the node shows another block at that height"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newSealed(t, false)
			c.broken = tt.lie
			if got := c.proofs(t, c.truth); got[tt.want] != len(c.truth) {
				t.Errorf("of %d transfers the proofs are %v, want %q", len(c.truth), got, tt.want)
			}
		})
	}
}

// TestProveWorld proves all token transfers of a world. Nobody has signed there,
// so that nothing else is proven.
func TestProveWorld(t *testing.T) {
	w := devnet.Generate(devnet.Config{})
	ts := w.Transfers()[:2000]
	for _, o := range []devnet.NodeOptions{{}, {NoBlockReceipts: true}} {
		src := openWith(t, w, o, ethsource.Options{})
		why, err := src.Prove(t.Context(), ts)
		if err != nil {
			t.Fatal(err)
		}
		for i := range ts {
			want := ""
			switch ts[i].Kind {
			case tracer.KindFee, tracer.KindNative:
				want = "the transaction is not signed by the sender"
			case tracer.KindInternal:
				want = "traced by the node inside a transaction, not provable from the header of a block"
			}
			if why[i] != want {
				t.Errorf("%+v is not proven because %q, want %q", ts[i], why[i], want)
			}
		}
	}
}

// BenchmarkProve proves all transfers of a world over the loopback interface.
func BenchmarkProve(b *testing.B) {
	w := devnet.Generate(devnet.Config{})
	src := openWith(b, w, devnet.NodeOptions{}, ethsource.Options{})
	ts := w.Transfers()
	blocks := make(map[uint64]bool)
	for i := range ts {
		blocks[ts[i].Block] = true
	}
	for b.Loop() {
		if _, err := src.Prove(b.Context(), ts); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/1000/float64(b.N*len(blocks)), "ms/block")
	b.ReportMetric(float64(len(ts))*float64(b.N)/b.Elapsed().Seconds(), "transfers/s")
}

// BenchmarkProveFull proves the 900 token transfers of a block of 300
// transactions, over the loopback interface.
func BenchmarkProveFull(b *testing.B) {
	c := &sealedChain{chain: devnet.Chain(), answers: make(map[string]any)}
	id := new(big.Int).SetUint64(c.chain.ID)
	key, err := crypto.GenerateKey()
	if err != nil {
		b.Fatal(err)
	}
	from := crypto.PubkeyToAddress(key.PublicKey)
	topics := []common.Hash{common.HexToHash("0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"), common.BytesToHash(from[:]), {31: 7}}
	var txs types.Transactions
	var receipts types.Receipts
	var shown, list []any
	for i := range 300 {
		tx, err := types.SignNewTx(key, types.LatestSignerForChainID(id), &types.DynamicFeeTx{ChainID: id, Nonce: uint64(i), GasFeeCap: big.NewInt(9), To: &from, Gas: 90_000, Data: make([]byte, 68)})
		if err != nil {
			b.Fatal(err)
		}
		r := &types.Receipt{Type: tx.Type(), Status: 1, CumulativeGasUsed: uint64(i+1) * 60_000, TxHash: tx.Hash(), Logs: []*types.Log{}}
		for k := range 3 {
			r.Logs = append(r.Logs, &types.Log{Address: tokenOfSealed, Topics: topics, Data: common.BigToHash(big.NewInt(int64(i))).Bytes(), TxHash: tx.Hash()})
			c.truth = append(c.truth, tracer.Transfer{Asset: tracer.TokenOf(c.chain.ID, tokenOfSealed), Kind: tracer.KindToken, Block: 1, Time: sealedTime, Tx: tx.Hash(), TxIndex: uint32(i),
				From: from, To: common.BytesToAddress(topics[2][:]), Amount: *uint256.NewInt(uint64(i)), Position: strconv.Itoa(3*i + k)})
		}
		r.Bloom = types.CreateBloom(r)
		txs, receipts, shown, list = append(txs, tx), append(receipts, r), append(shown, tx), append(list, r)
	}
	block := types.NewBlock(&types.Header{Number: big.NewInt(1), Time: sealedTime, Difficulty: new(big.Int), BaseFee: big.NewInt(5)}, &types.Body{Transactions: txs}, receipts, trie.NewListHasher())
	c.show(1, block.Header(), shown)
	c.answers["eth_getBlockReceipts 0x1"], c.answers["eth_chainId "] = list, hexutil.Uint64(c.chain.ID)
	for _, tag := range []string{"latest", "finalized"} {
		c.answers["eth_getBlockByNumber "+tag] = c.answers["eth_getBlockByNumber 0x1"]
	}
	for i := range c.truth {
		c.truth[i].BlockHash = block.Hash()
	}
	for q, a := range c.answers { // encoded once
		raw, err := json.Marshal(a)
		if err != nil {
			b.Fatal(err)
		}
		c.answers[q] = json.RawMessage(raw)
	}
	src, err := ethsource.Open(b.Context(), c.chain, serve(b, c), ethsource.Options{})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		why, err := src.Prove(b.Context(), c.truth)
		if err != nil || slices.ContainsFunc(why, func(w string) bool { return w != "" }) {
			b.Fatal(why[0], err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/1000/float64(b.N), "ms/block")
}
