package evidence_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/ethsource"
	"scamtrace/tracer/evidence"

	"github.com/ethereum/go-ethereum/common"
	"github.com/klauspost/compress/zstd"
)

var world = sync.OnceValue(func() *devnet.World { return devnet.Generate(devnet.Config{}) })

func newRecorder(tb testing.TB) *evidence.Recorder {
	tb.Helper()
	r, err := evidence.NewRecorder(func() time.Time { return time.Unix(1_769_871_845, 0) })
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { r.Close() })
	return r
}

func archive(tb testing.TB, r *evidence.Recorder) []byte {
	tb.Helper()
	var b bytes.Buffer
	if err := r.Write(&b, "a test"); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func open(tb testing.TB, archive []byte) *evidence.Node {
	tb.Helper()
	n, err := evidence.Open(bytes.NewReader(archive))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { n.Close() })
	return n
}

// text is an archive without its compression.
func text(tb testing.TB, archive []byte) []byte {
	tb.Helper()
	z, err := zstd.NewReader(bytes.NewReader(archive))
	if err != nil {
		tb.Fatal(err)
	}
	defer z.Close()
	b, err := io.ReadAll(z)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func compress(tb testing.TB, b []byte) []byte {
	tb.Helper()
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<17))
	if err != nil {
		tb.Fatal(err)
	}
	return z.EncodeAll(b, nil)
}

// said is everything that a source answers about the payments of the victims
// and the wallets that got them. What it cannot answer is in words.
func said(ctx context.Context, url string, o ethsource.Options, budgets ...int) string {
	var b strings.Builder
	src, err := ethsource.Open(ctx, devnet.Chain(), url, o)
	if err != nil {
		return err.Error()
	}
	pin, _ := src.Pin(ctx)
	fmt.Fprintln(&b, pin, src.Notes())
	var q tracer.Query
	var txs []common.Hash
	for _, v := range world().Truth.Victims {
		for _, p := range v.Payments {
			q.Spans = append(q.Spans, tracer.Span{Wallet: p.Wallet, From: p.Block, To: p.Block + 8000})
			txs = append(txs, p.Tx)
		}
	}
	for _, most := range append([]int{0}, budgets...) {
		q.MaxRequests = most
		ans, err := src.Transfers(ctx, q)
		fmt.Fprintln(&b, len(ans.Transfers), ans.Transfers, ans.Unread, err)
	}
	ans, err := src.Transactions(ctx, txs, 0)
	fmt.Fprintln(&b, ans.Transfers, ans.Unread, err)
	contracts, _, err := src.Contracts(ctx, []common.Address{q.Spans[0].Wallet, devnet.Chain().Tokens[0].Address}, 0)
	fmt.Fprintln(&b, contracts, err)
	at, err := src.BlockAt(ctx, world().Blocks[500].Time)
	fmt.Fprintln(&b, at, err)
	return b.String()
}

// flavours are nodes that can do little, that refuse, and that fail and lie.
var flavours = []struct {
	name string
	o    devnet.NodeOptions
}{
	{"everything", devnet.NodeOptions{}},
	{"no traces", devnet.NodeOptions{NoTraces: true}},
	{"no traces and no old states", devnet.NodeOptions{NoTraces: true, NoArchive: true}},
	{"ranges", devnet.NodeOptions{MaxRange: 1000, MaxTraceRange: 2000}},
	{"results", devnet.NodeOptions{MaxLogs: 50}},
	{"small batches", devnet.NodeOptions{MaxBatch: 7, NoTraces: true}},
	{"no finalized block, no times", devnet.NodeOptions{NoFinalized: true, NoTimestamps: true}},
	{"rates", devnet.NodeOptions{Faults: devnet.Sometimes(1, 3, devnet.FaultRate, devnet.FaultRateAfter, devnet.FaultRateJSON)}},
	{"failures", devnet.NodeOptions{NoTraces: true, Faults: devnet.Sometimes(2, 3, devnet.FaultServer, devnet.FaultHTML, devnet.FaultTruncated, devnet.FaultBatch)}},
	{"lies", devnet.NodeOptions{Faults: devnet.Sometimes(3, 3, devnet.FaultNull, devnet.FaultForeign, devnet.FaultDuplicate, devnet.FaultEmpty)}},
	{"other chains", devnet.NodeOptions{Faults: devnet.Sometimes(4, 20, devnet.FaultChainID, devnet.FaultReorg, devnet.FaultBackwards)}},
	{"down from the 9th request on", devnet.NodeOptions{Faults: devnet.From(8, devnet.FaultHTML)}},
	{"broken from the 12th request on", devnet.NodeOptions{Faults: devnet.From(11, devnet.FaultTruncated)}},
	{"no states", devnet.NodeOptions{NoTraces: true, Faults: devnet.Method("eth_getBalance", devnet.FaultPruned)}},
}

