package walk

import (
	"context"
	"errors"
	"maps"
	"slices"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
)

// A watch is what is known of the wallets whose next move matters, so that a
// later [Extend] need not read those to which nothing happened.
type watch struct {
	at    uint64 // the block of the states
	after uint64 // the block of those before; see watched
	of    map[common.Address]watched
}

type watched struct {
	tracer.State
	quiet bool // nothing happened after the one block and up to the other, the source says
}

// note notes the states of the wallets that a walk would read
// if the chain had one block more. What that costs is worth little more than it
// saves, so no budget is stretched and no walk fails for it. It reports false
// when ctx ended before the source answered.
func (w *Walk) note(ctx context.Context) bool {
	qs, ok := tracer.As[tracer.QuietSource](w.src)
	if !ok || !w.o.Watch {
		return true
	}
	if w.watch.at != w.pinned.Number {
		w.watch = watch{at: w.pinned.Number, after: w.pinned.Number}
	}
	if w.watch.of == nil {
		w.watch.of = make(map[common.Address]watched)
	}
	choices := w.choose(w.pinned.Number + 1)
	for w.learn(ctx) {
		choices = w.choose(w.pinned.Number + 1)
	}
	var ask []common.Address
	next := make(map[common.Address]bool)
	for _, c := range choices {
		if c.from > w.pinned.Number {
			next[c.wallet] = true
			if _, known := w.watch.of[c.wallet]; !known {
				ask = append(ask, c.wallet)
			}
		}
	}
	maps.DeleteFunc(w.watch.of, func(a common.Address, _ watched) bool { return !next[a] })
	left := w.o.Limits.Requests - w.requests
	if len(ask) == 0 || left <= 0 {
		return true
	}
	states, n, err := qs.Watch(ctx, ask, left)
	w.requests += n
	switch {
	case ctx.Err() != nil:
		return w.failed(ctx, err)
	case err == nil:
		for _, s := range states {
			w.watch.of[s.Wallet] = watched{State: s}
		}
	}
	return true
}

// check asks the source, once after [Extend], to which of the watched wallets
// nothing happened. These count as read. It reports whether the walk can go on.
func (w *Walk) check(ctx context.Context) bool {
	old := &w.watch
	if old.at == w.pinned.Number || len(old.of) == 0 {
		return true
	}
	var was []tracer.State
	for _, a := range slices.SortedFunc(maps.Keys(old.of), common.Address.Cmp) {
		was = append(was, old.of[a].State)
	}
	quiet := make([]bool, len(was))
	if qs, ok := tracer.As[tracer.QuietSource](w.src); ok {
		if !w.may(ctx) {
			return false
		}
		got, n, err := qs.Quiet(ctx, old.at, was, w.o.Limits.Requests-w.requests)
		w.requests += n
		switch {
		case err == nil:
			quiet = got
		case !errors.Is(err, tracer.ErrBudget): // else reading may cost less
			return w.failed(ctx, err)
		}
	}
	for i, s := range was {
		if quiet[i] {
			w.reading(s.Wallet).cover(old.at+1, w.pinned.Number)
			old.of[s.Wallet] = watched{s, true}
		} else {
			w.stir(s.Wallet)
		}
	}
	old.at, old.after = w.pinned.Number, old.at
	return true
}

// stir forgets the state of a wallet to which something may have happened. A
// wallet that was no contract may be one by now.
func (w *Walk) stir(a common.Address) {
	delete(w.watch.of, a)
	if !w.code[a] {
		delete(w.code, a)
	}
}

// contradict drops what a source said of quiet wallets whose transfers it now
// shows: these are read after all.
func (w *Walk) contradict(ts []tracer.Transfer) {
	for i := range ts {
		for _, a := range []common.Address{ts[i].From, ts[i].To} {
			if w.watch.of[a].quiet && ts[i].Block > w.watch.after {
				w.stir(a)
				w.reading(a).uncover(w.watch.after + 1)
			}
		}
	}
}

// Quiet reports whether nothing was read and nothing learned since the walk was
// extended: then all that was found is what was found before.
func (w *Walk) Quiet() bool { return w.quiet }
