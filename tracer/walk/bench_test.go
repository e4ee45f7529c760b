package walk_test

import (
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/ledger"
	"scamtrace/tracer/walk"
)

// BenchmarkRun walks from hundreds of wallets in a world of 100,000
// transfers with no bound and through services, so that most of them are read,
// out of memory: what is measured is accounting and choosing. transfers/s counts what was read.
func BenchmarkRun(b *testing.B) {
	w := newWorld(b, devnet.Config{Transfers: 100_000})
	o := w.opts
	service := o.Service
	o.Service = func(x tracer.Wallet) (string, ledger.Stop) {
		if name, stop := service(x); stop == ledger.Through {
			return name, stop
		}
		return "", ledger.Follow
	}
	var seeds []tracer.Seed
	for i := 0; i < len(w.src.ts); i += 2_000 {
		if t := &w.src.ts[i]; t.Counts() && t.Kind != tracer.KindFee && o.Chain.Known(t.Asset) {
			if _, stop := o.Service(tracer.Wallet{Chain: o.Chain.ID, Address: t.To}); stop != ledger.Follow {
				continue
			}
			seeds = append(seeds, tracer.Seed{Wallet: t.To})
		}
	}
	const none = 1 << 40
	o.Limits = walk.Limits{Hub: none, Requests: none, Wallets: none}
	var r *walk.Result
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if r, err = walk.Run(b.Context(), w.fresh(), seeds, o); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(r.Store.Len())*float64(b.N)/b.Elapsed().Seconds(), "transfers/s")
	b.ReportMetric(float64(r.Store.Len()), "transfers")
	b.ReportMetric(float64(r.WalletsRead), "wallets")
	b.ReportMetric(float64(r.Steps), "steps")
}
