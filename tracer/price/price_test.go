package price_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"scamtrace/tracer"
	"scamtrace/tracer/price"

	"github.com/holiman/uint256"
)

func TestUSD(t *testing.T) {
	eth, _ := tracer.ChainNamed("ethereum")
	b := price.New(eth)
	b.Set(tracer.NativeOf(1), 1000, 2000*tracer.Dollar)
	b.Set(tracer.NativeOf(1), 90_000, 3000*tracer.Dollar)
	token := func(symbol string) tracer.Asset {
		for _, tok := range eth.Tokens {
			if tok.Symbol == symbol {
				return tracer.TokenOf(1, tok.Address)
			}
		}
		return tracer.Asset{}
	}
	for _, tt := range []struct {
		name   string
		asset  tracer.Asset
		amount string
		time   uint64
		usd    tracer.Micros
		source string
	}{
		{"a dollar token", token("USDT"), "1500000", 0, 1_500_000, "stablecoin"},
		{"18 decimals", token("DAI"), "1500000000000000000", 0, 1_500_000, "stablecoin"},
		{"half up", token("DAI"), "500000000000", 0, 1, "stablecoin"},
		{"ether", tracer.NativeOf(1), "1000000000000000000", 1000, 2000 * tracer.Dollar, "price list"},
		{"the latest price", tracer.NativeOf(1), "1000000000000000000", 100_000, 3000 * tracer.Dollar, "price list"},
		{"wrapped", token("WETH"), "1000000000000000000", 5000, 2000 * tracer.Dollar, "price list"},
		{"before the first price", tracer.NativeOf(1), "1", 999, 0, ""},
		{"long after the last price", tracer.NativeOf(1), "1", 90_000 + 48*3600 + 1, 0, ""},
		{"an unknown token", tracer.TokenOf(1, [20]byte{1}), "1", 1000, 0, ""},
		{"another chain", tracer.NativeOf(56), "1", 1000, 0, ""},
		{"cents", tracer.Asset{Chain: 1, Kind: tracer.USD}, "12345", 0, 123_450_000, "value"},
		{"more than there is", token("USDT"), "115792089237316195423570985008687907853269984665640564039457584007913129639935", 0, math.MaxInt64, "stablecoin"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			usd, source, ok := b.USD(tt.asset, uint256.MustFromDecimal(tt.amount), tt.time)
			if usd != tt.usd || source != tt.source || ok != (tt.source != "") {
				t.Errorf("USD = %d, %q, %v, want %d, %q", usd, source, ok, tt.usd, tt.source)
			}
		})
	}
}

func TestUSDAgainstBig(t *testing.T) {
	eth, _ := tracer.ChainNamed("ethereum")
	rng := rand.New(rand.NewPCG(1, 1))
	for range 1000 {
		b := price.New(eth)
		p := 1 + rng.Int64N(1e12)
		b.Set(tracer.NativeOf(1), 0, tracer.Micros(p))
		amount := uint256.NewInt(rng.Uint64())
		want := new(big.Int).Mul(amount.ToBig(), big.NewInt(2*p))
		want.Add(want, big.NewInt(1e18)).Quo(want, big.NewInt(2e18))
		if got, _, _ := b.USD(tracer.NativeOf(1), amount, 1); int64(got) != want.Int64() {
			t.Fatalf("%s at %d: %d, want %s", amount.Dec(), p, got, want)
		}
	}
}

func TestReadCSV(t *testing.T) {
	eth, _ := tracer.ChainNamed("ethereum")
	b := price.New(eth)
	if err := b.ReadCSV(strings.NewReader("asset,time,usd\neip155:1/slip44:60,2026-01-01,2000.5\n"), "p.csv"); err != nil {
		t.Fatal(err)
	}
	if usd, _, _ := b.USD(tracer.NativeOf(1), uint256.NewInt(1e18), 1767225600+60); usd != 2000_500_000 {
		t.Errorf("USD = %d, want 2000500000", usd)
	}
	for _, tt := range []struct{ in, want string }{
		{"", "line 1: the columns must be"},
		{"a,b\n", "line 1: the columns must be"},
		{"asset,time,usd\nETH,2026-01-01,1\n", "line 2: \"ETH\" is not a CAIP-19 id"},
		{"asset,time,usd\neip155:1/slip44:60,soon,1\n", "line 2: \"soon\" is not a time"},
		{"asset,time,usd\neip155:1/slip44:60,1,-1\n", "line 2: \"-1\" is not a price"},
		{"asset,time,usd\neip155:1/slip44:60,1,0\n", "line 2: \"0\" is not a price"},
		{"asset,time,usd\nx,y\n", "line 2: wrong number of fields"},
		{"asset,time,usd\n\"x\n", "line 2: extraneous or missing"},
		{"asset,time,usd\neip155:1/slip44:60,1,2\neip155:1/slip44:60,1,2\neip155:1/slip44:60,1,3\n", "line 4: eip155:1/slip44:60 has another price at this time"},
		{"asset,time,usd\n" + strings.Repeat("eip155:1/slip44:60,2026-01-01,2000.5\n", price.MaxFile/36), "p.csv is larger than 64 MB"},
	} {
		b := price.New(eth)
		err := b.ReadCSV(strings.NewReader(tt.in), "p.csv")
		if !errors.Is(err, tracer.ErrUsage) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("ReadCSV(%.80q) says %v, want %q", tt.in, err, tt.want)
		}
		if b.SHA256() != price.New(eth).SHA256() {
			t.Errorf("ReadCSV(%.80q) is an error and left prices", tt.in)
		}
	}
	broken := errors.New("broken disk")
	if err := b.ReadCSV(io.MultiReader(strings.NewReader("asset,time,usd\n"), iotest.ErrReader(broken)), "p.csv"); !errors.Is(err, broken) || errors.Is(err, tracer.ErrUsage) {
		t.Errorf("ReadCSV of a broken disk says %v", err)
	}
}

