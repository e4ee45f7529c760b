//go:build !unix

package graphstore

import "time"

var started = time.Now()

// cpuTime returns the time since the start: only unix tells the processor's.
func cpuTime() time.Duration { return time.Since(started) }
