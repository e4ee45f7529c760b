package ethsource

import (
	"context"
	"errors"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
)

var _ tracer.QuietSource = (*Source)(nil)

// Watch asks for three things of each wallet: nonce, balance and code.
func (s *Source) Watch(ctx context.Context, wallets []common.Address, most int) ([]tracer.State, int, error) {
	if len(wallets) == 0 {
		return nil, 0, context.Cause(ctx)
	}
	if most > 0 && most < 3*len(wallets)+2+s.witnessCalls() {
		return nil, 0, tracer.ErrBudget
	}
	spent := new(counter)
	out, err := s.watch(ctx, newPurse(most, spent), wallets)
	return out, spent.count(), budget(err)
}

func (s *Source) watch(ctx context.Context, p *purse, wallets []common.Address) ([]tracer.State, error) {
	nonces, err := s.nonces(ctx, p, wallets)
	if err != nil {
		return nil, err
	}
	balances, err := s.holdings(ctx, p, wallets)
	if err != nil {
		return nil, err
	}
	code, err := s.code(ctx, p, wallets)
	if err != nil {
		return nil, err
	}
	out := make([]tracer.State, len(wallets))
	for i, w := range wallets {
		out[i] = tracer.State{Wallet: w, Nonce: nonces[i], Balance: balances[i], Plain: len(*code[i]) == 0}
	}
	return out, s.witness(ctx, p)
}

// Quiet asks for the logs of all wallets together, for the balance of each, and
// for either the nonce of each or, where that takes fewer calls, the traces of
// all together. What nonces prove depends on the wallet:
//
// An account that has sent a transaction and has no code stays one while its
// nonce stays: no contract can be made where there is a nonce (EIP-684), and a
// delegation raises it (EIP-7702). Its coins cannot leave without a transaction
// of its own, so that the same nonce and the same balance mean that none came
// or went.
//
// An account that never sent one may be where a contract is yet to be made
// (CREATE2), which can take what is there and be gone by the end of its
// transaction. Coins of contracts, and of accounts with a delegation, come and go
// while their states stay. For all of these the logs must tell moves of coins
// (EIP-7708), or else traces. Where the node has neither, contracts and
// delegations are not quiet, and the others are taken at their states, as they
// are when they are read.
func (s *Source) Quiet(ctx context.Context, after uint64, was []tracer.State, most int) ([]bool, int, error) {
	quiet := make([]bool, len(was))
	if after >= s.pinned.Number || len(was) == 0 {
		for i := range quiet {
			quiet[i] = true
		}
		return quiet, 0, context.Cause(ctx)
	}
	c := &check{Source: s, stretch: stretch{after + 1, s.pinned.Number}, was: was, quiet: quiet}
	for i := range was {
		c.wallets = append(c.wallets, was[i].Wallet)
	}
	spent := new(counter)
	p := newPurse(most, spent)
	if !p.has(c.least()) {
		return quiet, 0, tracer.ErrBudget
	}
	err := c.run(ctx, p)
	if err == nil {
		err = s.witness(ctx, p)
	}
	if err != nil {
		clear(quiet)
	}
	if errors.Is(err, tracer.ErrWrongChain) || errors.Is(err, tracer.ErrReorg) || passing(err) {
		return quiet, spent.count(), budget(err)
	}
	return quiet, spent.count(), context.Cause(ctx)
}

// A check is one use of Quiet.
type check struct {
	*Source
	stretch
	was     []tracer.State
	wallets []common.Address // of was
	quiet   []bool           // as far as it is known
}

// sweep is how many calls of trace_filter the check takes for n wallets.
func (c *check) sweep(n int) uint64 {
	blocks := c.to - c.from + 1
	return ((blocks-1)/min(c.traced.size(), blocks) + 1) * (uint64(n-1)/maxTopics + 1)
}

// byTraces reports whether traces cost less than the nonces of all wallets.
func (c *check) byTraces() bool {
	return c.abilities().Traces && c.sweep(len(c.was)) < uint64(len(c.was))
}

// least is how many calls the check takes at least.
func (c *check) least() int {
	n := (len(c.was)-1)/mostBalances + 1 + 2*((len(c.was)-1)/maxTopics+1) + c.witnessCalls()
	if c.byTraces() {
		return n + int(c.sweep(len(c.was)))
	}
	return n + len(c.was)
}

