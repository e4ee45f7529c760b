package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"testing"
	"time"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/ethsource"
	"scamtrace/tracer/walk"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/rpc"
	"github.com/holiman/uint256"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"
)

var hopWallets = flag.Int("wallets", 100, "over how many wallets BenchmarkHops follows money")

const (
	hops     = 5
	latency  = 50 * time.Millisecond
	callRate = 25     // a second, where there is a limit
	manyLogs = 10_000 // in an answer
	manyWho  = 1000   // wallets in a call, geth's limit
)

// BenchmarkHops follows a victim's money over five hops (-wallets 10000 for the
// figures of the README) through a node that takes 50 ms to answer and has
// geth's limits, 10,000 logs in an answer, and none or 25 calls a second: by
// this program, and as tools do that read one wallet at a time, with
// go-ethereum's client and a call for each direction of each wallet, one after
// another, 16 at once, and in batches of 50, 4 of them at once. Everybody
// reads all tokens that the wallets ever moved, and has to find exactly those
// that there are; the node keeps no old states and has no traces. "and coins"
// reads native coin and fees too, from a node that has both. "trace" is the
// whole walk, ledger included, in windows of time.
//
// billed are calls, each of a batch counted, which is what providers bill.
// x-ours is how many times as long it takes as this program does. x-least is
// how many times as much it takes as what cannot be avoided: one answer's time
// a hop, and a call for each direction of 1,000 wallets and for 10,000 logs.
func BenchmarkHops(b *testing.B) {
	h := newHunt(*hopWallets)
	full := devnet.NodeOptions{NoTraces: true, NoArchive: true}
	for _, limit := range []rate.Limit{rate.Inf, callRate} {
		name := "no limit/"
		if limit == callRate {
			name = fmt.Sprint(callRate, " a second/")
		}
		ours := time.Duration(0)
		for _, m := range []struct {
			name   string
			node   devnet.NodeOptions
			reader func(b *testing.B, url string, l *rate.Limiter) reader
		}{
			{"ethsource", full, bySource},
			{"ethsource and coins", devnet.NodeOptions{}, bySource},
			{"batches of 50", full, inBatches},
			{"a wallet a request, 16 at once", full, oneByOne(16)},
			{"a wallet a request", full, oneByOne(1)},
		} {
			if !m.node.NoTraces && limit == callRate {
				continue // a call for each fee
			}
			b.Run(name+m.name, func(b *testing.B) {
				var read reader
				var found map[place]move
				calls := h.measure(b, m.node, limit, func(url string, l *rate.Limiter) { read = m.reader(b, url, l) },
					func() { found = h.follow(b, read) })
				if !maps.Equal(found, h.truth) {
					b.Errorf("%d transfers found, there are %d", len(found), len(h.truth))
				}
				took := b.Elapsed() / time.Duration(b.N)
				if ours == 0 {
					ours = took
				}
				b.ReportMetric(took.Seconds()/ours.Seconds(), "x-ours")
				b.ReportMetric(took.Seconds()/(hops*latency).Seconds(), "x-least-time")
				b.ReportMetric(calls/float64(h.least), "x-least-billed")
			})
		}
		b.Run(name+"trace", func(b *testing.B) {
			var src *ethsource.Source
			h.measure(b, full, limit, func(url string, l *rate.Limiter) { src = openSource(b, url, l) }, func() { h.trace(b, src) })
		})
	}
}

// A hunt is a world and what there is to find in it.
type hunt struct {
	*devnet.World
	levels  [][]common.Address
	service map[common.Address]bool
	truth   map[place]move
	least   int // calls
}

// A place is where a log is: its block, and its number there.
type place struct{ block, log uint64 }

// A move is a transfer of a token.
type move struct {
	token, from, to common.Address
	amount          uint256.Int
}

// A reader returns the moves of tokens of some wallets, in both directions.
type reader func(ctx context.Context, wallets []common.Address) (map[place]move, error)

func newHunt(wallets int) *hunt {
	h := &hunt{service: make(map[common.Address]bool), truth: make(map[place]move)}
	h.World, h.levels = devnet.Spread(0, wallets, hops)
	for _, s := range h.Services {
		for _, a := range s.Addresses {
			h.service[a] = true
		}
	}
	level := make(map[common.Address]int)
	for i, as := range h.levels {
		for _, a := range as {
			level[a] = i + 1
		}
	}
	var answers [2 * hops]int // logs, by hop and direction
	for _, x := range h.Transfers() {
		from, to := level[x.From], level[x.To]
		if x.Kind != tracer.KindToken || from == 0 && to == 0 {
			continue
		}
		keep(h.truth, &x)
		if from > 0 {
			answers[2*from-2]++
		}
		if to > 0 {
			answers[2*to-1]++
		}
	}
	for i, n := range answers {
		h.least += max((len(h.levels[i/2])-1)/manyWho, (n-1)/manyLogs) + 1
	}
	return h
}

