package indexsource

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/big"
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

// planning is a query of a planner under way.
type planning struct {
	*Planner
	q     tracer.Query
	r     *reading
	purse *purse
	gaps  []tracer.Unread // what nobody has read yet
	final []tracer.Unread // crowded: nobody is to read it
	found []finding
	at    map[tracer.TransferID]int // in found
	sure  []tracer.Unread           // what the node was asked for

	unchecked []tracer.Unread
}

// A finding is a transfer and who says so.
type finding struct {
	tracer.Transfer
	sure bool // the node
}

// ask asks a source for the gaps, and keeps as gaps what it does not cover.
func (w *planning) ask(ctx context.Context, s tracer.Source, who int) (asked []tracer.Span, err error) {
	if len(w.gaps) == 0 {
		return nil, context.Cause(ctx)
	}
	if w.q.MaxRequests > 0 && w.purse.left == 0 {
		for i := range w.gaps {
			w.gaps[i].Reason, w.gaps[i].Detail = tracer.ReasonBudget, tracer.ErrBudget.Error()
		}
		return nil, context.Cause(ctx)
	}
	q := tracer.Query{MaxTransfers: w.q.MaxTransfers}
	if w.q.MaxRequests > 0 {
		q.MaxRequests = w.purse.left
	}
	for _, g := range w.gaps {
		q.Spans = append(q.Spans, g.Span)
	}
	q.Spans = newReading(q, ^uint64(0)).spans // joined
	// What a source that ends early leaves out must not pass for read.
	last := ^uint64(0)
	if b, err := s.Pin(ctx); err == nil {
		last = b.Number
	}
	ans, err := s.Transfers(ctx, q)
	w.unchecked = append(w.unchecked, ans.Unchecked...)
	w.purse.left, w.purse.spent = w.purse.left-ans.Requests, w.purse.spent+ans.Requests
	for _, p := range q.Spans {
		if p.From = max(p.From, last+1); last < ^uint64(0) && p.From <= p.To {
			ans.Unread = append(ans.Unread, tracer.Unread{Span: p, Reason: tracer.ReasonSource, Detail: fmt.Sprintf("%s has no blocks after %d", w.shares[who].Name, last)})
		}
	}
	w.mu.Lock()
	w.shares[who].Requests += ans.Requests
	w.shares[who].Transfers += len(ans.Transfers)
	w.mu.Unlock()
	var gaps []tracer.Unread
	unread := byWallet(ans.Unread)
	for _, g := range w.gaps {
		for _, u := range unread[g.Wallet] {
			part, ok := both(g.Part, u.Part)
			v := tracer.Unread{Span: tracer.Span{Wallet: g.Wallet, From: max(g.From, u.From), To: min(g.To, u.To)}, Part: part, Reason: u.Reason, Detail: u.Detail}
			if !ok || v.From > v.To {
				continue
			}
			if part != tracer.PartTokens && part != tracer.PartAll && who == len(w.faster) && w.blind() && g.Detail != "" {
				v.Reason, v.Detail = g.Reason, g.Detail // what the node says does not help
			}
			if u.Reason == tracer.ReasonCrowded {
				w.final = append(w.final, v)
			} else {
				gaps = append(gaps, v)
			}
		}
	}
	node := who == len(w.faster)
	for _, t := range ans.Transfers {
		if !w.r.touches(&t) {
			continue
		}
		i, ok := w.at[t.ID()]
		switch {
		case !ok:
			w.at[t.ID()] = len(w.found)
			w.found = append(w.found, finding{t, node})
		case node:
			w.found[i] = finding{t, true}
		case !agree(&w.found[i].Transfer, &t): // the node has to say
			for _, a := range [...]common.Address{t.From, t.To, w.found[i].From, w.found[i].To} {
				for _, b := range [...]uint64{t.Block, w.found[i].Block} {
					if w.r.wants(a, b) {
						gaps = append(gaps, tracer.Unread{Span: tracer.Span{Wallet: a, From: b, To: b}, Reason: tracer.ReasonSource, Detail: "two sources contradict each other"})
					}
				}
			}
		case w.found[i].BlockHash == common.Hash{}:
			w.found[i].BlockHash = t.BlockHash
		}
	}
	if node {
		w.show(ans.Transfers)
		for _, p := range q.Spans {
			w.sure = append(w.sure, tracer.Unread{Span: p})
		}
		if err == nil {
			w.mu.Lock()
			for _, p := range q.Spans {
				w.read[p.Wallet] = append(w.read[p.Wallet], tracer.Unread{Span: p})
				w.Planner.unread[p.Wallet] = append(w.Planner.unread[p.Wallet], unread[p.Wallet]...)
			}
			w.mu.Unlock()
		}
		w.believe(unread)
	}
	w.gaps = gaps
	return q.Spans, err
}

