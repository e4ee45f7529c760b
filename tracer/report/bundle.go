package report

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"scamtrace/tracer"

	"github.com/holiman/uint256"
)

// A Manifest names every file of a bundle by its hash.
type Manifest struct {
	Schema     string     `json:"schema"`
	Tool       Tool       `json:"tool"`
	Chains     []Chain    `json:"chains"`
	Parameters Parameters `json:"parameters"`
	Files      []File     `json:"files"` // by name
}

// A File is a file of a bundle.
type File struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"` // bytes
	SHA256 string `json:"sha256"`
}

const manifestName = "manifest.json"

// writers are the files of a bundle beside the manifest.
var writers = []struct {
	name  string
	write func(io.Writer, *Report) error
}{
	{"exits.csv", writeExits},
	{"graph.dot", writeDOT},
	{"graph.graphml", writeGraphML},
	{"report.html", writeHTML},
	{"report.json", writeJSON},
	{"transfers.csv", writeTransfers},
	{"wallets.csv", writeWallets},
}

// WriteBundle writes a report into a folder, whole or not at all: the files
// are written beside it and moved there together. A folder that holds
// anything but an earlier bundle is left alone, with an error.
func WriteBundle(dir string, r *Report) (Manifest, error) {
	m := Manifest{Schema: "scamtrace-bundle/1", Tool: r.Tool, Chains: r.Chains, Parameters: r.Parameters}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return m, fmt.Errorf("%w: %s is not a folder that can be written to", tracer.ErrUsage, dir)
	}
	if len(entries) > 0 && !slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == manifestName }) {
		return m, fmt.Errorf("%w: the folder %s holds other files; name a new folder for the report", tracer.ErrUsage, dir)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o777); err != nil {
		return m, err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".scamtrace-")
	if err != nil {
		return m, err
	}
	defer os.RemoveAll(tmp)
	for _, w := range writers {
		var b bytes.Buffer
		if err := w.write(&b, r); err != nil {
			return m, fmt.Errorf("%s: %w", w.name, err)
		}
		sum := sha256.Sum256(b.Bytes())
		m.Files = append(m.Files, File{w.name, int64(b.Len()), hex.EncodeToString(sum[:])})
		if err := os.WriteFile(filepath.Join(tmp, w.name), b.Bytes(), 0o644); err != nil {
			return m, err
		}
	}
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return m, err
	}
	if err := os.WriteFile(filepath.Join(tmp, manifestName), append(b, '\n'), 0o644); err != nil {
		return m, err
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return m, err
	}
	if err := os.RemoveAll(dir); err != nil {
		return m, err
	}
	return m, os.Rename(tmp, dir)
}

// maxFile bounds what [Verify] reads of one file, in bytes.
const maxFile = 1 << 30

// Verify checks a bundle: that its files are those of the manifest, unchanged
// and no others, and that the sums of the report add up. An error names the
// first file that differs.
func Verify(dir string) (Manifest, error) {
	var m Manifest
	root, err := os.OpenRoot(dir)
	if err != nil {
		return m, fmt.Errorf("%w: %s is not a folder with a report", tracer.ErrUsage, dir)
	}
	defer root.Close()
	b, err := readFile(root, manifestName)
	if err != nil {
		return m, fmt.Errorf("%w: %s has no manifest.json, so it is not a report of scamtrace", tracer.ErrUsage, dir)
	}
	if err := json.Unmarshal(b, &m); err != nil || m.Schema != "scamtrace-bundle/1" {
		return m, errors.New("manifest.json is damaged, or of another version of scamtrace")
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return m, err
	}
	for _, e := range entries {
		if e.Name() != manifestName && !slices.ContainsFunc(m.Files, func(f File) bool { return f.Name == e.Name() }) {
			return m, fmt.Errorf("the file %q was added to the report", tracer.CleanText(e.Name(), 80))
		}
	}
	for _, w := range writers {
		i := slices.IndexFunc(m.Files, func(f File) bool { return f.Name == w.name })
		if i < 0 {
			return m, fmt.Errorf("manifest.json does not name %s", w.name)
		}
		b, err := readFile(root, w.name)
		if err != nil {
			return m, fmt.Errorf("%s is missing or cannot be read", w.name)
		}
		if sum := sha256.Sum256(b); int64(len(b)) != m.Files[i].Size || hex.EncodeToString(sum[:]) != m.Files[i].SHA256 {
			return m, fmt.Errorf("%s was changed after the report was made", w.name)
		}
		if w.name != "report.json" {
			continue
		}
		var r Report
		d := json.NewDecoder(bytes.NewReader(b))
		d.DisallowUnknownFields()
		if err := d.Decode(&r); err != nil || r.Schema != Schema {
			return m, errors.New("report.json is of another version of scamtrace")
		}
		if err := r.check(); err != nil {
			return m, err
		}
	}
	return m, nil
}

