package indexsource_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/ethsource"
	"scamtrace/tracer/indexsource"
	"scamtrace/tracer/sourcetest"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
)

func openNode(t testing.TB, w *devnet.World, o devnet.NodeOptions) *ethsource.Source {
	t.Helper()
	s, err := ethsource.Open(t.Context(), devnet.Chain(), serve(t, devnet.NewNode(w, o)), ethsource.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func pinOf(t testing.TB, s tracer.Source) indexsource.Options {
	t.Helper()
	b, err := s.Pin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return indexsource.Options{Pin: &b}
}

var _ tracer.StateSource = (*ethsource.Source)(nil)

func TestPlanContract(t *testing.T) {
	told := small
	told.NativeLogs = true
	for _, tt := range []struct {
		name  string
		world devnet.Config
		node  devnet.NodeOptions
		plan  func(t *testing.T, b *book, o indexsource.Options) []tracer.Source
		opts  sourcetest.Options
	}{
		{name: "the node alone", world: small, plan: func(*testing.T, *book, indexsource.Options) []tracer.Source { return nil }},
		{name: "SQD", world: small, plan: func(t *testing.T, b *book, o indexsource.Options) []tracer.Source {
			return []tracer.Source{newSQD(t, &portal{Book: b}, o)}
		}},
		{name: "SQD that is behind", world: small, plan: func(t *testing.T, b *book, o indexsource.Options) []tracer.Source {
			return []tracer.Source{newSQD(t, &portal{Book: b, Last: b.Last / 2}, o)}
		}},
		{name: "SQD and a node without traces", world: small, node: devnet.NodeOptions{NoTraces: true}, plan: func(t *testing.T, b *book, o indexsource.Options) []tracer.Source {
			return []tracer.Source{newSQD(t, &portal{Book: b}, o)}
		}, opts: sourcetest.Options{Maybe: []tracer.Part{tracer.PartInternal, tracer.PartNative}}}, // of contracts, as the node alone
		{name: "Blockscout", world: small, plan: func(t *testing.T, b *book, o indexsource.Options) []tracer.Source {
			f := &explorer{Book: b, Rows: 1000, Blockscout: true}
			return []tracer.Source{newExplorer(t, f, o, true)}
		}},
		{name: "SQD, Blockscout, Alchemy", world: told, plan: func(t *testing.T, b *book, o indexsource.Options) []tracer.Source {
			f := &explorer{Book: b, Rows: 1000, Blockscout: true}
			a := &alchemy{Book: b, Rows: 1000}
			return []tracer.Source{newSQD(t, &portal{Book: b, Last: b.Last / 3}, o), newExplorer(t, f, o, true), newAlchemy(t, a, a, o)}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := openBook(t, made(tt.world))
			node := openNode(t, b.World, tt.node)
			src := indexsource.Plan(node, tt.plan(t, b, pinOf(t, node))...)
			if _, ok := tracer.As[tracer.CodeSource](src); !ok {
				t.Error("it does not tell contracts, and its node does")
			}
			sourcetest.Test(t, b.World, src, tt.opts)
		})
	}
}

// cheat leaves out and changes what a source says.
type cheat struct {
	tracer.Source
	rng  *rand.Rand
	what func(rng *rand.Rand, t tracer.Transfer) []tracer.Transfer
}

func (c *cheat) Transfers(ctx context.Context, q tracer.Query) (tracer.Answer, error) {
	ans, err := c.Source.Transfers(ctx, q)
	var told []tracer.Transfer
	for _, t := range ans.Transfers {
		told = append(told, c.what(c.rng, t)...)
	}
	ans.Transfers = tracer.SortTransfers(told)
	return ans, err
}

// TestPlanCheats puts an indexer that leaves out, invents and changes transfers
// of money before the node: the answers are those of the node alone.
func TestPlanCheats(t *testing.T) {
	b := openBook(t, made(small))
	node := openNode(t, b.World, devnet.NodeOptions{})
	truth := slices.DeleteFunc(b.World.Transfers(), func(x tracer.Transfer) bool { return x.Block > b.Last })
	changed, chain := 0, devnet.Chain()
	for seed := range uint64(25) {
		rng := rand.New(rand.NewPCG(seed, 3))
		c := &cheat{Source: newSQD(t, &portal{Book: b}, pinOf(t, node)), rng: rng, what: func(rng *rand.Rand, x tracer.Transfer) []tracer.Transfer {
			if !chain.Known(x.Asset) || !x.Counts() || rng.IntN(10) > 0 {
				return []tracer.Transfer{x}
			}
			changed++
			y := x
			switch rng.IntN(3) {
			case 0:
				x.Amount.AddUint64(&x.Amount, 1+rng.Uint64N(1e15))
			case 1:
				y.Tx[5] ^= 1 // one that never was
				return []tracer.Transfer{x, y}
			default:
				return nil
			}
			return []tracer.Transfer{x}
		}}
		var q tracer.Query
		for range 15 {
			x := truth[rng.IntN(len(truth))]
			if r := b.World.Truth.Owner[x.From].Role; r == devnet.RoleToken || r == "" || x.From == (common.Address{}) || r == devnet.RoleContract || r == devnet.RoleRouter {
				continue
			}
			q.Spans = append(q.Spans, tracer.Span{Wallet: x.From, From: x.Block / 2, To: x.Block + rng.Uint64N(20_000)})
		}
		got, err := indexsource.Plan(node, c).Transfers(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		want, err := node.Transfers(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, seed, q, got, want)
		if t.Failed() {
			t.FailNow()
		}
	}
	if changed < 200 {
		t.Errorf("only %d transfers were changed: nothing to see", changed)
	}
}

// equal compares what answers say of the wallets of a query.
func equal(t *testing.T, seed uint64, q tracer.Query, got, want tracer.Answer) {
	t.Helper()
	in := func(a common.Address, block uint64) bool {
		return slices.ContainsFunc(q.Spans, func(p tracer.Span) bool { return p.Wallet == a && p.From <= block && block <= p.To })
	}
	of := func(ans tracer.Answer) []tracer.Transfer {
		return slices.DeleteFunc(slices.Clone(ans.Transfers), func(x tracer.Transfer) bool {
			return !in(x.From, x.Block) && (x.Kind == tracer.KindFee || !in(x.To, x.Block))
		})
	}
	g, w := of(got), of(want)
	if slices.Equal(g, w) && len(got.Unread) == 0 && len(want.Unread) == 0 {
		return
	}
	t.Errorf("seed %d: %d transfers, want the node's %d; unread %v, want %v", seed, len(g), len(w), got.Unread, want.Unread)
	for _, x := range g {
		if !slices.Contains(w, x) {
			t.Errorf("never happened: %s %+v", x.Kind, x)
		}
	}
	for _, x := range w {
		if !slices.Contains(g, x) {
			t.Errorf("missed: %s %+v", x.Kind, x)
		}
	}
}

// TestPlanOtherChain leaves an indexer of another chain out.
func TestPlanOtherChain(t *testing.T) {
	b, other := openBook(t, made(small)), small
	other.Seed = 7
	o := openBook(t, made(other))
	node := openNode(t, b.World, devnet.NodeOptions{})
	wrong := newSQD(t, &portal{Book: o}, pinOf(t, node))
	if _, err := wrong.Pin(t.Context()); !errors.Is(err, tracer.ErrReorg) {
		t.Errorf("Pin of another chain says %v", err)
	}
	sourcetest.Test(t, b.World, indexsource.Plan(node, wrong, newSQD(t, &portal{Book: o}, indexsource.Options{})), sourcetest.Options{})
}

// An inventor leaves one wallet to the node, and invents a transfer from it in
// what another one received.
type inventor struct {
	tracer.Source
	left common.Address
	x    tracer.Transfer
}

func (c *inventor) Transfers(ctx context.Context, q tracer.Query) (tracer.Answer, error) {
	ans, err := c.Source.Transfers(ctx, q)
	for _, p := range q.Spans {
		if p.Wallet == c.left {
			ans.Unread = append(ans.Unread, tracer.Unread{Span: p, Reason: tracer.ReasonSource, Detail: "no"})
		}
		if p.Wallet == c.x.To {
			ans.Transfers = append(ans.Transfers, c.x)
		}
	}
	ans.Transfers = tracer.SortTransfers(ans.Transfers)
	return ans, err
}

// TestPlanInvents has an indexer invent a transfer of an unlisted token: from a
// wallet that the node has read it is dropped, from another it is not the node's.
func TestPlanInvents(t *testing.T) {
	b := openBook(t, made(small))
	node := openNode(t, b.World, devnet.NodeOptions{})
	victims, truth := b.World.Truth.Victims, b.World.Transfers()
	a, to := victims[0].Seeds[0], victims[1].Seeds[0]
	x := truth[len(truth)/2]
	x.Kind, x.From, x.To = tracer.KindToken, a, to
	x.Asset = tracer.TokenOf(devnet.ChainID, common.HexToAddress("0x1234567890123456789012345678901234567890"))
	x.Position, x.Amount = "77", *uint256.NewInt(1e18)
	x.Tx[3] ^= 9
	for _, first := range []bool{true, false} { // whether the node has read the sender
		p := indexsource.Plan(node, &inventor{newSQD(t, &portal{Book: b}, pinOf(t, node)), a, x})
		ask := func(w common.Address) []tracer.Transfer {
			ans, err := p.Transfers(t.Context(), tracer.Query{Spans: []tracer.Span{{Wallet: w, To: b.Last}}})
			if err != nil {
				t.Fatal(err)
			}
			return ans.Transfers
		}
		if first {
			for _, y := range ask(a) {
				if (y.From == a || y.To == a) && !p.FromNode(&y) {
					t.Errorf("the node showed it, and FromNode says it did not: %+v", y)
				}
			}
		}
		if got := slices.Contains(ask(to), x); got == first {
			t.Errorf("with the sender read by the node (%v), the invention is in the answer: %v", first, got)
		}
		ask(a)
		if p.FromNode(&x) {
			t.Errorf("with the sender read by the node (%v), what was invented is from the node", first)
		}
	}
}

// A late one shows its block at the second time it is asked, or never.
type late struct {
	tracer.Source
	never bool
	asked int
}

func (l *late) Pin(ctx context.Context) (tracer.Block, error) {
	if l.asked++; l.asked == 1 || l.never {
		return tracer.Block{}, errors.New("not now")
	}
	return l.Source.Pin(ctx)
}

// TestPlanLate: an indexer that fails once is asked again, and one that always
// fails not for ever.
func TestPlanLate(t *testing.T) {
	b := openBook(t, made(small))
	node := openNode(t, b.World, devnet.NodeOptions{})
	for _, never := range []bool{false, true} {
		l := &late{Source: newSQD(t, &portal{Book: b}, pinOf(t, node)), never: never}
		p := indexsource.Plan(node, l)
		for range 5 {
			if ans, err := p.Transfers(t.Context(), tracer.Query{Spans: []tracer.Span{{Wallet: b.World.Truth.Victims[0].Seeds[0], To: b.Last}}}); err != nil || len(ans.Unread) > 0 {
				t.Fatal(ans.Unread, err)
			}
		}
		s := p.Shares()[0]
		if never && (l.asked != 3 || s.Trouble != "not now" || len(p.Names()) > 0) || !never && (s.Transfers == 0 || s.Trouble != "" || len(p.Names()) != 1) {
			t.Errorf("never %v: asked %d times for its block, %+v", never, l.asked, s)
		}
	}
}

// TestPlanBudget spends a growing budget, and never more.
func TestPlanBudget(t *testing.T) {
	b := openBook(t, made(small))
	node := openNode(t, b.World, devnet.NodeOptions{})
	f := &explorer{Book: b, Rows: 1000, Blockscout: true}
	src := indexsource.Plan(node, newExplorer(t, f, pinOf(t, node), true))
	var q tracer.Query
	for _, v := range b.World.Truth.Victims {
		q.Spans = append(q.Spans, tracer.Span{Wallet: v.Wallet, To: b.Last}, tracer.Span{Wallet: v.Seeds[0], To: b.Last})
	}
	whole, err := src.Transfers(t.Context(), q)
	if err != nil || len(whole.Unread) > 0 {
		t.Fatal(whole.Unread, err)
	}
	done := false
	for most := 1; most < 2*whole.Requests; most++ {
		q.MaxRequests = most
		ans, err := src.Transfers(t.Context(), q)
		if err != nil || ans.Requests > most {
			t.Fatalf("%d requests of %d, %v", ans.Requests, most, err)
		}
		if len(ans.Unread) == 0 {
			done = true
			if !slices.Equal(ans.Transfers, whole.Transfers) {
				t.Errorf("with %d requests other transfers than without a bound", most)
			}
		}
		for _, u := range ans.Unread {
			if u.Reason != tracer.ReasonBudget {
				t.Errorf("with %d requests: %v", most, u)
			}
		}
	}
	if !done {
		t.Error("no budget was enough")
	}
}
