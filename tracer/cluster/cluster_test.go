package cluster_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/cluster"

	"github.com/ethereum/go-ethereum/common"
	"github.com/google/go-cmp/cmp"
	"github.com/holiman/uint256"
)

// Scenes that the tests begin with.
const (
	// The seed passes what victims paid to a and b, which cash in one account.
	cashing = `
		seed a usdt 5000
		seed b usdt 4000
		a d usdt 5000
		d hot1 usdt 5000
		b d usdt 4000
		d hot2 usdt 4000
	`
	// The funder sends a and b gas, a pays b, b pays on.
	fueling = `
		funder a gas 15
		funder b gas 12
		seed a usdt 5000
		a b usdt 5000
		b out usdt 5000
	`
)

func TestFind(t *testing.T) {
	for _, tt := range []struct {
		name, script string
		want         string // clusters
		unpriced     bool
	}{
		// The deposit rule.
		{"one shared account alone is one observation", cashing, "", false},
		{"two shared accounts", cashing + `
			seed a usdt 900
			seed b usdt 800
			a e usdt 900
			e north usdt 900
			b e usdt 800
			e north usdt 800`, "a b", false},
		{"without any prices too", cashing + `
			seed a usdt 900
			seed b usdt 800
			a e usdt 900
			e north usdt 900
			b e usdt 800
			e north usdt 800`, "a b", true},
		{"two accounts, one of them not used by both", cashing + `
			seed a usdt 900
			a e usdt 900
			e north usdt 900`, "", false},
		{"a shared account and a gas funder", `
			funder a gas 15
			wait 400
			funder b gas 12` + cashing, "a b", false},
		{"what was passed on is paid in", `
			seed a usdt 5000
			a d usdt 500
			d hot usdt 500
			a b usdt 4500
			b d usdt 4500
			d hot usdt 4500`, "a b", false},
		{"a trader pays another asset into the account it is told", `
			seed a usdt 5000
			a d usdt 500
			d hot usdt 500
			a b usdt 4500
			b d eth 2240
			d hot eth 2240`, "", false},
		{"a trader with business of its own", cashing + `
			out b usdt 90000
			b out usdt 90000
			a b usdt 700
			b d usdt 700
			d hot usdt 700`, "", false},
		{"a victim that was baited", `
			victim seed usdt 500
			seed victim usdt 100
			seed a usdt 400
			a victim usdt 100
			victim d usdt 9000
			d hot usdt 9000
			a d usdt 300
			d hot usdt 300
			victim e usdt 9000
			e hot usdt 9000
			a e usdt 300
			e hot usdt 300`, "", false},
		{"an account that sends somewhere else too", cashing + `
			seed a usdt 900
			seed b usdt 800
			a e usdt 900
			e north usdt 900
			b e usdt 800
			e out usdt 800`, "", false},
		{"an account that was not read completely", cashing + `
			seed a usdt 900
			seed b usdt 800
			a unread usdt 900
			unread north usdt 900
			b unread usdt 800
			unread north usdt 800`, "", false},
		{"a shop's account", cashing + shop("e", 31) + `
			seed a usdt 900
			seed b usdt 800
			a e usdt 900
			e north usdt 900
			b e usdt 800
			e north usdt 800`, "", false},

		// The gas rule.
		{"a gas funder and a payment", fueling, "a b", false},
		{"a gas funder and a payment, without prices", fueling, "a b", true},
		{"a gas funder alone", `
			funder a gas 15
			wait 400
			funder b gas 12
			seed a usdt 5000
			seed b usdt 4000
			a out1 usdt 5000
			b out2 usdt 4000`, "", false},
		{"gas at the same time in the same amount", `
			funder a gas 15
			funder b gas 15
			seed a usdt 5000
			seed b usdt 4000
			a out1 usdt 5000
			b out2 usdt 4000`, "", false},
		{"a gas funder and a collector", `
			funder a gas 15
			wait 400
			funder b gas 12
			seed a usdt 5000
			seed b usdt 4000
			a c usdt 4900
			b c usdt 3900
			a shop usdt 100
			b shop usdt 100`, "a b", false},
		{"a collector that gets less than most", `
			funder a gas 15
			wait 400
			funder b gas 12
			seed a usdt 5000
			seed b usdt 4000
			a c usdt 2000
			b c usdt 3900
			a shop usdt 3000`, "", false},
		{"a collector that was not read", `
			funder a gas 15
			wait 400
			funder b gas 12
			seed a usdt 5000
			seed b usdt 4000
			a unread usdt 4900
			b unread usdt 3900`, "", false},
		{"a collector that is a hub", `
			funder a gas 15
			wait 400
			funder b gas 12
			seed a usdt 5000
			seed b usdt 4000
			a hub usdt 4900
			b hub usdt 3900`, "", false},
		{"a collector that many pay", `
			funder a gas 15
			wait 400
			funder b gas 12
			seed a usdt 5000
			seed b usdt 4000
			a c usdt 4900
			b c usdt 3900` + shop("c", 29), "", false},
		{"a collector that a few pay", `
			funder a gas 15
			wait 400
			funder b gas 12
			seed a usdt 5000
			seed b usdt 4000
			a c usdt 4900
			b c usdt 3900` + shop("c", 28), "a b", false},
		{"a collector that may be a contract", `
			funder a gas 15
			wait 400
			funder b gas 12
			seed a usdt 5000
			seed b usdt 4000
			a code usdt 4900
			b code usdt 3900`, "", false},
		{"a lunch", `
			funder a gas 15
			funder b gas 12
			seed a usdt 5000
			seed b usdt 4000
			a b usdt 40`, "", false},
		{"half of what one ever got", `
			funder a gas 15
			funder b gas 12
			seed a usdt 5000
			seed b usdt 2000
			a b usdt 2000`, "a b", false},
		{"money that was swapped on the way", `
			funder b gas 15
			funder c gas 12
			seed b usdt 5000
			b pool usdt 5000
			+ pool b eth 2500
			b pool eth 2500
			+ pool b usdt 5000
			b c usdt 5000
			c out usdt 5000`, "b c", false},
		{"money that was swapped for another receiver", `
			funder b gas 15
			funder c gas 12
			seed pool usdt 5000
			+ pool b eth 2500
			b c eth 2500
			c out eth 2500`, "b c", false},
		{"money that a pool gave for somebody else's", `
			funder b gas 15
			funder c gas 12
			seed out1 usdt 5000
			out2 pool usdt 5000
			+ pool b eth 2500
			b c eth 2500
			c out eth 2500`, "", false},
		{"a payment of gas is no payment", `
			funder a gas 15
			wait 400
			funder b gas 12
			seed a usdt 5000
			a b gas 10
			b out usdt 10`, "", false},
		{"a funder that is a service", strings.ReplaceAll(fueling, "funder", "hot"), "", false},
		{"a funder that is a hub", strings.ReplaceAll(fueling, "funder", "hub"), "", false},
		{"a funder that is a contract", strings.ReplaceAll(strings.ReplaceAll(fueling, "funder", "ctr"), "gas", "inner"), "", false},
		{"a funder that may be a contract", strings.ReplaceAll(strings.ReplaceAll(fueling, "funder", "code"), "gas", "inner"), "", false},
		{"a funder that was not read", strings.ReplaceAll(fueling, "funder", "unread"), "", false},
		{"a funder with 499 other customers", fueling + "many funder 498\n", "a b", false},
		{"a funder with too many customers", fueling + "many funder 499\n", "", false},
		{"different funders", strings.Replace(fueling, "funder b", "other b", 1), "", false},
		{"the funder was not the first", "other b gas 9\n" + fueling, "", false},
		{"a poisoner was first, with too little for a fee", "other b inner 0\nother b dust 9\n" + fueling, "a b", false},
		{"coins that came after the first fee are not the first gas", `
			b out usdt 10` + fueling, "", false},
		{"more than gas", strings.ReplaceAll(fueling, "gas 1", "eth 500"), "", false},

		// The funder itself.
		{"a funder of nobody else joins", strings.Replace(fueling, "seed a", "funder c gas 13\nseed a", 1) + `
			b c usdt 70
			a c usdt 700
			b c usdt 700`, "a b c funder", false},
		{"a funder of others stays out", strings.Replace(fueling, "seed a", "funder c gas 13\nseed a", 1) + `
			a c usdt 700
			b c usdt 700
			many funder 2`, "a b c", false},
		{"a victim that sent coins to every seed stays out", `
			victim seed1 gas 15
			victim seed2 gas 12
			victim seed3 gas 13
			victim seed4 gas 13
			seed1 seed4 usdt 900
			seed2 seed4 usdt 900
			seed3 seed4 usdt 900
			seed4 out usdt 2700`, "seed1 seed2 seed3 seed4", false},
		{"a payer of tokens that also sent gas stays out", strings.Replace(fueling, "seed a", "funder c gas 13\nfunder a usdt 800\nseed a", 1) + `
			a c usdt 700
			b c usdt 700`, "a b c", false},

		// Who never joins.
		{"a service", strings.ReplaceAll(fueling, " b", " hot"), "", false},
		{"a hub", strings.ReplaceAll(fueling, " b", " hub"), "", false},
		{"a contract", strings.ReplaceAll(fueling, " b", " ctr"), "", false},
		{"a wallet that was not read", strings.ReplaceAll(fueling, " b", " unread"), "", false},
		{"a wallet that may be a contract", strings.ReplaceAll(fueling, " b", " codeb") + "codeb x usdt 5\n", "", false},
		{"a deposit address", strings.ReplaceAll(fueling, "b out", "b hot") + `
			seed b eth 500
			b hot eth 500`, "", false},
		{"a wallet that empties into a service with the gas of the others", strings.ReplaceAll(fueling, "b out", "b hot"), "a b", false},
		{"a wallet that empties into a mixer is no deposit address", strings.ReplaceAll(fueling, "b out", "b mixer"), "a b", false},
		{"a victim", strings.ReplaceAll(fueling, "seed a", "b seed usdt 9000\nseed a"), "", false},
		{"a victim with gas from the syndicate", `
			funder a gas 15
			funder victim gas 12
			hot victim usdt 9000
			seed a usdt 500
			victim a usdt 1000
			a victim usdt 100
			victim a usdt 8000
			a out usdt 9000`, "", false},
		{"and money from an exchange that the funder pays, too", `
			funder a gas 15
			funder victim gas 12
			funder hot gas 12
			hot victim usdt 9000
			seed a usdt 500
			victim a usdt 1000
			a victim usdt 100
			victim a usdt 8000
			a out usdt 9000`, "", false},
		{"and money from nobody knows where", `
			funder a gas 15
			funder victim gas 12
			out1 victim usdt 9000
			seed a usdt 500
			victim a usdt 1000
			a victim usdt 100
			victim a usdt 8000
			a out usdt 9000`, "", false},
		{"the staff of a company that the syndicate paid", `
			out1 co usdt 90000
			seed co usdt 5000
			co a gas 15
			co b gas 12
			co a usdt 4000
			co b usdt 4000
			a b usdt 3000
			b out2 usdt 6000`, "", false},
		{"a collector with money of other victims, by way of wallets with its funder", `
			funder out1 gas 15
			funder out2 gas 15
			funder c gas 15
			funder b gas 12
			out3 out1 usdt 50000
			out4 out2 usdt 50000
			seed c usdt 5000
			out1 c usdt 50000
			out2 c usdt 50000
			c b usdt 105000
			b out5 usdt 105000`, "b c", false},
		{"a collector with money of others, by way of wallets without it", `
			funder c gas 15
			funder b gas 12
			seed c usdt 5000
			out1 c usdt 50000
			out2 c usdt 50000
			c b usdt 105000
			b out5 usdt 105000`, "", false},
		{"the accounts of an exchange that nobody labeled", `
			funder a gas 3
			funder b gas 3
			seed a usdt 5000
			seed b usdt 4000
			a cex usdt 5000
			b cex usdt 4000` + strings.ReplaceAll(shop("cex", 30), "north", "out"), "", false},
		{"a wallet through which money came back to a seed", fueling + `
			b seed usdt 4000`, "a b", false},
		{"a later look-alike", "out8 x usdt 30\nx out9 usdt 1" + strings.ReplaceAll(strings.ReplaceAll(fueling, " b", " x'"), "b out", "x' out"), "", false},
		{"two look-alikes of one moment", "x x' usdt 1" + strings.ReplaceAll(strings.ReplaceAll(fueling, " b", " x"), "b out", "x out"), "", false},
		{"a funder that looks like another wallet", "out8 funder usdt 30\nfunder out9 usdt 1" + strings.ReplaceAll(strings.Replace(fueling, "seed a", "funder c gas 13\nseed a", 1), "funder ", "funder' ") + `
			a c usdt 4000
			b c usdt 700`, "a b c", false},
		{"the one that it looks like", strings.ReplaceAll(strings.ReplaceAll(fueling, " b", " x"), "b out", "x out") + "out8 x' usdt 30\nx' out9 usdt 1\n", "a x", false},
		{"a sender of dust", `
			funder a gas 15
			funder b gas 15
			seed a usdt 5000
			seed b usdt 5000
			b a dust 10`, "", false},
		{"a sender of dust that got money", strings.ReplaceAll(fueling, "b out usdt 5000", "b out dust 10"), "", false},
		{"a token that nobody knows is no payment", strings.ReplaceAll(fueling, "b usdt", "b fake"), "", false},
		{"a zero amount is no payment", strings.ReplaceAll(fueling, "b usdt 5000", "b usdt 0"), "", false},
		{"a wallet that no traced money reached", strings.ReplaceAll(fueling, " b", " outb"), "", false},
		{"nothing", "", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := play(t, tt.script, !tt.unpriced)
			cs := cluster.Find(s, s.in)
			if got := tell(cs, tt.script); got != tt.want {
				t.Errorf("Find joins %q, want %q", got, tt.want)
				for _, c := range cs {
					for _, l := range c.Links {
						t.Logf("%s %d%%: %s", l.Rule, l.Confidence, l.Detail)
					}
				}
			}
		})
	}
}

