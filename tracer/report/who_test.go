package report

import (
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/cluster"

	"github.com/ethereum/go-ethereum/common"
)

// TestForwards wants every wallet named that a deposit address forwards to, as
// long as they can be read.
func TestForwards(t *testing.T) {
	a, b := "0x0000000000000000000000000000000000000001", "0x0000000000000000000000000000000000000002"
	c := "0x0000000000000000000000000000000000000003"
	for n, want := range map[int]string{
		1: a,
		2: "wallets of Borealis Markets: " + a + " and " + b,
		3: "wallets of Borealis Markets: " + a + ", " + b + " and " + c,
		5: "wallets of Borealis Markets: " + a + ", " + b + ", " + c + " and 2 others",
	} {
		d := cluster.Deposit{Service: "Borealis Markets"}
		for i := range n {
			d.To = append(d.To, tracer.Wallet{Chain: 1, Address: common.BytesToAddress([]byte{byte(i + 1)})})
		}
		if got := wallets(d); got != want {
			t.Errorf("of %d wallets: %q, want %q", n, got, want)
		}
	}
}
