package devnet

import (
	"bytes"
	"context"
	"encoding/binary"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/rpc"
	"github.com/holiman/uint256"
)

// What contracts answer when they are asked: tokens for their name, symbol and
// decimals, and Multicall3 for the answers of others.

// multicall3 is where Multicall3 is on nearly every chain (multicall3.com).
var multicall3 = common.HexToAddress("0xcA11bde05977b3631167028862bE2a173976CA11")

// A speech is what a token answers, as its code returns it; nil reverts.
type speech struct{ name, symbol, decimals []byte }

// word is a number in 32 bytes.
func word(n uint64) []byte { return binary.BigEndian.AppendUint64(make([]byte, 24), n) }

// text is a string as Solidity returns it.
func text(s string) []byte {
	b := append(append(word(32), word(uint64(len(s)))...), s...)
	return append(b, make([]byte, -len(s)&31)...)
}

// short is a text in 32 bytes, as some early tokens return it.
func short(s string) []byte {
	b := make([]byte, 32)
	copy(b, s)
	return b
}

// speak lets the tokens that have a value say what they are.
func (s *sim) speak() {
	s.setCode(s.at(multicall3), 0, "Multicall3")
	for a, name := range map[asset]string{usdt: "Tether USD", usdc: "USD Coin", dai: "Dai Stablecoin", weth: "Wrapped Ether"} {
		decimals := uint64(18)
		if a == usdt || a == usdc {
			decimals = 6
		}
		s.speeches[s.tokens[a]] = speech{text(name), text(symbols[a]), word(decimals)}
	}
}

// A spammer sends tokens of no value to scam wallets that were just paid, and
// to many others.
type spammer struct {
	s      *sim
	wallet addr
	tokens []addr
	sent   map[addr]bool
}

func (s *sim) spammer() *spammer {
	o := Owner{Actor: "spammer", Role: RolePoisoner}
	p := &spammer{s: s, wallet: s.person("spammer", o), sent: make(map[addr]bool)}
	s.give(p.wallet, eth, ether(50))
	for _, t := range []struct {
		about string
		speech
	}{
		{"given away", speech{text("Visit usdt-bonus.example to claim"), text("BONUS"), word(18)}},
		{"with a Cyrillic letter", speech{text("Теther USD"), text("USDТ"), word(6)}},
		{"of early days", speech{short("Maker's Mark"), short("MRK"), word(18)}},
		{"that says nothing", speech{}},
		{"with a long name", speech{text("Long"), text(strings.Repeat("LONG ", 1<<20/5)), word(255)}},
		{"with no text", speech{text("\xff\xfe\xc0"), text("<script>\u202e\x00"), word(77)}},
	} {
		id := s.contract("token "+t.about, o)
		s.speeches[id] = t.speech
		p.tokens = append(p.tokens, id)
	}
	return p
}

// watch sees a payment to a scam wallet. What follows it is not among the
// transfers that the world is asked for, so that it changes nothing else.
func (p *spammer) watch(from, to addr) {
	s := p.s
	if s.owners[from].Role != RoleVictim || s.owners[to].Role != RoleSeed || p.sent[to] {
		return
	}
	p.sent[to] = true
	for i, token := range p.tokens {
		s.after(time.Duration(20+7*i)*time.Minute, func() {
			defer func(moved int) { s.moved = moved }(s.moved)
			people := []addr{to}
			if i == 0 {
				for n := range 24 {
					people = append(people, s.users[(int(to)+13*n)%len(s.users)])
				}
			}
			if s.begin(p.wallet, token, nil, other, uint32(gasContract+gasEach*len(people))) {
				s.data("drop", people...)
				for _, to := range people {
					s.log(evTransfer, token, p.wallet, to, uint256.NewInt(5_000_000_000))
				}
			}
		})
	}
}

// The functions that tokens have, by selector.
var (
	selectorName     = []byte{0x06, 0xfd, 0xde, 0x03}
	selectorSymbol   = []byte{0x95, 0xd8, 0x9b, 0x41}
	selectorDecimals = []byte{0x31, 0x3c, 0xe5, 0x67}

	selectorBalanceOf  = []byte{0x70, 0xa0, 0x82, 0x31} // balanceOf(address)
	selectorEthBalance = []byte{0x4d, 0x23, 0x01, 0xcc} // getEthBalance(address), of Multicall3
)