// shop lets n customers pay into an account.
func shop(account string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "out%d %s usdt 20\n%s north usdt 20\n", i, account, account)
	}
	return "\n" + b.String()
}

// TestLinks reads what a link says.
func TestLinks(t *testing.T) {
	script := fueling + `
		b d usdt 300
		d hot usdt 300
		a d usdt 200
		d hot usdt 200
	`
	s := play(t, script, true)
	cs := cluster.Find(s, s.in)
	if len(cs) != 1 || cs[0].ID != "c1" || len(cs[0].Links) != 2 {
		t.Fatalf("Find = %v, want one cluster with two links", cs)
	}
	a, b := wallet("a"), wallet("b")
	if a.Compare(b) > 0 {
		a, b = b, a
	}
	hex := func(name string) string { return wallet(name).Address.Hex() }
	want := []cluster.Link{
		{a, b, cluster.RuleFunder, 99, []common.Hash{s.tx(0), s.tx(1), s.tx(3), s.tx(5), s.tx(7)},
			"Both got their first ETH from " + hex("funder") + ", and paid into " + hex("d") + ", a deposit address of Aurora, and passed each other at least half of all that one of them ever got."},
		{a, b, cluster.RuleDeposit, 99, []common.Hash{s.tx(0), s.tx(1), s.tx(3), s.tx(5), s.tx(7)},
			"Both paid into " + hex("d") + ", a deposit address of Aurora (confidence 99%), and got their first gas from " + hex("funder") + ", and passed money of the kind they paid in from one to the other."},
	}
	if diff := cmp.Diff(want, cs[0].Links); diff != "" {
		t.Errorf("Links differ (-want +got):\n%s", diff)
	}
}

