package evidence_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// TestAddresses records an endpoint that is asked by address, whatever it
// answers, and has it answer the same from the recording, on another host's word
// and without the key, which is nowhere in it.
func TestAddresses(t *testing.T) {
	const key = "k3y+with/odd=signs"
	asked := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked++
		switch r.URL.Query().Get("how") {
		case "echo":
			fmt.Fprintf(w, "%s %s %s: not the key %s <%s>\x00\x01", r.Method, r.URL, body, key, r.Header.Get("Api-Key"))
		case "later":
			if asked%2 == 1 {
				w.WriteHeader(http.StatusTooManyRequests)
			}
			fmt.Fprintf(w, "request %d", asked)
		case "cut":
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "not a hundred")
		case "gone":
			panic(http.ErrAbortHandler)
		default:
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":1,"result":%q}`, r.URL.Path)
		}
	}))
	base, err := url.Parse(srv.URL + "/secretsecretpath/api?token=secretquery")
	if err != nil {
		t.Fatal(err)
	}
	type question struct{ method, path, body string }
	questions := []question{
		{http.MethodGet, "/list?how=echo&wallet=0x01", ""}, {http.MethodGet, "/list?wallet=0x02&how=echo", ""},
		{http.MethodPost, "/stream?how=echo", `{"from":1}`}, {http.MethodPost, "/stream?how=echo", `{"from":2}`},
		{http.MethodGet, "?how=later", ""}, {http.MethodGet, "?how=later", ""}, {http.MethodGet, "?how=later", ""},
		{http.MethodGet, "/x?how=cut", ""}, {http.MethodGet, "/x?how=gone", ""},
		{http.MethodPost, "/rpc", rpc(1, "eth_chainId", []any{})},
	}
	tell := func(rt http.RoundTripper, base *url.URL, key string) (said []string) {
		for _, x := range questions {
			path, query, _ := strings.Cut(x.path, "?")
			u := *base.JoinPath(path)
			q := u.Query()
			more, _ := url.ParseQuery(query)
			for k := range more {
				q.Set(k, more.Get(k))
			}
			if key != "" {
				q.Set("apikey", key)
			}
			u.RawQuery = q.Encode()
			req, err := http.NewRequestWithContext(t.Context(), x.method, u.String(), strings.NewReader(x.body))
			if err != nil {
				t.Fatal(err)
			}
			if key != "" {
				req.Header.Set("Api-Key", "Bearer "+key)
			}
			resp, err := rt.RoundTrip(req)
			if err != nil {
				said = append(said, "failed: "+err.Error())
				continue
			}
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			said = append(said, fmt.Sprint(resp.StatusCode, " ", string(body), " ", err))
		}
		return said
	}
	r := newRecorder(t)
	said := tell(r.WrapAt(base, key, http.DefaultTransport), base, key)
	srv.Close()
	a := archive(t, r)
	for _, secret := range []string{key, url.QueryEscape(key), "secretsecretpath", "secretquery"} {
		if bytes.Contains(text(t, a), []byte(secret)) {
			t.Errorf("%q is in the archive", secret)
		}
	}
	n := open(t, a)
	plain := &url.URL{Scheme: "http", Host: base.Host, Path: "/elsewhere"}
	for i, again := range tell(n.WrapAt(plain, "", nil), plain, "") {
		want := said[i]
		for _, secret := range []string{key, url.QueryEscape(key), "/secretsecretpath/api", "secretquery"} {
			want = strings.ReplaceAll(want, secret, "…")
		}
		// What is echoed is hidden part by part; the words around it are the same.
		if i < 4 || i == len(said)-1 {
			if again[:3] != want[:3] || !strings.Contains(again, "…") && i < 4 || strings.Contains(again, key) {
				t.Errorf("question %d: %q, want like %q", i, again, want)
			}
			continue
		}
		if again != want {
			t.Errorf("question %d: %q, want %q", i, again, want)
		}
	}
	if _, err := n.WrapAt(plain, "", nil).RoundTrip(httptest.NewRequest(http.MethodGet, plain.JoinPath("other").String(), nil)); err == nil || len(n.Missing()) != 1 || !strings.Contains(n.Missing()[0], "GET other") {
		t.Errorf("what was not asked: %v, %q", err, n.Missing())
	}
	// What leads elsewhere is not recorded, and the archive says that it is not whole.
	r = newRecorder(t)
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	if resp, err := r.WrapAt(base, key, http.DefaultTransport).RoundTrip(httptest.NewRequest(http.MethodGet, other.URL+"/elsewhere", nil)); err == nil {
		resp.Body.Close()
	}
	if err := r.Write(io.Discard, nil); err == nil {
		t.Error("an archive that lacks a request is no error")
	}
}
