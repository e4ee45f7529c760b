package ethsource

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/rpc"
	"github.com/holiman/uint256"
	"golang.org/x/sync/errgroup"
)

const (
	maxTopics = 1000   // entries of a topic position that geth takes
	maxBlocks = 20_000 // whole blocks read for one query, at most
)

// Transfers reads tokens, then the native coin. A part that the node refuses
// for good is in Unread; only the end of ctx is an error.
func (s *Source) Transfers(ctx context.Context, q tracer.Query) (tracer.Answer, error) {
	n := &spent{max: int64(q.MaxRequests)}
	r := &reading{Source: s, spent: n, q: q, count: make(map[common.Address]int), crowded: make(map[common.Address]uint64)}
	spans := slices.Clone(q.Spans)
	for i := range spans {
		spans[i].To = min(spans[i].To, s.pinned.Number)
	}
	spans = slices.DeleteFunc(spans, func(p tracer.Span) bool { return p.From > p.To })
	slices.SortFunc(spans, func(a, b tracer.Span) int { return cmp.Or(cmp.Compare(a.From, b.From), a.Wallet.Cmp(b.Wallet)) })
	r.sweep(ctx, spans, tracer.PartTokens, &s.window, r.tokens)
	switch {
	case s.traces:
		r.sweep(ctx, spans, tracer.PartNative, &s.traced, r.natives)
	default:
		r.scan(ctx, spans)
	}
	if err := s.times(ctx, n, r.ts); err != nil {
		r.fail(spans, tracer.PartAll, err)
		r.ts = nil
	}
	ans := tracer.Answer{Transfers: tracer.SortTransfers(r.ts), Unread: r.unread, Requests: int(n.n.Load())}
	slices.SortFunc(ans.Unread, func(a, b tracer.Unread) int {
		return cmp.Or(a.Wallet.Cmp(b.Wallet), cmp.Compare(a.From, b.From), cmp.Compare(a.Part, b.Part))
	})
	return ans, context.Cause(ctx)
}

// reading is one query under way.
type reading struct {
	*Source
	spent   *spent
	q       tracer.Query
	ts      []tracer.Transfer
	unread  []tracer.Unread
	count   map[common.Address]int
	crowded map[common.Address]uint64 // from which block on
}

// fail records that a part of spans was not read.
func (r *reading) fail(spans []tracer.Span, part tracer.Part, err error) {
	reason := tracer.ReasonSource
	switch {
	case errors.Is(err, errBudget):
		reason = tracer.ReasonBudget
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		reason = tracer.ReasonStopped
	}
	for _, p := range spans {
		r.unread = append(r.unread, tracer.Unread{Span: p, Part: part, Reason: reason, Detail: err.Error()})
	}
}

// sweep goes over the blocks of spans in windows, reading in each only the
// wallets whose span it meets. What a node refuses is asked for in smaller
// windows, and width remembers the size that worked.
func (r *reading) sweep(ctx context.Context, spans []tracer.Span, part tracer.Part, width *uint64,
	read func(ctx context.Context, wallets []common.Address, from, to uint64) ([]tracer.Transfer, error)) {
	for at := uint64(0); ; {
		var active []tracer.Span
		var wallets []common.Address
		next := ^uint64(0)
		for _, p := range spans {
			if c, ok := r.crowded[p.Wallet]; ok && at >= c {
				continue
			}
			if p.To >= at {
				next = min(next, max(p.From, at))
			}
		}
		if next == ^uint64(0) {
			return
		}
		at = next
		r.mu.Lock()
		to := at + min(*width, 1<<62) - 1
		r.mu.Unlock()
		last := at
		for _, p := range spans {
			if p.To >= at && p.From <= at {
				last = max(last, p.To)
			}
		}
		to = min(to, last)
		for _, p := range spans {
			if _, ok := r.crowded[p.Wallet]; ok || p.To < at || p.From > to {
				continue
			}
			active = append(active, tracer.Span{Wallet: p.Wallet, From: max(at, p.From), To: min(to, p.To)})
			wallets = append(wallets, p.Wallet)
		}
		if len(wallets) == 0 {
			at = to + 1
			continue
		}
		slices.SortFunc(wallets, common.Address.Cmp)
		wallets = slices.Compact(wallets)
		ts, err := r.groups(ctx, wallets, at, to, read)
		if e, ok := errors.AsType[*nodeError](err); ok && (e.kind == kindRange) && to > at {
			r.mu.Lock()
			*width = max((to-at+1)/2, 1)
			r.mu.Unlock()
			continue
		}
		if err != nil {
			// The rest would fail the same way.
			var rest []tracer.Span
			for _, p := range spans {
				if p.To >= at {
					rest = append(rest, tracer.Span{Wallet: p.Wallet, From: max(at, p.From), To: p.To})
				}
			}
			r.fail(rest, part, err)
			return
		}
		r.keep(ts, active, at, to)
		at = to + 1
	}
}

