package graphstore

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"scamtrace/tracer"

	"github.com/dominikbraun/graph"
	"github.com/ethereum/go-ethereum/common"
	gocmp "github.com/google/go-cmp/cmp"
	"github.com/holiman/uint256"
)

type walletGraph = graph.Graph[tracer.Wallet, tracer.Wallet]

// kind returns the library's error that err wraps.
func kind(err error) error {
	for _, e := range []error{
		graph.ErrVertexNotFound, graph.ErrVertexAlreadyExists, graph.ErrVertexHasEdges,
		graph.ErrEdgeNotFound, graph.ErrEdgeAlreadyExists, graph.ErrEdgeCreatesCycle, graph.ErrTargetNotReachable,
	} {
		if errors.Is(err, e) {
			return e
		}
	}
	return err
}

// text writes an edge without telling nil from empty.
func text(e graph.Edge[tracer.Wallet]) string {
	flows, _ := e.Properties.Data.([]Flow)
	if e.Properties.Attributes == nil || len(e.Properties.Attributes) > 0 {
		return fmt.Sprintf("attributes %v", e.Properties.Attributes)
	}
	return fmt.Sprintf("%v -> %v: weight %d, %v", e.Source, e.Target, e.Properties.Weight, flows)
}

func texts(m map[tracer.Wallet]map[tracer.Wallet]graph.Edge[tracer.Wallet]) map[tracer.Wallet]map[tracer.Wallet]string {
	out := make(map[tracer.Wallet]map[tracer.Wallet]string)
	for a, edges := range m {
		out[a] = make(map[tracer.Wallet]string)
		for b, e := range edges {
			out[a][b] = text(e)
		}
	}
	return out
}

// randomFlows returns what an edge may carry, and how the library's own store
// is told so: sorted and added up, with the weight that follows.
func randomFlows(rng *rand.Rand) (data any, weight int, flows []Flow) {
	switch n := rng.IntN(4); n {
	case 0:
		return nil, rng.IntN(100_000), nil
	case 1:
		f := randomFlow(rng, rng.IntN(3))
		return f, 0, []Flow{f}
	default:
		for i := range n {
			flows = append(flows, randomFlow(rng, i))
		}
		data = slices.Clone(flows)
		rng.Shuffle(len(flows), func(i, j int) { data.([]Flow)[i], data.([]Flow)[j] = data.([]Flow)[j], data.([]Flow)[i] })
		return data, 0, flows
	}
}

func randomFlow(rng *rand.Rand, asset int) Flow {
	a := tracer.NativeOf(1)
	if asset > 0 {
		a = tracer.TokenOf(1, common.Address{byte(asset)})
	}
	return Flow{Asset: a, Amount: uint256.Int{rng.Uint64(), rng.Uint64() >> rng.UintN(64)}, Transfers: rng.Uint32() >> (4 + rng.UintN(28)), First: rng.Uint64N(100), Last: rng.Uint64() >> rng.UintN(60)}
}

