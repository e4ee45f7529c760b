package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"

	"scamtrace/tracer/devnet"
	"scamtrace/tracer/indexsource/indextest"
	"scamtrace/tracer/report"

	"github.com/ethereum/go-ethereum/common"
)

// indexed is a world behind a node and behind indexers, with files of its
// services and prices.
type world struct {
	*devnet.World
	book  *indextest.Book
	files []string // arguments that name them
}

var openWorld = sync.OnceValues(func() (*world, error) {
	w := devnet.Generate(devnet.Config{})
	book, err := indextest.Open(w)
	return &world{World: w, book: book}, err
})

// traced runs the command on a payment of the world, over a node and indexers,
// and returns the folder of the report, what was printed, and how many requests
// the node got.
func (w *world) traced(t *testing.T, o devnet.NodeOptions, env map[string]string, index string, args ...string) (dir, errs string, requests int) {
	dir, errs, requests, _ = w.ends(t, o, env, index, args...)
	return dir, errs, requests
}

// ends is traced, and returns what the command ended with too.
func (w *world) ends(t *testing.T, o devnet.NodeOptions, env map[string]string, index string, args ...string) (dir, errs string, requests, code int) {
	t.Helper()
	node := devnet.NewNode(w.World, o)
	srv := httptest.NewServer(node)
	t.Cleanup(srv.Close)
	tmp := t.TempDir()
	dir = filepath.Join(tmp, "report")
	if err := writeRows(filepath.Join(tmp, "labels.csv"), labelRows(w.World)); err != nil {
		t.Fatal(err)
	}
	if err := writeRows(filepath.Join(tmp, "prices.csv"), priceRows(w.World)); err != nil {
		t.Fatal(err)
	}
	w.files = []string{"--labels", filepath.Join(tmp, "labels.csv"), "--prices", filepath.Join(tmp, "prices.csv")}
	all := slices.Concat([]string{"trace", w.Truth.Victims[0].Payments[0].Tx.Hex(), w.Truth.Victims[0].Payments[1].Tx.Hex(),
		"--chain", "devnet", "--rpc", srv.URL + "/v2/secret-key-of-the-node", "--out", dir}, w.files, args)
	if index != "" {
		all = append(all, "--index", index)
	}
	var stdout, stderr bytes.Buffer
	lookup := func(key string) (string, bool) { v, ok := env[key]; return v, ok }
	if code = run(t.Context(), all, lookup, &stdout, &stderr); code != exitDone && code != exitPartial {
		t.Fatalf("trace --index %s ends with %d: %s", index, code, stderr.String())
	}
	return dir, stderr.String(), node.Requests(), code
}

func readReport(t *testing.T, dir string) *report.Report {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	r := new(report.Report)
	if err := json.Unmarshal(raw, r); err != nil {
		t.Fatal(err)
	}
	return r
}

