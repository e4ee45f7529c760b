package ethsource

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"scamtrace/tracer"

	"github.com/cenkalti/backoff/v5"
)

const (
	breaks      = 3 // failures in a row after which a node rests
	firstRest   = 2 * time.Second
	longestRest = 10 * time.Minute
)

// A breaker lets a node rest that fails time and again. Fields are guarded by
// the node's mu.
type breaker struct {
	failed int           // in a row
	rest   time.Duration // the last
	until  time.Time     // when it may be tried again, by one call
	trying bool          // that is under way
	out    error         // why the node is asked no more: it is on another chain
}

// ill counts a failure.
func (n *node) ill(k kind) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.trying = false
	if n.failed++; k == kindQuota {
		n.failed, n.rest = max(n.failed, breaks), longestRest
	}
	if n.failed >= breaks {
		n.rest = min(max(2*n.rest, firstRest), longestRest)
		n.until = time.Now().Add(n.rest)
	}
}

// well forgets failures.
func (n *node) well() {
	n.mu.Lock()
	n.failed, n.rest, n.trying = 0, 0, false
	n.mu.Unlock()
}

// free ends a try that says nothing about the node.
func (n *node) free() {
	n.mu.Lock()
	n.trying = false
	n.mu.Unlock()
}

// claim begins a try, and reports whether the node has been resting.
func (n *node) claim() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.trying = n.failed >= breaks
	return n.trying
}

// resting is 1 for a node that rests, and else 0.
func (n *node) resting() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.failed >= breaks {
		return 1
	}
	return 0
}

// hold leaves a node alone for as long as it asks for.
func (n *node) hold(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if at := time.Now().Add(min(d, longestRest)); d > 0 && at.After(n.resume) {
		n.resume = at
	}
}

// lack notes that a node does not offer a method. Contracts refuse calls in
// words of their own, and states may be refused for being old.
func (n *node) lack(w want, k kind) {
	if w.role == RoleArchive || slices.Contains(stateMethods, w.method) {
		return
	}
	n.mu.Lock()
	n.lacks[w.method], n.denied[w.method] = true, k == kindDenied
	n.mu.Unlock()
}

// A standing says how well a node suits a want.
type standing struct {
	out, lacks, busy bool
	rank             int
}

func (n *node) standing(w want) standing {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	s := standing{out: n.out != nil, lacks: n.lacks[w.method], rank: 3}
	s.busy = now.Before(n.resume) || n.failed >= breaks && (n.trying || now.Before(n.until))
	able := w.role == RolePrimary || w.role == RoleArchive && n.can.Archive || w.role == RoleTrace && n.can.inside()
	switch {
	case able && n.role == w.role:
		s.rank = 0
	case able:
		s.rank = 1
	case n.role == w.role:
		s.rank = 2
	}
	return s
}

// A tour is what has become of the tries at something.
type tour struct {
	mu       sync.Mutex
	tries    map[*node]int
	done     map[*node]bool       // it is of no use to ask these again
	said     map[*node]*nodeError // why not
	answered map[*node]bool       // whose answers are not looked at yet
}

func newTour() *tour {
	return &tour{tries: make(map[*node]int), done: make(map[*node]bool), said: make(map[*node]*nodeError), answered: make(map[*node]bool)}
}

func (t *tour) at(n *node) (tries int, done bool) {
	if t == nil {
		return 0, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.tries[n], t.done[n]
}

func (t *tour) answer(n *node) {
	if t != nil {
		t.mu.Lock()
		t.answered[n] = true
		t.mu.Unlock()
	}
}

// blame puts the nodes last whose answers were not what they should be.
func (c *client) blame(t *tour, e *nodeError) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, n := range c.nodes {
		if !t.answered[n] {
			continue
		}
		t.tries[n]++
		e.node = n.index
		if e.kind == kindUnusable && len(c.nodes) > 1 {
			n.ill(e.kind)
		}
	}
	clear(t.answered)
}

// pick chooses the node to ask next: one that is ready, that was tried least,
// and that suits best, in this order; nil when it is of no use to ask any.
func (c *client) pick(w want, t *tour) *node {
	offered := slices.ContainsFunc(c.nodes, func(n *node) bool { s := n.standing(w); return !s.out && !s.lacks })
	var best *node
	var least [4]int
	for i, n := range c.nodes {
		s := n.standing(w)
		tries, done := t.at(n)
		if s.out || done || s.lacks && offered {
			continue
		}
		earlier, _ := w.tour.at(n)
		key := [4]int{0, tries + earlier, s.rank, i}
		if s.busy {
			key[0] = 1
		}
		if best == nil || slices.Compare(key[:], least[:]) < 0 {
			best, least = n, key
		}
	}
	return best
}

// shrink makes the next requests smaller to the node that refused one of some calls.
func (c *client) shrink(e *nodeError, calls int) {
	for _, n := range c.nodes {
		if n.index == e.node {
			n.tooBig(calls, e.kind)
		}
	}
}

// first is the index of the node that is asked for a method when nothing fails.
func (c *client) first(method string) int {
	if n := c.pick(want{method: method, role: wanted(method, nil).role}, nil); n != nil {
		return n.index
	}
	return 0
}

