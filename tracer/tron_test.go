package tracer_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
)

// The token contracts of Tron, in the forms that its own pages give them.
var tronAddresses = []struct{ base58, hex string }{
	{"TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t", "41a614f803b6fd780986a42c78ec9c7f77e6ded13c"}, // USDT
	{"TEkxiTehnzSmSe2XqrBj4w32RUN966rdz8", "413487b63d30b5b2c87fb7ffa8bcfade38eaac1abe"}, // USDC
	{"T9yD14Nj9j7xAB4dbGeiX9h8unkKHxuWwb", "410000000000000000000000000000000000000000"}, // nobody
}

func TestTronAddress(t *testing.T) {
	for _, tt := range tronAddresses {
		want := common.HexToAddress("0x" + tt.hex[2:])
		for _, s := range []string{tt.base58, tt.hex, "0x" + tt.hex, "0x" + tt.hex[2:], strings.ToUpper(tt.hex)} {
			if got, err := tracer.ParseTronAddress(s); err != nil || got != want {
				t.Errorf("ParseTronAddress(%q) = %s, %v, want %s", s, got, err, want)
			}
		}
		if got := tracer.TronAddress(want); got != tt.base58 {
			t.Errorf("TronAddress(%s) = %q, want %q", want, got, tt.base58)
		}
	}
	for _, s := range []string{
		"", "T", "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6", "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6T", "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj60",
		"tR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t", "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6é", "Tzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz",
		"42a614f803b6fd780986a42c78ec9c7f77e6ded13c", "a614f803b6fd780986a42c78ec9c7f77e6ded13c", "0xa614f803b6fd780986a42c78ec9c7f77e6ded1",
		"41a614f803b6fd780986a42c78ec9c7f77e6ded13g",
	} {
		if got, err := tracer.ParseTronAddress(s); err == nil {
			t.Errorf("ParseTronAddress(%q) = %s, want an error", s, got)
		}
	}
}

func FuzzTronAddress(f *testing.F) {
	tron := chainNamed(f, "tron")
	for _, tt := range tronAddresses {
		f.Add(tt.base58, []byte(tt.hex))
		f.Add("0x"+tt.hex, []byte(tt.base58))
	}
	f.Fuzz(func(t *testing.T, s string, b []byte) {
		a := common.BytesToAddress(b)
		text := tracer.TronAddress(a)
		if back, err := tracer.ParseTronAddress(text); err != nil || back != a || len(text) != 34 || text[0] != 'T' {
			t.Errorf("TronAddress(%s) = %q, which is read as %s, %v", a, text, back, err)
		}
		if seed, err := tron.ParseSeed(s); err == nil {
			if back, err := tron.ParseSeed(seed.Show(tron.ID)); err != nil || back != seed {
				t.Errorf("ParseSeed(%q) = %s, which is read as %s, %v", s, seed.Show(tron.ID), back, err)
			}
		}
		got, err := tracer.ParseTronAddress(s)
		if err != nil {
			return
		}
		if strings.HasPrefix(s, "T") && tracer.TronAddress(got) != s {
			t.Errorf("%q is read as %s, which is %q", s, got, tracer.TronAddress(got))
		}
	})
}

func chainNamed(t testing.TB, name string) *tracer.Chain {
	t.Helper()
	c, err := tracer.ChainNamed(name)
	if err != nil {
		t.Fatal(err)
	}
	return &c
}

func TestTronSeeds(t *testing.T) {
	tron := chainNamed(t, "tron")
	const usdt = "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"
	for _, tt := range []struct{ name, in, want, wrong string }{
		{"base58", usdt, usdt, ""},
		{"hex", "41a614f803b6fd780986a42c78ec9c7f77e6ded13c", usdt, ""},
		{"hex with 0x", "0x41a614f803b6fd780986a42c78ec9c7f77e6ded13c", usdt, ""},
		{"as a node writes it", "0xa614f803b6fd780986a42c78ec9c7f77e6ded13c", usdt, ""},
		{"a transaction", goodTx[2:], goodTx[2:], ""},
		{"a transaction with 0x", goodTx, goodTx[2:], ""},
		{"wrong checksum", "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6T", "", "checksum"},
		{"a letter base58 does not have", "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLjIt", "", `'I' at character 33`},
		{"too short", usdt[:33], "", ""},
		{"EIP-55 with another case", strings.Replace(good, "dA", "da", 1), "", "checksum"},
		{"nothing of the kind", "hello", "", "T and 33 letters"},
		{"empty", "", "", "missing"},
		{"seed phrase", "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about", "", "secret recovery phrase"},
		{"Bitcoin", "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", "", "Bitcoin"},
	} {
		s, err := tron.ParseSeed(tt.in)
		switch {
		case tt.want == "" && (!errors.Is(err, tracer.ErrUsage) || !strings.Contains(err.Error(), tt.wrong)):
			t.Errorf("%s: ParseSeed(%q) says %v, want a usage error with %q", tt.name, tt.in, err, tt.wrong)
		case tt.want != "" && (err != nil || s.Show(tron.ID) != tt.want):
			t.Errorf("%s: ParseSeed(%q) = %s, %v, want %s", tt.name, tt.in, s.Show(tron.ID), err, tt.want)
		}
	}
	if _, err := tron.ParseAddress(goodTx[2:]); err == nil || !strings.Contains(err.Error(), "transaction hash, not an address") {
		t.Errorf("ParseAddress of a hash says %v", err)
	}
	ethereum := chainNamed(t, "ethereum")
	for in, want := range map[string]string{
		usdt: "choose Tron as the network", "41a614f803b6fd780986a42c78ec9c7f77e6ded13c": "choose Tron as the network",
		"TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6T": "checksum", goodTx[2:]: "private key",
	} {
		if _, err := ethereum.ParseSeed(in); !errors.Is(err, tracer.ErrUsage) || !strings.Contains(err.Error(), want) {
			t.Errorf("on Ethereum, ParseSeed(%q) says %v, want a usage error with %q", in, err, want)
		}
	}
}

