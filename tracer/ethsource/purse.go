package ethsource

import (
	"context"
	"math"
	"slices"
	"sync"

	"scamtrace/tracer"
)

// A purse holds the calls that a reading may still make. Pieces that are read
// ahead of time get a purse of their own, filled from the reading's, so that
// what is left when a piece is reached does not depend on what others did
// meanwhile: a budget ends at the same block however many reads run at once.
type purse struct {
	parent *purse
	spent  *counter      // in the whole query
	head   chan struct{} // closed when the purse may draw on its parent's

	mu   sync.Mutex
	left int
}

// newPurse holds max calls; 0 is no limit. It counts what is spent in n.
func newPurse(max int, n *counter) *purse {
	if max <= 0 {
		max = math.MaxInt / 2
	}
	return &purse{left: max, spent: n}
}

// rest is a purse with what is left of a budget, which may be nothing; a budget
// of 0 is no limit.
func rest(budget, left int, n *counter) *purse {
	p := newPurse(budget, n)
	if budget > 0 {
		p.left = max(left, 0)
	}
	return p
}

// A counter counts calls from several goroutines, and remembers whom they went to.
type counter struct {
	mu    sync.Mutex
	n     int
	nodes []*node
}

func (c *counter) asked(n *node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Contains(c.nodes, n) {
		c.nodes = append(c.nodes, n)
	}
}

// whom returns the nodes that were asked, in their order.
func (c *counter) whom() []*node {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.SortedFunc(slices.Values(c.nodes), func(a, b *node) int { return a.index - b.index })
}

func (c *counter) add(n int) {
	c.mu.Lock()
	c.n += n
	c.mu.Unlock()
}

func (c *counter) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// spend pays for n calls that are about to be made. A purse that is empty
// waits until it may draw on its parent's.
func (p *purse) spend(ctx context.Context, n int) error {
	if err := p.take(ctx, n); err != nil {
		return err
	}
	p.spent.add(n)
	return nil
}

// refund takes back the payment for n calls that were not made.
func (p *purse) refund(n int) {
	p.mu.Lock()
	p.left += n
	p.mu.Unlock()
	p.spent.add(-n)
}

func (p *purse) take(ctx context.Context, n int) error {
	for {
		p.mu.Lock()
		short := n - p.left
		if short <= 0 {
			p.left -= n
		}
		p.mu.Unlock()
		if short <= 0 {
			return nil
		}
		if p.parent == nil {
			return tracer.ErrBudget
		}
		select {
		case <-p.head:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err := p.parent.take(ctx, short); err != nil {
			return err
		}
		p.mu.Lock()
		p.left += short
		p.mu.Unlock()
	}
}

// leastGrant is the least that it is worth reading ahead with.
const leastGrant = 16

// lend makes a purse for a piece. The piece whose turn it is gets an empty one
// and draws on p; one that is read ahead gets a share of p, and nil when that
// would be too little.
func (p *purse) lend(ahead bool) *purse {
	q := &purse{parent: p, spent: p.spent, head: make(chan struct{})}
	if !ahead {
		close(q.head)
		return q
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if q.left = p.left / 16; q.left < leastGrant {
		return nil
	}
	p.left -= q.left
	return q
}

// back returns what is left to the parent.
func (p *purse) back() {
	p.parent.mu.Lock()
	p.parent.left += p.left
	p.parent.mu.Unlock()
	p.left = 0
}
