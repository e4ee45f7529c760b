package balance

import (
	"context"
	"errors"
	"math"
	"slices"

	"scamtrace/tracer"
	"scamtrace/tracer/abi"

	"github.com/ethereum/go-ethereum/common"
)

const (
	// mostParts is how many questions go into one call of Multicall3. Each takes
	// up to some 30,000 gas, and nodes allow 50,000,000 to a call.
	mostParts = 500
	// mostSeen is how many points a checker remembers: some 20 MB.
	mostSeen = 1 << 16
)

// atOnce is how many wallets go into one call of Multicall3.
func (c *Checker) atOnce() int { return max(mostParts/len(c.assets), 1) }

// A need is a point, and whether its native coin must be known.
type need struct {
	point
	native bool
}

// unseen sorts needs by block and wallet, and drops what is known and what is
// there twice. The caller holds mu.
func (c *Checker) unseen(needs []need) []need {
	needs = slices.DeleteFunc(slices.Clone(needs), func(n need) bool {
		have := c.seen[n.point]
		return have != nil && (!n.native || have[0].known)
	})
	slices.SortFunc(needs, func(a, b need) int {
		if x := a.compare(b.point); x != 0 || a.native == b.native {
			return x
		}
		if a.native {
			return -1
		}
		return 1
	})
	return slices.CompactFunc(needs, func(a, b need) bool { return a.point == b.point })
}

