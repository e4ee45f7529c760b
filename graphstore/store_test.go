package graphstore

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
	gocmp "github.com/google/go-cmp/cmp"
	"github.com/holiman/uint256"
)

// world returns n transfers with different ids among few wallets, on three
// chains, with everything that a transfer can be: all kinds, amounts of every
// width, odd positions, and transactions that stand at two places.
func world(rng *rand.Rand, n int) []tracer.Transfer {
	chains := []uint64{1, 137, math.MaxUint64}
	positions := []string{"", "0", "7", "10", "4294967295", "4294967296", "0.2.1", "0.2", "0.10", "01", "x"}
	var ts []tracer.Transfer
	seen := make(map[tracer.TransferID]bool)
	for len(ts) < n {
		chain := chains[rng.IntN(len(chains))]
		tx := byte(rng.IntN(n/3 + 1))
		t := tracer.Transfer{
			Asset: tracer.Asset{Chain: chain},
			From:  common.Address{19: byte(rng.IntN(12))}, To: common.Address{19: byte(rng.IntN(12))},
			Block: 100 + uint64(tx/4), TxIndex: uint32(tx % 4), Time: 1_700_000_000 + uint64(tx/4),
			Tx: common.Hash{0: tx * 37, 31: tx}, Kind: tracer.Kind(rng.IntN(5)),
			Position: positions[rng.IntN(len(positions))],
		}
		switch rng.IntN(5) {
		case 0:
			t.Asset.Kind = tracer.USD
		case 1, 2:
			t.Asset = tracer.TokenOf(chain, common.Address{0: byte(rng.IntN(3))})
		}
		if t.Kind == tracer.KindNFT {
			t.Asset.Kind = tracer.NFT
		}
		switch rng.IntN(5) {
		case 0:
		case 1:
			t.Amount.SetUint64(rng.Uint64N(1000))
		case 2:
			t.Amount = uint256.Int{rng.Uint64(), rng.Uint64N(1 << 32)}
		case 3:
			t.Amount = uint256.Int{rng.Uint64(), rng.Uint64()}
		case 4:
			t.Amount = uint256.Int{rng.Uint64(), rng.Uint64(), rng.Uint64(), rng.Uint64()}
		}
		switch rng.IntN(10) {
		case 0:
			t.Block++
		case 1:
			t.BlockHash = common.Hash{31: byte(rng.IntN(3))}
		case 2:
			t.Block = math.MaxUint64 - uint64(tx)
		}
		if !seen[t.ID()] {
			seen[t.ID()] = true
			ts = append(ts, t)
		}
	}
	return ts
}

// inChainOrder sorts a copy of ts.
func inChainOrder(ts []tracer.Transfer) []tracer.Transfer {
	ts = slices.Clone(ts)
	slices.SortFunc(ts, func(a, b tracer.Transfer) int { return cmp.Or(a.Compare(&b), cmp.Compare(a.Position, b.Position)) })
	return ts
}

type pairFlow struct {
	Pair
	Flow
}

// naiveFlows is what Flows should yield.
func naiveFlows(ts []tracer.Transfer) []pairFlow {
	type key struct {
		Pair
		tracer.Asset
	}
	sums := make(map[key]Flow)
	for _, t := range ts {
		if !t.Counts() || t.Kind == tracer.KindFee {
			continue
		}
		k := key{Pair{tracer.Wallet{Chain: t.Asset.Chain, Address: t.From}, tracer.Wallet{Chain: t.Asset.Chain, Address: t.To}}, t.Asset}
		f, ok := sums[k]
		if !ok {
			f = Flow{Asset: t.Asset, First: t.Block}
		}
		if _, over := f.Amount.AddOverflow(&f.Amount, &t.Amount); over {
			f.Amount.SetAllOne()
		}
		f.Transfers++
		f.First, f.Last = min(f.First, t.Block), max(f.Last, t.Block)
		sums[k] = f
	}
	var all []pairFlow
	for k, f := range sums {
		all = append(all, pairFlow{k.Pair, f})
	}
	slices.SortFunc(all, func(a, b pairFlow) int {
		return cmp.Or(a.From.Compare(b.From), a.To.Compare(b.To), a.Asset.Compare(b.Asset))
	})
	return all
}

