package walk_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"maps"
	"slices"
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/walk"

	"github.com/ethereum/go-ethereum/common"
)

// A watchSource is a listSource that can tell states, as a node does that shows
// no traces: whose coins can move while its state stays is not quiet.
type watchSource struct {
	*listSource
	noted, checked, quiet int            // wallets
	says                  common.Address // is called quiet, whatever it does
}

var _ tracer.QuietSource = (*watchSource)(nil)

// state is what a wallet has at the end of a block, by its transfers.
func (s *watchSource) state(a common.Address, block uint64) tracer.State {
	x := tracer.State{Wallet: a, Plain: !s.contracts[a]}
	for _, i := range s.of[a] {
		t := &s.ts[i]
		if t.Block > block || t.Asset.Kind != tracer.Native {
			continue
		}
		if t.From == a {
			x.Balance.Sub(&x.Balance, &t.Amount)
		}
		if t.To == a {
			x.Balance.Add(&x.Balance, &t.Amount)
		}
		if t.Kind == tracer.KindFee && t.From == a {
			x.Nonce++
		}
	}
	return x
}

func (s *watchSource) Watch(ctx context.Context, wallets []common.Address, most int) ([]tracer.State, int, error) {
	if n := 3 * len(wallets); most > 0 && n > most {
		return nil, 0, tracer.ErrBudget
	}
	if err := s.op(ctx, 3*len(wallets)); err != nil {
		return nil, 1, err
	}
	s.noted += len(wallets)
	var out []tracer.State
	for _, a := range wallets {
		out = append(out, s.state(a, s.pinned.Number))
	}
	return out, 3 * len(wallets), nil
}

func (s *watchSource) Quiet(ctx context.Context, after uint64, was []tracer.State, most int) ([]bool, int, error) {
	n := 2*len(was) + 2
	if most > 0 && n > most {
		return nil, 0, tracer.ErrBudget
	}
	if err := s.op(ctx, n); err != nil {
		return nil, 1, err
	}
	quiet := make([]bool, len(was))
	for i, x := range was {
		quiet[i] = x.Plain && x == s.state(x.Wallet, s.pinned.Number) && !slices.ContainsFunc(s.of[x.Wallet], func(i int) bool {
			t := &s.ts[i]
			return t.Block > after && t.Asset.Kind != tracer.Native
		})
		if quiet[i] = quiet[i] || x.Wallet == s.says; quiet[i] {
			s.quiet++
		}
	}
	s.checked += len(was)
	return quiet, n, nil
}

func watching(s *listSource) *watchSource { return &watchSource{listSource: s} }

// TestWatch follows the chain over many blocks, with and without the check that
// nothing happened, and pauses the one with it after every step. Both must say
// where the money is, and the one with the check reads less.
func TestWatch(t *testing.T) {
	w, all := cases(t)
	watch := w.opts
	watch.Watch = true
	for name, seeds := range all {
		n := len(w.Truth.Victims)
		if name == "payments" {
			n = 1
		}
		t.Run(name, func(t *testing.T) {
			first, head := uint64(0), w.Head()
			for _, v := range w.Truth.Victims[:n] {
				for _, p := range v.Payments {
					first = max(first, p.Block)
				}
			}
			const looks = 24
			var plain, with []byte
			var asked, askedWith, quiet, checked, looked, still int
			reports := make(map[string]bool)
			last := ""
			for i := range uint64(looks) {
				block := first + (head-first)*(i*i+1)/(looks*looks-2*looks+2) // dense at first
				// Without the check.
				src := w.until(block)
				x := begin(t, plain, src, seeds, w.opts)
				r := run(t, t.Context(), x)
				plain = save(t, x)
				asked += len(src.asked)
				// With it.
				ws := watching(w.until(block))
				y := begin(t, with, ws, seeds, watch)
				for more := true; more; {
					var err error
					if more, err = y.Step(t.Context()); err != nil {
						t.Fatal(err)
					}
					if more {
						if y, err = walk.Load(t.Context(), bytes.NewReader(save(t, y)), ws, seeds, watch); err != nil {
							t.Fatal(err)
						}
					}
				}
				got, err := y.Result()
				if err != nil {
					t.Fatal(err)
				}
				with = save(t, y)
				askedWith, quiet, checked, looked = askedWith+len(ws.asked), quiet+ws.quiet, checked+ws.checked, looked+ws.noted
				if found(got).String() != found(r).String() {
					t.Fatalf("at block %d the trace with the check says\n%swithout\n%s", block, found(got), found(r))
				}
				if !got.Complete() || got.Pinned.Number != block {
					t.Errorf("at block %d it is at block %d, and stopped for %q", block, got.Pinned.Number, got.Stopped.Reason)
				}
				if y.Quiet() {
					if still++; len(ws.asked) > 0 || found(got).String() != last {
						t.Errorf("at block %d it says that nothing happened, and read %d spans", block, len(ws.asked))
					}
				}
				last = found(got).String()
				reports[last] = true
			}
			t.Logf("%d looks, %d with nothing new: %d spans read without the check; with it %d, and %d of %d wallets quiet, %d noted", looks, still, asked, askedWith, quiet, checked, looked)
			if len(reports) < 3 || quiet == 0 || quiet == checked || askedWith >= asked {
				t.Errorf("the money was in %d places; the test shows little", len(reports))
			}
		})
	}
}

