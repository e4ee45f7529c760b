package ethsource_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/ethsource"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/rpc"
)

// withCode asks a node of a world whether accounts have code; some users there
// have delegated theirs to a contract (EIP-7702).
func withCode(t *testing.T, w *devnet.World) func(common.Address) bool {
	t.Helper()
	node, err := rpc.Dial(serve(t, devnet.NewNode(w, devnet.NodeOptions{})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(node.Close)
	return func(a common.Address) bool {
		var code hexutil.Bytes
		if err := node.CallContext(t.Context(), &code, "eth_getCode", a, "latest"); err != nil {
			t.Fatal(err)
		}
		return len(code) > 0
	}
}

// TestStates reads coins through states alone: of plain accounts everything
// must be found but who sent what came from inside a transaction, and exactly
// the blocks of that be reported.
func TestStates(t *testing.T) {
	config := devnet.Config{Days: 7, Transfers: 4000, Victims: 2, Syndicates: 1, Noise: 60}
	w := made(config)
	coded := withCode(t, w)
	var q tracer.Query
	asked := make(map[common.Address]bool)
	for i, x := range w.Transfers() {
		switch w.Truth.Owner[x.From].Role {
		case devnet.RoleUser, devnet.RoleSeed, devnet.RoleLayer, devnet.RoleCollector, devnet.RoleVictim:
			if i%11 > 0 {
				continue
			}
			if !asked[x.From] && !coded(x.From) {
				asked[x.From] = true
				q.Spans = append(q.Spans, tracer.Span{Wallet: x.From, To: 1 << 40})
			}
		}
	}
	honest, err := open(t, w, devnet.NodeOptions{}).Transfers(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	for _, limit := range []uint64{0, 20_000} {
		s := open(t, w, devnet.NodeOptions{NoTraces: true, MaxRange: limit})
		ans, err := s.Transfers(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		covered(t, q, ans, honest)
		inside := make(map[string]bool)
		for _, x := range honest.Transfers {
			if x.Kind == tracer.KindInternal && asked[x.To] {
				inside[fmt.Sprint(x.To, x.Block)] = true
			}
		}
		if len(inside) == 0 || len(ans.Unread) != len(inside) {
			t.Errorf("%d things are unread, want %d", len(ans.Unread), len(inside))
		}
		for _, u := range ans.Unread {
			if u.Part != tracer.PartInternal || u.From != u.To || !inside[fmt.Sprint(u.Wallet, u.From)] || !strings.Contains(u.Detail, "wei arrived in block") {
				t.Errorf("unread: %v", u)
			}
		}
		t.Logf("%d wallets, %d requests", len(q.Spans), ans.Requests)
		// Whole blocks would be one call each, and these are fifty thousand.
		if ans.Requests > 40_000 {
			t.Errorf("%d requests", ans.Requests)
		}
	}
}

// TestWildStates has a node whose balances change with every question: nothing
// may be looked for without end.
func TestWildStates(t *testing.T) {
	w := made(devnet.Config{})
	wild := false
	l := &liar{node: devnet.NewNode(w, devnet.NodeOptions{NoTraces: true}), lie: func(c call, n int, a *call) {
		if wild && c.Method == "eth_getBalance" {
			a.Result = json.RawMessage(fmt.Sprintf(`"0x%x"`, n+1))
		}
	}}
	s, err := ethsource.Open(t.Context(), devnet.Chain(), serve(t, l), ethsource.Hasty(ethsource.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	wild = true
	q := tracer.Query{MaxTransfers: 50, Spans: []tracer.Span{{Wallet: w.Truth.Victims[0].Seeds[0], To: 1 << 40}}}
	ans, err := s.Transfers(t.Context(), q)
	if err != nil || ans.Requests > 1000 {
		t.Errorf("%d requests, %v", ans.Requests, err)
	}
	found := false
	for _, u := range ans.Unread {
		found = found || u.Part == tracer.PartNative && u.Reason == tracer.ReasonCrowded
	}
	if !found {
		t.Errorf("unread: %v", ans.Unread)
	}
}
