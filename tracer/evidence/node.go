package evidence

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"

	"scamtrace/tracer"
)

// A Node answers from a recording what the recorded nodes did, by host. It is
// safe for concurrent use.
//
// A call that was recorded gets its answers in their order, and its last answer
// from then on. eth_getLogs and trace_filter are also answered where recorded
// calls with results cover the blocks, addresses and topics together, and a
// method that was refused in the same words whatever was asked is refused
// again. What was not recorded is an error of the request, see [Node.Missing].
//
// Of several nodes ([Node.WrapNode]) one answers first what it did itself, and
// then what others did: which of them is asked depends on which had just failed,
// and they are nodes of one chain.
type Node struct {
	spool *spool
	run   json.RawMessage
	asked map[sum]*asked
	boxes map[string][]box // of results, by host and method
	never map[string]sum   // the refusal of a method that was always refused, by host and method
	sets  map[string]*set

	mu      sync.Mutex
	pool    []string    // the names of the nodes of which one may answer for another, sorted
	given   map[sum]int // how many answers, by question
	missing []string
}

func newNode(s *spool) *Node {
	return &Node{spool: s, asked: make(map[sum]*asked), boxes: make(map[string][]box), sets: make(map[string]*set), given: make(map[sum]int)}
}

// Run returns what the archive says of the run that was recorded, as JSON.
func (n *Node) Run() json.RawMessage { return n.run }

// Calls returns how many different calls are recorded.
func (n *Node) Calls() int { return len(n.asked) }

// Host returns the first host that was asked, empty when none was.
func (n *Node) Host() string {
	first := ""
	for _, e := range n.asked {
		if first == "" || e.host < first {
			first = e.host
		}
	}
	return first
}

// Missing returns, in words, what was asked for and is not recorded: the first
// few questions, each once.
func (n *Node) Missing() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.missing)
}

// Rewind forgets what was asked, for another run.
func (n *Node) Rewind() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.given)
	n.missing = nil
}

// Close removes the temporary file.
func (n *Node) Close() error { return n.spool.close() }

// Wrap returns the node itself, in place of the network.
func (n *Node) Wrap(http.RoundTripper) http.RoundTripper { return n }

// WrapNode is [Node.Wrap] for one of several nodes.
func (n *Node) WrapNode(name string, _ http.RoundTripper) http.RoundTripper {
	n.mu.Lock()
	defer n.mu.Unlock()
	if i, known := slices.BinarySearch(n.pool, name); !known {
		n.pool = slices.Insert(n.pool, i, name)
	}
	return &pooled{n, name}
}

// A pooled is one of several nodes.
type pooled struct {
	*Node
	name string
}

// RoundTrip answers a request.
func (n *pooled) RoundTrip(req *http.Request) (*http.Response, error) {
	return n.roundTrip(req, n.name)
}

// RoundTrip answers a request.
func (n *Node) RoundTrip(req *http.Request) (*http.Response, error) {
	return n.roundTrip(req, req.URL.Hostname())
}

func (n *Node) roundTrip(req *http.Request, host string) (*http.Response, error) {
	body, err := drain(req)
	if err != nil {
		return nil, err
	}
	list, batch, ok := calls(body)
	if !ok {
		return nil, errors.New("the recording answers JSON-RPC only")
	}
	return n.answerCalls(req, host, list, batch)
}

func (n *Node) answerCalls(req *http.Request, host string, list []call, batch bool) (_ *http.Response, err error) {
	answers := make([][]byte, len(list))
	for i := range list {
		if answers[i], err = n.ask(host, &list[i]); err != nil {
			return nil, err
		}
	}
	same := !slices.ContainsFunc(answers, func(a []byte) bool { return !bytes.Equal(a, answers[0]) })
	if f, failed := failed(answers[0]); failed && same {
		return f.response(req)
	}
	var out bytes.Buffer
	if batch {
		out.WriteByte('[')
	}
	for i, a := range answers {
		f, failed := failed(a)
		switch {
		case failed:
			// The others of the request were answered then, in another one.
			text, err := json.Marshal(fmt.Sprintf("status %d: %s%s", f.Status, tracer.CleanText(f.Body, 200), f.Error))
			if err != nil {
				return nil, err
			}
			a = slices.Concat([]byte(`{"error":{"code":-32603,"message":`), text, []byte("}}"))
		case bytes.Equal(a, lost) && batch:
			continue
		case bytes.Equal(a, lost):
			a, list[i].ID = member("result", null), null
		}
		if out.Len() > 1 {
			out.WriteByte(',')
		}
		out.WriteString(`{"jsonrpc":"2.0","id":`)
		out.Write(cmpOr(list[i].ID, null))
		out.WriteByte(',')
		out.Write(a[1:])
	}
	if batch {
		out.WriteByte(']')
	}
	return response(req, http.StatusOK, io.NopCloser(&out)), nil
}