// tx returns the transaction of the nth transfer of a scene.
func (s *scene) tx(n int) common.Hash { return s.ts[2*n].Tx }

func TestDeposits(t *testing.T) {
	for _, tt := range []struct {
		name, script string
		want         int // confidence that d is a deposit address of Aurora; 0: it is none
	}{
		{"at once and exact", "a d usdt 500\nd hot usdt 500", 99},
		{"into two wallets of one service", "a d usdt 500\nd hot usdt 500\na d usdt 40\nd cold usdt 40", 99},
		{"into two services", "a d usdt 500\nd hot usdt 500\na d usdt 40\nd north usdt 40", 0},
		{"half of the window later", "a d usdt 500\nwait 1590\nd hot usdt 500", 75},
		{"a window later", "a d usdt 500\nwait 9000\nd hot usdt 500", 50},
		{"native coin, less than it got by a half of the slack", "a d eth 500\nd hot eth 495", 74},
		{"native coin, less by more", "a d eth 500\nd hot eth 489", 0},
		{"tokens, less by anything", "a d usdt 500\nd hot usdt 499", 0},
		{"two payments, one forward", "a d usdt 500\nb d usdt 300\nd hot usdt 800", 99},
		{"gas for it from an unknown wallet", "a d usdt 500\nx d gas 2\nd hot usdt 500\nb d eth 300\nd hot eth 301", 99},
		{"gas for it from the service", "a d usdt 500\nhot d eth 200\nd hot usdt 500\nb d eth 300\nd hot eth 500", 99},
		{"half of the forwards as they should be", "a d usdt 500\nd hot usdt 500\nd hot usdt 10", 0},
		{"two of three", "a d usdt 500\nd hot usdt 500\nd hot usdt 10\na d usdt 500\nd hot usdt 500", 66},
		{"pays somebody else", "a d usdt 500\nd hot usdt 500\nd b usdt 1", 0},
		{"seems to pay somebody nothing, and a token that nobody knows", "a d usdt 500\nd x usdt 0\nd x fake 7\nd hot usdt 500", 99},
		{"forwards nothing yet", "a d usdt 500", 0},
		{"a mixer has no customers' addresses", "a d usdt 500\nd mixer usdt 500", 0},
		{"emptied with gas from a wallet that fuels others", "x d gas 2\nx c gas 15\na d usdt 500\nd hot usdt 500\nc a usdt 7", 0},
		{"emptied with gas from a wallet that also fueled one not emptied yet", "x d gas 2\nx c gas 2\na d usdt 500\nd hot usdt 500\na c usdt 7", 99},
		{"emptied with gas from a wallet that fuels deposit addresses only", "x d gas 2\nx c gas 2\na d usdt 500\nd hot usdt 500\na c usdt 7\nc hot usdt 7", 99},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := play(t, tt.script, true)
			got := 0
			for _, d := range cluster.Deposits(s, s.in) {
				if d.Wallet == wallet("d") {
					got = d.Confidence
					if d.Service != "Aurora" || len(d.To) == 0 || len(d.Evidence) == 0 {
						t.Errorf("Deposits has %v", d)
					}
				}
			}
			if got != tt.want {
				t.Errorf("d is a deposit address with confidence %d, want %d", got, tt.want)
			}
		})
	}
	for _, as := range []string{"hot9", "hub", "ctr"} {
		script := "a " + as + " usdt 500\n" + as + " hot usdt 500"
		s := play(t, script, true)
		if ds := cluster.Deposits(s, s.in); len(ds) > 0 {
			t.Errorf("Deposits calls %s a deposit address", as)
		}
	}
	s := play(t, "a unread usdt 500\nunread hot usdt 500", true)
	if ds := cluster.Deposits(s, s.in); len(ds) != 1 || ds[0].Confidence != 70 {
		t.Errorf("Deposits of an address that was not read completely = %v, want one with confidence 70", ds)
	}
}

