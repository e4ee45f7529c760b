package ethsource

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"sort"

	"scamtrace/tracer"
	"scamtrace/tracer/balance"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/rpc"
)

// A node that leaves out or changes logs of what others sent to a wallet
// contradicts nothing else that is read. The wallet's balance does: what is
// read is compared with balances, what differs is asked for again, then looked
// up in receipts, and what then still differs is reported.

// hold notes what a piece holds of its wallets.
func (r *reading) hold(b stretch, got part) {
	if got.stop != nil {
		b.to = got.cut - 1
	}
	for _, w := range got.wallets {
		cs, native := r.held[w], !got.dark[w]
		if n := len(cs) - 1; n >= 0 && cs[n].To+1 == b.from && cs[n].Native == native {
			cs[n].To = b.to
			continue
		}
		r.held[w] = append(cs, balance.Claim{Span: tracer.Span{Wallet: w, From: b.from, To: b.to}, Tokens: true, Native: native})
	}
}

// mostMore bounds how many transfers are kept that were not asked for: some 50 MB.
const mostMore = 200_000

// beyond keeps a transfer that was not asked for.
func (r *reading) beyond(t *tracer.Transfer) {
	if r.exact = r.exact || len(r.more) >= mostMore; r.exact {
		r.more = nil
		return
	}
	r.more = append(r.more, *t)
}

// claims are what was read whole and is kept, in no order.
func (r *reading) claims() (out []balance.Claim) {
	if !r.abilities().Archive {
		return nil
	}
	for w, cs := range r.held {
		if !r.exact {
			out = append(out, cs...)
			continue
		}
		for _, p := range r.of[w] {
			for _, c := range cs {
				if c.From, c.To = max(c.From, p.From), min(c.To, p.To); c.From <= c.To {
					out = append(out, c)
				}
			}
		}
	}
	return out
}

// holds reports whether what a wallet did in a block was read and is kept.
func (r *reading) holds(w common.Address, block uint64) bool {
	return (!r.exact || r.asked(w, block)) &&
		slices.ContainsFunc(r.held[w], func(c balance.Claim) bool { return c.From <= block && block <= c.To })
}

// forReading is how much of a budget the reading may take, so that something is
// left to compare with. It may be nothing.
func (r *reading) forReading(budget int) int {
	if budget <= 0 {
		return 0
	}
	var claims []balance.Claim
	archive := r.abilities().Archive
	for _, p := range r.spans {
		if archive {
			claims = append(claims, balance.Claim{Span: p, Tokens: true})
		}
	}
	return budget - r.witnessCalls() - min(r.checker.Cost(claims), budget/8)
}

// unsure records that what was read was not compared with balances.
func (r *reading) unsure(claims []balance.Claim, err error) {
	for _, c := range claims {
		r.unchecked = append(r.unchecked, tracer.Unread{Span: c.Span, Part: tracer.PartAll, Reason: reason(tracer.PartAll, err), Detail: err.Error()})
	}
}

// A payer is the node of a [balance.Checker], paid from a purse.
type payer struct {
	*Source
	p     *purse
	spent *counter
}

func (n payer) Calls(ctx context.Context, calls []tracer.Call, most int) ([]tracer.Reply, int, error) {
	before := n.spent.count()
	out, err := n.calls(ctx, n.p, calls)
	return out, n.spent.count() - before, err
}

// Check compares claims with the transfers of some lists, as
// [balance.Checker.Check] does. A node that keeps no old states compares
// nothing, as its notes say.
func (s *Source) Check(ctx context.Context, claims []balance.Claim, most int, ts ...[]tracer.Transfer) (wrong []balance.Mismatch, unchecked []tracer.Unread, requests int, err error) {
	if !s.abilities().Archive {
		return nil, nil, 0, context.Cause(ctx)
	}
	spent := new(counter)
	return s.checker.Check(ctx, payer{s, newPurse(most, spent), spent}, claims, most, ts...)
}

// leastMending is how many requests mending may take however little was read;
// beyond that it may take as many as reading did.
const leastMending = 1000

