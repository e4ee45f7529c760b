package functions

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"scamtrace/graphstore"
)

// TestIdempotency: however often, and by however many at once, a key is sent,
// there is one case; another body under the key is refused.
func TestIdempotency(t *testing.T) {
	s := newScene(t)
	sub := Submission{Chain: "devnet", Reference: "ref", Seeds: victimSeeds(s.world, 1)}
	var mu sync.Mutex
	var wg sync.WaitGroup
	codes, ids := make(map[int]int), make(map[string]int)
	s.App.Queue = NewLocal() // which is safe for many at once
	s.App.Random = nil
	for range 24 {
		wg.Go(func() {
			code, body := s.do(alice, "POST", "/v1/cases", sub, "Idempotency-Key", "k")
			mu.Lock()
			defer mu.Unlock()
			codes[code]++
			ids[decode[CaseView](t, body).ID]++
		})
	}
	wg.Wait()
	if codes[http.StatusAccepted] != 24 || len(ids) != 1 {
		t.Errorf("24 requests with one key: %v, %d cases", codes, len(ids))
	}
	_, body := s.do(alice, "GET", "/v1/cases", nil)
	if n := len(decode[struct{ Cases []CaseView }](t, body).Cases); n != 1 {
		t.Errorf("the list has %d cases", n)
	}
	other := sub
	other.Seeds = []string{addr(1)}
	if code, body := s.do(alice, "POST", "/v1/cases", other, "Idempotency-Key", "k"); code != http.StatusUnprocessableEntity || !strings.Contains(body, "another case") {
		t.Errorf("another body under the key: %d: %s", code, body)
	}
	// The key is the asker's own.
	if code, body := s.do(bob, "POST", "/v1/cases", other, "Idempotency-Key", "k"); code != http.StatusAccepted || ids[decode[CaseView](t, body).ID] > 0 {
		t.Errorf("the key of another asker: %d: %s", code, body)
	}
	if code, _ := s.do(alice, "POST", "/v1/cases", sub, "Idempotency-Key", strings.Repeat("k", 201)); code != http.StatusUnprocessableEntity {
		t.Errorf("a long key: %d", code)
	}
}

// TestSubmitKilled kills submit at every thing it does outside; the asker sends
// the same again, and there is one case, which is traced.
func TestSubmitKilled(t *testing.T) {
	for _, lost := range []bool{false, true} {
		for n := int64(1); ; n++ {
			s := newScene(t)
			_, cancel := context.WithCancel(t.Context())
			k := &killer{lost: lost, kill: cancel}
			k.n.Store(n)
			whole, queue := s.bucket, s.queue
			b := &killed{whole, queue, k}
			s.App.Bucket, s.App.Queue = b, b
			sub := Submission{Chain: "devnet", Reference: "ref", Seeds: victimSeeds(s.world, 1)}
			code, body := s.do(alice, "POST", "/v1/cases", sub, "Idempotency-Key", "k")
			through := k.count.Load() < n
			cancel()
			if code == http.StatusServiceUnavailable && !strings.Contains(body, "try again") {
				t.Errorf("killed at operation %d: %s", n, body)
			}
			s.App = s.newApp()
			code, body = s.do(alice, "POST", "/v1/cases", sub, "Idempotency-Key", "k")
			if code != http.StatusAccepted {
				t.Fatalf("killed at operation %d, the same again answers %d: %s", n, code, body)
			}
			id := decode[CaseView](t, body).ID
			s.settle()
			_, body = s.do(alice, "GET", "/v1/cases", nil)
			list := decode[struct{ Cases []CaseView }](t, body).Cases
			if len(list) != 1 || list[0].ID != id || list[0].Status != StatusDone || list[0].Reference != "ref" {
				t.Fatalf("killed at operation %d: %s", n, body)
			}
			if left := len(objects(t, whole, "due/")); left != 1 {
				t.Errorf("killed at operation %d, %d markers are left", n, left)
			}
			if through {
				t.Logf("%d operations", k.count.Load())
				break
			}
		}
	}
}

