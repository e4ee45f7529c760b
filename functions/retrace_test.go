package functions

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"scamtrace/graphstore"
	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/evidence"
	"scamtrace/tracer/report"

	"github.com/ethereum/go-ethereum/common"
)

// at moves the chain and the clock to a day of the world.
func (s *scene) at(day int) {
	n := min(uint64(day)*7200, s.world.Head())
	s.node.SetHead(n)
	s.clock = time.Unix(int64(s.world.Blocks[n].Time), 0).UTC()
}

// topic is Alerts that remembers, and fails as often as it is told.
type topic struct {
	got   []Alert
	fails int
}

func (p *topic) Publish(_ context.Context, a Alert) error {
	if p.fails > 0 {
		p.fails--
		return errors.New("no such topic")
	}
	p.got = append(p.got, a)
	return nil
}

// inbox is a webhook's other end.
type inbox struct {
	url    string
	status int
	got    []*http.Request
	bodies [][]byte
}

func newInbox(t *testing.T) *inbox {
	b := &inbox{status: http.StatusNoContent}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		b.got, b.bodies = append(b.got, r), append(b.bodies, body)
		w.Header().Set("Location", "http://127.0.0.1:9/elsewhere")
		w.WriteHeader(b.status)
	}))
	t.Cleanup(srv.Close)
	b.url = srv.URL + "/hook/TOKEN"
	return b
}

