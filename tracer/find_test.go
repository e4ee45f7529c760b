package tracer_test

import (
	"slices"
	"strings"
	"testing"

	"scamtrace/tracer"
)

func TestFindSeeds(t *testing.T) {
	const phrase = "legal winner thank year wave sausage worth useful legal winner thank yellow"
	lower := strings.ToLower(good)
	for _, tt := range []struct {
		name, text string
		want       []string // seeds, or a part of what is wrong
	}{
		{"a chat", "Mary: i sent it to " + good + ", then " + goodTx + ".", []string{good, goodTx}},
		{"once, in any case", good + " " + lower + "\n" + good, []string{good}},
		{"a link", "https://etherscan.io/address/" + lower + "?a=" + goodTx + "#events", []string{good, goodTx}},
		{"a payment request", "ethereum:" + good + "@1?value=1e18 and eip155:1:" + lower, []string{good}},
		{"JSON", `{"to":"` + good + `","hash":"` + goodTx + `"}`, []string{good, goodTx}},
		{"Chinese", "请把钱转到" + "（" + good + "）。", []string{good}},
		{"too short", "to " + good[:40] + "!", []string{"38 digits"}},
		{"wrong checksum", strings.Replace(good, "dA", "da", 1), []string{"checksum"}},
		{"without 0x", good[2:], []string{"0x is missing"}},
		{"zero-width", good[:10] + "\u200b" + good[10:], []string{"invisible"}},
		{"full-width", "\uff10\uff58" + strings.Repeat("\uff11", 40), []string{"not a plain digit"}},
		{"Cyrillic", strings.Replace(good, "a2", "\u04302", 1), []string{"not a plain digit"}},
		{"Tron, Bitcoin, a name", "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq vitalik.eth", []string{"Tron", "Bitcoin", "a name"}},
		{"Solana", "7EcDhSYGxXyscszYEp35KHN8vvw3svAuLKTzXwCFLtV", []string{"another network"}},
		{"a private key", "my key: " + goodTx[2:], []string{"private key"}},
		{"a private key in disguise", "private key = " + goodTx, []string{"private key"}},
		{"a phrase", "she wrote down " + phrase + " and " + good, []string{"recovery phrase", good}},
		{"ordinary words", "They told me that there would be more if only people would trust this and send before the week was over", nil},
		{"nothing", "hello http://example.com/x?y=1 12345678901234567890123456789012345678", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for f := range tracer.FindSeeds(tt.text) {
				if f.Err == nil {
					got = append(got, f.Seed.String())
				} else {
					got = append(got, f.Err.Reason)
				}
			}
			if !slices.EqualFunc(got, tt.want, strings.Contains) {
				t.Errorf("FindSeeds found %q, want %q", got, tt.want)
			}
		})
	}
}

func FuzzFindSeeds(f *testing.F) {
	f.Add("pay " + good + " or " + goodTx)
	f.Add("key " + goodTx[2:] + " \u200b0x12")
	f.Fuzz(func(t *testing.T, text string) {
		for x := range tracer.FindSeeds(text) {
			if x.Err != nil {
				continue
			}
			if s, err := tracer.ParseSeed(x.Seed.String()); err != nil || s != x.Seed {
				t.Fatalf("FindSeeds(%q) found %s, which parses to %s, %v", text, x.Seed, s, err)
			}
		}
	})
}
