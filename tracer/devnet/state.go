package devnet

import (
	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
)

// balance returns the native balance of an address after a block: what it had
// before the first, and every trace and fee since.
func (x *index) balance(a common.Address, block uint64) *uint256.Int {
	sum := new(uint256.Int)
	id, ok := x.c.ids[a]
	if !ok {
		return sum
	}
	if int(id) < len(x.c.alloc) {
		*sum = x.c.alloc[id][eth]
	}
	end := x.firstTrace[x.c.firstTx[block+1]]
	for _, i := range within(x.to.of(uint32(id)), 0, end) {
		if n := x.value(i); n != nil {
			sum.Add(sum, n)
		}
	}
	for _, i := range within(x.from.of(uint32(id)), 0, end) {
		if n := x.value(i); n != nil {
			sum.Sub(sum, n)
		}
		if tx := x.txOf(i); x.firstTrace[tx] == i {
			fee := x.c.txs[tx].fee()
			sum.Sub(sum, &fee)
		}
	}
	return sum
}

// value returns what a trace moved, nil for nothing.
func (x *index) value(trace uint32) *uint256.Int {
	tx := x.txOf(trace)
	t := &x.c.txs[tx]
	if k := trace - x.firstTrace[tx]; k > 0 {
		if c := &x.c.calls[t.call+k-1]; c.moved {
			return &c.value
		}
		return nil
	}
	if t.failed {
		return nil
	}
	return &t.value
}

// nonce returns how many transactions an account has sent after a block; a
// contract begins at one and made none.
func (x *index) nonce(a common.Address, block uint64) uint64 {
	id, ok := x.c.ids[a]
	if !ok {
		return 0
	}
	n := uint64(0)
	for _, i := range within(x.from.of(uint32(id)), 0, x.firstTrace[x.c.firstTx[block+1]]) {
		if x.firstTrace[x.txOf(i)] == i {
			n++
		}
	}
	if code := x.c.code(a, block); n == 0 && len(code) > 0 && code[0] != 0xef {
		return 1 // not an account that delegates
	}
	return n
}

// code returns the code of an address after a block.
func (c *chain) code(a common.Address, block uint64) []byte {
	id, ok := c.ids[a]
	if !ok || c.codes[id].since > block {
		return nil
	}
	return c.codes[id].bytes
}

// tokens returns how much of a token an address has after a block: what it had
// before the first, and every transfer since.
func (x *index) tokens(a asset, of common.Address, block uint64) *uint256.Int {
	sum := new(uint256.Int)
	id, ok := x.c.ids[of]
	if !ok {
		return sum
	}
	if int(id) < len(x.c.alloc) {
		*sum = x.c.alloc[id][a]
	}
	token, known := x.c.ids[tokenAddress(symbols[a])]
	end := x.c.firstEvent(x.c.firstTx[block+1])
	for topic := 1; topic <= 2; topic++ {
		for _, i := range within(x.topics[topic].of(uint32(id)), 0, end) {
			e := &x.c.events[i]
			if !known || e.token != token {
				continue
			}
			switch {
			case e.kind == evTransfer && topic == 2, e.kind == evDeposit && topic == 1:
				sum.Add(sum, &e.amount)
			case e.kind == evTransfer, e.kind == evWithdrawal && topic == 1:
				sum.Sub(sum, &e.amount)
			}
		}
	}
	return sum
}
