package indexsource_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/indexsource"

	"github.com/ethereum/go-ethereum/common"
)

// indexers opens each of the indexers over a fake of it that is spoiled.
var indexers = []struct {
	name string
	open func(t testing.TB, b *book, spoil func(http.Handler) http.Handler, o indexsource.Options) tracer.Source
}{
	{"SQD", func(t testing.TB, b *book, spoil func(http.Handler) http.Handler, o indexsource.Options) tracer.Source {
		return newSQD(t, spoil(&portal{Book: b, Chunk: 10_000}), o)
	}},
	{"Etherscan", func(t testing.TB, b *book, spoil func(http.Handler) http.Handler, o indexsource.Options) tracer.Source {
		return newExplorer(t, spoil(&explorer{Book: b, Rows: 1000}), o, false)
	}},
	{"Blockscout", func(t testing.TB, b *book, spoil func(http.Handler) http.Handler, o indexsource.Options) tracer.Source {
		return newExplorer(t, spoil(&explorer{Book: b, Rows: 1000, Blockscout: true}), o, true)
	}},
	{"Alchemy", func(t testing.TB, b *book, spoil func(http.Handler) http.Handler, o indexsource.Options) tracer.Source {
		f := &alchemy{Book: b, Rows: 100, Inside: true}
		return newAlchemy(t, f, spoil(f), o)
	}},
	{"TronGrid", func(t testing.TB, b *book, spoil func(http.Handler) http.Handler, o indexsource.Options) tracer.Source {
		return newTronGrid(t, spoil(&trongrid{Book: b, Rows: 50}), o)
	}},
}

var member = regexp.MustCompile(`"(blockNumber|blockNum|number|logIndex|block_timestamp|timeStamp|hash|data|result|transfers|value|transactionHash|header|status)":("[^"]*"|[0-9]+)`)

// ways are how a server fails.
var ways = []func(rng *rand.Rand, w http.ResponseWriter, status int, h http.Header, body []byte){
	func(_ *rand.Rand, w http.ResponseWriter, _ int, _ http.Header, _ []byte) {
		w.Header().Set("Retry-After", "2")
		http.Error(w, "slow down, "+secretKey, http.StatusTooManyRequests)
	},
	func(rng *rand.Rand, w http.ResponseWriter, _ int, _ http.Header, _ []byte) {
		http.Error(w, "bad gateway for "+secretKey, []int{500, 502, 503, 504}[rng.IntN(4)])
	},
	func(_ *rand.Rand, w http.ResponseWriter, _ int, _ http.Header, _ []byte) {
		panic(http.ErrAbortHandler)
	},
	func(rng *rand.Rand, w http.ResponseWriter, status int, h http.Header, body []byte) { // breaks off
		w.WriteHeader(status)
		w.Write(body[:rng.IntN(len(body)+1)])
	},
	func(rng *rand.Rand, w http.ResponseWriter, status int, h http.Header, body []byte) { // breaks off, and the client sees it
		w.Header().Set("Content-Length", fmt.Sprint(len(body)+1))
		w.WriteHeader(status)
		w.Write(body[:rng.IntN(len(body)+1)])
		panic(http.ErrAbortHandler)
	},
	func(_ *rand.Rand, w http.ResponseWriter, _ int, _ http.Header, _ []byte) {
		fmt.Fprint(w, "<html><body>Checking your browser, ", secretKey, "</body></html>")
	},
	func(rng *rand.Rand, w http.ResponseWriter, status int, _ http.Header, body []byte) { // wrong types
		if at := member.FindAllSubmatchIndex(body, -1); len(at) > 0 {
			m := at[rng.IntN(len(at))]
			with := []string{`{"x":1}`, `[]`, `true`, `-1`, `1e99`, `"zz"`, `null`}[rng.IntN(7)]
			body = slices.Concat(body[:m[4]], []byte(with), body[m[5]:])
		}
		w.WriteHeader(status)
		w.Write(body)
	},
	func(_ *rand.Rand, w http.ResponseWriter, _ int, _ http.Header, _ []byte) { // no end
		chunk := bytes.Repeat([]byte(`{"a":"aaaaaaaaaaaaaaaa",`), 1<<12)
		for range (80 << 20) / len(chunk) {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	},
	func(_ *rand.Rand, w http.ResponseWriter, _ int, _ http.Header, _ []byte) { fmt.Fprint(w, "null") },
}

// spoiled fails some requests of a server.
type spoiled struct {
	honest http.Handler
	mu     sync.Mutex
	rng    *rand.Rand
	every  int
	count  int
	cut    int // without an answer: net/http itself may have asked again
}

func (s *spoiled) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.count++
	hit, way, seed := s.rng.IntN(s.every) == 0, s.rng.IntN(len(ways)), s.rng.Uint64()
	if hit && (way == 2 || way == 4) {
		s.cut++
	}
	s.mu.Unlock()
	if !hit {
		s.honest.ServeHTTP(w, r)
		return
	}
	r.Header.Del("Accept-Encoding")
	rec := httptest.NewRecorder()
	s.honest.ServeHTTP(rec, r)
	if way == 7 && seed%8 > 0 { // 80 MB each time are slow
		way = 0
	}
	ways[way](rand.New(rand.NewPCG(seed, 1)), w, rec.Code, rec.Header(), rec.Body.Bytes())
}

