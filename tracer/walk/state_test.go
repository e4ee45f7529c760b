package walk_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"testing"

	"scamtrace/graphstore"
	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/ledger"
	"scamtrace/tracer/walk"

	"github.com/ethereum/go-ethereum/common"
	"github.com/klauspost/compress/zstd"
)

// fresh is the source of the world as another process would open it.
func (w *world) fresh() *listSource {
	return &listSource{ts: w.src.ts, of: w.src.of, pinned: w.src.pinned, contracts: w.src.contracts}
}

// until is the source when the chain ended at a block.
func (w *world) until(block uint64) *listSource {
	s := newListSource(slices.DeleteFunc(slices.Clone(w.src.ts), func(t tracer.Transfer) bool { return t.Block > block }), w.Blocks[block])
	s.contracts = w.src.contracts
	return s
}

func save(t testing.TB, w *walk.Walk) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := w.Save(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// run steps a walk until it cannot go on.
func run(t testing.TB, ctx context.Context, w *walk.Walk) *walk.Result {
	t.Helper()
	for {
		more, err := w.Step(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if !more {
			r, err := w.Result()
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
	}
}

// whatIs writes down everything that a report could take from a result but
// the numbers of its store, and what it cost.
func whatIs(t testing.TB, r *walk.Result) string {
	t.Helper()
	var b strings.Builder
	wallet := func(id uint32) string { return r.Store.Wallet(id).String() }
	parts := func(ps []ledger.Part) (s string) {
		for _, p := range ps {
			s += fmt.Sprint(" ", r.Store.Asset(p.Asset), " ", p.Amount.Dec())
		}
		return s
	}
	fmt.Fprintln(&b, r.Pinned, r.From, r.To, r.Seeds, r.Stopped, r.WalletsRead, r.Blind, r.Unchecked)
	for _, v := range r.Books.Receipts {
		fmt.Fprintln(&b, "receipt", v.Entry, wallet(v.Wallet), r.Store.Asset(v.Asset), v.Amount.Dec(), v.Unseen)
	}
	for _, m := range r.Books.Moves {
		fmt.Fprintln(&b, "move", m.Entry, r.Store.Transfer(r.Rows[m.Entry]), m.Traced.Dec())
	}
	for _, c := range r.Books.Conversions {
		fmt.Fprintln(&b, "conversion", c.Entry, wallet(c.Payer), wallet(c.Receiver), parts(c.Out), "for", parts(c.In))
	}
	for _, a := range r.Arrivals {
		fmt.Fprintln(&b, "arrival", a.Entry, wallet(a.Wallet), parts([]ledger.Part{a.Part}))
	}
	for _, h := range r.Held {
		fmt.Fprintln(&b, "held", wallet(h.Wallet), parts([]ledger.Part{h.Part}), h.Time)
	}
	for _, g := range r.Gaps {
		fmt.Fprintln(&b, "gap", wallet(g.Wallet), g.Reason, g.Detail)
		for _, m := range g.Money {
			fmt.Fprintln(&b, parts([]ledger.Part{m.Part}), m.Time)
		}
	}
	var wallets []tracer.Wallet
	for id := range uint32(r.Store.Wallets()) {
		wallets = append(wallets, r.Store.Wallet(id))
	}
	slices.SortFunc(wallets, tracer.Wallet.Compare)
	for _, w := range wallets {
		fmt.Fprintln(&b, w, r.Status(w.Address))
	}
	var snap bytes.Buffer
	if err := r.Store.WriteSnapshot(&snap); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&b, "%x", snap.Bytes())
	return b.String()
}

// cases are walks of different kinds.
func cases(t testing.TB) (*world, map[string][]tracer.Seed) {
	w := newWorld(t, devnet.Config{Noise: 60, Transfers: 4_000})
	w.opts.Limits.Hub = 300
	seeds := map[string][]tracer.Seed{"payments": payments(w.Truth.Victims[0])}
	for _, v := range w.Truth.Victims {
		for _, p := range v.Payments {
			seeds["all wallets"] = append(seeds["all wallets"], tracer.Seed{Wallet: p.Wallet})
		}
	}
	return w, seeds
}

// TestPauses pauses walks after each step, and once between all of them. The
// state at the end must be that of a walk without pauses, to the byte.
func TestPauses(t *testing.T) {
	w, all := cases(t)
	for name, seeds := range all {
		t.Run(name, func(t *testing.T) {
			whole, err := walk.New(t.Context(), w.fresh(), seeds, w.opts)
			if err != nil {
				t.Fatal(err)
			}
			want := whatIs(t, run(t, t.Context(), whole))
			wantState := save(t, whole)

			paused, err := walk.New(t.Context(), w.fresh(), seeds, w.opts)
			if err != nil {
				t.Fatal(err)
			}
			for n := 0; ; n++ {
				state := save(t, paused)
				if other := save(t, paused); !bytes.Equal(state, other) {
					t.Fatalf("step %d: the same state has two forms", n)
				}
				// One walk goes to its end from here; another only a step.
				on, err := walk.Load(t.Context(), bytes.NewReader(state), w.fresh(), seeds, w.opts)
				if err != nil {
					t.Fatal(err)
				}
				if again := save(t, on); !bytes.Equal(again, state) {
					t.Fatalf("step %d: the state differs after loading", n)
				}
				if got := whatIs(t, run(t, t.Context(), on)); got != want {
					t.Fatalf("paused after step %d, the walk finds\n%.2000s\nwant\n%.2000s", n, got, want)
				}
				if got := save(t, on); !bytes.Equal(got, wantState) {
					t.Fatalf("paused after step %d, the state at the end differs", n)
				}
				if paused, err = walk.Load(t.Context(), bytes.NewReader(state), w.fresh(), seeds, w.opts); err != nil {
					t.Fatal(err)
				}
				more, err := paused.Step(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				r, err := paused.Result()
				if err != nil {
					t.Fatal(err)
				}
				if r.Complete() == more {
					t.Fatalf("step %d: the result says complete: %v, and there is more: %v", n, r.Complete(), more)
				}
				if !more {
					break
				}
			}
			if got := save(t, paused); !bytes.Equal(got, wantState) {
				t.Fatal("paused after every step, the state at the end differs")
			}
		})
	}
}

// TestStoppedAnywhere stops walks at every operation of the source: the run is
// interrupted, the node dies, the budget is spent. Each time everything
// reported is accounted for, and a walk that goes on from there finds what an
// undisturbed one finds.
func TestStoppedAnywhere(t *testing.T) {
	w, all := cases(t)
	seeds, v := all["payments"], w.Truth.Victims[0]
	src := w.fresh()
	r, err := walk.Run(t.Context(), src, seeds, w.opts)
	if err != nil {
		t.Fatal(err)
	}
	want, ops := whatIs(t, r), src.ops
	first := len(v.Payments) + 1 // before it, nothing is known
	for _, tt := range []struct {
		name   string
		breaks func(n int, src *listSource, o *walk.Options, cancel func())
		reason tracer.Reason
	}{
		{"interrupted", func(n int, src *listSource, _ *walk.Options, cancel func()) { src.stop, src.cancel = n, cancel }, tracer.ReasonStopped},
		{"the node dies", func(n int, src *listSource, _ *walk.Options, _ func()) { src.fail = n }, tracer.ReasonSource},
		{"requests", func(n int, _ *listSource, o *walk.Options, _ func()) { o.Limits.Requests = n - 1 }, tracer.ReasonBudget},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for n := first; n <= ops; n++ {
				ctx, cancel := context.WithCancel(t.Context())
				src, o := w.fresh(), w.opts
				tt.breaks(n, src, &o, cancel)
				broken, err := walk.New(ctx, src, seeds, o)
				if err != nil {
					t.Fatal(err)
				}
				r := run(t, ctx, broken)
				cancel()
				if r.Stopped.Reason != tt.reason {
					t.Fatalf("operation %d: stopped for %q, want %q", n, r.Stopped.Reason, tt.reason)
				}
				if o.Limits.Requests > 0 && r.Requests > o.Limits.Requests {
					t.Fatalf("%d requests sent, budget %d", r.Requests, o.Limits.Requests)
				}
				accounted(t, r, v)
				on, err := walk.Load(t.Context(), bytes.NewReader(save(t, broken)), w.fresh(), seeds, w.opts)
				if err != nil {
					t.Fatal(err)
				}
				if got := whatIs(t, run(t, t.Context(), on)); got != want {
					t.Fatalf("stopped at operation %d, the walk finds\n%.2000s\nwant\n%.2000s", n, got, want)
				}
				// The same walk goes on as well, without being saved.
				if tt.reason == tracer.ReasonStopped {
					src.stop = 0
					if got := whatIs(t, run(t, t.Context(), broken)); got != want {
						t.Fatalf("stopped at operation %d, the walk goes on to find\n%.2000s\nwant\n%.2000s", n, got, want)
					}
				}
			}
		})
	}
}

// TestMoreWallets goes on with a larger budget of wallets.
func TestMoreWallets(t *testing.T) {
	w, all := cases(t)
	seeds := all["payments"]
	o := w.opts
	o.Limits.Wallets = 3
	small, err := walk.New(t.Context(), w.fresh(), seeds, o)
	if err != nil {
		t.Fatal(err)
	}
	if r := run(t, t.Context(), small); r.Stopped.Reason != tracer.ReasonBudget || r.WalletsRead != 3 {
		t.Fatalf("%d wallets read and stopped for %q, want 3 and %q", r.WalletsRead, r.Stopped.Reason, tracer.ReasonBudget)
	}
	on, err := walk.Load(t.Context(), bytes.NewReader(save(t, small)), w.fresh(), seeds, w.opts)
	if err != nil {
		t.Fatal(err)
	}
	r := run(t, t.Context(), on)
	whole, err := walk.Run(t.Context(), w.fresh(), seeds, w.opts)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Complete() || found(r).String() != found(whole).String() {
		t.Errorf("with a larger budget the walk finds\n%swant\n%s", found(r), found(whole))
	}
}

// TestExtend follows the chain over three pinned blocks, and wants where the
// money is at the last of them, with nothing read twice.
func TestExtend(t *testing.T) {
	w, all := cases(t)
	for name, seeds := range all {
		n := len(w.Truth.Victims)
		if name == "payments" {
			n = 1
		}
		t.Run(name, func(t *testing.T) {
			// The first block is the earliest at which all was paid.
			first, head := uint64(0), w.Head()
			for _, v := range w.Truth.Victims[:n] {
				for _, p := range v.Payments {
					first = max(first, p.Block)
				}
			}
			var state []byte
			moved, last := false, ""
			known := make(map[common.Address]bool)
			before := uint64(0)
			for i, block := range []uint64{first + (head-first)/50, first + (head-first)/4, head} {
				src := w.until(block)
				x, err := walk.New(t.Context(), src, seeds, w.opts)
				if i > 0 {
					x, err = walk.Extend(t.Context(), bytes.NewReader(state), src, seeds, w.opts)
				}
				if err != nil {
					t.Fatal(err)
				}
				r := run(t, t.Context(), x)
				fresh, err := walk.Run(t.Context(), w.until(block), seeds, w.opts)
				if err != nil {
					t.Fatal(err)
				}
				got, want := found(r).String(), found(fresh).String()
				if got != want {
					t.Errorf("extended to block %d: the trace says\n%sa new one says\n%s", block, got, want)
				}
				if !r.Complete() || r.Pinned.Number != block {
					t.Errorf("extended to block %d: at block %d, stopped for %q", block, r.Pinned.Number, r.Stopped.Reason)
				}
				for _, s := range src.asked {
					if known[s.Wallet] && s.From <= before {
						t.Errorf("extended from block %d, it reads block %d of %v again", before, s.From, s.Wallet)
					}
				}
				for _, s := range src.asked {
					known[s.Wallet] = true
				}
				moved = moved || i > 0 && last != got
				before, last, state = block, got, save(t, x)
			}
			if !moved {
				t.Error("no money moved between the blocks; the test shows nothing")
			}
			if _, err := walk.Extend(t.Context(), bytes.NewReader(state), w.until(first+1), seeds, w.opts); !errors.Is(err, walk.ErrOther) {
				t.Errorf("Extend to an earlier block says %v", err)
			}
		})
	}
}

// small is a saved walk that is under way.
func small(t testing.TB) (*world, []tracer.Seed, []byte) {
	t.Helper()
	w := newWorld(t, devnet.Config{Noise: 60, Transfers: 300, Victims: 2})
	seeds := payments(w.Truth.Victims[0])
	x, err := walk.New(t.Context(), w.fresh(), seeds, w.opts)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := x.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return w, seeds, save(t, x)
}

func TestStatesOfOthers(t *testing.T) {
	w, seeds, state := small(t)
	later := bytes.Clone(state)
	binary.LittleEndian.PutUint32(later[8:], 7)
	lagging := w.until(w.Head() - 1)
	forked := w.fresh()
	forked.pinned.Hash[0]++
	for _, tt := range []struct {
		name  string
		state []byte
		src   tracer.Source
		seeds []tracer.Seed
		edit  func(o *walk.Options)
		want  error
		text  string
	}{
		{name: "its own"},
		{name: "seeds in another order", seeds: append(slices.Clone(seeds[1:]), seeds[0], seeds[0])},
		{name: "larger budgets", edit: func(o *walk.Options) { o.Limits.Requests, o.Limits.Wallets = 1e6, 1e6 }},
		{name: "fewer seeds", seeds: seeds[2:], want: walk.ErrOther, text: "seeds"},
		{name: "another wallet", seeds: append(slices.Clone(seeds), tracer.Seed{Wallet: common.Address{1}}), want: walk.ErrOther, text: "seeds"},
		{name: "another chain", edit: func(o *walk.Options) { o.Chain, _ = tracer.ChainNamed("base") }, want: walk.ErrOther, text: "chain"},
		{name: "another time span", edit: func(o *walk.Options) { o.Since = 1 }, want: walk.ErrOther, text: "first time"},
		{name: "another end", edit: func(o *walk.Options) { o.Until = 1 }, want: walk.ErrOther, text: "last time"},
		{name: "another smallest amount", edit: func(o *walk.Options) { o.Limits.MinUSD = 7 }, want: walk.ErrOther, text: "smallest amount"},
		{name: "another size of hubs", edit: func(o *walk.Options) { o.Limits.Hub = 7 }, want: walk.ErrOther, text: "hub"},
		{name: "a source at an earlier block", src: lagging, want: walk.ErrOther, text: "pinned"},
		{name: "a source on a fork", src: forked, want: walk.ErrOther, text: "pinned"},
		{name: "a later version", state: later, want: graphstore.ErrVersion, text: "please update"},
		{name: "nothing", state: []byte{}, want: graphstore.ErrCorrupt, text: "does not begin"},
		{name: "something else", state: []byte("hello, this is no state at all"), want: graphstore.ErrCorrupt, text: "does not begin"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.state == nil {
				tt.state = state
			}
			if tt.src == nil {
				tt.src = w.fresh()
			}
			if tt.seeds == nil {
				tt.seeds = seeds
			}
			o := w.opts
			if tt.edit != nil {
				tt.edit(&o)
			}
			_, err := walk.Load(t.Context(), bytes.NewReader(tt.state), tt.src, tt.seeds, o)
			if !errors.Is(err, tt.want) || err != nil && !strings.Contains(err.Error(), tt.text) {
				t.Errorf("Load says %v, want %v with %q", err, tt.want, tt.text)
			}
		})
	}
	if _, err := walk.Extend(t.Context(), bytes.NewReader(state), forked, seeds, w.opts); !errors.Is(err, tracer.ErrReorg) {
		t.Errorf("Extend on a fork says %v, want %v", err, tracer.ErrReorg)
	}
}

