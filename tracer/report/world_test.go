package report

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"sync"
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/ethsource"
	"scamtrace/tracer/label"
	"scamtrace/tracer/price"
	"scamtrace/tracer/token"
	"scamtrace/tracer/walk"
)

// trace follows the payments of victims of a built-in world, from its node.
func trace(ctx context.Context, cfg devnet.Config, o walk.Options, victims ...int) (Input, error) {
	w := devnet.Generate(cfg)
	srv := httptest.NewServer(devnet.NewNode(w, devnet.NodeOptions{}))
	defer srv.Close()
	src, err := ethsource.Open(ctx, devnet.Chain(), srv.URL, ethsource.Options{})
	if err != nil {
		return Input{}, err
	}
	labels, prices := new(label.Set), price.New(devnet.Chain())
	for _, s := range w.Services {
		for _, a := range s.Addresses {
			if err := labels.Add(label.Label{
				Wallet: tracer.Wallet{Chain: devnet.ChainID, Address: a}, Name: s.Name, Category: label.Category(s.Category), Confidence: 100, Source: label.Builtin,
			}); err != nil {
				return Input{}, err
			}
		}
	}
	for day, p := range w.Prices {
		prices.Set(tracer.NativeOf(devnet.ChainID), w.Blocks[0].Time+uint64(day)*86_400, p)
	}
	var seeds []tracer.Seed
	for _, v := range victims {
		for _, p := range w.Truth.Victims[v].Payments {
			seeds = append(seeds, tracer.Seed{Tx: p.Tx}, tracer.Seed{Wallet: p.Wallet})
		}
	}
	o.Chain = devnet.Chain()
	o.Know(labels, prices)
	res, err := walk.Run(ctx, src, seeds, o)
	if err != nil {
		return Input{}, err
	}
	in := Input{
		Walk: res, Labels: labels, Prices: prices, Version: "test", Reference: "2025-17", Source: "the built-in node over JSON-RPC",
		Endpoints: []string{"https://node.example/v3/the-key"},
		Tokens:    token.NewBook(o.Chain, src, res.Pinned.Number),
	}
	_, err = in.Tokens.Ask(ctx, newBuilder(in).lookout().unlisted(), 100)
	return in, err
}

// smallJSON is a case that can be read whole: a victim of a world of two, with
// a budget that ends the trace early, and a cluster added by hand.
var smallJSON = sync.OnceValues(func() ([]byte, error) {
	in, err := trace(context.Background(), devnet.Config{Victims: 2, Syndicates: 1, Days: 7, Transfers: 1}, walk.Options{Limits: walk.Limits{Hub: 1000, Wallets: 12}}, 0)
	if err != nil {
		return nil, err
	}
	r := Build(in)
	r.Rules = []Rule{{"gas funder", "Two wallets likely act as one when their first gas came from the same wallet. It goes wrong where many use one gas service.", "0.98 of 412 links"}}
	a, b := &r.Wallets[1], &r.Wallets[2]
	a.Cluster, b.Cluster = "c1", "c1"
	r.Clusters = []Cluster{{ID: "c1", Wallets: []string{min(a.Address, b.Address), max(a.Address, b.Address)}, Links: []Link{{
		A: min(a.Address, b.Address), B: max(a.Address, b.Address), Rule: r.Rules[0].Name, Confidence: 94, Precision: r.Rules[0].Precision,
		Evidence: []string{r.Transfers[0].Tx, r.Transfers[1].Tx}, Detail: "Both paid into the same deposit address.",
	}}}}
	return json.Marshal(r)
})

// small returns a copy of the small case.
func small(t testing.TB) *Report {
	t.Helper()
	b, err := smallJSON()
	if err != nil {
		t.Fatal(err)
	}
	r := new(Report)
	if err := json.Unmarshal(b, r); err != nil {
		t.Fatal(err)
	}
	return r
}

// demoWalk is the case of the demo.
var demoWalk = sync.OnceValues(func() (Input, error) {
	return trace(context.Background(), devnet.Config{}, walk.Options{Limits: walk.Limits{Hub: 1000}}, 0)
})
