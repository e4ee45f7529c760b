package ethsource

import (
	"context"
	"fmt"
	"slices"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
)

// A job reads one piece.
type job struct {
	*Source
	stretch
	active  []tracer.Span    // what is asked for, within the piece
	wallets []common.Address // whose
	traced  *window          // of trace_filter
	told    uint64           // the first block known to tell moves of native coin in logs
	total   uint64           // blocks of the whole query
	most    int              // changes of one wallet
	blind   error            // why moves of native coin are not read
}

func (j *job) mine(a common.Address) bool {
	_, ok := slices.BinarySearchFunc(j.wallets, a, common.Address.Cmp)
	return ok
}

// read reads the logs of the piece, and then the moves of native coin that are
// not in them.
func (j *job) read(ctx context.Context, p *purse) (part, error) {
	page, err := j.tokens(ctx, p, j.wallets, j.stretch)
	if err != nil {
		return part{}, err
	}
	own := *j // what this reading learns is not for another try
	c := &coins{job: &own, inLogs: make(map[common.Hash]bool), dark: make(map[common.Address]bool), page: page.ts}
	for i := range page.ts {
		if t := &page.ts[i]; logged(t) {
			c.inLogs[t.Tx] = true
			c.told = min(c.told, t.Block)
		}
	}
	from, err := j.from, j.blind
	if err == nil {
		from, err = c.read(ctx, p)
	}
	got, to := part{wallets: j.wallets, dark: c.dark, logs: page.logs, traced: c.traced}, j.to
	switch {
	case ctx.Err() != nil:
		return part{}, context.Cause(ctx)
	case err == nil:
	case passing(err):
		if from <= j.from {
			return part{}, err
		}
		got.cut, got.stop = from, err
		to = from - 1
	default:
		got.blind = err
		c.miss(stretch{from, j.to}, tracer.PartNative, err)
		c.miss(stretch{from, j.to}, tracer.PartInternal, err)
	}
	if err := c.check(); err != nil {
		return part{}, err
	}
	got.unread = append(got.unread, c.unread...)
	got.ts = append(page.ts, once(c.ts, c.inLogs)...)
	got.ts = slices.DeleteFunc(got.ts, func(t tracer.Transfer) bool { return t.Block > to })
	if err := j.times(ctx, p, got.ts); err != nil {
		return part{}, err
	}
	got.ts = tracer.SortTransfers(got.ts)
	return got, nil
}

// missed is what is not read of some blocks.
func (j *job) missed(b stretch, of tracer.Part, err error) []tracer.Unread {
	var us []tracer.Unread
	for _, p := range j.active {
		if p.From, p.To = max(p.From, b.from), min(p.To, b.to); p.From <= p.To {
			u := tracer.Unread{Span: p, Part: of, Reason: reason(of, err), Detail: err.Error()}
			if err == errTron {
				u.Reason = tracer.ReasonNoTraces
			}
			us = append(us, u)
		}
	}
	return us
}

// coins are the moves of native coin of a piece, as far as they are read.
type coins struct {
	*job
	page     []tracer.Transfer    // from logs
	inLogs   map[common.Hash]bool // transactions whose moves of native coin are in their logs
	ts       []tracer.Transfer
	receipts []*receipt
	unread   []tracer.Unread
	dark     map[common.Address]bool // wallets of which not all is read
}

// miss records that a part of some blocks is not read, of all wallets.
func (c *coins) miss(b stretch, of tracer.Part, err error) {
	c.unread = append(c.unread, c.missed(b, of, err)...)
	for _, w := range c.wallets {
		c.dark[w] = true
	}
}

// errNoTraces is why internal transfers are not read.
var errNoTraces = &nodeError{kind: kindMissing, inner: true, text: "the endpoint shows no internal transfers"}

// someChanges is about how many calls bisection takes for a wallet: two for
// each of twenty blocks, which finds one change in a million blocks.
const someChanges = 40

