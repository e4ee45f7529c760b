package price_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/ethsource"
	"scamtrace/tracer/price"

	"github.com/ethereum/go-ethereum/crypto"
	"github.com/holiman/uint256"
)

const newYear = 1_767_225_600 // 2026-01-01

func quotes(t *testing.T, n *node, most int, times ...uint64) ([]price.Answer, int) {
	t.Helper()
	answers, spent, err := price.NewChainlink(n.feed, n.open(t)).Quotes(t.Context(), tracer.NativeOf(1), times, most)
	if err != nil || len(answers) != len(times) || spent > most {
		t.Fatalf("Quotes = %d answers of %d, %d requests of %d, %v", len(answers), len(times), spent, most, err)
	}
	return answers, spent
}

// TestChainlink asks for every day of a feed that changed its aggregator twice:
// each price is the one that the proxy itself showed at that moment, and what it
// costs is why there is one price a day, and not one an hour.
func TestChainlink(t *testing.T) {
	n := newNode(60, 1)
	ask := func(n *node, step uint64) (perPrice float64) {
		var times []uint64
		for at := uint64(newYear); at < newYear+59*day; at += step {
			times = append(times, at)
		}
		answers, spent := quotes(t, n, 1e6, times...)
		for i, x := range answers {
			phase, index, r := n.truth(times[i])
			if n.keep > 0 {
				phase, index, r = n.older(times[i])
			}
			want := price.Answer{Price: tracer.Micros((r.answer + 50) / 100), Source: fmt.Sprintf("chainlink ETH / USD round %s", idOf(phase, index))}
			if x != want {
				t.Fatalf("at %d: %+v, want %+v", times[i], x, want)
			}
		}
		return float64(spent) / float64(len(times))
	}
	daily := ask(n, day)
	n.keep = 128
	pruned := ask(n, day)
	n.keep, n.arrays = 0, true
	ask(n, 7*day)
	n.arrays = false
	hourly := ask(n, 3600)
	t.Logf("calls for a price: %.1f by day (%.1f at a node without old states), %.1f by hour; for two months %.0f, %.0f and %.0f", daily, pruned, hourly, 59*daily, 59*pruned, 59*24*hourly)
	if daily > 9 || pruned > 20 {
		t.Errorf("a price costs %.1f calls, and %.1f of a node without old states", daily, pruned)
	}
}

