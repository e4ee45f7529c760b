package devnet

import (
	"strconv"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/holiman/uint256"
)

// chain is what happened, in chain order and compactly: addresses are small
// numbers, and logs, receipts and traces are written from it when asked for.
type chain struct {
	addrs    []common.Address
	ids      map[common.Address]addr
	alloc    [][assets]uint256.Int // by address: what it owned before the first block
	txs      []txn
	events   []event
	calls    []call
	raws     map[uint32]rawLog // by event
	inputs   map[uint32][]byte // by transaction, where the method does not tell
	codes    map[addr]code
	speeches map[addr]speech // of tokens
	firstTx  []uint32        // by block, and one more
	sealed   []seal          // by block with transactions
	sealOf   []int32         // by block: index into sealed, or -1
	seed     uint64
	id       uint64 // EIP-155
	blocks   []tracer.Block
}

// An addr is the number of an address; 0 is the zero address.
type addr uint32

// An asset is the number of an asset that has balances here.
type asset uint8

const (
	eth asset = iota
	usdt
	usdc
	dai
	weth
	assets
)

var symbols = [assets]string{"ETH", "USDT", "USDC", "DAI", "WETH"}

// asset names an asset as tracer does.
func (c *chain) asset(a asset) tracer.Asset {
	if a == eth {
		return tracer.NativeOf(c.id)
	}
	return tracer.TokenOf(c.id, c.tokenAddress(symbols[a]))
}

// tokenAddress is where a token is: on Tron where the real one is, if there is one.
func (c *chain) tokenAddress(symbol string) common.Address {
	if known, ok := tracer.ChainByID(c.id); ok {
		for _, t := range known.Tokens {
			if t.Symbol == symbol {
				return t.Address
			}
		}
	}
	return tokenAddress(symbol)
}

// A txn is a transaction with the outcome of its execution.
type txn struct {
	hash    common.Hash
	value   uint256.Int
	price   uint64 // of gas, in wei
	from    addr
	to      addr // of a creation, the contract created
	nonce   uint32
	gas     uint32 // limit
	used    uint32
	block   uint32
	event   uint32 // the first
	call    uint32 // the first
	method  method
	creates bool
	failed  bool
}

// A method says what calldata a transaction carries.
type method uint8

const (
	plain        method = iota // none
	transfer                   // of the token that was called
	transferFrom               // likewise
	approve                    // likewise
	deposit                    // wrap
	withdraw                   // unwrap
	other                      // what chain.inputs has
)

// An event is a log.
type event struct {
	amount uint256.Int
	tx     uint32
	token  addr // the address that logged it
	a, b   addr
	kind   eventKind
}

type eventKind uint8

const (
	evTransfer   eventKind = iota // amount from a to b
	evNFT                         // token id from a to b
	evApproval                    // a allows b to take amount
	evDeposit                     // a wrapped amount
	evWithdrawal                  // a unwrapped amount
	evSwap                        // of a pool: called by a, paid to b
	evNative                      // EIP-7708
	evRaw                         // whatever chain.raws has
)

type rawLog struct {
	topics []common.Hash
	data   []byte
}

// A call is a step of a transaction's execution below its top level.
type call struct {
	value    uint256.Int
	tx       uint32
	from, to addr
	path     string // as in "0.1"
	op       op
	failed   bool // on its own
	moved    bool // nothing above it failed either, and it carries value
}

type op uint8

const (
	opCall op = iota
	opDelegate
	opStatic
	opSuicide
)

// code is a contract's code, which it has from a block on.
type code struct {
	bytes []byte
	since uint64
}

func sig(s string) common.Hash { return crypto.Keccak256Hash([]byte(s)) }

// The topics of the logs of this chain.
var (
	topicTransfer   = sig("Transfer(address,address,uint256)")
	topicApproval   = sig("Approval(address,address,uint256)")
	topicDeposit    = sig("Deposit(address,uint256)")
	topicWithdrawal = sig("Withdrawal(address,uint256)")
	topicSwap       = sig("Swap(address,uint256,uint256,uint256,uint256,address)")
)

func (c *chain) topic(a addr) (h common.Hash) {
	copy(h[12:], c.addrs[a][:])
	return h
}

// log returns the address, topics and data of a log.
func (c *chain) log(i uint32) (common.Address, []common.Hash, []byte) {
	e := &c.events[i]
	at := c.addrs[e.token]
	amount := e.amount.Bytes32()
	switch e.kind {
	case evTransfer, evNative:
		return at, []common.Hash{topicTransfer, c.topic(e.a), c.topic(e.b)}, amount[:]
	case evNFT:
		return at, []common.Hash{topicTransfer, c.topic(e.a), c.topic(e.b), amount}, nil
	case evApproval:
		return at, []common.Hash{topicApproval, c.topic(e.a), c.topic(e.b)}, amount[:]
	case evDeposit:
		return at, []common.Hash{topicDeposit, c.topic(e.a)}, amount[:]
	case evWithdrawal:
		return at, []common.Hash{topicWithdrawal, c.topic(e.a)}, amount[:]
	case evSwap:
		data := make([]byte, 4*32)
		copy(data, amount[:])
		return at, []common.Hash{topicSwap, c.topic(e.a), c.topic(e.b)}, data
	}
	r := c.raws[i]
	return at, r.topics, r.data
}

