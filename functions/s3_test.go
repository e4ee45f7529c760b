package functions

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"scamtrace/graphstore"
	"scamtrace/graphstore/buckettest"
)

func TestS3(t *testing.T) {
	t.Run("in memory", func(t *testing.T) {
		endpoint := serve(t, fakeS3())
		buckettest.Test(t, func(t *testing.T) graphstore.Bucket { return newBucket(t, endpoint) })
	})
	t.Run("versitygw", func(t *testing.T) {
		endpoint := versitygw(t)
		buckettest.Test(t, func(t *testing.T) graphstore.Bucket { return newBucket(t, endpoint) })
		buckettest.TestLinks(t, func(t *testing.T, now func() time.Time) graphstore.Bucket {
			b := newBucket(t, endpoint)
			b.Now = now
			return b
		})
	})
}

// A fault is what happens to one request instead of the server's answer.
type fault func(w http.ResponseWriter, r *http.Request, server http.Handler)

// A faulty server has faults before it: each request takes the first that is
// left for its method. The last one of a method that ends in "*" stays.
type faulty struct {
	server http.Handler

	mu     sync.Mutex
	faults map[string][]fault
	asked  map[string]int
}

func (f *faulty) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.asked[r.Method]++
	serve := fault(passed)
	if left := f.faults[r.Method]; len(left) > 0 {
		serve, f.faults[r.Method] = left[0], left[1:]
	} else if always := f.faults[r.Method+"*"]; len(always) > 0 {
		serve = always[0]
	}
	f.mu.Unlock()
	serve(w, r, f.server)
}

func passed(w http.ResponseWriter, r *http.Request, server http.Handler) { server.ServeHTTP(w, r) }

// neverArrives is a connection that breaks before the server has the request.
func neverArrives(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) }

// answerLost is a connection that breaks after the server has done what was asked.
func answerLost(_ http.ResponseWriter, r *http.Request, server http.Handler) {
	server.ServeHTTP(httptest.NewRecorder(), r)
	panic(http.ErrAbortHandler)
}

// answerLostThen is answerLost, and something happens before anybody asks again.
func answerLostThen(then func()) fault {
	return func(_ http.ResponseWriter, r *http.Request, server http.Handler) {
		server.ServeHTTP(httptest.NewRecorder(), r)
		then()
		panic(http.ErrAbortHandler)
	}
}

// refused is an error of S3.
func refused(status int, code string) fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		fmt.Fprintf(w, "<Error><Code>%s</Code><Message>no</Message></Error>", code)
	}
}

var (
	slowDown = refused(503, "SlowDown")
	conflict = refused(409, "ConditionalRequestConflict")
	expired  = refused(400, "ExpiredToken")
	denied   = refused(403, "AccessDenied")
)

// spoiled is the server's answer with another body.
func spoiled(spoil func(body []byte) []byte) fault {
	return func(w http.ResponseWriter, r *http.Request, server http.Handler) {
		rec := httptest.NewRecorder()
		server.ServeHTTP(rec, r)
		maps.Copy(w.Header(), rec.Header())
		w.Header().Set("Content-Length", strconv.Itoa(rec.Body.Len()))
		w.WriteHeader(rec.Code)
		w.Write(spoil(rec.Body.Bytes()))
	}
}

var (
	cut     = spoiled(func(body []byte) []byte { return body[:len(body)/2] })
	flipped = spoiled(func(body []byte) []byte { body[0] ^= 1; return body })
)

