package ethsource_test

import (
	"context"
	"maps"
	"math/big"
	"slices"
	"sync"
	"testing"
	"time"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/ethsource"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
	"golang.org/x/sync/errgroup"
)

// BenchmarkLatency reads the tokens and coins of 300 wallets through a node
// that takes 20 ms to answer: by this package, and beside it the logs alone, a
// wallet a request, one after another and 16 at once, by go-ethereum's client.
// With windows the node takes 10,000 blocks at once.
func BenchmarkLatency(b *testing.B) {
	const wallets, delay = 300, 20 * time.Millisecond
	w := made(devnet.Config{})
	seen := make(map[common.Address]bool)
	for _, x := range w.Transfers() {
		if len(seen) < wallets && w.Truth.Owner[x.From].Role == devnet.RoleUser {
			seen[x.From] = true
		}
	}
	who := slices.SortedFunc(maps.Keys(seen), common.Address.Cmp)
	pinned := w.Head() - 64
	for _, windows := range []uint64{0, 10_000} {
		name := map[uint64]string{0: "one window/", 10_000: "windows/"}[windows]
		node := func(b *testing.B) (*devnet.Node, string) {
			o := devnet.NodeOptions{Delay: delay, Faults: devnet.From(0, devnet.FaultSlow)}
			if windows > 0 {
				o.MaxRange = windows - 1
			}
			n := devnet.NewNode(w, o)
			return n, serve(b, n)
		}
		report := func(b *testing.B, requests, moves int) {
			b.ReportMetric(float64(requests)/float64(b.N), "requests/op")
			b.ReportMetric(float64(moves), "tokens")
			b.ReportMetric(b.Elapsed().Seconds()*1000/float64(b.N), "ms/op")
		}
		b.Run(name+"ethsource", func(b *testing.B) {
			n, url := node(b)
			s, err := ethsource.Open(b.Context(), devnet.Chain(), url, ethsource.Options{Reads: 16})
			if err != nil {
				b.Fatal(err)
			}
			var q tracer.Query
			for _, a := range who {
				q.Spans = append(q.Spans, tracer.Span{Wallet: a, To: pinned})
			}
			before, moves := n.Requests(), 0
			for b.Loop() {
				ans, err := s.Transfers(b.Context(), q)
				if err != nil || len(ans.Unread) > 0 {
					b.Fatal(ans.Unread, err)
				}
				moves = 0
				for i := range ans.Transfers { // wrapping leaves another event, which the others do not ask for
					if t := &ans.Transfers[i]; t.Kind == tracer.KindToken && t.From != t.Asset.Token && t.To != t.Asset.Token {
						moves++
					}
				}
			}
			report(b, n.Requests()-before, moves)
		})
		for _, at := range []int{1, 16} {
			if windows > 0 && at == 1 {
				continue // two minutes
			}
			b.Run(name+map[int]string{1: "a wallet a request", 16: "a wallet a request, 16 at once"}[at], func(b *testing.B) {
				n, url := node(b)
				c, err := ethclient.Dial(url)
				if err != nil {
					b.Fatal(err)
				}
				defer c.Close()
				before, moves := n.Requests(), 0
				for b.Loop() {
					if moves, err = eachWallet(b.Context(), c, who, pinned, windows, at); err != nil {
						b.Fatal(err)
					}
				}
				report(b, n.Requests()-before, moves)
			})
		}
	}
}

// eachWallet asks for the logs of each wallet by itself, and returns how many
// token transfers that makes.
func eachWallet(ctx context.Context, c *ethclient.Client, who []common.Address, to, width uint64, at int) (int, error) {
	if width == 0 {
		width = to + 1
	}
	transfer := crypto.Keccak256Hash([]byte("Transfer(address,address,uint256)"))
	var mu sync.Mutex
	seen := make(map[[2]uint64]bool)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(at)
	for _, a := range who {
		for from := uint64(0); from <= to; from += width {
			for _, topics := range [][][]common.Hash{{{transfer}, {common.BytesToHash(a[:])}}, {{transfer}, nil, {common.BytesToHash(a[:])}}} {
				g.Go(func() error {
					logs, err := c.FilterLogs(ctx, ethereum.FilterQuery{
						FromBlock: new(big.Int).SetUint64(from), ToBlock: new(big.Int).SetUint64(min(from+width-1, to)), Topics: topics})
					mu.Lock()
					defer mu.Unlock()
					for _, l := range logs {
						if len(l.Topics) == 3 {
							seen[[2]uint64{l.BlockNumber, uint64(l.Index)}] = true
						}
					}
					return err
				})
			}
		}
	}
	err := g.Wait()
	return len(seen), err
}
