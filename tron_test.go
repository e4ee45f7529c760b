package main

import (
	"encoding/json"
	"io"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/ethsource"
	"scamtrace/tracer/indexsource"
	"scamtrace/tracer/indexsource/indextest"
	"scamtrace/tracer/label"
	"scamtrace/tracer/price"
	"scamtrace/tracer/report"
	"scamtrace/tracer/walk"

	"github.com/holiman/uint256"
)

// tronWorld is a world with Tron's id, behind a node like java-tron, with the
// world's labels in a file.
func tronWorld(t *testing.T) (w *devnet.World, url, labels string) {
	t.Helper()
	w = devnet.Generate(devnet.Config{Tron: true})
	srv := httptest.NewServer(devnet.NewNode(w, devnet.NodeOptions{Tron: true}))
	t.Cleanup(srv.Close)
	rows := [][]string{{"chain", "address", "name", "category", "source"}}
	for _, s := range w.Services {
		for _, a := range s.Addresses {
			rows = append(rows, []string{"tron", tracer.TronAddress(a), s.Name, s.Category, "the world"})
		}
	}
	labels = filepath.Join(t.TempDir(), "labels.csv")
	if err := writeRows(labels, rows); err != nil {
		t.Fatal(err)
	}
	return w, srv.URL, labels
}

// inHex finds addresses that are not written as on Tron, and hashes with 0x
// where they are of transactions.
var inHex = regexp.MustCompile(`\b(0x[0-9a-fA-F]{40}|41[0-9a-f]{40})\b|"tx":"0x`)

