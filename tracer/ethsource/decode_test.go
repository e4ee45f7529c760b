package ethsource

import (
	"bytes"
	"testing"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
)

// TestDecode has a row for each shape a log may have: what is a transfer, what is
// money of the chain table, and what is nothing, whatever it begins with.
func TestDecode(t *testing.T) {
	chain, err := tracer.ChainNamed("ethereum")
	if err != nil {
		t.Fatal(err)
	}
	s := bare(t)
	s.chain = chain
	usdt, weth, other := chain.Tokens[0].Address, chain.Tokens[3].Address, common.HexToAddress("0x0123")
	from, to := common.HexToAddress("0xaa"), common.HexToAddress("0xbb")
	word := func(a common.Address) common.Hash { return common.BytesToHash(a[:]) }
	number := func(n uint64) []byte { b := uint256.NewInt(n).Bytes32(); return b[:] }
	dirty := func(a common.Address) common.Hash { h := word(a); h[0] = 1; return h }
	huge := bytes.Repeat([]byte{0xff}, 32)
	type topics []common.Hash
	token := func(a common.Address) tracer.Asset { return tracer.TokenOf(1, a) }

	for _, tt := range []struct {
		name   string
		at     common.Address
		topics topics
		data   []byte
		kind   tracer.Kind // with asset
		asset  tracer.Asset
		from   common.Address
		to     common.Address
		amount string // empty: it is no transfer
		known  bool   // has a value that can be relied on
	}{
		{"ERC-20", usdt, topics{topicTransfer, word(from), word(to)}, number(7), tracer.KindToken, token(usdt), from, to, "7", true},
		{"ERC-20 that nobody knows", other, topics{topicTransfer, word(from), word(to)}, number(7), tracer.KindToken, token(other), from, to, "7", false},
		{"ERC-20 with more data", usdt, topics{topicTransfer, word(from), word(to)}, append(number(7), 1, 2, 3), tracer.KindToken, token(usdt), from, to, "7", true},
		{"of nothing", usdt, topics{topicTransfer, word(from), word(to)}, number(0), tracer.KindToken, token(usdt), from, to, "0", true},
		{"to itself", usdt, topics{topicTransfer, word(from), word(from)}, number(7), tracer.KindToken, token(usdt), from, from, "7", true},
		{"minted", usdt, topics{topicTransfer, {}, word(to)}, number(7), tracer.KindToken, token(usdt), common.Address{}, to, "7", true},
		{"burned", usdt, topics{topicTransfer, word(from), {}}, number(7), tracer.KindToken, token(usdt), from, common.Address{}, "7", true},
		{"2^255 and more", other, topics{topicTransfer, word(from), word(to)}, huge, tracer.KindToken, token(other), from, to, new(uint256.Int).SetAllOne().Dec(), false},
		{"native coin, EIP-7708", tracer.NativeLogs, topics{topicTransfer, word(from), word(to)}, number(7), tracer.KindToken, tracer.NativeOf(1), from, to, "7", true},
		{"ERC-721", other, topics{topicTransfer, word(from), word(to), common.BigToHash(common.Big3)}, nil, tracer.KindNFT, tracer.Asset{Chain: 1, Kind: tracer.NFT, Token: other}, from, to, "3", false},
		{"ERC-721 of the contract of tether", usdt, topics{topicTransfer, word(from), word(to), common.BigToHash(common.Big3)}, nil, tracer.KindNFT, tracer.Asset{Chain: 1, Kind: tracer.NFT, Token: usdt}, from, to, "3", false},
		{"all in data", other, topics{topicTransfer}, bytes.Join([][]byte{word(from).Bytes(), word(to).Bytes(), number(9)}, nil), tracer.KindToken, token(other), from, to, "9", false},
		{"wrapped", weth, topics{topicDeposit, word(to)}, number(7), tracer.KindToken, token(weth), weth, to, "7", true},
		{"unwrapped", weth, topics{topicWithdrawal, word(from)}, number(7), tracer.KindToken, token(weth), from, weth, "7", true},

		{name: "no topics", at: usdt, data: number(7)},
		{name: "one topic, two words", at: usdt, topics: topics{topicTransfer}, data: make([]byte, 64)},
		{name: "one topic, four words", at: usdt, topics: topics{topicTransfer}, data: make([]byte, 128)},
		{name: "two topics", at: usdt, topics: topics{topicTransfer, word(from)}, data: make([]byte, 64)},
		{name: "three topics, no data", at: usdt, topics: topics{topicTransfer, word(from), word(to)}},
		{name: "three topics, a byte too few", at: usdt, topics: topics{topicTransfer, word(from), word(to)}, data: number(7)[:31]},
		{name: "four topics and data", at: usdt, topics: topics{topicTransfer, word(from), word(to), {31: 3}}, data: number(7)},
		{name: "a sender with high bytes", at: usdt, topics: topics{topicTransfer, dirty(from), word(to)}, data: number(7)},
		{name: "a receiver with high bytes", at: usdt, topics: topics{topicTransfer, word(from), dirty(to)}, data: number(7)},
		{name: "an ERC-721 with high bytes", at: other, topics: topics{topicTransfer, dirty(from), word(to), {31: 3}}},
		{name: "high bytes in data", at: other, topics: topics{topicTransfer}, data: bytes.Join([][]byte{dirty(from).Bytes(), word(to).Bytes(), number(9)}, nil)},
		{name: "another event", at: usdt, topics: topics{{1}, word(from), word(to)}, data: number(7)},
		{name: "a deposit of a contract that is no wrapped coin", at: other, topics: topics{topicDeposit, word(to)}, data: number(7)},
		{name: "a deposit with high bytes", at: weth, topics: topics{topicDeposit, dirty(to)}, data: number(7)},
		{name: "a deposit of too little data", at: weth, topics: topics{topicDeposit, word(to)}, data: number(7)[:31]},
	} {
		l := log{Address: tt.at, NumTopics: len(tt.topics), Size: len(tt.data), Index: 5, Block: 9}
		copy(l.Topics[:], tt.topics)
		copy(l.Data[:], tt.data)
		got, ok := s.transfer(&l)
		if ok != (tt.amount != "") {
			t.Errorf("%s: a transfer: %t (%+v)", tt.name, ok, got)
		}
		if ok && (got.Kind != tt.kind || got.Asset != tt.asset || got.From != tt.from || got.To != tt.to || got.Amount.Dec() != tt.amount || got.Position != "5" || got.Block != 9) {
			t.Errorf("%s: %+v", tt.name, got)
		}
		if ok && chain.Known(got.Asset) != tt.known {
			t.Errorf("%s: known %t, want %t", tt.name, chain.Known(got.Asset), tt.known)
		}
	}
}

