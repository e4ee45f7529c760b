package graphstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"

	"github.com/holiman/uint256"
	"github.com/klauspost/compress/zstd"
)

var (
	// ErrCorrupt reports that something is not a snapshot, or not a whole one.
	ErrCorrupt = errors.New("not a valid snapshot")

	// ErrVersion reports a snapshot of a later version of this program.
	ErrVersion = errors.New("snapshot of a newer version")
)

// A snapshot is a header and blocks. The header is magic and the version, 4
// bytes little endian. A block is three numbers of 4 bytes little endian and
// its content: the length of the content when decompressed, its length as zstd,
// and the CRC-32C of everything before this number and of the content. A block
// of length 0 ends the snapshot.
//
// Content shorter than one part in maxRatio of what it stands for is padded
// with zeros to that, so that a reader's memory is bounded by the length of
// what it was given.
const (
	magic    = "STGRAPH\n"
	version  = 1
	blockLen = 1 << 20
	maxRatio = 16
)

// decoders read the content of a snapshot by its version. A change of format
// adds one and leaves the others.
var decoders = [...]func(*decoder) *Store{1: decodeV1}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// WriteSnapshot writes all that the store holds. The same content gives the
// same bytes, in whatever order it came in; what [Store.RemoveVertex] removed
// is gone, and numbers are given out anew.
func (s *Store) WriteSnapshot(w io.Writer) error {
	e, err := newEncoder(w)
	if err == nil {
		s.encode(e)
		err = e.close()
	}
	if err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	return nil
}

// ReadSnapshot reads what [Store.WriteSnapshot] of this or an earlier version
// wrote, to the end of r. An error wraps [ErrCorrupt], [ErrVersion] or the error of r.
// Memory stays below a few hundred times the length of what was read, whatever
// it says of itself.
func ReadSnapshot(r io.Reader) (*Store, error) {
	s, err := readSnapshot(r)
	if err != nil {
		return nil, fmt.Errorf("read snapshot: %w", err)
	}
	return s, nil
}

func readSnapshot(r io.Reader) (*Store, error) {
	header := make([]byte, len(magic)+4)
	if _, err := io.ReadFull(r, header); err != nil {
		return nil, early(err)
	}
	if string(header[:len(magic)]) != magic {
		return nil, fmt.Errorf("%w: it does not begin like one", ErrCorrupt)
	}
	v := binary.LittleEndian.Uint32(header[len(magic):])
	if v == 0 {
		return nil, fmt.Errorf("%w: version 0", ErrCorrupt)
	}
	if v >= uint32(len(decoders)) {
		return nil, fmt.Errorf("%w: version %d, and this program reads up to %d; please update it", ErrVersion, v, len(decoders)-1)
	}
	d, err := newDecoder(r, header)
	if err != nil {
		return nil, err
	}
	defer d.zstd.Close()
	s := decoders[v](d)
	d.end()
	if d.err != nil {
		return nil, d.err
	}
	return s, nil
}

// early gives the end of the input its meaning.
func early(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("%w: it ends early", ErrCorrupt)
	}
	return err
}

// An encoder writes blocks. After an error it does nothing.
type encoder struct {
	w    io.Writer
	zstd *zstd.Encoder
	buf  []byte // content not written yet
	out  []byte
	crc  uint32
	err  error
}

func newEncoder(w io.Writer) (*encoder, error) {
	// One goroutine and no checksum of its own: the bytes depend on the input
	// only.
	z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false),
		zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithWindowSize(blockLen))
	if err != nil {
		return nil, err
	}
	e := &encoder{w: w, zstd: z}
	header := binary.LittleEndian.AppendUint32([]byte(magic), version)
	e.crc = crc32.Checksum(header, castagnoli)
	_, e.err = w.Write(header)
	return e, nil
}

// block writes a block.
func (e *encoder) block(content []byte) {
	if e.err != nil {
		return
	}
	out := append(e.out[:0], make([]byte, 12)...)
	if len(content) > 0 {
		out = e.zstd.EncodeAll(content, out)
	}
	binary.LittleEndian.PutUint32(out, uint32(len(content)))
	binary.LittleEndian.PutUint32(out[4:], uint32(len(out)-12))
	for len(out)-12 < padded(len(content)) {
		out = append(out, 0)
	}
	e.crc = crc32.Update(e.crc, castagnoli, out[:8])
	e.crc = crc32.Update(e.crc, castagnoli, out[12:])
	binary.LittleEndian.PutUint32(out[8:], e.crc)
	_, e.err = e.w.Write(out)
	e.out = out
}

// padded returns the least length in a snapshot of content with a length.
func padded(content int) int { return (content + maxRatio - 1) / maxRatio }

// spill writes full blocks.
func (e *encoder) spill() {
	n := 0
	for len(e.buf)-n >= blockLen {
		e.block(e.buf[n : n+blockLen])
		n += blockLen
	}
	if n > 0 {
		e.buf = append(e.buf[:0], e.buf[n:]...)
	}
}

func (e *encoder) close() error {
	e.spill()
	if len(e.buf) > 0 {
		e.block(e.buf)
	}
	e.block(nil)
	if err := e.zstd.Close(); e.err == nil {
		e.err = err
	}
	return e.err
}

func (e *encoder) byte(b byte)      { e.buf = append(e.buf, b) }
func (e *encoder) bytes(b []byte)   { e.buf = append(e.buf, b...) }
func (e *encoder) uvarint(n uint64) { e.buf = binary.AppendUvarint(e.buf, n) }
func (e *encoder) varint(n int64)   { e.buf = binary.AppendVarint(e.buf, n) }

