package functions

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"scamtrace/tracer"
	"scamtrace/tracer/ethsource"
	"scamtrace/tracer/evidence"
	"scamtrace/tracer/indexsource"
	"scamtrace/tracer/indexsource/indextest"
	"scamtrace/tracer/report"

	"github.com/ethereum/go-ethereum/common"
)

// indexed is a source with SQD Portal before its node.
type indexed struct{ *indexsource.Planner }

func (indexed) About() string              { return "SQD Portal and a JSON-RPC node" }
func (indexed) Asked() []evidence.Endpoint { return []evidence.Endpoint{{Name: "sqd"}} }

func openIndexed(ctx context.Context, chain tracer.Chain, pin *tracer.Block, url, portal string, no ethsource.Options, o indexsource.Options) (tracer.Source, error) {
	no.Pin, o.URL, o.Rate = pin, portal+"/datasets/devnet", -1
	node, err := ethsource.Open(ctx, chain, url, no)
	if err != nil {
		return nil, err
	}
	at, err := node.Pin(ctx)
	if err != nil {
		return nil, err
	}
	o.Pin = &at
	sqd, err := indexsource.NewSQD(chain, o)
	if err != nil {
		return nil, err
	}
	return indexed{indexsource.Plan(node, sqd)}, nil
}

var theBook = sync.OnceValues(func() (*indextest.Book, error) { return indextest.Open(theWorld()) })

// indexedScene is a scene whose cases are read from SQD Portal before the node;
// edit changes the lines that it answers.
func indexedScene(t *testing.T, edit func([]byte) []byte) *scene {
	t.Helper()
	book, err := theBook()
	if err != nil {
		t.Fatal(err)
	}
	fake := &indextest.Portal{Book: book}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("Accept-Encoding")
		rec := httptest.NewRecorder()
		fake.ServeHTTP(rec, r)
		w.WriteHeader(rec.Code)
		for line := range bytes.Lines(rec.Body.Bytes()) {
			w.Write(edit(line))
		}
	}))
	t.Cleanup(srv.Close)
	s := newScene(t)
	s.App.Open = func(ctx context.Context, chain tracer.Chain, pin *tracer.Block, rec *evidence.Recorder) (tracer.Source, error) {
		return openIndexed(ctx, chain, pin, s.url, srv.URL, ethsource.Options{Wrap: rec.WrapNode}, indexsource.Options{Wrap: rec.WrapAt})
	}
	return s
}

func (s *scene) lastReport(id string) *report.Report {
	s.t.Helper()
	rows := s.find1("ngo", id).Reports
	r := new(report.Report)
	if err := json.Unmarshal([]byte(s.reports("ngo", id)[fmt.Sprintf("reports/%d/report.json", rows[len(rows)-1].Block)]), r); err != nil {
		s.t.Fatal(err)
	}
	return r
}

// TestIndexed reads a case from an indexer before the node: the same report
// whatever turns it took, confirmed by the node and repeated from its evidence;
// and where the indexer lies, the report of the node alone.
func TestIndexed(t *testing.T) {
	honest := func(l []byte) []byte { return l }
	var plain *report.Report
	{
		s := newScene(t)
		s.at(7)
		id := s.submit(alice, 0)
		s.settle()
		plain = s.lastReport(id)
	}
	money := func(r *report.Report) string {
		x := *r
		x.Notes, x.Chains, x.Case, x.Tokens = nil, nil, report.Case{}, nil
		for i := range x.Transfers {
			x.Transfers[i].Basis = ""
		}
		raw, err := json.Marshal(&x)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	want := money(plain)
	var first map[string]string
	for _, turn := range []time.Duration{time.Hour, 30 * time.Millisecond} {
		s := indexedScene(t, honest)
		s.App.Turn = turn
		s.at(7)
		id := s.submit(alice, 0)
		s.settle()
		r := s.lastReport(id)
		confirmed := 0
		for i := range r.Transfers {
			if r.Transfers[i].Basis == report.BasisConfirmed {
				confirmed++
			}
		}
		if confirmed == 0 || confirmed != len(r.Transfers) || r.Chains[0].Source != "SQD Portal and a JSON-RPC node" {
			t.Errorf("turns of %s: %d of %d transfers are confirmed, read from %s", turn, confirmed, len(r.Transfers), r.Chains[0].Source)
		}
		if money(r) != want {
			t.Errorf("turns of %s: the money is another than from the node alone", turn)
		}
		files := s.reports("ngo", id)
		if first == nil {
			first = files
		} else {
			differ(t, files, first)
		}
		row := s.find1("ngo", id).Reports[0]
		got, err := Replay(t.Context(), s.evidence(id, row.Block), "test", func(ctx context.Context, chain tracer.Chain, rec *evidence.Node, pin *tracer.Block, asked []evidence.Endpoint) (tracer.Source, error) {
			if len(asked) != 1 || asked[0].Name != "sqd" {
				t.Errorf("who was asked: %v", asked)
			}
			return openIndexed(ctx, chain, pin, "http://"+rec.Host(), "http://"+rec.Host(), ethsource.Options{Wrap: rec.WrapNode, Recorded: true}, indexsource.Options{Wrap: rec.WrapAt, Recorded: true})
		})
		if err != nil {
			t.Fatalf("turns of %s: %v", turn, err)
		}
		for _, f := range got.Files {
			if name := fmt.Sprintf("reports/%d/%s", row.Block, f.Name); f.Name != "manifest.sig" && files[name] != string(f.Data) {
				t.Errorf("turns of %s: %s is not repeated to the byte", turn, f.Name)
			}
		}
	}
	var tx string
	for i := range plain.Transfers {
		if plain.Transfers[i].Kind == "token" {
			tx = plain.Transfers[i].Tx
		}
	}
	// The balances are as they should be: only whoever asks for the transaction
	// finds out.
	s := indexedScene(t, func(l []byte) []byte {
		return bytes.ReplaceAll(l, []byte(tx), []byte(common.Hash{0xde, 0xad}.Hex()))
	})
	s.at(7)
	id := s.submit(alice, 0)
	s.settle()
	r := s.lastReport(id)
	notes := strings.Join(r.Notes, "\n")
	if money(r) != want {
		t.Error("with an indexer that lies the money is another than from the node alone")
	}
	if c := s.find1("ngo", id); c.Status != StatusDone || !c.Alone || !strings.Contains(notes, "Transfers that SQD Portal showed are not what the node shows, so the money was followed anew with the node alone.") {
		t.Errorf("the case is %s, alone %v, and says %q", c.Status, c.Alone, notes)
	}
	if c := s.find1("ngo", id); c.Spent == 0 || c.Progress.Requests <= c.Spent {
		t.Errorf("it spent %d requests, and %d of them before it was followed anew", c.Progress.Requests, c.Spent)
	}
	s.repeats(id)
}
