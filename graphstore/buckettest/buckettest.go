// Package buckettest tests that a [graphstore.Bucket] keeps its contract. Every
// implementation runs all of it.
package buckettest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"scamtrace/graphstore"
)

// Test tests all of a Bucket but what [TestLinks] does. Each call of open gives
// a Bucket with nothing in it.
func Test(t *testing.T, open func(t *testing.T) graphstore.Bucket) {
	for _, tt := range []struct {
		name string
		test func(*testing.T, graphstore.Bucket)
	}{
		{"create", create},
		{"replace", replace},
		{"delete", remove},
		{"race to create", raceToCreate},
		{"race to replace", raceToReplace},
		{"no update is lost", noLostUpdate},
		{"reads are whole", wholeReads},
		{"odd keys", oddKeys},
		{"bad keys", badKeys},
		{"list", list},
		{"list pages", listPages},
		{"sizes", sizes},
		{"canceled", canceled},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, open(t)) })
	}
}

func create(t *testing.T, b graphstore.Bucket) {
	tag := mustCreate(t, b, "a/b/c.json", "one")
	check(t, b, "a/b/c.json", "one", tag)
	for _, again := range []string{"two", "one"} {
		if _, err := b.Create(t.Context(), "a/b/c.json", []byte(again)); !errors.Is(err, graphstore.ErrExists) {
			t.Errorf("Create over an object, %q: %v, want ErrExists", again, err)
		}
	}
	check(t, b, "a/b/c.json", "one", tag)

	for _, absent := range []string{"a", "a/b", "a/b/c", "a/b/c.json/d", "b"} {
		if _, _, err := b.Get(t.Context(), absent); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Get(%q) where there is nothing: %v, want ErrNotExist", absent, err)
		}
	}
}

func replace(t *testing.T, b graphstore.Bucket) {
	one := mustCreate(t, b, "k", "one")
	two, err := b.Replace(t.Context(), "k", []byte("two"), one)
	if err != nil {
		t.Fatal(err)
	}
	if one == two {
		t.Errorf("the tag stayed %q", one)
	}
	check(t, b, "k", "two", two)
	for _, tag := range []string{one, "", "*", "x", `"x"`, two + ", " + one, two + "x"} {
		if _, err := b.Replace(t.Context(), "k", []byte("three"), tag); !errors.Is(err, graphstore.ErrChanged) {
			t.Errorf("Replace with the tag %q: %v, want ErrChanged", tag, err)
		}
	}
	check(t, b, "k", "two", two)
	if _, err := b.Replace(t.Context(), "absent", []byte("x"), two); !errors.Is(err, graphstore.ErrChanged) {
		t.Errorf("Replace where there is nothing: %v, want ErrChanged", err)
	}
	checkList(t, b, "", "", []string{"k"})
}

func remove(t *testing.T, b graphstore.Bucket) {
	for _, absent := range []string{"k", "a/b"} {
		if err := b.Delete(t.Context(), absent); err != nil {
			t.Errorf("Delete(%q) where there is nothing: %v", absent, err)
		}
	}
	tag := mustCreate(t, b, "a/b/c", "one")
	mustCreate(t, b, "a/d", "two")
	for _, folder := range []string{"a", "a/b"} {
		if err := b.Delete(t.Context(), folder); err != nil {
			t.Errorf("Delete(%q), which is a folder: %v", folder, err)
		}
	}
	if err := b.Delete(t.Context(), "a/b/c"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Get(t.Context(), "a/b/c"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Get after Delete: %v, want ErrNotExist", err)
	}
	if _, err := b.Replace(t.Context(), "a/b/c", []byte("x"), tag); !errors.Is(err, graphstore.ErrChanged) {
		t.Errorf("Replace after Delete: %v, want ErrChanged", err)
	}
	checkList(t, b, "", "", []string{"a/d"})
	mustCreate(t, b, "a/b", "a folder before")
	checkList(t, b, "", "", []string{"a/b", "a/d"})
}

const writers = 24

// race runs f for each of the writers at once and returns who had no error.
func race(t *testing.T, lost error, f func(i int) error) (won []int) {
	t.Helper()
	errs := make([]error, writers)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			<-start
			errs[i] = f(i)
		})
	}
	close(start)
	wg.Wait()
	for i, err := range errs {
		switch {
		case err == nil:
			won = append(won, i)
		case !errors.Is(err, lost):
			t.Errorf("writer %d: %v, want %v", i, err, lost)
		}
	}
	return won
}