// holdings returns what there is at each of the points, by asset, and why what
// is not known is not.
func (c *Checker) holdings(ctx context.Context, node Node, needs []need, most int) (got [][]holding, why cause, spent int, err error) {
	a := &asking{Checker: c, node: node, left: most, got: make(map[point][]holding)}
	c.mu.Lock()
	todo := c.unseen(needs)
	for _, n := range needs {
		if h := c.seen[n.point]; h != nil {
			a.got[n.point] = h
		}
	}
	if len(c.seen)+len(todo) > c.mostSeen {
		clear(c.seen)
	}
	c.mu.Unlock()
	err = a.all(ctx, todo)
	spent = most - a.left
	if err != nil {
		return nil, why, spent, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range todo {
		if h := a.got[n.point]; h != nil {
			c.seen[n.point] = h
		}
	}
	got = make([][]holding, len(needs))
	none := make([]holding, len(c.assets))
	for i, n := range needs {
		if got[i] = a.got[n.point]; got[i] == nil {
			got[i] = none
		}
	}
	a.because(cause{tracer.ReasonSource, "a token does not tell its balances"})
	return got, a.why, spent, nil
}

// An asking is one use of a node.
type asking struct {
	*Checker
	node Node
	left int
	got  map[point][]holding
	why  cause // why something is not known; the first counts
}

func (a *asking) all(ctx context.Context, todo []need) error {
	a.mu.Lock()
	plain, multi := a.plain, a.there < math.MaxUint64
	a.mu.Unlock()
	first, _ := slices.BinarySearchFunc(todo, plain, func(n need, b uint64) int {
		if n.block < b {
			return -1
		}
		return 1
	})
	single, packed := todo[:first:first], todo[first:]
	if len(packed) > 0 && !multi { // is it there at all?
		last := len(packed) - 1
		left, err := a.byMulticall(ctx, packed[last:])
		if err != nil {
			return err
		}
		a.mu.Lock()
		gone := a.plain > packed[last].block
		a.mu.Unlock()
		if single = append(single, left...); gone {
			single, packed = append(single, packed[:last]...), nil
		} else {
			packed = packed[:last]
		}
	}
	left, err := a.byMulticall(ctx, packed)
	if err != nil {
		return err
	}
	single = append(single, left...)
	slices.SortFunc(single, func(a, b need) int { return a.compare(b.point) })
	return a.bySingle(ctx, single)
}

// byMulticall asks Multicall3. It returns the points at which it is not there,
// or takes the call back.
func (a *asking) byMulticall(ctx context.Context, todo []need) (left []need, err error) {
	var groups [][]need
	for i := 0; i < len(todo); {
		j := i
		for j < len(todo) && j-i < a.atOnce() && todo[j].block == todo[i].block {
			j++
		}
		groups = append(groups, todo[i:j])
		i = j
	}
	calls := make([]tracer.Call, len(groups))
	for i, g := range groups {
		calls[i] = a.pack(g)
	}
	replies, err := a.calls(ctx, calls)
	if err != nil {
		return nil, err
	}
	if replies, err = a.secondLook(ctx, calls, replies); err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, r := range replies {
		g := groups[i]
		switch {
		case r.Refusal == tracer.RefusedReverted:
			left = append(left, g...)
		case r.Refusal != tracer.RefusedNot:
			a.blame(r.Refusal)
		case len(r.Data) == 0: // no contract
			if g[0].block < a.there {
				a.plain = max(a.plain, g[0].block+1)
			}
			left = append(left, g...)
		default:
			parts, ok := abi.Results(r.Data, len(g)*len(a.assets))
			if !ok {
				a.because(cause{tracer.ReasonSource, "the endpoint's answer to a question for balances is not usable"})
				continue
			}
			a.there = min(a.there, g[0].block)
			for k, n := range g {
				h := make([]holding, len(a.assets))
				for i, part := range parts[k*len(h) : (k+1)*len(h)] {
					if part.OK {
						h[i] = amount(part.Data)
					}
				}
				a.got[n.point] = h
			}
		}
	}
	return left, nil
}

// secondLook asks once more where no contract is said to be: a node that has not
// loaded a state says so too, and it would be believed for good.
func (a *asking) secondLook(ctx context.Context, calls []tracer.Call, replies []tracer.Reply) ([]tracer.Reply, error) {
	var some []tracer.Call
	var at []int
	for i, r := range replies {
		if r.Refusal == tracer.RefusedNot && len(r.Data) == 0 {
			some, at = append(some, calls[i]), append(at, i)
		}
	}
	anew, err := a.calls(ctx, some)
	for k, r := range anew {
		replies[at[k]] = r
	}
	return replies, err
}

// bySingle asks for each balance by itself.
func (a *asking) bySingle(ctx context.Context, todo []need) error {
	var calls []tracer.Call
	for _, n := range todo {
		for _, asset := range a.assets[1:] {
			calls = append(calls, abi.Balance(asset, n.wallet, n.block))
		}
	}
	replies, err := a.calls(ctx, calls)
	if err != nil {
		return err
	}
	for i, n := range todo {
		h := make([]holding, len(a.assets))
		good := true
		for k := 1; k < len(h); k++ {
			at := i*(len(h)-1) + k - 1
			if at >= len(replies) {
				good = false
				break
			}
			r := replies[at]
			switch r.Refusal {
			case tracer.RefusedNot:
				h[k] = amount(r.Data)
			case tracer.RefusedReverted: // for ever
			default:
				a.blame(r.Refusal)
				good = false
			}
		}
		if good {
			a.got[n.point] = h
		}
	}
	return a.coins(ctx, todo)
}

// coins asks for native coin, where the node shows it.
func (a *asking) coins(ctx context.Context, todo []need) error {
	states, ok := a.node.(tracer.StateSource)
	todo = slices.DeleteFunc(slices.Clone(todo), func(n need) bool { return !n.native || a.got[n.point] == nil })
	if len(todo) == 0 {
		return nil
	}
	if !ok {
		a.because(cause{tracer.ReasonSource, "the endpoint shows no old balances"})
		return nil
	}
	const each = 2 // the nonce comes along
	if most := a.left / each; most < len(todo) {
		a.because(cause{tracer.ReasonBudget, errBudget.Error()})
		if todo = todo[:most]; most == 0 {
			return nil
		}
	}
	wallets, blocks := make([]common.Address, len(todo)), make([]uint64, len(todo))
	for i, n := range todo {
		wallets[i], blocks[i] = n.wallet, n.block
	}
	_, balances, spent, err := states.States(ctx, wallets, blocks, a.left)
	a.left -= spent
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if errors.Is(err, tracer.ErrBudget) {
		a.because(cause{tracer.ReasonBudget, errBudget.Error()})
		return nil
	}
	if err != nil {
		a.because(cause{tracer.ReasonSource, err.Error()})
		return nil
	}
	for i, n := range todo {
		a.got[n.point][0] = holding{balances[i], true}
	}
	return nil
}

// chunk is how many calls are made together: what is answered of them is lost
// when the budget ends among them.
const chunk = 400

// calls makes as many calls as the budget allows, and returns the replies of
// these.
func (a *asking) calls(ctx context.Context, calls []tracer.Call) (replies []tracer.Reply, err error) {
	for some := range slices.Chunk(calls, chunk) {
		short := len(some) > a.left
		if short {
			a.because(cause{tracer.ReasonBudget, errBudget.Error()})
			some = some[:max(a.left, 0)]
		}
		if len(some) > 0 {
			got, n, err := a.node.Calls(ctx, some, a.left)
			a.left -= n
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			if errors.Is(err, tracer.ErrBudget) {
				a.because(cause{tracer.ReasonBudget, errBudget.Error()})
				return replies, nil
			}
			if err != nil {
				a.because(cause{tracer.ReasonSource, err.Error()})
				return replies, nil
			}
			replies = append(replies, got...)
		}
		if short {
			return replies, nil
		}
	}
	return replies, nil
}

func (a *asking) because(c cause) {
	if a.why == (cause{}) {
		a.why = c
	}
}

func (a *asking) blame(r tracer.Refusal) {
	text := "the endpoint fails to show balances"
	switch r {
	case tracer.RefusedGone:
		text = "the endpoint does not keep states that old"
	case tracer.RefusedMissing:
		text = "the endpoint runs no calls"
	}
	a.because(cause{tracer.ReasonSource, text})
}

// amount reads a balance. Where a token did not exist yet, nobody had any.
func amount(b []byte) (h holding) {
	if len(b) == 0 || len(b) == 32 {
		h.known = true
		h.amount.SetBytes(b)
	}
	return h
}

// pack asks for all assets of wallets at the end of a block.
func (a *asking) pack(g []need) tracer.Call {
	var calls []tracer.Call
	for _, n := range g {
		for _, asset := range a.assets {
			calls = append(calls, abi.Balance(asset, n.wallet, n.block))
		}
	}
	return abi.Aggregate(calls, g[0].block)
}
