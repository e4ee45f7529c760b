package functions

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"scamtrace/tracer/devnet"
	"scamtrace/tracer/report"
)

// undisturbed are the files of a case that nothing happened to.
func undisturbed(t *testing.T, victim int) (id string, files map[string]string, signer report.Signer) {
	t.Helper()
	s := newScene(t)
	id = s.submit(alice, victim)
	s.settle()
	return id, s.reports("ngo", id), s.Signer
}

// TestMessages is promise P4: Jobs come twice, late, in any order or never, and
// change nothing.
func TestMessages(t *testing.T) {
	id, want, signer := undisturbed(t, 1)
	for seed := range uint64(8) {
		rng := rand.New(rand.NewPCG(seed, 0))
		s := newScene(t)
		s.App.Signer, s.App.Turn = signer, 20*time.Millisecond
		s.submit(alice, 1)
		var all []Job
		for len(s.queue.jobs) > 0 {
			i := rng.IntN(len(s.queue.jobs))
			j := s.queue.jobs[i]
			all = append(all, j)
			s.queue.jobs = append(s.queue.jobs[:i], s.queue.jobs[i+1:]...)
			switch rng.IntN(4) {
			case 0: // lost
				continue
			case 1: // twice
				s.queue.jobs = append(s.queue.jobs, j)
			}
			if err := s.Work(t.Context(), j); err != nil {
				t.Fatal(err)
			}
			s.grow()
		}
		s.settle()
		if differ(t, s.reports("ngo", id), want) {
			t.Fatalf("seed %d", seed)
		}
		before := objects(t, s.bucket, "")
		for _, j := range append(all, Job{"ngo", id, 0}, Job{"ngo", id, 1 << 30}, Job{"other", id, 1}) {
			if err := s.Work(t.Context(), j); err != nil {
				t.Fatalf("a late message: %v", err)
			}
		}
		differ(t, objects(t, s.bucket, ""), before)
	}
}

// TestTwoWorkers has two processes work at one Job at the same time.
func TestTwoWorkers(t *testing.T) {
	id, want, signer := undisturbed(t, 1)
	for range 5 {
		s := newScene(t)
		s.App.Signer, s.App.Turn = signer, 20*time.Millisecond
		s.submit(alice, 1)
		other := s.newApp()
		other.Signer, other.Turn = signer, s.App.Turn
		queues := [2]list{}
		for rounds := 0; len(s.queue.jobs) > 0; rounds++ {
			j := s.queue.jobs[0]
			s.queue.jobs = s.queue.jobs[1:]
			var wg sync.WaitGroup
			var errs [2]error
			for i, a := range []*App{s.App, other} {
				a.Queue = &queues[i]
				wg.Go(func() { errs[i] = a.Work(t.Context(), j) })
			}
			wg.Wait()
			if err := errors.Join(errs[:]...); err != nil {
				t.Fatal(err)
			}
			s.grow()
			other.Turn = s.App.Turn
			for i := range queues {
				s.queue.jobs = append(s.queue.jobs, queues[i].jobs...)
				queues[i].jobs = nil
			}
		}
		s.App.Queue = s.queue
		s.settle()
		if differ(t, s.reports("ngo", id), want) {
			t.FailNow()
		}
	}
}

// TestNewerCase is an old program beside a new one: it leaves alone what the new
// one has taken over.
func TestNewerCase(t *testing.T) {
	s := newScene(t)
	id := s.submit(alice, 1)
	data, tag, err := s.bucket.Get(t.Context(), caseKey("ngo", id))
	if err != nil {
		t.Fatal(err)
	}
	newer := bytes.Replace(data, []byte(`"schema": 1`), []byte(`"schema": 2, "new": true`), 1)
	if _, err := s.bucket.Replace(t.Context(), caseKey("ngo", id), newer, tag); err != nil {
		t.Fatal(err)
	}
	before := objects(t, s.bucket, "due/")
	if err := s.Work(t.Context(), s.queue.jobs[0]); !errors.Is(err, ErrNewer) {
		t.Errorf("Work says %v, want that the Job comes again", err)
	}
	s.clock = s.clock.Add(time.Hour)
	if err := s.Schedule(t.Context()); err != nil {
		t.Errorf("Schedule says %v", err)
	}
	if code, body := s.do(alice, "GET", "/v1/cases/"+id, nil); code != http.StatusServiceUnavailable || !strings.Contains(body, "later version") {
		t.Errorf("GET answers %d: %s", code, body)
	}
	differ(t, objects(t, s.bucket, "due/"), before)
	if got, _, _ := s.bucket.Get(t.Context(), caseKey("ngo", id)); !bytes.Equal(got, newer) {
		t.Error("the case was changed")
	}
}