func keep(moves map[place]move, t *tracer.Transfer) {
	n, _ := strconv.ParseUint(t.Position, 10, 64) // a token's is a number
	moves[place{t.Block, n}] = move{t.Asset.Token, t.From, t.To, t.Amount}
}

// measure runs do against a node, each time after prepare, whose time does not
// count, and returns how many calls it makes.
func (h *hunt) measure(b *testing.B, o devnet.NodeOptions, limit rate.Limit, prepare func(string, *rate.Limiter), do func()) (calls float64) {
	o.Delay, o.Faults, o.MaxLogs = latency, devnet.From(0, devnet.FaultSlow), manyLogs
	if limit != rate.Inf {
		o.Rate = float64(limit)
	}
	n := devnet.NewNode(h.World, o)
	srv := httptest.NewServer(n)
	b.Cleanup(srv.Close)
	limiter := rate.NewLimiter(limit, callRate)
	requests, billed := 0, 0
	for b.Loop() {
		b.StopTimer()
		prepare(srv.URL, limiter)
		requests, billed = requests-n.Requests(), billed-n.Calls()
		b.StartTimer()
		do()
		requests, billed = requests+n.Requests(), billed+n.Calls()
	}
	b.ReportMetric(float64(requests)/float64(b.N), "requests")
	b.ReportMetric(float64(billed)/float64(b.N), "billed")
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s")
	b.ReportMetric(0, "ns/op")
	return float64(billed) / float64(b.N)
}

// follow reads the wallets that the victim paid, and then, hop by hop, those
// that these paid. It has to come by every wallet of the world's hops.
func (h *hunt) follow(b *testing.B, read reader) map[place]move {
	chain, all, seen := devnet.Chain(), make(map[place]move), make(map[common.Address]bool)
	next := make(map[common.Address]bool)
	for _, a := range h.Truth.Victims[0].Seeds {
		next[a] = true
	}
	for i, level := range h.levels {
		if len(next) != len(level) || !next[level[len(level)-1]] {
			b.Fatalf("hop %d has %d wallets, there are %d", i+1, len(next), len(level))
		}
		wallets := slices.SortedFunc(maps.Keys(next), common.Address.Cmp)
		maps.Copy(seen, next)
		clear(next)
		moves, err := read(b.Context(), wallets)
		if err != nil {
			b.Fatal(err)
		}
		maps.Copy(all, moves)
		for _, m := range moves {
			if seen[m.from] && !seen[m.to] && !h.service[m.to] && !m.amount.IsZero() && chain.Known(tracer.TokenOf(chain.ID, m.token)) {
				next[m.to] = true
			}
		}
	}
	return all
}

// trace is the whole walk from the victim's payments. All of the money has to
// be where it really went.
func (h *hunt) trace(b *testing.B, src *ethsource.Source) {
	j, err := demoJob(h.World)
	if err != nil {
		b.Fatal(err)
	}
	j.source, j.seeds = src, nil
	for _, p := range h.Truth.Victims[0].Payments {
		j.seeds = append(j.seeds, tracer.Seed{Tx: p.Tx})
	}
	j.limits = walk.Limits{Wallets: 2 * *hopWallets, Requests: 10 * *hopWallets, MinUSD: 1}
	res, err := walk.Run(b.Context(), j.source, j.seeds, j.options())
	if err != nil || res.Stopped.Reason != "" {
		b.Fatal(res.Stopped, err)
	}
	if got, want := whereabouts(res), trueWhereabouts(&h.Truth.Victims[0].Outcome); got != want {
		b.Errorf("the trace says\n%sthe truth is\n%s", got, want)
	}
	b.ReportMetric(float64(res.WalletsRead), "wallets")
	b.ReportMetric(float64(res.Steps), "steps")
}

