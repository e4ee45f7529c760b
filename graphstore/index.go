package graphstore

import (
	"encoding/binary"
	"hash/maphash"
	"iter"
	"math/bits"
	"runtime"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
)

// An index finds dense numbers by the hash of what they stand for: open
// addressing with linear probing. It holds no keys; whoever owns it compares
// the candidates with its own columns.
//
// A slot is a number plus one in its low bits and, in the bits that the
// numbers of this size leave free, a piece of the hash. At a million entries
// that is 12 bits, so a probe touches the columns of about one wrong candidate
// in 4,000. A slot of 0 is empty.
type index struct {
	slots []uint32 // behind them three more, always empty, for guess
	n     int
	room  int    // how many entries it may have: a third of the slots stays empty
	mask  uint32 // the low bits
}

const minSlots = 16

// newIndex returns an index with room for n entries.
func newIndex(n int) index {
	n = max(minSlots, n+n/2+1)
	slots := make([]uint32, n+3)
	clear(slots) // memory that is read before it is written is mapped twice
	return index{slots: slots[:n], room: n * 2 / 3, mask: 1<<bits.Len(uint(n*2/3)) - 1}
}

// full reports whether the next insert needs a larger index. Numbers are
// dense, so the largest is below the number of entries there is room for.
func (x *index) full() bool { return x.n >= x.room }

// larger returns an empty index with more room: much more while that is little.
func (x *index) larger() index {
	switch {
	case x.room < 1<<17:
		return newIndex(4 * x.room)
	case x.room < 1<<20:
		return newIndex(2 * x.room)
	}
	return newIndex(x.room + x.room/2)
}

func (x *index) home(h uint64) int {
	hi, _ := bits.Mul64(h, uint64(len(x.slots)))
	return int(hi)
}

func (x *index) next(i int) int {
	if i++; i < len(x.slots) {
		return i
	}
	return 0
}

// insert adds a number; the index must not be full.
func (x *index) insert(h uint64, number uint32) {
	i := x.home(h)
	for x.slots[i] != 0 {
		i = x.next(i)
	}
	x.put(i, h, number)
}

// put is insert, given the slot where a search for h ends.
func (x *index) put(i int, h uint64, number uint32) {
	x.slots[i] = uint32(h)&^x.mask | (number + 1)
	x.n++
}

// remove takes a number out again. hash tells the hash of any number in the
// index: those that were pushed along by this one move back.
func (x *index) remove(number uint32, hash func(uint32) uint64) {
	i := x.home(hash(number))
	for x.slots[i]&x.mask != number+1 {
		i = x.next(i)
	}
	x.slots[i] = 0
	x.n--
	for i = x.next(i); x.slots[i] != 0; i = x.next(i) {
		moved := x.slots[i]&x.mask - 1
		x.slots[i] = 0
		x.n--
		x.insert(hash(moved), moved)
	}
}

// probe starts a search for the numbers inserted under a hash.
func (x *index) probe(h uint64) probe {
	return probe{x: x, i: x.home(h), tag: uint32(h) &^ x.mask}
}

// A probe walks over the candidates for one hash.
type probe struct {
	x      *index
	i      int
	tag    uint32
	number uint32 // the candidate
}

// next moves to the next candidate, if there is one.
func (p *probe) next() bool {
	for {
		s := p.x.slots[p.i]
		if s == 0 {
			return false
		}
		if p.i++; p.i == len(p.x.slots) {
			p.i = 0
		}
		if s&^p.x.mask == p.tag {
			p.number = s&p.x.mask - 1
			return true
		}
	}
}