// TestChainlinkRefuses: what is not sure to be the price is no price.
func TestChainlinkRefuses(t *testing.T) {
	at := uint64(newYear + 5*day)
	// last is the last round at the time.
	last := func(n *node) *fakeRound {
		p, i, _ := n.truth(at)
		return &n.phases[p-1].rounds[i-1]
	}
	for _, tt := range []struct {
		name string
		do   func(n *node)
		want string
	}{
		{"zero", func(n *node) { last(n).answer = 0 }, "says zero"},
		{"negative", func(n *node) { last(n).answer = -300e8 }, "says less than zero"},
		{"carried over", func(n *node) { last(n).answeredIn = 1 }, "is not complete"},
		{"not answered", func(n *node) { last(n).updated = 0 }, "is not complete"},
		{"far above", func(n *node) { last(n).answer *= 2 }, "is far from its neighbours"},
		{"far below", func(n *node) { last(n).answer /= 2 }, "is far from its neighbours"},
		{"no reason at all", func(n *node) {
			for p := range n.phases {
				for i := range n.phases[p].rounds {
					n.phases[p].rounds[i].answer = 1
				}
			}
		}, "is out of all reason"},
		{"stale", func(n *node) {
			for p := range n.phases {
				n.phases[p].rounds = slices.DeleteFunc(n.phases[p].rounds, func(r fakeRound) bool { return r.updated > at-5*3600 && r.updated < at+3600 })
			}
		}, "its last answer was "},
		{"one round only", func(n *node) {
			r := *last(n)
			n.phases = []aggregator{{from: 2, rounds: []fakeRound{r}}}
		}, "has no neighbour"},
		{"no answer yet", func(n *node) {
			n.phases = n.phases[:1]
			n.phases[0].rounds = slices.DeleteFunc(n.phases[0].rounds, func(r fakeRound) bool { return r.updated < at+day })
		}, "the feed had no answers then"},
		{"made later", func(n *node) { n.born = n.head / 2 }, "the feed had no answers then"},
		{"never made", func(n *node) { n.born = n.head + 1 }, "there is no feed at 0x5f4ec3"},
		{"another pair", func(n *node) { n.pair = "BTC / USD" }, `the feed is of "BTC / USD" with 8 decimals`},
		{"other decimals", func(n *node) { n.digits = 18 }, `with 18 decimals`},
		{"no calls", func(n *node) { n.noCall = true }, "the node runs no contracts"},
		{"pruned, and stale", func(n *node) {
			n.keep = 128
			for p := range n.phases {
				n.phases[p].rounds = slices.DeleteFunc(n.phases[p].rounds, func(r fakeRound) bool { return r.updated > at-5*3600 && r.updated < at+3600 })
			}
		}, "its last answer was "},
		{"pruned, and not answered", func(n *node) {
			n.keep = 128
			p, i, _ := n.older(at)
			n.phases[p-1].rounds[i-1].updated = 0
		}, "is not complete"},
		{"pruned, and no phase of that time", func(n *node) {
			n.keep, n.phases = 128, n.phases[1:]
			n.phases[0].from = 2
			n.phases[0].rounds = slices.DeleteFunc(n.phases[0].rounds, func(r fakeRound) bool { return r.updated < at+day })
			n.phases[1].rounds = slices.DeleteFunc(n.phases[1].rounds, func(r fakeRound) bool { return r.updated < at+day })
		}, "no round of that time"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := newNode(15, 2)
			if x, _ := quotes(t, n, 1000, at); x[0].Price == 0 {
				t.Fatalf("the feed in good health says %+v", x[0])
			}
			tt.do(n)
			x, _ := quotes(t, n, 1000, at)
			if x[0].Price != 0 || x[0].Passing || !strings.Contains(x[0].Source, tt.want) {
				t.Errorf("%+v, want %q", x[0], tt.want)
			}
		})
	}
	n := newNode(15, 2)
	x, _ := quotes(t, n, 1000, genesis-1, at, newYear+40*day)
	if x[0].Price != 0 || x[1].Price == 0 || x[2].Price != 0 || !strings.Contains(x[0].Source, "had not begun") || !strings.Contains(x[2].Source, "after the last block") {
		t.Errorf("before the chain, on it and after its end: %+v", x)
	}
	// A mistake among the neighbours does not make a good answer one.
	p, i, _ := n.truth(at)
	n.phases[p-1].rounds[i].answer *= 3
	if x, _ := quotes(t, n, 1000, at); x[0].Price == 0 {
		t.Errorf("next to a mistake: %+v", x[0])
	}
}

// TestChainlinkBudget: no budget is exceeded, one that is too small is no
// trouble that passes, and a larger one never answers less.
func TestChainlinkBudget(t *testing.T) {
	n := newNode(15, 3)
	src, times, known := n.open(t), []uint64{newYear, newYear + day, newYear + 7*day}, 0
	for _, keep := range []uint64{0, 128} {
		n.keep, known = keep, 0
		for most := range 60 {
			answers, spent, err := price.NewChainlink(n.feed, src).Quotes(t.Context(), tracer.NativeOf(1), times, most)
			if err != nil || spent > most {
				t.Fatalf("with %d requests: %d spent, %v", most, spent, err)
			}
			got := 0
			for _, x := range answers {
				if x.Price > 0 {
					got++
				} else if x.Passing || !strings.Contains(x.Source, "budget") {
					t.Fatalf("with %d requests: %+v", most, x)
				}
			}
			if got < known {
				t.Fatalf("with %d requests %d prices, and %d with fewer", most, got, known)
			}
			known = got
		}
		if known != len(times) {
			t.Errorf("with 59 requests %d prices", known)
		}
	}
}

// troubled is a node that runs no call, now.
type troubled struct {
	*ethsource.Source
	after int
}

func (n *troubled) Calls(ctx context.Context, calls []tracer.Call, most int) ([]tracer.Reply, int, error) {
	if n.after--; n.after < 0 {
		out := make([]tracer.Reply, len(calls))
		for i := range out {
			out[i].Refusal = tracer.RefusedNow
		}
		return out, len(calls), nil
	}
	return n.Source.Calls(ctx, calls, most)
}