func TestFindTronSeeds(t *testing.T) {
	tron := chainNamed(t, "tron")
	const usdt = "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"a chat", "i sent USDT TRC20 to " + usdt + ", txid " + goodTx[2:], []string{usdt, goodTx[2:]}},
		{"a link", "https://tronscan.org/#/address/" + usdt + "?x=1", []string{usdt}},
		{"once, in any form", usdt + " 41a614f803b6fd780986a42c78ec9c7f77e6ded13c " + goodTx + " " + goodTx[2:], []string{usdt, goodTx[2:]}},
		{"a private key", "private key: " + goodTx[2:], []string{"private key"}},
		{"a private key in disguise", "my private key is 0x" + goodTx[2:], []string{"private key"}},
		{"wrong checksum", "to " + usdt[:33] + "T!", []string{"checksum"}},
		{"l for 1", strings.Replace(usdt, "xG", "xl", 1), []string{"'l' at character 12"}},
		{"ordinary words", "They told me that there would be more", nil},
	} {
		var got []string
		for f := range tron.FindSeeds(tt.text) {
			if f.Err == nil {
				got = append(got, f.Text)
			} else {
				got = append(got, f.Err.Reason)
			}
		}
		if !slices.EqualFunc(got, tt.want, strings.Contains) {
			t.Errorf("%s: FindSeeds found %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestTronNames(t *testing.T) {
	tron := chainNamed(t, "tron")
	usdt := tron.Tokens[0].Address
	w := tracer.Wallet{Chain: tron.ID, Address: usdt}
	for got, want := range map[string]string{
		w.String(): "tron:728126428:TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t", // CAIP-10
		w.Show():   "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t",
		w.Text():   "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t",
		tracer.TronAddress(tron.Tokens[1].Address):              "TEkxiTehnzSmSe2XqrBj4w32RUN966rdz8",
		tracer.ChainID(tron.ID):                                 "tron:728126428",
		tracer.NativeOf(tron.ID).String():                       "tron:728126428/slip44:195",
		tracer.TokenOf(tron.ID, usdt).String():                  "tron:728126428/trc20:TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t",
		tracer.ShowTx(tron.ID, common.HexToHash(goodTx)):        goodTx[2:],
		tracer.Show(1, usdt):                                    "0xa614f803B6FD780986A42c78Ec9c7f77e6DeD13C",
		tracer.Text(1, usdt):                                    "0xa614f803b6fd780986a42c78ec9c7f77e6ded13c",
		tracer.Wallet{Chain: 1, Address: usdt}.String():         "eip155:1:0xa614f803b6fd780986a42c78ec9c7f77e6ded13c",
		tracer.Seed{Wallet: usdt}.Show(tron.ID):                 "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t",
		tracer.Seed{Tx: common.HexToHash(goodTx)}.Show(1):       goodTx,
		tracer.ShowTx(1, common.HexToHash(goodTx)):              goodTx,
		tracer.Asset{Chain: tron.ID, Kind: tracer.USD}.String(): "tron:728126428/iso4217:usd",
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	for _, a := range []tracer.Asset{tracer.NativeOf(tron.ID), tracer.TokenOf(tron.ID, usdt), {Chain: tron.ID, Kind: tracer.NFT, Token: usdt}, {Chain: tron.ID, Kind: tracer.USD}} {
		if back, err := tracer.ParseAsset(a.String()); err != nil || back != a {
			t.Errorf("ParseAsset(%q) = %v, %v", a, back, err)
		}
	}
	for _, s := range []string{
		"eip155:728126428/slip44:195", "tron:1/slip44:60", "tron:728126428/slip44:60", "tron:728126428/erc20:TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t",
		"tron:728126428/trc20:0xa614f803b6fd780986a42c78ec9c7f77e6ded13c", "tron:728126428/trc20:TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6T", "tron:0728126428/slip44:195",
		"eip155:1/trc20:0xa614f803b6fd780986a42c78ec9c7f77e6ded13c",
	} {
		if a, err := tracer.ParseAsset(s); err == nil {
			t.Errorf("ParseAsset(%q) = %v, want an error", s, a)
		}
	}
	if id, err := tracer.ParseChainID("tron:728126428"); err != nil || id != tron.ID {
		t.Errorf("ParseChainID of Tron's id = %d, %v", id, err)
	}
}