func TestS3Faults(t *testing.T) {
	const key, other = "a/key", "another writer's"
	anyError := errors.New("an error that says nothing about the object")
	create := func(t *testing.T, b *S3, _ string) (string, error) { return b.Create(t.Context(), key, []byte("new")) }
	replace := func(t *testing.T, b *S3, tag string) (string, error) {
		return b.Replace(t.Context(), key, []byte("new"), tag)
	}
	get := func(t *testing.T, b *S3, _ string) (string, error) {
		data, tag, err := b.Get(t.Context(), key)
		if err == nil && string(data) != "old" {
			t.Errorf("read %q", data)
		}
		return tag, err
	}
	remove := func(t *testing.T, b *S3, _ string) (string, error) { return "", b.Delete(t.Context(), key) }

	for _, tt := range []struct {
		name   string
		old    bool // the object is there before
		do     func(t *testing.T, b *S3, tag string) (string, error)
		faults map[string][]fault
		want   error          // nil, one of the sentinels, or anyError
		left   string         // the object afterwards; "" for none
		asked  map[string]int // requests it takes; for retries that must, or must not, be made
	}{
		{name: "create: throttled, then done", do: create, faults: map[string][]fault{"PUT": {slowDown, slowDown}}, left: "new", asked: map[string]int{"PUT": 3}},
		{name: "create: always throttled", do: create, faults: map[string][]fault{"PUT*": {slowDown}}, want: anyError, asked: map[string]int{"PUT": 5}},
		{name: "create: conflict, then done", do: create, faults: map[string][]fault{"PUT": {conflict, conflict}}, left: "new", asked: map[string]int{"PUT": 3}},
		{name: "create: always conflict", do: create, faults: map[string][]fault{"PUT*": {conflict}}, want: anyError, asked: map[string]int{"PUT": 5}},
		{name: "create: conflict with one who was first", old: true, do: create, faults: map[string][]fault{"PUT": {conflict}}, want: graphstore.ErrExists, left: "old"},
		{name: "create: never arrives", do: create, faults: map[string][]fault{"PUT*": {neverArrives}}, want: anyError},
		{name: "create: done, answer lost", do: create, faults: map[string][]fault{"PUT": {answerLost}}, left: "new", asked: map[string]int{"PUT": 2, "HEAD": 1}},
		{name: "create: done, all answers lost", do: create, faults: map[string][]fault{"PUT*": {answerLost}}, left: "new", asked: map[string]int{"PUT": 5, "HEAD": 1}},
		{name: "create: done, answer lost, cannot read back", do: create, faults: map[string][]fault{"PUT": {answerLost}, "HEAD*": {slowDown}}, want: anyError, left: "new"},
		{name: "create: another was first, answer lost", old: true, do: create, faults: map[string][]fault{"PUT": {answerLost}}, want: graphstore.ErrExists, left: "old"},
		{name: "create: another was first, cannot read back", old: true, do: create, faults: map[string][]fault{"HEAD*": {denied}}, want: anyError, left: "old"},
		{name: "create: credentials expired", do: create, faults: map[string][]fault{"PUT*": {expired}, "HEAD*": {expired}}, want: anyError, asked: map[string]int{"PUT": 1}},
		{name: "create: not allowed", old: true, do: create, faults: map[string][]fault{"PUT*": {denied}}, want: anyError, left: "old", asked: map[string]int{"PUT": 1}},

		{name: "replace: throttled, then done", old: true, do: replace, faults: map[string][]fault{"PUT": {slowDown}}, left: "new"},
		{name: "replace: conflict, then done", old: true, do: replace, faults: map[string][]fault{"PUT": {conflict}}, left: "new"},
		{name: "replace: always conflict", old: true, do: replace, faults: map[string][]fault{"PUT*": {conflict}}, want: anyError, left: "old"},
		{name: "replace: done, answer lost", old: true, do: replace, faults: map[string][]fault{"PUT": {answerLost}}, left: "new", asked: map[string]int{"PUT": 2, "HEAD": 1}},
		{name: "replace: done, all answers lost", old: true, do: replace, faults: map[string][]fault{"PUT*": {answerLost}}, left: "new"},
		{name: "replace: done, answer lost, cannot read back", old: true, do: replace, faults: map[string][]fault{"PUT": {answerLost}, "HEAD*": {denied}}, want: anyError, left: "new"},
		{name: "replace: never arrives", old: true, do: replace, faults: map[string][]fault{"PUT*": {neverArrives}}, want: anyError, left: "old"},
		{name: "replace: gone, as S3 says it", do: replace, faults: map[string][]fault{"PUT": {refused(404, "NoSuchKey")}}, want: graphstore.ErrChanged},
		{name: "replace: no such bucket", do: replace, faults: map[string][]fault{"PUT": {refused(404, "NoSuchBucket")}}, want: anyError},

		{name: "get: throttled, then read", old: true, do: get, faults: map[string][]fault{"GET": {slowDown, neverArrives}}, left: "old"},
		{name: "get: half an answer, then read", old: true, do: get, faults: map[string][]fault{"GET": {cut, cut}}, left: "old", asked: map[string]int{"GET": 3}},
		{name: "get: always half an answer", old: true, do: get, faults: map[string][]fault{"GET*": {cut}}, want: anyError, left: "-", asked: map[string]int{"GET": 3}},
		{name: "get: a bit flipped, then read", old: true, do: get, faults: map[string][]fault{"GET": {flipped}}, left: "old", asked: map[string]int{"GET": 2}},
		{name: "get: always a bit flipped", old: true, do: get, faults: map[string][]fault{"GET*": {flipped}}, want: anyError, left: "-"},
		{name: "get: nothing there", do: get, want: fs.ErrNotExist, asked: map[string]int{"GET": 1}},
		{name: "get: no such bucket", do: get, faults: map[string][]fault{"GET": {refused(404, "NoSuchBucket")}}, want: anyError},
		{name: "get: not allowed", do: get, faults: map[string][]fault{"GET": {denied}}, want: anyError},
		{name: "get: credentials expired", do: get, faults: map[string][]fault{"GET": {expired}}, want: anyError},

		{name: "delete: done, answer lost", old: true, do: remove, faults: map[string][]fault{"DELETE": {answerLost}}, asked: map[string]int{"DELETE": 2}},
		{name: "delete: always throttled", old: true, do: remove, faults: map[string][]fault{"DELETE*": {slowDown}}, want: anyError, left: "old"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := &faulty{server: fakeS3()}
			direct := newBucket(t, serve(t, server.server))
			b := NewS3(awsAt(t, "S3", serve(t, server)), direct.bucket)
			tag := `"0123456789abcdef"`
			if tt.old {
				var err error
				if tag, err = direct.Create(t.Context(), key, []byte("old")); err != nil {
					t.Fatal(err)
				}
			}
			server.faults, server.asked = tt.faults, map[string]int{}

			got, err := tt.do(t, b, tag)
			switch {
			case tt.want == anyError:
				if err == nil || isOutcome(err) {
					t.Errorf("error %v, want one that says nothing about the object", err)
				}
			case !errors.Is(err, tt.want):
				t.Errorf("error %v, want %v", err, tt.want)
			}
			for method, n := range tt.asked {
				if server.asked[method] != n {
					t.Errorf("%d requests to %s, want %d", server.asked[method], method, n)
				}
			}
			server.faults = nil
			data, tag, getErr := direct.Get(t.Context(), key)
			switch {
			case tt.left == "-":
			case tt.left == "" && !errors.Is(getErr, fs.ErrNotExist), tt.left != "" && string(data) != tt.left:
				t.Errorf("the object is %q, %v, want %q", data, getErr, tt.left)
			case err == nil && tag != got:
				t.Errorf("tag %q, want %q", got, tag)
			}
		})
	}

	// A write that was done, and over which another wrote before its maker
	// could see, has changed: the maker must look again.
	t.Run("replace: done, answer lost, replaced again", func(t *testing.T) {
		server := &faulty{server: fakeS3(), asked: map[string]int{}}
		direct := newBucket(t, serve(t, server.server))
		b := NewS3(awsAt(t, "S3", serve(t, server)), direct.bucket)
		tag, err := direct.Create(t.Context(), key, []byte("old"))
		if err != nil {
			t.Fatal(err)
		}
		server.faults = map[string][]fault{"PUT": {answerLostThen(func() {
			data, tag, err := direct.Get(t.Context(), key)
			if err != nil || string(data) != "new" {
				t.Errorf("the other reads %q, %v", data, err)
			}
			if _, err := direct.Replace(t.Context(), key, []byte(other), tag); err != nil {
				t.Error(err)
			}
		})}}
		if _, err := b.Replace(t.Context(), key, []byte("new"), tag); !errors.Is(err, graphstore.ErrChanged) {
			t.Errorf("Replace: %v, want ErrChanged", err)
		}
		if data, _, err := direct.Get(t.Context(), key); err != nil || string(data) != other {
			t.Errorf("the object is %q, %v, want %q", data, err, other)
		}
	})

	t.Run("list: second page", func(t *testing.T) {
		server := &faulty{server: fakeS3(), asked: map[string]int{}}
		b := newBucket(t, serve(t, server))
		var want []string
		for i := range 1100 {
			want = append(want, fmt.Sprintf("k/%04d", i))
			if _, err := b.Create(t.Context(), want[i], nil); err != nil {
				t.Fatal(err)
			}
		}
		for _, tt := range []struct {
			faults map[string][]fault
			keys   int
			fails  bool
		}{
			{map[string][]fault{"GET": {neverArrives, passed, slowDown, cut}}, 1100, false},
			{map[string][]fault{"GET": {passed}, "GET*": {slowDown}}, 1000, true},
		} {
			server.faults = tt.faults
			var got []string
			var failed error
			for key, err := range b.List(t.Context(), "k/", "") {
				if failed = err; err == nil {
					got = append(got, key)
				}
			}
			if !slices.Equal(got, want[:tt.keys]) || (failed != nil) != tt.fails {
				t.Errorf("%d keys, %v, want %d", len(got), failed, tt.keys)
			}
		}
	})

	t.Run("get: too big", func(t *testing.T) {
		b := NewS3(awsAt(t, "S3", serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(graphstore.MaxObject+1))
			w.WriteHeader(200)
		}))), "bucket")
		if _, _, err := b.Get(t.Context(), key); err == nil || !strings.Contains(err.Error(), "at most") {
			t.Errorf("Get of an object that is too big: %v", err)
		}
	})
}

