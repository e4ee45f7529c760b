package ethsource

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"scamtrace/tracer"

	"github.com/cenkalti/backoff/v5"
	"github.com/ethereum/go-ethereum/rpc"
	"golang.org/x/time/rate"
)

const (
	maxBody  = 64 << 20 // bytes of one answer after decompression; go-ethereum's client has no bound
	maxTries = 6
	minBatch = 20  // calls in the first request; some endpoints take no more, some none
	maxBatch = 100 // Erigon's and Bor's default
	longest  = 10 * time.Second
)

// client calls a node and tries again where that can help. No error of it
// holds the endpoint's address, which may hold a key.
type client struct {
	endpoint string
	host     string
	secrets  *strings.Replacer
	http     *http.Client
	rpc      *rpc.Client
	rate     *rate.Limiter
	reads    chan struct{} // a place for each request under way
	body     int64         // the most bytes of an answer
	pause    func(context.Context, time.Duration) error
	id       atomic.Int64

	mu      sync.Mutex
	batch   int       // calls in a request
	most    int       // the most calls that the endpoint may take
	broken  int       // answers to batches that were not usable, one after another
	resume  time.Time // before then the endpoint wants to hear nothing
	strikes int       // refusals for the rate, one after another
}

func dial(ctx context.Context, endpoint string, o Options) (*client, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%w: the endpoint is not a web address; write it like https://host/path", tracer.ErrUsage)
	}
	reads := cmp.Or(max(o.Reads, 0), 4)
	next := http.DefaultTransport.(*http.Transport).Clone()
	next.MaxIdleConnsPerHost = reads
	c := &client{
		endpoint: endpoint, host: u.Hostname(), secrets: secrets(u), batch: minBatch,
		rate: rate.NewLimiter(rate.Inf, 0), reads: make(chan struct{}, reads), body: maxBody, most: maxBatch, pause: sleep,
	}
	var through http.RoundTripper = next
	if o.Wrap != nil {
		through = o.Wrap(next)
	}
	c.http = &http.Client{Transport: &transport{c, through}, Timeout: cmp.Or(o.Timeout, time.Minute),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if o.Recorded {
		c.pause = func(ctx context.Context, _ time.Duration) error { return context.Cause(ctx) }
	}
	if o.pause != nil {
		c.pause = o.pause
	}
	if o.Limiter != nil {
		c.rate = o.Limiter
	} else if o.Rate > 0 {
		c.rate = rate.NewLimiter(rate.Limit(o.Rate), max(1, int(o.Rate)))
	}
	if c.rpc, err = rpc.DialOptions(ctx, endpoint, rpc.WithHTTPClient(c.http)); err != nil {
		return nil, fmt.Errorf("connect to %s: the address is not usable", c.host)
	}
	return c, nil
}

