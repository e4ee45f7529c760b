package price

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"slices"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
)

// A Feed is a contract of Chainlink, the proxy, that says what a chain's own
// coin is worth in dollars.
type Feed struct {
	Chain    uint64
	Address  common.Address
	Decimals uint8    // of its answers
	Pairs    []string // what it may say that it is; a coin may change its name
}

// feeds is the table; addresses: Chainlink's list of feeds.
var feeds = []Feed{
	{1, common.HexToAddress("0x5f4eC3Df9cbd43714FE2740f5E3616155c5b8419"), 8, []string{"ETH / USD"}},
	{10, common.HexToAddress("0x13e3Ee699D1909E989722E753853AE30b17e08c5"), 8, []string{"ETH / USD"}},
	{56, common.HexToAddress("0x0567F2323251f0Aab15c8dFb1967E4e8A7D42aeE"), 8, []string{"BNB / USD"}},
	{137, common.HexToAddress("0xAB594600376Ec9fD91F8e885dADF0CE036862dE0"), 8, []string{"POL / USD", "MATIC / USD"}},
	{8453, common.HexToAddress("0x71041dddad3595F9CEd3DcCFBe3D1F4b0a16Bb70"), 8, []string{"ETH / USD"}},
	{42161, common.HexToAddress("0x639Fe6ab55C921f74e7fac1ee960C0B6293ba612"), 8, []string{"ETH / USD"}},
	{43114, common.HexToAddress("0x0A77230d17318075983913bC2145DB16C7366156"), 8, []string{"AVAX / USD"}},
}

// FeedOf returns the feed of a chain's own coin on that chain.
func FeedOf(chain uint64) (Feed, bool) {
	i := slices.IndexFunc(feeds, func(f Feed) bool { return f.Chain == chain })
	if i < 0 {
		return Feed{}, false
	}
	return feeds[i], true
}

// Selectors of the functions of a feed.
var (
	latestRoundData  = []byte{0xfe, 0xaf, 0x96, 0x8c}
	getRoundData     = []byte{0x9a, 0x6f, 0xc8, 0xf5}
	decimalsOf       = []byte{0x31, 0x3c, 0xe5, 0x67}
	description      = []byte{0x72, 0x84, 0xe4, 0x16}
	phaseID          = []byte{0x58, 0x30, 0x3b, 0x10}
	phaseAggregators = []byte{0xc1, 0x59, 0x73, 0x04}
)

const (
	// near is how long after the moment asked for the state may be that is
	// looked at, in seconds: a feed seldom speaks twice in that time, and a
	// block that close is found in a few steps.
	near = 300
	// A feed speaks when the price moved by half a percent or so. An answer
	// that is further from both its neighbours than this is a mistake.
	farPercent = 20
	// maxPhases bounds how often a feed may have changed its aggregator; those
	// of the table have single-digit numbers.
	maxPhases = 64
	// chunk is how many moments are searched for at once.
	chunk = 64
	// maxLevels bounds a search, in which each third step is one of a bisection.
	maxLevels = 200
)

// A Node is what [Chainlink] must know of a chain: an ethsource.Source is one.
type Node interface {
	Pin(ctx context.Context) (tracer.Block, error)
	tracer.CallSource
}

// Chainlink quotes a chain's own coin from the feed on that chain, through a
// node of the chain.
//
// The price at a moment is the feed's last answer before it. A node that keeps
// old states says it with the state of that time, in some three steps; with one
// that does not, the round is searched for among all rounds by their times.
// What was answered once stays on the chain, so it is the same at every time of
// asking. An answer that is not positive, not complete, older than four hours,
// or more than a fifth off the rounds before and after it, is refused.
type Chainlink struct {
	feed Feed
	node Node
}

var _ Quoter = (*Chainlink)(nil)

// NewChainlink returns a quoter that asks the feed through a node of its chain.
func NewChainlink(f Feed, n Node) *Chainlink { return &Chainlink{f, n} }

// Covers is of the chain's own coin.
func (c *Chainlink) Covers(a tracer.Asset) bool { return a == tracer.NativeOf(c.feed.Chain) }

