package filesource

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
)

// maxRecord bounds one record in bytes, and maxHeader the first one. The
// inputs and outputs in ethereum-etl's traces are the longest cells that occur.
const (
	maxRecord = 8 << 20
	maxHeader = 64 << 10
)

var errLongRecord = errors.New("record too long")

// A leash fails a read that goes further than one record allows, so that a
// quote that is never closed does not pull a whole file into memory.
type leash struct {
	r    io.Reader
	n    int64 // bytes handed out
	upTo int64
}

func (l *leash) Read(p []byte) (int, error) {
	if l.n >= l.upTo {
		return 0, errLongRecord
	}
	n, err := l.r.Read(p)
	l.n += int64(n)
	return n, err
}

// A reader reads one file into a builder. Cell methods note the first error of
// a row and return zero values after it.
type reader struct {
	*builder
	file   *file
	id     uint16 // of file
	format *format
	header []string // as in the file
	column [fields]int
	csv    *csv.Reader
	rec    []string
	last   int   // line of the row before
	err    error // of this row
}

// A file is what the notes tell about one file.
type file struct {
	name   string // base name, cleaned
	path   string // as given; orders files of one name
	format *format

	rows, failed, zero, negative, rounded, rewards, equal int
	unknown                                               map[common.Address]int // transfers left out, by token
	bare                                                  map[common.Address]int // transfers of tokens without decimals
	zoneless                                              bool
	undated                                               bool // and no other file dates all of its blocks
	descends, ascends                                     bool // its blocks, as lines go down
	last                                                  uint64
	either                                                []common.Address // that take part in every row
}

// magic are the beginnings of files that are no CSV.
var magic = []struct{ prefix, reason string }{
	{"PK\x03\x04", "this is an Excel workbook or a zip archive; save the table as CSV first"},
	{"\xd0\xcf\x11\xe0", "this is an Excel workbook; save the table as CSV first"},
	{"\x1f\x8b", "this file is compressed; unpack it first"},
	{"PAR1", "this is a Parquet file; export it as CSV first"},
	{"%PDF", "this is a PDF; export the list as CSV instead"},
	{"\xff\xfe", "this file is in UTF-16; save it as CSV in UTF-8"},
	{"\xfe\xff", "this file is in UTF-16; save it as CSV in UTF-8"},
	{"<", "this is a web page, not a list; download the CSV export itself"},
	{"{", "this is JSON; export the list as CSV instead"},
	{"[", "this is JSON; export the list as CSV instead"},
}

// read adds the rows of one file. Its error holds up to maxErrors [RowError]s.
func (b *builder) read(f *file, src io.Reader) error {
	b.files = append(b.files, f)
	r := &reader{builder: b, file: f, id: uint16(len(b.files) - 1)}
	l := &leash{r: src, upTo: maxRecord}
	in := bufio.NewReaderSize(l, 64<<10)
	if head, _ := in.Peek(3); bytes.Equal(head, []byte("\xef\xbb\xbf")) {
		_, _ = in.Discard(3) // just peeked
	}
	head, err := in.Peek(4)
	if len(head) == 0 {
		if err != nil && err != io.EOF {
			return r.whole("cannot be read: " + tracer.CleanText(err.Error(), 200))
		}
		return r.whole("the file is empty; its first line must name the columns")
	}
	for _, m := range magic {
		if bytes.HasPrefix(head, []byte(m.prefix)) {
			return r.whole(m.reason)
		}
	}
	r.csv = csv.NewReader(in)
	r.csv.FieldsPerRecord = -1
	r.csv.ReuseRecord = true
	var errs []error
	for header := true; len(errs) < maxErrors; header = false {
		if l.upTo = r.csv.InputOffset() + maxRecord; header {
			l.upTo = maxHeader
		}
		r.rec, err = r.csv.Read()
		if err == io.EOF {
			if header {
				errs = append(errs, r.whole("the file is empty; its first line must name the columns"))
			}
			break
		}
		if err != nil {
			// What follows cannot be told apart any more.
			return join(append(errs, r.unreadable(err)))
		}
		r.err, r.last = nil, r.line()
		if header {
			if err := r.start(); err != nil {
				return err
			}
			continue
		}
		f.rows++
		if r.shape(); r.err == nil {
			r.format.row(r)
		}
		if r.err != nil {
			errs = append(errs, r.err)
		}
	}
	if len(errs) > 0 {
		return join(errs)
	}
	return nil
}

