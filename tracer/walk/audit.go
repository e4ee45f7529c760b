package walk

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"scamtrace/tracer"
	"scamtrace/tracer/balance"

	"github.com/ethereum/go-ethereum/common"
)

// A checker is a source that compares what was read with balances.
type checker interface {
	Check(ctx context.Context, claims []balance.Claim, most int, ts ...[]tracer.Transfer) (wrong []balance.Mismatch, unchecked []tracer.Unread, requests int, err error)
}

// doubt notes what an answer could not compare with balances: for later where
// the reading was cut short, because what is read before the cut stays.
func (w *Walk) doubt(unchecked []tracer.Unread, err error) {
	for _, u := range unchecked {
		if r := w.reading(u.Wallet); later(u, err) && u.Reason != tracer.ReasonBudget {
			r.doubtful = append(r.doubtful, span{u.From, u.To})
		} else {
			r.unchecked = true
		}
	}
}

// audit compares with balances what was read when there was no time left for
// that. A wallet whose balance says otherwise has to be read again. audit
// reports false when ctx or the source ended before it was done.
func (w *Walk) audit(ctx context.Context) bool {
	var claims []balance.Claim
	var wallets []common.Address
	for _, a := range slices.SortedFunc(maps.Keys(w.read), common.Address.Cmp) {
		r := w.read[a]
		for _, s := range r.doubtful {
			claims = append(claims, balance.Claim{Span: tracer.Span{Wallet: a, From: s.from, To: s.to}, Tokens: true, Native: r.native == "" && r.internal == ""})
		}
		if len(r.doubtful) > 0 {
			wallets = append(wallets, a)
		}
	}
	if len(claims) == 0 {
		return true
	}
	c, ok := tracer.As[checker](w.src)
	left := w.o.Limits.Requests - w.requests
	if !ok || left <= 0 {
		for _, a := range wallets {
			w.read[a].unchecked, w.read[a].doubtful = true, nil
		}
		return true
	}
	about := func(a common.Address) bool { r := w.read[a]; return r != nil && len(r.doubtful) > 0 }
	var ts []tracer.Transfer
	for t := range w.store.Transfers() {
		if about(t.From) || about(t.To) {
			ts = append(ts, t)
		}
	}
	wrong, unchecked, n, err := c.Check(ctx, claims, left, ts)
	w.requests += n
	if err != nil && !errors.Is(err, tracer.ErrBudget) {
		return w.failed(ctx, err)
	}
	for _, a := range wallets {
		w.read[a].doubtful = nil
	}
	for _, u := range unchecked {
		w.read[u.Wallet].unchecked = true
	}
	for _, m := range wrong {
		r := w.read[m.Wallet]
		r.failed, r.detail = tracer.ReasonSource, fmt.Sprintf("its balance changed otherwise than its transfers say, in the blocks from %d to %d", m.From, m.To)
		r.uncover(m.From)
	}
	return true
}
