package functions

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/ethsource"
	"scamtrace/tracer/evidence"

	"github.com/ethereum/go-ethereum/common"
)

// A checkSource is a source that remembers what it was asked, and may freeze.
type checkSource struct {
	*ethsource.Source
	asked, read *int // wallets
	frozen      map[common.Address]bool
}

func (s checkSource) Quiet(ctx context.Context, after uint64, was []tracer.State, most int) ([]bool, int, error) {
	*s.asked += len(was)
	return s.Source.Quiet(ctx, after, was, most)
}

func (s checkSource) Transfers(ctx context.Context, q tracer.Query) (tracer.Answer, error) {
	*s.read += len(q.Spans)
	return s.Source.Transfers(ctx, q)
}

func (s checkSource) Frozen(_ context.Context, _ common.Address, wallets []common.Address) ([]bool, error) {
	out := make([]bool, len(wallets))
	for i, w := range wallets {
		out[i] = s.frozen[w]
	}
	return out, nil
}

// A behindSource is a source that reads through another.
type behindSource struct{ tracer.Source }

func (s behindSource) Unwrap() tracer.Source { return s.Source }

// A readSource is one that cannot tell that nothing happened: all is read.
type readSource struct {
	tracer.Source
	tracer.CodeSource
}

// quietScene is a scene with a case at rest, which submit makes, whose node has moved on by blocks in
// which nothing happens to the wallets of the case: the schedule has queued it.
func quietScene(t *testing.T, o devnet.NodeOptions, submit func(*scene) string, open func(*ethsource.Source) tracer.Source) (s *scene, id string, blocks uint64) {
	t.Helper()
	s = newSceneWith(t, o)
	if open != nil {
		s.App.Open = func(ctx context.Context, chain tracer.Chain, pin *tracer.Block, rec *evidence.Recorder) (tracer.Source, error) {
			src, err := ethsource.Open(ctx, chain, s.url, ethsource.Options{Pin: pin, Wrap: rec.WrapNode})
			if err != nil {
				return nil, err
			}
			return open(src), nil
		}
	}
	s.at(20)
	id = submit(s)
	s.work()
	c := s.find1("ngo", id)
	if len(c.Reports) != 1 {
		t.Fatalf("the case is %s: %s", c.Status, c.Reason)
	}
	first := c.Reports[0].Block
	holds := make(map[common.Address]bool)
	for _, w := range s.report("ngo", id, 0).Wallets {
		holds[common.HexToAddress(w.Address)] = len(w.Held) > 0
	}
	next := s.world.Head() + 1
	for _, x := range s.world.Transfers() {
		if x.Block > first && (holds[x.From] || holds[x.To]) {
			next = x.Block
			break
		}
	}
	if blocks = next - 1 - first; blocks < 200 {
		t.Fatalf("the wallets of the case move again after %d blocks", blocks)
	}
	blocks = min(blocks, s.world.Head()-first-64-500)
	s.node.SetHead(first + blocks + 64)
	s.clock = s.find1("ngo", id).Due
	if err := s.Schedule(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s, id, blocks
}

// submitAll makes a case of all wallets that the victims of the world paid.
func submitAll(s *scene) (id string) {
	s.t.Helper()
	var seeds []string
	for _, v := range s.world.Truth.Victims {
		for _, p := range v.Payments {
			if x := p.Wallet.Hex(); !slices.Contains(seeds, x) {
				seeds = append(seeds, x)
			}
		}
	}
	code, body := s.do(alice, "POST", "/v1/cases", Submission{Chain: "devnet", Seeds: seeds, Hub: 1000, MinUSD: "0.01"})
	if code != http.StatusAccepted {
		s.t.Fatalf("POST /v1/cases answers %d: %s", code, body)
	}
	return decode[CaseView](s.t, body).ID
}

// submitOne makes a case of what one victim paid.
func submitOne(s *scene) string { return s.submit(alice, nthVictim) }

// TestNothingNew counts what the node is asked in a re-trace that finds
// nothing, and the same without the check. A case with nothing new has no other
// report; the next re-trace goes on from where this one ended.
func TestNothingNew(t *testing.T) {
	for _, tt := range []struct {
		name string
		node devnet.NodeOptions
	}{
		{"a whole node", devnet.NodeOptions{}},
		{"small ranges", devnet.NodeOptions{MaxRange: 1999}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			asked, read := 0, 0
			s, id, blocks := quietScene(t, tt.node, submitAll, func(src *ethsource.Source) tracer.Source { return checkSource{src, &asked, &read, nil} })
			read = 0
			bundles := s.reports("ngo", id)
			calls, requests := s.node.Calls(), s.node.Requests()
			s.work()
			calls, requests = s.node.Calls()-calls, s.node.Requests()-requests
			c := s.find1("ngo", id)
			if c.Status != StatusDone || len(c.Reports) != 1 || !strings.Contains(c.Reason, "nothing moved") || c.Pinned.Number != c.Reports[0].Block+blocks {
				t.Fatalf("after %d blocks the case is %s (%s) at block %d with %d reports", blocks, c.Status, c.Reason, c.Pinned.Number, len(c.Reports))
			}
			if read > 0 || asked == 0 {
				t.Errorf("%d wallets were checked and %d read", asked, read)
			}
			differ(t, s.reports("ngo", id), bundles)

			// What opening the node costs, at the old block and at the new one.
			open, openRequests := s.node.Calls(), s.node.Requests()
			for _, pin := range []*tracer.Block{{Number: c.Reports[0].Block}, nil} {
				if _, err := s.App.Open(t.Context(), devnet.Chain(), pin, nil); err != nil {
					t.Fatal(err)
				}
			}
			open, openRequests = s.node.Calls()-open, s.node.Requests()-openRequests
			windows := 1
			if tt.node.MaxRange > 0 {
				windows = int((blocks-1)/(tt.node.MaxRange+1)) + 1
			}
			// Two calls a wallet and two a window; which block it is, and of what
			// chain; one for the traces of those who never sent anything; and what it
			// takes to learn the width of a window.
			most := 2*asked + 2*windows + 2 + 1
			if tt.node.MaxRange > 0 {
				most += 8
			}
			if calls-open > most {
				t.Errorf("%d calls beside %d to open, want at most %d for %d wallets", calls-open, open, most, asked)
			}
			if most := 2*asked/20 + 2*windows + 2 + 1 + 8; requests-openRequests > most {
				t.Errorf("%d HTTP requests beside %d to open, want at most %d", requests-openRequests, openRequests, most)
			}

			without, other, _ := quietScene(t, tt.node, submitAll, func(src *ethsource.Source) tracer.Source { return readSource{src, src} })
			callsBefore, requestsBefore := without.node.Calls(), without.node.Requests()
			without.work()
			if x := without.find1("ngo", other); len(x.Reports) != 2 || !strings.HasSuffix(x.Reports[1].Changes, "nothing moved.") {
				t.Errorf("without the check there are %d reports; %+v", len(x.Reports), x.Reports)
			}
			t.Logf("%d wallets, %d blocks, nothing new: %d calls in %d HTTP requests beside %d in %d to open the node; without the check %d in %d",
				asked, blocks, calls-open, requests-openRequests, open, openRequests, without.node.Calls()-callsBefore-open, without.node.Requests()-requestsBefore-openRequests)

			// The same block again, and then to the end of the world.
			s.clock = c.Due
			if err := s.Schedule(t.Context()); err != nil {
				t.Fatal(err)
			}
			asked = 0
			s.work()
			if c = s.find1("ngo", id); asked > 0 || c.Status != StatusDone || !strings.Contains(c.Reason, "no new final block") {
				t.Errorf("at the same block %d wallets were checked; the case is %s: %s", asked, c.Status, c.Reason)
			}
			s.node.SetHead(s.world.Head())
			s.clock = c.Due
			if err := s.Schedule(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.work()
			c = s.find1("ngo", id)
			fresh := newSceneWith(t, tt.node)
			anew := submitAll(fresh)
			fresh.work()
			if got, want := mustJSON(t, s.report("ngo", id, len(c.Reports)-1).Totals), mustJSON(t, fresh.report("ngo", anew, 0).Totals); got != want {
				t.Errorf("in the end the case says\n%s\na new one\n%s", got, want)
			}
		})
	}
}

// TestFrozenStill: an issuer freezes a wallet, which moves nothing: that is
// told all the same, and once. The report repeats from the evidence of all turns,
// also of one that found nothing.
func TestFrozenStill(t *testing.T) {
	asked, read := 0, 0
	frozen := make(map[common.Address]bool)
	s, id, _ := quietScene(t, devnet.NodeOptions{}, submitAll, func(src *ethsource.Source) tracer.Source {
		return behindSource{checkSource{src, &asked, &read, frozen}}
	})
	look := func(reports int, says string) *Case {
		t.Helper()
		s.work()
		c := s.find1("ngo", id)
		row := c.Reports[len(c.Reports)-1]
		if len(c.Reports) != reports || !strings.Contains(c.Reason+row.Changes, says) {
			t.Fatalf("with %d wallets frozen there are %d reports, and the case says %q, %q", len(frozen), len(c.Reports), row.Changes, c.Reason)
		}
		s.node.SetHead(c.Pinned.Number + 64 + 100)
		s.clock = c.Due
		if err := s.Schedule(t.Context()); err != nil {
			t.Fatal(err)
		}
		return c
	}
	look(1, "nothing moved")
	for _, w := range s.report("ngo", id, 0).Wallets {
		if len(w.Held) > 0 && strings.Contains(w.Held[0].Asset, "erc20") {
			frozen[common.HexToAddress(w.Address)] = true
		}
	}
	look(2, "was frozen by the issuer")
	if got := s.repeats(id); got.Turns != 3 {
		t.Errorf("the report repeats from %d turns, want 3", got.Turns)
	}
	look(2, "nothing moved")
}

// TestLabelsChanged: nothing moved, but more is known of who is who: then there
// is another report.
func TestLabelsChanged(t *testing.T) {
	s, id, _ := quietScene(t, devnet.NodeOptions{}, submitOne, nil)
	if _, err := s.bucket.Create(t.Context(), "public/labels/more.csv", []byte("chain,address,name,category,confidence\ndevnet,"+addr(1)+",A shop,payment,100\n")); err != nil {
		t.Fatal(err)
	}
	s.App.known = nil
	s.settle()
	if c := s.find1("ngo", id); len(c.Reports) != 2 {
		t.Errorf("with other labels there are %d reports; the case is %s: %s", len(c.Reports), c.Status, c.Reason)
	}
}

// TestStillKilled kills the worker at every thing it does outside while it
// finds out that nothing happened: the case ends as undisturbed.
func TestStillKilled(t *testing.T) {
	type end struct {
		reason  string
		reports int
		block   uint64
	}
	of := func(s *scene, id string) end {
		c := s.find1("ngo", id)
		return end{c.Reason, len(c.Reports), c.Pinned.Number}
	}
	s, id, _ := quietScene(t, devnet.NodeOptions{}, submitOne, nil)
	s.settle()
	want := of(s, id)
	if want.reports != 1 || !strings.Contains(want.reason, "nothing moved") {
		t.Fatalf("undisturbed, the case ends as %+v", want)
	}
	bundles := s.reports("ngo", id)
	s, _, _ = quietScene(t, devnet.NodeOptions{}, submitOne, nil)
	reads := s.killAt(0, false, time.Hour).reads
	for n := int64(1); ; n++ {
		if i := int(n) - 1; i < len(reads) && reads[i] && i%*nthStep > 0 {
			continue
		}
		s, id, _ := quietScene(t, devnet.NodeOptions{}, submitOne, nil)
		k := s.killAt(n, n%2 == 0, time.Hour)
		s.settle()
		if got := of(s, id); got != want || differ(t, s.reports("ngo", id), bundles) {
			t.Fatalf("killed at operation %d, the case ends as %+v, want %+v", n, got, want)
		}
		if k.count.Load() < n {
			t.Logf("%d operations", k.count.Load())
			return
		}
	}
}
