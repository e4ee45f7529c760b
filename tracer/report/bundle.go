package report

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"scamtrace/tracer"

	"github.com/gowebpki/jcs"
)

// BundleSchema is the version of the layout of a bundle.
const BundleSchema = "scamtrace-bundle/1"

// A Manifest names every file of a bundle by its hash, and says what the
// report depends on. manifest.json is its canonical form (RFC 8785), and all
// of it follows from report.json and the other files.
type Manifest struct {
	Schema     string     `json:"schema"`
	Report     string     `json:"report"` // the schema of report.json
	Tool       Tool       `json:"tool"`
	Case       Case       `json:"case"`
	Chains     []Chain    `json:"chains"` // with the pinned block and the hosts that were asked
	Parameters Parameters `json:"parameters"`
	Status     string     `json:"status"` // complete or partial
	Reasons    []string   `json:"reasons,omitempty"`
	Counts     Counts     `json:"counts"`
	Files      []File     `json:"files"` // by name; all but the manifest and its signature
}

// Counts say how much a report holds.
type Counts struct {
	Seeds       int `json:"seeds"`
	Exits       int `json:"exits"`
	Wallets     int `json:"wallets"`
	Incomplete  int `json:"incomplete"` // wallets that were not read completely
	Flows       int `json:"flows"`
	Transfers   int `json:"transfers"`
	Verified    int `json:"verified"` // transfers that are proven
	Conversions int `json:"conversions"`
	Clusters    int `json:"clusters"`
	Gaps        int `json:"gaps"`
}

// A File is what a manifest says of a file.
type File struct {
	Name   string `json:"name"` // with / between folders
	Size   int64  `json:"size"` // bytes
	SHA256 string `json:"sha256"`
}

// A NamedFile is a file of a bundle.
type NamedFile struct {
	Name string // with / between folders
	Data []byte
}

// The files that a manifest does not name.
const (
	manifestName  = "manifest.json"
	signatureName = "manifest.sig"
)

// A writer makes a file of a bundle.
type writer struct {
	name  string
	write func(*Report) ([]byte, error)
}

// writers are the files of a bundle beside the manifest, by name. They are no
// variable, which would be linked into programs that write none: a function of
// the pipeline is 3 MB smaller for it.
func writers() []writer {
	return []writer{
		{"clusters.csv", sure(clustersCSV)},
		{"exits.csv", sure(exitsCSV)},
		{"graph.dot", sure(dot)},
		{"graph.gexf", sure(gexf)},
		{"graph.graphml", sure(graphML)},
		{"report.html", page},
		{"report.json", func(r *Report) ([]byte, error) { return appendJSON(nil, r) }},
		{"tokens.csv", sure(tokensCSV)},
		{"transfers.csv", sure(transfersCSV)},
		{"transfers.parquet", transfersParquet},
		{"uncounted.csv", sure(uncountedCSV)},
		{"wallets.csv", sure(walletsCSV)},
	}
}

// sure is for writers that cannot fail.
func sure(write func(*Report) []byte) func(*Report) ([]byte, error) {
	return func(r *Report) ([]byte, error) { return write(r), nil }
}

// Bundle returns all files of a report's bundle: those of the manifest by
// name, then manifest.json, then manifest.sig if s is not nil. Others, such as
// what the report rests on, are taken along as they are.
//
// First it makes every text of r safe, in place, so r must not be in use
// elsewhere; a report from [Build] is left as it is. A report whose addresses,
// hashes, amounts or times are none, or whose sums do not add up, has no
// bundle: the error says what is wrong.
func Bundle(ctx context.Context, r *Report, s Signer, others ...NamedFile) ([]NamedFile, error) {
	if err := r.hold(); err != nil {
		return nil, fmt.Errorf("the report is not as it should be: %w", err)
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	files := slices.Clone(others)
	for _, w := range writers() {
		b, err := w.write(r)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", w.name, err)
		}
		files = append(files, NamedFile{w.name, b})
	}
	slices.SortFunc(files, func(a, b NamedFile) int { return strings.Compare(a.Name, b.Name) })
	var sums []File
	for i, f := range files {
		if !validName(f.Name) || i > 0 && f.Name == files[i-1].Name {
			return nil, fmt.Errorf("the bundle cannot take a file called %q along", clean(f.Name, 80))
		}
		sums = append(sums, File{f.Name, int64(len(f.Data)), hexSum(f.Data)})
	}
	b, err := canonical(manifest(r, sums))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", manifestName, err)
	}
	files = append(files, NamedFile{manifestName, b})
	if s != nil {
		sig, err := sign(ctx, s, b)
		if err != nil {
			return nil, err
		}
		files = append(files, NamedFile{signatureName, sig})
	}
	return files, nil
}