// TestNodeDown: a case waits for its node, longer each time, and in the end
// says so in words that hold no address; asked again, it finishes.
func TestNodeDown(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fails func(n int64, body string) bool
		want  Status
	}{
		{"from the start", func(int64, string) bool { return true }, StatusFailed},
		{"in the middle", func(n int64, body string) bool { return n > 60 && strings.Contains(body, "eth_getLogs") }, StatusPartial},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var down atomic.Bool
			var n atomic.Int64
			down.Store(true)
			s := newScene(t)
			s.url = serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				if down.Load() && tt.fails(n.Add(1), string(body)) {
					http.Error(w, "your plan does not allow this", http.StatusForbidden) // which nobody tries again at once
					return
				}
				r.Body = io.NopCloser(bytes.NewReader(body))
				s.node.ServeHTTP(w, r)
			})) + "/v2/SECRETKEY"
			s.App = s.newApp()
			s.node.SetHead(s.world.Head() - 50)
			id := s.submit(alice, 1)
			s.work()
			c := s.find1("ngo", id)
			if !c.working() || !strings.Contains(c.Reason, "tried again") || c.Tries != 1 {
				t.Errorf("after one turn the case is %s: %s", c.Status, c.Reason)
			}
			start := s.clock
			s.settle()
			c = s.find1("ngo", id)
			if c.Status != tt.want || c.Reason == "" || len(c.Reports) > 0 != (tt.want == StatusPartial) {
				t.Errorf("in the end the case is %s with %d reports: %s", c.Status, len(c.Reports), c.Reason)
			}
			if waited := s.clock.Sub(start); waited < time.Minute || waited > 4*time.Hour {
				t.Errorf("it waited %v", waited)
			}
			down.Store(false)
			s.clock = s.clock.Add(time.Hour)
			s.node.SetHead(s.world.Head())
			if code, body := s.do(alice, "POST", "/v1/cases/"+id+"/retrace", nil); code != http.StatusAccepted {
				t.Fatalf("retrace answers %d: %s", code, body)
			}
			s.settle()
			if c = s.find1("ngo", id); c.Status != StatusDone {
				t.Errorf("resumed, the case is %s: %s", c.Status, c.Reason)
			}
			data, err := json.Marshal(c)
			if err != nil {
				t.Fatal(err)
			}
			if all := s.logs.String() + string(data); strings.Contains(all, "SECRETKEY") {
				t.Error("the key of the endpoint is in a log or in the case")
			}
		})
	}
}

// TestReorg: the pinned block goes away in the middle.
func TestReorg(t *testing.T) {
	s := newSceneWith(t, devnet.NodeOptions{ReorgDepth: 200})
	s.App.Turn = 1 // over before anything is read
	id := s.submit(alice, 1)
	turn := func() {
		t.Helper()
		j := s.queue.jobs[0]
		s.queue.jobs = s.queue.jobs[1:]
		if err := s.Work(t.Context(), j); err != nil {
			t.Fatal(err)
		}
		s.grow()
	}
	for s.find1("ngo", id).State == 0 {
		turn()
	}
	old := *s.find1("ngo", id).Pinned
	s.fault.Store(int32(devnet.FaultReorg))
	turn()
	turn()
	c := s.find1("ngo", id)
	if !c.Moved || c.Pinned == nil || c.Pinned.Hash == old.Hash {
		t.Fatalf("after the reorganization the case is pinned at %v, before at %v", c.Pinned, old)
	}
	s.App.Turn = time.Hour
	s.settle()
	c = s.find1("ngo", id)
	if c.Status != StatusDone {
		t.Fatalf("the case is %s: %s", c.Status, c.Reason)
	}
	if rep := s.reports("ngo", id)["reports/"+number(c.Reports[0].Block)+"/report.json"]; !strings.Contains(rep, "gave up a final block") {
		t.Error("the report does not say that the chain changed")
	}

	// Once more, and for the second time in one run.
	s.fault.Store(int32(devnet.NoFault))
	s.App.Turn = 1 // over before anything is read
	id = s.submit(bob, 1)
	for s.find1("ngo", id).State == 0 {
		turn()
	}
	if _, err := s.change(t.Context(), "ngo", id, func(c *Case) error { c.Moved = true; return nil }); err != nil {
		t.Fatal(err)
	}
	s.fault.Store(int32(devnet.FaultReorg))
	s.settle()
	if c = s.find1("ngo", id); c.Status != StatusFailed || !strings.Contains(c.Reason, "twice") {
		t.Errorf("after two reorganizations the case is %s: %s", c.Status, c.Reason)
	}
}

