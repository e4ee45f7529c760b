package ethsource

import (
	"context"
	"errors"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/rpc"
)

// The questions to a token contract whether an address is frozen: USDT's
// isBlackListed(address) and USDC's isBlacklisted(address).
var frozenCalls = [][]byte{{0xe4, 0x7d, 0x60, 0x60}, {0xfe, 0x57, 0x5a, 0x87}}

// Frozen returns, for each wallet in order, whether the issuer of a token had
// frozen it at the pinned block, or, at a node that shows no other, at the newest. Only dollar tokens of the chain table are
// asked; one that knows neither question, and a node that cannot ask, freeze
// nobody.
func (s *Source) Frozen(ctx context.Context, token common.Address, wallets []common.Address) ([]bool, error) {
	out := make([]bool, len(wallets))
	if t, ok := s.chain.Token(tracer.TokenOf(s.chain.ID, token)); !ok || !t.Stable {
		return out, nil
	}
	at := s.stateAt()
	for _, call := range frozenCalls {
		answers := make([]hexutil.Bytes, len(wallets))
		calls := make([]rpc.BatchElem, len(wallets))
		for i, w := range wallets {
			data := append(call[:4:4], common.LeftPadBytes(w.Bytes(), 32)...)
			calls[i] = rpc.BatchElem{Method: "eth_call", Args: []any{map[string]any{"to": token, "data": hexutil.Bytes(data)}, at}, Result: &answers[i]}
		}
		err := s.c.all(ctx, newPurse(0, new(counter)), calls)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if e, ok := errors.AsType[*nodeError](err); ok && (e.kind == kindTransient || e.kind == kindUnusable || e.kind == kindRate || e.kind == kindBehind) {
			return nil, err
		}
		if at != newestTag && newestOnly(err) {
			s.mu.Lock()
			s.newest = true
			s.mu.Unlock()
			return s.Frozen(ctx, token, wallets)
		}
		if err != nil {
			continue // the contract, or the node, does not know this question
		}
		for i, a := range answers {
			if len(a) == 32 && common.BytesToHash(a) != (common.Hash{}) {
				out[i] = true
			}
		}
	}
	return out, nil
}
