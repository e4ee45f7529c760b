package tracer_test

import (
	"errors"
	"strings"
	"testing"

	"scamtrace/tracer"
)

const (
	good   = "0xdAC17F958D2ee523a2206206994597C13D831ec7"
	goodTx = "0x2f1c5c2b44f771e942a8506148e256f94f1a464babc938ae0690c6e34cd79190"
)

func TestParseSeed(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"an address", good, ""},
		{"in lower case", strings.ToLower(good), ""},
		{"a transaction", goodTx, ""},
		{"39 digits", good[:41], "39 digits"},
		{"41 digits", good + "0", "41 digits"},
		{"wrong checksum", strings.Replace(good, "dA", "da", 1), "checksum"},
		{"Tron", "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t", "Tron"},
		{"Bitcoin", "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", "Bitcoin"},
		{"old Bitcoin", "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2", "Bitcoin"},
		{"zero-width", good[:10] + "\u200b" + good[10:], "invisible character (U+200B)"},
		{"full-width", "0x" + strings.Repeat("\uff11", 40), "not a plain digit"},
		{"Cyrillic a", strings.Replace(good, "a2", "\u04302", 1), "not a plain digit"},
		{"0X", "0X" + good[2:], "small x"},
		{"no 0x", good[2:], "0x is missing"},
		{"not hex", good[:41] + "g", "not a hex digit"},
		{"a name", "vitalik.eth", "name"},
		{"empty", "", "missing"},
		{"a space", good + " ", "space"},
		{"private key", goodTx[2:], "private key"},
		{"seed phrase", "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about", "secret recovery phrase"},
		{"a long text", strings.Repeat("x", 5000), "5000 characters"},
		{"a short hash", goodTx[:58], "a transaction hash has 64"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := tracer.ParseSeed(tt.in)
			if tt.want == "" {
				if err != nil || !strings.EqualFold(s.String(), tt.in) {
					t.Errorf("ParseSeed(%q) = %v, %v", tt.in, s, err)
				}
				return
			}
			if !errors.Is(err, tracer.ErrUsage) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("ParseSeed(%q) says %v, want a usage error with %q", tt.in, err, tt.want)
			}
		})
	}
	if _, err := tracer.ParseAddress(goodTx); err == nil || !strings.Contains(err.Error(), "transaction hash, not an address") {
		t.Errorf("ParseAddress of a hash says %v", err)
	}
}

// TestSecretsAreNotRepeated pastes secrets in many ways and looks for them in
// the error.
func TestSecretsAreNotRepeated(t *testing.T) {
	key := goodTx[2:]
	for _, in := range []string{key, "my key " + key, "\u200b" + key, key + "\u0430", "5KQ" + strings.Repeat("a", 48),
		"xprv" + strings.Repeat("A", 107), "legal winner thank year wave sausage worth useful legal winner thank yellow"} {
		_, err := tracer.ParseSeed(in)
		if err == nil {
			t.Errorf("a secret was taken for a seed")
			continue
		}
		if strings.Contains(err.Error(), key[:20]) || strings.Contains(err.Error(), "sausage") || strings.Contains(err.Error(), "aaaaaaaa") || strings.Contains(err.Error(), "AAAAAAAA") {
			t.Errorf("the error repeats the secret: %v", err)
		}
	}
}

func FuzzParseSeed(f *testing.F) {
	f.Add(good)
	f.Add(goodTx)
	f.Add("TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t")
	f.Fuzz(func(t *testing.T, s string) {
		a, err := tracer.ParseSeed(s)
		if err != nil {
			if !errors.Is(err, tracer.ErrUsage) {
				t.Fatalf("ParseSeed(%q) says %v, which is no usage error", s, err)
			}
			return
		}
		if b, err := tracer.ParseSeed(a.String()); err != nil || a != b {
			t.Fatalf("ParseSeed(%q) = %s, which parses to %s, %v", s, a, b, err)
		}
	})
}

func FuzzCleanText(f *testing.F) {
	f.Add("a\u202eb\x00c  d")
	f.Fuzz(func(t *testing.T, s string) {
		got := tracer.CleanText(s, 40)
		if n := len([]rune(got)); n > 42 {
			t.Errorf("CleanText(%q) has %d runes", s, n)
		}
		if strings.ContainsAny(got, "\x00\n\r\t\x1b\u202e\u200b\u2066") {
			t.Errorf("CleanText(%q) = %q", s, got)
		}
	})
}
