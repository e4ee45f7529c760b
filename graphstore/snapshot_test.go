package graphstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"testing/iotest"

	"scamtrace/tracer"

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
			s.putEdge(s.wallet(&a), s.wallet(&b), nil, 90_000)
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

// Content with correct checksums that does not say what a store can hold. Each
// is written with an encoder, so that only one thing is wrong.
func TestDecodeRefuses(t *testing.T) {
	wallets := func(e *encoder, n byte) { // addresses 1 to n on chain 1
		e.uvarint(uint64(n))
		for i := range n {
			e.uvarint(uint64(1 - min(i, 1)))
		}
		for i := range n {
			e.bytes(common.Address{19: i + 1}.Bytes())
		}
	}
	native := func(e *encoder) { e.uvarint(1); e.uvarint(1); e.byte(0); e.bytes(make([]byte, 20)) }
	block := func(e *encoder) { e.uvarint(1); e.uvarint(1); e.uvarint(9); e.varint(7); e.byte(0) }
	// transfers writes rows of columns: flags, kind, from, to, asset, position, amount.
	type row struct {
		flags, kind byte
		from, to    uint64
		asset, pos  uint64
		amount      []byte
		back        uint64
	}
	good := row{flags: plainPosition | newTx, kind: 1, to: 1, pos: 3, amount: []byte{5}}
	transfers := func(e *encoder, rows ...row) {
		e.uvarint(uint64(len(rows)))
		for _, r := range rows {
			e.byte(r.flags)
		}
		for _, r := range rows {
			e.byte(r.kind)
		}
		for i, r := range rows {
			if r.flags&newTx != 0 {
				e.bytes(common.Hash{31: byte(i)}.Bytes())
			}
		}
		for _, r := range rows {
			if r.flags&newTx == 0 {
				e.uvarint(r.back)
			}
		}
		for range 2 { // block, index
			for _, r := range rows {
				if r.flags&(newTx|notOfTx) != 0 {
					e.uvarint(0)
				}
			}
		}
		for _, col := range []func(row) uint64{
			func(r row) uint64 { return r.from }, func(r row) uint64 { return r.to },
			func(r row) uint64 { return r.asset }, func(r row) uint64 { return r.pos },
		} {
			for _, r := range rows {
				e.uvarint(col(r))
			}
		}
		for _, r := range rows {
			e.byte(byte(len(r.amount)))
		}
		for _, r := range rows {
			e.bytes(r.amount)
		}
	}
	with := func(change func(*row)) func(*encoder) {
		return func(e *encoder) {
			r := good
			change(&r)
			wallets(e, 2)
			native(e)
			block(e)
			e.uvarint(0)
			transfers(e, r)
			e.byte(0)
		}
	}
	second := func(r row) func(*encoder) {
		return func(e *encoder) {
			wallets(e, 2)
			native(e)
			block(e)
			e.uvarint(0)
			transfers(e, good, r)
			e.byte(0)
		}
	}
	flows := func(write func(*encoder), n uint64) func(*encoder) {
		return func(e *encoder) {
			wallets(e, 2)
			native(e)
			e.uvarint(0)
			e.uvarint(0)
			e.uvarint(0)
			e.byte(1)
			e.uvarint(n)
			write(e)
		}
	}
	column := func(values ...uint64) func(*encoder) {
		return func(e *encoder) {
			for _, v := range values {
				e.uvarint(v)
			}
		}
	}

	if s, err := ReadSnapshot(bytes.NewReader(encoded(t, with(func(*row) {})))); err != nil || s.Len() != 1 {
		t.Fatalf("the good transfer that the others vary: %v", err)
	}
	if s, err := ReadSnapshot(bytes.NewReader(encoded(t, flows(column(0, 1, 1, 4, 9, 0, 1, 7), 1)))); err != nil || len(allFlows(s)) != 1 {
		t.Fatalf("the good flow that the others vary: %v", err)
	}
	tests := []struct {
		name  string
		write func(*encoder)
	}{
		{"more wallets than anything holds", func(e *encoder) { e.uvarint(math.MaxUint64) }},
		{"a billion wallets that do not come", func(e *encoder) { e.uvarint(1_000_000_000); e.byte(1) }},
		{"the same wallet twice", func(e *encoder) { e.uvarint(2); e.uvarint(1); e.uvarint(0); e.bytes(make([]byte, 40)) }},
		{"a chain id that wraps", func(e *encoder) {
			e.uvarint(2)
			e.uvarint(math.MaxUint64)
			e.uvarint(2)
			e.bytes(make([]byte, 40))
		}},
		{"a number longer than need be", func(e *encoder) { e.bytes([]byte{0x80, 0}) }},
		{"a number above 64 bits", func(e *encoder) { e.bytes(bytes.Repeat([]byte{0xff}, 11)) }},
		{"the same asset twice", func(e *encoder) {
			wallets(e, 2)
			e.uvarint(2)
			for range 2 {
				e.uvarint(1)
				e.byte(0)
				e.bytes(make([]byte, 20))
			}
		}},
		{"a block with a wrong mark", func(e *encoder) {
			wallets(e, 2)
			native(e)
			column(1, 1, 9, 0, 2)(e)
		}},
		{"a block with an empty hash", func(e *encoder) {
			wallets(e, 2)
			native(e)
			column(1, 1, 9, 0, 1)(e)
			e.bytes(make([]byte, 32))
		}},
		{"a block twice", func(e *encoder) {
			wallets(e, 2)
			native(e)
			column(2, 1, 9, 0, 0, 0, 0, 0, 0)(e)
		}},
		{"a position that is a number", func(e *encoder) {
			wallets(e, 2)
			native(e)
			block(e)
			e.uvarint(1)
			e.uvarint(1)
			e.bytes([]byte("7"))
		}},
		{"positions out of order", func(e *encoder) {
			wallets(e, 2)
			native(e)
			block(e)
			e.uvarint(2)
			e.uvarint(1)
			e.byte('x')
			e.uvarint(0)
		}},
		{"unknown flags", with(func(r *row) { r.flags |= 1 << 6 })},
		{"a first transfer that is not of its transaction", with(func(r *row) { r.flags |= notOfTx })},
		{"a wallet that is not there", with(func(r *row) { r.to = 2 })},
		{"an asset that is not there", with(func(r *row) { r.asset = 1 })},
		{"a text position that is not there", with(func(r *row) { r.flags &^= plainPosition })},
		{"a position above 32 bits", with(func(r *row) { r.pos = 1 << 32 })},
		{"an amount of 33 bytes", with(func(r *row) { r.amount = bytes.Repeat([]byte{1}, 33) })},
		{"an amount longer than need be", with(func(r *row) { r.amount = []byte{0, 1} })},
		{"no transaction so far back", second(row{flags: plainPosition, back: 2, kind: 1, to: 1, pos: 4})},
		{"the transaction after the last", second(row{flags: plainPosition, back: 0, kind: 1, to: 1, pos: 4})},
		{"the same transfer twice", second(row{flags: plainPosition, back: 1, kind: 1, to: 1, pos: 3})},
		{"transfers out of order", second(row{flags: plainPosition, back: 1, kind: 1, to: 1, pos: 2})},
		{"a stray where its transaction is", second(row{flags: plainPosition | notOfTx, back: 1, kind: 1, to: 1, pos: 4})},
		{"an asset of another chain", func(e *encoder) {
			wallets(e, 2)
			e.uvarint(1)
			e.uvarint(2)
			e.byte(0)
			e.bytes(make([]byte, 20))
			block(e)
			e.uvarint(0)
			transfers(e, good)
			e.byte(0)
		}},
		{"an asset without a use", func(e *encoder) {
			wallets(e, 2)
			native(e)
			column(0, 0, 0, 0)(e)
		}},
		{"a wrong mark before the flows", func(e *encoder) { column(0, 0, 0, 0, 0, 2)(e) }},
		{"a flow of a wallet that is not there", flows(column(0, 2, 1, 4, 9, 0, 1, 7), 1)},
		{"a flow of an asset that is not there", flows(column(0, 1, 2, 4, 9, 0, 1, 7), 1)},
		{"a flow of no asset with an amount", flows(column(0, 1, 0, 4, 0, 0, 1, 7), 1)},
		{"a flow twice", flows(column(0, 1, 0, 0, 1, 1, 4, 4, 9, 9, 0, 0, 1, 1, 7, 7), 2)},
		{"a pair with and without flows", flows(column(0, 1, 0, 0, 0, 1, 4, 4, 0, 9, 0, 0, 0, 1, 7), 2)},
	}
	for _, tt := range tests {
		s, err := ReadSnapshot(bytes.NewReader(encoded(t, tt.write)))
		if !errors.Is(err, ErrCorrupt) || s != nil {
			t.Errorf("%s: ReadSnapshot returned %v, want %v", tt.name, err, ErrCorrupt)
		}
	}
}

