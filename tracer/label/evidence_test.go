package label_test

import (
	"cmp"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
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

	"go.yaml.in/yaml/v3"
)

// TestEvidence compares the built-in set with the public collections at hand.
func TestEvidence(t *testing.T) {
	said := collections(t)
	t.Run("two sources", said.twoSources)
	t.Run("can fail", said.canFail)
	t.Run("no scams", said.noScams)
}

// twoSources holds every row of the table to the rule of the package comment:
// at least two collections give the address, on the same chain, a tag that
// begins with the service's name and tells of no deposit address, person or
// crime; and none of them tells of a crime there.
func (said collected) twoSources(t *testing.T) {
	agreeing := make(map[int]int)
	for _, r := range table(t) {
		n, complaint := said.judge(t, r)
		if complaint != "" {
			t.Error(complaint)
		}
		agreeing[n]++
	}
	t.Logf("rows by the number of collections that agree: %v", agreeing)
}

// canFail changes rows of the table: each change must be noticed.
func (said collected) canFail(t *testing.T) {
	rows := table(t)
	if len(rows) < 600 {
		t.Fatalf("%d rows", len(rows))
	}
	var phisher string // that some collection names
	for w, x := range said {
		if w.Chain == 1 && len(x.crimes) > 0 && (phisher == "" || tracer.Hex(w.Address) < phisher) {
			phisher = tracer.Hex(w.Address)
		}
	}
	for i, change := range map[string]func(r []string){
		"a digit of the address": func(r []string) {
			last := byte('0')
			if strings.HasSuffix(r[1], "0") {
				last = '1'
			}
			r[1] = r[1][:41] + string(last)
		},
		"another chain":                   func(r []string) { r[0] = map[bool]string{true: "56", false: "1"}[r[0] == "1"] },
		"another service":                 func(r []string) { r[2] = map[bool]string{true: "Kraken", false: "Binance"}[r[2] == "Binance"] },
		"an address that is phished from": func(r []string) { r[0], r[1] = "1", phisher },
		"another category": func(r []string) {
			r[3] = map[bool]string{true: "bridge", false: "exchange"}[r[3] == "exchange" || r[3] == "issuer"]
		},
	} {
		missed := 0
		for _, r := range rows {
			r = slices.Clone(r)
			change(r)
			if _, complaint := said.judge(t, r); complaint == "" {
				missed++
			}
		}
		// A protocol may have one address on all chains, Binance US is also an
		// address of Binance, and half of the rows are in no group that tells a
		// category; those of a service have one in common by another test.
		if limit := map[string]int{"another chain": 60, "another service": 1, "another category": len(rows) * 3 / 5}[i]; missed > limit {
			t.Errorf("%s: %d of %d wrong rows are not noticed, want at most %d", i, missed, len(rows), limit)
		}
	}
}

// noScams looks for the whole built-in set, facts too, among all that the
// collections say of crimes.
func (said collected) noScams(t *testing.T) {
	for l := range label.New().All() {
		if x := said[l.Wallet]; x != nil && len(x.crimes) > 0 {
			t.Errorf("%s, %s, is called %q", l.Wallet, l.Name, x.crimes)
		}
	}
}

// sayings are what the collections say of a wallet.
type sayings struct {
	tags   map[string][]string // by collection
	groups []string            // under which collections list it
	crimes []string
}

type collected map[tracer.Wallet]*sayings