func allFlows(s *Store) []pairFlow {
	var all []pairFlow
	for p, f := range s.Flows() {
		all = append(all, pairFlow{p, f})
	}
	return all
}

// checkStore compares everything a store says with a naive reading of the
// transfers it should hold.
func checkStore(t *testing.T, s *Store, ts []tracer.Transfer) {
	t.Helper()
	want := inChainOrder(ts)
	if got := slices.Collect(s.Transfers()); !slices.Equal(got, want) {
		t.Fatalf("Transfers differ: %s", gocmp.Diff(want, got))
	}
	if s.Len() != len(ts) {
		t.Fatalf("Len() = %d, want %d", s.Len(), len(ts))
	}
	flows := naiveFlows(want)
	if got := allFlows(s); !slices.Equal(got, flows) {
		t.Fatalf("Flows differ: %s", gocmp.Diff(flows, got))
	}
	wallets := make(map[tracer.Wallet][]tracer.Transfer)
	i := 0
	for n, r := range s.Rows() {
		tr := want[i]
		i++
		from, to := s.Wallet(r.From), s.Wallet(r.To)
		back := tracer.Transfer{
			Asset: s.Asset(r.Asset), From: from.Address, To: to.Address, Amount: r.Amount, Block: r.Block, BlockHash: tr.BlockHash,
			Time: r.Time, Tx: s.Tx(r.Tx), TxIndex: r.TxIndex, Kind: r.Kind, Position: tr.Position,
		}
		if back != tr || s.Transfer(n) != tr || from.Chain != tr.Asset.Chain || to.Chain != tr.Asset.Chain {
			t.Fatalf("row %d is %+v, want %+v", n, r, tr)
		}
		if id, ok := s.TxID(tr.Asset.Chain, tr.Tx); !ok || id != r.Tx {
			t.Fatalf("TxID(%d, %v) = %d, %t, want %d", tr.Asset.Chain, tr.Tx, id, ok, r.Tx)
		}
		if id, ok := s.AssetID(tr.Asset); !ok || id != r.Asset {
			t.Fatalf("AssetID(%v) = %d, %t, want %d", tr.Asset, id, ok, r.Asset)
		}
		wallets[from] = append(wallets[from], tr)
		if from != to {
			wallets[to] = append(wallets[to], tr)
		}
	}
	if i != len(want) || s.Wallets() != len(wallets) {
		t.Fatalf("%d rows and %d wallets, want %d and %d", i, s.Wallets(), len(want), len(wallets))
	}
	for w, want := range wallets {
		if got := slices.Collect(s.Of(w)); !slices.Equal(got, want) {
			t.Fatalf("Of(%v) differs: %s", w, gocmp.Diff(want, got))
		}
		id, ok := s.WalletID(w)
		if !ok || s.Wallet(id) != w {
			t.Fatalf("WalletID(%v) = %d, %t", w, id, ok)
		}
		var rows []tracer.Transfer
		for n := range s.RowsOf(id) {
			rows = append(rows, s.Transfer(n))
		}
		if !slices.Equal(rows, want) {
			t.Fatalf("RowsOf(%d) differs: %s", id, gocmp.Diff(want, rows))
		}
		var out, in, wantOut, wantIn []pairFlow
		for o, f := range s.Out(w) {
			out = append(out, pairFlow{Pair{w, o}, f})
		}
		for o, f := range s.In(w) {
			in = append(in, pairFlow{Pair{o, w}, f})
		}
		for _, f := range flows {
			if f.From == w {
				wantOut = append(wantOut, f)
			}
			if f.To == w {
				wantIn = append(wantIn, f)
			}
		}
		if !slices.Equal(out, wantOut) || !slices.Equal(in, wantIn) {
			t.Fatalf("Out(%v) or In of it differs: %s%s", w, gocmp.Diff(wantOut, out), gocmp.Diff(wantIn, in))
		}
	}
}