// read chooses the way that the node has and that costs least, in calls. With
// an error, from is the first block that is not read.
func (c *coins) read(ctx context.Context, p *purse) (from uint64, err error) {
	blocks := c.to - c.from + 1
	can := c.abilities()
	costs := []struct {
		calls uint64
		can   bool
		read  func(context.Context, *purse, stretch) (uint64, error)
	}{
		{(blocks-1)/min(c.traced.size(), blocks) + 1, can.Traces, c.byTraces},
		{2 * uint64(len(c.wallets)), can.Index, c.byIndex},
		{someChanges * uint64(len(c.wallets)), can.Archive, c.byState},
		{blocks, true, c.byBlocks},
	}
	best := -1
	for i := range costs {
		if costs[i].can && (best < 0 || costs[i].calls < costs[best].calls) {
			best = i
		}
	}
	old := c.stretch
	if !can.Traces && c.told <= c.to { // then the logs have it all but the fees
		old.to = c.told - 1
		if c.told <= c.from {
			return c.byNonces(ctx, p, c.stretch)
		}
	}
	from, err = costs[best].read(ctx, p, old)
	if best < 2 && from <= old.from && absent(err) { // what it could is not so any more
		c.forgo(best)
		return c.read(ctx, p)
	}
	if err != nil || old.to == c.to {
		return from, err
	}
	return c.byNonces(ctx, p, stretch{c.told, c.to})
}

// check compares the receipts that were read with the logs: whoever leaves a
// log out of one of them is caught.
func (c *coins) check() error {
	if len(c.receipts) == 0 {
		return nil
	}
	have := make(map[tracer.TransferID]*tracer.Transfer, len(c.page))
	for i := range c.page {
		have[c.page[i].ID()] = &c.page[i]
	}
	for _, r := range c.receipts {
		for k := range r.Logs {
			l := &r.Logs[k]
			t, ok := c.transfer(l)
			if !ok || l.NumTopics < 2 || !c.mine(common.Address(l.Topics[1][12:])) && (l.NumTopics < 3 || !c.mine(common.Address(l.Topics[2][12:]))) {
				continue
			}
			other := have[t.ID()]
			if other == nil || other.Amount != t.Amount || other.From != t.From || other.To != t.To || other.Asset != t.Asset {
				return fmt.Errorf("%w: logs are left out or changed that its receipts have", errDiffers)
			}
		}
	}
	return nil
}

// addReceipts keeps receipts, and the fees that the wallets paid.
func (c *coins) addReceipts(rs []*receipt) {
	c.receipts = append(c.receipts, rs...)
	for _, r := range rs {
		if c.mine(r.From) {
			c.ts = append(c.ts, c.fee(r, 0))
		}
		for k := range r.Logs {
			if t, ok := c.transfer(&r.Logs[k]); ok && logged(&t) {
				c.inLogs[r.Tx] = true
			}
		}
	}
}

// found is what a way of reading has found in some blocks.
type found struct {
	ts       []tracer.Transfer
	receipts []*receipt
	blind    error // why internal transfers are not among them
}

func (c *coins) keep(b stretch, f found) error {
	for _, t := range f.ts {
		if c.mine(t.From) || c.mine(t.To) {
			c.ts = append(c.ts, t)
		}
	}
	c.addReceipts(f.receipts)
	if f.blind != nil {
		c.miss(b, tracer.PartInternal, f.blind)
	}
	return nil
}

// passing reports whether an error says nothing about what the node can do: it
// ends the reading, and not a part of it.
func passing(err error) bool {
	return err != nil && (down(err) || reason(tracer.PartNative, err) != tracer.ReasonSource)
}

// byTraces asks trace_filter, and for the receipts of what the wallets sent.
func (c *coins) byTraces(ctx context.Context, p *purse, b stretch) (uint64, error) {
	return inOrder(ctx, p, []stretch{b}, c.traced, func(b stretch) func(context.Context, *purse) (found, error) {
		return func(ctx context.Context, p *purse) (found, error) { return c.filterTraces(ctx, p, b) }
	}, func(b stretch, f found) error {
		c.traced.answered(b, len(f.ts))
		return c.keep(b, f)
	})
}

