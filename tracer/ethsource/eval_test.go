package ethsource

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/holiman/uint256"
)

// evalDir is a folder of recorded blocks.
func evalDir(t *testing.T, name string) string {
	t.Helper()
	dir, ok := devnet.EvalData()
	if !ok {
		t.Skip("the evaluation data is not here; SCAMTRACE_EVAL_DATA names its folder")
	}
	return filepath.Join(dir, "rpc", name)
}

// readEval reads a file, unpacked.
func readEval(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(name, ".gz") {
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if b, err = io.ReadAll(z); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func evalFiles(t *testing.T, dir, pattern string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if ok, _ := filepath.Match(pattern, filepath.Base(name)); ok && err == nil {
			files = append(files, name)
		}
		return err
	})
	if err != nil || len(files) == 0 {
		t.Fatalf("no files %s in %s: %v", pattern, dir, err)
	}
	return files
}

// bare is a source that only decodes.
func bare(t *testing.T) *Source {
	return &Source{c: newClient(t, "http://127.0.0.1:1"), chain: tracer.Chain{ID: 1}, hashes: make(map[uint64]common.Hash)}
}

// told writes a transfer in one line, as far as both sides know it.
func told(tx common.Hash, position string, token common.Address, from, to common.Address, amount *uint256.Int) string {
	return strings.ToLower(fmt.Sprint(tx, " ", position, " ", token, " ", from, " ", to, " ", amount.Dec()))
}

