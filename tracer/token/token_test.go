package token

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/big"
	"strings"
	"testing"
	"unicode/utf8"

	"scamtrace/tracer"
	"scamtrace/tracer/abi"

	geth "github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/google/go-cmp/cmp"
)

// The tests encode and decode with go-ethereum's abi, which the package does not.
var aggregate3 = func() geth.Method {
	a, err := geth.JSON(strings.NewReader(`[{"type":"function","name":"aggregate3","stateMutability":"payable",
		"inputs":[{"name":"calls","type":"tuple[]","components":[{"name":"target","type":"address"},{"name":"allowFailure","type":"bool"},{"name":"callData","type":"bytes"}]}],
		"outputs":[{"name":"returnData","type":"tuple[]","components":[{"name":"success","type":"bool"},{"name":"returnData","type":"bytes"}]}]}]`))
	if err != nil {
		panic(err)
	}
	return a.Methods["aggregate3"]
}()

var stringArgs = func() geth.Arguments {
	t, err := geth.NewType("string", "", nil)
	if err != nil {
		panic(err)
	}
	return geth.Arguments{{Type: t}}
}()

func text(s string) []byte {
	b, err := stringArgs.Pack(s)
	if err != nil {
		panic(err)
	}
	return b
}

func short(s string) []byte { return common.RightPadBytes([]byte(s), 32) }

func word(n int64) []byte { return common.LeftPadBytes(big.NewInt(n).Bytes(), 32) }

func numeric(n byte) []byte { return common.LeftPadBytes([]byte{n}, 32) }

// A contract answers a question, or reverts with nil.
type contract func(which int) []byte

func says(answers ...[]byte) contract { return func(which int) []byte { return answers[which] } }

// A chain is a node with contracts.
type chain struct {
	contracts map[common.Address]contract
	greedy    map[common.Address]bool // burns the gas of whoever calls it with others
	no3       bool                    // no Multicall3
	odd3      bool                    // something else is in its place
	refusal   tracer.Refusal          // of everything
	kept      uint64                  // the first block whose state is kept
	most      int                     // bytes of an answer; 0: any

	requests, calls int
	blocks          map[uint64]bool
}

func (c *chain) Pin(context.Context) (tracer.Block, error) { return tracer.Block{Number: 100}, nil }
func (c *chain) Times(context.Context, []uint64, int) ([]uint64, int, error) {
	panic("nobody asks")
}

// Calls takes a hundred calls in a request.
func (c *chain) Calls(ctx context.Context, calls []tracer.Call, most int) ([]tracer.Reply, int, error) {
	n := (len(calls) + 99) / 100
	if n > most {
		c.requests += most
		return nil, most, tracer.ErrBudget
	}
	c.requests += n
	out := make([]tracer.Reply, len(calls))
	for i, q := range calls {
		c.calls++
		if c.blocks != nil {
			c.blocks[q.Block] = true
		}
		switch {
		case c.refusal != tracer.RefusedNot:
			out[i].Refusal = c.refusal
		case q.Block < c.kept:
			out[i].Refusal = tracer.RefusedGone
		case q.To == abi.Multicall3:
			out[i] = c.all(q.Data)
		default:
			out[i] = c.one(q.To, q.Data)
		}
		if c.most > 0 && len(out[i].Data) > c.most {
			out[i] = tracer.Reply{Refusal: tracer.RefusedNow}
		}
	}
	return out, n, ctx.Err()
}

func (c *chain) one(to common.Address, data []byte) tracer.Reply {
	x, ok := c.contracts[to]
	if !ok {
		return tracer.Reply{Data: []byte{}}
	}
	for which, q := range questions {
		if bytes.Equal(q, data) {
			if b := x(which); b != nil {
				return tracer.Reply{Data: b}
			}
		}
	}
	return tracer.Reply{Refusal: tracer.RefusedReverted}
}