func TestAdd(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 0))
		ts := world(rng, 150)
		s := New()
		if _, ok := s.WalletID(tracer.Wallet{}); ok || s.Len() != 0 || len(allFlows(s)) != 0 {
			t.Fatal("a new store is not empty")
		}
		// Batches with repetitions, and a look between them.
		for done := 0; done < len(ts); {
			again := ts[rng.IntN(done+1):done]
			batch := slices.Concat(again, ts[done:min(len(ts), done+1+rng.IntN(40))], again)
			fresh := len(batch) - 2*len(again)
			if got := s.Add(batch); got != fresh {
				t.Fatalf("seed %d: Add of %d transfers, %d of them new, returned %d", seed, len(batch), fresh, got)
			}
			done += fresh
			checkStore(t, s, ts[:done])
		}
	}
}

// The first reading of a transfer stays.
func TestAddDiffering(t *testing.T) {
	a := tracer.Transfer{Asset: tracer.NativeOf(1), To: common.Address{1}, Amount: *uint256.NewInt(5), Block: 7, Tx: common.Hash{1}, Kind: tracer.KindNative}
	b := a
	b.Amount.SetUint64(6)
	b.Block = 8
	s := New()
	if got := s.Add([]tracer.Transfer{a, b}); got != 1 {
		t.Errorf("Add returned %d, want 1", got)
	}
	checkStore(t, s, []tracer.Transfer{a})
}

func TestIDsAreStable(t *testing.T) {
	ts := world(rand.New(rand.NewPCG(1, 2)), 200)
	one, two := New(), New()
	one.Add(ts)
	for i := range ts {
		two.Add(ts[i : i+1])
	}
	for i := range ts {
		if one.Row(i) != two.Row(i) || one.Transfer(i) != ts[i] {
			t.Fatalf("row %d is %v in one batch and %v in many", i, one.Row(i), two.Row(i))
		}
	}
}

// A position is kept as text only where it is not how a number is written.
func TestPlain(t *testing.T) {
	tests := []struct {
		in   string
		want uint32
		ok   bool
	}{
		{"0", 0, true}, {"17", 17, true}, {"4294967295", math.MaxUint32, true},
		{"4294967296", 0, false}, {"9999999999", 0, false}, {"00000000001", 0, false},
		{"", 0, false}, {"01", 0, false}, {"00", 0, false}, {"+1", 0, false}, {"1.2", 0, false}, {"١", 0, false},
	}
	for _, tt := range tests {
		if got, ok := plain(tt.in); ok != tt.ok || ok && got != tt.want {
			t.Errorf("plain(%q) = %d, %t, want %d, %t", tt.in, got, ok, tt.want, tt.ok)
		}
	}
}

func wallet(n int) tracer.Wallet {
	return tracer.Wallet{Chain: 1, Address: common.Address{18: byte(n >> 8), 19: byte(n)}}
}

func one(p Pair, f Flow) func(func(Pair, Flow) bool) {
	return func(yield func(Pair, Flow) bool) { yield(p, f) }
}

func TestFlowsSaturate(t *testing.T) {
	p := Pair{wallet(1), wallet(2)}
	var most uint256.Int
	most.SetAllOne()
	most.SubUint64(&most, 1)
	s := New()
	s.AddFlows(one(p, Flow{Asset: tracer.NativeOf(1), Amount: most, Transfers: math.MaxUint32 - 1, First: 9, Last: 12}))
	s.AddFlows(one(p, Flow{Asset: tracer.NativeOf(1), Amount: *uint256.NewInt(1), Transfers: 1, First: 10, Last: 10}))
	var all uint256.Int
	all.SetAllOne()
	want := []pairFlow{{p, Flow{Asset: tracer.NativeOf(1), Amount: all, Transfers: math.MaxUint32, First: 9, Last: 12}}}
	for range 2 { // exactly full, and over it
		if got := allFlows(s); !slices.Equal(got, want) {
			t.Errorf("Flows are %v, want %v", got, want)
		}
		s.AddFlows(one(p, Flow{Asset: tracer.NativeOf(1), Amount: *uint256.NewInt(5), Transfers: 5, First: 12, Last: 12}))
	}
}

