package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"scamtrace/tracer/devnet"
	"scamtrace/tracer/ethsource"
	"scamtrace/tracer/evidence"
	"scamtrace/tracer/report"

	"github.com/klauspost/compress/zstd"
)

// evidenceLines are the lines of a bundle's evidence.
func evidenceLines(t *testing.T, dir string) [][]byte {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, evidenceName))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := zstd.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(b, []byte("\n"))
	return lines[:len(lines)-1]
}

var answerHead = regexp.MustCompile(`^\{"sha256":"([0-9a-f]{64})",`)

// forge writes evidence of changed lines into a bundle, with every hash in it
// and in the manifest made right again, as somebody who knows how would.
func forge(t *testing.T, dir string, lines [][]byte) {
	t.Helper()
	var renamed []string // the old hash and the new one, in turn
	answers, calls := 0, 0
	for i, line := range lines[:len(lines)-1] {
		if m := answerHead.FindSubmatch(line); m != nil {
			content := append([]byte{'{'}, bytes.TrimSuffix(line[len(m[0]):], []byte("\n"))...)
			sum := sha256.Sum256(content)
			renamed = append(renamed, string(m[1]), hex.EncodeToString(sum[:]))
			lines[i] = fmt.Appendf(nil, "{\"sha256\":\"%x\",%s\n", sum, content[1:])
			answers++
		} else if i > 0 {
			calls++
		}
	}
	rename := strings.NewReplacer(renamed...)
	var whole []byte
	for _, line := range lines[:len(lines)-1] {
		if !answerHead.Match(line) {
			line = []byte(rename.Replace(string(line)))
		}
		whole = append(whole, line...)
	}
	whole = fmt.Appendf(whole, "{\"calls\":%d,\"answers\":%d,\"sha256\":\"%x\"}\n", calls, answers, sha256.Sum256(whole))
	z, err := zstd.NewWriter(nil, zstd.WithWindowSize(8<<20))
	if err != nil {
		t.Fatal(err)
	}
	replaceFile(t, dir, evidenceName, z.EncodeAll(whole, nil))
}

// replaceFile puts another file into a bundle, and its hash into the manifest.
func replaceFile(t *testing.T, dir, name string, b []byte) {
	t.Helper()
	manifest, err := os.ReadFile(filepath.Join(dir, manifestFile))
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile(`\{"name":"` + regexp.QuoteMeta(name) + `","sha256":"[0-9a-f]+","size":\d+\}`)
	if !row.Match(manifest) {
		t.Fatalf("the manifest does not name %s", name)
	}
	manifest = row.ReplaceAll(manifest, fmt.Appendf(nil, `{"name":%q,"sha256":"%x","size":%d}`, name, sha256.Sum256(b), len(b)))
	for name, b := range map[string][]byte{name: b, manifestFile: manifest} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// provenDemo is the bundle of the demo, its transfers proven, for each caller.
func provenDemo(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "demo")
	if code, _, errs := command(t.Context(), "demo", "--prove", "--out", dir); code != exitDone {
		t.Fatalf("demo ends with %d: %s", code, errs)
	}
	return dir
}

