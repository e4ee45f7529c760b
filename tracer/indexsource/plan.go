package indexsource

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"scamtrace/tracer"
	"scamtrace/tracer/balance"

	"github.com/ethereum/go-ethereum/common"
)

// A balancer is a node that compares what was read with balances.
type balancer interface {
	Check(ctx context.Context, claims []balance.Claim, most int, ts ...[]tracer.Transfer) (wrong []balance.Mismatch, unchecked []tracer.Unread, requests int, err error)
}

// A Planner reads from several sources as one; [Plan] makes it.
type Planner struct {
	node   tracer.Source
	faster []tracer.Source

	mu     sync.Mutex
	stands []standing // of faster
	shares []Share
	// What the node has read itself, what of that it could not, and what it showed.
	read, unread map[common.Address][]tracer.Unread
	shown        map[tracer.TransferID]tracer.Transfer
}

// A standing is what is known of whether a faster source may be asked.
type standing struct {
	usable, out bool // for good
	fails       int  // to show its block
}

// mostFails is how often a faster source may fail to show its block.
const mostFails = 3

// A Share is what one source has contributed.
type Share struct {
	Name      string
	Transfers int // in answers, before what others say is merged with them
	Requests  int
	Trouble   string // why it is not asked, if it is not
}

// Plan makes one source of a node and of faster ones, the cheapest first. It is
// pinned where the node is; a faster one that disagrees about that block is
// not used.
//
// Every question goes to the first of the faster sources, what that does not
// cover to the next, and the rest to the node. Transfers are merged by their
// identity, and what the node says counts: what it contradicts or does not
// show where it was asked is dropped. Where the node is a [tracer.StateSource], the
// nonce and the balance of every wallet at both ends of what was read must
// be explained by what was found; if they are not, the node reads the wallet
// itself; so must the balances of the chain table's tokens, where the node compares
// them, as ethsource's Check does. That catches what an indexer leaves out or
// invents, and amounts that it changes. Of other tokens, of who the other side was, and of money
// that passes through a contract in and out unseen, nothing tells: no such transfer counts as
// verified before [tracer.Confirm] has asked the node for it, as a report must for what it cites.
//
// What else the node can do, [tracer.As] finds.
func Plan(node tracer.Source, faster ...tracer.Source) *Planner {
	p := &Planner{node: node, faster: faster, read: make(map[common.Address][]tracer.Unread), unread: make(map[common.Address][]tracer.Unread), shown: make(map[tracer.TransferID]tracer.Transfer)}
	for _, s := range faster {
		name := "a faster source"
		if n, ok := s.(interface{ Name() string }); ok {
			name = n.Name()
		}
		p.shares = append(p.shares, Share{Name: name})
	}
	p.shares = append(p.shares, Share{Name: "the node"})
	p.stands = make([]standing, len(faster))
	return p
}

// Names are what the faster sources are called, without those that cannot be asked.
func (p *Planner) Names() (names []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, s := range p.shares[:len(p.faster)] {
		if !p.stands[i].out {
			names = append(names, s.Name)
		}
	}
	return names
}

// Look finds out which of the faster sources can be asked, as the first query
// would.
func (p *Planner) Look(ctx context.Context) error {
	pinned, err := p.node.Pin(ctx)
	if err == nil {
		_, err = p.use(ctx, pinned)
	}
	return err
}

// Unwrap returns the node.
func (p *Planner) Unwrap() tracer.Source { return p.node }

// Endpoints are the addresses of the faster sources, which may hold keys.
func (p *Planner) Endpoints() (urls []string) {
	for _, s := range p.faster {
		if e, ok := s.(interface{ Endpoint() string }); ok {
			urls = append(urls, e.Endpoint())
		}
	}
	return urls
}

// FromNode reports whether the node itself has shown a transfer, unasked for it.
func (p *Planner) FromNode(t *tracer.Transfer) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	own, ok := p.shown[t.ID()]
	return ok && tracer.SameTransfer(*t, own)
}

// show keeps what the node showed.
func (p *Planner) show(ts []tracer.Transfer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range ts {
		p.shown[ts[i].ID()] = ts[i]
	}
}

// holds reports whether something of a part is in one of us.
func holds(us []tracer.Unread, block uint64, part tracer.Part) bool {
	return slices.ContainsFunc(us, func(u tracer.Unread) bool {
		_, ok := both(u.Part, part)
		return ok && u.From <= block && block <= u.To
	})
}

// Shares returns what each source has contributed so far, the node last.
func (p *Planner) Shares() []Share {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.shares)
}

// Notes says, in sentences that are the same for every run, what is read from
// where; those of the node come first.
func (p *Planner) Notes() (notes []string) {
	if n, ok := p.node.(interface{ Notes() []string }); ok {
		notes = slices.Clone(n.Notes())
	}
	names := p.Names()
	if len(names) == 0 {
		return notes
	}
	notes = append(notes, fmt.Sprintf("Transfers were looked up in %s, and at the node what is not found there.", strings.Join(names, ", then in ")))
	if _, ok := p.node.(tracer.StateSource); ok && !p.blind() {
		if a, ok := p.node.(interface{ Archive() bool }); ok && !a.Archive() {
			return append(notes, "What was found could not be compared with nonces and balances, because the node keeps no old states: so the node was read for the same.")
		}
		return append(notes, "What was found was compared with nonces and balances at the node; transfers that an indexer leaves out of tokens without a known value would not be noticed.")
	}
	return append(notes, "What an indexer leaves out would not be noticed: the node shows no old balances to compare with.")
}