func (c *check) run(ctx context.Context, p *purse) error {
	balances, err := c.holdings(ctx, p, c.wallets)
	if err != nil {
		return err
	}
	for i := range c.was {
		c.quiet[i] = balances[i] == c.was[i].Balance
	}
	if err := c.byLogs(ctx, p); err != nil {
		return err
	}
	if c.byTraces() {
		if err := c.trace(ctx, p, func(*tracer.State) bool { return true }); err == nil || passing(err) {
			return err
		}
	}
	still := c.still(nil)
	nonces, err := c.nonces(ctx, p, still)
	if err != nil {
		return err
	}
	now := make(map[common.Address]uint64, len(still))
	for i, w := range still {
		now[w] = nonces[i]
	}
	for i := range c.was {
		c.quiet[i] = c.quiet[i] && now[c.wallets[i]] == c.was[i].Nonce
	}
	return c.doubt(ctx, p)
}

// still returns the wallets that are quiet so far, of some or of all.
func (c *check) still(some func(*tracer.State) bool) (wallets []common.Address) {
	for i := range c.was {
		if c.quiet[i] && (some == nil || some(&c.was[i])) {
			wallets = append(wallets, c.wallets[i])
		}
	}
	return wallets
}

// stir takes back that some wallets are quiet.
func (c *check) stir(stirred map[common.Address]bool) {
	for i, w := range c.wallets {
		c.quiet[i] = c.quiet[i] && !stirred[w]
	}
}

// doubt looks into those whose states prove nothing.
func (c *check) doubt(ctx context.Context, p *purse) error {
	unproven := func(s *tracer.State) bool { return !s.Plain || s.Nonce == 0 }
	n := len(c.still(unproven))
	if n == 0 || c.toldFrom() <= c.from {
		return nil
	}
	if c.abilities().Traces && c.sweep(n) <= uint64(someChanges*n) {
		if err := c.trace(ctx, p, unproven); err == nil || passing(err) {
			return err
		}
	}
	for i := range c.was {
		c.quiet[i] = c.quiet[i] && c.was[i].Plain
	}
	return nil
}

// byLogs looks for logs of transfers.
func (c *check) byLogs(ctx context.Context, p *purse) error {
	wallets := c.still(nil)
	if len(wallets) == 0 {
		return nil
	}
	stirred := make(map[common.Address]bool)
	_, err := inOrder(ctx, p, []stretch{c.stretch}, c.logs, func(b stretch) func(context.Context, *purse) (page, error) {
		return func(ctx context.Context, p *purse) (got page, err error) {
			for range 3 { // what does not fit together is asked for again
				if got, err = c.tokens(ctx, p, wallets, b); !errors.Is(err, errDiffers) {
					break
				}
			}
			return got, err
		}
	}, func(b stretch, got page) error {
		c.logs.answered(b, got.logs)
		for i := range got.ts {
			stirred[got.ts[i].From], stirred[got.ts[i].To] = true, true
		}
		c.reuse(got.ts)
		return nil
	})
	c.stir(stirred)
	return err
}

// trace looks for wallets of which trace_filter shows that they sent a
// transaction, became contracts, or that coins came or went; also where all of
// that was taken back.
func (c *check) trace(ctx context.Context, p *purse, some func(*tracer.State) bool) error {
	wallets := c.still(some)
	if len(wallets) == 0 {
		return nil
	}
	stirred := make(map[common.Address]bool)
	_, err := inOrder(ctx, p, []stretch{c.stretch}, c.traced, func(b stretch) func(context.Context, *purse) ([]trace, error) {
		return func(ctx context.Context, p *purse) ([]trace, error) {
			return groups(ctx, c.Source, wallets, func(group []common.Address) ([]trace, error) {
				return c.fetchTraces(ctx, p, b, "trace_filter", map[string]any{
					"fromBlock": hexutil.EncodeUint64(b.from), "toBlock": hexutil.EncodeUint64(b.to), "fromAddress": group, "toAddress": group})
			})
		}
	}, func(b stretch, rows []trace) error {
		c.traced.answered(b, len(rows))
		for i := range rows {
			r := &rows[i]
			if len(r.Path) == 0 {
				stirred[r.Action.From] = true // and paid for it
			}
			if r.Type == "create" && r.Result != nil && r.Result.Address != nil {
				stirred[*r.Result.Address] = true
			}
			if t, ok := c.native(r); ok {
				stirred[t.From], stirred[t.To] = true, true
			}
		}
		return nil
	})
	c.stir(stirred)
	return err
}
