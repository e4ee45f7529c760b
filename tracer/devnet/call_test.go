package devnet

import (
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/rpc"
)

const contractsABI = `[
{"type":"function","name":"aggregate3","inputs":[{"name":"calls","type":"tuple[]","components":[{"name":"target","type":"address"},{"name":"allowFailure","type":"bool"},{"name":"callData","type":"bytes"}]}],"outputs":[{"name":"returnData","type":"tuple[]","components":[{"name":"success","type":"bool"},{"name":"returnData","type":"bytes"}]}]},
{"type":"function","name":"getEthBalance","inputs":[{"name":"addr","type":"address"}],"outputs":[{"name":"balance","type":"uint256"}]},
{"type":"function","name":"balanceOf","inputs":[{"name":"a","type":"address"}],"outputs":[{"type":"uint256"}]},
{"type":"function","name":"symbol","inputs":[],"outputs":[{"type":"string"}]},
{"type":"function","name":"decimals","inputs":[],"outputs":[{"type":"uint8"}]}]`

type aggregateCall struct {
	Target       common.Address
	AllowFailure bool
	CallData     []byte
}

type aggregateResult struct {
	Success    bool
	ReturnData []byte
}

// TestCalls reads tokens and Multicall3 as go-ethereum's own ABI does, and
// compares balances with a replay of the transfers.
func TestCalls(t *testing.T) {
	w := made(Config{})
	contracts, err := abi.JSON(strings.NewReader(contractsABI))
	if err != nil {
		t.Fatal(err)
	}
	node := dial(t, w, NodeOptions{})
	call := func(c *rpc.Client, to common.Address, data []byte, block uint64) ([]byte, error) {
		var out hexutil.Bytes
		err := c.CallContext(t.Context(), &out, "eth_call", map[string]any{"to": to, "input": hexutil.Bytes(data)}, hexutil.EncodeUint64(block))
		return out, err
	}
	pack := func(name string, args ...any) []byte {
		b, err := contracts.Pack(name, args...)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	usdt := Chain().Tokens[0]
	for name, want := range map[string]any{"symbol": "USDT", "decimals": uint8(6)} {
		out, err := call(node, usdt.Address, pack(name), 5)
		if err != nil {
			t.Fatal(name, err)
		}
		if got, err := contracts.Unpack(name, out); err != nil || got[0] != want {
			t.Errorf("%s() = %v, %v, want %v", name, got, err, want)
		}
	}
	if _, err := call(node, usdt.Address, []byte{1, 2, 3, 4}, 5); err == nil || !strings.Contains(err.Error(), "reverted") {
		t.Errorf("a function that USDT does not have: %v", err)
	}

	balances := opening(w)
	ts := w.Transfers()
	rng := rand.New(rand.NewPCG(4, 4))
	checked := 0
	for at, block := 0, uint64(0); block < w.Head(); block += 9000 {
		for ; at < len(ts) && ts[at].Block <= block; at++ {
			apply(balances, &ts[at])
		}
		var calls []aggregateCall
		var want []*big.Int
		for range 60 {
			x := &ts[rng.IntN(len(ts))]
			if w.Truth.Owner[x.From].Role == RoleToken {
				continue // wrapping is no movement of its own tokens
			}
			for _, tok := range Chain().Tokens {
				calls = append(calls, aggregateCall{tok.Address, true, pack("balanceOf", x.From)})
				have := balances[account{x.From, tracer.TokenOf(ChainID, tok.Address)}]
				want = append(want, have.ToBig())
			}
			calls = append(calls, aggregateCall{multicall3, false, pack("getEthBalance", x.From)})
			have := balances[account{x.From, tracer.NativeOf(ChainID)}]
			want = append(want, have.ToBig())
		}
		calls = append(calls, aggregateCall{usdt.Address, true, []byte{9, 9, 9, 9}}, aggregateCall{common.Address{1}, true, []byte{}})
		out, err := call(node, multicall3, pack("aggregate3", calls), block)
		if err != nil {
			t.Fatal(err)
		}
		var got struct{ ReturnData []aggregateResult }
		if err := contracts.UnpackIntoInterface(&got, "aggregate3", out); err != nil || len(got.ReturnData) != len(calls) {
			t.Fatalf("%d results of %d: %v", len(got.ReturnData), len(calls), err)
		}
		for i := range want {
			r := got.ReturnData[i]
			if !r.Success || new(big.Int).SetBytes(r.ReturnData).Cmp(want[i]) != 0 {
				t.Errorf("block %d, call %d of %s: %+v, want %d", block, i, calls[i].Target, r, want[i])
			}
			if want[i].Sign() > 0 {
				checked++
			}
		}
		if r := got.ReturnData[len(want):]; r[0].Success || !r[1].Success || len(r[1].ReturnData) > 0 {
			t.Errorf("a call that reverts and one of an account: %+v", r)
		}
	}
	if checked < 1000 {
		t.Errorf("only %d balances are not zero", checked)
	}
	strict := []aggregateCall{{usdt.Address, false, []byte{9, 9, 9, 9}}}
	if _, err := call(node, multicall3, pack("aggregate3", strict), 5); err == nil {
		t.Error("aggregate3 goes on after a call that must not fail")
	}
	if out, err := call(dial(t, w, NodeOptions{NoMulticall: true}), multicall3, pack("aggregate3", strict), 5); err != nil || len(out) > 0 {
		t.Errorf("without Multicall3: %x, %v", out, err)
	}
	if _, err := call(dial(t, w, NodeOptions{NoArchive: true}), usdt.Address, pack("symbol"), 5); err == nil || !strings.Contains(err.Error(), "missing trie node") {
		t.Errorf("an old state of a node that keeps none: %v", err)
	}
}