// prove compares what was read with balances and mends what differs. It reports
// whether it came to its end before ctx did.
func (r *reading) prove(ctx context.Context, budget int, spent *counter) bool {
	left := math.MaxInt / 4
	if budget > 0 {
		left = budget - r.witnessCalls() - spent.count()
	}
	if left <= 0 {
		r.unsure(r.claims(), tracer.ErrBudget)
		return ctx.Err() == nil
	}
	read := spent.count()
	if err := r.untold(ctx, payer{r.Source, newPurse(left, spent), spent}); ctx.Err() != nil {
		return false
	} else if err != nil {
		r.unsure(r.claims(), err)
		return true
	}
	claims := r.claims() // as they are now: what untold mends may be too much to keep
	if left -= spent.count() - read; len(claims) == 0 || left <= 0 {
		r.unsure(claims, tracer.ErrBudget)
		return ctx.Err() == nil
	}
	node := payer{r.Source, newPurse(left, spent), spent}
	book, n, err := r.checker.Open(ctx, node, claims, left)
	if err != nil {
		return false
	}
	r.unchecked = append(r.unchecked, book.Unchecked()...)
	wrong := book.Wrong(r.ts, r.more)
	if len(wrong) == 0 {
		return true
	}
	m := &mending{reading: r, book: book, all: slices.Concat(r.ts, r.more), settled: make(map[tracer.Span]bool)}
	if m.left = min(left-n, max(leastMending, read)); m.left > 0 {
		m.payer = payer{r.Source, newPurse(m.left, spent), spent}
		if wrong, err = m.mend(ctx, wrong); ctx.Err() != nil {
			return false
		}
		if err != nil && !errors.Is(err, tracer.ErrBudget) {
			m.failed = err
		}
	}
	m.report(wrong)
	m.done()
	return ctx.Err() == nil
}

// A mending looks again for what does not add up.
type mending struct {
	*reading
	payer  payer
	book   *balance.Book
	all    []tracer.Transfer // what was read, also beyond what was asked
	left   int
	failed error // why it did not come to its end

	settled map[tracer.Span]bool // blocks in which native coin was explained, or reported
}

// done puts what was mended in the place of what was read.
func (m *mending) done() {
	m.ts, m.more = nil, nil
	for i := range m.all {
		if t := &m.all[i]; m.asked(t.From, t.Block) || m.asked(t.To, t.Block) {
			m.ts = append(m.ts, *t)
		} else {
			m.beyond(t)
		}
	}
}

// untold looks at the receipt of the newest move of coin that no log tells: once
// the chain has EIP-7708, logs tell all of them. If one should have been told,
// it and those around it are taken from the receipts.
func (r *reading) untold(ctx context.Context, node payer) error {
	var moves []*tracer.Transfer
	r.mu.Lock()
	untold := r.Source.untold
	r.mu.Unlock()
	for _, ts := range [][]tracer.Transfer{r.ts, r.more} {
		for i := range ts {
			if t := &ts[i]; (t.Kind == tracer.KindNative || t.Kind == tracer.KindInternal) && t.From != t.To && !t.Amount.IsZero() && t.Block > untold {
				moves = append(moves, t)
			}
		}
	}
	if len(moves) == 0 {
		return nil
	}
	slices.SortFunc(moves, func(a, b *tracer.Transfer) int { return a.Compare(b) })
	var failed error
	told := func(i int) bool {
		rs, err := r.fetchReceipts(ctx, node.p, []common.Hash{moves[i].Tx})
		failed = cmp.Or(failed, err)
		return failed == nil && slices.ContainsFunc(rs[0].Logs, func(l log) bool {
			t, ok := r.transfer(&l)
			return ok && logged(&t)
		})
	}
	last := len(moves) - 1
	if !told(last) {
		if failed == nil {
			r.mu.Lock()
			r.Source.untold = max(r.Source.untold, moves[last].Block)
			r.mu.Unlock()
		}
		return failed
	}
	first := sort.Search(last, told)
	var txs []common.Hash
	for _, t := range moves[first:] {
		txs = append(txs, t.Tx)
	}
	if failed != nil {
		return failed
	}
	rs, err := r.fetchReceipts(ctx, node.p, txs)
	if err != nil {
		return err
	}
	m := &mending{reading: r, payer: node, all: slices.Concat(r.ts, r.more)}
	if err := m.rebuild(ctx, rs, nil); err != nil {
		return err
	}
	m.done()
	return nil
}

