package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/ethsource"
	"scamtrace/tracer/report"
	"scamtrace/tracer/walk"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
)

// A served world is one behind a node.
type served struct {
	*devnet.World
	url string
}

func serve(t *testing.T, c devnet.Config) *served {
	t.Helper()
	w := devnet.Generate(c)
	srv := httptest.NewServer(devnet.NewNode(w, devnet.NodeOptions{}))
	t.Cleanup(srv.Close)
	return &served{w, srv.URL}
}

// job is the case of one victim, read through a connection of its own.
func (w *served) job(t *testing.T, v devnet.Victim, o ethsource.Options) *job {
	t.Helper()
	j, err := demoJob(w.World)
	if err != nil {
		t.Fatal(err)
	}
	j.seeds = nil
	for _, p := range v.Payments {
		j.seeds = append(j.seeds, tracer.Seed{Tx: p.Tx}, tracer.Seed{Wallet: p.Wallet})
	}
	src, err := ethsource.Open(t.Context(), j.chain, w.url, o)
	if err != nil {
		t.Fatal(err)
	}
	j.source, j.notes = src, src.Notes()
	return j
}

func written(t *testing.T, j *job, res *walk.Result) (*report.Report, []byte) {
	t.Helper()
	r := report.Build(j.input(res))
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return r, b
}

// TestVictims traces the victims of two worlds over HTTP, one read at a time
// and sixteen at once, to the same bytes. Where the truth is forced, all of the
// money is where it really went, and nobody's service is in a cluster.
func TestVictims(t *testing.T) {
	for seed := range uint64(2) {
		w := serve(t, devnet.Config{Seed: seed})
		for i := range w.Truth.Victims {
			v := w.Truth.Victims[i]
			t.Run(fmt.Sprintf("world %d, %s", seed, v.Name), func(t *testing.T) {
				j := w.job(t, v, ethsource.Options{Reads: 1})
				j.limits.Hub = 300
				j.limits.MinUSD = 1 // a millionth of a dollar: follow all of it
				res, err := walk.Run(t.Context(), j.source, j.seeds, j.options())
				if err != nil {
					t.Fatal(err)
				}
				r, b := written(t, j, res)
				many := w.job(t, v, ethsource.Options{Reads: 16})
				many.limits = j.limits
				again, err := walk.Run(t.Context(), many.source, many.seeds, many.options())
				if err != nil {
					t.Fatal(err)
				}
				if _, b2 := written(t, many, again); !bytes.Equal(b, b2) {
					t.Error("the report depends on how many reads run at once")
				}
				for _, c := range r.Clusters {
					for _, a := range c.Wallets {
						if o := w.Truth.Owner[common.HexToAddress(a)]; !strings.HasPrefix(o.Actor, "syndicate ") {
							t.Errorf("%s, %s of %s, is in a cluster", a, o.Role, o.Actor)
						}
					}
				}
				if v.Unambiguous {
					if got, want := whereabouts(res), trueWhereabouts(&v.Outcome); got != want {
						t.Errorf("the trace says\n%sthe truth is\n%s", got, want)
					}
				}
			})
		}
	}
}

// lines writes amounts by what and where they are.
func lines(m map[string]*uint256.Int) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(m)) {
		fmt.Fprintln(&b, k, m[k].Dec())
	}
	return b.String()
}

func whereabouts(r *walk.Result) string {
	m := make(map[string]*uint256.Int)
	put := func(what string, wallet, asset uint32, v *uint256.Int) {
		add(m, fmt.Sprint(what, " ", r.Store.Wallet(wallet).Address, " ", r.Store.Asset(asset)), v)
	}
	for _, a := range r.Arrivals {
		put("exited", a.Wallet, a.Asset, &a.Amount)
	}
	for _, h := range r.Held {
		put("held", h.Wallet, h.Asset, &h.Amount)
	}
	for _, g := range r.Gaps {
		for _, x := range g.Money {
			put(string(g.Reason), g.Wallet, x.Asset, &x.Amount)
		}
	}
	for i, t := range r.Books.Totals {
		if !t.Fees.IsZero() {
			add(m, fmt.Sprint("fees ", r.Store.Asset(uint32(i))), &t.Fees)
		}
	}
	return lines(m)
}

func trueWhereabouts(o *devnet.Outcome) string {
	m := make(map[string]*uint256.Int)
	for _, e := range o.Exits {
		add(m, fmt.Sprint("exited ", e.Wallet, " ", e.Asset), &e.Amount)
	}
	for _, h := range o.Held {
		add(m, fmt.Sprint("held ", h.Wallet, " ", h.Asset), &h.Amount)
	}
	for _, h := range o.Pooled {
		add(m, fmt.Sprint("hub ", h.Wallet, " ", h.Asset), &h.Amount)
	}
	for _, f := range o.WrittenOff {
		add(m, fmt.Sprint("fees ", f.Asset), &f.Amount)
	}
	return lines(m)
}

func add(m map[string]*uint256.Int, key string, v *uint256.Int) {
	if m[key] == nil {
		m[key] = new(uint256.Int)
	}
	m[key].Add(m[key], v)
}

// TestPausedReport pauses a trace after every step, each time going on over a
// new connection from the saved state, and wants the report of a trace that
// was never paused, byte for byte.
func TestPausedReport(t *testing.T) {
	w := serve(t, devnet.Config{Transfers: 6_000})
	v := w.Truth.Victims[0]
	j := w.job(t, v, ethsource.Options{})
	x, err := walk.New(t.Context(), j.source, j.seeds, j.options())
	if err != nil {
		t.Fatal(err)
	}
	var states [][]byte
	for more := true; more; {
		var b bytes.Buffer
		if err := x.Save(&b); err != nil {
			t.Fatal(err)
		}
		states = append(states, b.Bytes())
		if more, err = x.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	res, err := x.Result()
	if err != nil {
		t.Fatal(err)
	}
	_, want := written(t, j, res)
	for n, state := range states {
		j := w.job(t, v, ethsource.Options{Pin: &res.Pinned})
		x, err := walk.Load(t.Context(), bytes.NewReader(state), j.source, j.seeds, j.options())
		if err != nil {
			t.Fatal(err)
		}
		for more := true; more; {
			if more, err = x.Step(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		res, err := x.Result()
		if err != nil {
			t.Fatal(err)
		}
		if _, got := written(t, j, res); !bytes.Equal(got, want) {
			t.Errorf("paused after step %d of %d, the report differs", n, len(states)-1)
		}
	}
	if len(states) < 5 {
		t.Errorf("the trace took %d steps; the test shows little", len(states)-1)
	}
}
