package ethsource

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/rpc"
	"github.com/holiman/uint256"
)

// A state is what an account has at the end of a block. When a plain account
// has the same at the ends of two blocks, no native coin came or went between:
// what it gives or pays raises its nonce, and what it gets its balance.
type state struct {
	nonce   uint64
	balance uint256.Int
}

// A change is what became of a wallet's state after a block and up to another.
type change struct {
	wallet        common.Address
	after, to     uint64
	before, since state
}

// states asks what the wallets of changes had at a block of each; balances too,
// or nonces only.
func (s *Source) states(ctx context.Context, p *purse, cs []change, at func(*change) uint64, balances bool) ([]state, error) {
	nonces, sums := make([]*hexutil.Uint64, len(cs)), make([]*hexutil.U256, len(cs))
	var calls []rpc.BatchElem
	for i := range cs {
		args := []any{cs[i].wallet, hexutil.EncodeUint64(at(&cs[i]))}
		calls = append(calls, rpc.BatchElem{Method: "eth_getTransactionCount", Args: args, Result: &nonces[i]})
		if balances {
			calls = append(calls, rpc.BatchElem{Method: "eth_getBalance", Args: args, Result: &sums[i]})
		}
	}
	out := make([]state, len(cs))
	err := s.c.sure(ctx, p, calls, func(i int) error {
		k, isSum := i, false
		if balances {
			k, isSum = i/2, i%2 == 1
		}
		switch {
		case isSum && sums[k] != nil:
			out[k].balance = uint256.Int(*sums[k])
		case !isSum && nonces[k] != nil:
			out[k].nonce = uint64(*nonces[k])
		default:
			return s.c.unusable("it shows null for the state of an account")
		}
		return nil
	})
	return out, err
}

// bisect finds the blocks in which the states of wallets changed, all wallets
// level by level. What skip reports is not looked into. A wallet that changes
// too often is not looked into any more, and is reported.
func (c *coins) bisect(ctx context.Context, p *purse, b stretch, wallets []common.Address, balances bool, skip func(*change) bool) ([]change, error) {
	open := make([]change, len(wallets))
	for i, w := range wallets {
		open[i] = change{wallet: w, after: b.from - min(b.from, 1), to: b.to}
	}
	before, err := c.states(ctx, p, open, func(ch *change) uint64 { return ch.after }, balances)
	if err != nil {
		return nil, err
	}
	since, err := c.states(ctx, p, open, func(ch *change) uint64 { return ch.to }, balances)
	if err != nil {
		return nil, err
	}
	for i := range open {
		open[i].before, open[i].since = before[i], since[i]
	}
	var found []change
	for {
		often := make(map[common.Address]int)
		for i := range open {
			if ch := &open[i]; ch.before.nonce > ch.since.nonce {
				return nil, c.c.unusable("the number of a wallet's transactions falls")
			}
		}
		open = slices.DeleteFunc(open, func(ch change) bool {
			if ch.before == ch.since || skip(&ch) {
				return true
			}
			often[ch.wallet]++
			return false
		})
		for _, w := range wallets {
			if often[w] > c.most {
				c.unread = append(c.unread, c.crowd(w, b)...)
				c.dark[w] = true
			}
		}
		busy := func(ch change) bool { return often[ch.wallet] > c.most }
		open, found = slices.DeleteFunc(open, busy), slices.DeleteFunc(found, busy)
		open = slices.DeleteFunc(open, func(ch change) bool {
			if ch.to-ch.after == 1 {
				found = append(found, ch)
			}
			return ch.to-ch.after == 1
		})
		if len(open) == 0 {
			return found, nil
		}
		mid := func(ch *change) uint64 { return ch.after + (ch.to-ch.after)/2 }
		states, err := c.states(ctx, p, open, mid, balances)
		if err != nil {
			return nil, err
		}
		var halves []change
		for i, ch := range open {
			first, second := ch, ch
			first.to, second.after = mid(&ch), mid(&ch)
			first.since, second.before = states[i], states[i]
			halves = append(halves, first, second)
		}
		open = halves
	}
}