// Quotes answers from the chain alone.
func (c *Chainlink) Quotes(ctx context.Context, _ tracer.Asset, times []uint64, most int) ([]Answer, int, error) {
	q := &inquiry{Chainlink: c, left: most}
	answers := make([]Answer, 0, len(times))
	for part := range slices.Chunk(times, chunk) {
		targets := make([]*target, len(part))
		for i, at := range part {
			targets[i] = &target{at: at}
		}
		err := q.run(ctx, targets)
		if err := context.Cause(ctx); err != nil {
			return nil, most - q.left, err
		}
		for _, t := range targets {
			if t.answer == nil {
				t.refuse("%v", cmp.Or(err, errors.New("its rounds are in no order")))
				t.answer.Passing = err != nil && !errors.Is(err, tracer.ErrBudget)
			}
			answers = append(answers, *t.answer)
		}
	}
	return answers, most - q.left, nil
}

// An inquiry is one call of Quotes.
type inquiry struct {
	*Chainlink
	left   int // requests that may still be spent
	phases []phase
}

// A phase is the time of one aggregator behind a feed.
type phase struct {
	id          uint64
	first, last round
}

// A target is a moment, and how far the search for its round has come.
type target struct {
	at     uint64
	answer *Answer // nil: not found yet

	// Blocks: lo is before or at the moment, and hi at or after it.
	lo, hi, tlo, thi uint64

	// Rounds of a phase: a.updated is before or at the moment, and b.updated
	// after it. Where a is not known yet, it is looked for step rounds below b.
	a, b round
	step uint64
}

func (t *target) refuse(format string, args ...any) {
	t.answer = &Answer{Source: "chainlink: " + fmt.Sprintf(format, args...)}
}

// open are the targets that are not settled and that keep likes.
func open(targets []*target, keep func(*target) bool) []*target {
	return slices.DeleteFunc(slices.Clone(targets), func(t *target) bool { return t.answer != nil || !keep(t) })
}

func every(*target) bool { return true }

func (q *inquiry) run(ctx context.Context, targets []*target) error {
	if err := q.check(ctx, targets); err != nil {
		return err
	}
	if err := q.blocks(ctx, open(targets, every)); err != nil {
		return err
	}
	if err := q.latest(ctx, open(targets, every)); err != nil {
		return err
	}
	if err := q.search(ctx, open(targets, every)); err != nil {
		return err
	}
	return q.judge(ctx, open(targets, every))
}

// calls makes calls; a block of [tracer.Newest] does for what never changes.
func (q *inquiry) calls(ctx context.Context, calls []tracer.Call) ([]tracer.Reply, error) {
	if len(calls) == 0 {
		return nil, nil
	}
	if q.left < len(calls) {
		return nil, tracer.ErrBudget
	}
	replies, n, err := q.node.Calls(ctx, calls, q.left)
	q.left -= n
	return replies, err
}

func (q *inquiry) call(block uint64, parts ...[]byte) tracer.Call {
	return tracer.Call{To: q.feed.Address, Data: slices.Concat(parts...), Block: block}
}

// errNow is passing trouble with a call.
var errNow = errors.New("the node could not be asked")

// check asks the feed what it is.
func (q *inquiry) check(ctx context.Context, targets []*target) error {
	replies, err := q.calls(ctx, []tracer.Call{q.call(tracer.Newest, decimalsOf), q.call(tracer.Newest, description)})
	if err != nil {
		return err
	}
	why := ""
	n, numeric := decodeUint(replies[0].Data)
	pair, text := decodeText(replies[1].Data)
	switch refusal := max(replies[0].Refusal, replies[1].Refusal); {
	case refusal == tracer.RefusedNow:
		return errNow
	case refusal == tracer.RefusedMissing:
		why = "the node runs no contracts"
	case refusal != tracer.RefusedNot || !numeric || !text:
		why = "there is no feed at " + tracer.Hex(q.feed.Address)
	case n != uint64(q.feed.Decimals) || !slices.Contains(q.feed.Pairs, pair):
		why = fmt.Sprintf("the feed is of %q with %d decimals, not the one expected", tracer.CleanText(pair, 20), n)
	}
	if why != "" {
		for _, t := range targets {
			t.refuse("%s", why)
		}
	}
	return nil
}

