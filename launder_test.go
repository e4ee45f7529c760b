package main

import (
	"bytes"
	"encoding/csv"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/filesource"
	"scamtrace/tracer/walk"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestLaundering traces four expert-checked laundering cases from their
// records alone, and keeps what share of it is found: of the flows (records),
// of their dollars, of the terminal wallets, and of the dollars that reached
// them.
func TestLaundering(t *testing.T) {
	data, ok := devnet.EvalData()
	if !ok {
		t.Skip("the evaluation data is not here; name its folder in SCAMTRACE_EVAL_DATA")
	}
	var table bytes.Buffer
	fmt.Fprintf(&table, "%-16s %9s %8s %10s %13s\n", "case", "flows", "flow $", "terminals", "terminal $")
	for _, name := range []string{"atomic", "harmony-bridge", "lifi", "txphish-54m"} {
		dir := filepath.Join(data, "launder", name)
		chain, _ := tracer.ChainNamed("ethereum")
		src, err := filesource.Open(chain, filepath.Join(dir, "flow_records.csv"))
		if err != nil {
			t.Fatal(err)
		}
		var seeds []tracer.Seed
		for _, a := range addresses(t, filepath.Join(dir, "source_addresses.csv")) {
			seeds = append(seeds, tracer.Seed{Wallet: a})
		}
		terminal := make(map[common.Address]bool)
		for _, a := range addresses(t, filepath.Join(dir, "terminal_addresses.csv")) {
			terminal[a] = true
		}
		res, err := walk.Run(t.Context(), src, seeds, walk.Options{Chain: chain, Worth: func(a tracer.Asset, v *uint256.Int, _ uint64) (tracer.Micros, bool) {
			return tracer.Micros(v.Uint64() * 10_000), a.Kind == tracer.USD // cents
		}})
		if err != nil {
			t.Fatal(err)
		}
		var all, traced, toTerminal, tracedTerminal uint256.Int
		found := make(map[common.Address]bool)
		flows := 0
		for _, m := range res.Books.Moves {
			e := &res.Entries[m.Entry]
			to := res.Store.Wallet(e.To).Address
			flows++
			traced.Add(&traced, &m.Traced)
			if terminal[to] {
				found[to] = true
				tracedTerminal.Add(&tracedTerminal, &m.Traced)
			}
		}
		ans, err := src.Transfers(t.Context(), everything(res))
		if err != nil {
			t.Fatal(err)
		}
		for i := range ans.Transfers {
			x := &ans.Transfers[i]
			if !x.Counts() {
				continue
			}
			all.Add(&all, &x.Amount)
			if terminal[x.To] {
				toTerminal.Add(&toTerminal, &x.Amount)
			}
		}
		fmt.Fprintf(&table, "%-16s %4d/%4d %8s %6d/%3d %13s\n", name, flows, rows(t, filepath.Join(dir, "flow_records.csv")), share(&traced, &all), len(found), len(terminal), share(&tracedTerminal, &toTerminal))
	}
	golden := filepath.Join("testdata", "laundering.txt")
	if *update {
		if err := os.WriteFile(golden, table.Bytes(), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || !bytes.Equal(want, table.Bytes()) {
		t.Errorf("the table differs from %s (run go test -update, then read git diff):\n%s", golden, table.String())
	}
}

// everything asks for all that wallets of a walk ever did.
func everything(res *walk.Result) tracer.Query {
	var q tracer.Query
	for id := range uint32(res.Store.Wallets()) {
		q.Spans = append(q.Spans, tracer.Span{Wallet: res.Store.Wallet(id).Address, To: res.Pinned.Number})
	}
	return q
}

// share is a/b to three places.
func share(a, b *uint256.Int) string {
	if b.IsZero() {
		return "-"
	}
	var x uint256.Int
	x.MulDivOverflow(a, uint256.NewInt(1000), b)
	return fmt.Sprintf("0.%03d", x.Uint64())
}

func addresses(t *testing.T, file string) []common.Address {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out []common.Address
	for f := range strings.FieldsSeq(string(b)) {
		a, err := tracer.ParseAddress(f)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, a)
	}
	return out
}

func rows(t *testing.T, file string) int {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return len(all) - 1
}
