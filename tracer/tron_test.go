package tracer_test

import (
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
		got, err := tracer.ParseTronAddress(s)
		if err != nil {
			return
		}
		if strings.HasPrefix(s, "T") && tracer.TronAddress(got) != s {
			t.Errorf("%q is read as %s, which is %q", s, got, tracer.TronAddress(got))
		}
	})
}
