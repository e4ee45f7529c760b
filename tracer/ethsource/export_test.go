package ethsource

import (
	"context"
	"time"
)

// Hasty returns options under which nothing sleeps between tries.
func Hasty(o Options) Options {
	o.pause = func(ctx context.Context, _ time.Duration) error { return context.Cause(ctx) }
	return o
}