func readFile(root *os.Root, name string) ([]byte, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFile))
}

// check adds up the totals of every asset (promise P11).
func (r *Report) check() error {
	for _, t := range r.Totals.Assets {
		var in, out uint256.Int
		for i, s := range []string{t.Reported, t.ConvertedIn, t.Exited, t.Held, t.WrittenOff, t.Gaps, t.ConvertedOut} {
			v, err := uint256.FromDecimal(s)
			if err != nil {
				return fmt.Errorf("the totals of %s are not numbers", t.Asset)
			}
			if i < 2 {
				in.Add(&in, v)
			} else {
				out.Add(&out, v)
			}
		}
		if !in.Eq(&out) {
			return fmt.Errorf("the totals of %s do not add up: %s came in, %s is accounted for", t.Asset, in.Dec(), out.Dec())
		}
	}
	return nil
}

func writeJSON(w io.Writer, r *Report) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// cell defuses a text that a spreadsheet would take for a formula.
func cell(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}

func writeRows(w io.Writer, header []string, rows func(put func(...string))) error {
	c := csv.NewWriter(w)
	_ = c.Write(header) // errors stay until Flush
	rows(func(cells ...string) { _ = c.Write(cells) })
	c.Flush()
	return c.Error()
}

func amounts(list []Amount) string {
	var out []string
	for _, a := range list {
		if a.Readable == "" {
			out = append(out, a.Amount+" of "+a.Asset)
		} else {
			out = append(out, a.Readable+" "+a.Symbol)
		}
	}
	return strings.Join(out, "; ")
}

func writeTransfers(w io.Writer, r *Report) error {
	return writeRows(w, []string{"chain", "block", "block_hash", "time_utc", "tx_hash", "position", "kind", "from", "to", "asset", "symbol", "amount_raw", "amount", "traced_raw", "traced_usd", "price_source", "verified"}, func(put func(...string)) {
		for _, t := range r.Transfers {
			put(t.Chain, fmt.Sprint(t.Block), t.BlockHash, t.Time, t.Tx, t.Position, t.Kind, t.From, t.To, t.Asset, cell(t.Symbol), t.Amount, t.Readable, t.Traced, t.USD, t.PriceSource, fmt.Sprint(t.Verified))
		}
	})
}

func writeWallets(w io.Writer, r *Report) error {
	return writeRows(w, []string{"chain", "address", "role", "hop", "label", "label_source", "cluster", "contract", "received", "sent", "held", "received_usd", "first_utc", "last_utc", "complete", "reason"}, func(put func(...string)) {
		for _, x := range r.Wallets {
			var l Label
			if len(x.Labels) > 0 {
				l = x.Labels[0]
			}
			put(x.Chain, x.Address, x.Role, fmt.Sprint(x.Hop), cell(l.Name), cell(l.Source), x.Cluster, fmt.Sprint(x.Contract), amounts(x.Received), amounts(x.Sent), amounts(x.Held), x.USD, x.First, x.Last, fmt.Sprint(x.Complete), cell(x.Reason))
		}
	})
}