// guess puts into ids the numbers that searches for hashes are likely to find,
// or one above all numbers. It looks at four slots and does not branch, so that
// the processor can work on many at a time; a number may be wrong.
func (x *index) guess(ids []uint32, hashes []uint64) {
	slots, mask := x.slots, x.mask
	var read uint32
	for _, h := range hashes[:len(ids)] {
		home, _ := bits.Mul64(h, uint64(len(slots)))
		read ^= slots[home]
	}
	runtime.KeepAlive(read)
	for i, h := range hashes[:len(ids)] {
		home, _ := bits.Mul64(h, uint64(len(slots)))
		t := (*[4]uint32)(slots[home : home+4])
		tag := uint32(h) &^ mask
		g := uint32(0)
		if t[3]&^mask == tag {
			g = t[3]
		}
		if t[2]&^mask == tag {
			g = t[2]
		}
		if t[1]&^mask == tag {
			g = t[1]
		}
		if t[0]&^mask == tag {
			g = t[0]
		}
		ids[i] = g&mask - 1
	}
}

// keys make the hashes of one store differ from those of every other, so that
// nobody can choose addresses (a token can log any it likes) that all fall on
// one slot. They decide where numbers lie in an index and nothing that is
// visible outside.
type keys [3]uint64

func newKeys() keys {
	var k keys
	seed := maphash.MakeSeed()
	for i := range k {
		k[i] = maphash.Bytes(seed, []byte{byte(i)}) | 1
	}
	return k
}

func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

func (k *keys) numbers(a, b, c, d uint32) uint64 {
	return fold(fold(uint64(a)<<32^uint64(b)^k[0], k[1])^uint64(c)<<32^uint64(d), k[2])
}

func (k *keys) wallet(w *tracer.Wallet) uint64 { return k.address(w.Chain, &w.Address) }

func (k *keys) address(chain uint64, a *common.Address) uint64 {
	h := fold(binary.LittleEndian.Uint64(a[0:])^k[0], binary.LittleEndian.Uint64(a[8:])^k[1])
	return fold(h^uint64(binary.LittleEndian.Uint32(a[16:])), chain^k[2])
}

func (k *keys) asset(a *tracer.Asset) uint64 {
	return fold(k.address(a.Chain, &a.Token)^uint64(a.Kind), k[1])
}

func (k *keys) hash(chain uint64, h *common.Hash) uint64 {
	x := fold(binary.LittleEndian.Uint64(h[0:])^k[0], binary.LittleEndian.Uint64(h[8:])^k[1])
	y := fold(binary.LittleEndian.Uint64(h[16:])^k[1], binary.LittleEndian.Uint64(h[24:])^k[2])
	return fold(x^y, chain^k[2])
}

// A column is a growing array in pieces: to grow it copies nothing, so it holds
// little more than it needs, and what is in it never moves.
type column[T any] struct {
	pieces []*[pieceLen]T
	n      int
}

const (
	pieceBits = 12
	pieceLen  = 1 << pieceBits
)

func (c *column[T]) at(i uint32) *T { return &c.pieces[i>>pieceBits][i&(pieceLen-1)] }

// next appends an element for the caller to set.
func (c *column[T]) next() *T {
	if c.n == len(c.pieces)*pieceLen {
		c.pieces = append(c.pieces, new([pieceLen]T))
	}
	c.n++
	return c.at(uint32(c.n - 1))
}

// addAll appends vs.
func (c *column[T]) addAll(vs []T) {
	for len(vs) > 0 {
		if c.n == len(c.pieces)*pieceLen {
			c.pieces = append(c.pieces, new([pieceLen]T))
		}
		n := copy(c.pieces[c.n>>pieceBits][c.n&(pieceLen-1):], vs)
		c.n += n
		vs = vs[n:]
	}
}

// add appends v and returns its number.
func (c *column[T]) add(v T) uint32 {
	*c.next() = v
	return uint32(c.n - 1)
}

// trim gives the pieces back that hold nothing.
func (c *column[T]) trim() {
	keep := (c.n + pieceLen - 1) / pieceLen
	clear(c.pieces[keep:])
	c.pieces = c.pieces[:keep]
}

// runs yields the elements in pieces, with the number of the first of each.
func (c *column[T]) runs() iter.Seq2[uint32, []T] {
	return func(yield func(uint32, []T) bool) {
		for i, piece := range c.pieces {
			first := i * pieceLen
			if n := min(c.n-first, pieceLen); n <= 0 || !yield(uint32(first), piece[:n]) {
				return
			}
		}
	}
}
