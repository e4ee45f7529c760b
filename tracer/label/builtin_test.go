package label_test

import (
	"bytes"
	"encoding/csv"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/label"

	"github.com/ethereum/go-ethereum/common"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares got with testdata/name, or rewrites it under -update.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("output differs from %s (run go test -update, then read git diff)\ngot:\n%s", file, got)
	}
}

// The golden table changes with every change of the set, and shows that its
// version must, too. The package comment has the same counts.
func TestBuiltinCounts(t *testing.T) {
	s := label.New()
	categories := []label.Category{label.Exchange, label.Bridge, label.Swap, label.Mixer, label.Lending, label.Payment, label.Gambling, label.Issuer, label.TokenCode, label.Burned}
	counts := make(map[uint64]map[label.Category]int)
	names := make(map[string]bool)
	for l := range s.All() {
		if _, ok := tracer.ChainByID(l.Wallet.Chain); !ok {
			t.Errorf("%s is on a chain that is not traced", l.Wallet)
		}
		if counts[l.Wallet.Chain] == nil {
			counts[l.Wallet.Chain] = make(map[label.Category]int)
		}
		counts[l.Wallet.Chain][l.Category]++
		names[l.Name] = true
		if l.Source != label.Builtin {
			t.Errorf("%s has the source %q", l.Wallet, l.Source)
		}
		if got, ok := s.Service(l.Wallet); !ok || got != l {
			t.Errorf("Service(%s) = %v, %v, want %v", l.Wallet, got, ok, l)
		}
	}
	var lines strings.Builder
	fmt.Fprintf(&lines, "%-10s", "")
	for _, c := range categories {
		fmt.Fprintf(&lines, " %8s", c)
	}
	lines.WriteByte('\n')
	total := 0
	for _, c := range tracer.Chains() {
		fmt.Fprintf(&lines, "%-10s", c.Name)
		for _, k := range categories {
			fmt.Fprintf(&lines, " %8d", counts[c.ID][k])
			total += counts[c.ID][k]
		}
		lines.WriteByte('\n')
	}
	if total != s.Len() {
		t.Errorf("the table has %d labels of %d: a category is missing", total, s.Len())
	}
	golden(t, "builtin.txt", fmt.Appendf(nil, "version %s\nsha256 %s\nlabels %d\nnames %d\n\n%s", label.Version, s.SHA256(), s.Len(), len(names), lines.String()))
	doc, err := os.ReadFile("label.go")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(lines.String()) {
		if !bytes.Contains(doc, []byte("//\t"+line)) {
			t.Errorf("the package comment does not have the line %q", line)
		}
	}
}

func TestBuiltinFacts(t *testing.T) {
	s := label.New()
	for _, c := range tracer.Chains() {
		for _, a := range []common.Address{{}, {19: 1}, {19: 9}, common.HexToAddress("0xdead")} {
			if l, ok := s.Service(tracer.Wallet{Chain: c.ID, Address: a}); !ok || !l.Category.Burn() {
				t.Errorf("%s: Service(%s) = %v, %v, want a burn", c.Name, a, l, ok)
			}
		}
		for _, tok := range c.Tokens {
			l, ok := s.Service(tracer.Wallet{Chain: c.ID, Address: tok.Address})
			if !ok || l.Category.Burn() == tok.Wrapped {
				t.Errorf("%s: Service(%s contract) = %v, %v", c.Name, tok.Symbol, l, ok)
			}
		}
	}
}

// Two callers must not share a set.
func TestNewIsNew(t *testing.T) {
	a, b := label.New(), label.New()
	if err := a.Add(label.Label{Wallet: tracer.Wallet{Chain: 1, Address: common.Address{1}}, Name: "x", Category: label.Other}); err != nil {
		t.Fatal(err)
	}
	if a.Len() != b.Len()+1 || a.SHA256() == b.SHA256() {
		t.Errorf("adding to one set gives %d and %d labels", a.Len(), b.Len())
	}
}

// table reads builtin.csv, rows of chain, address, name and category.
func table(t *testing.T) [][]string {
	t.Helper()
	b, err := os.ReadFile("builtin.csv")
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(b)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows[1:]
}

func TestTableIsTidy(t *testing.T) {
	rows := table(t)
	seen := make(map[string]bool)
	facts := make(map[string]bool)
	for l := range label.New().All() {
		if l.Confidence == 100 {
			facts[l.Wallet.String()] = true
		}
	}
	category := make(map[string]string)
	for i, r := range rows {
		id := "eip155:" + r[0] + ":" + r[1]
		if r[1] != strings.ToLower(r[1]) {
			t.Errorf("%s is not in lower case", id)
		}
		if seen[id] {
			t.Errorf("%s stands twice", id)
		}
		seen[id] = true
		if facts[id] {
			t.Errorf("%s is made from code and stands in the table, too", id)
		}
		if r[2] != tracer.CleanText(r[2], 64) {
			t.Errorf("%s: the name %q is not clean", id, r[2])
		}
		// A service has one category, so that its wallets look alike.
		if c := category[r[2]]; c != "" && c != r[3] {
			t.Errorf("%s is %s and %s", r[2], c, r[3])
		}
		category[r[2]] = r[3]
		if i > 0 && slices.Compare(sortKey(rows[i-1]), sortKey(r)) > 0 {
			t.Errorf("%s stands in the wrong place", id)
		}
	}
}

func sortKey(r []string) []string {
	return []string{fmt.Sprintf("%9s", r[0]), r[3], strings.ToLower(r[2]), r[1]}
}

// Whatever a file says of a built-in service, it stays what it is.
func TestNoImportMovesABuiltinService(t *testing.T) {
	for _, said := range []string{"scam", "sanctioned", "exchange", "mixer", "burn", "other"} {
		t.Run(said, func(t *testing.T) {
			plain, s := label.New(), label.New()
			var in strings.Builder
			in.WriteString("chain,address,name,category,confidence,source\n")
			for l := range plain.All() {
				fmt.Fprintf(&in, "%d,%s,Somebody,%s,100,Built-in\n", l.Wallet.Chain, l.Wallet.Address, said)
			}
			if _, err := s.ReadCSV(strings.NewReader(in.String()), "poison.csv"); err != nil {
				t.Fatal(err)
			}
			for l := range plain.All() {
				want, _ := plain.Service(l.Wallet)
				if got, _ := s.Service(l.Wallet); got != want {
					t.Errorf("Service(%s) = %v, want %v", l.Wallet, got, want)
				}
				if got := s.Of(l.Wallet); len(got) != 2 {
					t.Errorf("%s has %d labels, want both", l.Wallet, len(got))
				}
			}
			wantConflicts := 0
			if said == "scam" {
				wantConflicts = plain.Len()
			}
			if got := len(slices.Collect(s.Conflicts())); got != wantConflicts {
				t.Errorf("%d conflicts, want %d", got, wantConflicts)
			}
		})
	}
}
