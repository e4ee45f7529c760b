package indexsource_test

import (
	"maps"
	"net/http"
	"slices"
	"testing"
	"time"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/ethsource"
	"scamtrace/tracer/indexsource"

	"github.com/ethereum/go-ethereum/common"
)

// BenchmarkHops follows payments over five hops and about a thousand wallets,
// all that was ever moved by each: through SQD Portal and a node that take
// 50 ms to answer, both together, and Etherscan on its free plan. One such walk makes fewer requests than
// SQD Portal takes at once, so its rate is left out. Etherscan's
// time is that of a clock that only moves when somebody waits: 50 ms for each answer, and for three
// requests a second.
func BenchmarkHops(b *testing.B) {
	const delay = 50 * time.Millisecond
	book := openBook(b, made(devnet.Config{Transfers: 40_000}))
	slow := func(h http.Handler) *fake {
		return &fake{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(delay)
			h.ServeHTTP(w, r)
		})}
	}
	node := func(b *testing.B) (*ethsource.Source, *devnet.Node) {
		n := devnet.NewNode(book.World, devnet.NodeOptions{Delay: delay, Faults: devnet.From(0, devnet.FaultSlow)})
		s, err := ethsource.Open(b.Context(), devnet.Chain(), serve(b, n), ethsource.Options{Reads: 16})
		if err != nil {
			b.Fatal(err)
		}
		return s, n
	}
	sqd := func(b *testing.B, o indexsource.Options) (*indexsource.SQD, *fake) {
		f := slow(&portal{Book: book})
		o.URL = serve(b, f) + "/datasets/devnet"
		s, err := indexsource.NewSQD(devnet.Chain(), o)
		if err != nil {
			b.Fatal(err)
		}
		return s, f
	}
	run := func(b *testing.B, src tracer.Source, requests func() int, took func() time.Duration) {
		before, wallets, moves := requests(), 0, 0
		for b.Loop() {
			wallets, moves = hops(b, book, src)
		}
		n := float64(b.N)
		b.ReportMetric(float64(requests()-before)/n, "requests/op")
		b.ReportMetric(float64(wallets), "wallets")
		b.ReportMetric(float64(moves), "transfers")
		b.ReportMetric(took().Seconds()*1000/n, "ms/op")
	}
	b.Run("SQD", func(b *testing.B) {
		src, f := sqd(b, indexsource.Options{Rate: -1})
		run(b, src, func() int { return int(f.requests.Load()) }, b.Elapsed)
	})
	b.Run("node", func(b *testing.B) {
		src, n := node(b)
		run(b, src, n.Requests, b.Elapsed)
	})
	b.Run("SQD checked by the node", func(b *testing.B) {
		src, n := node(b)
		o := pinOf(b, src)
		o.Rate = -1
		fast, f := sqd(b, o)
		run(b, indexsource.Plan(src, fast), func() int { return n.Requests() + int(f.requests.Load()) }, b.Elapsed)
	})
	b.Run("Etherscan", func(b *testing.B) {
		clock := indexsource.NewClock()
		e := &explorer{Book: book, Rows: 1000, PerSecond: 3, Now: clock.Now}
		f := &fake{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			clock.Pass(r.Context(), delay)
			e.ServeHTTP(w, r)
		})}
		src, since := explorerOn(b, clock, f, indexsource.Options{}, false), clock.Now()
		run(b, src, func() int { return int(f.requests.Load()) }, func() time.Duration { return clock.Now().Sub(since) })
	})
}

// hops reads the seeds of the victims and some users, then whom they paid, four
// times over.
func hops(b *testing.B, book *book, src tracer.Source) (wallets, transfers int) {
	seen := make(map[common.Address]bool)
	next := make(map[common.Address]bool)
	for _, v := range book.World.Truth.Victims {
		for _, s := range v.Seeds {
			next[s] = true
		}
	}
	for _, x := range book.World.Transfers() { // and some others, whose payments branch more
		if len(next) < 150 && book.World.Truth.Owner[x.From].Role == devnet.RoleUser {
			next[x.From] = true
		}
	}
	for range 5 {
		var q tracer.Query
		for _, a := range slices.SortedFunc(maps.Keys(next), common.Address.Cmp)[:min(len(next), 250)] {
			seen[a] = true
			q.Spans = append(q.Spans, tracer.Span{Wallet: a, To: book.Last})
		}
		clear(next)
		ans, err := src.Transfers(b.Context(), q)
		if err != nil || len(ans.Unread) > 0 {
			b.Fatal(ans.Unread, err)
		}
		for i := range ans.Transfers {
			t := &ans.Transfers[i]
			if transfers++; !t.Counts() || t.Kind == tracer.KindFee || !seen[t.From] || seen[t.To] {
				continue
			}
			switch book.World.Truth.Owner[t.To].Role {
			case devnet.RoleUser, devnet.RoleSeed, devnet.RoleCollector, devnet.RoleLayer, devnet.RolePeel, devnet.RoleDeposit, devnet.RoleMerchant, devnet.RoleVictim:
				next[t.To] = true
			}
		}
	}
	return len(seen), transfers
}
