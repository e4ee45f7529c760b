package ethsource

import (
	"bytes"
	"math/big"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
)

// TestBalancesABI compares what is asked of Multicall3, and what is read of its
// answer, with go-ethereum's coder.
func TestBalancesABI(t *testing.T) {
	coder, err := abi.JSON(strings.NewReader(`[
		{"type":"function","name":"aggregate3","inputs":[{"name":"calls","type":"tuple[]","components":[{"name":"target","type":"address"},{"name":"allowFailure","type":"bool"},{"name":"callData","type":"bytes"}]}],
			"outputs":[{"name":"returnData","type":"tuple[]","components":[{"name":"success","type":"bool"},{"name":"returnData","type":"bytes"}]}]},
		{"type":"function","name":"getEthBalance","inputs":[{"name":"addr","type":"address"}],"outputs":[{"name":"balance","type":"uint256"}]}]`))
	if err != nil {
		t.Fatal(err)
	}
	type question struct {
		Target       common.Address
		AllowFailure bool
		CallData     []byte
	}
	type answer struct {
		Success    bool
		ReturnData []byte
	}
	for _, n := range []int{1, 2, 500} {
		var wallets []common.Address
		var questions []question
		var answers []answer
		var want []uint256.Int
		for i := range n {
			a := common.BigToAddress(big.NewInt(int64(1e15 + i)))
			data, err := coder.Pack("getEthBalance", a)
			if err != nil {
				t.Fatal(err)
			}
			balance := new(uint256.Int).Lsh(uint256.NewInt(uint64(i+1)), uint(i%240))
			wallets, want = append(wallets, a), append(want, *balance)
			questions = append(questions, question{multicall, false, data})
			b := balance.Bytes32()
			answers = append(answers, answer{true, b[:]})
		}
		data, err := coder.Pack("aggregate3", questions)
		if err != nil {
			t.Fatal(err)
		}
		if got := packBalances(wallets); !bytes.Equal(got, data) {
			t.Fatalf("%d wallets: asked\n%x\nwant\n%x", n, got, data)
		}
		data, err = coder.Methods["aggregate3"].Outputs.Pack(answers)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := unpackBalances(data, n)
		if !ok || len(got) != n {
			t.Fatalf("%d wallets: the answer is not read", n)
		}
		for i := range got {
			if got[i] != want[i] {
				t.Errorf("wallet %d of %d has %s, want %s", i, n, got[i].Dec(), want[i].Dec())
			}
		}
		for _, bad := range [][]byte{nil, data[1:], data[:len(data)-1], append(bytes.Clone(data), 0)} {
			if _, ok := unpackBalances(bad, n); ok {
				t.Errorf("%d of %d bytes are taken for an answer", len(bad), len(data))
			}
		}
		for i := range len(data) {
			bad := bytes.Clone(data)
			bad[i] ^= 0x40
			if n > 2 || i >= 64+32*n && (i-64-32*n)%128 >= 96 {
				continue // a balance
			}
			if _, ok := unpackBalances(bad, n); ok {
				t.Errorf("with byte %d changed, it is taken for an answer", i)
			}
		}
	}
}
