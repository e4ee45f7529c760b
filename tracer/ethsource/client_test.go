package ethsource

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/rpc"
)

// A question is a call as a server gets it.
type question struct {
	ID     json.RawMessage   `json:"id"`
	Method string            `json:"method"`
	Params []json.RawMessage `json:"params"`
}

func (q *question) answer() string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":%s}`, q.ID, q.Params[0])
}

func (q *question) refuse(code int, text string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"error":{"code":%d,"message":%q}}`, q.ID, code, text)
}

// echo serves calls that answer with their first argument; batch writes the
// answer to several at once.
func echo(batch func(w http.ResponseWriter, qs []question)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		var qs []question
		if body[0] == '[' {
			json.Unmarshal(body, &qs)
			batch(w, qs)
			return
		}
		var q question
		json.Unmarshal(body, &q)
		io.WriteString(w, q.answer())
	}
}

func list(parts ...string) string { return "[" + strings.Join(parts, ",") + "]" }

func honest(w http.ResponseWriter, qs []question) {
	var parts []string
	for i := range qs {
		parts = append(parts, qs[i].answer())
	}
	io.WriteString(w, list(parts...))
}

// TestBatches makes 137 calls to endpoints that treat batches in their ways.
// All answers must come, and the endpoint must not be bothered for ever.
func TestBatches(t *testing.T) {
	object := func(text string) func(http.ResponseWriter, []question) {
		return func(w http.ResponseWriter, _ []question) { io.WriteString(w, text) }
	}
	atMost := func(n int, refuse func(w http.ResponseWriter, qs []question)) func(http.ResponseWriter, []question) {
		return func(w http.ResponseWriter, qs []question) {
			if len(qs) > n {
				refuse(w, qs)
				return
			}
			honest(w, qs)
		}
	}
	for _, tt := range []struct {
		name  string
		batch func(http.ResponseWriter, []question)
		most  int // requests for the second 137 calls
	}{
		{"takes them", honest, 2},
		{"in another order", func(w http.ResponseWriter, qs []question) {
			slices.Reverse(qs)
			honest(w, qs)
		}, 2},
		{"geth: only the first gets the error", atMost(10, func(w http.ResponseWriter, qs []question) {
			io.WriteString(w, list(qs[0].refuse(-32600, "batch too large")))
		}), 20},
		{"geth: the rest is too large", func(w http.ResponseWriter, qs []question) {
			var parts []string
			for i := range qs {
				if i < 8 {
					parts = append(parts, qs[i].answer())
				} else {
					parts = append(parts, qs[i].refuse(-32003, "response too large"))
				}
			}
			io.WriteString(w, list(parts...))
		}, 60},
		{"dRPC: no more than three", atMost(3, object(`{"jsonrpc":"2.0","id":null,"error":{"code":31,"message":"Batch of more than 3 requests are not allowed on free tier"}}`)), 137},
		{"one object for all", object(`{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"batch requests are not supported"}}`), 137},
		{"an object that says nothing", object(`{"jsonrpc":"2.0","id":1,"result":"0x1"}`), 137},
		{"a web page", object("<html><title>Checking your browser</title></html>"), 137},
		{"413", func(w http.ResponseWriter, _ []question) {
			http.Error(w, "payload too large", http.StatusRequestEntityTooLarge)
		}, 137},
		{"items are missing", func(w http.ResponseWriter, qs []question) { honest(w, qs[:len(qs)/2]) }, 137},
		{"wrong ids", func(w http.ResponseWriter, qs []question) {
			for i := range qs {
				qs[i].ID = json.RawMessage(`"x"`)
			}
			honest(w, qs)
		}, 137},
		{"truncated", func(w http.ResponseWriter, qs []question) {
			rec := httptest.NewRecorder()
			honest(rec, qs)
			w.Write(rec.Body.Bytes()[:rec.Body.Len()/2])
		}, 137},
		{"nothing", object(""), 137},
		{"nulls", object("[null,null]"), 137},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var mu sync.Mutex
			requests := 0
			h := echo(tt.batch)
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				requests++
				mu.Unlock()
				h(w, r)
			}))
			defer srv.Close()
			c := newClient(t, srv.URL)
			c.pause = func(context.Context, time.Duration) error { return nil }
			for round := range 3 {
				requests = 0
				var calls []rpc.BatchElem
				got := make([]int, 137)
				for i := range got {
					calls = append(calls, rpc.BatchElem{Method: "echo", Args: []any{i}, Result: &got[i]})
				}
				spent := new(counter)
				if err := c.all(t.Context(), newPurse(0, spent), calls); err != nil {
					t.Fatal(err)
				}
				for i := range got {
					if got[i] != i {
						t.Fatalf("call %d is answered with %d", i, got[i])
					}
				}
				if round == 2 && (requests > tt.most || tt.most > 100 && spent.count() > 200) {
					t.Errorf("%d requests and %d calls, want at most %d", requests, spent.count(), tt.most)
				}
			}
		})
	}
}

// TestSingle has what an endpoint may answer to one call.
func TestSingle(t *testing.T) {
	var reply func(w http.ResponseWriter, q question)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var q question
		json.Unmarshal(body, &q)
		if got := r.Header.Get("User-Agent"); got != "scamtrace" {
			t.Errorf("User-Agent: %s", got)
		}
		reply(w, q)
	}))
	defer srv.Close()
	text := func(format string) func(http.ResponseWriter, question) {
		return func(w http.ResponseWriter, q question) {
			io.WriteString(w, strings.ReplaceAll(format, "ID", string(q.ID)))
		}
	}
	for _, tt := range []struct {
		name  string
		reply func(http.ResponseWriter, question)
		kind  kind
		says  string
	}{
		{"fine", text(`{"jsonrpc":"2.0","id":ID,"result":7}`), 0, ""},
		{"the id last, and a null error", text(`{"result":7,"error":null,"x":{"y":[1]},"jsonrpc":"2.0","id":ID}`), 0, ""},
		{"another id", text(`{"jsonrpc":"2.0","id":99999,"result":7}`), kindUnusable, "another question"},
		{"no id", text(`{"jsonrpc":"2.0","result":7}`), kindUnusable, "another question"},
		{"no result", text(`{"jsonrpc":"2.0","id":ID}`), kindUnusable, "no result"},
		{"an error", text(`{"jsonrpc":"2.0","id":ID,"error":{"code":-32000,"message":"missing trie node"}}`), kindPruned, "missing trie node"},
		{"an error without an id", text(`{"jsonrpc":"2.0","id":null,"error":{"code":-32601,"message":"no"}}`), kindMissing, "no"},
		{"an error that is a text", text(`{"id":ID,"error":"rate limit"}`), kindRate, "rate limit"},
		{"a list", text(`[{"jsonrpc":"2.0","id":ID,"result":7}]`), kindUnusable, "not valid JSON"},
		{"a web page", text(`<html></html>`), kindTransient, "web page"},
		{"nothing", text(``), kindUnusable, "EOF"},
		{"half", text(`{"jsonrpc":"2.0","id":ID,"res`), kindUnusable, "EOF"},
		{"a number that is none", text(`{"jsonrpc":"2.0","id":ID,"result":"seven"}`), kindUnusable, "cannot unmarshal"},
		{"400 with JSON", func(w http.ResponseWriter, q question) {
			w.WriteHeader(400)
			io.WriteString(w, q.refuse(-32600, "query returned more than 10000 results"))
		}, kindDense, "10000 results"},
		{"401", func(w http.ResponseWriter, _ question) { w.WriteHeader(401) }, kindDenied, "status 401"},
		{"a redirect", func(w http.ResponseWriter, _ question) {
			w.Header().Set("Location", "http://127.0.0.1:1/elsewhere")
			w.WriteHeader(307)
		}, kindOther, "has moved"},
		{"502 with a web page", func(w http.ResponseWriter, _ question) {
			w.WriteHeader(502)
			io.WriteString(w, "<html>block range too large</html>")
		}, kindTransient, "status 502"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			reply = tt.reply
			c := newClient(t, srv.URL)
			c.pause = func(context.Context, time.Duration) error { return nil }
			var got int
			err := c.one(t.Context(), newPurse(0, new(counter)), &got, "echo", 7)
			if tt.says == "" {
				if err != nil || got != 7 {
					t.Errorf("got %d, %v", got, err)
				}
				return
			}
			e, ok := errors.AsType[*nodeError](err)
			if !ok || e.kind != tt.kind || !strings.Contains(e.text, tt.says) {
				t.Errorf("%#v, want kind %d and %q", err, tt.kind, tt.says)
			}
		})
	}
}

