package label

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"scamtrace/tracer"
)

// The largest files that are read, in bytes. The largest public TagPack of EVM
// chains has one million; a hostile one takes 150 times its size in memory.
const (
	MaxCSV     = 64 << 20
	MaxTagPack = 2 << 20
)

// Load adds the labels of a file to the set: .csv is read by [Set.ReadCSV],
// .yaml and .yml by [Set.ReadTagPack].
func (s *Set) Load(file string) (notes []string, err error) {
	read := s.ReadTagPack
	switch strings.ToLower(filepath.Ext(file)) {
	case ".csv":
		read = s.ReadCSV
	case ".yaml", ".yml":
	default:
		return nil, fmt.Errorf("%w: labels are read from .csv, .yaml and .yml files; %s is none of them", tracer.ErrUsage, tracer.CleanText(file, 200))
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("%w: the labels cannot be read: %v", tracer.ErrUsage, err)
	}
	defer f.Close()
	return read(f, filepath.Base(file))
}

// ReadCSV adds labels from a file with a head line that names its columns, in
// any order:
//
//	chain       the chain's name or number, as in ethereum or 1
//	address     0x and 40 digits
//	name        of the service or person
//	category    one of the categories of this package
//	confidence  percent, a whole number; [MinService] where it is empty or absent
//	source      who says so; may be empty or absent
//
// name is the file's: it begins the source of each label and every error, which
// names the line and wraps [tracer.ErrUsage]. After an error the set is as it
// was. notes say in a sentence each what was left out: rows of chains that are
// not traced.
func (s *Set) ReadCSV(r io.Reader, name string) (notes []string, err error) {
	ls, notes, err := readCSV(r, name, s.also...)
	if err != nil {
		return nil, err
	}
	s.add(ls)
	return notes, nil
}

func readCSV(r io.Reader, name string, also ...tracer.Chain) ([]Label, []string, error) {
	name = tracer.CleanText(name, 200)
	cr := csv.NewReader(skipBOM(&capped{r: r, left: MaxCSV}))
	cr.ReuseRecord = true
	line := 1
	fail := func(format string, args ...any) ([]Label, []string, error) {
		return nil, nil, fmt.Errorf("%w: %s, line %d: "+format, append([]any{tracer.ErrUsage, name, line}, args...)...)
	}
	var cols columns
	var ls []Label
	elsewhere := make(map[string]int)
	for first := true; ; first = false {
		row, err := cr.Read()
		if pe, ok := errors.AsType[*csv.ParseError](err); ok {
			line = pe.Line
			return fail("%v", pe.Err)
		}
		switch {
		case errors.Is(err, errTooLarge):
			return nil, nil, fmt.Errorf("%w: %s is larger than %d MB; please split it", tracer.ErrUsage, name, MaxCSV>>20)
		case err == io.EOF && first:
			return fail("the file is empty")
		case err == io.EOF:
			return ls, leftOut(name, "label", elsewhere), nil
		case err != nil:
			return nil, nil, fmt.Errorf("read %s: %w", name, err)
		}
		line, _ = cr.FieldPos(0)
		if first {
			if cols, err = parseHead(row); err != nil {
				return fail("%v", err)
			}
			continue
		}
		l, known, err := cols.label(row, also)
		if err != nil {
			return fail("%v", reason(err))
		}
		if !known {
			elsewhere["chain "+cols.field(row, "chain")]++
			continue
		}
		if l.Source, err = origin(name, l.Source); err != nil {
			return fail("%v", err)
		}
		if l, err = l.clean(); err != nil {
			return fail("%v", reason(err))
		}
		ls = append(ls, l)
	}
}

// columns says where the column of each name is.
type columns map[string]int

func parseHead(row []string) (columns, error) {
	const names = "chain, address, name, category and, if you like, confidence and source"
	cols := make(columns)
	for i, name := range row {
		switch name {
		case "chain", "address", "name", "category", "confidence", "source":
		default:
			return nil, fmt.Errorf("the column %q is not known; the columns are %s", tracer.CleanText(name, 40), names)
		}
		if _, twice := cols[name]; twice {
			return nil, fmt.Errorf("the column %s stands twice", name)
		}
		cols[name] = i
	}
	for _, name := range []string{"chain", "address", "name", "category"} {
		if _, ok := cols[name]; !ok {
			return nil, fmt.Errorf("the column %s is missing; the columns are %s", name, names)
		}
	}
	return cols, nil
}