// whole is an error about the file, not about a row.
func (r *reader) whole(reason string) error {
	return &RowError{File: r.file.name, Reason: reason}
}

// unreadable explains an error of the CSV reader.
func (r *reader) unreadable(err error) error {
	e := &RowError{File: r.file.name}
	if pe, ok := errors.AsType[*csv.ParseError](err); ok {
		e.Line, e.Reason = pe.Line, "a quotation mark stands in the middle of a cell, or one is not closed; inside a quoted cell it is written twice"
		return e
	}
	if errors.Is(err, errLongRecord) {
		e.Line, e.Reason = r.last+1, fmt.Sprintf("a row is longer than %d MiB; a quotation mark may not be closed", maxRecord>>20)
		if r.format == nil {
			e.Reason = fmt.Sprintf("the first line is longer than %d KiB; it must name the columns and no more", maxHeader>>10)
		}
		return e
	}
	e.Reason = "cannot be read: " + tracer.CleanText(err.Error(), 200)
	return e
}

// start finds out what the columns mean.
func (r *reader) start() error {
	r.header = make([]string, len(r.rec))
	lower := make([]string, len(r.rec))
	for i, cell := range r.rec {
		r.header[i] = tracer.CleanText(cell, 60)
		lower[i] = strings.ToLower(r.header[i])
	}
	for n := len(lower); n > 1 && lower[n-1] == ""; n-- { // commas at the end of the line
		lower, r.header = lower[:n-1], r.header[:n-1]
	}
	if len(lower) == 1 && strings.ContainsAny(lower[0], ";|") || len(lower) == 1 && strings.Contains(r.rec[0], "\t") {
		return &RowError{File: r.file.name, Line: 1, Reason: "the columns are not separated by commas; save the table as CSV with commas"}
	}
	f, at, err := detect(lower)
	if err != nil {
		e := &RowError{File: r.file.name, Line: 1, Reason: err.Error()}
		if at >= 0 {
			e.Column = shown(r.header[at], at)
		}
		return e
	}
	r.format, r.file.format = f, f
	for i := range r.column {
		r.column[i] = -1
	}
	for i, cell := range lower {
		c, _ := f.find(cell)
		switch {
		case c.field == ignored:
		case r.column[c.field] < 0:
			r.column[c.field] = i
		case c.field != fFromLabel && c.field != fToLabel:
			return &RowError{File: r.file.name, Line: 1, Column: shown(r.header[i], i), Reason: "this column stands twice; please remove one"}
		}
		if before, after, ok := strings.Cut(c.name, "(*)"); ok {
			if err := r.coin(cell[len(before)+1:len(cell)-len(after)-1], i); err != nil {
				return err
			}
		}
	}
	return nil
}

// oldSymbols are what explorers call coins that were renamed.
var oldSymbols = map[uint64]string{137: "MATIC"}

// coin checks the symbol in a header like Value_IN(ETH) against the chain.
func (r *reader) coin(symbol string, at int) error {
	if strings.EqualFold(symbol, r.chain.Symbol) || strings.EqualFold(symbol, oldSymbols[r.chain.ID]) && symbol != "" {
		return nil
	}
	return &RowError{File: r.file.name, Line: 1, Column: shown(r.header[at], at), Reason: fmt.Sprintf(
		"the amounts are in %s, but the coin of %s is %s; name the chain that the file is of", strings.ToUpper(symbol), r.chain.Title, r.chain.Symbol)}
}

// shown names a column in an error.
func shown(name string, at int) string {
	if name == "" || secret(name) {
		return fmt.Sprintf("%d (without a name)", at+1)
	}
	return name
}

// shape checks the number of cells. Empty cells beyond the header are allowed.
func (r *reader) shape() {
	n := len(r.rec)
	for n > len(r.header) && strings.TrimSpace(r.rec[n-1]) == "" {
		n--
	}
	if n != len(r.header) {
		r.fail(&RowError{File: r.file.name, Line: r.line(), Reason: fmt.Sprintf(
			"this row has %d cells, the header has %d; a cell with a comma in it needs quotation marks", n, len(r.header))})
	}
}

