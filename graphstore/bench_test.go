package graphstore

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"iter"
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"scamtrace/tracer"

	"github.com/dominikbraun/graph"
	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
)

const million = 1_000_000

// A record is one flow as the benchmarks read it: both engines get the same.
type record struct {
	from, to common.Address
	asset    uint8
	amount   uint256.Int
	count    uint32
	block    uint32
}

var benchAssets = []tracer.Asset{
	tracer.TokenOf(1, common.Address{0xda, 0xc1}),
	tracer.NativeOf(1),
}

func (r *record) flow() (Pair, Flow) {
	return Pair{tracer.Wallet{Chain: 1, Address: r.from}, tracer.Wallet{Chain: 1, Address: r.to}},
		Flow{Asset: benchAssets[r.asset], Amount: r.amount, Transfers: r.count, First: uint64(r.block), Last: uint64(r.block + r.count)}
}

// powerLaw returns n flows, one of each asset a pair at most, on about n/4.2
// wallets whose degrees follow a power law with exponent 2.25, which is what
// token graphs have. One pair in 50 has both assets; amounts have up to 22
// digits.
func powerLaw(n int, seed uint64) []record {
	rng := rand.New(rand.NewPCG(seed, 1))
	wallets := make([]common.Address, n*10/42+1)
	for i := range wallets {
		for j := 0; j < 20; j += 4 {
			binary.LittleEndian.PutUint32(wallets[i][j:], rng.Uint32())
		}
	}
	const shift = 5 // keeps the largest hub at about one flow in 200
	low, high := math.Pow(shift, 0.2), math.Pow(float64(len(wallets)+shift), 0.2)
	pick := func() uint32 {
		x := math.Pow(low+rng.Float64()*(high-low), 5) - shift
		return min(uint32(x), uint32(len(wallets)-1))
	}
	seen := make(map[uint64]bool, n)
	out := make([]record, 0, n)
	add := func(a, b uint32, asset uint8) {
		r := record{from: wallets[a], to: wallets[b], asset: asset, block: uint32(19_000_000 + len(out)), count: 1}
		if rng.IntN(4) == 0 {
			r.count = 1 + rng.Uint32N(30)
		}
		r.amount.SetUint64(rng.Uint64() >> rng.UintN(40))
		if rng.IntN(2) == 0 {
			r.amount.Mul(&r.amount, uint256.NewInt(1000))
		}
		out = append(out, r)
	}
	for len(out) < n {
		a := pick()
		b := uint32((uint64(pick())*2_654_435_761 + 7) % uint64(len(wallets))) // senders and receivers differ
		if key := uint64(a)<<32 | uint64(b); a != b && !seen[key] {
			seen[key] = true
			add(a, b, 0)
			if len(out) < n && rng.IntN(50) == 0 {
				add(a, b, 1)
			}
		}
	}
	return out
}

var millionFlows = sync.OnceValue(func() []record { return powerLaw(million, 1) })

func flowsOf(rs []record) iter.Seq2[Pair, Flow] {
	return func(yield func(Pair, Flow) bool) {
		for i := range rs {
			if !yield(rs[i].flow()) {
				return
			}
		}
	}
}

// build returns a store with the flows of rs.
func build(rs []record) *Store {
	s := New()
	s.AddFlows(flowsOf(rs))
	return s
}

// live returns the bytes that are live after f beyond those before, and keeps
// what f returns alive until it has counted.
func live[T any](f func() T) (T, float64) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&before)
	v := f()
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(v)
	return v, float64(after.HeapAlloc) - float64(before.HeapAlloc)
}

func addVertices(g walletGraph, p Pair) {
	for _, w := range [...]tracer.Wallet{p.From, p.To} {
		if err := g.AddVertex(w); err != nil && err != graph.ErrVertexAlreadyExists {
			panic(err)
		}
	}
}

// buildGraph puts rs into ours through the library's AddEdge.
func buildGraph(rs []record) *Store {
	s := New()
	g := s.Graph()
	for i := range rs {
		p, f := rs[i].flow()
		addVertices(g, p)
		err := g.AddEdge(p.From, p.To, graph.EdgeData(f))
		if err == graph.ErrEdgeAlreadyExists {
			err = g.UpdateEdge(p.From, p.To, func(e *graph.EdgeProperties) { e.Data = append(e.Data.([]Flow), f) })
		}
		if err != nil {
			panic(err)
		}
	}
	return s
}

func stringHash(s string) string { return s }

// buildLibrary puts rs into the library's own store with strings of 20 bytes
// as keys, the flows as data and the number of transfers as weight: what ours
// holds.
func buildLibrary(rs []record) graph.Graph[string, string] {
	g := graph.New(stringHash, graph.Directed())
	for i := range rs {
		p, f := rs[i].flow()
		addLibrary(g, p, f)
	}
	return g
}

