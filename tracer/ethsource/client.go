package ethsource

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"scamtrace/tracer"

	"github.com/cenkalti/backoff/v5"
	"github.com/ethereum/go-ethereum/rpc"
	"golang.org/x/time/rate"
)

const (
	maxBody  = 64 << 20 // bytes of one answer; go-ethereum's client has no bound
	maxTries = 5
	maxBatch = 100 // calls in one request
	timeout  = 60 * time.Second
)

// client calls a node, counts what is asked, and tries again where that can
// help. No error of it holds the endpoint's address, which may hold a key.
type client struct {
	rpc   *rpc.Client
	host  string
	reads chan struct{} // a place for each request under way
	rate  *rate.Limiter
}

func dial(ctx context.Context, endpoint string, o Options) (*client, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%w: the endpoint is not a web address; write it like https://host/path", tracer.ErrUsage)
	}
	c := &client{host: u.Hostname(), reads: make(chan struct{}, cmp.Or(max(o.Reads, 0), 4)), rate: rate.NewLimiter(rate.Inf, 0)}
	if o.Limiter != nil {
		c.rate = o.Limiter
	} else if o.Rate > 0 {
		c.rate = rate.NewLimiter(rate.Limit(o.Rate), maxBatch)
	}
	h := &http.Client{Transport: &transport{http.DefaultTransport}, Timeout: timeout}
	if c.rpc, err = rpc.DialOptions(ctx, endpoint, rpc.WithHTTPClient(h)); err != nil {
		return nil, fmt.Errorf("connect to %s: the address is not usable", c.host)
	}
	return c, nil
}

// transport bounds answers and says who asks.
type transport struct{ next http.RoundTripper }

func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("User-Agent", "scamtrace")
	resp, err := t.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && resp.StatusCode >= 400 {
		resp.Body.Close()
		return nil, &waitError{status: resp.StatusCode, after: min(time.Duration(max(s, 0))*time.Second, time.Minute)}
	}
	resp.Body = &capped{resp.Body, maxBody}
	return resp, nil
}

// A waitError is a refusal that says when to come back.
type waitError struct {
	status int
	after  time.Duration
}

func (e *waitError) Error() string {
	return fmt.Sprintf("the endpoint answers with status %d", e.status)
}

var errTooLarge = errors.New("the answer is too large")

type capped struct {
	io.ReadCloser
	left int64
}

func (c *capped) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errTooLarge
	}
	n, err := c.ReadCloser.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	return n, err
}

// spent counts the calls of one query and knows its budget.
type spent struct {
	n   atomic.Int64
	max int64 // 0 is no limit
}

var errBudget = errors.New("the budget of requests ran out")

// take asks for n calls.
func (s *spent) take(n int) error {
	if got := s.n.Add(int64(n)); s.max > 0 && got > s.max {
		s.n.Add(int64(-n))
		return errBudget
	}
	return nil
}

// batch makes calls together, at most maxBatch in a request, and tries those
// that failed again. It returns the first error that stays.
func (c *client) batch(ctx context.Context, s *spent, calls []rpc.BatchElem) error {
	for len(calls) > 0 {
		n := min(len(calls), maxBatch)
		if err := c.some(ctx, s, calls[:n]); err != nil {
			return err
		}
		calls = calls[n:]
	}
	return nil
}

func (c *client) some(ctx context.Context, s *spent, calls []rpc.BatchElem) error {
	todo := make([]int, len(calls))
	for i := range todo {
		todo[i] = i
	}
	try := func() (struct{}, error) {
		if err := s.take(len(todo)); err != nil {
			return struct{}{}, backoff.Permanent(err)
		}
		part := make([]rpc.BatchElem, len(todo))
		for k, i := range todo {
			part[k] = calls[i]
			part[k].Error = nil
		}
		if err := c.rate.WaitN(ctx, len(todo)); err != nil {
			return struct{}{}, backoff.Permanent(cmp.Or(context.Cause(ctx), err))
		}
		select {
		case c.reads <- struct{}{}:
			defer func() { <-c.reads }()
		case <-ctx.Done():
			return struct{}{}, backoff.Permanent(context.Cause(ctx))
		}
		var err error
		if len(part) == 1 {
			err = c.rpc.CallContext(ctx, part[0].Result, part[0].Method, part[0].Args...)
		} else {
			err = c.rpc.BatchCallContext(ctx, part)
		}
		if err != nil {
			return struct{}{}, c.again(ctx, err)
		}
		var left []int
		var first error
		for k, i := range todo {
			if part[k].Error == nil {
				continue
			}
			err := c.again(ctx, part[k].Error)
			if _, stays := errors.AsType[*backoff.PermanentError](err); stays {
				return struct{}{}, err
			}
			left, first = append(left, i), err
		}
		todo = left
		return struct{}{}, first
	}
	delays := backoff.NewExponentialBackOff()
	delays.InitialInterval, delays.MaxInterval = 100*time.Millisecond, 5*time.Second
	_, err := backoff.Retry(ctx, try, backoff.WithBackOff(delays), backoff.WithMaxTries(maxTries))
	if p, ok := errors.AsType[*backoff.PermanentError](err); ok {
		err = p.Unwrap()
	}
	if w, ok := errors.AsType[*backoff.RetryAfterError](err); ok {
		return &nodeError{kind: kindRate, text: fmt.Sprintf("the endpoint asks to wait for %s", w.Duration)}
	}
	return err
}

