// Package sourcetest checks sources of transfers against the built-in world:
// whoever implements [tracer.Source] runs [Test] over it.
//
// It promises to believe no answer: everything that a source says is compared
// with what the world's generator wrote down, and whatever the source leaves
// out must be among what it says it did not read.
package sourcetest

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"

	"github.com/ethereum/go-ethereum/common"
)

// Options say what a source over the world cannot know. The zero value is a
// source that knows everything.
type Options struct {
	NoBlockHashes bool          // of transfers
	Blind         []tracer.Part // always among what it reports as unread
	Maybe         []tracer.Part // among what it may report as unread
	// NoTransactions: it finds nothing by hash, and says so with an error that
	// wraps [errors.ErrUnsupported].
	NoTransactions bool
}

// Test asks a source over the world for wallets, spans, times and transactions,
// and reports as an error of t whatever breaks the contract of [tracer.Source].
func Test(t *testing.T, w *devnet.World, src tracer.Source, o Options) {
	t.Helper()
	s := &suite{w: w, src: src, o: o, rng: rand.New(rand.NewPCG(1, 2))}
	pinned, err := src.Pin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.pinned = pinned
	s.truth = slices.DeleteFunc(w.Transfers(), func(x tracer.Transfer) bool { return x.Block > pinned.Number })
	s.known = make(map[tracer.TransferID]int)
	for i := range s.truth {
		x := &s.truth[i]
		if o.NoBlockHashes {
			x.BlockHash = common.Hash{}
		}
		s.known[x.ID()] = i
		for _, a := range [...]common.Address{x.From, x.To} {
			// Nobody asks for tokens' own contracts, or for the address of nobody.
			if w.Truth.Owner[a].Role != devnet.RoleToken && a != (common.Address{}) {
				s.wallets = append(s.wallets, a)
			}
		}
	}
	slices.SortFunc(s.wallets, common.Address.Cmp)
	s.wallets = slices.Compact(s.wallets)
	t.Run("Pin", s.pin)
	t.Run("BlockAt", s.blockAt)
	t.Run("Transfers", s.transfers)
	t.Run("Crowded", s.crowded)
	t.Run("Edges", s.edges)
	t.Run("Concurrent", s.concurrent)
	t.Run("Transactions", s.transactions)
	t.Run("Canceled", s.canceled)
}

type suite struct {
	w       *devnet.World
	src     tracer.Source
	o       Options
	rng     *rand.Rand
	pinned  tracer.Block
	truth   []tracer.Transfer // up to the pinned block
	known   map[tracer.TransferID]int
	wallets []common.Address
}

// query asks for n wallets, some of them in several spans.
func (s *suite) query(n int) tracer.Query {
	var q tracer.Query
	for range n {
		p := tracer.Span{Wallet: s.wallets[s.rng.IntN(len(s.wallets))], From: s.rng.Uint64N(s.pinned.Number)}
		p.To = p.From + s.rng.Uint64N(s.pinned.Number)/4
		if s.rng.IntN(4) == 0 {
			p.From, p.To = 0, 1<<62
		}
		q.Spans = append(q.Spans, p)
		if s.rng.IntN(5) == 0 {
			p.From, p.To = p.From/2, p.From/2+s.rng.Uint64N(5000)
			q.Spans = append(q.Spans, p)
		}
	}
	s.rng.Shuffle(len(q.Spans), func(i, j int) { q.Spans[i], q.Spans[j] = q.Spans[j], q.Spans[i] })
	return q
}

// ask asks, and checks the answer against the truth.
func (s *suite) ask(t *testing.T, q tracer.Query) tracer.Answer {
	t.Helper()
	asked := slices.Clone(q.Spans)
	ans, err := s.src.Transfers(t.Context(), q)
	if err != nil {
		t.Fatalf("Transfers: %v", err)
	}
	if !slices.Equal(asked, q.Spans) {
		t.Error("Transfers changed the query")
	}
	s.check(t, q, ans)
	return ans
}

