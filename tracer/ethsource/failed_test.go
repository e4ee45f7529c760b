package ethsource_test

import (
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/ethsource"

	"github.com/ethereum/go-ethereum/common"
)

// TestFailed: a failed transaction moves its fee and nothing else, also where a
// node shows logs in it.
func TestFailed(t *testing.T) {
	w := made(devnet.Config{})
	payment := w.Truth.Victims[0].Payments[0].Tx
	l := &liar{node: devnet.NewNode(w, devnet.NodeOptions{}), lie: func(c call, _ int, a *call) {
		if c.Method == "eth_getTransactionReceipt" && len(a.Result) > 10 {
			a.Result = rows(t, []byte("["+string(a.Result)+"]"), func(l []map[string]any) []map[string]any {
				l[0]["status"] = "0x0"
				return l
			})
			a.Result = a.Result[1 : len(a.Result)-1]
		}
	}}
	s, err := ethsource.Open(t.Context(), devnet.Chain(), serve(t, l), ethsource.Hasty(ethsource.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	ans, err := s.Transactions(t.Context(), []common.Hash{payment}, 0)
	if err != nil || len(ans.Transfers) != 1 || ans.Transfers[0].Kind != tracer.KindFee {
		t.Errorf("a failed payment moves %v, %v", ans.Transfers, err)
	}
}
