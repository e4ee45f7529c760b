package price_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/price"

	"github.com/holiman/uint256"
)

// A table is a quoter: prices of ether by day, and why others are missing.
type table struct {
	prices map[uint64]tracer.Micros
	why    string
	pass   bool
	err    error
	asked  []uint64
}

func (q *table) Covers(a tracer.Asset) bool { return a == tracer.NativeOf(1) }

func (q *table) Quotes(_ context.Context, _ tracer.Asset, times []uint64, most int) ([]price.Answer, int, error) {
	if q.err != nil {
		return nil, 1, q.err
	}
	var out []price.Answer
	for _, at := range times {
		x := price.Answer{Price: q.prices[at], Source: "=table\u202e"}
		if x.Price == 0 {
			x = price.Answer{Source: q.why, Passing: q.pass}
		}
		out = append(out, x)
	}
	q.asked = append(q.asked, times...)
	return out, min(len(times), most), nil
}

type value struct {
	usd    tracer.Micros
	source string
	ok     bool
}

func usdAt(b *price.Book, at uint64) (v value) {
	v.usd, v.source, v.ok = b.USD(tracer.NativeOf(1), uint256.NewInt(1e18), at)
	return v
}

// TestAskInAnyOrder: values do not depend on what was asked for before, nor on
// where the book was saved and read again; what a file gives counts first.
func TestAskInAnyOrder(t *testing.T) {
	eth, _ := tracer.ChainNamed("ethereum")
	var at []uint64
	for i := range uint64(400) {
		at = append(at, newYear+i*day/10)
	}
	prices := make(map[uint64]tracer.Micros)
	for d := range uint64(40) {
		if d%7 != 3 {
			prices[newYear+d*day] = tracer.Micros(1000+d) * tracer.Dollar
		}
	}
	var want map[uint64]value
	var sum string
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 0))
		rng.Shuffle(len(at), func(i, j int) { at[i], at[j] = at[j], at[i] })
		first, second := &table{prices: prices, why: "not in the table"}, &table{prices: map[uint64]tracer.Micros{newYear + 3*day: 7 * tracer.Dollar}, why: "nor in this"}
		b := price.New(eth)
		b.Set(tracer.NativeOf(1), newYear+20*day+500, 5*tracer.Dollar)
		b.From(first, second)
		for part := range slices.Chunk(at, 1+rng.IntN(len(at))) {
			for _, x := range part {
				usdAt(b, x)
			}
			if _, more := b.Ask(t.Context(), 1e6); more == (len(part) == 0) && b.Lacks() {
				t.Fatal("it learned nothing")
			}
			var file bytes.Buffer
			if err := b.Save(&file); err != nil {
				t.Fatal(err)
			}
			again := price.New(eth)
			if err := again.ReadCSV(bytes.NewReader(file.Bytes()), "prices.csv"); err != nil {
				t.Fatal(err)
			}
			if again.SHA256() != b.SHA256() || !slices.Equal(again.Notes(), b.Notes()) {
				t.Fatalf("saved and read it is another book:\n%s", file.String())
			}
			again.From(first, second)
			b = again.Clone()
		}
		got := make(map[uint64]value)
		for _, x := range at {
			got[x] = usdAt(b, x)
		}
		if b.Lacks() || b.Trouble() != "" {
			t.Fatal("something is lacking still")
		}
		if want == nil {
			want, sum = got, b.SHA256()
		}
		for x, v := range got {
			if v != want[x] {
				t.Fatalf("seed %d: at %d %+v, want %+v", seed, x, v, want[x])
			}
		}
		if b.SHA256() != sum {
			t.Error("the hash depends on the order of asking")
		}
		slices.Sort(first.asked)
		if n := len(first.asked); n != len(slices.Compact(first.asked)) {
			t.Error("a price was asked for twice")
		}
	}
	for x, w := range map[uint64]value{
		newYear:                 {1000 * tracer.Dollar, "table", true},
		newYear + 9*8640:        {1000 * tracer.Dollar, "table", true},
		newYear + 3*day:         {7 * tracer.Dollar, "table", true},
		newYear + 10*day:        {},
		newYear + 20*day:        {1020 * tracer.Dollar, "table", true},
		newYear + 20*day + 8640: {5 * tracer.Dollar, price.List, true},
		newYear + 22*day:        {5 * tracer.Dollar, price.List, true},
		newYear + 23*day:        {1023 * tracer.Dollar, "table", true},
	} {
		if want[x] != w {
			t.Errorf("at %d: %+v, want %+v", x, want[x], w)
		}
	}
}