// check holds an answer to the contract: everything in it happened, is there
// once and in order, and what is missing was reported.
func (s *suite) check(t *testing.T, q tracer.Query, ans tracer.Answer) {
	t.Helper()
	have := s.happened(t, ans.Transfers)
	of := make(map[common.Address][]tracer.Span)
	for _, p := range q.Spans {
		of[p.Wallet] = append(of[p.Wallet], p)
	}
	unread := make(map[common.Address][]tracer.Unread)
	for _, u := range ans.Unread {
		if !slices.ContainsFunc(of[u.Wallet], func(p tracer.Span) bool { return p.From <= u.From && min(u.To, s.pinned.Number) <= p.To }) {
			t.Errorf("unread and not asked for: %v", u)
		}
		unread[u.Wallet] = append(unread[u.Wallet], u)
	}
	if !slices.IsSortedFunc(ans.Unread, func(a, b tracer.Unread) int {
		return cmp.Or(a.Wallet.Cmp(b.Wallet), cmp.Compare(a.From, b.From), cmp.Compare(a.Part, b.Part))
	}) {
		t.Errorf("unread is not sorted: %v", ans.Unread)
	}
	for i := range s.truth {
		x := &s.truth[i]
		for _, a := range [...]common.Address{x.From, x.To} {
			asked := slices.ContainsFunc(of[a], func(p tracer.Span) bool { return p.From <= x.Block && x.Block <= p.To })
			if !asked || have[x.ID()] || x.Kind == tracer.KindFee && a == x.To {
				continue
			}
			if !slices.ContainsFunc(unread[a], func(u tracer.Unread) bool {
				return u.From <= x.Block && x.Block <= u.To && (u.Part == tracer.PartAll || u.Part == part(x))
			}) {
				t.Errorf("missed, and not reported as unread: %s %s of %s in block %d", x.Kind, x.Position, x.Tx, x.Block)
			}
		}
	}
}

// happened checks transfers by themselves.
func (s *suite) happened(t *testing.T, ts []tracer.Transfer) map[tracer.TransferID]bool {
	t.Helper()
	have := make(map[tracer.TransferID]bool)
	for i := range ts {
		x := &ts[i]
		at, ok := s.known[x.ID()]
		switch {
		case !ok:
			t.Errorf("never happened: %+v", *x)
		case *x != s.truth[at]:
			t.Errorf("got %+v, want %+v", *x, s.truth[at])
		case have[x.ID()]:
			t.Errorf("twice in one answer: %+v", *x)
		case i > 0 && ts[i-1].Compare(x) >= 0:
			t.Errorf("out of order: %+v after %+v", *x, ts[i-1])
		}
		have[x.ID()] = true
	}
	return have
}

// part is where a transfer belongs.
func part(x *tracer.Transfer) tracer.Part {
	switch x.Kind {
	case tracer.KindToken, tracer.KindNFT:
		return tracer.PartTokens
	case tracer.KindInternal:
		return tracer.PartInternal
	}
	return tracer.PartNative
}

func (s *suite) pin(t *testing.T) {
	again, err := s.src.Pin(t.Context())
	if err != nil || again != s.pinned {
		t.Errorf("Pin = %v, %v, and before %v", again, err, s.pinned)
	}
	if b := s.w.Blocks[s.pinned.Number]; s.pinned.Time != b.Time || s.pinned.Hash != b.Hash && s.pinned.Hash != (common.Hash{}) {
		t.Errorf("Pin = %v, want %v", s.pinned, b)
	}
}

// blockAt checks that a block divides what moved before a time from what moved
// at it and after. A source that knows few blocks may name any that does.
func (s *suite) blockAt(t *testing.T) {
	times := []uint64{0, 1, s.w.Blocks[1].Time, s.pinned.Time, s.pinned.Time + 1, 1 << 62}
	for range 40 {
		times = append(times, s.truth[s.rng.IntN(len(s.truth))].Time-1+s.rng.Uint64N(3))
	}
	for _, at := range times {
		n, err := s.src.BlockAt(t.Context(), at)
		if err != nil {
			t.Fatalf("BlockAt(%d): %v", at, err)
		}
		if n > s.pinned.Number+1 {
			t.Errorf("BlockAt(%d) = %d, more than one after the pinned block", at, n)
		}
		for i := range s.truth {
			if x := &s.truth[i]; (x.Block >= n) != (x.Time >= at) {
				t.Errorf("BlockAt(%d) = %d, but in block %d something moved at %d", at, n, x.Block, x.Time)
				break
			}
		}
	}
}

