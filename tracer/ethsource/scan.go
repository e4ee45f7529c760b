package ethsource

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"

	"github.com/ethereum/go-ethereum/common"
)

// A log is what a transaction left behind, as far as a transfer can be in it:
// the first bytes of the data and how many there are.
type log struct {
	Address   common.Address
	Topics    [4]common.Hash
	Data      [96]byte // the rest is not kept
	Size      int      // bytes of data
	Block     uint64
	Hash      common.Hash // of the block
	Time      uint64      // zero on older nodes
	Tx        common.Hash
	TxIndex   uint64
	Index     uint64 // in the block
	NumTopics int
	Removed   bool
	present   uint16
}

// The members that a log must have.
const (
	hasAddress uint16 = 1 << iota
	hasTopics
	hasData
	hasBlock
	hasHash
	hasTx
	hasTxIndex
	hasIndex
	hasAll = hasIndex<<1 - 1
)

// A scanner reads JSON from a stream in one pass. It takes what encoding/json
// takes, and keeps no more of it than one buffer.
type scanner struct {
	r    io.Reader
	buf  []byte
	i, n int // buf[i:n] is not looked at yet
	mark int // where to keep from, -1 for i
	err  error
}

const scanBuffer = 64 << 10

func newScanner(r io.Reader) *scanner { return &scanner{r: r, buf: make([]byte, scanBuffer), mark: -1} }

var (
	errSyntax = errors.New("it is not valid JSON")
	errNull   = errors.New("it is null")
)

// more reads more, so that buf[i:n] grows. It reports whether there was any.
func (s *scanner) more() bool {
	if s.err != nil {
		return false
	}
	from := s.i
	if s.mark >= 0 {
		from, s.mark = s.mark, 0
	}
	if from > 0 {
		s.n = copy(s.buf, s.buf[from:s.n])
		s.i -= from
	}
	if s.n == len(s.buf) {
		s.buf = append(s.buf, make([]byte, len(s.buf))...)
	}
	for s.err == nil {
		var n int
		n, s.err = s.r.Read(s.buf[s.n:])
		s.n += n
		if n > 0 {
			return true
		}
	}
	return false
}

// UnmarshalJSON reads a log as the stream of logs is read.
func (l *log) UnmarshalJSON(b []byte) error {
	s := &scanner{buf: b, n: len(b), mark: -1, err: io.EOF}
	*l = log{}
	return s.log(l)
}

// failed is the error of an input that ends where it must not, or is wrong.
func (s *scanner) failed() error {
	if s.err != nil && s.i >= s.n {
		if s.err == io.EOF {
			return io.ErrUnexpectedEOF
		}
		return s.err
	}
	return errSyntax
}

// peek returns the next byte that is not white space, 0 at the end.
func (s *scanner) peek() byte {
	for {
		for ; s.i < s.n; s.i++ {
			if c := s.buf[s.i]; c > ' ' || c != ' ' && c != '\n' && c != '\t' && c != '\r' {
				return c
			}
		}
		if !s.more() {
			return 0
		}
	}
}

// take skips white space and then the byte c, which must be there.
func (s *scanner) take(c byte) error {
	if s.i < s.n && s.buf[s.i] == c || s.peek() == c {
		s.i++
		return nil
	}
	return s.failed()
}

// quoted returns what stands between two quotes. Where a backslash is in it,
// it may have ended too early. It is valid until the next read.
func (s *scanner) quoted() ([]byte, error) {
	if err := s.take('"'); err != nil {
		return nil, err
	}
	for from := 0; ; {
		if k := bytes.IndexByte(s.buf[s.i+from:s.n], '"'); k >= 0 {
			raw := s.buf[s.i : s.i+from+k]
			s.i += from + k + 1
			return raw, nil
		}
		from = s.n - s.i
		if !s.more() {
			s.i = s.n
			return nil, s.failed()
		}
	}
}

// each reads an object and hands member its keys, one after another; member
// must read the value.
func (s *scanner) each(member func(key []byte) error) error {
	if err := s.take('{'); err != nil {
		return err
	}
	if s.peek() == '}' {
		s.i++
		return nil
	}
	for {
		key, err := s.key()
		if err != nil {
			return err
		}
		if err := member(key); err != nil {
			return err
		}
		if s.peek() == '}' {
			s.i++
			return nil
		}
		if err := s.take(','); err != nil {
			return err
		}
	}
}

// key reads a key and the colon behind it.
func (s *scanner) key() ([]byte, error) {
	if s.peek() != '"' {
		return nil, s.failed()
	}
	for k, c := range s.buf[s.i+1 : s.n] {
		if c == '"' {
			if end := s.i + 1 + k; end+1 < s.n && s.buf[end+1] == ':' {
				key := s.buf[s.i+1 : end]
				s.i = end + 2
				return key, nil
			}
			break
		}
		if c < ' ' || c == '\\' || c >= 0x80 {
			break
		}
	}
	raw, err := s.value() // with escapes, with white space behind it, or at the end of the buffer
	if err != nil {
		return nil, err
	}
	var key string
	if err := json.Unmarshal(raw, &key); err != nil {
		return nil, errSyntax
	}
	return []byte(key), s.take(':')
}