// blocks finds for each target a block that is soon after it.
func (q *inquiry) blocks(ctx context.Context, targets []*target) error {
	if len(targets) == 0 {
		return nil
	}
	pinned, err := q.node.Pin(ctx)
	if err != nil {
		return err
	}
	first := min(pinned.Number, 1) // the time of block 0 is made up on some chains
	begun, err := q.times(ctx, []uint64{first})
	if err != nil {
		return err
	}
	for _, t := range targets {
		t.lo, t.tlo, t.hi, t.thi = first, begun[0], pinned.Number, pinned.Time
		switch {
		case t.at < t.tlo:
			t.refuse("the chain had not begun")
		case t.at > t.thi:
			t.refuse("it is after the last block that is read")
		}
	}
	for level := range maxLevels {
		some := open(targets, func(t *target) bool { return t.hi-t.lo > 1 && t.thi-t.at > near })
		if len(some) == 0 {
			return nil
		}
		var ask []uint64
		for _, t := range some {
			ask = append(ask, between(t.lo, t.hi, t.tlo, t.thi, t.at+near/2, level))
		}
		unique := slices.Compact(slices.Sorted(slices.Values(ask)))
		times, err := q.times(ctx, unique)
		if err != nil {
			return err
		}
		for i, t := range some {
			k, _ := slices.BinarySearch(unique, ask[i])
			switch at := times[k]; {
			case at < t.tlo || at > t.thi:
				t.refuse("the blocks of the node are in no order")
			case at < t.at:
				t.lo, t.tlo = ask[i], at
			default:
				t.hi, t.thi = ask[i], at
			}
		}
	}
	return nil
}

func (q *inquiry) times(ctx context.Context, blocks []uint64) ([]uint64, error) {
	if q.left < len(blocks) {
		return nil, tracer.ErrBudget
	}
	times, n, err := q.node.Times(ctx, blocks, q.left)
	q.left -= n
	return times, err
}

// between returns a number between lo and hi, without them, where a value that
// rises evenly from vlo to vhi would be v; each third time, the middle.
func between(lo, hi, vlo, vhi, v uint64, level int) uint64 {
	width := hi - lo
	off := width / 2
	if level%3 != 2 && vhi > vlo {
		high, low := bits.Mul64(width, min(max(v, vlo), vhi)-vlo)
		off, _ = bits.Div64(high, low, vhi-vlo)
	}
	return lo + min(max(off, 1), width-1)
}

// latest looks up the feed's last round in the state of the block of each
// target or, where the node has no such state, in the phase that was on then.
func (q *inquiry) latest(ctx context.Context, targets []*target) error {
	var calls []tracer.Call
	for _, t := range targets {
		calls = append(calls, q.call(t.hi, latestRoundData))
	}
	replies, err := q.calls(ctx, calls)
	if err != nil {
		return err
	}
	var gone []*target
	for i, t := range targets {
		switch r, ok := decodeRound(replies[i].Data); {
		case replies[i].Refusal == tracer.RefusedGone, replies[i].Refusal == tracer.RefusedMissing:
			gone = append(gone, t)
		case replies[i].Refusal == tracer.RefusedNow:
			t.refuse("%v", errNow)
			t.answer.Passing = true
		case !ok:
			t.refuse("the feed had no answers then")
		case r.updated == 0 || r.updated > t.thi || r.index == 0:
			t.refuse("round %s is not complete", r.id())
		case r.updated <= t.at:
			t.a = r
		default:
			t.b, t.step = r, 1
		}
	}
	if len(gone) == 0 {
		return nil
	}
	if err := q.findPhases(ctx); err != nil {
		return err
	}
	for _, t := range gone {
		// Of two aggregators that ran at the time, the older one: those that
		// are added later change nothing.
		i := slices.IndexFunc(q.phases, func(p phase) bool { return p.first.updated <= t.at && t.at <= p.last.updated+maxStale })
		switch {
		case i < 0:
			t.refuse("the feed has no round of that time")
		case q.phases[i].last.updated <= t.at:
			t.a = q.phases[i].last
		default:
			t.a, t.b = q.phases[i].first, q.phases[i].last
		}
	}
	return nil
}

