package tracer

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"github.com/ethereum/go-ethereum/common"
)

// A Seed is what a victim reported: a wallet that was paid, or the transaction
// of a payment. Exactly one of the two is set.
type Seed struct {
	Wallet common.Address
	Tx     common.Hash
}

// IsTx reports whether the seed is a payment.
func (s Seed) IsTx() bool { return s.Tx != common.Hash{} }

// Show returns the address or the transaction hash as [Show] and [ShowTx] write
// it; [Chain.ParseSeed] reads it.
func (s Seed) Show(chain uint64) string {
	if s.IsTx() {
		return ShowTx(chain, s.Tx)
	}
	return Show(chain, s.Wallet)
}

// String returns the address in EIP-55 form, or the transaction hash.
func (s Seed) String() string {
	if s.IsTx() {
		return s.Tx.Hex()
	}
	return s.Wallet.Hex()
}

// A ParseError says what is wrong with a text that should be an address or a
// transaction hash, and what to do. It wraps [ErrUsage]. It never holds a text
// that could be a secret.
type ParseError struct {
	Input  string // the text as given, cleaned; empty when it may be a secret
	Reason string // one clause
}

func (e *ParseError) Error() string {
	if e.Input == "" {
		return e.Reason
	}
	return fmt.Sprintf("%q: %s", e.Input, e.Reason)
}

func (e *ParseError) Unwrap() error { return ErrUsage }

var (
	isHex     = regexp.MustCompile(`^[0-9a-fA-F]+$`)
	isTron    = regexp.MustCompile(`^T[1-9A-Za-z]{33}$`) // also letters that base58 does not have
	isTronHex = regexp.MustCompile(`^(0x)?41[0-9a-fA-F]{40}$`)
	isBitcoin = regexp.MustCompile(`^([13][1-9A-HJ-NP-Za-km-z]{25,34}|bc1[02-9ac-hj-np-z]{11,71}|BC1[02-9AC-HJ-NP-Z]{11,71})$`)
	isWIF     = regexp.MustCompile(`^([5KL9c][1-9A-HJ-NP-Za-km-z]{50,51}|[xyz]prv[1-9A-HJ-NP-Za-km-z]{100,})$`)
	isSolana  = regexp.MustCompile(`^[1-9A-HJ-NP-Za-km-z]{32,44}$`)
	isENS     = regexp.MustCompile(`^[^\s]+\.(eth|xyz|com|id)$`)
	isWord    = regexp.MustCompile(`^[a-z]{3,8}$`)
)

const secretAdvice = "was not used and not stored; never show it to anybody, and if somebody has seen it, move what the wallet holds to a new one now"

// ParseAddress reads an address of an EVM chain: 0x and 40 hex digits, and,
// where upper and lower case are mixed, a valid EIP-55 checksum. Every other
// text is a [*ParseError] that says what it seems to be.
func ParseAddress(s string) (common.Address, error) {
	if err := notSeed(s); err != nil {
		return common.Address{}, err
	}
	if len(s) == 66 {
		return common.Address{}, &ParseError{s, "this is a transaction hash, not an address; an address has 40 digits after 0x"}
	}
	return parseAddress(s)
}

// ParseAddress reads an address of the chain: on Tron as [ParseTronAddress],
// elsewhere as the function [ParseAddress]. Every other text is a [*ParseError].
func (c *Chain) ParseAddress(s string) (common.Address, error) {
	seed, err := c.ParseSeed(s)
	if err == nil && seed.IsTx() {
		what := "an address has 40 digits after 0x"
		if Tron(c.ID) {
			what = "an address of Tron is T and 33 letters and digits"
		}
		err = &ParseError{s, "this is a transaction hash, not an address; " + what}
	}
	if err != nil {
		return common.Address{}, err
	}
	return seed.Wallet, nil
}

// ParseSeed reads an address of the chain or a transaction hash, which on Tron
// is written without 0x.
func (c *Chain) ParseSeed(s string) (Seed, error) {
	switch {
	case !Tron(c.ID):
	case isTron.MatchString(s) || isTronHex.MatchString(s):
		a, err := ParseTronAddress(s)
		if err != nil {
			return Seed{}, &ParseError{s, tronFault(s)}
		}
		return Seed{Wallet: a}, nil
	case len(s) == 64 && isHex.MatchString(s):
		s = "0x" + s
	default:
		seed, err := ParseSeed(s)
		if e, ok := errors.AsType[*ParseError](err); ok {
			err = &ParseError{e.Input, strings.NewReplacer("an address is 0x and 40 digits", "an address of Tron is T and 33 letters and digits",
				"an address has 40 digits after 0x", "an address of Tron is T and 33 letters and digits").Replace(e.Reason)}
		}
		return seed, err
	}
	return ParseSeed(s)
}

// tronFault says what is wrong with what looks like an address of Tron.
func tronFault(s string) string {
	if i := strings.IndexFunc(s, func(r rune) bool { return !strings.ContainsRune(tronDigits, r) }); i >= 0 {
		return fmt.Sprintf("%q at character %d is in no address of Tron; please copy it again", s[i], i+1)
	}
	return "the checksum is wrong, so a character differs from the real address of Tron; please copy it again"
}

// ParseSeed reads an address, as [ParseAddress], or a transaction hash: 0x and
// 64 hex digits. It refuses what may be a private key or a seed phrase.
func ParseSeed(s string) (Seed, error) {
	if err := notSeed(s); err != nil {
		return Seed{}, err
	}
	if len(s) == 66 {
		h := common.HexToHash(s) // all 64 digits checked by notSeed
		if h == (common.Hash{}) {
			return Seed{}, &ParseError{s, "this is the empty hash, not a transaction"}
		}
		return Seed{Tx: h}, nil
	}
	a, err := parseAddress(s)
	return Seed{Wallet: a}, err
}