// TestBomb has an answer that is small on the wire and without end unpacked.
func TestBomb(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		defer z.Close()
		zeros := bytes.Repeat([]byte("0"), 1<<20)
		open := `{"jsonrpc":"2.0","id":1,"result":"0x`
		if body[0] == '[' {
			open = "[" + open
		}
		io.WriteString(z, open)
		for range 100 {
			if _, err := z.Write(zeros); err != nil {
				return
			}
		}
	}))
	defer srv.Close()
	c := newClient(t, srv.URL)
	if c.nodes[0].body != maxBody {
		t.Errorf("answers are cut at %d bytes, want %d", c.nodes[0].body, maxBody)
	}
	c.nodes[0].body = 3 << 20
	c.pause = func(context.Context, time.Duration) error { return nil }
	var got string
	err := c.one(t.Context(), newPurse(0, new(counter)), &got, "echo", 7)
	if e, ok := errors.AsType[*nodeError](err); !ok || e.kind != kindDense || !strings.Contains(e.text, "too large") {
		t.Errorf("one call: %v", err)
	}
	calls := []rpc.BatchElem{{Method: "echo", Args: []any{1}, Result: &got}, {Method: "echo", Args: []any{1}, Result: &got}}
	err = c.all(t.Context(), newPurse(0, new(counter)), calls)
	if e, ok := errors.AsType[*nodeError](err); !ok || !strings.Contains(e.text, "too large") {
		t.Errorf("a batch: %v", err)
	}
}

