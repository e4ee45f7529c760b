//go:build unix

// Package gonum compares graphstore with the graphs of gonum.org/v1/gonum, in
// a module of its own so that nothing else depends on gonum. In this folder:
//
//	go test -bench .
package gonum

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"time"

	"scamtrace/graphstore"
	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
	"gonum.org/v1/gonum/graph"
	"gonum.org/v1/gonum/graph/simple"
	"gonum.org/v1/gonum/graph/topo"
	"gonum.org/v1/gonum/graph/traverse"
)

const million = 1_000_000

// pairs returns a million pairs of about 240,000 wallets whose degrees follow a
// power law with exponent 2.25, as in the benchmarks of graphstore.
var pairs = sync.OnceValue(func() []graphstore.Pair {
	rng := rand.New(rand.NewPCG(1, 1))
	wallets := make([]tracer.Wallet, million*10/42)
	for i := range wallets {
		wallets[i].Chain = 1
		for j := 0; j < 20; j += 4 {
			binary.LittleEndian.PutUint32(wallets[i].Address[j:], rng.Uint32())
		}
	}
	const shift = 5
	low, high := math.Pow(shift, 0.2), math.Pow(float64(len(wallets)+shift), 0.2)
	pick := func() int { return min(int(math.Pow(low+rng.Float64()*(high-low), 5)-shift), len(wallets)-1) }
	seen := make(map[graphstore.Pair]bool, million)
	out := make([]graphstore.Pair, 0, million)
	for len(out) < million {
		p := graphstore.Pair{From: wallets[pick()], To: wallets[(pick()*2_654_435_761+7)%len(wallets)]}
		if p.From != p.To && !seen[p] {
			seen[p] = true
			out = append(out, p)
		}
	}
	return out
})

func ours() *graphstore.View {
	s := graphstore.New()
	s.AddFlows(func(yield func(graphstore.Pair, graphstore.Flow) bool) {
		for _, p := range pairs() {
			yield(p, graphstore.Flow{Asset: tracer.NativeOf(1), Transfers: 1})
		}
	})
	return s.Freeze()
}

// theirs gives the addresses numbers and puts the pairs into a graph.
func theirs() (*simple.DirectedGraph, map[common.Address]int64) {
	g := simple.NewDirectedGraph()
	ids := make(map[common.Address]int64)
	node := func(a common.Address) simple.Node {
		id, ok := ids[a]
		if !ok {
			id = int64(len(ids))
			ids[a] = id
		}
		return simple.Node(id)
	}
	for _, p := range pairs() {
		g.SetEdge(simple.Edge{F: node(p.From.Address), T: node(p.To.Address)})
	}
	return g, ids
}

// race runs the same question on both, and reports the processor time of each
// and how many times ours gonum's is. The answers must be the same.
func race(b *testing.B, gonum, ours func() int) {
	cpu := func(b *testing.B, f func() int) (time.Duration, int) {
		n := 0
		used := func() time.Duration {
			var r syscall.Rusage
			if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
				b.Fatal(err)
			}
			return time.Duration(r.Utime.Nano() + r.Stime.Nano())
		}
		start := used()
		for b.Loop() {
			n = f()
		}
		d := (used() - start) / time.Duration(b.N)
		b.ReportMetric(d.Seconds()*1e3, "cpu-ms/op")
		return d, n
	}
	var slow time.Duration
	want := -1
	b.Run("gonum", func(b *testing.B) { slow, want = cpu(b, gonum) })
	b.Run("graphstore", func(b *testing.B) {
		quick, got := cpu(b, ours)
		if slow > 0 {
			b.ReportMetric(slow.Seconds()/quick.Seconds(), "x-gonum")
		}
		if want >= 0 && got != want {
			b.Errorf("graphstore says %d, gonum %d", got, want)
		}
	})
}

func BenchmarkBuild(b *testing.B) {
	pairs()
	race(b,
		func() int { g, _ := theirs(); return g.Nodes().Len() },
		func() int { return ours().Len() })
}

func BenchmarkReach(b *testing.B) {
	g, ids := theirs()
	v := ours()
	from := pairs()[0].From
	id, _ := v.ID(from)
	race(b,
		func() int {
			n := 0
			search := traverse.BreadthFirst{Visit: func(graph.Node) { n++ }}
			search.Walk(g, simple.Node(ids[from.Address]), nil)
			return n
		},
		func() int {
			n := 0
			for _, d := range v.Depths([]uint32{id}, -1) {
				if d >= 0 {
					n++
				}
			}
			return n
		})
}

func BenchmarkComponents(b *testing.B) {
	g, _ := theirs()
	v := ours()
	race(b,
		func() int { return len(topo.ConnectedComponents(graph.Undirect{G: g})) },
		func() int { _, n := v.Components(); return n })
}
