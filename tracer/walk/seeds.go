package walk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"scamtrace/tracer"
	"scamtrace/tracer/ledger"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
)

// sortSeeds returns seeds sorted, wallets first, each once.
func sortSeeds(seeds []tracer.Seed) []tracer.Seed {
	seeds = slices.Clone(seeds)
	for i := range seeds {
		if seeds[i].IsTx() {
			seeds[i].Wallet = common.Address{}
		}
	}
	slices.SortFunc(seeds, func(a, b tracer.Seed) int { return cmp.Or(a.Tx.Cmp(b.Tx), a.Wallet.Cmp(b.Wallet)) })
	return slices.Compact(seeds)
}

// pin pins the block to read up to, and finds the blocks of the time span.
func (w *Walk) pin(ctx context.Context) error {
	var err error
	if w.pinned, err = w.src.Pin(ctx); err != nil {
		return fmt.Errorf("find the last final block: %w", err)
	}
	w.since, w.until = 0, w.pinned.Number
	if w.o.Since > 0 {
		if w.since, err = w.src.BlockAt(ctx, w.o.Since); err != nil {
			return fmt.Errorf("find the first block of the time span: %w", err)
		}
	}
	if w.o.Until > 0 && w.o.Until < math.MaxUint64 {
		after, err := w.src.BlockAt(ctx, w.o.Until+1)
		if err != nil {
			return fmt.Errorf("find the last block of the time span: %w", err)
		}
		w.until = min(w.until, max(after, 1)-1)
	}
	if w.since > w.until {
		return fmt.Errorf("%w: there is no block between the two times; the last final block is of %s", tracer.ErrUsage, time.Unix(int64(w.pinned.Time), 0).UTC().Format(time.RFC3339))
	}
	return nil
}

// start pins the block and reads the seeds.
func (w *Walk) start(ctx context.Context, seeds []tracer.Seed) error {
	w.asked = sortSeeds(seeds)
	if len(w.asked) == 0 {
		return fmt.Errorf("%w: name at least one wallet or transaction that was paid", tracer.ErrUsage)
	}
	if err := w.pin(ctx); err != nil {
		return err
	}
	var txs []common.Hash
	var wallets []common.Address
	for _, s := range w.asked {
		if s.IsTx() {
			txs = append(txs, s.Tx)
			continue
		}
		if name, stop := w.service(w.wallet(s.Wallet)); stop != ledger.Follow || s.Wallet == (common.Address{}) {
			return fmt.Errorf("%w: %s is %s, a service that many people use; tracing it would follow strangers' money, so please give the transaction hash of the payment instead", tracer.ErrUsage, w.wallet(s.Wallet).Show(), cmp.Or(name, "the zero address"))
		}
		wallets = append(wallets, s.Wallet)
	}
	paid, err := w.payments(ctx, txs, wallets)
	if err != nil {
		return err
	}
	for _, a := range wallets {
		if !paid[a] {
			w.seeds = append(w.seeds, Seed{Wallet: w.wallet(a)})
		}
	}
	slices.SortFunc(w.seeds, func(a, b Seed) int { return cmp.Or(a.Wallet.Compare(b.Wallet), a.Tx.Cmp(b.Tx)) })
	for _, s := range w.seeds {
		// It has a number even if nothing can be read of it.
		if _, ok := w.store.WalletID(s.Wallet); ok {
			continue
		}
		if err := w.store.Graph().AddVertex(s.Wallet); err != nil {
			return fmt.Errorf("note the seed %s: %w", s.Wallet, err)
		}
	}
	return nil
}

