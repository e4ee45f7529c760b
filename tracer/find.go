package tracer

import (
	"errors"
	"iter"
	"regexp"
	"strings"
	"unicode"
)

// A Found is something in a text that is a seed, or seems meant as one.
type Found struct {
	Text string // as it stands in the text, cleaned; empty when it may be a secret
	Seed Seed
	Err  *ParseError // why it is not a seed; nil if it is
}

// FindSeeds yields, in order and each once, the addresses and transaction hashes
// of an EVM chain in a text, as [Chain.FindSeeds] does.
func FindSeeds(text string) iter.Seq[Found] { return new(Chain).FindSeeds(text) }

// FindSeeds yields, in order and each once, the addresses and transaction hashes
// in a text of any kind: a chat, a mail, a list, links to a block explorer. What
// seems meant as one and is none is yielded with what is wrong with it, and so
// is what may be a private key or a recovery phrase, without repeating it. All
// other words of the text are passed over.
func (c *Chain) FindSeeds(text string) iter.Seq[Found] {
	return func(yield func(Found) bool) {
		seen := make(map[string]bool)
		once := func(key string, f Found) bool {
			if seen[key] {
				return true
			}
			seen[key] = true
			return yield(f)
		}
		phrase, before := 0, ""
		for word := range strings.FieldsFuncSeq(text, separates) {
			if word = strings.Trim(word, ".!?*_~-…"); word == "" {
				continue
			}
			if lower := strings.ToLower(word); isWord.MatchString(lower) && !inNoPhrase[lower] {
				phrase++
			} else {
				phrase = 0
			}
			if phrase == 12 {
				_, err := ParseSeed(strings.Repeat("abandon ", 12))
				if !once("phrase", c.found(Seed{}, err)) {
					return
				}
			}
			secret := spellsSecret.MatchString(before)
			before = before[max(0, len(before)-40):] + " " + word
			switch {
			case !meant(word):
				continue
			}
			s, err := c.ParseSeed(word)
			if secret && s.IsTx() { // 64 digits that the text itself calls a key
				s, err = ParseSeed(strings.TrimPrefix(word, "0x"))
			}
			key := s.String()
			if err != nil {
				key = "?" + word
			}
			if !once(key, c.found(s, err)) {
				return
			}
		}
	}
}

func (c *Chain) found(s Seed, err error) Found {
	if err == nil {
		return Found{Text: s.Show(c.ID), Seed: s}
	}
	f := Found{Err: &ParseError{Reason: "this is not an address"}}
	if pe, ok := errors.AsType[*ParseError](err); ok {
		f.Text, f.Err = pe.Input, pe
	}
	return f
}

// separates reports whether r stands between words. Invisible characters do
// not: they are what is wrong with an address that has them.
func separates(r rune) bool {
	return unicode.IsSpace(r) || strings.ContainsRune("\"'`´‘’“”«»„‹›,;:|/\\()[]{}<>=&?#+@，。；：、（）【】「」", r)
}

var (
	spellsSecret = regexp.MustCompile(`(?i)(private|secret|privkey|priv)[ _-]*(key)?\s*(is|=)?\s*$`)
	likeHex      = regexp.MustCompile(`^0[xX][0-9a-zA-Z]{18,}$`)
	bareHex      = regexp.MustCompile(`^([0-9a-fA-F]{40}|41[0-9a-fA-F]{40}|[0-9a-fA-F]{60,})$`)
	base58       = regexp.MustCompile(`^[1-9A-HJ-NP-Za-km-z]{32,44}$`)
)

// meant reports whether a word seems meant as an address or a hash.
func meant(word string) bool {
	plain := strings.Map(func(r rune) rune {
		switch {
		case r >= '！' && r <= '～': // full width
			return r - '！' + '!'
		case r > unicode.MaxASCII && unicode.IsLetter(r):
			return 'a' // what it looks like, perhaps
		case unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Cc, r) || unicode.Is(unicode.M, r):
			return -1
		}
		return r
	}, word)
	mixed := strings.ContainsFunc(plain, unicode.IsDigit) && strings.ContainsFunc(plain, unicode.IsUpper) && strings.ContainsFunc(plain, unicode.IsLower)
	return likeHex.MatchString(plain) || bareHex.MatchString(plain) || isWIF.MatchString(plain) || mixed && isTron.MatchString(plain) ||
		isBitcoin.MatchString(plain) && (mixed || strings.HasPrefix(strings.ToLower(plain), "bc1")) ||
		strings.HasSuffix(strings.ToLower(plain), ".eth") || base58.MatchString(plain) && mixed
}

// inNoPhrase are common words that no recovery phrase has: they are not among
// the 2,048 words of BIP-39. They keep ordinary sentences from looking like one.
var inNoPhrase = map[string]bool{
	"the": true, "and": true, "for": true, "was": true, "with": true, "from": true, "were": true, "but": true,
	"had": true, "has": true, "his": true, "her": true, "not": true, "are": true, "our": true, "please": true,
	"sent": true, "money": true, "wallet": true, "scam": true,
}
