package token

import (
	"bytes"
	"encoding/binary"
	"strings"
	"unicode/utf8"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
)

// Multicall3 is the contract that answers for others; it has the same address
// on nearly every chain (multicall3.com).
var Multicall3 = common.HexToAddress("0xcA11bde05977b3631167028862bE2a173976CA11")

// The selectors of the functions that are called.
var (
	selectorName       = []byte{0x06, 0xfd, 0xde, 0x03} // name()
	selectorSymbol     = []byte{0x95, 0xd8, 0x9b, 0x41} // symbol()
	selectorDecimals   = []byte{0x31, 0x3c, 0xe5, 0x67} // decimals()
	selectorAggregate3 = []byte{0x82, 0xad, 0x56, 0xcb} // aggregate3((address,bool,bytes)[])
)

// Answers are read by hand: every length and offset in them is the author's of
// some contract, and here nothing is allocated by one, or read beyond the end.

const wordSize = 32

func word(n int) []byte { return binary.BigEndian.AppendUint64(make([]byte, wordSize-8), uint64(n)) }

// encodeAll is a call of aggregate3 in which each call may fail.
func encodeAll(calls []tracer.Call) []byte {
	var heads, tails []byte
	for _, c := range calls {
		heads = append(heads, word(len(calls)*wordSize+len(tails))...)
		tails = append(tails, common.LeftPadBytes(c.To[:], wordSize)...)
		tails = append(tails, word(1)...)          // may fail
		tails = append(tails, word(3*wordSize)...) // where the data is
		tails = append(tails, word(len(c.Data))...)
		tails = append(tails, c.Data...)
		tails = append(tails, make([]byte, -len(c.Data)&(wordSize-1))...)
	}
	out := append(bytes.Clone(selectorAggregate3), word(wordSize)...)
	return append(append(append(out, word(len(calls))...), heads...), tails...)
}

// An answer is what one call of aggregate3 came to.
type answer struct {
	ok   bool
	data []byte
}

// decodeAll reads what aggregate3 returns for n calls. ok is false unless it is
// whole.
func decodeAll(b []byte, n int) (out []answer, ok bool) {
	list, ok := follow(b, b, 0)
	if !ok {
		return nil, false
	}
	if count, ok := number(list, 0); !ok || count != n {
		return nil, false
	}
	list = list[wordSize:]
	out = make([]answer, n)
	for i := range out {
		row, ok1 := follow(list, list, i)
		success, ok2 := number(row, 0)
		data, ok3 := follow(row, row, 1)
		data, ok4 := sized(data)
		if !ok1 || !ok2 || !ok3 || !ok4 || success > 1 {
			return nil, false
		}
		out[i] = answer{success == 1, data}
	}
	return out, true
}

// number reads word i of b, if it is there and small enough to be a place in it
// or a flag.
func number(b []byte, i int) (int, bool) {
	if len(b) < (i+1)*wordSize {
		return 0, false
	}
	w := b[i*wordSize : (i+1)*wordSize]
	n := binary.BigEndian.Uint64(w[wordSize-8:])
	return int(n), n < 1<<31 && [wordSize - 8]byte(w) == [wordSize - 8]byte{}
}

// follow returns from on from the place that word i of b names.
func follow(b, from []byte, i int) ([]byte, bool) {
	n, ok := number(b, i)
	if !ok || n > len(from) {
		return nil, false
	}
	return from[n:], true
}

// sized returns the bytes behind their length.
func sized(b []byte) ([]byte, bool) {
	n, ok := number(b, 0)
	if !ok || n > len(b)-wordSize {
		return nil, false
	}
	return b[wordSize : wordSize+n], true
}

// decodeText reads a string, or the bytes32 that MKR, SAI and others of their
// time return for one, and makes it safe to show. What is neither is empty.
func decodeText(b []byte) string {
	if len(b) == wordSize {
		b, _, _ = bytes.Cut(b, []byte{0})
		return tidy(b)
	}
	at, ok1 := follow(b, b, 0)
	text, ok2 := sized(at)
	if !ok1 || !ok2 {
		return ""
	}
	return tidy(text)
}

// tidy is a text that is safe to show, of at most [MostText] bytes.
func tidy(b []byte) string {
	const looked = 1 << 16 // what begins with more than that of nothing is nothing
	s := tracer.CleanText(strings.ToValidUTF8(string(b[:min(len(b), looked)]), ""), MostText)
	if len(s) <= MostText {
		return s
	}
	end := MostText - len("…")
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}

// decodeDecimals reads a small number.
func decodeDecimals(b []byte) (uint8, bool) {
	n, ok := number(b, 0)
	if !ok || len(b) != wordSize || n > MostDecimals {
		return 0, false
	}
	return uint8(n), true
}
