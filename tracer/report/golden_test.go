package report

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/ledger"
	"scamtrace/tracer/walk"

	"github.com/holiman/uint256"
	"github.com/parquet-go/parquet-go"
)

// TestGolden keeps every file that people read, and the summary, of a small
// case. Two reports of the same walk have the same bytes, however many
// processors there are.
func TestGolden(t *testing.T) {
	files, err := Bundle(t.Context(), small(t), key(1))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if f.Name != "transfers.parquet" { // its SHA-256 is in the manifest
			golden(t, filepath.Join("testdata", "small", f.Name), f.Data)
		}
	}
	var b bytes.Buffer
	if err := Summary(&b, small(t), "scamtrace-report"); err != nil {
		t.Fatal(err)
	}
	golden(t, filepath.Join("testdata", "small", "summary.txt"), b.Bytes())
	validate(t, files[slices.IndexFunc(files, func(f NamedFile) bool { return f.Name == "report.json" })].Data)

	was := runtime.GOMAXPROCS(1)
	again, err := Bundle(t.Context(), small(t), key(1))
	runtime.GOMAXPROCS(was)
	if err != nil {
		t.Fatal(err)
	}
	for i := range files {
		if !bytes.Equal(files[i].Data, again[i].Data) {
			t.Errorf("%s differs between two runs", files[i].Name)
		}
	}
}

// TestVictims builds the report of every victim of the demo's world: its sums
// add up in every place, it is as its schema wants it, and two builds are the
// same.
func TestVictims(t *testing.T) {
	for v := range 6 {
		in, err := trace(t.Context(), devnet.Config{}, walk.Options{Limits: walk.Limits{Hub: 1000}}, v)
		if err != nil {
			t.Fatal(err)
		}
		r := Build(in)
		if err := r.check(); err != nil {
			t.Errorf("victim %d: %v", v, err)
		}
		if err := r.hold(); err != nil {
			t.Errorf("victim %d: %v", v, err)
		}
		a, err1 := appendJSON(nil, r)
		b, err2 := appendJSON(nil, Build(in))
		if err1 != nil || err2 != nil || !bytes.Equal(a, b) {
			t.Errorf("victim %d: two builds differ", v)
		}
		validate(t, a)
		if len(r.Exits) == 0 || len(r.Transfers) == 0 {
			t.Errorf("victim %d: %d exits, %d transfers", v, len(r.Exits), len(r.Transfers))
		}
		hop := make(map[string]int)
		for _, w := range r.Wallets {
			hop[w.Address] = w.Hop
		}
		for _, x := range r.Exits {
			if n := len(x.Path); n == 0 || n-1 != hop[x.Address] || x.Path[n-1] != x.Address || hop[x.Path[0]] != 0 {
				t.Errorf("victim %d: the path to %s at hop %d is %v", v, x.Address, hop[x.Address], x.Path)
			}
			if len(x.Transactions) == 0 || x.First == "" || x.First > x.Last {
				t.Errorf("victim %d: the exit %s has %d transactions, %s to %s", v, x.Address, len(x.Transactions), x.First, x.Last)
			}
			// What a service is told is what came to the address that it is told of.
			for _, tx := range x.Transactions {
				if !slices.ContainsFunc(r.Transfers, func(t Transfer) bool { return t.Tx == tx && t.To == x.Address }) &&
					!slices.ContainsFunc(r.Conversions, func(c Conversion) bool { return c.Tx == tx && c.Receiver == x.Address }) {
					t.Errorf("victim %d: transaction %s of %s did not pay it", v, tx, x.Address)
				}
			}
		}
		var lines bytes.Buffer
		if err := Summary(&lines, r, "dir"); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(lines.String(), "\n"); n >= 19 { // and the demo says one more
			t.Errorf("victim %d: the summary has %d lines", v, n)
		}
	}
}

// TestPolicies builds the demo's case under every accounting rule: sums add up
// under each, also where a rule counts in money that nobody reported, and each
// report says the same of the rules side by side as far as the same was read.
func TestPolicies(t *testing.T) {
	for _, p := range ledger.Policies() {
		in, err := trace(t.Context(), devnet.Config{}, walk.Options{Policy: p, Limits: walk.Limits{Hub: 1000}}, 3)
		if err != nil {
			t.Fatal(err)
		}
		r := Build(in)
		if _, err := Bundle(t.Context(), r, nil); err != nil {
			t.Errorf("%s: %v", p, err)
		}
		if (r.Totals.USD.Assumed != "0.00") != (p.String() == "poison") {
			t.Errorf("%s: assumed %s", p, r.Totals.USD.Assumed)
		}
		if len(r.Policies) != len(ledger.Policies()) {
			t.Errorf("%s: %d policies side by side", p, len(r.Policies))
		}
		for _, x := range r.Policies {
			if x.Name == p.String() && x.ExitedUSD != r.Totals.USD.Exited {
				t.Errorf("%s: exited %s, side by side %s", p, r.Totals.USD.Exited, x.ExitedUSD)
			}
		}
	}
}

