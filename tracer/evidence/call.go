package evidence

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// A call is one question of a request.
type call struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
}

// calls reads a request: one call or a list of them. ok is false where it is
// neither, and then it is no JSON-RPC.
func calls(body []byte) (list []call, batch, ok bool) {
	if body = bytes.TrimSpace(body); len(body) > 0 && body[0] == '[' {
		batch = true
		if json.Unmarshal(body, &list) != nil {
			return nil, true, false
		}
	} else {
		list = make([]call, 1)
		if json.Unmarshal(body, &list[0]) != nil {
			return nil, false, false
		}
	}
	for i := range list {
		if list[i].Method == "" {
			return nil, batch, false
		}
	}
	return list, batch, len(list) > 0
}

// A question is a call without what differs from time to time.
type question struct {
	Host   string          `json:"host"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
}

// text is the question as its line in an archive begins, up to its answers.
func (c *call) text(host string) ([]byte, error) {
	q := question{host, c.Method, c.Params}
	if len(q.Params) == 0 || bytes.Equal(q.Params, null) {
		q.Params = json.RawMessage("[]")
	}
	return json.Marshal(q)
}

// A reply is an answer of a node to a request.
type reply struct {
	ID     json.RawMessage `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  json.RawMessage `json:"error"`
}

// replies reads a body that answers a request whole: with a list, or with one
// value. Anything else is none.
func replies(body []byte, batch bool) (list []reply, ok bool) {
	if batch {
		err := json.Unmarshal(body, &list)
		return list, err == nil && list != nil
	}
	list = make([]reply, 1)
	return list, json.Unmarshal(body, &list[0]) == nil
}

// content is the answer in an archive. A node that fails for a call in the
// midst of others has no answer to it.
func (r *reply) content() []byte {
	switch {
	case r == nil:
		return lost
	case len(r.Error) > 0 && !bytes.Equal(r.Error, null):
		return member("error", r.Error)
	case len(r.Result) > 0:
		return member("result", r.Result)
	}
	return lost
}

var (
	null = []byte("null")
	lost = []byte(`{"lost":true}`) // the request was answered and this call in it was not
)

// member is an object of one member, without the blanks of its value.
func member(name string, value []byte) []byte {
	b := make([]byte, 0, len(name)+len(value)+5)
	b = append(append(append(b, `{"`...), name...), `":`...)
	if bytes.IndexByte(value, '\n') < 0 && bytes.IndexByte(value, ' ') < 0 && bytes.IndexByte(value, '\t') < 0 && bytes.IndexByte(value, '\r') < 0 {
		return append(append(b, value...), '}')
	}
	buf := bytes.NewBuffer(b)
	json.Compact(buf, value) // it was JSON a moment ago
	return append(buf.Bytes(), '}')
}

// A failure is a request that was not answered with JSON-RPC.
type failure struct {
	Status  int    `json:"status"`            // of HTTP; 0: there was no answer
	Body    string `json:"body"`              // as far as it was read
	Error   string `json:"error,omitempty"`   // why it was read no further
	Timeout bool   `json:"timeout,omitempty"` // that was it
}

// sameID reports whether an answer is to a call.
func sameID(a, b json.RawMessage) bool {
	if bytes.Equal(a, b) {
		return true
	}
	x, err1 := strconv.Unquote(string(a))
	y, err2 := strconv.Unquote(string(b))
	return err1 == nil && err2 == nil && x == y
}