func (c *coins) filterTraces(ctx context.Context, p *purse, b stretch) (f found, err error) {
	all, err := groups(ctx, c.Source, c.wallets, func(group []common.Address) ([]trace, error) {
		return c.fetchTraces(ctx, p, b, "trace_filter", map[string]any{
			"fromBlock": hexutil.EncodeUint64(b.from), "toBlock": hexutil.EncodeUint64(b.to), "fromAddress": group, "toAddress": group})
	})
	if err != nil {
		return f, err
	}
	// A call in a call that failed shows no error of its own. Below the top
	// level the receipt tells; below that, only the whole transaction does.
	var sent, shallow, deep []common.Hash
	var moves []*trace
	for i := range all {
		r := &all[i]
		if len(r.Path) == 0 && c.mine(r.Action.From) {
			sent = append(sent, r.Tx)
		}
		t, ok := c.native(r)
		if !ok || r.Error.failed || c.inLogs[r.Tx] || !c.mine(t.From) && !c.mine(t.To) {
			continue
		}
		switch len(r.Path) {
		case 0:
		case 1:
			shallow = append(shallow, r.Tx)
		default:
			deep = append(deep, r.Tx)
		}
		moves = append(moves, r)
	}
	deep = unique(deep)
	shallow = slices.DeleteFunc(unique(shallow), func(h common.Hash) bool { return contains(deep, h) })
	if f.receipts, err = c.fetchReceipts(ctx, p, append(sent, shallow...)); err != nil {
		return f, err
	}
	dead := make(map[common.Hash]bool)
	for _, r := range f.receipts {
		if r.Status == nil && contains(shallow, r.Tx) {
			deep = append(deep, r.Tx) // before Byzantium receipts did not tell
		}
		dead[r.Tx] = r.Status != nil && *r.Status != 1
	}
	deep = unique(deep)
	for _, r := range moves {
		if t, ok := c.native(r); ok && len(r.Path) < 2 && !dead[r.Tx] && (len(r.Path) == 0 || !contains(deep, r.Tx)) {
			f.ts = append(f.ts, t)
		}
	}
	rows, err := c.traceTxs(ctx, p, deep)
	if err != nil && (ctx.Err() != nil || passing(err)) {
		return f, err
	}
	f.blind = err
	for i := range rows {
		if t, ok := c.native(&rows[i]); ok {
			f.ts = append(f.ts, t)
		}
	}
	return f, nil
}

// byIndex asks Otterscan's index, wallet by wallet.
func (c *coins) byIndex(ctx context.Context, p *purse, b stretch) (uint64, error) {
	of := make([][]*otsTx, len(c.wallets))
	if err := each(len(c.wallets), func(i int) (err error) {
		of[i], err = c.searchIndex(ctx, p, c.wallets[i], b)
		return err
	}); err != nil {
		return b.from, err
	}
	var f found
	var sent, inside []common.Hash
	for _, x := range slices.Concat(of...) {
		switch {
		case !c.mine(x.tx.From):
		case x.receipt.GasPrice != nil: // then the page has what there is to know
			f.receipts = append(f.receipts, &x.receipt)
		default:
			sent = append(sent, x.tx.Hash)
		}
		if t, ok := c.value(&x.tx, &x.receipt, 0); ok {
			f.ts = append(f.ts, t)
		}
		if x.receipt.succeeded(uint64(x.tx.Gas)) && x.receipt.GasUsed != plainGas && !c.inLogs[x.tx.Hash] {
			inside = append(inside, x.tx.Hash)
		}
	}
	rs, err := c.fetchReceipts(ctx, p, sent)
	if err != nil {
		return b.from, err
	}
	f.receipts = append(f.receipts, rs...)
	rows, err := c.traceTxs(ctx, p, inside)
	if err != nil && (ctx.Err() != nil || passing(err)) {
		return b.from, err
	}
	f.blind = err
	for i := range rows {
		if t, ok := c.native(&rows[i]); ok && t.Kind == tracer.KindInternal {
			f.ts = append(f.ts, t)
		}
	}
	return b.to, c.keep(b, f)
}

type otsTx struct {
	tx      tx
	receipt receipt
}

