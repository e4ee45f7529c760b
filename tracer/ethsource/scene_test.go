package ethsource_test

import (
	"context"
	"crypto/ecdsa"
	"encoding/binary"
	"encoding/hex"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/rpc"
	"github.com/holiman/uint256"
)

// opcodes are those that the contracts below need.
var opcodes = map[string]byte{
	"STOP": 0x00, "ADD": 0x01, "SUB": 0x03, "DIV": 0x04, "EQ": 0x14, "SHR": 0x1c, "CALLER": 0x33, "CALLVALUE": 0x34, "CALLDATALOAD": 0x35, "CALLDATASIZE": 0x36,
	"CALLDATACOPY": 0x37, "CODECOPY": 0x39, "POP": 0x50, "MSTORE": 0x52, "SLOAD": 0x54, "SSTORE": 0x55, "JUMPI": 0x57, "GAS": 0x5a,
	"JUMPDEST": 0x5b, "DUP1": 0x80, "DUP3": 0x82, "DUP5": 0x84, "LOG2": 0xa2, "LOG3": 0xa3, "LOG4": 0xa4, "CREATE": 0xf0, "CREATE2": 0xf5, "CALL": 0xf1,
	"RETURN": 0xf3, "REVERT": 0xfd, "SELFDESTRUCT": 0xff,
}

// assemble turns mnemonics and pushed constants in hexadecimal into code. A
// word with a colon is a label, one with an at sign its place.
func assemble(t testing.TB, text string) []byte {
	t.Helper()
	var code []byte
	labels := make(map[string]byte)
	use := make(map[int]string)
	for word := range strings.FieldsSeq(text) {
		switch {
		case strings.HasSuffix(word, ":"):
			labels[strings.TrimSuffix(word, ":")] = byte(len(code))
			code = append(code, opcodes["JUMPDEST"])
		case strings.HasPrefix(word, "@"):
			use[len(code)+1] = word[1:]
			code = append(code, 0x60, 0)
		case strings.HasPrefix(word, "0x"):
			b, err := hex.DecodeString(word[2:])
			if err != nil || len(b) == 0 || len(b) > 32 {
				t.Fatalf("%s: %v", word, err)
			}
			code = append(append(code, 0x5f+byte(len(b))), b...)
		default:
			op, ok := opcodes[word]
			if !ok {
				t.Fatalf("no opcode %s", word)
			}
			code = append(code, op)
		}
	}
	for at, label := range use {
		code[at] = labels[label]
	}
	return code
}

func sig(s string) string { return crypto.Keccak256Hash([]byte(s)).Hex() }

// balanceOf answers how much an account has, and is where others go on that
// are not asked that. Its own code stands at their end.
const (
	balanceOf = `0x00 CALLDATALOAD 0xe0 SHR 0x70a08231 EQ @balance JUMPI `
	balance   = ` balance: 0x04 CALLDATALOAD SLOAD 0x00 MSTORE 0x20 0x00 RETURN`
)

