package ethsource_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/ethsource"

	"github.com/ethereum/go-ethereum/common"
)

// TestFinal has nodes that say something wrong of which block is final. It must
// not keep a trace from the newest days of the chain.
func TestFinal(t *testing.T) {
	w := made(smallWorld)
	honest := func() string { return serve(t, devnet.NewNode(w, devnet.NodeOptions{})) }
	says := func(number, time uint64, hash common.Hash) string {
		return serve(t, &liar{node: devnet.NewNode(w, devnet.NodeOptions{}), lie: func(c call, _ int, a *call) {
			if c.Method == "eth_getBlockByNumber" && strings.Contains(string(c.Params[0]), "finalized") {
				a.Result, _ = json.Marshal(map[string]any{"number": fmt.Sprintf("%#x", number), "hash": hash, "timestamp": fmt.Sprintf("%#x", time)})
			}
		}})
	}
	now, near := w.Blocks[w.Head()-64].Time, w.Head()-150
	for _, tt := range []struct {
		name string
		urls []string
		note string
	}{
		{"an old one", []string{says(100, w.Blocks[100].Time, w.Blocks[100].Hash)}, "no block of the last hour or more is final; the block 64 behind"},
		{"an old one as if it were new", []string{says(100, now, w.Blocks[100].Hash)}, "no block of the last hour or more is final; the block 64 behind"},
		{"one of three, another block", []string{honest(), honest(), says(near, w.Blocks[near].Time, common.Hash{9})}, "shows another block"},
		{"one of three, another time", []string{says(near, now, w.Blocks[near].Hash), honest(), honest()}, "shows another block"},
	} {
		s, err := ethsource.OpenPool(t.Context(), devnet.Chain(), pool(t, tt.urls...), ethsource.Hasty(ethsource.Options{}))
		if err != nil {
			t.Fatal(err)
		}
		want := w.Head() - 64
		b, _ := s.Pin(t.Context())
		if b != (tracer.Block{Number: want, Hash: w.Blocks[want].Hash, Time: w.Blocks[want].Time}) || !strings.Contains(strings.Join(s.Notes(), " "), tt.note) {
			t.Errorf("%s: pinned %v, want block %d; notes %q", tt.name, b, want, s.Notes())
		}
	}
}

// TestSilentMajority has a known block that the only node that answers does not
// show: those that do not answer now may have it.
func TestSilentMajority(t *testing.T) {
	w := made(smallWorld)
	pin := tracer.Block{Number: 500, Hash: w.Blocks[500].Hash}
	down := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "busy", http.StatusServiceUnavailable)
	}))
	t.Cleanup(down.Close)
	forked := serve(t, &liar{node: devnet.NewNode(w, devnet.NodeOptions{}), lie: func(c call, _ int, a *call) {
		if c.Method == "eth_getBlockByNumber" {
			a.Result = json.RawMessage(strings.Replace(string(a.Result), w.Blocks[500].Hash.Hex(), common.Hash{9}.Hex(), 1))
		}
	}})
	for _, tt := range []struct {
		urls []string
		gone bool
	}{
		{[]string{down.URL, down.URL, forked}, false},
		{[]string{down.URL, forked}, false},
		{[]string{down.URL, forked, forked}, true},
		{[]string{forked}, true},
	} {
		_, err := ethsource.OpenPool(t.Context(), devnet.Chain(), pool(t, tt.urls...), ethsource.Hasty(ethsource.Options{Pin: &pin}))
		if err == nil || errors.Is(err, tracer.ErrReorg) != tt.gone || strings.Contains(err.Error(), "\n") {
			t.Errorf("%d nodes, is the block gone? want %t, got %v", len(tt.urls), tt.gone, err)
		}
	}
}