// list reads an array; item must read each element.
func (s *scanner) list(item func() error) error {
	if err := s.take('['); err != nil {
		return err
	}
	if s.peek() == ']' {
		s.i++
		return nil
	}
	for {
		if err := item(); err != nil {
			return err
		}
		if s.peek() == ']' {
			s.i++
			return nil
		}
		if err := s.take(','); err != nil {
			return err
		}
	}
}

// logs reads an array of logs and hands each to emit, which must not keep it.
func (s *scanner) logs(emit func(*log) error) error {
	if s.peek() == 'n' {
		if err := s.skip(0); err != nil {
			return err
		}
		return errNull
	}
	var l log
	return s.list(func() error {
		l = log{}
		if err := s.log(&l); err != nil {
			return err
		}
		return emit(&l)
	})
}

func (s *scanner) log(l *log) error {
	if err := s.each(func(key []byte) error { return s.member(l, key) }); err != nil {
		return err
	}
	if l.present != hasAll {
		return errors.New("a log is not complete")
	}
	return nil
}

// member reads the value of a member of a log.
func (s *scanner) member(l *log, key []byte) (err error) {
	switch string(key) {
	case "address":
		l.present |= hasAddress
		return s.fixed(l.Address[:])
	case "topics":
		l.present |= hasTopics
		return s.topics(l)
	case "data":
		l.present |= hasData
		return s.data(l)
	case "blockNumber":
		l.present |= hasBlock
		l.Block, err = s.quantity()
	case "blockHash":
		l.present |= hasHash
		return s.fixed(l.Hash[:])
	case "transactionHash":
		l.present |= hasTx
		return s.fixed(l.Tx[:])
	case "transactionIndex":
		l.present |= hasTxIndex
		l.TxIndex, err = s.quantity()
	case "logIndex":
		l.present |= hasIndex
		l.Index, err = s.quantity()
	case "blockTimestamp":
		if s.peek() == 'n' {
			l.Time = 0
			return s.skip(0)
		}
		l.Time, err = s.quantity()
	case "removed":
		switch s.peek() {
		case 't':
			l.Removed = true
		case 'f':
			l.Removed = false
		case 'n':
		default:
			return s.failed()
		}
		return s.skip(0)
	default:
		return s.skip(0)
	}
	return err
}

func (s *scanner) topics(l *log) error {
	l.NumTopics, l.Topics = 0, [4]common.Hash{}
	if s.peek() == 'n' {
		l.present &^= hasTopics
		return s.skip(0)
	}
	return s.list(func() error {
		if l.NumTopics == len(l.Topics) {
			return errors.New("a log has more than four topics")
		}
		l.NumTopics++
		return s.fixed(l.Topics[l.NumTopics-1][:])
	})
}

// nibble is the value of a hexadecimal digit, 0xff of every other byte.
var nibble = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xff
	}
	for i := range byte(10) {
		t['0'+i] = i
	}
	for i := range byte(6) {
		t['a'+i], t['A'+i] = 10+i, 10+i
	}
	return t
}()

var errHex = errors.New("it is not hexadecimal")

// unhex decodes digits into out, which has half as many bytes, eight digits at
// a time: each of the eight bytes of a word is worked on by itself.
func unhex(out, digits []byte) bool {
	const ones = 0x0101010101010101
	ok := uint64(ones << 7)
	for len(out) >= 4 {
		x := binary.LittleEndian.Uint64(digits)
		small := x | 0x20*ones // capital letters as small ones
		// The top bit of a byte says that the byte was at least so much.
		number := (x + (0x80-'0')*ones) &^ (x + (0x80-'9'-1)*ones)
		letter := (small + (0x80-'a')*ones) &^ (small + (0x80-'f'-1)*ones)
		ok &= (number | letter) &^ x
		n := small&(0x0f*ones) + 9*(small>>6&ones)
		n = (n<<4 | n>>8) & 0x00ff00ff00ff00ff
		n = (n | n>>8) & 0x0000ffff0000ffff
		binary.LittleEndian.PutUint32(out, uint32(n|n>>16))
		out, digits = out[4:], digits[8:]
	}
	bad := byte(0)
	for k := range out {
		hi, lo := nibble[digits[2*k]], nibble[digits[2*k+1]]
		bad |= hi | lo
		out[k] = hi<<4 | lo&0xf
	}
	return ok&(ones<<7) == ones<<7 && bad&0xf0 == 0
}

func hasPrefix(raw []byte) bool {
	return len(raw) >= 2 && raw[0] == '0' && raw[1]|0x20 == 'x'
}

