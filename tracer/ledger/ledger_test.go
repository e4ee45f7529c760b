package ledger

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"scamtrace/tracer"

	"github.com/holiman/uint256"
)

// book writes cases in words: "tx1 a b 100 A" is one entry.
type book struct {
	t      *testing.T
	names  []string
	assets []string
	in     Input
}

func index(names *[]string, s string) uint32 {
	i := slices.Index(*names, s)
	if i < 0 {
		i = len(*names)
		*names = append(*names, s)
	}
	return uint32(i)
}

func newBook(t *testing.T, lines string) *book {
	t.Helper()
	b := &book{t: t, assets: []string{"USDT", "ETH", "FAKE", "USD"}}
	txs := []string{}
	for line := range strings.Lines(lines) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		amount, err := uint256.FromDecimal(f[3])
		if err != nil {
			t.Fatal(err)
		}
		tx := index(&txs, f[0])
		e := Entry{From: index(&b.names, f[1]), To: index(&b.names, f[2]), Amount: *amount,
			Asset: index(&b.assets, f[4]), Tx: tx, Block: uint64(tx) + 1, Time: uint64(tx) + 1, Kind: tracer.KindToken}
		if f[4] == "ETH" {
			e.Kind = tracer.KindNative
		}
		if len(f) > 5 {
			e.Kind, _ = tracer.ParseKind(f[5])
		}
		b.in.Entries = append(b.in.Entries, e)
	}
	for _, a := range b.assets {
		b.in.Assets = append(b.in.Assets, Asset{Known: a != "FAKE", Value: a == "USD"})
	}
	b.in.Wallets = len(b.names)
	return b
}

func (b *book) id(name string) uint32 {
	i := slices.Index(b.names, name)
	if i < 0 {
		b.t.Fatalf("no wallet %q", name)
	}
	return uint32(i)
}

// state writes a result in words, sorted.
func (b *book) state(r *Result) []string {
	var out []string
	for _, h := range r.Held {
		out = append(out, fmt.Sprintf("%s holds %s %s", b.names[h.Wallet], h.Amount.Dec(), b.assets[h.Asset]))
	}
	for _, a := range r.Arrivals {
		out = append(out, fmt.Sprintf("%s got %s %s", b.names[a.Wallet], a.Amount.Dec(), b.assets[a.Asset]))
	}
	for _, c := range r.Conversions {
		var s strings.Builder
		s.WriteString(b.names[c.Payer] + " swapped")
		for _, p := range c.Out {
			s.WriteString(" " + p.Amount.Dec() + " " + b.assets[p.Asset])
		}
		s.WriteString(" for " + b.names[c.Receiver])
		for _, p := range c.In {
			s.WriteString(" " + p.Amount.Dec() + " " + b.assets[p.Asset])
		}
		out = append(out, s.String())
	}
	for i, t := range r.Totals {
		if !t.Fees.IsZero() {
			out = append(out, fmt.Sprintf("fees %s %s", t.Fees.Dec(), b.assets[i]))
		}
		if !t.Reported.IsZero() {
			out = append(out, fmt.Sprintf("reported %s %s", t.Reported.Dec(), b.assets[i]))
		}
	}
	slices.Sort(out)
	return out
}

// worth prices USDT at 1 and ETH at 2000 dollars a unit; FAKE has no price.
func worth(asset uint32, amount *uint256.Int, _ uint64) (tracer.Micros, bool) {
	p := map[uint32]uint64{0: 1, 1: 2000}[asset]
	return tracer.Micros(amount.Uint64()*p) * tracer.Dollar, p > 0
}

