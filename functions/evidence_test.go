package functions

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"
	"testing"
	"time"

	"scamtrace/tracer"
	"scamtrace/tracer/ethsource"
	"scamtrace/tracer/evidence"

	"github.com/klauspost/compress/zstd"
)

// openRecorded opens nodes as they were opened then.
func openRecorded(ctx context.Context, chain tracer.Chain, n *evidence.Node, pin *tracer.Block, asked []evidence.Endpoint) (tracer.Source, error) {
	setup := make([]ethsource.SetupNode, len(asked))
	for i, e := range asked {
		setup[i] = ethsource.SetupNode{Host: e.Host, Role: e.Role}
		if len(e.Known) > 0 {
			if err := json.Unmarshal(e.Known, &setup[i].Known); err != nil {
				return nil, err
			}
		}
	}
	if len(setup) == 0 {
		setup = []ethsource.SetupNode{{Host: n.Host()}}
	}
	src, _, err := ethsource.Reopen(ctx, chain, setup, ethsource.Options{Pin: pin, Wrap: n.WrapNode})
	if err != nil {
		return nil, err
	}
	return src, nil
}

func (s *scene) evidence(id string, block uint64) *zip.Reader {
	s.t.Helper()
	data, _, err := s.bucket.Get(s.t.Context(), caseFolder("ngo", id)+fmt.Sprintf("reports/%d/%s", block, evidenceName))
	if err != nil {
		s.t.Fatal(err)
	}
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		s.t.Fatal(err)
	}
	return z
}

// repeats replays the latest report of a case and compares every file.
func (s *scene) repeats(id string) *Replayed {
	s.t.Helper()
	c := s.find1("ngo", id)
	row := c.Reports[len(c.Reports)-1]
	got, err := Replay(s.t.Context(), s.evidence(id, row.Block), "test", openRecorded)
	if err != nil {
		s.t.Fatalf("the report of block %d: %v", row.Block, err)
	}
	want := make(map[string]string)
	for name, data := range s.reports("ngo", id) {
		if name, ok := strings.CutPrefix(name, fmt.Sprintf("reports/%d/", row.Block)); ok && name != bundleName && name != "manifest.sig" {
			want[name] = data
		}
	}
	have := make(map[string]string)
	for _, f := range got.Files {
		have[f.Name] = string(f.Data)
	}
	differ(s.t, have, want)
	return got
}

// TestReplay: a report is the same to the byte when its case is traced again
// from its evidence alone, whatever turns it took, and in later reports too.
func TestReplay(t *testing.T) {
	for _, turn := range []time.Duration{time.Hour, 30 * time.Millisecond} {
		t.Run(turn.String(), func(t *testing.T) {
			s := newScene(t)
			s.App.Turn = turn
			s.at(7)
			id := s.submit(alice, 0)
			s.settle()
			if got := s.repeats(id); turn == time.Hour && (got.Turns != 1 || got.Cut != 0) {
				t.Errorf("%d turns, %d of them cut, want one whole one", got.Turns, got.Cut)
			}
			s.at(12)
			s.App.Turn = turn
			if code, body := s.do(alice, "POST", "/v1/cases/"+id+"/retrace", nil); code != 202 {
				t.Fatalf("POST retrace answers %d: %s", code, body)
			}
			s.settle()
			if n := len(s.find1("ngo", id).Reports); n != 2 {
				t.Fatalf("%d reports, want 2", n)
			}
			got := s.repeats(id)
			t.Logf("%d turns, %d cut", got.Turns, got.Cut)
			if turn == time.Hour && (got.Turns != 2 || got.Cut != 0) {
				t.Errorf("%d turns, %d of them cut, want two whole ones", got.Turns, got.Cut)
			}
		})
	}
}

// TestReplayChanged: evidence that was changed, or lacks something, is no
// evidence.
func TestReplayChanged(t *testing.T) {
	s := newScene(t)
	s.at(7)
	id := s.submit(alice, 0)
	s.settle()
	s.at(12)
	if code, body := s.do(alice, "POST", "/v1/cases/"+id+"/retrace", nil); code != 202 {
		t.Fatalf("POST retrace answers %d: %s", code, body)
	}
	s.settle()
	c := s.find1("ngo", id)
	z := s.evidence(id, c.Reports[1].Block)
	last := ""
	for _, f := range z.File {
		if path.Ext(f.Name) == ".zst" {
			last = f.Name
		}
	}
	for _, f := range z.File {
		kind := path.Ext(f.Name)
		for what, change := range map[string]func([]byte) []byte{
			"cut":     func(b []byte) []byte { return b[:len(b)/2] },
			"changed": func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
			"missing": nil,
		} {
			var out bytes.Buffer
			w := zip.NewWriter(&out)
			for _, g := range z.File {
				data, err := readZipped(g)
				if err != nil {
					t.Fatal(err)
				}
				if g == f {
					if change == nil {
						continue
					}
					data = change(data)
				}
				e, err := w.Create(g.Name)
				if err == nil {
					_, err = e.Write(data)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			r, err := zip.NewReader(bytes.NewReader(out.Bytes()), int64(out.Len()))
			if err != nil {
				t.Fatal(err)
			}
			if change == nil && f.Name == last {
				continue // then it is that of the report before
			}
			if got, err := Replay(t.Context(), r, "test", openRecorded); err == nil {
				t.Errorf("with a %s %s file the replay has %d files and no error", what, kind, len(got.Files))
			}
		}
	}
}

// TestReplaySteps: whoever writes down that a turn took more steps than it can
// does not keep the replay busy.
func TestReplaySteps(t *testing.T) {
	s := newScene(t)
	s.at(7)
	id := s.submit(alice, 0)
	s.settle()
	z := s.evidence(id, s.find1("ngo", id).Reports[0].Block)
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, f := range z.File {
		data, err := readZipped(f)
		if err == nil && path.Ext(f.Name) == ".zst" {
			data, err = longer(data)
		}
		if err != nil {
			t.Fatal(err)
		}
		e, err := w.Create(f.Name)
		if err == nil {
			_, err = e.Write(data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := zip.NewReader(bytes.NewReader(out.Bytes()), int64(out.Len()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Replay(t.Context(), r, "test", openRecorded); !errors.Is(err, errOther) {
		t.Errorf("Replay says %v", err)
	}
}

// longer changes how many steps an archive says a turn took, and its sum.
func longer(archive []byte) ([]byte, error) {
	d, err := zstd.NewReader(nil)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	text, err := d.DecodeAll(archive, nil)
	if err != nil {
		return nil, err
	}
	sum := func(text []byte) []byte {
		h := sha256.Sum256(text[:bytes.LastIndexByte(text[:len(text)-1], '\n')+1])
		return []byte(hex.EncodeToString(h[:]))
	}
	before := sum(text)
	text = regexp.MustCompile(`"steps":[0-9]+`).ReplaceAll(text, []byte(`"steps":1000000000000000000`))
	text = bytes.Replace(text, before, sum(text), 1)
	e, err := zstd.NewWriter(nil)
	if err != nil {
		return nil, err
	}
	defer e.Close()
	return e.EncodeAll(text, nil), nil
}
