package tracer_test

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
)

func TestAssetIDs(t *testing.T) {
	usdt := tracer.Chains()[0].Tokens[0].Address
	for _, tt := range []struct {
		asset tracer.Asset
		want  string
	}{
		{tracer.NativeOf(1), "eip155:1/slip44:60"},
		{tracer.NativeOf(56), "eip155:56/slip44:714"},
		{tracer.TokenOf(1, usdt), "eip155:1/erc20:0xdac17f958d2ee523a2206206994597c13d831ec7"},
		{tracer.Asset{Chain: 1, Kind: tracer.NFT, Token: usdt}, "eip155:1/erc721:0xdac17f958d2ee523a2206206994597c13d831ec7"},
		{tracer.Asset{Chain: 10, Kind: tracer.USD}, "eip155:10/iso4217:usd"},
	} {
		if got := tt.asset.String(); got != tt.want {
			t.Errorf("String() = %q, want %q", got, tt.want)
		}
		if got, err := tracer.ParseAsset(tt.want); err != nil || got != tt.asset {
			t.Errorf("ParseAsset(%q) = %v, %v", tt.want, got, err)
		}
	}
	for _, bad := range []string{"", "1/slip44:60", "eip155:x/slip44:60", "eip155:1/slip44:61", "eip155:1/erc20:0x12", "eip155:01/slip44:60"} {
		if a, err := tracer.ParseAsset(bad); err == nil {
			t.Errorf("ParseAsset(%q) = %v, want an error", bad, a)
		}
	}
}

func TestChainNamed(t *testing.T) {
	for _, tt := range []struct {
		name string
		id   uint64 // 0: refused
		rows int    // tokens known
	}{
		{"ethereum", 1, 4}, {"Ethereum", 1, 4}, {"1", 1, 4}, {"base", 8453, 5}, {"31337", 31337, 0},
		{"bitcoin", 0, 0}, {"", 0, 0}, {"0", 0, 0}, {"-1", 0, 0}, {"9223372036854775808", 0, 0}, {"0x1", 0, 0},
	} {
		c, err := tracer.ChainNamed(tt.name)
		if c.ID != tt.id || (err == nil) != (tt.id != 0) || len(c.Tokens) != tt.rows {
			t.Errorf("ChainNamed(%q) = chain %d with %d tokens, %v; want chain %d with %d", tt.name, c.ID, len(c.Tokens), err, tt.id, tt.rows)
		}
		if tt.id != 0 && !c.Known(tracer.NativeOf(tt.id)) {
			t.Errorf("the coin of %q is not known", tt.name)
		}
	}
}

func TestDollars(t *testing.T) {
	for s, want := range map[string]tracer.Micros{
		"0": 0, "1": 1_000_000, "1.5": 1_500_000, "0.000001": 1, "999999999999": 999_999_999_999_000_000,
		"": -1, ".5": -1, "1.": -1, "1.0000001": -1, "-1": -1, "+1": -1, "1e3": -1, "1,5": -1, "9999999999999": -1, " 1": -1,
	} {
		got, err := tracer.ParseDollars(s)
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("ParseDollars(%q) = %d, %v, want %d", s, got, err, want)
		}
	}
}

func TestChainTable(t *testing.T) {
	seen := make(map[string]bool)
	for _, c := range tracer.Chains() {
		if got, err := tracer.ChainNamed(c.Name); err != nil || got.ID != c.ID {
			t.Errorf("ChainNamed(%q) = %v, %v", c.Name, got.ID, err)
		}
		wrapped := 0
		for _, tok := range c.Tokens {
			id := tracer.TokenOf(c.ID, tok.Address).String()
			if seen[id] {
				t.Errorf("%s stands twice in the table", id)
			}
			seen[id] = true
			if tok.Wrapped {
				wrapped++
			}
			if tok.Stable == tok.Wrapped {
				t.Errorf("%s %s is both or neither of stable and wrapped", c.Name, tok.Symbol)
			}
		}
		if wrapped != 1 && !tracer.Tron(c.ID) {
			t.Errorf("%s has %d wrapped coins, want 1", c.Name, wrapped)
		}
	}
	if bsc, _ := tracer.ChainNamed("bsc"); bsc.Tokens[0].Decimals != 18 {
		t.Errorf("USDT on BSC has %d decimals, want 18", bsc.Tokens[0].Decimals)
	}
	if _, err := tracer.ChainNamed("bitcoin"); err == nil {
		t.Error("ChainNamed(bitcoin) is no error")
	}
}

func TestReadable(t *testing.T) {
	for _, tt := range []struct {
		amount   uint64
		decimals uint8
		want     string
	}{{1_500_000, 6, "1.5"}, {1, 18, "0.000000000000000001"}, {0, 6, "0"}, {100, 0, "100"}, {10_000_000, 6, "10"}} {
		if got := tracer.Readable(uint256.NewInt(tt.amount), tt.decimals); got != tt.want {
			t.Errorf("Readable(%d, %d) = %q, want %q", tt.amount, tt.decimals, got, tt.want)
		}
	}
	for _, tt := range []struct {
		m    tracer.Micros
		want string
	}{{0, "$0.00"}, {1_234_567_895_000, "$1,234,567.90"}, {-5_000, "-$0.01"}, {999_994_999, "$999.99"}} {
		if got := tt.m.String(); got != tt.want {
			t.Errorf("Micros(%d) = %q, want %q", tt.m, got, tt.want)
		}
	}
}

func TestSortTransfers(t *testing.T) {
	var want []tracer.Transfer
	for i := range uint64(50) {
		tr := tracer.Transfer{Asset: tracer.NativeOf(1), Block: i / 10, TxIndex: uint32(i / 3 % 4), Kind: tracer.KindInternal,
			Tx: common.Hash{byte(i / 3)}, Position: []string{"0", "0.2", "0.10"}[i%3]}
		want = append(want, tr)
	}
	want = tracer.SortTransfers(want)
	got := slices.Concat(want, want[:20])
	rng := rand.New(rand.NewPCG(1, 1))
	rng.Shuffle(len(got), func(i, j int) { got[i], got[j] = got[j], got[i] })
	if got = tracer.SortTransfers(got); !slices.Equal(got, want) {
		t.Errorf("SortTransfers depends on the order it is given, or keeps repeated readings")
	}
}

func TestLookAlike(t *testing.T) {
	a := common.HexToAddress("0xabcd000000000000000000000000000000001234")
	b := common.HexToAddress("0xabcd999999999999999999999999999999991234")
	if !tracer.LookAlike(a, b) || tracer.LookAlike(a, a) || tracer.LookAlike(a, common.Address{}) {
		t.Error("LookAlike does not tell look-alikes")
	}
}

func TestComparePositions(t *testing.T) {
	order := []string{"", "0", "0.2", "0.10", "00", "01", "1", "9", "10", "1x", "x"}
	for i, a := range order {
		for j, b := range order {
			if got, want := tracer.ComparePositions(a, b), cmp.Compare(i, j); got != want {
				t.Errorf("ComparePositions(%q, %q) = %d, want %d", a, b, got, want)
			}
		}
	}
}