func raceToCreate(t *testing.T, b graphstore.Bucket) {
	for round := range 10 {
		key := fmt.Sprintf("race/%d", round)
		tags := make([]string, writers)
		won := race(t, graphstore.ErrExists, func(i int) (err error) {
			tags[i], err = b.Create(t.Context(), key, fmt.Appendf(nil, "writer %d", i))
			return err
		})
		if len(won) != 1 {
			t.Fatalf("round %d: writers %v created the same object", round, won)
		}
		check(t, b, key, fmt.Sprintf("writer %d", won[0]), tags[won[0]])
	}
	// Two workers at the same work write the same bytes, and one must learn
	// that it was not the first.
	won := race(t, graphstore.ErrExists, func(int) error {
		_, err := b.Create(t.Context(), "race/same", []byte("same"))
		return err
	})
	if len(won) != 1 {
		t.Errorf("writers %v created the same object with the same bytes", won)
	}
}

func raceToReplace(t *testing.T, b graphstore.Bucket) {
	tag := mustCreate(t, b, "k", "begin")
	for round := range 10 {
		tags := make([]string, writers)
		won := race(t, graphstore.ErrChanged, func(i int) (err error) {
			tags[i], err = b.Replace(t.Context(), "k", fmt.Appendf(nil, "round %d writer %d", round, i), tag)
			return err
		})
		if len(won) != 1 {
			t.Fatalf("round %d: writers %v replaced the same object", round, won)
		}
		tag = tags[won[0]]
		check(t, b, "k", fmt.Sprintf("round %d writer %d", round, won[0]), tag)
	}
}

// noLostUpdate has all writers count in one object.
func noLostUpdate(t *testing.T, b graphstore.Bucket) {
	mustCreate(t, b, "n", "0")
	race(t, nil, func(int) error {
		for {
			data, tag, err := b.Get(t.Context(), "n")
			if err != nil {
				return err
			}
			n, err := strconv.Atoi(string(data))
			if err != nil {
				return err
			}
			_, err = b.Replace(t.Context(), "n", strconv.AppendInt(nil, int64(n+1), 10), tag)
			if !errors.Is(err, graphstore.ErrChanged) {
				return err
			}
		}
	})
	if data, _, err := b.Get(t.Context(), "n"); err != nil || string(data) != strconv.Itoa(writers) {
		t.Errorf("%d writers counted to %q, %v", writers, data, err)
	}
}

// wholeReads reads an object while it grows: what is read is one of its
// versions, never an older one than was read before.
func wholeReads(t *testing.T, b graphstore.Bucket) {
	const last = 30
	version := func(n int) []byte { return bytes.Repeat([]byte{byte(n)}, 1000*n) }
	tag, err := b.Create(t.Context(), "k", version(1))
	if err != nil {
		t.Fatal(err)
	}
	var done atomic.Bool
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for seen := 1; !done.Load(); {
				data, _, err := b.Get(t.Context(), "k")
				if err != nil || len(data) == 0 {
					t.Errorf("read %d bytes, %v", len(data), err)
					return
				}
				n := int(data[0])
				if !bytes.Equal(data, version(n)) {
					t.Errorf("read %d bytes of version %d", len(data), n)
				}
				if n < seen {
					t.Errorf("read version %d after version %d", n, seen)
				}
				seen = n
			}
		})
	}
	for n := 2; n <= last; n++ {
		if tag, err = b.Replace(t.Context(), "k", version(n), tag); err != nil {
			t.Errorf("version %d: %v", n, err)
			break
		}
		if data, _, err := b.Get(t.Context(), "k"); err != nil || !bytes.Equal(data, version(n)) {
			t.Errorf("after version %d was written, read %d bytes, %v", n, len(data), err)
		}
	}
	done.Store(true)
	wg.Wait()
}

