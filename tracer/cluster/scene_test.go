package cluster_test

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/cluster"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/holiman/uint256"
)

// ethereum is the chain of all scenes.
var ethereum = tracer.Chains()[0]

// A scene is transfers between wallets that have names, one a line: sender,
// receiver, asset and amount, as in
//
//	funder a gas 15
//	a deposit usdt 500
//
// gas and eth are thousandths of a coin, usdt are dollars, dust are millionths
// of a USDT, fake is a token that nobody knows. A line "wait 50" lets that many
// blocks pass, "many funder 600" sends gas to so many wallets. Each transfer
// has its own transaction, ten blocks after the one before, whose fee the
// sender pays; but one after a + is in the transaction of the one before.
//
// What a wallet is follows from its name: hot… and cold… belong to Aurora,
// north… to Borealis, mixer to a mixer; hub…, ctr… (a contract), seed…, and
// unread… are what they say; nobody knows that out… got traced money. A name
// that ends with ' looks like the name without it.
type scene struct {
	ts []tracer.Transfer
	in cluster.Input
}

func (s *scene) Of(w tracer.Wallet) iter.Seq[tracer.Transfer] {
	return func(yield func(tracer.Transfer) bool) {
		for _, t := range s.ts {
			if (t.From == w.Address || t.To == w.Address) && t.Asset.Chain == w.Chain && !yield(t) {
				return
			}
		}
	}
}

func wallet(name string) tracer.Wallet {
	base := strings.TrimRight(name, "'")
	a := common.BytesToAddress(crypto.Keccak256([]byte(base)))
	for i := range len(name) - len(base) {
		a[9] ^= byte(i + 1)
	}
	return tracer.Wallet{Chain: ethereum.ID, Address: a}
}

// play makes a scene. Prices are left to the chain's table unless priced.
func play(t *testing.T, script string, priced bool) *scene {
	t.Helper()
	s := &scene{}
	names := make(map[tracer.Wallet]string)
	block := uint64(1000)
	same := false
	add := func(from, to string, asset tracer.Asset, kind tracer.Kind, amount *uint256.Int) {
		if !same {
			block += 10
		}
		names[wallet(from)], names[wallet(to)] = from, to
		tr := tracer.Transfer{Asset: asset, From: wallet(from).Address, To: wallet(to).Address, Amount: *amount,
			Block: block, Time: 1_700_000_000 + 12*block, Kind: kind, Tx: common.BytesToHash(fmt.Appendf(nil, "tx %d", block))}
		fee := tr
		fee.Asset, fee.Kind, fee.To = tracer.NativeOf(ethereum.ID), tracer.KindFee, common.Address{}
		if strings.HasPrefix(from, "code") {
			fee.From = wallet("out relay").Address
		}
		fee.Amount.SetUint64(2e14)
		if !same {
			s.ts = append(s.ts, fee)
		}
		s.ts = append(s.ts, tr)
	}
	eth, usdt := tracer.NativeOf(ethereum.ID), tracer.TokenOf(ethereum.ID, ethereum.Tokens[0].Address)
	for line := range strings.Lines(script) {
		w := strings.Fields(line)
		if len(w) == 0 {
			continue
		}
		n, err := strconv.ParseUint(w[len(w)-1], 10, 64)
		if err != nil {
			t.Fatalf("bad line in a scene: %s", line)
		}
		switch {
		case w[0] == "wait":
			block += n
			continue
		case w[0] == "many":
			for i := range n {
				add(w[1], fmt.Sprintf("out customer %d", i), eth, tracer.KindNative, uint256.NewInt(1e16))
			}
			continue
		}
		if same = w[0] == "+"; same {
			w = w[1:]
		}
		from, to, what := w[0], w[1], w[2]
		amount := uint256.NewInt(n)
		switch what {
		case "gas", "eth":
			add(from, to, eth, tracer.KindNative, amount.Mul(amount, uint256.NewInt(1e15)))
		case "inner":
			add(from, to, eth, tracer.KindInternal, amount.Mul(amount, uint256.NewInt(1e15)))
		case "usdt":
			add(from, to, usdt, tracer.KindToken, amount.Mul(amount, uint256.NewInt(1e6)))
		case "dust":
			add(from, to, usdt, tracer.KindToken, amount)
		case "fake":
			add(from, to, tracer.TokenOf(ethereum.ID, common.Address{1}), tracer.KindToken, amount)
		default:
			t.Fatalf("bad asset in a scene: %s", line)
		}
	}
	is := func(prefix ...string) func(tracer.Wallet) bool {
		return func(w tracer.Wallet) bool {
			return slices.ContainsFunc(prefix, func(p string) bool { return strings.HasPrefix(names[w], p) })
		}
	}
	unread, code := is("unread"), is("ctr", "code")
	s.in = cluster.Input{
		Chain: ethereum,
		Service: func(w tracer.Wallet) (string, bool) {
			switch {
			case is("hot", "cold")(w):
				return "Aurora", true
			case is("north")(w):
				return "Borealis", true
			}
			return "Fogbank", names[w] == "mixer"
		},
		Custodian: is("hot", "cold", "north"),
		Hub:       is("hub"),
		Contract:  is("ctr"),
		Account:   func(w tracer.Wallet) bool { return !code(w) },
		Complete:  func(w tracer.Wallet) bool { return !unread(w) },
	}
	if priced {
		s.in.USD = func(a tracer.Asset, amount *uint256.Int, _ uint64) (tracer.Micros, bool) {
			if a.Kind != tracer.Native {
				return 0, false
			}
			// 2,000 dollars a coin: a dollar is 5e14 wei.
			return tracer.Micros(new(uint256.Int).Div(amount, uint256.NewInt(5e8)).Uint64()), true
		}
	}
	for _, w := range slices.SortedFunc(maps.Keys(names), tracer.Wallet.Compare) {
		if is("seed")(w) {
			s.in.Seeds = append(s.in.Seeds, w)
		} else if !is("out")(w) {
			s.in.Wallets = append(s.in.Wallets, w)
		}
	}
	// Names for people who read failures.
	t.Cleanup(func() {
		if t.Failed() {
			for w, n := range names {
				if !strings.HasPrefix(n, "out customer") {
					t.Logf("%s is %s", w.Address.Hex(), n)
				}
			}
		}
	})
	return s
}

// tell writes clusters with the names of a script: "a b, c d".
func tell(cs []cluster.Cluster, script string) string {
	var list []string
	for _, c := range cs {
		list = append(list, names(c.Wallets, script))
	}
	return strings.Join(list, ", ")
}

func names(ws []tracer.Wallet, script string) string {
	of := make(map[tracer.Wallet]string)
	for n := range strings.FieldsSeq(script) {
		of[wallet(n)] = n
	}
	var ns []string
	for _, w := range ws {
		ns = append(ns, of[w])
	}
	slices.Sort(ns)
	return strings.Join(ns, " ")
}
