package ethsource_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/ethsource"

	"github.com/ethereum/go-ethereum/common"
)

var (
	seeds   = flag.Int("seeds", 200, "how many seeds TestFaults tries")
	oneSeed = flag.Int("seed", -1, "the one seed that TestFaults tries")
)

// faults are what the node does in TestFaults. Of what can go wrong with nodes:
//
//	R1  refusals for the rate                FaultRate, FaultRateAfter, FaultRateJSON; TestWaits, TestRate
//	R2  server errors, cut connections       FaultServer, FaultCut
//	R3  answers that stall or drip           FaultDrip, FaultSlow; TestTimeout
//	R4  half an answer, web pages, wrong     FaultTruncated, FaultHTML, FaultID, FaultBatch;
//	    ids, broken batches, bombs           TestBatches, TestBomb, TestCapped
//	R5  another chain, in the midst          FaultChainID; TestWrongChain, TestWitness
//	R6  null and nothing                     FaultNull, FaultEmpty; TestLies
//	R7  limits, said and silent              MaxRange, MaxLogs, MaxTraceRange, FaultShort; TestSilentCap, TestRefusals
//	R8  answers that differ time by time     FaultDropped, FaultForged: each request for itself
//	R9  forged, dropped and altered logs     FaultForged, FaultDropped, FaultForeign; TestMended, TestProveForged
//	R10 reorganizations                      FaultReorg; TestReorg, TestFork
//	R11 a head that goes back, no finality   FaultBackwards, FaultNoFinalized; TestBehind
//	R12 no old states, receipts or traces    FaultPruned, FaultNull, NoArchive, NoTraces, NoBlockReceipts
//	R13 logs twice, in disorder              FaultDuplicate, FaultDisorder
//	R14 logs that are malformed, or none     FaultMalformed; the odd logs of the world itself; FuzzScan
//	R15 tokens that say strange things       package token
//	R16 times that are equal, or fall        transfers are ordered by block and index: TestSortTransfers of package tracer
//	R17 all endpoints are down               the answers that end in an error; the pool's tests
//	R18 wrong and missing prices             package price
var faults = []devnet.Fault{
	devnet.FaultRate, devnet.FaultRateAfter, devnet.FaultRateJSON, devnet.FaultServer, devnet.FaultCut, devnet.FaultTruncated,
	devnet.FaultHTML, devnet.FaultBatch, devnet.FaultSlow, devnet.FaultShort, devnet.FaultDuplicate, devnet.FaultForeign, devnet.FaultNull,
	devnet.FaultChainID, devnet.FaultReorg, devnet.FaultBackwards, devnet.FaultNoFinalized, devnet.FaultPruned,
	devnet.FaultID, devnet.FaultDisorder, devnet.FaultMalformed,
}

// lies are about logs, and only balances contradict them: a node without old
// states can tell them unnoticed, as its notes say, and does not do so here.
// Where they are told, only money counts: of tokens that nobody knows no
// balance is asked.
var lies = []devnet.Fault{devnet.FaultEmpty, devnet.FaultDropped, devnet.FaultForged}

// TestFaults reads through nodes that fail and lie at random, seed by seed. An
// answer has what really happened, or says what it does not have, and why.
func TestFaults(t *testing.T) {
	from, to := 0, *seeds
	if *oneSeed >= 0 {
		from, to = *oneSeed, *oneSeed+1
	}
	var mu sync.Mutex
	outcomes := make(map[string]int)
	t.Run("seed", func(t *testing.T) {
		for seed := from; seed < to; seed++ {
			t.Run(strconv.Itoa(seed), func(t *testing.T) {
				t.Parallel()
				defer func() {
					if t.Failed() {
						t.Logf("to see it again: go test ./tracer/ethsource -run TestFaults -seed %d", seed)
					}
				}()
				outcome := faultRun(t, uint64(seed))
				mu.Lock()
				defer mu.Unlock()
				outcomes[outcome]++
			})
		}
	})
	whole, others := outcomes["whole"], outcomes["partial"]+outcomes["error"]
	t.Logf("%d answers were whole, %d partial, %d ended in an error", whole, outcomes["partial"], outcomes["error"])
	if to-from >= 100 && (whole < (to-from)/3 || others == 0) {
		t.Errorf("%d whole answers, %d partial and %d errors: the faults are too many or too few to see anything", whole, outcomes["partial"], outcomes["error"])
	}
}