// TestTron follows USDT on a chain like Tron, from a payment and from a wallet,
// and wants each service to have got what it really got, all files in Tron's own
// spelling, and the trace again from its evidence.
func TestTron(t *testing.T) {
	w, url, labels := tronWorld(t)
	v := w.Truth.Victims[0]
	usdt := v.Payments[0].Asset.String()
	if usdt != "tron:728126428/trc20:TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t" {
		t.Fatalf("the victim paid in %s", usdt)
	}
	var seeds []string
	for _, p := range v.Payments {
		seeds = append(seeds, tracer.ShowTx(devnet.TronID, p.Tx))
	}
	dir := filepath.Join(t.TempDir(), "report")
	args := append([]string{"trace", "--chain", "tron", "--rpc", url, "--labels", labels, "--hub", "1000", "--out", dir}, seeds...)
	code, out, errs := command(t.Context(), args...)
	if code != exitDone {
		t.Fatalf("trace ends with %d: %s", code, errs)
	}
	if !strings.Contains(out, "Aurora Exchange") || inHex.MatchString(out) {
		t.Errorf("the summary is\n%s", out)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	var r report.Report
	if err := json.Unmarshal(raw, &r); err != nil {
		t.Fatal(err)
	}
	want, got := make(map[string]uint64), make(map[string]uint64)
	back := make(map[uint256.Int]bool) // swapped from TRX, which nobody sees
	for _, c := range v.Outcome.Conversions {
		if c.Out.Asset.String() == usdt {
			want["Meridian Swap"] += c.Out.Amount.Uint64()
		} else {
			back[c.In.Amount] = true
		}
	}
	for _, x := range v.Outcome.Exits {
		if x.Asset.String() == usdt && !back[x.Amount] {
			want[x.Service] += x.Amount.Uint64()
		}
	}
	for _, x := range r.Exits {
		for _, a := range x.Amounts {
			n, err := uint256.FromDecimal(a.Amount)
			if err != nil || a.Asset != usdt {
				t.Fatalf("%s got %s of %s", x.Service, a.Amount, a.Asset)
			}
			got[x.Service] += n.Uint64()
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("services got %v, want %v", got, want)
	}
	held := make(map[string]string)
	for _, h := range v.Outcome.Held {
		held[tracer.TronAddress(h.Wallet)] = h.Amount.Dec()
	}
	for _, x := range r.Wallets {
		if len(x.Held) > 0 && held[x.Address] != x.Held[0].Amount {
			t.Errorf("%s holds %s, want %s", x.Address, x.Held[0].Amount, held[x.Address])
		}
		delete(held, x.Address)
	}
	if len(held) > 0 {
		t.Errorf("nothing is said of %v", held)
	}
	if r.Chains[0].ID != "tron:728126428" || !strings.Contains(strings.Join(r.Notes, " "), "TronGrid") {
		t.Errorf("the report is of %s, with the notes %q", r.Chains[0].ID, r.Notes)
	}
	for _, x := range r.Gaps { // asking again helps nobody
		if x.Reason == "source" {
			t.Errorf("a gap of %s: %s", x.Address, x.Detail)
		}
	}
	for _, s := range r.Seeds {
		if _, err := tracer.ParseTronAddress(s.Address); err != nil || s.Address[0] != 'T' || len(s.Tx) != 64 {
			t.Errorf("a seed is %s in %s", s.Address, s.Tx)
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if bad := inHex.Find(b); bad != nil && f.Name() != evidenceName {
			t.Errorf("%s has %s", f.Name(), bad)
		}
	}
	if code, _, errs := command(t.Context(), "verify", dir); code != exitDone {
		t.Errorf("verify ends with %d: %s", code, errs)
	}
	if code, _, errs := command(t.Context(), "replay", dir, "--labels", labels); code != exitDone {
		t.Errorf("replay ends with %d: %s", code, errs)
	}
}

// TestTronTransfers lists what a wallet did, and reads the list again.
func TestTronTransfers(t *testing.T) {
	w, url, _ := tronWorld(t)
	p := w.Truth.Victims[0].Payments[0]
	code, out, errs := command(t.Context(), "transfers", tracer.TronAddress(p.Wallet), "--chain", "tron", "--rpc", url)
	if code != exitPartial || !strings.Contains(errs, "Not read: native transfers of T") || inHex.MatchString(out+errs) {
		t.Fatalf("transfers ends with %d: %s", code, errs)
	}
	if !strings.Contains(out, tracer.ShowTx(devnet.TronID, p.Tx)) || !strings.Contains(out, ",TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t,USDT,6,") {
		t.Errorf("the payment is not among\n%s", out)
	}
	file := filepath.Join(t.TempDir(), "list.csv")
	if err := os.WriteFile(file, []byte(out), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, again, errs := command(t.Context(), "transfers", tracer.TronAddress(p.Wallet), "--chain", "tron", "--transfers", file); again != out {
		t.Errorf("read again (%d), the list is another: %s\n%s", code, errs, again)
	}
}

func TestTronRefusals(t *testing.T) {
	w, url, _ := tronWorld(t)
	const usdt = "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"
	var coin string
	for _, p := range w.Truth.Victims[1].Payments {
		coin = tracer.ShowTx(devnet.TronID, p.Tx)
	}
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"another chain", []string{usdt, "--chain", "ethereum"}, "--chain tron"},
		{"wrong checksum", []string{usdt[:33] + "T", "--chain", "tron"}, "checksum"},
		{"a token's contract", []string{usdt, "--chain", "tron"}, "transaction hash of the payment instead"},
		{"proofs", []string{coin, "--chain", "tron", "--prove"}, "cannot be checked"},
		{"a payment in TRX, from a node", []string{coin, "--chain", "tron"}, "TronGrid"},
	} {
		code, _, errs := command(t.Context(), append([]string{"trace", "--rpc", url, "--out", filepath.Join(t.TempDir(), "r")}, tt.args...)...)
		if code != exitUsage || !strings.Contains(errs, tt.want) || inHex.MatchString(errs) {
			t.Errorf("%s: ends with %d and says %q, want %q", tt.name, code, errs, tt.want)
		}
	}
}

// TestTronGrid follows TRX, which a node of Tron does not tell, with TronGrid
// before it.
func TestTronGrid(t *testing.T) {
	w := devnet.Generate(devnet.Config{Tron: true})
	book, err := indextest.Open(w)
	if err != nil {
		t.Fatal(err)
	}
	grid := httptest.NewServer(&indextest.TronGrid{Book: book, Rows: 200})
	t.Cleanup(grid.Close)
	srv := httptest.NewServer(devnet.NewNode(w, devnet.NodeOptions{Tron: true, Finality: 64}))
	t.Cleanup(srv.Close)
	chain, err := tracer.ChainNamed("tron")
	if err != nil {
		t.Fatal(err)
	}
	node, err := ethsource.Open(t.Context(), chain, srv.URL, ethsource.Options{})
	if err != nil {
		t.Fatal(err)
	}
	src, err := indexsource.NewTronGrid(chain, indexsource.Options{URL: grid.URL, Key: indextest.Key, Rate: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	j := &job{reading: reading{chain: chain, source: indexsource.Plan(node, src)}, labels: label.New(), prices: price.New(chain), maxGap: -1,
		limits: walk.Limits{Hub: 1000}, out: filepath.Join(t.TempDir(), "report")}
	for _, s := range w.Services {
		for _, a := range s.Addresses {
			l := label.Label{Wallet: tracer.Wallet{Chain: chain.ID, Address: a}, Name: s.Name, Category: label.Category(s.Category), Confidence: 100, Source: "the world"}
			if err := j.labels.Add(l); err != nil {
				t.Fatal(err)
			}
		}
	}
	for day := range w.Prices { // of a millionth of TRX's unit, which the world has far more of than there is
		j.prices.Set(tracer.NativeOf(chain.ID), w.Blocks[0].Time+uint64(day)*86_400, 1)
	}
	v := w.Truth.Victims[1]
	for _, p := range v.Payments {
		j.seeds = append(j.seeds, tracer.Seed{Tx: p.Tx})
	}
	if err := j.run(t.Context(), io.Discard, io.Discard); err != nil {
		t.Fatal(err)
	}
	r := readReport(t, j.out)
	// TRX that went through a swap, or a wrapped coin, comes out of a contract
	// unseen, and is a gap there; the rest is where it really is.
	want := make(map[string]bool)
	for _, x := range v.Outcome.Exits {
		want[x.Service+" "+tracer.TronAddress(x.Deposit)+" "+x.Amount.Dec()+" "+x.Asset.String()] = true
	}
	for _, s := range w.Services {
		if out := v.Outcome.Conversions[0].Out; s.Category == "swap" {
			want[s.Name+" "+tracer.TronAddress(s.Addresses[0])+" "+out.Amount.Dec()+" "+out.Asset.String()] = true
		}
	}
	exchanges := 0
	for _, x := range r.Exits {
		for _, a := range x.Amounts {
			if got := x.Service + " " + x.Address + " " + a.Amount + " " + a.Asset; !want[got] {
				t.Errorf("%s: nobody got that", got)
			}
		}
		if x.Category == "exchange" {
			exchanges++
		}
	}
	if exchanges < 2 {
		t.Errorf("%d exchanges were reached", exchanges)
	}
	for _, x := range r.Gaps {
		if len(x.Amounts) > 0 && (x.Reason != "internal" || !strings.Contains(x.Detail, "TronGrid does not show the place of an internal transfer")) {
			t.Errorf("a gap is %s %s: %s", x.Address, x.Reason, x.Detail)
		}
	}
	if code, _, errs := command(t.Context(), "verify", j.out); code != exitDone {
		t.Errorf("verify ends with %d: %s", code, errs)
	}
}