// TestReplay asks nodes through a recorder, and the recording again: one
// question at a time and many at once, so in other batches. The answers are the
// same, and what is said of failures, and where a budget ends it.
func TestReplay(t *testing.T) {
	for _, f := range flavours {
		t.Run(f.name, func(t *testing.T) {
			srv := httptest.NewServer(devnet.NewNode(world(), f.o))
			defer srv.Close()
			r := newRecorder(t)
			// The source does not wait before it tries again: nothing here passes with time.
			var budgets []int
			if f.o.Faults == nil { // a failure that is overcome costs requests, and is not in the recording
				budgets = []int{10, 40, 100}
			}
			want := said(t.Context(), srv.URL, ethsource.Options{Wrap: r.WrapNode, Recorded: true, Reads: 1}, budgets...)
			node := open(t, archive(t, r))
			for _, reads := range []int{1, 16} {
				node.Rewind()
				got := said(t.Context(), "http://127.0.0.1", ethsource.Options{Wrap: node.WrapNode, Recorded: true, Reads: reads}, budgets...)
				if got != want {
					i := 0
					for i < len(got) && i < len(want) && got[i] == want[i] {
						i++
					}
					t.Errorf("%d reads at once: from the recording the source says …%.600s and it said …%.600s", reads, got[max(0, i-100):], want[max(0, i-100):])
				}
				if m := node.Missing(); len(m) > 0 {
					t.Errorf("%d reads at once: not in the recording: %s", reads, m)
				}
			}
		})
	}
}

// TestSameBytes wants the same archive of the same answers, whoever asked first
// and in whatever batches.
func TestSameBytes(t *testing.T) {
	var first []byte
	for _, reads := range []int{1, 16} {
		for _, batch := range []int{1000, 21} {
			srv := httptest.NewServer(devnet.NewNode(world(), devnet.NodeOptions{MaxBatch: batch}))
			r := newRecorder(t)
			src, err := ethsource.Open(t.Context(), devnet.Chain(), srv.URL, ethsource.Options{Wrap: r.WrapNode, Reads: reads})
			if err != nil {
				t.Fatal(err)
			}
			var q tracer.Query
			for _, p := range world().Truth.Victims[0].Payments {
				q.Spans = append(q.Spans, tracer.Span{Wallet: p.Wallet, From: p.Block, To: p.Block + 8000})
			}
			if _, err := src.Transfers(t.Context(), q); err != nil {
				t.Fatal(err)
			}
			srv.Close()
			b := archive(t, r)
			if again := archive(t, r); !bytes.Equal(b, again) {
				t.Fatal("an archive written twice differs")
			}
			if first == nil {
				first = b
			}
			if batch == 1000 && !bytes.Equal(b, first) {
				t.Errorf("%d reads at once make another archive than 1", reads)
			}
		}
	}
}

