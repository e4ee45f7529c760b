package report

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/cluster"
	"scamtrace/tracer/label"

	"github.com/ethereum/go-ethereum/common"
)

// TestForwards wants every wallet named that a deposit address forwards to, as
// long as they can be read.
func TestForwards(t *testing.T) {
	a, b := "0x0000000000000000000000000000000000000001", "0x0000000000000000000000000000000000000002"
	c := "0x0000000000000000000000000000000000000003"
	for n, want := range map[int]string{
		1: a,
		2: "wallets of Borealis Markets: " + a + " and " + b,
		3: "wallets of Borealis Markets: " + a + ", " + b + " and " + c,
		5: "wallets of Borealis Markets: " + a + ", " + b + ", " + c + " and 2 others",
	} {
		d := cluster.Deposit{Service: "Borealis Markets"}
		for i := range n {
			d.To = append(d.To, tracer.Wallet{Chain: 1, Address: common.BytesToAddress([]byte{byte(i + 1)})})
		}
		if got := wallets(d); got != want {
			t.Errorf("of %d wallets: %q, want %q", n, got, want)
		}
	}
}

// TestNoLabels builds a report on a chain where no service is known: it says
// so, and only what lies near a reported wallet is asked to be frozen.
func TestNoLabels(t *testing.T) {
	in, err := demoWalk()
	if err != nil {
		t.Fatal(err)
	}
	known := Build(in)
	in.Labels = new(label.Set)
	r := Build(in)
	if known.blind() || !r.blind() {
		t.Fatalf("with %d and %d labels of services: blind is %t and %t", known.Parameters.Labels.Services, r.Parameters.Labels.Services, known.blind(), r.blind())
	}
	const says = "No service is known on "
	if strings.Contains(known.Outcome.Sentence, says) || !strings.Contains(r.Outcome.Sentence, says) {
		t.Errorf("with labels: %q\nwithout: %q", known.Outcome.Sentence, r.Outcome.Sentence)
	}
	w := Wallet{Address: r.Wallets[0].Address, Hop: nearHops, Held: []Amount{{Asset: "eip155:1/erc20:0xdac17f958d2ee523a2206206994597c13d831ec7", Symbol: "USDT", Amount: "5", Readable: "0.000005"}}}
	far := w
	far.Address, far.Hop = r.Wallets[1].Address, nearHops+1
	where := func(r *Report, who string) (n int) {
		r.Wallets = []Wallet{w, far}
		for _, s := range todo(r) {
			for _, a := range s.Asks {
				if a.Who == who {
					n += len(a.Where)
				}
			}
		}
		return n
	}
	for _, tt := range []struct {
		r                *Report
		freeze, lookedUp int
	}{{known, 2, 0}, {r, 1, 1}} {
		if f, l := where(tt.r, "Tether"), where(tt.r, "Wallets to look up"); f != tt.freeze || l != tt.lookedUp {
			t.Errorf("with %d labels of services %d wallets are to be frozen and %d looked up, want %d and %d", tt.r.Parameters.Labels.Services, f, l, tt.freeze, tt.lookedUp)
		}
	}
}

// TestCompared wants it said of how many wallets the balances were compared,
// where the source compares.
func TestCompared(t *testing.T) {
	in, err := demoWalk()
	if err != nil {
		t.Fatal(err)
	}
	w := *in.Walk
	in.Walk, w.WalletsRead, w.Unchecked = &w, 5, 2
	for _, in.Compared = range []bool{false, true} {
		got := slices.ContainsFunc(Build(in).Notes, func(n string) bool {
			return strings.HasPrefix(n, fmt.Sprintf("What was read of 3 wallets was compared with the balances that the node keeps, up to block %d;", w.Pinned.Number))
		})
		if got != in.Compared {
			t.Errorf("compared is %t, and the notes are %q", in.Compared, Build(in).Notes)
		}
	}
}

// TestGapCards wants gaps of which no amount is known in one card for each
// reason, and every gap counted.
func TestGapCards(t *testing.T) {
	var r Report
	for range mostAddresses + 2 {
		r.Gaps = append(r.Gaps, Gap{Reason: "source", Detail: "no traces"})
	}
	r.Gaps = append(r.Gaps, Gap{Reason: "source", Detail: "refused"}, Gap{Reason: "dust", Amounts: []Amount{{Amount: "1"}}}, Gap{Reason: "dust", Amounts: []Amount{{Amount: "1"}}})
	cards, more := gapCards(&r)
	if len(cards) != 4 || more != 0 || len(cards[0].Addresses) != mostAddresses || cards[0].More != 2 || len(cards[1].Addresses) != 1 {
		t.Errorf("%d gaps are the cards %+v, and %d more", len(r.Gaps), cards, more)
	}
	r.Gaps = slices.Repeat(r.Gaps[len(r.Gaps)-1:], mostGaps+3)
	if cards, more = gapCards(&r); len(cards) != mostGaps || more != 3 {
		t.Errorf("%d gaps are %d cards, and %d more", len(r.Gaps), len(cards), more)
	}
}
