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

	"github.com/dominikbraun/graph"
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
	slices.SortFunc(all, comparePairFlows)
	return all
}

func comparePairFlows(a, b pairFlow) int {
	return cmp.Or(a.From.Compare(b.From), a.To.Compare(b.To), a.Asset.Compare(b.Asset))
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

// Wallets and assets that differ in one bit, wherever it is, are different.
func TestOneBit(t *testing.T) {
	base := tracer.Wallet{Chain: 0x0102_0304_0506_0708, Address: common.HexToAddress("0xdAC17F958D2ee523a2206206994597C13D831ec7")}
	wallets := []tracer.Wallet{base}
	for bit := range 64 {
		w := base
		w.Chain ^= 1 << bit
		wallets = append(wallets, w)
	}
	for bit := range 160 {
		w := base
		w.Address[bit/8] ^= 1 << (bit % 8)
		wallets = append(wallets, w)
	}
	s, assets := New(), New()
	for range 2 { // unknown, and known
		for i, w := range wallets {
			for kind := range tracer.AssetKind(4) {
				a := tracer.Asset{Chain: w.Chain, Token: w.Address, Kind: kind}
				if got, want := assets.asset(&a), uint32(i)*4+uint32(kind); got != want {
					t.Fatalf("asset(%v) = %d, want %d", a, got, want)
				}
			}
			s.AddFlows(one(Pair{w, w}, Flow{Asset: tracer.NativeOf(1), Transfers: 1}))
			if got, ok := s.WalletID(w); !ok || got != uint32(i) || s.Wallets() < i+1 || s.Wallet(got) != w {
				t.Fatalf("WalletID(%v) = %d, %t, want %d", w, got, ok, i)
			}
		}
	}
	if got := s.Wallets(); got != len(wallets) {
		t.Errorf("%d wallets, want %d", got, len(wallets))
	}
}

// Flows that wait to be merged are in every answer, whatever is asked first
// and whatever was added, changed and removed between.
func TestFlowsWait(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 7))
		ts := world(rng, 120)
		s := New()
		g := s.Graph()
		want := make(map[Pair]map[tracer.Asset]Flow)
		merge := func(p Pair, f Flow) {
			if want[p] == nil {
				want[p] = make(map[tracer.Asset]Flow)
			}
			old, ok := want[p][f.Asset]
			if ok {
				f.Transfers, f.First, f.Last = f.Transfers+old.Transfers, min(f.First, old.First), max(f.Last, old.Last)
				if _, over := f.Amount.AddOverflow(&f.Amount, &old.Amount); over {
					f.Amount.SetAllOne()
				}
			}
			want[p][f.Asset] = f
		}
		pick := func() tracer.Wallet {
			return tracer.Wallet{Chain: 1, Address: common.Address{19: byte(rng.IntN(12))}}
		}
		for range 60 {
			switch rng.IntN(8) {
			case 0, 1:
				n := rng.IntN(len(ts) + 1)
				s.Add(ts[:n])
				for _, f := range naiveFlows(ts[:n]) {
					merge(f.Pair, f.Flow)
				}
				ts = ts[n:]
			case 2, 3, 4:
				s.AddFlows(func(yield func(Pair, Flow) bool) {
					for range rng.IntN(2 * batchLen) {
						p, f := Pair{pick(), pick()}, randomFlow(rng, rng.IntN(3))
						merge(p, f)
						if !yield(p, f) {
							return
						}
					}
				})
			case 5:
				p, f := Pair{pick(), pick()}, randomFlow(rng, rng.IntN(3))
				addVertices(g, p)
				if err := g.AddEdge(p.From, p.To, graph.EdgeData(f)); (err == nil) != (want[p] == nil) {
					t.Fatalf("seed %d: AddEdge of %v: %v, and %d flows are there", seed, p, err, len(want[p]))
				} else if err == nil {
					merge(p, f)
				}
			case 6:
				p := Pair{pick(), pick()}
				if err := g.RemoveEdge(p.From, p.To); (err == nil) != (want[p] != nil) {
					t.Fatalf("seed %d: RemoveEdge of %v: %v, and %d flows are there", seed, p, err, len(want[p]))
				}
				delete(want, p)
			case 7:
				v := s.Freeze()
				if v.Pairs() != len(want) {
					t.Fatalf("seed %d: the view has %d pairs, want %d", seed, v.Pairs(), len(want))
				}
			}
			if rng.IntN(10) > 0 {
				continue
			}
			var flows []pairFlow
			for p, m := range want {
				for _, f := range m {
					flows = append(flows, pairFlow{p, f})
				}
			}
			slices.SortFunc(flows, comparePairFlows)
			if got := allFlows(s); !slices.Equal(got, flows) {
				t.Fatalf("seed %d: Flows differ: %s", seed, gocmp.Diff(flows, got))
			}
			if n, _ := s.EdgeCount(); n != len(want) {
				t.Fatalf("seed %d: EdgeCount() = %d, want %d", seed, n, len(want))
			}
		}
	}
}

