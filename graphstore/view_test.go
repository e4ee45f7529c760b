package graphstore

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
)

// A plainGraph is the graph as maps, for naive answers.
type plainGraph map[tracer.Wallet]map[tracer.Wallet]bool

// randomGraph returns a store and its pairs. Wallet 0 has the zero address.
func randomGraph(rng *rand.Rand, wallets, pairs int) (*Store, plainGraph) {
	s, g := New(), make(plainGraph)
	for _, i := range rng.Perm(wallets) {
		w := wallet(i)
		if i%5 == 4 {
			w.Chain = 2
		}
		g[w] = make(map[tracer.Wallet]bool)
		s.wallet(&w)
	}
	all := slices.SortedFunc(func(yield func(tracer.Wallet) bool) {
		for w := range g {
			if !yield(w) {
				return
			}
		}
	}, tracer.Wallet.Compare)
	for range pairs {
		a, b := all[rng.IntN(wallets)], all[rng.IntN(wallets)]
		g[a][b] = true
		s.AddFlows(one(Pair{a, b}, Flow{Asset: tracer.TokenOf(1, common.Address{byte(rng.IntN(2))}), Transfers: 1}))
	}
	return s, g
}

// depths is breadth-first search, one hop after the other.
func (g plainGraph) depths(from []tracer.Wallet, maxHops int) map[tracer.Wallet]int {
	depth := make(map[tracer.Wallet]int)
	for _, w := range from {
		if _, ok := g[w]; ok {
			depth[w] = 0
		}
	}
	for d, grew := 0, true; grew && (maxHops < 0 || d < maxHops); d++ {
		grew = false
		for a := range g {
			if got, ok := depth[a]; !ok || got != d {
				continue
			}
			for b := range g[a] {
				if _, ok := depth[b]; !ok {
					depth[b] = d + 1
					grew = true
				}
			}
		}
	}
	return depth
}

// way finds the first of the shortest ways by trying all.
func (g plainGraph) way(from []tracer.Wallet, to tracer.Wallet) []tracer.Wallet {
	var ways [][]tracer.Wallet // of one length, the first to each end
	for _, w := range from {
		if _, ok := g[w]; ok {
			ways = append(ways, []tracer.Wallet{w})
		}
	}
	compare := func(a, b []tracer.Wallet) int {
		return cmp.Or(cmp.Compare(slices.Index(from, a[0]), slices.Index(from, b[0])), slices.CompareFunc(a, b, tracer.Wallet.Compare))
	}
	for range g {
		slices.SortFunc(ways, compare)
		longer := make(map[tracer.Wallet][]tracer.Wallet)
		for _, way := range ways {
			end := way[len(way)-1]
			if end == to {
				return way
			}
			for b := range g[end] {
				next := append(slices.Clone(way), b)
				if old, ok := longer[b]; !ok || compare(next, old) < 0 {
					longer[b] = next
				}
			}
		}
		ways = slices.Collect(maps.Values(longer))
	}
	return nil
}

func TestView(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 0))
		n := 1 + rng.IntN(40)
		s, g := randomGraph(rng, n, rng.IntN(3*n))
		v := s.Freeze()
		if v != s.Freeze() {
			t.Fatal("Freeze built a second view of the same store")
		}
		t.Run(fmt.Sprint(seed), func(t *testing.T) { checkView(t, rng, v, g) })
	}
}