// payments fetches the reported transactions and finds out whom they paid.
func (w *Walk) payments(ctx context.Context, txs []common.Hash, wallets []common.Address) (map[common.Address]bool, error) {
	paid := make(map[common.Address]bool)
	if len(txs) == 0 {
		return paid, nil
	}
	ans, err := w.src.Transactions(ctx, txs, w.o.Limits.Requests)
	w.requests += ans.Requests
	switch {
	case errors.Is(err, tracer.ErrNotFound):
		return nil, fmt.Errorf("%w: %w; check the hash and the chain, and if the payment is very new try again in half an hour", tracer.ErrUsage, err)
	case errors.Is(err, tracer.ErrBudget):
		return nil, fmt.Errorf("%w: the budget of %d requests is too small to read the reported payments; please allow more", tracer.ErrUsage, w.o.Limits.Requests)
	case err != nil:
		return nil, fmt.Errorf("read the reported payments: %w", err)
	}
	w.store.Add(ans.Transfers)
	for _, tx := range txs {
		w.whole[tx] = true
		to := w.receivers(ans.Transfers, tx)
		if named := slices.DeleteFunc(slices.Clone(to), func(a common.Address) bool { return !slices.Contains(wallets, a) }); len(named) > 0 {
			to = named
		}
		hidden := slices.IndexFunc(ans.Unread, func(u tracer.Unread) bool { return u.Part == tracer.PartNative })
		switch {
		case len(to) == 0 && hidden >= 0:
			return nil, fmt.Errorf("%w: transaction %s paid no tokens, and whether it paid in %s is not known: %s", tracer.ErrUsage,
				tracer.ShowTx(w.o.Chain.ID, tx), w.o.Chain.Symbol, ans.Unread[hidden].Detail)
		case len(to) == 0:
			return nil, fmt.Errorf("%w: transaction %s moved no money: it failed, or it only called a contract; please check the hash", tracer.ErrUsage, tracer.ShowTx(w.o.Chain.ID, tx))
		case len(to) > 1 && !slices.Contains(wallets, to[0]):
			var names []string
			for _, a := range to[:min(len(to), 5)] {
				names = append(names, w.wallet(a).Show())
			}
			if len(to) > len(names) {
				names = append(names, fmt.Sprintf("and %d more", len(to)-len(names)))
			}
			return nil, fmt.Errorf("%w: transaction %s paid %d wallets (%s); please name the wallet that was the scam's as well", tracer.ErrUsage, tracer.ShowTx(w.o.Chain.ID, tx), len(to), strings.Join(names, ", "))
		}
		for _, a := range to {
			paid[a] = true
			w.seeds = append(w.seeds, Seed{Wallet: w.wallet(a), Tx: tx})
		}
	}
	return paid, nil
}

// receivers returns who got something in a transaction and gave nothing for
// it, sorted. Known money counts first; a token nobody knows only when nothing
// else moved.
func (w *Walk) receivers(ts []tracer.Transfer, tx common.Hash) []common.Address {
	for _, known := range []bool{true, false} {
		type key struct {
			a     common.Address
			asset tracer.Asset
		}
		in, out := make(map[key]*uint256.Int), make(map[key]*uint256.Int)
		at := func(m map[key]*uint256.Int, k key) *uint256.Int {
			if m[k] == nil {
				m[k] = new(uint256.Int)
			}
			return m[k]
		}
		for i := range ts {
			t := &ts[i]
			if t.Tx != tx || !t.Counts() || t.Kind == tracer.KindFee || known && !w.o.Chain.Known(t.Asset) {
				continue
			}
			v := at(in, key{t.To, t.Asset})
			v.Add(v, &t.Amount)
			v = at(out, key{t.From, t.Asset})
			v.Add(v, &t.Amount)
		}
		gave := make(map[common.Address]bool)
		for k, o := range out {
			if at(in, k).Lt(o) {
				gave[k.a] = true
			}
		}
		var to []common.Address
		for k, i := range in {
			if at(out, k).Lt(i) && !gave[k.a] {
				to = append(to, k.a)
			}
		}
		slices.SortFunc(to, common.Address.Cmp)
		if to = slices.Compact(to); len(to) > 0 {
			return to
		}
	}
	return nil
}