// fixed reads as many bytes as out has.
func (s *scanner) fixed(out []byte) error {
	end := s.i + 3 + 2*len(out)
	if end < s.n && s.buf[s.i] == '"' && s.buf[end] == '"' && hasPrefix(s.buf[s.i+1:]) && unhex(out, s.buf[s.i+3:end]) {
		s.i = end + 1
		return nil
	}
	raw, err := s.quoted()
	if err != nil {
		return err
	}
	if len(raw) != 2+2*len(out) || !hasPrefix(raw) || !unhex(out, raw[2:]) {
		return errHex
	}
	return nil
}

func (s *scanner) data(l *log) error {
	raw, err := s.quoted()
	if err != nil {
		return err
	}
	l.Data, l.Size = [96]byte{}, 0
	if len(raw) == 0 {
		return nil
	}
	if !hasPrefix(raw) || len(raw)%2 != 0 {
		return errHex
	}
	raw = raw[2:]
	l.Size = len(raw) / 2
	kept := min(l.Size, len(l.Data))
	if !unhex(l.Data[:kept], raw) {
		return errHex
	}
	for _, c := range raw[2*kept:] {
		if nibble[c] == 0xff {
			return errHex
		}
	}
	return nil
}

// quantity reads a number the way hexutil.Uint64 does.
func (s *scanner) quantity() (n uint64, err error) {
	raw, err := s.quoted()
	if err != nil || len(raw) == 0 {
		return 0, err
	}
	if !hasPrefix(raw) || len(raw) == 2 || len(raw) > 2+16 || raw[2] == '0' && len(raw) > 3 {
		return 0, errHex
	}
	for _, c := range raw[2:] {
		if nibble[c] == 0xff {
			return 0, errHex
		}
		n = n<<4 | uint64(nibble[c])
	}
	return n, nil
}

// value returns the next value as it is written. It is the caller's.
func (s *scanner) value() ([]byte, error) {
	s.peek()
	s.mark = s.i
	err := s.skip(0)
	raw := bytes.Clone(s.buf[s.mark:s.i])
	s.mark = -1
	return raw, err
}

// maxDepth is how deep encoding/json goes.
const maxDepth = 10_000

// skip reads over the next value.
func (s *scanner) skip(depth int) error {
	if depth > maxDepth {
		return errSyntax
	}
	switch c := s.peek(); c {
	case '{':
		return s.nested('}', func() error {
			if s.peek() != '"' {
				return s.failed()
			}
			if err := s.text(); err != nil {
				return err
			}
			if err := s.take(':'); err != nil {
				return err
			}
			return s.skip(depth + 1)
		})
	case '[':
		return s.nested(']', func() error { return s.skip(depth + 1) })
	case '"':
		return s.text()
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	default:
		if c == '-' || c >= '0' && c <= '9' {
			return s.number()
		}
		return s.failed()
	}
}

// nested reads what stands between brackets; item reads each part.
func (s *scanner) nested(end byte, item func() error) error {
	s.i++
	if s.peek() == end {
		s.i++
		return nil
	}
	for {
		if err := item(); err != nil {
			return err
		}
		switch s.peek() {
		case end:
			s.i++
			return nil
		case ',':
			s.i++
		default:
			return s.failed()
		}
	}
}

// next returns the next byte, 0 at the end.
func (s *scanner) next() byte {
	if s.i == s.n && !s.more() {
		return 0
	}
	return s.buf[s.i]
}

func (s *scanner) word(w string) error {
	for k := range len(w) {
		if s.next() != w[k] {
			return s.failed()
		}
		s.i++
	}
	return nil
}

// text reads over a string.
func (s *scanner) text() error {
	s.i++
	for {
		for ; s.i < s.n; s.i++ {
			switch c := s.buf[s.i]; {
			case c == '"':
				s.i++
				return nil
			case c == '\\':
				if err := s.escape(); err != nil {
					return err
				}
				s.i-- // the loop goes on
			case c < ' ':
				return errSyntax
			}
		}
		if !s.more() {
			return s.failed()
		}
	}
}

// escape reads over a backslash and what it stands for.
func (s *scanner) escape() error {
	s.i++
	c := s.next()
	if c == 0 || !bytes.ContainsRune([]byte(`"\/bfnrtu`), rune(c)) {
		return s.failed()
	}
	s.i++
	if c == 'u' {
		for range 4 {
			if nibble[s.next()] == 0xff {
				return s.failed()
			}
			s.i++
		}
	}
	return nil
}

func (s *scanner) number() error {
	if s.next() == '-' {
		s.i++
	}
	digits := func() error {
		if c := s.next(); c < '0' || c > '9' {
			return s.failed()
		}
		for c := s.next(); c >= '0' && c <= '9'; c = s.next() {
			s.i++
		}
		return nil
	}
	if s.next() == '0' {
		s.i++
	} else if err := digits(); err != nil {
		return err
	}
	if s.next() == '.' {
		s.i++
		if err := digits(); err != nil {
			return err
		}
	}
	if s.next()|0x20 == 'e' {
		s.i++
		if c := s.next(); c == '+' || c == '-' {
			s.i++
		}
		return digits()
	}
	return nil
}
