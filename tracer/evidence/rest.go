package evidence

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
)

// An Endpoint is one that was asked.
type Endpoint struct {
	Name   string `json:"name,omitempty"` // of an indexer; empty: a node
	Host   string `json:"host"`
	Public bool   `json:"public,omitempty"` // an indexer's public endpoint
	Role   string `json:"role,omitempty"`   // of a node; empty: primary
	// What was known of a node before it was asked, in words of its own.
	Known json.RawMessage `json:"known,omitempty"`
}

// WrapAt is [Recorder.Wrap] for an endpoint that is asked by address and not
// only by JSON-RPC. Of an address only what follows base is written down,
// without the parameters of base and those that are the key.
func (r *Recorder) WrapAt(base *url.URL, key string, next http.RoundTripper) http.RoundTripper {
	if r == nil {
		return next
	}
	return &recording{Recorder: r, next: next, at: &endpoint{base, key}}
}

// WrapAt is [Node.Wrap] for an endpoint that is asked by address: base is where
// it was, with any host that was recorded and without keys.
func (n *Node) WrapAt(base *url.URL, _ string, _ http.RoundTripper) http.RoundTripper {
	return &replaying{n, &endpoint{base, ""}}
}

// An endpoint is where addresses begin. nil: only JSON-RPC is asked there.
type endpoint struct {
	base *url.URL
	key  string
}

// errElsewhere is why a question is not recorded.
var errElsewhere = errors.New("a request that is no JSON-RPC leads elsewhere than to its endpoint, and was not recorded")

// call is the question that a request asks by its address: as its method the
// method of HTTP and what follows the base, as its parameters the body.
func (e *endpoint) call(req *http.Request, body []byte) (c call, err error) {
	rest, ok := strings.CutPrefix(req.URL.Path, strings.TrimSuffix(e.base.Path, "/"))
	if !ok || len(body) > 0 && !json.Valid(body) {
		return c, errElsewhere
	}
	q, own := req.URL.Query(), e.base.Query()
	for name, values := range q {
		if own.Has(name) || e.key != "" && len(values) == 1 && values[0] == e.key {
			delete(q, name)
		}
	}
	c.Method = req.Method + " " + strings.TrimPrefix(rest, "/")
	if len(q) > 0 {
		c.Method += "?" + q.Encode()
	}
	c.Params = body
	return c, nil
}

// secrets are the parts of a request to the endpoint that may be keys.
func (e *endpoint) secrets(req *http.Request) []string {
	r := req.Clone(req.Context())
	r.URL = e.base
	parts := secrets(r)
	if len(e.key) >= shortKey { // wherever it is repeated
		parts = append([]string{e.key, url.QueryEscape(e.key), url.PathEscape(e.key)}, parts...)
	}
	return parts
}

// shortKey is the shortest key that is looked for in all that is answered.
const shortKey = 8

// hide replaces what may be a key.
func (e *endpoint) hide(b []byte, secrets []string) []byte {
	if len(e.key) >= shortKey {
		b = clean(b, secrets[:3], shortKey)
	}
	return clean(b, secrets, longSecret)
}

// whole records an answer as it came, whatever it is.
func (x *exchange) whole(err error) error {
	f := failure{Status: x.status}
	body, failed := x.seen.bytes()
	if failed != nil {
		return failed
	}
	if x.seen.n > maxAnswer {
		err = errors.New("the answer is too large")
	}
	f.Body = string(x.at.hide(body, x.secrets))
	if err != nil {
		f.Error = string(clean([]byte(err.Error()), x.secrets, shortSecret))
		f.Timeout = timedOut(err)
	}
	content, err := f.content()
	if err == nil && len(content) > maxLine/2 { // nothing but what JSON must escape
		f.Body, f.Error = "", "the answer is too large"
		content, err = f.content()
	}
	if err != nil {
		return err
	}
	return x.all(content)
}

// content is a failure as it stands in an archive.
func (f *failure) content() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(f)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// replaying answers what an endpoint is asked by address.
type replaying struct {
	*Node
	at *endpoint
}

// RoundTrip answers a request.
func (n *replaying) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := drain(req)
	if err != nil {
		return nil, err
	}
	if list, batch, ok := calls(body); ok {
		return n.answerCalls(req, req.URL.Hostname(), list, batch)
	}
	c, err := n.at.call(req, body)
	if err != nil {
		return nil, err
	}
	content, err := n.ask(req.URL.Hostname(), &c)
	if err != nil {
		return nil, err
	}
	f, ok := failed(content)
	if !ok {
		return nil, errors.New("the recording has an answer that is none")
	}
	return f.response(req)
}