// field returns a value without the space around it, or "".
func (c columns) field(row []string, name string) string {
	if i, ok := c[name]; ok {
		return strings.TrimSpace(row[i])
	}
	return ""
}

// label reads a row. known is false where its chain is not traced.
func (c columns) label(row []string, also []tracer.Chain) (l Label, known bool, err error) {
	l = Label{
		Name: c.field(row, "name"), Category: Category(c.field(row, "category")),
		Confidence: MinService, Source: c.field(row, "source"),
	}
	chain := c.field(row, "chain")
	own := slices.IndexFunc(also, func(c tracer.Chain) bool { return c.Name == chain || strconv.FormatUint(c.ID, 10) == chain })
	if own >= 0 {
		l.Wallet.Chain = also[own].ID
	} else if id, err := strconv.ParseUint(chain, 10, 64); err == nil {
		if _, traced := tracer.ChainByID(id); !traced {
			return l, false, nil
		}
		l.Wallet.Chain = id
	} else {
		known, err := tracer.ChainNamed(chain)
		if err != nil {
			return l, false, err
		}
		l.Wallet.Chain = known.ID
	}
	if l.Wallet.Address, err = (&tracer.Chain{ID: l.Wallet.Chain}).ParseAddress(c.field(row, "address")); err != nil {
		return l, false, err
	}
	if s := c.field(row, "confidence"); s != "" {
		if l.Confidence, err = strconv.Atoi(s); err != nil {
			return l, false, fmt.Errorf("the confidence %q is not a whole number of percent", tracer.CleanText(s, 20))
		}
	}
	return l, true, nil
}

// origin is the source of a label from a file.
func origin(file, source string) (string, error) {
	if source = tracer.CleanText(source, 100); source != "" {
		file += ": " + source
	}
	if file = tracer.CleanText(file, 128); strings.EqualFold(file, Builtin) {
		return "", fmt.Errorf("a file cannot be the source %q; please give it another name", Builtin)
	}
	return file, nil
}

// leftOut says in a sentence what of a file was not read, the most frequent
// kinds first.
func leftOut(file, what string, kinds map[string]int) []string {
	if len(kinds) == 0 {
		return nil
	}
	total := 0
	var names []string
	for k, n := range kinds {
		total += n
		names = append(names, k)
	}
	slices.SortFunc(names, func(a, b string) int {
		if kinds[a] != kinds[b] {
			return kinds[b] - kinds[a]
		}
		return strings.Compare(a, b)
	})
	const show = 5
	more := ""
	if len(names) > show {
		more = fmt.Sprintf(" and %d more", len(names)-show)
		names = names[:show]
	}
	for i, k := range names {
		names[i] = fmt.Sprintf("%s: %d", k, kinds[k])
	}
	return []string{fmt.Sprintf("%s: %s of chains that are not traced left out (%s%s)", file, count(total, what), strings.Join(names, ", "), more)}
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// reason is an error without the mark of wrong usage before it, for a longer
// sentence that has it already.
func reason(err error) string {
	return strings.TrimPrefix(err.Error(), tracer.ErrUsage.Error()+": ")
}

// skipBOM drops the mark that some spreadsheets put before UTF-8 text.
func skipBOM(r io.Reader) io.Reader {
	b := bufio.NewReader(r)
	if p, _ := b.Peek(3); string(p) == "\ufeff" {
		_, _ = b.Discard(3)
	}
	return b
}

var errTooLarge = errors.New("too large")

// capped reads at most left bytes and fails when there are more, so that no
// file is cut off in silence.
type capped struct {
	r    io.Reader
	left int64 // negative once there was more
	err  error // of r, other than its end
}

func (c *capped) Read(p []byte) (int, error) {
	if c.left < 0 {
		return 0, errTooLarge
	}
	if int64(len(p)) > c.left+1 {
		p = p[:c.left+1]
	}
	n, err := c.r.Read(p)
	if err != nil && err != io.EOF {
		c.err = err
	}
	if c.left -= int64(n); c.left < 0 {
		return 0, errTooLarge
	}
	return n, err
}