func (s *suite) transfers(t *testing.T) {
	for range 4 {
		ans := s.ask(t, s.query(30))
		least := 50
		if slices.Contains(s.o.Blind, tracer.PartNative) {
			least = 20 // tokens alone
		}
		if len(ans.Transfers) < least {
			t.Errorf("only %d transfers to compare", len(ans.Transfers))
		}
		for _, p := range s.o.Blind {
			if !slices.ContainsFunc(ans.Unread, func(u tracer.Unread) bool { return u.Part == p }) {
				t.Errorf("%s are not reported as unread", p)
			}
		}
		for _, u := range ans.Unread {
			if !slices.Contains(s.o.Blind, u.Part) && !slices.Contains(s.o.Maybe, u.Part) {
				t.Errorf("unread: %v", u)
			}
		}
	}
}

// crowded asks for wallets that have more transfers than it wants to see.
func (s *suite) crowded(t *testing.T) {
	const most = 20
	count := make(map[common.Address]int)
	for i := range s.truth {
		x := &s.truth[i]
		count[x.From]++
		if x.To != x.From && x.Kind != tracer.KindFee {
			count[x.To]++
		}
	}
	q := tracer.Query{MaxTransfers: most}
	for range 60 {
		q.Spans = append(q.Spans, tracer.Span{Wallet: s.wallets[s.rng.IntN(len(s.wallets))], To: s.pinned.Number})
	}
	slices.SortFunc(q.Spans, func(a, b tracer.Span) int { return a.Wallet.Cmp(b.Wallet) })
	q.Spans = slices.Compact(q.Spans)
	ans := s.ask(t, q)
	stopped := make(map[common.Address]bool)
	for _, u := range ans.Unread {
		if u.Reason == tracer.ReasonCrowded {
			stopped[u.Wallet] = true
		}
	}
	for _, p := range q.Spans {
		if stopped[p.Wallet] && count[p.Wallet] <= most {
			t.Errorf("%s is crowded with %d transfers, want more than %d", p.Wallet, count[p.Wallet], most)
		}
	}
	busy := func(p tracer.Span) bool { return count[p.Wallet] > most }
	if !slices.ContainsFunc(q.Spans, busy) || len(q.Spans) == len(stopped) {
		t.Errorf("of %d wallets asked for, %d were crowded: nothing to see", len(q.Spans), len(stopped))
	}
}

// edges are queries for nothing.
func (s *suite) edges(t *testing.T) {
	busy := s.wallets[0]
	for name, q := range map[string]tracer.Query{
		"no spans":          {},
		"an empty span":     {Spans: []tracer.Span{{Wallet: busy, From: 9, To: 8}}},
		"after the end":     {Spans: []tracer.Span{{Wallet: busy, From: s.pinned.Number + 1, To: 1 << 62}}},
		"an unknown wallet": {Spans: []tracer.Span{{Wallet: common.Address{1, 2, 3}, To: 1 << 62}}},
	} {
		if ans := s.ask(t, q); len(ans.Transfers) > 0 {
			t.Errorf("%s: got %d transfers", name, len(ans.Transfers))
		}
	}
}

// concurrent asks the same questions alone and all at once.
func (s *suite) concurrent(t *testing.T) {
	var qs []tracer.Query
	var want []tracer.Answer
	for range 8 {
		q := s.query(10)
		qs = append(qs, q)
		want = append(want, s.ask(t, q))
	}
	got := make([]tracer.Answer, len(qs))
	var wg sync.WaitGroup
	for i, q := range qs {
		wg.Go(func() {
			ans, err := s.src.Transfers(t.Context(), q)
			if err != nil {
				t.Errorf("Transfers: %v", err)
			}
			got[i] = ans
		})
	}
	wg.Wait()
	for i := range got {
		if !slices.Equal(got[i].Transfers, want[i].Transfers) || !reflect.DeepEqual(got[i].Unread, want[i].Unread) {
			t.Errorf("question %d has another answer among others than alone", i)
		}
	}
}

