package functions

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// A Local is a [Queue] in memory and the workers behind it. It takes turns
// among workspaces, so that one with many cases does not hold up the others. A
// Job is a few words, and the same one is kept once.
type Local struct {
	mu     sync.Mutex
	of     map[string][]localJob // by workspace, oldest first
	turn   []string              // workspaces that have Jobs; the first is next
	queued map[Job]bool
	wake   chan struct{}
}

type localJob struct {
	Job
	tries int
	after time.Time
}

// NewLocal returns an empty queue.
func NewLocal() *Local {
	return &Local{of: make(map[string][]localJob), queued: make(map[Job]bool), wake: make(chan struct{}, 1)}
}

// Send implements [Queue]. It never fails.
func (l *Local) Send(_ context.Context, j Job) error {
	l.put(localJob{Job: j})
	return nil
}

func (l *Local) put(j localJob) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.queued[j.Job] {
		return
	}
	l.queued[j.Job] = true
	if len(l.of[j.Workspace]) == 0 {
		l.turn = append(l.turn, j.Workspace)
	}
	l.of[j.Workspace] = append(l.of[j.Workspace], j)
	l.signal()
}

func (l *Local) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// take returns the next Job whose time has come, and else how long to wait.
func (l *Local) take(now time.Time) (localJob, time.Duration, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	wait := time.Hour
	for n, ws := range l.turn {
		for i, j := range l.of[ws] {
			if d := j.after.Sub(now); d > 0 {
				wait = min(wait, d)
				continue
			}
			l.of[ws] = slices.Delete(l.of[ws], i, i+1)
			delete(l.queued, j.Job)
			l.turn = slices.Delete(l.turn, n, n+1)
			if len(l.of[ws]) > 0 {
				l.turn = append(l.turn, ws)
			} else {
				delete(l.of, ws)
			}
			if len(l.turn) > 0 {
				l.signal()
			}
			return j, 0, true
		}
	}
	return localJob{}, wait, false
}

// Len is how many Jobs wait.
func (l *Local) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.queued)
}

// Run works at the Jobs with some workers, and runs the schedule at once and
// then every so often, until ctx ends; then it waits for the workers. First it
// takes up what an earlier process left. A Job that fails comes again, after a
// second, then two, four, up to a minute.
func (l *Local) Run(ctx context.Context, a *App, workers int, every time.Duration) error {
	if err := a.Recover(ctx); err != nil {
		return err
	}
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() { l.work(ctx, a) })
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for ctx.Err() == nil {
		if err := a.Schedule(ctx); err != nil && ctx.Err() == nil {
			a.log().ErrorContext(ctx, "schedule", "err", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	wg.Wait()
	return nil
}

func (l *Local) work(ctx context.Context, a *App) {
	for ctx.Err() == nil {
		j, wait, ok := l.take(time.Now())
		if !ok {
			timer := time.NewTimer(wait)
			select {
			case <-l.wake:
			case <-timer.C:
			case <-ctx.Done():
			}
			timer.Stop()
			continue
		}
		if err := a.safely(ctx, j.Job); err != nil && ctx.Err() == nil {
			a.log().WarnContext(ctx, "job will come again", "case", j.Case, "err", err)
			j.after = time.Now().Add(min(time.Second<<min(j.tries, 10), time.Minute))
			j.tries++
			l.put(j)
		}
	}
}

// safely is Work in a process that does not die of one case.
func (a *App) safely(ctx context.Context, j Job) (err error) {
	defer func() {
		if p := recover(); p != nil {
			a.log().ErrorContext(ctx, "panic", "case", j.Case)
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return a.Work(ctx, j)
}

// Recover sends the Jobs of all cases at work, whether they are due or not. It
// is for a process that begins with an empty queue.
func (a *App) Recover(ctx context.Context) error {
	for key, err := range a.Bucket.List(ctx, "due/", "") {
		if err != nil {
			return err
		}
		_, ws, id, ok := parseDue(key)
		if !ok {
			continue
		}
		c, _, err := a.load(ctx, ws, id)
		if err != nil || !c.working() && len(c.Alerts) == 0 {
			continue // the schedule says what is wrong
		}
		if err := a.send(ctx, c); err != nil {
			return err
		}
	}
	return nil
}
