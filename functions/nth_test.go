package functions

import (
	"context"
	"errors"
	"flag"
	"iter"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"scamtrace/graphstore"
)

// A killer ends a process at its n-th outside operation: it cancels the
// process's context, and that operation and every later one fail. With lost,
// the n-th operation is done and only its answer is lost.
type killer struct {
	n, count atomic.Int64
	lost     bool
	kill     context.CancelFunc

	mu    sync.Mutex
	reads []bool // of each operation, whether it only asked the node
}

var errKilled = errors.New("the process was killed")

// op counts an operation. do says whether it is done, and ok whether its
// answer arrives.
func (k *killer) op(read bool) (do, ok bool) {
	k.mu.Lock()
	k.reads = append(k.reads, read)
	k.mu.Unlock()
	n := k.count.Add(1)
	at := k.n.Load()
	if at == 0 || n < at {
		return true, true
	}
	if n == at {
		k.kill()
		return k.lost, false
	}
	return false, false
}

// killed is a bucket and a queue of a process that a killer ends.
type killed struct {
	graphstore.Bucket
	queue Queue
	k     *killer
}

func (b *killed) Get(ctx context.Context, key string) ([]byte, string, error) {
	if do, ok := b.k.op(false); !do || !ok {
		return nil, "", errKilled
	}
	return b.Bucket.Get(context.WithoutCancel(ctx), key)
}

func (b *killed) write(f func() (string, error)) (string, error) {
	do, ok := b.k.op(false)
	if !do {
		return "", errKilled
	}
	tag, err := f()
	if !ok {
		return "", errKilled
	}
	return tag, err
}

func (b *killed) Create(ctx context.Context, key string, data []byte) (string, error) {
	return b.write(func() (string, error) { return b.Bucket.Create(context.WithoutCancel(ctx), key, data) })
}

func (b *killed) Replace(ctx context.Context, key string, data []byte, tag string) (string, error) {
	return b.write(func() (string, error) { return b.Bucket.Replace(context.WithoutCancel(ctx), key, data, tag) })
}

func (b *killed) Delete(ctx context.Context, key string) error {
	_, err := b.write(func() (string, error) { return "", b.Bucket.Delete(context.WithoutCancel(ctx), key) })
	return err
}

func (b *killed) List(ctx context.Context, prefix, after string) iter.Seq2[string, error] {
	if do, ok := b.k.op(false); !do || !ok {
		return func(yield func(string, error) bool) { yield("", errKilled) }
	}
	return b.Bucket.List(context.WithoutCancel(ctx), prefix, after)
}

func (b *killed) Send(ctx context.Context, j Job) error {
	_, err := b.write(func() (string, error) { return "", b.queue.Send(ctx, j) })
	return err
}

// ServeHTTP stands before the node: each HTTP request is an operation.
func (b *killed) proxy(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if do, ok := b.k.op(true); !do || !ok {
			panic(http.ErrAbortHandler)
		}
		next.ServeHTTP(w, r)
	})
}

var nthStep = flag.Int("nth", 15, "of the operations that ask the node, kill at every so many")

// nthVictim is the victim whose trace looks at 50 wallets.
const nthVictim = 2

// TestKilledAtEveryOperation is promise P3: the worker is killed at the first,
// the second, … the n-th thing it does outside, until a run gets through; and
// every time, the queue and the schedule bring the case to the same bytes.
func TestKilledAtEveryOperation(t *testing.T) {
	undisturbed := newScene(t)
	id := undisturbed.submit(alice, nthVictim)
	undisturbed.settle()
	c := undisturbed.find1("ngo", id)
	want := undisturbed.reports("ngo", id)
	if c.Status != StatusDone || len(want) < 8 || c.Progress.Wallets < 40 {
		t.Fatalf("undisturbed, the case is %s with %d files and %d wallets", c.Status, len(want), c.Progress.Wallets)
	}
	for _, tt := range []struct {
		name string
		lost bool
		turn time.Duration
	}{
		{"before it is done", false, time.Hour},
		{"done, and the answer lost", true, time.Hour},
		{"before it is done, in many turns", false, 20 * time.Millisecond},
		{"done, and the answer lost, in many turns", true, 20 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScene(t)
			s.submit(alice, nthVictim)
			reads := s.killAt(0, false, tt.turn).reads
			rounds := 0
			for n := int64(1); ; n++ {
				if i := int(n) - 1; i < len(reads) && reads[i] && i%*nthStep > 0 {
					continue
				}
				s := newScene(t)
				if s.submit(alice, nthVictim) != id {
					t.Fatal("the same clock and randomness made another id")
				}
				k := s.killAt(n, tt.lost, tt.turn)
				s.settle()
				if differ(t, s.reports("ngo", id), want) {
					t.Fatalf("killed at operation %d", n)
				}
				if got := s.find1("ngo", id); got.Status != c.Status || len(got.Reports) != 1 || got.Reports[0].Sentence != c.Reports[0].Sentence {
					t.Fatalf("killed at operation %d, the case is %s with %d reports", n, got.Status, len(got.Reports))
				}
				rounds++
				if k.count.Load() < n {
					t.Logf("%d rounds, the last without a kill after %d operations", rounds, k.count.Load())
					return
				}
			}
		})
	}
}