func writeExits(w io.Writer, r *Report) error {
	return writeRows(w, []string{"chain", "address", "service", "category", "rule", "confidence_percent", "source", "amounts", "usd", "first_utc", "last_utc", "transactions", "path"}, func(put func(...string)) {
		for _, x := range r.Exits {
			put(x.Chain, x.Address, cell(x.Service), x.Category, x.Rule, fmt.Sprint(x.Confidence), cell(x.Source), amounts(x.Amounts), x.USD, x.First, x.Last, strings.Join(x.Transactions, " "), strings.Join(x.Path, " "))
		}
	})
}

func xmlText(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a strings.Builder takes everything
	return b.String()
}

func writeGraphML(w io.Writer, r *Report) error {
	var b strings.Builder
	b.WriteString(xml.Header + `<graphml xmlns="http://graphml.graphdrawing.org/xmlns">` + "\n")
	for _, k := range []struct{ id, of, kind string }{
		{"role", "node", "string"}, {"label", "node", "string"}, {"cluster", "node", "string"}, {"hop", "node", "int"}, {"received_usd", "node", "string"}, {"complete", "node", "boolean"},
		{"symbol", "edge", "string"}, {"asset", "edge", "string"}, {"traced", "edge", "string"}, {"traced_raw", "edge", "string"}, {"usd", "edge", "string"}, {"transfers", "edge", "int"}, {"first", "edge", "string"}, {"last", "edge", "string"},
	} {
		fmt.Fprintf(&b, "<key id=%q for=%q attr.name=%q attr.type=%q/>\n", k.id, k.of, k.id, k.kind)
	}
	b.WriteString(`<graph edgedefault="directed">` + "\n")
	data := func(key, v string) { fmt.Fprintf(&b, "<data key=%q>%s</data>", key, xmlText(v)) }
	for _, x := range r.Wallets {
		fmt.Fprintf(&b, "<node id=%q>", x.Address)
		data("role", x.Role)
		if len(x.Labels) > 0 {
			data("label", x.Labels[0].Name)
		}
		data("cluster", x.Cluster)
		data("hop", fmt.Sprint(x.Hop))
		data("received_usd", x.USD)
		data("complete", fmt.Sprint(x.Complete))
		b.WriteString("</node>\n")
	}
	for i, f := range r.Flows {
		fmt.Fprintf(&b, "<edge id=\"f%d\" source=%q target=%q>", i, f.From, f.To)
		data("symbol", f.Symbol)
		data("asset", f.Asset)
		data("traced", f.Readable)
		data("traced_raw", f.Traced)
		data("usd", f.USD)
		data("transfers", fmt.Sprint(f.Transfers))
		data("first", f.First)
		data("last", f.Last)
		b.WriteString("</edge>\n")
	}
	b.WriteString("</graph>\n</graphml>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// dotText quotes a text for DOT, where only the quote and the backslash mean
// anything inside quotes.
func dotText(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", " ").Replace(s) + `"`
}

func writeDOT(w io.Writer, r *Report) error {
	var b strings.Builder
	b.WriteString("digraph money {\n  rankdir=LR;\n  node [shape=box];\n")
	for _, x := range r.Wallets {
		name := x.Address
		if len(x.Labels) > 0 {
			name = x.Labels[0].Name + " " + name
		}
		fmt.Fprintf(&b, "  %s [label=%s];\n", dotText(x.Address), dotText(name+" ("+x.Role+")"))
	}
	for _, f := range r.Flows {
		fmt.Fprintf(&b, "  %s -> %s [label=%s];\n", dotText(f.From), dotText(f.To), dotText(f.Readable+" "+f.Symbol))
	}
	b.WriteString("}\n")
	_, err := io.WriteString(w, b.String())
	return err
}