// crowd reports that the coins of a wallet are not read: they come and go too
// often for that.
func (c *coins) crowd(w common.Address, b stretch) (us []tracer.Unread) {
	for _, of := range []tracer.Part{tracer.PartNative, tracer.PartInternal} {
		for _, u := range c.missed(b, of, errNoTraces) {
			if u.Wallet == w {
				u.Reason, u.Detail = tracer.ReasonCrowded, fmt.Sprintf("its coins come and go in more than %d blocks", c.most)
				us = append(us, u)
			}
		}
	}
	return us
}

// plain splits wallets into those that have had no code in some blocks and the
// others. An account with a delegation (EIP-7702) is not plain: its coins can
// leave without a transaction of its own.
func (s *Source) plain(ctx context.Context, p *purse, b stretch, wallets []common.Address) (accounts, others []common.Address, err error) {
	code := make([]*hexutil.Bytes, 2*len(wallets))
	var calls []rpc.BatchElem
	for i, w := range wallets {
		for k, at := range []uint64{b.from - min(b.from, 1), b.to} {
			calls = append(calls, rpc.BatchElem{Method: "eth_getCode", Args: []any{w, hexutil.EncodeUint64(at)}, Result: &code[2*i+k]})
		}
	}
	err = s.c.sure(ctx, p, calls, func(i int) error {
		if code[i] == nil {
			return s.c.unusable("it shows null for the code of an account")
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	for i, w := range wallets {
		if len(*code[2*i]) == 0 && len(*code[2*i+1]) == 0 {
			accounts = append(accounts, w)
		} else {
			others = append(others, w)
		}
	}
	return accounts, others, nil
}

// stateless reports whether an error says that the node has no old states.
func stateless(err error) bool {
	e, ok := errors.AsType[*nodeError](err)
	return ok && (e.kind == kindPruned || e.kind == kindMissing)
}

// byState finds the blocks in which plain accounts got or gave native coin, and
// reads these alone; contracts are read by whole blocks.
func (c *coins) byState(ctx context.Context, p *purse, b stretch) (uint64, error) {
	accounts, others, err := c.plain(ctx, p, b, c.wallets)
	var changes []change
	if err == nil {
		changes, err = c.bisect(ctx, p, b, accounts, true, func(*change) bool { return false })
	}
	if stateless(err) {
		return c.byBlocks(ctx, p, b)
	}
	if err != nil {
		return b.from, err
	}
	if err := c.explain(ctx, p, changes); err != nil {
		return b.from, err
	}
	if len(others) == 0 {
		return b.to, nil
	}
	rest := *c
	rest.job = new(*c.job)
	rest.wallets, rest.ts, rest.receipts, rest.unread = others, nil, nil, nil
	rest.active = slices.DeleteFunc(slices.Clone(c.active), func(p tracer.Span) bool { return !rest.mine(p.Wallet) })
	from, err := rest.byBlocks(ctx, p, b)
	if err != nil && (ctx.Err() != nil || passing(err)) {
		return from, err
	}
	if err != nil { // of these wallets alone
		rest.miss(b, tracer.PartNative, err)
		rest.miss(b, tracer.PartInternal, err)
	}
	c.ts, c.receipts, c.unread = append(c.ts, rest.ts...), append(c.receipts, rest.receipts...), append(c.unread, rest.unread...)
	return b.to, nil
}

// explain reads the blocks of changes. What the transactions there do not
// explain came from inside one; when the node cannot show it, it is reported.
func (c *coins) explain(ctx context.Context, p *purse, changes []change) error {
	var numbers []uint64
	for i := range changes {
		numbers = append(numbers, changes[i].to)
	}
	blocks, f, err := c.readBlocks(ctx, p, numbers)
	if err != nil {
		return err
	}
	type place struct {
		wallet common.Address
		block  uint64
	}
	// Both sums are modulo 2^256; so is their difference, which is small.
	sums := make(map[place]*uint256.Int)
	sum := func(w common.Address, block uint64) *uint256.Int {
		if sums[place{w, block}] == nil {
			sums[place{w, block}] = new(uint256.Int)
		}
		return sums[place{w, block}]
	}
	add := func(t *tracer.Transfer) {
		n := sum(t.From, t.Block)
		n.Sub(n, &t.Amount)
		n = sum(t.To, t.Block)
		n.Add(n, &t.Amount)
	}
	for _, r := range f.receipts {
		t := c.fee(r, 0)
		add(&t)
	}
	c.addReceipts(f.receipts) // and with them, whose moves are in logs
	f.receipts = nil
	f.ts = once(f.ts, c.inLogs)
	for i := range f.ts {
		add(&f.ts[i])
	}
	for i := range c.page {
		if t := &c.page[i]; logged(t) {
			add(t)
		}
	}
	for _, blk := range blocks {
		for _, w := range blk.Withdrawals {
			n := sum(w.Address, uint64(blk.Number))
			n.Add(n, new(uint256.Int).Mul(uint256.NewInt(uint64(w.Gwei)), uint256.NewInt(1e9)))
		}
	}
	unexplained := func(ch *change) uint256.Int {
		var n uint256.Int
		n.Sub(&ch.since.balance, &ch.before.balance)
		n.Sub(&n, sum(ch.wallet, ch.to))
		return n
	}
	changes = slices.DeleteFunc(changes, func(ch change) bool { n := unexplained(&ch); return n.IsZero() })
	odd := slices.DeleteFunc(slices.Clone(blocks), func(b *block) bool {
		return !slices.ContainsFunc(changes, func(ch change) bool { return ch.to == uint64(b.Number) })
	})
	rows, err := c.traceBlocks(ctx, p, odd)
	if err != nil && (ctx.Err() != nil || passing(err)) {
		return err
	}
	for i := range rows {
		if t, ok := c.native(&rows[i]); ok && t.Kind == tracer.KindInternal && !c.inLogs[t.Tx] {
			f.ts = append(f.ts, t)
			add(&t)
		}
	}
	for i := range changes {
		ch := &changes[i]
		n := unexplained(ch)
		if n.IsZero() {
			continue
		}
		text := "the endpoint shows no internal transfers"
		if err == nil {
			text = "no transfer explains a change of balance"
		}
		if n.Sign() > 0 {
			text += fmt.Sprintf("; %s wei arrived in block %d", n.Dec(), ch.to)
		}
		c.dark[ch.wallet] = true
		c.unread = append(c.unread, tracer.Unread{Span: tracer.Span{Wallet: ch.wallet, From: ch.to, To: ch.to}, Part: tracer.PartInternal, Reason: tracer.ReasonNoTraces, Detail: text})
	}
	return c.keep(stretch{}, f)
}

// byNonces reads the fees of blocks whose logs have all moves of native coin:
// those of the transactions that the logs show, and where a nonce rose by more,
// of what the blocks in which it did hold.
func (c *coins) byNonces(ctx context.Context, p *purse, b stretch) (uint64, error) {
	if b.to-b.from < 2*uint64(len(c.wallets)) && min(c.total, c.told) <= maxBlocks {
		return c.byBlocks(ctx, p, b) // costs less
	}
	var txs []common.Hash
	for i := range c.page {
		if t := &c.page[i]; c.mine(t.From) && b.from <= t.Block && t.Block <= b.to {
			txs = append(txs, t.Tx)
		}
	}
	seen, err := c.fetchReceipts(ctx, p, txs)
	if err != nil {
		return b.from, err
	}
	c.addReceipts(seen)
	changes, err := c.bisect(ctx, p, b, c.wallets, false, func(ch *change) bool {
		n := uint64(0)
		for _, r := range seen {
			if r.From == ch.wallet && ch.after < uint64(r.Block) && uint64(r.Block) <= ch.to {
				n++
			}
		}
		return ch.since.nonce-ch.before.nonce == n
	})
	if stateless(err) {
		return c.byBlocks(ctx, p, b)
	}
	if err != nil {
		return b.from, err
	}
	var numbers []uint64
	for i := range changes {
		numbers = append(numbers, changes[i].to)
	}
	_, f, err := c.readBlocks(ctx, p, numbers)
	if err != nil {
		return b.from, err
	}
	return b.to, c.keep(stretch{}, f)
}