func TestWanted(t *testing.T) {
	script := fueling + `
		hot c gas 10
		a c usdt 40
		c x usdt 40
		out2 z gas 5
		seed z usdt 3
		z d usdt 3
		d hot usdt 3
		victim seed usdt 5000
	`
	s := play(t, script, true)
	read := make(map[tracer.Wallet]bool)
	s.in.Complete = func(w tracer.Wallet) bool { return read[w] }
	if cs := cluster.Find(s, s.in); len(cs) > 0 {
		t.Errorf("Find joins %q and nothing was read completely", tell(cs, script))
	}
	var got []string
	for range 9 {
		ws := cluster.Wanted(s, s.in)
		for _, w := range ws {
			read[w] = true
		}
		if len(ws) == 0 {
			break
		}
		got = append(got, names(ws, script))
	}
	if want := []string{"a b c d funder out2 seed x z"}; !slices.Equal(got, want) {
		t.Errorf("Wanted = %q, want %q", got, want)
	}
	if got, want := tell(cluster.Find(s, s.in), script), "a b"; got != want {
		t.Errorf("Find joins %q, want %q", got, want)
	}
	s.in.Complete = nil
	if ws := cluster.Wanted(s, s.in); len(ws) > 0 {
		t.Errorf("Wanted = %v where all is read", ws)
	}
}

