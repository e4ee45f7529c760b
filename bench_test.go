package main

import (
	"net/http/httptest"
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/ethsource"
	"scamtrace/tracer/report"
	"scamtrace/tracer/walk"
)

// BenchmarkTrace walks from every payment of every victim of a world of
// 1,000,000 transfers, over HTTP on the loopback interface, and builds the
// report. transfers/s counts the transfers that the walk read.
func BenchmarkTrace(b *testing.B) {
	w := devnet.Generate(devnet.Config{Transfers: 1_000_000, Victims: 60, Syndicates: 6})
	srv := httptest.NewServer(devnet.NewNode(w, devnet.NodeOptions{}))
	defer srv.Close()
	j, err := demoJob(w)
	if err != nil {
		b.Fatal(err)
	}
	j.seeds, j.limits.Requests = nil, 100_000
	for _, v := range w.Truth.Victims {
		for _, p := range v.Payments {
			j.seeds = append(j.seeds, tracer.Seed{Tx: p.Tx}, tracer.Seed{Wallet: p.Wallet})
		}
	}
	if j.source, err = ethsource.Open(b.Context(), j.chain, srv.URL, ethsource.Options{}); err != nil {
		b.Fatal(err)
	}
	var res *walk.Result
	b.ReportAllocs()
	for b.Loop() {
		res, err = walk.Run(b.Context(), j.source, j.seeds, j.options())
		if err != nil {
			b.Fatal(err)
		}
		if r := report.Build(j.input(res)); r.Outcome.Status != "complete" {
			b.Fatalf("the walk stopped early: %v", r.Outcome.Reasons)
		}
	}
	b.ReportMetric(float64(res.Store.Len())*float64(b.N)/b.Elapsed().Seconds(), "transfers/s")
	b.ReportMetric(float64(res.Store.Len()), "transfers")
	b.ReportMetric(float64(res.WalletsRead), "wallets")
	b.ReportMetric(float64(res.Requests), "requests")
	b.ReportMetric(float64(res.Steps), "steps")
}