// TestHostile reads from indexers that fail in all ways: answers hold what
// happened, or say what they do not hold, and never a key.
func TestHostile(t *testing.T) {
	b := openBook(t, made(small))
	truth := slices.DeleteFunc(b.World.Transfers(), func(x tracer.Transfer) bool { return x.Block > b.Last })
	known := make(map[tracer.TransferID]tracer.Transfer)
	for _, x := range truth {
		known[x.ID()] = x
	}
	for _, x := range indexers {
		t.Run(x.name, func(t *testing.T) {
			whole, partial := 0, 0
			for seed := range uint64(25) {
				rng := rand.New(rand.NewPCG(seed, 9))
				s := &spoiled{rng: rng, every: 2 + rng.IntN(30)}
				src := x.open(t, b, func(h http.Handler) http.Handler { s.honest = h; return s }, indexsource.Options{})
				q := tracer.Query{}
				if rng.IntN(3) == 0 {
					q.MaxRequests = 5 + rng.IntN(60)
				}
				for range 8 {
					y := truth[rng.IntN(len(truth))]
					if y.From != (common.Address{}) && b.World.Truth.Owner[y.From].Role != devnet.RoleToken {
						q.Spans = append(q.Spans, tracer.Span{Wallet: y.From, From: y.Block / 2, To: y.Block + 20_000})
					}
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				ans, err := src.Transfers(ctx, q)
				if ctx.Err() != nil {
					t.Fatalf("seed %d: it hangs", seed)
				}
				cancel()
				s.mu.Lock()
				count, cut := s.count, s.cut
				s.mu.Unlock()
				if q.MaxRequests > 0 && ans.Requests > q.MaxRequests || ans.Requests+cut < count {
					t.Errorf("seed %d: %d requests counted, %d made, %d allowed", seed, ans.Requests, count, q.MaxRequests)
				}
				if err != nil && strings.Contains(err.Error(), secretKey) || strings.Contains(fmt.Sprint(ans.Unread), secretKey) {
					t.Errorf("seed %d: the key is told: %v %v", seed, err, ans.Unread)
				}
				if err != nil && len(ans.Unread) == 0 {
					t.Errorf("seed %d: %v, and everything is said to be read", seed, err)
				}
				covered(t, seed, q, ans, truth, known)
				if whole++; len(ans.Unread) > 0 {
					whole, partial = whole-1, partial+1
				}
				if t.Failed() {
					t.FailNow()
				}
			}
			t.Logf("%d answers were whole, %d partial", whole, partial)
			if whole+partial < 20 || partial == 0 {
				t.Error("nothing to see")
			}
		})
	}
}

// covered checks that an answer holds what happened or says that it does not.
func covered(t *testing.T, seed uint64, q tracer.Query, ans tracer.Answer, truth []tracer.Transfer, known map[tracer.TransferID]tracer.Transfer) {
	t.Helper()
	have := make(map[tracer.TransferID]bool)
	for _, x := range ans.Transfers {
		want, ok := known[x.ID()]
		if have[x.ID()] = true; !ok || x != want {
			t.Errorf("seed %d: got %s %+v, want %+v", seed, x.Kind, x, want)
		}
	}
	for _, x := range truth {
		if have[x.ID()] {
			continue
		}
		for _, p := range q.Spans {
			if p.Wallet != x.From && (p.Wallet != x.To || x.Kind == tracer.KindFee) || x.Block < p.From || x.Block > p.To {
				continue
			}
			if !slices.ContainsFunc(ans.Unread, func(u tracer.Unread) bool {
				return u.Wallet == p.Wallet && u.From <= x.Block && x.Block <= u.To && (u.Part == tracer.PartAll || u.Part == kindPart(x.Kind))
			}) {
				t.Errorf("seed %d: missed, and not unread: %s %+v", seed, x.Kind, x)
			}
		}
	}
}

func kindPart(k tracer.Kind) tracer.Part {
	switch k {
	case tracer.KindToken, tracer.KindNFT:
		return tracer.PartTokens
	case tracer.KindInternal:
		return tracer.PartInternal
	}
	return tracer.PartNative
}

// TestPlanHostile puts all indexers, failing, before an honest node: the
// answers are those of the node.
func TestPlanHostile(t *testing.T) {
	b := openBook(t, made(small))
	node := openNode(t, b.World, devnet.NodeOptions{})
	truth := b.World.Transfers()
	for seed := range uint64(12) {
		rng := rand.New(rand.NewPCG(seed, 4))
		var faster []tracer.Source
		for _, x := range indexers[:4] {
			s := &spoiled{rng: rand.New(rand.NewPCG(seed, 5)), every: 2 + rng.IntN(10)}
			faster = append(faster, x.open(t, b, func(h http.Handler) http.Handler { s.honest = h; return s }, pinOf(t, node)))
		}
		rng.Shuffle(len(faster), func(i, j int) { faster[i], faster[j] = faster[j], faster[i] })
		var q tracer.Query
		for range 6 {
			x := truth[rng.IntN(len(truth)/2)]
			if x.From != (common.Address{}) && b.World.Truth.Owner[x.From].Role == devnet.RoleUser {
				q.Spans = append(q.Spans, tracer.Span{Wallet: x.From, From: x.Block / 2, To: x.Block + 10_000})
			}
		}
		got, err := indexsource.Plan(node, faster...).Transfers(t.Context(), q)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		want, err := node.Transfers(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if equal(t, seed, q, got, want); t.Failed() {
			t.FailNow()
		}
	}
}

// TestWrongKey shows that no error tells a key that the endpoint sends back.
func TestWrongKey(t *testing.T) {
	b := openBook(t, made(small))
	const wrong = "wrong+key/with odd=signs"
	for _, tt := range []struct {
		name string
		h    http.Handler
		open func(o indexsource.Options) (tracer.Source, error)
	}{
		{"Etherscan", &explorer{Book: b, Rows: 1000}, func(o indexsource.Options) (tracer.Source, error) { return indexsource.NewEtherscan(devnet.Chain(), o) }},
		{"Alchemy", &alchemy{Book: b, Rows: 1000}, func(o indexsource.Options) (tracer.Source, error) { return indexsource.NewAlchemy(devnet.Chain(), o) }},
		{"TronGrid", &trongrid{Book: b, Rows: 200}, func(o indexsource.Options) (tracer.Source, error) { return indexsource.NewTronGrid(devnet.Chain(), o) }},
	} {
		var requests int
		url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { requests++; tt.h.ServeHTTP(w, r) }))
		src, err := tt.open(indexsource.On(indexsource.NewClock(), indexsource.Options{URL: url + "/secretsecretpath?token=secretquery", Key: wrong}))
		if err != nil {
			t.Fatal(err)
		}
		ans, err := src.Transfers(t.Context(), tracer.Query{Spans: []tracer.Span{{Wallet: common.Address{1}, To: 9}}})
		if err == nil || len(ans.Unread) != 1 || requests != 1 {
			t.Errorf("%s: %v, %v after %d requests, want one refusal", tt.name, ans.Unread, err, requests)
			continue
		}
		for _, secret := range []string{wrong, "odd=signs", "secret", url[len("http://"):]} {
			if strings.Contains(err.Error()+fmt.Sprint(ans.Unread), secret) {
				t.Errorf("%s tells %q: %v %v", tt.name, secret, err, ans.Unread)
			}
		}
	}
}