// TestOrder gives the wallets of a world in many orders, and some twice.
func TestOrder(t *testing.T) {
	w := newTown(1)
	in := w.everything()
	want, wantDeposits := cluster.Find(w.store, in), cluster.Deposits(w.store, in)
	if len(want) < 2 || len(wantDeposits) < 2 {
		t.Fatalf("the world has %d clusters and %d deposit addresses, too few to order", len(want), len(wantDeposits))
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 3 {
		in.Wallets = slices.Concat(in.Wallets, in.Wallets[:50])
		rng.Shuffle(len(in.Wallets), func(i, j int) { in.Wallets[i], in.Wallets[j] = in.Wallets[j], in.Wallets[i] })
		rng.Shuffle(len(in.Seeds), func(i, j int) { in.Seeds[i], in.Seeds[j] = in.Seeds[j], in.Seeds[i] })
		if diff := cmp.Diff(want, cluster.Find(w.store, in)); diff != "" {
			t.Fatalf("Find depends on the order of its input:\n%s", diff)
		}
		if diff := cmp.Diff(wantDeposits, cluster.Deposits(w.store, in)); diff != "" {
			t.Fatalf("Deposits depends on the order of its input:\n%s", diff)
		}
	}
}

// FuzzFind makes graphs out of bytes and holds what is promised of every
// result.
func FuzzFind(f *testing.F) {
	rng := rand.New(rand.NewPCG(3, 4))
	for n := range 40 {
		b := make([]byte, 6*(n*8+4))
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) { checkRandom(t, b) })
}