func (c *chain) all(data []byte) tracer.Reply {
	if c.no3 {
		return tracer.Reply{Data: []byte{}}
	}
	if c.odd3 {
		return tracer.Reply{Data: bytes.Repeat([]byte{1}, 320)}
	}
	var in struct {
		Calls []struct {
			Target       common.Address
			AllowFailure bool
			CallData     []byte
		}
	}
	values, err := aggregate3.Inputs.Unpack(data[4:])
	if err == nil {
		err = aggregate3.Inputs.Copy(&in, values)
	}
	if err != nil || !bytes.Equal(data[:4], aggregate3.ID) {
		panic(fmt.Sprintf("the call of aggregate3 is malformed: %v", err))
	}
	type result struct {
		Success    bool
		ReturnData []byte
	}
	var results []result
	for _, q := range in.Calls {
		if c.greedy[q.Target] && len(in.Calls) > len(questions) {
			return tracer.Reply{Refusal: tracer.RefusedReverted}
		}
		r := c.one(q.Target, q.CallData)
		if c.greedy[q.Target] {
			r = tracer.Reply{Refusal: tracer.RefusedReverted} // in what gas is left
		}
		if !q.AllowFailure {
			panic("one call that fails would fail all")
		}
		results = append(results, result{r.Refusal == tracer.RefusedNot, r.Data})
	}
	out, err := aggregate3.Outputs.Pack(results)
	if err != nil {
		panic(err)
	}
	return tracer.Reply{Data: out}
}

// source is a chain as a source; what it cannot do nobody asks for.
type source struct {
	tracer.Source
	*chain
}

// wrapped is a source before a node, as a planner is.
type wrapped struct{ node source }

func (w wrapped) Pin(ctx context.Context) (tracer.Block, error)   { return w.node.Pin(ctx) }
func (w wrapped) BlockAt(context.Context, uint64) (uint64, error) { panic("nobody asks") }
func (w wrapped) Transfers(context.Context, tracer.Query) (tracer.Answer, error) {
	panic("nobody asks")
}
func (w wrapped) Transactions(context.Context, []common.Hash, int) (tracer.Answer, error) {
	panic("nobody asks")
}
func (w wrapped) Unwrap() tracer.Source { return w.node }

func (s source) Pin(ctx context.Context) (tracer.Block, error) { return s.chain.Pin(ctx) }

