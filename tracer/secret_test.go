package tracer

import (
	"net/url"
	"strings"
	"testing"
)

// TestScrubber writes an address and its parts into texts in all the ways that
// errors and answers do.
func TestScrubber(t *testing.T) {
	u, err := url.Parse("https://user:pa%2Fss@host.example/v3/KeyInPath/abcd?apikey=Key%20InQuery#frag")
	if err != nil {
		t.Fatal(err)
	}
	s := Scrubber([]*url.URL{u}, "other-key")
	for _, secret := range []string{
		u.String(), "pa/ss", "pa%2Fss", "KeyInPath", "keyinpath", "KEYINPATH", "abcd", "Key InQuery", "Key+InQuery", "Key%20InQuery", "frag", "other-key", "OTHER-KEY", "user",
	} {
		if got := s.Replace("it says " + secret + "."); got != "it says …." {
			t.Errorf("of %q there is left: %q", secret, got)
		}
	}
	for _, text := range []string{"host.example", "v3", "eth_getLogs"} {
		if got := s.Replace(text); got != text {
			t.Errorf("%q becomes %q", text, got)
		}
	}
	parts := Secrets(u)
	for i, p := range parts {
		if len(p) < ShortSecret || i > 0 && (len(p) > len(parts[i-1]) || p == parts[i-1]) || strings.Contains(p, "\n") {
			t.Errorf("part %d is %q, after %q", i, p, parts[max(i-1, 0)])
		}
	}
}
