package ethsource

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"scamtrace/tracer"
)

// maxBody caps an answer, after decompression: an endpoint is not trusted with
// this machine's memory. A whole answer of the largest log caps in use (150 MB
// at Alchemy) does not fit, and is asked for in halves.
const maxBody = 64 << 20

// maxHead is how much of an answer is kept to find out what an endpoint meant
// when the JSON-RPC client could not make sense of it.
const maxHead = 2 << 10

var (
	errBody    = errors.New("the answer is larger than 64 MB")
	errTimeout = errors.New("no answer in time")
)

// An exchange is what the transport saw of one HTTP request and the JSON-RPC
// client does not tell.
type exchange struct {
	retryAfter time.Duration
	head       []byte
}

type exchangeKey struct{}

// A transport is between the JSON-RPC client and the network.
type transport struct{ next http.RoundTripper }

func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("User-Agent", "scamtrace") // some endpoints refuse Go's own
	resp, err := t.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	x, _ := r.Context().Value(exchangeKey{}).(*exchange)
	if x == nil {
		x = new(exchange)
	}
	x.retryAfter = retryAfter(resp.Header.Get("Retry-After"), time.Now())
	resp.Body = &body{ReadCloser: resp.Body, left: maxBody, x: x}
	return resp, nil
}

// retryAfter reads the header: seconds, or a date.
func retryAfter(s string, now time.Time) time.Duration {
	if n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 32); err == nil {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(s); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// A body is an answer that ends with an error once it is too long.
type body struct {
	io.ReadCloser
	left int64
	x    *exchange
}

func (b *body) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errBody
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	if room := maxHead - len(b.x.head); room > 0 {
		b.x.head = append(b.x.head, p[:min(n, room)]...)
	}
	return n, err
}

// newHTTPClient returns a client that follows no redirects: a redirect would
// carry the key in the URL to somebody else, or the request to another chain.
func newHTTPClient(next http.RoundTripper, connections int) *http.Client {
	if next == nil {
		next = &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			ForceAttemptHTTP2:     true,
			MaxIdleConnsPerHost:   connections,
			IdleConnTimeout:       90 * time.Second,
			TLSHandshakeTimeout:   15 * time.Second,
			ExpectContinueTimeout: time.Second,
		}
	}
	return &http.Client{
		Transport:     &transport{next},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// A redactor removes what may be a key from texts. Keys are in the path, the
// query or the user part of an endpoint's URL, and servers repeat them.
type redactor struct{ r *strings.Replacer }

func newRedactor(u *url.URL) redactor {
	var secrets []string
	add := func(s string, least int) {
		if len(s) >= least {
			secrets = append(secrets, s, "…")
		}
	}
	add(u.String(), 1)
	add(u.RequestURI(), 8)
	for s := range strings.SplitSeq(u.EscapedPath(), "/") {
		add(s, 8)
	}
	for s := range strings.SplitSeq(u.Path, "/") {
		add(s, 8)
	}
	add(u.RawQuery, 4)
	for _, vs := range u.Query() {
		for _, v := range vs {
			add(v, 4)
		}
	}
	if p, ok := u.User.Password(); ok {
		add(p, 1)
	}
	add(u.User.Username(), 4)
	return redactor{strings.NewReplacer(secrets...)}
}

var anyURL = regexp.MustCompile(`(?i)\b[a-z]+://[^\s"']+`)

// text makes what an endpoint said safe to show.
func (r redactor) text(s string) string {
	return tracer.CleanText(anyURL.ReplaceAllString(r.r.Replace(s), "…"), 200)
}

// transportError takes the URL out of an error of the HTTP client.
func transportError(ctx context.Context, err error) error {
	if ctx.Err() != nil && context.Cause(ctx) == errTimeout {
		return errTimeout
	}
	if ue, ok := errors.AsType[*url.Error](err); ok {
		return ue.Err
	}
	return err
}