// The same random calls on the library's own store and on ours.
func TestAgainstLibrary(t *testing.T) {
	hash := func(w tracer.Wallet) tracer.Wallet { return w }
	for seed := range uint64(24) {
		rng := rand.New(rand.NewPCG(seed, 0))
		s := New()
		lib, ours := graph.New(hash, graph.Directed()), s.Graph()
		if seed%4 == 3 {
			lib = graph.New(hash, graph.Directed(), graph.PreventCycles())
			ours = graph.NewWithStore(hash, graph.Store[tracer.Wallet, tracer.Wallet](s), graph.Directed(), graph.PreventCycles())
		}
		for step := range 400 {
			a, b := wallet(rng.IntN(12)), wallet(rng.IntN(12))
			var what string
			var e1, e2 error
			switch op := rng.IntN(12); op {
			case 0, 1:
				what = "AddVertex"
				e1, e2 = lib.AddVertex(a), ours.AddVertex(a)
			case 2:
				what = "RemoveVertex"
				e1, e2 = lib.RemoveVertex(a), ours.RemoveVertex(a)
			case 3, 4:
				what = "RemoveEdge"
				e1, e2 = lib.RemoveEdge(a, b), ours.RemoveEdge(a, b)
			case 5, 6:
				what = "UpdateEdge"
				data, weight, flows := randomFlows(rng)
				for _, f := range flows {
					weight += int(f.Transfers)
				}
				set := func(d any) func(*graph.EdgeProperties) {
					return func(p *graph.EdgeProperties) { p.Data, p.Weight = d, weight }
				}
				e1, e2 = lib.UpdateEdge(a, b, set(flows)), ours.UpdateEdge(a, b, set(data))
			default:
				what = "AddEdge"
				data, weight, flows := randomFlows(rng)
				ourOptions := []func(*graph.EdgeProperties){graph.EdgeWeight(weight), graph.EdgeData(data)}
				for _, f := range flows {
					weight += int(f.Transfers)
				}
				e1 = lib.AddEdge(a, b, graph.EdgeWeight(weight), graph.EdgeData(flows))
				e2 = ours.AddEdge(a, b, ourOptions...)
			}
			if kind(e1) != kind(e2) {
				t.Fatalf("seed %d step %d: %s(%v, %v): the library says %v, ours %v", seed, step, what, a, b, e1, e2)
			}
			compareGraphs(t, fmt.Sprintf("seed %d step %d after %s", seed, step, what), lib, ours, a, b)
			if step%40 == 0 {
				compareWhole(t, fmt.Sprintf("seed %d step %d", seed, step), lib, ours, s)
			}
		}
	}
}

// compareGraphs compares what the graphs say of two wallets.
func compareGraphs(t *testing.T, when string, lib, ours walletGraph, a, b tracer.Wallet) {
	t.Helper()
	v1, p1, e1 := lib.VertexWithProperties(a)
	v2, p2, e2 := ours.VertexWithProperties(a)
	if v1 != v2 || p1.Weight != p2.Weight || len(p1.Attributes) != len(p2.Attributes) || kind(e1) != kind(e2) {
		t.Fatalf("%s: Vertex is %v, %v, want %v, %v", when, v2, e2, v1, e1)
	}
	x, e1 := lib.Edge(a, b)
	y, e2 := ours.Edge(a, b)
	if kind(e1) != kind(e2) || e1 == nil && text(x) != text(y) {
		t.Fatalf("%s: Edge is %v, %v, want %v, %v", when, text(y), e2, text(x), e1)
	}
}

// compareWhole compares everything else.
func compareWhole(t *testing.T, when string, lib, ours walletGraph, s *Store) {
	t.Helper()
	order1, _ := lib.Order()
	order2, _ := ours.Order()
	size1, _ := lib.Size()
	size2, err := ours.Size()
	if count, _ := s.EdgeCount(); order1 != order2 || size1 != size2 || size1 != count || err != nil {
		t.Fatalf("%s: order %d, size %d, count %d, %v; want %d and %d", when, order2, size2, count, err, order1, size1)
	}
	m1, _ := lib.AdjacencyMap()
	m2, _ := ours.AdjacencyMap()
	if d := gocmp.Diff(texts(m1), texts(m2)); d != "" {
		t.Fatalf("%s: AdjacencyMap differs: %s", when, d)
	}
	p1, _ := lib.PredecessorMap()
	p2, _ := ours.PredecessorMap()
	if d := gocmp.Diff(texts(p1), texts(p2)); d != "" {
		t.Fatalf("%s: PredecessorMap differs: %s", when, d)
	}
	edges, _ := ours.Edges()
	if !slices.IsSortedFunc(edges, func(a, b graph.Edge[tracer.Wallet]) int {
		return cmp.Or(a.Source.Compare(b.Source), a.Target.Compare(b.Target))
	}) || len(edges) != size1 {
		t.Fatalf("%s: %d edges, or out of order, want %d", when, len(edges), size1)
	}
	v := s.Freeze()
	for a := range m1 {
		var b1, b2 []tracer.Wallet
		graph.BFS(lib, a, func(w tracer.Wallet) bool { b1 = append(b1, w); return false })
		graph.BFS(ours, a, func(w tracer.Wallet) bool { b2 = append(b2, w); return false })
		var reach []tracer.Wallet
		for w := range v.Reach([]tracer.Wallet{a}, -1) {
			reach = append(reach, w)
		}
		for _, b := range [][]tracer.Wallet{b1, b2, reach} {
			slices.SortFunc(b, tracer.Wallet.Compare)
		}
		if !slices.Equal(b1, b2) || !slices.Equal(b1, reach) {
			t.Fatalf("%s: BFS from %v visits %v, Reach %v, want %v", when, a, b2, reach, b1)
		}
		for b := range m1 {
			s1, e1 := graph.ShortestPath(lib, a, b)
			s2, e2 := graph.ShortestPath(ours, a, b)
			if len(s1) != len(s2) || kind(e1) != kind(e2) {
				t.Fatalf("%s: ShortestPath(%v, %v) is %v, %v, want %v, %v", when, a, b, s2, e2, s1, e1)
			}
			if path := v.Path(a, b); a != b && len(path) != len(s1) {
				t.Fatalf("%s: Path(%v, %v) is %v, want %d wallets", when, a, b, path, len(s1))
			}
			c1, e1 := graph.CreatesCycle(lib, a, b)
			c2, e2 := s.CreatesCycle(a, b)
			if c1 != c2 || kind(e1) != kind(e2) {
				t.Fatalf("%s: CreatesCycle(%v, %v) is %t, %v, want %t, %v", when, a, b, c2, e2, c1, e1)
			}
		}
	}
}