// TestCapped reads up to the limit and not a byte more.
func TestCapped(t *testing.T) {
	for n, want := range map[int64]error{10: nil, 11: nil, 9: errTooLarge, 0: errTooLarge} {
		got, err := io.ReadAll(&capped{io.NopCloser(strings.NewReader("0123456789")), n})
		if !errors.Is(err, want) || want == nil && len(got) != 10 {
			t.Errorf("capped at %d: %q, %v", n, got, err)
		}
	}
}

// TestNoKey asks an endpoint whose address has keys in all places, on all ways
// to fail, and looks for the keys in what is said.
func TestNoKey(t *testing.T) {
	var reply http.HandlerFunc
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { reply(w, r) }))
	defer srv.Close()
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	const keys = "secretuser secretpass secretpath secretquery"
	address := func(base string) string {
		return strings.Replace(base, "http://", "http://secretuser:secretpass@", 1) + "/v2/secretpath?apikey=secretquery"
	}
	tell := func(status int, format string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			var q question
			json.Unmarshal(body, &q)
			user, pass, _ := r.BasicAuth()
			w.WriteHeader(status)
			fmt.Fprintf(w, strings.ReplaceAll(format, "ID", string(q.ID)), fmt.Sprintf("%s %s:%s %s %s", r.URL.String(), user, pass, r.RequestURI, keys))
		}
	}
	var many []string
	for _, k := range []int{200, 301, 307, 400, 401, 402, 403, 404, 413, 429, 500, 502, 503} {
		many = append(many, fmt.Sprint(k))
	}
	check := func(t *testing.T, c *client) {
		t.Helper()
		c.pause = func(context.Context, time.Duration) error { return nil }
		var got any
		for _, err := range []error{
			c.one(t.Context(), newPurse(0, new(counter)), &got, "eth_call", 1),
			c.all(t.Context(), newPurse(0, new(counter)), []rpc.BatchElem{{Method: "a", Args: []any{1}, Result: &got}, {Method: "b", Args: []any{1}, Result: &got}}),
		} {
			if err == nil {
				t.Error("no error")
				continue
			}
			if s := fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(strings.ToLower(s), "secret") {
				t.Errorf("%s", s)
			}
		}
	}
	for _, status := range many {
		for _, format := range []string{`%s`, `{"jsonrpc":"2.0","id":ID,"error":{"code":-32000,"message":"%s"}}`, `{"id":ID,"error":{"code":-1,"message":"x","data":"%s"}}`, `{"id":ID,"error":"%s"}`, `<html>%s</html>`, `{"id":ID,"result":%s}`, `{"id":"%s","result":1}`, `[{"id":ID,"error":{"message":"%s"}}]`} {
			t.Run(status+" "+format, func(t *testing.T) {
				var n int
				fmt.Sscan(status, &n)
				reply = tell(n, format)
				check(t, newClient(t, address(srv.URL)))
			})
		}
	}
	t.Run("cut", func(t *testing.T) {
		reply = func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
		check(t, newClient(t, address(srv.URL)))
	})
	t.Run("refused", func(t *testing.T) { check(t, newClient(t, address(closed.URL))) })
	t.Run("no such host", func(t *testing.T) { check(t, newClient(t, address("http://no-such-host.invalid"))) })
	t.Run("no TLS", func(t *testing.T) {
		reply = tell(200, "%s")
		check(t, newClient(t, strings.Replace(address(srv.URL), "http://", "https://", 1)))
	})
	t.Run("no port", func(t *testing.T) { check(t, newClient(t, address("http://127.0.0.1:99999"))) })
	t.Run("an address that is none", func(t *testing.T) {
		for _, bad := range []string{"ftp://secretuser:secretpass@h/secretpath", "http://[::1/secretpath", "http://h:port/secretpath", "http://%zz/secretpath", "secretpath", "http://h/%zz?secretquery", "http://h\x00/secretpath"} {
			_, err := dial(t.Context(), one(bad), Options{})
			if !errors.Is(err, tracer.ErrUsage) || strings.Contains(err.Error(), "secret") {
				t.Errorf("dial(%q) says %v", bad, err)
			}
		}
	})
	t.Run("Open", func(t *testing.T) {
		reply = tell(200, `{"id":ID,"error":{"code":-1,"message":"%s"}}`)
		o := Options{pause: func(context.Context, time.Duration) error { return nil }}
		if _, err := Open(t.Context(), tracer.Chain{ID: 1, Title: "x"}, address(srv.URL), o); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("Open says %v", err)
		}
	})
}

