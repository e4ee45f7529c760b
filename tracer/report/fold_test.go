package report

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"scamtrace/tracer"

	"github.com/holiman/uint256"
)

// A sketch builds reports for pictures: who paid whom, in dollars.
type sketch struct {
	r       *Report
	wallets map[string]*Wallet
	got     map[string]uint64
	paid    map[string]uint64
	hop     map[string]int
}

func newSketch() *sketch {
	return &sketch{r: &Report{Schema: Schema}, wallets: make(map[string]*Wallet), got: make(map[string]uint64), paid: make(map[string]uint64), hop: make(map[string]int)}
}

// name is the address of the n-th wallet of a kind.
func name(kind byte, n int) string { return fmt.Sprintf("0x%02x%030x%08x", kind, 7, n) }

func usd(dollars uint64) string { return (tracer.Micros(dollars) * tracer.Dollar).Decimal() }

func (s *sketch) wallet(a, role string) *Wallet {
	w := s.wallets[a]
	if w == nil {
		w = &Wallet{Address: a, Chain: "eip155:1", Role: role, Complete: true, First: "2025-01-01T00:00:00Z", Last: "2025-01-01T00:00:00Z"}
		s.wallets[a] = w
	}
	return w
}

func (s *sketch) pay(from, to string, dollars uint64) {
	s.wallet(from, "intermediary")
	s.wallet(to, "intermediary")
	if _, ok := s.hop[to]; !ok {
		s.hop[to] = s.hop[from] + 1
	}
	s.got[to] += dollars
	s.paid[from] += dollars
	v := uint256.NewInt(dollars * 1e6).Dec()
	s.r.Flows = append(s.r.Flows, Flow{From: from, To: to, Chain: "eip155:1", Asset: "eip155:1/erc20:0xdac17f958d2ee523a2206206994597c13d831ec7", Symbol: "USDT",
		Amount: v, Traced: v, Readable: strconv.FormatUint(dollars, 10), USD: usd(dollars), Transfers: 1, First: "2025-01-01T00:00:00Z", Last: "2025-01-02T00:00:00Z"})
}

func (s *sketch) exit(a, service string) {
	s.wallet(a, "service").Role = "service"
	s.wallets[a].Labels = []Label{{Name: service, Category: "exchange", Confidence: 100, Source: "test"}}
	s.r.Exits = append(s.r.Exits, Exit{Address: a, Chain: "eip155:1", Service: service, Category: "exchange", Rule: "label", Confidence: 100})
}

func (s *sketch) report(seeds ...string) *Report {
	var total uint64
	for _, a := range seeds {
		s.wallet(a, "seed").Role = "seed"
		s.hop[a] = 0
		s.got[a] += s.paid[a]
		total += s.got[a]
	}
	for a, w := range s.wallets {
		w.Hop, w.USD = s.hop[a], usd(s.got[a])
		if got := s.got[a] - s.paid[a]; got > 0 && w.Role != "service" {
			w.Held = []Amount{{USD: usd(got)}}
			if w.Role == "intermediary" {
				w.Role = "holding"
			}
		}
		s.r.Wallets = append(s.r.Wallets, *w)
	}
	slices.SortFunc(s.r.Wallets, func(a, b Wallet) int { return cmp.Compare(a.Address, b.Address) })
	for i := range s.r.Exits {
		s.r.Exits[i].USD = usd(s.got[s.r.Exits[i].Address])
	}
	s.r.Totals.USD.Reported = usd(total)
	return s.r
}

var (
	boxes = regexp.MustCompile(`<g class="box ([a-z]+)"><title>([^<]*)</title><rect x="(-?\d+)" y="(-?\d+)" width="(\d+)" height="(\d+)"`)
	heads = regexp.MustCompile(`<text class="head"[^>]*>([^<]*)</text>`)
)

