package ethsource_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"scamtrace/tracer/devnet"
	"scamtrace/tracer/ethsource"

	"github.com/ethereum/go-ethereum/common"
)

// TestFrozen asks a node before which a token contract stands that has frozen
// one wallet, and knows one of the two questions or neither.
func TestFrozen(t *testing.T) {
	node := devnet.NewNode(devnet.Generate(devnet.Config{}), devnet.NodeOptions{})
	usdt, weth := devnet.Chain().Tokens[0].Address, devnet.Chain().Tokens[3].Address
	thief, other := common.Address{1}, common.Address{2}
	selector := ""
	type call struct {
		ID     json.RawMessage   `json:"id"`
		Method string            `json:"method"`
		Params []json.RawMessage `json:"params"`
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		var calls []call
		batch := bytes.HasPrefix(body, []byte("["))
		if !batch {
			body = slices.Concat([]byte("["), body, []byte("]"))
		}
		if err := json.Unmarshal(body, &calls); err != nil {
			t.Error(err)
		}
		if !strings.Contains(string(body), `"eth_call"`) {
			if !batch {
				body = body[1 : len(body)-1]
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			r.ContentLength = int64(len(body))
			node.ServeHTTP(w, r)
			return
		}
		var answers []map[string]any
		for _, c := range calls {
			answer := map[string]any{"jsonrpc": "2.0", "id": c.ID}
			question := strings.ToLower(string(c.Params[0]))
			switch {
			case selector == "" || !strings.Contains(question, selector):
				answer["error"] = map[string]any{"code": 3, "message": "execution reverted"}
			case strings.Contains(question, strings.ToLower(thief.Hex()[2:])):
				answer["result"] = common.Hash{31: 1}
			default:
				answer["result"] = common.Hash{}
			}
			answers = append(answers, answer)
		}
		w.Header().Set("Content-Type", "application/json")
		if batch {
			_ = json.NewEncoder(w).Encode(answers)
		} else {
			_ = json.NewEncoder(w).Encode(answers[0])
		}
	}))
	t.Cleanup(srv.Close)
	src, err := ethsource.Open(t.Context(), devnet.Chain(), srv.URL, ethsource.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, selector string
		token          common.Address
		want           []bool
	}{
		{"USDT's question", "e47d6060", usdt, []bool{false, true}},
		{"USDC's question", "fe575a87", usdt, []bool{false, true}},
		{"neither", "", usdt, []bool{false, false}},
		{"a coin without an issuer", "e47d6060", weth, []bool{false, false}},
	} {
		selector = tt.selector
		got, err := src.Frozen(t.Context(), tt.token, []common.Address{other, thief})
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%s: Frozen = %v, %v, want %v", tt.name, got, err, tt.want)
		}
	}
}
