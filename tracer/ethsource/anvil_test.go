package ethsource_test

import (
	"bufio"
	"crypto/ecdsa"
	"encoding/json"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/ethsource"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/rpc"
)

// anvil starts a node of Foundry: SCAMTRACE_ANVIL, node_modules/.bin/anvil at
// the project's root, or anvil in the path. Without one the test is skipped.
func anvil(t *testing.T, args ...string) string {
	t.Helper()
	name := os.Getenv("SCAMTRACE_ANVIL")
	if name == "" {
		name = filepath.Join("..", "..", "node_modules", ".bin", "anvil")
		if _, err := os.Stat(name); err != nil {
			if name, err = exec.LookPath("anvil"); err != nil {
				t.Skip("anvil is not installed: npm install --no-save @foundry-rs/anvil in the project's folder brings it")
			}
		}
	}
	cmd := exec.Command(name, append([]string{"--port", "0", "--no-mining", "--order", "fifo", "--max-persisted-states", "100000"}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start anvil: %v", err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if _, at, ok := strings.Cut(lines.Text(), "Listening on "); ok {
			go func() {
				for lines.Scan() { // so that it is never held up
				}
			}()
			return "http://" + strings.TrimSpace(at)
		}
	}
	t.Fatalf("anvil ends without listening: %v", lines.Err())
	return ""
}

// anvilKeys are the accounts that anvil gives coins to: the first of the
// mnemonic "test test test test test test test test test test test junk".
func anvilKeys(t *testing.T) []*ecdsa.PrivateKey {
	t.Helper()
	var keys []*ecdsa.PrivateKey
	for _, k := range []string{
		"ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
		"59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
		"5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
		"7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
		"47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a",
	} {
		key, err := crypto.HexToECDSA(k)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	return keys
}

// without stands before a node and does not know some methods.
func without(t *testing.T, node string, methods ...string) string {
	t.Helper()
	u, err := url.Parse(node)
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, &liar{node: httputil.NewSingleHostReverseProxy(u), lie: func(c call, _ int, a *call) {
		for _, m := range methods {
			if strings.HasPrefix(c.Method, m) {
				a.Result, a.Error = nil, json.RawMessage(`{"code":-32601,"message":"the method `+c.Method+` does not exist/is not available"}`)
				if m == "ots_" { // as Reth says
					a.Error = json.RawMessage(`{"code":-32603,"message":"unimplemented"}`)
				}
			}
		}
	}})
}

// TestAnvil plays the scene on anvil and reads it in every way that there is,
// by taking the better ones away from the node.
func TestAnvil(t *testing.T) {
	node := anvil(t)
	c, err := rpc.DialOptions(t.Context(), node, rpc.WithHTTPClient(http.DefaultClient))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var s *scene
	s = newScene(t, c, 31337, anvilKeys(t), func() {
		s.call(nil, "evm_mine")
		s.call(nil, "anvil_mine", "0x50") // enough for bisection to pay, and more than trace_filter takes
	})
	s.play()

	for _, tt := range []struct {
		name     string
		without  []string
		accounts bool // contracts have too much to read
		blind    bool
	}{
		{name: "trace_filter"},
		{name: "trace_filter, and debug_ for the insides", without: []string{"trace_transaction"}},
		{name: "Otterscan", without: []string{"trace_filter"}},
		{name: "Otterscan, and debug_ for the insides", without: []string{"trace_"}},
		{name: "states and trace_block", without: []string{"trace_filter", "ots_"}},
		{name: "states and debug_traceBlockByNumber", without: []string{"trace_", "ots_"}},
		{name: "blocks and trace_block", without: []string{"trace_filter", "ots_", "eth_getBalance"}},
		{name: "blocks and debug_traceBlockByNumber", without: []string{"trace_", "ots_", "eth_getBalance"}},
		{name: "states alone", without: []string{"trace_", "ots_", "debug_"}, blind: true},
		{name: "blocks alone", without: []string{"trace_", "ots_", "debug_", "eth_getBalance"}, blind: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			src, err := ethsource.Open(t.Context(), s.chain, without(t, node, tt.without...), ethsource.Hasty(ethsource.Options{}))
			if err != nil {
				t.Fatal(err)
			}
			for _, accounts := range []bool{true, false} {
				q := s.wallets(accounts)
				ans, err := src.Transfers(t.Context(), q)
				if err != nil {
					t.Fatal(err)
				}
				s.compare(t, q, ans, tt.blind)
				if tt.blind == (len(ans.Unread) == 0) {
					t.Errorf("unread: %v", ans.Unread)
				}
				for _, u := range ans.Unread {
					if u.Part != tracer.PartInternal || u.Reason != tracer.ReasonNoTraces {
						t.Errorf("unread: %v", u)
					}
				}
				if tt.blind {
					s.blindRight(t, q, ans)
				}
				t.Logf("%d wallets, %d requests", len(q.Spans), ans.Requests)
			}
			var txs []common.Hash
			for _, d := range s.sent {
				txs = append(txs, d.hash)
			}
			ans, err := src.Transactions(t.Context(), txs, 0)
			if err != nil {
				t.Fatal(err)
			}
			everybody := tracer.Query{}
			for _, x := range s.truth() {
				everybody.Spans = append(everybody.Spans, tracer.Span{Wallet: x.From})
			}
			s.compare(t, everybody, ans, tt.blind)
		})
	}
}

// blindRight checks that every internal transfer of a wallet is in what is not
// read of it.
func (s *scene) blindRight(t *testing.T, q tracer.Query, ans tracer.Answer) {
	t.Helper()
	asked := make(map[common.Address]bool)
	for _, p := range q.Spans {
		asked[p.Wallet] = true
	}
	for _, x := range s.truth() {
		for _, a := range []common.Address{x.From, x.To} {
			if x.Kind != tracer.KindInternal || !asked[a] || x.From == x.To {
				continue
			}
			found := false
			for _, u := range ans.Unread {
				found = found || u.Wallet == a && u.From <= x.Block && x.Block <= u.To
			}
			if !found {
				t.Errorf("of %s it is not said that its internal transfers in block %d are not read", a, x.Block)
			}
		}
	}
}
