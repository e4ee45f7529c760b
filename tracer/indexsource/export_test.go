package indexsource

import (
	"context"
	"sync"
	"time"
)

// A Clock is a clock that only moves when somebody waits.
type Clock struct {
	mu sync.Mutex
	at time.Time
}

// NewClock begins on the day of the first block of the built-in chain.
func NewClock() *Clock { return &Clock{at: time.Unix(1740960000, 0)} }

// Now returns the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

// Pass waits without waiting.
func (c *Clock) Pass(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	c.at = c.at.Add(d)
	c.mu.Unlock()
	return context.Cause(ctx)
}

// On sets the clock of options.
func On(c *Clock, o Options) Options {
	o.now, o.pause = c.Now, c.Pass
	return o
}

// Inside makes Alchemy take the built-in chain for one whose internal
// transfers it lists.
func Inside(s *Alchemy) *Alchemy {
	s.inside = true
	return s
}

// ByDefault is [Default] with a resolver of one's own.
var ByDefault = byDefault