func addLibrary(g graph.Graph[string, string], p Pair, f Flow) {
	from, to := string(p.From.Address[:]), string(p.To.Address[:])
	for _, w := range [...]string{from, to} {
		if err := g.AddVertex(w); err != nil && err != graph.ErrVertexAlreadyExists {
			panic(err)
		}
	}
	n := int(f.Transfers)
	err := g.AddEdge(from, to, graph.EdgeWeight(n), graph.EdgeData([]Flow{f}))
	if err == graph.ErrEdgeAlreadyExists {
		err = g.UpdateEdge(from, to, func(e *graph.EdgeProperties) {
			e.Weight += n
			e.Data = append(e.Data.([]Flow), f)
		})
	}
	if err != nil {
		panic(err)
	}
}

func libraryComponents(g graph.Graph[string, string]) int {
	// The library has no weak components: union-find over what it hands out.
	m, err := g.AdjacencyMap()
	if err != nil {
		panic(err)
	}
	parent := make(map[string]string, len(m))
	find := func(a string) string {
		for parent[a] != "" {
			if p := parent[parent[a]]; p != "" {
				parent[a] = p
			}
			a = parent[a]
		}
		return a
	}
	n := len(m)
	for a, out := range m {
		for b := range out {
			if x, y := find(a), find(b); x != y {
				parent[x] = y
				n--
			}
		}
	}
	return n
}

// costs are the processor times of one run of each sub-benchmark.
type costs map[string]time.Duration

// run benchmarks f under a name. Besides the clock's time it reports the
// processor's, all threads together, and how many times that of f the library
// needed, if that was run before.
func (c costs) run(b *testing.B, name string, f func(b *testing.B)) {
	start := cpuTime()
	for b.Loop() {
		f(b)
	}
	c.report(b, name, (cpuTime()-start)/time.Duration(b.N))
}

const library = "library"

func (c costs) report(b *testing.B, name string, cpu time.Duration) {
	c[name] = cpu
	b.ReportMetric(cpu.Seconds()*1e3, "cpu-ms/op")
	if lib := c[library]; lib > 0 && name != library {
		b.ReportMetric(lib.Seconds()/cpu.Seconds(), "x-library")
	}
}

// merged returns s when everything in it can be found by its wallets.
func merged(s *Store) *Store {
	s.settle()
	return s
}

func BenchmarkBuild(b *testing.B) {
	rs := millionFlows()
	c := make(costs)
	engine := func(name string, build func() any) {
		b.Run(name, func(b *testing.B) {
			_, heap := live(build)
			c.run(b, name, func(*testing.B) { build() })
			b.ReportMetric(float64(len(rs))*float64(b.N)/b.Elapsed().Seconds(), "flows/s")
			b.ReportMetric(heap/float64(len(rs)), "B/flow")
		})
	}
	engine(library, func() any { return buildLibrary(rs) })
	engine("AddEdge", func() any { return buildGraph(rs) })
	engine("AddFlows", func() any { return merged(build(rs)) })
	engine("AddFlows, waiting", func() any { return build(rs) })
}

func BenchmarkFreeze(b *testing.B) {
	s := build(millionFlows())
	_, heap := live(s.Freeze)
	for b.Loop() {
		s.changed()
		s.Freeze()
	}
	b.ReportMetric(heap/million, "B/flow")
}

// hub returns the wallet with the most receivers.
func hub(v *View) tracer.Wallet {
	best := uint32(0)
	for a := range uint32(v.Len()) {
		if len(v.Out(a)) > len(v.Out(best)) {
			best = a
		}
	}
	return v.Wallet(best)
}

func BenchmarkReach(b *testing.B) {
	v := build(millionFlows()).Freeze()
	from, _ := v.ID(hub(v))
	c := make(costs)
	b.Run(library, func(b *testing.B) {
		g := buildLibrary(millionFlows())
		start, reached := hub(v).Address, 0
		for _, d := range v.Depths([]uint32{from}, -1) {
			if d >= 0 {
				reached++
			}
		}
		c.run(b, library, func(b *testing.B) {
			n := 0
			if err := graph.BFS(g, string(start[:]), func(string) bool { n++; return false }); err != nil || n != reached {
				b.Fatalf("the library reaches %d wallets, %v, the view %d", n, err, reached)
			}
		})
	})
	for _, hops := range []int{2, 4, -1} {
		name := fmt.Sprintf("hops=%d", hops)
		b.Run(name, func(b *testing.B) {
			c.run(b, name, func(*testing.B) { v.Depths([]uint32{from}, hops) })
		})
	}
}

