package report

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"scamtrace/tracer"

	"golang.org/x/text/unicode/norm"
)

// A shape is what a string of a report may hold: the first word of its field
// tag is. A ? after it allows the empty string, and a number the most runes.
//
// Text is free, for people, and is made safe; everything else must be as it
// should be, or no file is written.
type shape struct {
	pattern string // a regular expression for the JSON Schema
	ok      func(string) bool
}

var shapes = map[string]shape{
	"address": {`^(0x[0-9a-f]{40}|T[1-9A-HJ-NP-Za-km-z]{33})$`, func(s string) bool { return hexed(s, 40) || len(s) == 34 && s[0] == 'T' && all(s, isBase58) }},
	"hash":    {`^(0x)?[0-9a-f]{64}$`, func(s string) bool { return hexed(s, 64) || len(s) == 64 && all(s, isHex) }},
	"sha256":  {`^[0-9a-f]{64}$`, func(s string) bool { return len(s) == 64 && all(s, isHex) }},
	"chain":   {`^[-a-z0-9]{3,8}:[-_a-zA-Z0-9]{1,32}$`, isChain},
	"asset":   {`^[-a-z0-9]{3,8}:[-_a-zA-Z0-9]{1,32}/[-a-z0-9]{3,8}:[-.%a-zA-Z0-9]{1,128}$`, isAsset},
	"units":   {`^(0|[1-9][0-9]{0,77})$`, isUnits},
	"decimal": {`^(0|[1-9][0-9]{0,77})(\.[0-9]{1,255})?$`, isDecimal},
	"usd":     {`^(0|[1-9][0-9]{0,11})\.[0-9]{2}$`, isUSD},
	"±usd":    {`^-?(0|[1-9][0-9]{0,11})\.[0-9]{2}$`, func(s string) bool { return isUSD(strings.TrimPrefix(s, "-")) }},
	"time":    {`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$`, isTime},
	"word":    {`^[-_.:a-zA-Z0-9/]+$`, func(s string) bool { return s != "" && all(s, isWord) }},
	"text":    {"^[^\x00-\x1f\x7f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]+$", nil},
	"one":     {},
}