// pipe is a transport that answers without a network, so that time in a test
// bubble can pass.
type pipe func(*http.Request) (*http.Response, error)

func (p pipe) RoundTrip(r *http.Request) (*http.Response, error) { return p(r) }

func reply(status int, body string, header ...string) *http.Response {
	h := make(http.Header)
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Status: fmt.Sprint(status), Header: h, Body: io.NopCloser(strings.NewReader(body)), ContentLength: -1, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
}

func piped(t *testing.T, o Options, p func(q question, n int) *http.Response) *client {
	t.Helper()
	c, err := dial(t.Context(), one("http://127.0.0.1:1"), o)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	var mu sync.Mutex
	c.nodes[0].http.Transport = &transport{c.nodes[0], pipe(func(r *http.Request) (*http.Response, error) {
		body, _ := io.ReadAll(r.Body)
		var q question
		json.Unmarshal(body, &q)
		mu.Lock()
		n++
		k := n
		mu.Unlock()
		return p(q, k), nil
	})}
	return c
}

// TestWaits measures, in a time of its own, how long the client waits.
func TestWaits(t *testing.T) {
	fail := func(times, status int, header ...string) func(question, int) *http.Response {
		return func(q question, n int) *http.Response {
			if n <= times {
				return reply(status, "", header...)
			}
			return reply(200, q.answer())
		}
	}
	for _, tt := range []struct {
		name        string
		p           func(question, int) *http.Response
		least, most time.Duration
		fails       bool
	}{
		{"nothing fails", fail(0, 500), 0, 0, false},
		{"a failure", fail(1, 500), 100 * time.Millisecond, 400 * time.Millisecond, false},
		{"failures", fail(4, 503), 1500 * time.Millisecond, 6 * time.Second, false},
		{"failures without end", fail(99, 503), 3 * time.Second, 12 * time.Second, true},
		{"a rate", fail(1, 429), 100 * time.Millisecond, 300 * time.Millisecond, false},
		{"rates", fail(5, 429), 3 * time.Second, 8 * time.Second, false},
		{"Retry-After", fail(1, 429, "Retry-After", "7"), 7 * time.Second, 8 * time.Second, false},
		{"Retry-After of a failure", fail(1, 503, "Retry-After", "30"), 30 * time.Second, 31 * time.Second, false},
		{"a refusal", fail(99, 401), 0, 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := piped(t, Options{}, tt.p)
				var got int
				start := time.Now()
				err := c.one(t.Context(), newPurse(0, new(counter)), &got, "echo", 7)
				took := time.Since(start)
				if (err != nil) != tt.fails || took < tt.least || took > tt.most {
					t.Errorf("after %v: %v; want between %v and %v", took, err, tt.least, tt.most)
				}
				c.nodes[0].rpc.Close()
			})
		})
	}
}