// again compares anew, with the balances that were told.
func (m *mending) again() []balance.Mismatch {
	m.all = tracer.SortTransfers(m.all)
	return m.book.Wrong(m.all)
}

// mend returns what still does not add up, as narrow as it is known.
func (m *mending) mend(ctx context.Context, wrong []balance.Mismatch) ([]balance.Mismatch, error) {
	// Most nodes that leave something out do not do it twice.
	for _, width := range []uint64{min(m.logs.size(), math.MaxInt64), 1} {
		narrow, err := m.narrow(ctx, wrong, width)
		if err != nil {
			return wrong, err
		}
		if wrong = narrow; width > 1 {
			err = m.fromLogs(ctx, wrong)
		} else if err = m.fromReceipts(ctx, wrong); err == nil {
			err = m.fromBlocks(ctx, wrong)
		}
		if err != nil && (ctx.Err() != nil || errors.Is(err, tracer.ErrBudget)) {
			return wrong, err
		}
		m.failed = err
		if wrong = m.again(); len(wrong) == 0 {
			return nil, nil
		}
	}
	narrow, err := m.narrow(ctx, wrong, 1)
	if err != nil {
		return wrong, err
	}
	return slices.DeleteFunc(narrow, func(w balance.Mismatch) bool {
		return w.Asset.Kind == tracer.Native && m.settled[tracer.Span{Wallet: w.Wallet, From: w.From, To: w.To}]
	}), nil
}

func (m *mending) narrow(ctx context.Context, wrong []balance.Mismatch, width uint64) ([]balance.Mismatch, error) {
	before := m.payer.spent.count()
	narrow, _, err := m.checker.Narrow(ctx, m.payer, wrong, m.all, width, m.left)
	m.left -= m.payer.spent.count() - before
	return narrow, err
}

