package report

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Sentence says the outcome of a report in plain words: what was followed,
// what reached which services, what is still held and what was not followed.
func Sentence(r *Report) string {
	wallets := make(map[string]bool)
	for _, s := range r.Seeds {
		wallets[s.Address] = true
	}
	from := "the wallet you reported"
	if len(wallets) > 1 {
		from = fmt.Sprintf("the %d wallets you reported", len(wallets))
	}
	if r.arrived() == 0 {
		return fmt.Sprintf("We found no money that came to %s. Check the address, the network and the dates.", from)
	}
	out := []string{fmt.Sprintf("We followed %s from %s.", r.reported(), from)}
	if x := r.exited(); !x.none() {
		var names []string
		for _, x := range r.Exits {
			if !slices.Contains(names, x.Service) {
				names = append(names, x.Service)
			}
		}
		if n := len(names); n > 3 {
			names = append(names[:3:3], fmt.Sprintf("%d other services", n-3))
			if n == 4 {
				names[3] = "one other service"
			}
		}
		out = append(out, fmt.Sprintf("%s reached addresses that look like %s.", x, and(names)))
	}
	if r.blind() {
		out = append(out, fmt.Sprintf("No service is known on %s, so none could be recognized.", r.Chains[0].Title))
	}
	if x := r.held(); !x.none() {
		n := 0
		for _, w := range r.Wallets {
			if len(w.Held) > 0 {
				n++
			}
		}
		where := "one wallet"
		if n != 1 {
			where = fmt.Sprintf("%d wallets", n)
		}
		out = append(out, fmt.Sprintf("%s %s still held in %s.", x, x.verb("is", "are"), where))
	}
	if x := r.notFollowed(); !x.none() {
		out = append(out, fmt.Sprintf("%s %s not followed; the gaps say why.", x, x.verb("was", "were")))
	}
	if len(r.reported().coins)+len(r.exited().coins)+len(r.held().coins)+len(r.notFollowed().coins) > 0 {
		out = append(out, "What is named in coins has no known price in dollars.")
	}
	return strings.Join(out, " ")
}

// arrived counts the coins that were reported.
func (r *Report) arrived() (n int) {
	for i := range r.Totals.Assets {
		if r.Totals.Assets[i].Reported != "0" {
			n++
		}
	}
	return n
}

// alone says how many of the transfers no node has confirmed, if any.
func (r *Report) alone() string {
	unsure, denied := 0, 0
	for i := range r.Transfers {
		switch r.Transfers[i].Basis {
		case "indexer":
			unsure++
		case "denied":
			denied++
		}
	}
	var parts []string
	if unsure > 0 {
		parts = append(parts, fmt.Sprintf("%d of %s rest on an indexer’s word alone, and no node has confirmed them", unsure, count(len(r.Transfers), "transfer", "transfers")))
	}
	if denied > 0 {
		parts = append(parts, fmt.Sprintf("%d of %s are not what the node shows", denied, count(len(r.Transfers), "transfer", "transfers")))
	}
	if len(parts) == 0 {
		return ""
	}
	return sentence(strings.Join(parts, "; ") + ": what the sums and the exits owe to them is no surer")
}

// dollar writes an amount of dollars of a report for people: "$1,234.50".
func dollar(s string) string {
	if s == "" {
		return "not known"
	}
	sign := ""
	if rest, negative := strings.CutPrefix(s, "-"); negative {
		sign, s = "−", rest
	}
	whole, cents, _ := strings.Cut(s, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	return sign + "$" + whole + "." + cents
}

// and joins names as in "A, B and C".
func and(names []string) string {
	switch n := len(names); n {
	case 0:
		return ""
	case 1:
		return names[0]
	default:
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	}
}

// sentence begins a text with a capital and ends it with a full stop.
func sentence(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	if s = string(unicode.ToUpper(r)) + s[n:]; !strings.HasSuffix(s, ".") {
		s += "."
	}
	return s
}

// count writes a number of things: "1 wallet", "2 wallets".
func count(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}