func oddKeys(t *testing.T, b graphstore.Bucket) {
	long := strings.Repeat("n", 143)
	keys := []string{
		"a b", "a+b", "a%20b", "a%2fb", "a&b=c", "a?b", "a#b", "a:b", "a;b", "a,b", "a@b", "a$b", "a!b", "a*b", "a|b", "a'b", `a"b`,
		"a<b>", "a(b)", "a[b]", "a{b}", "a^b", "a`b", "a~b", "a..b", "a.", " a", "a ", "~", "-", "_", "%", "%zz",
		"ü/é", "案件/報告", "\u0e04\u0e14\u0e35", "e\u0301", "\u202e", "\U0001f4b8",
		"0x" + strings.Repeat("ab", 20), "CON", "eip155:1/0xAB",
		long, strings.Repeat(long[1:]+"L/", 7) + "16 bytes to 1024",
	}
	tags := map[string]string{}
	for i, key := range keys {
		tags[key] = mustCreate(t, b, key, fmt.Sprintf("%d", i))
	}
	for i, key := range keys {
		check(t, b, key, fmt.Sprintf("%d", i), tags[key])
	}
	checkList(t, b, "", "", keys)
	for i, key := range keys {
		if _, err := b.Replace(t.Context(), key, fmt.Appendf(nil, "%d again", i), tags[key]); err != nil {
			t.Error(err)
		}
		checkList(t, b, key, "", slices.DeleteFunc(slices.Clone(keys), func(k string) bool { return !strings.HasPrefix(k, key) }))
	}
	for _, key := range keys {
		if err := b.Delete(t.Context(), key); err != nil {
			t.Error(err)
		}
	}
	checkList(t, b, "", "", nil)
}

func badKeys(t *testing.T, b graphstore.Bucket) {
	mustCreate(t, b, "a/b", "x")
	for _, key := range []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/..", "a/.", "./a", ".a", "a/.b", "...",
		"a\x00", "a\nb", "a\tb", "a\x7fb", "a\u0085b", `a\b`, "a\xffb", "a/\xc3",
		strings.Repeat("n", 144), strings.Repeat("a/", 512) + "b",
	} {
		if _, _, err := b.Get(t.Context(), key); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Get(%q): %v", key, err)
		}
		if _, err := b.Create(t.Context(), key, nil); err == nil || errors.Is(err, graphstore.ErrExists) {
			t.Errorf("Create(%q): %v", key, err)
		}
		if _, err := b.Replace(t.Context(), key, nil, "x"); err == nil || errors.Is(err, graphstore.ErrChanged) {
			t.Errorf("Replace(%q): %v", key, err)
		}
		if err := b.Delete(t.Context(), key); err == nil {
			t.Errorf("Delete(%q) had no error", key)
		}
		if link, err := b.Link(t.Context(), key, "name", time.Minute); err == nil {
			t.Errorf("Link(%q) = %q", key, link)
		}
	}
	for _, prefix := range []string{"/", "..", "../", "a//", "a/../", ".", ".scamtrace/", "a/./"} {
		checkList(t, b, prefix, "", nil)
	}
	checkList(t, b, "", "", []string{"a/b"})
}

func list(t *testing.T, b graphstore.Bucket) {
	// A slash comes after ! and - and . but before 0 and a.
	keys := []string{"a!", "a-b", "a.b", "a/!", "a/b-c", "a/b/c", "a/b/d/e", "a/b0", "a/c", "a0", "aa/b", "b", "é", "\U0001f4b8"}
	for _, i := range rand.Perm(len(keys)) {
		mustCreate(t, b, keys[i], "x")
	}
	if !slices.IsSorted(keys) {
		t.Fatal("the keys are not in order")
	}
	prefixes := []string{"", "a", "a/", "a/b", "a/b/", "a/b/d/e", "a/b/d/e/", "a-", "b", "c", "c/d", "é"}
	for _, prefix := range prefixes {
		for _, after := range append([]string{"", "A", "a", "a/", "a/b", "a/b/", "a/b/c/d", "a/b/\U0001f4b8", "a/z", "z", "\U0001f4b9"}, keys...) {
			var want []string
			for _, k := range keys {
				if strings.HasPrefix(k, prefix) && k > after {
					want = append(want, k)
				}
			}
			checkList(t, b, prefix, after, want)
		}
	}
	for key, err := range b.List(t.Context(), "a", "") { // the caller may stop
		if key != "a!" || err != nil {
			t.Errorf("the first key is %q, %v", key, err)
		}
		break
	}
}