// TestLabelsChange: a trace that has begun with other labels begins anew.
func TestLabelsChange(t *testing.T) {
	s := newScene(t)
	s.App.Turn = 1 // over before anything is read
	id := s.submit(alice, 1)
	for s.find1("ngo", id).State == 0 {
		j := s.queue.jobs[0]
		s.queue.jobs = s.queue.jobs[1:]
		if err := s.Work(t.Context(), j); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.bucket.Create(t.Context(), "public/labels/more.csv", []byte("chain,address,name,category\ndevnet,"+addr(9)+",Somebody,exchange\n")); err != nil {
		t.Fatal(err)
	}
	s.clock = s.clock.Add(time.Hour)
	s.App.Turn = time.Hour
	s.settle()
	c := s.find1("ngo", id)
	if c.Status != StatusDone || !strings.Contains(strings.Join(c.Notes, " "), "labels or prices changed") {
		t.Errorf("the case is %s (%s), its notes %q", c.Status, c.Reason, c.Notes)
	}
}

func TestBudgetAndWrongSeeds(t *testing.T) {
	s := newScene(t)
	post := func(sub Submission) *Case {
		t.Helper()
		sub.Chain = "devnet"
		code, body := s.do(alice, "POST", "/v1/cases", sub)
		if code != http.StatusAccepted {
			t.Fatalf("POST answers %d: %s", code, body)
		}
		s.settle()
		return s.find1("ngo", decode[CaseView](t, body).ID)
	}
	c := post(Submission{Seeds: victimSeeds(s.world, 0), Requests: 60})
	if c.Status != StatusPartial || !strings.Contains(c.Reason, "budget of 60 requests") || len(c.Reports) != 1 || c.Progress.Requests > 60 {
		t.Errorf("with a budget of 60 requests the case is %s: %s (%d requests, %d reports)", c.Status, c.Reason, c.Progress.Requests, len(c.Reports))
	}
	c = post(Submission{Seeds: []string{"0x" + strings.Repeat("12", 32)}})
	if c.Status != StatusFailed || !strings.Contains(c.Reason, "check the hash") {
		t.Errorf("with an unknown payment the case is %s: %s", c.Status, c.Reason)
	}
	// The payment is there later: the case is resumed at a later block.
	s.node.SetHead(300)
	p := s.world.Truth.Victims[0].Payments[0]
	c = post(Submission{Seeds: []string{p.Tx.Hex()}})
	if c.Status != StatusFailed {
		t.Fatalf("with a payment of the future the case is %s: %s", c.Status, c.Reason)
	}
	s.node.SetHead(s.world.Head())
	if code, body := s.do(alice, "POST", "/v1/cases/"+c.ID+"/retrace", nil); code != http.StatusAccepted {
		t.Fatalf("retrace answers %d: %s", code, body)
	}
	s.settle()
	if c = s.find1("ngo", c.ID); c.Status != StatusDone {
		t.Errorf("resumed, the case is %s: %s", c.Status, c.Reason)
	}
}

// TestLostAgainAndAgain: a case whose worker dies without a word is tried some
// times, and then says so instead of costing money for ever.
func TestLostAgainAndAgain(t *testing.T) {
	s := newScene(t)
	id := s.submit(alice, 1)
	for range 2 * maxTries {
		s.queue.jobs = nil
		s.clock = s.clock.Add(16 * time.Minute)
		if err := s.Schedule(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	c := s.find1("ngo", id)
	if c.Status != StatusFailed || !strings.Contains(c.Reason, "stopped 8 times") {
		t.Errorf("the case is %s: %s", c.Status, c.Reason)
	}
	if code, _ := s.do(alice, "POST", "/v1/cases/"+id+"/retrace", nil); code != http.StatusAccepted {
		t.Errorf("retrace answers %d", code)
	}
	s.settle()
	if c = s.find1("ngo", id); c.Status != StatusDone {
		t.Errorf("resumed, the case is %s: %s", c.Status, c.Reason)
	}
}

// TestStopped: an interrupted process changes nothing and gives the Job back.
func TestStopped(t *testing.T) {
	s := newScene(t)
	s.submit(alice, 1)
	before := objects(t, s.bucket, "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Work(ctx, s.queue.jobs[0]); !errors.Is(err, context.Canceled) {
		t.Errorf("Work says %v", err)
	}
	differ(t, objects(t, s.bucket, ""), before)
}

// TestTurnTooShort: a case that gets nowhere in its turns does not cost money
// for ever.
func TestTurnTooShort(t *testing.T) {
	s := newScene(t)
	hasty := s.newApp()
	hasty.Turn = 1
	id := s.submit(alice, 1)
	for range 3 * maxTries {
		for len(s.queue.jobs) > 0 {
			j := s.queue.jobs[0]
			s.queue.jobs = s.queue.jobs[1:]
			if err := hasty.Work(t.Context(), j); err != nil {
				t.Fatal(err)
			}
		}
		s.clock = s.clock.Add(61 * time.Minute)
		if err := s.Schedule(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	c := s.find1("ngo", id)
	if c.Status != StatusFailed || !strings.Contains(c.Reason, "too slow") || c.Epoch > 400 { // how far a turn of nothing comes depends on the machine
		t.Errorf("the case is %s at epoch %d: %s", c.Status, c.Epoch, c.Reason)
	}
	if code, _ := s.do(alice, "POST", "/v1/cases/"+id+"/retrace", nil); code != http.StatusAccepted {
		t.Errorf("retrace answers %d", code)
	}
	s.settle()
	if c = s.find1("ngo", id); c.Status != StatusDone {
		t.Errorf("with time, the case is %s: %s", c.Status, c.Reason)
	}
}