// secrets replaces whatever may be a key in the address of an endpoint.
func secrets(u *url.URL) *strings.Replacer {
	var parts []string
	add := func(s string) {
		if len(s) >= 4 { // shorter ones are words like v2 and eth
			for _, s := range []string{s, url.QueryEscape(s), url.PathEscape(s)} {
				parts = append(parts, s, strings.ToLower(s), strings.ToUpper(s))
			}
		}
	}
	add(u.String())
	add(u.Redacted())
	add(u.RequestURI())
	add(u.RawQuery)
	add(u.User.String())
	add(u.User.Username())
	pass, _ := u.User.Password()
	add(pass)
	add(strings.Trim(u.Path, "/"))
	for part := range strings.SplitSeq(u.Path, "/") {
		add(part)
	}
	for _, values := range u.Query() {
		for _, v := range values {
			add(v)
		}
	}
	// The longest first: a replacer takes the first that fits.
	slices.SortFunc(parts, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	var pairs []string
	for _, s := range slices.Compact(parts) {
		pairs = append(pairs, s, "…")
	}
	return strings.NewReplacer(pairs...)
}

func (c *client) scrub(s string) string { return c.secrets.Replace(s) }

// transport bounds answers, says who asks, and sees what go-ethereum's client
// drops: how long to wait, and answers to a batch that are none.
type transport struct {
	c    *client
	next http.RoundTripper
}

// A note of the transport on an answer.
type note struct {
	wait  time.Duration // as the endpoint asks
	batch bool          // the request is one
}

type noteKey struct{}

func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("User-Agent", "scamtrace")
	resp, err := t.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = &capped{resp.Body, t.c.body}
	n, ok := r.Context().Value(noteKey{}).(*note)
	if !ok {
		return resp, nil
	}
	if resp.StatusCode >= 400 {
		n.wait = retryAfter(resp.Header, time.Now())
	}
	if !n.batch || resp.StatusCode != http.StatusOK {
		return resp, nil
	}
	body := bufio.NewReader(resp.Body)
	if start, _ := body.Peek(64); !bytes.HasPrefix(bytes.TrimSpace(start), []byte("[")) {
		defer resp.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(body, scanBuffer))
		if e := t.c.refuseHTTP(0, text); e.kind != kindUnknown {
			return nil, e
		}
		return nil, t.c.unusable("it is not the list that answers a list")
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{body, resp.Body}
	return resp, nil
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

// wait waits for d, or fails with e at once when ctx ends before that.
func (c *client) wait(ctx context.Context, d time.Duration, e *nodeError) error {
	if d <= 0 {
		return nil
	}
	if end, ok := ctx.Deadline(); ok && time.Until(end) <= d {
		return &nodeError{kind: e.kind, late: true, text: e.text + "; there is no time left to wait"}
	}
	return c.pause(ctx, d)
}

// turn waits until n calls may be made.
func (c *client) turn(ctx context.Context, n int) error {
	c.mu.Lock()
	d := time.Until(c.resume)
	c.mu.Unlock()
	if err := c.wait(ctx, d, &nodeError{kind: kindRate, text: kindTexts[kindRate]}); err != nil {
		return err
	}
	r := c.rate.ReserveN(time.Now(), n)
	if err := c.wait(ctx, r.Delay(), &nodeError{kind: kindRate, text: "the limit on requests per second holds the reading up"}); err != nil {
		r.Cancel()
		return err
	}
	select {
	case c.reads <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// slow makes everybody wait after a refusal for the rate. Refusals of requests
// that were under way together count once.
func (c *client) slow(e *nodeError) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if now.Before(c.resume) {
		return
	}
	d := min(250*time.Millisecond<<c.strikes, longest)
	d = d/2 + rand.N(d/2)
	c.strikes = min(c.strikes+1, 10)
	c.resume = now.Add(max(d, min(e.after, 10*time.Minute)))
}

// again runs try until it succeeds or trying again does not help. A probe finds
// out what an endpoint can do: only what surely passes is tried again.
func (c *client) again(ctx context.Context, probe bool, try func() error) error {
	delays := backoff.NewExponentialBackOff()
	delays.InitialInterval, delays.Multiplier, delays.MaxInterval = 250*time.Millisecond, 2, longest
	for n := 1; ; n++ {
		err := try()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if errors.Is(err, tracer.ErrBudget) {
			return err
		}
		e := c.classify(err)
		most := 1
		switch e.kind {
		case kindRate, kindTransient, kindUnusable:
			most = maxTries
		case kindBehind:
			if !probe {
				most = maxTries
			}
		case kindPruned: // a pool may have nodes that keep more
			most = 3
		case kindUnknown:
			if !probe {
				most = 2
			}
		}
		if n >= most || e.late {
			return e
		}
		if e.kind == kindRate {
			c.slow(e) // the next try waits with all others
			continue
		}
		if err := c.wait(ctx, max(delays.NextBackOff(), e.after), e); err != nil {
			return err
		}
	}
}

// call makes one call; result reads its result, and starts over when the call
// is made again.
func (c *client) call(ctx context.Context, p *purse, probe bool, result func(*scanner) error, method string, args ...any) error {
	return c.again(ctx, probe, func() error {
		if err := c.enter(ctx, p, 1); err != nil {
			return err
		}
		defer c.leave()
		return c.post(ctx, result, method, args)
	})
}

// enter pays for n calls and waits until they may be made.
func (c *client) enter(ctx context.Context, p *purse, n int) error {
	if err := p.spend(ctx, n); err != nil {
		return err
	}
	if err := c.turn(ctx, n); err != nil {
		p.refund(n)
		return err
	}
	return nil
}

func (c *client) leave() { <-c.reads }

// post makes one request of one call. go-ethereum's client reads a body
// several times over; this one reads it once, as it comes.
func (c *client) post(ctx context.Context, result func(*scanner) error, method string, args []any) error {
	id := c.id.Add(1)
	body, err := json.Marshal(struct {
		Version string `json:"jsonrpc"`
		ID      int64  `json:"id"`
		Method  string `json:"method"`
		Params  []any  `json:"params"`
	}{"2.0", id, method, args})
	if err != nil {
		return err
	}
	n := new(note)
	req, err := http.NewRequestWithContext(context.WithValue(ctx, noteKey{}, n), http.MethodPost, c.endpoint, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer func() {
		io.CopyN(io.Discard, resp.Body, scanBuffer) // so that the connection can be used again
		resp.Body.Close()
	}()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, scanBuffer))
		e := c.refuseHTTP(resp.StatusCode, text)
		e.after = n.wait
		return e
	}
	c.calm()
	return c.envelope(newScanner(resp.Body), id, result)
}

