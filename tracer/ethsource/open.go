package ethsource

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"scamtrace/tracer"
	"scamtrace/tracer/balance"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/rpc"
)

// Open is [OpenPool] with one endpoint.
func Open(ctx context.Context, chain tracer.Chain, endpoint string, o Options) (*Source, error) {
	return OpenPool(ctx, chain, []Endpoint{{URL: endpoint}}, o)
}

// OpenPool connects to nodes, checks that each serves the chain, pins a block
// that all of them have, and finds out what they can do. Of several, one that
// does not answer, that is far behind, or that shows another block than most
// others, is left out, and a note says so. An address that is none, or another
// chain, is an error that wraps [tracer.ErrUsage]; nodes of which no majority
// shows one block, and a block of [Options.Pin] that is no longer on the chain,
// one that wraps [tracer.ErrReorg].
func OpenPool(ctx context.Context, chain tracer.Chain, endpoints []Endpoint, o Options) (*Source, error) {
	c, err := dial(ctx, endpoints, o)
	if err != nil {
		return nil, err
	}
	s := &Source{c: c, chain: chain, checker: balance.New(chain), group: maxTopics, inner: traceMethods[0], told: never, hashes: make(map[uint64]common.Hash), blocks: make(map[uint64]*block)}
	s.logs, s.traced = s.newWindow("eth_getLogs"), s.newWindow("trace_filter")
	for _, n := range c.nodes {
		host, _, _ := strings.Cut(n.name, "#")
		role := n.role.String()
		if n.role == RolePrimary {
			role = ""
		}
		s.setup = append(s.setup, SetupNode{Host: host, Role: role})
	}
	p := newPurse(0, new(counter))
	if err := s.pin(ctx, p, o.Pin); err != nil {
		return nil, err
	}
	s.hashes = map[uint64]common.Hash{s.pinned.Number: s.pinned.Hash}
	if err := s.explore(ctx, p, &o); err != nil {
		return nil, fmt.Errorf("connect to %s: %w", c.nodes[0].name, err)
	}
	c.vouch = func(ctx context.Context, p *purse, n *node) error {
		v := s.of(n)
		v.c.once = true
		return v.vouch(ctx, p)
	}
	return s, nil
}

func (s *Source) newWindow(method string) *window {
	w := newWindow(anyWidth)
	for range s.c.nodes[1:] {
		w.of = append(w.of, w.of[0])
	}
	w.first = func() int { return s.c.first(method) }
	return w
}

// of is a source of one of the nodes, with the same pinned block.
func (s *Source) of(n *node) *Source {
	v := &Source{c: s.c.only(n), chain: s.chain, checker: balance.New(s.chain), pinned: s.pinned, group: maxTopics, inner: traceMethods[0], told: s.toldFrom(),
		hashes: map[uint64]common.Hash{s.pinned.Number: s.pinned.Hash}, blocks: make(map[uint64]*block)}
	one := func(w *window) *window {
		w.mu.Lock()
		defer w.mu.Unlock()
		return &window{of: []width{*w.at(n.index)}}
	}
	v.logs, v.traced = one(s.logs), one(s.traced)
	v.unite()
	return v
}

// Notes says, in sentences, what the node could not do.
func (s *Source) Notes() []string { return s.notes }

// A sight is what a node shows of the chain.
type sight struct {
	node  *node
	block tracer.Block // the last final one, or the one that is known
	back  uint64       // how far behind the newest it is, where the node does not say what is final
	old   bool         // what it says is final is too old to be so
	err   error
}

// farBehind is how many seconds a node's last final block may be older than
// the others': no chain takes that long to agree.
const farBehind = 3600