// TestDate reads a Retry-After that is a date.
func TestDate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := piped(t, Options{}, func(q question, n int) *http.Response {
			if n == 1 {
				return reply(429, "", "Retry-After", time.Now().UTC().Add(42*time.Second).Format(http.TimeFormat))
			}
			return reply(200, q.answer())
		})
		start := time.Now()
		var got int
		err := c.one(t.Context(), newPurse(0, new(counter)), &got, "echo", 7)
		if took := time.Since(start); err != nil || took < 41*time.Second || took > 43*time.Second {
			t.Errorf("after %v: %v", took, err)
		}
		c.nodes[0].rpc.Close()
	})
}

// TestDeadline gives up at once when the wait would take longer than there is
// time, and says why.
func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := piped(t, Options{}, func(question, int) *http.Response { return reply(429, "", "Retry-After", "60") })
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		start := time.Now()
		var got int
		err := c.one(ctx, newPurse(0, new(counter)), &got, "echo", 7)
		e, ok := errors.AsType[*nodeError](err)
		if took := time.Since(start); !ok || !e.late || took > time.Second || !strings.Contains(e.text, "no time left") {
			t.Errorf("after %v: %v", took, err)
		}
		if r := reason(tracer.PartAll, err); r != tracer.ReasonStopped {
			t.Errorf("the reason is %s", r)
		}
		c.nodes[0].rpc.Close()
	})
}

// TestRate holds the calls in a second to the limit, batches included.
func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var at []time.Time
		c := piped(t, Options{Rate: 25, Reads: 16}, func(q question, _ int) *http.Response {
			mu.Lock()
			at = append(at, time.Now())
			mu.Unlock()
			return reply(200, q.answer())
		})
		start := time.Now()
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				var got int
				if err := c.one(t.Context(), newPurse(0, new(counter)), &got, "echo", i); err != nil || got != i {
					t.Errorf("call %d is answered with %d, %v", i, got, err)
				}
			})
		}
		wg.Wait()
		if took := time.Since(start); took < 6900*time.Millisecond || took > 7100*time.Millisecond {
			t.Errorf("200 calls at 25 a second, the first 25 at once, take %v, want 7 s", took)
		}
		for _, first := range at {
			n := 0
			for _, x := range at {
				if d := x.Sub(first); d >= 0 && d < time.Second {
					n++
				}
			}
			if n > 50 {
				t.Errorf("%d calls in one second", n)
			}
		}
		c.nodes[0].rpc.Close()
	})
}

