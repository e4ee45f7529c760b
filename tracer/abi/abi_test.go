package abi

import (
	"bytes"
	"math/big"
	"slices"
	"strings"
	"testing"

	"scamtrace/tracer"

	geth "github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
)

var coder = func() geth.ABI {
	c, err := geth.JSON(strings.NewReader(`[
		{"type":"function","name":"aggregate3","inputs":[{"name":"calls","type":"tuple[]","components":[{"name":"target","type":"address"},{"name":"allowFailure","type":"bool"},{"name":"callData","type":"bytes"}]}],
			"outputs":[{"name":"returnData","type":"tuple[]","components":[{"name":"success","type":"bool"},{"name":"returnData","type":"bytes"}]}]},
		{"type":"function","name":"getEthBalance","inputs":[{"name":"addr","type":"address"}],"outputs":[{"name":"balance","type":"uint256"}]},
		{"type":"function","name":"balanceOf","inputs":[{"name":"who","type":"address"}],"outputs":[{"name":"","type":"uint256"}]}]`))
	if err != nil {
		panic(err)
	}
	return c
}()

type (
	question struct {
		Target       common.Address
		AllowFailure bool
		CallData     []byte
	}
	answer struct {
		Success    bool
		ReturnData []byte
	}
)

// TestCoder compares what is asked, and what is read of the answers, with
// go-ethereum's coder.
func TestCoder(t *testing.T) {
	token := common.Address{7}
	for _, n := range []int{0, 1, 2, 500} {
		var calls []tracer.Call
		var questions []question
		answers := []answer{}
		for i := range n {
			who := common.BigToAddress(big.NewInt(int64(1e15 + i)))
			asset, to, name := tracer.Asset{Kind: tracer.ERC20, Token: token}, token, "balanceOf"
			if i%2 == 0 {
				asset, to, name = tracer.Asset{Kind: tracer.Native}, Multicall3, "getEthBalance"
			}
			data, err := coder.Pack(name, who)
			if err != nil {
				t.Fatal(err)
			}
			c := Balance(asset, who, 5)
			if c.To != to || c.Block != 5 || !bytes.Equal(c.Data, data) {
				t.Fatalf("Balance = %+v, want %x of %s", c, data, to)
			}
			if i%3 == 0 {
				c.Data = append(c.Data, make([]byte, i%70)...) // of any length
			}
			calls, questions = append(calls, c), append(questions, question{to, true, c.Data})
			answers = append(answers, answer{i%5 > 0, slices.Repeat([]byte{byte(i)}, i%100)})
		}
		want, err := coder.Pack("aggregate3", questions)
		if err != nil {
			t.Fatal(err)
		}
		if got := Aggregate(calls, 9); got.To != Multicall3 || got.Block != 9 || !bytes.Equal(got.Data, want) {
			t.Fatalf("%d calls: asked\n%x\nwant\n%x", n, got.Data, want)
		}
		data, err := coder.Methods["aggregate3"].Outputs.Pack(answers)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := Results(data, n)
		if !ok || len(got) != n {
			t.Fatalf("%d calls: the answer is not read", n)
		}
		for i, r := range got {
			if r.OK != answers[i].Success || !bytes.Equal(r.Data, answers[i].ReturnData) {
				t.Errorf("answer %d of %d = %v, want %v", i, n, r, answers[i])
			}
		}
		for _, other := range []int{n - 1, n + 1, 1 << 30} {
			if _, ok := Results(data, other); ok {
				t.Errorf("%d answers are taken for %d", n, other)
			}
		}
		for end := range min(len(data), 2000) {
			if _, ok := Results(data[:end], n); ok && n > 0 && end < len(data)-32 {
				t.Errorf("%d of %d bytes are taken for an answer", end, len(data))
			}
		}
	}
}

func TestText(t *testing.T) {
	word32 := func(s string) []byte { return append([]byte(s), make([]byte, 32-len(s))...) }
	long := slices.Concat(word(word(nil, 32), 4), word32("USDT"))
	for _, tt := range []struct {
		name string
		in   []byte
		want string
		ok   bool
	}{
		{"a string", long, "USDT", true},
		{"bytes32", word32("MKR"), "MKR", true},
		{"bytes32 to the end", []byte(strings.Repeat("x", 32)), strings.Repeat("x", 32), true},
		{"nothing", nil, "", false},
		{"cut", long[:60], "", false},
		{"longer than it is", slices.Concat(word(word(nil, 32), 33), word32("USDT")), "", false},
		{"a place outside", slices.Concat(word(word(nil, 97), 4), word32("USDT")), "", false},
		{"a huge place", slices.Concat(bytes.Repeat([]byte{0xff}, 32), word(nil, 4), word32("USDT")), "", false},
	} {
		if got, ok := Text(tt.in); ok != tt.ok || ok && string(got) != tt.want {
			t.Errorf("%s: Text = %q, %v, want %q, %v", tt.name, got, ok, tt.want, tt.ok)
		}
	}
}

// FuzzResults reads any answer: nothing breaks, and what is read is what
// go-ethereum reads.
func FuzzResults(f *testing.F) {
	b, err := coder.Methods["aggregate3"].Outputs.Pack([]answer{{true, word(nil, 6)}, {false, nil}, {true, []byte("USDT")}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b, 3)
	f.Fuzz(func(t *testing.T, b []byte, n int) {
		Text(b)
		n &= 7
		got, ok := Results(b, n)
		values, err := coder.Methods["aggregate3"].Outputs.Unpack(b)
		if !ok || err != nil {
			return // each is stricter than the other somewhere
		}
		var want struct{ ReturnData []answer }
		if err := coder.Methods["aggregate3"].Outputs.Copy(&want, values); err != nil || len(want.ReturnData) != n {
			t.Fatalf("Results(%x, %d) has %d, go-ethereum %d, %v", b, n, len(got), len(want.ReturnData), err)
		}
		for i, r := range got {
			if w := want.ReturnData[i]; r.OK != w.Success || !bytes.Equal(r.Data, w.ReturnData) {
				t.Errorf("answer %d of %x is %v, go-ethereum says %v", i, b, r, w)
			}
		}
	})
}