func openSource(b *testing.B, url string, l *rate.Limiter) *ethsource.Source {
	s, err := ethsource.Open(b.Context(), devnet.Chain(), url, ethsource.Options{Reads: 16, Limiter: l})
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func bySource(b *testing.B, url string, l *rate.Limiter) reader {
	s := openSource(b, url, l)
	return func(ctx context.Context, wallets []common.Address) (map[place]move, error) {
		var q tracer.Query
		for _, a := range wallets {
			q.Spans = append(q.Spans, tracer.Span{Wallet: a, To: 1 << 40})
		}
		ans, err := s.Transfers(ctx, q)
		for _, u := range ans.Unread {
			if u.Part == tracer.PartAll || u.Part == tracer.PartTokens {
				return nil, fmt.Errorf("not read: %v", u)
			}
		}
		moves := make(map[place]move, len(ans.Transfers))
		for i := range ans.Transfers {
			if t := &ans.Transfers[i]; t.Kind == tracer.KindToken {
				keep(moves, t)
			}
		}
		return moves, err
	}
}

var topicTransfer = crypto.Keccak256Hash([]byte("Transfer(address,address,uint256)"))

// directions are the topics that what a wallet sent and got has.
func directions(w common.Address) [2][][]common.Hash {
	return [2][][]common.Hash{
		{{topicTransfer}, {common.BytesToHash(w[:])}},
		{{topicTransfer}, nil, {common.BytesToHash(w[:])}},
	}
}

func keepLogs(moves map[place]move, logs []types.Log) {
	for i := range logs {
		if l := &logs[i]; len(l.Topics) == 3 && len(l.Data) == 32 {
			moves[place{l.BlockNumber, uint64(l.Index)}] = move{l.Address, common.BytesToAddress(l.Topics[1][12:]),
				common.BytesToAddress(l.Topics[2][12:]), *new(uint256.Int).SetBytes(l.Data)}
		}
	}
}

// patiently asks for n calls when the limit allows them, and again when the
// node thinks that it did not.
func patiently(ctx context.Context, l *rate.Limiter, n int, ask func() error) error {
	for left := n; left > 0; left -= callRate {
		if err := l.WaitN(ctx, min(left, callRate)); err != nil {
			return err
		}
	}
	for {
		err := ask()
		if e, ok := errors.AsType[rpc.HTTPError](err); !ok || e.StatusCode != http.StatusTooManyRequests {
			return err
		}
		if err := l.WaitN(ctx, callRate); err != nil { // as many as a second brings
			return err
		}
	}
}

// oneByOne reads with a call for each direction of a wallet, some at once.
func oneByOne(at int) func(*testing.B, string, *rate.Limiter) reader {
	return func(b *testing.B, url string, l *rate.Limiter) reader {
		c, err := ethclient.Dial(url)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(c.Close)
		return func(ctx context.Context, wallets []common.Address) (map[place]move, error) {
			g, ctx := errgroup.WithContext(ctx)
			g.SetLimit(at)
			got := make([][2][]types.Log, len(wallets))
			for i, a := range wallets {
				for k, topics := range directions(a) {
					g.Go(func() error {
						return patiently(ctx, l, 1, func() (err error) {
							got[i][k], err = c.FilterLogs(ctx, ethereum.FilterQuery{FromBlock: new(big.Int), Topics: topics})
							return err
						})
					})
				}
			}
			err := g.Wait()
			moves := make(map[place]move)
			for i := range got {
				keepLogs(moves, got[i][0])
				keepLogs(moves, got[i][1])
			}
			return moves, err
		}
	}
}

// inBatches reads with the same calls, 50 in a request, 4 requests at once.
func inBatches(b *testing.B, url string, l *rate.Limiter) reader {
	c, err := rpc.Dial(url)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(c.Close)
	return func(ctx context.Context, wallets []common.Address) (map[place]move, error) {
		var calls []rpc.BatchElem
		got := make([][]types.Log, 2*len(wallets))
		for i, a := range wallets {
			for k, topics := range directions(a) {
				calls = append(calls, rpc.BatchElem{Method: "eth_getLogs", Result: &got[2*i+k],
					Args: []any{map[string]any{"fromBlock": hexutil.EncodeUint64(0), "toBlock": "latest", "topics": topics}}})
			}
		}
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(4)
		for some := range slices.Chunk(calls, 50) {
			g.Go(func() error {
				if err := patiently(ctx, l, len(some), func() error { return c.BatchCallContext(ctx, some) }); err != nil {
					return err
				}
				for i := range some {
					if some[i].Error != nil {
						return some[i].Error
					}
				}
				return nil
			})
		}
		err := g.Wait()
		moves := make(map[place]move)
		for i := range got {
			keepLogs(moves, got[i])
		}
		return moves, err
	}
}
