package evidence

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"time"

	"github.com/klauspost/compress/zstd"
)

// Format is the version of the layout of an archive.
const Format = "scamtrace-evidence/2"

// maxLine bounds a line of an archive: the largest answer as a text.
const maxLine = 2*maxAnswer + 1<<10

// maxWindow is how far back an archive refers to itself, in bytes.
const maxWindow = 8 << 20

type firstLine struct {
	Format string          `json:"format"`
	Run    json.RawMessage `json:"run"`
}

type callLine struct {
	question
	Answers []answerLine `json:"answers"`
}

type answerLine struct {
	SHA256 string `json:"sha256"`
	At     string `json:"at"`              // when it first came: RFC 3339, UTC
	Times  int    `json:"times,omitempty"` // one after another; none: once, or from then on
}

type lastLine struct {
	Calls   int    `json:"calls"`
	Answers int    `json:"answers"`
	SHA256  string `json:"sha256"`
}

// Write writes an archive of what was recorded. run is whatever is needed to
// ask the same again. It must not be called while requests are under way. With
// an error the archive is of no use; one is that something was not kept.
func (r *Recorder) Write(w io.Writer, run any) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return r.err
	}
	about, err := json.Marshal(run)
	if err != nil {
		return err
	}
	z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(maxWindow))
	if err != nil {
		return err
	}
	order := make([]sum, 0, len(r.asked))
	for q := range r.asked {
		order = append(order, q)
	}
	slices.SortFunc(order, func(a, b sum) int {
		x, y := r.asked[a], r.asked[b]
		return cmp.Or(cmp.Compare(x.host, y.host), cmp.Compare(x.method, y.method), bytes.Compare(a[:], b[:]))
	})
	l := &lines{w: z, h: sha256.New()}
	l.value(firstLine{Format, about})
	written := make(map[sum]bool)
	for _, q := range order {
		e := r.asked[q]
		text, err := r.spool.get(q)
		if err != nil {
			return err
		}
		settled := e.settled()
		answers := make([]answerLine, len(settled))
		for i, a := range settled {
			answers[i].SHA256, answers[i].At = hex.EncodeToString(a.answer[:]), clock(a.at)
			if a.times > 1 && i < len(settled)-1 {
				answers[i].Times = a.times
			}
		}
		list, err := json.Marshal(answers)
		if err != nil {
			return err
		}
		l.write(text[:len(text)-1], []byte(`,"answers":`), list, []byte("}\n"))
		for _, a := range settled {
			if written[a.answer] {
				continue
			}
			written[a.answer] = true
			content, err := r.spool.get(a.answer)
			if err != nil {
				return err
			}
			l.write([]byte(`{"sha256":"`), hex.AppendEncode(nil, a.answer[:]), []byte(`",`), content[1:], []byte("\n"))
		}
	}
	l.value(lastLine{len(order), len(written), hex.EncodeToString(l.h.Sum(nil))})
	return errors.Join(l.err, z.Close())
}

func clock(at int64) string { return time.Unix(at, 0).UTC().Format(time.RFC3339) }

// lines writes lines, and hashes them.
type lines struct {
	w   io.Writer
	h   hash.Hash
	err error
}

func (l *lines) write(parts ...[]byte) {
	for _, p := range parts {
		if l.err == nil {
			l.h.Write(p)
			_, l.err = l.w.Write(p)
		}
	}
}

func (l *lines) value(v any) {
	b, err := json.Marshal(v)
	l.err = cmp.Or(l.err, err)
	l.write(b, []byte("\n"))
}

// About returns what an archive says of the run that was recorded, as JSON,
// without looking at the rest of it.
func About(r io.Reader) (json.RawMessage, error) {
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	return about(&input{r: bufio.NewReaderSize(z, 64<<10), h: sha256.New()})
}

func about(in *input) (json.RawMessage, error) {
	var first firstLine
	b, err := in.line()
	if err != nil {
		return nil, err
	}
	if err := exact(b, &first); err != nil {
		return nil, err
	}
	if first.Format != Format {
		return nil, fmt.Errorf("it is not of the format %s", Format)
	}
	return first.Run, nil
}

// Open reads an archive into a node. Every line is held against its hash and
// its place; an archive that [Recorder.Write] did not write is an error. The
// answers are kept in a temporary file, which [Node.Close] removes.
func Open(r io.Reader) (*Node, error) {
	s, err := newSpool()
	if err != nil {
		return nil, err
	}
	n := newNode(s)
	if err := n.read(r); err != nil {
		s.close()
		return nil, fmt.Errorf("the recording is not usable: %w", err)
	}
	return n, nil
}

var errChanged = errors.New("it was changed after it was made")