func eth(t testing.TB) tracer.Chain {
	t.Helper()
	c, err := tracer.ChainNamed("ethereum")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func address(n int) common.Address { return common.BytesToAddress([]byte{0xab, byte(n >> 8), byte(n)}) }

// asked returns the claims of contracts, by their number.
func asked(t testing.TB, c *chain, n, most int) (claims map[int]Claim, spent int) {
	t.Helper()
	b := NewBook(eth(t), source{chain: c}, 100)
	var assets []tracer.Asset
	for i := range n {
		assets = append(assets, tracer.TokenOf(1, address(i)))
	}
	spent, err := b.Ask(t.Context(), assets, most)
	if err != nil {
		t.Fatal(err)
	}
	if spent > most || spent != c.requests {
		t.Errorf("says it spent %d of %d requests, and spent %d", spent, most, c.requests)
	}
	claims = make(map[int]Claim)
	for i, a := range assets {
		if x, ok := b.Of(a); ok {
			claims[i] = x
		}
	}
	return claims, spent
}

// odd are contracts and what becomes of their words.
var odd = []struct {
	name string
	is   contract
	want Claim
}{
	{"a token of today", says(text("Shiba Inu"), text("SHIB"), numeric(18)), Claim{Name: "Shiba Inu", Symbol: "SHIB", Decimals: 18, Known: true}},
	{"bytes32, as MKR", says(short("Maker"), short("MKR"), numeric(18)), Claim{Name: "Maker", Symbol: "MKR", Decimals: 18, Known: true}},
	{"bytes32, full", says(short(strings.Repeat("x", 32)), short("\x00SAI"), numeric(0)), Claim{Name: strings.Repeat("x", 32), Known: true}},
	{"reverts", says(nil, nil, nil), Claim{}},
	{"an account", nil, Claim{}},
	{"empty", says(text(""), []byte{}, []byte{}), Claim{}},
	{"77 decimals", says(text("a"), text("b"), numeric(77)), Claim{Name: "a", Symbol: "b"}},
	{"255 decimals", says(text("a"), text("b"), numeric(255)), Claim{Name: "a", Symbol: "b"}},
	{"the most decimals", says(text("a"), text("b"), numeric(MostDecimals)), Claim{Name: "a", Symbol: "b", Decimals: MostDecimals, Known: true}},
	{"decimals beyond a word", says(text("a"), text("b"), append([]byte{1}, make([]byte, 31)...)), Claim{Name: "a", Symbol: "b"}},
	{"decimals too short", says(text("a"), text("b"), []byte{18}), Claim{Name: "a", Symbol: "b"}},
	{"a megabyte", says(text(strings.Repeat("LONG ", 1<<18)), text(strings.Repeat("я", 1<<20)), numeric(6)), Claim{
		Name: strings.Repeat("LONG ", 12) + "L…", Symbol: strings.Repeat("я", 30) + "…", Decimals: 6, Known: true}},
	{"no text", says(text("\xff\xfe\xc0\x80"), text("a\xffb\xed\xa0\x80"), numeric(6)), Claim{Symbol: "ab", Decimals: 6, Known: true}},
	{"hostile text", says(text("\u202e<script>\x00\x1b[2J\n\n x"), text("\u200bU\u00adS\u2066D"), numeric(6)), Claim{Name: "<script>[2J x", Symbol: "USD", Decimals: 6, Known: true}},
	{"a length beyond the end", says(append(word(32), word(1<<30)...), append(append(word(32), word(33)...), make([]byte, 32)...), numeric(6)), Claim{Decimals: 6, Known: true}},
	{"a length of 2^256-1", says(append(word(32), bytes.Repeat([]byte{0xff}, 32)...), append(bytes.Repeat([]byte{0xff}, 32), word(1)...), numeric(6)), Claim{Decimals: 6, Known: true}},
	{"an offset to itself", says(append(word(0), word(5)...), append(word(31), word(1)...), numeric(6)), Claim{Decimals: 6, Known: true}},
	{"passes for tether", says(text("Tether USD"), text("USDT"), numeric(6)), Claim{Name: "Tether USD", Symbol: "USDT", Decimals: 6, Known: true, ReadsAs: "USDT"}},
	{"with a Cyrillic letter", says(text("x"), text("USDТ"), numeric(6)), Claim{Name: "x", Symbol: "USDТ", Decimals: 6, Known: true, ReadsAs: "USDT"}},
	{"by its name alone", says(text("Tether  USD"), text("T"), numeric(6)), Claim{Name: "Tether USD", Symbol: "T", Decimals: 6, Known: true, ReadsAs: "USDT"}},
}

func oddities() *chain {
	c := &chain{contracts: make(map[common.Address]contract)}
	for i, o := range odd {
		if o.is != nil {
			c.contracts[address(i)] = o.is
		}
	}
	return c
}

// TestAsk: what contracts say comes to the same claims by Multicall3 and one by
// one, beside contracts that disturb others, and at a node that forgot the block.
func TestAsk(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*chain)
		spent  int
	}{
		{"together", func(*chain) {}, 2}, // what failed there is asked alone
		{"no Multicall3", func(c *chain) { c.no3 = true }, 2},
		{"something else in its place", func(c *chain) { c.odd3 = true }, 2},
		{"a contract burns all gas", func(c *chain) { c.greedy = map[common.Address]bool{address(0): true, address(3): true} }, 14},
		{"the state is gone", func(c *chain) { c.kept = 101 }, 3},
		{"answers of a megabyte are refused", func(c *chain) { c.most = 3 << 20 }, 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := oddities()
			tt.change(c)
			got, spent := asked(t, c, len(odd), 1000)
			for i, o := range odd {
				if diff := cmp.Diff(o.want, got[i]); diff != "" {
					t.Errorf("%s: %s", o.name, diff)
				}
			}
			if spent != tt.spent {
				t.Errorf("%d requests, want %d", spent, tt.spent)
			}
		})
	}
}