// encoded is a snapshot with the content that write writes.
func encoded(tb testing.TB, write func(*encoder)) []byte {
	tb.Helper()
	var b bytes.Buffer
	e, err := newEncoder(&b)
	if err != nil {
		tb.Fatal(err)
	}
	write(e)
	if err := e.close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// A small file cannot make the reader use much memory, be it by what it
// claims or by what it decompresses to.
func TestReadSnapshotMemory(t *testing.T) {
	tests := []struct {
		name string
		file []byte
	}{
		{"claims a billion wallets", encoded(t, func(e *encoder) { e.uvarint(1_000_000_000); e.bytes(make([]byte, 1000)) })},
		{"a long position", encoded(t, func(e *encoder) {
			e.bytes([]byte{0, 0, 0, 1})
			e.uvarint(math.MaxUint64)
			e.bytes(make([]byte, 3*blockLen))
		})},
	}
	for _, tt := range tests {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := ReadSnapshot(bytes.NewReader(tt.file))
		runtime.ReadMemStats(&after)
		if !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v, want %v", tt.name, err, ErrCorrupt)
		}
		if used, most := after.TotalAlloc-before.TotalAlloc, uint64(32<<20+300*len(tt.file)); used > most {
			t.Errorf("%s: %d bytes used for a file of %d, want at most %d", tt.name, used, len(tt.file), most)
		}
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