func (r *reader) line() int {
	line, _ := r.csv.FieldPos(0)
	return line
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// bad notes what is wrong with a cell of this row.
func (r *reader) bad(f field, format string, args ...any) {
	if r.err != nil {
		return
	}
	e := &RowError{File: r.file.name, Reason: fmt.Sprintf(format, args...)}
	if at := r.column[f]; at >= 0 {
		e.Line, _ = r.csv.FieldPos(at)
		e.Column = shown(r.header[at], at)
	} else {
		e.Line = r.line()
	}
	r.err = e
}

// cell returns a cell without white space around it, empty where the file has
// no such column.
func (r *reader) cell(f field) string {
	if at := r.column[f]; at >= 0 {
		return strings.TrimSpace(r.rec[at])
	}
	return ""
}

// need returns a cell that must not be empty.
func (r *reader) need(f field) string {
	s := r.cell(f)
	if s == "" {
		r.bad(f, "the cell is empty")
	}
	return s
}

func (r *reader) uint(f field, limit uint64, what string) uint64 {
	s := r.need(f)
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n > limit {
		r.bad(f, "%s is not %s", quote(s), what)
	}
	return n
}

func (r *reader) block() uint64 {
	return r.uint(fBlock, 1<<62, "a block number; write it in digits only")
}

// index reads a transaction index; an empty cell is not known.
func (r *reader) index() (n uint32, known bool) {
	if r.cell(fIndex) == "" {
		return 0, false
	}
	return uint32(r.uint(fIndex, 1<<31, "the place of a transaction in its block; leave the cell empty where it is not known")), true
}

// time reads a time; an empty cell is not known and gives 0.
func (r *reader) time() uint64 {
	s := r.cell(fTime)
	if s == "" {
		return 0
	}
	sec, zone, err := parseTime(s)
	if err != nil {
		r.bad(fTime, "%v", err)
	}
	r.file.zoneless = r.file.zoneless || !zone
	return sec
}

func (r *reader) address(f field) common.Address {
	s := r.need(f)
	if r.err != nil {
		return common.Address{}
	}
	a, err := parseAddress(&r.chain, s)
	if err != nil {
		r.bad(f, "%v", err)
	}
	return a
}

// token returns the asset of a contract. The address that logs the moves of
// native coin (EIP-7708) is no contract.
func (r *reader) token(f field) tracer.Asset {
	if a := r.address(f); a != tracer.NativeLogs {
		return tracer.TokenOf(r.chain.ID, a)
	}
	return tracer.NativeOf(r.chain.ID)
}

func (r *reader) hash() common.Hash {
	s := r.need(fTx)
	if r.err != nil {
		return common.Hash{}
	}
	h, err := parseHash(&r.chain, s)
	if err != nil {
		r.bad(fTx, "%v", err)
	}
	return h
}

func (r *reader) integer(f field) uint256.Int {
	s := r.need(f)
	v, err := parseInteger(s)
	if err != nil {
		r.bad(f, "%v", err)
	}
	return v
}

// amount reads a number in readable units; an empty cell or a dash is zero.
func (r *reader) amount(f field, decimals uint8) uint256.Int {
	s := r.cell(f)
	if s == "" || s == "-" {
		return uint256.Int{}
	}
	v, negative, exact, err := parseDecimal(s, decimals)
	switch {
	case err != nil:
		r.bad(f, "%v", err)
	case negative && !v.IsZero():
		r.bad(f, "%s is less than nothing; an amount has no sign", quote(s))
	case !exact && !r.format.rounded:
		r.bad(f, "%s has more than the %d decimals of this asset; give the amount as it was exported", quote(s), decimals)
	}
	return v
}

// status reads a column that holds 1 for done and 0 for failed.
func (r *reader) status() (ok bool) {
	switch s := r.need(fStatus); s {
	case "1":
		return true
	case "0":
	default:
		r.bad(fStatus, "%s is neither 1 (done) nor 0 (failed)", quote(s))
	}
	return false
}