// listPages lists more keys than one answer of S3 has.
func listPages(t *testing.T, b graphstore.Bucket) {
	var keys []string
	const n = 1030
	for i := range n {
		keys = append(keys, fmt.Sprintf("due/%02d/ws/%02d", i/50, i%50))
	}
	keys = append(keys, "due2")
	next := make(chan string)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for key := range next {
				if _, err := b.Create(t.Context(), key, nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for _, key := range keys {
		next <- key
	}
	close(next)
	wg.Wait()
	checkList(t, b, "", "", keys)
	checkList(t, b, "due/", "", keys[:n])
	checkList(t, b, "due/", keys[n/2], keys[n/2+1:n])
	checkList(t, b, "due/1", keys[n/2], keys[n/2+1:1000])
}

func sizes(t *testing.T, b graphstore.Bucket) {
	check(t, b, "empty", "", mustCreate(t, b, "empty", ""))
	big := make([]byte, 48<<20+1)
	rand.NewChaCha8([32]byte{1}).Read(big)
	tag, err := b.Create(t.Context(), "big", big)
	if err != nil {
		t.Fatal(err)
	}
	big[0]++
	if tag, err = b.Replace(t.Context(), "big", big, tag); err != nil {
		t.Fatal(err)
	}
	if got, gotTag, err := b.Get(t.Context(), "big"); err != nil || !bytes.Equal(got, big) || gotTag != tag {
		t.Errorf("Get of a big object = %d bytes, tag %q, %v, want %d bytes, tag %q", len(got), gotTag, err, len(big), tag)
	}
	tooBig := make([]byte, graphstore.MaxObject+1)
	if _, err := b.Create(t.Context(), "too big", tooBig); err == nil {
		t.Errorf("created an object of %d bytes", len(tooBig))
	}
	if _, err := b.Replace(t.Context(), "big", tooBig, tag); err == nil {
		t.Errorf("replaced an object by one of %d bytes", len(tooBig))
	}
	checkList(t, b, "", "", []string{"big", "empty"})
}

func canceled(t *testing.T, b graphstore.Bucket) {
	tag := mustCreate(t, b, "k", "one")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, getErr := b.Get(ctx, "k")
	_, createErr := b.Create(ctx, "new", nil)
	_, replaceErr := b.Replace(ctx, "k", []byte("two"), tag)
	deleteErr := b.Delete(ctx, "k")
	listErr := errors.New("nothing")
	for _, err := range b.List(ctx, "", "") {
		listErr = err
	}
	for what, err := range map[string]error{"Get": getErr, "Create": createErr, "Replace": replaceErr, "Delete": deleteErr, "List": listErr} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s, canceled: %v, want context.Canceled", what, err)
		}
	}
	check(t, b, "k", "one", tag)
	checkList(t, b, "", "", []string{"k"})
}