// findPhases finds the first and the last round of each phase. One that does
// not say is left out.
func (q *inquiry) findPhases(ctx context.Context) error {
	if q.phases != nil {
		return nil
	}
	replies, err := q.calls(ctx, []tracer.Call{q.call(tracer.Newest, phaseID)})
	if err != nil {
		return err
	}
	n, ok := decodeUint(replies[0].Data)
	if replies[0].Refusal == tracer.RefusedNow {
		return errNow
	}
	if !ok || n > maxPhases {
		n = 0
	}
	q.phases = []phase{}
	var calls []tracer.Call
	for p := range n {
		calls = append(calls, q.call(tracer.Newest, phaseAggregators, word(p+1)))
	}
	aggregators, err := q.calls(ctx, calls)
	if err != nil {
		return err
	}
	calls = nil
	for p, r := range aggregators {
		if r.Refusal == tracer.RefusedNow {
			return errNow
		}
		to := common.Address{}
		if len(r.Data) >= 32 {
			to = common.BytesToAddress(r.Data[:32])
		}
		calls = append(calls, tracer.Call{To: to, Data: latestRoundData, Block: tracer.Newest}, q.call(tracer.Newest, getRoundData, roundID(uint64(p)+1, 1)))
	}
	ends, err := q.calls(ctx, calls)
	if err != nil {
		return err
	}
	for p := range aggregators {
		id := uint64(p) + 1
		if ends[2*p].Refusal == tracer.RefusedNow || ends[2*p+1].Refusal == tracer.RefusedNow {
			return errNow
		}
		last, ok := decodeRound(ends[2*p].Data)
		first, ok2 := decodeRound(ends[2*p+1].Data)
		last.phase, last.answered[1] = id, id // the aggregator counts without it
		if ok && ok2 && first.phase == id && first.updated > 0 && first.updated <= last.updated && last.index > 0 {
			q.phases = append(q.phases, phase{id, first, last})
		}
	}
	return nil
}

// search finds the last round before or at each target.
func (q *inquiry) search(ctx context.Context, targets []*target) error {
	for level := range maxLevels {
		some := open(targets, func(t *target) bool { return t.b.updated > 0 && t.b.index-t.a.index > 1 || t.a.index == 0 })
		if len(some) == 0 {
			return nil
		}
		calls := make([]tracer.Call, len(some))
		ask := make([]uint64, len(some))
		for i, t := range some {
			switch {
			case t.b.index <= 1:
				t.refuse("the feed has no round of that time")
				ask[i] = 1
			case t.step > 0:
				ask[i] = t.b.index - min(t.step, t.b.index-1)
			default:
				ask[i] = between(t.a.index, t.b.index, t.a.updated, t.b.updated, t.at, level)
			}
			calls[i] = q.call(tracer.Newest, getRoundData, roundID(t.b.phase, ask[i]))
		}
		replies, err := q.calls(ctx, calls)
		if err != nil {
			return err
		}
		for i, t := range some {
			r, ok := decodeRound(replies[i].Data)
			switch {
			case t.answer != nil:
			case replies[i].Refusal == tracer.RefusedNow:
				t.refuse("%v", errNow)
				t.answer.Passing = true
			case !ok || r.updated == 0 || r.phase != t.b.phase || r.index != ask[i]:
				t.refuse("round %s is not complete", round{phase: t.b.phase, index: ask[i]}.id())
			case r.updated < t.a.updated || r.updated > t.b.updated:
				t.refuse("its rounds are in no order")
			case r.updated <= t.at:
				t.a, t.step = r, 0
			default:
				t.b, t.step = r, 2*t.step
			}
		}
	}
	return nil
}

// judge looks at the rounds that were found, and at their neighbours.
func (q *inquiry) judge(ctx context.Context, targets []*target) error {
	targets = slices.DeleteFunc(targets, func(t *target) bool {
		r := &t.a
		switch {
		case r.index == 0 || t.b.updated > 0 && t.b.index-r.index > 1: // maxLevels
			t.refuse("its rounds are in no order")
		case r.answered.Lt(r.number()):
			t.refuse("round %s is not complete", r.id())
		case r.answer.IsZero():
			t.refuse("round %s says zero", r.id())
		case r.answer.Sign() < 0:
			t.refuse("round %s says less than zero", r.id())
		case t.at-r.updated > maxStale:
			t.refuse("its last answer was %d hours old", (t.at-r.updated)/3600)
		}
		return t.answer != nil
	})
	var calls []tracer.Call
	for _, t := range targets {
		for _, i := range []uint64{max(t.a.index, 2) - 1, t.a.index + 1} { // of round 1, itself
			calls = append(calls, q.call(tracer.Newest, getRoundData, roundID(t.a.phase, i)))
		}
	}
	replies, err := q.calls(ctx, calls)
	if err != nil {
		return err
	}
	for i, t := range targets {
		neighbours, far := 0, 0
		for k, reply := range replies[2*i : 2*i+2] {
			if reply.Refusal == tracer.RefusedNow {
				t.refuse("%v", errNow)
				t.answer.Passing = true
				break
			}
			r, ok := decodeRound(reply.Data)
			if !ok || r.updated == 0 || r.answer.Sign() <= 0 || r.phase != t.a.phase || r.index != t.a.index+2*uint64(k)-1 {
				continue
			}
			neighbours++
			if isFar(&t.a.answer, &r.answer) {
				far++
			}
		}
		price, ok := micros(&t.a.answer, q.feed.Decimals)
		switch {
		case t.answer != nil:
		case neighbours == 0:
			t.refuse("round %s has no neighbour to hold it against", t.a.id())
		case far == neighbours:
			t.refuse("round %s is far from its neighbours", t.a.id())
		case !ok:
			t.refuse("round %s is out of all reason", t.a.id())
		default:
			t.answer = &Answer{Price: price, Source: fmt.Sprintf("chainlink %s round %s", q.feed.Pairs[0], t.a.id())}
		}
	}
	return nil
}

