package functions

import (
	"context"
	"strings"
	"testing"
	"time"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/price"
)

// A market quotes the coin of the made-up chain, and asks the node something
// for each price, as a feed would.
type market struct {
	world *devnet.World
	node  tracer.CallSource
	down  bool
}

func (m *market) Covers(a tracer.Asset) bool { return a == tracer.NativeOf(devnet.ChainID) }

func (m *market) Quotes(ctx context.Context, _ tracer.Asset, times []uint64, most int) (out []price.Answer, spent int, err error) {
	for _, at := range times {
		var n int
		_, n, err = m.node.Times(ctx, []uint64{1}, most-spent)
		if spent += n; ctx.Err() != nil {
			return nil, spent, context.Cause(ctx)
		}
		day := (max(at, m.world.Blocks[0].Time) - m.world.Blocks[0].Time) / 86_400
		switch {
		case err != nil || m.down:
			out = append(out, price.Answer{Source: "the market is closed", Passing: true})
		case day%5 == 4:
			out = append(out, price.Answer{Source: "the market was closed"})
		default:
			out = append(out, price.Answer{Price: m.world.Prices[day], Source: "market"})
		}
	}
	return out, spent, nil
}

// newMarket is a scene in which prices are asked for.
func newMarket(t *testing.T) (s *scene, down *bool) {
	s, down = newScene(t), new(bool)
	if err := s.bucket.Delete(t.Context(), "public/prices/devnet.csv"); err != nil {
		t.Fatal(err)
	}
	s.App.Quoters = func(_ tracer.Chain, src tracer.Source) []price.Quoter {
		return []price.Quoter{&market{s.world, src.(tracer.CallSource), *down}}
	}
	return s, down
}

// TestQuotesKilled: prices that are asked for do not change promise P3. They are
// in the bundle, and a trace that is given the file asks nobody and comes to the
// same report.
func TestQuotesKilled(t *testing.T) {
	undisturbed, _ := newMarket(t)
	id := undisturbed.submit(alice, nthVictim)
	undisturbed.settle()
	c, want := undisturbed.find1("ngo", id), undisturbed.reports("ngo", id)
	file, rep := "", ""
	for name, data := range want {
		switch {
		case strings.HasSuffix(name, "/prices.csv"):
			file = data
		case strings.HasSuffix(name, "/report.json"):
			rep = data
		}
	}
	if c.Status != StatusDone || !strings.Contains(file, ",market,yes\n") || !strings.Contains(file, ",,the market was closed,yes\n") ||
		!strings.Contains(rep, `"priceSource":"market"`) || !strings.Contains(rep, "is not known: the market was closed") {
		t.Fatalf("undisturbed, the case is %s (%s) with the prices %q", c.Status, c.Reason, file)
	}
	for _, turn := range []time.Duration{time.Hour, 20 * time.Millisecond} {
		s, _ := newMarket(t)
		s.App.Signer = undisturbed.Signer
		s.submit(alice, nthVictim)
		all := s.killAt(0, false, turn).count.Load()
		for n := int64(1); n <= all; n += 1 + all/12 {
			s, _ := newMarket(t)
			s.App.Signer = undisturbed.Signer
			s.submit(alice, nthVictim)
			s.killAt(n, n%2 == 0, turn)
			s.settle()
			if differ(t, s.reports("ngo", id), want) {
				t.Fatalf("killed at operation %d of %d", n, all)
			}
		}
	}
	given := newScene(t)
	given.App.Signer = undisturbed.Signer
	if err := given.bucket.Delete(t.Context(), "public/prices/devnet.csv"); err != nil {
		t.Fatal(err)
	}
	if _, err := given.bucket.Create(t.Context(), "public/prices/given.csv", []byte(file)); err != nil {
		t.Fatal(err)
	}
	given.submit(alice, nthVictim)
	given.settle()
	if differ(t, given.reports("ngo", id), want) {
		t.Error("with the prices of the bundle the report is another")
	}
}

// TestQuotesDown: prices that cannot be asked for now are asked for again in
// later turns, and then the report is written without them, and says so.
func TestQuotesDown(t *testing.T) {
	s, down := newMarket(t)
	*down = true
	id := s.submit(alice, nthVictim)
	s.work()
	c := s.find1("ngo", id)
	if c.Status != StatusTracing || !strings.Contains(c.Reason, "the market is closed") {
		t.Fatalf("the case is %s: %s", c.Status, c.Reason)
	}
	*down = false
	s.settle()
	if c := s.find1("ngo", id); c.Status != StatusDone || c.Reason != "" {
		t.Errorf("after the trouble the case is %s: %s", c.Status, c.Reason)
	}
	for name, data := range s.reports("ngo", id) {
		if strings.Contains(data, "the market is closed") {
			t.Errorf("after the trouble %s still tells of it", name)
		}
	}
	s, down = newMarket(t)
	*down = true
	s.submit(alice, nthVictim)
	s.settle()
	if c := s.find1("ngo", id); c.Status != StatusPartial || len(c.Reports) != 1 || !strings.Contains(c.Reason, "The market is closed") {
		t.Errorf("with trouble that stays the case is %s: %s", c.Status, c.Reason)
	}
}

func TestQuotesSetting(t *testing.T) {
	for _, tt := range []struct {
		text    string
		nobody  bool
		invalid bool
	}{{"", false, false}, {"chainlink", false, false}, {"none", true, false}, {"defillama", true, true}} {
		if q, err := ParseQuotes(tt.text); (q == nil) != tt.nobody || (err != nil) != tt.invalid {
			t.Errorf("%q: somebody is asked: %v, %v", tt.text, q != nil, err)
		}
	}
	if got := Feeds(devnet.Chain(), nil); got != nil {
		t.Errorf("a chain without a feed has %v", got)
	}
}