// aggregate3 is the function of Multicall3.
var aggregate3 = func() abi.Method {
	a, err := abi.JSON(strings.NewReader(`[{"type":"function","name":"aggregate3","stateMutability":"payable",
		"inputs":[{"name":"calls","type":"tuple[]","components":[{"name":"target","type":"address"},{"name":"allowFailure","type":"bool"},{"name":"callData","type":"bytes"}]}],
		"outputs":[{"name":"returnData","type":"tuple[]","components":[{"name":"success","type":"bool"},{"name":"returnData","type":"bytes"}]}]}]`))
	if err != nil {
		panic("devnet: " + err.Error()) // the text is ours
	}
	return a.Methods["aggregate3"]
}()

// run returns what a call of an address answers after a block; ok is false if
// it reverts. An address without code answers everybody with nothing.
func (n *Node) run(to common.Address, data []byte, block uint64) (out []byte, ok bool) {
	c := n.w.chain
	if len(c.code(to, block)) == 0 || to == multicall3 && n.opts.NoMulticall {
		return nil, true
	}
	if to == multicall3 {
		return n.runAll(data, block)
	}
	says, known := c.speeches[c.ids[to]]
	if !known || len(data) < 4 {
		return nil, false
	}
	switch {
	case bytes.Equal(data[:4], selectorName):
		out = says.name
	case bytes.Equal(data[:4], selectorSymbol):
		out = says.symbol
	case bytes.Equal(data[:4], selectorDecimals):
		out = says.decimals
	case bytes.Equal(data[:4], selectorBalanceOf) && len(data) >= 36:
		for a := usdt; a < assets; a++ { // nobody keeps books of the others
			if to == tokenAddress(symbols[a]) {
				b := n.x.tokens(a, common.Address(data[16:36]), block).Bytes32()
				out = b[:]
			}
		}
	}
	return out, out != nil
}

// runAll is what Multicall3 does: aggregate3 and getEthBalance.
func (n *Node) runAll(data []byte, block uint64) (out []byte, ok bool) {
	if bytes.HasPrefix(data, selectorEthBalance) && len(data) >= 36 {
		b := n.x.balance(common.Address(data[16:36]), block).Bytes32()
		return b[:], true
	}
	args, ok := bytes.CutPrefix(data, aggregate3.ID)
	if !ok {
		return nil, false
	}
	values, err := aggregate3.Inputs.Unpack(args)
	if err != nil {
		return nil, false
	}
	var in struct {
		Calls []struct {
			Target       common.Address
			AllowFailure bool
			CallData     []byte
		}
	}
	if err := aggregate3.Inputs.Copy(&in, values); err != nil {
		return nil, false
	}
	type result struct {
		Success    bool
		ReturnData []byte
	}
	results := make([]result, len(in.Calls))
	for i, q := range in.Calls {
		r, ok := n.run(q.Target, q.CallData, block)
		if !ok && !q.AllowFailure {
			return nil, false
		}
		results[i] = result{ok, r}
	}
	out, err = aggregate3.Outputs.Pack(results)
	return out, err == nil
}

// A message is the argument of eth_call; data may be called input.
type message struct {
	To          common.Address
	Data, Input hexutil.Bytes
}

// A revert is the error of a call that a contract refuses.
type revert struct{ rpcError }

func (*revert) ErrorData() any { return "0x" }

// Call runs a function that the world knows the answer of.
func (api *stateAPI) Call(ctx context.Context, m message, b *rpc.BlockNumberOrHash) (hexutil.Bytes, error) {
	n, err := api.at(ctx, b)
	if err != nil {
		return nil, err
	}
	data := m.Input
	if data == nil {
		data = m.Data
	}
	out, ok := api.n.run(m.To, data, n)
	if !ok {
		return nil, &revert{rpcError{3, "execution reverted"}}
	}
	if out == nil {
		out = []byte{}
	}
	return out, nil
}
