package functions

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	loadCases = flag.Int("load.cases", 24, "cases that TestLoad submits at once")
	loadRate  = flag.Float64("load.rate", 400, "calls a second to the chain that TestLoad allows")
)

// TestLoad submits many cases at once to the local server, most of them of one
// workspace, with few calls a second to the chain. All finish, none is lost, the
// small workspaces do not wait for the large one, and memory is bounded by the
// number of workers. The issue's own size is
//
//	go test ./functions -run TestLoad -v -load.cases 200 -load.rate 25
func TestLoad(t *testing.T) {
	const workers = 4
	s := newScene(t)
	a, queue := s.App, NewLocal()
	a.Open, a.Queue, a.Turn, a.Now, a.Random, a.Metrics = openNode(s.url, *loadRate), queue, 5*time.Second, nil, nil, nil
	a.Log = slog.New(slog.DiscardHandler)

	// Nine of ten cases are of one workspace, and they come first.
	workspaces := []string{"big", "small", "tiny"}
	of := func(n int) string {
		switch {
		case n < *loadCases*9/10:
			return "big"
		case n%2 == 0:
			return "small"
		}
		return "tiny"
	}
	ids := make(map[string]string)
	begin := time.Now()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for n := range *loadCases {
		ws := of(n)
		submit := func() {
			p := s.world.Truth.Victims[n%6].Payments[0]
			code, body := s.do(ws+" someone advocate", "POST", "/v1/cases", Submission{Chain: "devnet", Seeds: []string{p.Tx.Hex(), p.Wallet.Hex()}, Requests: 20}, "Idempotency-Key", fmt.Sprint(n))
			if code != http.StatusAccepted {
				t.Errorf("case %d: POST answers %d: %s", n, code, body)
				return
			}
			mu.Lock()
			ids[decode[CaseView](t, body).ID] = ws
			mu.Unlock()
		}
		if ws != "big" { // the others find a full queue
			wg.Wait()
			submit()
			continue
		}
		wg.Go(submit)
	}
	wg.Wait()
	submitted := time.Since(begin)
	if len(ids) != *loadCases || queue.Len() != *loadCases {
		t.Fatalf("%d cases and %d jobs, want %d", len(ids), queue.Len(), *loadCases)
	}

	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- queue.Run(ctx, a, workers, time.Minute) }()
	var peak atomic.Uint64
	var order []string // workspaces, as their cases finish
	waiting := make(map[string]string)
	maps.Copy(waiting, ids)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for len(waiting) > 0 {
		select {
		case <-tick.C:
		case err := <-ended:
			t.Fatalf("the workers ended: %v", err)
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		peak.Store(max(peak.Load(), m.HeapInuse))
		for id, ws := range waiting {
			c, _, err := a.load(t.Context(), ws, id)
			if err != nil {
				t.Fatal(err)
			}
			if !c.working() {
				if len(c.Reports) != 1 {
					t.Errorf("a case is %s (%s) with %d reports", c.Status, c.Reason, len(c.Reports))
				}
				order = append(order, ws)
				delete(waiting, id)
			}
		}
	}
	took := time.Since(begin)
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	for _, ws := range workspaces {
		first, last := slices.Index(order, ws), len(order)-1-slices.Index(reversed(order), ws)
		n := 0
		for _, x := range order {
			if x == ws {
				n++
			}
		}
		t.Logf("%-5s %3d cases: the first is finished as number %d, the last as number %d of %d", ws, n, first+1, last+1, len(order))
		// Three take turns, so one with n cases is done after about 3n, and
		// those that were being worked at.
		if ws != "big" && last+1 > 3*n+3*workers {
			t.Errorf("the last of the %d cases of %s is finished as number %d", n, ws, last+1)
		}
	}
	t.Logf("%d cases submitted in %.1f s and finished in %.0f s, %.2f a second; %d requests to the node at %.0f calls a second; heap at most %d MB",
		*loadCases, submitted.Seconds(), took.Seconds(), float64(*loadCases)/took.Seconds(), s.node.Requests(), *loadRate, peak.Load()>>20)
	if peak.Load() > 1<<30 {
		t.Errorf("the heap grew to %d MB", peak.Load()>>20)
	}
}

func reversed(s []string) []string {
	s = slices.Clone(s)
	slices.Reverse(s)
	return s
}