func TestRun(t *testing.T) {
	tests := []struct {
		name  string
		lines string
		sinks string // wallets where money stays
		want  []string
	}{
		{"traced money leaves first", `
			t1 victim s 100 USDT
			t2 other m 50 USDT
			t3 s m 100 USDT
			t4 m x 100 USDT
			t5 m y 50 USDT`, "",
			[]string{"reported 100 USDT", "x holds 100 USDT"}},
		{"a service keeps what arrives", `
			t1 victim s 100 USDT
			t2 s ex 70 USDT
			t3 ex stranger 70 USDT`, "ex",
			[]string{"ex got 70 USDT", "reported 100 USDT", "s holds 30 USDT"}},
		{"a fee is paid from traced coin first", `
			t1 victim s 100 ETH
			t2 s zero 1 ETH fee
			t2 s x 99 ETH`, "",
			[]string{"fees 1 ETH", "reported 100 ETH", "x holds 99 ETH"}},
		{"a swap carries the traced money into the other asset", `
			t1 victim s 1000 USDT
			t2 s m 1000 USDT
			t3 m pool 1000 USDT
			t3 pool m 1 ETH internal`, "",
			[]string{"m swapped 1000 USDT for m 1 ETH", "m holds 1 ETH", "reported 1000 USDT"}},
		{"the pool of a swap is not suspect, whoever swaps next", `
			t1 victim s 2000 USDT
			t2 s pool 2000 USDT
			t2 pool s 1 ETH internal
			t3 stranger pool 1 ETH
			t3 pool stranger 2000 USDT`, "",
			[]string{"reported 2000 USDT", "s holds 1 ETH", "s swapped 2000 USDT for s 1 ETH"}},
		{"half of what is swapped is traced", `
			t1 other s2 1000 USDT
			t2 victim s 1000 USDT
			t3 s s2 1000 USDT
			t4 s2 pool 2000 USDT
			t4 pool s2 2 ETH internal`, "",
			[]string{"reported 1000 USDT", "s2 holds 1 ETH", "s2 swapped 1000 USDT for s2 1 ETH"}},
		{"a swap through a router to a third receiver", `
			t1 victim s 4000 USDT
			t2 s router 4000 USDT
			t2 router pool 4000 USDT
			t2 pool router 2 ETH internal
			t2 router r 2 ETH internal`, "",
			[]string{"r holds 2 ETH", "reported 4000 USDT", "s swapped 4000 USDT for r 2 ETH"}},
		{"change is not a swap", `
			t1 victim s 10000 USDT
			t2 s m 10000 USDT
			t3 m x 10000 USDT
			t3 x m 1 ETH internal`, "",
			[]string{"reported 10000 USDT", "x holds 10000 USDT"}},
		{"a worthless token buys nothing", `
			t1 victim s 10000 USDT
			t2 s x 10000 USDT
			t2 x s 5 FAKE`, "",
			[]string{"reported 10000 USDT", "x holds 10000 USDT"}},
		{"a payment beside a swap in one transaction", `
			t1 victim s 5000 USDT
			t2 s x 1000 USDT
			t2 s pool 4000 USDT
			t2 pool s 2 ETH internal`, "",
			[]string{"reported 5000 USDT", "s holds 2 ETH", "s swapped 4000 USDT for s 2 ETH", "x holds 1000 USDT"}},
		{"a seed that is paid by a seed reports once", `
			t1 victim s 100 USDT
			t2 s x 100 USDT
			t3 x s 100 USDT`, "",
			[]string{"reported 100 USDT", "s holds 100 USDT"}},
		{"a token anybody can make is not the victim's money", `
			t1 victim s 100 FAKE
			t2 victim s 7 USDT`, "",
			[]string{"reported 7 USDT", "s holds 7 USDT"}},
		{"a payment passed on by a contract in the same transaction", `
			t1 victim s 10 ETH
			t2 s c 10 ETH
			t2 c x 6 ETH internal
			t2 c y 4 ETH internal`, "",
			[]string{"reported 10 ETH", "x holds 6 ETH", "y holds 4 ETH"}},
		{"the same, listed the other way round", `
			t1 victim s 10 ETH
			t2 d x 10 ETH internal
			t2 c d 10 ETH internal
			t2 s c 10 ETH`, "",
			[]string{"reported 10 ETH", "x holds 10 ETH"}},
		{"who passes on a stranger's payment keeps traced money", `
			t1 victim s 10 ETH
			t2 s c 10 ETH
			t3 other c 7 ETH
			t3 c x 7 ETH internal`, "",
			[]string{"c holds 10 ETH", "reported 10 ETH"}},
		{"who passes on a part in the same transaction keeps the rest", `
			t1 victim s 10 ETH
			t2 c x 6 ETH internal
			t2 s c 10 ETH`, "",
			[]string{"c holds 4 ETH", "reported 10 ETH", "x holds 6 ETH"}},
		{"money does not pass a service in one transaction", `
			t1 victim s 10 ETH
			t2 s c 10 ETH
			t2 c ex 10 ETH internal
			t2 ex x 10 ETH internal`, "ex",
			[]string{"ex got 10 ETH", "reported 10 ETH"}},
		{"a circle in one transaction moves nothing", `
			t1 victim s 10 ETH
			t2 s c 10 ETH
			t2 c d 10 ETH internal
			t2 d s 10 ETH internal`, "",
			[]string{"reported 10 ETH", "s holds 10 ETH"}},
		{"two payers and a payee of one batch", `
			t1 victim s 10 ETH
			t2 c x 30 ETH internal
			t2 other c 20 ETH
			t2 s c 10 ETH internal`, "",
			[]string{"reported 10 ETH", "x holds 10 ETH"}},
		{"values arrive before they leave in one transaction", `
			t1 victim s 100 USD
			t2 b x 100 USD
			t2 a b 100 USD
			t2 s a 100 USD`, "",
			[]string{"reported 100 USD", "x holds 100 USD"}},
		{"values in a circle are played as listed", `
			t1 victim s 100 USD
			t2 s a 100 USD
			t2 a s 100 USD`, "",
			[]string{"reported 100 USD", "s holds 100 USD"}},
		{"a value may rise by the drift while it is held", `
			t1 victim s 100 USD
			t2 s a 100 USD
			t3 a x 60 USD
			t4 a y 43 USD`, "",
			[]string{"a swapped 40 USD for a 43 USD", "reported 100 USD", "x holds 60 USD", "y holds 43 USD"}},
		{"and by no more", `
			t1 victim s 100 USD
			t2 s a 100 USD
			t3 a x 104 USD
			t4 a y 7 USD`, "",
			[]string{"a swapped 100 USD for a 104 USD", "a swapped for a 1 USD", "reported 100 USD", "x holds 104 USD", "y holds 1 USD"}},
		{"money that was seen to come is no drift", `
			t1 victim s 100 USD
			t2 other a 5 USD
			t3 s a 100 USD
			t4 a x 105 USD`, "",
			[]string{"reported 100 USD", "x holds 100 USD"}},
		{"a value may change in a swap", `
			t1 victim s 100 USD
			t2 a x 150 USD
			t2 s a 100 USD`, "",
			[]string{"a swapped 100 USD for a 150 USD", "reported 100 USD", "x holds 150 USD"}},
		{"half of what is swapped by value is traced", `
			t1 victim s 100 USD
			t2 s a 100 USD
			t2 other a 100 USD
			t2 a x 300 USD`, "",
			[]string{"a swapped 100 USD for a 150 USD", "reported 100 USD", "x holds 150 USD"}},
		{"what is worth more than twice as much is no swap", `
			t1 victim s 100 USD
			t2 s a 100 USD
			t2 a x 203 USD`, "",
			[]string{"a swapped 100 USD for a 105 USD", "reported 100 USD", "x holds 105 USD"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBook(t, tt.lines)
			b.in.Seeds = []Seed{{Wallet: b.id("s"), To: 1 << 62}}
			b.in.Worth = worth
			b.in.Drift = 5
			b.in.Stop = func(w uint32) Stop {
				if b.names[w] == tt.sinks {
					return Sink
				}
				return Follow
			}
			r, err := Run(b.in)
			if err != nil {
				t.Fatal(err)
			}
			slices.Sort(tt.want)
			if got := b.state(r); !slices.Equal(got, tt.want) {
				t.Errorf("Run gives\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(tt.want, "\n  "))
			}
		})
	}
}

func TestPaymentIsExactlyTheTransfer(t *testing.T) {
	b := newBook(t, `
		t1 stranger s 500 USDT
		t2 victim s 100 USDT
		t3 s x 300 USDT`)
	b.in.Payments = []Payment{{Tx: 1, Wallet: b.id("s")}}
	r, err := Run(b.in)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"reported 100 USDT", "x holds 100 USDT"}
	if got := b.state(r); !slices.Equal(got, want) {
		t.Errorf("Run gives %q, want %q", got, want)
	}
}