// TestRetrace follows a case through the world's three weeks: the schedule
// looks again, reads only what is new, says what changed, and tells once.
func TestRetrace(t *testing.T) {
	s := newScene(t)
	alerts, hook := new(topic), newInbox(t)
	s.App.Alerts, s.App.Hooks = alerts, HookRules{Loopback: true}
	code, body := s.do(root, "PUT", "/v1/workspace", map[string]any{"webhooks": []string{hook.url}})
	if code != http.StatusOK {
		t.Fatalf("PUT answers %d: %s", code, body)
	}
	secret, err := hex.DecodeString(decode[WorkspaceView](t, body).Webhooks[0].Secret)
	if err != nil || len(secret) != 32 {
		t.Fatalf("the webhook's secret is %d bytes, %v", len(secret), err)
	}
	s.at(7)
	id := s.submit(alice, 0)
	s.work()
	c := s.find1("ngo", id)
	if c.Status != StatusDone || len(c.Alerts) > 0 {
		t.Fatalf("the case is %s: %s", c.Status, c.Reason)
	}
	if want := s.clock.Add(6 * time.Hour); c.Due.Before(want) || c.Due.After(want.Add(time.Minute)) {
		t.Errorf("the next look is at %v, now it is %v", c.Due, s.clock)
	}

	// Nothing happens before its time, and nothing is read twice.
	if err := s.Schedule(t.Context()); err != nil || len(s.queue.jobs) > 0 {
		t.Fatalf("Schedule queues %d cases before their time, %v", len(s.queue.jobs), err)
	}
	first := s.node.Requests()
	s.at(12)
	before := s.node.Requests()
	for range 2 { // the schedule may run twice
		if err := s.Schedule(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.queue.jobs) != 1 {
		t.Fatalf("the schedule queued %d jobs, want 1", len(s.queue.jobs))
	}
	s.work()
	c = s.find1("ngo", id)
	if c.Status != StatusDone || len(c.Reports) != 2 {
		t.Fatalf("after the re-trace the case is %s (%s) with %d reports", c.Status, c.Reason, len(c.Reports))
	}
	t.Logf("%d requests at first, %d for the re-trace", first, s.node.Requests()-before)

	// What it says is what a trace from nothing at the same block says.
	fresh := newScene(t)
	fresh.at(12)
	other := fresh.submit(alice, 0)
	fresh.work()
	again, anew := s.report("ngo", id, 1), fresh.report("ngo", other, 0)
	if got, want := mustJSON(t, again.Totals), mustJSON(t, anew.Totals); got != want {
		t.Errorf("the re-trace says\n%s\na new trace\n%s", got, want)
	}
	// More was read in two goes, so how sure it is of a deposit address may differ.
	if got, want := exits(again), exits(anew); !slices.Equal(got, want) {
		t.Errorf("the exits of the re-trace are\n%s\nthose of a new trace\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if n := fresh.node.Requests(); s.node.Requests()-before >= n {
		t.Errorf("the re-trace took %d requests, a new trace %d", s.node.Requests()-before, n)
	}

	// The diff.
	d, err := s.readDiff(t.Context(), c.key("diffs/%d.json", c.Reports[1].Block))
	if err != nil {
		t.Fatal(err)
	}
	t.Log(d.Sentence)
	if d.From.Number != c.Reports[0].Block || d.To.Number != c.Reports[1].Block || len(d.Moved) == 0 || len(d.Reached) == 0 || len(d.Held) == 0 {
		t.Errorf("the diff from %d to %d has %d moves, %d exits, %d holders", d.From.Number, d.To.Number, len(d.Moved), len(d.Reached), len(d.Held))
	}
	for _, m := range d.Moved {
		if m.Block <= d.From.Number {
			t.Errorf("%s moved in block %d, which the report before had read", m.Tx, m.Block)
		}
	}
	if rise := dollars(again.Totals.USD.Exited) - dollars(s.report("ngo", id, 0).Totals.USD.Exited); dollars(d.USD.Reached) != rise {
		t.Errorf("the diff says %s reached services, the reports say %v", d.USD.Reached, rise)
	}
	if c.Reports[1].Changes != d.Sentence {
		t.Errorf("the case says %q", c.Reports[1].Changes)
	}

	// One alert each, signed.
	if len(alerts.got) != 1 || alerts.got[0].ID != id+"-"+number(c.Reports[1].Block) || len(c.Alerts) > 0 {
		t.Fatalf("the topic got %d alerts, %d wait", len(alerts.got), len(c.Alerts))
	}
	if len(hook.got) != 1 {
		t.Fatalf("the webhook got %d alerts", len(hook.got))
	}
	r := hook.got[0]
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(r.Header.Get("Scamtrace-Timestamp") + "."))
	mac.Write(hook.bodies[0])
	if want := "v1=" + hex.EncodeToString(mac.Sum(nil)); r.Header.Get("Scamtrace-Signature") != want || r.Header.Get("Scamtrace-Id") != alerts.got[0].ID {
		t.Errorf("the webhook got signature %q and id %q", r.Header.Get("Scamtrace-Signature"), r.Header.Get("Scamtrace-Id"))
	}
	var got Alert
	if err := json.Unmarshal(hook.bodies[0], &got); err != nil || got != alerts.got[0] {
		t.Errorf("the webhook got %s", hook.bodies[0])
	}

	// The same block again: nothing new, no report, no alert.
	s.clock = c.Due
	if err := s.Schedule(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.work()
	c = s.find1("ngo", id)
	if c.Status != StatusDone || len(c.Reports) != 2 || c.Pinned == nil || !strings.Contains(c.Reason, "no new final block") {
		t.Errorf("with nothing new the case is %s (%s) with %d reports", c.Status, c.Reason, len(c.Reports))
	}

	// To the end of the world.
	s.at(21)
	s.settleAll(id, 3)
	c = s.find1("ngo", id)
	if c.Status != StatusDone || len(c.Reports) != 3 {
		t.Fatalf("at the end the case is %s (%s) with %d reports", c.Status, c.Reason, len(c.Reports))
	}
	if code, body := s.do(alice, "GET", "/v1/cases/"+id+"/reports/"+number(c.Reports[2].Block)+"/diff.json", nil); code != http.StatusFound {
		t.Errorf("the diff's download answers %d: %s", code, body)
	}
}

// settleAll runs the schedule until a case has n reports and is at rest.
func (s *scene) settleAll(id string, n int) {
	s.t.Helper()
	for range 50 {
		if err := s.Schedule(s.t.Context()); err != nil {
			s.t.Fatal(err)
		}
		s.work()
		c := s.find1("ngo", id)
		if len(c.Reports) >= n && !c.working() && len(c.Alerts) == 0 {
			return
		}
		if c.Due.After(s.clock) {
			s.clock = c.Due
		}
	}
	s.t.Fatalf("the case does not come to %d reports", n)
}

func (s *scene) report(ws, id string, n int) *report.Report {
	s.t.Helper()
	c := s.find1(ws, id)
	data, _, err := s.bucket.Get(s.t.Context(), c.key("reports/%d/report.json", c.Reports[n].Block))
	if err != nil {
		s.t.Fatal(err)
	}
	r := new(report.Report)
	if err := json.Unmarshal(data, r); err != nil {
		s.t.Fatal(err)
	}
	return r
}

func exits(r *report.Report) (lines []string) {
	for _, x := range r.Exits {
		lines = append(lines, x.Address+" "+x.Service+" "+x.USD+" "+strings.Join(x.Transactions, " "))
	}
	return lines
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestAlertsThatFail: each recipient gets an alert once, however often others
// fail; one that never answers is given up, and the audit log says so.
func TestAlertsThatFail(t *testing.T) {
	s := newScene(t)
	alerts, good, bad := &topic{fails: 2}, newInbox(t), newInbox(t)
	bad.status = http.StatusFound // a redirect is not followed
	s.App.Alerts, s.App.Hooks = alerts, HookRules{Loopback: true}
	if code, body := s.do(root, "PUT", "/v1/workspace", map[string]any{"webhooks": []string{bad.url, good.url}}); code != http.StatusOK {
		t.Fatalf("PUT answers %d: %s", code, body)
	}
	s.at(7)
	id := s.submit(alice, 0)
	s.work()
	s.at(12)
	s.settleAll(id, 2)
	if len(alerts.got) != 1 || len(good.got) != 1 || len(bad.got) != alertTries {
		t.Errorf("the topic got %d, the webhook that answers %d, the other %d alerts", len(alerts.got), len(good.got), len(bad.got))
	}
	if a, b := bad.got[0].Header.Get("Scamtrace-Id"), bad.got[alertTries-1].Header.Get("Scamtrace-Id"); a != b {
		t.Errorf("the same alert had the ids %s and %s", a, b)
	}
	log, err := s.Audit(t.Context(), "ngo", 0, 100)
	if err != nil || !slices.ContainsFunc(log, func(e Entry) bool { return e.Action == "alert given up" && e.Case == id }) {
		t.Errorf("the audit log has %d entries, none of an alert given up; %v", len(log), err)
	}
	if strings.Contains(s.logs.String(), "TOKEN") {
		t.Error("a webhook's address is in the logs")
	}

	// Below the threshold nobody is told.
	s = newScene(t)
	s.App.Alerts = alerts
	if code, body := s.do(root, "PUT", "/v1/workspace", map[string]any{"webhooks": []string{}, "alertUsd": "10000000"}); code != http.StatusOK {
		t.Fatalf("PUT answers %d: %s", code, body)
	}
	s.at(7)
	id = s.submit(alice, 0)
	s.work()
	s.at(12)
	s.settleAll(id, 2)
	if len(alerts.got) != 1 {
		t.Error("an alert below the threshold was sent")
	}
}

// TestBaseGone: the block of the last report is no longer on the chain, so the
// re-trace reads everything anew and says so.
func TestBaseGone(t *testing.T) {
	for _, grown := range []bool{true, false} {
		s := newSceneWith(t, devnet.NodeOptions{ReorgDepth: 400})
		s.node.SetHead(s.world.Head() - 50)
		id := s.submit(alice, 1)
		s.work()
		s.fault.Store(int32(devnet.FaultReorg))
		if grown {
			s.node.SetHead(s.world.Head())
		}
		if code, body := s.do(ivan, "POST", "/v1/cases/"+id+"/retrace", nil); code != http.StatusAccepted {
			t.Fatalf("retrace answers %d: %s", code, body)
		}
		s.settle()
		c := s.find1("ngo", id)
		switch {
		case grown && (c.Status != StatusDone || len(c.Reports) != 2 || !strings.Contains(strings.Join(s.report("ngo", id, 1).Notes, " "), "read anew")):
			t.Errorf("the case is %s (%s) with %d reports", c.Status, c.Reason, len(c.Reports))
		case !grown && (c.Status != StatusFailed || !strings.Contains(c.Reason, "with other bytes")):
			// The other block has the same number, and there is only one report
			// under a number: the old one stays.
			t.Errorf("with the same number the case is %s (%s) with %d reports", c.Status, c.Reason, len(c.Reports))
		}
	}
}

// TestDates are the looks at a case over half a year.
func TestDates(t *testing.T) {
	a := &App{Now: func() time.Time { return time.Time{} }}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	now := start
	a.Now = func() time.Time { return now }
	c := &Case{Created: start}
	var days []int
	for end := start.Add(a.retention()); now.Before(end); {
		now = a.next(c)
		days = append(days, int(now.Sub(start).Hours()/24))
	}
	want := []int{0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 14, 21, 28, 35, 42, 49, 56, 63, 93, 123, 153, 180}
	if !slices.Equal(days, want) {
		t.Errorf("a case is looked at on days %v, want %v", days, want)
	}
	if c.Options.Once = true; !a.next(c).Equal(start.Add(a.retention())) {
		t.Error("a case that wants no re-trace has one")
	}
}

// TestErasure: what a person gave is gone from the bucket, by the API and by
// age; reports stay; and nothing of it was ever in a log or a report.
func TestErasure(t *testing.T) {
	const canary = "Jane-Doe-Canary"
	for _, by := range []string{"owner", "admin", "age"} {
		t.Run(by, func(t *testing.T) {
			s := newScene(t)
			code, body := s.do("ngo alice-canary advocate", "POST", "/v1/cases", Submission{Chain: "devnet", Reference: canary, Seeds: victimSeeds(s.world, 1)}, "Idempotency-Key", "key-canary")
			if code != http.StatusAccepted {
				t.Fatalf("POST answers %d: %s", code, body)
			}
			id := decode[CaseView](t, body).ID
			s.work()
			reports := s.reports("ngo", id)
			holds := func(text string) (keys []string) {
				for key, data := range objects(t, s.bucket, "") {
					if strings.Contains(key+data, text) && !strings.Contains(key, "/audit/") {
						keys = append(keys, key)
					}
				}
				return keys
			}
			if k := holds(canary); len(k) != 1 || k[0] != personalKey("ngo", id) {
				t.Errorf("the reference is in %q", k)
			}
			switch by {
			case "owner":
				code, body = s.do("ngo alice-canary advocate", "DELETE", "/v1/cases/"+id, nil)
			case "admin":
				code, body = s.do(root, "DELETE", "/v1/cases/"+id, nil)
			case "age":
				s.clock = s.clock.Add(s.retention() + time.Hour)
				code, body = http.StatusNoContent, ""
				if err := s.Schedule(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if code != http.StatusNoContent {
				t.Fatalf("DELETE answers %d: %s", code, body)
			}
			if k := append(holds(canary), holds("alice-canary")...); len(k) > 0 {
				t.Errorf("after erasure, %q hold the person", k)
			}
			differ(t, s.reports("ngo", id), reports)
			if got := objects(t, s.bucket, caseFolder("ngo", id)+"state/"); len(got) > 0 {
				t.Errorf("%d states are left", len(got))
			}
			if got := objects(t, s.bucket, "due/"); len(got) > 0 {
				t.Errorf("%d markers are left", len(got))
			}
			if code, _ := s.do("ngo alice-canary advocate", "GET", "/v1/cases/"+id, nil); code != http.StatusNotFound {
				t.Errorf("the owner's GET answers %d", code)
			}
			if code, body := s.do(ivan, "GET", "/v1/cases/"+id, nil); code != http.StatusOK || decode[CaseView](t, body).Erased.IsZero() {
				t.Errorf("the investigator's GET answers %d: %s", code, body)
			}
			if code, _ := s.do(ivan, "POST", "/v1/cases/"+id+"/retrace", nil); code != http.StatusConflict {
				t.Errorf("retrace of an erased case answers %d", code)
			}
			if logs := s.logs.String(); strings.Contains(logs, "canary") || strings.Contains(logs, "Canary") {
				t.Error("a person is in the logs")
			}
		})
	}
}

// TestErasureWhileTraced: the worker that is at it finds out, and leaves.
func TestErasureWhileTraced(t *testing.T) {
	s := newScene(t)
	s.App.Turn = 1 // over before anything is read
	id := s.submit(alice, 1)
	if err := s.Work(t.Context(), s.queue.jobs[0]); err != nil {
		t.Fatal(err)
	}
	s.App.Turn = time.Hour
	if code, _ := s.do(alice, "DELETE", "/v1/cases/"+id, nil); code != http.StatusNoContent {
		t.Fatalf("DELETE answers %d", code)
	}
	s.work()
	s.settle()
	if c := s.find1("ngo", id); c.Status != StatusFailed || len(c.Reports) > 0 || c.Owner != "" {
		t.Errorf("the case is %s with %d reports", c.Status, len(c.Reports))
	}
}

// frozenSource is a source whose issuer froze everybody in a set.
type frozenSource struct {
	tracer.Source
	frozen map[common.Address]bool
}

func (f frozenSource) Frozen(_ context.Context, _ common.Address, wallets []common.Address) ([]bool, error) {
	out := make([]bool, len(wallets))
	for i, w := range wallets {
		out[i] = f.frozen[w]
	}
	return out, nil
}

// TestFrozen: a wallet that the issuer froze is in the diff, once as new.
func TestFrozen(t *testing.T) {
	s := newScene(t)
	frozen := make(map[common.Address]bool)
	open := s.App.Open
	s.App.Open = func(ctx context.Context, chain tracer.Chain, pin *tracer.Block, rec *evidence.Recorder) (tracer.Source, error) {
		src, err := open(ctx, chain, pin, rec)
		if err != nil {
			return nil, err
		}
		return frozenSource{src, frozen}, nil
	}
	alerts := new(topic)
	s.App.Alerts = alerts
	s.at(20)
	id := s.submit(alice, 0)
	s.work()
	for _, w := range s.report("ngo", id, 0).Wallets {
		if len(w.Held) > 0 && strings.Contains(w.Held[0].Asset, "erc20") {
			frozen[common.HexToAddress(w.Address)] = true
		}
	}
	var last *Diff
	for n, day := range []int{21, 22} {
		s.at(20)
		s.node.SetHead(s.world.Head() - 100 + uint64(n)*90)
		s.clock = s.clock.Add(time.Duration(day) * 24 * time.Hour)
		s.settleAll(id, n+2)
		c := s.find1("ngo", id)
		d, err := s.readDiff(t.Context(), c.key("diffs/%d.json", c.Reports[n+1].Block))
		if err != nil {
			t.Fatal(err)
		}
		if len(d.Frozen) == 0 || d.Frozen[0].New != (n == 0) {
			t.Fatalf("diff %d has %d frozen wallets", n, len(d.Frozen))
		}
		if n == 0 && !strings.Contains(d.Sentence, "was frozen by the issuer") || n == 1 && strings.Contains(d.Sentence, "frozen") {
			t.Errorf("diff %d says %q", n, d.Sentence)
		}
		last = d
	}
	if len(alerts.got) != 1 {
		t.Errorf("%d alerts, want one for the freeze", len(alerts.got))
	}
	t.Log(last.Sentence, len(last.Frozen), "frozen")
}

// TestDiffIsKept: what changed is written once, and a later try takes it.
func TestDiffIsKept(t *testing.T) {
	s := newScene(t)
	s.at(7)
	id := s.submit(alice, 0)
	s.work()
	s.at(12)
	if err := s.Schedule(t.Context()); err != nil {
		t.Fatal(err)
	}
	dir := s.bucket
	s.bucket = &failing{Bucket: dir, key: "case.json", after: 1}
	s.App.Bucket = s.bucket
	if err := s.Work(t.Context(), s.queue.jobs[0]); err == nil {
		t.Fatal("Work does not mind a bucket that fails")
	}
	s.bucket, s.App.Bucket = dir, dir
	want := s.reports("ngo", id)
	s.settle()
	differ(t, s.reports("ngo", id), want)
	if c := s.find1("ngo", id); len(c.Reports) != 2 {
		t.Errorf("the case has %d reports", len(c.Reports))
	}
}

// failing is a bucket whose Replace of some key fails after some that did not.
type failing struct {
	graphstore.Bucket
	key   string
	after int
}

func (b *failing) Replace(ctx context.Context, key string, data []byte, tag string) (string, error) {
	if strings.HasSuffix(key, b.key) {
		if b.after--; b.after < 0 {
			return "", errors.New("write " + key + ": no space left on device")
		}
	}
	return b.Bucket.Replace(ctx, key, bytes.Clone(data), tag)
}
