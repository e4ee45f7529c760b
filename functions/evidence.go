package functions

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"scamtrace/graphstore"
	"scamtrace/tracer"
	"scamtrace/tracer/evidence"
	"scamtrace/tracer/report"
)

// evidenceName is the file of a report with what it rests on: of each turn, what
// the node answered and the state that the turn left, and the public data. It is
// beside the bundle and not in it, because which turns there were depends on the
// clock, and the report does not.
const evidenceName = "evidence.zip"

// A stateRef names a saved state; the zero value is none.
type stateRef struct {
	Epoch  int    `json:"epoch"`
	SHA256 string `json:"sha256"`
}

// A turnRun is what it takes to repeat a turn, beside its evidence, the state
// that it went on from and the public data.
type turnRun struct {
	Case     string              `json:"case"`
	Chain    string              `json:"chain"`
	Seeds    []string            `json:"seeds"`
	Options  Options             `json:"options"`
	Pinned   Pin                 `json:"pinned"`
	Base     *Block              `json:"base,omitempty"` // the state is of an earlier run, up to here
	Notes    []string            `json:"notes,omitempty"`
	Spent    int                 `json:"spent,omitempty"`  // as of [Case]
	Quotes   bool                `json:"quotes,omitempty"` // prices were asked for
	From     stateRef            `json:"from,omitzero"`
	To       stateRef            `json:"to"`
	Steps    int                 `json:"steps"`              // of the walk
	Settled  bool                `json:"settled,omitempty"`  // after them
	Cut      bool                `json:"cut,omitempty"`      // the deadline ended the last step
	Report   bool                `json:"report,omitempty"`   // it ended in one
	Unlooked bool                `json:"unlooked,omitempty"` // the deadline ended the questions about what is not counted
	Asked    []evidence.Endpoint `json:"asked,omitempty"`    // as the source says
}

func (c *Case) evidenceKey(s stateRef) string {
	return c.key("evidence/%d-%.16s.zst", s.Epoch, s.SHA256)
}

// run is what it takes to repeat a turn that leaves a state.
func (a *App) run(t *turn, state []byte, reported bool) turnRun {
	c := t.c
	r := turnRun{
		Case: c.ID, Chain: c.Chain, Seeds: c.Seeds, Options: c.Options, Pinned: *c.Pinned, Base: c.Base, Notes: c.Notes, Spent: c.Spent,
		Quotes: a.Quoters != nil, To: stateRef{c.Epoch + 1, hashBytes(state)}, Steps: t.steps, Settled: t.settled, Cut: t.cut, Report: reported, Unlooked: t.unlooked,
	}
	if p, ok := t.src.(interface{ Asked() []evidence.Endpoint }); ok {
		r.Asked = p.Asked()
	}
	if c.State > 0 {
		r.From = stateRef{c.State, t.before}
	}
	return r
}

// record keeps what a turn was told, before the state that it leaves is there.
// Whoever did so before came to the same state.
func (a *App) record(ctx context.Context, t *turn, run turnRun) ([]byte, error) {
	var b bytes.Buffer
	if err := t.rec.Write(&b, run); err != nil {
		return nil, fmt.Errorf("keep what the node answered: %w", err)
	}
	_, err := a.Bucket.Create(ctx, t.c.evidenceKey(run.To), b.Bytes())
	if errors.Is(err, graphstore.ErrExists) {
		err = nil
	}
	return b.Bytes(), err
}

// trail is the evidence of a report: of its last turn and of all before it. It
// is nothing if that of an earlier turn is missing, as of cases from before
// evidence was kept.
func (a *App) trail(ctx context.Context, t *turn, last turnRun, archive []byte) (files []report.NamedFile, err error) {
	var turns []report.NamedFile
	for run := last; ; {
		turns = append(turns, report.NamedFile{Name: fmt.Sprintf("%06d.zst", run.To.Epoch), Data: archive})
		from := run.From
		if from == (stateRef{}) {
			break
		}
		state, _, err := a.Bucket.Get(ctx, t.c.stateKey(from.Epoch))
		if err == nil {
			archive, _, err = a.Bucket.Get(ctx, t.c.evidenceKey(from))
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		} else if err != nil {
			return nil, err
		}
		turns = append(turns, report.NamedFile{Name: fmt.Sprintf("%06d.snap", from.Epoch), Data: state})
		if run, err = readRun(archive); err != nil {
			return nil, err
		}
	}
	slices.Reverse(turns)
	for _, key := range slices.Sorted(maps.Keys(t.k.files)) {
		turns = append(turns, report.NamedFile{Name: key, Data: t.k.files[key]})
	}
	zipped, err := packed(evidenceName, turns)
	return []report.NamedFile{zipped}, err
}

func readRun(archive []byte) (run turnRun, err error) {
	about, err := evidence.About(bytes.NewReader(archive))
	if err == nil {
		err = json.Unmarshal(about, &run)
	}
	if err != nil {
		return run, fmt.Errorf("the evidence of an earlier turn: %w", err)
	}
	return run, nil
}

// A Replayed is what the evidence of a report comes to.
type Replayed struct {
	Files []report.NamedFile // of the bundle, without a signature
	Turns int                // of the case
	Cut   int                // of those, ended by the clock within a step: what they had read was taken from the state that they saved
}

// What [Replay] reads at most: bytes of a file and of all, and files.
const (
	maxEvidence      = 1 << 30
	maxAllEvidence   = 8 << 30
	maxEvidenceFiles = 10_000
)