// both returns what two parts have in common.
func both(a, b tracer.Part) (tracer.Part, bool) {
	switch {
	case a == tracer.PartAll:
		return b, true
	case b == tracer.PartAll, a == b:
		return a, true
	}
	return 0, false
}

// agree reports whether two readings say the same; a block's hash may be
// missing.
func agree(a, b *tracer.Transfer) bool {
	return a.TxIndex == b.TxIndex && a.Time == b.Time && tracer.SameTransfer(*a, *b)
}

func byWallet(us []tracer.Unread) map[common.Address][]tracer.Unread {
	of := make(map[common.Address][]tracer.Unread)
	for _, u := range us {
		of[u.Wallet] = append(of[u.Wallet], u)
	}
	return of
}

// believe drops what only others say where the node was asked, now or before, and
// shows it not; of what it showed before, its own words count.
func (w *planning) believe(unread map[common.Address][]tracer.Unread) {
	sure := byWallet(w.sure)
	kept := w.found[:0]
	clear(w.at)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range w.found {
		if own, ok := w.shown[f.ID()]; ok && !f.sure {
			f = finding{own, true}
		}
		part := tracer.PartOf(&f.Transfer)
		reads := func(read, not []tracer.Unread) bool {
			return holds(read, f.Block, tracer.PartAll) && !holds(not, f.Block, part)
		}
		denied := false
		for _, a := range [...]common.Address{f.From, f.To} {
			if a == f.To && f.Kind == tracer.KindFee && f.From != f.To {
				continue
			}
			denied = denied || !f.sure && (reads(sure[a], unread[a]) || reads(w.read[a], w.Planner.unread[a]))
		}
		if !denied {
			w.at[f.ID()] = len(kept)
			kept = append(kept, f)
		}
	}
	w.found = kept
}

// finish lets the node fill the gaps, and read anew what cannot be right.
func (w *planning) finish(ctx context.Context) error {
	node := len(w.faster)
	w.believe(nil)
	asked, err := w.ask(ctx, w.node, node)
	if err != nil || ctx.Err() != nil {
		return cmp.Or(context.Cause(ctx), err)
	}
	doubt, err := w.doubts(ctx, asked)
	if err != nil || len(doubt) == 0 {
		return err
	}
	left := w.gaps
	w.gaps = nil
	for _, p := range doubt {
		w.gaps = append(w.gaps, tracer.Unread{Span: p})
	}
	_, err = w.ask(ctx, w.node, node)
	w.gaps = append(w.gaps, left...)
	return err
}

// doubts returns the spans whose transfers do not explain what became of the
// wallet's nonce and balances. Those that the node has read are not looked at.
func (w *planning) doubts(ctx context.Context, asked []tracer.Span) (doubt []tracer.Span, err error) {
	ts := make([]tracer.Transfer, 0, len(w.found))
	for _, f := range w.found {
		ts = append(ts, f.Transfer)
	}
	ts = once(tracer.SortTransfers(ts))
	if states, ok := w.node.(tracer.StateSource); ok && !w.blind() {
		doubt, err = w.check(ctx, states, w.covered(asked, false), ts)
	}
	if b, ok := w.node.(balancer); ok && err == nil {
		var claims []balance.Claim
		for _, p := range w.covered(asked, true) {
			if !slices.Contains(doubt, p) {
				claims = append(claims, balance.Claim{Span: p, Tokens: true})
			}
		}
		wrong, unchecked, n, bad := b.Check(ctx, claims, w.purse.left, ts)
		w.pay(n)
		w.unchecked, err = append(w.unchecked, unchecked...), bad
		for i := range wrong {
			doubt = append(doubt, wrong[i].Span)
		}
	}
	slices.SortFunc(doubt, compareSpans)
	return slices.Compact(doubt), err
}