// ask makes a request of an http.RoundTripper and returns the body.
func ask(tb testing.TB, rt http.RoundTripper, url, body string, header ...string) (string, error) {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

func rpc(id int, method string, params any) string {
	p, _ := json.Marshal(params)
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":%q,"params":%s}`, id, method, p)
}

// TestSecrets has keys in every part of an address and in headers, at a node
// that repeats them in all it says. None is in the archive, and the data is.
func TestSecrets(t *testing.T) {
	keys := []string{"pathKey0123456789abcdef", "queryKey0123456789abcdef", "userKey0123456789abcdef", "passKey0123456789abcdef", "bearerKey0123456789abcdef", "headerKey0123456789abcdef", "Zq7x"}
	var echo string // the node says everything it was told
	data := "0x" + strings.Repeat("ab", 40)
	say := []func(http.ResponseWriter, string){
		func(w http.ResponseWriter, id string) {
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":["%s",%q]}`, id, data, echo)
		},
		func(w http.ResponseWriter, id string) {
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"error":{"code":-32000,"message":%q}}`, id, echo)
		},
		func(w http.ResponseWriter, _ string) { http.Error(w, echo, http.StatusForbidden) },
		func(w http.ResponseWriter, _ string) { io.WriteString(w, "<html>"+echo) },
	}
	var mode int
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, pass, _ := r.BasicAuth()
		echo = strings.Join([]string{"http://" + r.Host + r.RequestURI, strings.ToUpper(r.URL.Path), user, pass, r.Header.Get("X-Api-Key"), r.Header.Get("Authorization")}, " ")
		if mode == 0 {
			echo = strings.ReplaceAll(echo, "/Zq7x", "") // four digits are not looked for in data
		}
		var c struct{ ID json.RawMessage }
		json.NewDecoder(r.Body).Decode(&c)
		say[mode](w, string(c.ID))
	}))
	defer srv.Close()
	for mode = range say {
		r := newRecorder(t)
		rt := r.Wrap(http.DefaultTransport)
		host := strings.TrimPrefix(srv.URL, "http://")
		for i, url := range []string{
			"http://" + keys[2] + ":" + keys[3] + "@" + host + "/v2/" + keys[0] + "?key=" + keys[1],
			"http://" + host + "/Zq7x/" + keys[0] + "?" + keys[1],
		} {
			if _, err := ask(t, rt, url, rpc(i, "eth_chainId", []any{}), "Authorization", "Bearer "+keys[4], "X-Api-Key", keys[5]); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := ask(t, rt, srv.URL+"/v2/"+keys[0], "no JSON-RPC "+keys[1]); err != nil {
			t.Fatal(err)
		}
		b := text(t, archive(t, r))
		for _, key := range append(keys, "v2/", "X-Api-Key") {
			if bytes.Contains(bytes.ToLower(b), bytes.ToLower([]byte(key))) {
				t.Errorf("mode %d: %s is in the archive:\n%s", mode, key, b)
			}
		}
		if !bytes.Contains(b, []byte(`"host":"127.0.0.1"`)) || mode == 0 && !bytes.Contains(b, []byte(data)) {
			t.Errorf("mode %d: the host or the data is not in the archive:\n%s", mode, b)
		}
	}
}

// recorded is an archive of a few calls, two of which have the same answer.
func recorded(tb testing.TB) []byte {
	tb.Helper()
	srv := httptest.NewServer(devnet.NewNode(world(), devnet.NodeOptions{}))
	defer srv.Close()
	r := newRecorder(tb)
	rt := r.Wrap(http.DefaultTransport)
	w := world().Truth.Victims[0].Payments[0]
	for i, body := range []string{
		rpc(1, "eth_chainId", []any{}), rpc(2, "eth_getCode", []any{w.Wallet, "0x1"}), rpc(3, "eth_getCode", []any{w.Wallet, "0x2"}),
		rpc(4, "eth_getTransactionReceipt", []any{w.Tx}), rpc(5, "eth_unheardOf", []any{}),
		rpc(6, "eth_getLogs", []any{map[string]any{"fromBlock": "0x1", "toBlock": "0x400"}}),
	} {
		if _, err := ask(tb, rt, srv.URL, body); err != nil {
			tb.Fatalf("call %d: %v", i, err)
		}
	}
	return archive(tb, r)
}

// TestChanged changes an archive in every way, line by line and byte by byte.
// None of them is opened.
func TestChanged(t *testing.T) {
	whole := recorded(t)
	lines := bytes.SplitAfter(bytes.TrimSuffix(text(t, whole), []byte("\n")), []byte("\n"))
	lines[len(lines)-1] = append(lines[len(lines)-1], '\n')
	if len(lines) != 1+6+5+1 {
		t.Fatalf("the archive has %d lines:\n%s", len(lines), bytes.Join(lines, nil))
	}
	reject := func(what string, lines [][]byte) {
		t.Helper()
		if n, err := evidence.Open(bytes.NewReader(compress(t, bytes.Join(lines, nil)))); err == nil {
			n.Close()
			t.Errorf("%s is opened", what)
		} else if !strings.HasPrefix(err.Error(), "the recording is not usable: ") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if n, err := evidence.Open(bytes.NewReader(compress(t, bytes.Join(lines, nil)))); err != nil {
		t.Fatal(err)
	} else {
		n.Close()
	}
	for i := range lines {
		reject(fmt.Sprintf("an archive without line %d", i), slices.Delete(slices.Clone(lines), i, i+1))
		reject(fmt.Sprintf("an archive with line %d twice", i), slices.Insert(slices.Clone(lines), i, lines[i]))
		reject(fmt.Sprintf("an archive that ends before line %d", i), lines[:i])
		if i > 0 {
			swapped := slices.Clone(lines)
			swapped[i-1], swapped[i] = lines[i], lines[i-1]
			reject(fmt.Sprintf("an archive with lines %d and %d swapped", i-1, i), swapped)
		}
		for k := 0; k < len(lines[i]); k += 1 + len(lines[i])/100 {
			changed := slices.Clone(lines)
			changed[i] = bytes.Clone(lines[i])
			changed[i][k] ^= 1
			reject(fmt.Sprintf("an archive with byte %d of line %d changed", k, i), changed)
		}
	}
	reject("an archive with a blank", append(slices.Clone(lines), []byte(" ")))
	for _, cut := range []int{0, 1, 4, len(whole) / 2, len(whole) - 1} {
		if n, err := evidence.Open(bytes.NewReader(whole[:cut])); err == nil {
			n.Close()
			t.Errorf("the first %d of %d bytes are opened", cut, len(whole))
		}
	}
}

type rowsOf []struct {
	BlockNumber, LogIndex, TransactionPosition any
	TransactionHash                            string
	TraceAddress                               []int
}

// TestCover asks a recording for logs and traces of other blocks, addresses and
// topics than were recorded. It says what the node does where the recorded
// calls cover the question, and else that they do not.
func TestCover(t *testing.T) {
	srv := httptest.NewServer(devnet.NewNode(world(), devnet.NodeOptions{}))
	defer srv.Close()
	r := newRecorder(t)
	rt := r.Wrap(http.DefaultTransport)
	wallets, topics := []string{}, []string{}
	for _, v := range world().Truth.Victims {
		for _, p := range v.Payments {
			wallets = append(wallets, strings.ToLower(p.Wallet.Hex()))
			topics = append(topics, common.BytesToHash(p.Wallet[:]).Hex())
		}
	}
	transfer := "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
	const end = 60_000
	logs := func(from, to uint64, topics ...any) string {
		return rpc(7, "eth_getLogs", []any{map[string]any{"fromBlock": fmt.Sprintf("%#x", from), "toBlock": fmt.Sprintf("%#x", to), "topics": topics}})
	}
	traces := func(from, to uint64, list []string) string {
		return rpc(8, "trace_filter", []any{map[string]any{"fromBlock": fmt.Sprintf("%#x", from), "toBlock": fmt.Sprintf("%#x", to), "fromAddress": list, "toAddress": list}})
	}
	// Wallets in two groups, blocks in windows of several sizes that overlap.
	half := len(wallets) / 2
	for from := uint64(0); from < end; from += 7000 {
		for _, body := range []string{
			logs(from, from+7000, []string{transfer}, topics[:half]), logs(from, from+7500, []string{transfer}, topics[half:]),
			logs(from, from+6999, transfer, nil, topics), traces(from, from+6999, wallets[:half]), traces(from, from+8000, wallets[half:]),
		} {
			if _, err := ask(t, rt, srv.URL, body); err != nil {
				t.Fatal(err)
			}
		}
	}
	node := open(t, archive(t, r))
	parse := func(body string) (rows rowsOf) {
		var in struct{ Result rowsOf }
		if err := json.Unmarshal([]byte(body), &in); err != nil || in.Result == nil {
			t.Fatalf("%v: %.300s", err, body)
		}
		return in.Result
	}
	rng := rand.New(rand.NewPCG(1, 2))
	some := func(list []string) []string {
		list = slices.Clone(list)
		rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		return list[:1+rng.IntN(len(list))]
	}
	found := 0
	for range 60 {
		from := uint64(rng.IntN(end))
		to := from + uint64(rng.IntN(int(end-from)))
		for _, body := range []string{
			logs(from, to, transfer, some(topics)), logs(from, to, []string{transfer}, nil, some(topics)),
			logs(from, to, transfer, some(topics), some(topics)), traces(from, to, some(wallets)),
		} {
			want, err := ask(t, http.DefaultTransport, srv.URL, body)
			if err != nil {
				t.Fatal(err)
			}
			got, err := ask(t, node, "http://127.0.0.1/", body)
			if err != nil {
				t.Fatalf("%.300s: %v", body, err)
			}
			g, w := parse(got), parse(want)
			if found += len(w); !reflect.DeepEqual(g, w) {
				t.Fatalf("%.300s:\nfrom the recording %d rows, from the node %d", body, len(g), len(w))
			}
		}
	}
	if found < 500 {
		t.Errorf("only %d rows were looked at", found)
	}
	stranger := common.HexToHash("0x1234").Hex()
	for _, body := range []string{
		logs(0, end+10_000, transfer, topics), logs(0, 100, transfer, []string{topics[0], stranger}), logs(0, 100, transfer),
		logs(0, 100, nil, topics), logs(0, 100), traces(0, end+10_000, wallets), traces(0, 10, []string{stranger[:42]}),
		rpc(9, "eth_getLogs", []any{map[string]any{"fromBlock": "0x0", "toBlock": "latest", "topics": []any{transfer, topics}}}),
		rpc(9, "eth_chainId", []any{}),
	} {
		node.Rewind()
		if got, err := ask(t, node, "http://127.0.0.1/", body); err == nil || len(node.Missing()) != 1 {
			t.Errorf("%.200s: from the recording %.200s, %v; missing %s", body, got, err, node.Missing())
		}
		if got, err := ask(t, node, "http://other.example/", logs(0, 100, transfer, topics)); err == nil {
			t.Errorf("another host answers %.100s", got)
		}
	}
}

// TestLarge records answers of 30 MB, and one that no source reads to its end,
// in bounded memory.
func TestLarge(t *testing.T) {
	block := []byte(`"` + strings.Repeat("0123456789abcdef", 4096) + `",`)
	size := 30 << 20
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var c struct {
			ID     json.RawMessage
			Params []int
		}
		json.NewDecoder(r.Body).Decode(&c)
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":[%d,`, c.ID, c.Params[0])
		for n := 0; n < size; n += len(block) {
			w.Write(block)
		}
		io.WriteString(w, `0]}`)
	}))
	defer srv.Close()
	r := newRecorder(t)
	rt := r.Wrap(http.DefaultTransport)
	runtime.GC()
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	var most uint64
	read := func(id int) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL, strings.NewReader(rpc(id, "eth_call", []int{id})))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := rt.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		runtime.ReadMemStats(&now)
		most = max(most, now.HeapAlloc-min(before.HeapAlloc, now.HeapAlloc))
	}
	for id := range 12 {
		read(id)
	}
	size = 70 << 20
	read(99)
	b := archive(t, r)
	node := open(t, b)
	runtime.ReadMemStats(&now)
	most = max(most, now.HeapAlloc-min(before.HeapAlloc, now.HeapAlloc))
	t.Logf("360 MB of answers: %d bytes in the archive, at most %d MB in memory", len(b), most>>20)
	if most > 300<<20 {
		t.Errorf("%d MB are in memory at once", most>>20)
	}
	got, err := ask(t, node, "http://127.0.0.1", rpc(1, "eth_call", []int{5}))
	if err != nil || len(got) < 30<<20 || !strings.HasPrefix(got, `{"jsonrpc":"2.0","id":1,"result":[5,"0123`) {
		t.Errorf("from the recording %.100s, %v", got, err)
	}
	if got, err := ask(t, node, "http://127.0.0.1", rpc(1, "eth_call", []int{99})); err != nil || !strings.Contains(got, "the answer is too large") {
		t.Errorf("from the recording %.100s, %v", got, err)
	}
}

