package balance

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"slices"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
)

// multicall is where Multicall3 is, on most chains (github.com/mds1/multicall3).
var multicall = common.HexToAddress("0xcA11bde05977b3631167028862bE2a173976CA11")

// The functions that are called: the first four bytes of keccak256 of their
// signatures.
var (
	selAggregate  = []byte{0x82, 0xad, 0x56, 0xcb} // aggregate3((address,bool,bytes)[])
	selEthBalance = []byte{0x4d, 0x23, 0x01, 0xcc} // getEthBalance(address)
	selBalanceOf  = []byte{0x70, 0xa0, 0x82, 0x31} // balanceOf(address)
)

const (
	// mostParts is how many questions go into one call of Multicall3. Each takes
	// up to some 30,000 gas, and nodes allow 50,000,000 to a call.
	mostParts = 500
	// mostSeen is how many points are remembered: some 20 MB.
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
	if len(c.seen)+len(needs) > mostSeen {
		clear(c.seen)
	}
	todo := c.unseen(needs)
	for _, n := range needs {
		if h := c.seen[n.point]; h != nil {
			a.got[n.point] = h
		}
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
	plain, multi := a.plain, a.multi
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
		calls[i] = tracer.Call{To: multicall, Data: a.pack(g), Block: g[0].block}
	}
	replies, err := a.calls(ctx, calls)
	if err != nil {
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
			a.plain = max(a.plain, g[0].block+1)
			left = append(left, g...)
		default:
			parts, ok := unpack(r.Data, len(g)*len(a.assets))
			if !ok {
				a.because(cause{tracer.ReasonSource, "the endpoint's answer to a question for balances is not usable"})
				continue
			}
			a.multi = true
			for k, n := range g {
				a.got[n.point] = slices.Clone(parts[k*len(a.assets) : (k+1)*len(a.assets)])
			}
		}
	}
	return left, nil
}

// bySingle asks for each balance by itself.
func (a *asking) bySingle(ctx context.Context, todo []need) error {
	var calls []tracer.Call
	for _, n := range todo {
		for _, asset := range a.assets[1:] {
			calls = append(calls, tracer.Call{To: asset.Token, Data: ask(selBalanceOf, n.wallet), Block: n.block})
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

func ask(selector []byte, w common.Address) []byte {
	return append(slices.Clone(selector), common.LeftPadBytes(w[:], 32)...)
}

// amount reads a balance. Where a token did not exist yet, nobody had any.
func amount(b []byte) (h holding) {
	if len(b) == 0 || len(b) == 32 {
		h.known = true
		h.amount.SetBytes(b)
	}
	return h
}

// pack asks for all assets of wallets. Each question has 36 bytes of calldata,
// so that they all are of one size.
func (a *asking) pack(g []need) []byte {
	const size = 6 * 32
	n := len(g) * len(a.assets)
	b := make([]byte, 0, 4+64+n*(32+size))
	word := func(v uint64) { b = binary.BigEndian.AppendUint64(append(b, make([]byte, 24)...), v) }
	b = append(b, selAggregate...)
	word(32)
	word(uint64(n))
	for i := range n {
		word(uint64(32*n + size*i))
	}
	for _, p := range g {
		for _, asset := range a.assets {
			to, selector := asset.Token, selBalanceOf
			if asset.Kind == tracer.Native {
				to, selector = multicall, selEthBalance
			}
			b = append(b, common.LeftPadBytes(to[:], 32)...)
			word(1) // it may fail
			word(96)
			word(36)
			b = append(append(b, ask(selector, p.wallet)...), make([]byte, 28)...)
		}
	}
	return b
}

// unpack reads n results of aggregate3.
func unpack(b []byte, n int) ([]holding, bool) {
	num := func(at uint64) (uint64, bool) {
		if at > uint64(len(b)) || uint64(len(b))-at < 32 || !bytes.Equal(b[at:at+24], make([]byte, 24)) {
			return 0, false
		}
		return binary.BigEndian.Uint64(b[at+24 : at+32]), true
	}
	// Sums of places cannot overflow: each is at most the answer's length.
	place := func(base, at uint64) (uint64, bool) {
		v, ok := num(at)
		return base + v, ok && v <= uint64(len(b))
	}
	list, ok := place(0, 0)
	count, ok2 := num(list)
	if !ok || !ok2 || count != uint64(n) {
		return nil, false
	}
	list += 32
	out := make([]holding, n)
	for i := range out {
		at, ok := place(list, list+uint64(32*i))
		done, ok1 := num(at)
		data, ok2 := place(at, at+32)
		size, ok3 := num(data)
		if !ok || !ok1 || !ok2 || !ok3 || done > 1 || size > uint64(len(b))-data-32 {
			return nil, false
		}
		if done == 1 {
			out[i] = amount(b[data+32 : data+32+size])
		}
	}
	return out, true
}
