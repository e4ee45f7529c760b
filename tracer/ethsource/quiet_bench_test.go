package ethsource_test

import (
	"strconv"
	"testing"
	"time"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/ethsource"
)

// BenchmarkQuiet proves that nothing happened to many wallets in a day of
// blocks, through a node that takes 50 ms to answer, and beside it reads them as
// a walk does without the check: half a thousand at once.
func BenchmarkQuiet(b *testing.B) {
	const delay, day = 50 * time.Millisecond, 7200
	for _, n := range []int{1_000, 10_000} {
		w, levels := devnet.Spread(1, 2*n, 5) // in that day half of the wallets do something
		to := w.Head() - 64
		after := to - day
		did := moved(w, after, to)
		for _, tt := range []struct {
			name string
			node devnet.NodeOptions
		}{
			{"traces", devnet.NodeOptions{}},
			{"windows of 2,000 and no traces", devnet.NodeOptions{NoTraces: true, MaxRange: 1999}},
		} {
			o := tt.node
			o.Delay, o.Faults = delay, devnet.From(0, devnet.FaultSlow)
			node := devnet.NewNode(w, o)
			url := serve(b, node)
			open := func(block uint64) *ethsource.Source {
				s, err := ethsource.Open(b.Context(), devnet.Chain(), url, ethsource.Options{Pin: &w.Blocks[block]})
				if err != nil {
					b.Fatal(err)
				}
				return s
			}
			var states []tracer.State
			for _, level := range levels {
				some, _, err := open(after).Watch(b.Context(), level, 0)
				if err != nil {
					b.Fatal(err)
				}
				for _, st := range some {
					if !did[st.Wallet] && len(states) < n {
						states = append(states, st)
					}
				}
			}
			if len(states) < n {
				b.Fatalf("only %d wallets do nothing", len(states))
			}
			measure := func(name string, do func(*ethsource.Source)) {
				b.Run(strconv.Itoa(n)+"/"+tt.name+"/"+name, func(b *testing.B) {
					var calls, requests int
					for b.Loop() {
						b.StopTimer()
						s := open(to)
						c, r := node.Calls(), node.Requests()
						b.StartTimer()
						do(s)
						calls, requests = node.Calls()-c, node.Requests()-r
					}
					b.ReportMetric(float64(len(states)), "wallets")
					b.ReportMetric(float64(calls), "calls")
					b.ReportMetric(float64(requests), "requests")
					b.ReportMetric(b.Elapsed().Seconds()*1000/float64(b.N), "ms/op")
				})
			}
			measure("quiet", func(s *ethsource.Source) {
				quiet, _, err := s.Quiet(b.Context(), after, states, 0)
				if err != nil {
					b.Fatal(err)
				}
				for i, ok := range quiet {
					if !ok {
						b.Fatalf("%s is not called quiet", states[i].Wallet)
					}
				}
			})
			measure("read", func(s *ethsource.Source) {
				for from := 0; from < len(states); from += 500 {
					var q tracer.Query
					for _, st := range states[from:min(from+500, len(states))] {
						q.Spans = append(q.Spans, tracer.Span{Wallet: st.Wallet, From: after + 1, To: to})
					}
					if _, err := s.Transfers(b.Context(), q); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
