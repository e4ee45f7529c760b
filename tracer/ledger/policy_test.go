package ledger

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"scamtrace/tracer"

	"github.com/holiman/uint256"
)

// coins are what a wallet holds, coin by coin in the order in which they came;
// true is traced.
type coins []bool

func (c coins) count(traced bool) int {
	n := 0
	for _, x := range c {
		if x == traced {
			n++
		}
	}
	return n
}

// remove takes out up to n coins that are traced or not, the first ones.
func (c *coins) remove(n int, traced bool) {
	*c = slices.DeleteFunc(*c, func(x bool) bool {
		if x == traced && n > 0 {
			n--
			return true
		}
		return false
	})
}

// plain are the policies written down coin by coin: each takes n coins out of
// a wallet and returns how many of them were traced. A wallet that has fewer
// pays the rest with coins from nowhere.
var plain = map[string]func(c *coins, n int) int{
	"pifo": func(c *coins, n int) int {
		t := min(n, c.count(true))
		c.remove(t, true)
		c.remove(n-t, false)
		return t
	},
	"libr": func(c *coins, n int) int {
		clean := min(n, c.count(false))
		c.remove(clean, false)
		t := min(n-clean, c.count(true))
		c.remove(t, true)
		return t
	},
	"fifo": func(c *coins, n int) int {
		out := (*c)[:min(n, len(*c))]
		*c = slices.Clone((*c)[len(out):])
		return out.count(true)
	},
	"lifo": func(c *coins, n int) int {
		out := (*c)[max(0, len(*c)-n):]
		*c = (*c)[:len(*c)-len(out)]
		return out.count(true)
	},
	"haircut": func(c *coins, n int) int {
		t := c.count(true)
		if n < len(*c) {
			t = n * t / len(*c)
		}
		c.remove(t, true)
		c.remove(n-t, false)
		return t
	},
	"poison": func(c *coins, n int) int {
		t := 0
		if c.count(true) > 0 {
			t = n
		}
		*c = (*c)[min(n, len(*c)):]
		return t
	},
}

// TestPoliciesCoinByCoin plays random payments by every policy, and compares
// where the traced money is with books that are kept coin by coin.
func TestPoliciesCoinByCoin(t *testing.T) {
	const wallets, sink = 8, 7
	for _, p := range Policies() {
		pay := plain[p.String()]
		if pay == nil {
			t.Errorf("%s has no plain form here", p)
			continue
		}
		for seed := range uint64(200) {
			rng := rand.New(rand.NewPCG(seed, 2))
			in := Input{Wallets: wallets, Assets: []Asset{{Known: true}}, Policy: p, Stop: func(w uint32) Stop {
				if w == sink {
					return Sink
				}
				return Follow
			}}
			held := make([]coins, wallets)
			want := make([]int, wallets)
			for tx := range uint32(80) {
				e := Entry{From: rng.Uint32N(wallets), To: rng.Uint32N(wallets), Tx: tx, Amount: *uint256.NewInt(rng.Uint64N(20)), Kind: tracer.KindToken}
				in.Entries = append(in.Entries, e)
				reported := rng.IntN(12) == 0
				if reported {
					in.Payments = append(in.Payments, Payment{Tx: tx, Wallet: e.To})
				}
				n := int(e.Amount.Uint64())
				if e.From == e.To || n == 0 {
					continue
				}
				traced := 0
				if e.From != sink {
					traced = pay(&held[e.From], n)
				}
				if reported {
					traced = n
				}
				if e.To == sink {
					want[sink] += traced
					continue
				}
				// Of one receipt the traced coins leave first: at the front of a
				// queue, on top of a stack.
				first := p.String() != "lifo"
				got := slices.Concat(slices.Repeat(coins{first}, map[bool]int{true: traced, false: n - traced}[first]),
					slices.Repeat(coins{!first}, map[bool]int{true: n - traced, false: traced}[first]))
				held[e.To] = append(held[e.To], got...)
				if p.String() == "poison" && held[e.To].count(true) > 0 {
					for i := range held[e.To] {
						held[e.To][i] = true
					}
				}
			}
			for w := range held {
				want[w] += held[w].count(true)
			}
			r, err := Run(in)
			if err != nil {
				t.Fatalf("%s, seed %d: %v", p, seed, err)
			}
			got := make([]int, wallets)
			for _, h := range r.Held {
				got[h.Wallet] += int(h.Amount.Uint64())
			}
			for _, a := range r.Arrivals {
				got[a.Wallet] += int(a.Amount.Uint64())
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%s, seed %d: Run leaves %v, coin by coin %v", p, seed, got, want)
			}
		}
	}
}

// TestPolicies shows in what the policies differ.
func TestPolicies(t *testing.T) {
	const lines = `
		t1 other s 100 USDT
		t2 victim s 100 USDT
		t3 other s 200 USDT
		t4 s x 100 USDT
		t5 s y 100 USDT
		t6 s z 100 USDT`
	for _, tt := range []struct {
		name string
		want []string
	}{
		{"pifo", []string{"reported 100 USDT", "x holds 100 USDT"}},
		{"fifo", []string{"reported 100 USDT", "y holds 100 USDT"}},
		{"lifo", []string{"reported 100 USDT", "z holds 100 USDT"}},
		{"libr", []string{"reported 100 USDT", "s holds 100 USDT"}},
		{"haircut", []string{"reported 100 USDT", "s holds 25 USDT", "x holds 25 USDT", "y holds 25 USDT", "z holds 25 USDT"}},
		{"poison", []string{"reported 400 USDT", "s holds 100 USDT", "x holds 100 USDT", "y holds 100 USDT", "z holds 100 USDT"}},
	} {
		p, err := ParsePolicy(tt.name)
		if err != nil {
			t.Fatal(err)
		}
		b := newBook(t, lines)
		b.in.Policy, b.in.Payments = p, []Payment{{Tx: 1, Wallet: b.id("s")}}
		r, err := Run(b.in)
		if err != nil {
			t.Fatal(err)
		}
		if got := b.state(r); !slices.Equal(got, tt.want) {
			t.Errorf("%s: Run gives %q, want %q", tt.name, got, tt.want)
		}
		if got := p.String(); got != tt.name {
			t.Errorf("String() = %q, want %q", got, tt.name)
		}
	}
	if _, err := ParsePolicy("tiho"); !errors.Is(err, tracer.ErrUsage) {
		t.Errorf("ParsePolicy(tiho) says %v", err)
	}
	if p, err := ParsePolicy(""); err != nil || p.String() != "pifo" || new(Policy).String() != "pifo" {
		t.Errorf("ParsePolicy of nothing = %v, %v; want pifo", p, err)
	}
}

// TestLowestBalance is the rule that gives libr its name: what was gone is not
// made good by what comes later.
func TestLowestBalance(t *testing.T) {
	b := newBook(t, `
		t1 victim s 100 USDT
		t2 other s 50 USDT
		t3 s x 120 USDT
		t4 other s 500 USDT
		t5 s y 500 USDT`)
	b.in.Policy, b.in.Payments = libr, []Payment{{Tx: 0, Wallet: b.id("s")}}
	r, err := Run(b.in)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"reported 100 USDT", "s holds 30 USDT", "x holds 70 USDT"}
	if got := b.state(r); !slices.Equal(got, want) {
		t.Errorf("Run gives %q, want %q", got, want)
	}
}