// The same flows again and again take no more room than once, too wide for a
// row or not.
func TestFlowsThatRepeat(t *testing.T) {
	s := New()
	const pairs, rounds = 1 << 10, maxWaiting>>10 + 1
	amount := func(i int) uint256.Int { return uint256.Int{0: 1, 3: uint64(i % 2)} }
	s.AddFlows(func(yield func(Pair, Flow) bool) {
		for i := range pairs * rounds {
			yield(Pair{wallet(i % pairs), wallet(0)}, Flow{Asset: tracer.NativeOf(1), Amount: amount(i), Transfers: 1})
		}
	})
	if s.flows.n > 2*pairs {
		t.Errorf("%d rows for %d flows", s.flows.n, pairs)
	}
	n := 0
	for _, f := range s.Flows() {
		want := amount(n)
		want.Mul(&want, uint256.NewInt(rounds))
		if f.Transfers != rounds || f.Amount != want {
			t.Fatalf("flow %d is %v, want %d transfers of %v", n, f, rounds, want)
		}
		n++
	}
	if len(s.pairs.pieces) > 1 || len(s.flows.pieces) > 1 {
		t.Errorf("%d and %d pieces of %d rows are left for %d flows", len(s.pairs.pieces), len(s.flows.pieces), pieceLen, pairs)
	}
	if used := s.wideFlows.n - len(s.freeWide); n != pairs || used != pairs/2 {
		t.Errorf("%d flows, %d of them wide, want %d and half of them", n, used, pairs)
	}
}

// A sequence that panics leaves a store that works.
func TestAddFlowsPanics(t *testing.T) {
	s := New()
	func() {
		defer func() { recover() }()
		s.AddFlows(func(yield func(Pair, Flow) bool) {
			for i := range 3 * batchLen / 2 {
				yield(Pair{wallet(i), wallet(i + 1)}, Flow{Asset: tracer.NativeOf(1), Transfers: 1})
			}
			panic("the file is gone")
		})
	}()
	s.AddFlows(one(Pair{wallet(0), wallet(1)}, Flow{Asset: tracer.NativeOf(1), Transfers: 1}))
	all := allFlows(s)
	if len(all) == 0 || all[0].Transfers != 2 {
		t.Errorf("the flow that came before and after the panic is %v, want 2 transfers", all)
	}
	if n, _ := s.EdgeCount(); n != len(all) {
		t.Errorf("EdgeCount() = %d, want %d", n, len(all))
	}
}

// What a flow and a transfer take, on any machine. The figures of doc.go are of
// ten times as many.
func TestHeap(t *testing.T) {
	rs := powerLaw(100_000, 5)
	ts := benchTransfers(100_000)
	tests := []struct {
		name  string
		build func() any
		most  float64 // bytes for each
	}{
		{"flow", func() any { return build(rs) }, 44},
		{"merged flow", func() any { return merged(build(rs)) }, 50},
		{"flow through AddEdge", func() any { return buildGraph(rs) }, 54},
		{"transfer", func() any { return merged(added(ts)) }, 120},
		{"pair of a view", func() any { return build(rs).Freeze() }, 12},
	}
	for _, tt := range tests {
		if _, heap := live(tt.build); heap/100_000 > tt.most {
			t.Errorf("a %s takes %.1f bytes, want at most %.1f", tt.name, heap/100_000, tt.most)
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
	if s.flows.n > 73 || s.wideFlows.n > 49 || s.flowIndex.n != 0 {
		t.Errorf("%d rows, %d wide ones, %d in the index after the same 73 flows three times", s.flows.n, s.wideFlows.n, s.flowIndex.n)
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
				n, _ := s.EdgeCount()
				fmt.Fprint(&b, n, len(slices.Collect(s.Transfers())), len(slices.Collect(s.Of(w))), len(allFlows(s)),
					len(edges), components, v.Depths([]uint32{0}, -1), v.In(0), v.Reached([]tracer.Wallet{w}, -1), v.Ways([]tracer.Wallet{w}).To(v.Wallet(0)))
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