// TestChainlinkTrouble: trouble that passes is not taken for an answer, at
// whatever call it comes.
func TestChainlinkTrouble(t *testing.T) {
	for _, keep := range []uint64{0, 128} {
		n := newNode(15, 4)
		n.keep = keep
		src := n.open(t)
		for after := 0; ; after++ {
			x, _, err := price.NewChainlink(n.feed, &troubled{src, after}).Quotes(t.Context(), tracer.NativeOf(1), []uint64{newYear + day}, 1000)
			if err != nil {
				t.Fatal(err)
			}
			if x[0].Price > 0 {
				if after < 3 {
					t.Errorf("a price after %d calls", after)
				}
				break
			}
			if !x[0].Passing || !strings.Contains(x[0].Source, "could not be asked") {
				t.Fatalf("trouble after %d calls: %+v", after, x[0])
			}
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		stop := errors.New("stop")
		cancel(stop)
		if _, _, err := price.NewChainlink(n.feed, src).Quotes(ctx, tracer.NativeOf(1), []uint64{newYear}, 1000); !errors.Is(err, stop) {
			t.Errorf("an interrupted inquiry says %v", err)
		}
	}
}

func TestSelectors(t *testing.T) {
	for name, sel := range price.Selectors {
		if got := crypto.Keccak256([]byte(name))[:4]; string(got) != string(sel) {
			t.Errorf("the selector of %s is %x, not %x", name, got, sel)
		}
	}
	for _, f := range price.Feeds {
		c, ok := tracer.ChainByID(f.Chain)
		if !ok || f.Decimals != 8 || !strings.HasPrefix(f.Pairs[0], c.Symbol+" / ") || price.NewChainlink(f, nil).Covers(tracer.TokenOf(f.Chain, [20]byte{1})) {
			t.Errorf("the feed of chain %d is of %v", f.Chain, f.Pairs)
		}
	}
}

// TestFeeds asks each feed of the table what it is, and for a price, through the
// endpoints in SCAMTRACE_TEST_RPC: ethereum=https://… and so on, with spaces between.
func TestFeeds(t *testing.T) {
	endpoints := strings.Fields(os.Getenv("SCAMTRACE_TEST_RPC"))
	if len(endpoints) == 0 {
		t.Skip("SCAMTRACE_TEST_RPC names no endpoint of a real chain, so the feeds were not asked")
	}
	for _, e := range endpoints {
		name, url, _ := strings.Cut(e, "=")
		t.Run(name, func(t *testing.T) {
			chain, err := tracer.ChainNamed(name)
			if err != nil {
				t.Fatal(err)
			}
			feed, ok := price.FeedOf(chain.ID)
			if !ok {
				t.Fatalf("%s has no feed", name)
			}
			src, err := ethsource.Open(t.Context(), chain, url, ethsource.Options{})
			if err != nil {
				t.Fatal(err)
			}
			pinned, _ := src.Pin(t.Context())
			x, spent, err := price.NewChainlink(feed, src).Quotes(t.Context(), tracer.NativeOf(chain.ID), []uint64{pinned.Time - pinned.Time%day - 30*day}, 200)
			if err != nil || x[0].Price == 0 {
				t.Fatalf("%+v, %v", x, err)
			}
			t.Logf("%s: %s by %s, %d calls", name, x[0].Price, x[0].Source, spent)
		})
	}
}

func FuzzFeed(f *testing.F) {
	f.Add(make([]byte, 160))
	f.Add([]byte(strings.Repeat("\xff", 160)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, ok := price.DecodeRound(b); ok && len(b) < 160 {
			t.Fatalf("a round of %d bytes: %+v", len(b), r)
		}
		price.DecodeUint(b)
		if s, ok := price.DecodeText(b); ok && len(s) > len(b) {
			t.Fatal("a text longer than its bytes")
		}
		if len(b) > 0 {
			if m, ok := price.MicrosOf(new(uint256.Int).SetBytes(b[1:min(len(b), 33)]), b[0]%40); ok && m <= 0 {
				t.Fatalf("a price of %d", m)
			}
		}
	})
}
