package indexsource_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/indexsource"

	"github.com/ethereum/go-ethereum/common"
)

func honest(h http.Handler) http.Handler { return h }

// TestBudget spends a growing budget at each of the indexers: never more, and
// what is read is right.
func TestBudget(t *testing.T) {
	b := openBook(t, made(small))
	truth := slices.DeleteFunc(b.World.Transfers(), func(x tracer.Transfer) bool { return x.Block > b.Last })
	known := make(map[tracer.TransferID]tracer.Transfer)
	for _, x := range truth {
		known[x.ID()] = x
	}
	var q tracer.Query
	for _, v := range b.World.Truth.Victims {
		q.Spans = append(q.Spans, tracer.Span{Wallet: v.Wallet, To: b.Last}, tracer.Span{Wallet: v.Seeds[0], To: b.Last})
	}
	for _, x := range indexers {
		t.Run(x.name, func(t *testing.T) {
			var f *fake
			open := func() tracer.Source {
				return x.open(t, b, func(h http.Handler) http.Handler { f = &fake{Handler: h}; return f }, indexsource.Options{})
			}
			q.MaxRequests = 0
			whole, err := open().Transfers(t.Context(), q)
			if err != nil || whole.Requests == 0 {
				t.Fatal(whole.Requests, err)
			}
			step := max(1, whole.Requests/25)
			for most := 1; most <= whole.Requests+step; most += step {
				src := open()
				q.MaxRequests = most
				ans, err := src.Transfers(t.Context(), q)
				if err != nil || ans.Requests > most || int(f.requests.Load()) > most {
					t.Errorf("%d requests counted, %d made, %d allowed, %v", ans.Requests, f.requests.Load(), most, err)
				}
				covered(t, uint64(most), q, ans, truth, known)
				if short := slices.ContainsFunc(ans.Unread, func(u tracer.Unread) bool { return u.Reason == tracer.ReasonBudget }); short != (most < whole.Requests) {
					t.Errorf("with %d requests of %d the budget ended: %v", most, whole.Requests, short)
				}
			}
		})
	}
}