func copyBundle(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// TestReplayDemo replays the demo to the same bytes, and finds every forgery of
// its evidence, also one whose hashes are all right.
func TestReplayDemo(t *testing.T) {
	whole := provenDemo(t)
	if code, out, errs := command(t.Context(), "replay", whole); code != exitDone || !strings.Contains(out, "the same to the byte") {
		t.Fatalf("replay ends with %d: %s%s", code, out, errs)
	}
	if code, out, errs := command(t.Context(), "verify", whole); code != exitDone || !strings.Contains(out, "42 of 77 transfers are proven") {
		t.Fatalf("verify ends with %d: %s%s", code, out, errs)
	}
	lines := evidenceLines(t, whole)
	find := func(method, text string) int {
		for i, l := range lines {
			if bytes.Contains(l, []byte(`"method":"`+method+`"`)) && bytes.Contains(lines[i+1], []byte(text)) && answerHead.Match(lines[i+1]) {
				return i + 1
			}
		}
		t.Fatalf("no answer to %s holds %s", method, text)
		return 0
	}
	var cited report.Report
	raw, err := os.ReadFile(filepath.Join(whole, "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &cited); err != nil {
		t.Fatal(err)
	}
	var tx string // of a token transfer that is cited
	for _, x := range cited.Transfers {
		if x.Verified {
			tx = x.Tx
			break
		}
	}
	amount := regexp.MustCompile(`"data":"0x0{50}[0-9a-f]*?([1-9])`)
	for _, tt := range []struct {
		name   string
		edit   func([][]byte) [][]byte
		replay string // what replay says
		verify string // what verify says; empty: it cannot see it
	}{
		{"an altered log", func(l [][]byte) [][]byte {
			i := find("eth_getLogs", tx)
			at := bytes.Index(l[i], []byte(tx))
			from := bytes.LastIndex(l[i][:at], []byte(`{"address"`))
			m := amount.FindSubmatchIndex(l[i][from:])
			l[i] = bytes.Clone(l[i])
			l[i][from+m[2]] ^= 1
			return l
		}, "differs", ""},
		{"an altered receipt", func(l [][]byte) [][]byte {
			i := find("eth_getBlockReceipts", tx)
			at := bytes.Index(l[i], []byte(tx))
			m := amount.FindSubmatchIndex(l[i][at:])
			l[i] = bytes.Clone(l[i])
			l[i][at+m[2]] ^= 1
			return l
		}, "differs", "is marked as proven, and it is not: the receipts are not those of the header"},
		{"an answer dropped with its call", func(l [][]byte) [][]byte {
			i := find("eth_getLogs", tx)
			return append(l[:i-1:i-1], l[i+1:]...)
		}, "the recording lacks what the trace asks for: eth_getLogs", ""},
		{"a block dropped with its call", func(l [][]byte) [][]byte {
			i := find("eth_getBlockReceipts", tx)
			return append(l[:i-1:i-1], l[i+1:]...)
		}, "the recording lacks", "does not have this call of eth_getBlockReceipts"},
		{"two answers swapped", func(l [][]byte) [][]byte {
			i := find("eth_getBlockReceipts", tx)
			k := i + 2
			for !answerHead.Match(l[k]) || !bytes.Contains(l[k-1], []byte("eth_getBlockReceipts")) {
				k++
			}
			l[i], l[k] = l[k], l[i]
			// The names stay where they were.
			a, b := answerHead.Find(l[i]), answerHead.Find(l[k])
			l[i], l[k] = append(bytes.Clone(b), l[i][len(a):]...), append(bytes.Clone(a), l[k][len(b):]...)
			return l
		}, "differs", "is marked as proven, and it is not"},
		{"other seeds", func(l [][]byte) [][]byte {
			l[0] = regexp.MustCompile(`"seeds":\["0x[0-9a-f]+",`).ReplaceAll(l[0], []byte(`"seeds":[`))
			return l
		}, "the recording lacks", ""}, // balances are asked for of other wallets together
		{"another rule", func(l [][]byte) [][]byte {
			l[0] = bytes.Replace(l[0], []byte(`"policy":"pifo"`), []byte(`"policy":"fifo"`), 1)
			return l
		}, "the recording lacks", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := copyBundle(t, whole)
			edited := tt.edit(append([][]byte(nil), lines...))
			// With the hashes as they were nobody opens it.
			z, err := zstd.NewWriter(nil)
			if err != nil {
				t.Fatal(err)
			}
			replaceFile(t, dir, evidenceName, z.EncodeAll(bytes.Join(edited, nil), nil))
			if code, _, errs := command(t.Context(), "replay", dir); code != exitFailed || !strings.Contains(errs, "the recording is not usable") {
				t.Errorf("replay of changed evidence ends with %d: %s", code, errs)
			}
			forge(t, dir, edited)
			if n, err := openArchive(dir); err != nil {
				t.Fatalf("the forgery is not as good as it should be: %v", err)
			} else {
				n.Close()
			}
			if code, _, errs := command(t.Context(), "replay", dir); code != exitFailed || !strings.Contains(errs, tt.replay) {
				t.Errorf("replay of the forgery ends with %d: %s, want %q", code, errs, tt.replay)
			}
			code, _, errs := command(t.Context(), "verify", dir)
			if (tt.verify == "") != (code == exitDone) || !strings.Contains(errs, tt.verify) {
				t.Errorf("verify of the forgery ends with %d: %s, want %q", code, errs, tt.verify)
			}
		})
	}
}

func openArchive(dir string) (*evidence.Node, error) {
	b, err := os.ReadFile(filepath.Join(dir, evidenceName))
	if err != nil {
		return nil, err
	}
	return evidence.Open(bytes.NewReader(b))
}

// TestReplayNodes traces over nodes that can do little, that refuse and that
// fail, and replays each to the same bytes; and it says so when the labels are
// not those of the trace.
func TestReplayNodes(t *testing.T) {
	w := devnet.Generate(devnet.Config{})
	faults := []devnet.Fault{devnet.FaultRateJSON, devnet.FaultServer, devnet.FaultHTML, devnet.FaultTruncated, devnet.FaultBatch, devnet.FaultNull, devnet.FaultCut}
	for _, tt := range []struct {
		name   string
		o      devnet.NodeOptions
		change func(*job)
	}{
		{"no traces", devnet.NodeOptions{NoTraces: true}, nil},
		{"ranges and results", devnet.NodeOptions{MaxRange: 2000, MaxTraceRange: 5000, MaxLogs: 100, MaxBatch: 10}, nil},
		{"little", devnet.NodeOptions{NoFinalized: true, NoTimestamps: true, NoBlockReceipts: true}, func(j *job) { j.prove = true }},
		{"faults", devnet.NodeOptions{Faults: devnet.Sometimes(7, 8, faults...)}, nil},
		{"a budget", devnet.NodeOptions{}, func(j *job) { j.limits.Requests = 60 }},
		{"some wallets", devnet.NodeOptions{}, func(j *job) { j.limits.Wallets = 10 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := httptest.NewServer(devnet.NewNode(w, tt.o))
			defer srv.Close()
			j, err := demoJob(w)
			if err != nil {
				t.Fatal(err)
			}
			if j.recorder, err = evidence.NewRecorder(clock()); err != nil {
				t.Fatal(err)
			}
			defer j.recorder.Close()
			if tt.change != nil {
				tt.change(j)
			}
			src, err := ethsource.Open(t.Context(), j.chain, srv.URL+"/v2/secret-key", ethsource.Options{Wrap: j.recorder.WrapNode, Recorded: true}) // waits for nothing
			if err != nil {
				t.Fatal(err)
			}
			j.source, j.notes, j.endpoints = src, src.Notes(), []string{srv.URL + "/v2/secret-key"}
			j.out = filepath.Join(t.TempDir(), "out")
			if err := j.run(t.Context(), io.Discard, io.Discard); err != nil && err != errPartial {
				t.Fatal(err)
			}
			srv.Close()
			if code, out, errs := command(t.Context(), "replay", j.out); code != exitDone {
				t.Errorf("replay ends with %d: %s%s", code, out, errs)
			}
			if b := bytes.Join(evidenceLines(t, j.out), nil); bytes.Contains(b, []byte("secret-key")) {
				t.Error("the key is in the evidence")
			}
			labels := filepath.Join(t.TempDir(), "labels.csv")
			if err := writeRows(labels, labelRows(w)[:3]); err != nil {
				t.Fatal(err)
			}
			if code, _, errs := command(t.Context(), "replay", j.out, "--labels", labels); code != exitUsage || !strings.Contains(errs, "name the same files with --labels") {
				t.Errorf("replay with other labels ends with %d: %s", code, errs)
			}
		})
	}
	dir := filepath.Join(t.TempDir(), "none")
	srv := httptest.NewServer(devnet.NewNode(w, devnet.NodeOptions{}))
	defer srv.Close()
	if code, _, errs := command(t.Context(), "trace", w.Truth.Victims[0].Payments[0].Tx.Hex(), "--chain", "devnet", "--rpc", srv.URL, "--record=false", "--out", dir); code != exitDone {
		t.Fatalf("trace ends with %d: %s", code, errs)
	}
	if code, _, errs := command(t.Context(), "replay", dir); code != exitUsage || !strings.Contains(errs, "has no evidence.zst") {
		t.Errorf("replay without evidence ends with %d: %s", code, errs)
	}
}

// TestReplayPool traces over three nodes of one host, one of which fails now and
// then, and replays what they said to the same bytes; no key is in the evidence.
func TestReplayPool(t *testing.T) {
	w := devnet.Generate(devnet.Config{})
	faults := []devnet.Fault{devnet.FaultServer, devnet.FaultCut, devnet.FaultRate, devnet.FaultHTML}
	url := func(o devnet.NodeOptions) string {
		srv := httptest.NewServer(devnet.NewNode(w, o))
		t.Cleanup(srv.Close)
		return srv.URL + "/v2/secret-key"
	}
	labels := filepath.Join(t.TempDir(), "labels.csv")
	if err := writeRows(labels, labelRows(w)); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "out")
	if code, _, errs := command(t.Context(), "trace", w.Truth.Victims[0].Payments[0].Tx.Hex(), "--chain", "devnet", "--labels", labels, "--out", dir, "--agree",
		"--rpc", url(devnet.NodeOptions{NoTraces: true, NoArchive: true, Faults: devnet.Sometimes(3, 10, faults...)}),
		"--rpc", "archive="+url(devnet.NodeOptions{NoTraces: true}),
		"--rpc", "trace="+url(devnet.NodeOptions{NoArchive: true, MaxTraceRange: 5000})); code != exitDone {
		t.Fatalf("trace ends with %d: %s", code, errs)
	}
	if code, out, errs := command(t.Context(), "replay", dir, "--labels", labels); code != exitDone {
		t.Errorf("replay ends with %d: %s%s", code, out, errs)
	}
	if raw, err := os.ReadFile(filepath.Join(dir, "report.json")); err != nil || !bytes.Contains(raw, []byte("Two endpoints were asked")) {
		t.Errorf("the report does not say that two agree: %v", err)
	}
	lines := bytes.Join(evidenceLines(t, dir), nil)
	for _, want := range []string{`"host":"127.0.0.1"`, `"host":"127.0.0.1#2"`, `"host":"127.0.0.1#3"`, `"role":"archive"`} {
		if !bytes.Contains(lines, []byte(want)) {
			t.Errorf("the evidence does not have %s", want)
		}
	}
	if bytes.Contains(lines, []byte("secret-key")) {
		t.Error("the key is in the evidence")
	}
}

