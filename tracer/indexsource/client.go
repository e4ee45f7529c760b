package indexsource

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"scamtrace/tracer"

	"golang.org/x/time/rate"
)

// Options are settings of an indexer. The zero value asks the public endpoint
// of the chain, as fast as its free plan allows, and reads up to the newest
// block that the indexer calls final.
type Options struct {
	URL string // of the endpoint, in place of the public one
	// Key is the key of an account, where the indexer has accounts. It is sent
	// in a header, and to Etherscan, which knows no other way, in the query.
	Key string
	// HTTP makes the requests; it follows no redirects, whatever it says. The
	// default is a client with a timeout of one minute.
	HTTP *http.Client
	// Rate bounds the requests in a second. Zero is what the free plan allows,
	// negative is no bound.
	Rate float64
	// Pin, when set, is the block to read up to: the block that a node or an
	// earlier run pinned. What the indexer does not have yet is unread.
	Pin *tracer.Block
	// Wrap, when set, wraps what requests go through, next: to record them, or to
	// answer them in its place. base is the address of the endpoint.
	Wrap func(base *url.URL, key string, next http.RoundTripper) http.RoundTripper
	// Recorded says that the answers come from a recording: the source waits
	// before no request, and needs no key.
	Recorded bool

	now   func() time.Time // in place of the clock, for tests
	pause func(context.Context, time.Duration) error
}

const (
	maxBody  = 64 << 20 // bytes of one answer after decompression
	maxTries = 5
	maxRated = 8                // tries where only the rate is refused
	penalty  = 30 * time.Second // that TronGrid puts on who asks too often
	longest  = 10 * time.Second // between two tries, unless the endpoint asks for more
)

// A kind says what to do about an error of an endpoint.
type kind uint8

const (
	kindBroken  kind = iota // the answer is none: ask again
	kindDown                // ask again
	kindRate                // ask again, later
	kindDenied              // the key or the plan does not allow it
	kindRefused             // this question has no answer here
)

var kindTexts = [...]string{
	kindBroken:  "the answer of %s is not usable",
	kindDown:    "%s fails",
	kindRate:    "%s limits how often it may be asked",
	kindDenied:  "%s does not accept the key, or its plan does not include this",
	kindRefused: "%s refuses",
}

// A fault is an error of an endpoint, in words without its address or key.
type fault struct {
	kind  kind
	text  string
	after time.Duration // how long the endpoint asks to wait
	late  bool          // there was no time to try again
}

func (f *fault) Error() string { return f.text }

// down reports whether an error says that the endpoint answers nobody.
func down(err error) bool {
	f, ok := errors.AsType[*fault](err)
	return ok && !f.late && (f.kind == kindDown || f.kind == kindRate)
}

// final reports whether an error ends the whole query, and not only a part.
func final(ctx context.Context, err error) bool {
	f, ok := errors.AsType[*fault](err)
	return ctx.Err() != nil || errors.Is(err, tracer.ErrBudget) || down(err) || ok && f.late || errors.Is(err, tracer.ErrReorg) || errors.Is(err, tracer.ErrWrongChain)
}

// A purse holds the requests that a query may still make. One goroutine has it.
type purse struct{ left, spent int }

func newPurse(most int) *purse {
	if most <= 0 {
		most = math.MaxInt
	}
	return &purse{left: most}
}

func (p *purse) spend(n int) error {
	if n > p.left {
		return tracer.ErrBudget
	}
	p.left -= n
	p.spent += n
	return nil
}

// client asks an endpoint, and asks again where that can help.
type client struct {
	name    string // for people
	base    *url.URL
	header  http.Header
	query   url.Values // of every request
	http    *http.Client
	secrets *strings.Replacer
	forbids bool // 403 stands for too many requests
	limit   *rate.Limiter
	now     func() time.Time
	pause   func(context.Context, time.Duration) error
}

// newClient checks the options. def is the public endpoint of the chain, empty
// where there is none; free is the rate of the free plan.
func newClient(name, def string, free float64, o Options) (*client, error) {
	if o.URL == "" && def == "" {
		return nil, fmt.Errorf("%w: %s has no public endpoint for this chain; name one", tracer.ErrUsage, name)
	}
	u, err := url.Parse(cmp.Or(o.URL, def))
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%w: the endpoint of %s is not a web address; write it like https://host/path", tracer.ErrUsage, name)
	}
	c := &client{name: name, base: u, header: http.Header{"User-Agent": {"scamtrace"}, "Accept": {"application/json"}},
		query: make(url.Values), secrets: tracer.Scrubber([]*url.URL{u}, o.Key), now: time.Now, pause: sleep}
	h := http.Client{Timeout: time.Minute}
	if o.HTTP != nil {
		h = *o.HTTP
	}
	h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // it would take the key along
	if o.Wrap != nil {
		next := h.Transport
		if next == nil {
			next = http.DefaultTransport
		}
		h.Transport = o.Wrap(u, o.Key, next)
	}
	c.http = &h
	if o.now != nil {
		c.now = o.now
	}
	if o.pause != nil {
		c.pause = o.pause
	}
	if o.Recorded {
		c.pause = func(ctx context.Context, _ time.Duration) error { return context.Cause(ctx) }
	}
	switch r := cmp.Or(o.Rate, free); {
	case o.Recorded:
		c.limit = rate.NewLimiter(rate.Inf, 0)
	case math.IsNaN(r):
		return nil, fmt.Errorf("%w: the rate is not a number", tracer.ErrUsage)
	case r > 0:
		c.limit = rate.NewLimiter(rate.Limit(r), 1) // a burst would fill the second that the endpoint counts
	default:
		c.limit = rate.NewLimiter(rate.Inf, 0)
	}
	return c, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// fault makes an error of what an endpoint says.