// TestCrowded asks each of the indexers for few transfers of busy wallets: they
// are the first ones, and no more.
func TestCrowded(t *testing.T) {
	b := openBook(t, made(small))
	truth := slices.DeleteFunc(b.World.Transfers(), func(x tracer.Transfer) bool { return x.Block > b.Last })
	known := make(map[tracer.TransferID]tracer.Transfer)
	of := make(map[common.Address]int)
	for _, x := range truth {
		known[x.ID()] = x
		of[x.From]++
		if x.To != x.From && x.Kind != tracer.KindFee {
			of[x.To]++
		}
	}
	const most = 50
	q := tracer.Query{MaxTransfers: most}
	for _, s := range b.World.Services {
		for _, a := range s.Addresses {
			if of[a] > most {
				q.Spans = append(q.Spans, tracer.Span{Wallet: a, To: b.Last})
			}
		}
	}
	if len(q.Spans) < 3 {
		t.Fatalf("only %d busy wallets", len(q.Spans))
	}
	for _, x := range indexers {
		t.Run(x.name, func(t *testing.T) {
			ans, err := x.open(t, b, honest, indexsource.Options{}).Transfers(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			covered(t, 0, q, ans, truth, known)
			for _, p := range q.Spans {
				i := slices.IndexFunc(ans.Unread, func(u tracer.Unread) bool { return u.Wallet == p.Wallet && u.Reason == tracer.ReasonCrowded })
				if i < 0 {
					if x.name == "SQD" {
						t.Errorf("%s has %d transfers and is not crowded", p.Wallet, of[p.Wallet])
					}
					continue // some of its transfers are not shown
				}
				n := 0
				for j := range ans.Transfers {
					if y := &ans.Transfers[j]; y.Block < ans.Unread[i].From && (y.From == p.Wallet || y.To == p.Wallet && y.Kind != tracer.KindFee) {
						n++
					}
				}
				if n > most || n < most/3 {
					t.Errorf("%s: %d transfers before it is crowded, want at most %d and not many fewer", p.Wallet, n, most)
				}
			}
		})
	}
}

// keyed notes where requests go, and makes none.
type keyed struct{ got []string }

func (k *keyed) RoundTrip(r *http.Request) (*http.Response, error) {
	k.got = append(k.got, r.Method+" "+r.URL.String()+" "+r.Header.Get("Authorization")+r.Header.Get("TRON-PRO-API-KEY"))
	return nil, errors.New("no network, and no " + r.URL.String())
}

// TestPublicEndpoints holds the addresses of the public endpoints and the ways
// of keys to the documentation.
func TestPublicEndpoints(t *testing.T) {
	eth, _ := tracer.ChainNamed("ethereum")
	tron := eth
	tron.ID = 728126428
	for _, tt := range []struct {
		name string
		open func(indexsource.Options) (tracer.Source, error)
		key  string
		want string
	}{
		{"SQD", func(o indexsource.Options) (tracer.Source, error) { return indexsource.NewSQD(eth, o) }, "",
			"GET https://portal.sqd.dev/datasets/ethereum-mainnet/finalized-head "},
		{"Etherscan", func(o indexsource.Options) (tracer.Source, error) { return indexsource.NewEtherscan(eth, o) }, secretKey,
			"GET https://api.etherscan.io/v2/api?action=eth_blockNumber&apikey=" + secretKey + "&chainid=1&module=proxy "},
		{"Blockscout", func(o indexsource.Options) (tracer.Source, error) { return indexsource.NewBlockscout(eth, o) }, secretKey,
			"POST https://api.blockscout.com/1/json-rpc Bearer " + secretKey},
		{"Alchemy", func(o indexsource.Options) (tracer.Source, error) { return indexsource.NewAlchemy(eth, o) }, secretKey,
			"POST https://eth-mainnet.g.alchemy.com/v2 Bearer " + secretKey},
		{"TronGrid", func(o indexsource.Options) (tracer.Source, error) { return indexsource.NewTronGrid(tron, o) }, secretKey,
			"POST https://api.trongrid.io/jsonrpc " + secretKey},
	} {
		k := new(keyed)
		src, err := tt.open(indexsource.On(indexsource.NewClock(), indexsource.Options{Key: tt.key, HTTP: &http.Client{Transport: k}}))
		if err != nil {
			t.Fatal(err)
		}
		_, err = src.Pin(t.Context())
		if len(k.got) == 0 || k.got[0] != tt.want {
			t.Errorf("%s asks %q, want %q", tt.name, k.got, tt.want)
		}
		if err == nil || tt.key != "" && strings.Contains(err.Error(), tt.key) || strings.Contains(err.Error(), "https://") {
			t.Errorf("%s says %v", tt.name, err)
		}
	}
}

// TestRetryAfter waits as long as the endpoint says, and not beyond a deadline.
func TestRetryAfter(t *testing.T) {
	b := openBook(t, made(small))
	clock := indexsource.NewClock()
	f := &fake{Handler: &portal{Book: b}, spoil: func(n int, w http.ResponseWriter, r *http.Request, h http.Handler) {
		if n == 0 {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		h.ServeHTTP(w, r)
	}}
	s, err := indexsource.NewSQD(devnet.Chain(), indexsource.On(clock, indexsource.Options{URL: serve(t, f) + "/datasets/devnet"}))
	if err != nil {
		t.Fatal(err)
	}
	before := clock.Now()
	if _, err := s.Pin(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d := clock.Now().Sub(before); d < 7*time.Second || d > 9*time.Second {
		t.Errorf("it waited %v, want 7s", d)
	}
	f.spoil = func(_ int, w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusTooManyRequests)
	}
	late := indexsource.Options{URL: serve(t, f) + "/datasets/devnet", HTTP: http.DefaultClient}
	if s, err = indexsource.NewSQD(devnet.Chain(), late); err != nil {
		t.Fatal(err)
	}
	f.requests.Store(0)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ans, err := s.Transfers(ctx, tracer.Query{Spans: []tracer.Span{{Wallet: common.Address{1}, To: 9}}})
	if err == nil || ctx.Err() != nil || len(ans.Unread) != 1 || ans.Unread[0].Reason != tracer.ReasonStopped || f.requests.Load() != 1 {
		t.Errorf("%v, %v after %d requests: want it to stop at once", ans.Unread, err, f.requests.Load())
	}
}