// canned answers every call with the same result.
type canned string

func (c canned) RoundTrip(req *http.Request) (*http.Response, error) {
	var q struct{ ID json.RawMessage }
	if err := json.NewDecoder(req.Body).Decode(&q); err != nil {
		return nil, err
	}
	body := fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":%s}`, q.ID, string(c))
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(body)), Request: req}, nil
}

// FuzzOpen reads archives, compressed and not. None makes it panic; one that is
// opened answers.
func FuzzOpen(f *testing.F) {
	r := newRecorder(f)
	for i, c := range []canned{`"0x1"`, `[]`, `[{"address":"0x01","topics":[],"data":"0x","blockNumber":"0x2","logIndex":"0x0"}]`} {
		if _, err := ask(f, r.Wrap(c), "http://127.0.0.1/", rpc(i, []string{"eth_chainId", "eth_getCode", "eth_getLogs"}[i], []any{map[string]any{"fromBlock": "0x1", "toBlock": "0x4"}}[:min(i, 1)])); err != nil {
			f.Fatal(err)
		}
	}
	whole := archive(f, r)
	f.Add(whole, false)
	f.Add(text(f, whole), true)
	f.Add(bytes.Replace(text(f, whole), []byte(`"result"`), []byte(`"status"`), 1), true)
	f.Add([]byte(`{"format":"scamtrace-evidence/1","run":null}`+"\n"), true)
	f.Fuzz(func(t *testing.T, b []byte, plain bool) {
		if plain {
			b = compress(t, b)
		}
		n, err := evidence.Open(bytes.NewReader(b))
		if err != nil {
			return
		}
		defer n.Close()
		ask(t, n, "http://127.0.0.1/", rpc(1, "eth_chainId", []any{}))
		ask(t, n, "http://127.0.0.1/", rpc(1, "eth_getLogs", []any{map[string]any{"fromBlock": "0x2", "toBlock": "0x3"}}))
	})
}

