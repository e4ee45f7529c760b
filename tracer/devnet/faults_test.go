package devnet

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/rpc"
)

// always fails every request.
func always(f Fault) func(Request) Fault { return From(0, f) }

// usdtLogs asks for all transfers of USDT.
func usdtLogs(t *testing.T, c *rpc.Client) ([]types.Log, error) {
	t.Helper()
	var logs []types.Log
	err := c.CallContext(t.Context(), &logs, "eth_getLogs", map[string]any{
		"fromBlock": "0x0", "toBlock": "0x4000", "address": tokenAddress("USDT"), "topics": []any{topicTransfer},
	})
	return logs, err
}

// TestTransportFaults looks at each failing request as go-ethereum's client
// reports it.
func TestTransportFaults(t *testing.T) {
	w := made(Config{})
	status := func(want ...int) func(error) bool {
		return func(err error) bool {
			e, ok := errors.AsType[rpc.HTTPError](err)
			return ok && slices.Contains(want, e.StatusCode)
		}
	}
	tests := []struct {
		fault Fault
		want  func(error) bool
	}{
		{FaultRate, status(429)},
		{FaultRateAfter, status(429)},
		{FaultServer, status(500, 502, 503, 504)},
		{FaultRateJSON, func(err error) bool {
			e, ok := errors.AsType[rpc.Error](err)
			return ok && e.ErrorCode() == -32005 && strings.Contains(e.Error(), "rate limited")
		}},
		{FaultCut, func(err error) bool {
			return strings.Contains(err.Error(), "EOF") || strings.Contains(err.Error(), "reset")
		}},
		{FaultTruncated, func(err error) bool { return strings.Contains(err.Error(), "unexpected EOF") }},
		{FaultHTML, func(err error) bool { _, ok := errors.AsType[*json.SyntaxError](err); return ok }},
		{FaultMalformed, func(err error) bool { return strings.Contains(err.Error(), "odd length") }},
	}
	for _, tt := range tests {
		t.Run(tt.fault.String(), func(t *testing.T) {
			if _, err := usdtLogs(t, dial(t, w, NodeOptions{Faults: always(tt.fault)})); err == nil || !tt.want(err) {
				t.Errorf("the client reports %v", err)
			}
		})
	}
	t.Run("Retry-After", func(t *testing.T) {
		rec := httptest.NewRecorder()
		NewNode(w, NodeOptions{Faults: always(FaultRateAfter)}).ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/", strings.NewReader("{}")))
		if got := rec.Header().Get("Retry-After"); rec.Code != 429 || got != "1" {
			t.Errorf("status %d, Retry-After %q, want 429 and 1", rec.Code, got)
		}
	})
}

