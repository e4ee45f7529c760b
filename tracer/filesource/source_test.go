package filesource_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/filesource"
	"scamtrace/tracer/sourcetest"

	"github.com/ethereum/go-ethereum/common"
	"github.com/google/go-cmp/cmp"
)

// stranger is in no file.
var stranger = common.HexToAddress("0x" + strings.Repeat("ff", 20))

// everybody asks for every wallet that the small tests use, over all blocks.
func everybody(*filesource.Source) []tracer.Span {
	var spans []tracer.Span
	for n := range 256 {
		var w common.Address
		for i := range w {
			w[i] = byte(n)
		}
		spans = append(spans, tracer.Span{Wallet: w, To: 1 << 62})
	}
	return spans
}

// spans asks for everybody in transfers.
func spans(ts []tracer.Transfer) []tracer.Span {
	seen := make(map[common.Address]bool)
	var ps []tracer.Span
	for i := range ts {
		for _, a := range [...]common.Address{ts[i].From, ts[i].To} {
			if !seen[a] {
				seen[a] = true
				ps = append(ps, tracer.Span{Wallet: a, To: 1 << 62})
			}
		}
	}
	return ps
}

// export writes the transfers of a world in our own columns.
func export(t testing.TB, w *devnet.World) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := filesource.WriteCSV(&b, devnet.Chain(), w.Transfers()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// plain are a world's transfers without what no file holds.
func plain(w *devnet.World) []tracer.Transfer {
	ts := w.Transfers()
	for i := range ts {
		ts[i].BlockHash = common.Hash{}
	}
	return ts
}

func read(t testing.TB, chain tracer.Chain, csv []byte) *filesource.Source {
	t.Helper()
	s, err := filesource.Read(chain, "list.csv", bytes.NewReader(csv))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestContract holds a source over a world's export to what every source promises.
func TestContract(t *testing.T) {
	for _, cfg := range []devnet.Config{{}, {Seed: 7, Transfers: 4000, NativeLogs: true}} {
		t.Run(fmt.Sprintf("native logs %v", cfg.NativeLogs), func(t *testing.T) {
			w := devnet.Generate(cfg)
			sourcetest.Test(t, w, read(t, devnet.Chain(), export(t, w)), sourcetest.Options{NoBlockHashes: true})
		})
	}
}

// TestRoundTrip writes whole worlds and reads them back, and writes what was
// read: nothing may change, in whatever order the rows stand.
func TestRoundTrip(t *testing.T) {
	for seed := range uint64(3) {
		w := devnet.Generate(devnet.Config{Seed: seed, Transfers: 5000, NativeLogs: seed == 2})
		want := plain(w)
		list := export(t, w)
		s := read(t, devnet.Chain(), list)
		ans, err := s.Transfers(t.Context(), tracer.Query{Spans: spans(want)})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(ans.Transfers, want) || len(ans.Unread) > 0 {
			t.Fatalf("seed %d: %d transfers come back as %d, %d unread", seed, len(want), len(ans.Transfers), len(ans.Unread))
		}
		var again bytes.Buffer
		if err := filesource.WriteCSV(&again, devnet.Chain(), ans.Transfers); err != nil || !bytes.Equal(again.Bytes(), list) {
			t.Errorf("seed %d: the list that was read is written differently, %v", seed, err)
		}

		rows := slices.Collect(strings.Lines(string(list)))
		slices.Reverse(rows[1:])
		twice := strings.Join(rows, "") + strings.Join(rows[1:], "")
		ans2, err := read(t, devnet.Chain(), []byte(twice)).Transfers(t.Context(), tracer.Query{Spans: spans(want)})
		if err != nil || !slices.Equal(ans2.Transfers, want) {
			t.Errorf("seed %d: the list backward and twice gives %d transfers, want %d; %v", seed, len(ans2.Transfers), len(want), err)
		}
	}
}

// etl writes what ethereum-etl would of a world: token transfers, transactions
// and traces. A made-up call stands for each transaction that moved nothing.
func etl(w *devnet.World) (tokens, transactions, traces string) {
	var tok, txs, trs strings.Builder
	tok.WriteString("token_address,from_address,to_address,value,transaction_hash,log_index,block_number,block_timestamp\n")
	txs.WriteString("hash,nonce,block_number,transaction_index,from_address,to_address,value,receipt_status,block_timestamp,receipt_gas_used,receipt_effective_gas_price\n")
	trs.WriteString("block_number,transaction_hash,transaction_index,from_address,to_address,value,trace_type,call_type,trace_address,status\n")
	value := make(map[common.Hash]*tracer.Transfer)
	ts := w.Transfers()
	for i := range ts {
		if ts[i].Kind == tracer.KindNative {
			value[ts[i].Tx] = &ts[i]
		}
	}
	for i := range ts {
		x := &ts[i]
		from, to := tracer.Hex(x.From), tracer.Hex(x.To)
		switch x.Kind {
		case tracer.KindToken:
			fmt.Fprintf(&tok, "%s,%s,%s,%s,%s,%s,%d,%d\n", tracer.Hex(x.Asset.Token), from, to, x.Amount.Dec(), x.Tx.Hex(), x.Position, x.Block, x.Time)
		case tracer.KindInternal:
			fmt.Fprintf(&trs, "%d,%s,%d,%s,%s,%s,call,call,\"%s\",1\n", x.Block, x.Tx.Hex(), x.TxIndex, from, to, x.Amount.Dec(), strings.ReplaceAll(x.Position, ".", ","))
		case tracer.KindFee:
			to, amount := from, "0"
			if v := value[x.Tx]; v != nil {
				to, amount = tracer.Hex(v.To), v.Amount.Dec()
				fmt.Fprintf(&trs, "%d,%s,%d,%s,%s,%s,call,call,,1\n", x.Block, x.Tx.Hex(), x.TxIndex, from, to, amount)
			}
			fmt.Fprintf(&txs, "%s,0,%d,%d,%s,%s,%s,1,%d,%s,1\n", x.Tx.Hex(), x.Block, x.TxIndex, from, to, amount, x.Time, x.Amount.Dec())
		}
	}
	return tok.String(), txs.String(), trs.String()
}

// TestETLWorld reads a world as three lists of ethereum-etl, which show values
// twice, and wants the world. NFTs are not in these lists.
func TestETLWorld(t *testing.T) {
	w := devnet.Generate(devnet.Config{Seed: 3, Transfers: 5000})
	tokens, transactions, traces := etl(w)
	s, err := filesource.Open(devnet.Chain(), write(t, map[string]string{"a.csv": tokens, "b.csv": transactions, "c.csv": traces})...)
	if err != nil {
		t.Fatal(err)
	}
	want := slices.DeleteFunc(plain(w), func(x tracer.Transfer) bool { return x.Kind == tracer.KindNFT })
	ans, err := s.Transfers(t.Context(), tracer.Query{Spans: spans(want)})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, ans.Transfers); diff != "" {
		t.Errorf("transfers (-want +got):\n%.4000s", diff)
	}
	if len(ans.Unread) > 0 {
		t.Errorf("unread: %v", ans.Unread[:1])
	}
	if len(want) < 4000 {
		t.Errorf("only %d transfers to compare", len(want))
	}
}

// explorerFiles writes the three exports of a wallet as an explorer would.
func explorerFiles(w *devnet.World, wallet common.Address) map[string]string {
	chain := devnet.Chain()
	var txs, inner, tok strings.Builder
	txs.WriteString(`"Transaction Hash","Blockno","UnixTimestamp","DateTime (UTC)","From","To","ContractAddress","Value_IN(ETH)","Value_OUT(ETH)","CurrentValue @ $1/Eth","TxnFee(ETH)","TxnFee(USD)","Historical $Price/Eth","Status","ErrCode","Method"` + "\n")
	inner.WriteString(`"Transaction Hash","Blockno","UnixTimestamp","DateTime (UTC)","ParentTxFrom","ParentTxTo","ParentTxETH_Value","From","TxTo","ContractAddress","Value_IN(ETH)","Value_OUT(ETH)","CurrentValue @ $1/Eth","Historical $Price/Eth","Status","ErrCode","Type"` + "\n")
	tok.WriteString(`"Transaction Hash","Blockno","UnixTimestamp","DateTime (UTC)","From","To","TokenValue","USDValueDayOfTx","ContractAddress","TokenName","TokenSymbol"` + "\n")
	ts := w.Transfers()
	value := make(map[common.Hash]*tracer.Transfer)
	for i := range ts {
		if ts[i].Kind == tracer.KindNative {
			value[ts[i].Tx] = &ts[i]
		}
	}
	for i := range ts {
		x := &ts[i]
		symbol, decimals, _ := chain.Describe(x.Asset)
		amount := tracer.Readable(&x.Amount, decimals)
		in, out := amount, "0"
		if x.From == wallet {
			in, out = "0", amount
		}
		head := fmt.Sprintf("%q,\"%d\",\"%d\",\"x\"", x.Tx.Hex(), x.Block, x.Time)
		mine := x.From == wallet || x.To == wallet
		switch {
		case x.Kind == tracer.KindFee:
			to, in, out := x.From, "0", "0"
			if v := value[x.Tx]; v != nil {
				to = v.To
				if in, out = tracer.Readable(&v.Amount, 18), "0"; v.From == wallet {
					in, out = out, in
				}
			}
			if x.From == wallet || to == wallet {
				fmt.Fprintf(&txs, "%s,%q,%q,\"\",%q,%q,\"0\",%q,\"0\",\"1\",\"\",\"\",\"\"\n", head, tracer.Hex(x.From), tracer.Hex(to), in, out, amount)
			}
		case mine && x.Kind == tracer.KindInternal:
			fmt.Fprintf(&inner, "%s,\"\",\"\",\"0\",%q,%q,\"\",%q,%q,\"0\",\"1\",\"0\",\"\",\"call\"\n", head, tracer.Hex(x.From), tracer.Hex(x.To), in, out)
		case mine && x.Kind == tracer.KindToken:
			fmt.Fprintf(&tok, "%s,%q,%q,%q,\"\",%q,\"x\",%q\n", head, tracer.Hex(x.From), tracer.Hex(x.To), amount, tracer.Hex(x.Asset.Token), symbol)
		}
	}
	name := tracer.Hex(wallet) + ".csv"
	return map[string]string{"export-" + name: txs.String(), "export-internal-" + name: inner.String(), "export-token-" + name: tok.String()}
}

// TestExplorerWorld reads what an explorer would export of a victim, of the
// scam wallet it paid and of where that paid, and wants all that these three
// moved, once, and the others reported as unread.
func TestExplorerWorld(t *testing.T) {
	w := devnet.Generate(devnet.Config{Transfers: 6000})
	v := w.Truth.Victims[0]
	whose := []common.Address{v.Wallet, v.Seeds[0]}
	ts := w.Transfers()
	for i := range ts {
		if ts[i].From == v.Seeds[0] && ts[i].Counts() && ts[i].To != (common.Address{}) {
			whose = append(whose, ts[i].To)
			break
		}
	}
	files := make(map[string]string)
	for _, a := range whose {
		maps.Copy(files, explorerFiles(w, a))
	}
	s, err := filesource.Open(devnet.Chain(), write(t, files)...)
	if err != nil {
		t.Fatal(err)
	}
	chain := devnet.Chain()
	key := func(ts []tracer.Transfer) (keys []string) {
		for i := range ts {
			x := &ts[i]
			mine := slices.Contains(whose, x.From) || slices.Contains(whose, x.To)
			if mine && x.Kind != tracer.KindNFT && chain.Known(x.Asset) {
				keys = append(keys, fmt.Sprint(x.Block, x.Time, x.Tx, x.Kind, x.Asset, x.From, x.To, x.Amount.Dec()))
			}
		}
		slices.Sort(keys)
		return keys
	}
	var q tracer.Query
	for _, a := range append(whose, stranger) {
		q.Spans = append(q.Spans, tracer.Span{Wallet: a, To: 1 << 62})
	}
	ans, err := s.Transfers(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	want := key(ts)
	if diff := cmp.Diff(want, key(ans.Transfers)); diff != "" || len(want) < 20 {
		t.Errorf("%d transfers (-want +got):\n%s", len(want), diff)
	}
	if len(ans.Unread) != 1 || ans.Unread[0].Wallet != stranger || ans.Unread[0].Part != tracer.PartAll {
		t.Errorf("unread: %v, want all of a stranger", ans.Unread)
	}
}

// write writes files into a new folder and returns their paths.
func write(t testing.TB, files map[string]string) []string {
	t.Helper()
	dir := t.TempDir()
	var paths []string
	for name, text := range files {
		paths = append(paths, writeFile(t, dir, name, text))
	}
	return paths
}