// FuzzDecode decodes any log: what is taken for a transfer says of both sides
// and the amount what the log does.
func FuzzDecode(f *testing.F) {
	f.Add(uint8(3), bytes.Repeat(make([]byte, 32), 4), 32)
	f.Add(uint8(1), make([]byte, 224), 96)
	f.Fuzz(func(t *testing.T, topics uint8, words []byte, size int) {
		s := &Source{chain: tracer.Chain{ID: 1}}
		l := log{NumTopics: int(topics % 6), Size: size}
		for i := 1; i < 4; i++ {
			words = words[copy(l.Topics[i][:], words):]
		}
		copy(l.Data[:], words)
		l.Topics[0] = topicTransfer
		got, ok := s.transfer(&l)
		if !ok {
			return
		}
		from, to, amount := l.Topics[1][:], l.Topics[2][:], l.Data[:32]
		switch l.NumTopics {
		case 1:
			from, to, amount = l.Data[:32], l.Data[32:64], l.Data[64:]
		case 4:
			amount = l.Topics[3][:]
		}
		n := got.Amount.Bytes32()
		if !bytes.Equal(common.LeftPadBytes(got.From[:], 32), from) || !bytes.Equal(common.LeftPadBytes(got.To[:], 32), to) || !bytes.Equal(n[:], amount) {
			t.Errorf("%+v is read as %+v", l, got)
		}
	})
}