// input returns the calldata of a transaction.
func (c *chain) input(i uint32) []byte {
	t := &c.txs[i]
	word := func(selector string, words ...[32]byte) []byte {
		b := common.FromHex(selector)
		for _, w := range words {
			b = append(b, w[:]...)
		}
		return b
	}
	var e event
	if t.event < c.firstEvent(i+1) {
		e = c.events[t.event]
	}
	switch t.method {
	case transfer:
		return word("a9059cbb", c.topic(e.b), e.amount.Bytes32())
	case transferFrom:
		return word("23b872dd", c.topic(e.a), c.topic(e.b), e.amount.Bytes32())
	case approve:
		return word("095ea7b3", c.topic(e.b), e.amount.Bytes32())
	case deposit:
		return word("d0e30db0")
	case withdraw:
		return word("2e1a7d4d", e.amount.Bytes32())
	case other:
		return c.inputs[i]
	}
	return nil
}

func (c *chain) firstEvent(tx uint32) uint32 {
	if int(tx) < len(c.txs) {
		return c.txs[tx].event
	}
	return uint32(len(c.events))
}

func (c *chain) firstCall(tx uint32) uint32 {
	if int(tx) < len(c.txs) {
		return c.txs[tx].call
	}
	return uint32(len(c.calls))
}

// logIndex returns the position of a log in its block.
func (c *chain) logIndex(i uint32) uint32 {
	return i - c.firstEvent(c.firstTx[c.txs[c.events[i].tx].block])
}

func (t *txn) fee() uint256.Int {
	var f uint256.Int
	f.Mul(uint256.NewInt(t.price), uint256.NewInt(uint64(t.used)))
	return f
}

// typed returns a transaction as go-ethereum has it. Nobody has the keys of
// this chain: the signature holds the sender where r is, and recovers to
// something else.
func (c *chain) typed(i uint32) *types.Transaction {
	t := &c.txs[i]
	to := &c.addrs[t.to]
	if t.creates {
		to = nil
	}
	return types.NewTx(&types.DynamicFeeTx{
		ChainID: uint256.NewInt(c.id).ToBig(), Nonce: uint64(t.nonce),
		GasTipCap: common.Big0, GasFeeCap: uint256.NewInt(t.price * 2).ToBig(), Gas: uint64(t.gas),
		To: to, Value: t.value.ToBig(), Data: c.input(i),
		V: common.Big0, R: c.addrs[t.from].Big(), S: common.Big1,
	})
}

// header returns the header of a block. Nothing is executed here, so there is
// no state root; the field holds the root of the empty state.
func (c *chain) header(n uint64, parent common.Hash, extra []byte) *types.Header {
	h := &types.Header{
		ParentHash: parent, UncleHash: types.EmptyUncleHash, Root: types.EmptyRootHash,
		TxHash: types.EmptyTxsHash, ReceiptHash: types.EmptyReceiptsHash,
		Difficulty: common.Big0, Number: uint256.NewInt(n).ToBig(), GasLimit: gasLimit,
		Time: genesisTime + n*blockTime, Extra: extra, BaseFee: uint256.NewInt(baseFee(c.seed, n)).ToBig(),
	}
	if i := c.sealOf[n]; i >= 0 {
		s := &c.sealed[i]
		h.TxHash, h.ReceiptHash, h.Bloom, h.GasUsed = s.txs, s.receipts, s.bloom, s.used
	}
	return h
}

// gasLimit is the gas limit of every block; a block takes what the scenarios
// put in it.
const gasLimit = 1_000_000_000

// transfers is [World.Transfers].
func (c *chain) transfers() []tracer.Transfer {
	ts := make([]tracer.Transfer, 0, 2*len(c.txs)+len(c.events))
	native := tracer.NativeOf(c.id)
	weth := c.asset(weth)
	for i := range c.txs {
		t := &c.txs[i]
		b := &c.blocks[t.block]
		base := tracer.Transfer{
			Asset: native, Block: b.Number, BlockHash: b.Hash, Time: b.Time,
			Tx: t.hash, TxIndex: uint32(i) - c.firstTx[t.block],
		}
		move := func(k tracer.Kind, a tracer.Asset, from, to common.Address, amount uint256.Int, position string) {
			m := base
			m.Kind, m.Asset, m.From, m.To, m.Amount, m.Position = k, a, from, to, amount, position
			ts = append(ts, m)
		}
		move(tracer.KindFee, native, c.addrs[t.from], common.Address{}, t.fee(), "")
		if t.failed {
			continue
		}
		events := c.events[t.event:c.firstEvent(uint32(i)+1)]
		logged := false
		for j := range events {
			logged = logged || events[j].kind == evNative
		}
		if !t.value.IsZero() && !logged {
			move(tracer.KindNative, native, c.addrs[t.from], c.addrs[t.to], t.value, "")
		}
		for j := t.call; j < c.firstCall(uint32(i)+1) && !logged; j++ {
			if k := &c.calls[j]; k.moved {
				move(tracer.KindInternal, native, c.addrs[k.from], c.addrs[k.to], k.value, k.path)
			}
		}
		for _, kind := range []tracer.Kind{tracer.KindToken, tracer.KindNFT} {
			for j := range events {
				e := &events[j]
				if (e.kind == evNFT) != (kind == tracer.KindNFT) {
					continue
				}
				a, from, to := tracer.TokenOf(c.id, c.addrs[e.token]), c.addrs[e.a], c.addrs[e.b]
				if tracer.Tron(c.id) && (e.kind == evDeposit || e.kind == evWithdrawal) {
					continue // there, nobody knows the wrapped coin
				}
				switch e.kind {
				case evTransfer:
				case evNFT:
					a.Kind = tracer.NFT
				case evNative:
					a = native
				case evDeposit:
					a, from, to = weth, c.addrs[e.token], c.addrs[e.a]
				case evWithdrawal:
					a, to = weth, c.addrs[e.token]
				default:
					continue
				}
				move(kind, a, from, to, e.amount, strconv.Itoa(int(c.logIndex(t.event+uint32(j)))))
			}
		}
	}
	return ts
}
