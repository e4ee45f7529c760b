package balance

import (
	"context"
	"errors"
	"math/big"
	"math/rand/v2"
	"net/http/httptest"
	"slices"
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/rpc"
	"github.com/holiman/uint256"
)

// A client is a node of the built-in chain.
type client struct {
	t     *testing.T
	c     *rpc.Client
	calls int
}

func dial(t *testing.T, w *devnet.World, o devnet.NodeOptions) *client {
	t.Helper()
	srv := httptest.NewServer(devnet.NewNode(w, o))
	t.Cleanup(srv.Close)
	c, err := rpc.Dial(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return &client{t: t, c: c}
}

func (c *client) Calls(ctx context.Context, calls []tracer.Call, most int) ([]tracer.Reply, int, error) {
	if most < len(calls) {
		return nil, 0, tracer.ErrBudget
	}
	out := make([]tracer.Reply, len(calls))
	for i, q := range calls {
		var data hexutil.Bytes
		err := c.c.CallContext(ctx, &data, "eth_call", map[string]any{"to": q.To, "data": hexutil.Bytes(q.Data)}, hexutil.EncodeUint64(q.Block))
		if err != nil {
			out[i].Refusal = tracer.RefusedGone
		}
		out[i].Data = data
	}
	c.calls += len(calls)
	return out, len(calls), ctx.Err()
}

func (c *client) States(ctx context.Context, wallets []common.Address, blocks []uint64, most int) ([]uint64, []uint256.Int, int, error) {
	balances := make([]uint256.Int, len(wallets))
	for i := range wallets {
		var b hexutil.U256
		if err := c.c.CallContext(ctx, &b, "eth_getBalance", wallets[i], hexutil.EncodeUint64(blocks[i])); err != nil {
			return nil, nil, i, err
		}
		balances[i] = uint256.Int(b)
	}
	c.calls += 2 * len(wallets)
	return make([]uint64, len(wallets)), balances, 2 * len(wallets), nil
}

// TestCheck takes transfers away, changes and invents some, and wants each of
// these found, in its block, and nothing else.
func TestCheck(t *testing.T) {
	w := devnet.Generate(devnet.Config{Days: 7, Transfers: 4000, Victims: 2, Syndicates: 1, Noise: 60})
	chain := devnet.Chain()
	truth := w.Transfers()
	var claims []Claim
	seen := make(map[common.Address]bool)
	for i := range truth {
		if x := &truth[i]; !seen[x.From] && i%3 == 0 {
			seen[x.From] = true
			claims = append(claims, Claim{tracer.Span{Wallet: x.From, To: w.Head()}, true, true})
		}
	}
	for _, tt := range []struct {
		name string
		node devnet.NodeOptions
	}{{"Multicall3", devnet.NodeOptions{}}, {"single calls", devnet.NodeOptions{NoMulticall: true}}} {
		t.Run(tt.name, func(t *testing.T) {
			node := dial(t, w, tt.node)
			c := New(chain)
			cost := c.Cost(claims)
			wrong, unchecked, spent, err := c.Check(t.Context(), node, claims, 1e6, truth)
			if err != nil || len(wrong) > 0 || len(unchecked) > 0 || spent != node.calls {
				t.Fatalf("the truth is wrong: %v, unchecked %v; %d calls, %d said; %v", wrong, unchecked, node.calls, spent, err)
			}
			if !tt.node.NoMulticall && (spent != cost || spent > 8) {
				t.Errorf("%d calls, want %d, which is a few", spent, cost)
			}
			t.Logf("%d claims, %d calls", len(claims), spent)

			rng := rand.New(rand.NewPCG(1, 1))
			told := slices.Clone(truth)
			type place struct {
				tracer.Span
				asset tracer.Asset
			}
			want := make(map[place]bool)
			of := func(a common.Address, x *tracer.Transfer) {
				_, token := chain.Token(tracer.TokenOf(chain.ID, a))
				if seen[a] && !token && a != (common.Address{}) {
					want[place{tracer.Span{Wallet: a, From: x.Block, To: x.Block}, x.Asset}] = true
				}
			}
			var kept []tracer.Transfer
			for i := range told {
				x := told[i]
				if chain.Known(x.Asset) && x.Counts() && x.Block > 0 && rng.IntN(200) == 0 {
					of(x.From, &x)
					if x.Kind != tracer.KindFee {
						of(x.To, &x)
					}
					if rng.IntN(2) == 0 {
						continue
					}
					x.Amount.AddUint64(&x.Amount, 1)
				}
				kept = append(kept, x)
			}
			wrong, _, spent, err = c.Check(t.Context(), node, claims, 1e6, kept)
			if err != nil || spent > 0 || len(wrong) == 0 {
				t.Fatalf("%d mismatches, %d calls for what is known, %v", len(wrong), spent, err)
			}
			wrong, _, err = c.Narrow(t.Context(), node, wrong, kept, 1, 1e6)
			if err != nil || len(wrong) != len(want) {
				t.Errorf("%d mismatches, want %d; %v", len(wrong), len(want), err)
			}
			for _, m := range wrong {
				if !want[place{m.Span, m.Asset}] {
					t.Errorf("nothing was changed: %v %s %s", m.Span, m.Asset, m.Missing.String())
				}
			}

			// With no calls left nothing is narrowed, and nothing is lost.
			fresh := New(chain)
			if _, unchecked, spent, err := fresh.Check(t.Context(), node, claims, 3, truth); err != nil || spent > 3 || len(unchecked) == 0 || unchecked[0].Reason != tracer.ReasonBudget {
				t.Errorf("with three calls: %d unchecked, %d calls, %v", len(unchecked), spent, err)
			}
		})
	}

	gone := dial(t, w, devnet.NodeOptions{NoArchive: true})
	wrong, unchecked, _, err := New(chain).Check(t.Context(), gone, claims, 1e6, truth)
	if err != nil || len(wrong) > 0 || len(unchecked) == 0 || unchecked[0].Reason != tracer.ReasonSource || unchecked[0].Detail != "the endpoint does not keep states that old" {
		t.Errorf("a node without old states: %d wrong, %d unchecked, %v", len(wrong), len(unchecked), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, _, err := New(chain).Check(ctx, gone, claims, 1e6, truth); !errors.Is(err, context.Canceled) {
		t.Errorf("when it is over: %v", err)
	}
}

// TestForgets has a checker that forgets what it has seen: what it has looked
// up for one check stays as it is.
func TestForgets(t *testing.T) {
	w := devnet.Generate(devnet.Config{Days: 7, Transfers: 4000, Victims: 2, Syndicates: 1, Noise: 60})
	node := dial(t, w, devnet.NodeOptions{})
	truth := w.Transfers()
	c := New(devnet.Chain())
	c.mostSeen = 1
	x := truth[slices.IndexFunc(truth, func(x tracer.Transfer) bool {
		return x.Asset.Kind == tracer.ERC20 && c.chain.Known(x.Asset) && x.Counts()
	})]
	claims := []Claim{{tracer.Span{Wallet: x.To, From: 1, To: w.Head()}, true, true}}
	told := slices.DeleteFunc(slices.Clone(truth), func(y tracer.Transfer) bool { return y.ID() == x.ID() })
	book, _, err := c.Open(t.Context(), node, claims, 1e6)
	if err != nil {
		t.Fatal(err)
	}
	other := []Claim{{tracer.Span{Wallet: x.From, From: 1, To: w.Head() / 2}, true, true}}
	if _, _, spent, err := c.Check(t.Context(), node, other, 1e6, truth); err != nil || spent == 0 || len(c.seen) > 2 {
		t.Fatalf("%d calls, %d points are remembered, %v", spent, len(c.seen), err)
	}
	if wrong := book.Wrong(truth); len(wrong) > 0 {
		t.Errorf("the truth is wrong: %v", wrong)
	}
	if wrong := book.Wrong(told); len(wrong) != 1 || wrong[0].Asset != x.Asset || len(book.Unchecked()) > 0 {
		t.Errorf("without %v: %v, unchecked %v", x, wrong, book.Unchecked())
	}
}

// A flaky node answers one of its calls with nothing.
type flaky struct {
	*client
	at int // which time
}

func (f *flaky) Calls(ctx context.Context, calls []tracer.Call, most int) ([]tracer.Reply, int, error) {
	out, n, err := f.client.Calls(ctx, calls, most)
	if f.at--; f.at == 0 && len(out) > 0 {
		out[len(out)-1].Data = nil
	}
	return out, n, err
}

// TestFlaky has a node that once says that there is no Multicall3: it must not
// be believed for good.
func TestFlaky(t *testing.T) {
	w := devnet.Generate(devnet.Config{Days: 7, Transfers: 4000, Victims: 2, Syndicates: 1, Noise: 60})
	var claims []Claim
	for i := range 200 {
		a := common.BigToAddress(big.NewInt(0x77_0000 + int64(i)))
		claims = append(claims, Claim{tracer.Span{Wallet: a, From: 1, To: w.Head()}, true, true})
	}
	_, _, want, err := New(devnet.Chain()).Check(t.Context(), dial(t, w, devnet.NodeOptions{}), claims, 1e6)
	if err != nil {
		t.Fatal(err)
	}
	for at := 1; at < 4; at++ {
		node := &flaky{dial(t, w, devnet.NodeOptions{}), at}
		_, unchecked, spent, err := New(devnet.Chain()).Check(t.Context(), node, claims, 1e6)
		if err != nil || len(unchecked) > 0 || spent > want+1 {
			t.Errorf("with nothing in answer %d: %d calls, want %d and one more; %d unchecked, %v", at, spent, want, len(unchecked), err)
		}
	}
}
