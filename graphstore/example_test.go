package graphstore_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"

	"scamtrace/graphstore"
	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
)

// pay is a payment of some wei in a transaction of its own.
func pay(block uint64, from, to byte, wei uint64) tracer.Transfer {
	return tracer.Transfer{
		Asset: tracer.NativeOf(1),
		From:  common.Address{19: from}, To: common.Address{19: to}, Amount: *uint256.NewInt(wei),
		Block: block, Tx: common.Hash{31: byte(block)}, Kind: tracer.KindNative,
	}
}

func wallet(n byte) tracer.Wallet { return tracer.Wallet{Chain: 1, Address: common.Address{19: n}} }

func Example() {
	s := graphstore.New()
	fmt.Println(s.Add([]tracer.Transfer{pay(7, 1, 2, 300), pay(8, 2, 3, 100), pay(9, 2, 3, 150)}), "new")
	fmt.Println(s.Add([]tracer.Transfer{pay(8, 2, 3, 100)}), "new") // known already

	for to, f := range s.Out(wallet(2)) {
		fmt.Println(to.Address.Hex()[40:], f.Amount.Dec(), "wei in", f.Transfers, "transfers, blocks", f.First, "to", f.Last)
	}
	for t := range s.Of(wallet(2)) {
		fmt.Println("block", t.Block, t.Amount.Dec())
	}
	// Output:
	// 3 new
	// 0 new
	// 03 250 wei in 2 transfers, blocks 8 to 9
	// block 7 300
	// block 8 100
	// block 9 150
}

func ExampleView_Ways() {
	s := graphstore.New()
	s.Add([]tracer.Transfer{pay(1, 1, 3, 9), pay(2, 3, 4, 9), pay(3, 4, 5, 9), pay(4, 2, 4, 9)})
	ways := s.Freeze().Ways([]tracer.Wallet{wallet(1), wallet(2)})
	for _, w := range ways.To(wallet(5)) {
		fmt.Println(w)
	}
	fmt.Println(ways.To(wallet(9)))
	// Output:
	// eip155:1:0x0000000000000000000000000000000000000002
	// eip155:1:0x0000000000000000000000000000000000000004
	// eip155:1:0x0000000000000000000000000000000000000005
	// []
}

func ExampleStore_WriteSnapshot() {
	one, two := graphstore.New(), graphstore.New()
	one.Add([]tracer.Transfer{pay(1, 1, 2, 5), pay(2, 2, 3, 5)})
	two.Add([]tracer.Transfer{pay(2, 2, 3, 5), pay(1, 1, 2, 5)})
	var a, b bytes.Buffer
	if err := one.WriteSnapshot(&a); err != nil {
		fmt.Println(err)
	}
	if err := two.WriteSnapshot(&b); err != nil {
		fmt.Println(err)
	}
	fmt.Println(sha256.Sum256(a.Bytes()) == sha256.Sum256(b.Bytes()))
	back, err := graphstore.ReadSnapshot(&a)
	fmt.Println(back.Len(), err)
	// Output:
	// true
	// 2 <nil>
}