func (n *Node) read(r io.Reader) error {
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
	if err != nil {
		return err
	}
	defer z.Close()
	in := &input{r: bufio.NewReaderSize(z, 64<<10), h: sha256.New()}
	if n.run, err = about(in); err != nil {
		return err
	}
	var last callLine // the call before
	var lastKey sum
	var due []sum                                        // answers that come next
	have, errs := make(map[sum]bool), make(map[sum]bool) // whether it is a result, and an error
	for {
		before := in.h.Sum(nil)
		b, err := in.line()
		if err != nil {
			return err
		}
		switch {
		case len(due) > 0:
			if due, err = n.answer(b, due, have, errs); err != nil {
				return err
			}
		case bytes.HasPrefix(b, []byte(`{"calls":`)):
			var end lastLine
			if err := exact(b, &end); err != nil {
				return err
			}
			if end.Calls != len(n.asked) || end.Answers != len(have) || end.SHA256 != hex.EncodeToString(before) {
				return errChanged
			}
			if _, err := in.r.ReadByte(); err != io.EOF {
				return errChanged
			}
			n.refused(have, errs)
			for key, list := range n.boxes { // a refusal covers nothing
				n.boxes[key] = slices.DeleteFunc(list, func(b box) bool { return !have[b.answer] })
			}
			return nil
		default:
			var c callLine
			if err := exact(b, &c); err != nil {
				return err
			}
			key, err := n.call(&c)
			if err != nil {
				return err
			}
			if len(n.asked) > 1 && cmp.Or(cmp.Compare(last.Host, c.Host), cmp.Compare(last.Method, c.Method), bytes.Compare(lastKey[:], key[:])) >= 0 {
				return errChanged
			}
			last, lastKey = callLine{question: question{Host: c.Host, Method: c.Method}}, key
			for _, a := range n.asked[key].answers {
				if _, known := have[a.answer]; !known && !slices.Contains(due, a.answer) {
					due = append(due, a.answer)
				}
			}
		}
	}
}

// call keeps a question.
func (n *Node) call(c *callLine) (sum, error) {
	text, err := json.Marshal(c.question)
	if err != nil {
		return sum{}, err
	}
	key := sha256.Sum256(text)
	if n.asked[key] != nil || len(c.Answers) == 0 {
		return key, errChanged
	}
	e := &asked{host: c.Host, method: c.Method}
	for i, a := range c.Answers {
		b, err := hex.DecodeString(a.SHA256)
		at, bad := time.Parse(time.RFC3339, a.At)
		if err != nil || len(b) != len(sum{}) || bad != nil || clock(at.Unix()) != a.At || a.Times < 0 || a.Times == 1 || a.Times > 0 && i == len(c.Answers)-1 {
			return key, errChanged
		}
		e.answers = append(e.answers, run{answer: sum(b), at: at.Unix(), times: max(a.Times, 1)})
		if i > 0 && e.answers[i-1].answer == sum(b) {
			return key, errChanged
		}
	}
	n.asked[key] = e
	return key, n.cover(c.Method, c.Params, e)
}

// answer keeps the next answer that is due.
func (n *Node) answer(line []byte, due []sum, have, errs map[sum]bool) ([]sum, error) {
	const head = `{"sha256":"`
	at := len(head) + 2*len(sum{}) + len(`",`)
	want := due[0]
	if len(line) <= at || string(line[:at]) != head+hex.EncodeToString(want[:])+`",` {
		return nil, errChanged
	}
	content := append([]byte{'{'}, line[at:]...)
	if sha256.Sum256(content) != want || !json.Valid(content) {
		return nil, errChanged
	}
	have[want] = bytes.HasPrefix(content, []byte(`{"result":`))
	errs[want] = bytes.HasPrefix(content, []byte(`{"error":`))
	_, err := n.spool.put(content)
	return due[1:], err
}

// exact reads a line that holds a value and nothing else, written as it would
// be again.
func exact(line []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if d.Decode(v) != nil {
		return errChanged
	}
	again, err := json.Marshal(v)
	if err != nil || !bytes.Equal(again, line) {
		return errChanged
	}
	return nil
}

// input reads lines, and hashes them.
type input struct {
	r   *bufio.Reader
	h   hash.Hash
	buf []byte
}

// line returns a line without its end; it is overwritten by the next.
func (in *input) line() ([]byte, error) {
	in.buf = in.buf[:0]
	for {
		part, err := in.r.ReadSlice('\n')
		in.buf = append(in.buf, part...)
		switch {
		case err == nil:
			in.h.Write(in.buf)
			return in.buf[:len(in.buf)-1], nil
		case err == bufio.ErrBufferFull && len(in.buf) <= maxLine:
		case err == io.EOF, errors.Is(err, io.ErrUnexpectedEOF):
			return nil, errors.New("it is cut short")
		case err == bufio.ErrBufferFull:
			return nil, errors.New("it has a line that is too long")
		default:
			return nil, errors.New("it is not compressed as it should be")
		}
	}
}
