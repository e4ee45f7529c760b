package devnet

import (
	"fmt"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/google/go-cmp/cmp"
)

// TestTokens asks tokens what they are, one by one and through Multicall3.
func TestTokens(t *testing.T) {
	w := made(Config{})
	c := dial(t, w, NodeOptions{})
	token := func(name string) common.Address { return address(w.Config.Seed, name) }
	type answer struct {
		Success    bool
		ReturnData []byte
	}
	type question struct {
		Target       common.Address
		AllowFailure bool
		CallData     []byte
	}
	tests := []struct {
		to   common.Address
		data []byte
		want answer
	}{
		{tokenAddress("USDT"), selectorName, answer{true, text("Tether USD")}},
		{tokenAddress("USDT"), selectorSymbol, answer{true, text("USDT")}},
		{tokenAddress("USDT"), selectorDecimals, answer{true, word(6)}},
		{tokenAddress("WETH"), selectorDecimals, answer{true, word(18)}},
		{token("counterfeit USDT"), selectorSymbol, answer{true, text("USDT")}},
		{token("token of early days"), selectorSymbol, answer{true, short("MRK")}},
		{token("token that says nothing"), selectorSymbol, answer{false, []byte{}}},
		{token("collectible"), selectorSymbol, answer{false, []byte{}}},
		{tokenAddress("USDT"), common.FromHex("0xdeadbeef"), answer{false, []byte{}}},
		{common.HexToAddress("0x1234"), selectorSymbol, answer{true, []byte{}}},
	}
	var all []question
	var want []answer
	for i, tt := range tests {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			var out hexutil.Bytes
			err := c.CallContext(t.Context(), &out, "eth_call", map[string]any{"to": tt.to, "data": hexutil.Bytes(tt.data)}, "latest")
			if (err == nil) != tt.want.Success || err == nil && string(out) != string(tt.want.ReturnData) {
				t.Errorf("the answer is %x, %v, want %x", []byte(out), err, tt.want.ReturnData)
			}
		})
		all, want = append(all, question{tt.to, true, tt.data}), append(want, tt.want)
	}
	data, err := aggregate3.Inputs.Pack(all)
	if err != nil {
		t.Fatal(err)
	}
	var out hexutil.Bytes
	if err := c.CallContext(t.Context(), &out, "eth_call", map[string]any{"to": multicall3, "input": hexutil.Bytes(append(aggregate3.ID, data...))}, "latest"); err != nil {
		t.Fatal(err)
	}
	values, err := aggregate3.Outputs.Unpack(out)
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ ReturnData []answer }
	if err := aggregate3.Outputs.Copy(&got, values); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got.ReturnData); diff != "" {
		t.Error(diff)
	}
}
