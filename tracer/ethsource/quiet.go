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
	if most > 0 && most < 3*len(wallets)+witnessCalls {
		return nil, 0, tracer.ErrBudget
	}
	spent := new(counter)
	out, err := s.watch(ctx, newPurse(most, spent), wallets)
	return out, spent.count(), budget(err)
}

func (s *Source) watch(ctx context.Context, p *purse, wallets []common.Address) ([]tracer.State, error) {
	now, err := s.now(ctx, p, wallets)
	if err != nil {
		return nil, err
	}
	code, err := s.code(ctx, p, wallets)
	if err != nil {
		return nil, err
	}
	out := make([]tracer.State, len(wallets))
	for i, w := range wallets {
		out[i] = tracer.State{Wallet: w, Nonce: now[i].nonce, Balance: now[i].balance, Plain: len(*code[i]) == 0}
	}
	return out, s.witness(ctx, p)
}

// now returns the states of wallets at the pinned block.
func (s *Source) now(ctx context.Context, p *purse, wallets []common.Address) ([]state, error) {
	at := make([]change, len(wallets))
	for i, w := range wallets {
		at[i] = change{wallet: w, to: s.pinned.Number}
	}
	return s.states(ctx, p, at, func(c *change) uint64 { return c.to }, true)
}

// Quiet asks for two things of each wallet, nonce and balance, and for the logs
// of all wallets together. What these prove depends on the wallet:
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
	if most > 0 && most < 2*len(was)+2+witnessCalls {
		return quiet, 0, tracer.ErrBudget
	}
	spent := new(counter)
	p := newPurse(most, spent)
	err := s.quiet(ctx, p, stretch{after + 1, s.pinned.Number}, was, quiet)
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

func (s *Source) quiet(ctx context.Context, p *purse, b stretch, was []tracer.State, quiet []bool) error {
	wallets := make([]common.Address, len(was))
	for i := range was {
		wallets[i] = was[i].Wallet
	}
	now, err := s.now(ctx, p, wallets)
	if err != nil {
		return err
	}
	for i := range was {
		quiet[i] = now[i] == state{was[i].Nonce, was[i].Balance}
	}
	stirred, err := s.stirred(ctx, p, b, chosen(was, quiet))
	if err != nil {
		return err
	}
	var unproven []common.Address // by their states
	told := s.toldFrom() <= b.from
	for i := range was {
		quiet[i] = quiet[i] && !stirred[was[i].Wallet]
		if quiet[i] && !told && !(was[i].Plain && was[i].Nonce > 0) {
			unproven = append(unproven, was[i].Wallet)
		}
	}
	if len(unproven) == 0 {
		return nil
	}
	seen := false
	if n := uint64(len(unproven)); s.traces && (n-1)/maxTopics*s.windows(b)+s.windows(b) <= someChanges*n {
		stirred, err = s.traceStirred(ctx, p, b, unproven)
		if passing(err) {
			return err
		}
		seen = err == nil
	}
	for i := range was {
		quiet[i] = quiet[i] && (was[i].Plain || told || seen) && !stirred[was[i].Wallet]
	}
	return nil
}

// chosen returns the wallets of some states.
func chosen(of []tracer.State, some []bool) (wallets []common.Address) {
	for i := range of {
		if some[i] {
			wallets = append(wallets, of[i].Wallet)
		}
	}
	return wallets
}

// stirred returns the wallets that have logs of transfers in some blocks.
func (s *Source) stirred(ctx context.Context, p *purse, b stretch, wallets []common.Address) (map[common.Address]bool, error) {
	stirred := make(map[common.Address]bool)
	if len(wallets) == 0 {
		return stirred, nil
	}
	_, err := inOrder(ctx, p, []stretch{b}, s.logs, func(b stretch) func(context.Context, *purse) (page, error) {
		return func(ctx context.Context, p *purse) (got page, err error) {
			for range 3 { // what does not fit together is asked for again
				if got, err = s.tokens(ctx, p, wallets, b); !errors.Is(err, errDiffers) {
					break
				}
			}
			return got, err
		}
	}, func(b stretch, got page) error {
		s.logs.answered(b, got.logs)
		for i := range got.ts {
			stirred[got.ts[i].From], stirred[got.ts[i].To] = true, true
		}
		return nil
	})
	return stirred, err
}

// windows is how many calls of trace_filter some blocks take.
func (s *Source) windows(b stretch) uint64 {
	n := b.to - b.from + 1
	return (n-1)/min(s.traced.size(), n) + 1
}

// traceStirred returns the wallets of which trace_filter shows, in some blocks,
// that they sent a transaction, or that coins came or went; also where all of
// that was taken back.
func (s *Source) traceStirred(ctx context.Context, p *purse, b stretch, wallets []common.Address) (map[common.Address]bool, error) {
	stirred := make(map[common.Address]bool)
	_, err := inOrder(ctx, p, []stretch{b}, s.traced, func(b stretch) func(context.Context, *purse) ([]trace, error) {
		return func(ctx context.Context, p *purse) ([]trace, error) {
			return groups(ctx, s, wallets, func(group []common.Address) ([]trace, error) {
				return s.fetchTraces(ctx, p, b, "trace_filter", map[string]any{
					"fromBlock": hexutil.EncodeUint64(b.from), "toBlock": hexutil.EncodeUint64(b.to), "fromAddress": group, "toAddress": group})
			})
		}
	}, func(b stretch, rows []trace) error {
		s.traced.answered(b, len(rows))
		for i := range rows {
			r := &rows[i]
			if len(r.Path) == 0 {
				stirred[r.Action.From] = true // and paid for it
			}
			if t, ok := s.native(r); ok {
				stirred[t.From], stirred[t.To] = true, true
			}
		}
		return nil
	})
	return stirred, err
}