// TestAskMany: hundreds of tokens take a few requests, and no more than allowed;
// what is known, listed or of another chain is not asked.
func TestAskMany(t *testing.T) {
	c := &chain{contracts: make(map[common.Address]contract), blocks: make(map[uint64]bool)}
	for i := range 500 {
		c.contracts[address(i)] = says(text(fmt.Sprintf("Token %d", i)), text("T"), numeric(9))
	}
	claims, spent := asked(t, c, 500, 1000)
	if len(claims) != 500 || claims[499].Name != "Token 499" || spent != 5 || !maps.Equal(c.blocks, map[uint64]bool{100: true}) {
		t.Errorf("%d claims in %d requests at %v", len(claims), spent, c.blocks)
	}
	for most := range 5 {
		c.requests = 0
		if claims, spent := asked(t, c, 500, most); len(claims) != 100*most || spent != most {
			t.Errorf("with %d requests: %d claims, %d spent", most, len(claims), spent)
		}
	}

	b := NewBook(eth(t), source{chain: c}, 100)
	ask := []tracer.Asset{
		tracer.NativeOf(1), tracer.TokenOf(1, b.chain.Tokens[0].Address), tracer.TokenOf(56, address(1)), {Chain: 1, Kind: tracer.USD},
		tracer.TokenOf(1, address(1)), tracer.TokenOf(1, address(1)), {Chain: 1, Kind: tracer.NFT, Token: address(2)},
	}
	c.calls = 0
	for want := 1; want >= 0; want-- { // the second time everything is known
		if spent, err := b.Ask(t.Context(), ask, 100); err != nil || spent != want {
			t.Errorf("%d requests, %v, want %d", spent, err, want)
		}
	}
	for _, a := range ask[:4] {
		if x, ok := b.Of(a); ok {
			t.Errorf("%s was asked: %+v", a, x)
		}
	}
	if x, _ := b.Of(ask[6]); x.Name != "Token 2" || c.calls != 1 {
		t.Errorf("the NFT is %+v, after %d calls", x, c.calls)
	}
}

