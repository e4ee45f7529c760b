package ethsource

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ethereum/go-ethereum/rpc"
	"golang.org/x/time/rate"
)

// A node is an endpoint of a client, and how it has behaved.
type node struct {
	c        *client
	index    int    // in the order given
	name     string // see [names]
	role     Role
	endpoint string
	http     *http.Client
	rpc      *rpc.Client
	rate     *rate.Limiter
	reads    chan struct{} // a place for each request under way
	body     int64         // the most bytes of an answer
	id       atomic.Int64

	mu      sync.Mutex
	batch   int             // calls in a request
	most    int             // the most calls that the endpoint may take
	broken  int             // answers to batches that were not usable, one after another
	resume  time.Time       // before then the endpoint wants to hear nothing
	strikes int             // refusals for the rate, one after another
	lacks   map[string]bool // methods that it does not offer
	denied  map[string]bool // those of them that it may offer to others
	can     Ability
	breaker
}

func (c *client) dial(ctx context.Context, u *url.URL, n *node, o Options) (err error) {
	reads := cmp.Or(max(o.Reads, 0), 4)
	next := http.DefaultTransport.(*http.Transport).Clone()
	next.MaxIdleConnsPerHost = reads
	n.c, n.endpoint, n.batch, n.most, n.body, n.lacks, n.denied = c, u.String(), minBatch, maxBatch, maxBody, make(map[string]bool), make(map[string]bool)
	n.rate, n.reads = rate.NewLimiter(rate.Inf, 0), make(chan struct{}, reads)
	var through http.RoundTripper = next
	if o.Wrap != nil {
		through = o.Wrap(n.name, next)
	}
	n.http = &http.Client{Transport: &transport{n, through}, Timeout: cmp.Or(o.Timeout, time.Minute),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if o.Limiter != nil {
		n.rate = o.Limiter
	} else if o.Rate > 0 {
		n.rate = rate.NewLimiter(rate.Limit(o.Rate), max(1, int(o.Rate)))
	}
	if n.rpc, err = rpc.DialOptions(ctx, n.endpoint, rpc.WithHTTPClient(n.http)); err != nil {
		return fmt.Errorf("connect to %s: the address is not usable", n.name)
	}
	return nil
}

// transport bounds answers, says who asks, and sees what go-ethereum's client
// drops: how long to wait, and answers to a batch that are none.
type transport struct {
	n    *node
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
	resp.Body = &capped{resp.Body, t.n.body}
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
		if e := t.n.c.refuseHTTP(0, text); e.kind != kindUnknown {
			return nil, e
		}
		return nil, t.n.c.unusable("it is not the list that answers a list")
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{body, resp.Body}
	return resp, nil
}

// turn waits until n calls may be made.
func (n *node) turn(ctx context.Context, calls int) error {
	n.mu.Lock()
	d := time.Until(n.resume)
	n.mu.Unlock()
	if err := n.c.wait(ctx, d, &nodeError{kind: kindRate, text: kindTexts[kindRate]}); err != nil {
		return err
	}
	r := n.rate.ReserveN(time.Now(), calls)
	if err := n.c.wait(ctx, r.Delay(), &nodeError{kind: kindRate, text: "the limit on requests per second holds the reading up"}); err != nil {
		r.Cancel()
		return err
	}
	select {
	case n.reads <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// enter pays for some calls and waits until they may be made.
func (n *node) enter(ctx context.Context, p *purse, calls int) error {
	if err := p.spend(ctx, calls); err != nil {
		return err
	}
	if err := n.turn(ctx, calls); err != nil {
		p.refund(calls)
		return err
	}
	p.spent.asked(n)
	return nil
}

func (n *node) leave() { <-n.reads }

// slow makes everybody wait after a refusal for the rate. Refusals of requests
// that were under way together count once.
func (n *node) slow(e *nodeError) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	if now.Before(n.resume) {
		return
	}
	d := min(250*time.Millisecond<<n.strikes, longest)
	d = d/2 + rand.N(d/2)
	n.strikes = min(n.strikes+1, 10)
	n.resume = now.Add(max(d, min(e.after, longestRest)))
}

// calm forgets refusals for the rate.
func (n *node) calm() {
	n.mu.Lock()
	n.strikes = 0
	n.mu.Unlock()
}

// post makes one request of one call. go-ethereum's client reads a body
// several times over; this one reads it once, as it comes.
func (n *node) post(ctx context.Context, result func(*scanner) error, method string, args []any) error {
	id := n.id.Add(1)
	body, err := json.Marshal(struct {
		Version string `json:"jsonrpc"`
		ID      int64  `json:"id"`
		Method  string `json:"method"`
		Params  []any  `json:"params"`
	}{"2.0", id, method, args})
	if err != nil {
		return err
	}
	noted := new(note)
	req, err := http.NewRequestWithContext(context.WithValue(ctx, noteKey{}, noted), http.MethodPost, n.endpoint, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	resp, err := n.http.Do(req)
	if err != nil {
		return err
	}
	defer func() {
		io.CopyN(io.Discard, resp.Body, scanBuffer) // so that the connection can be used again
		resp.Body.Close()
	}()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, scanBuffer))
		e := n.c.refuseHTTP(resp.StatusCode, text)
		e.after = noted.wait
		return e
	}
	n.calm()
	return n.c.envelope(newScanner(resp.Body), id, result)
}

func (n *node) batchSize() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.rate.Limit() == rate.Inf {
		return n.batch
	}
	return min(n.batch, n.rate.Burst())
}

// worked makes the next requests larger after one of some calls.
func (n *node) worked(calls int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.strikes, n.broken = 0, 0
	if calls >= n.batch {
		n.batch = min(2*n.batch, n.most)
	}
}

// tooBig makes the next requests smaller after one of some calls. An endpoint
// that says so gets no more of that size; one whose answers to lists are
// broken time and again gets no more lists.
func (n *node) tooBig(calls int, k kind) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch k {
	case kindBatch:
		n.most = min(n.most, max(calls/2, 1))
	case kindDense: // of these answers only
	default:
		if n.broken++; n.broken >= maxTries {
			n.most = 1
		}
	}
	n.batch = min(n.batch, max(calls/2, 1), n.most)
}