// TestBatchFault answers a batch in reverse and without its last call.
func TestBatchFault(t *testing.T) {
	c := dial(t, made(Config{}), NodeOptions{Faults: always(FaultBatch)})
	batch := make([]rpc.BatchElem, 3)
	for i, m := range []string{"eth_chainId", "net_version", "eth_blockNumber"} {
		batch[i] = rpc.BatchElem{Method: m, Result: new(string)}
	}
	if err := c.BatchCallContext(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if got := *batch[1].Result.(*string); batch[0].Error != nil || batch[1].Error != nil || got != "20241337" {
		t.Errorf("answers %v", batch)
	}
	if !errors.Is(batch[2].Error, rpc.ErrMissingBatchResponse) {
		t.Errorf("the last call has error %v, want it missing", batch[2].Error)
	}
	err := dial(t, made(Config{}), NodeOptions{Faults: always(FaultID)}).BatchCallContext(t.Context(), batch)
	for _, b := range batch {
		if err == nil && !errors.Is(b.Error, rpc.ErrMissingBatchResponse) {
			t.Errorf("an answer to another call: %v", b.Error)
		}
	}
}

// TestOrderFaults answers late, or in disorder.
func TestOrderFaults(t *testing.T) {
	w := made(Config{})
	honest, err := usdtLogs(t, dial(t, w, NodeOptions{}))
	if err != nil {
		t.Fatal(err)
	}
	got, err := usdtLogs(t, dial(t, w, NodeOptions{Faults: always(FaultDisorder)}))
	slices.Reverse(got)
	if err != nil || !reflect.DeepEqual(got, honest) {
		t.Errorf("%d logs in disorder, %v, want %d", len(got), err, len(honest))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	var id string
	if err := dial(t, w, NodeOptions{Faults: always(FaultDrip)}).CallContext(ctx, &id, "eth_chainId"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("an answer that stops: %v", err)
	}
}

func TestSlowFault(t *testing.T) {
	c := dial(t, made(Config{}), NodeOptions{Faults: always(FaultSlow), Delay: time.Hour})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	var id string
	if err := c.CallContext(ctx, &id, "eth_chainId"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want the deadline to pass", err)
	}
	c = dial(t, made(Config{}), NodeOptions{Faults: always(FaultSlow), Delay: time.Millisecond})
	if err := c.CallContext(t.Context(), &id, "eth_chainId"); err != nil || id != "0x134dbb9" {
		t.Errorf("a slow node answers %s, %v", id, err)
	}
}

// TestRate has a provider that bills calls: a batch that begins in time is
// answered whole, and what comes after it has to wait.
func TestRate(t *testing.T) {
	n := NewNode(made(Config{}), NodeOptions{Rate: 0.01})
	srv := httptest.NewServer(n)
	defer srv.Close()
	const call = `{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}`
	for i, body := range []string{"[" + call + "," + call + "," + call + "]", call} {
		resp, err := http.Post(srv.URL, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		wait, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		if refused := resp.StatusCode == http.StatusTooManyRequests; refused != (i == 1) || refused != (wait > 100) {
			t.Errorf("request %d: status %s, wait %d seconds", i, resp.Status, wait)
		}
	}
	if n.Requests() != 2 || n.Calls() != 3 {
		t.Errorf("%d requests and %d calls answered, want 2 and 3", n.Requests(), n.Calls())
	}
	var m meter
	now := time.Unix(1e9, 0)
	for i, tt := range []struct {
		after time.Duration
		calls int
		ok    bool
		wait  time.Duration
	}{
		{0, 2, true, 0},
		{0, 2, true, 0}, // a second's worth at once
		{0, 1, true, 0},
		{0, 1, false, 250 * time.Millisecond},
		{250 * time.Millisecond, 50, true, 0}, // not cut
		{time.Second, 1, false, 11500 * time.Millisecond},
		{time.Hour, 4, true, 0},
	} {
		now = now.Add(tt.after)
		if wait, ok := m.admit(now, tt.calls, 4); ok != tt.ok || !ok && wait != tt.wait {
			t.Errorf("step %d: %v, wait %v; want %v, %v", i, ok, wait, tt.ok, tt.wait)
		}
	}
}

// TestLies compares lying answers with honest ones.
func TestLies(t *testing.T) {
	w := made(Config{})
	honest, err := usdtLogs(t, dial(t, w, NodeOptions{}))
	if err != nil || len(honest) < 200 {
		t.Fatalf("%d logs, %v", len(honest), err)
	}
	lie := func(f Fault) []types.Log {
		logs, err := usdtLogs(t, dial(t, w, NodeOptions{Faults: always(f), MaxShort: 70}))
		if err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		return logs
	}
	if got := lie(FaultEmpty); len(got) != 0 {
		t.Errorf("an empty answer has %d logs", len(got))
	}
	if got := lie(FaultShort); !reflect.DeepEqual(got, honest[:70]) {
		t.Errorf("a short answer has %d logs, want the first 70", len(got))
	}
	if got := lie(FaultDropped); len(got) != len(honest)-len(honest)/3 {
		t.Errorf("%d of %d logs are left, want two thirds", len(got), len(honest))
	}
	if got := lie(FaultDuplicate); len(got) != 2*len(honest) || !reflect.DeepEqual(got[0], got[1]) {
		t.Errorf("%d logs of %d doubled", len(got), len(honest))
	}
	if got := lie(FaultForeign); len(got) != len(honest)+1 || got[len(honest)].Address == tokenAddress("USDT") && got[len(honest)].Topics[0] == topicTransfer {
		t.Errorf("%d logs, want %d and a foreign one", len(got), len(honest))
	}
	got := lie(FaultForged)
	for i := range got {
		if reflect.DeepEqual(got[i], honest[i]) || got[i].TxHash != honest[i].TxHash {
			t.Fatalf("log %d is not forged", i)
		}
	}
}

// TestChainFaults are lies about the chain itself.
func TestChainFaults(t *testing.T) {
	w := made(Config{})
	ask := func(f Fault, method string, args ...any) (string, error) {
		var raw json.RawMessage
		err := dial(t, w, NodeOptions{Faults: always(f), ReorgDepth: 10}).CallContext(t.Context(), &raw, method, args...)
		return string(raw), err
	}
	head := func(f Fault) types.Header {
		var h types.Header
		raw, err := ask(f, "eth_getBlockByNumber", "latest", false)
		if err != nil || json.Unmarshal([]byte(raw), &h) != nil {
			t.Fatalf("%s: %s, %v", f, raw, err)
		}
		return h
	}
	if id, err := ask(FaultChainID, "eth_chainId"); id != `"0x1"` {
		t.Errorf("the chain id is %s, %v", id, err)
	}
	if h := head(FaultBackwards); h.Number.Uint64() != w.Head()-100 {
		t.Errorf("the head is %d, want 100 before %d", h.Number, w.Head())
	}
	if _, err := ask(FaultNoFinalized, "eth_getBlockByNumber", "finalized", false); err == nil || err.Error() != "finalized block not found" {
		t.Errorf("finalized: error %v", err)
	}
	if _, err := ask(FaultPruned, "eth_getBalance", common.Address{}, "0x1"); err == nil || !strings.HasPrefix(err.Error(), "missing trie node") {
		t.Errorf("balance: error %v", err)
	}
	for method, args := range map[string][]any{
		"eth_getBlockByNumber": {"0x1", false}, "eth_getBlockReceipts": {"0x1"},
		"eth_getTransactionReceipt": {w.chain.txs[0].hash}, "eth_getTransactionByHash": {w.chain.txs[0].hash},
		"trace_transaction": {w.chain.txs[0].hash},
	} {
		if got, err := ask(FaultNull, method, args...); got != "null" || err != nil {
			t.Errorf("%s: %s, %v, want null", method, got, err)
		}
	}

	// After the reorganization the last 10 blocks are others, and hang together.
	h := head(FaultReorg)
	if h.Number.Uint64() != w.Head() || h.Hash() == w.Blocks[w.Head()].Hash {
		t.Errorf("the head is %d %s, want another block %d", h.Number, h.Hash(), w.Head())
	}
	for range 10 {
		raw, err := ask(FaultReorg, "eth_getBlockByHash", h.ParentHash, false)
		if err != nil {
			t.Fatal(err)
		}
		parent := h.ParentHash
		if err := json.Unmarshal([]byte(raw), &h); err != nil || h.Hash() != parent {
			t.Fatalf("block %s answers %s, %v", parent, h.Hash(), err)
		}
	}
	if want := w.Head() - 10; h.Number.Uint64() != want || h.Hash() != w.Blocks[want].Hash {
		t.Errorf("the fork leaves the chain at %d %s, want %d %s", h.Number, h.Hash(), want, w.Blocks[want].Hash)
	}
	if raw, err := ask(FaultReorg, "eth_getBlockByHash", w.Blocks[w.Head()].Hash, false); raw != "null" || err != nil {
		t.Errorf("the old head answers %s, %v, want null", raw, err)
	}
}

// TestSometimes is the same every time, fails about as often as it should, and
// uses all faults.
func TestSometimes(t *testing.T) {
	f, g := Sometimes(1, 4, FaultCut, FaultServer), Sometimes(1, 4, FaultCut, FaultServer)
	count := make(map[Fault]int)
	for n := range 4000 {
		if f(Request{N: n}) != g(Request{N: n}) {
			t.Fatalf("request %d differs", n)
		}
		count[f(Request{N: n})]++
	}
	if bad := count[FaultCut] + count[FaultServer]; bad < 800 || bad > 1200 || count[FaultCut] < 350 || count[FaultServer] < 350 {
		t.Errorf("of 4000 requests failed %v, want about a quarter, half each way", count)
	}
	if got := Method("eth_getLogs", FaultEmpty)(Request{Method: "eth_call"}); got != NoFault {
		t.Errorf("another method has fault %s", got)
	}
}

// FuzzServe sends anything to a node; it must answer and not fall over.
func FuzzServe(f *testing.F) {
	for _, s := range []string{
		`{"jsonrpc":"2.0","id":1,"method":"eth_getLogs","params":[{"fromBlock":"0x0","toBlock":"latest","topics":[null,["0x00"]]}]}`,
		`[{"id":1,"method":"trace_filter","params":[{"after":18446744073709551615,"count":3}]}]`,
		`{"id":1,"method":"eth_getBalance","params":["0x0000000000000000000000000000000000000000","0xffffffffffffffff"]}`,
		`{"id":1,"method":"eth_getBlockByNumber","params":["0x7fffffffffffffff",true]}`, `[]`, `{`, `null`, ``,
	} {
		f.Add(s, uint8(0))
		f.Add(s, uint8(FaultBatch))
	}
	w := Generate(Config{Seed: 5, Days: 7, Transfers: 500, Victims: 1})
	var fault Fault
	n := NewNode(w, NodeOptions{Faults: func(Request) Fault { return fault }, Delay: time.Nanosecond})
	f.Fuzz(func(t *testing.T, body string, b uint8) {
		if fault = Fault(b) % (FaultPruned + 1); fault == FaultCut {
			return
		}
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		n.ServeHTTP(httptest.NewRecorder(), r)
	})
}
