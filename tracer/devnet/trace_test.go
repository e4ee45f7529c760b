package devnet

import (
	"encoding/json"
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/holiman/uint256"
)

// TestReceiptsMoveMoney rebuilds the transfers of transactions from what the
// node says of them: values and fees from transaction and receipt, the rest
// from logs and traces.
func TestReceiptsMoveMoney(t *testing.T) {
	for _, w := range []*World{made(Config{}), made(small[2])} {
		client := dial(t, w, NodeOptions{})
		byTx := make(map[common.Hash][]tracer.Transfer)
		for _, tr := range w.Transfers() {
			byTx[tr.Tx] = append(byTx[tr.Tx], tr)
		}
		rng := rand.New(rand.NewPCG(5, 6))
		for range 300 {
			h := w.chain.txs[rng.IntN(len(w.chain.txs))].hash
			want := 0
			for _, tr := range byTx[h] {
				if tr.Kind != tracer.KindNFT && tr.Kind != tracer.KindToken {
					want++
				}
			}
			var r struct {
				GasUsed, EffectiveGasPrice hexutil.Uint64
				Status                     hexutil.Uint64
				From                       common.Address
				Logs                       []types.Log
			}
			var traces []parityTrace
			if err := client.CallContext(t.Context(), &r, "eth_getTransactionReceipt", h); err != nil {
				t.Fatal(err)
			}
			if err := client.CallContext(t.Context(), &traces, "trace_transaction", h); err != nil {
				t.Fatal(err)
			}
			var fee uint256.Int
			fee.Mul(uint256.NewInt(uint64(r.GasUsed)), uint256.NewInt(uint64(r.EffectiveGasPrice)))
			if first := byTx[h][0]; first.Kind != tracer.KindFee || first.Amount != fee || first.From != r.From {
				t.Errorf("%s: the fee is %s of %s, the receipt says %s of %s", h, first.Amount.Dec(), first.From, fee.Dec(), r.From)
			}
			logged := slices.ContainsFunc(r.Logs, func(l types.Log) bool { return l.Address == tracer.NativeLogs })
			if logged {
				continue // named by their logs
			}
			got := 1
			for _, p := range moving(traces) {
				got++
				if !slices.ContainsFunc(byTx[h], func(tr tracer.Transfer) bool {
					return tr.From == p.from() && tr.To == p.to() && tr.Amount == p.amount() && tr.Asset.Kind == tracer.Native && tr.Position == p.path()
				}) {
					t.Errorf("%s: trace %s of %s to %s moves nothing in the world", h, p.path(), p.from(), p.to())
				}
			}
			if got != want {
				t.Errorf("%s: receipt and traces make %d native transfers, the world has %d", h, got, want)
			}
		}
	}
}

type parityTrace struct {
	Action struct {
		CallType                         string
		From, To, Address, RefundAddress common.Address
		Value, Balance                   *hexutil.U256
	}
	Result              *struct{ Address common.Address }
	Error, Type         string
	TraceAddress        []int
	Subtraces           int
	BlockNumber         uint64
	TransactionHash     common.Hash
	TransactionPosition int
}

func (p *parityTrace) from() common.Address {
	if p.Type == "suicide" {
		return p.Action.Address
	}
	return p.Action.From
}

func (p *parityTrace) to() common.Address {
	switch {
	case p.Type == "suicide":
		return p.Action.RefundAddress
	case p.Type == "create" && p.Result != nil:
		return p.Result.Address
	}
	return p.Action.To
}

func (p *parityTrace) amount() uint256.Int {
	if p.Type == "suicide" {
		return uint256.Int(*p.Action.Balance)
	}
	return uint256.Int(*p.Action.Value)
}

func (p *parityTrace) path() string {
	return strings.Join(strings.Fields(strings.Trim(fmt.Sprint(p.TraceAddress), "[]")), ".")
}

// moving returns the traces of one transaction that moved something.
func moving(traces []parityTrace) []parityTrace {
	var out []parityTrace
	var failed []string
	for _, p := range traces {
		if p.Error != "" {
			failed = append(failed, p.path())
		}
		n := p.amount()
		undone := slices.ContainsFunc(failed, func(f string) bool { return f == "" || p.path() == f || strings.HasPrefix(p.path(), f+".") })
		if !undone && !n.IsZero() && p.Action.CallType != "delegatecall" && p.Action.CallType != "staticcall" {
			out = append(out, p)
		}
	}
	return out
}

