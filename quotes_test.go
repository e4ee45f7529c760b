package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/ethsource"
	"scamtrace/tracer/price"
	"scamtrace/tracer/report"
)

// days quotes the coin of the made-up chain, but not of every day.
type days struct{ *devnet.World }

func (days) Covers(a tracer.Asset) bool { return a == tracer.NativeOf(devnet.ChainID) }

func (w days) Quotes(_ context.Context, _ tracer.Asset, times []uint64, most int) (out []price.Answer, spent int, err error) {
	for _, at := range times {
		day := (max(at, w.Blocks[0].Time) - w.Blocks[0].Time) / 86_400
		x := price.Answer{Price: w.Prices[day], Source: "a feed"}
		if day%4 == 3 {
			x = price.Answer{Source: "the feed was silent"}
		}
		out = append(out, x)
	}
	return out, min(len(times), most), nil
}

// TestAskedPrices: a trace that asks for prices writes them beside its report,
// and from that file alone, asking nobody, comes the same report.
func TestAskedPrices(t *testing.T) {
	world := devnet.Generate(devnet.Config{})
	url, stop, err := devnet.NewNode(world, devnet.NodeOptions{}).Start()
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	trace := func(book *price.Book) (j *job, files map[string]string) {
		t.Helper()
		j, err := demoJob(world)
		if err != nil {
			t.Fatal(err)
		}
		j.prices = book
		if j.source, err = ethsource.Open(t.Context(), j.chain, url, ethsource.Options{}); err != nil {
			t.Fatal(err)
		}
		_, r, err := j.trace(t.Context(), io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		others := []report.NamedFile{}
		if f, ok := j.priceFile(); ok {
			others = append(others, f)
		}
		named, err := report.Bundle(t.Context(), r, nil, others...)
		if err != nil {
			t.Fatal(err)
		}
		files = make(map[string]string)
		for _, f := range named {
			files[f.Name] = string(f.Data)
		}
		return j, files
	}
	asks := price.New(devnet.Chain())
	asks.From(days{world})
	_, want := trace(asks)
	if !strings.Contains(want[pricesName], ",a feed,yes\n") || !strings.Contains(want["report.json"], `"priceSource":"a feed"`) ||
		!strings.Contains(want["report.json"], "is not known: the feed was silent") {
		t.Fatalf("the prices are %q", want[pricesName])
	}
	given := price.New(devnet.Chain())
	if err := given.ReadCSV(strings.NewReader(want[pricesName]), pricesName); err != nil {
		t.Fatal(err)
	}
	_, got := trace(given)
	if len(got) != len(want) {
		t.Errorf("%d files, want %d", len(got), len(want))
	}
	for name, data := range want {
		if got[name] != data {
			t.Errorf("%s differs from that of the trace that asked", name)
		}
	}
	// Nobody is asked for what was given: the demo has no file of prices.
	demo, err := demoJob(world)
	if err != nil {
		t.Fatal(err)
	}
	demo.prices.From(days{world})
	if _, files := trace(demo.prices); files[pricesName] != "" {
		t.Errorf("prices were asked for though all were given: %q", files[pricesName])
	}
}

func TestQuotesFlag(t *testing.T) {
	eth, _ := tracer.ChainNamed("ethereum")
	node := new(ethsource.Source)
	for _, tt := range []struct {
		quotes string
		chain  tracer.Chain
		source tracer.Source
		asks   bool
		err    string
	}{
		{"", eth, node, true, ""},
		{"", eth, nil, false, ""},
		{"", devnet.Chain(), node, false, ""},
		{"none", eth, node, false, ""},
		{"chainlink,defillama", eth, node, true, ""},
		{"defillama", eth, nil, true, ""},
		{"chainlink", eth, nil, false, "it needs a node"},
		{"chainlink", devnet.Chain(), node, false, "of a chain with a feed"},
		{"defillama", devnet.Chain(), node, false, "does not have"},
		{"none,chainlink", eth, node, false, "none is nobody else"},
		{"coingecko", eth, node, false, `"coingecko" is not chainlink, defillama or none`},
	} {
		j := &job{reading: reading{chain: tt.chain, source: tt.source}, prices: price.New(tt.chain)}
		var names []string
		if tt.quotes != "" {
			names = strings.Split(tt.quotes, ",")
		}
		err := j.askFor(names)
		if tt.err == "" && err != nil || tt.err != "" && (!errors.Is(err, tracer.ErrUsage) || !strings.Contains(err.Error(), tt.err)) || j.prices.Asks() != tt.asks {
			t.Errorf("--quotes %q on %s: asks %v, %v", tt.quotes, tt.chain.Name, j.prices.Asks(), err)
		}
	}
	var help bytes.Buffer
	cmd := traceCommand()
	cmd.SetOut(&help)
	if err := cmd.Help(); err != nil || !strings.Contains(help.String(), "which learns which coins and tokens are looked at") {
		t.Errorf("the help does not say what DefiLlama learns: %v", err)
	}
}