// TestScheduleKilled kills the schedule at every thing it does outside, while it
// begins a re-trace and finds a lost case.
func TestScheduleKilled(t *testing.T) {
	for n := int64(1); ; n++ {
		s := newScene(t)
		s.at(7)
		done := s.submit(alice, 0)
		s.work()
		waiting := s.submit(alice, 1)
		s.queue.jobs = nil // its message is lost
		s.at(12)
		_, cancel := context.WithCancel(t.Context())
		k := &killer{kill: cancel}
		k.n.Store(n)
		b := &killed{s.bucket, s.queue, k}
		s.App.Bucket, s.App.Queue = b, b
		_ = s.Schedule(t.Context())
		cancel()
		s.App = s.newApp()
		for range 5 {
			s.clock = s.clock.Add(16 * time.Minute)
			if err := s.Schedule(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.work()
		}
		for id, want := range map[string]int{done: 2, waiting: 1} {
			if c := s.find1("ngo", id); c.working() || len(c.Reports) != want {
				t.Fatalf("killed at operation %d, a case is %s (%s) with %d reports, want %d", n, c.Status, c.Reason, len(c.Reports), want)
			}
		}
		if left := len(objects(t, s.bucket, "due/")); left != 2 {
			t.Errorf("killed at operation %d, %d markers are left", n, left)
		}
		if k.count.Load() < n {
			t.Logf("%d operations", k.count.Load())
			return
		}
	}
}

func TestList(t *testing.T) {
	s := newScene(t)
	var want []string
	for n := range 7 {
		s.clock = s.clock.Add(time.Duration(n) * time.Second)
		who := alice
		if n%2 > 0 {
			who = bob
		}
		want = append(want, s.submit(who, 1))
	}
	slices.Reverse(want) // newest first
	pages := func(who string, limit int) (ids []string) {
		t.Helper()
		after := ""
		for range 10 {
			code, body := s.do(who, "GET", fmt.Sprintf("/v1/cases?limit=%d&after=%s", limit, after), nil)
			if code != http.StatusOK {
				t.Fatalf("GET answers %d: %s", code, body)
			}
			page := decode[struct {
				Cases []CaseView
				After string
			}](t, body)
			for _, v := range page.Cases {
				ids = append(ids, v.ID)
			}
			if after = page.After; after == "" {
				return ids
			}
		}
		t.Fatal("the list does not end")
		return nil
	}
	for _, limit := range []int{1, 3, 7, 100} {
		if got := pages(ivan, limit); !slices.Equal(got, want) {
			t.Errorf("in pages of %d the list is %q, want %q", limit, got, want)
		}
		if got := pages(alice, limit); len(got) != 4 || got[0] != want[0] {
			t.Errorf("in pages of %d the list of alice is %q", limit, got)
		}
	}
	for _, bad := range []string{"limit=0", "limit=101", "limit=x", "after=x", "after=../../other"} {
		if code, _ := s.do(ivan, "GET", "/v1/cases?"+bad, nil); code != http.StatusUnprocessableEntity {
			t.Errorf("GET with %s answers %d", bad, code)
		}
	}
}

// TestDescription: the OpenAPI document describes what is served, and its
// problem details are those of RFC 9457.
func TestDescription(t *testing.T) {
	s := newScene(t)
	code, body := s.do("", "GET", "/v1/openapi.json", nil)
	var doc struct {
		OpenAPI    string
		Paths      map[string]map[string]struct{ OperationID, Summary string }
		Components struct {
			Schemas map[string]struct {
				Properties map[string]json.RawMessage
			}
		}
	}
	if err := json.Unmarshal([]byte(body), &doc); code != http.StatusOK || err != nil {
		t.Fatalf("GET answers %d: %v", code, err)
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Errorf("it is of OpenAPI %s", doc.OpenAPI)
	}
	for _, want := range []string{
		"post /v1/cases", "get /v1/cases", "get /v1/cases/{id}", "delete /v1/cases/{id}", "post /v1/cases/{id}/retrace",
		"get /v1/cases/{id}/reports/{block}/{file}", "post /v1/parse", "get /v1/workspace", "put /v1/workspace", "get /v1/audit",
	} {
		method, path, _ := strings.Cut(want, " ")
		if doc.Paths[path][method].Summary == "" {
			t.Errorf("it does not describe %s", want)
		}
	}
	for _, name := range []string{"status", "title", "detail", "errors"} {
		if _, ok := doc.Components.Schemas["ErrorModel"].Properties[name]; !ok {
			t.Errorf("its problem details have no %s", name)
		}
	}
	for _, tt := range []struct{ method, path string }{{"GET", "/nothing"}, {"GET", "/v1/nothing"}, {"POST", "/"}, {"PATCH", "/v1/cases"}} {
		if code, _ := s.do(alice, tt.method, tt.path, nil); code != http.StatusNotFound && code != http.StatusMethodNotAllowed {
			t.Errorf("%s %s answers %d", tt.method, tt.path, code)
		}
	}
	w := s.ask("", "GET", "/", nil)
	if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'self'") || w.Header().Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("the page comes with %v", w.Header())
	}
}