// More assets between two wallets than a row has numbers for: nobody needs
// permission to send a token.
func TestFlowsOfManyAssets(t *testing.T) {
	const n = codeWide + 1000
	p := Pair{wallet(1), wallet(2)}
	s := New()
	for round := range 2 {
		s.AddFlows(func(yield func(Pair, Flow) bool) {
			for i := range n {
				a := tracer.TokenOf(1, common.Address{0: byte(i >> 8), 1: byte(i)})
				yield(p, Flow{Asset: a, Amount: *uint256.NewInt(uint64(i)), Transfers: 1, First: uint64(round), Last: uint64(round)})
			}
		})
	}
	i := 0
	for _, f := range s.Flows() {
		want := Flow{Asset: tracer.TokenOf(1, common.Address{0: byte(i >> 8), 1: byte(i)}), Amount: *uint256.NewInt(2 * uint64(i)), Transfers: 2, Last: 1}
		if f != want {
			t.Fatalf("flow %d is %v, want %v", i, f, want)
		}
		i++
	}
	if i != n {
		t.Errorf("%d flows, want %d", i, n)
	}
	if got := s.Freeze().Pairs(); got != 1 {
		t.Errorf("%d pairs, want 1", got)
	}
}

func TestAddFlowsEqualsAdd(t *testing.T) {
	for seed := range uint64(5) {
		ts := world(rand.New(rand.NewPCG(seed, 5)), 400)
		byTransfers, byFlows := New(), New()
		byTransfers.Add(ts)
		byFlows.AddFlows(byTransfers.Flows())
		if got, want := allFlows(byFlows), naiveFlows(ts); !slices.Equal(got, want) {
			t.Errorf("seed %d: flows differ: %s", seed, gocmp.Diff(want, got))
		}
	}
}

// A row that grows past its columns and a pair that goes away leave nothing
// behind that the next ones could trip over.
func TestRowsAreReused(t *testing.T) {
	s := New()
	g := s.Graph()
	big := Flow{Asset: tracer.NativeOf(1), Amount: uint256.Int{3: 1}, Transfers: 1}
	for i := range 50 {
		if err := g.AddVertex(wallet(i)); err != nil {
			t.Fatal(err)
		}
	}
	for round := range 3 {
		for i := 1; i < 50; i++ {
			s.AddFlows(one(Pair{wallet(0), wallet(i)}, big))
			if i%2 == 0 {
				s.AddFlows(one(Pair{wallet(0), wallet(i)}, Flow{Asset: tracer.TokenOf(1, common.Address{1}), Transfers: uint32(round + 1)}))
			}
		}
		if got := len(allFlows(s)); got != 73 {
			t.Fatalf("round %d: %d flows, want 73", round, got)
		}
		for i := 1; i < 50; i++ {
			if err := g.RemoveEdge(wallet(0), wallet(i)); err != nil {
				t.Fatal(err)
			}
		}
		if got := len(allFlows(s)); got != 0 {
			t.Fatalf("round %d: %d flows are left", round, got)
		}
	}
	if s.flows.n > 73 || len(s.wideFlows) > 49 || s.flowIndex.n != 0 {
		t.Errorf("%d rows, %d wide ones, %d in the index after the same 73 flows three times", s.flows.n, len(s.wideFlows), s.flowIndex.n)
	}
}

// Everything that reads, at once, on a store that nobody has read yet.
func TestConcurrentReads(t *testing.T) {
	ts := world(rand.New(rand.NewPCG(3, 3)), 250)
	s := New()
	s.Add(ts)
	for range 2 {
		var wg sync.WaitGroup
		answers := make([]string, 8)
		for i := range answers {
			wg.Go(func() {
				var b strings.Builder
				w := tracer.Wallet{Chain: 1, Address: ts[0].From}
				edges, _ := s.ListEdges()
				v := s.Freeze()
				_, components := v.Components()
				fmt.Fprint(&b, len(slices.Collect(s.Transfers())), len(slices.Collect(s.Of(w))), len(allFlows(s)),
					len(edges), components, v.Depths([]uint32{0}, -1), v.In(0))
				if err := s.WriteSnapshot(&b); err != nil {
					t.Error(err)
				}
				answers[i] = b.String()
			})
		}
		wg.Wait()
		for i, a := range answers {
			if a != answers[0] {
				t.Errorf("reader %d got another answer", i)
			}
		}
		s.Add(world(rand.New(rand.NewPCG(4, 4)), 20))
	}
}
