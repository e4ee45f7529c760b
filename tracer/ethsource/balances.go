package ethsource

import (
	"context"
	"slices"

	"scamtrace/tracer"
	"scamtrace/tracer/abi"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/rpc"
	"github.com/holiman/uint256"
)

// mostBalances is how many balances are asked for in one call: each takes some
// 10,000 gas, and nodes allow 50,000,000.
const mostBalances = 500

// nonces returns what the wallets have at the pinned block.
func (s *Source) nonces(ctx context.Context, p *purse, wallets []common.Address) ([]uint64, error) {
	at := make([]change, len(wallets))
	for i, w := range wallets {
		at[i] = change{wallet: w, to: s.pinned.Number}
	}
	states, err := s.states(ctx, p, at, func(c *change) uint64 { return c.to }, false)
	out := make([]uint64, len(states))
	for i := range states {
		out[i] = states[i].nonce
	}
	return out, err
}

// holdings returns what the wallets have at the pinned block: some hundred in a
// call of Multicall3, and by themselves where there is none.
func (s *Source) holdings(ctx context.Context, p *purse, wallets []common.Address) ([]uint256.Int, error) {
	at := hexutil.EncodeUint64(s.pinned.Number)
	var calls []rpc.BatchElem
	parts := slices.Collect(slices.Chunk(wallets, mostBalances))
	packed := make([]hexutil.Bytes, len(parts))
	for i, part := range parts {
		var each []tracer.Call
		for _, w := range part {
			each = append(each, abi.Balance(tracer.NativeOf(s.chain.ID), w, s.pinned.Number))
		}
		c := abi.Aggregate(each, s.pinned.Number)
		calls = append(calls, rpc.BatchElem{Method: "eth_call", Args: []any{map[string]any{"to": c.To, "data": hexutil.Bytes(c.Data)}, at}, Result: &packed[i]})
	}
	out := make([]uint256.Int, 0, len(wallets))
	err := s.c.all(ctx, p, calls)
	if passing(err) {
		return nil, err
	}
	for i, part := range parts {
		got, ok := abi.Results(packed[i], len(part))
		if !ok || err != nil || slices.ContainsFunc(got, func(r abi.Result) bool { return !r.OK || len(r.Data) != 32 }) {
			out = out[:0]
			break
		}
		for _, r := range got {
			out = append(out, *new(uint256.Int).SetBytes32(r.Data))
		}
	}
	if len(out) == len(wallets) {
		return out, nil
	}
	sums := make([]*hexutil.U256, len(wallets))
	calls = calls[:0]
	for i, w := range wallets {
		calls = append(calls, rpc.BatchElem{Method: "eth_getBalance", Args: []any{w, at}, Result: &sums[i]})
	}
	out = make([]uint256.Int, len(wallets))
	return out, s.c.sure(ctx, p, calls, func(i int) error {
		if sums[i] == nil {
			return s.c.unusable("it shows null for the state of an account")
		}
		out[i] = uint256.Int(*sums[i])
		return nil
	})
}

// has reports whether a purse of its own holds n calls.
func (p *purse) has(n int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.left >= n
}
