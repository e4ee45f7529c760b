package label_test

import (
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/label"
)

// TestTwoSources holds every row of the table to the rule of the package
// comment: of the public collections at hand, at least two give the address, on
// the same chain, a tag that begins with the service's name and tells of no
// deposit address, person or crime; and none of them tells of a crime there.
func TestTwoSources(t *testing.T) {
	tags := collections(t)
	agreeing := make(map[int]int)
	for _, r := range table(t) {
		id, err := strconv.ParseUint(r[0], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		a, err := tracer.ParseAddress(r[1])
		if err != nil {
			t.Fatal(err)
		}
		said := tags[tracer.Wallet{Chain: id, Address: a}]
		n := 0
		for _, texts := range said {
			if slices.ContainsFunc(texts, func(s string) bool { return agrees(r[2], s) }) {
				n++
			}
			if i := slices.IndexFunc(texts, crime.MatchString); i >= 0 {
				t.Errorf("%s on chain %s is called %q", r[1], r[0], texts[i])
			}
		}
		if n < 2 {
			t.Errorf("%s on chain %s: %d collections say that it is %s: %v", r[1], r[0], n, r[2], said)
		}
		agreeing[n]++
	}
	t.Logf("rows by the number of collections that agree: %v", agreeing)
}

// aliases are the other names under which the collections list a service.
var aliases = map[string][]string{
	"AscendEX":          {"bitmax"},
	"Boba bridge":       {"omg network boba"},
	"Coinbase Commerce": {"coinbase coinbase commerce"},
	"Curve":             {"curvefinance"},
	"deBridge":          {"debridgegate"},
	"HTX":               {"huobi"},
	"KyberSwap":         {"kyber"},
	"MEXC":              {"mxc"},
	"Multichain":        {"anyswap"},
	"OKX":               {"okex"},
	"Rainbow bridge":    {"near rainbow bridge"},
	"Ren":               {"renvm"},
	"Rhino.fi":          {"deversifi"},
	"Ronin bridge":      {"axie infinity ronin"},
	"StarkGate":         {"starknet starkgate"},
}

var (
	notWord = regexp.MustCompile(`[^a-z0-9]+`)
	crime   = regexp.MustCompile(`(?i)phish|hack|exploit|scam|heist|drain|fraud|fake|stolen|launder`)
	// A service's wallet, but not one that a trace may end at.
	notService = regexp.MustCompile(`\b(deployer|donate|donation|charity|old|airdrop)\b`)
	deposit    = regexp.MustCompile(`\bdeposit\b`)
	funder     = regexp.MustCompile(`\bdeposit (funder|supplier)\b`)
)

// words is a text in lower case with single spaces between its words.
func words(s string) string {
	return strings.TrimSpace(notWord.ReplaceAllString(strings.ToLower(s), " "))
}

// agrees reports whether a collection's tag names the service.
func agrees(service, tag string) bool {
	tag = words(tag)
	if crime.MatchString(tag) || notService.MatchString(tag) || deposit.MatchString(tag) && !funder.MatchString(tag) {
		return false
	}
	names := append([]string{strings.TrimSuffix(words(service), " bridge")}, aliases[service]...)
	return slices.ContainsFunc(names, func(n string) bool { return tag == n || strings.HasPrefix(tag, n+" ") })
}

func TestAgrees(t *testing.T) {
	for _, tt := range []struct {
		service, tag string
		want         bool
	}{
		{"Binance", "Binance 14", true},
		{"Binance", "binance reserve wallets ETH", true},
		{"HTX", "Huobi: Deposit Funder 2", true},
		{"Polygon bridge", "Polygon (Matic): Plasma Bridge", true},
		{"Uniswap", "uniswap_SwapRouter", true},
		{"Tornado Cash", "Tornado.Cash: 0.1 ETH", true},
		{"Binance", "Jump Trading: Binance Deposit", false},
		{"Binance", "Binance Deposit", false},
		{"Binance", "Binance Exploiter", false},
		{"Binance", "BinanceX", false},
		{"Circle", "Merit Circle: Rewards", false},
		{"Kraken", "Kraken: Deployer 2", false},
		{"Kraken", "Fake_Phishing123", false},
		{"Kraken", "", false},
	} {
		if got := agrees(tt.service, tt.tag); got != tt.want {
			t.Errorf("agrees(%q, %q) = %v", tt.service, tt.tag, got)
		}
	}
}

// Of the real packs, no tag moves a built-in service.
func TestRealPacks(t *testing.T) {
	plain, s := label.New(), label.New()
	labels, notes := 0, 0
	for name, r := range packs(t) {
		before := s.Len()
		ns, err := s.ReadTagPack(r, name)
		if err != nil {
			t.Errorf("ReadTagPack(%s): %v", name, err)
		}
		labels += s.Len() - before
		notes += len(ns)
		for _, n := range ns {
			t.Log(n)
		}
	}
	t.Logf("%d labels, %d notes", labels, notes)
	if labels < 10_000 {
		t.Errorf("the packs gave %d labels, want more than 10,000", labels)
	}
	for l := range plain.All() {
		want, _ := plain.Service(l.Wallet)
		if got, _ := s.Service(l.Wallet); got != want {
			t.Errorf("Service(%s) = %v, want %v", l.Wallet, got, want)
		}
	}
	for w := range s.Conflicts() {
		t.Log("conflict:", s.Of(w))
	}
}

func evalLabels(t *testing.T) string {
	t.Helper()
	dir, ok := devnet.EvalData()
	if !ok {
		t.Skip("no evaluation data: set SCAMTRACE_EVAL_DATA to its folder")
	}
	return filepath.Join(dir, "labels")
}

// open opens a file that may be compressed.
func open(t *testing.T, name string) io.Reader {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if !strings.HasSuffix(name, ".gz") {
		return f
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// packs yields the real TagPacks, sorted by name.
func packs(t *testing.T) func(yield func(string, io.Reader) bool) {
	t.Helper()
	dir := filepath.Join(evalLabels(t), "graphsense-tagpacks", "packs")
	return func(yield func(string, io.Reader) bool) {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			if !yield(strings.TrimSuffix(d.Name(), ".gz"), open(t, path)) {
				return fs.SkipAll
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// collections returns what each collection says of each wallet. The two scrapes
// of explorers are two collections by two projects.
func collections(t *testing.T) map[tracer.Wallet]map[string][]string {
	t.Helper()
	dir := evalLabels(t)
	all := make(map[tracer.Wallet]map[string][]string)
	add := func(collection string, chain uint64, address, tag string) {
		a, err := tracer.ParseAddress(strings.ToLower(strings.TrimSpace(address)))
		if err != nil || chain == 0 || tag == "" {
			return
		}
		w := tracer.Wallet{Chain: chain, Address: a}
		if all[w] == nil {
			all[w] = make(map[string][]string)
		}
		all[w][collection] = append(all[w][collection], tag)
	}
	explorers := map[string]uint64{
		"etherscan": 1, "bscscan": 56, "polygonscan": 137, "arbiscan": 42161, "optimism": 10, "basescan": 8453, "avalanche": 43114,
	}
	rows := func(name string) [][]string {
		r := csv.NewReader(open(t, name))
		r.FieldsPerRecord = -1
		rows, err := r.ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		return rows[1:]
	}

	for _, r := range rows(filepath.Join(dir, "eth-labels-dawsbot", "accounts_merged.csv.gz")) {
		add("eth-labels", explorers[r[0]], r[2], r[3])
	}
	files, err := filepath.Glob(filepath.Join(dir, "etherscan-labels-brianleect", "*.json.gz"))
	if err != nil || len(files) == 0 {
		t.Fatal("no etherscan-labels", err)
	}
	for _, f := range files {
		explorer, _, _ := strings.Cut(filepath.Base(f), "_")
		var entries map[string]struct{ Name string }
		if err := json.NewDecoder(open(t, f)).Decode(&entries); err != nil {
			t.Fatal(err)
		}
		for a, e := range entries {
			add("etherscan-labels", explorers[explorer], a, e.Name)
		}
	}
	var graphsense label.Set
	for name, r := range packs(t) {
		if _, err := graphsense.ReadTagPack(r, name); err != nil {
			t.Fatal(err)
		}
	}
	for l := range graphsense.All() {
		add("graphsense", l.Wallet.Chain, l.Wallet.Address.Hex(), l.Name)
	}
	for f, tag := range map[string]int{"1_etherscan_malicious_labels": 1, "1_phishing_scams": 1, "1_malicious_smart_contracts": 1, "10_malicious_smart_contracts": 1} {
		chain := uint64(1)
		if strings.HasPrefix(f, "10_") {
			chain = 10
		}
		for _, r := range rows(filepath.Join(dir, "forta-labelled-datasets", f+".csv.gz")) {
			add("forta", chain, r[0], r[tag])
		}
	}
	for _, r := range rows(filepath.Join(dir, "ofac-ultrasound", "data.csv")) {
		add("ofac", 1, r[0], r[1])
	}
	for _, said := range all {
		for _, k := range slices.Collect(maps.Keys(said)) {
			slices.Sort(said[k])
		}
	}
	if len(all) < 10_000 {
		t.Fatalf("only %d wallets in the collections", len(all))
	}
	return all
}