// TestAskTrouble: an interruption changes nothing; passing trouble is noted,
// outlives a file, and is asked for again when that is wished.
func TestAskTrouble(t *testing.T) {
	eth, _ := tracer.ChainNamed("ethereum")
	b, q := price.New(eth), &table{err: errors.New("stopped")}
	if usdAt(b, newYear); b.Lacks() {
		t.Error("a book that asks nobody lacks something")
	}
	b.From(q)
	usdAt(b, newYear+5)
	sum := b.SHA256()
	if n, more := b.Ask(t.Context(), 10); n != 1 || more || !b.Lacks() || b.Asked() || b.SHA256() != sum {
		t.Errorf("an interrupted inquiry: %d requests, more %v, lacks %v", n, more, b.Lacks())
	}
	q.err, q.why, q.pass = nil, "the node is down", true
	if _, more := b.Ask(t.Context(), 10); !more || b.Lacks() || b.Trouble() != q.why {
		t.Errorf("trouble: %v, %q", more, b.Trouble())
	}
	if v := usdAt(b, newYear+9); v.ok || v.usd != 0 || b.Lacks() {
		t.Errorf("a missing price is %+v", v)
	}
	notes := []string{"What ETH was worth on 2026-01-01 is not known: the node is down."}
	if got := b.Notes(); !slices.Equal(got, notes) {
		t.Errorf("notes %q", got)
	}
	var file bytes.Buffer
	if err := b.Save(&file); err != nil {
		t.Fatal(err)
	}
	if want := "asset,time,usd,source,asked\neip155:1/slip44:60,2026-01-01T00:00:00Z,,the node is down,failed\n"; file.String() != want {
		t.Errorf("saved as %q", file.String())
	}
	c := price.New(eth)
	if err := c.ReadCSV(&file, "p"); err != nil || c.Trouble() != q.why || !slices.Equal(c.Notes(), notes) {
		t.Errorf("%v, %q, %q", err, c.Trouble(), c.Notes())
	}
	c.From(&table{prices: map[uint64]tracer.Micros{newYear: tracer.Dollar}, why: "no such day"})
	if usdAt(c, newYear+86_399); c.Lacks() {
		t.Error("trouble was asked for again though nobody wished it")
	}
	c.Again(false)
	usdAt(c, newYear+86_399)
	usdAt(c, newYear+86_400)
	usdAt(c, newYear+2*86_400)
	if _, more := c.Ask(t.Context(), 10); !more || !usdAt(c, newYear+1).ok {
		t.Error("it was not asked for again")
	}
	if got, want := c.Notes(), []string{"What ETH was worth on 2 days from 2026-01-02 to 2026-01-03 is not known: no such day."}; !slices.Equal(got, want) {
		t.Errorf("notes %q", got)
	}
	if c.Again(false); usdAt(c, newYear+86_400).ok || c.Lacks() {
		t.Error("what will not pass was asked for again")
	}
	if c.Again(true); usdAt(c, newYear+86_400).ok || !c.Lacks() || !usdAt(c, newYear).ok {
		t.Error("what is missing was not asked for again, or what is known was forgotten")
	}
	if !c.Forgo("the run was interrupted") || c.Lacks() || c.Forgo("x") || c.Trouble() != "the run was interrupted" {
		t.Error("it does not give up")
	}
}

func TestReadSaved(t *testing.T) {
	eth, _ := tracer.ChainNamed("ethereum")
	head := "asset,time,usd,source,asked\neip155:1/slip44:60,"
	for _, tt := range []struct{ row, want string }{
		{"2026-01-01,,,", "is not a price"},
		{"2026-01-01,,x,maybe", "it does not say what a day's price was"},
		{"2026-01-01,1,x,failed", "it does not say"},
		{"2026-01-01T01:00:00Z,1,x,yes", "it does not say"},
		{"2026-01-01,1,x,yes\neip155:1/slip44:60,2026-01-01,2,x,yes", "line 3: eip155:1/slip44:60 has another price"},
		{"2026-01-01,1,x", "wrong number of fields"},
	} {
		b := price.New(eth)
		if err := b.ReadCSV(strings.NewReader(head+tt.row+"\n"), "p.csv"); !errors.Is(err, tracer.ErrUsage) || !strings.Contains(err.Error(), tt.want) || b.Asked() {
			t.Errorf("%q: %v, want %q", tt.row, err, tt.want)
		}
	}
}