// pin checks the chain and fetches the finalized block, the lowest of all
// nodes', or checks that the block known is still there.
func (s *Source) pin(ctx context.Context, p *purse, known *tracer.Block) error {
	seen := make([]sight, len(s.c.nodes))
	_ = each(len(seen), func(i int) error {
		n := s.c.nodes[i]
		seen[i] = s.of(n).look(ctx, p, known)
		seen[i].node = n
		return nil
	})
	if ctx.Err() != nil {
		return fmt.Errorf("connect to %s: %w", s.c.nodes[0].name, context.Cause(ctx))
	}
	for _, x := range seen {
		if errors.Is(x.err, tracer.ErrUsage) { // another chain
			return x.err
		}
	}
	var failed []error
	seen = slices.DeleteFunc(seen, func(x sight) bool {
		if x.err != nil {
			failed = append(failed, fmt.Errorf("connect to %s: %w", x.node.name, x.err))
			s.leaveOut(x.node, fault(x.err))
		}
		return x.err != nil
	})
	if len(seen) == 0 {
		s.notes = nil
		return together(failed)
	}
	if known == nil {
		newest := slices.MaxFunc(seen, func(a, b sight) int { return cmp.Compare(a.block.Time, b.block.Time) }).block.Time
		seen = slices.DeleteFunc(seen, func(x sight) bool {
			behind := newest - x.block.Time
			if behind > farBehind {
				s.leaveOut(x.node, fmt.Sprintf("is %s behind the others", (time.Duration(behind)*time.Second).Round(time.Minute)))
			}
			return behind > farBehind
		})
	}
	// The height is the lowest of those that are kept: one that is voted out must
	// not hold back the others.
	var lowest sight
	for first := seen; ; {
		lowest = slices.MinFunc(first, func(a, b sight) int { return cmp.Compare(a.block.Number, b.block.Number) })
		var err error
		if seen, err = s.settlePin(ctx, p, slices.Clone(first), lowest.block.Number, known, failed); err != nil {
			return err
		}
		kept := func(n *node) bool { return slices.ContainsFunc(seen, func(x sight) bool { return x.node == n }) }
		if kept(lowest.node) {
			break
		}
		first = slices.DeleteFunc(first, func(x sight) bool { return !kept(x.node) })
	}
	s.pinned = seen[0].block
	s.c.nodes = slices.DeleteFunc(s.c.nodes, func(n *node) bool {
		return !slices.ContainsFunc(seen, func(x sight) bool { return x.node == n })
	})
	if lowest.back > 0 {
		who := "The node"
		if len(s.c.nodes) > 1 {
			who = "The endpoint at " + lowest.node.name
		}
		what := "does not say which block is final"
		if lowest.old {
			what = "says that no block of the last hour or more is final"
		}
		s.notes = append(s.notes, fmt.Sprintf("%s %s; the block %d behind the newest was taken.", who, what, lowest.back))
	}
	return nil
}

// together is one sentence of several errors.
func together(errs []error) error {
	out := errs[0]
	for _, err := range errs[1:] {
		out = fmt.Errorf("%w; %w", out, err)
	}
	return out
}

// fault says what is wrong with a node that failed.
func fault(err error) string {
	if e, ok := errors.AsType[*nodeError](err); ok && e.silent {
		return "cannot be reached"
	}
	return "does not answer as it should"
}

func (s *Source) leaveOut(n *node, why string) {
	s.notes = append(s.notes, fmt.Sprintf("The endpoint at %s %s, and was left out.", n.name, why))
}

// settlePin keeps the nodes that show the same block at a height as most do, or
// as it was. Those that failed before have no say.
func (s *Source) settlePin(ctx context.Context, p *purse, seen []sight, at uint64, known *tracer.Block, failed []error) ([]sight, error) {
	_ = each(len(seen), func(i int) error {
		if x := &seen[i]; x.block.Number != at {
			h, err := s.of(x.node).header(ctx, p, false, at)
			if x.err = err; err == nil {
				x.block = tracer.Block{Number: at, Hash: h.Hash, Time: uint64(h.Time)}
			}
		}
		return nil
	})
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	votes := make(map[tracer.Block]int)
	all := 0
	for _, x := range seen {
		if x.err == nil {
			votes[x.block]++
			all++
		}
	}
	var right tracer.Block
	if known != nil && known.Hash != (common.Hash{}) {
		for _, x := range seen {
			if x.err == nil && x.block.Hash == known.Hash && votes[x.block] > votes[right] {
				right = x.block
			}
		}
		if votes[right] == 0 && 2*all <= len(s.c.nodes) { // those that do not answer may have it
			return nil, together(failed)
		}
		if votes[right] == 0 {
			return nil, fmt.Errorf("%w: block %d was %s and is now %s", tracer.ErrReorg, at, known.Hash, seen[0].block.Hash)
		}
	} else {
		for _, x := range seen {
			if x.err == nil && 2*votes[x.block] > all {
				right = x.block
			}
		}
	}
	if votes[right] == 0 {
		var hosts []string
		for _, x := range seen {
			hosts = append(hosts, x.node.name)
		}
		return nil, fmt.Errorf("%w: the endpoints at %s show different blocks %d, and nobody can tell which is right; name another endpoint, or only the one that you trust",
			tracer.ErrReorg, strings.Join(hosts, " and "), at)
	}
	return slices.DeleteFunc(seen, func(x sight) bool {
		switch {
		case x.err != nil:
			s.leaveOut(x.node, fault(x.err))
		case x.block != right:
			s.leaveOut(x.node, fmt.Sprintf("shows another block %d than the others", at))
		default:
			return false
		}
		return true
	}), nil
}

