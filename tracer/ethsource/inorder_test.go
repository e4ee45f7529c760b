package ethsource

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"scamtrace/tracer"
)

// TestInOrder reads random blocks from an endpoint that refuses some ranges and
// fails at some block: every block must be kept once and in order, up to the
// one that cannot be read.
func TestInOrder(t *testing.T) {
	c := newClient(t, "http://127.0.0.1:1")
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var blocks []stretch
		var want []uint64
		at := uint64(0)
		for range 1 + rng.IntN(4) {
			at += rng.Uint64N(100)
			b := stretch{at, at + rng.Uint64N(300)}
			blocks = append(blocks, b)
			for n := b.from; n <= b.to; n++ {
				want = append(want, n)
			}
			at = b.to + 2
		}
		most, dense, odd := 1+rng.Uint64N(400), rng.Uint64N(40), rng.Uint64N(2000)
		bad := uint64(never)
		if rng.IntN(2) == 0 {
			bad = want[rng.IntN(len(want))]
		}
		broken := errors.New("broken")
		var got []uint64
		from, err := inOrder(t.Context(), newPurse(0, new(counter)), blocks, newWindow(anyWidth), func(b stretch) func(context.Context, *purse) ([]uint64, error) {
			return func(context.Context, *purse) ([]uint64, error) {
				width := b.to - b.from + 1
				switch {
				case width > most:
					return nil, c.refuse(0, -32602, fmt.Sprintf("exceed maximum block range: %d", most))
				case b.from <= dense*10 && dense*10 <= b.to && width > 3:
					return nil, c.refuse(0, -32005, "query returned more than 10000 results")
				case b.from <= odd && odd <= b.to && width > 1:
					return nil, c.refuse(0, 0, "the moon is in the wrong place")
				case b.from <= bad && bad <= b.to:
					return nil, broken
				}
				var ns []uint64
				for n := b.from; n <= b.to; n++ {
					ns = append(ns, n)
				}
				return ns, nil
			}
		}, func(b stretch, ns []uint64) error {
			got = append(got, ns...)
			return nil
		})
		if err == nil {
			if bad != never || !slices.Equal(got, want) {
				t.Errorf("seed %d: %d blocks, want %d; the bad one is %d", seed, len(got), len(want), bad)
			}
			continue
		}
		end := slices.Index(want, from)
		if end < 0 || !slices.Equal(got, want[:end]) {
			t.Errorf("seed %d: %d blocks are kept and %d is the first that is not: %v", seed, len(got), from, err)
		}
		if errors.Is(err, broken) && from > bad {
			t.Errorf("seed %d: block %d is said to be the first that was not read, but it is %d", seed, from, bad)
		}
	}
}

// TestAhead counts how many pieces are read at once: one at first, then more.
func TestAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int64
		start := time.Now()
		_, err := inOrder(t.Context(), newPurse(0, new(counter)), []stretch{{1, 1000}}, newWindow(10), func(stretch) func(context.Context, *purse) (int, error) {
			return func(context.Context, *purse) (int, error) {
				most.Store(max(most.Load(), now.Add(1)))
				time.Sleep(time.Second)
				now.Add(-1)
				return 0, nil
			}
		}, func(stretch, int) error { return nil })
		if took := time.Since(start); err != nil || most.Load() != ahead || took > 20*time.Second {
			t.Errorf("100 pieces of a second take %v, with %d at once: %v; want %d at once", took, most.Load(), err, ahead)
		}
	})
}

func TestWindow(t *testing.T) {
	w := newWindow(anyWidth)
	dense, limit := &nodeError{kind: kindDense, said: "too many results"}, &nodeError{kind: kindRange, said: "limited to 500 blocks"}
	for i, step := range []struct {
		do   func()
		want uint64
	}{
		{func() { w.answered(stretch{0, 10}, 0) }, anyWidth},
		{func() { w.refused(dense, stretch{1, 1000}) }, 500},
		{func() { w.answered(stretch{1, 499}, 0) }, 500}, // not as many as could be asked for
		{func() { w.answered(stretch{1, 500}, fewResults+1) }, 500},
		{func() { w.answered(stretch{1, 500}, fewResults) }, 1000},
		{func() { w.refused(limit, stretch{1, 1000}) }, 500},
		{func() { w.answered(stretch{1, 500}, 0) }, 500}, // the limit stays
		{func() { w.refused(dense, stretch{1, 500}) }, 250},
		{func() { w.answered(stretch{1, 250}, 0) }, 500},
		{func() {
			c := w.copy()
			c.refused(dense, stretch{1, 500})
			w.adopt(c)
		}, 250},
	} {
		if step.do(); w.size() != step.want {
			t.Errorf("after step %d: %d blocks, want %d", i, w.size(), step.want)
		}
	}
}

// TestPurse spends from purses of purses: no more than there is, and the same
// whichever is first.
func TestPurse(t *testing.T) {
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 1))
		budget := 50 + rng.IntN(1000)
		costs := make([]int, 40)
		for i := range costs {
			costs[i] = 1 + rng.IntN(60)
		}
		var first string
		for try := range 3 {
			n := new(counter)
			root := newPurse(budget, n)
			done := 0
			_, err := inOrder(t.Context(), root, []stretch{{0, 39}}, newWindow(1), func(b stretch) func(context.Context, *purse) (int, error) {
				return func(ctx context.Context, p *purse) (int, error) {
					for range costs[b.from] {
						if rand.IntN(3) == 0 {
							time.Sleep(time.Microsecond)
						}
						if err := p.spend(ctx, 1); err != nil {
							return 0, err
						}
					}
					return 0, nil
				}
			}, func(stretch, int) error { done++; return nil })
			sum := 0
			for _, c := range costs[:done] {
				sum += c
			}
			if n.count() > budget || sum > budget || err == nil && done < len(costs) || err != nil && !errors.Is(err, tracer.ErrBudget) {
				t.Errorf("seed %d: %d of %d spent, %d pieces for %d, %v", seed, n.count(), budget, done, sum, err)
			}
			if got := fmt.Sprint(done, err); try == 0 {
				first = got
			} else if got != first {
				t.Errorf("seed %d: %s, and before %s", seed, got, first)
			}
		}
	}
	p := newPurse(5, new(counter))
	if err := p.spend(t.Context(), 6); !errors.Is(err, tracer.ErrBudget) {
		t.Errorf("6 of 5: %v", err)
	}
	if err := p.spend(t.Context(), 5); err != nil {
		t.Errorf("5 of 5: %v", err)
	}
	p.refund(2)
	if err := p.spend(t.Context(), 2); err != nil || p.spend(t.Context(), 1) == nil {
		t.Errorf("after 2 came back: %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	ahead := newPurse(1000, new(counter)).lend(true)
	why := errors.New("enough")
	cancel(why)
	if err := ahead.spend(ctx, 900); !errors.Is(err, why) {
		t.Errorf("waiting for its turn: %v", err)
	}
}