func cmpOr(a, b []byte) []byte {
	if len(a) == 0 {
		return b
	}
	return a
}

// ask returns the answer to a call.
func (n *Node) ask(host string, c *call) ([]byte, error) {
	text, err := c.text(host)
	if err != nil {
		return nil, err
	}
	key := sha256.Sum256(text)
	e := n.asked[key]
	if e == nil {
		got, err := n.others(host, c)
		if got != nil || err != nil {
			return got, err
		}
		if a, ok := n.never[host+" "+c.Method]; ok {
			return n.spool.get(a)
		}
		if got, err = n.covered(c, host); got == nil && err == nil {
			n.miss(c)
			return nil, fmt.Errorf("the recording does not have this call of %s", tracer.CleanText(c.Method, 60))
		}
		return got, err
	}
	n.mu.Lock()
	k := n.given[key]
	n.given[key]++
	n.mu.Unlock()
	for _, r := range e.answers {
		if k < r.times {
			return n.spool.get(r.answer)
		}
		k -= r.times
	}
	return n.spool.get(e.last())
}

// others returns what another node of the pool has said to a call, or nil.
func (n *Node) others(host string, c *call) ([]byte, error) {
	n.mu.Lock()
	pool := slices.Clone(n.pool)
	n.mu.Unlock()
	if len(pool) < 2 || !slices.Contains(pool, host) {
		return nil, nil
	}
	if got, err := n.covered(c, host); got != nil || err != nil {
		return got, err
	}
	for _, other := range pool {
		text, err := c.text(other)
		if err != nil {
			return nil, err
		}
		e := n.asked[sha256.Sum256(text)]
		if e == nil {
			continue
		}
		got, err := n.spool.get(e.last())
		if err != nil || bytes.HasPrefix(got, []byte(`{"result":`)) {
			return got, err
		}
	}
	return n.covered(c, pool...)
}

func (e *asked) last() sum { return e.answers[len(e.answers)-1].answer }

// refused finds the methods that were refused whatever was asked. A failure in
// between says nothing about the method.
func (n *Node) refused(results, errors map[sum]bool) {
	n.never = make(map[string]sum)
	mixed := make(map[string]bool)
	for _, e := range n.asked {
		key := e.host + " " + e.method
		for _, r := range e.answers {
			known, ok := n.never[key]
			switch {
			case results[r.answer] || errors[r.answer] && ok && known != r.answer:
				mixed[key] = true
			case errors[r.answer]:
				n.never[key] = r.answer
			}
		}
	}
	for key := range mixed {
		delete(n.never, key)
	}
}

// mostMissing bounds what Missing returns.
const mostMissing = 5

func (n *Node) miss(c *call) {
	text := tracer.CleanText(c.Method+" "+string(c.Params), 200)
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.missing) < mostMissing && !slices.Contains(n.missing, text) {
		n.missing = append(n.missing, text)
	}
}

// failed returns the failure that an answer is.
func failed(content []byte) (f failure, ok bool) {
	return f, bytes.HasPrefix(content, []byte(`{"status":`)) && json.Unmarshal(content, &f) == nil
}

// A cause is why a recorded request failed.
type cause struct {
	text    string
	timeout bool
}

func (c *cause) Error() string   { return c.text }
func (c *cause) Timeout() bool   { return c.timeout }
func (c *cause) Temporary() bool { return c.timeout }

// response fails as the recorded request did.
func (f *failure) response(req *http.Request) (*http.Response, error) {
	if f.Status == 0 {
		return nil, &cause{f.Error, f.Timeout}
	}
	body := io.Reader(bytes.NewReader([]byte(f.Body)))
	if f.Error != "" {
		body = io.MultiReader(body, failing{&cause{f.Error, f.Timeout}})
	}
	return response(req, f.Status, io.NopCloser(body)), nil
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func response(req *http.Request, status int, body io.ReadCloser) *http.Response {
	return &http.Response{
		Status: fmt.Sprintf("%d %s", status, http.StatusText(status)), StatusCode: status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: body, ContentLength: -1, Request: req,
	}
}