// The contracts. All their arguments are words of calldata; the tokens' start
// after a selector that they do not look at.
var sources = map[string]string{
	// token moves what the caller has: to, amount. It never fails: an account
	// may have less than nothing. For coins it makes as many of itself.
	"token": `CALLVALUE @make JUMPI ` + balanceOf + `0x24 CALLDATALOAD DUP1 CALLER SLOAD SUB CALLER SSTORE
		DUP1 0x04 CALLDATALOAD SLOAD ADD 0x04 CALLDATALOAD SSTORE
		0x00 MSTORE 0x04 CALLDATALOAD CALLER ` + sig("Transfer(address,address,uint256)") + ` 0x20 0x00 LOG3
		0x01 0x00 MSTORE 0x20 0x00 RETURN
		make: CALLVALUE CALLER SLOAD ADD CALLER SSTORE
		CALLVALUE 0x00 MSTORE CALLER 0x00 ` + sig("Transfer(address,address,uint256)") + ` 0x20 0x00 LOG3 STOP` + balance,
	// wrapped takes coins and leaves a Deposit, or gives an amount back and leaves a Withdrawal.
	"wrapped": `CALLVALUE @deposit JUMPI ` + balanceOf + `
		0x04 CALLDATALOAD DUP1 0x00 MSTORE CALLER ` + sig("Withdrawal(address,uint256)") + ` 0x20 0x00 LOG2
		DUP1 CALLER SLOAD SUB CALLER SSTORE 0x00 0x00 0x00 0x00 DUP5 CALLER GAS CALL STOP
		deposit: CALLVALUE 0x00 MSTORE CALLER ` + sig("Deposit(address,uint256)") + ` 0x20 0x00 LOG2
		CALLVALUE CALLER SLOAD ADD CALLER SSTORE STOP` + balance,
	// nft moves a number: to, number.
	"nft": `0x24 CALLDATALOAD 0x04 CALLDATALOAD CALLER ` + sig("Transfer(address,address,uint256)") + ` 0x00 0x00 LOG4 STOP`,
	// odd leaves a Transfer that is none: two topics and two words.
	"odd": `CALLER ` + sig("Transfer(address,address,uint256)") + ` 0x40 0x00 LOG2 STOP`,
	// forward passes what it gets to the first word, with the rest of the words.
	"forward": `0x20 CALLDATASIZE SUB DUP1 0x20 0x00 CALLDATACOPY
		0x00 0x00 DUP3 0x00 CALLVALUE 0x00 CALLDATALOAD GAS CALL @ok JUMPI 0x00 0x00 REVERT ok: STOP`,
	// regret does the same and takes it back.
	"regret": `0x20 CALLDATASIZE SUB DUP1 0x20 0x00 CALLDATACOPY
		0x00 0x00 DUP3 0x00 CALLVALUE 0x00 CALLDATALOAD GAS CALL 0x00 0x00 REVERT`,
	// try passes half to the first word, with the second, whether that works or
	// not, and half to the second.
	"try": `0x20 CALLDATALOAD 0x00 MSTORE
		0x00 0x00 0x20 0x00 0x02 CALLVALUE DIV 0x00 CALLDATALOAD GAS CALL POP
		0x00 0x00 0x00 0x00 0x02 CALLVALUE DIV 0x20 CALLDATALOAD GAS CALL POP STOP`,
	// bomb dissolves and leaves everything to the first word.
	"bomb": `0x00 CALLDATALOAD SELFDESTRUCT`,
	// factory makes a contract without code, with what it gets.
	"factory": `0x00 0x00 CALLVALUE CREATE POP STOP`,
}

// words are calldata.
func words(args ...any) []byte {
	var b []byte
	for _, a := range args {
		switch a := a.(type) {
		case common.Address:
			b = append(b, common.BytesToHash(a[:]).Bytes()...)
		case int:
			b = append(b, common.BigToHash(big.NewInt(int64(a))).Bytes()...)
		}
	}
	return b
}

func call4(args ...any) []byte { return append([]byte{1, 2, 3, 4}, words(args...)...) }

// A scene makes things happen on a real chain, and writes down what did.
type scene struct {
	t     testing.TB
	rpc   *rpc.Client
	mine  func() // what was sent goes into one block
	chain tracer.Chain
	keys  []*ecdsa.PrivateKey
	who   []common.Address // the keys' accounts
	nonce map[common.Address]uint64
	at    map[string]common.Address
	sent  []done
	fork  uint64 // the block from which moves of the coin are in logs; 0 is never
}

// A done is a transaction and what it moves beside its fee: To zero stands for
// the contract it makes.
type done struct {
	hash  common.Hash
	fails bool
	moves []move
}

type move struct {
	kind     tracer.Kind
	asset    common.Address // zero for the coin
	from, to common.Address
	amount   uint64
	position string // a path; of a log, its number in the transaction
}

