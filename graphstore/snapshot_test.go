package graphstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"testing/iotest"

	"scamtrace/tracer"

	"github.com/dominikbraun/graph"
	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
)

var update = flag.Bool("update", false, "rewrite the snapshot of the current version in testdata")

func snapshot(tb testing.TB, s *Store) []byte {
	tb.Helper()
	var b bytes.Buffer
	if err := s.WriteSnapshot(&b); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func restored(tb testing.TB, file []byte) *Store {
	tb.Helper()
	s, err := ReadSnapshot(bytes.NewReader(file))
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// mixed is a store with transfers, and flows, pairs and wallets without any,
// in an order that rng decides.
func mixed(ts []tracer.Transfer, rng *rand.Rand) *Store {
	ts = slices.Clone(ts)
	rng.Shuffle(len(ts), func(i, j int) { ts[i], ts[j] = ts[j], ts[i] })
	s := New()
	steps := []func(){
		func() { s.Add(ts[:len(ts)/2]) },
		func() { s.Add(ts[len(ts)/2:]) },
		func() { w := wallet(500); s.wallet(&w) },
		func() {
			s.AddFlows(one(Pair{wallet(1), wallet(2)}, Flow{Asset: tracer.TokenOf(1, common.Address{7}), Amount: uint256.Int{1, 2, 3, 4}, Transfers: 70_000, First: 9, Last: 1 << 40}))
		},
		func() {
			s.AddFlows(one(Pair{wallet(1), wallet(2)}, Flow{Asset: tracer.NativeOf(1), Amount: uint256.Int{5}, Transfers: 2, First: 9, Last: 3}))
		},
		func() {
			a, b := wallet(300), wallet(301)
			s.wallet(&a)
			s.wallet(&b)
			if err := s.Graph().AddEdge(a, b, graph.EdgeWeight(90_000)); err != nil {
				panic(err)
			}
		},
		func() { // something that leaves no trace
			a, b := wallet(400), wallet(401)
			s.wallet(&a)
			s.AddFlows(one(Pair{a, b}, Flow{Asset: tracer.TokenOf(1, common.Address{99})}))
			for _, err := range []error{s.RemoveEdge(a, b), s.RemoveVertex(a), s.RemoveVertex(b)} {
				if err != nil {
					panic(err)
				}
			}
		},
	}
	rng.Shuffle(len(steps), func(i, j int) { steps[i], steps[j] = steps[j], steps[i] })
	for _, step := range steps {
		step()
	}
	return s
}

func TestSnapshotOfTransfers(t *testing.T) {
	for seed := range uint64(10) {
		rng := rand.New(rand.NewPCG(seed, 0))
		ts := world(rng, rng.IntN(250))
		s := New()
		s.Add(ts)
		file := snapshot(t, s)
		back := restored(t, file)
		checkStore(t, back, ts)
		for i := range back.Len() {
			if back.chainOrder().row(i) != uint32(i) {
				t.Fatalf("seed %d: a store that was read is not in chain order", seed)
			}
		}
		if again := snapshot(t, back); !bytes.Equal(again, file) {
			t.Errorf("seed %d: written again after reading, the snapshot differs", seed)
		}
		// What was read can be added to.
		more := world(rng, 251)
		s.Add(more)
		back.Add(more)
		if !bytes.Equal(snapshot(t, back), snapshot(t, s)) {
			t.Errorf("seed %d: the store and its copy differ after the same Add", seed)
		}
	}
}

func TestSnapshotDoesNotShowOrder(t *testing.T) {
	ts := world(rand.New(rand.NewPCG(1, 0)), 200)
	want := snapshot(t, mixed(ts, rand.New(rand.NewPCG(0, 0))))
	for seed := range uint64(20) {
		s := mixed(ts, rand.New(rand.NewPCG(seed, 1)))
		got := snapshot(t, s)
		if !bytes.Equal(got, want) {
			t.Fatalf("seed %d: the same content in another order gives other bytes", seed)
		}
		back := restored(t, got)
		if !slices.Equal(allFlows(back), allFlows(s)) || !slices.Equal(slices.Collect(back.Transfers()), slices.Collect(s.Transfers())) {
			t.Fatalf("seed %d: flows or transfers differ after reading", seed)
		}
		e, err := back.Edge(wallet(300), wallet(301))
		if err != nil || e.Properties.Weight != 90_000 {
			t.Fatalf("seed %d: the edge without flows is %v, %v", seed, e, err)
		}
		if _, ok := back.WalletID(wallet(500)); !ok {
			t.Fatalf("seed %d: the wallet that stands alone is lost", seed)
		}
		if _, ok := back.WalletID(wallet(400)); ok {
			t.Fatalf("seed %d: the wallet that was removed is back", seed)
		}
	}
}

// More rows than one group and one block hold.
func TestSnapshotOfManyGroups(t *testing.T) {
	ts := benchTransfers(40_000)
	s := added(ts)
	s.AddFlows(flowsOf(powerLaw(60_000, 4)))
	file := snapshot(t, s)
	if len(content(t, file)) < 2*blockLen {
		t.Fatalf("%d bytes are not more than two blocks", len(content(t, file)))
	}
	back := restored(t, file)
	if !slices.Equal(slices.Collect(back.Transfers()), slices.Collect(s.Transfers())) || !slices.Equal(allFlows(back), allFlows(s)) {
		t.Error("flows or transfers differ after reading")
	}
	if !bytes.Equal(snapshot(t, back), file) {
		t.Error("written again, the snapshot differs")
	}
}

// content returns what the blocks of a snapshot hold.
func content(tb testing.TB, file []byte) []byte {
	tb.Helper()
	header := len(magic) + 4
	d, err := newDecoder(bytes.NewReader(file[header:]), file[:header])
	if err != nil {
		tb.Fatal(err)
	}
	defer d.zstd.Close()
	var all []byte
	for d.block() {
		all = append(all, d.buf...)
	}
	if d.err != nil {
		tb.Fatal(d.err)
	}
	return all
}

// wrap makes a snapshot of any content, with correct checksums.
func wrap(tb testing.TB, content []byte) []byte {
	tb.Helper()
	var b bytes.Buffer
	e, err := newEncoder(&b)
	if err != nil {
		tb.Fatal(err)
	}
	e.bytes(content)
	if err := e.close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// golden is the store whose snapshots of every version are in testdata.
func golden() *Store {
	return mixed(world(rand.New(rand.NewPCG(2026, 0)), 120), rand.New(rand.NewPCG(0, 0)))
}

// little is a store for tests that read its snapshot a thousand times.
func little() *Store {
	s := New()
	s.Add(world(rand.New(rand.NewPCG(9, 9)), 12))
	return s
}

// Snapshots that earlier versions wrote still say what they said.
func TestOldSnapshots(t *testing.T) {
	if *update {
		name := filepath.Join("testdata", "v"+string('0'+rune(version))+".snap")
		if err := os.WriteFile(name, snapshot(t, golden()), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob("testdata/v*.snap")
	if err != nil || len(files) != version {
		t.Fatalf("%d snapshots in testdata, %v, want one of each of %d versions", len(files), err, version)
	}
	want := golden()
	if b, err := os.ReadFile(files[version-1]); err != nil || !bytes.Equal(snapshot(t, want), b) {
		t.Errorf("%s is not what this version writes, byte for byte: %v", files[version-1], err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		s := restored(t, b)
		if !slices.Equal(slices.Collect(s.Transfers()), slices.Collect(want.Transfers())) || !slices.Equal(allFlows(s), allFlows(want)) {
			t.Errorf("%s holds something else than when it was written", file)
		}
		if !bytes.Equal(content(t, snapshot(t, s)), content(t, snapshot(t, want))) {
			t.Errorf("%s written by this version is not what this version writes", file)
		}
	}
}

func TestReadSnapshotRefuses(t *testing.T) {
	file := snapshot(t, golden())
	version := func(v uint32) []byte {
		f := slices.Clone(file)
		binary.LittleEndian.PutUint32(f[len(magic):], v)
		return f
	}
	tests := []struct {
		name string
		file []byte
		want error
	}{
		{"nothing", nil, ErrCorrupt},
		{"another file", []byte("PK\x03\x04, which is a zip archive"), ErrCorrupt},
		{"version 0", version(0), ErrCorrupt},
		{"the next version", version(2), ErrVersion},
		{"a version far ahead", version(math.MaxUint32), ErrVersion},
		{"something behind it", append(slices.Clone(file), 0), ErrCorrupt},
		{"itself behind it", slices.Concat(file, file), ErrCorrupt},
		{"no content", wrap(t, nil), ErrCorrupt},
		{"content behind its end", wrap(t, append(content(t, file), 0)), ErrCorrupt},
	}
	for _, tt := range tests {
		if s, err := ReadSnapshot(bytes.NewReader(tt.file)); !errors.Is(err, tt.want) || s != nil {
			t.Errorf("%s: ReadSnapshot returned %v, %v, want %v", tt.name, s, err, tt.want)
		}
	}
	file = snapshot(t, little())
	for n := range file {
		if _, err := ReadSnapshot(bytes.NewReader(file[:n])); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("the first %d of %d bytes: %v, want %v", n, len(file), err, ErrCorrupt)
		}
	}
	for i := range file {
		f := slices.Clone(file)
		f[i] ^= 0x10
		if _, err := ReadSnapshot(bytes.NewReader(f)); !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) {
			t.Fatalf("byte %d changed: %v, want %v", i, err, ErrCorrupt)
		}
	}
	bad := errors.New("the disk is on fire")
	r := io.MultiReader(bytes.NewReader(file[:len(file)/2]), iotest.ErrReader(bad))
	if _, err := ReadSnapshot(r); !errors.Is(err, bad) || errors.Is(err, ErrCorrupt) {
		t.Errorf("a reader that fails: %v, want %v", err, bad)
	}
	if _, err := ReadSnapshot(iotest.OneByteReader(bytes.NewReader(file))); err != nil {
		t.Errorf("read byte by byte: %v", err)
	}
}

// limitedWriter fails after n bytes.
type limitedWriter struct {
	n   int
	err error
}

func (w *limitedWriter) Write(p []byte) (int, error) {
	if w.n -= len(p); w.n < 0 {
		return 0, w.err
	}
	return len(p), nil
}

func TestWriteSnapshotFails(t *testing.T) {
	full := errors.New("the disk is full")
	s := little()
	for n := range len(snapshot(t, s)) {
		if err := s.WriteSnapshot(&limitedWriter{n, full}); !errors.Is(err, full) {
			t.Fatalf("with room for %d bytes: %v, want %v", n, err, full)
		}
	}
}

// dense returns stores that take much room for the length of their snapshots:
// rows that are short, alike, and many.
func dense() map[string]*Store {
	const n = 300
	flows := func(f func(i, j int) Flow) *Store {
		s := New()
		s.AddFlows(func(yield func(Pair, Flow) bool) {
			for i := range n {
				for j := range n {
					yield(Pair{wallet(i), wallet(j)}, f(i, j))
				}
			}
		})
		return s
	}
	native := tracer.NativeOf(1)
	assets := New()
	assets.AddFlows(func(yield func(Pair, Flow) bool) {
		for i := range n * n {
			yield(Pair{wallet(1), wallet(2)}, Flow{Asset: tracer.TokenOf(1, common.Address{0: byte(i >> 16), 1: byte(i >> 8), 2: byte(i)})})
		}
	})
	ts := make([]tracer.Transfer, n*n)
	texts := slices.Clone(ts)
	for i := range ts {
		ts[i] = tracer.Transfer{Asset: native, From: wallet(i / n).Address, To: wallet(i % n).Address, Kind: tracer.KindToken, Position: strconv.Itoa(i), Amount: *uint256.NewInt(1)}
		texts[i] = tracer.Transfer{Asset: native, Kind: tracer.KindInternal, Position: fmt.Sprintf("%05x.", i)}
	}
	strays := slices.Clone(ts)
	for i := range strays {
		strays[i].TxIndex = uint32(i & 1)
	}
	return map[string]*Store{
		"flows":                  flows(func(int, int) Flow { return Flow{Asset: native} }),
		"flows too wide":         flows(func(int, int) Flow { return Flow{Asset: native, Transfers: 1 << 16} }),
		"assets of a pair":       assets,
		"transfers":              added(ts),
		"transfers out of place": added(strays),
		"text positions":         added(texts),
	}
}

// A small file cannot make the reader use much memory, be it by what it
// claims, by what it decompresses to, or by what that becomes.
func TestReadSnapshotMemory(t *testing.T) {
	files := map[string][]byte{
		"claims a billion wallets": encoded(t, func(e *encoder) { e.uvarint(1_000_000_000); e.bytes(make([]byte, 1000)) }),
		"a long position": encoded(t, func(e *encoder) {
			e.bytes([]byte{0, 0, 0, 1})
			e.uvarint(math.MaxUint64)
			e.bytes(make([]byte, 3*blockLen))
		}),
	}
	bad := len(files)
	for name, s := range dense() {
		files[name] = snapshot(t, s)
	}
	for name, file := range files {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		s, err := ReadSnapshot(bytes.NewReader(file))
		if err == nil {
			s.settle()
		} else if bad--; !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v, want %v", name, err, ErrCorrupt)
		}
		runtime.ReadMemStats(&after)
		used := after.TotalAlloc - before.TotalAlloc
		if most := uint64(4<<20 + 300*len(file)); used > most {
			t.Errorf("%s: %d bytes used for a file of %d, want at most %d", name, used, len(file), most)
		}
	}
	if bad != 0 {
		t.Errorf("%d files that are bad were read", bad)
	}
	// What compresses more than the format allows takes room in the file.
	zeros := encoded(t, func(e *encoder) { e.bytes(make([]byte, 4*blockLen)) })
	if least := 4 * blockLen / maxRatio; len(zeros) < least {
		t.Errorf("%d zeros make a file of %d bytes, want at least %d", 4*blockLen, len(zeros), least)
	}
}

func FuzzReadSnapshot(f *testing.F) {
	for _, s := range []*Store{New(), little(), mixed(nil, rand.New(rand.NewPCG(0, 0)))} {
		file := snapshot(f, s)
		f.Add(file)
		f.Add(content(f, file))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, file := range [][]byte{b, wrap(t, b)} {
			s, err := ReadSnapshot(bytes.NewReader(file))
			if err != nil {
				if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) {
					t.Fatalf("ReadSnapshot: %v, which is none of its errors", err)
				}
				continue
			}
			// There is one content for what a store holds.
			if again := snapshot(t, s); !bytes.Equal(content(t, again), content(t, file)) {
				t.Fatal("what was read is written otherwise")
			}
			for range s.Transfers() {
			}
			for range s.Flows() {
			}
			s.Freeze().Components()
		}
	})
}