func checkView(t *testing.T, rng *rand.Rand, v *View, g plainGraph) {
	if v.Len() != len(g) {
		t.Fatalf("Len() = %d, want %d", v.Len(), len(g))
	}
	pairs := 0
	for id := range uint32(v.Len()) {
		w := v.Wallet(id)
		if got, ok := v.ID(w); !ok || got != id {
			t.Fatalf("ID(%v) = %d, %t, want %d", w, got, ok, id)
		}
		if id > 0 && v.Wallet(id-1).Compare(w) >= 0 {
			t.Fatalf("wallet %d is out of order", id)
		}
		if !slices.IsSorted(v.Out(id)) || !slices.IsSorted(v.In(id)) || len(v.Out(id)) != len(g[w]) {
			t.Fatalf("wallet %d pays %v and is paid by %v", id, v.Out(id), v.In(id))
		}
		for _, b := range v.Out(id) {
			if !g[w][v.Wallet(b)] || !slices.Contains(v.In(b), id) {
				t.Fatalf("wallet %d does not pay %d", id, b)
			}
		}
		pairs += len(v.In(id))
	}
	if pairs != v.Pairs() {
		t.Fatalf("%d pairs by receiver, %d in all", pairs, v.Pairs())
	}

	stranger := tracer.Wallet{Chain: 9}
	if _, ok := v.ID(stranger); ok {
		t.Fatal("the view has a wallet of chain 9")
	}
	pick := func() tracer.Wallet { return v.Wallet(rng.Uint32N(uint32(v.Len()))) }
	for _, hops := range []int{0, 1, 2, 3, -1} {
		from := []tracer.Wallet{pick(), stranger, pick()}
		want := g.depths(from, hops)
		last := 0
		got := make(map[tracer.Wallet]int)
		for w, d := range v.Reach(from, hops) {
			if _, twice := got[w]; twice || d < last {
				t.Fatalf("Reach yields %v at %d twice or late", w, d)
			}
			got[w], last = d, d
		}
		if len(got) != len(want) {
			t.Fatalf("Reach(%v, %d) = %v, want %v", from, hops, got, want)
		}
		for w, d := range want {
			if got[w] != d {
				t.Fatalf("Reach(%v, %d): %v at %d, want %d", from, hops, w, got[w], d)
			}
		}
		checkReached(t, rng, v, hops)
	}

	component, n := v.Components()
	undirected := make(plainGraph)
	for a := range g {
		undirected[a] = make(map[tracer.Wallet]bool)
	}
	for a, out := range g {
		for b := range out {
			undirected[a][b], undirected[b][a] = true, true
		}
	}
	next := uint32(0)
	for id := range uint32(v.Len()) {
		if component[id] > next {
			t.Fatalf("component %d before %d", component[id], next)
		}
		next = max(next, component[id]+1)
		reach := undirected.depths([]tracer.Wallet{v.Wallet(id)}, -1)
		for other := range uint32(v.Len()) {
			if _, want := reach[v.Wallet(other)]; want != (component[other] == component[id]) {
				t.Fatalf("wallets %d and %d: components %d and %d, connected %t", id, other, component[id], component[other], want)
			}
		}
	}
	if int(next) != n {
		t.Fatalf("%d components, numbered up to %d", n, next)
	}

	for range 20 {
		a, b := pick(), pick()
		if got, want := v.Path(a, b), g.way([]tracer.Wallet{a}, b); !slices.Equal(got, want) {
			t.Fatalf("Path(%v, %v) = %v, want %v", a, b, got, want)
		}
	}
	from := []tracer.Wallet{pick(), stranger, pick(), pick()}
	ways := v.Ways(from)
	for id := range uint32(v.Len()) {
		to := v.Wallet(id)
		if got, want := ways.To(to), g.way(from, to); !slices.Equal(got, want) {
			t.Fatalf("Ways(%v).To(%v) = %v, want %v", from, to, got, want)
		}
	}
	if v.Path(stranger, pick()) != nil || v.Path(pick(), stranger) != nil || v.Path(stranger, stranger) != nil {
		t.Fatal("there is a path with a wallet of chain 9")
	}
}