// TestQuotes: each value names the source of the quote it rests on, and the
// order in which quotes come makes no difference, but for the same time.
func TestQuotes(t *testing.T) {
	eth, _ := tracer.ChainNamed("ethereum")
	coin, one := tracer.NativeOf(1), uint256.NewInt(1e18)
	b, c := price.New(eth), price.New(eth)
	quotes := []price.Quote{
		{coin, 1000, 2 * tracer.Dollar, "a feed\u202e at 0x12"}, {coin, 3000, 4 * tracer.Dollar, ""},
		{coin, 2000, 3 * tracer.Dollar, "another"}, {coin, 2500, 0, "nobody"}, {coin, 2600, -1, "nobody"},
	}
	b.Add(quotes...)
	slices.Reverse(quotes)
	for _, q := range quotes {
		c.Add(q)
	}
	for _, tt := range []struct {
		at     uint64
		usd    tracer.Micros
		source string
	}{{999, 0, ""}, {1000, 2 * tracer.Dollar, "a feed at 0x12"}, {2700, 3 * tracer.Dollar, "another"}, {3000, 4 * tracer.Dollar, price.List}} {
		for _, book := range []*price.Book{b, c} {
			if usd, source, ok := book.USD(coin, one, tt.at); usd != tt.usd || source != tt.source || ok != (tt.source != "") {
				t.Errorf("USD at %d = %d, %q, %v, want %d, %q", tt.at, usd, source, ok, tt.usd, tt.source)
			}
		}
	}
	if b.SHA256() != c.SHA256() {
		t.Error("the hash depends on the order of adding")
	}
	c.Set(coin, 2000, 3*tracer.Dollar)
	if _, source, _ := c.USD(coin, one, 2000); source != price.List || c.SHA256() == b.SHA256() {
		t.Errorf("a quote of the same time is from %q, and the hash is the same: %v", source, c.SHA256() == b.SHA256())
	}
	in := "\ufeffasset,time,usd\neip155:1/slip44:60,1970-01-02,5\n"
	if err := c.ReadCSV(strings.NewReader(in), "my\x00 prices.csv"); err != nil {
		t.Fatal(err)
	}
	if usd, source, _ := c.USD(coin, one, 86_400); usd != 5*tracer.Dollar || source != "my prices.csv" {
		t.Errorf("a price of a file is %d from %q", usd, source)
	}
}

// FuzzReadCSV: nothing breaks the reader, and what it reads is written so that
// it is read again.
func FuzzReadCSV(f *testing.F) {
	f.Add("asset,time,usd\neip155:1/slip44:60,2026-01-01,2000.5\n")
	f.Add("asset,time,usd,source,asked\neip155:1/slip44:60,2026-01-01,2000.5,x,\neip155:1/slip44:60,2026-01-01,2000.5,chainlink,yes\neip155:1/slip44:60,2026-01-02,,why,failed\n")
	eth, _ := tracer.ChainNamed("ethereum")
	f.Fuzz(func(t *testing.T, s string) {
		b := price.New(eth)
		if err := b.ReadCSV(strings.NewReader(s), "p.csv"); err != nil {
			if !errors.Is(err, tracer.ErrUsage) {
				t.Fatal(err)
			}
			return
		}
		var file bytes.Buffer
		if err := b.Save(&file); err != nil {
			t.Fatal(err)
		}
		c := price.New(eth)
		if err := c.ReadCSV(&file, "q.csv"); err != nil || c.SHA256() != b.SHA256() {
			t.Fatalf("saved and read again: %v", err)
		}
	})
}