// TestLinks tests links. They go by the clock now when made; who serves them
// may go by another, right one. A Bucket that is an http.Handler is served at
// [graphstore.LinkPath].
func TestLinks(t *testing.T, open func(t *testing.T, now func() time.Time) graphstore.Bucket) {
	var ago atomic.Int64
	b := open(t, func() time.Time { return time.Now().Add(-time.Duration(ago.Load())) })
	base := ""
	if h, ok := b.(http.Handler); ok {
		mux := http.NewServeMux()
		mux.Handle(graphstore.LinkPath, h)
		server := httptest.NewServer(mux)
		t.Cleanup(server.Close)
		base = server.URL
	}
	fetch := func(t *testing.T, method, link string) (status int, header http.Header, body string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, base+link, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		data, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, resp.Header, string(data)
	}
	const secret, other = "<script>what is in the file</script>", "<script>what is in another's</script>"
	refused := func(t *testing.T, what, method, link string) {
		t.Helper()
		status, _, body := fetch(t, method, link)
		if status < 400 || status >= 500 || strings.Contains(body, "script") {
			t.Errorf("%s: status %d, body %q, want it refused", what, status, body)
		}
	}
	mustCreate(t, b, "ws/one/report.html", secret)
	mustCreate(t, b, "ws/two/report.html", other)
	link, err := b.Link(t.Context(), "ws/one/report.html", "report.html", graphstore.MaxLife)
	if err != nil {
		t.Fatal(err)
	}

	for key, filename := range map[string]string{
		"ws/one/report.html": "report.html",
		"odd/a b+c%20&d":     "a b+c%20&d.csv",
		"odd/案件":             `報告 "1"; filename=x.html`,
	} {
		t.Run(filename, func(t *testing.T) {
			if key != "ws/one/report.html" {
				mustCreate(t, b, key, secret)
			}
			link, err := b.Link(t.Context(), key, filename, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			status, header, body := fetch(t, "GET", link)
			if status != 200 || body != secret {
				t.Errorf("status %d, body %q", status, body)
			}
			kind, params, err := mime.ParseMediaType(header.Get("Content-Disposition"))
			if err != nil || kind != "attachment" || params["filename"] != filename {
				t.Errorf("Content-Disposition is %q", header.Get("Content-Disposition"))
			}
			if got := header.Get("Content-Type"); got != "application/octet-stream" {
				t.Errorf("Content-Type is %q, which a browser may show", got)
			}
			if got := header.Get("Cache-Control"); got != "no-store" {
				t.Errorf("Cache-Control is %q", got)
			}
		})
	}

	t.Run("changed", func(t *testing.T) {
		u, err := url.Parse(base + link)
		if err != nil {
			t.Fatal(err)
		}
		for name, values := range u.Query() {
			for what, change := range map[string]func(url.Values){
				"without": func(q url.Values) { q.Del(name) },
				"empty":   func(q url.Values) { q.Set(name, "") },
				"longer":  func(q url.Values) { q.Set(name, values[0]+"0") },
				"shorter": func(q url.Values) { q.Set(name, values[0][:len(values[0])-1]) },
				"other":   func(q url.Values) { q.Set(name, "x"+strings.ReplaceAll(values[0], "one", "two")) },
			} {
				q := u.Query()
				change(q)
				changed := *u
				changed.RawQuery = q.Encode()
				refused(t, what+" "+name, "GET", strings.TrimPrefix(changed.String(), base))
			}
			twice := link + "&" + url.Values{name: {strings.ReplaceAll(values[0], "one", "two")}}.Encode()
			if _, _, body := fetch(t, "GET", twice); body == other {
				t.Errorf("with another %s added, the link leads to another object", name)
			}
		}
		refused(t, "another object", "GET", strings.ReplaceAll(strings.ReplaceAll(link, "one", "two"), "%2Fone%2F", "%2Ftwo%2F"))
		refused(t, "written to", "PUT", link)
		refused(t, "deleted", "DELETE", link)
		refused(t, "posted to", "POST", link)
		if status, _, body := fetch(t, "GET", link); status != 200 || body != secret {
			t.Errorf("the link itself afterwards: status %d, body %q", status, body)
		}
	})

	t.Run("expired", func(t *testing.T) {
		for _, tt := range []struct {
			life, ago time.Duration
			ok        bool
		}{
			{graphstore.MaxLife, 14 * time.Minute, true},
			{graphstore.MaxLife, 15*time.Minute + time.Second, false},
			{time.Second, 2 * time.Second, false},
		} {
			ago.Store(int64(tt.ago))
			link, err := b.Link(t.Context(), "ws/one/report.html", "report.html", tt.life)
			ago.Store(0)
			if err != nil {
				t.Fatal(err)
			}
			if tt.ok {
				if status, _, _ := fetch(t, "GET", link); status != 200 {
					t.Errorf("link of %v made %v ago: status %d", tt.life, tt.ago, status)
				}
			} else {
				refused(t, fmt.Sprintf("link of %v made %v ago", tt.life, tt.ago), "GET", link)
			}
		}
	})

	t.Run("absent", func(t *testing.T) {
		link, err := b.Link(t.Context(), "ws/three/report.html", "report.html", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if status, _, _ := fetch(t, "GET", link); status != 404 {
			t.Errorf("status %d, want 404", status)
		}
	})

	t.Run("not to be had", func(t *testing.T) {
		for _, life := range []time.Duration{-time.Minute, 0, time.Second / 2, 1500 * time.Millisecond, graphstore.MaxLife + time.Second, 24 * time.Hour} {
			if link, err := b.Link(t.Context(), "k", "name", life); err == nil {
				t.Errorf("Link for %v = %q", life, link)
			}
		}
		for _, name := range []string{"", "..", ".html", "a/b", `a\b`, "a\r\nSet-Cookie: x", "a\x00", strings.Repeat("n", 144)} {
			if link, err := b.Link(t.Context(), "k", name, time.Minute); err == nil {
				t.Errorf("Link named %q = %q", name, link)
			}
		}
	})
}

func mustCreate(t *testing.T, b graphstore.Bucket, key, content string) (tag string) {
	t.Helper()
	tag, err := b.Create(t.Context(), key, []byte(content))
	if err != nil {
		t.Fatal(err)
	}
	return tag
}

func check(t *testing.T, b graphstore.Bucket, key, content, tag string) {
	t.Helper()
	data, gotTag, err := b.Get(t.Context(), key)
	if err != nil || string(data) != content || gotTag != tag {
		t.Errorf("Get(%q) = %q, tag %q, %v, want %q, tag %q", key, data, gotTag, err, content, tag)
	}
}

func checkList(t *testing.T, b graphstore.Bucket, prefix, after string, want []string) {
	t.Helper()
	got := []string{}
	for key, err := range b.List(t.Context(), prefix, after) {
		if err != nil {
			t.Errorf("List(%q, %q): %v", prefix, after, err)
		}
		got = append(got, key)
	}
	want = slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		t.Errorf("List(%q, %q) has %d keys, want %d:\n%.1500q\nwant\n%.1500q", prefix, after, len(got), len(want), got, want)
	}
}
