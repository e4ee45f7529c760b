package walk

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"scamtrace/graphstore"
	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
)

// A Background is what is known beside the trace: everything that some wallets
// ever did. It answers questions about people, such as who acts as one; the
// money of the trace never rests on it.
type Background struct {
	Store    *graphstore.Store // what the trace read, and more
	Requests int               // spent on the more

	res   *Result
	whole map[common.Address]bool
	tried map[common.Address]bool
	crowd map[gift]int // receivers; see Look
}

// A gift is what came to many in one transaction, perhaps.
type gift struct {
	tx    common.Hash
	asset tracer.Asset
}

// NewBackground returns what the trace itself knows.
func NewBackground(r *Result) *Background {
	b := &Background{Store: graphstore.New(), res: r, whole: make(map[common.Address]bool), tried: make(map[common.Address]bool), crowd: make(map[gift]int)}
	b.Store.Add(slices.Collect(r.Store.Transfers()))
	return b
}

// Whole reports whether everything that a wallet ever did was read, up to the
// pinned block.
func (b *Background) Whole(a common.Address) bool { return b.whole[a] || b.res.Whole(a) }

// Read reads the whole histories of wallets, as far as the trace's budget of
// requests still goes, and reports whether there was anything to read that it
// had not tried before. A wallet with more transfers than a person's is not
// whole afterwards, nor is one of which the source cannot read a part. The
// error is that of ctx or of the source; what was read before it counts.
func (b *Background) Read(ctx context.Context, src tracer.Source, wallets []tracer.Wallet) (bool, error) {
	limits := b.res.Limits.WithDefaults()
	q := tracer.Query{MaxTransfers: limits.Hub, MaxRequests: limits.Requests - b.res.Requests - b.Requests}
	for _, w := range wallets {
		if !b.tried[w.Address] && w.Chain == b.res.Chain.ID {
			b.tried[w.Address] = true
			q.Spans = append(q.Spans, tracer.Span{Wallet: w.Address, To: b.res.Pinned.Number})
		}
	}
	if len(q.Spans) == 0 || q.MaxRequests <= 0 {
		return false, nil
	}
	ans, err := src.Transfers(ctx, q)
	b.Requests += ans.Requests
	b.Store.Add(ans.Transfers)
	unread := make(map[common.Address]bool)
	for _, u := range ans.Unread {
		unread[u.Wallet] = true
	}
	for _, p := range q.Spans {
		b.whole[p.Wallet] = !unread[p.Wallet]
	}
	return true, errors.Join(err, context.Cause(ctx))
}

// Look reads whole transactions, as far as the trace's budget of requests still
// goes, to count to how many wallets each asset came in them. What is read is
// strangers' and not kept. A budget that does not suffice is no error.
func (b *Background) Look(ctx context.Context, src tracer.Source, txs []common.Hash) error {
	left := b.res.Limits.WithDefaults().Requests - b.res.Requests - b.Requests
	if len(txs) == 0 || left <= 0 {
		return context.Cause(ctx)
	}
	ans, err := src.Transactions(ctx, txs, left)
	b.Requests += ans.Requests
	if err = cmp.Or(context.Cause(ctx), err); err != nil && !errors.Is(err, tracer.ErrBudget) {
		return err
	}
	to := make(map[gift]map[common.Address]bool)
	for i := range ans.Transfers {
		t := &ans.Transfers[i]
		if g := (gift{t.Tx, t.Asset}); t.Kind != tracer.KindFee && t.From != t.To {
			if to[g] == nil {
				to[g] = make(map[common.Address]bool)
			}
			to[g][t.To] = true
		}
	}
	for g, wallets := range to {
		b.crowd[g] = len(wallets)
	}
	return nil
}

// Receivers returns to how many wallets an asset came in a transaction that
// [Background.Look] read.
func (b *Background) Receivers(tx common.Hash, a tracer.Asset) int { return b.crowd[gift{tx, a}] }