// pay counts what the node was asked beside transfers.
func (w *planning) pay(n int) {
	w.purse.left, w.purse.spent = w.purse.left-n, w.purse.spent+n
	w.mu.Lock()
	defer w.mu.Unlock()
	w.shares[len(w.faster)].Requests += n
}

// covered returns what others than the node have read whole, of tokens or of
// all else.
func (w *planning) covered(asked []tracer.Span, tokens bool) (spans []tracer.Span) {
	crowded, gaps := byWallet(w.final), byWallet(w.gaps)
	read := make(map[tracer.Span]bool)
	for _, p := range asked {
		read[p] = true
	}
	for _, p := range w.r.spans {
		whole := p
		for _, u := range crowded[p.Wallet] {
			if u.From <= p.To && u.To >= p.From {
				if u.From <= p.From {
					p.From, p.To = 1, 0
					break
				}
				p.To = u.From - 1
			}
		}
		open := slices.ContainsFunc(gaps[p.Wallet], func(u tracer.Unread) bool {
			return u.From <= p.To && u.To >= p.From && (u.Part == tracer.PartAll || (u.Part == tracer.PartTokens) == tokens)
		})
		if p.From <= p.To && !open && !read[whole] {
			spans = append(spans, p)
		}
	}
	return spans
}

// check returns the spans in which transfers do not explain what became of the
// wallet's nonce and of its balance of native coin.
func (w *planning) check(ctx context.Context, states tracer.StateSource, spans []tracer.Span, ts []tracer.Transfer) ([]tracer.Span, error) {
	if len(spans) == 0 {
		return nil, context.Cause(ctx)
	}
	const each = 4 // two states, with a nonce and a balance
	if n := w.purse.left / each; n < len(spans) {
		for _, p := range spans[n:] {
			w.gaps = append(w.gaps, tracer.Unread{Span: p, Part: tracer.PartNative, Reason: tracer.ReasonBudget, Detail: tracer.ErrBudget.Error()},
				tracer.Unread{Span: p, Part: tracer.PartInternal, Reason: tracer.ReasonBudget, Detail: tracer.ErrBudget.Error()})
		}
		if spans = spans[:n]; n == 0 {
			return nil, nil
		}
	}
	var wallets []common.Address
	var blocks []uint64
	for _, p := range spans {
		wallets = append(wallets, p.Wallet, p.Wallet)
		blocks = append(blocks, max(p.From, 1)-1, p.To)
	}
	most := 0
	if w.q.MaxRequests > 0 {
		most = w.purse.left
	}
	nonces, balances, n, err := states.States(ctx, wallets, blocks, most)
	w.pay(n)
	if ctx.Err() != nil {
		for _, p := range spans {
			w.r.miss(p, tracer.PartAll, context.Cause(ctx))
		}
		return nil, context.Cause(ctx)
	}
	if err != nil { // as of a node that keeps no old states: it reads all there is to check
		return spans, nil
	}
	of := make(map[common.Address][]tracer.Transfer)
	for _, t := range ts {
		of[t.From] = append(of[t.From], t)
		if t.To != t.From {
			of[t.To] = append(of[t.To], t)
		}
	}
	var doubt []tracer.Span
	for i, p := range spans {
		sent, change := explained(p, of[p.Wallet])
		want := new(big.Int).Sub(balances[2*i+1].ToBig(), balances[2*i].ToBig())
		if change.Cmp(want) != 0 || nonces[2*i+1]-nonces[2*i] != uint64(sent) {
			doubt = append(doubt, p)
		}
	}
	return doubt, nil
}

// answer ends the query.
func (w *planning) answer() tracer.Answer {
	for _, f := range w.found {
		w.r.ts = append(w.r.ts, f.Transfer)
	}
	for _, u := range slices.Concat(w.gaps, w.final) {
		if u.Reason == "" { // nobody got to it
			u.Reason, u.Detail = tracer.ReasonStopped, "the run was interrupted"
		}
		w.r.unread = append(w.r.unread, u)
	}
	ans := w.r.answer(w.purse.spent)
	ans.Unchecked = w.r.within(w.unchecked)
	return ans
}