func isOutcome(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, graphstore.ErrExists) || errors.Is(err, graphstore.ErrChanged)
}

// TestAWSSilence has a server that takes a request and says nothing, as one
// does whose connection died while the function was frozen.
func TestAWSSilence(t *testing.T) {
	cfg, err := LoadAWS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	client := cfg.HTTPClient.(*awshttp.BuildableClient)
	if got := client.GetTransport().ResponseHeaderTimeout; got <= 0 || got > time.Minute {
		t.Errorf("a silent server is waited for %v", got)
	}

	server := &faulty{server: fakeS3(), asked: map[string]int{}}
	direct := newBucket(t, serve(t, server.server))
	cfg = awsAt(t, "S3", serve(t, server))
	cfg.HTTPClient = client.WithTransportOptions(func(tr *http.Transport) { tr.ResponseHeaderTimeout = time.Second / 4 })
	silent := func(w http.ResponseWriter, r *http.Request, server http.Handler) {
		server.ServeHTTP(httptest.NewRecorder(), r)
		<-r.Context().Done()
	}
	server.faults = map[string][]fault{"PUT": {silent}, "GET": {silent}}
	b := NewS3(cfg, direct.bucket)
	if _, err := b.Create(t.Context(), "k", []byte("new")); err != nil {
		t.Error(err)
	}
	if data, _, err := b.Get(t.Context(), "k"); err != nil || string(data) != "new" {
		t.Errorf("Get = %q, %v", data, err)
	}
}

