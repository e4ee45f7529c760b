// Package balance compares what was read of wallets with what they had.
//
// Between the ends of two blocks, what came in less what went out is what the
// balance grew by. Where transfers say something else, some were left out,
// changed or invented, whoever told them. A [Checker] asks a node for the
// balances at the ends of what was read, of the native coin and of the tokens
// of the chain table, and says which do not add up; [Checker.Narrow] finds the
// blocks in which they do not.
//
// Balances of hundreds of wallets are one call, where the chain has Multicall3
// at that block; elsewhere each is a call. Only contracts that the table names
// are asked: others may have tokens that grow by themselves or charge for being
// moved.
//
// What it promises: a mismatch is one, unless the node shows balances that
// never were; what could not be compared is said; no more calls than allowed;
// the same questions for the same claims in any order. What it cannot see:
// transfers that are left out and together come to nothing, as of coins that
// pass through a contract within the blocks that are compared, and the other
// side of a transfer whose amount is right.
package balance

import (
	"cmp"
	"context"
	"errors"
	"math"
	"math/big"
	"slices"
	"sync"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
)

// A Node runs calls as [tracer.CallSource] says. Where it is a
// [tracer.StateSource] too, it is asked for balances of native coin that
// Multicall3 cannot tell.
type Node interface {
	Calls(ctx context.Context, calls []tracer.Call, most int) ([]tracer.Reply, int, error)
}

// A Claim says that all transfers of a wallet in a span are known.
type Claim struct {
	tracer.Span
	Tokens, Native bool // of which kind
}

// A Mismatch is an asset of a wallet whose balance changed in a span by
// something else than its transfers say.
type Mismatch struct {
	tracer.Span
	Asset   tracer.Asset
	Missing big.Int // what came in and no transfer tells; negative, what went out

	Before, After uint256.Int // the balance
}

// A Checker compares claims on one chain. It remembers balances that it has
// seen, so that spans that follow each other cost one end each. It is safe for
// concurrent use.
type Checker struct {
	chain  tracer.Chain
	assets []tracer.Asset // the native coin, then the tokens of the table

	mu    sync.Mutex
	seen  map[point][]holding // by asset
	plain uint64              // Multicall3 is not there before this block
	there uint64              // it has answered at this block, the first such

	mostSeen int // points
}

// A point is the end of a block in the life of a wallet.
type point struct {
	wallet common.Address
	block  uint64
}

func (p point) compare(o point) int {
	return cmp.Or(cmp.Compare(p.block, o.block), p.wallet.Cmp(o.wallet))
}

// A holding is how much of an asset there is, if that is known.
type holding struct {
	amount uint256.Int
	known  bool
}

// New returns a checker of a chain that knows nothing yet.
func New(chain tracer.Chain) *Checker {
	c := &Checker{chain: chain, assets: []tracer.Asset{tracer.NativeOf(chain.ID)}, seen: make(map[point][]holding), there: math.MaxUint64, mostSeen: mostSeen}
	for _, t := range chain.Tokens {
		c.assets = append(c.assets, tracer.TokenOf(chain.ID, t.Address))
	}
	return c
}

// before is the block at whose end a span begins. Nothing moved before the
// first block, and what that began with is not a transfer.
func before(p tracer.Span) uint64 { return max(p.From, 1) - 1 }