// parseAddress reads 0x and 40 digits that notSeed let through.
func parseAddress(s string) (common.Address, error) {
	m, err := common.NewMixedcaseAddressFromString(s)
	if err != nil {
		return common.Address{}, &ParseError{s, "this is not an address; an address is 0x and 40 digits"}
	}
	digits := s[2:]
	if strings.ToLower(digits) != digits && strings.ToUpper(digits) != digits && !m.ValidChecksum() {
		return common.Address{}, &ParseError{s, "the checksum is wrong, so a character differs from the real address; please copy it again"}
	}
	return m.Address(), nil
}

// notSeed returns why s is neither 0x and 40 hex digits nor 0x and 64.
func notSeed(s string) error {
	if s == "" {
		return &ParseError{"", "an address or a transaction hash is missing"}
	}
	words := strings.Fields(s)
	if n := len(words); n >= 12 {
		all := true
		for _, w := range words {
			all = all && isWord.MatchString(strings.ToLower(w))
		}
		if all {
			return &ParseError{"", "this looks like a wallet's secret recovery phrase; it " + secretAdvice}
		}
	}
	for _, r := range s {
		switch {
		case unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Cc, r):
			return &ParseError{clean(s), fmt.Sprintf("there is an invisible character (U+%04X) in it; please type it again or copy it from the block explorer", r)}
		case r > unicode.MaxASCII && !unicode.IsSpace(r):
			return &ParseError{clean(s), fmt.Sprintf("the character %q (U+%04X) is not a plain digit or letter; please copy the address again from the block explorer", r, r)}
		case unicode.IsSpace(r):
			return &ParseError{clean(s), "there is a space in it; give each address on its own"}
		}
	}
	if len(s) > 200 {
		return &ParseError{"", fmt.Sprintf("a text of %d characters is not an address; an address is 0x and 40 digits", len(s))}
	}
	bare := s
	prefix := strings.HasPrefix(s, "0x") || strings.HasPrefix(s, "0X")
	if prefix {
		bare = s[2:]
	}
	switch {
	case isWIF.MatchString(s):
		return &ParseError{"", "this looks like a private key; it " + secretAdvice}
	case !prefix && len(s) == 64 && isHex.MatchString(s):
		return &ParseError{"", "64 digits without 0x look like a private key, so the text " + secretAdvice + "; if it is a transaction hash, put 0x before it"}
	case prefix && !isHex.MatchString(bare):
		if i := strings.IndexFunc(bare, func(r rune) bool { return !unicode.Is(unicode.ASCII_Hex_Digit, r) }); i >= 0 {
			return &ParseError{s, fmt.Sprintf("%q at character %d is not a hex digit (0-9, a-f); please copy it again", bare[i], i+3)}
		}
		return &ParseError{s, "nothing follows 0x; an address has 40 digits after 0x"}
	case strings.HasPrefix(s, "0X"):
		return &ParseError{s, "an address begins with 0x, with a small x"}
	case prefix && len(bare) != 40 && len(bare) != 64:
		what := "an address has 40"
		if len(bare) > 50 {
			what = "a transaction hash has 64"
		}
		return &ParseError{s, fmt.Sprintf("this has %d digits after 0x, %s; please copy it again", len(bare), what)}
	case prefix:
		return nil
	case isTron.MatchString(s), isTronHex.MatchString(s):
		if _, err := ParseTronAddress(s); err != nil {
			return &ParseError{s, tronFault(s)}
		}
		return &ParseError{s, "this is a Tron address, and another network was named; choose Tron as the network to trace it"}
	case isBitcoin.MatchString(s):
		return &ParseError{s, "this is a Bitcoin address; this version traces Ethereum, its sister chains and Tron only; keep it for the police"}
	case len(s) == 40 && isHex.MatchString(s):
		return &ParseError{s, "0x is missing before the 40 digits; please put it there if this is an address"}
	case isENS.MatchString(strings.ToLower(s)):
		return &ParseError{s, "this is a name, not an address; names can change hands, so please look up the address and give that"}
	case isSolana.MatchString(s):
		return &ParseError{s, "this looks like an address of another network, such as Solana; this version traces Ethereum, its sister chains and Tron only; keep it for the police"}
	}
	return &ParseError{clean(s), "this is not an address; an address is 0x and 40 digits"}
}

// clean makes a text safe to show: no control or format characters, at most 80
// runes. A text that may hold a secret (64 hex digits in a row) becomes empty.
func clean(s string) string {
	if maySecret.MatchString(s) {
		return ""
	}
	r := []rune(CleanText(s, 80))
	return string(r)
}

var maySecret = regexp.MustCompile(`[0-9a-fA-F]{60,}`)

// CleanText makes a text that came from a chain, a file or a user safe to
// show: control, format (bidi, zero-width), surrogate and private-use
// characters are dropped, white space becomes single spaces, and at most limit
// runes are kept, with … where something was cut.
func CleanText(s string, limit int) string {
	var b strings.Builder
	n, space := 0, false
	for _, r := range s {
		if unicode.IsSpace(r) {
			space = b.Len() > 0
			continue
		}
		if unicode.In(r, unicode.C, unicode.Zl, unicode.Zp) || r == unicode.ReplacementChar || unicode.Is(unicode.Mn, r) && n > 0 && n == limit {
			continue
		}
		if n >= limit {
			b.WriteRune('…')
			break
		}
		if space {
			b.WriteByte(' ')
			n++
			space = false
		}
		b.WriteRune(r)
		n++
	}
	return b.String()
}