// look finds out what the one node of a source shows of the chain.
func (s *Source) look(ctx context.Context, p *purse, known *tracer.Block) (x sight) {
	var id hexutil.Uint64
	if x.err = s.c.one(ctx, p, &id, "eth_chainId"); x.err != nil {
		return x
	}
	if err := s.sameChain(uint64(id)); err != nil {
		x.err = fmt.Errorf("%w: %w; name the right chain or endpoint", tracer.ErrUsage, err)
		return x
	}
	var head, final *header
	if known != nil {
		if final, x.err = s.header(ctx, p, true, known.Number); x.err != nil {
			return x
		}
		x.block = tracer.Block{Number: known.Number, Hash: final.Hash, Time: uint64(final.Time)}
		return x
	}
	if x.err = s.c.one(ctx, p, &head, "eth_getBlockByNumber", "latest", false); x.err != nil {
		return x
	}
	if head == nil {
		x.err = s.c.unusable("it shows no newest block")
		return x
	}
	if err := s.c.probe(ctx, p, &final, "eth_getBlockByNumber", "finalized", false); ctx.Err() != nil {
		x.err = context.Cause(ctx)
		return x
	} else if err != nil || final == nil || final.Number > head.Number || final.Number == 0 && head.Number > 0 && s.chain.FinalityDepth < uint64(head.Number) || s.stale(head, final) {
		x.old = err == nil && final != nil && final.Number > 0 && final.Number <= head.Number
		x.back = min(uint64(head.Number), s.chain.FinalityDepth)
		if final, x.err = s.header(ctx, p, false, uint64(head.Number)-x.back); x.err != nil {
			return x
		}
	}
	x.block = tracer.Block{Number: uint64(final.Number), Hash: final.Hash, Time: uint64(final.Time)}
	return x
}

// stale reports whether a node's final block is too old to be the last one: a
// node that stands still, or does not know the tag, may name any.
func (s *Source) stale(head, final *header) bool {
	behind := uint64(head.Number - final.Number)
	return behind > s.chain.FinalityDepth &&
		(head.Time > final.Time+farBehind || behind > 4*s.chain.Blocks(farBehind*time.Second))
}

func (s *Source) sameChain(id uint64) error {
	if id == s.chain.ID {
		return nil
	}
	other := fmt.Sprintf("chain %d", id)
	if c, ok := tracer.ChainByID(id); ok {
		other = c.Title
	}
	return fmt.Errorf("%w: the endpoint at %s serves %s, not %s (chain %d)", tracer.ErrWrongChain, s.c.nodes[0].name, other, s.chain.Title, s.chain.ID)
}

// header fetches the header of a block that must be there.
func (s *Source) header(ctx context.Context, p *purse, probe bool, n uint64) (*header, error) {
	var h *header
	err := s.c.call(ctx, p, probe, func(sc *scanner) error {
		h = nil
		if err := into(&h)(sc); err != nil {
			return err
		}
		if h == nil || uint64(h.Number) != n {
			return &nodeError{kind: kindBehind, text: fmt.Sprintf("the endpoint does not have block %d", n)}
		}
		return nil
	}, "eth_getBlockByNumber", hexutil.EncodeUint64(n), false)
	return h, err
}

// witness asks the nodes that were asked in a reading whether they are still on
// the chain that was read: what is behind an address may be many nodes, some of
// which are not. What cannot be asked any more speaks against nothing when
// another one can.
func (s *Source) witness(ctx context.Context, p *purse) error {
	nodes := p.spent.whom()
	if len(nodes) == 0 {
		nodes = s.c.nodes[:1]
	}
	// Those that rest at last, and only when no other is left to ask.
	nodes = slices.Clone(nodes)
	slices.SortStableFunc(nodes, func(a, b *node) int { return cmp.Compare(a.resting(), b.resting()) })
	var failed error
	vouched := false
	for _, n := range nodes {
		if vouched && n.resting() > 0 {
			break
		}
		err := s.of(n).vouch(ctx, p)
		if e, ok := errors.AsType[*nodeError](err); err != nil && !(ok && e.gone()) {
			return err
		}
		vouched = vouched || err == nil
		failed = cmp.Or(failed, err)
	}
	if vouched {
		return nil
	}
	return failed
}

// vouch asks the one node of a source whether it is on the chain.
func (s *Source) vouch(ctx context.Context, p *purse) error {
	var id hexutil.Uint64
	var h *header
	if err := s.c.all(ctx, p, []rpc.BatchElem{
		{Method: "eth_chainId", Result: &id},
		{Method: "eth_getBlockByNumber", Args: []any{hexutil.EncodeUint64(s.pinned.Number), false}, Result: &h},
	}); err != nil {
		return err
	}
	if err := s.sameChain(uint64(id)); err != nil {
		return err
	}
	if h == nil || uint64(h.Number) != s.pinned.Number {
		return &nodeError{kind: kindBehind, text: fmt.Sprintf("the endpoint no longer shows block %d, up to which it is read", s.pinned.Number)}
	}
	if h.Hash != s.pinned.Hash {
		return fmt.Errorf("%w: block %d was %s and is now %s", tracer.ErrReorg, s.pinned.Number, s.pinned.Hash, h.Hash)
	}
	return nil
}

// witnessCalls is what witness costs at most.
func (s *Source) witnessCalls() int { return 2 * len(s.c.nodes) }