// groups reads wallets a thousand at a time.
func (r *reading) groups(ctx context.Context, wallets []common.Address, from, to uint64,
	read func(ctx context.Context, wallets []common.Address, from, to uint64) ([]tracer.Transfer, error)) ([]tracer.Transfer, error) {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	parts := make([][]tracer.Transfer, (len(wallets)+maxTopics-1)/maxTopics)
	for i := range parts {
		group := wallets[i*maxTopics : min((i+1)*maxTopics, len(wallets))]
		g.Go(func() error {
			var err error
			parts[i], err = read(ctx, group, from, to)
			return err
		})
	}
	err := g.Wait()
	return slices.Concat(parts...), err
}

// keep adds what a window brought, and counts it against the wallets.
func (r *reading) keep(ts []tracer.Transfer, active []tracer.Span, at, to uint64) {
	for i := range ts {
		t := &ts[i]
		r.count[t.From]++
		if t.To != t.From {
			r.count[t.To]++
		}
	}
	r.ts = append(r.ts, ts...)
	for _, p := range active {
		_, known := r.crowded[p.Wallet]
		if r.q.MaxTransfers > 0 && r.count[p.Wallet] > r.q.MaxTransfers && !known {
			r.crowded[p.Wallet] = to + 1
			for _, all := range r.q.Spans {
				if all.Wallet == p.Wallet && min(all.To, r.pinned.Number) > to {
					r.unread = append(r.unread, tracer.Unread{Span: tracer.Span{Wallet: p.Wallet, From: max(all.From, to+1), To: min(all.To, r.pinned.Number)}, Reason: tracer.ReasonCrowded,
						Detail: fmt.Sprintf("more than %d transfers up to block %d", r.q.MaxTransfers, to)})
				}
			}
		}
	}
}