// TestNothing writes a bundle where no money was found: it says so, and nothing
// in it is broken.
func TestNothing(t *testing.T) {
	full := small(t)
	r := &Report{
		Schema: Schema, Tool: full.Tool, Chains: full.Chains, Parameters: full.Parameters, Outcome: Outcome{Status: "complete"},
		Seeds: []Seed{{Address: full.Seeds[0].Address, Chain: full.Chains[0].ID}},
	}
	r.Totals.USD = r.dollars()
	r.Outcome.Sentence = Sentence(r)
	files, err := Bundle(t.Context(), r, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		switch f.Name {
		case "report.json":
			validate(t, f.Data)
			if bytes.Contains(f.Data, []byte("null")) {
				t.Errorf("report.json has a null: %s", f.Data)
			}
		case "report.html":
			for _, want := range []string{"We found no money that came to the wallet you reported. Check the address, the network and the dates.", "! nothing found", "There was no money to follow.", "Check what was reported", "None was found.", "Nobody can get the money back for a fee."} {
				if !bytes.Contains(f.Data, []byte(want)) {
					t.Errorf("report.html does not say %q", want)
				}
			}
			for _, not := range []string{"✓ complete", "has not moved", "requests below"} {
				if bytes.Contains(f.Data, []byte(not)) {
					t.Errorf("report.html says %q of nothing", not)
				}
			}
		case "transfers.parquet":
			if rows, err := parquet.Read[parquetRow](bytes.NewReader(f.Data), int64(len(f.Data))); err != nil || len(rows) != 0 {
				t.Errorf("transfers.parquet has %d rows, %v", len(rows), err)
			}
		}
	}
	var b bytes.Buffer
	if err := Summary(&b, r, "dir"); err != nil || !strings.Contains(b.String(), "We found no money") {
		t.Errorf("the summary is %q, %v", b.String(), err)
	}
}

// TestJSON holds the JSON written by hand to encoding/json.
func TestJSON(t *testing.T) {
	for _, h := range append(corpus, struct{ name, text string }{"plain", "plain"}) {
		r := hostile(t, h.text)
		if err := r.hold(); err != nil {
			t.Fatal(err)
		}
		got, err := appendJSON(nil, r)
		if err != nil {
			t.Fatal(err)
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, got); err != nil {
			t.Fatalf("%s: %v", h.name, err)
		}
		want, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(compact.Bytes(), want) {
			t.Errorf("%s: report.json is\n%.2000s\nwant\n%.2000s", h.name, compact.Bytes(), want)
		}
	}
}

// FuzzJSONString holds the quoting of strings to encoding/json.
func FuzzJSONString(f *testing.F) {
	for _, h := range corpus[:45] {
		f.Add(h.text)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if got := appendString(nil, "", s); !bytes.Equal(got, want) {
			t.Errorf("appendString(%q) = %s, want %s", s, got, want)
		}
	})
}

func TestHosts(t *testing.T) {
	got := hosts([]string{
		"https://mainnet.infura.io/v3/the-key", "http://user:the-key@127.0.0.1:8545/?key=the-key", "wss://[::1]:8546/the-key",
		"https://mainnet.infura.io/v3/another", "the-key", "https://the key/", "%zz", "https://",
	})
	if want := []string{"127.0.0.1", "::1", "mainnet.infura.io"}; !slices.Equal(got, want) {
		t.Errorf("hosts = %q, want %q", got, want)
	}
}

// TestDollars wants sums that stay within what can be counted.
func TestDollars(t *testing.T) {
	var d dollars
	for range 5 {
		d.add(mostUSD-1, true)
	}
	if d.sum != mostUSD || d.String() != "999999999999.00" || !isUSD(d.String()) {
		t.Errorf("the sum is %s", d)
	}
	d.add(0, false)
	if !d.missing || d.String() == "" {
		t.Errorf("with a part that has no price: %+v", d)
	}
	if (dollars{missing: true}).String() != "" || (dollars{}).String() != "0.00" {
		t.Error("no price is no dollars, and nothing is zero")
	}
	var m money
	m.add(1, uint256.NewInt(5), 3*tracer.Dollar, true)
	m.add(2, uint256.NewInt(5), 0, false)
	m.add(1, uint256.NewInt(7), 4*tracer.Dollar, true)
	if got := m.dollars(); got.sum != 7*tracer.Dollar || !got.missing || m.of(1).Uint64() != 12 || !m.of(3).IsZero() {
		t.Errorf("money is %+v, %+v", m, got)
	}
}

func TestStamp(t *testing.T) {
	for at, want := range map[uint64]string{0: "", 1: "1970-01-01T00:00:01Z", 1740960000: "2025-03-03T00:00:00Z", 253402300799: "9999-12-31T23:59:59Z", 253402300800: "", 1 << 63: ""} {
		if got := stamp(at); got != want {
			t.Errorf("stamp(%d) = %q, want %q", at, got, want)
		}
	}
}

func TestCell(t *testing.T) {
	for s, want := range map[string]string{
		"": "", "a": "a", "-1": "-1", "-1.50": "-1.50", "-": "'-", "-1e5": "'-1e5", "-1+1": "'-1+1", "=1": "'=1", "+1": "'+1", "@a": "'@a", "＝1": "'＝1", "'=1": "'=1", "1=1": "1=1",
	} {
		if got := cell(s); got != want {
			t.Errorf("cell(%q) = %q, want %q", s, got, want)
		}
	}
}
