package evidence

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"scamtrace/tracer"

	"github.com/klauspost/compress/zstd"
)

// maxAnswer is how much of an answer is kept, in bytes. Sources read no more.
const maxAnswer = 64 << 20

// A Recorder writes down what nodes answer. It is safe for concurrent use.
type Recorder struct {
	spool *spool
	now   func() time.Time
	large sync.Mutex // held while a large answer is in memory

	mu    sync.Mutex
	asked map[sum]*asked // by the text of the question
	err   error          // the first
}

// asked is a question and its answers in order.
type asked struct {
	host, method string
	answers      []run
}

// A run is an answer that was given several times, one after another.
type run struct {
	answer sum
	at     int64 // when it first came, in Unix seconds
	times  int
	result bool // and no error and no failure; true of what was asked by address
}

// settled returns the answers without the errors and failures that a result
// followed: they are no evidence, and how often one is tried again depends on
// what else was in the request.
func (e *asked) settled() []run {
	var out []run
	for i, a := range e.answers {
		switch n := len(out); {
		case !a.result && slices.ContainsFunc(e.answers[i:], func(r run) bool { return r.result }):
		case n > 0 && out[n-1].answer == a.answer:
			out[n-1].times += a.times
		default:
			out = append(out, a)
		}
	}
	return out
}

// NewRecorder makes a recorder that reads the time of each answer from a clock.
// It keeps what it records in a temporary file, which [Recorder.Close] removes.
func NewRecorder(now func() time.Time) (*Recorder, error) {
	s, err := newSpool()
	if err != nil {
		return nil, err
	}
	return &Recorder{spool: s, now: now, asked: make(map[sum]*asked)}, nil
}

// Close removes the temporary file.
func (r *Recorder) Close() error { return r.spool.close() }

// Wrap returns next with everything that goes through it recorded. Requests
// that are no JSON-RPC pass unrecorded: their question is in the address, for
// which there is [Recorder.WrapAt]. A nil Recorder records nothing.
func (r *Recorder) Wrap(next http.RoundTripper) http.RoundTripper { return r.WrapNode("", next) }

// WrapNode is [Recorder.Wrap] for one of several nodes, under a name of its own:
// the host, with something that tells it from others at the same host.
func (r *Recorder) WrapNode(name string, next http.RoundTripper) http.RoundTripper {
	if r == nil {
		return next
	}
	return &recording{Recorder: r, next: next, name: name}
}

type recording struct {
	*Recorder
	next http.RoundTripper
	at   *endpoint // nil: JSON-RPC alone is recorded
	name string    // empty: the host of the request
}

// drain reads the body of a request.
func drain(req *http.Request) ([]byte, error) {
	if req.Body == nil {
		return nil, nil
	}
	body, err := io.ReadAll(req.Body)
	return body, errors.Join(err, req.Body.Close())
}

// RoundTrip sends the request on. What was cancelled by whoever asked is not
// recorded, because it says nothing about the node.
func (t *recording) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := drain(req)
	if err != nil {
		return nil, err
	}
	again := req.Clone(req.Context())
	if again.Body != nil {
		again.Body = io.NopCloser(bytes.NewReader(body))
	}
	x := &exchange{r: t.Recorder, ctx: req.Context(), host: cmp.Or(t.name, req.URL.Hostname()), secrets: secrets(req)}
	ok := false
	switch x.calls, x.batch, ok = calls(body); {
	case ok && req.Method == http.MethodPost:
	case t.at == nil:
		return t.next.RoundTrip(again)
	default:
		c, err := t.at.call(req, body)
		if err != nil {
			t.fail(err)
			return t.next.RoundTrip(again)
		}
		x.at, x.calls, x.secrets = t.at, []call{c}, t.at.secrets(req)
	}
	resp, err := t.next.RoundTrip(again)
	if err != nil {
		x.end(err)
		return nil, err
	}
	x.status = resp.StatusCode
	x.body, resp.Body = resp.Body, x
	return resp, nil
}

// An exchange is a request and the body of its answer, on its way to whoever
// asked.
type exchange struct {
	r       *Recorder
	ctx     context.Context
	host    string
	calls   []call
	batch   bool
	secrets []string
	at      *endpoint // asked by address
	status  int
	body    io.ReadCloser

	seen  kept
	ended bool
}

func (x *exchange) Read(p []byte) (int, error) {
	n, err := x.body.Read(p)
	if !x.ended {
		x.seen.write(p[:n], x.at != nil)
	}
	if err != nil {
		x.end(err)
	}
	return n, err
}

func (x *exchange) Close() error {
	x.end(errLeft)
	return x.body.Close()
}

// errLeft is why an answer was read no further by whoever asked.
var errLeft = errors.New("unexpected EOF")

// end records what there is of the answer.
func (x *exchange) end(err error) {
	if x.ended {
		return
	}
	x.ended = true
	if err == io.EOF && x.body != nil {
		err = nil
	}
	if err != nil && errors.Is(x.ctx.Err(), context.Canceled) {
		return
	}
	if x.seen.n > maxLarge {
		x.r.large.Lock()
		defer x.r.large.Unlock()
	}
	record := x.record
	if x.at != nil {
		record = x.whole
	}
	x.r.fail(record(err))
	x.seen = kept{}
}