// tokens reads the logs of wallets in both directions.
func (r *reading) tokens(ctx context.Context, wallets []common.Address, from, to uint64) ([]tracer.Transfer, error) {
	topics := make([]common.Hash, len(wallets))
	asked := make(map[common.Hash]bool, len(wallets))
	for i, w := range wallets {
		topics[i] = common.BytesToHash(w[:])
		asked[topics[i]] = true
	}
	var wrapped []common.Address
	for _, t := range r.chain.Tokens {
		if t.Wrapped {
			wrapped = append(wrapped, t.Address)
		}
	}
	span := func(filter map[string]any) map[string]any {
		filter["fromBlock"], filter["toBlock"] = hexutil.EncodeUint64(from), hexutil.EncodeUint64(to)
		return filter
	}
	filters := []map[string]any{
		span(map[string]any{"topics": []any{[]common.Hash{topicTransfer}, topics}}),
		span(map[string]any{"topics": []any{[]common.Hash{topicTransfer}, nil, topics}}),
	}
	if len(wrapped) > 0 {
		filters = append(filters, span(map[string]any{"address": wrapped, "topics": []any{[]common.Hash{topicDeposit, topicWithdrawal}, topics}}))
	}
	answers := make([][]log, len(filters))
	g, ctx := errgroup.WithContext(ctx)
	for i, f := range filters {
		g.Go(func() error { return r.one(ctx, r.spent, &answers[i], "eth_getLogs", f) })
	}
	if err := g.Wait(); err != nil {
		if e, ok := errors.AsType[*nodeError](err); ok && e.kind == kindTopics && len(wallets) > 1 {
			half := len(wallets) / 2
			a, err := r.tokens(ctx, wallets[:half], from, to)
			if err != nil {
				return nil, err
			}
			b, err := r.tokens(ctx, wallets[half:], from, to)
			return append(a, b...), err
		}
		return nil, err
	}
	var ts []tracer.Transfer
	for i, logs := range answers {
		at := 1 + i%2
		if i == 2 {
			at = 1
		}
		for k := range logs {
			l := &logs[k]
			if uint64(l.Block) < from || uint64(l.Block) > to || len(l.Topics) <= at || !asked[l.Topics[at]] {
				return nil, &nodeError{kindOther, "the node answers with logs that were not asked for"}
			}
			if t, ok := r.transfer(l); ok {
				ts = append(ts, t)
			}
		}
	}
	return ts, nil
}

// natives reads the traces of wallets, and the fees of what they sent.
func (r *reading) natives(ctx context.Context, wallets []common.Address, from, to uint64) ([]tracer.Transfer, error) {
	var rows []trace
	err := r.one(ctx, r.spent, &rows, "trace_filter", map[string]any{
		"fromBlock": hexutil.EncodeUint64(from), "toBlock": hexutil.EncodeUint64(to), "fromAddress": wallets, "toAddress": wallets})
	if err != nil {
		return nil, err
	}
	mine := make(map[common.Address]bool, len(wallets))
	for _, w := range wallets {
		mine[w] = true
	}
	var sent, inner []common.Hash
	for i := range rows {
		row := &rows[i]
		if row.Block < from || row.Block > to {
			return nil, &nodeError{kindOther, "the node answers with traces that were not asked for"}
		}
		if len(row.Path) == 0 && mine[row.Action.From] {
			sent = append(sent, row.Tx)
		}
		if len(row.Path) > 0 {
			inner = append(inner, row.Tx)
		}
	}
	// A call inside one that failed shows no error of its own, so whole
	// transactions tell what really moved inside.
	whole, err := r.traceTxs(ctx, r.spent, inner)
	if err != nil {
		return nil, err
	}
	known := make(map[common.Hash]bool)
	for _, tx := range inner {
		known[tx] = true
	}
	rows = append(whole, slices.DeleteFunc(rows, func(t trace) bool { return known[t.Tx] })...)
	receipts, err := r.receipts(ctx, r.spent, sent)
	if err != nil {
		return nil, err
	}
	var ts []tracer.Transfer
	for _, row := range alive(rows) {
		if t, ok := r.native(&row, 0); ok && (mine[t.From] || mine[t.To]) {
			ts = append(ts, t)
		}
	}
	for i := range receipts {
		ts = append(ts, r.fee(&receipts[i], 0))
	}
	return ts, nil
}

func (s *Source) traceTxs(ctx context.Context, n *spent, txs []common.Hash) ([]trace, error) {
	txs = unique(txs)
	answers := make([][]trace, len(txs))
	calls := make([]rpc.BatchElem, len(txs))
	for i, tx := range txs {
		calls[i] = rpc.BatchElem{Method: "trace_transaction", Args: []any{tx}, Result: &answers[i]}
	}
	err := s.c.batch(ctx, n, calls)
	return slices.Concat(answers...), err
}