func sameSets(t *testing.T, what string, got, want []string) {
	t.Helper()
	slices.Sort(got)
	slices.Sort(want)
	if slices.Equal(got, want) {
		return
	}
	for _, x := range got {
		if !slices.Contains(want, x) {
			t.Errorf("%s: only here: %s", what, x)
		}
	}
	for _, x := range want {
		if !slices.Contains(got, x) {
			t.Errorf("%s: only there: %s", what, x)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%s: %d, want %d", what, len(got), len(want))
	}
}

// A parsed block is one of chainstorage, with what it found in it.
type parsedBlock struct {
	Ethereum struct {
		Transactions []struct {
			Hash    common.Hash
			Receipt struct {
				Logs []parsedLog
			}
			Transfers []struct {
				Token common.Address `json:"tokenAddress"`
				ERC20 *parsedMove    `json:"erc20"`
				NFT   *parsedMove    `json:"erc721"`
				Index string         `json:"logIndex"`
			} `json:"tokenTransfers"`
			Traces []parsedTrace `json:"flattenedTraces"`
		}
	}
}

type parsedMove struct {
	From  common.Address `json:"fromAddress"`
	To    common.Address `json:"toAddress"`
	Value string
	ID    string `json:"tokenId"`
}

type parsedLog struct {
	Tx      common.Hash    `json:"transactionHash"`
	TxIndex string         `json:"transactionIndex"`
	Hash    common.Hash    `json:"blockHash"`
	Block   string         `json:"blockNumber"`
	Address common.Address `json:"address"`
	Data    string         `json:"data"`
	Topics  []common.Hash  `json:"topics"`
	Index   string         `json:"logIndex"`
}

type parsedTrace struct {
	Type   string
	From   common.Address
	To     common.Address
	Value  string
	Status string
	Error  string
	Path   []string `json:"traceAddress"`
}

func decimal(s string) uint64 {
	n, _ := strconv.ParseUint(s, 10, 64) // protobuf's JSON leaves zeros out
	return n
}

func amount(t *testing.T, s string) *uint256.Int {
	t.Helper()
	if s == "" {
		s = "0"
	}
	n, err := uint256.FromDecimal(s)
	if err != nil {
		t.Fatalf("amount %q: %v", s, err)
	}
	return n
}

// TestEvalBlocks decodes recorded blocks of seven chains: token transfers equal
// those that chainstorage found, and so do the coins moved inside transactions,
// with nothing from calls that were reverted.
func TestEvalBlocks(t *testing.T) {
	s := bare(t)
	var tokens, nfts, inside, reverted int
	for _, name := range evalFiles(t, evalDir(t, "chainstorage"), "*native_block_*.json.gz") {
		var b parsedBlock
		if err := json.Unmarshal(readEval(t, name), &b); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		name = filepath.Base(filepath.Dir(name)) + "/" + filepath.Base(name)
		var got, want, gotMoves, wantMoves []string
		for _, x := range b.Ethereum.Transactions {
			for _, p := range x.Receipt.Logs {
				// As a node writes it.
				raw, err := json.Marshal(map[string]any{
					"address": p.Address, "topics": append([]common.Hash{}, p.Topics...), "data": p.Data, "blockHash": p.Hash, "blockNumber": hexutil.Uint64(decimal(p.Block)),
					"transactionHash": p.Tx, "transactionIndex": hexutil.Uint64(decimal(p.TxIndex)), "logIndex": hexutil.Uint64(decimal(p.Index)), "removed": false,
				})
				if err != nil {
					t.Fatal(err)
				}
				var l log
				if err := json.Unmarshal(raw, &l); err != nil {
					t.Fatalf("%s: %s: %v", name, raw, err)
				}
				if tr, ok := s.transfer(&l); ok && l.NumTopics >= 3 {
					got = append(got, tr.Kind.String()+" "+told(tr.Tx, tr.Position, tr.Asset.Token, tr.From, tr.To, &tr.Amount))
				}
			}
			for _, p := range x.Transfers {
				kind, m := tracer.KindToken, p.ERC20
				if m == nil {
					kind, m = tracer.KindNFT, p.NFT
					nfts++
				} else {
					tokens++
				}
				want = append(want, kind.String()+" "+told(x.Hash, strconv.FormatUint(decimal(p.Index), 10), p.Token, m.From, m.To, amount(t, m.Value+m.ID)))
			}
			var rows []trace
			for _, p := range x.Traces {
				r := trace{Type: "call", Tx: x.Hash}
				r.Action.From, r.Action.To, r.Action.Value = p.From, &p.To, (*hexutil.U256)(amount(t, p.Value))
				switch p.Type {
				case "CREATE", "CREATE2":
					r.Type = "create"
				case "SELFDESTRUCT":
					r.Type = "suicide"
					r.Action.Address, r.Action.Refund, r.Action.Balance = p.From, p.To, r.Action.Value
				default:
					r.Action.CallType = strings.ToLower(p.Type)
				}
				r.Error.failed = p.Error != ""
				for _, n := range p.Path {
					r.Path = append(r.Path, int(decimal(n)))
				}
				rows = append(rows, r)
				moves := !amount(t, p.Value).IsZero() && slices.Contains([]string{"CALL", "CREATE", "CREATE2", "SELFDESTRUCT"}, p.Type)
				if moves && p.Status == "1" {
					wantMoves = append(wantMoves, told(x.Hash, strings.Join(p.Path, "."), common.Address{}, p.From, p.To, amount(t, p.Value)))
				} else if moves {
					reverted++
				}
			}
			for _, r := range alive(rows) {
				if tr, ok := s.native(&r); ok {
					gotMoves = append(gotMoves, told(tr.Tx, tr.Position, common.Address{}, tr.From, tr.To, &tr.Amount))
				}
			}
		}
		inside += len(wantMoves)
		sameSets(t, name+" tokens", got, want)
		sameSets(t, name+" coins", gotMoves, wantMoves)
	}
	t.Logf("%d transfers of tokens, %d of NFTs, %d of coins; %d moves were reverted", tokens, nfts, inside, reverted)
	if tokens < 1000 || nfts < 50 || inside < 500 || reverted == 0 {
		t.Error("too little to compare")
	}
}

// TestEvalRaw decodes blocks as nodes sent them, and compares what accounts
// paid and got with the operations that Rosetta has for them.
func TestEvalRaw(t *testing.T) {
	dir := evalDir(t, "chainstorage")
	s := bare(t)
	for raw, want := range map[string]string{
		"ethereum/raw_block_13998626.json.gz": "ethereum/rosetta_ethereum_block_response_13998626.json.gz",
		"ethereum/raw_block_468179.json.gz":   "ethereum/rosetta_ethereum_block_response_468179.json.gz",
		"polygon/raw_block_38102393.json.gz":  "polygon/rosetta_polygon_block_response_38102393.json.gz",
	} {
		ts, fees := decodeRaw(t, s, filepath.Join(dir, raw))
		var rosetta struct {
			Block struct {
				Transactions []struct {
					Operations []struct {
						Type    string
						Status  string
						Account struct{ Address common.Address }
						Amount  struct {
							Value    string
							Currency struct {
								Symbol   string
								Metadata map[string]any // of tokens: their contracts
							}
						}
					}
				}
			}
		}
		if err := json.Unmarshal(readEval(t, filepath.Join(dir, want)), &rosetta); err != nil {
			t.Fatal(err)
		}
		moved, paid := make(map[common.Address]*big.Int), make(map[common.Address]*big.Int)
		add := func(m map[common.Address]*big.Int, a common.Address, n *big.Int) {
			if m[a] == nil {
				m[a] = new(big.Int)
			}
			m[a].Add(m[a], n)
		}
		for _, x := range rosetta.Block.Transactions {
			for _, o := range x.Operations {
				n, ok := new(big.Int).SetString(o.Amount.Value, 10)
				if !ok || o.Status != "SUCCESS" || len(o.Amount.Currency.Metadata) > 0 {
					continue
				}
				switch o.Type {
				case "CALL", "PAYMENT", "CREATE", "CREATE2", "SELFDESTRUCT":
					add(moved, o.Account.Address, n)
				case "FEE":
					if n.Sign() < 0 {
						add(paid, o.Account.Address, n)
					}
				}
			}
		}
		for i := range ts {
			add(moved, ts[i].From, ts[i].Amount.ToBig())
			add(moved, ts[i].To, new(big.Int).Neg(ts[i].Amount.ToBig()))
		}
		for i := range fees {
			add(paid, fees[i].From, fees[i].Amount.ToBig())
		}
		for what, m := range map[string]map[common.Address]*big.Int{"coins": moved, "fees": paid} {
			for a, n := range m {
				if n.Sign() != 0 {
					t.Errorf("%s: %s of %s differ by %s", raw, what, a, n)
				}
			}
		}
		if len(ts) == 0 || len(fees) == 0 {
			t.Errorf("%s has %d moves and %d fees", raw, len(ts), len(fees))
		}
		t.Logf("%s: %d moves, %d fees", raw, len(ts), len(fees))
	}
	for _, name := range evalFiles(t, dir, "*raw_*block*.json.gz") {
		if !strings.Contains(name, "header") && !strings.Contains(name, "receipt") && !strings.Contains(name, "traces") {
			decodeRaw(t, s, name)
		}
	}
}

// decodeRaw decodes the answers of a node to questions for one block.
func decodeRaw(t *testing.T, s *Source, name string) (moves, fees []tracer.Transfer) {
	t.Helper()
	var raw struct {
		Ethereum struct {
			Header   []byte
			Receipts [][]byte `json:"transactionReceipts"`
			Traces   [][]byte `json:"transactionTraces"`
		}
	}
	if err := json.Unmarshal(readEval(t, name), &raw); err != nil {
		// Some are recorded in other shapes.
		var other struct{ Ethereum map[string]json.RawMessage }
		if json.Unmarshal(readEval(t, name), &other) != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return nil, nil
	}
	var b block
	if err := json.Unmarshal(raw.Ethereum.Header, &b); err != nil {
		t.Fatalf("%s: the block: %v", name, err)
	}
	frames := make([][]byte, len(raw.Ethereum.Traces))
	for i, data := range raw.Ethereum.Traces {
		frames[i] = slices.Concat([]byte(`{"result":`), data, []byte("}"))
	}
	if len(b.Txs) != len(raw.Ethereum.Receipts) {
		return nil, nil // genesis blocks
	}
	at := make(map[common.Hash]*tx)
	for i := range b.Txs {
		at[b.Txs[i].Hash] = &b.Txs[i]
	}
	for _, data := range raw.Ethereum.Receipts {
		var r receipt
		if err := json.Unmarshal(data, &r); err != nil {
			t.Fatalf("%s: a receipt: %v", name, err)
		}
		x := at[r.Tx]
		if x == nil || x.From != r.From && r.From != (common.Address{}) {
			t.Fatalf("%s: the receipt of %s is of no transaction of the block", name, r.Tx)
		}
		if r.GasPrice == nil {
			r.GasPrice = x.GasPrice // as prices does
		}
		fees = append(fees, s.fee(&r, 0))
		if v, ok := s.value(x, &r, 0); ok {
			moves = append(moves, v)
		}
	}
	if len(frames) == len(b.Txs) && len(frames) > 0 && bytes.Contains(raw.Ethereum.Traces[0], []byte(`"type"`)) {
		rows, err := unframe(&b, slices.Concat([]byte("["), bytes.Join(frames, []byte(",")), []byte("]")))
		if err != nil {
			t.Fatalf("%s: the traces: %v", name, err)
		}
		for _, r := range alive(rows) {
			if m, ok := s.native(&r); ok && m.Kind == tracer.KindInternal {
				moves = append(moves, m)
			}
		}
	}
	return moves, fees
}

// recorded is an answer that ethereum-etl recorded.
func recorded(t *testing.T, name string, result any) {
	t.Helper()
	var answer struct{ Result json.RawMessage }
	if err := json.Unmarshal(readEval(t, name), &answer); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if err := json.Unmarshal(answer.Result, result); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// rowsOf reads a CSV file with a header, or a file with a JSON object in a line.
func rowsOf(t *testing.T, name string) []map[string]string {
	t.Helper()
	b := readEval(t, name)
	var out []map[string]string
	if strings.Contains(name, ".json") {
		for line := range bytes.Lines(b) {
			d := json.NewDecoder(bytes.NewReader(line))
			d.UseNumber()
			var m map[string]any
			if err := d.Decode(&m); err == io.EOF {
				continue
			} else if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			row := make(map[string]string)
			for k, v := range m {
				if v != nil {
					row[k] = strings.Trim(fmt.Sprint(v), "[]")
				}
			}
			out = append(out, row)
		}
		return out
	}
	lines, err := csv.NewReader(bytes.NewReader(b)).ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	for _, line := range lines[1:] {
		row := make(map[string]string)
		for i, v := range line {
			row[lines[0][i]] = v
		}
		out = append(out, row)
	}
	return out
}

// TestEvalETL compares with what ethereum-etl made of the same answers.
func TestEvalETL(t *testing.T) {
	dir := evalDir(t, "ethereum-etl")
	s := bare(t)
	wantTokens := func(name string) (out []string) {
		for _, r := range rowsOf(t, name) {
			out = append(out, told(common.HexToHash(r["transaction_hash"]), r["log_index"], common.HexToAddress(r["token_address"]), common.HexToAddress(r["from_address"]), common.HexToAddress(r["to_address"]), amount(t, r["value"])))
		}
		return out
	}
	gotTokens := func(logs []log) (out []string) {
		for i := range logs {
			// ethereum-etl does not tell ERC-721 from ERC-20, and not words with a dirty front.
			if tr, ok := s.transfer(&logs[i]); ok && tr.Kind == tracer.KindToken {
				out = append(out, told(tr.Tx, tr.Position, tr.Asset.Token, tr.From, tr.To, &tr.Amount))
			}
		}
		return out
	}
	var logs []log
	recorded(t, filepath.Join(dir, "test_export_token_transfers_job/block_with_transfers/web3_response.eth_getFilterLogs_0x0.json"), &logs)
	sameSets(t, "block_with_transfers", gotTokens(logs), wantTokens(filepath.Join(dir, "test_export_token_transfers_job/block_with_transfers/expected_token_transfers.csv")))

	for logsFile, transfers := range map[string]string{
		"test_extract_token_transfers_job/logs/logs.csv":             "test_extract_token_transfers_job/logs/expected_token_transfers.csv",
		"test_stream/blocks_17173049_17173050/expected_logs.json.gz": "test_stream/blocks_17173049_17173050/expected_token_transfers.json.gz",
		"test_stream/blocks_1755634_1755635/expected_logs.json":      "test_stream/blocks_1755634_1755635/expected_token_transfers.json",
	} {
		var logs []log
		nfts := make(map[string]bool)
		for _, r := range rowsOf(t, filepath.Join(dir, logsFile)) {
			topics := strings.FieldsFunc(r["topics"], func(c rune) bool { return c == ',' || c == ' ' })
			number := func(s string) hexutil.Uint64 { return hexutil.Uint64(decimal(s)) }
			raw, err := json.Marshal(map[string]any{
				"address": r["address"], "topics": append([]string{}, topics...), "data": r["data"], "blockHash": r["block_hash"], "blockNumber": number(r["block_number"]),
				"transactionHash": r["transaction_hash"], "transactionIndex": number(r["transaction_index"]), "logIndex": number(r["log_index"]),
			})
			if err != nil {
				t.Fatal(err)
			}
			var l log
			if err := json.Unmarshal(raw, &l); err != nil {
				t.Fatalf("%s: %s: %v", logsFile, raw, err)
			}
			logs = append(logs, l)
			if l.NumTopics == 4 {
				nfts[strings.ToLower(fmt.Sprint(l.Tx, " ", l.Index, " "))] = true
			}
		}
		want := slices.DeleteFunc(wantTokens(filepath.Join(dir, transfers)), func(x string) bool {
			for p := range nfts {
				if strings.HasPrefix(x, p) {
					return true
				}
			}
			return false
		})
		sameSets(t, transfers, gotTokens(logs), want)
	}

	for _, name := range evalFiles(t, dir, "web3_response.trace_block_*.json") {
		var rows []trace
		recorded(t, name, &rows)
		expected := filepath.Join(filepath.Dir(name), "expected_traces.csv")
		if _, err := os.Stat(expected); err != nil {
			if expected = filepath.Join(filepath.Dir(name), "expected_traces.json"); len(rows) == 0 {
				continue
			}
		}
		if _, err := os.Stat(expected); err != nil {
			continue // a block without transactions
		}
		var got []string
		for _, r := range alive(rows) {
			if tr, ok := s.native(&r); ok {
				got = append(got, told(tr.Tx, tr.Position, common.Address{}, tr.From, tr.To, &tr.Amount))
			}
		}
		sameSets(t, name, got, wantTraces(t, expected, true))
	}
	for _, name := range evalFiles(t, dir, "web3_response.debug_traceBlockByNumber_*.json") {
		var frames []struct{ Result *frame }
		recorded(t, name, &frames)
		expected := filepath.Join(filepath.Dir(name), "expected_traces.csv")
		if _, err := os.Stat(expected); err != nil {
			continue // a block without transactions
		}
		var rows []trace
		for i, f := range frames {
			rows = append(rows, f.Result.rows(trace{Tx: common.BigToHash(big.NewInt(int64(i)))}, nil)...)
		}
		var got []string
		for _, r := range alive(rows) {
			if tr, ok := s.native(&r); ok {
				got = append(got, told(common.Hash{}, tr.Position, common.Address{}, tr.From, tr.To, &tr.Amount))
			}
		}
		sameSets(t, name, got, wantTraces(t, expected, false))
	}
}

// wantTraces are the moves of coins among ethereum-etl's traces. Its status is
// of each call alone when it has one; what is below a failed call fails too.
func wantTraces(t *testing.T, name string, hashes bool) (out []string) {
	t.Helper()
	rows := rowsOf(t, name)
	dead := make(map[string]bool)
	place := func(r map[string]string) (string, string) {
		path := strings.NewReplacer(",", ".", " ", ".", ", ", ".").Replace(r["trace_address"])
		return r["transaction_hash"] + r["transaction_index"], path
	}
	for _, r := range rows {
		if r["error"] != "" {
			tx, path := place(r)
			dead[tx+" "+path] = true
		}
	}
	for _, r := range rows {
		tx, path := place(r)
		failed := dead[tx+" "] || dead[tx+" "+path]
		for up := path; strings.Contains(up, "."); {
			up = up[:strings.LastIndex(up, ".")]
			failed = failed || dead[tx+" "+up]
		}
		n := amount(t, r["value"])
		ok := r["trace_type"] == "call" && (r["call_type"] == "call" || r["call_type"] == "") || r["trace_type"] == "create" || r["trace_type"] == "suicide"
		if failed || n.IsZero() || !ok {
			continue
		}
		h := common.Hash{}
		if hashes {
			h = common.HexToHash(r["transaction_hash"])
		}
		out = append(out, told(h, path, common.Address{}, common.HexToAddress(r["from_address"]), common.HexToAddress(r["to_address"]), n))
	}
	return out
}

// TestEvalAPIs reads the answers that the execution APIs' own test suite wants
// of every node.
func TestEvalAPIs(t *testing.T) {
	dir := evalDir(t, "execution-apis")
	c := newClient(t, "http://127.0.0.1:1")
	count := make(map[string]int)
	for _, name := range evalFiles(t, dir, "*.io") {
		method := filepath.Base(filepath.Dir(name))
		for line := range bytes.Lines(readEval(t, name)) {
			answer, ok := bytes.CutPrefix(line, []byte("<< "))
			if !ok {
				continue
			}
			count[method]++
			var got []log
			var r []receipt
			var one *receipt
			var b *block
			var x *tx
			var n *hexutil.Uint64
			var h *hexutil.Bytes
			var sum *hexutil.U256
			read := map[string]func(*scanner) error{
				"eth_getLogs":               func(s *scanner) error { return s.logs(func(l *log) error { got = append(got, *l); return nil }) },
				"eth_getBlockReceipts":      into(&r),
				"eth_getTransactionReceipt": into(&one),
				"eth_getBlockByNumber":      func(s *scanner) error { return into(&b)(s) },
				"eth_getTransactionByHash":  into(&x),
				"eth_blockNumber":           into(&n),
				"eth_chainId":               into(&n),
				"eth_getTransactionCount":   into(&n),
				"eth_getCode":               into(&h),
				"eth_getBalance":            into(&sum),
			}[method]
			if read == nil {
				continue
			}
			var parts struct {
				ID     int64
				Result json.RawMessage
				Error  *rpcError
			}
			if err := json.Unmarshal(answer, &parts); err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(parts.Result, []byte(`"transactions":["0x`)) {
				b = nil // of hashes alone: the header
				var head *header
				read = into(&head)
			}
			err := c.envelope(newScanner(bytes.NewReader(answer)), parts.ID, read)
			if parts.Error != nil {
				if e, ok := err.(*nodeError); !ok || e.kind != kindOther && e.kind != kindBehind && e.kind != kindUnknown {
					t.Errorf("%s: %s is %v", name, answer, err)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if method == "eth_getLogs" {
				if want, ok := plainLogs(parts.Result); !ok || fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("%s: %v, want %v", name, got, want)
				}
			}
			if one != nil && (one.Tx == common.Hash{} || one.GasPrice == nil || one.GasUsed < plainGas) {
				t.Errorf("%s: %+v", name, one)
			}
		}
	}
	for _, m := range []string{"eth_getLogs", "eth_getTransactionReceipt", "eth_getBlockByNumber", "eth_getBlockReceipts"} {
		if count[m] == 0 {
			t.Errorf("nothing of %s", m)
		}
	}
}
