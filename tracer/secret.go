package tracer

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
)

// ShortSecret is the length in bytes from which on a part of an address may be a
// key. Shorter ones are words like v2 and eth.
const ShortSecret = 4

// Secrets returns the parts of the address of an endpoint that may be keys, the
// longest first, each once.
func Secrets(u *url.URL) []string {
	pass, _ := u.User.Password()
	parts := []string{u.String(), u.Redacted(), u.RequestURI(), u.RawQuery, u.Fragment, u.User.String(), u.User.Username(), pass, strings.Trim(u.Path, "/")}
	parts = slices.AppendSeq(parts, strings.SplitSeq(u.Path, "/"))
	parts = slices.AppendSeq(parts, strings.SplitSeq(u.EscapedPath(), "/"))
	for _, values := range u.Query() {
		parts = append(parts, values...)
	}
	return longest(parts)
}

// Scrubber puts … in the place of what may be a key in addresses, and of other
// keys, however they are written.
func Scrubber(urls []*url.URL, keys ...string) *strings.Replacer {
	var all []string
	for _, u := range urls {
		keys = append(keys, Secrets(u)...)
	}
	for _, key := range keys {
		for _, s := range []string{key, url.QueryEscape(key), url.PathEscape(key)} {
			all = append(all, s, strings.ToLower(s), strings.ToUpper(s))
		}
	}
	var pairs []string
	for _, s := range longest(all) { // a replacer takes the first that fits
		pairs = append(pairs, s, "…")
	}
	return strings.NewReplacer(pairs...)
}

func longest(parts []string) []string {
	parts = slices.DeleteFunc(parts, func(s string) bool { return len(s) < ShortSecret })
	slices.SortFunc(parts, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	return slices.Compact(parts)
}
