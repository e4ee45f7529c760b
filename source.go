package main

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"scamtrace/functions/nodes"
	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/ethsource"
	"scamtrace/tracer/filesource"
	"scamtrace/tracer/indexsource"
	"scamtrace/tracer/label"
	"scamtrace/tracer/price"
	"scamtrace/tracer/report"

	"github.com/spf13/cobra"
)

// sourceFlags are the flags of commands that read a chain.
type sourceFlags struct {
	chain  string
	rpc    []string
	rate   float64
	files  []string
	index  []string
	wrap   func(string, http.RoundTripper) http.RoundTripper // what requests to a node go through; no flag
	wrapAt wrapAt                                            // those to indexers; no flag
}

func (f *sourceFlags) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&f.chain, "chain", "ethereum", "the chain: its name, or the number of any EVM chain")
	fs.StringArrayVar(&f.rpc, "rpc", nil, "the `URL` of a node's JSON-RPC endpoint; several make a pool, of which archive=URL is asked for old states\nand trace=URL for what contracts did")
	fs.Float64Var(&f.rate, "rate", 0, "calls a second that each endpoint allows (default: as fast as it answers)")
	fs.StringSliceVar(&f.index, "index", nil, "indexers to ask before the node, the first first: sqd, etherscan, blockscout, alchemy, trongrid, or none.\n"+
		"They are fast, and they learn which wallets are looked at. Keys stand in the environment, as\n"+
		"SCAMTRACE_ETHERSCAN_KEY and so on (default: sqd, where it has the chain and the node is not on this\nmachine or in a private network)")
	fs.StringSliceVar(&f.files, "transfers", nil, "read these CSV `FILE`s of transfers instead of a node")
}

// A reading is a chain and what it is read from.
type reading struct {
	chain  tracer.Chain
	source tracer.Source
	about  string            // the source, in words
	node   *ethsource.Source // nil: no node is read
	cache  *cache            // of what is learnt of nodes
	// endpoints are the URLs of the source, with their keys.
	endpoints []string
	notes     []string // what the source had to leave out, in sentences
}

// named is the chain that the flags name.
func (f *sourceFlags) named() (tracer.Chain, error) {
	if c := devnet.Chain(); f.chain == c.Name {
		return c, nil
	}
	return tracer.ChainNamed(f.chain)
}

// open opens the files, or connects to the endpoint.
func (f *sourceFlags) open(ctx context.Context) (r reading, err error) {
	if r.chain, err = f.named(); err != nil {
		return r, err
	}
	switch {
	case f.rate < 0:
		return r, usage("--rate: calls a second cannot be negative")
	case len(f.files) > 0 && len(f.rpc) > 0:
		return r, usage("--transfers and --rpc: name files or a node, not both")
	case len(f.files) > 0 && len(f.index) > 0 && f.index[0] != indexsource.None:
		return r, usage("--transfers and --index: files are all that is read")
	case len(f.files) > 0:
		src, err := filesource.Open(r.chain, f.files...)
		if err != nil {
			return r, err
		}
		r.source, r.about, r.notes = src, "exported files", src.Notes()
		return r, nil
	case len(f.rpc) == 0:
		return r, usage("name the endpoint of a node of %s with --rpc or in SCAMTRACE_RPC, or files with --transfers", r.chain.Title)
	}
	rpc, err := ethsource.ParseEndpoints(f.rpc...)
	if err != nil {
		return r, usage("--rpc: %s", strings.TrimPrefix(err.Error(), tracer.ErrUsage.Error()+": "))
	}
	if err := ethsource.Misnamed(rpc, r.chain.Name); err != nil {
		return r, usage("--rpc: %s", strings.TrimPrefix(err.Error(), tracer.ErrUsage.Error()+": "))
	}
	if rpc = ethsource.EndpointsOf(r.chain.Name, rpc); len(rpc) == 0 {
		return r, usage("--rpc: no endpoint is one of %s", r.chain.Title)
	}
	list, err := f.choose(ctx, r.chain, rpc)
	if err != nil {
		return r, err
	}
	r.cache = openCache()
	if r.node, err = ethsource.OpenPool(ctx, r.chain, rpc, ethsource.Options{Rate: f.rate, Wrap: f.wrap, Known: r.cache.known}); err != nil {
		return r, err
	}
	r.cache.save(r.node)
	read, err := nodes.Plan(ctx, r.chain, nodes.At(r.node, rpc), list, indexsource.Options{Wrap: f.wrapAt})
	if err != nil {
		return r, err
	}
	r.read(read)
	return r, nil
}

// readLabels is the built-in set with the labels of files added. notes say
// what was left out, and which wallets are a service by one label and a scam by
// another.
func readLabels(chain tracer.Chain, files []string) (set *label.Set, notes []string, err error) {
	set = label.New()
	set.Also(chain)
	for _, name := range files {
		more, err := set.Load(name)
		if err != nil {
			return nil, nil, err
		}
		notes = append(notes, more...)
	}
	return set, append(notes, set.ConflictNotes()...), nil
}

// readPrices is a book of prices with those of files added.
func readPrices(chain tracer.Chain, files []string) (*price.Book, error) {
	b := price.New(chain)
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return nil, usage("the prices cannot be read: %v", err)
		}
		err = b.ReadCSV(f, filepath.Base(name))
		f.Close()
		if err != nil {
			return nil, err
		}
	}
	return b, nil
}

// askFor says whom the book of prices asks.
func (j *job) askFor(names []string) error {
	node, hasNode := tracer.As[price.Node](j.source)
	feed, hasFeed := price.FeedOf(j.chain.ID)
	if len(names) == 0 && hasNode && hasFeed {
		names = []string{"chainlink"}
	}
	var quoters []price.Quoter
	for _, name := range names {
		switch name {
		case "chainlink":
			if !hasNode || !hasFeed {
				return usage("--quotes chainlink: it needs a node (--rpc) of a chain with a feed, such as ethereum")
			}
			quoters = append(quoters, price.NewChainlink(feed, node))
		case "defillama":
			l, ok := price.NewLlama(j.chain, price.LlamaOptions{})
			if !ok {
				return usage("--quotes defillama: it does not have %s", j.chain.Title)
			}
			quoters = append(quoters, l)
		case "none":
			if len(names) > 1 {
				return usage("--quotes: none is nobody else")
			}
		default:
			return usage("--quotes: %q is not chainlink, defillama or none", tracer.CleanText(name, 20))
		}
	}
	j.prices.From(quoters...)
	return nil
}

// pricesName is the file of a bundle with the prices that it rests on, where
// some were asked for.
const pricesName = "prices.csv"

func (j *job) priceFile() (f report.NamedFile, ok bool) {
	if !j.prices.Asked() {
		return f, false
	}
	var b bytes.Buffer
	_ = j.prices.Save(&b) // a buffer takes everything
	return report.NamedFile{Name: pricesName, Data: b.Bytes()}, true
}