// searchIndex returns the transactions that touched a wallet. A page holds the
// whole of its last block.
func (s *Source) searchIndex(ctx context.Context, p *purse, w common.Address, b stretch) ([]*otsTx, error) {
	const size = 25 // Erigon's bound
	var all []*otsTx
	for at := b.from; ; {
		var page *struct {
			Txs      []tx      `json:"txs"`
			Receipts []receipt `json:"receipts"`
			Newest   bool      `json:"firstPage"`
		}
		next := at
		err := s.c.call(ctx, p, false, func(sc *scanner) error {
			page = nil
			if err := into(&page)(sc); err != nil {
				return err
			}
			if page == nil || len(page.Txs) != len(page.Receipts) || len(page.Txs) == 0 && !page.Newest {
				return s.c.unusable("it has a page that is not whole")
			}
			for i := range page.Txs {
				x, r := &page.Txs[i], &page.Receipts[i]
				if x.Block == nil || uint64(*x.Block) < at || r.Tx != x.Hash || r.Hash != x.BlockHash {
					return s.c.unusable("it has transactions that were not asked for")
				}
				if err := s.agree(uint64(*x.Block), x.BlockHash); err != nil {
					return err
				}
				next = max(next, uint64(*x.Block)+1)
			}
			return nil
		}, "ots_searchTransactionsAfter", w, at-min(at, 1), size)
		if err != nil {
			return nil, err
		}
		for i := range page.Txs {
			if uint64(*page.Txs[i].Block) <= b.to {
				all = append(all, &otsTx{page.Txs[i], page.Receipts[i]})
			}
		}
		if page.Newest || next > b.to {
			return all, nil
		}
		at = next
	}
}

// maxBlocks is how many whole blocks are read for one query at most.
const maxBlocks = 20_000

// byBlocks reads whole blocks, the receipts of the wallets' transactions, and
// the traces of the blocks where the node has them.
func (c *coins) byBlocks(ctx context.Context, p *purse, b stretch) (uint64, error) {
	if n := min(c.total, c.told); n > maxBlocks {
		return b.from, &nodeError{kind: kindMissing, text: fmt.Sprintf("%d whole blocks would have to be read, and no more than %d are; an endpoint with trace_filter reads them at once", n, maxBlocks)}
	}
	return inOrder(ctx, p, []stretch{b}, newWindow(minBatch), func(b stretch) func(context.Context, *purse) (found, error) {
		return func(ctx context.Context, p *purse) (found, error) { return c.scanBlocks(ctx, p, b) }
	}, c.keep)
}

func (c *coins) scanBlocks(ctx context.Context, p *purse, b stretch) (found, error) {
	var numbers []uint64
	for n := b.from; n <= b.to; n++ {
		numbers = append(numbers, n)
	}
	blocks, f, err := c.readBlocks(ctx, p, numbers)
	if err != nil || b.from >= c.told {
		return f, err
	}
	rows, err := c.traceBlocks(ctx, p, blocks)
	if err != nil && (ctx.Err() != nil || passing(err)) {
		return f, err
	}
	f.blind = err
	for i := range rows {
		if t, ok := c.native(&rows[i]); ok && t.Kind == tracer.KindInternal {
			f.ts = append(f.ts, t)
		}
	}
	return f, nil
}

// readBlocks reads whole blocks, and what the wallets' transactions in them moved.
func (c *coins) readBlocks(ctx context.Context, p *purse, numbers []uint64) ([]*block, found, error) {
	var f found
	blocks, err := c.fetchBlocks(ctx, p, numbers)
	if err != nil {
		return nil, f, err
	}
	var txs []common.Hash
	at := make(map[common.Hash]*tx)
	for _, blk := range blocks {
		for i := range blk.Txs {
			if x := &blk.Txs[i]; c.mine(x.From) || x.To != nil && c.mine(*x.To) {
				txs = append(txs, x.Hash)
				at[x.Hash] = x
			}
		}
	}
	if f.receipts, err = c.fetchReceipts(ctx, p, txs); err != nil {
		return nil, f, err
	}
	for _, r := range f.receipts {
		if t, ok := c.value(at[r.Tx], r, 0); ok {
			f.ts = append(f.ts, t)
		}
	}
	return blocks, f, nil
}