// fail notes the first error.
func (r *Recorder) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = cmp.Or(r.err, err)
}

func (x *exchange) record(err error) error {
	if x.body != nil && x.seen.n > maxAnswer {
		return x.all(member("error", []byte(`{"code":0,"message":"the answer is too large"}`)))
	}
	body, failed := x.seen.bytes()
	if failed != nil {
		return failed
	}
	list, ok := replies(body, x.batch)
	if !ok || x.body == nil || x.status < 200 || x.status > 299 {
		f := failure{Status: x.status, Body: string(clean(body, x.secrets, shortSecret))}
		if err != nil {
			f.Error = string(clean([]byte(err.Error()), x.secrets, shortSecret))
			f.Timeout = timedOut(err)
		}
		content, err := json.Marshal(f)
		if err != nil {
			return err
		}
		return x.all(content)
	}
	for i := range x.calls {
		var own *reply
		if k := slices.IndexFunc(list, func(r reply) bool { return sameID(r.ID, x.calls[i].ID) }); k >= 0 {
			own = new(list[k])
			list = slices.Delete(list, k, k+1) // a list in order is found at once
		}
		content := own.content()
		least := longSecret
		if bytes.HasPrefix(content, []byte(`{"error"`)) {
			least = shortSecret
		}
		if err := x.answer(&x.calls[i], clean(content, x.secrets, least)); err != nil {
			return err
		}
	}
	return nil
}

func timedOut(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

// all records one answer to all calls.
func (x *exchange) all(content []byte) error {
	for i := range x.calls {
		if err := x.answer(&x.calls[i], content); err != nil {
			return err
		}
	}
	return nil
}

func (x *exchange) answer(c *call, content []byte) error {
	text, err := c.text(x.host)
	if err != nil {
		return err
	}
	q, err := x.r.spool.put(text)
	if err != nil {
		return err
	}
	a, err := x.r.spool.put(content)
	if err != nil {
		return err
	}
	x.r.mu.Lock()
	defer x.r.mu.Unlock()
	e := x.r.asked[q]
	if e == nil {
		e = &asked{host: x.host, method: c.Method}
		x.r.asked[q] = e
	}
	if n := len(e.answers); n > 0 && e.answers[n-1].answer == a {
		e.answers[n-1].times++
	} else {
		e.answers = append(e.answers, run{a, x.r.now().Unix(), 1, x.at != nil || bytes.HasPrefix(content, []byte(`{"result":`))})
	}
	return nil
}

// maxLarge is what may be in memory of every answer at once.
const maxLarge = 1 << 20

// kept is a body as far as it was read, compressed when it is large.
type kept struct {
	n     int
	plain bytes.Buffer
	small bytes.Buffer
	enc   *zstd.Encoder
	err   error
}

// write adds what was read. Of a body that is too large nothing is kept, or the
// beginning where that is of use.
func (k *kept) write(p []byte, beginning bool) {
	room := maxAnswer - k.n
	switch k.n += len(p); {
	case k.n > maxAnswer && beginning:
		p = p[:max(room, 0)]
	case k.n > maxAnswer || k.err != nil:
		k.plain, k.small, k.enc = bytes.Buffer{}, bytes.Buffer{}, nil
		return
	}
	if k.enc == nil && k.n > maxLarge {
		if k.enc, k.err = zstd.NewWriter(&k.small, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20)); k.err == nil {
			_, k.err = k.enc.Write(k.plain.Bytes())
		}
		k.plain = bytes.Buffer{}
	}
	if k.enc == nil {
		k.plain.Write(p)
	} else if k.err == nil {
		_, k.err = k.enc.Write(p)
	}
}

func (k *kept) bytes() ([]byte, error) {
	if k.enc == nil || k.err != nil {
		return k.plain.Bytes(), k.err
	}
	if err := k.enc.Close(); err != nil {
		return nil, err
	}
	d, err := zstd.NewReader(&k.small, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	b := make([]byte, 0, min(k.n, maxAnswer)+bytes.MinRead)
	buf := bytes.NewBuffer(b)
	_, err = buf.ReadFrom(d)
	return buf.Bytes(), err
}

// What is at least so long is taken for a secret, in texts of people and in
// data. What is shorter is a word, or may stand in data by chance.
const (
	shortSecret = tracer.ShortSecret
	longSecret  = 12
)

// secrets are the parts of a request that may be keys, the longest first.
func secrets(req *http.Request) []string {
	parts := tracer.Secrets(req.URL)
	for name := range req.URL.Query() {
		parts = append(parts, name)
	}
	for name, values := range req.Header {
		switch name {
		case "Accept", "Accept-Encoding", "Content-Type", "User-Agent":
			continue
		}
		for _, v := range values {
			parts = slices.AppendSeq(append(parts, v), strings.FieldsSeq(v))
		}
	}
	slices.SortFunc(parts, func(a, b string) int { return len(b) - len(a) })
	return parts
}

// clean replaces secrets of at least so many bytes.
func clean(b []byte, secrets []string, least int) []byte {
	for _, s := range secrets {
		if len(s) >= least {
			for _, s := range []string{s, strings.ToLower(s), strings.ToUpper(s)} {
				if bytes.Contains(b, []byte(s)) {
					b = bytes.ReplaceAll(b, []byte(s), []byte("…"))
				}
			}
		}
	}
	return b
}