// TestTraceFilter compares the indexed search with all traces of the blocks.
func TestTraceFilter(t *testing.T) {
	w := made(Config{})
	client := dial(t, w, NodeOptions{})
	var all []json.RawMessage
	if err := client.CallContext(t.Context(), &all, "trace_filter", map[string]any{"fromBlock": "earliest", "toBlock": "latest"}); err != nil {
		t.Fatal(err)
	}
	parsed := make([]parityTrace, len(all))
	for i := range all {
		if err := json.Unmarshal(all[i], &parsed[i]); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := len(all), len(w.chain.txs)+len(w.chain.calls); got != want {
		t.Fatalf("there are %d traces, want %d", got, want)
	}
	rng := rand.New(rand.NewPCG(7, 8))
	for i := range 60 {
		var froms, tos []common.Address
		for range rng.IntN(40) {
			froms = append(froms, parsed[rng.IntN(len(all))].from())
		}
		for range rng.IntN(40) {
			tos = append(tos, parsed[rng.IntN(len(all))].to())
		}
		from := rng.Uint64N(w.Head())
		to := from + rng.Uint64N(w.Head()-from)
		var want []json.RawMessage
		for k := range parsed {
			p := &parsed[k]
			party := len(froms)+len(tos) == 0 || slices.Contains(froms, p.from()) || slices.Contains(tos, p.to())
			if party && from <= p.BlockNumber && p.BlockNumber <= to {
				want = append(want, all[k])
			}
		}
		q := map[string]any{"fromBlock": hexutil.Uint64(from), "toBlock": hexutil.Uint64(to)}
		if len(froms) > 0 {
			q["fromAddress"] = froms
		}
		if len(tos) > 0 {
			q["toAddress"] = tos
		}
		if rng.IntN(2) == 0 {
			after, count := rng.IntN(50), rng.IntN(200)
			q["after"], q["count"] = after, count
			want = want[min(after, len(want)):]
			want = want[:min(count, len(want))]
		}
		var got []json.RawMessage
		if err := client.CallContext(t.Context(), &got, "trace_filter", q); err != nil {
			t.Fatal(err)
		}
		if !slices.EqualFunc(got, want, func(a, b json.RawMessage) bool { return string(a) == string(b) }) {
			t.Fatalf("filter %d: %d traces, want %d", i, len(got), len(want))
		}
	}
}

// TestState compares balances and nonces with a replay of the transfers.
func TestState(t *testing.T) {
	w := made(Config{})
	client := ethclient.NewClient(dial(t, w, NodeOptions{}))
	balances := opening(w)
	nonces := make(map[common.Address]uint64)
	ts := w.Transfers()
	native := tracer.NativeOf(ChainID)
	rng := rand.New(rand.NewPCG(9, 10))
	at := 0
	for n := uint64(0); n <= w.Head(); n += 1 + rng.Uint64N(4000) {
		for at < len(ts) && ts[at].Block <= n {
			apply(balances, &ts[at])
			if ts[at].Kind == tracer.KindFee {
				nonces[ts[at].From]++
			}
			at++
		}
		for range 20 {
			a := w.chain.addrs[rng.IntN(len(w.chain.addrs))]
			got, err := client.BalanceAt(t.Context(), a, new(big.Int).SetUint64(n))
			if err != nil {
				t.Fatal(err)
			}
			if want := balances[account{a, native}]; got.Cmp(want.ToBig()) != 0 {
				t.Errorf("%s has %s at block %d, want %s", a, got, n, want.Dec())
			}
			code, err := client.CodeAt(t.Context(), a, new(big.Int).SetUint64(n))
			if err != nil {
				t.Fatal(err)
			}
			nonce, err := client.NonceAt(t.Context(), a, new(big.Int).SetUint64(n))
			if err != nil {
				t.Fatal(err)
			}
			want := nonces[a]
			if len(code) > 0 && want == 0 && code[0] != 0xef {
				want = 1
			}
			if nonce != want {
				t.Errorf("%s has nonce %d at block %d, want %d", a, nonce, n, want)
			}
		}
	}
	made := w.chain.txs[slices.IndexFunc(w.chain.txs, func(x txn) bool { return x.creates })]
	for _, tt := range []struct {
		block uint32
		want  bool
	}{{made.block - 1, false}, {made.block, true}} {
		code, err := client.CodeAt(t.Context(), w.chain.addrs[made.to], big.NewInt(int64(tt.block)))
		if err != nil {
			t.Fatal(err)
		}
		if (len(code) > 0) != tt.want {
			t.Errorf("the contract made in block %d has %d bytes of code in block %d", made.block, len(code), tt.block)
		}
	}
}