func newScene(t testing.TB, c *rpc.Client, id uint64, keys []*ecdsa.PrivateKey, mine func()) *scene {
	s := &scene{t: t, rpc: c, mine: mine, keys: keys, nonce: make(map[common.Address]uint64), at: make(map[string]common.Address),
		chain: tracer.Chain{ID: id, Name: "test", Title: "a test chain", Symbol: "ETH", Decimals: 18, BlockTime: time.Second, FinalityDepth: 64}}
	for _, k := range keys {
		s.who = append(s.who, crypto.PubkeyToAddress(k.PublicKey))
	}
	return s
}

func (s *scene) call(result any, method string, args ...any) {
	s.t.Helper()
	if err := s.rpc.CallContext(context.Background(), result, method, args...); err != nil {
		s.t.Fatalf("%s: %v", method, err)
	}
}

// send sends a transaction of account i; to nil makes a contract.
func (s *scene) send(i int, to *common.Address, value uint64, data []byte, fails bool, moves ...move) {
	s.t.Helper()
	from := s.who[i]
	tx, err := types.SignNewTx(s.keys[i], types.LatestSignerForChainID(new(big.Int).SetUint64(s.chain.ID)), &types.DynamicFeeTx{
		ChainID: new(big.Int).SetUint64(s.chain.ID), Nonce: s.nonce[from], GasTipCap: big.NewInt(1e9), GasFeeCap: big.NewInt(1e11), Gas: 3_000_000,
		To: to, Value: new(big.Int).SetUint64(value), Data: data,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.nonce[from]++
	raw, err := tx.MarshalBinary()
	if err != nil {
		s.t.Fatal(err)
	}
	s.call(nil, "eth_sendRawTransaction", hexutil.Bytes(raw))
	if value > 0 && !fails {
		m := move{kind: tracer.KindNative, from: from, amount: value}
		if m.to = crypto.CreateAddress(from, s.nonce[from]-1); to != nil {
			m.to = *to
		}
		moves = append([]move{m}, moves...)
	}
	s.sent = append(s.sent, done{tx.Hash(), fails, moves})
}

// deploy makes a contract, with coins if value is not zero.
func (s *scene) deploy(name string, value uint64) {
	s.install(name, value, assemble(s.t, sources[name]))
}

func (s *scene) install(name string, value uint64, code []byte) {
	init := assemble(s.t, "0x"+hex.EncodeToString(binary.BigEndian.AppendUint16(nil, uint16(len(code))))+" DUP1 0x0c 0x00 CODECOPY 0x00 RETURN")
	s.at[name] = crypto.CreateAddress(s.who[0], s.nonce[s.who[0]])
	s.send(0, nil, value, append(init, code...), false)
}

// play lets all happen that a source must tell right: coins and tokens moved
// directly, through contracts, with what is taken back, and what only looks
// like a transfer.
func (s *scene) play() {
	names := []string{"token", "wrapped", "nft", "odd", "forward", "regret", "try", "bomb", "factory"}
	for _, n := range names {
		value := uint64(0)
		if n == "forward" {
			value = 5 // its constructor gets coins
		}
		s.deploy(n, value)
	}
	s.mine()
	a := func(i int) common.Address { return s.who[i] }
	to := func(name string) *common.Address { x := s.at[name]; return &x }
	stranger := common.HexToAddress("0x00000000000000000000000000000000005ca3e5")
	fwd := s.at["forward"]
	inside := func(from, to common.Address, n uint64, path string) move {
		return move{kind: tracer.KindInternal, from: from, to: to, amount: n, position: path}
	}
	token := func(from, to common.Address, n uint64) move {
		return move{kind: tracer.KindToken, asset: s.at["token"], from: from, to: to, amount: n, position: "0"}
	}

	b := a(1)
	s.send(0, &b, 1000, nil, false)
	s.send(0, to("token"), 5000, nil, false, token(common.Address{}, a(0), 5000))
	s.send(0, to("token"), 0, call4(a(1), 700), false, token(a(0), a(1), 700))
	s.mine()
	s.send(1, to("token"), 0, call4(a(2), 300), false, token(a(1), a(2), 300))
	s.send(1, to("forward"), 400, words(a(2)), false, inside(fwd, a(2), 400, "0"))
	s.send(2, to("token"), 0, call4(stranger, 100), false, token(a(2), stranger, 100))
	s.mine()
	// Three contracts deep: only whole transactions tell what is below.
	s.send(2, to("forward"), 90, words(fwd, fwd, a(3)), false,
		inside(fwd, fwd, 90, "0"), inside(fwd, fwd, 90, "0.0"), inside(fwd, a(3), 90, "0.0.0"))
	// The first half is taken back, with what was passed on of it.
	s.send(3, to("try"), 60, words(s.at["regret"], a(4)), false, inside(s.at["try"], a(4), 30, "1"))
	// All of it is taken back, and the transaction fails.
	s.send(3, to("regret"), 25, words(a(4)), true)
	s.send(4, to("forward"), 25, words(s.at["regret"], a(1)), true)
	s.mine()
	s.send(4, to("bomb"), 44, words(a(1)), false, move{kind: tracer.KindInternal, from: s.at["bomb"], to: a(1), amount: 44, position: "0"})
	s.send(4, to("factory"), 33, nil, false, inside(s.at["factory"], crypto.CreateAddress(s.at["factory"], 1), 33, "0"))
	s.send(2, to("nft"), 0, call4(a(3), 12345), false, move{kind: tracer.KindNFT, asset: s.at["nft"], from: a(2), to: a(3), amount: 12345, position: "0"})
	s.send(3, to("odd"), 0, nil, false)
	s.mine()
	s.send(1, to("wrapped"), 80, nil, false, move{kind: tracer.KindToken, asset: s.at["wrapped"], from: s.at["wrapped"], to: a(1), amount: 80, position: "0"})
	s.mine()
	s.send(1, to("wrapped"), 0, call4(50), false, inside(s.at["wrapped"], a(1), 50, "0"),
		move{kind: tracer.KindToken, asset: s.at["wrapped"], from: a(1), to: s.at["wrapped"], amount: 50, position: "0"})
	s.send(0, &s.who[0], 10, nil, false) // to itself
	s.send(2, to("token"), 0, call4(a(3), 0), false, token(a(2), a(3), 0))
	s.send(3, &stranger, 7, nil, false)
	s.mine()
	s.chain.Tokens = append(s.chain.Tokens, []tracer.Token{{Address: s.at["token"], Symbol: "TOK", Decimals: 6, Stable: true}, {Address: s.at["wrapped"], Symbol: "WETH", Decimals: 18, Wrapped: true}}...)
}

// truth is what happened, with what only the chain knows: blocks, and fees.
func (s *scene) truth() []tracer.Transfer {
	var ts []tracer.Transfer
	for _, d := range s.sent {
		var r *struct {
			Block   hexutil.Uint64 `json:"blockNumber"`
			Hash    common.Hash    `json:"blockHash"`
			Index   hexutil.Uint64 `json:"transactionIndex"`
			From    common.Address `json:"from"`
			Status  hexutil.Uint64 `json:"status"`
			GasUsed hexutil.Uint64 `json:"gasUsed"`
			Price   hexutil.U256   `json:"effectiveGasPrice"`
			Logs    []struct {
				Index   hexutil.Uint64 `json:"logIndex"`
				Address common.Address `json:"address"`
			} `json:"logs"`
		}
		s.call(&r, "eth_getTransactionReceipt", d.hash)
		if r == nil || (r.Status == 1) == d.fails {
			s.t.Fatalf("transaction %s has receipt %+v; it should fail: %v", d.hash, r, d.fails)
		}
		var h struct {
			Time hexutil.Uint64 `json:"timestamp"`
		}
		s.call(&h, "eth_getBlockByNumber", r.Block, false)
		base := tracer.Transfer{Asset: tracer.NativeOf(s.chain.ID), Block: uint64(r.Block), BlockHash: r.Hash, Time: uint64(h.Time), Tx: d.hash, TxIndex: uint32(r.Index), Kind: tracer.KindFee, From: r.From}
		fee := base
		fee.Amount.Mul((*uint256.Int)(&r.Price), uint256.NewInt(uint64(r.GasUsed)))
		ts = append(ts, fee)
		var coins, tokens []string // positions of logs
		for _, l := range r.Logs {
			if at := strconv.FormatUint(uint64(l.Index), 10); l.Address == tracer.NativeLogs {
				coins = append(coins, at)
			} else {
				tokens = append(tokens, at)
			}
		}
		if told := s.fork > 0 && uint64(r.Block) >= s.fork; !told && len(coins) > 0 {
			s.t.Fatalf("transaction %s in block %d has logs of the coin", d.hash, r.Block)
		}
		for _, m := range d.moves {
			t := base
			t.Kind, t.From, t.To, t.Position = m.kind, m.from, m.to, m.position
			t.Amount.SetUint64(m.amount)
			switch m.kind {
			case tracer.KindToken, tracer.KindNFT:
				t.Asset = tracer.TokenOf(s.chain.ID, m.asset)
				if m.kind == tracer.KindNFT {
					t.Asset.Kind = tracer.NFT
				}
				n, err := strconv.Atoi(m.position)
				if err != nil || n >= len(tokens) {
					s.t.Fatalf("transaction %s has %d logs, want one with number %s", d.hash, len(tokens), m.position)
				}
				t.Position = tokens[n]
			default:
				if s.fork == 0 || uint64(r.Block) < s.fork {
					break
				}
				if m.from == m.to { // leaves no log
					if len(coins) > 0 {
						continue
					}
					break
				}
				if len(coins) == 0 {
					s.t.Fatalf("transaction %s has too few logs of the coin", d.hash)
				}
				t.Kind, t.Position, coins = tracer.KindToken, coins[0], coins[1:]
			}
			ts = append(ts, t)
		}
	}
	return tracer.SortTransfers(ts)
}

// wallets are all that the scene is about; accounts only those without code.
func (s *scene) wallets(accounts bool) tracer.Query {
	var q tracer.Query
	for _, a := range s.who {
		q.Spans = append(q.Spans, tracer.Span{Wallet: a, To: 1 << 40})
	}
	if !accounts {
		for name, a := range s.at {
			if name != "wrapped" { // its side of wrapping is in no topic
				q.Spans = append(q.Spans, tracer.Span{Wallet: a, To: 1 << 40})
			}
		}
	}
	return q
}

// compare checks an answer against the truth: what the wallets asked for did,
// exactly, but for internal transfers when these cannot be seen.
func (s *scene) compare(t *testing.T, q tracer.Query, ans tracer.Answer, blind bool) {
	t.Helper()
	asked := make(map[common.Address]bool)
	for _, p := range q.Spans {
		asked[p.Wallet] = true
	}
	want := s.truth()
	want = slices.DeleteFunc(want, func(x tracer.Transfer) bool {
		return !asked[x.From] && !asked[x.To] || blind && x.Kind == tracer.KindInternal
	})
	for _, x := range ans.Transfers {
		if !slices.Contains(want, x) {
			t.Errorf("never happened: %+v", x)
		}
	}
	for _, x := range want {
		if !slices.Contains(ans.Transfers, x) {
			t.Errorf("missed: %+v", x)
		}
	}
	if len(ans.Transfers) != len(want) {
		t.Errorf("%d transfers, want %d", len(ans.Transfers), len(want))
	}
}
