package devnet

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/rpc"
	"github.com/holiman/uint256"
)

// multicall is where Multicall3 is on most chains, and multicallCode what
// stands there here: nobody runs it.
var (
	multicall     = common.HexToAddress("0xcA11bde05977b3631167028862bE2a173976CA11")
	multicallCode = []byte{0x60, 0x80, 0x60, 0x40, 0x52}
)

// The functions that the contracts of this chain have.
var (
	selAggregate   = []byte{0x82, 0xad, 0x56, 0xcb} // aggregate3((address,bool,bytes)[])
	selEthBalance  = []byte{0x4d, 0x23, 0x01, 0xcc} // getEthBalance(address)
	selBalanceOf   = []byte{0x70, 0xa0, 0x82, 0x31} // balanceOf(address)
	selSymbol      = []byte{0x95, 0xd8, 0x9b, 0x41} // symbol()
	selName        = []byte{0x06, 0xfd, 0xde, 0x03} // name()
	selDecimals    = []byte{0x31, 0x3c, 0xe5, 0x67} // decimals()
	selBlackListed = []byte{0xe4, 0x7d, 0x60, 0x60} // isBlackListed(address), of USDT
)

type callArgs struct {
	To    *common.Address `json:"to"`
	Data  *hexutil.Bytes  `json:"data"`
	Input *hexutil.Bytes  `json:"input"`
}

// Call answers eth_call: what the tokens and Multicall3 would. Other contracts take it back.
func (api *stateAPI) Call(ctx context.Context, args callArgs, b *rpc.BlockNumberOrHash) (hexutil.Bytes, error) {
	n, err := api.at(ctx, b)
	if err != nil {
		return nil, err
	}
	data := args.Input
	if data == nil {
		data = args.Data
	}
	if args.To == nil || data == nil {
		return hexutil.Bytes{}, nil
	}
	out, ok := api.n.run(*args.To, *data, n)
	if !ok {
		return nil, &rpcError{3, "execution reverted"}
	}
	return out, nil
}

// run answers a call at the end of a block. ok is false where the contract
// takes it back; where there is none, nothing is answered, as of a transfer.
func (n *Node) run(to common.Address, data []byte, block uint64) (out hexutil.Bytes, ok bool) {
	if to == multicall && !n.opts.NoMulticall {
		return n.runMulticall(data, block)
	}
	if len(n.w.chain.code(to, block)) == 0 {
		return hexutil.Bytes{}, true
	}
	kind := slices.IndexFunc(symbols[usdt:], func(s string) bool { return tokenAddress(s) == to }) + 1
	if kind == 0 || len(data) < 4 {
		return nil, false
	}
	switch a := asset(kind); {
	case bytes.Equal(data[:4], selBalanceOf) && len(data) >= 36:
		return word(n.x.tokens(a, common.Address(data[16:36]), block)), true
	case bytes.Equal(data[:4], selSymbol), bytes.Equal(data[:4], selName):
		return slices.Concat(word(uint256.NewInt(32)), text([]byte(symbols[a]))), true
	case bytes.Equal(data[:4], selDecimals):
		return word(uint256.NewInt(uint64(decimals(a)))), true
	case bytes.Equal(data[:4], selBlackListed) && a == usdt:
		return word(new(uint256.Int)), true
	}
	return nil, false
}

func decimals(a asset) uint8 {
	for _, t := range Chain().Tokens {
		if t.Symbol == symbols[a] {
			return t.Decimals
		}
	}
	return 18
}

// runMulticall answers aggregate3 and getEthBalance.
func (n *Node) runMulticall(data []byte, block uint64) (hexutil.Bytes, bool) {
	if len(data) >= 36 && bytes.Equal(data[:4], selEthBalance) {
		return word(n.x.balance(common.Address(data[16:36]), block)), true
	}
	if len(data) < 4 || !bytes.Equal(data[:4], selAggregate) {
		return nil, false
	}
	calls, ok := parts(data[4:], 0)
	if !ok {
		return nil, false
	}
	results := make([][]byte, len(calls))
	for i, c := range calls {
		input, ok := tail(c, 64)
		if !ok || len(c) < 96 {
			return nil, false
		}
		out, done := n.run(common.Address(c[12:32]), input, block)
		if !done && c[63] == 0 {
			return nil, false
		}
		flag := new(uint256.Int)
		if done {
			flag.SetOne()
		}
		results[i] = slices.Concat(word(flag), word(uint256.NewInt(64)), text(out))
	}
	head := slices.Concat(word(uint256.NewInt(32)), word(uint256.NewInt(uint64(len(results)))))
	at := uint64(32 * len(results))
	for _, r := range results {
		head = append(head, word(uint256.NewInt(at))...)
		at += uint64(len(r))
	}
	return append(head, bytes.Join(results, nil)...), true
}

// word is a number as the ABI writes it, text a string or bytes.
func word(n *uint256.Int) []byte {
	b := n.Bytes32()
	return b[:]
}

func text(b []byte) []byte {
	return slices.Concat(word(uint256.NewInt(uint64(len(b)))), b, make([]byte, (32-len(b)%32)%32))
}

var errShort = errors.New("the calldata is too short")

// number reads the word at a place as a number.
func number(b []byte, at uint64) (uint64, error) {
	if at > uint64(len(b)) || uint64(len(b))-at < 32 || !bytes.Equal(b[at:at+24], make([]byte, 24)) {
		return 0, errShort
	}
	return binary.BigEndian.Uint64(b[at+24 : at+32]), nil
}

// tail reads the bytes whose place stands at a place.
func tail(b []byte, at uint64) ([]byte, bool) {
	off, err := number(b, at)
	if err != nil {
		return nil, false
	}
	n, err := number(b, off)
	if err != nil || uint64(len(b))-off-32 < n {
		return nil, false
	}
	return b[off+32 : off+32+n], true
}

// parts reads an array of tuples whose place stands at a place: what begins
// with each.
func parts(b []byte, at uint64) ([][]byte, bool) {
	off, err := number(b, at)
	if err != nil {
		return nil, false
	}
	n, err := number(b, off)
	b = b[min(off+32, uint64(len(b))):]
	if err != nil || n > uint64(len(b))/32 {
		return nil, false
	}
	out := make([][]byte, n)
	for i := range out {
		p, err := number(b, uint64(32*i))
		if err != nil || p > uint64(len(b)) {
			return nil, false
		}
		out[i] = b[p:]
	}
	return out, true
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