// TestBucketDown: with a bucket that fails the asker is told to try again, in
// words that tell nothing of the inside; the log says what it was.
func TestBucketDown(t *testing.T) {
	s := newScene(t)
	id := s.submit(alice, 1)
	s.App.Bucket = down{s.bucket}
	for _, tt := range []struct{ method, path string }{{"GET", "/v1/cases/" + id}, {"GET", "/v1/cases"}, {"POST", "/v1/cases/" + id + "/retrace"}, {"DELETE", "/v1/cases/" + id}} {
		code, body := s.do(alice, tt.method, tt.path, nil)
		if code != http.StatusServiceUnavailable && tt.path != "/v1/cases" || strings.Contains(body, "expired") {
			t.Errorf("%s %s answers %d: %s", tt.method, tt.path, code, body)
		}
	}
	if !strings.Contains(s.logs.String(), "token has expired") {
		t.Error("the log does not say what was wrong")
	}
	if err := s.Work(t.Context(), s.queue.jobs[0]); err == nil {
		t.Error("Work does not mind a bucket that fails")
	}
	s.App.Bucket = s.bucket
	s.settle()
	if c := s.find1("ngo", id); c.Status != StatusDone {
		t.Errorf("in the end the case is %s: %s", c.Status, c.Reason)
	}
}

// down is a bucket whose credentials have expired (A8).
type down struct{ graphstore.Bucket }

func (down) Get(context.Context, string) ([]byte, string, error) {
	return nil, "", fmt.Errorf("get: the security token has expired")
}

// TestMetrics are lines of the embedded metric format that name nobody.
func TestMetrics(t *testing.T) {
	s := newScene(t)
	id := s.submit(alice, 1)
	s.settle()
	names := make(map[string]bool)
	for line := range strings.Lines(s.logs.String()) {
		var m struct {
			AWS *struct {
				Timestamp         int64
				CloudWatchMetrics []struct {
					Namespace  string
					Dimensions [][]string
					Metrics    []struct{ Name, Unit string }
				}
			} `json:"_aws"`
		}
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("a line is no JSON: %s", line)
		}
		if m.AWS == nil {
			continue
		}
		if strings.Contains(line, id) || strings.Contains(line, "ngo") || m.AWS.Timestamp == 0 {
			t.Errorf("a metric is %s", line)
		}
		for _, set := range m.AWS.CloudWatchMetrics {
			for _, x := range set.Metrics {
				names[x.Name] = true
			}
		}
	}
	for _, want := range []string{"Requests", "RequestSeconds", "Turns", "TurnSeconds", "Reports", "Wallets"} {
		if !names[want] {
			t.Errorf("there is no metric %s", want)
		}
	}
}

// TestTron parses and submits what is written as on Tron.
func TestTron(t *testing.T) {
	s := newScene(t)
	const wallet, hash = "TNPeeaaFB7K9cmo4uQpcU32zGK8G1NYqeL", "2f1c5c2b44f771e942a8506148e256f94f1a464babc938ae0690c6e34cd79190"
	text := "send USDT to " + wallet + ", txid " + hash + ", not to " + wallet[:33] + "T"
	parse := func(chain string) []Found {
		return decode[struct{ Items []Found }](t, second(s.do(alice, "POST", "/v1/parse", map[string]any{"chain": chain, "text": text}))).Items
	}
	got := parse("tron")
	if len(got) != 3 || got[0].Seed != wallet || got[0].Kind != "address" || got[1].Seed != hash || got[1].Kind != "transaction" || !strings.Contains(got[2].Problem, "checksum") {
		t.Errorf("on Tron, the text has %+v", got)
	}
	if got = parse("devnet"); len(got) != 3 || !strings.Contains(got[0].Problem, "choose Tron") || got[1].Kind != "problem" || got[1].Text != "" {
		t.Errorf("elsewhere, the text has %+v", got)
	}
	code, body := s.do(alice, "POST", "/v1/cases", map[string]any{"chain": "tron", "seeds": []string{wallet, "0x" + hash, "0x8840e6c55b9ada326d211d818c34a994aeced808"}})
	if c := decode[CaseView](t, body); code >= 300 || !slices.Equal(c.Seeds, []string{hash, "TNPeeaaFB7K9cmo4uQpcU32zGK8G1NYqeL"}) {
		t.Errorf("POST answers %d with the seeds %v: %s", code, c.Seeds, body)
	}
}