// TestNobody: where nothing can be asked, nothing is known, and little is spent.
func TestNobody(t *testing.T) {
	for name, r := range map[string]tracer.Refusal{"no calls": tracer.RefusedMissing, "no state at all": tracer.RefusedGone, "trouble": tracer.RefusedNow, "reverts": tracer.RefusedReverted} {
		c := oddities()
		c.refusal = r
		claims, spent := asked(t, c, len(odd), 1000)
		if r != tracer.RefusedReverted && r != tracer.RefusedGone && len(claims) > 0 || spent > 2*patience+50 {
			t.Errorf("%s: %d claims, %d requests", name, len(claims), spent)
		}
		for i, x := range claims {
			if x != (Claim{}) {
				t.Errorf("%s: %s says %+v", name, odd[i].name, x)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := NewBook(eth(t), source{chain: oddities()}, 1).Ask(ctx, []tracer.Asset{tracer.TokenOf(1, address(1))}, 10); err != context.Canceled {
		t.Errorf("interrupted: %v", err)
	}
	var none *Book
	if spent, err := none.Ask(t.Context(), []tracer.Asset{tracer.TokenOf(1, address(1))}, 10); spent != 0 || err != nil {
		t.Errorf("no book: %d, %v", spent, err)
	}
	if _, ok := none.Of(tracer.TokenOf(1, address(1))); ok {
		t.Error("no book knows a token")
	}
	planned := NewBook(eth(t), wrapped{source{chain: oddities()}}, 1)
	if spent, err := planned.Ask(t.Context(), []tracer.Asset{tracer.TokenOf(1, address(0))}, 10); spent != 1 || err != nil {
		t.Errorf("behind a planner: %d, %v", spent, err)
	}
	files := NewBook(eth(t), struct{ tracer.Source }{}, 1)
	if spent, err := files.Ask(t.Context(), []tracer.Asset{tracer.TokenOf(1, address(1))}, 10); spent != 0 || err != nil {
		t.Errorf("files: %d, %v", spent, err)
	}
}

// TestReadsAs: what looks like a name of the table is found, and nothing else.
func TestReadsAs(t *testing.T) {
	reads := func(chain, s string) string {
		c, err := tracer.ChainNamed(chain)
		if err != nil {
			t.Fatal(err)
		}
		return readings(&c)[fold(s)]
	}
	for _, tt := range []struct{ chain, text, want string }{
		{"ethereum", "USDT", "USDT"},
		{"ethereum", "usdt", "USDT"},
		{"ethereum", "USDТ", "USDT"}, // Cyrillic Te
		{"ethereum", "υѕԁт", "USDT"},
		{"ethereum", "U$DT", "USDT"},
		{"ethereum", "US₫T", ""}, // the dong has no letter in it
		{"ethereum", "USÐT", "USDT"},
		{"ethereum", "USD₮", "USDT"},
		{"ethereum", "ＵＳＤＴ", "USDT"},
		{"ethereum", "𝐔𝐒𝐃𝐓", "USDT"},
		{"ethereum", "ⓊⓈⒹⓉ", "USDT"},
		{"ethereum", "ᴜꜱᴅᴛ", "USDT"},
		{"ethereum", "ꓴꓢꓓꓔ", "USDT"},
		{"ethereum", "ÚŠĎŤ", "USDT"},
		{"ethereum", " U S D T! ✅", "USDT"},
		{"ethereum", "U\u200bSDT", "USDT"},
		{"ethereum", "Tether USD", "USDT"},
		{"ethereum", "Теthеr.UЅD", "USDT"},
		{"ethereum", "TetherUSD", "USDT"},
		{"ethereum", "USDC", "USDC"},
		{"ethereum", "UЅDС", "USDC"},
		{"ethereum", "USD Coin", "USDC"},
		{"ethereum", "DAl", "DAI"},
		{"ethereum", "DA1", "DAI"},
		{"ethereum", "ЕТН", "ETH"},
		{"ethereum", "Etheгeum", "ETH"},
		{"ethereum", "WETH", "WETH"},
		{"bsc", "BNB", "BNB"},
		{"avalanche", "USDC.e", "USDC.e"},
		{"ethereum", "USDC.e", ""},
		{"ethereum", "BNB", ""}, // is a token on Ethereum, and not one of the table
		{"bsc", "ETH", ""},
		{"ethereum", "USDTT", ""},
		{"ethereum", "BUSD", ""},
		{"ethereum", "USDT0", ""},
		{"ethereum", "SHIB", ""},
		{"ethereum", "Tether Gold", ""},
		{"ethereum", "стЕТН", ""},
		{"ethereum", "泰达币", ""},
		{"ethereum", "", ""},
		{"ethereum", "$$$ \u200b", ""},
	} {
		if got := reads(tt.chain, tt.text); got != tt.want {
			t.Errorf("on %s %q reads as %q, want %q (folded: %q)", tt.chain, tt.text, got, tt.want, fold(tt.text))
		}
	}
}

// TestConfusables: each character of the table looks like one letter only, and
// what names are folded to stays as it is.
func TestConfusables(t *testing.T) {
	seen := make(map[rune]rune)
	for row := range strings.FieldsSeq(confusables + others) {
		rest := []rune(row)
		if rest[0] < 'a' || rest[0] > 'z' {
			t.Errorf("the row %q begins with no letter", row)
		}
		for _, r := range rest[1:] {
			if was, ok := seen[r]; ok {
				t.Errorf("%q looks like %q and %q", r, was, rest[0])
			}
			seen[r] = rest[0]
		}
	}
	for _, c := range tracer.Chains() {
		for k, symbol := range readings(&c) {
			if fold(k) != k || strings.IndexFunc(k, func(r rune) bool { return r > 'z' }) >= 0 {
				t.Errorf("%s folds to %q, which folds to %q", symbol, k, fold(k))
			}
		}
	}
}

// FuzzClaims decodes any answer: nothing breaks, and what comes out is short and
// safe.
func FuzzClaims(f *testing.F) {
	for _, o := range odd {
		if o.is != nil && len(o.is(0)) < 1000 {
			f.Add(o.is(0))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s := decodeText(b)
		if len(s) > MostText || !utf8.ValidString(s) || s != tracer.CleanText(s, MostText) {
			t.Errorf("decodeText(%x) = %q", b, s)
		}
		fold(s)
		if d, ok := decodeDecimals(b); ok && d > MostDecimals {
			t.Errorf("decodeDecimals(%x) = %d", b, d)
		}
	})
}
