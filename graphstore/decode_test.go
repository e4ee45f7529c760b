package graphstore

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"github.com/ethereum/go-ethereum/common"
)

// Content with correct checksums that does not say what a store can hold. Each
// is written with an encoder, so that only one thing is wrong.
func TestDecodeRefuses(t *testing.T) {
	wallets := func(e *encoder, n byte) { // addresses 1 to n on chain 1
		e.uvarint(uint64(n))
		for i := range n {
			e.uvarint(uint64(1 - min(i, 1)))
		}
		for i := range n {
			e.bytes(common.Address{19: i + 1}.Bytes())
		}
	}
	native := func(e *encoder) { e.uvarint(1); e.uvarint(1); e.byte(0); e.bytes(make([]byte, 20)) }
	block := func(e *encoder) { e.uvarint(1); e.uvarint(1); e.uvarint(9); e.varint(7); e.byte(0) }
	// transfers writes rows of columns: flags, kind, from, to, asset, position, amount.
	type row struct {
		flags, kind byte
		from, to    uint64
		asset, pos  uint64
		amount      []byte
		back        uint64
	}
	good := row{flags: plainPosition | newTx, kind: 1, to: 1, pos: 3, amount: []byte{5}}
	transfers := func(e *encoder, rows ...row) {
		e.uvarint(uint64(len(rows)))
		for _, r := range rows {
			e.byte(r.flags)
		}
		for _, r := range rows {
			e.byte(r.kind)
		}
		for i, r := range rows {
			if r.flags&newTx != 0 {
				e.bytes(common.Hash{31: byte(i)}.Bytes())
			}
		}
		for _, r := range rows {
			if r.flags&newTx == 0 {
				e.uvarint(r.back)
			}
		}
		for range 2 { // block, index
			for _, r := range rows {
				if r.flags&(newTx|notOfTx) != 0 {
					e.uvarint(0)
				}
			}
		}
		for _, col := range []func(row) uint64{
			func(r row) uint64 { return r.from }, func(r row) uint64 { return r.to },
			func(r row) uint64 { return r.asset }, func(r row) uint64 { return r.pos },
		} {
			for _, r := range rows {
				e.uvarint(col(r))
			}
		}
		for _, r := range rows {
			e.byte(byte(len(r.amount)))
		}
		for _, r := range rows {
			e.bytes(r.amount)
		}
	}
	with := func(change func(*row)) func(*encoder) {
		return func(e *encoder) {
			r := good
			change(&r)
			wallets(e, 2)
			native(e)
			block(e)
			e.uvarint(0)
			transfers(e, r)
			e.byte(0)
		}
	}
	second := func(r row) func(*encoder) {
		return func(e *encoder) {
			wallets(e, 2)
			native(e)
			block(e)
			e.uvarint(0)
			transfers(e, good, r)
			e.byte(0)
		}
	}
	flows := func(write func(*encoder), n uint64) func(*encoder) {
		return func(e *encoder) {
			wallets(e, 2)
			native(e)
			e.uvarint(0)
			e.uvarint(0)
			e.uvarint(0)
			e.byte(1)
			e.uvarint(n)
			write(e)
		}
	}
	column := func(values ...uint64) func(*encoder) {
		return func(e *encoder) {
			for _, v := range values {
				e.uvarint(v)
			}
		}
	}

	if s, err := ReadSnapshot(bytes.NewReader(encoded(t, with(func(*row) {})))); err != nil || s.Len() != 1 {
		t.Fatalf("the good transfer that the others vary: %v", err)
	}
	if s, err := ReadSnapshot(bytes.NewReader(encoded(t, flows(column(0, 1, 1, 4, 9, 0, 1, 7), 1)))); err != nil || len(allFlows(s)) != 1 {
		t.Fatalf("the good flow that the others vary: %v", err)
	}
	tests := []struct {
		name  string
		write func(*encoder)
	}{
		{"more wallets than anything holds", func(e *encoder) { e.uvarint(math.MaxUint64) }},
		{"a billion wallets that do not come", func(e *encoder) { e.uvarint(1_000_000_000); e.byte(1) }},
		{"the same wallet twice", func(e *encoder) { e.uvarint(2); e.uvarint(1); e.uvarint(0); e.bytes(make([]byte, 40)) }},
		{"a chain id that wraps", func(e *encoder) {
			e.uvarint(2)
			e.uvarint(math.MaxUint64)
			e.uvarint(2)
			e.bytes(make([]byte, 40))
		}},
		{"a number longer than need be", func(e *encoder) { e.bytes([]byte{0x80, 0}) }},
		{"a number above 64 bits", func(e *encoder) { e.bytes(bytes.Repeat([]byte{0xff}, 11)) }},
		{"the same asset twice", func(e *encoder) {
			wallets(e, 2)
			e.uvarint(2)
			for range 2 {
				e.uvarint(1)
				e.byte(0)
				e.bytes(make([]byte, 20))
			}
		}},
		{"a block with a wrong mark", func(e *encoder) {
			wallets(e, 2)
			native(e)
			column(1, 1, 9, 0, 2)(e)
		}},
		{"a block with an empty hash", func(e *encoder) {
			wallets(e, 2)
			native(e)
			column(1, 1, 9, 0, 1)(e)
			e.bytes(make([]byte, 32))
		}},
		{"a block twice", func(e *encoder) {
			wallets(e, 2)
			native(e)
			column(2, 1, 9, 0, 0, 0, 0, 0, 0)(e)
		}},
		{"a position that is a number", func(e *encoder) {
			wallets(e, 2)
			native(e)
			block(e)
			e.uvarint(1)
			e.uvarint(1)
			e.bytes([]byte("7"))
		}},
		{"positions out of order", func(e *encoder) {
			wallets(e, 2)
			native(e)
			block(e)
			e.uvarint(2)
			e.uvarint(1)
			e.byte('x')
			e.uvarint(0)
		}},
		{"unknown flags", with(func(r *row) { r.flags |= 1 << 6 })},
		{"a first transfer that is not of its transaction", with(func(r *row) { r.flags |= notOfTx })},
		{"a wallet that is not there", with(func(r *row) { r.to = 2 })},
		{"an asset that is not there", with(func(r *row) { r.asset = 1 })},
		{"a text position that is not there", with(func(r *row) { r.flags &^= plainPosition })},
		{"a position above 32 bits", with(func(r *row) { r.pos = 1 << 32 })},
		{"an amount of 33 bytes", with(func(r *row) { r.amount = bytes.Repeat([]byte{1}, 33) })},
		{"an amount longer than need be", with(func(r *row) { r.amount = []byte{0, 1} })},
		{"no transaction so far back", second(row{flags: plainPosition, back: 2, kind: 1, to: 1, pos: 4})},
		{"the transaction after the last", second(row{flags: plainPosition, back: 0, kind: 1, to: 1, pos: 4})},
		{"the same transfer twice", second(row{flags: plainPosition, back: 1, kind: 1, to: 1, pos: 3})},
		{"transfers out of order", second(row{flags: plainPosition, back: 1, kind: 1, to: 1, pos: 2})},
		{"a stray where its transaction is", second(row{flags: plainPosition | notOfTx, back: 1, kind: 1, to: 1, pos: 4})},
		{"an asset of another chain", func(e *encoder) {
			wallets(e, 2)
			e.uvarint(1)
			e.uvarint(2)
			e.byte(0)
			e.bytes(make([]byte, 20))
			block(e)
			e.uvarint(0)
			transfers(e, good)
			e.byte(0)
		}},
		{"an asset without a use", func(e *encoder) {
			wallets(e, 2)
			native(e)
			column(0, 0, 0, 0)(e)
		}},
		{"a wrong mark before the flows", func(e *encoder) { column(0, 0, 0, 0, 0, 2)(e) }},
		{"a flow of a wallet that is not there", flows(column(0, 2, 1, 4, 9, 0, 1, 7), 1)},
		{"a flow of an asset that is not there", flows(column(0, 1, 2, 4, 9, 0, 1, 7), 1)},
		{"a flow of no asset with an amount", flows(column(0, 1, 0, 4, 0, 0, 1, 7), 1)},
		{"a flow twice", flows(column(0, 1, 0, 0, 1, 1, 4, 4, 9, 9, 0, 0, 1, 1, 7, 7), 2)},
		{"a pair with and without flows", flows(column(0, 1, 0, 0, 0, 1, 4, 4, 0, 9, 0, 0, 0, 1, 7), 2)},
	}
	for _, tt := range tests {
		s, err := ReadSnapshot(bytes.NewReader(encoded(t, tt.write)))
		if !errors.Is(err, ErrCorrupt) || s != nil {
			t.Errorf("%s: ReadSnapshot returned %v, want %v", tt.name, err, ErrCorrupt)
		}
	}
}

// encoded is a snapshot with the content that write writes.
func encoded(tb testing.TB, write func(*encoder)) []byte {
	tb.Helper()
	var b bytes.Buffer
	e, err := newEncoder(&b)
	if err != nil {
		tb.Fatal(err)
	}
	write(e)
	if err := e.close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}