// fromLogs asks for the logs of blocks again. Where the two answers differ, the
// receipts tell.
func (m *mending) fromLogs(ctx context.Context, wrong []balance.Mismatch) error {
	var spans []tracer.Span
	for _, w := range wrong {
		if w.Asset.Kind != tracer.Native || w.To >= m.toldFrom() {
			spans = append(spans, w.Span)
		}
	}
	if len(spans) == 0 {
		return nil
	}
	have := make(map[tracer.TransferID]tracer.Transfer)
	for _, t := range m.all {
		t.Time = 0
		have[t.ID()] = t
	}
	var txs []common.Hash
	seen := make(map[tracer.TransferID]bool)
	blocks := union(spans)
	_, err := inOrder(ctx, m.payer.p, blocks, m.logs, func(b stretch) func(context.Context, *purse) (page, error) {
		var wallets []common.Address
		for w, cs := range m.held {
			if slices.ContainsFunc(cs, func(c balance.Claim) bool { return c.From <= b.to && c.To >= b.from }) {
				wallets = append(wallets, w)
			}
		}
		slices.SortFunc(wallets, common.Address.Cmp)
		return func(ctx context.Context, p *purse) (page, error) { return m.tokens(ctx, p, wallets, b) }
	}, func(b stretch, got page) error {
		m.logs.answered(b, got.logs)
		for _, t := range got.ts {
			if !m.holds(t.From, t.Block) && !m.holds(t.To, t.Block) {
				continue
			}
			seen[t.ID()] = true
			t.Time = 0
			if have[t.ID()] != t {
				txs = append(txs, t.Tx)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	within := func(n uint64) bool {
		return slices.ContainsFunc(blocks, func(b stretch) bool { return b.from <= n && n <= b.to })
	}
	for i := range m.all {
		if t := &m.all[i]; inLog(t) && !seen[t.ID()] && within(t.Block) {
			txs = append(txs, t.Tx)
		}
	}
	rs, err := m.fetchReceipts(ctx, m.payer.p, txs)
	if err != nil {
		return err
	}
	return m.rebuild(ctx, rs, nil)
}

// inLog reports whether it is a log that tells a transfer.
func inLog(t *tracer.Transfer) bool { return t.Kind == tracer.KindToken || t.Kind == tracer.KindNFT }

// rebuild puts what receipts tell in the place of what the logs of their
// transactions, and all logs of some blocks, told.
func (m *mending) rebuild(ctx context.Context, rs []*receipt, blocks []uint64) error {
	of := make(map[common.Hash]bool)
	told := make(map[common.Hash]bool)
	var ts []tracer.Transfer
	for _, r := range rs {
		of[r.Tx] = true
		for k := range r.Logs {
			t, ok := m.transfer(&r.Logs[k])
			if !ok {
				continue
			}
			if logged(&t) {
				told[r.Tx] = true
				m.mu.Lock()
				m.told = min(m.told, t.Block)
				m.mu.Unlock()
			}
			if m.holds(t.From, t.Block) || m.holds(t.To, t.Block) {
				ts = append(ts, t)
			}
		}
	}
	if err := m.times(ctx, m.payer.p, ts); err != nil {
		return err
	}
	m.all = slices.DeleteFunc(m.all, func(t tracer.Transfer) bool {
		_, whole := slices.BinarySearch(blocks, t.Block)
		return inLog(&t) && (of[t.Tx] || whole)
	})
	m.all = append(once(m.all, told), ts...)
	return nil
}

// fromReceipts reads the blocks in which something does not add up.
func (m *mending) fromReceipts(ctx context.Context, wrong []balance.Mismatch) error {
	var blocks []uint64
	for _, w := range wrong {
		if w.From == w.To {
			blocks = append(blocks, w.To)
		}
	}
	slices.Sort(blocks)
	blocks = slices.Compact(blocks)
	rs, err := m.blockReceipts(ctx, m.payer.p, blocks)
	if err != nil {
		return err
	}
	return m.rebuild(ctx, rs, blocks)
}

// fromBlocks reads the blocks in which native coin does not add up, and what was
// called in them. What is not explained then is reported; what validators
// withdraw is not a transfer.
func (m *mending) fromBlocks(ctx context.Context, wrong []balance.Mismatch) error {
	at := make(map[tracer.Span]*big.Int) // what the balance changed by, and nothing explains
	var numbers []uint64
	c := &coins{job: &job{Source: m.Source, told: m.toldFrom(), most: mostChanges}, inLogs: make(map[common.Hash]bool), dark: make(map[common.Address]bool)}
	for i := range wrong {
		if w := &wrong[i]; w.Asset.Kind == tracer.Native && w.From == w.To && !m.settled[w.Span] {
			at[w.Span] = new(big.Int).Sub(w.After.ToBig(), w.Before.ToBig())
			numbers, c.wallets = append(numbers, w.To), append(c.wallets, w.Wallet)
		}
	}
	if len(at) == 0 {
		return nil
	}
	slices.SortFunc(c.wallets, common.Address.Cmp)
	c.wallets = slices.Compact(c.wallets)
	blocks, f, err := c.readBlocks(ctx, m.payer.p, numbers)
	if err != nil {
		return err
	}
	rows, blind := c.traceBlocks(ctx, m.payer.p, blocks)
	if blind != nil && (ctx.Err() != nil || passing(blind)) {
		return blind
	}
	for i := range rows {
		if t, ok := c.native(&rows[i]); ok && t.Kind == tracer.KindInternal {
			f.ts = append(f.ts, t)
		}
	}
	if err := c.keep(stretch{}, f); err != nil {
		return err
	}
	for i := range m.all {
		if t := &m.all[i]; logged(t) {
			c.inLogs[t.Tx] = true
		}
	}
	c.ts = once(c.ts, c.inLogs)
	if err := m.times(ctx, m.payer.p, c.ts); err != nil {
		return err
	}
	m.all = tracer.SortTransfers(append(m.all, c.ts...))
	add := func(w common.Address, block uint64, n *big.Int) {
		if sum := at[tracer.Span{Wallet: w, From: block, To: block}]; sum != nil {
			sum.Add(sum, n)
		}
	}
	for i := range m.all {
		if t := &m.all[i]; t.Asset.Kind == tracer.Native && t.From != t.To {
			n := t.Amount.ToBig()
			if t.Kind != tracer.KindFee {
				add(t.To, t.Block, new(big.Int).Neg(n))
			}
			add(t.From, t.Block, n)
		}
	}
	for _, b := range blocks {
		for _, w := range b.Withdrawals {
			gwei := new(big.Int).SetUint64(uint64(w.Gwei))
			add(w.Address, uint64(b.Number), gwei.Neg(gwei.Mul(gwei, big.NewInt(1e9))))
		}
	}
	for place, n := range at {
		if m.settled[place] = true; n.Sign() != 0 {
			text := fmt.Sprintf("no transfer explains that its balance changes by %s wei in block %d", n, place.To)
			m.unread = append(m.unread, tracer.Unread{Span: place, Part: tracer.PartInternal, Reason: tracer.ReasonNoTraces, Detail: text})
		}
	}
	return nil
}

// blockReceipts reads all receipts of blocks.
func (s *Source) blockReceipts(ctx context.Context, p *purse, numbers []uint64) ([]*receipt, error) {
	of := make([][]*receipt, len(numbers))
	calls := make([]rpc.BatchElem, len(numbers))
	for i, n := range numbers {
		calls[i] = rpc.BatchElem{Method: "eth_getBlockReceipts", Args: []any{hexutil.EncodeUint64(n)}, Result: &of[i]}
	}
	err := s.c.sure(ctx, p, calls, func(i int) error {
		if of[i] == nil {
			return s.c.unusable("it does not show the receipts of block %d", numbers[i])
		}
		for _, r := range of[i] {
			if r == nil || uint64(r.Block) != numbers[i] {
				return s.c.unusable("it shows receipts of another block")
			}
			if err := s.whole(r); err != nil {
				return err
			}
		}
		return nil
	})
	if e, ok := errors.AsType[*nodeError](err); ok && (e.kind == kindMissing || e.kind == kindDenied) {
		blocks, err := s.fetchBlocks(ctx, p, numbers)
		if err != nil {
			return nil, err
		}
		var txs []common.Hash
		for _, b := range blocks {
			for i := range b.Txs {
				txs = append(txs, b.Txs[i].Hash)
			}
		}
		return s.fetchReceipts(ctx, p, txs)
	}
	return slices.Concat(of...), err
}

// report says what does not add up, and drops what logs tell of it: nobody
// knows which of it is true.
func (m *mending) report(wrong []balance.Mismatch) {
	type place struct {
		wallet common.Address
		asset  tracer.Asset
	}
	bad := make(map[place][]tracer.Span)
	for i := range wrong {
		w := &wrong[i]
		bad[place{w.Wallet, w.Asset}] = append(bad[place{w.Wallet, w.Asset}], w.Span)
		parts := []tracer.Part{tracer.PartTokens}
		if w.Asset.Kind == tracer.Native {
			if parts = []tracer.Part{tracer.PartNative, tracer.PartInternal}; w.To >= m.toldFrom() {
				parts = []tracer.Part{tracer.PartAll} // they are in logs too
			}
		}
		verb := "arrived"
		if w.Missing.Sign() < 0 {
			verb = "left"
		}
		text := fmt.Sprintf("its balance says that %s more %s than the endpoint tells", m.checker.Readable(w), verb)
		if m.failed != nil {
			text += fmt.Sprintf(", and looking it up failed: %v", m.failed)
		}
		for _, part := range parts {
			m.unread = append(m.unread, tracer.Unread{Span: w.Span, Part: part, Reason: tracer.ReasonSource, Detail: text})
		}
	}
	good := func(a common.Address, t *tracer.Transfer) bool {
		return m.holds(a, t.Block) && !slices.ContainsFunc(bad[place{a, t.Asset}], func(p tracer.Span) bool { return p.From <= t.Block && t.Block <= p.To })
	}
	m.all = slices.DeleteFunc(m.all, func(t tracer.Transfer) bool {
		return inLog(&t) && !good(t.From, &t) && !good(t.To, &t)
	})
}
