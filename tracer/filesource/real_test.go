package filesource_test

import (
	"compress/gzip"
	"encoding/csv"
	"fmt"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/filesource"

	"github.com/ethereum/go-ethereum/common"
	"github.com/google/go-cmp/cmp"
)

// data returns a file of the evaluation data, and its rows by column.
func data(t *testing.T, path ...string) (file string, rows []map[string]string) {
	t.Helper()
	dir, ok := devnet.EvalData()
	if !ok {
		t.Skip("the evaluation data is not here; name its folder in SCAMTRACE_EVAL_DATA")
	}
	file = filepath.Join(append([]string{dir}, path...)...)
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var in io.Reader = f
	if strings.HasSuffix(file, ".gz") {
		if in, err = gzip.NewReader(f); err != nil {
			t.Fatal(err)
		}
	}
	all, err := csv.NewReader(in).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, cells := range all[1:] {
		row := make(map[string]string)
		for i, c := range cells {
			row[all[0][i]] = c
		}
		rows = append(rows, row)
	}
	return file, rows
}

// asked returns all transfers of the wallets in some columns of rows.
func asked(t *testing.T, s *filesource.Source, rows []map[string]string, columns ...string) tracer.Answer {
	t.Helper()
	var q tracer.Query
	seen := make(map[string]bool)
	for _, r := range rows {
		for _, c := range columns {
			if r[c] != "" && !seen[r[c]] {
				seen[r[c]] = true
				q.Spans = append(q.Spans, tracer.Span{Wallet: common.HexToAddress(r[c]), To: 1 << 62})
			}
		}
	}
	ans, err := s.Transfers(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return ans
}

// TestETL reads what ethereum-etl itself expects of its extractor.
func TestETL(t *testing.T) {
	eth := chain(t, "ethereum")
	for _, name := range []string{"test_export_token_transfers_job/block_with_transfers", "test_extract_token_transfers_job/logs"} {
		file, rows := data(t, "rpc", "ethereum-etl", name, "expected_token_transfers.csv")
		s, err := filesource.Open(eth, file)
		if err != nil {
			t.Fatal(err)
		}
		var got, want []string
		for _, x := range asked(t, s, rows, "from_address", "to_address").Transfers {
			got = append(got, fmt.Sprint(tracer.Hex(x.Asset.Token), tracer.Hex(x.From), tracer.Hex(x.To), x.Amount.Dec(), x.Tx.Hex(), x.Position, fmt.Sprint(x.Block), x.Kind.String()))
		}
		for _, r := range rows {
			want = append(want, fmt.Sprint(r["token_address"], r["from_address"], r["to_address"], r["value"], r["transaction_hash"], r["log_index"], r["block_number"], "token"))
		}
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" || len(want) == 0 {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	traces := 0
	for _, name := range []string{"block_with_suicide", "block_with_create", "block_with_error", "block_with_subtraces"} {
		file, rows := data(t, "rpc", "ethereum-etl", "test_export_traces_job", name, "expected_traces.csv")
		s, err := filesource.Open(eth, file)
		if err != nil {
			t.Fatal(err)
		}
		// What every address gains by the traces, told in another way than by
		// the reader: what counts is the balance.
		want, got := make(map[string]*big.Int), make(map[string]*big.Int)
		add := func(m map[string]*big.Int, a string, n *big.Int) {
			if m[a] == nil {
				m[a] = new(big.Int)
			}
			m[a].Add(m[a], n)
		}
		for _, r := range rows {
			n, _ := new(big.Int).SetString(r["value"], 10)
			if n == nil || r["status"] == "0" || r["reward_type"] != "" || r["call_type"] == "callcode" || r["call_type"] == "delegatecall" {
				continue
			}
			add(want, r["to_address"], n)
			add(want, r["from_address"], new(big.Int).Neg(n))
			traces++
		}
		for _, x := range asked(t, s, rows, "from_address", "to_address").Transfers {
			add(got, tracer.Hex(x.To), x.Amount.ToBig())
			add(got, tracer.Hex(x.From), new(big.Int).Neg(x.Amount.ToBig()))
		}
		for a, n := range want {
			if have := got[a]; (have == nil && n.Sign() != 0) || have != nil && have.Cmp(n) != 0 {
				t.Errorf("%s: %s gains %v, want %v", name, a, have, n)
			}
		}
	}
	if traces < 7 {
		t.Errorf("only %d traces that move something", traces)
	}

	// Without receipts nobody can tell which transactions failed, and without
	// status which calls.
	for name, want := range map[string]string{
		"test_export_blocks_job/block_with_logs/expected_transactions.csv":          "the column receipt_status is missing",
		"test_extract_geth_traces_job/block_with_subtraces/expected_traces.csv":     "column transaction_hash: the cell is empty",
		"test_export_receipts_job/receipts_with_logs/expected_logs.csv":             "give token_transfers.csv instead",
		"test_export_receipts_job/receipts_with_logs/expected_receipts.csv":         "give token_transfers.csv and traces.csv instead",
		"test_export_tokens_job/token_with_invalid_data/expected_tokens.csv":        "not those of any list of transfers",
		"test_export_blocks_job/block_without_transactions/expected_blocks.csv":     "no rows below the header",
		"test_export_blocks_job/blocks_with_transactions/expected_transactions.csv": "the column receipt_status is missing",
	} {
		file, _ := data(t, "rpc", "ethereum-etl", name)
		if _, err := filesource.Open(eth, file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open(%s) says %v, want %q", name, err, want)
		}
	}

	// The list of blocks dates the transfers.
	tokens, _ := data(t, "rpc", "ethereum-etl", "test_export_token_transfers_job/block_with_transfers/expected_token_transfers.csv")
	blocks, rows := data(t, "rpc", "ethereum-etl", "test_export_blocks_job/block_with_logs/expected_blocks.csv")
	s, err := filesource.Open(eth, tokens, blocks)
	if err != nil {
		t.Fatal(err)
	}
	if pin, err := s.Pin(t.Context()); err != nil || fmt.Sprint(pin.Number, pin.Time) != rows[0]["number"]+" "+rows[0]["timestamp"] {
		t.Errorf("Pin = %v, %v, want block %s at %s", pin, err, rows[0]["number"], rows[0]["timestamp"])
	}
}

// TestFlows reads the records of real laundering cases and compares rows, sums
// of dollars and labels with what the file says.
func TestFlows(t *testing.T) {
	for _, name := range []string{"atomic", "harmony-bridge", "lifi", "txphish-54m"} {
		t.Run(name, func(t *testing.T) {
			file, rows := data(t, "launder", name, "flow_records.csv")
			s, err := filesource.Open(chain(t, "ethereum"), file)
			if err != nil {
				t.Fatal(err)
			}
			want := make(map[string]bool)
			cents := new(big.Int)
			labels := make(map[string]bool)
			for _, r := range rows {
				v, ok := new(big.Rat).SetString(r["Value_in_USD"])
				if !ok {
					t.Fatalf("no number: %v", r)
				}
				n := new(big.Int).Quo(new(big.Int).Add(new(big.Int).Mul(v.Num(), big.NewInt(200)), v.Denom()), new(big.Int).Mul(v.Denom(), big.NewInt(2)))
				if k := fmt.Sprint(r["Tx_hash"], r["From"], r["To"], n); n.Sign() > 0 && !want[k] {
					want[k] = true
					cents.Add(cents, n)
				}
				for _, side := range []string{"From", "To"} {
					if l := r[side+"_label"]; l != "" {
						labels[r[side]+l] = true
					}
				}
			}
			ans := asked(t, s, rows, "From", "To")
			sum := new(big.Int)
			for _, x := range ans.Transfers {
				sum.Add(sum, x.Amount.ToBig())
				if k := fmt.Sprint(x.Tx.Hex(), tracer.Hex(x.From), tracer.Hex(x.To), x.Amount.Dec()); !want[k] || x.Asset.Kind != tracer.USD || x.Time == 0 {
					t.Errorf("%+v is not in the file", x)
				}
			}
			if len(ans.Transfers) != len(want) || sum.Cmp(cents) != 0 || len(ans.Unread) > 0 {
				t.Errorf("%d transfers of %s cents, %d unread; want %d of %s", len(ans.Transfers), sum, len(ans.Unread), len(want), cents)
			}
			for _, n := range s.Names() {
				if !labels[tracer.Hex(n.Address)+n.Name] {
					t.Errorf("%s is called %q, which is not in the file", n.Address, n.Name)
				}
			}
			if len(s.Names()) != len(labels) {
				t.Errorf("%d names, want %d", len(s.Names()), len(labels))
			}
			t.Logf("%d rows, %d flows, %s cents", len(rows), len(want), cents)
		})
	}
}