func (s *Source) receipts(ctx context.Context, n *spent, txs []common.Hash) ([]receipt, error) {
	txs = unique(txs)
	answers := make([]*receipt, len(txs))
	calls := make([]rpc.BatchElem, len(txs))
	for i, tx := range txs {
		calls[i] = rpc.BatchElem{Method: "eth_getTransactionReceipt", Args: []any{tx}, Result: &answers[i]}
	}
	if err := s.c.batch(ctx, n, calls); err != nil {
		return nil, err
	}
	out := make([]receipt, len(txs))
	for i, r := range answers {
		if r == nil || r.Tx != txs[i] {
			return nil, fmt.Errorf("transaction %s: %w", txs[i].Hex(), tracer.ErrNotFound)
		}
		out[i] = *r
	}
	return out, nil
}

func unique(txs []common.Hash) []common.Hash {
	txs = slices.Clone(txs)
	slices.SortFunc(txs, common.Hash.Cmp)
	return slices.Compact(txs)
}

// scan reads whole blocks, where the node cannot search its traces.
func (r *reading) scan(ctx context.Context, spans []tracer.Span) {
	need := make(map[uint64]bool)
	mine := make(map[common.Address]bool)
	for _, p := range spans {
		mine[p.Wallet] = true
		r.unread = append(r.unread, tracer.Unread{Span: p, Part: tracer.PartInternal, Reason: tracer.ReasonNoTraces, Detail: "the endpoint shows no internal transfers"})
		for b := p.From; b <= p.To && len(need) <= maxBlocks; b++ {
			need[b] = true
		}
	}
	if len(need) > maxBlocks {
		r.fail(spans, tracer.PartNative, fmt.Errorf("more than %d whole blocks would have to be read; an endpoint with trace_filter reads them at once", maxBlocks))
		return
	}
	if err := r.fetch(ctx, r.spent, need); err != nil {
		r.fail(spans, tracer.PartNative, err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for n := range need {
		b := r.blocks[n]
		status := make(map[common.Hash]*receipt)
		for i := range b.receipts {
			status[b.receipts[i].Tx] = &b.receipts[i]
		}
		for i := range b.Txs {
			x := &b.Txs[i]
			rc := status[x.Hash]
			if rc == nil || !mine[x.From] && (x.To == nil || !mine[*x.To]) {
				continue
			}
			r.ts = append(r.ts, r.parts(x, rc, uint64(b.Time))...)
		}
	}
}

// parts are the value and the fee of a transaction.
func (s *Source) parts(x *tx, rc *receipt, time uint64) []tracer.Transfer {
	fee := s.fee(rc, time)
	ts := []tracer.Transfer{fee}
	to := x.To
	if to == nil {
		to = rc.Contract
	}
	if rc.Status == 1 && x.Value != nil && !(*uint256.Int)(x.Value).IsZero() && to != nil {
		t := fee
		t.Kind, t.To, t.Amount = tracer.KindNative, *to, uint256.Int(*x.Value)
		ts = append(ts, t)
	}
	return ts
}

// fetch reads whole blocks with their receipts, those not read before.
func (s *Source) fetch(ctx context.Context, n *spent, need map[uint64]bool) error {
	var numbers []uint64
	s.mu.Lock()
	for b := range need {
		if s.blocks[b] == nil {
			numbers = append(numbers, b)
		}
	}
	s.mu.Unlock()
	slices.Sort(numbers)
	for part := range slices.Chunk(numbers, maxBatch/2) {
		blocks := make([]*block, len(part))
		calls := make([]rpc.BatchElem, 0, 2*len(part))
		receipts := make([][]receipt, len(part))
		for i, b := range part {
			at := hexutil.EncodeUint64(b)
			calls = append(calls, rpc.BatchElem{Method: "eth_getBlockByNumber", Args: []any{at, true}, Result: &blocks[i]},
				rpc.BatchElem{Method: "eth_getBlockReceipts", Args: []any{at}, Result: &receipts[i]})
		}
		if err := s.c.batch(ctx, n, calls); err != nil {
			return err
		}
		s.mu.Lock()
		for i, b := range blocks {
			if b == nil || uint64(b.Number) != part[i] || len(receipts[i]) != len(b.Txs) {
				s.mu.Unlock()
				return &nodeError{kindOther, fmt.Sprintf("the node does not show block %d whole", part[i])}
			}
			b.receipts = receipts[i]
			s.blocks[part[i]] = b
		}
		s.mu.Unlock()
	}
	return nil
}

// times fills in the times that nodes left out, from the blocks' headers.
func (s *Source) times(ctx context.Context, n *spent, ts []tracer.Transfer) error {
	at := make(map[uint64]*header)
	var calls []rpc.BatchElem
	var numbers []uint64
	for i := range ts {
		if t := &ts[i]; t.Time != 0 {
			at[t.Block] = &header{Time: hexutil.Uint64(t.Time)}
		}
	}
	for i := range ts {
		if b := ts[i].Block; at[b] == nil {
			at[b] = new(header)
			numbers = append(numbers, b)
		}
	}
	got := make([]*header, len(numbers))
	for i, b := range numbers {
		calls = append(calls, rpc.BatchElem{Method: "eth_getBlockByNumber", Args: []any{hexutil.EncodeUint64(b), false}, Result: &got[i]})
	}
	if err := s.c.batch(ctx, n, calls); err != nil {
		return err
	}
	for i, b := range numbers {
		if got[i] == nil || uint64(got[i].Number) != b {
			return &nodeError{kindOther, fmt.Sprintf("the node does not have block %d", b)}
		}
		at[b] = got[i]
	}
	for i := range ts {
		ts[i].Time = uint64(at[ts[i].Block].Time)
	}
	return nil
}

// Transactions reads whole transactions from their receipts, and from their
// traces where the node has them.
func (s *Source) Transactions(ctx context.Context, hashes []common.Hash) (tracer.Answer, error) {
	n := new(spent)
	hashes = unique(hashes)
	fail := func(err error) (tracer.Answer, error) { return tracer.Answer{Requests: int(n.n.Load())}, err }
	txs := make([]*tx, len(hashes))
	calls := make([]rpc.BatchElem, len(hashes))
	for i, h := range hashes {
		calls[i] = rpc.BatchElem{Method: "eth_getTransactionByHash", Args: []any{h}, Result: &txs[i]}
	}
	if err := s.c.batch(ctx, n, calls); err != nil {
		return fail(err)
	}
	for i, x := range txs {
		if x == nil || x.Block == nil || uint64(*x.Block) > s.pinned.Number {
			return fail(fmt.Errorf("transaction %s: %w", hashes[i].Hex(), tracer.ErrNotFound))
		}
	}
	receipts, err := s.receipts(ctx, n, hashes)
	if err != nil {
		return fail(err)
	}
	var ts []tracer.Transfer
	for i := range receipts {
		rc := &receipts[i]
		ts = append(ts, s.parts(txs[i], rc, 0)...)
		for k := range rc.Logs {
			if t, ok := s.transfer(&rc.Logs[k]); ok {
				ts = append(ts, t)
			}
		}
	}
	ans := tracer.Answer{}
	if s.traces {
		rows, err := s.traceTxs(ctx, n, hashes)
		if err != nil {
			return fail(err)
		}
		for _, row := range alive(rows) {
			if t, ok := s.native(&row, 0); ok && t.Kind == tracer.KindInternal {
				ts = append(ts, t)
			}
		}
	} else {
		for _, x := range txs {
			if x.To != nil {
				b := uint64(*x.Block)
				ans.Unread = append(ans.Unread, tracer.Unread{Span: tracer.Span{Wallet: *x.To, From: b, To: b}, Part: tracer.PartInternal, Reason: tracer.ReasonNoTraces, Detail: "the endpoint shows no internal transfers"})
			}
		}
	}
	if err := s.times(ctx, n, ts); err != nil {
		return fail(err)
	}
	ans.Transfers, ans.Requests = tracer.SortTransfers(ts), int(n.n.Load())
	return ans, nil
}
