package ethsource

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
)

// ahead is how many pieces are read at once, so that a slow endpoint's latency
// is paid once in so many. It is a constant, and not the number of concurrent
// requests, because what is asked must not depend on that.
const ahead = 8

// each calls do with 0 to n-1 at once, and waits for all. Of several errors it
// returns that of the lowest number, so that it does not matter who is first.
func each(n int, do func(i int) error) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = do(i) })
	}
	wg.Wait()
	return cmp.Or(errs...)
}

// A stretch is some blocks, both ends included.
type stretch struct{ from, to uint64 }

// A window is how many blocks the endpoints are asked for at once. It is learnt
// of each from what it refuses and answers.
type window struct {
	first func() int // the index of the endpoint that is asked next; nil: there is one

	mu sync.Mutex
	of []width // by index
}

// A width is the window of one endpoint.
type width struct{ now, max uint64 }

const anyWidth = 1 << 62

func newWindow(max uint64) *window { return &window{of: []width{{max, max}}} }

// at is the width of an endpoint. The caller holds mu.
func (w *window) at(node int) *width { return &w.of[min(node, len(w.of)-1)] }

func (w *window) next() int {
	if w.first == nil {
		return 0
	}
	return w.first()
}

// copy returns a window that learns by itself.
func (w *window) copy() *window {
	w.mu.Lock()
	defer w.mu.Unlock()
	return &window{first: w.first, of: slices.Clone(w.of)}
}

// adopt takes over what a copy has learnt.
func (w *window) adopt(c *window) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.of {
		a := &w.of[i]
		a.max = min(a.max, c.of[i].max)
		a.now = min(c.of[i].now, a.max)
	}
}

func (w *window) size() uint64 {
	next := w.next()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at(next).now
}

// refused learns from an endpoint's refusal of more than one block.
func (w *window) refused(e *nodeError, s stretch) {
	n := e.fewer(s.from, s.to)
	w.mu.Lock()
	defer w.mu.Unlock()
	a := w.at(e.node)
	if e.kind == kindRange {
		a.max = min(a.max, n)
	}
	a.now = min(a.now, n)
}

// fewResults is up to how many results an answer may have for twice as many
// blocks to be asked for the next time. Providers that bound results do so at
// 10,000 or above.
const fewResults = 2000

// answered learns from an answer.
func (w *window) answered(s stretch, results int) {
	next := w.next()
	w.mu.Lock()
	defer w.mu.Unlock()
	if a := w.at(next); s.to-s.from+1 >= a.now && results <= fewResults {
		a.now = min(2*a.now, a.max)
	}
}

// A piece is some blocks that are read together.
type piece[T any] struct {
	stretch
	halved bool // after a refusal that nobody understands
	purse  *purse
	done   chan struct{} // nil before the piece is read
	got    T
	err    error
}

// inOrder reads blocks in pieces no wider than w, some of them ahead of time,
// and hands what they hold to keep in the order of the blocks. read is called
// when a piece's turn comes, between calls of keep, and what it returns runs
// beside other pieces. A piece that is refused is read in smaller ones. With
// an error, from is the first block that was not kept.
func inOrder[T any](ctx context.Context, p *purse, blocks []stretch, w *window,
	read func(stretch) func(context.Context, *purse) (T, error), keep func(stretch, T) error) (from uint64, err error) {
	line := make([]*piece[T], len(blocks))
	for i, s := range blocks {
		line[i] = &piece[T]{stretch: s}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		for _, b := range line {
			if b.done != nil {
				<-b.done
				b.purse.back()
			}
		}
	}()
	start := func(b *piece[T]) {
		b.done = make(chan struct{})
		run := read(b.stretch)
		go func() {
			defer close(b.done)
			b.got, b.err = run(ctx, b.purse)
		}()
	}
	// The first piece is read alone, for what it teaches; then more and more.
	for depth := 1; len(line) > 0; {
		for i := 0; i < min(len(line), depth); i++ {
			b := line[i]
			if b.done != nil {
				continue
			}
			if b.purse = p.lend(i > 0); b.purse == nil {
				break
			}
			if n := w.size(); b.to-b.from >= n {
				line = slices.Insert(line, i+1, &piece[T]{stretch: stretch{b.from + n, b.to}, halved: b.halved})
				b.to = b.from + n - 1
			}
			start(b)
		}
		b := line[0]
		select {
		case <-b.purse.head:
		default:
			close(b.purse.head)
		}
		<-b.done
		b.purse.back()
		if e, ok := errors.AsType[*nodeError](b.err); ok && b.to > b.from && (e.kind == kindRange || e.kind == kindDense || e.kind == kindUnknown && !b.halved) {
			w.refused(e, b.stretch)
			depth = 1
			line[0] = &piece[T]{stretch: b.stretch, halved: e.kind == kindUnknown}
			continue
		}
		if b.err == nil {
			b.err = keep(b.stretch, b.got)
		}
		line, depth = line[1:], min(2*depth, ahead)
		if b.err != nil {
			return b.from, b.err
		}
	}
	return 0, nil
}
