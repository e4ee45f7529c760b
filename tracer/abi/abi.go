// Package abi writes the few calls of contracts that the tracer makes, and reads
// what they return (docs.soliditylang.org/en/latest/abi-spec.html).
//
// What a contract returns is whatever its author likes. It is read by hand: no
// place or length in it leads out of it, and nothing is allocated by one.
package abi

import (
	"encoding/binary"
	"slices"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
)

// Multicall3 is the contract that calls others; it has the same address on
// nearly every chain (multicall3.com).
var Multicall3 = common.HexToAddress("0xcA11bde05977b3631167028862bE2a173976CA11")

// Selectors are the first four bytes of keccak256 of a function's signature.
var (
	selectorAggregate  = []byte{0x82, 0xad, 0x56, 0xcb} // aggregate3((address,bool,bytes)[])
	selectorEthBalance = []byte{0x4d, 0x23, 0x01, 0xcc} // getEthBalance(address)
	selectorBalanceOf  = []byte{0x70, 0xa0, 0x82, 0x31} // balanceOf(address)
)

const wordSize = 32

func word(b []byte, n int) []byte {
	return binary.BigEndian.AppendUint64(append(b, make([]byte, wordSize-8)...), uint64(n))
}

// Balance asks for what a wallet has of an asset, native coin or an ERC-20 token,
// at the end of a block. Multicall3 answers for native coin.
func Balance(asset tracer.Asset, wallet common.Address, block uint64) tracer.Call {
	c := tracer.Call{To: asset.Token, Data: slices.Concat(selectorBalanceOf, common.LeftPadBytes(wallet[:], wordSize)), Block: block}
	if asset.Kind == tracer.Native {
		c.To = Multicall3
		copy(c.Data, selectorEthBalance)
	}
	return c
}

// Aggregate is the one call of Multicall3 that makes all calls at the end of a
// block; each may fail. The blocks of calls count for nothing.
func Aggregate(calls []tracer.Call, block uint64) tracer.Call {
	const row = 4 * wordSize // of a call, without its data
	padded := func(b []byte) int { return (len(b) + wordSize - 1) &^ (wordSize - 1) }
	size := 4 + 2*wordSize
	for _, c := range calls {
		size += wordSize + row + padded(c.Data)
	}
	b := append(make([]byte, 0, size), selectorAggregate...)
	b = word(word(b, wordSize), len(calls))
	at := len(calls) * wordSize
	for _, c := range calls {
		b = word(b, at)
		at += row + padded(c.Data)
	}
	for _, c := range calls {
		b = append(append(b, make([]byte, wordSize-common.AddressLength)...), c.To[:]...)
		b = word(word(word(b, 1), 3*wordSize), len(c.Data))
		b = append(append(b, c.Data...), make([]byte, padded(c.Data)-len(c.Data))...)
	}
	return tracer.Call{To: Multicall3, Data: b, Block: block}
}

// A Result is what one call of an [Aggregate] came to.
type Result struct {
	OK   bool // it did not fail
	Data []byte
}

// Results reads what an [Aggregate] of n calls returned. ok is false unless it is
// whole. The data is that of b.
func Results(b []byte, n int) (out []Result, ok bool) {
	list, ok := follow(b, 0)
	if count, whole := Number(list, 0); !ok || !whole || count != n || n > len(list)/wordSize-1 {
		return nil, false
	}
	list = list[wordSize:]
	out = make([]Result, n)
	for i := range out {
		row, ok1 := follow(list, i)
		success, ok2 := Number(row, 0)
		data, ok3 := follow(row, 1)
		data, ok4 := sized(data)
		if !ok1 || !ok2 || !ok3 || !ok4 || success > 1 {
			return nil, false
		}
		out[i] = Result{success == 1, data}
	}
	return out, true
}

// Text reads a string, or the bytes32 that MKR, SAI and others of their time
// return for one. It may be anything, of any length.
func Text(b []byte) ([]byte, bool) {
	if len(b) == wordSize {
		end := slices.Index(b, 0)
		if end < 0 {
			end = wordSize
		}
		return b[:end], true
	}
	at, ok1 := follow(b, 0)
	text, ok2 := sized(at)
	return text, ok1 && ok2
}

// Number reads word i of b, if it is there and below 2^31.
func Number(b []byte, i int) (int, bool) {
	if len(b) < (i+1)*wordSize {
		return 0, false
	}
	w := b[i*wordSize : (i+1)*wordSize]
	n := binary.BigEndian.Uint64(w[wordSize-8:])
	return int(n), n < 1<<31 && [wordSize - 8]byte(w) == [wordSize - 8]byte{}
}

// follow returns b from the place in it that its word i names.
func follow(b []byte, i int) ([]byte, bool) {
	n, ok := Number(b, i)
	if !ok || n > len(b) {
		return nil, false
	}
	return b[n:], true
}

// sized returns the bytes behind their length.
func sized(b []byte) ([]byte, bool) {
	n, ok := Number(b, 0)
	if !ok || n > len(b)-wordSize {
		return nil, false
	}
	return b[wordSize : wordSize+n], true
}