// BenchmarkLogs reads all logs of a world in ten requests, recorded and not, and
// from the recording.
func BenchmarkLogs(b *testing.B) {
	srv := httptest.NewServer(devnet.NewNode(world(), devnet.NodeOptions{}))
	defer srv.Close()
	step := world().Head() / 10
	sweep := func(b *testing.B, rt http.RoundTripper, url string) (logs int) {
		for i := range uint64(10) {
			got, err := ask(b, rt, url, rpc(1, "eth_getLogs", []any{map[string]any{"fromBlock": fmt.Sprintf("%#x", i*step), "toBlock": fmt.Sprintf("%#x", i*step+step-1)}}))
			if err != nil {
				b.Fatal(err)
			}
			logs += strings.Count(got, `"logIndex"`)
		}
		return logs
	}
	perLog := func(b *testing.B, logs int) {
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*logs), "ns/log")
	}
	b.Run("not recorded", func(b *testing.B) {
		logs := 0
		for b.Loop() {
			logs = sweep(b, http.DefaultTransport, srv.URL)
		}
		perLog(b, logs)
	})
	var whole []byte
	b.Run("recorded", func(b *testing.B) {
		logs := 0
		for b.Loop() {
			r := newRecorder(b)
			logs = sweep(b, r.Wrap(http.DefaultTransport), srv.URL)
			whole = archive(b, r)
		}
		perLog(b, logs)
		b.ReportMetric(float64(len(whole))/float64(logs), "archive-bytes/log")
		b.ReportMetric(float64(len(text(b, whole)))/float64(logs), "bytes/log")
	})
	b.Run("replayed", func(b *testing.B) {
		logs := 0
		for b.Loop() {
			logs = sweep(b, open(b, whole), "http://127.0.0.1")
		}
		perLog(b, logs)
	})
}