// judge returns how many collections agree with a row, and what is wrong with it.
func (said collected) judge(t *testing.T, r []string) (n int, complaint string) {
	t.Helper()
	id, err := strconv.ParseUint(r[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	a, err := tracer.ParseAddress(r[1])
	if err != nil {
		t.Fatal(err)
	}
	x := said[tracer.Wallet{Chain: id, Address: a}]
	if x == nil {
		return 0, fmt.Sprintf("%s on chain %s: no collection has it", r[1], r[0])
	}
	for _, texts := range x.tags {
		if slices.ContainsFunc(texts, func(s string) bool { return agrees(r[2], s) }) {
			n++
		}
	}
	switch {
	case len(x.crimes) > 0:
		complaint = fmt.Sprintf("%s on chain %s is called %q", r[1], r[0], x.crimes)
	case n < 2:
		complaint = fmt.Sprintf("%s on chain %s: %d collections say that it is %s: %v", r[1], r[0], n, r[2], x.tags)
	case slices.ContainsFunc(x.groups, func(g string) bool { _, ok := kinds[g]; return ok }) &&
		!slices.ContainsFunc(x.groups, func(g string) bool { return slices.Contains(kinds[g], r[3]) }):
		complaint = fmt.Sprintf("%s on chain %s: is listed under %q, not as %s", r[1], r[0], x.groups, r[3])
	}
	return n, complaint
}

// kinds are the groups of the collections that tell a category.
var kinds = map[string][]string{
	"exchange": {"exchange", "swap"}, "bittrex": {"exchange"}, "fiat-gateway": {"exchange"}, "cold-wallet": {"exchange"}, "derivatives": {"exchange"},
	"bridge": {"bridge"}, "layer-2": {"bridge"}, "dex": {"swap"}, "router": {"swap"}, "gambling": {"gambling"}, "loans": {"lending"},
	"tornado-cash": {"mixer"}, "ethereum-mixer": {"mixer"}, "payments": {"payment"},
	"loopring": {"swap"}, "dydx": {"swap"}, "rhino-fi": {"bridge"},
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
// of explorers are two collections by two projects. Nothing is read with the
// code that is tested.
func collections(t *testing.T) collected {
	t.Helper()
	dir := evalLabels(t)
	all := make(collected)
	of := func(chain uint64, address string) *sayings {
		a, err := tracer.ParseAddress(strings.ToLower(strings.TrimSpace(address)))
		if err != nil || chain == 0 {
			return new(sayings)
		}
		w := tracer.Wallet{Chain: chain, Address: a}
		if all[w] == nil {
			all[w] = &sayings{tags: make(map[string][]string)}
		}
		return all[w]
	}
	add := func(collection string, chain uint64, address, tag string, groups ...string) {
		x := of(chain, address)
		if tag != "" && x.tags != nil {
			x.tags[collection] = append(x.tags[collection], tag)
		}
		x.groups = append(x.groups, groups...)
		for _, s := range append(groups, tag) {
			if crime.MatchString(s) {
				x.crimes = append(x.crimes, collection+": "+s)
			}
		}
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
		add("eth-labels", explorers[r[0]], r[2], r[3], r[1])
	}
	files, err := filepath.Glob(filepath.Join(dir, "etherscan-labels-brianleect", "*.json.gz"))
	if err != nil || len(files) == 0 {
		t.Fatal("no etherscan-labels", err)
	}
	for _, f := range files {
		explorer, _, _ := strings.Cut(filepath.Base(f), "_")
		var entries map[string]struct {
			Name   string
			Labels []string
		}
		if err := json.NewDecoder(open(t, f)).Decode(&entries); err != nil {
			t.Fatal(err)
		}
		for a, e := range entries {
			add("etherscan-labels", explorers[explorer], a, e.Name, e.Labels...)
		}
	}
	type fields struct{ Address, Network, Currency, Label, Abuse string }
	networks := map[string]uint64{"ETH": 1, "BSC": 56, "MATIC": 137, "ERC20": 1}
	for name, r := range packs(t) {
		var p struct {
			fields `yaml:",inline"`
			Tags   []fields
		}
		if err := yaml.NewDecoder(r).Decode(&p); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, tag := range p.Tags {
			chain := networks[strings.ToUpper(cmp.Or(tag.Network, tag.Currency, p.Network, p.Currency))]
			add("graphsense", chain, tag.Address, cmp.Or(tag.Label, p.Label))
			if abuse := cmp.Or(tag.Abuse, p.Abuse); abuse != "" && abuse != "sanction" {
				x := of(chain, tag.Address)
				x.crimes = append(x.crimes, "graphsense: "+abuse)
			}
		}
	}
	// Whoever is on one of these lists is there for a crime.
	for f, tag := range map[string]int{"1_etherscan_malicious_labels": 1, "1_phishing_scams": 1, "1_malicious_smart_contracts": 1, "10_malicious_smart_contracts": 1} {
		chain := uint64(1)
		if strings.HasPrefix(f, "10_") {
			chain = 10
		}
		for _, r := range rows(filepath.Join(dir, "forta-labelled-datasets", f+".csv.gz")) {
			x := of(chain, r[0])
			x.crimes = append(x.crimes, "forta: "+r[tag])
		}
	}
	for _, r := range rows(filepath.Join(dir, "ofac-ultrasound", "data.csv")) {
		add("ofac", 1, r[0], r[1])
	}
	if len(all) < 10_000 {
		t.Fatalf("only %d wallets in the collections", len(all))
	}
	return all
}