func TestUnseenMoneyOfASeed(t *testing.T) {
	b := newBook(t, `
		t1 victim s 100 USDT
		t2 s x 300 USDT`)
	b.in.Seeds = []Seed{{Wallet: b.id("s"), To: 1 << 62, Unseen: true}}
	r, err := Run(b.in)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"reported 300 USDT", "x holds 300 USDT"}
	if got := b.state(r); !slices.Equal(got, want) {
		t.Errorf("Run gives %q, want %q", got, want)
	}
}

// TestUnseenMoney counts what wallets pay beyond what they were seen to get.
func TestUnseenMoney(t *testing.T) {
	for _, tt := range []struct {
		name, lines string
		want        []string
	}{
		{"all it got is traced", `
			t1 victim s 100 USDT
			t2 s a 100 USDT
			t3 a x 300 USDT`,
			[]string{"reported 300 USDT", "x holds 300 USDT"}},
		{"half of what it got is traced", `
			t1 victim s 100 USDT
			t2 other a 100 USDT
			t3 s a 100 USDT
			t4 a x 300 USDT`,
			[]string{"reported 200 USDT", "x holds 200 USDT"}},
		{"less than half is", `
			t1 victim s 100 USDT
			t2 other a 101 USDT
			t3 s a 100 USDT
			t4 a x 300 USDT`,
			[]string{"reported 100 USDT", "x holds 100 USDT"}},
		{"a token anybody can make", `
			t1 victim s 100 USDT
			t2 s a 100 USDT
			t3 a x 300 FAKE`,
			[]string{"a holds 100 USDT", "reported 100 USDT"}},
		{"a fee", `
			t1 victim s 100 ETH
			t2 s a 100 ETH
			t3 a zero 300 ETH fee`,
			[]string{"fees 100 ETH", "reported 100 ETH"}},
		{"before any of it came", `
			t1 victim s 100 USDT
			t2 a x 300 USDT
			t3 s a 100 USDT`,
			[]string{"a holds 100 USDT", "reported 100 USDT"}},
		{"a rise in price comes first", `
			t1 victim s 100 USD
			t2 s a 100 USD
			t3 a x 300 USD`,
			[]string{"a swapped 100 USD for a 105 USD", "reported 295 USD", "x holds 300 USD"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBook(t, tt.lines)
			b.in.Seeds = []Seed{{Wallet: b.id("s"), To: 1 << 62}}
			b.in.Drift, b.in.Unseen = 5, true
			r, err := Run(b.in)
			if err != nil {
				t.Fatal(err)
			}
			if got := b.state(r); !slices.Equal(got, tt.want) {
				t.Errorf("Run gives\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(tt.want, "\n  "))
			}
		})
	}
}

// TestCrowdedTransaction plays transactions that are too large to be netted,
// within a second or so, and no money is lost in them.
func TestCrowdedTransaction(t *testing.T) {
	for _, n := range []uint32{maxValues - 2, maxValues + 2, maxParts - 2, maxParts + 2} {
		for asset := range uint32(2) {
			// Everybody pays everybody's neighbour, in two assets, the last first.
			in := Input{Wallets: int(n) + 1, Assets: []Asset{{Known: true, Value: asset == 1}, {Known: true}},
				Payments: []Payment{{Tx: 0, Wallet: n / 2}}, Worth: worth, Drift: 5}
			in.Entries = append(in.Entries, Entry{From: n, To: n / 2, Kind: tracer.KindToken, Amount: *uint256.NewInt(1_000_000)})
			for i := range n / 2 {
				in.Entries = append(in.Entries,
					Entry{From: i + 1, To: i, Tx: 1, Kind: tracer.KindToken, Amount: *uint256.NewInt(1_000)},
					Entry{From: i, To: i + n/2, Tx: 1, Kind: tracer.KindToken, Asset: 1, Amount: *uint256.NewInt(1)})
			}
			r, err := Run(in)
			if err != nil {
				t.Fatalf("%d transfers: %v", n, err)
			}
			if got := r.Totals[0].Reported.Uint64(); got != 1_000_000 {
				t.Errorf("%d transfers: %d reported, want 1000000", n, got)
			}
		}
	}
}

func TestIntervals(t *testing.T) {
	b := newBook(t, `
		t1 victim s 100 USDT
		t2 s x 100 USDT
		t3 x y 100 USDT
		t4 y x 40 USDT`)
	b.in.Seeds = []Seed{{Wallet: b.id("s"), To: 1 << 62}}
	r, err := Run(b.in)
	if err != nil {
		t.Fatal(err)
	}
	want := []Interval{
		{b.id("s"), 1, 2, false},
		{b.id("x"), 2, 3, false}, {b.id("x"), 4, 4, true},
		{b.id("y"), 3, 3, true},
	}
	slices.SortFunc(want, func(a, c Interval) int { return int(a.Wallet)*100 + int(a.From) - int(c.Wallet)*100 - int(c.From) })
	if !slices.Equal(r.Intervals, want) {
		t.Errorf("Intervals = %v, want %v", r.Intervals, want)
	}
}

// TestConservation plays random transactions by every policy; Run checks the
// sums itself.
func TestConservation(t *testing.T) {
	for seed := range uint64(600) {
		rng := rand.New(rand.NewPCG(seed, 1))
		in := Input{Wallets: 12, Assets: []Asset{{Known: true}, {Known: true}, {}, {Known: true, Value: true}}, Worth: worth, Drift: 5, Unseen: seed%3 == 0,
			Policy: Policies()[seed%6], Seeds: []Seed{{Wallet: 1, To: 1 << 62, Unseen: seed%2 == 0}},
			Stop: func(w uint32) Stop { return []Stop{Sink, Follow, Follow, Through}[w%4] }}
		for tx := range uint32(60) {
			for range 1 + rng.IntN(5) {
				in.Entries = append(in.Entries, Entry{From: rng.Uint32N(12), To: rng.Uint32N(12), Asset: rng.Uint32N(4), Tx: tx,
					Block: uint64(tx), Time: uint64(tx), Amount: *uint256.NewInt(rng.Uint64N(1000)),
					Kind: []tracer.Kind{tracer.KindToken, tracer.KindNative, tracer.KindInternal, tracer.KindFee}[rng.IntN(4)]})
			}
		}
		r, err := Run(in)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		again, err := Run(in)
		if err != nil || fmt.Sprint(r) != fmt.Sprint(again) {
			t.Fatalf("seed %d: two runs differ (%v)", seed, err)
		}
	}
}

// BenchmarkRun plays 1,000,000 transfers, few of them of traced money, or most.
func BenchmarkRun(b *testing.B) {
	const n, wallets = 1_000_000, 250_000
	rng := rand.New(rand.NewPCG(1, 1))
	in := Input{Wallets: wallets, Assets: []Asset{{Known: true}, {Known: true}}, Worth: worth}
	for i := range uint32(n) {
		in.Entries = append(in.Entries, Entry{From: uint32(rng.ExpFloat64()*n/40) % wallets, To: rng.Uint32N(wallets), Asset: i & 1,
			Tx: i, Block: uint64(i), Amount: *uint256.NewInt(1 + rng.Uint64N(1e9)), Kind: tracer.KindToken})
	}
	for _, seeds := range []uint32{1, 50_000} {
		b.Run(fmt.Sprintf("seeds=%d", seeds), func(b *testing.B) {
			in.Seeds = nil
			for w := range seeds {
				in.Seeds = append(in.Seeds, Seed{Wallet: w, To: 1 << 62})
			}
			b.ReportAllocs()
			var r *Result
			for b.Loop() {
				var err error
				if r, err = Run(in); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "transfers/s")
			b.ReportMetric(float64(len(r.Moves)), "traced")
		})
	}
}