// amounts writes the lengths of amounts, then their bytes.
func (e *encoder) amounts(amounts []uint256.Int) {
	for i := range amounts {
		e.byte(byte(amounts[i].ByteLen()))
	}
	for i := range amounts {
		b := amounts[i].Bytes32()
		e.bytes(b[32-amounts[i].ByteLen():])
	}
}

// A decoder reads what an encoder wrote. After an error it returns zeros.
type decoder struct {
	r    io.Reader
	zstd *zstd.Decoder
	in   []byte
	buf  []byte // content
	off  int    // of what is not read yet
	crc  uint32
	err  error
}

func newDecoder(r io.Reader, header []byte) (*decoder, error) {
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(blockLen), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, err
	}
	return &decoder{r: r, zstd: z, crc: crc32.Checksum(header, castagnoli)}, nil
}

// fail keeps the first error.
func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
	}
	d.buf, d.off = nil, 0
}

// block reads the next block. It returns whether there is content.
func (d *decoder) block() bool {
	if d.err != nil {
		return false
	}
	d.buf, d.off = d.buf[:0], 0
	var head [12]byte
	if _, err := io.ReadFull(d.r, head[:]); err != nil {
		d.err = early(err)
		return false
	}
	content, length := binary.LittleEndian.Uint32(head[:]), binary.LittleEndian.Uint32(head[4:])
	if content > blockLen || length > blockLen+blockLen/16 {
		d.fail("a block of %d bytes in %d", content, length)
		return false
	}
	n := max(int(length), padded(int(content)))
	if cap(d.in) < n {
		d.in = make([]byte, n)
	}
	in := d.in[:n]
	if _, err := io.ReadFull(d.r, in); err != nil {
		d.err = early(err)
		return false
	}
	d.crc = crc32.Update(d.crc, castagnoli, head[:8])
	d.crc = crc32.Update(d.crc, castagnoli, in)
	if d.crc != binary.LittleEndian.Uint32(head[8:]) {
		d.fail("the checksum is wrong")
		return false
	}
	for _, b := range in[length:] {
		if b != 0 {
			d.fail("the padding is not zero")
			return false
		}
	}
	if content == 0 {
		return false
	}
	buf, err := d.zstd.DecodeAll(in[:length], d.buf)
	if err != nil || len(buf) != int(content) {
		d.fail("a block does not decompress to %d bytes", content)
		return false
	}
	d.buf = buf
	return true
}

// more makes sure that there is at least one byte to read.
func (d *decoder) more() bool {
	if d.off < len(d.buf) {
		return true
	}
	if d.block() {
		return true
	}
	d.fail("it ends early")
	return false
}

// end checks that nothing follows.
func (d *decoder) end() {
	if d.err != nil {
		return
	}
	if d.off < len(d.buf) || d.block() {
		d.fail("it goes on after its end")
		return
	}
	if d.err != nil {
		return
	}
	var one [1]byte
	switch _, err := io.ReadFull(d.r, one[:]); err {
	case io.EOF:
	case nil:
		d.fail("something follows it")
	default:
		d.err = err
	}
}

func (d *decoder) byte() byte {
	if !d.more() {
		return 0
	}
	d.off++
	return d.buf[d.off-1]
}

// bytes fills b.
func (d *decoder) bytes(b []byte) {
	for len(b) > 0 && d.more() {
		n := copy(b, d.buf[d.off:])
		d.off += n
		b = b[n:]
	}
}

func (d *decoder) uvarint() uint64 {
	n, size := binary.Uvarint(d.buf[d.off:])
	if size > 0 {
		d.off += size
	} else { // it may go on in the next block
		n, size = 0, 0
		for shift := uint(0); ; shift += 7 {
			b := d.byte()
			if shift == 63 && b > 1 {
				d.fail("a number above 2^64-1")
				return 0
			}
			n |= uint64(b&0x7f) << shift
			size++
			if b < 0x80 {
				break
			}
		}
	}
	if size > 1 && n>>(7*(size-1)) == 0 {
		d.fail("a number longer than need be")
		return 0
	}
	return n
}

func (d *decoder) varint() int64 {
	n := d.uvarint()
	return int64(n>>1) ^ -int64(n&1)
}

// below reads a number that must be below limit.
func (d *decoder) below(limit uint64, what string) uint32 {
	n := d.uvarint()
	if d.err == nil && n >= limit {
		d.fail("%s %d of %d", what, n, limit)
		return 0
	}
	return uint32(n)
}

// count reads how many of something follow. It is not believed: whoever reads
// them makes room as they come.
func (d *decoder) count(what string) int {
	n := d.uvarint()
	if n > math.MaxUint32/2 {
		d.fail("%d %s", n, what)
		return 0
	}
	return int(n)
}

// amounts reads amounts into dst.
func (d *decoder) amounts(dst []uint256.Int) {
	lengths := make([]byte, len(dst))
	d.bytes(lengths)
	var b [32]byte
	for i, n := range lengths {
		if n > 32 {
			d.fail("an amount of %d bytes", n)
			return
		}
		d.bytes(b[:n])
		if n > 0 && b[0] == 0 {
			d.fail("an amount longer than need be")
			return
		}
		dst[i].SetBytes(b[:n])
	}
}