// TestReadsAtOnce counts the requests that are under way.
func TestReadsAtOnce(t *testing.T) {
	for _, reads := range []int{1, 3, 16} {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			now, most := 0, 0
			c := piped(t, Options{Reads: reads}, nil)
			c.nodes[0].http.Transport = &transport{c.nodes[0], pipe(func(r *http.Request) (*http.Response, error) {
				body, _ := io.ReadAll(r.Body)
				var q question
				json.Unmarshal(body, &q)
				mu.Lock()
				now++
				most = max(most, now)
				mu.Unlock()
				time.Sleep(time.Second)
				mu.Lock()
				now--
				mu.Unlock()
				return reply(200, q.answer()), nil
			})}
			var wg sync.WaitGroup
			for i := range 50 {
				wg.Go(func() {
					var got int
					c.one(t.Context(), newPurse(0, new(counter)), &got, "echo", i)
				})
			}
			wg.Wait()
			if most != reads {
				t.Errorf("%d requests at once, want %d", most, reads)
			}
			c.nodes[0].rpc.Close()
		})
	}
}

// TestTimeout cuts an endpoint that does not answer, and one that does so byte
// by byte.
func TestTimeout(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/drip" {
			for range 1000 {
				if _, err := io.WriteString(w, " "); err != nil {
					return
				}
				w.(http.Flusher).Flush()
				select {
				case <-time.After(5 * time.Millisecond):
				case <-r.Context().Done():
					return
				}
			}
		}
		<-r.Context().Done()
	})}
	go srv.Serve(l)
	defer srv.Close()
	for _, path := range []string{"/stall", "/drip"} {
		c, err := dial(t.Context(), one("http://"+l.Addr().String()+path), Options{Timeout: 50 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		c.pause = func(context.Context, time.Duration) error { return nil }
		var got int
		start := time.Now()
		err = c.one(t.Context(), newPurse(0, new(counter)), &got, "echo", 7)
		if e, ok := errors.AsType[*nodeError](err); !ok || e.kind != kindUnknown && e.kind != kindTransient {
			t.Errorf("%s after %v: %v", path, time.Since(start), err)
		}
	}
}

// FuzzEnvelope reads whatever comes in place of an answer.
func FuzzEnvelope(f *testing.F) {
	for _, s := range []string{`{"jsonrpc":"2.0","id":1,"result":[]}`, `{"id":1,"error":{"code":-32005,"message":"limit exceeded","data":{"from":"0x1"}}}`, `{"result":null,"id":1}`, `{"error":"x"}`, `{"error":[1]}`, `<html>`, ``, `[]`, `{"id":1,"result":[` + sampleLog + `]}`} {
		f.Add([]byte(s))
	}
	c := newClient(f, "http://127.0.0.1:1")
	f.Fuzz(func(t *testing.T, in []byte) {
		n := 0
		err := c.envelope(newScanner(strings.NewReader(string(in))), 1, func(s *scanner) error {
			return s.logs(func(*log) error { n++; return nil })
		})
		var out struct {
			ID     json.RawMessage
			Result json.RawMessage
			Error  json.RawMessage
		}
		if err == nil {
			if e := json.NewDecoder(strings.NewReader(string(in))).Decode(&out); e != nil || string(out.ID) != "1" {
				t.Errorf("%q is taken for an answer with %d logs: %v", in, n, e)
			}
		} else if e := c.classify(err); int(e.kind) >= len(kindTexts) {
			t.Errorf("%q: %v", in, err)
		}
	})
}