func (s *suite) transactions(t *testing.T) {
	moved := make(map[common.Hash]int)
	var all []common.Hash
	for i := range s.truth {
		if h := s.truth[i].Tx; moved[h] == 0 {
			all = append(all, h)
		}
		moved[s.truth[i].Tx]++
	}
	var txs []common.Hash
	for range 100 {
		txs = append(txs, all[s.rng.IntN(len(all))])
	}
	i := slices.IndexFunc(all, func(h common.Hash) bool { return moved[h] == 1 }) // a fee alone, as a failed one has
	if i < 0 {
		t.Fatal("no transaction of the world failed")
	}
	txs = append(txs, all[i])
	ans, err := s.src.Transactions(t.Context(), append(txs, txs[0]), 0)
	if s.o.NoTransactions {
		if !errors.Is(err, errors.ErrUnsupported) || len(ans.Transfers) > 0 {
			t.Errorf("Transactions = %d transfers, %v, want none and %v", len(ans.Transfers), err, errors.ErrUnsupported)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	have := s.happened(t, ans.Transfers)
	for i := range s.truth {
		x := &s.truth[i]
		if in := slices.Contains(txs, x.Tx); in != have[x.ID()] && !slices.Contains(s.o.Blind, part(x)) && !slices.Contains(s.o.Maybe, part(x)) {
			t.Errorf("%s %s of %s in the answer: %v, want %v", x.Kind, x.Position, x.Tx, have[x.ID()], in)
		}
	}
	if ans, err := s.src.Transactions(t.Context(), nil, 0); err != nil || len(ans.Transfers) > 0 {
		t.Errorf("Transactions of nothing = %v, %v", ans, err)
	}
	if _, err := s.src.Transactions(t.Context(), []common.Hash{txs[0], {1, 2, 3}}, 0); !errors.Is(err, tracer.ErrNotFound) {
		t.Errorf("Transactions of one that there is not says %v", err)
	}
	for most := 1; most < ans.Requests; most += max(1, ans.Requests/20) {
		some, err := s.src.Transactions(t.Context(), txs, most)
		if some.Requests > most || err != nil && !errors.Is(err, tracer.ErrBudget) || err == nil && len(some.Transfers) != len(ans.Transfers) {
			t.Errorf("Transactions for at most %d requests = %d of %d transfers, %d requests, %v", most, len(some.Transfers), len(ans.Transfers), some.Requests, err)
		}
	}
	cs, ok := tracer.As[tracer.CodeSource](s.src)
	if !ok {
		return
	}
	var addrs []common.Address
	for _, p := range s.query(10).Spans {
		addrs = append(addrs, p.Wallet)
	}
	code, cost, err := cs.Contracts(t.Context(), addrs, 0)
	if err != nil || len(code) != len(addrs) {
		t.Fatalf("Contracts = %v, %v", code, err)
	}
	for most := 1; most <= cost; most++ {
		some, n, err := cs.Contracts(t.Context(), addrs, most)
		if n > most || err != nil && !errors.Is(err, tracer.ErrBudget) || err == nil && !slices.Equal(some, code) {
			t.Errorf("Contracts for at most %d requests = %v, %d requests, %v, want %v", most, some, n, err, code)
		}
	}
}

// canceled asks with a context that has ended: nothing may be passed off as read.
func (s *suite) canceled(t *testing.T) {
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	q := s.query(10)
	ans, err := s.src.Transfers(ctx, q)
	if !errors.Is(err, why) {
		t.Errorf("Transfers says %v, want %v", err, why)
	}
	s.check(t, q, ans)
	if ans, err := s.src.Transactions(ctx, []common.Hash{s.truth[0].Tx}, 0); err == nil && len(ans.Transfers) == 0 {
		t.Error("Transactions has neither an answer nor an error")
	}
}