func faultRun(t *testing.T, seed uint64) string {
	rng := rand.New(rand.NewPCG(seed, 2))
	config := devnet.Config{Days: 7, Transfers: 4000, Victims: 2, Syndicates: 1, Noise: 60}
	config.NativeLogs = rng.IntN(3) == 0
	w := made(config)
	o := devnet.NodeOptions{Delay: time.Millisecond}
	pick := func(n int, do func()) {
		if rng.IntN(n) == 0 {
			do()
		}
	}
	often := 3 + rng.IntN(20)
	pick(3, func() { o.MaxRange = 2000 + rng.Uint64N(10_000) })
	pick(3, func() { o.MaxLogs = 50 + rng.IntN(100) })
	pick(3, func() { o.MaxBatch = 1 + rng.IntN(10) })
	pick(3, func() { o.MaxTraceRange = 5000 })
	pick(3, func() { o.NoTraces = true })
	pick(4, func() { o.NoTimestamps = true })
	pick(4, func() { o.NoArchive = true })
	pick(4, func() { o.NoMulticall = true })
	pick(4, func() { o.NoBlockReceipts = true })
	mean := !o.NoArchive && rng.IntN(2) == 0
	does := faults
	if mean {
		does = slices.Concat(faults, lies)
	}
	var timeout time.Duration
	pick(25, func() { // each takes its time
		does, timeout = slices.Concat(does, []devnet.Fault{devnet.FaultDrip}), 250*time.Millisecond
	})
	o.Faults = devnet.Sometimes(seed, often, does...)
	srv := httptest.NewServer(devnet.NewNode(w, o))
	defer srv.Close()

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	clean := func(what, text string) {
		if strings.Contains(text, "secret") {
			t.Errorf("%s tells the address: %s", what, text)
		}
	}
	pin := w.Blocks[w.Head()-500]
	s, err := ethsource.Open(ctx, devnet.Chain(), srv.URL+"/v3/secretpath?key=secretquery", ethsource.Hasty(ethsource.Options{Pin: &pin, Reads: 1 + rng.IntN(8), Timeout: timeout}))
	if err != nil {
		clean("Open", err.Error())
		return "error"
	}
	truth := slices.DeleteFunc(w.Transfers(), func(x tracer.Transfer) bool { return x.Block > pin.Number })
	q := tracer.Query{}
	pick(4, func() { q.MaxRequests = 20 + rng.IntN(100) })
	seen := make(map[common.Address]bool)
	for range 12 {
		x := truth[rng.IntN(len(truth))]
		if w.Truth.Owner[x.From].Role != devnet.RoleToken && x.From != (common.Address{}) && !seen[x.From] {
			seen[x.From] = true
			from := x.Block - rng.Uint64N(x.Block+1)
			q.Spans = append(q.Spans, tracer.Span{Wallet: x.From, From: from, To: from + rng.Uint64N(pin.Number)})
		}
	}
	ans, err := s.Transfers(ctx, q)
	if ctx.Err() != nil {
		t.Error("the reading hangs")
	}
	was := tracer.Answer{Transfers: truth}
	if mean {
		chain := devnet.Chain()
		money := func(ts []tracer.Transfer) []tracer.Transfer {
			return slices.DeleteFunc(slices.Clone(ts), func(x tracer.Transfer) bool { return !chain.Known(x.Asset) || !x.Counts() })
		}
		was.Transfers, ans.Transfers = money(truth), money(ans.Transfers)
	}
	ans.Unread = append(ans.Unread, ans.Unchecked...) // it is said
	covered(t, q, ans, was)
	if q.MaxRequests > 0 && ans.Requests > q.MaxRequests {
		t.Errorf("%d requests, want at most %d", ans.Requests, q.MaxRequests)
	}
	outcome := "whole"
	if len(ans.Unread) > 0 {
		outcome = "partial"
	}
	for _, u := range ans.Unread {
		clean("Unread", u.Detail)
		switch {
		case u.Reason == tracer.ReasonSource:
		case u.Reason == tracer.ReasonBudget && q.MaxRequests > 0:
		case u.Reason == tracer.ReasonNoTraces && u.Part == tracer.PartInternal:
		default:
			t.Errorf("unread for a wrong reason: %v", u)
		}
	}
	if err != nil {
		clean("Transfers", err.Error())
		outcome = "error"
		if len(ans.Unread) == 0 {
			t.Errorf("Transfers says %v, and that it read everything", err)
		}
	}
	var txs []common.Hash
	for range 5 {
		txs = append(txs, truth[rng.IntN(len(truth))].Tx)
	}
	ans, err = s.Transactions(ctx, txs, 0)
	if err != nil {
		clean("Transactions", err.Error())
		if errors.Is(err, tracer.ErrNotFound) {
			t.Errorf("Transactions says %v", err)
		}
		return outcome
	}
	blind := len(ans.Unread) > 0
	want := make(map[tracer.TransferID]tracer.Transfer)
	for _, x := range truth {
		if slices.Contains(txs, x.Tx) {
			want[x.ID()] = x
		}
	}
	for _, x := range ans.Transfers {
		if want[x.ID()] != x {
			t.Errorf("never happened: %+v", x)
		}
		delete(want, x.ID())
	}
	for _, x := range want {
		if !blind || x.Kind != tracer.KindInternal {
			t.Errorf("Transactions misses %s", fmt.Sprint(x))
		}
	}
	return outcome
}