// What an edge hands out is the caller's.
func TestEdgeIsACopy(t *testing.T) {
	s := New()
	s.AddFlows(one(Pair{wallet(1), wallet(2)}, Flow{Asset: tracer.NativeOf(1), Transfers: 3}))
	for range 2 {
		e, err := s.Edge(wallet(1), wallet(2))
		if err != nil {
			t.Fatal(err)
		}
		flows := e.Properties.Data.([]Flow)
		if len(e.Properties.Attributes) != 0 || e.Properties.Weight != 3 || flows[0].Transfers != 3 {
			t.Errorf("edge carries %+v", e.Properties)
		}
		flows[0].Transfers = 9
		e.Properties.Attributes["x"] = "y"
	}
}

func TestNotHeld(t *testing.T) {
	s := New()
	g := s.Graph()
	for i := range 3 {
		if err := g.AddVertex(wallet(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.AddEdge(wallet(0), wallet(1)); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		err  error
	}{
		{"a vertex with a weight", g.AddVertex(wallet(9), graph.VertexWeight(1))},
		{"a vertex with an attribute", g.AddVertex(wallet(9), graph.VertexAttribute("a", "b"))},
		{"a vertex under another's hash", s.AddVertex(wallet(9), wallet(8), graph.VertexProperties{})},
		{"an edge with an attribute", g.AddEdge(wallet(1), wallet(2), graph.EdgeAttribute("a", "b"))},
		{"an edge with other data", g.AddEdge(wallet(1), wallet(2), graph.EdgeData("text"))},
		{"an edge with a negative weight", g.AddEdge(wallet(1), wallet(2), graph.EdgeWeight(-1))},
		{"an update with other data", g.UpdateEdge(wallet(0), wallet(1), graph.EdgeData(7))},
		{"an update with an attribute", g.UpdateEdge(wallet(0), wallet(1), graph.EdgeAttribute("a", "b"))},
	}
	for _, tt := range tests {
		if !errors.Is(tt.err, ErrNotHeld) {
			t.Errorf("%s: %v, want %v", tt.name, tt.err, ErrNotHeld)
		}
	}
	if n, _ := s.VertexCount(); n != 3 {
		t.Errorf("%d vertices, want 3", n)
	}
	if n, _ := s.EdgeCount(); n != 1 {
		t.Errorf("%d edges, want 1", n)
	}
}

// A wallet of a fee has no edge, and still cannot be taken out.
func TestRemoveVertexOfTransfer(t *testing.T) {
	s := New()
	s.Add([]tracer.Transfer{{Asset: tracer.NativeOf(1), From: wallet(1).Address, Amount: *uint256.NewInt(1), Kind: tracer.KindFee}})
	if err := s.RemoveVertex(wallet(1)); !errors.Is(err, graph.ErrVertexHasEdges) {
		t.Errorf("RemoveVertex of a sender of a fee: %v, want %v", err, graph.ErrVertexHasEdges)
	}
	if n, _ := s.EdgeCount(); n != 0 {
		t.Errorf("a fee makes %d edges, want 0", n)
	}
}

// What the library asks a store first, and a caller of the store need not.
func TestAddEdgeAlone(t *testing.T) {
	s := New()
	p := Pair{wallet(1), wallet(2)}
	s.AddFlows(one(p, Flow{Asset: tracer.NativeOf(1), Transfers: 3}))
	edge := graph.Edge[tracer.Wallet]{Source: p.From, Target: p.To}
	if err := s.AddEdge(p.From, p.To, edge); !errors.Is(err, graph.ErrEdgeAlreadyExists) {
		t.Errorf("AddEdge where a flow waits: %v, want %v", err, graph.ErrEdgeAlreadyExists)
	}
	if err := s.AddEdge(p.To, p.From, edge); err != nil {
		t.Errorf("AddEdge the other way: %v", err)
	}
	if n, _ := s.EdgeCount(); n != 2 {
		t.Errorf("%d edges, want 2", n)
	}
}

// A wallet that was removed is back when it has a flow or a transfer.
func TestRemovedWalletComesBack(t *testing.T) {
	p := Pair{wallet(1), wallet(2)}
	for _, add := range []func(*Store){
		func(s *Store) { s.AddFlows(one(p, Flow{Asset: tracer.NativeOf(1), Transfers: 1})) },
		func(s *Store) {
			s.Add([]tracer.Transfer{{Asset: tracer.NativeOf(1), From: p.From.Address, To: p.To.Address, Amount: *uint256.NewInt(1), Kind: tracer.KindNative}})
		},
		func(s *Store) { addVertices(s.Graph(), p) },
	} {
		s := New()
		addVertices(s.Graph(), p)
		for _, w := range []tracer.Wallet{p.From, p.To} {
			if err := s.RemoveVertex(w); err != nil {
				t.Fatal(err)
			}
			if _, ok := s.WalletID(w); ok {
				t.Fatalf("%v is still there", w)
			}
		}
		add(s)
		from, ok1 := s.WalletID(p.From)
		to, ok2 := s.WalletID(p.To)
		if !ok1 || !ok2 || from != 0 || to != 1 || s.Freeze().Len() != 2 {
			t.Errorf("the wallets have the numbers %d, %t and %d, %t, and the view has %d", from, ok1, to, ok2, s.Freeze().Len())
		}
	}
}

// An edge without flows has the weight it was given until a flow comes, also
// after a snapshot.
func TestEdgeWithoutFlows(t *testing.T) {
	p := Pair{wallet(1), wallet(2)}
	for _, weight := range []int{5, 90_000} {
		for _, again := range []func(*Store) *Store{
			func(s *Store) *Store { return s },
			func(s *Store) *Store { return restored(t, snapshot(t, s)) },
		} {
			s := New()
			addVertices(s.Graph(), p)
			if err := s.Graph().AddEdge(p.From, p.To, graph.EdgeWeight(weight)); err != nil {
				t.Fatal(err)
			}
			s = again(s)
			e, err := s.Edge(p.From, p.To)
			if flows, _ := e.Properties.Data.([]Flow); err != nil || len(flows) != 0 || e.Properties.Weight != weight {
				t.Fatalf("the edge is %+v, %v, want weight %d", e, err, weight)
			}
			s = again(s)
			flow := Flow{Asset: tracer.NativeOf(1), Amount: *uint256.NewInt(7), Transfers: 3, First: 4, Last: 9}
			s.AddFlows(one(p, flow))
			if got, want := allFlows(s), []pairFlow{{p, flow}}; !slices.Equal(got, want) {
				t.Errorf("the flows are %v, want %v", got, want)
			}
			if e, err := s.Edge(p.From, p.To); err != nil || e.Properties.Weight != 3 {
				t.Errorf("the edge is %+v, %v, want weight 3", e, err)
			}
		}
	}
}