// checkReached compares 70 searches in two passes with 70 searches.
func checkReached(t *testing.T, rng *rand.Rand, v *View, hops int) {
	t.Helper()
	from := make([]tracer.Wallet, 70)
	for i := range from {
		from[i] = v.Wallet(rng.Uint32N(uint32(v.Len())))
	}
	from[69] = tracer.Wallet{Chain: 9}
	got := v.Reached(from, hops)
	if len(got) != 2 {
		t.Fatalf("Reached of 70 returned %d slices", len(got))
	}
	for i, w := range from {
		id, ok := v.ID(w)
		var depth []int32
		if ok {
			depth = v.Depths([]uint32{id}, hops)
		}
		for other := range v.Len() {
			want := ok && depth[other] >= 0
			if got := got[i/64][other]>>(i%64)&1 == 1; got != want {
				t.Fatalf("Reached(%d hops): source %d to wallet %d is %t, want %t", hops, i, other, got, want)
			}
		}
	}
}

// A view answers as before while the store it came from grows.
func TestViewDoesNotChange(t *testing.T) {
	s, _ := randomGraph(rand.New(rand.NewPCG(1, 1)), 30, 60)
	v := s.Freeze()
	ask := func() string {
		c, n := v.Components()
		return fmt.Sprint(v.Len(), v.Pairs(), c, n, v.Depths([]uint32{0}, -1), v.Path(v.Wallet(0), v.Wallet(29)), v.In(3))
	}
	before := ask()
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range 2000 {
			s.AddFlows(one(Pair{wallet(i), wallet(i + 1)}, Flow{Asset: tracer.NativeOf(1), Transfers: 1}))
		}
	})
	for range 20 {
		if got := ask(); got != before {
			t.Errorf("the view says %s, before %s", got, before)
		}
	}
	wg.Wait()
	if got := s.Freeze().Len(); got <= 30 {
		t.Errorf("a new view has %d wallets, want more than 30", got)
	}
}

// Nothing recurses: a way may be as long as it likes.
func TestLongWay(t *testing.T) {
	const n = 300_000
	at := func(i int) tracer.Wallet {
		return tracer.Wallet{Chain: 1, Address: common.Address{0: byte(i * 7), 17: byte(i >> 16), 18: byte(i >> 8), 19: byte(i)}}
	}
	s := New()
	s.AddFlows(func(yield func(Pair, Flow) bool) {
		for i := range n {
			yield(Pair{at(i), at(i + 1)}, Flow{Asset: tracer.NativeOf(1), Transfers: 1})
		}
	})
	v := s.Freeze()
	if got := len(v.Path(at(0), at(n))); got != n+1 {
		t.Errorf("the way has %d wallets, want %d", got, n+1)
	}
	reached := 0
	for _, by := range v.Reached([]tracer.Wallet{at(0)}, -1)[0] {
		reached += int(by)
	}
	if reached != n+1 {
		t.Errorf("the first wallet reaches %d, want %d", reached, n+1)
	}
	if _, components := v.Components(); components != 1 {
		t.Errorf("%d components, want 1", components)
	}
}

// More wallets whose addresses begin alike than the heaps are made for, on
// more chains than one.
func TestViewOfLikeAddresses(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	s := New()
	for range 400 {
		var p Pair
		for _, w := range []*tracer.Wallet{&p.From, &p.To} {
			w.Chain = rng.Uint64N(3)
			w.Address = common.Address{0: 0xde, 1: 0xad, 9: byte(rng.IntN(2)), 10: byte(rng.IntN(2)), 19: byte(rng.IntN(256))}
			if rng.IntN(4) == 0 {
				w.Address[1] = byte(rng.IntN(256))
			}
		}
		s.AddFlows(one(p, Flow{Asset: tracer.NativeOf(1), Transfers: 1}))
	}
	v := s.Freeze()
	if v.Len() != s.Wallets() {
		t.Fatalf("%d wallets, want %d", v.Len(), s.Wallets())
	}
	for id := range uint32(v.Len()) {
		if id > 0 && v.Wallet(id-1).Compare(v.Wallet(id)) >= 0 {
			t.Fatalf("wallet %d is out of order", id)
		}
	}
}
