package ethsource

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/rpc"
	"github.com/holiman/uint256"
)

// multicall is where Multicall3 is, on most chains (github.com/mds1/multicall).
var multicall = common.HexToAddress("0xcA11bde05977b3631167028862bE2a173976CA11")

// Its functions: the first four bytes of keccak256 of their signatures.
var (
	callAggregate  = []byte{0x82, 0xad, 0x56, 0xcb} // aggregate3((address,bool,bytes)[])
	callEthBalance = []byte{0x4d, 0x23, 0x01, 0xcc} // getEthBalance(address)
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
		calls = append(calls, rpc.BatchElem{Method: "eth_call", Args: []any{map[string]any{"to": multicall, "data": hexutil.Bytes(packBalances(part))}, at}, Result: &packed[i]})
	}
	out := make([]uint256.Int, 0, len(wallets))
	err := s.c.all(ctx, p, calls)
	if passing(err) {
		return nil, err
	}
	for i, part := range parts {
		got, ok := unpackBalances(packed[i], len(part))
		if !ok || err != nil {
			out = out[:0]
			break
		}
		out = append(out, got...)
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

// word is a word of the ABI that holds a number.
func word(n int) []byte {
	var w [32]byte
	binary.BigEndian.PutUint64(w[24:], uint64(n))
	return w[:]
}

// packBalances asks Multicall3 for the balances of wallets.
func packBalances(wallets []common.Address) []byte {
	const size = 6 * 32 // of the question for one wallet
	b := slices.Concat(callAggregate, word(32), word(len(wallets)))
	for i := range wallets {
		b = append(b, word(32*len(wallets)+size*i)...)
	}
	for _, w := range wallets {
		b = append(b, common.LeftPadBytes(multicall[:], 32)...)
		b = append(append(append(b, word(0)...), word(3*32)...), word(4+32)...)
		b = append(append(append(b, callEthBalance...), common.LeftPadBytes(w[:], 32)...), make([]byte, 28)...)
	}
	return b
}

// unpackBalances reads the answer, which has exactly one form.
func unpackBalances(b []byte, n int) ([]uint256.Int, bool) {
	const size = 4 * 32 // of the answer for one wallet
	if len(b) != 2*32+n*(32+size) || !bytes.Equal(b[:64], append(word(32), word(n)...)) {
		return nil, false
	}
	heads, b := b[64:64+32*n], b[64+32*n:]
	out := make([]uint256.Int, n)
	good := slices.Concat(word(1), word(64), word(32))
	for i := range out {
		if !bytes.Equal(heads[32*i:32*i+32], word(32*n+size*i)) || !bytes.Equal(b[size*i:size*i+96], good) {
			return nil, false
		}
		out[i].SetBytes32(b[size*i+96 : size*i+128])
	}
	return out, true
}

// has reports whether a purse of its own holds n calls.
func (p *purse) has(n int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.left >= n
}