func (c *client) fault(k kind, said string) *fault {
	f := &fault{kind: k, text: fmt.Sprintf(kindTexts[k], c.name)}
	if said = tracer.CleanText(c.secrets.Replace(said[:min(len(said), 2000)]), 160); said != "" && !strings.HasPrefix(said, "<") {
		f.text += fmt.Sprintf("; it says %q", said)
	}
	return f
}

// broken makes an error of an answer that is none.
func (c *client) broken(format string, args ...any) *fault {
	f := c.fault(kindBroken, "")
	f.text += ": " + tracer.CleanText(c.secrets.Replace(fmt.Sprintf(format, args...)), 160)
	return f
}

// An answer is what an endpoint sent; its body is capped.
type answer struct {
	status int
	header http.Header
	body   io.Reader
}

// json reads the whole body as one value.
func (a *answer) json(into any) error {
	b, err := io.ReadAll(a.body)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, into)
}

// ask makes one request, and makes it again while that can help. It costs n
// requests each time. body is sent as JSON when it is not nil. Whatever read
// returns that is not a [fault] makes the answer a broken one.
func (c *client) ask(ctx context.Context, p *purse, n int, path string, query url.Values, body any, read func(*answer) error) error {
	for try := 0; ; try++ {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if err := p.spend(n); err != nil {
			return err
		}
		made, err := c.once(ctx, n, path, query, body, read)
		if !made {
			p.left, p.spent = p.left+n, p.spent-n
		}
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		f, ok := errors.AsType[*fault](err)
		if !ok {
			f = c.broken("%v", err)
		}
		if f.kind >= kindDenied || f.late || try >= maxRated-1 || f.kind != kindRate && try >= maxTries-1 {
			return f
		}
		d := min(250*time.Millisecond<<try, longest)
		d = max(d/2+rand.N(d/2), min(f.after, 10*time.Minute))
		if err := c.wait(ctx, d, f); err != nil {
			return err
		}
	}
}

// wait waits, or fails at once when ctx ends before that.
func (c *client) wait(ctx context.Context, d time.Duration, f *fault) error {
	if d <= 0 {
		return nil
	}
	if end, ok := ctx.Deadline(); ok && end.Sub(c.now()) <= d {
		return &fault{kind: f.kind, text: f.text + "; there is no time left to wait", late: true}
	}
	return c.pause(ctx, d)
}

// once makes a request; made says whether it was sent.
func (c *client) once(ctx context.Context, n int, path string, query url.Values, body any, read func(*answer) error) (made bool, err error) {
	for range n {
		r := c.limit.ReserveN(c.now(), 1)
		if err := c.wait(ctx, r.DelayFrom(c.now()), c.fault(kindRate, "")); err != nil {
			r.CancelAt(c.now())
			return false, err
		}
	}
	u := *c.base
	if path != "" {
		u = *c.base.JoinPath(path)
	}
	q := u.Query()
	for _, vs := range []url.Values{query, c.query} {
		maps.Copy(q, vs)
	}
	u.RawQuery = q.Encode()
	method, send := http.MethodGet, io.Reader(nil)
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return false, err
		}
		method, send = http.MethodPost, bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), send)
	if err != nil {
		return false, c.fault(kindRefused, "")
	}
	req.Header = c.header.Clone()
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok { // its own text has the address
			if err = e.Err; e.Timeout() { // which of several ran out first is chance
				err = errLate
			}
		}
		f := c.fault(kindDown, "")
		f.text += ": " + tracer.CleanText(c.secrets.Replace(err.Error()), 160)
		return true, f
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		f := c.fault(statusKind(resp.StatusCode), cmp.Or(words(text), http.StatusText(resp.StatusCode)))
		f.after = retryAfter(resp.Header, c.now())
		if c.forbids && resp.StatusCode == http.StatusForbidden {
			f = c.fault(kindRate, words(text))
			f.after = cmp.Or(retryAfter(resp.Header, c.now()), penalty)
		}
		return true, f
	}
	return true, read(&answer{resp.StatusCode, resp.Header, &capped{resp.Body, maxBody}})
}

// words returns what the body of a refusal says: most wrap it in JSON.
func words(body []byte) string {
	var v struct {
		Error   json.RawMessage `json:"error"`
		Err     string          `json:"Error"`
		Message string          `json:"message"`
		Result  string          `json:"result"`
	}
	if json.Unmarshal(body, &v) != nil {
		return string(body)
	}
	var inner struct {
		Message string `json:"message"`
	}
	json.Unmarshal(v.Error, &inner) // it is a text or an object
	return cmp.Or(inner.Message, v.Result, v.Message, strings.Trim(string(v.Error), `"`), v.Err)
}

// statusKind says what an HTTP status means where nothing else tells.
func statusKind(status int) kind {
	switch {
	case status == http.StatusTooManyRequests:
		return kindRate
	case status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusPaymentRequired:
		return kindDenied
	case status >= 500, status == http.StatusRequestTimeout:
		return kindDown
	}
	return kindRefused
}

// retryAfter reads the header: seconds, or a date.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := h.Get("Retry-After")
	if s, err := strconv.ParseUint(v, 10, 31); err == nil {
		return time.Duration(s) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}

var errLate = errors.New("it did not answer in time")

var errTooLarge = errors.New("the answer is too large")

// capped reads at most left bytes and then fails.
type capped struct {
	r    io.Reader
	left int64
}

func (c *capped) Read(p []byte) (int, error) {
	n, err := c.r.Read(p[:min(int64(len(p)), c.left+1)])
	if c.left -= int64(n); c.left < 0 {
		c.left = 0
		return 0, errTooLarge
	}
	return n, err
}
