package ethsource

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/rpc"
)

const (
	maxBody  = 64 << 20 // bytes of one answer after decompression; go-ethereum's client has no bound
	maxTries = 6
	minBatch = 20  // calls in the first request; some endpoints take no more, some none
	maxBatch = 100 // Erigon's and Bor's default
	longest  = 10 * time.Second
)

// client calls the nodes of a pool and tries again, of one or another, where
// that can help. No error of it holds an endpoint's address, which may hold a
// key.
type client struct {
	nodes   []*node
	secrets *strings.Replacer // of all nodes
	pause   func(context.Context, time.Duration) error
	// vouch asks a node that has failed whether it is still on the chain.
	vouch func(context.Context, *purse, *node) error
	once  bool // nothing is tried again
}

func dial(ctx context.Context, list []Endpoint, o Options) (*client, error) {
	if len(list) == 0 {
		return nil, fmt.Errorf("%w: no endpoint is named", tracer.ErrUsage)
	}
	urls := make([]*url.URL, len(list))
	for i, e := range list {
		u, err := parseURL(e.URL)
		if err != nil {
			return nil, err
		}
		urls[i] = u
	}
	c := &client{secrets: tracer.Scrubber(urls), pause: sleep}
	if o.Recorded {
		c.pause = func(ctx context.Context, _ time.Duration) error { return context.Cause(ctx) }
	}
	if o.pause != nil {
		c.pause = o.pause
	}
	for i, name := range names(urls) {
		n := &node{index: i, name: name, role: list[i].Role}
		if err := c.dial(ctx, urls[i], n, o); err != nil {
			return nil, err
		}
		c.nodes = append(c.nodes, n)
	}
	return c, nil
}

// only is a client of one of the nodes.
func (c *client) only(n *node) *client {
	return &client{nodes: []*node{n}, secrets: c.secrets, pause: c.pause}
}

func (c *client) scrub(s string) string { return c.secrets.Replace(s) }

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

// call makes one call; result reads its result, and starts over when the call
// is made again.
func (c *client) call(ctx context.Context, p *purse, probe bool, result func(*scanner) error, method string, args ...any) error {
	return c.again(ctx, p, probe, wanted(method, args), func(n *node) error {
		return n.post(ctx, result, method, args)
	})
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

// all makes many calls of one role, several in a request and, after the first,
// some requests at once. A refusal that stays ends it. A result that is null
// stays as it was.
func (c *client) all(ctx context.Context, p *purse, calls []rpc.BatchElem) error {
	return c.allOf(ctx, p, nil, calls)
}

func (c *client) allOf(ctx context.Context, p *purse, t *tour, calls []rpc.BatchElem) error {
	if len(calls) == 0 {
		return nil
	}
	w := wanted(calls[0].Method, calls[0].Args)
	w.tour = t
	n := min(len(calls), c.batchSize(w))
	if err := c.some(ctx, p, w, calls[:n]); err != nil {
		return err
	}
	rest := slices.Collect(slices.Chunk(calls[n:], c.batchSize(w)))
	return each(len(rest), func(i int) error { return c.some(ctx, p, w, rest[i]) })
}

// batchSize is how many calls the node takes that is asked next.
func (c *client) batchSize(w want) int {
	if n := c.pick(w, nil); n != nil {
		return n.batchSize()
	}
	return minBatch
}

// sure is all with a look at each result; those that check does not like are
// asked for again, of another node first. check is called by one goroutine.
func (c *client) sure(ctx context.Context, p *purse, calls []rpc.BatchElem, check func(i int) error) error {
	todo := make([]int, len(calls))
	for i := range todo {
		todo[i] = i
	}
	delays := newDelays()
	t := newTour()
	for try := 1; ; try++ {
		part := make([]rpc.BatchElem, len(todo))
		for k, i := range todo {
			part[k] = calls[i]
		}
		if err := c.allOf(ctx, p, t, part); err != nil {
			return err // it was tried often enough
		}
		var left []int
		var first error
		for _, i := range todo {
			if err := check(i); err != nil {
				left = append(left, i)
				first = cmp.Or(first, err)
			}
		}
		if first == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		todo = left
		e := c.classify(first)
		c.blame(t, e)
		if try >= c.mostOf(e) {
			return e
		}
		if try%len(c.nodes) > 0 { // there are others to ask
			continue
		}
		if err := c.wait(ctx, delays.NextBackOff(), e); err != nil {
			return err
		}
	}
}

// mostOf is how often an answer that is not what it should be is asked for.
func (c *client) mostOf(e *nodeError) int {
	most := e.most(false)
	if e.rotates() {
		most = max(most, len(c.nodes))
	}
	return most
}

// some makes calls in one request, and those that failed again: in smaller
// requests when the endpoint does not like this one.
func (c *client) some(ctx context.Context, p *purse, w want, todo []rpc.BatchElem) error {
	if len(todo) == 1 {
		e := &todo[0]
		w.method = e.Method
		return c.again(ctx, p, false, w, func(n *node) error {
			if err := n.post(ctx, into(e.Result), e.Method, e.Args); err != nil {
				return err
			}
			n.worked(1)
			return nil
		})
	}
	smaller := false
	w.calls = func() int { return len(todo) }
	err := c.again(ctx, p, false, w, func(n *node) error {
		for i := range todo {
			todo[i].Error = nil
		}
		noted := &note{batch: true}
		err := n.rpc.BatchCallContext(context.WithValue(ctx, noteKey{}, noted), todo)
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
			n.worked(len(todo))
			return nil
		}
		first.after = noted.wait
		if first.kind == kindBatch || first.kind == kindDense || first.kind == kindUnusable || first.kind == kindUnknown && err != nil {
			smaller = true
			n.tooBig(len(todo), first.kind)
			first = &nodeError{kind: kindOther, ill: first.kind == kindUnusable || first.kind == kindUnknown, text: first.text} // no pause
		}
		todo = left
		return first
	})
	if !smaller || err == nil || ctx.Err() != nil {
		return err
	}
	half := (len(todo) + 1) / 2
	if err := c.some(ctx, p, w, todo[:half]); err != nil || half == len(todo) {
		return err
	}
	return c.some(ctx, p, w, todo[half:])
}