// calm forgets refusals for the rate.
func (c *client) calm() {
	c.mu.Lock()
	c.strikes = 0
	c.mu.Unlock()
}

// envelope reads an answer to the call id. Its members come in any order.
func (c *client) envelope(s *scanner, id int64, result func(*scanner) error) error {
	var refusal *nodeError
	var got json.RawMessage
	var failed error
	have := false
	if s.peek() == '<' {
		return &nodeError{kind: kindTransient, text: "the endpoint answers with a web page"}
	}
	err := s.each(func(key []byte) (err error) {
		switch string(key) {
		case "id":
			got, err = s.value()
		case "error":
			var raw []byte
			if raw, err = s.value(); err != nil || string(raw) == "null" {
				return err
			}
			e := new(rpcError)
			if err := json.Unmarshal(raw, e); err != nil {
				return err
			}
			refusal = c.refuse(0, e.Code, e.words()...)
		case "result":
			have = true
			if failed = result(s); failed != nil {
				return failed // the rest is of no interest
			}
		default:
			return s.skip(0)
		}
		return err
	})
	switch {
	case errors.Is(err, errTooLarge):
		return err
	case refusal != nil:
		return refusal
	case err != nil:
		if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
			return &nodeError{kind: kindTransient, text: "the endpoint does not finish its answer"}
		}
		return cmp.Or[error](asNode(err), c.unusable("%v", err))
	case string(got) != fmt.Sprint(id):
		return c.unusable("it answers another question")
	case !have:
		return c.unusable("it has no result")
	}
	return nil
}

func asNode(err error) error {
	if e, ok := errors.AsType[*nodeError](err); ok {
		return e
	}
	return nil
}

// one makes one call and decodes its result. null leaves result as it is.
func (c *client) one(ctx context.Context, p *purse, result any, method string, args ...any) error {
	return c.call(ctx, p, false, into(result), method, args...)
}

// probe is one for questions that an endpoint may not understand.
func (c *client) probe(ctx context.Context, p *purse, result any, method string, args ...any) error {
	return c.call(ctx, p, true, into(result), method, args...)
}

func into(result any) func(*scanner) error {
	return func(s *scanner) error {
		raw, err := s.value()
		if err != nil {
			return err
		}
		return json.Unmarshal(raw, result)
	}
}