// BenchmarkReached asks for 64 wallets apart what they reach. single-passes is
// the time in those that one of them takes.
func BenchmarkReached(b *testing.B) {
	v := build(millionFlows()).Freeze()
	sources := make([]tracer.Wallet, 64)
	ids := make([]uint32, 64)
	for i := range sources {
		ids[i] = uint32(i * v.Len() / 64)
		sources[i] = v.Wallet(ids[i])
	}
	c := make(costs)
	run := func(name string, f func()) {
		b.Run(name, func(b *testing.B) {
			c.run(b, name, func(*testing.B) { f() })
			if all := c["one by one"]; all > 0 {
				b.ReportMetric(c[name].Seconds()/(all.Seconds()/64), "single-passes")
			}
		})
	}
	run("one by one", func() {
		for _, id := range ids {
			v.Depths([]uint32{id}, -1)
		}
	})
	run("first time", func() {
		v.strongOnce = sync.Once{}
		v.Reached(sources, -1)
	})
	run("again", func() { v.Reached(sources, -1) })
	run("hops=4", func() { v.Reached(sources, 4) })
}

func BenchmarkComponents(b *testing.B) {
	v := build(millionFlows()).Freeze()
	_, want := v.Components()
	c := make(costs)
	b.Run(library, func(b *testing.B) {
		g := buildLibrary(millionFlows())
		c.run(b, library, func(b *testing.B) {
			if got := libraryComponents(g); got != want {
				b.Fatalf("the library's graph has %d components, the view %d", got, want)
			}
		})
	})
	b.Run("view", func(b *testing.B) {
		c.run(b, "view", func(*testing.B) { v.Components() })
	})
}

// benchTransfers returns n transfers, two in a transaction.
func benchTransfers(n int) []tracer.Transfer {
	rs := powerLaw(n/2, 2)
	rng := rand.New(rand.NewPCG(3, 3))
	ts := make([]tracer.Transfer, n)
	for i := range ts {
		r := &rs[rng.IntN(len(rs))]
		block := uint64(19_000_000 + i/10)
		t := tracer.Transfer{
			Asset: benchAssets[r.asset], From: r.from, To: r.to, Amount: r.amount,
			Block: block, Time: 1_700_000_000 + 12*block, TxIndex: uint32(i % 10 / 2), Kind: tracer.KindToken, Position: fmt.Sprint(i % 200),
		}
		binary.BigEndian.PutUint64(t.BlockHash[:], uint64(block)*0x9e3779b97f4a7c15)
		binary.BigEndian.PutUint64(t.BlockHash[8:], uint64(block)*0xbf58476d1ce4e5b9)
		binary.BigEndian.PutUint64(t.Tx[:], uint64(i/2)*0x9e3779b97f4a7c15)
		binary.BigEndian.PutUint64(t.Tx[12:], uint64(i/2)*0xbf58476d1ce4e5b9)
		binary.BigEndian.PutUint64(t.Tx[24:], uint64(i/2)*0x94d049bb133111eb)
		ts[i] = t
	}
	return ts
}

var millionTransfers = sync.OnceValue(func() []tracer.Transfer { return benchTransfers(million) })

func added(ts []tracer.Transfer) *Store {
	s := New()
	s.Add(ts)
	return s
}

func BenchmarkAdd(b *testing.B) {
	ts := millionTransfers()
	_, heap := live(func() *Store { return merged(added(ts)) })
	for b.Loop() {
		merged(added(ts))
	}
	b.ReportMetric(float64(len(ts))*float64(b.N)/b.Elapsed().Seconds(), "transfers/s")
	b.ReportMetric(heap/float64(len(ts)), "B/transfer")
}

func BenchmarkRows(b *testing.B) {
	s := added(millionTransfers())
	n := 0
	for b.Loop() {
		for range s.Rows() {
			n++
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "transfers/s")
}

func BenchmarkSnapshot(b *testing.B) {
	of := func(name string, s *Store) {
		var file bytes.Buffer
		if err := s.WriteSnapshot(&file); err != nil {
			b.Fatal(err)
		}
		run := func(what string, f func() error) {
			b.Run(name+"/"+what, func(b *testing.B) {
				for b.Loop() {
					if err := f(); err != nil {
						b.Fatal(err)
					}
				}
				b.SetBytes(int64(file.Len()))
				b.ReportMetric(float64(file.Len())/million, "B/"+name)
			})
		}
		run("write", func() error { return s.WriteSnapshot(io.Discard) })
		run("read", func() error {
			_, err := ReadSnapshot(bytes.NewReader(file.Bytes()))
			return err
		})
	}
	of("flow", build(millionFlows()))
	of("transfer", added(millionTransfers()))
}
