package ethsource

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
)

// TestCalls: calls that are refused cost the others nothing, each refusal is told
// from the others, and no more is spent than may be, whatever the endpoint thinks
// of lists.
func TestCalls(t *testing.T) {
	refusals := map[byte]string{
		1: `{"code":3,"message":"execution reverted: No data present","data":"0x"}`,
		2: `{"code":-32000,"message":"missing trie node 0a (path ) state 0x0a is not available"}`,
		3: `{"code":-32601,"message":"the method eth_call does not exist/is not available"}`,
		4: `{"code":-32000,"message":"the server is busy"}`,
	}
	want := map[byte]tracer.Refusal{1: tracer.RefusedReverted, 2: tracer.RefusedGone, 3: tracer.RefusedMissing, 4: tracer.RefusedNow}
	answer := func(q *question) string {
		var c struct{ To, Data string }
		json.Unmarshal(q.Params[0], &c)
		if text, ok := refusals[common.FromHex(c.Data)[0]]; ok {
			return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"error":%s}`, q.ID, text)
		}
		return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":%q}`, q.ID, "0x"+c.Data[2:]+string(q.Params[1][3:len(q.Params[1])-1]))
	}
	for name, most := range map[string]int{"any lists": 1000, "lists of ten": 10, "no lists": 0} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				w.Header().Set("Content-Type", "application/json")
				var one question
				if body[0] == '{' {
					json.Unmarshal(body, &one)
					io.WriteString(w, answer(&one))
					return
				}
				var qs []question
				json.Unmarshal(body, &qs)
				if len(qs) > most {
					io.WriteString(w, `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"batch size too large"}}`)
					return
				}
				var parts []string
				for i := range qs {
					parts = append(parts, answer(&qs[i]))
				}
				io.WriteString(w, list(parts...))
			}))
			defer srv.Close()
			c, err := dial(t.Context(), one(srv.URL), Hasty(Options{}))
			if err != nil {
				t.Fatal(err)
			}
			s := &Source{c: c}
			var calls []tracer.Call
			for i := range 120 {
				calls = append(calls, tracer.Call{To: common.Address{1}, Data: []byte{byte(i % 7), byte(i)}, Block: 0x1d})
			}
			replies, spent, err := s.Calls(t.Context(), calls, 100_000)
			if err != nil || spent < len(calls) {
				t.Fatalf("%d requests, %v", spent, err)
			}
			for i, r := range replies {
				kind := byte(i % 7)
				if r.Refusal != want[kind] || r.Refusal == tracer.RefusedNot && (len(r.Data) != 3 || r.Data[1] != byte(i) || r.Data[2] != 0x1d) {
					t.Errorf("call %d: %+v, want refusal %d", i, r, want[kind])
				}
			}
			for _, most := range []int{0, 1, 19, 119} {
				if _, n, err := s.Calls(t.Context(), calls, most); !errors.Is(err, tracer.ErrBudget) || n > most {
					t.Errorf("with %d requests: %d spent, %v", most, n, err)
				}
			}
		})
	}
}

// TestTimes: a node that does not have a block is trouble, and no time.
func TestTimes(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var qs []question
		var one question
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		answer := func(q *question) string {
			n := string(q.Params[0])
			if n == `"0x63"` {
				return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":null}`, q.ID)
			}
			return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"number":%s,"hash":"0x%064x","timestamp":%s}}`, q.ID, n, 1, n)
		}
		if json.Unmarshal(body, &qs) != nil {
			json.Unmarshal(body, &one)
			io.WriteString(w, answer(&one))
			return
		}
		var parts []string
		for i := range qs {
			parts = append(parts, answer(&qs[i]))
		}
		io.WriteString(w, list(parts...))
	}))
	defer srv.Close()
	c, err := dial(t.Context(), one(srv.URL), Hasty(Options{}))
	if err != nil {
		t.Fatal(err)
	}
	s := &Source{c: c}
	got, n, err := s.Times(t.Context(), []uint64{7, 5, 5}, 3)
	if err != nil || n != 3 || fmt.Sprint(got) != "[7 5 5]" {
		t.Errorf("%v, %d requests, %v", got, n, err)
	}
	if _, _, err := s.Times(t.Context(), []uint64{7, 99}, 1000); err == nil || errors.Is(err, tracer.ErrBudget) {
		t.Errorf("a block that is not there: %v", err)
	}
	if _, n, err := s.Times(t.Context(), []uint64{7, 5}, 1); !errors.Is(err, tracer.ErrBudget) || n > 1 {
		t.Errorf("too few requests: %d, %v", n, err)
	}
}
