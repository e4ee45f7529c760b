package ethsource_test

import (
	"encoding/json"
	"slices"
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/ethsource"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
)

// TestFork reads over the block from which on moves of native coin are in logs
// (EIP-7708): each move must be told once, before it by the transaction and its
// traces, after it by its log, whatever the node has.
func TestFork(t *testing.T) {
	config := devnet.Config{Days: 7, Transfers: 4000, Victims: 2, Syndicates: 1, Noise: 60}
	before := made(config)
	config.NativeLogs = true
	after := made(config)
	fork := after.Head() / 2
	// The same happens in both worlds; only the hashes of blocks differ, and
	// where in a block a log is.
	var truth []tracer.Transfer
	plain := func(ts []tracer.Transfer, keep func(uint64) bool) {
		for _, x := range ts {
			if keep(x.Block) {
				x.BlockHash = common.Hash{}
				if x.Kind == tracer.KindToken || x.Kind == tracer.KindNFT {
					x.Position = ""
				}
				truth = append(truth, x)
			}
		}
	}
	plain(before.Transfers(), func(b uint64) bool { return b < fork })
	plain(after.Transfers(), func(b uint64) bool { return b >= fork && b <= after.Head()-64 })
	old := func(x map[string]any) bool {
		n, err := hexutil.DecodeUint64(x["blockNumber"].(string))
		return err == nil && n < fork && common.HexToAddress(x["address"].(string)) == tracer.NativeLogs
	}
	hide := func(c call, _ int, a *call) {
		switch {
		case c.Method == "eth_getLogs" && a.Error == nil:
			a.Result = rows(t, a.Result, func(l []map[string]any) []map[string]any { return slices.DeleteFunc(l, old) })
		case c.Method == "eth_getTransactionReceipt" && len(a.Result) > 4:
			var r map[string]json.RawMessage
			if err := json.Unmarshal(a.Result, &r); err != nil {
				t.Error(err)
			}
			r["logs"] = rows(t, r["logs"], func(l []map[string]any) []map[string]any { return slices.DeleteFunc(l, old) })
			a.Result, _ = json.Marshal(r)
		}
	}
	coded := withCode(t, after)
	var q tracer.Query
	seen := make(map[common.Address]bool)
	for i := range truth {
		a := truth[i].From
		if i%61 == 0 && !seen[a] && a != (common.Address{}) && !coded(a) {
			seen[a] = true
			q.Spans = append(q.Spans, tracer.Span{Wallet: a, To: 1 << 40})
		}
	}
	for _, tt := range []struct {
		name  string
		node  devnet.NodeOptions
		blind bool // for what moved inside before the fork
	}{
		{"with traces", devnet.NodeOptions{}, false},
		{"with traces of few blocks", devnet.NodeOptions{MaxTraceRange: 3000, MaxRange: 5000}, false},
		{"without traces", devnet.NodeOptions{NoTraces: true}, true},
		{"without traces, of few blocks", devnet.NodeOptions{NoTraces: true, MaxRange: 9000}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := ethsource.Open(t.Context(), devnet.Chain(), serve(t, &liar{node: devnet.NewNode(after, tt.node), lie: hide}), ethsource.Hasty(ethsource.Options{}))
			if err != nil {
				t.Fatal(err)
			}
			ans, err := s.Transfers(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			count := make(map[tracer.Transfer]int)
			kinds := make(map[bool]map[tracer.Kind]int)
			for _, early := range []bool{false, true} {
				kinds[early] = make(map[tracer.Kind]int)
			}
			for _, x := range ans.Transfers {
				if x.Asset.Kind == tracer.Native {
					kinds[x.Block < fork][x.Kind]++
				}
				x.BlockHash = common.Hash{}
				if x.Kind == tracer.KindToken || x.Kind == tracer.KindNFT {
					x.Position = ""
				}
				count[x]++
			}
			unread := make(map[common.Address]map[uint64]bool)
			for _, u := range ans.Unread {
				if u.Part != tracer.PartInternal || u.From != u.To || u.From >= fork || !tt.blind {
					t.Errorf("unread: %v", u)
				}
				if unread[u.Wallet] == nil {
					unread[u.Wallet] = make(map[uint64]bool)
				}
				unread[u.Wallet][u.From] = true
			}
			for _, x := range truth {
				if !seen[x.From] && (!seen[x.To] || x.Kind == tracer.KindFee) {
					continue
				}
				if count[x] == 0 {
					if x.Kind != tracer.KindInternal || !unread[x.To][x.Block] {
						t.Errorf("missed: %+v", x)
					}
					continue
				}
				count[x]--
			}
			for x, n := range count {
				if n > 0 {
					t.Errorf("%d times too often: %+v", n, x)
				}
			}
			if kinds[true][tracer.KindNative] == 0 || kinds[false][tracer.KindToken] == 0 || kinds[false][tracer.KindFee] == 0 || !tt.blind && kinds[true][tracer.KindInternal] == 0 || tt.blind && len(unread) == 0 {
				t.Errorf("nothing to see: %v, %d unread", kinds, len(unread))
			}
			if kinds[true][tracer.KindToken] > 0 || kinds[false][tracer.KindNative]+kinds[false][tracer.KindInternal] > 0 {
				t.Errorf("before and after the fork: %v and %v", kinds[true], kinds[false])
			}
			// Transactions tells the same, under the same names.
			var txs []common.Hash
			named := make(map[tracer.TransferID]bool)
			for i, x := range ans.Transfers {
				named[x.ID()] = true
				if x.Asset.Kind == tracer.Native && i%5 == 0 {
					txs = append(txs, x.Tx)
				}
			}
			whole, err := s.Transactions(t.Context(), txs, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range whole.Transfers {
				if x.Asset.Kind == tracer.Native && (seen[x.From] || seen[x.To]) && !named[x.ID()] && x.Kind != tracer.KindInternal {
					t.Errorf("named otherwise among whole transactions: %+v", x)
				}
			}
		})
	}
}