// money is what a report says of money, without what it rests on.
func money(t *testing.T, r *report.Report) string {
	t.Helper()
	x := *r
	x.Notes, x.Chains = nil, nil
	x.Transfers = slices.Clone(x.Transfers)
	for i := range x.Transfers {
		x.Transfers[i].Basis = ""
	}
	raw, err := json.Marshal(&x)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// differ shows where two texts begin to.
func differ(got, want string) string {
	i := 0
	for i < min(len(got), len(want)) && got[i] == want[i] {
		i++
	}
	around := func(s string) string { return s[max(i-150, 0):min(i+150, len(s))] }
	return fmt.Sprintf(": %q, want %q", around(got), around(want))
}

// count counts transfers by what they rest on.
func count(r *report.Report) map[string]int {
	n := make(map[string]int)
	for i := range r.Transfers {
		n[r.Transfers[i].Basis]++
	}
	return n
}

// indexers serves fakes of all indexers, spoil standing before each, and returns
// the environment that leads to them.
func (w *world) indexers(t *testing.T, spoil func(http.Handler) http.Handler) map[string]string {
	t.Helper()
	serve := func(h http.Handler) string {
		if spoil != nil {
			h = spoil(h)
		}
		srv := httptest.NewServer(h)
		t.Cleanup(srv.Close)
		return srv.URL
	}
	return map[string]string{
		"SCAMTRACE_SQD_RATE": "1e6", "SCAMTRACE_ETHERSCAN_RATE": "1e6", "SCAMTRACE_BLOCKSCOUT_RATE": "1e6", "SCAMTRACE_ALCHEMY_RATE": "1e6", "SCAMTRACE_TRONGRID_RATE": "1e6",
		"SCAMTRACE_SQD_URL":        serve(&indextest.Portal{Book: w.book}) + "/secretsecretpath/datasets/devnet",
		"SCAMTRACE_ETHERSCAN_URL":  serve(&indextest.Explorer{Book: w.book, Rows: 1000}) + "/api",
		"SCAMTRACE_ETHERSCAN_KEY":  indextest.Key,
		"SCAMTRACE_BLOCKSCOUT_URL": serve(&indextest.Explorer{Book: w.book, Rows: 1000, Blockscout: true}) + "/api",
		"SCAMTRACE_ALCHEMY_URL":    serve(&indextest.Alchemy{Book: w.book, Rows: 1000}) + "/v2",
		"SCAMTRACE_ALCHEMY_KEY":    indextest.Key,
		"SCAMTRACE_TRONGRID_URL":   serve(&indextest.TronGrid{Book: w.book, Rows: 200}),
		"SCAMTRACE_TRONGRID_KEY":   indextest.Key,
	}
}

// TestIndex traces with SQD Portal before the node: the money is the same as
// from the node alone, for fewer requests to it, all is confirmed, and the
// evidence replays to the same bytes.
func TestIndex(t *testing.T) {
	w, err := openWorld()
	if err != nil {
		t.Fatal(err)
	}
	plain, _, _ := w.traced(t, devnet.NodeOptions{}, nil, "")
	want := readReport(t, plain)
	if got := count(want); got[""] != len(want.Transfers) || len(want.Transfers) < 10 {
		t.Fatalf("from the node alone the transfers rest on %v", got)
	}
	// A node that shows old states and no logs but in short ranges, as most do:
	// here an indexer saves the most.
	narrow := devnet.NodeOptions{MaxRange: 500, MaxTraceRange: 500}
	_, _, alone := w.traced(t, narrow, nil, "none")
	dir, _, with := w.traced(t, narrow, w.indexers(t, nil), "sqd")
	r := readReport(t, dir)
	if got, want := money(t, r), money(t, want); got != want {
		t.Error("the money is another than from the node alone" + differ(got, want))
	}
	if with >= alone {
		t.Errorf("the node got %d requests, and %d without an indexer", with, alone)
	}
	if got := count(r); got[report.BasisNode]+got[report.BasisConfirmed] != len(r.Transfers) || got[report.BasisConfirmed] == 0 {
		t.Errorf("the transfers rest on %v", got)
	}
	if c := r.Chains[0]; !slices.Equal(c.Endpoints, []string{"127.0.0.1"}) || c.Source != "SQD Portal and a JSON-RPC node" {
		t.Errorf("it was read from %q at %q", c.Source, c.Endpoints)
	}
	if code, out, errs := command(t.Context(), append([]string{"replay", dir}, w.files...)...); code != exitDone || !strings.Contains(out, "the same to the byte") {
		t.Errorf("replay ends with %d: %s%s", code, out, errs)
	}
	if code, _, errs := command(t.Context(), "verify", dir); code != exitDone {
		t.Errorf("verify ends with %d: %s", code, errs)
	}
}

var showed = regexp.MustCompile(`(?m)^(SQD Portal|Etherscan|Blockscout|Alchemy|TronGrid) showed [1-9]`)

// TestIndexKeys traces with each indexer: the money is the same, and its key and
// the node's are in no file, not even in the evidence, which replays.
func TestIndexKeys(t *testing.T) {
	w, err := openWorld()
	if err != nil {
		t.Fatal(err)
	}
	plain, _, _ := w.traced(t, devnet.NodeOptions{}, nil, "")
	want := money(t, readReport(t, plain))
	// Some answers are refusals that repeat the key.
	rude := func(h http.Handler) http.Handler {
		n := 0
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if n++; n == 3 {
				http.Error(rw, fmt.Sprintf(`{"message":"slow down, %s at %s"}`, r.Header, r.URL), http.StatusTooManyRequests)
				return
			}
			h.ServeHTTP(rw, r)
		})
	}
	for _, index := range []string{"sqd", "etherscan", "blockscout", "alchemy", "trongrid", "sqd,etherscan"} {
		t.Run(strings.ReplaceAll(index, ",", " and "), func(t *testing.T) {
			dir, errs, _ := w.traced(t, devnet.NodeOptions{}, w.indexers(t, rude), index)
			if got := money(t, readReport(t, dir)); got != want {
				t.Error("the money is another than from the node alone" + differ(got, want))
			}
			r := readReport(t, dir)
			if notes := strings.Join(r.Notes, "\n"); !showed.MatchString(notes) || strings.Contains(notes, "was not asked") {
				t.Errorf("the indexer contributed nothing: %s", notes)
			}
			all := bytes.Join(evidenceLines(t, dir), nil)
			files, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				b, err := os.ReadFile(filepath.Join(dir, f.Name()))
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, b...)
			}
			all = append(all, errs...)
			for _, secret := range []string{indextest.Key, "secretsecretpath", "secret-key-of-the-node"} {
				if bytes.Contains(all, []byte(secret)) {
					t.Errorf("%q is in the report, in its evidence or on the screen", secret)
				}
			}
			if code, out, errs := command(t.Context(), append([]string{"replay", dir}, w.files...)...); code != exitDone {
				t.Errorf("replay ends with %d: %s%s", code, out, errs)
			}
		})
	}
}