// TestS3Checksum checks that what is written has its checksum with it, in a form
// that every server knows, also over TLS.
func TestS3Checksum(t *testing.T) {
	var header http.Header
	var body []byte
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			t.Error(err)
		}
		header = r.Header
		w.Header().Set("ETag", `"tag"`)
	}))
	t.Cleanup(server.Close)
	cfg := awsAt(t, "S3", server.URL)
	cfg.HTTPClient = server.Client()
	if _, err := NewS3(cfg, "bucket").Create(t.Context(), "k", []byte("content")); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("content"))
	if got, want := header.Get("X-Amz-Checksum-Sha256"), base64.StdEncoding.EncodeToString(sum[:]); string(body) != "content" || got != want || header.Get("X-Amz-Trailer") != "" {
		t.Errorf("sent %q with the checksum %q and the trailer %q, want %q", body, got, header.Get("X-Amz-Trailer"), want)
	}
}

// TestS3LinkType checks that a link says nothing about a type that a browser
// would show, whatever the object was written with.
func TestS3LinkType(t *testing.T) {
	b := newBucket(t, versitygw(t))
	if _, err := b.client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &b.bucket, Key: aws.String("k"), ContentType: aws.String("text/html"), Body: strings.NewReader("<p>")}); err != nil {
		t.Fatal(err)
	}
	link, err := b.Link(t.Context(), "k", "k.html", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get(link)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || got != "application/octet-stream" {
		t.Errorf("status %d, type %q", resp.StatusCode, got)
	}
}

// FuzzS3Key checks that a request is about the key it was asked for, and that
// there is none for a key that is no key.
func FuzzS3Key(f *testing.F) {
	for _, key := range []string{"workspaces/ngo/cases/0abc/case.json", "a b+c%20&d", "案件/報告", "a\u0301", "a?b#c", "~", "..", "a/../b", "a//b", "a/", "", "a\x00b", "a\xff"} {
		f.Add(key)
	}
	cfg, err := LoadAWS(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	cfg.BaseEndpoint = aws.String("http://127.0.0.1:9")
	var asked []string
	cfg.HTTPClient = doer(func(r *http.Request) (*http.Response, error) {
		path, err := url.PathUnescape(r.URL.EscapedPath())
		if err != nil {
			return nil, err
		}
		asked = append(asked, path)
		return &http.Response{StatusCode: 200, Header: http.Header{"Etag": {`"tag"`}}, Body: http.NoBody}, nil
	})
	b := NewS3(cfg, "bucket")
	f.Fuzz(func(t *testing.T, key string) {
		asked = nil
		_, createErr := b.Create(t.Context(), key, nil)
		_, replaceErr := b.Replace(t.Context(), key, nil, `"tag"`)
		_, _, getErr := b.Get(t.Context(), key)
		deleteErr := b.Delete(t.Context(), key)
		link, linkErr := b.Link(t.Context(), key, "name", time.Minute)
		if bad := graphstore.CheckKey(key); bad != nil {
			if createErr == nil || replaceErr == nil || getErr == nil || deleteErr == nil || linkErr == nil || len(asked) > 0 {
				t.Errorf("asked for %q with the key %q, although %v", asked, key, bad)
			}
			return
		}
		if err := errors.Join(createErr, replaceErr, getErr, deleteErr, linkErr); err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(link)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range append(asked, u.Path) {
			if path != "/bucket/"+key {
				t.Errorf("asked for %q with the key %q", path, key)
			}
		}
		if len(asked) != 4 {
			t.Errorf("%d requests, want 4", len(asked))
		}
	})
}