// TestCircles reads pages whose cursors go round in a circle.
func TestCircles(t *testing.T) {
	b := openBook(t, made(small))
	a := &alchemy{Book: b, Rows: 3, Inside: true, Loop: true}
	busy := b.World.Services[0].Addresses[0]
	for name, src := range map[string]tracer.Source{
		"Alchemy":  newAlchemy(t, a, a, indexsource.Options{}),
		"TronGrid": newTronGrid(t, &trongrid{Book: b, Rows: 3, Loop: true}, indexsource.Options{}),
	} {
		ans, err := src.Transfers(t.Context(), tracer.Query{Spans: []tracer.Span{{Wallet: busy, To: b.Last}}})
		if err != nil || len(ans.Transfers) > 0 || len(ans.Unread) != 1 || !strings.Contains(ans.Unread[0].Detail, "circle") {
			t.Errorf("%s: %d transfers, unread %v, %v", name, len(ans.Transfers), ans.Unread, err)
		}
	}
}

func TestOptions(t *testing.T) {
	for _, o := range []indexsource.Options{{}, {URL: "ftp://x"}, {URL: "not a url"}, {URL: "http://"}, {URL: "https://host", Key: "k"}} {
		if _, err := indexsource.NewSQD(devnet.Chain(), o); !errors.Is(err, tracer.ErrUsage) {
			t.Errorf("NewSQD(%+v) says %v", o, err)
		}
	}
	for _, c := range tracer.Chains() {
		var errs [4]error
		_, errs[0] = indexsource.NewSQD(c, indexsource.Options{})
		_, errs[1] = indexsource.NewAlchemy(c, indexsource.Options{})
		_, errs[2] = indexsource.NewEtherscan(c, indexsource.Options{Key: "k"})
		_, errs[3] = indexsource.NewBlockscout(c, indexsource.Options{Key: "k"})
		for _, err := range errs {
			if (err != nil) != tracer.Tron(c.ID) || err != nil && !errors.Is(err, tracer.ErrUsage) {
				t.Errorf("%s: %v", c.Name, err)
			}
		}
	}
}