// killAt has a process of its own drive the queue until it is killed at its
// n-th operation, or the queue is empty. What it was working at comes again.
func (s *scene) killAt(n int64, lost bool, turn time.Duration) *killer {
	ctx, cancel := context.WithCancel(s.t.Context())
	defer cancel()
	k := &killer{lost: lost, kill: cancel}
	k.n.Store(n)
	b := &killed{s.bucket, s.queue, k}
	srv := httptest.NewServer(b.proxy(s.node))
	defer srv.Close()
	victim := s.newApp()
	victim.Bucket, victim.Queue, victim.Open, victim.Signer, victim.Turn, victim.Alerts = b, b, openNode(srv.URL, 0), s.Signer, turn, s.Alerts
	victim.Quoters = s.Quoters
	for ctx.Err() == nil && len(s.queue.jobs) > 0 {
		job := s.queue.jobs[0]
		err := victim.Work(ctx, job)
		switch {
		case err == nil:
			s.queue.jobs = slices.Delete(s.queue.jobs, 0, 1)
			victim.Turn = min(victim.Turn+victim.Turn/2, time.Hour)
		case ctx.Err() == nil:
			s.t.Fatalf("nobody was killed, and Work says %v", err)
		}
	}
	return k
}

// TestRetraceKilled kills the worker at every thing it does outside while it
// looks again at a case, and tells of it: the report and the diff have the same
// bytes, and whoever is told more than once is told under the same id.
func TestRetraceKilled(t *testing.T) {
	prepare := func() (*scene, string) {
		s := newScene(t)
		s.at(7)
		id := s.submit(alice, nthVictim)
		s.work()
		s.at(12)
		if err := s.Schedule(t.Context()); err != nil {
			t.Fatal(err)
		}
		return s, id
	}
	s, id := prepare()
	s.App.Alerts = new(topic)
	s.settle()
	want := s.reports("ngo", id)
	if c := s.find1("ngo", id); len(c.Reports) != 2 || len(s.App.Alerts.(*topic).got) != 1 {
		t.Fatalf("undisturbed, there are %d reports (%s)", len(c.Reports), c.Reason)
	}
	s, _ = prepare()
	reads := s.killAt(0, false, time.Hour).reads
	for n := int64(1); ; n++ {
		if i := int(n) - 1; i < len(reads) && reads[i] && i%*nthStep > 0 {
			continue
		}
		s, id := prepare()
		got := new(topic)
		s.App.Alerts = got
		k := s.killAt(n, n%2 == 0, time.Hour)
		s.settle()
		have := s.reports("ngo", id)
		for name, data := range want {
			if have[name] != data {
				t.Errorf("%s differs: %d bytes, want %d", name, len(have[name]), len(data))
			}
		}
		if len(have) != len(want) || t.Failed() {
			t.Fatalf("killed at operation %d, there are %d files, want %d", n, len(have), len(want))
		}
		if len(got.got) == 0 || len(got.got) > 2 || slices.ContainsFunc(got.got, func(a Alert) bool { return a != got.got[0] }) {
			t.Fatalf("killed at operation %d, the alerts are %v", n, got.got)
		}
		if k.count.Load() < n {
			t.Logf("%d operations", k.count.Load())
			return
		}
	}
}