// all makes many calls, several in a request and, after the first, some
// requests at once. A refusal that stays ends it. A result that is null stays
// as it was.
func (c *client) all(ctx context.Context, p *purse, calls []rpc.BatchElem) error {
	if len(calls) == 0 {
		return nil
	}
	n := min(len(calls), c.batchSize())
	if err := c.some(ctx, p, calls[:n]); err != nil {
		return err
	}
	rest := slices.Collect(slices.Chunk(calls[n:], c.batchSize()))
	return each(len(rest), func(i int) error { return c.some(ctx, p, rest[i]) })
}

// sure is all with a look at each result; those that check does not like are
// asked for again. check is called by one goroutine.
func (c *client) sure(ctx context.Context, p *purse, calls []rpc.BatchElem, check func(i int) error) error {
	todo := make([]int, len(calls))
	for i := range todo {
		todo[i] = i
	}
	var failed error
	err := c.again(ctx, false, func() error {
		part := make([]rpc.BatchElem, len(todo))
		for k, i := range todo {
			part[k] = calls[i]
		}
		if failed = c.all(ctx, p, part); failed != nil {
			return nil // it was tried often enough
		}
		var left []int
		var first error
		for _, i := range todo {
			if err := check(i); err != nil {
				left = append(left, i)
				first = cmp.Or(first, err)
			}
		}
		todo = left
		return first
	})
	return cmp.Or(failed, err)
}

func (c *client) batchSize() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rate.Limit() == rate.Inf {
		return c.batch
	}
	return min(c.batch, c.rate.Burst())
}

// worked makes the next requests larger after one of n calls.
func (c *client) worked(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.strikes, c.broken = 0, 0
	if n >= c.batch {
		c.batch = min(2*c.batch, c.most)
	}
}

// tooBig makes the next requests smaller after one of n calls. An endpoint
// that says so gets no more of that size; one whose answers to lists are
// broken time and again gets no more lists.
func (c *client) tooBig(n int, k kind) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch k {
	case kindBatch:
		c.most = min(c.most, max(n/2, 1))
	case kindDense: // of these answers only
	default:
		if c.broken++; c.broken >= maxTries {
			c.most = 1
		}
	}
	c.batch = min(c.batch, max(n/2, 1), c.most)
}

// some makes calls in one request, and those that failed again: in smaller
// requests when the endpoint does not like this one.
func (c *client) some(ctx context.Context, p *purse, todo []rpc.BatchElem) error {
	if len(todo) == 1 {
		e := &todo[0]
		err := c.one(ctx, p, e.Result, e.Method, e.Args...)
		if err == nil {
			c.worked(1)
		}
		return err
	}
	smaller := false
	err := c.again(ctx, false, func() error {
		if err := c.enter(ctx, p, len(todo)); err != nil {
			return err
		}
		for i := range todo {
			todo[i].Error = nil
		}
		n := &note{batch: true}
		err := c.rpc.BatchCallContext(context.WithValue(ctx, noteKey{}, n), todo)
		c.leave()
		var left []rpc.BatchElem
		var first *nodeError
		for _, call := range todo {
			if err == nil && call.Error == nil {
				continue
			}
			left = append(left, call)
			if e := c.classify(cmp.Or(err, call.Error)); first == nil || e.kind == kindBatch {
				first = e
			}
		}
		if first == nil {
			c.worked(len(todo))
			return nil
		}
		first.after = n.wait
		if first.kind == kindBatch || first.kind == kindDense || first.kind == kindUnusable || first.kind == kindUnknown && err != nil {
			smaller = true
			c.tooBig(len(todo), first.kind)
			first = &nodeError{kind: kindOther, text: first.text} // no pause
		}
		todo = left
		return first
	})
	if !smaller || err == nil || ctx.Err() != nil {
		return err
	}
	half := (len(todo) + 1) / 2
	if err := c.some(ctx, p, todo[:half]); err != nil || half == len(todo) {
		return err
	}
	return c.some(ctx, p, todo[half:])
}