// validName reports whether a bundle may have a file of that name: plain ASCII
// without a way out of its folder, that no system reads as anything else.
func validName(name string) bool {
	return fs.ValidPath(name) && name != "." && all(name, isWord) && !strings.Contains(name, ":") &&
		name != manifestName && name != signatureName
}

// manifest says everything that manifest.json does.
func manifest(r *Report, files []File) Manifest {
	m := Manifest{
		Schema: BundleSchema, Report: r.Schema, Tool: r.Tool, Case: r.Case, Chains: r.Chains, Parameters: r.Parameters,
		Status: r.Outcome.Status, Reasons: r.Outcome.Reasons, Files: files,
		Counts: Counts{
			Seeds: len(r.Seeds), Exits: len(r.Exits), Wallets: len(r.Wallets), Flows: len(r.Flows), Transfers: len(r.Transfers),
			Conversions: len(r.Conversions), Clusters: len(r.Clusters), Gaps: len(r.Gaps),
		},
	}
	for i := range r.Wallets {
		if !r.Wallets[i].Complete {
			m.Counts.Incomplete++
		}
	}
	for i := range r.Transfers {
		if r.Transfers[i].Verified {
			m.Counts.Verified++
		}
	}
	return m
}

// canonical writes v as RFC 8785 wants it.
func canonical(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return jcs.Transform(b)
}

// WriteBundle writes the files of [Bundle] into a folder, whole or not at all:
// they are written beside it and take its place together. A folder that holds
// anything but an earlier bundle is left alone, with an error that wraps
// [tracer.ErrUsage].
func WriteBundle(ctx context.Context, dir string, r *Report, s Signer, others ...NamedFile) error {
	old, err := earlier(dir)
	if err != nil {
		return err
	}
	files, err := Bundle(ctx, r, s, others...)
	if err != nil {
		return err
	}
	parent := filepath.Dir(filepath.Clean(dir))
	if err := os.MkdirAll(parent, 0o777); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(parent, ".scamtrace-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	made := filepath.Join(tmp, "new")
	for _, f := range files {
		if err := writeFile(filepath.Join(made, filepath.FromSlash(f.Name)), f.Data); err != nil {
			return err
		}
	}
	if old {
		if err := os.Rename(dir, filepath.Join(tmp, "old")); err != nil {
			return err
		}
	} else if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) { // empty
		return err
	}
	return os.Rename(made, dir)
}

// Writable returns an error that wraps [tracer.ErrUsage] where [WriteBundle]
// would refuse a folder for what it is or holds.
func Writable(dir string) error {
	_, err := earlier(dir)
	return err
}

// earlier reports whether dir holds a bundle and nothing else. It is an error
// if it holds something else.
func earlier(dir string) (bool, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("%w: %s is not a folder that can be written to", tracer.ErrUsage, dir)
	}
	var m Manifest
	b, err := os.ReadFile(filepath.Join(dir, manifestName))
	known := err == nil && json.Unmarshal(b, &m) == nil && strings.HasPrefix(m.Schema, "scamtrace-bundle/")
	if err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		rel, relErr := filepath.Rel(dir, name)
		rel = filepath.ToSlash(rel)
		known = known && err == nil && relErr == nil && (e.IsDir() || rel == manifestName || rel == signatureName ||
			slices.ContainsFunc(m.Files, func(f File) bool { return f.Name == rel }))
		return nil
	}); err != nil {
		return false, err
	}
	if !known {
		return false, fmt.Errorf("%w: the folder %s holds other files; name a new folder for the report", tracer.ErrUsage, dir)
	}
	return true, nil
}

// writeFile writes a file so that it is there after a power cut.
func writeFile(name string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = bytes.NewReader(data).WriteTo(f)
	return errors.Join(err, f.Sync(), f.Close())
}
