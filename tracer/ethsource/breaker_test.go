package ethsource

import (
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pipedPool is a pool of nodes that answer without a network; p gets the index of
// the node that is asked and how many calls it has had.
func pipedPool(t *testing.T, nodes int, p func(node int, q question, n int) *http.Response) *client {
	t.Helper()
	var list []Endpoint
	for range nodes {
		list = append(list, Endpoint{URL: "http://127.0.0.1:1"})
	}
	c, err := dial(t.Context(), list, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	count := make([]int, nodes)
	for i, n := range c.nodes {
		n.http.Transport = &transport{n, pipe(func(r *http.Request) (*http.Response, error) {
			body, _ := io.ReadAll(r.Body)
			var q question
			json.Unmarshal(body, &q)
			mu.Lock()
			count[i]++
			k := count[i]
			mu.Unlock()
			return p(i, q, k), nil
		})}
	}
	t.Cleanup(func() {
		for _, n := range c.nodes {
			n.rpc.Close()
		}
	})
	return c
}

// TestBreaker fails one of two nodes for a minute: it costs three tries and then
// one after each rest, nobody waits for it, and when it is well it is asked again.
func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		failed, worked := 0, 0
		c := pipedPool(t, 2, func(node int, q question, _ int) *http.Response {
			if node == 0 && time.Since(start) < time.Minute {
				failed++
				return reply(503, "")
			}
			if node == 0 {
				worked++
			}
			return reply(200, q.answer())
		})
		for i := range 200 {
			var got int
			before := time.Now()
			if err := c.one(t.Context(), newPurse(0, new(counter)), &got, "echo", i); err != nil || got != i {
				t.Fatalf("call %d is answered with %d, %v", i, got, err)
			}
			if took := time.Since(before); took > 0 {
				t.Errorf("call %d waited %v while another node was ready", i, took)
			}
			time.Sleep(time.Second)
		}
		// After 3 failures it rests 2, 4, 8, 16 and 32 seconds.
		if failed < 5 || failed > 8 || worked < 100 {
			t.Errorf("%d calls failed and %d worked at the node that failed for a minute", failed, worked)
		}
	})
}

// TestRetryAfterPool leaves a node alone that asks for it, while another is ready,
// and waits where there is no other.
func TestRetryAfterPool(t *testing.T) {
	for _, nodes := range []int{1, 2} {
		synctest.Test(t, func(t *testing.T) {
			var at []time.Duration
			start := time.Now()
			c := pipedPool(t, nodes, func(node int, q question, n int) *http.Response {
				if node == 0 {
					at = append(at, time.Since(start))
					if n == 1 {
						return reply(429, "", "Retry-After", "30")
					}
				}
				return reply(200, q.answer())
			})
			for i := range 60 {
				var got int
				if err := c.one(t.Context(), newPurse(0, new(counter)), &got, "echo", i); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
			}
			if len(at) < 2 || at[1] < 30*time.Second || nodes == 2 && at[1] > 32*time.Second {
				t.Errorf("%d nodes: the one that asks for half a minute is asked after %v", nodes, at[:min(len(at), 3)])
			}
		})
	}
}