// TestIndexLies traces with an indexer that lies: the money in the report is that
// of the node, and the report says what happened.
func TestIndexLies(t *testing.T) {
	w, err := openWorld()
	if err != nil {
		t.Fatal(err)
	}
	plain, _, _ := w.traced(t, devnet.NodeOptions{}, nil, "")
	honest := readReport(t, plain)
	want := money(t, honest)
	token := -1 // a payment on in a token
	for i := range honest.Transfers {
		if x := &honest.Transfers[i]; x.Kind == "token" && token < 0 {
			token = i
		}
	}
	if token < 0 {
		t.Fatal("no token moved")
	}
	x := honest.Transfers[token]
	// spoilt edits the lines of streams.
	spoilt := func(edit func(line []byte) []byte) func(http.Handler) http.Handler {
		return func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				r.Header.Del("Accept-Encoding")
				rec := httptest.NewRecorder()
				h.ServeHTTP(rec, r)
				for line := range bytes.Lines(rec.Body.Bytes()) {
					rw.Write(edit(line))
				}
			})
		}
	}
	data := regexp.MustCompile(`("data":"0x[0-9a-f]*)[0-9a-f]{2}"`)
	other := common.Hash{0xde, 0xad}.Hex()
	for _, tt := range []struct {
		name string
		edit func([]byte) []byte
		anew bool // the node denies what is cited, and the notes say so
	}{
		{"an altered amount", func(l []byte) []byte {
			if bytes.Contains(l, []byte(x.Tx)) {
				l = data.ReplaceAll(l, []byte(`${1}07"`))
			}
			return l
		}, false}, // the balances say so
		{"an invented transaction", func(l []byte) []byte {
			return bytes.ReplaceAll(l, []byte(x.Tx), []byte(other))
		}, true},
		{"a dropped transfer", func(l []byte) []byte {
			if !bytes.Contains(l, []byte(x.Tx)) {
				return l
			}
			var block map[string]json.RawMessage
			var logs, kept []map[string]any
			if json.Unmarshal(l, &block) != nil || json.Unmarshal(block["logs"], &logs) != nil {
				t.Errorf("%s", l)
			}
			for _, log := range logs {
				if log["transactionHash"] != x.Tx {
					kept = append(kept, log)
				}
			}
			block["logs"], _ = json.Marshal(kept)
			l, _ = json.Marshal(block)
			return append(l, '\n')
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, _, _ := w.traced(t, devnet.NodeOptions{}, w.indexers(t, spoilt(tt.edit)), "sqd")
			r := readReport(t, dir)
			if got := money(t, r); got != want {
				t.Error("the money is another than from the node alone" + differ(got, want))
			}
			const says = "are not what the node shows, so the money was followed anew with the node alone."
			if strings.Contains(strings.Join(r.Notes, "\n"), says) != tt.anew {
				t.Errorf("the notes are %q", r.Notes)
			}
			got := count(r)
			if own := got[report.BasisNode]; own+got[report.BasisConfirmed] != len(r.Transfers) || own == 0 || tt.anew && own != len(r.Transfers) {
				t.Errorf("the transfers rest on %v", got)
			}
			if code, out, errs := command(t.Context(), append([]string{"replay", dir}, w.files...)...); code != exitDone {
				t.Errorf("replay ends with %d: %s%s", code, out, errs)
			}
		})
	}
}

// TestIndexDoubt traces with an indexer that lies, and with too few requests to
// follow the money anew: the report says so first, and the command ends with 3.
func TestIndexDoubt(t *testing.T) {
	w, err := openWorld()
	if err != nil {
		t.Fatal(err)
	}
	plain, _, _ := w.traced(t, devnet.NodeOptions{}, nil, "")
	var tx string // of a payment on in a token
	for _, x := range readReport(t, plain).Transfers {
		if x.Kind == "token" && tx == "" {
			tx = x.Tx
		}
	}
	lies := func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			r.Header.Del("Accept-Encoding")
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, r)
			rw.Write(bytes.ReplaceAll(rec.Body.Bytes(), []byte(tx), []byte(common.Hash{0xde, 0xad}.Hex())))
		})
	}
	env := w.indexers(t, lies)
	traced := func(most int) (*report.Report, int) {
		dir, _, _, code := w.ends(t, devnet.NodeOptions{}, env, "sqd", "--max-requests", fmt.Sprint(most))
		return readReport(t, dir), code
	}
	// The least budget that gets as far as the denial.
	most := 200 + sort.Search(1800, func(n int) bool {
		r, _ := traced(200 + n)
		return strings.Contains(strings.Join(r.Notes, "\n"), "not what the node shows")
	})
	r, code := traced(most)
	if code != exitPartial || !strings.HasPrefix(r.Notes[0], "The sums of this report are not to be relied on: transfers that SQD Portal showed are not what the node shows, and the budget") {
		t.Errorf("with %d requests it ends with %d and says %q", most, code, r.Notes)
	}
}