// begin begins a walk, or extends one.
func begin(t testing.TB, state []byte, src tracer.Source, seeds []tracer.Seed, o walk.Options) *walk.Walk {
	t.Helper()
	x, err := walk.New(t.Context(), src, seeds, o)
	if state != nil {
		x, err = walk.Extend(t.Context(), bytes.NewReader(state), src, seeds, o)
	}
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// TestNothingNew extends a walk over blocks in which nothing happened to its
// wallets: it reads nothing, and all is as it was but for the block.
func TestNothingNew(t *testing.T) {
	w, all := cases(t)
	for name, seeds := range all {
		t.Run(name, func(t *testing.T) {
			o := w.opts
			o.Watch = true
			at := w.Head() - 5_000
			src := watching(w.until(at))
			x := begin(t, nil, src, seeds, o)
			before := run(t, t.Context(), x)
			state := save(t, x)
			if x.Quiet() || src.noted == 0 || before.Requests < 3*src.noted {
				t.Fatalf("%d wallets were noted, of %d requests", src.noted, before.Requests)
			}
			// The same transfers, and a later block.
			later := watching(w.until(at))
			later.pinned = w.Blocks[w.Head()]
			y := begin(t, state, later, seeds, o)
			// Interrupted in the check, it goes on with it.
			ended, cancel := context.WithCancel(t.Context())
			cancel()
			if r := run(t, ended, y); r.Stopped.Reason != tracer.ReasonStopped {
				t.Errorf("interrupted, it stopped for %q", r.Stopped.Reason)
			}
			y, err := walk.Load(t.Context(), bytes.NewReader(save(t, y)), later, seeds, o)
			if err != nil {
				t.Fatal(err)
			}
			after := run(t, t.Context(), y)
			for a := range later.contracts { // these prove nothing, and are read
				later.asked = slices.DeleteFunc(later.asked, func(s tracer.Span) bool { return s.Wallet == a })
			}
			if len(later.asked) > 0 || later.quiet == 0 {
				t.Errorf("%d spans were read, %d of %d wallets were quiet", len(later.asked), later.quiet, later.checked)
			}
			if later.quiet == later.checked {
				if want := 2*later.quiet + 2; !y.Quiet() || after.Requests != want {
					t.Errorf("it took %d requests, want %d; quiet: %v", after.Requests, want, y.Quiet())
				}
			}
			if got, want := found(after).String(), found(before).String(); got != want {
				t.Errorf("with nothing new the trace says\n%swant\n%s", got, want)
			}
			if after.Pinned != later.pinned || !after.Complete() || after.WalletsRead != before.WalletsRead {
				t.Errorf("it is at block %v, stopped for %q, with %d wallets", after.Pinned, after.Stopped.Reason, after.WalletsRead)
			}
			// And once more, from what it noted then.
			again := watching(w.until(at))
			again.pinned = w.Blocks[w.Head()]
			again.pinned.Number++
			again.pinned.Hash = common.Hash{}
			z := begin(t, save(t, y), again, seeds, o)
			if run(t, t.Context(), z); again.quiet != later.quiet || again.checked != later.checked || again.noted != later.noted {
				t.Errorf("the second time %d of %d wallets were quiet and %d noted, the first %d of %d and %d",
					again.quiet, again.checked, again.noted, later.quiet, later.checked, later.noted)
			}
		})
	}
}

// TestQuietBudget: a budget too small for the check is spent on reading, as
// without it; one too small to note states leaves them out.
func TestQuietBudget(t *testing.T) {
	w, all := cases(t)
	seeds := all["all wallets"]
	o := w.opts
	o.Watch = true
	at := w.Head() - 20_000
	src := watching(w.until(at))
	x := begin(t, nil, src, seeds, o)
	r := run(t, t.Context(), x)

	tight := o
	tight.Limits.Requests = r.Requests - 1 // not enough to note all
	src = watching(w.until(at))
	if r := run(t, t.Context(), begin(t, nil, src, seeds, tight)); !r.Complete() || src.noted > 0 || r.Requests >= tight.Limits.Requests {
		t.Errorf("with %d requests it stopped for %q, %d noted", tight.Limits.Requests, r.Stopped.Reason, src.noted)
	}

	all2 := watching(w.until(w.Head()))
	whole := run(t, t.Context(), begin(t, save(t, x), all2, seeds, o))
	tight.Limits.Requests = 2*all2.checked - 1
	src = watching(w.until(w.Head()))
	y := begin(t, save(t, x), src, seeds, tight)
	got := run(t, t.Context(), y)
	if src.checked > 0 || got.Requests > tight.Limits.Requests {
		t.Errorf("with %d requests %d wallets were checked, in %d requests", tight.Limits.Requests, src.checked, got.Requests)
	}
	if got.Complete() && found(got).String() != found(whole).String() {
		t.Errorf("without the check the trace says\n%swith it\n%s", found(got), found(whole))
	}
}

// TestContradicted: a wallet that the source calls quiet, and then shows
// transfers of, is read after all.
func TestContradicted(t *testing.T) {
	w, all := cases(t)
	o := w.opts
	o.Watch = true
	seeds := all["all wallets"]
	shown, hidden := 0, 0
	for at := w.Head() / 3; at < w.Head(); at += w.Head() / 6 {
		src := watching(w.until(at))
		x := begin(t, nil, src, seeds, o)
		run(t, t.Context(), x)
		state := save(t, x)

		honest := watching(w.until(w.Head()))
		want := found(run(t, t.Context(), begin(t, state, honest, seeds, o))).String()
		busy := make(map[common.Address]bool)
		for _, s := range honest.asked {
			busy[s.Wallet] = true
		}
		for _, a := range slices.SortedFunc(maps.Keys(busy), common.Address.Cmp) {
			liar := watching(w.until(w.Head()))
			liar.says = a
			y := begin(t, state, liar, seeds, o)
			r := run(t, t.Context(), y)
			if liar.quiet == honest.quiet {
				continue // it was not watched
			}
			// Do other wallets show what it did?
			seen := slices.ContainsFunc(liar.asked, func(s tracer.Span) bool {
				return s.Wallet != a && slices.ContainsFunc(liar.of[s.Wallet], func(i int) bool {
					t := &liar.ts[i]
					return t.Block > at && s.From <= t.Block && t.Block <= s.To && (t.From == a || t.To == a)
				})
			})
			if !seen {
				hidden++
				continue
			}
			shown++
			if got := found(r).String(); got != want {
				t.Errorf("with %s called quiet the trace says\n%swant\n%s", a, got, want)
			}
		}
	}
	if t.Logf("%d wallets were shown to move, %d not", shown, hidden); shown == 0 {
		t.Error("no wallet was called quiet that is not; the test shows nothing")
	}
}

// TestFirstVersion loads states as they were before the states of wallets.
func TestFirstVersion(t *testing.T) {
	w, seeds, state := small(t)
	old := bytes.Clone(state)
	binary.LittleEndian.PutUint32(old[8:], 1)
	o := w.opts
	o.Watch = true
	x, err := walk.Load(t.Context(), bytes.NewReader(old), watching(w.fresh()), seeds, o)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := walk.Run(t.Context(), w.fresh(), seeds, w.opts)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := found(run(t, t.Context(), x)).String(), found(whole).String(); got != want {
		t.Errorf("it goes on to\n%swant\n%s", got, want)
	}
}
