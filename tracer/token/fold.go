package token

import (
	"strings"
	"unicode"

	"scamtrace/tracer"

	"golang.org/x/text/unicode/norm"
)

// names are what people call the tokens and coins of the chain tables, beside
// their symbols: what their contracts say, and what explorers write.
var names = map[string][]string{
	"USDT": {"Tether", "Tether USD", "TetherUSD", "USD Tether", "Tether USDT"},
	"USDC": {"USD Coin", "USDCoin", "Circle USD"},
	"DAI":  {"Dai Stablecoin"},
	"ETH":  {"Ether", "Ethereum"},
	"BNB":  {"Binance Coin", "BNB Coin"},
	"POL":  {"Polygon", "MATIC"},
	"AVAX": {"Avalanche"},
	"TRX":  {"TRON", "Tronix"},
	"WETH": {"Wrapped Ether", "Wrapped ETH"},
	"WBNB": {"Wrapped BNB"},
}

// readings are the symbols of a chain's coin and tokens by how they, and their
// names, read.
func readings(c *tracer.Chain) map[string]string {
	reads := make(map[string]string)
	add := func(symbol string) {
		for _, s := range append([]string{symbol}, names[symbol]...) {
			if k := fold(s); reads[k] == "" {
				reads[k] = symbol
			}
		}
	}
	for _, t := range c.Tokens {
		add(t.Symbol)
	}
	add(c.Symbol)
	return reads
}

// fold is what a name looks like: two that fold to the same look the same at a
// glance. After compatibility decomposition (NFKD, UAX #15), which takes care of
// accents and of wide, bold and ringed letters, each letter that looks like a
// Latin one or a digit becomes that one, and everything else, be it spaces, dots
// or signs, is nothing. Letters that do not look like any are kept, so that names
// in other scripts stay apart.
func fold(s string) string {
	var b strings.Builder
	for _, r := range norm.NFKD.String(s) {
		like, ok := lookAlikes[r]
		if !ok { // small letters of other scripts are often the capital, only smaller
			like, ok = lookAlikes[unicode.ToUpper(r)]
		}
		if !ok {
			like = unicode.ToLower(r)
		}
		if unicode.IsLetter(like) || unicode.IsDigit(like) {
			b.WriteRune(like)
		}
	}
	return b.String()
}

// lookAlikes maps characters to the lower-case Latin letter that they look like.
var lookAlikes = func() map[rune]rune {
	m := make(map[rune]rune)
	for row := range strings.FieldsSeq(confusables + others) {
		rest := []rune(row)
		for _, r := range rest[1:] {
			m[r] = rest[0]
		}
	}
	return m
}()

// confusables are rows of a letter and what looks like it in either case: those
// of confusables.txt of UTS #39 (Unicode 13.0) that lead to a Latin letter and
// that NFKD leaves as they are, of the Latin, Greek, Coptic, Cyrillic, Armenian,
// Cherokee, Canadian and Lisu scripts, with one letter for i and l.
const confusables = `
	aɑΑαАаᎪᗅꓮ bƄΒВЬᏏᏴᑲᖯᗷꓐꞴ cϲϹСсᏟᴄⲤⲥꓚꮯ dԁᎠᏧᑯᗞᗪꓒꓓ eΕЕеҽᎬꓰꬲ fſϜքᖴꓝꞘꞙꬵ gƍɡԌցᏀᏳꓖ hΗНһհᎻᏂᕼⲎꓧ
	jͿϳЈјᎫᒍꓙꞲ kΚКᏦⲔꓗ lıƖǀɩɪͺΙιІіӀӏᎥᏞᒪⲒⳐꓡꓲꭵ mΜϺМᎷᗰⲘꓟ nΝոռⲚꓠ oΟοσОоՕօᴏᴑⲞⲟꓳꬽ pΡρϱРрᏢᑭⲢⲣꓑ qԛգզ
	rƦгᎡᏒᖇᴦⲅꓣꭇꭈꮁ sƽЅѕՏᏕᏚꓢꜱꮪ tΤТᎢⲦꓔ uʋυՍսᑌᴜꓴꞟꭎꭒ vνѴѵᏙᐯᴠꓦꮩ wɯѡԜԝաᎳᏔᴡꓪꮃ x×ΧХхᕁᕽ᙭᙮ⲬꓫꞳ
	yɣʏΥγϒУуҮүᎩᎽⲨꓬꭚ zΖᏃᴢꓜꮓ`

// others are not in it: small capitals, letters with a stroke, and the digits and
// signs that stand for letters in names of coins.
const others = ` aᴀ bʙ dᴅÐĐđ eᴇ gɢ hʜ jᴊ kᴋ lʟiI1 mᴍ nɴ oØø0 pᴘ rʀ s5$ tᴛŦŧ₮ `