// TestDamaged cuts a state at every byte, and changes every byte.
func TestDamaged(t *testing.T) {
	w, seeds, state := small(t)
	src := w.fresh()
	for n := range state {
		if _, err := walk.Load(t.Context(), bytes.NewReader(state[:n]), src, seeds, w.opts); !errors.Is(err, graphstore.ErrCorrupt) {
			t.Fatalf("cut at byte %d of %d, Load says %v", n, len(state), err)
		}
	}
	for n := range state {
		bad := bytes.Clone(state)
		bad[n] ^= 0x10
		if _, err := walk.Load(t.Context(), bytes.NewReader(bad), src, seeds, w.opts); !errors.Is(err, graphstore.ErrCorrupt) && !errors.Is(err, graphstore.ErrVersion) {
			t.Fatalf("with byte %d of %d changed, Load says %v", n, len(state), err)
		}
	}
}

// FuzzLoad gives Load any lines, well packed, before a good snapshot. What it
// takes must walk on, and come out as the bytes of the same state.
func FuzzLoad(f *testing.F) {
	w, seeds, state := small(f)
	w.opts.Limits.Requests = 200
	length := binary.LittleEndian.Uint32(state[12:])
	lines, snapshot := state[20:20+length], state[20+length:]
	z, err := zstd.NewReader(nil)
	if err != nil {
		f.Fatal(err)
	}
	text, err := z.DecodeAll(lines, nil)
	if err != nil {
		f.Fatal(err)
	}
	pack, err := zstd.NewWriter(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(text[:len(text)/2])
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		lines := pack.EncodeAll(text, nil)
		b := binary.LittleEndian.AppendUint32([]byte("STWALK\r\n"), 1)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(lines)))
		b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(lines, crc32.MakeTable(crc32.Castagnoli)))
		b = slices.Concat(b, lines, snapshot)
		x, err := walk.Load(t.Context(), bytes.NewReader(b), w.fresh(), seeds, w.opts)
		if err != nil {
			return
		}
		first := save(t, x)
		y, err := walk.Load(t.Context(), bytes.NewReader(first), w.fresh(), seeds, w.opts)
		if err != nil {
			t.Fatalf("a state that was loaded and saved does not load: %v", err)
		}
		if !bytes.Equal(save(t, y), first) {
			t.Fatal("a state that was loaded and saved differs")
		}
		run(t, t.Context(), x)
	})
}
