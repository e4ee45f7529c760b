package nodes_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"scamtrace/functions/nodes"
	"scamtrace/graphstore"
	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/ethsource"
	"scamtrace/tracer/evidence"
	"scamtrace/tracer/indexsource/indextest"
)

func unset(string) (string, bool) { return "", false }

// TestPlan opens a node with indexers before it, whose keys stand beside the
// node's address, and opens them again from a recording.
func TestPlan(t *testing.T) {
	w := devnet.Generate(devnet.Config{Days: 7, Transfers: 4000, Victims: 2, Syndicates: 1, Noise: 60})
	book, err := indextest.Open(w)
	if err != nil {
		t.Fatal(err)
	}
	node := httptest.NewServer(devnet.NewNode(w, devnet.NodeOptions{}))
	defer node.Close()
	index := httptest.NewServer(&indextest.Explorer{Book: book, Rows: 1000})
	defer index.Close()
	dir, err := graphstore.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if _, err := dir.Create(t.Context(), "private/rpc.json", []byte(`{"devnet": "`+node.URL+`/secretsecret", "SCAMTRACE_ETHERSCAN_KEY": "`+indextest.Key+`",
		"SCAMTRACE_ETHERSCAN_URL": "`+index.URL+`/api", "SCAMTRACE_ETHERSCAN_RATE": "100000"}`)); err != nil {
		t.Fatal(err)
	}
	e, err := nodes.ParseEndpoints()
	if err != nil {
		t.Fatal(err)
	}
	e.Bucket = dir
	if err := e.Ask([]string{"google"}, unset); err == nil {
		t.Error("an indexer that nobody knows is no error")
	}
	if err := e.Ask([]string{"sqd", "etherscan"}, unset); err != nil { // the first does not have the chain
		t.Fatal(err)
	}
	rec, err := evidence.NewRecorder(time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Close()
	src, err := e.Open(t.Context(), devnet.Chain(), nil, rec)
	if err != nil {
		t.Fatal(err)
	}
	p, ok := src.(*nodes.Planned)
	if !ok || p.About() != "Etherscan and a JSON-RPC node" || !slices.Equal(p.Endpoints(), []string{node.URL + "/secretsecret", index.URL + "/api"}) {
		t.Fatalf("Open returns a %T", src)
	}
	q := tracer.Query{Spans: []tracer.Span{{Wallet: w.Truth.Victims[0].Seeds[0], To: w.Head()}}}
	said := func(src tracer.Source) tracer.Answer {
		ans, err := src.Transfers(t.Context(), q)
		if err != nil || len(ans.Unread) > 0 || len(ans.Transfers) == 0 {
			t.Fatalf("%d transfers, %v, %v", len(ans.Transfers), ans.Unread, err)
		}
		return ans
	}
	want := said(src)
	if s := p.Shares(); s[0].Transfers == 0 {
		t.Errorf("the indexer contributed nothing: %+v", s)
	}
	var archive bytes.Buffer
	if err := rec.Write(&archive, nil); err != nil {
		t.Fatal(err)
	}
	node.Close()
	index.Close()
	recorded, err := evidence.Open(&archive)
	if err != nil {
		t.Fatal(err)
	}
	defer recorded.Close()
	again, err := nodes.Reopen(t.Context(), devnet.Chain(), recorded, nil, p.Asked())
	if err != nil {
		t.Fatal(err)
	}
	if got := said(again); !slices.Equal(got.Transfers, want.Transfers) {
		t.Error("the recording shows other transfers")
	}
}

// TestPlanWords: what is said of what is read is true of a node without old states
// and of an indexer that accepts nobody.
func TestPlanWords(t *testing.T) {
	w := devnet.Generate(devnet.Config{Days: 3, Transfers: 500, Victims: 1, Syndicates: 1, Noise: 20})
	book, err := indextest.Open(w)
	if err != nil {
		t.Fatal(err)
	}
	honest := &indextest.Portal{Book: book}
	denies := http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { http.Error(rw, "who are you?", http.StatusUnauthorized) })
	for _, tt := range []struct {
		name  string
		node  devnet.NodeOptions
		index http.Handler
		about string
		says  string // the last note begins so; empty: none
	}{
		{"both can all", devnet.NodeOptions{}, honest, "SQD Portal and a JSON-RPC node", "What was found was compared with nonces and balances"},
		{"no old states", devnet.NodeOptions{NoArchive: true}, honest, "SQD Portal and a JSON-RPC node", "What was found could not be compared"},
		{"no key", devnet.NodeOptions{}, denies, "a JSON-RPC node", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			node := httptest.NewServer(devnet.NewNode(w, tt.node))
			defer node.Close()
			index := httptest.NewServer(tt.index)
			defer index.Close()
			e, err := nodes.ParseEndpoints("devnet=" + node.URL)
			if err != nil {
				t.Fatal(err)
			}
			env := map[string]string{"SCAMTRACE_SQD_URL": index.URL + "/datasets/devnet", "SCAMTRACE_SQD_RATE": "1e6"}
			if err := e.Ask([]string{"sqd"}, func(key string) (string, bool) { v, ok := env[key]; return v, ok }); err != nil {
				t.Fatal(err)
			}
			src, err := e.Open(t.Context(), devnet.Chain(), nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			p := src.(*nodes.Planned)
			notes := append([]string{""}, p.Notes()...)
			if got := notes[len(notes)-1]; p.About() != tt.about || tt.says == "" && strings.Contains(strings.Join(notes, ""), "SQD") || !strings.HasPrefix(got, tt.says) {
				t.Errorf("it is read from %s, and the notes are %q", p.About(), notes)
			}
			if s := p.Shares()[0]; (tt.says == "") != strings.Contains(s.Trouble, "does not accept the key") {
				t.Errorf("the indexer's share is %+v", s)
			}
		})
	}
}

// TestAbout counts the nodes that are read, not those that are named.
func TestAbout(t *testing.T) {
	srv := httptest.NewServer(devnet.NewNode(devnet.Generate(devnet.Config{Days: 2, Transfers: 500, Victims: 1, Syndicates: 1, Noise: 20}), devnet.NodeOptions{}))
	defer srv.Close()
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	for _, tt := range []struct{ list, want string }{
		{srv.URL + "," + srv.URL, "2 JSON-RPC nodes"},
		{srv.URL + "," + dead.URL, "a JSON-RPC node"},
	} {
		list, err := ethsource.ParseEndpoints(tt.list)
		if err != nil {
			t.Fatal(err)
		}
		src, err := ethsource.OpenPool(t.Context(), devnet.Chain(), list, ethsource.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := nodes.At(src, list).(interface{ About() string }).About(); got != tt.want {
			t.Errorf("%s, want %s; %q", got, tt.want, src.Notes())
		}
	}
}
