package walk_test

import (
	"bytes"
	"context"
	"slices"
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/balance"
	"scamtrace/tracer/walk"

	"github.com/ethereum/go-ethereum/common"
)

// A doubtSource is a listSource that compares what it reads with balances only
// where it is not interrupted, and one wallet of which has another balance.
type doubtSource struct {
	*listSource
	odd     common.Address
	doubted map[tracer.Span]bool // read in time, and not compared
	checked []tracer.Span
	wrong   int // claims that the transfers do not bear out
}

func (s *doubtSource) Transfers(ctx context.Context, q tracer.Query) (tracer.Answer, error) {
	ans, err := s.listSource.Transfers(ctx, q)
	if err == nil {
		return ans, nil
	}
	for _, p := range q.Spans {
		for _, u := range ans.Unread {
			if u.Wallet == p.Wallet {
				p.To = min(p.To, u.From-min(u.From, 1))
			}
		}
		if p.From <= p.To {
			ans.Unchecked = append(ans.Unchecked, tracer.Unread{Span: p, Reason: tracer.ReasonStopped, Detail: "the run was interrupted"})
			s.doubted[p] = true
		}
	}
	return ans, err
}

func (s *doubtSource) Check(ctx context.Context, claims []balance.Claim, most int, ts ...[]tracer.Transfer) (wrong []balance.Mismatch, unchecked []tracer.Unread, requests int, err error) {
	if err := s.op(ctx, 1); err != nil {
		return nil, nil, 1, err
	}
	for _, c := range claims {
		s.checked = append(s.checked, c.Span)
		for _, i := range s.of[c.Wallet] {
			if t := s.ts[i]; c.From <= t.Block && t.Block <= c.To && !slices.Contains(ts[0], t) {
				s.wrong++
			}
		}
		if c.Wallet == s.odd {
			wrong = append(wrong, balance.Mismatch{Span: c.Span})
		}
	}
	return wrong, nil, 1, nil
}

// TestAudit interrupts a walk at every operation and goes on with its saved
// state: what was read when there was no time to compare it is compared in the
// end, once, with all its transfers; and a wallet with another balance than they
// come to is not called read.
func TestAudit(t *testing.T) {
	w, seeds, _ := small(t)
	whole := run(t, t.Context(), begin(t, nil, w.fresh(), seeds, w.opts))
	cut := 0
	for stop := 1; ; stop++ {
		ctx, cancel := context.WithCancel(t.Context())
		src := &doubtSource{listSource: w.fresh(), doubted: make(map[tracer.Span]bool)}
		src.stop, src.cancel = stop, cancel
		x, err := walk.New(ctx, src, seeds, w.opts)
		if err != nil { // before there was anything to save
			cancel()
			continue
		}
		run(t, ctx, x)
		if ctx.Err() == nil {
			cancel()
			break
		}
		state := save(t, x)
		for _, odd := range []bool{false, true} {
			next := &doubtSource{listSource: w.fresh(), doubted: src.doubted}
			for p := range src.doubted {
				if odd {
					next.odd = p.Wallet
				}
			}
			y, err := walk.Load(t.Context(), bytes.NewReader(state), next, seeds, w.opts)
			if err != nil {
				t.Fatal(err)
			}
			r := run(t, t.Context(), y)
			if next.wrong > 0 || len(next.checked) != len(src.doubted) || r.Unchecked > 0 {
				t.Fatalf("stopped at %d: of %d spans %d are compared, %d of them without all transfers, and %d wallets are left", stop, len(src.doubted), len(next.checked), next.wrong, r.Unchecked)
			}
			for _, p := range next.checked {
				if !src.doubted[p] {
					t.Errorf("stopped at %d: blocks %d to %d of %s are compared, and were not in doubt", stop, p.From, p.To, p.Wallet)
				}
			}
			switch failed := next.odd != (common.Address{}); {
			case failed && r.Status(next.odd).Reason != tracer.ReasonSource:
				t.Errorf("stopped at %d: with another balance than its transfers come to, a wallet is %q", stop, r.Status(next.odd).Reason)
			case failed:
				cut++
			case found(r).String() != found(whole).String():
				t.Errorf("stopped at %d it ends with\n%swant\n%s", stop, found(r), found(whole))
			}
		}
	}
	if cut == 0 {
		t.Error("nothing was ever in doubt")
	}
}