func all(s string, ok func(byte) bool) bool {
	for i := range len(s) {
		if !ok(s[i]) {
			return false
		}
	}
	return true
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
func isHex(c byte) bool   { return isDigit(c) || 'a' <= c && c <= 'f' }
func isAlnum(c byte) bool { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'z' }
func isBase58(c byte) bool {
	return isAlnum(c) && c != '0' && c != 'O' && c != 'I' && c != 'l'
}
func isWord(c byte) bool { return isAlnum(c) || strings.IndexByte("-_.:/", c) >= 0 }

func hexed(s string, digits int) bool {
	return len(s) == 2+digits && s[:2] == "0x" && all(s[2:], isHex)
}

func between(s string, least, most int, ok func(byte) bool) bool {
	return least <= len(s) && len(s) <= most && all(s, ok)
}

func isChain(s string) bool {
	space, ref, ok := strings.Cut(s, ":")
	return ok && isSpace(space) && between(ref, 1, 32, func(c byte) bool { return isAlnum(c) || c == '-' || c == '_' })
}

func isSpace(s string) bool {
	return between(s, 3, 8, func(c byte) bool { return isDigit(c) || 'a' <= c && c <= 'z' || c == '-' })
}

func isAsset(s string) bool {
	chain, rest, ok := strings.Cut(s, "/")
	space, ref, ok2 := strings.Cut(rest, ":")
	return ok && ok2 && isChain(chain) && isSpace(space) &&
		between(ref, 1, 128, func(c byte) bool { return isAlnum(c) || strings.IndexByte("-.%", c) >= 0 })
}

func isUnits(s string) bool {
	return between(s, 1, 78, isDigit) && (s[0] != '0' || len(s) == 1)
}

func isDecimal(s string) bool {
	whole, frac, point := strings.Cut(s, ".")
	return isUnits(whole) && (!point || between(frac, 1, 255, isDigit))
}

func isUSD(s string) bool {
	n := len(s) - 3
	return n >= 1 && n <= 12 && s[n] == '.' && isUnits(s[:n]) && all(s[n+1:], isDigit)
}

func isTime(s string) bool {
	const like = "0000-00-00T00:00:00Z"
	if len(s) != len(like) {
		return false
	}
	for i := range len(s) {
		if like[i] == '0' && !isDigit(s[i]) || like[i] != '0' && s[i] != like[i] {
			return false
		}
	}
	return true
}

// A rule is a shape with its parameters, as a field tag gives it.
type rule struct {
	name  string
	empty bool     // may be empty
	most  int      // runes; 0: the shape says it
	among []string // for the shape one
	shape
}

func parseRule(tag string) (rule, error) {
	words := strings.Fields(tag)
	if len(words) == 0 {
		return rule{}, fmt.Errorf("no shape")
	}
	name, empty := strings.CutSuffix(words[0], "?")
	s, ok := shapes[name]
	r := rule{name: name, empty: empty, shape: s}
	switch {
	case !ok:
		return r, fmt.Errorf("unknown shape %q", name)
	case name == "one":
		r.among = words[1:]
	case len(words) > 1:
		n, err := strconv.Atoi(words[1])
		if err != nil {
			return r, err
		}
		r.most = n
	}
	return r, nil
}

// hold makes a text safe, or says what another string should have been.
func (r *rule) hold(s string) (string, error) {
	switch {
	case s == "" && r.empty:
		return s, nil
	case r.name == "text":
		if s = clean(s, r.most); s == "" && !r.empty {
			s = "unreadable"
		}
		return s, nil
	case r.name == "one":
		if slices.Contains(r.among, s) {
			return s, nil
		}
	case r.ok(s) && (r.most == 0 || len(s) <= r.most):
		return s, nil
	}
	return s, fmt.Errorf("%q is not %s", clean(s, 80), r.name)
}

// clean is [tracer.CleanText] after Unicode normalization (NFC), with at most
// two combining marks in a row, so that no text grows over its neighbors.
func clean(s string, limit int) string {
	plain := s != "" && len(s) <= limit && s[0] != ' ' && s[len(s)-1] != ' '
	for i := 0; plain && i < len(s); i++ {
		plain = ' ' <= s[i] && s[i] <= '~' && (s[i] != ' ' || s[i+1] != ' ')
	}
	if plain {
		return s // as nearly all are
	}
	if n := 64 * (limit + 1); len(s) > n {
		s = s[:n] // what is cut off below need not be read, however much it is
	}
	s = norm.NFC.String(tracer.CleanText(strings.ToValidUTF8(s, ""), len(s)))
	marks := 0
	return tracer.CleanText(strings.Map(func(r rune) rune {
		if !unicode.Is(unicode.M, r) {
			marks = 0
			return r
		}
		if marks++; marks > 2 {
			return -1
		}
		return r
	}, s), limit)
}

// hold walks over every string of a report: text is made safe in place, and
// the first other string that is not as its field says is an error.
func (r *Report) hold() error {
	return make(holderSet).of(reflect.TypeFor[Report]()).hold(reflect.ValueOf(r).Elem())
}

// A holder holds the strings of one type to the rules of their fields.
type holder struct {
	fields []fieldHolder
}

type fieldHolder struct {
	index int
	name  string
	rule  rule    // of a string, or of the strings of a slice
	sub   *holder // of a struct, or of the structs of a slice
	slice bool

	optional bool // left out when empty
}

// A holderSet has each type once.
type holderSet map[reflect.Type]*holder

func (set holderSet) of(t reflect.Type) *holder {
	if h := set[t]; h != nil {
		return h
	}
	h := new(holder)
	set[t] = h
	for i := range t.NumField() {
		f := t.Field(i)
		name, option, _ := strings.Cut(f.Tag.Get("json"), ",")
		fh := fieldHolder{index: i, name: name, optional: option == "omitempty"}
		inner := f.Type
		if inner.Kind() == reflect.Slice {
			fh.slice, inner = true, inner.Elem()
		}
		switch inner.Kind() {
		case reflect.String:
			r, err := parseRule(f.Tag.Get("is"))
			if err != nil {
				panic(fmt.Sprintf("report: field %s of %s: %v", f.Name, t, err)) // any test finds it
			}
			fh.rule = r
		case reflect.Struct:
			fh.sub = set.of(inner)
		default:
			continue
		}
		h.fields = append(h.fields, fh)
	}
	return h
}

func (h *holder) hold(v reflect.Value) error {
	for i := range h.fields {
		f := &h.fields[i]
		x := v.Field(f.index)
		if !f.slice {
			if err := f.one(x); err != nil {
				return fmt.Errorf("%s: %w", f.name, err)
			}
			continue
		}
		if x.IsNil() && !f.optional {
			x.Set(reflect.MakeSlice(x.Type(), 0, 0)) // a list is written as one
		}
		for n := range x.Len() {
			if err := f.one(x.Index(n)); err != nil {
				return fmt.Errorf("%s %d: %w", f.name, n, err)
			}
		}
	}
	return nil
}

func (f *fieldHolder) one(v reflect.Value) error {
	if f.sub != nil {
		return f.sub.hold(v)
	}
	was := v.String()
	s, err := f.rule.hold(was)
	if err == nil && s != was {
		v.SetString(s)
	}
	return err
}