// A Reopener opens a chain that is read from a recording. asked says who was
// asked then, and is empty if that was one node of which nothing was known.
type Reopener func(ctx context.Context, chain tracer.Chain, rec *evidence.Node, pin *tracer.Block, asked []evidence.Endpoint) (tracer.Source, error)

// Replay traces a case again from an evidence.zip, turn by turn, without the
// network and without any other data, and writes its report. Each turn must come
// to the state that it left then. open opens a chain that is read from a
// recording; version is that of the tool that made the report.
func Replay(ctx context.Context, file *zip.Reader, version string, open Reopener) (*Replayed, error) {
	tmp, err := os.MkdirTemp("", "scamtrace-replay-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	dir, err := graphstore.OpenDir(tmp)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	a := &App{Bucket: dir, Version: version}
	if n := len(file.File); n > maxEvidenceFiles {
		return nil, fmt.Errorf("%w: %s holds %d files, and at most %d are read", tracer.ErrUsage, evidenceName, n, maxEvidenceFiles)
	}
	var turns []string
	left := int64(maxAllEvidence)
	for _, f := range file.File {
		data, err := readZipped(f)
		if left -= int64(len(data)); err == nil && left < 0 {
			err = errors.New("the files in it are too large together")
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", evidenceName, err)
		}
		if path.Ext(f.Name) == ".zst" && !strings.Contains(f.Name, "/") {
			turns = append(turns, f.Name)
		}
		if _, err := a.Bucket.Create(ctx, f.Name, data); err != nil {
			return nil, fmt.Errorf("%s: %w", evidenceName, err)
		}
	}
	slices.Sort(turns)
	out := &Replayed{Turns: len(turns)}
	var before stateRef
	for i, name := range turns {
		data, _, err := a.Bucket.Get(ctx, name)
		if err != nil {
			return nil, err
		}
		r := &repeat{App: a, open: open}
		if err := r.turn(ctx, data, before, i == len(turns)-1); err != nil {
			return nil, fmt.Errorf("turn %d of %d: %w", i+1, len(turns), err)
		}
		before = r.run.To
		if r.run.Cut {
			out.Cut++
		}
		out.Files = r.files
	}
	if out.Files == nil {
		return nil, fmt.Errorf("%w: %s has no turn that ended in a report", tracer.ErrUsage, evidenceName)
	}
	return out, nil
}

func readZipped(f *zip.File) ([]byte, error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, maxEvidence+1))
	if err == nil && len(data) > maxEvidence {
		err = errors.New("a file in it is too large")
	}
	return data, err
}

// A repeat is a turn that is repeated.
type repeat struct {
	*App
	open  Reopener
	run   turnRun
	files []report.NamedFile
}

// errOther reports that a turn came to something else than it did then.
var errOther = errors.New("it comes to another state than it did then")

func (r *repeat) turn(ctx context.Context, archive []byte, before stateRef, last bool) error {
	node, err := evidence.Open(bytes.NewReader(archive))
	if err != nil {
		return err
	}
	defer node.Close()
	if err := json.Unmarshal(node.Run(), &r.run); err != nil {
		return err
	}
	run := &r.run
	if run.From != before || run.Report != last && last {
		return errors.New("the turns do not follow one another")
	}
	if run.Cut {
		return nil
	}
	k, err := r.knowledge(ctx, "")
	if err != nil {
		return err
	}
	if k.id != run.Pinned.Known {
		return errors.New("the labels or prices are others than they were then, or of another version of scamtrace")
	}
	t := &turn{c: &Case{ID: run.Case, Workspace: "replay", Chain: run.Chain, Seeds: run.Seeds, Options: run.Options,
		Pinned: &run.Pinned, Base: run.Base, Notes: run.Notes, Spent: run.Spent, Epoch: run.To.Epoch - 1, State: run.From.Epoch}, k: k}
	if run.From.Epoch > 0 {
		state, _, err := r.Bucket.Get(ctx, fmt.Sprintf("%06d.snap", run.From.Epoch))
		if err != nil {
			return err
		}
		if hashBytes(state) != run.From.SHA256 {
			return errors.New("the state before it was changed")
		}
		if _, err := r.Bucket.Create(ctx, t.c.stateKey(run.From.Epoch), state); err != nil {
			return err
		}
	}
	if run.Quotes {
		r.Quoters = Feeds
	}
	if t.chain, err = k.chain(run.Chain); err != nil {
		return err
	}
	if t.src, err = r.open(ctx, t.chain, node, run.Pinned.tracer(), run.Asked); err != nil {
		return missing(node, err)
	}
	if err := r.again(ctx, t); err != nil || !run.Unlooked {
		return missing(node, err)
	}
	return nil
}

// again does what the turn did.
func (r *repeat) again(ctx context.Context, t *turn) error {
	if err := r.begin(ctx, t); err != nil {
		return err
	}
	for i := range r.run.Steps {
		more, err := t.w.Step(ctx)
		if err != nil {
			return err
		}
		if !more && i < r.run.Steps-1 {
			return errOther
		}
	}
	if r.run.Settled {
		res, err := t.w.Settle(ctx)
		if err != nil {
			return err
		}
		if r.run.Report {
			if _, r.files, err = r.bundle(ctx, t, res); err != nil {
				return err
			}
		}
	}
	state, err := t.state()
	if err == nil && hashBytes(state) != r.run.To.SHA256 {
		err = errOther
	}
	return err
}

// missing says what a recording lacks, if it lacks anything.
func missing(node *evidence.Node, err error) error {
	if lacks := node.Missing(); len(lacks) > 0 {
		return fmt.Errorf("the recording lacks what the trace asks for: %s", strings.Join(lacks, "; "))
	}
	return err
}
