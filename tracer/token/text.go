package token

import (
	"strings"
	"unicode/utf8"

	"scamtrace/tracer"
	"scamtrace/tracer/abi"
)

// The selectors of the functions that are called.
var (
	selectorName     = []byte{0x06, 0xfd, 0xde, 0x03} // name()
	selectorSymbol   = []byte{0x95, 0xd8, 0x9b, 0x41} // symbol()
	selectorDecimals = []byte{0x31, 0x3c, 0xe5, 0x67} // decimals()
)

// decodeText reads a string, or the bytes32 that MKR, SAI and others of their
// time return for one, and makes it safe to show. What is neither is empty.
func decodeText(b []byte) string {
	text, ok := abi.Text(b)
	if !ok {
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
	n, ok := abi.Number(b, 0)
	if !ok || len(b) != 32 || n > MostDecimals {
		return 0, false
	}
	return uint8(n), true
}