// TestPicture draws cases that are too large, too deep or too wide to draw as
// they are: at most 60 boxes, each wallet once, no box over another, at most 20
// labels, and the money of folded wallets still there.
func TestPicture(t *testing.T) {
	seed := name('s', 0)
	for _, tt := range []struct {
		name  string
		build func(*sketch)
		want  []string // headings
	}{
		{"one payment that stays", func(*sketch) {}, []string{"Reported wallet"}},
		{"a fan of leaves", func(s *sketch) {
			for i := range 100 {
				s.pay(seed, name('l', i), 10)
			}
		}, []string{"Reported wallet", "+100 wallets"}},
		{"a fan with one large leaf", func(s *sketch) {
			for i := range 23 {
				s.pay(seed, name('l', i), 10)
			}
			s.pay(seed, name('L', 0), 1000)
		}, []string{"Reported wallet", "+23 wallets", "Still held here"}},
		{"many exits at one service", func(s *sketch) {
			for i := range 80 {
				s.pay(seed, name('x', i), 10)
				s.exit(name('x', i), "Aurora")
			}
		}, []string{"Reported wallet", "Aurora"}},
		{"many services", func(s *sketch) {
			for i := range 80 {
				s.pay(seed, name('x', i), uint64(10+i))
				s.exit(name('x', i), fmt.Sprintf("Service %d", i))
			}
		}, []string{"Reported wallet", "Service 79", "exits"}},
		{"a chain of 1,000", func(s *sketch) {
			s.pay(seed, name('c', 0), 1000)
			for i := range 999 {
				s.pay(name('c', i), name('c', i+1), 1000)
			}
		}, []string{"Reported wallet", "wallets"}},
		{"200 seeds", func(s *sketch) {
			for i := range 200 {
				s.pay(name('s', i), name('m', i%30), uint64(100+i))
			}
		}, []string{"Reported wallet", "+", "reported"}},
		{"a net", func(s *sketch) {
			for hop := range 20 {
				for i := range 40 {
					for k := range 3 {
						from := name(byte(hop), i)
						if hop == 0 {
							from = name('s', i)
						}
						s.pay(from, name(byte(hop+1), (i*7+k)%40), uint64(1000+hop+i))
					}
				}
			}
		}, []string{"Reported wallet", "wallets"}},
		{"a ring", func(s *sketch) {
			s.pay(seed, name('r', 0), 100)
			for i := range 6 {
				s.pay(name('r', i), name('r', (i+1)%6), 100)
			}
		}, []string{"Reported wallet", "Wallet"}},
		{"clusters", func(s *sketch) {
			for i := range 90 {
				s.pay(seed, name('k', i), 100)
				s.pay(name('k', i), name('z', i%2), 100)
				s.wallets[name('k', i)].Cluster = fmt.Sprintf("c%d", i%3+1)
			}
		}, []string{"30 of cluster c1", "30 of cluster c2", "30 of cluster c3"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSketch()
			tt.build(s)
			seeds := []string{seed}
			for i := 1; s.wallets[name('s', i)] != nil; i++ {
				seeds = append(seeds, name('s', i))
			}
			r := s.report(seeds...)
			c, ways := draw(r)
			found := boxes.FindAllStringSubmatch(c.SVG, -1)
			if len(found) == 0 || len(found) > mostBoxes {
				t.Errorf("%d boxes", len(found))
			}
			if n := strings.Count(c.SVG, `class="amount"`); n > mostLabels {
				t.Errorf("%d labels", n)
			}
			var heading []string
			for _, m := range heads.FindAllStringSubmatch(c.SVG, -1) {
				heading = append(heading, m[1])
			}
			for _, want := range tt.want {
				if !slices.ContainsFunc(heading, func(h string) bool { return strings.Contains(h, want) }) {
					t.Errorf("no box is called %q: %q", want, heading)
				}
			}
			type rect struct{ x, y, w, h int }
			var rects []rect
			for _, m := range found {
				var q rect
				for i, p := range []*int{&q.x, &q.y, &q.w, &q.h} {
					*p, _ = strconv.Atoi(m[3+i])
				}
				if q.x < 0 || q.y < 0 || q.x+q.w > c.Width || q.y+q.h > c.Height {
					t.Errorf("a box is at %+v of %d by %d", q, c.Width, c.Height)
				}
				for _, o := range rects {
					if q.x < o.x+o.w && o.x < q.x+q.w && q.y < o.y+o.h && o.y < q.y+q.h {
						t.Errorf("boxes overlap: %+v and %+v", o, q)
					}
				}
				rects = append(rects, q)
			}
			// Nothing that moved between boxes is lost, and nothing is drawn twice.
			var drawn tracer.Micros
			for _, w := range ways {
				drawn += w.usd.sum
			}
			var moved tracer.Micros
			for _, f := range r.Flows {
				v, _ := parseUSD(f.USD)
				moved += v
			}
			if drawn > moved || tt.name != "a net" && tt.name != "a chain of 1,000" && drawn != moved {
				t.Errorf("%s of %s is drawn", drawn, moved)
			}
			again, _ := draw(r)
			if again.SVG != c.SVG {
				t.Error("two drawings differ")
			}
		})
	}
}

// TestTitles wants every wallet of a case that fits named in full, once.
func TestTitles(t *testing.T) {
	r := small(t)
	c, _ := draw(r)
	text := strings.ToLower(c.SVG)
	for _, w := range r.Wallets {
		if n := strings.Count(text, w.Address+" ("); n != 1 && !(n == 0 && w.Role == "service") {
			t.Errorf("%s is in %d boxes", w.Address, n)
		}
	}
}

// TestLookAlikes wants the differing middle of two wallets whose ends are the same.
func TestLookAlikes(t *testing.T) {
	s := newSketch()
	a, b := "0x1234aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaabcde", "0x1234aaaaaabbbbbbaaaaaaaaaaaaaaaaaaaabcde"
	s.pay(name('s', 0), a, 900)
	s.pay(name('s', 0), b, 800)
	s.wallets[a].LookAlike, s.wallets[b].LookAlike = b, a
	c, _ := draw(s.report(name('s', 0)))
	for _, want := range []string{"look-alike: …aaaaaaaa…", "look-alike: …bbbbbbaa…"} {
		if !strings.Contains(c.SVG, want) {
			t.Errorf("the drawing has no %q", want)
		}
	}
}

func TestShort(t *testing.T) {
	for cents, want := range map[int64]string{0: "$0", 1: "<$1", 99: "<$1", 100: "$1", 99_999: "$999", 100_000: "$1k", 1_494_000: "$14.9k", 10_000_000: "$100k", 123_456_789: "$1.2M", 99_999_999_999: "$999M", 250_000_000_000: "$2.5B"} {
		if got := short(tracer.Micros(cents) * 10_000); got != want {
			t.Errorf("short(%d cents) = %s, want %s", cents, got, want)
		}
	}
}