// Pin returns the node's block.
func (p *Planner) Pin(ctx context.Context) (tracer.Block, error) { return p.node.Pin(ctx) }

// BlockAt asks the node.
func (p *Planner) BlockAt(ctx context.Context, time uint64) (uint64, error) {
	return p.node.BlockAt(ctx, time)
}

// Transactions asks the node, and where that is blind for native coin, as nodes
// of Tron are, the others.
func (p *Planner) Transactions(ctx context.Context, txs []common.Hash, most int) (tracer.Answer, error) {
	ans, err := p.node.Transactions(ctx, txs, most)
	p.show(ans.Transfers)
	if err == nil && slices.ContainsFunc(ans.Unread, func(u tracer.Unread) bool { return u.Part == tracer.PartNative }) {
		return p.fill(ctx, txs, most, ans)
	}
	return ans, err
}

// blind reports whether the node shows nothing of native coin, whatever block it
// is asked for; then there is nothing to compare with.
func (p *Planner) blind() bool {
	b, ok := p.node.(interface{ Blind() bool })
	return ok && b.Blind()
}

// fill adds to the node's answer about transactions what the others know of what
// it could not read.
func (p *Planner) fill(ctx context.Context, txs []common.Hash, most int, ans tracer.Answer) (tracer.Answer, error) {
	pinned, err := p.node.Pin(ctx)
	if err != nil {
		return ans, err
	}
	usable, err := p.use(ctx, pinned)
	if err != nil {
		return ans, err
	}
	for i, s := range p.faster {
		if !usable[i] {
			continue
		}
		if most > 0 && ans.Requests >= most {
			return ans, tracer.ErrBudget
		}
		more, err := s.Transactions(ctx, txs, max(most-ans.Requests, 0))
		ans.Requests += more.Requests
		if ctx.Err() != nil {
			return ans, context.Cause(ctx)
		}
		if errors.Is(err, tracer.ErrBudget) {
			return ans, err
		}
		if err != nil {
			continue // it finds nothing by hash, or not these
		}
		for _, t := range more.Transfers {
			if holds(ans.Unread, t.Block, tracer.PartOf(&t)) {
				ans.Transfers = append(ans.Transfers, t)
			}
		}
		ans.Unread = slices.DeleteFunc(ans.Unread, func(u tracer.Unread) bool { return !holds(more.Unread, u.From, u.Part) })
	}
	ans.Transfers = tracer.SortTransfers(ans.Transfers)
	return ans, nil
}

// use reports which of the faster sources may be asked: one must know the node's
// pinned block, or end before it. One that shows another block or does not accept
// the key is not asked again, and one that fails is, some times. No lock is held
// meanwhile.
func (p *Planner) use(ctx context.Context, pinned tracer.Block) ([]bool, error) {
	usable := make([]bool, len(p.faster))
	for i, s := range p.faster {
		p.mu.Lock()
		known := p.stands[i]
		p.mu.Unlock()
		if usable[i] = known.usable; known.usable || known.out {
			continue
		}
		b, err := s.Pin(ctx)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		trouble, final := "", false
		var none common.Hash
		switch f, ok := errors.AsType[*fault](err); {
		case err != nil:
			trouble, final = err.Error(), errors.Is(err, tracer.ErrReorg) || errors.Is(err, tracer.ErrWrongChain) || ok && f.kind == kindDenied
		case b.Number == pinned.Number && b.Hash != pinned.Hash && b.Hash != none && pinned.Hash != none:
			trouble, final = fmt.Sprintf("it shows another block %d", b.Number), true
		}
		p.mu.Lock()
		now := &p.stands[i]
		if p.shares[i].Trouble = trouble; trouble == "" {
			now.usable = true
		} else if now.fails++; final || now.fails >= mostFails {
			now.out = true
		}
		usable[i] = now.usable
		p.mu.Unlock()
	}
	return usable, nil
}

// Transfers asks one source after another.
func (p *Planner) Transfers(ctx context.Context, q tracer.Query) (tracer.Answer, error) {
	pinned, err := p.node.Pin(ctx)
	if err != nil {
		return refuse(ctx, q, newPurse(0), err)
	}
	w := &planning{Planner: p, q: q, r: newReading(q, pinned.Number), purse: newPurse(q.MaxRequests), at: make(map[tracer.TransferID]int)}
	usable, err := p.use(ctx, pinned)
	if err != nil {
		return refuse(ctx, q, w.purse, err)
	}
	for _, s := range w.r.spans {
		w.gaps = append(w.gaps, tracer.Unread{Span: s, Part: tracer.PartAll})
	}
	for i, s := range p.faster {
		if !usable[i] {
			continue
		}
		// An indexer that fails says what it left out; the next one is asked.
		if _, err := w.ask(ctx, s, i); err != nil && ctx.Err() != nil {
			return w.answer(), context.Cause(ctx)
		}
	}
	if err := w.finish(ctx); err != nil {
		return w.answer(), err
	}
	return w.answer(), context.Cause(ctx)
}
