package ethsource

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"scamtrace/tracer"
)

// one is a pool of one endpoint.
func one(url string) []Endpoint { return []Endpoint{{URL: url}} }

func newClient(t testing.TB, endpoint string) *client {
	t.Helper()
	c, err := dial(t.Context(), one(endpoint), Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestRefusals has what nodes and providers say, word for word, as they were
// asked for blocks 1,000,000 to 1,999,999, and what is made of it: the kind,
// and for ranges how many blocks are asked for next.
func TestRefusals(t *testing.T) {
	c := newClient(t, "http://127.0.0.1:1")
	const from, to = 1_000_000, 1_999_999
	reached := make([]bool, len(refusals))
	for _, tt := range []struct {
		who    string
		status int
		code   int
		text   string
		data   string
		want   kind
		fewer  uint64
	}{
		// Ranges and sizes.
		{who: "geth", code: -32602, text: "exceed maximum block range 5000", want: kindRange, fewer: 5000},
		{who: "geth", code: -32602, text: "block range extends beyond current head block", want: kindBehind},
		{who: "geth", code: -32602, text: "invalid block range params", want: kindOther},
		{who: "geth", code: 3, text: "execution reverted", data: `"0x"`, want: kindOther},
		{who: "geth", code: -32602, text: "invalid argument 0: exceed max topics", want: kindTopics},
		{who: "geth", code: -32000, text: "exceed max addresses or topics per search position", want: kindTopics},
		{who: "geth", code: 4444, text: "pruned history unavailable", want: kindPruned},
		{who: "geth", code: 4444, want: kindPruned},
		{who: "geth", code: -32000, text: "historical state 7b7bae6e4eb4c2a8d7b4c6b4d6b8 is not available", want: kindPruned},
		{who: "geth", code: -32000, text: "missing trie node 7b7bae (path ) state 0x7b7bae is not available, not found", want: kindPruned},
		{who: "geth", code: -32600, text: "batch too large", want: kindBatch},
		{who: "geth", code: -32003, text: "response too large", want: kindDense, fewer: 500_000},
		{who: "geth", status: 413, text: "content length too large (6291517>5242880)", want: kindBatch},
		{who: "bsc geth", code: -32000, text: "exceed maximum block range: 5000", want: kindRange, fewer: 5000},
		{who: "drpc", code: 31, text: "Batch of more than 3 requests are not allowed on free tier", want: kindBatch},
		{who: "others", code: -32600, text: "batch requests are not supported", want: kindBatch},
		{who: "others", code: -32600, text: "batch limit 100 exceeded (can increase by --rpc.batch.limit). Requested batch of size: 120", want: kindBatch},
		{who: "reth", code: -32602, text: "query exceeds max block range 100000", want: kindRange, fewer: 100_000},
		{who: "reth", code: -32602, text: "query exceeds max results 20000, retry with the range 1000000-1000776", want: kindDense, fewer: 777},
		{who: "reth", code: -32602, text: "query exceeds max results 20000", want: kindDense, fewer: 500_000},
		{who: "reth", code: -32602, text: "block range extends beyond current head block: requested 1999999, head 1999990", want: kindBehind},
		{who: "reth traces", code: -32602, text: "Block range too large; currently limited to 100 blocks", want: kindRange, fewer: 100},
		{who: "anvil traces", code: -32602, text: "block range too large, currently limited to 300", want: kindRange, fewer: 300},
		{who: "besu traces", code: -32000, text: "Requested range exceeds maximum RPC range limit", want: kindRange, fewer: 100_000},
		{who: "jsonrpsee", code: -32008, text: "Response is too big", data: `"Exceeded max limit of 167772160"`, want: kindDense, fewer: 500_000},
		{who: "jsonrpsee", code: -32008, want: kindDense, fewer: 500_000},
		{who: "nethermind", code: -32005, text: "Too many logs requested. Max logs per response is 20000.", want: kindDense, fewer: 500_000},
		{who: "erigon", code: -32000, text: "end (5) < begin (6)", want: kindBehind},
		{who: "erigon", code: -32000, text: "block 123 exists but transaction indexing is not yet complete, please try again later", want: kindBehind},
		{who: "alchemy", status: 400, code: -32600, text: "Under the Free tier plan, you can make eth_getLogs requests with up to a 10 block range. Based on your parameters, this block range should work: [0xf4240, 0xf4249]", want: kindRange, fewer: 10},
		{who: "alchemy, turned around", status: 400, code: -32600, text: "Under the Free tier plan, you can make eth_getLogs requests with up to a 10 block range. Based on your parameters, this block range should work: [0xf4249, 0xf4240]", want: kindRange, fewer: 10},
		{who: "alchemy", code: -32602, text: "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range and no limit on the response size, or you can request any block range with a cap of 10K logs in the response. Based on your parameters and the response size limit, this block range should work: [0xf4240, 0xf4627]", want: kindDense, fewer: 1000},
		{who: "alchemy", code: -32602, text: "Query timeout exceeded. Consider reducing your block range.", want: kindDense, fewer: 500_000},
		{who: "infura", code: -32005, text: "query returned more than 10000 results. Try with this block range [0xF4240, 0xF42A3].", data: `{"from":"0xF4240","limit":10000,"to":"0xF42A3"}`, want: kindDense, fewer: 100},
		{who: "infura", code: -32602, text: "range 1000000 exceeds limit of 10000", want: kindRange, fewer: 10_000},
		{who: "infura", text: "This query contains 6000 filters. The current limit is 5000.", want: kindTopics},
		{who: "quicknode", status: 413, code: -32614, text: "eth_getLogs is limited to a 10,000 range", want: kindRange, fewer: 10_000},
		{who: "quicknode", status: 413, code: -32614, text: "eth_getLogs is limited to a 5 range", want: kindRange, fewer: 5},
		{who: "ankr", code: -32600, text: "block range is too wide", want: kindRange, fewer: 3000},
		{who: "chainstack", text: "Block range limit exceeded. See more details at https://docs.chainstack.com/docs/limits#100", want: kindRange, fewer: 10_000},
		{who: "drpc", status: 400, code: 35, text: "ranges over 10000 blocks are not supported on free plan", want: kindRange, fewer: 10_000},
		{who: "drpc", status: 400, code: 35, text: "ranges over 10000 blocks are not supported on freetier", want: kindRange, fewer: 10_000},
		{who: "publicnode", code: -32701, text: "exceed maximum block range: 50000", want: kindRange, fewer: 50_000},
		{who: "publicnode", code: -32701, text: "maximum block range: 50000", want: kindRange, fewer: 50_000},
		{who: "publicnode", status: 403, code: -32602, text: "Archive requests require a personal token", want: kindPruned},
		{who: "1rpc", code: -32602, text: "eth_getLogs is limited to 0 - 50 blocks range", want: kindRange, fewer: 50},
		{who: "1rpc", code: -32602, text: "eth_getLogs is limited to a 10000 blocks range", want: kindRange, fewer: 10_000},
		{who: "bsc dataseed", code: -32005, text: "limit exceeded", want: kindMissing},
		{who: "base", text: "block range too large", want: kindRange, fewer: 2000},
		{who: "base", text: "Block range is too large", want: kindRange, fewer: 2000},
		{who: "base", text: "backend response too large", want: kindDense, fewer: 500_000},
		{who: "base", text: "no backend is currently healthy to serve traffic", want: kindTransient},
		{who: "arbitrum", text: "logs matched by query exceeds limit of 10000", want: kindDense, fewer: 500_000},
		{who: "cloudflare", text: "Max range: 800", want: kindRange, fewer: 800},
		{who: "avalanche", text: "requested too many blocks from 1000000 to 1999999, maximum is set to 2048", want: kindRange, fewer: 2048},
		{who: "tron", code: -32602, text: "exceed max block range: 5000", want: kindRange, fewer: 5000},
		{who: "tron", code: -32005, text: "query returned more than 10000 results", want: kindDense, fewer: 500_000},
		{who: "tron", text: "exceed max topics: 1000", want: kindTopics},
		{who: "thirdweb", text: "Maximum allowed number of requested blocks is 1,000", want: kindRange, fewer: 1000},
		{who: "blockpi", text: "eth_getLogs is limited to 1024 block", want: kindRange, fewer: 1024},
		{who: "coinbase", text: "please limit the query to at most 1,000 blocks", want: kindRange, fewer: 1000},
		{who: "blast", text: "eth_getLogs exceeds the range allowed for your plan (1000000 > 500).", want: kindRange, fewer: 500},
		{who: "merkle", text: "eth_getLogs range is too large, max is 1k blocks", want: kindRange, fewer: 1000},
		{who: "merkle", text: "eth_getLogs range is too large, max is 10k blocks", want: kindRange, fewer: 10_000},
		{who: "zksync", text: "maximum [from, to] blocks distance: 1000", want: kindRange, fewer: 1000},
		{who: "others", text: "query must be smaller than size 1024", want: kindRange, fewer: 1024},
		{who: "others", text: "block range exceeds 2000", want: kindRange, fewer: 2000},
		{who: "others", text: "block range greater than 2000 max", want: kindRange, fewer: 2000},
		{who: "others", text: "maximum allowed is 2000 blocks", want: kindRange, fewer: 2000},
		{who: "others", text: "range threshold exceeded", want: kindRange, fewer: 100_000},
		{who: "others", text: "exceeded max allowed", want: kindRange, fewer: 100_000},
		{who: "others", text: "specify less number of address", want: kindTopics},
		{who: "hypersync", text: "More than 50000 logs returned", want: kindDense, fewer: 500_000},
		{who: "this client", text: "the answer is too large", want: kindDense, fewer: 500_000},

		// Rates.
		{who: "any", status: 429, want: kindRate},
		{who: "any", status: 429, text: "Too Many Requests", want: kindRate},
		{who: "trongrid", status: 403, want: kindRate},
		{who: "trongrid", status: 503, want: kindTransient},
		{who: "infura", status: 402, code: 402, text: "Payment Required", want: kindQuota},
		{who: "infura", status: 402, want: kindQuota},
		{who: "infura", code: 402, want: kindQuota},
		{who: "infura", code: -32005, text: "daily request count exceeded, request rate limited", want: kindRate},
		{who: "infura", code: -32005, want: kindRate},
		{who: "alchemy", code: 429, text: "Your app has exceeded its compute units per second capacity.", want: kindRate},
		{who: "alchemy", code: 429, want: kindRate},
		{who: "any", code: -32016, text: "rate limit", want: kindRate},
		{who: "any", code: -32016, want: kindRate},
		{who: "quicknode", code: -32007, text: "50/second request limit reached - reduce calls per second or upgrade your account at quicknode.com", want: kindRate},
		{who: "quicknode", code: -32007, want: kindRate},
		{who: "quicknode", code: -32012, text: "credits limited to 6000/sec", want: kindRate},
		{who: "drpc", code: 15, want: kindRate},
		{who: "onfinality", code: -32029, want: kindRate},
		{who: "cloudflare", code: -32055, want: kindRate},
		{who: "websockets", code: 1008, want: kindRate},
		{who: "llama", status: 429, text: "error code: 1015", want: kindRate},
		{who: "llama", code: 1015, want: kindRate},

		// Methods, keys, and what passes.
		{who: "geth", code: -32601, text: "the method trace_filter does not exist/is not available", want: kindMissing},
		{who: "hardhat", code: -32004, text: "Method eth_getBlockReceipts is not supported", want: kindMissing},
		{who: "reth", code: -32603, text: "unimplemented", want: kindMissing},
		{who: "quicknode", code: -32601, text: "Method is not whitelisted", want: kindMissing},
		{who: "any", status: 401, text: "Unauthorized", want: kindDenied},
		{who: "any", status: 401, want: kindDenied},
		{who: "any", code: -32000, text: "must be authenticated!", want: kindDenied},
		{who: "any", status: 301, text: "redirect: the endpoint has moved", want: kindOther},
		{who: "any", status: 500, want: kindTransient},
		{who: "any", status: 502, text: "Bad Gateway", want: kindTransient},
		{who: "any", status: 504, want: kindTransient},
		{who: "any", code: -32603, text: "Internal error", want: kindTransient},
		{who: "any", code: -32000, text: "header not found", want: kindBehind},
		{who: "any", code: -32000, text: "the moon is in the wrong place", want: kindUnknown, fewer: 500_000},
		{who: "any", status: 404, want: kindUnknown, fewer: 500_000},
		{who: "codes alone", code: -32601, want: kindMissing},
		{who: "codes alone", code: -32004, want: kindMissing},
		{who: "codes alone", code: -32012, want: kindRate},
		{who: "codes alone", code: -32603, want: kindTransient},
		{who: "codes alone", status: 413, want: kindBatch},
		{who: "codes alone", status: 408, want: kindTransient},
		{who: "codes alone", status: 502, want: kindTransient},
		{who: "cloudflare", status: 520, want: kindTransient},
		{who: "cloudflare", status: 521, want: kindTransient},
		{who: "cloudflare", status: 522, want: kindTransient},
		{who: "cloudflare", status: 524, want: kindTransient},
	} {
		words := []string{tt.text}
		if tt.data != "" {
			words = append(words, tt.data)
		}
		e := c.refuse(tt.status, tt.code, words...)
		if e.kind != tt.want {
			t.Errorf("%s: status %d, code %d, %q is of kind %d, want %d", tt.who, tt.status, tt.code, tt.text, e.kind, tt.want)
		}
		if tt.fewer > 0 {
			if got := e.fewer(from, to); got != tt.fewer {
				t.Errorf("%s: after %q %d blocks are asked for, want %d", tt.who, tt.text, got, tt.fewer)
			}
		}
		if !strings.HasPrefix(e.text, kindTexts[tt.want]) {
			t.Errorf("%s: %q is told as %q", tt.who, tt.text, e.text)
		}
		if i := slices.IndexFunc(refusals, func(r refusal) bool { return r.matches(tt.status, tt.code, e.said) }); i >= 0 {
			reached[i] = true
		}
	}
	for i, ok := range reached {
		if !ok {
			t.Errorf("nothing here is told by row %d of the table: %+v", i, refusals[i])
		}
	}
}

// TestFewer narrows until nothing is left, whatever the endpoint says: ranges
// must get smaller, and one that counts its limit otherwise costs one request.
func TestFewer(t *testing.T) {
	c := newClient(t, "http://127.0.0.1:1")
	for _, tt := range []struct {
		text string
		want []uint64 // numbers of blocks asked for, one after another
	}{
		{"Max range: 800", []uint64{800, 799, 500, 100, 50, 10, 5, 1}},
		{"block range is too wide", []uint64{3000, 2000, 1000, 500, 100, 50, 10, 5, 1}},
		{"Block range limit exceeded.", []uint64{10_000, 100, 50, 10, 5, 1}},
		{"eth_getLogs range is too large, max is 1k/10k blocks", []uint64{10_000, 9999, 1000, 999, 500, 100, 50, 10, 5, 1}},
		{"exceeded max allowed", []uint64{100_000, 10_000, 5000, 2000, 1000, 500, 100, 50, 10, 5, 1}},
		{"maximum block range: 0", []uint64{100_000, 10_000, 5000, 2000, 1000, 500, 100, 50, 10, 5, 1}},
		{"exceed maximum block range: 99999999999999999999999999", []uint64{100_000, 10_000, 5000, 2000, 1000, 500, 100, 50, 10, 5, 1}},
		{"this block range should work: [0x1, 0x99999999]", []uint64{100_000, 10_000, 5000, 2000, 1000, 500, 100, 50, 10, 5, 1}},
		{"block range too wide, retry with the range 1-1", []uint64{1}},
	} {
		e := c.refuse(0, 0, tt.text)
		var got []uint64
		for to := uint64(1_000_000); to > 1 && len(got) < 100; {
			n := e.fewer(1, to)
			got = append(got, n)
			to = n
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%q: %v, want %v", tt.text, got, tt.want)
		}
	}
}

func FuzzFewer(f *testing.F) {
	for _, s := range []string{"exceed maximum block range: 5000", "[0xf4240, 0xf4249]", "retry with the range 7-9", "limited to 10k blocks", "max 0x", "range 18446744073709551615", "range of 99999999999999999999m"} {
		f.Add(s, uint64(7), uint64(1_000_000), false)
		f.Add(s, uint64(0), uint64(1)<<62, true)
	}
	f.Fuzz(func(t *testing.T, text string, from, to uint64, dense bool) {
		if from >= to || to > 1<<63 {
			return // no blocks, or more than there will be
		}
		e := &nodeError{kind: kindRange, said: strings.ToLower(text)}
		if dense {
			e.kind = kindDense
		}
		if n := e.fewer(from, to); n == 0 || n > to-from {
			t.Errorf("after %q for %d-%d: %d blocks", text, from, to, n)
		}
	})
}

// FuzzRefuse looks for texts that break the classifier or get a key through it.
func FuzzRefuse(f *testing.F) {
	for i := range kindTexts {
		f.Add(i*100, -32000-i, kindTexts[i], []byte(`{"error":{"code":-32005,"message":"limit exceeded"}}`))
	}
	f.Add(429, 0, "http://u:secretpass@h/secretpath?k=secretquery", []byte(`[{"error":"text"}]`))
	f.Add(200, 0, "\x00\u202e<script>", []byte(`<html>secretpath`))
	c := newClient(f, "http://user:secretpass@127.0.0.1:1/v2/secretpath?key=secretquery")
	f.Fuzz(func(t *testing.T, status, code int, text string, body []byte) {
		for _, e := range []*nodeError{c.refuse(status, code, text), c.refuseHTTP(status, body)} {
			if int(e.kind) >= len(kindTexts) || !strings.HasPrefix(e.text, kindTexts[e.kind]) {
				t.Errorf("kind %d is told as %q", e.kind, e.text)
			}
			if len([]rune(e.text)) > 300 || strings.Contains(e.text, "secret") && strings.Contains(text+string(body), "secret") && leaks(e.text) {
				t.Errorf("%q is told as %q", text, e.text)
			}
		}
	})
}

func leaks(s string) bool {
	return strings.Contains(s, "secretpass") || strings.Contains(s, "secretpath") || strings.Contains(s, "secretquery")
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		value string
		want  time.Duration
	}{
		{"", 0}, {"7", 7 * time.Second}, {"0", 0}, {"-5", 0}, {"soon", 0}, {"1.5", 0}, {"99999999999999999999", 0},
		{"Wed, 25 Nov 2026 12:01:30 GMT", 90 * time.Second},
		{"Wed, 25 Nov 2026 11:00:00 GMT", 0},
		{"Wednesday, 25-Nov-26 12:00:10 GMT", 10 * time.Second},
	} {
		if got := retryAfter(http.Header{"Retry-After": {tt.value}}, now); got != tt.want {
			t.Errorf("Retry-After: %s is %v, want %v", tt.value, got, tt.want)
		}
	}
}

func TestSecrets(t *testing.T) {
	u, err := url.Parse("https://user:pass%20word@eth.example.org:8443/v3/abcdef0123456789/deep?apikey=q1w2e3r4&token=a%2Fb%2Bc")
	if err != nil {
		t.Fatal(err)
	}
	r := tracer.Scrubber([]*url.URL{u})
	for _, s := range []string{
		u.String(), u.RequestURI(), "abcdef0123456789", "q1w2e3r4", "a/b+c", "a%2Fb%2Bc", "pass word", "pass%20word", "pass+word", "user:pass%20word",
	} {
		got := r.Replace("Post \"" + s + "\": no")
		for _, key := range []string{"abcdef", "q1w2", "a/b", "a%2F", "pass word", "pass%20", "pass+"} {
			if strings.Contains(got, key) {
				t.Errorf("%q becomes %q", s, got)
			}
		}
	}
	if got := r.Replace("eth.example.org says no to /v3/x"); got != "eth.example.org says no to /v3/x" {
		t.Errorf("words without a key become %q", got)
	}
}

// TestRPCError reads the error members that providers make of a text.
func TestRPCError(t *testing.T) {
	for in, want := range map[string]rpcError{
		`{"code":-1,"message":"m","data":{"a":1}}`: {Code: -1, Message: "m", Data: json.RawMessage(`{"a":1}`)},
		`"no"`:                       {Message: `"no"`},
		`{"code":"7","message":"m"}`: {Message: `{"code":"7","message":"m"}`},
	} {
		var got rpcError
		if err := json.Unmarshal([]byte(in), &got); err != nil || got.Code != want.Code || got.Message != want.Message || string(got.Data) != string(want.Data) {
			t.Errorf("%s is %+v, %v", in, got, err)
		}
	}
}