// again says whether trying again can help: it returns err for a try after a
// pause, and a permanent error otherwise.
func (c *client) again(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return backoff.Permanent(context.Cause(ctx))
	}
	if w, ok := errors.AsType[*waitError](err); ok {
		return backoff.RetryAfter(int(w.after / time.Second))
	}
	e := classify(err)
	if e.kind == kindRate || e.kind == kindTransient {
		return e
	}
	return backoff.Permanent(e)
}

// A kind says what to do about an error of a node.
type kind uint8

const (
	kindOther     kind = iota // asking again does not help
	kindTransient             // it may
	kindRate                  // it may, later
	kindRange                 // ask for fewer blocks
	kindTopics                // ask for fewer wallets
	kindMissing               // the node does not have the method
)

// A nodeError is an error of a node, in words without the endpoint's address.
type nodeError struct {
	kind kind
	text string
}

func (e *nodeError) Error() string { return e.text }

// refusals tells errors by their text, first match first. The texts are those
// of the nodes and providers themselves.
var refusals = []struct {
	kind kind
	text *regexp.Regexp
}{
	{kindTopics, regexp.MustCompile(`exceed max (topics|addresses)|specify less number of address|contains \d+ filters`)},
	{kindRange, regexp.MustCompile(`block range|range .*(exceed|limit|too large|too wide)|exceed(s|ed)? max|max(imum)? range|limited to .* range|ranges over|blocks range|too many blocks|number of requested blocks|blocks distance`)},
	{kindRange, regexp.MustCompile(`returned more than|too many (logs|results)|response (is too big|size exceeded|too large)|logs matched|query timeout|size limit|answer is too large`)},
	{kindMissing, regexp.MustCompile(`method .*(does not exist|not found|not supported|not available)|unsupported method|unimplemented|not whitelisted`)},
	{kindRate, regexp.MustCompile(`rate limit|too many requests|request limit|429|limit exceeded|credits|throttl`)},
	{kindTransient, regexp.MustCompile(`not yet complete|no backend|header not found|timeout|temporar|try again|connection|eof|internal error`)},
}

// classify finds out what an error means. Unknown texts of the node stay, the
// address of the endpoint goes.
func classify(err error) *nodeError {
	if e, ok := errors.AsType[*nodeError](err); ok {
		return e
	}
	text := err.Error()
	if ue, ok := errors.AsType[*url.Error](err); ok {
		text = "connection: " + ue.Err.Error()
	}
	if he, ok := errors.AsType[rpc.HTTPError](err); ok {
		text = fmt.Sprintf("status %d: %s", he.StatusCode, he.Body)
		switch he.StatusCode {
		case http.StatusTooManyRequests:
			return &nodeError{kindRate, "the endpoint limits how often it may be asked (status 429)"}
		case http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return &nodeError{kindTransient, fmt.Sprintf("the endpoint answers with status %d", he.StatusCode)}
		}
	}
	lower := strings.ToLower(text)
	for _, r := range refusals {
		if r.text.MatchString(lower) {
			return &nodeError{r.kind, "the endpoint says: " + tracer.CleanText(text, 160)}
		}
	}
	if _, ok := errors.AsType[rpc.Error](err); ok {
		return &nodeError{kindOther, "the endpoint says: " + tracer.CleanText(text, 160)}
	}
	return &nodeError{kindTransient, "the endpoint's answer is not usable: " + tracer.CleanText(text, 160)}
}
