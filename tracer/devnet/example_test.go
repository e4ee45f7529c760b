package devnet_test

import (
	"context"
	"fmt"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"

	"github.com/ethereum/go-ethereum/ethclient"
)

// A node serves the world of the demo; any Ethereum client can read it.
func Example() {
	w := devnet.Generate(devnet.Config{})
	url, stop, err := devnet.NewNode(w, devnet.NodeOptions{}).Start()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stop()

	client, err := ethclient.Dial(url)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	n, err := client.BlockNumber(context.Background())
	fmt.Println("head:", n, err)

	chain := devnet.Chain()
	for _, p := range w.Truth.Victims[0].Payments {
		symbol, decimals, _ := chain.Describe(p.Asset)
		fmt.Println("paid:", tracer.Readable(&p.Amount, decimals), symbol)
	}
	// Output:
	// head: 151200 <nil>
	// paid: 12000 USDT
	// paid: 25000 USDT
	// paid: 48500 USDT
}
