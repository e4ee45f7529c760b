package filesource

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
)

// lowerHex reads 0x and lower-case digits that fill dst exactly, which is how
// nearly all files write addresses and hashes. Whatever else a cell holds is
// left to tracer's parsers, which also say what is wrong with it.
func lowerHex(s string, dst []byte) bool {
	if len(s) != 2+2*len(dst) || s[0] != '0' || s[1] != 'x' {
		return false
	}
	for i := range dst {
		hi, lo := nibble(s[2+2*i]), nibble(s[3+2*i])
		if hi|lo > 15 {
			return false
		}
		dst[i] = hi<<4 | lo
	}
	return true
}

func nibble(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	}
	return 0xff
}

func parseAddress(chain *tracer.Chain, s string) (a common.Address, err error) {
	if lowerHex(s, a[:]) {
		return a, nil
	}
	return chain.ParseAddress(s)
}

func parseHash(chain *tracer.Chain, s string) (h common.Hash, err error) {
	if lowerHex(s, h[:]) && h != (common.Hash{}) {
		return h, nil
	}
	seed, err := chain.ParseSeed(s)
	if err == nil && !seed.IsTx() {
		err = fmt.Errorf("%s is an address, not a transaction hash; a hash is 0x and 64 digits", quote(s))
	}
	return seed.Tx, err
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// parseInteger reads a whole number of base units.
func parseInteger(s string) (v uint256.Int, err error) {
	if !digits(s) {
		if _, err := strconv.ParseFloat(s, 64); err == nil && strings.ContainsAny(s, "eE") {
			return v, fmt.Errorf("%s was rounded, most likely by a spreadsheet; take the file as it was exported", quote(s))
		}
		return v, fmt.Errorf("%s is not a whole number; write base units in digits only, 1500000 for 1.5 of a token with 6 decimals", quote(s))
	}
	if v.SetFromDecimal(s) != nil {
		return v, fmt.Errorf("%s is more than 256 bits can hold; no token has that much", quote(s))
	}
	return v, nil
}

// parseDecimal reads a number like 1,234.5 or 1.5e-05 as base units of a unit
// with the given decimals. Digits beyond the decimals are rounded, half up;
// exact says whether they were all zero.
func parseDecimal(s string, decimals uint8) (v uint256.Int, negative, exact bool, err error) {
	bad := func() (uint256.Int, bool, bool, error) {
		return uint256.Int{}, false, false, fmt.Errorf("%s is not an amount; write it as 1234.56", quote(s))
	}
	mantissa, exp := s, 0
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		mantissa = s[:i]
		if exp, err = strconv.Atoi(s[i+1:]); err != nil || exp < -100 || exp > 100 {
			return bad()
		}
	}
	mantissa, negative = strings.CutPrefix(mantissa, "-")
	whole, frac, point := strings.Cut(mantissa, ".")
	if groups := strings.Split(whole, ","); len(groups) > 1 {
		for i, g := range groups {
			if i > 0 && len(g) != 3 || i == 0 && (g == "" || len(g) > 3) {
				return bad()
			}
		}
		whole = strings.Join(groups, "")
	}
	if !digits(whole) || point && !digits(frac) || len(whole)+len(frac) > 400 {
		return bad()
	}
	all := whole + frac
	keep := len(whole) + exp + int(decimals) // digits of all that are base units
	rest := ""
	switch {
	case keep > len(all):
		if keep > 600 {
			return bad()
		}
		all += strings.Repeat("0", keep-len(all))
	case keep < 0:
		all, rest = "", strings.Repeat("0", -keep)+all
	default:
		all, rest = all[:keep], all[keep:]
	}
	if all = strings.TrimLeft(all, "0"); all == "" {
		all = "0"
	}
	if v.SetFromDecimal(all) != nil {
		return v, false, false, fmt.Errorf("%s is more than 256 bits can hold; no token has that much", quote(s))
	}
	if rest != "" && rest[0] >= '5' {
		if _, over := v.AddOverflow(&v, uint256.NewInt(1)); over {
			return bad()
		}
	}
	return v, negative, strings.Trim(rest, "0") == "", nil
}

// lastSecond is the end of the year 9999, the last that RFC 3339 can write.
const lastSecond = 253402300799

// parseTime reads Unix seconds, RFC 3339, or a date and a time without a zone,
// which is taken as UTC.
func parseTime(s string) (sec uint64, zone bool, err error) {
	if digits(s) {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil || n > lastSecond {
			return 0, false, fmt.Errorf("%s is not a time in Unix seconds; are these milliseconds?", quote(s))
		}
		return n, true, nil
	}
	zone = true
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		zone = false
		// BigQuery ends its times with the name of the zone.
		t, err = time.Parse(time.DateTime, strings.TrimSuffix(s, " UTC"))
	}
	if err != nil || t.Unix() < 0 || t.Unix() > lastSecond {
		return 0, false, fmt.Errorf("%s is not a time; write 2024-05-01T12:00:00Z, or Unix seconds", quote(s))
	}
	return uint64(t.Unix()), zone || strings.HasSuffix(s, " UTC"), nil
}

// position accepts what can tell transfers of one transaction apart: a log
// index, a trace path, or segments like them that are all digits or all
// letters, so that [tracer.ComparePositions] has one order for them.
func position(s string) bool {
	if len(s) > 4096 {
		return false
	}
	for seg := range strings.SplitSeq(s, ".") {
		letters := seg != ""
		for i := range len(seg) {
			letters = letters && 'a' <= seg[i] && seg[i] <= 'z'
		}
		if !letters && (!digits(seg) || len(seg) > 18 || len(seg) > 1 && seg[0] == '0') {
			return false
		}
	}
	return true
}

// guard and unguard put an apostrophe before text that a spreadsheet would run
// as a formula, and take it away again.
func guard(s string) string {
	if s != "" && strings.IndexByte("=+-@\t\r", s[0]) >= 0 {
		return "'" + s
	}
	return s
}

func unguard(s string) string {
	if len(s) > 1 && s[0] == '\'' && strings.IndexByte("=+-@\t\r", s[1]) >= 0 {
		return s[1:]
	}
	return s
}
