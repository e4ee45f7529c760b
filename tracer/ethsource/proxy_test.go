package ethsource_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// A call is one call of a request, and an answer to one.
type call struct {
	Version string            `json:"jsonrpc"`
	ID      json.RawMessage   `json:"id"`
	Method  string            `json:"method,omitempty"`
	Params  []json.RawMessage `json:"params,omitempty"`
	Result  json.RawMessage   `json:"result,omitempty"`
	Error   json.RawMessage   `json:"error,omitempty"`
}

// A liar stands between a client and a node and changes what the node answers.
type liar struct {
	node http.Handler
	// lie changes the answer to a call; n counts the calls of the method
	// before it.
	lie func(c call, n int, answer *call)

	mu    sync.Mutex
	count map[string]int
}

func (l *liar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.Header.Del("Accept-Encoding")
	rec := httptest.NewRecorder()
	l.node.ServeHTTP(rec, r)
	var calls, answers []call
	single := body[0] == '{'
	if single {
		body = append(append([]byte{'['}, body...), ']')
	}
	got := rec.Body.Bytes()
	if len(bytes.TrimSpace(got)) > 0 && bytes.TrimSpace(got)[0] == '{' {
		got = append(append([]byte{'['}, got...), ']')
	}
	if json.Unmarshal(body, &calls) != nil || json.Unmarshal(got, &answers) != nil {
		w.WriteHeader(rec.Code)
		w.Write(rec.Body.Bytes())
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count == nil {
		l.count = make(map[string]int)
	}
	for i := range answers {
		for _, c := range calls {
			if bytes.Equal(c.ID, answers[i].ID) {
				l.lie(c, l.count[c.Method], &answers[i])
				l.count[c.Method]++
			}
		}
	}
	w.Header().Set("Content-Type", "application/json")
	var out any = answers
	if single {
		out = answers[0]
	}
	json.NewEncoder(w).Encode(out) // fails when the client has left
}

// rows changes a result that is a list of objects.
func rows(t testing.TB, result json.RawMessage, change func([]map[string]any) []map[string]any) json.RawMessage {
	t.Helper()
	var list []map[string]any
	d := json.NewDecoder(bytes.NewReader(result))
	d.UseNumber()
	if err := d.Decode(&list); err != nil {
		t.Errorf("a result is no list: %v", err)
		return result
	}
	out, err := json.Marshal(change(list))
	if err != nil {
		t.Error(err)
	}
	return out
}

func clone(m map[string]any) map[string]any {
	b, _ := json.Marshal(m)
	var out map[string]any
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	d.Decode(&out)
	return out
}
