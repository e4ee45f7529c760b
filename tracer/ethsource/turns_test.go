//go:build node

package ethsource_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/ethsource"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/ethclient/simulated"
)

// A turnable is go-ethereum behind an address that takes five blocks at once, and
// that may turn to something else after the first page of a reading.
type turnable struct {
	at    http.Handler
	turn  func()                // called after the first page
	lie   func(c call, a *call) // what it changes after that
	pages int                   // answers with logs since it was armed
	armed bool
}

// to sends what comes to a node.
func to(t *testing.T, node string) http.Handler {
	u, err := url.Parse(node)
	if err != nil {
		t.Fatal(err)
	}
	return httputil.NewSingleHostReverseProxy(u)
}

func (p *turnable) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.at.ServeHTTP(w, r) }

// answer is the lie of a [liar] in front of the pool.
func (p *turnable) answer(c call, _ int, a *call) {
	from, end := blocksOf(c)
	if c.Method == "eth_getLogs" && end-from >= 5 {
		a.Result, a.Error = nil, json.RawMessage(`{"code":-32602,"message":"exceed maximum block range: 5"}`)
		return
	}
	if p.pages > 1 { // both directions of the first
		p.lie(c, a)
	} else if p.armed && c.Method == "eth_getLogs" {
		if p.pages++; p.pages > 1 {
			p.turn()
		}
	}
}

// blocksOf are the blocks that a call is about.
func blocksOf(c call) (from, to uint64) {
	number := func(raw json.RawMessage) uint64 {
		var s string
		if json.Unmarshal(raw, &s) != nil {
			return 0
		}
		n, _ := hexutil.DecodeUint64(s) // 0 for a tag
		return n
	}
	switch c.Method {
	case "eth_getLogs":
		var f struct{ FromBlock, ToBlock json.RawMessage }
		if json.Unmarshal(c.Params[0], &f) != nil {
			return 0, 0
		}
		return number(f.FromBlock), number(f.ToBlock)
	case "eth_getBlockByNumber":
		return number(c.Params[0]), number(c.Params[0])
	}
	return 0, 0
}

// TestTurns has a pool that turns in the midst of a reading: to another end of
// the chain, to a node that is behind, to another chain, and to a node that
// leaves logs out. Nothing may then pass for all there is.
func TestTurns(t *testing.T) {
	nothing := func(call, *call) {}
	type stage struct {
		*testing.T
		*turnable
		b      *simulated.Backend
		trunk  common.Hash
		pinned uint64
	}
	// until is a node that has no more blocks than up to a number.
	until := func(t *testing.T, head uint64, says bool) func(call, *call) {
		return func(c call, a *call) {
			_, end := blocksOf(c)
			switch {
			case end <= head:
			case c.Method != "eth_getLogs":
				a.Result = json.RawMessage("null")
			case says:
				a.Result, a.Error = nil, json.RawMessage(`{"code":-32602,"message":"block range extends beyond current head block"}`)
			default:
				a.Result = rows(t, a.Result, func(l []map[string]any) []map[string]any {
					return slices.DeleteFunc(l, func(x map[string]any) bool { return hexutil.MustDecodeUint64(x["blockNumber"].(string)) > head })
				})
			}
		}
	}
	other := func(s *stage) {
		b, node, _ := simulate(s.T, 1<<60)
		for range 60 {
			b.Commit()
		}
		s.at = to(s.T, node)
	}
	for _, tt := range []struct {
		name string
		turn func(s *stage)
		want error  // nil: none of those that have a name
		says string // in the error, or, when there is none, of what is unread
	}{
		{"another end of the chain", func(s *stage) {
			if err := s.b.Fork(s.trunk); err != nil {
				s.Error(err)
			}
			for range 60 {
				s.b.Commit()
			}
		}, tracer.ErrReorg, "is now 0x"},
		{"behind, and it says so", func(s *stage) { s.lie = until(s.T, s.pinned-6, true) }, nil, "no longer shows block"},
		{"behind, and it says nothing", func(s *stage) { s.lie = until(s.T, s.pinned-6, false) }, nil, "no longer shows block"},
		{"another chain", func(s *stage) {
			other(s)
			s.lie = func(c call, a *call) {
				if c.Method == "eth_chainId" {
					a.Result = json.RawMessage(`"0x38"`)
				}
			}
		}, tracer.ErrWrongChain, "serves BNB Smart Chain"},
		{"another chain that calls itself the same", other, tracer.ErrReorg, "is now 0x"},
		{"logs are left out", func(s *stage) {
			s.lie = func(c call, a *call) {
				if c.Method == "eth_getLogs" {
					a.Result = rows(s.T, a.Result, func(l []map[string]any) []map[string]any { return l[:min(len(l), 1)] })
				}
			}
		}, nil, "does not fit together"},
		{"logs of what strangers sent are left out", func(s *stage) {
			s.lie = func(c call, a *call) {
				if c.Method == "eth_getLogs" {
					a.Result = json.RawMessage("[]")
				}
			}
		}, nil, ""}, // the balances tell, and where to look
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, node, sc := simulate(t, 1<<60)
			sc.chain.FinalityDepth = 3
			var trunk common.Hash
			for range 6 {
				trunk = b.Commit()
			}
			sc.play()
			for range 3 {
				b.Commit()
			}
			p := &turnable{at: to(t, node), lie: nothing}
			src, err := ethsource.Open(t.Context(), sc.chain, serve(t, &liar{node: p, lie: p.answer}), ethsource.Hasty(ethsource.Options{}))
			if err != nil {
				t.Fatal(err)
			}
			q := sc.wallets(true)
			if strings.Contains(tt.name, "strangers") { // to somebody who never sent anything
				q.Spans = []tracer.Span{{Wallet: common.HexToAddress("0x5ca3e5"), To: 1 << 40}}
			}
			p.turn = func() {}
			honest, err := src.Transfers(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			sc.compare(t, q, honest, true)
			pinned, err := src.Pin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			p.armed = true
			p.turn = func() { tt.turn(&stage{t, p, b, trunk, pinned.Number}) }
			ans, err := src.Transfers(t.Context(), q)
			text := fmt.Sprint(err)
			for _, u := range ans.Unread {
				text += "; " + u.Detail
			}
			if tt.want != nil && !errors.Is(err, tt.want) || !strings.Contains(text, tt.says) {
				t.Errorf("Transfers says %s", text)
			}
			if err != nil && (len(ans.Transfers) > 0 || len(ans.Unread) != len(q.Spans)) {
				t.Errorf("%d transfers are kept, %d of %d spans unread", len(ans.Transfers), len(ans.Unread), len(q.Spans))
			}
			covered(t, q, ans, honest)
			if p.pages < 2 {
				t.Error("it never turned")
			}
		})
	}
}