// isFar reports whether two positive answers are more than farPercent apart.
func isFar(a, b *uint256.Int) bool {
	small, large := a, b
	if small.Gt(large) {
		small, large = large, small
	}
	bound, overflow := new(uint256.Int).MulDivOverflow(small, uint256.NewInt(100+farPercent), uint256.NewInt(100))
	return !overflow && large.Gt(bound)
}

// micros makes millionths of a dollar of an answer, rounded half up. Below one,
// or above a trillion dollars, it is none.
func micros(answer *uint256.Int, decimals uint8) (tracer.Micros, bool) {
	unit := new(uint256.Int).Exp(uint256.NewInt(10), uint256.NewInt(uint64(decimals)))
	v, overflow := new(uint256.Int).MulOverflow(answer, uint256.NewInt(uint64(tracer.Dollar)))
	if overflow {
		return 0, false
	}
	v.Add(v, new(uint256.Int).Rsh(unit, 1))
	v.Div(v, unit)
	if v.IsZero() || v.GtUint64(uint64(maxPrice)) {
		return 0, false
	}
	return tracer.Micros(v.Uint64()), true
}

// maxPrice is more than any unit of anything costs, and fits a file.
const maxPrice = 999_999_999_999 * tracer.Dollar

// A round is an answer of a feed.
type round struct {
	phase, index uint64      // of its number: the phase is above the low 64 bits
	answer       uint256.Int // signed
	updated      uint64      // Unix seconds
	answered     uint256.Int // in this round
}

func (r round) number() *uint256.Int { return new(uint256.Int).SetBytes(roundID(r.phase, r.index)) }

func (r round) id() string { return r.number().Dec() }

// roundID is the number of a round as an argument.
func roundID(phase, index uint64) []byte {
	b := make([]byte, 32)
	binary.BigEndian.PutUint64(b[16:], phase)
	binary.BigEndian.PutUint64(b[24:], index)
	return b
}

func word(n uint64) []byte { return roundID(0, n) }

// decodeRound reads what getRoundData and latestRoundData return.
func decodeRound(b []byte) (round, bool) {
	if len(b) < 160 {
		return round{}, false
	}
	var id, updated uint256.Int
	var r round
	id.SetBytes(b[:32])
	r.answer.SetBytes(b[32:64])
	updated.SetBytes(b[96:128])
	r.answered.SetBytes(b[128:160])
	r.index, r.updated = id[0], updated.Uint64()
	r.phase = id[1]
	return r, id.BitLen() <= 80 && updated.BitLen() < 63
}

// decodeUint reads a number that fits 64 bits.
func decodeUint(b []byte) (uint64, bool) {
	if len(b) < 32 {
		return 0, false
	}
	n := new(uint256.Int).SetBytes(b[:32])
	return n.Uint64(), n.IsUint64()
}

// decodeText reads a string.
func decodeText(b []byte) (string, bool) {
	at, ok := decodeUint(b)
	if !ok || at > uint64(len(b)) {
		return "", false
	}
	n, ok := decodeUint(b[at:])
	if rest := b[min(at+32, uint64(len(b))):]; ok && n <= uint64(len(rest)) {
		return string(rest[:n]), true
	}
	return "", false
}
