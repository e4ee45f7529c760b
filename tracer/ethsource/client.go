package ethsource

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"scamtrace/tracer"

	"github.com/cenkalti/backoff/v5"
	"github.com/ethereum/go-ethereum/rpc"
)

// A meter counts JSON-RPC calls against a budget.
type meter struct {
	max  int64 // 0 is no bound
	used atomic.Int64
}

// take spends n calls, or none if there are fewer left.
func (m *meter) take(n int) bool {
	for {
		used := m.used.Load()
		if m.max > 0 && used+int64(n) > m.max {
			return false
		}
		if m.used.CompareAndSwap(used, used+int64(n)) {
			return true
		}
	}
}

// left returns how many calls the budget has left.
func (m *meter) left() int {
	if m.max <= 0 {
		return 1 << 30
	}
	return int(m.max - m.used.Load())
}

var errBudget = errors.New("the budget of requests ran out")

// A call is one JSON-RPC call, alone or in a batch. decode gets the result; an
// error of it counts as an answer that makes no sense, and is asked again.
type call struct {
	method string
	args   []any
	decode func(json.RawMessage) error

	err   error // after [client.do]: nil, a *callError, errBudget, or why ctx ended
	tries int
}

// A client sends calls, retries what a retry can help, and classifies the rest.
type client struct {
	rpc     *rpc.Client
	redact  redactor
	slots   chan struct{} // one for each HTTP request in flight
	timeout time.Duration // of one HTTP request
	max     int           // tries of any call

	mu    sync.Mutex
	pause time.Time // no request before it: the endpoint said that it is too busy
}

// Delays between tries: base·2ⁿ with jitter, up to a cap. A rate limit makes
// every request of the client wait at least rateDelay; an endpoint that asks to
// wait longer than patience is not waited for.
const (
	baseDelay = 250 * time.Millisecond
	maxDelay  = 10 * time.Second
	rateDelay = 200 * time.Millisecond
	patience  = time.Minute
)

// dial makes a client of an HTTP endpoint. It does not touch the network.
func dial(ctx context.Context, endpoint string, o Options) (*client, *url.URL, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, nil, fmt.Errorf("%w: the address of the endpoint is not a URL that begins with http:// or https://", tracer.ErrUsage)
	}
	o = o.withDefaults()
	rc, err := rpc.DialOptions(ctx, endpoint, rpc.WithHTTPClient(newHTTPClient(o.Transport, o.Concurrency)))
	if err != nil {
		return nil, nil, fmt.Errorf("%w: the address of the endpoint at %s cannot be used", tracer.ErrUsage, u.Host)
	}
	return &client{
		rpc: rc, redact: newRedactor(u), timeout: o.Timeout,
		slots: make(chan struct{}, o.Concurrency), max: tries[classTransient],
	}, u, nil
}

// one does a single call and returns its error.
func (c *client) one(ctx context.Context, m *meter, method string, result any, args ...any) error {
	k := &call{method: method, args: args, decode: func(raw json.RawMessage) error { return decode(raw, result) }}
	c.do(ctx, m, []*call{k})
	return k.err
}

// do sends calls as one batch and sets the err of each. Calls that a retry can
// help are sent again, without the others.
func (c *client) do(ctx context.Context, m *meter, calls []*call) {
	pending := calls
	for _, k := range pending {
		k.err, k.tries = nil, 0
	}
	end := func(err error) error {
		for _, k := range pending {
			k.err = err
		}
		return backoff.Permanent(err)
	}
	delays := &backoff.ExponentialBackOff{InitialInterval: baseDelay, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: maxDelay}
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		if err := context.Cause(ctx); err != nil {
			return struct{}{}, end(err)
		}
		if !m.take(len(pending)) {
			return struct{}{}, end(errBudget)
		}
		wait := c.send(ctx, pending)
		if err := context.Cause(ctx); err != nil {
			return struct{}{}, end(err)
		}
		var again []*call
		var last error
		for _, k := range pending {
			ce, ok := errors.AsType[*callError](k.err)
			k.tries++
			if ok && k.tries < min(tries[ce.class], c.max) && wait <= patience {
				again = append(again, k)
				last = ce
			}
		}
		if pending = again; len(again) == 0 {
			return struct{}{}, nil
		}
		if wait > 0 {
			return struct{}{}, &backoff.RetryAfterError{Duration: wait}
		}
		return struct{}{}, last
	}, backoff.WithBackOff(delays), backoff.WithMaxElapsedTime(0))
	if err != nil && context.Cause(ctx) != nil {
		end(context.Cause(ctx)) // it ended while waiting for the next try
	}
}

// send sends calls once and sets the err of each. It returns how long the
// endpoint asked to wait.
func (c *client) send(ctx context.Context, calls []*call) time.Duration {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return 0
	}
	if !c.wait(ctx) {
		return 0
	}
	x := new(exchange)
	ctx, cancel := context.WithTimeoutCause(context.WithValue(ctx, exchangeKey{}, x), c.timeout, errTimeout)
	defer cancel()
	results := make([]json.RawMessage, len(calls))
	var errs []error
	if len(calls) == 1 {
		errs = []error{c.rpc.CallContext(ctx, &results[0], calls[0].method, calls[0].args...)}
	} else {
		batch := make([]rpc.BatchElem, len(calls))
		for i, k := range calls {
			batch[i] = rpc.BatchElem{Method: k.method, Args: k.args, Result: &results[i]}
		}
		whole := c.rpc.BatchCallContext(ctx, batch)
		errs = make([]error, len(calls))
		for i := range batch {
			if errs[i] = batch[i].Error; whole != nil {
				errs[i] = whole
			}
		}
	}
	var rate, refused bool
	for i, k := range calls {
		if k.err = nil; errs[i] == nil {
			if err := k.decode(results[i]); err != nil {
				k.err = &callError{class: classBad, method: k.method, text: c.redact.text(err.Error())}
			}
			continue
		}
		ce := c.redact.classify(k.method, len(calls), transportError(ctx, errs[i]), x)
		k.err = ce
		rate = rate || ce.class == classRate
		refused = refused || ce.class == classSize && len(calls) > 1
	}
	if refused {
		// Of a batch that is too large some nodes say so for one call only,
		// and leave out the others.
		for i, k := range calls {
			if errors.Is(errs[i], rpc.ErrMissingBatchResponse) {
				k.err = &callError{class: classSize, method: k.method}
			}
		}
	}
	if rate {
		c.mu.Lock()
		if at := time.Now().Add(min(max(x.retryAfter, rateDelay), patience)); at.After(c.pause) {
			c.pause = at
		}
		c.mu.Unlock()
	}
	return x.retryAfter
}

// wait waits until the endpoint may be asked again, and reports whether ctx
// still holds then.
func (c *client) wait(ctx context.Context) bool {
	for {
		c.mu.Lock()
		d := time.Until(c.pause)
		c.mu.Unlock()
		if d <= 0 {
			return ctx.Err() == nil
		}
		t := time.NewTimer(d)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return false
		}
	}
}
