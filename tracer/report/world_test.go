package report_test

import (
	"net/http/httptest"
	"sync"
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/ethsource"
	"scamtrace/tracer/label"
	"scamtrace/tracer/ledger"
	"scamtrace/tracer/price"
	"scamtrace/tracer/report"
	"scamtrace/tracer/walk"
)

// trace follows the payments of one victim of a built-in world, from its node.
func trace(t testing.TB, cfg devnet.Config, victim int, limits walk.Limits) report.Input {
	t.Helper()
	w := devnet.Generate(cfg)
	srv := httptest.NewServer(devnet.NewNode(w, devnet.NodeOptions{}))
	defer srv.Close()
	src, err := ethsource.Open(t.Context(), devnet.Chain(), srv.URL, ethsource.Options{})
	if err != nil {
		t.Fatal(err)
	}
	labels, prices := new(label.Set), price.New(devnet.Chain())
	for _, s := range w.Services {
		for _, a := range s.Addresses {
			if err := labels.Add(label.Label{
				Wallet: tracer.Wallet{Chain: devnet.ChainID, Address: a}, Name: s.Name, Category: label.Category(s.Category), Confidence: 100, Source: label.Builtin,
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for day, p := range w.Prices {
		prices.Set(tracer.NativeOf(devnet.ChainID), w.Blocks[0].Time+uint64(day)*86_400, p)
	}
	var seeds []tracer.Seed
	for _, p := range w.Truth.Victims[victim].Payments {
		seeds = append(seeds, tracer.Seed{Tx: p.Tx}, tracer.Seed{Wallet: p.Wallet})
	}
	o := walk.Options{Chain: devnet.Chain(), Policy: ledger.PIFO, Limits: limits}
	o.Know(labels, prices)
	res, err := walk.Run(t.Context(), src, seeds, o)
	if err != nil {
		t.Fatal(err)
	}
	return report.Input{Walk: res, Labels: labels, Prices: prices, Version: "test", Reference: "case 7", Source: "the built-in node over JSON-RPC", Endpoints: []string{"https://node.example/v3/the-key"}}
}

// demo is the case of the demo, walked once.
var demo = sync.OnceValue(func() report.Input { return trace(&testing.T{}, devnet.Config{}, 0, walk.Limits{Hub: 1000}) })