// rotates reports whether another node may do what one has refused. One that
// finds too much in an answer is asked for less instead.
func (e *nodeError) rotates() bool {
	switch e.kind {
	case kindRange, kindDense, kindTopics, kindBatch, kindOther:
		return false
	}
	return true
}

// most is how often a node is asked that fails so. A probe finds out what an
// endpoint can do: only what surely passes is tried again.
func (e *nodeError) most(probe bool) int {
	switch e.kind {
	case kindRate, kindTransient, kindUnusable:
		return maxTries
	case kindBehind:
		if !probe {
			return maxTries
		}
	case kindPruned: // what answers there may be many nodes, of which some keep more
		return 3
	case kindUnknown:
		if !probe {
			return 2
		}
	}
	return 1
}

// passes reports whether what is refused may be had later.
func (e *nodeError) passes() bool {
	return e.rotates() && e.kind != kindPruned && e.kind != kindMissing && e.kind != kindDenied
}

func newDelays() *backoff.ExponentialBackOff {
	d := backoff.NewExponentialBackOff()
	d.InitialInterval, d.Multiplier, d.MaxInterval = 250*time.Millisecond, 2, longest
	return d
}

// again runs try until it succeeds or trying again does not help: with one node
// after another, and with a pause once all that are ready have been tried.
func (c *client) again(ctx context.Context, p *purse, probe bool, w want, try func(*node) error) error {
	delays := newDelays()
	t := newTour()
	for {
		n := c.pick(w, t)
		if n == nil {
			return c.verdict(w, t)
		}
		// After a refusal for the rate the next try waits with all others.
		if e := t.said[n]; e != nil && e.kind != kindRate {
			n.mu.Lock()
			d := max(delays.NextBackOff(), time.Until(n.resume))
			n.mu.Unlock()
			if err := c.wait(ctx, d, e); err != nil {
				return err
			}
		}
		err := c.attempt(ctx, p, n, w, try)
		if err == errRests {
			continue
		}
		if err == nil {
			w.tour.answer(n)
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if errors.Is(err, tracer.ErrBudget) {
			return err
		}
		if n.gone() {
			continue
		}
		e := c.classify(err)
		e.node = n.index
		if absent(e) {
			n.lack(w, e.kind)
		}
		if e.late || !e.rotates() {
			return e
		}
		t.said[n] = e
		if t.tries[n]++; c.once || t.tries[n] >= e.most(probe) {
			t.done[n] = true
		}
		if e.kind == kindRate {
			n.slow(e)
		} else {
			n.hold(e.after)
		}
	}
}

// errRests reports that a node has begun to rest while others waited for it.
var errRests = errors.New("the endpoint rests")

// attempt runs try with a node when it is its turn, and keeps account of how
// that went. Of several nodes, one that has been resting must show first that it
// is still on the chain.
func (c *client) attempt(ctx context.Context, p *purse, n *node, w want, try func(*node) error) error {
	calls := 1
	if w.calls != nil {
		calls = w.calls()
	}
	if len(c.nodes) == 1 {
		if err := n.enter(ctx, p, calls); err != nil {
			return err
		}
		defer n.leave()
		return try(n)
	}
	var err error
	rested := n.claim()
	if rested && c.vouch != nil {
		if err = c.vouch(ctx, p, n); errors.Is(err, tracer.ErrWrongChain) || errors.Is(err, tracer.ErrReorg) {
			n.mu.Lock()
			n.out = err
			n.mu.Unlock()
			return err
		}
	}
	if err == nil {
		err = n.enter(ctx, p, calls)
	}
	if err == nil {
		if !rested && n.resting() > 0 && c.pick(w, nil) != n {
			n.leave()
			p.refund(calls)
			return errRests
		}
		err = try(n)
		n.leave()
	}
	switch {
	case err == nil:
		n.well()
	case ctx.Err() != nil || errors.Is(err, tracer.ErrBudget):
		n.free()
	default:
		switch e := c.classify(err); {
		case e.ill || e.kind == kindTransient || e.kind == kindUnusable || e.kind == kindUnknown || e.kind == kindQuota:
			n.ill(e.kind)
		case e.late || e.kind == kindRate:
			n.free()
		default:
			n.well()
		}
	}
	return err
}

// gone reports whether a node is asked no more.
func (n *node) gone() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.out != nil
}

// verdict is what a pool says when no node is left to ask: what may pass counts,
// because then the answer may still be had; else what the node says that suits best.
func (c *client) verdict(w want, t *tour) error {
	var best *nodeError
	least := 0
	for _, n := range c.nodes {
		e, s := t.said[n], n.standing(w)
		if e == nil {
			continue
		}
		if best == nil || e.passes() && !best.passes() || e.passes() == best.passes() && s.rank < least {
			best, least = e, s.rank
		}
	}
	if best != nil {
		return best
	}
	var out error
	for _, n := range c.nodes {
		n.mu.Lock()
		out = cmp.Or(out, n.out)
		n.mu.Unlock()
	}
	return out
}