// BenchmarkRecord traces the demo with its evidence kept and without, and
// replays it.
func BenchmarkRecord(b *testing.B) {
	w := devnet.Generate(devnet.Config{})
	srv := httptest.NewServer(devnet.NewNode(w, devnet.NodeOptions{}))
	defer srv.Close()
	trace := func(b *testing.B, url string, o ethsource.Options) *job {
		j, err := demoJob(w)
		if err != nil {
			b.Fatal(err)
		}
		src, err := ethsource.Open(b.Context(), j.chain, url, o)
		if err != nil {
			b.Fatal(err)
		}
		j.source = src
		if _, _, err := j.trace(b.Context(), io.Discard); err != nil {
			b.Fatal(err)
		}
		return j
	}
	b.Run("without", func(b *testing.B) {
		for b.Loop() {
			trace(b, srv.URL, ethsource.Options{})
		}
	})
	var archive []byte
	b.Run("with", func(b *testing.B) {
		for b.Loop() {
			r, err := evidence.NewRecorder(clock())
			if err != nil {
				b.Fatal(err)
			}
			j := trace(b, srv.URL, ethsource.Options{Wrap: r.WrapNode})
			j.recorder = r
			f, err := j.evidence()
			if err != nil {
				b.Fatal(err)
			}
			archive = f.Data
			r.Close()
		}
		b.ReportMetric(float64(len(archive)), "archive-bytes")
	})
	b.Run("replay", func(b *testing.B) {
		for b.Loop() {
			node, err := evidence.Open(bytes.NewReader(archive))
			if err != nil {
				b.Fatal(err)
			}
			trace(b, "http://127.0.0.1", ethsource.Options{Wrap: node.WrapNode, Recorded: true})
			node.Close()
		}
	})
}