// checkable are the claims whose sums mean something: not those of the address
// of nobody, and of the tokens' own contracts, which keep no books about
// themselves.
func (c *Checker) checkable(claims []Claim) []Claim {
	out := slices.DeleteFunc(slices.Clone(claims), func(p Claim) bool {
		_, token := c.chain.Token(tracer.TokenOf(c.chain.ID, p.Wallet))
		return token || p.Wallet == (common.Address{}) || p.From > p.To || !p.Tokens && !p.Native || p.To == 0
	})
	slices.SortFunc(out, func(a, b Claim) int {
		return cmp.Or(a.Wallet.Cmp(b.Wallet), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
	return slices.Compact(out)
}

// A Book is what the wallets of some claims had at the ends of their spans. It
// asks nothing any more, and is not changed by what its checker forgets.
type Book struct {
	assets []tracer.Asset // as of its checker
	claims []Claim
	got    [][]holding // at both ends of each claim
	why    cause       // why something of it is not known
}

// Open asks for the balances that claims are compared with, in at most most
// calls. The int is the number of calls spent. The only error is that of ctx.
func (c *Checker) Open(ctx context.Context, node Node, claims []Claim, most int) (*Book, int, error) {
	b := &Book{assets: c.assets, claims: c.checkable(claims)}
	var ends []need
	for _, p := range b.claims {
		ends = append(ends, need{point{p.Wallet, before(p.Span)}, p.Native}, need{point{p.Wallet, p.To}, p.Native})
	}
	var spent int
	var err error
	if b.got, b.why, spent, err = c.holdings(ctx, node, ends, most); err != nil {
		return nil, spent, err
	}
	return b, spent, nil
}

// each calls f for all that is claimed: an asset of a claim and what there was
// of it at both ends.
func (b *Book) each(f func(p *Claim, a tracer.Asset, from, to *holding)) {
	for i := range b.claims {
		for k, a := range b.assets {
			if p, native := &b.claims[i], a.Kind == tracer.Native; native && p.Native || !native && p.Tokens {
				f(p, a, &b.got[2*i][k], &b.got[2*i+1][k])
			}
		}
	}
}

// Unchecked are the claims that cannot be compared, with the reason.
func (b *Book) Unchecked() (out []tracer.Unread) {
	b.each(func(p *Claim, a tracer.Asset, from, to *holding) {
		if from.known && to.known {
			return
		}
		u := tracer.Unread{Span: p.Span, Part: tracer.PartTokens, Reason: b.why.reason, Detail: b.why.detail}
		if a.Kind == tracer.Native {
			u.Part = tracer.PartNative
		}
		if n := len(out); n == 0 || out[n-1] != u {
			out = append(out, u)
		}
	})
	return out
}

// Wrong compares the claims with the transfers of some lists.
func (b *Book) Wrong(ts ...[]tracer.Transfer) (out []Mismatch) {
	sums := newSums(b.claims, ts...)
	b.each(func(p *Claim, a tracer.Asset, from, to *holding) {
		if !from.known || !to.known {
			return
		}
		if missing := sums.missing(a, p.Span, &from.amount, &to.amount); missing.Sign() != 0 {
			out = append(out, Mismatch{p.Span, a, *missing, from.amount, to.amount})
		}
	})
	return out
}

// Check compares claims with the transfers of some lists, in at most most calls.
// Claims that could not be compared are unchecked, with the reason; the int is the
// number of calls spent. The only error is that of ctx.
func (c *Checker) Check(ctx context.Context, node Node, claims []Claim, most int, ts ...[]tracer.Transfer) (wrong []Mismatch, unchecked []tracer.Unread, spent int, err error) {
	b, spent, err := c.Open(ctx, node, claims, most)
	if err != nil {
		return nil, nil, spent, err
	}
	return b.Wrong(ts...), b.Unchecked(), spent, nil
}

// Cost is how many calls Check takes for claims, when nothing goes wrong.
func (c *Checker) Cost(claims []Claim) int {
	var ends []need
	for _, p := range c.checkable(claims) {
		ends = append(ends, need{point{p.Wallet, before(p.Span)}, p.Native}, need{point{p.Wallet, p.To}, p.Native})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	ends = c.unseen(ends)
	n := 0
	for i := 0; i < len(ends); {
		j := i
		for j < len(ends) && ends[j].block == ends[i].block {
			j++
		}
		if ends[i].block >= c.plain {
			n += (j - i + c.atOnce() - 1) / c.atOnce()
		} else {
			n += (j - i) * (len(c.assets) + 1)
		}
		i = j
	}
	return n
}

// Narrow halves the spans of mismatches until none is wider than width, and
// returns those in which the mismatch is. Where the calls run out, or the node
// shows nothing more, they stay as wide as they are by then.
func (c *Checker) Narrow(ctx context.Context, node Node, wrong []Mismatch, ts []tracer.Transfer, width uint64, most int) (narrow []Mismatch, spent int, err error) {
	var claims []Claim
	for _, m := range wrong {
		claims = append(claims, Claim{Span: m.Span})
	}
	sums := newSums(claims, ts)
	open := wrong
	for len(open) > 0 {
		var wide []Mismatch
		var ends []need
		for _, m := range open {
			if m.To-before(m.Span) <= width {
				narrow = append(narrow, m)
				continue
			}
			wide = append(wide, m)
			native := m.Asset.Kind == tracer.Native
			for _, b := range []uint64{before(m.Span), middle(m.Span), m.To} {
				ends = append(ends, need{point{m.Wallet, b}, native})
			}
		}
		if len(wide) > mostOpen {
			narrow = append(narrow, wide...)
			break
		}
		got, _, n, err := c.holdings(ctx, node, ends, most-spent)
		if spent += n; err != nil {
			return nil, spent, err
		}
		open = nil
		for i, m := range wide {
			k := slices.Index(c.assets, m.Asset)
			from, mid, to := got[3*i][k], got[3*i+1][k], got[3*i+2][k]
			if !from.known || !mid.known || !to.known {
				narrow = append(narrow, m)
				continue
			}
			halves := open
			first, second := m, m
			first.To, second.From = middle(m.Span), middle(m.Span)+1
			if d := sums.missing(m.Asset, first.Span, &from.amount, &mid.amount); d.Sign() != 0 {
				halves = append(halves, Mismatch{first.Span, m.Asset, *d, from.amount, mid.amount})
			}
			if d := sums.missing(m.Asset, second.Span, &mid.amount, &to.amount); d.Sign() != 0 {
				halves = append(halves, Mismatch{second.Span, m.Asset, *d, mid.amount, to.amount})
			}
			if len(halves) == len(open) { // the node has changed its mind
				narrow = append(narrow, m)
			}
			open = halves
		}
	}
	slices.SortFunc(narrow, func(a, b Mismatch) int {
		return cmp.Or(a.Wallet.Cmp(b.Wallet), cmp.Compare(a.From, b.From), a.Asset.Compare(b.Asset))
	})
	return narrow, spent, nil
}

// mostOpen bounds how many spans are halved at once: a node whose balances mean
// nothing would have every block looked at.
const mostOpen = 2000

func middle(p tracer.Span) uint64 { return before(p) + (p.To-before(p))/2 }

// Readable is how much is missing, without its sign and with its symbol, as in
// "1500.5 USDT".
func (c *Checker) Readable(m *Mismatch) string {
	symbol, decimals, _ := c.chain.Describe(m.Asset)
	amount, _ := uint256.FromBig(new(big.Int).Abs(&m.Missing))
	return tracer.Readable(amount, decimals) + " " + symbol
}

// Sums are the transfers of wallets, in chain order.
type sums map[common.Address][]*tracer.Transfer

func newSums(claims []Claim, lists ...[]tracer.Transfer) sums {
	s := make(sums)
	for _, p := range claims {
		s[p.Wallet] = nil
	}
	for _, ts := range lists {
		for i := range ts {
			t := &ts[i]
			if t.Asset.Kind != tracer.Native && t.Asset.Kind != tracer.ERC20 || t.From == t.To {
				continue
			}
			if of, ok := s[t.From]; ok {
				s[t.From] = append(of, t)
			}
			if of, ok := s[t.To]; ok && t.Kind != tracer.KindFee {
				s[t.To] = append(of, t)
			}
		}
	}
	for _, of := range s {
		slices.SortStableFunc(of, func(a, b *tracer.Transfer) int { return cmp.Compare(a.Block, b.Block) })
	}
	return s
}

// missing is the change of a balance less what the transfers of a span say.
func (s sums) missing(a tracer.Asset, p tracer.Span, from, to *uint256.Int) *big.Int {
	d := new(big.Int).Sub(to.ToBig(), from.ToBig())
	of := s[p.Wallet]
	i, _ := slices.BinarySearchFunc(of, max(p.From, 1), func(t *tracer.Transfer, b uint64) int { return cmp.Compare(t.Block, b) })
	for ; i < len(of) && of[i].Block <= p.To; i++ {
		switch t := of[i]; {
		case t.Asset != a:
		case t.To == p.Wallet:
			d.Sub(d, t.Amount.ToBig())
		default:
			d.Add(d, t.Amount.ToBig())
		}
	}
	return d
}

var errBudget = errors.New("the budget of requests was too small")

// A cause is why holdings are not known.
type cause struct {
	reason tracer.Reason
	detail string
}
