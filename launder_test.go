package main

import (
	"bytes"
	"encoding/csv"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/filesource"
	"scamtrace/tracer/walk"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// launderCases are the expert-checked laundering cases of the evaluation data.
// SCAMTRACE_LAUNDER names the folder of others to measure in the same way.
func launderCases(t *testing.T) []string {
	t.Helper()
	data, ok := devnet.EvalData()
	if dir := os.Getenv("SCAMTRACE_LAUNDER"); dir != "" {
		data, ok = dir, true
	} else {
		data = filepath.Join(data, "launder")
	}
	if !ok {
		t.Skip("the evaluation data is not here; name its folder in SCAMTRACE_EVAL_DATA")
	}
	files, err := filepath.Glob(filepath.Join(data, "*", "flow_records.csv"))
	if err != nil || len(files) == 0 {
		t.Fatalf("there is no case in %s (%v)", data, err)
	}
	var dirs []string
	for _, f := range files {
		dirs = append(dirs, filepath.Dir(f))
	}
	return dirs
}

// TestLaundering traces laundering cases from their records alone, and keeps
// what is found as a golden table: the share of the flows (records), of their
// dollars, of the terminal wallets and of the dollars that reached those. The
// dollars are those that the books say are the victims', not those of every
// flow that was touched.
//
// Each case is traced by what was seen, and with money counted that nobody saw
// come ([walk.Options.Unseen]); alone, and planted among strangers with which
// its wallets deal, where precision is the share of the wallets that got traced
// money, and of the traced dollars they got, that are of the case.
func TestLaundering(t *testing.T) {
	var table bytes.Buffer
	fmt.Fprintf(&table, "%-15s %-9s %-6s %9s %6s %9s %10s %9s %11s\n", "case", "strangers", "counts", "flows", "flow $", "terminals", "terminal $", "precision", "precision $")
	for _, dir := range launderCases(t) {
		c := readCase(t, dir)
		for _, planted := range []bool{false, true} {
			file := filepath.Join(dir, "flow_records.csv")
			if planted {
				file = c.plant(t)
			}
			for _, unseen := range []bool{false, true} {
				s := c.trace(t, file, unseen)
				if planted != (s.strange > 0) {
					t.Errorf("%s: the walk met %d strangers", c.name, s.strange)
				}
				fmt.Fprintf(&table, "%-15s %-9s %-6s %4d/%4d %6s %5d/%3d %10s %9s %11s\n", c.name, word(planted, "planted", "none"), word(unseen, "unseen", "seen"),
					s.flows, len(c.records), share(s.traced, c.total), len(s.terminals), len(c.terminals), share(s.toTerminals, c.toTerminals),
					share(s.wallets, s.wallets+s.strangeWallets), share(s.reached, s.reached+s.strayed))
			}
		}
	}
	if os.Getenv("SCAMTRACE_LAUNDER") != "" {
		t.Logf("\n%s", table.String())
		return
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

func word(yes bool, a, b string) string {
	if yes {
		return a
	}
	return b
}

// share is a/b to three places, rounded down.
func share(a, b uint64) string {
	if b == 0 {
		return "-"
	}
	n := a * 1000 / b
	return fmt.Sprintf("%d.%03d", n/1000, n%1000)
}

// A flow is a record of a case: what one transaction moved from one wallet to
// another.
type flow struct {
	tx       common.Hash
	from, to common.Address
}

// A launderCase is one case. Amounts are cents.
type launderCase struct {
	name               string
	records            []record // as in the file, each once
	flows              map[flow]bool
	sources            []tracer.Seed
	terminals, wallets map[common.Address]bool
	total, toTerminals uint64
}

// A record is a row of a case's file.
type record struct {
	flow
	time, block uint64
	cents       uint64
}

func readCase(t *testing.T, dir string) *launderCase {
	t.Helper()
	c := &launderCase{name: filepath.Base(dir), flows: make(map[flow]bool), terminals: make(map[common.Address]bool), wallets: make(map[common.Address]bool)}
	for _, a := range addresses(t, filepath.Join(dir, "source_addresses.csv")) {
		c.sources = append(c.sources, tracer.Seed{Wallet: a})
	}
	for _, a := range addresses(t, filepath.Join(dir, "terminal_addresses.csv")) {
		c.terminals[a] = true
	}
	f, err := os.Open(filepath.Join(dir, "flow_records.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[record]bool)
	for _, row := range rows[1:] {
		at, err := time.Parse(time.DateTime, row[0])
		if err != nil {
			t.Fatal(err)
		}
		block, err := strconv.ParseUint(row[1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		usd, err := strconv.ParseFloat(row[7], 64)
		if err != nil {
			t.Fatal(err)
		}
		r := record{flow{common.HexToHash(row[2]), common.HexToAddress(row[3]), common.HexToAddress(row[5])}, uint64(at.Unix()), block, uint64(usd*100 + 0.5)}
		if seen[r] || r.cents == 0 || r.from == r.to {
			continue // the file has some rows twice
		}
		seen[r] = true
		c.records = append(c.records, r)
		c.flows[r.flow] = true
		c.wallets[r.from], c.wallets[r.to] = true, true
		c.total += r.cents
		if c.terminals[r.to] {
			c.toTerminals += r.cents
		}
	}
	return c
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

// A score is what a trace found of a case. Amounts are cents.
type score struct {
	flows                   int
	traced, toTerminals     uint64 // over the flows of the case
	terminals               map[common.Address]bool
	wallets, strangeWallets uint64 // that got a dollar or more; not where traces stop
	reached, strayed        uint64 // traced receipts of those
	strange                 int    // wallets that the walk met and are not of the case
}

func (c *launderCase) trace(t *testing.T, file string, unseen bool) score {
	t.Helper()
	chain, err := tracer.ChainNamed("ethereum")
	if err != nil {
		t.Fatal(err)
	}
	src, err := filesource.Open(chain, file)
	if err != nil {
		t.Fatal(err)
	}
	res, err := walk.Run(t.Context(), src, c.sources, walk.Options{Chain: chain, Unseen: unseen, Worth: func(a tracer.Asset, v *uint256.Int, _ uint64) (tracer.Micros, bool) {
		return tracer.Micros(v.Uint64() * 10_000), a.Kind == tracer.USD
	}})
	if err != nil {
		t.Fatal(err)
	}
	if !res.Complete() {
		t.Fatalf("%s: the walk stopped early: %v", c.name, res.Stopped)
	}
	s := score{terminals: make(map[common.Address]bool)}
	for id := range uint32(res.Store.Wallets()) {
		if !c.wallets[res.Store.Wallet(id).Address] {
			s.strange++
		}
	}
	got := make(map[common.Address]uint64)
	for _, m := range res.Books.Moves {
		e := &res.Entries[m.Entry]
		f := flow{res.Store.Tx(e.Tx), res.Store.Wallet(e.From).Address, res.Store.Wallet(e.To).Address}
		cents := m.Traced.Uint64()
		got[f.to] += cents
		if !c.flows[f] {
			continue
		}
		s.flows++
		s.traced += cents
		if c.terminals[f.to] {
			s.toTerminals += cents
			s.terminals[f.to] = true
		}
	}
	for a, cents := range got {
		switch {
		case cents < 100 || res.Status(a).Hub: // too little, or where the trace stops
		case c.wallets[a]:
			s.wallets++
			s.reached += cents
		default:
			s.strangeWallets++
			s.strayed += cents
		}
	}
	return s
}