func checkRandom(t *testing.T, b []byte) {
	s := &scene{}
	addr := func(x byte) common.Address { return common.Address{0: 1, 9: x % 24, 19: 1 + x%24/8} }
	assets := []tracer.Asset{tracer.NativeOf(1), tracer.TokenOf(1, ethereum.Tokens[0].Address), tracer.TokenOf(1, ethereum.Tokens[3].Address),
		tracer.TokenOf(1, common.Address{7}), {Chain: 1, Kind: tracer.NFT}, {Chain: 1, Kind: tracer.USD}, tracer.NativeOf(2)}
	for i := 0; i+6 <= len(b) && i < 6*500; i += 6 {
		tr := tracer.Transfer{Asset: assets[int(b[i+2])%len(assets)], From: addr(b[i]), To: addr(b[i+1]), Block: uint64(i / 12), Time: uint64(i),
			Tx: common.Hash{byte(i / 12), byte(i / 12 >> 8)}, Kind: tracer.Kind(b[i+2] >> 4 % 5), Position: fmt.Sprint(i)}
		tr.Amount.Lsh(uint256.NewInt(uint64(b[i+3])), uint(b[i+4])) // often beyond what there can be
		if b[i+5] < 200 {
			tr.Amount.Mul(uint256.NewInt(uint64(b[i+5]%8)), uint256.NewInt(1e15))
		}
		s.ts = append(s.ts, tr)
	}
	in := cluster.Input{
		Chain: ethereum,
		Service: func(w tracer.Wallet) (string, bool) {
			return fmt.Sprintf("service %d", w.Address[9]%2), w.Address[9]%24 < 4
		},
		Hub:      func(w tracer.Wallet) bool { return w.Address[9] == 5 },
		Contract: func(w tracer.Wallet) bool { return w.Address[9] == 6 },
		USD: func(a tracer.Asset, amount *uint256.Int, _ uint64) (tracer.Micros, bool) {
			return tracer.Micros(amount.Uint64()), a.Kind == tracer.Native && !amount.IsZero() && amount[0]%5 > 0
		},
	}
	for x := range byte(24) {
		in.Wallets = append(in.Wallets, tracer.Wallet{Chain: 1, Address: addr(x)})
	}
	in.Seeds = append(in.Seeds, in.Wallets[20], tracer.Wallet{Chain: 2, Address: addr(9)})
	deposit := make(map[tracer.Wallet]bool)
	for _, d := range cluster.Deposits(s, in) {
		deposit[d.Wallet] = true
		if d.Confidence < 50 || d.Confidence > 99 || d.Wallet.Address[9] < 4 || len(d.Evidence) == 0 || len(d.Evidence) > 16 {
			t.Errorf("Deposits has %v", d)
		}
	}
	seen := make(map[tracer.Wallet]bool)
	for i, c := range cluster.Find(s, in) {
		if c.ID != fmt.Sprintf("c%d", i+1) || len(c.Wallets) < 2 || !slices.IsSortedFunc(c.Wallets, tracer.Wallet.Compare) {
			t.Errorf("cluster %d is %v", i, c)
		}
		for _, w := range c.Wallets {
			x := w.Address[9]
			if seen[w] || deposit[w] || x < 4 || x == 5 || x == 6 || w.Chain != 1 {
				t.Errorf("%s is in a cluster and must not be, or is in two", w)
			}
			seen[w] = true
		}
		together := make(map[tracer.Wallet]tracer.Wallet)
		find := func(w tracer.Wallet) tracer.Wallet {
			for together[w] != (tracer.Wallet{}) {
				w = together[w]
			}
			return w
		}
		for _, l := range c.Links {
			if l.A.Compare(l.B) >= 0 || l.Confidence < cluster.Join || l.Confidence > 99 || len(l.Evidence) == 0 || len(l.Evidence) > 16 || l.Detail == "" {
				t.Errorf("a link is %v", l)
			}
			if a, b := find(l.A), find(l.B); a != b {
				together[a] = b
			}
		}
		for _, w := range c.Wallets {
			if find(w) != find(c.Wallets[0]) {
				t.Errorf("the links of %s do not hold its wallets together", c.ID)
			}
		}
	}
}

func TestMeasured(t *testing.T) {
	for _, r := range cluster.Rules() {
		if p := cluster.Measured(r); p.Links < 100 || p.True > p.Links || r.Method() == "" {
			t.Errorf("Measured(%q) = %v, Method() = %q", r, p, r.Method())
		}
	}
	for p, want := range map[cluster.Precision]string{{}: "not measured", {3, 3}: "1.00 of 3 links", {411, 412}: "0.99 of 412 links", {0, 9}: "0.00 of 9 links"} {
		if got := p.String(); got != want {
			t.Errorf("%#v.String() = %q, want %q", p, got, want)
		}
	}
	if p := cluster.Measured("no rule"); p != (cluster.Precision{}) {
		t.Errorf("Measured of no rule = %v", p)
	}
}
