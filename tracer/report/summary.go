package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/text/unicode/bidi"
)

// reasons are those of gaps in plain words, after "3 wallets".
var reasons = []struct{ reason, words string }{
	{"hub", "where the money of many is pooled"},
	{"budget", "not reached before the budget ran out"},
	{"stopped", "not reached before the run was stopped"},
	{"source", "that could not be read"},
	{"internal", "whose payments by contract could not be read"},
	{"unpriced", "with a token of unknown value"},
	{"dust", "with too little to follow"},
}

// Summary prints what was found in under twenty lines.
func Summary(w io.Writer, r *Report, dir string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", terminal(r.Outcome.Sentence))
	line := func(what, usd, rest string) {
		b.WriteString(strings.TrimRight(fmt.Sprintf("%-14s%15s  %s", what, usd, rest), " ") + "\n")
	}
	row := func(what string, x worth, rest ...string) {
		if s := x.Coins(); s != "" {
			rest = slices.Insert(rest, 0, s)
		}
		line(what, x.Dollars(), strings.Join(slices.DeleteFunc(rest, func(s string) bool { return s == "" }), "; "))
	}
	services := r.services()
	row("Exits", r.exited(), count(len(services), "service", "services"))
	for i := range services {
		s := &services[i]
		if i == 4 && len(services) > 5 {
			line("", "", fmt.Sprintf("… and %d more in exits.csv", len(services)-i))
			break
		}
		line("", dollar(s.usd.String()), fmt.Sprintf("%s (%s), %s", terminal(s.name), s.category, count(len(s.exits), "address", "addresses")))
	}
	holding := 0
	for i := range r.Wallets {
		if len(r.Wallets[i].Held) > 0 {
			holding++
		}
	}
	row("Still held", r.held(), count(holding, "wallet", "wallets"))
	row("Not followed", r.notFollowed(), r.gapWords())
	if n := len(r.Clusters); n > 0 {
		line("Clusters", strconv.Itoa(n), fmt.Sprintf("the largest has %d wallets that likely act as one", len(r.Clusters[0].Wallets)))
	}
	if s := r.alone(); s != "" {
		fmt.Fprintf(&b, "Not confirmed: %s\n", s)
	}
	for _, s := range r.Outcome.Reasons[:min(len(r.Outcome.Reasons), 3)] {
		fmt.Fprintf(&b, "Partial: %s\n", terminal(s))
	}
	fmt.Fprintf(&b, "\nReport: %s/report.html\n", dir)
	_, err := io.WriteString(w, b.String())
	return err
}

// gapWords counts the gaps by reason.
func (r *Report) gapWords() string {
	n := make(map[string]int)
	for i := range r.Gaps {
		n[r.Gaps[i].Reason]++
	}
	var out []string
	for _, x := range reasons {
		if c := n[x.reason]; c > 0 {
			out = append(out, count(c, "wallet ", "wallets ")+x.words)
			delete(n, x.reason)
		}
	}
	other := 0
	for _, c := range n {
		other += c
	}
	if other > 0 {
		out = append(out, count(other, "wallet", "wallets")+" for another reason")
	}
	return strings.Join(out, "; ")
}

// terminal makes a text safe to print in a line among others: writing that
// runs from right to left, which would reorder them, is escaped.
func terminal(s string) string {
	s = clean(s, 1000)
	for _, r := range s {
		p, _ := bidi.LookupRune(r)
		if c := p.Class(); c == bidi.R || c == bidi.AL || c == bidi.AN {
			q := strconv.QuoteToASCII(s)
			return q[1 : len(q)-1]
		}
	}
	return s
}

// A service is all exits at one.
type service struct {
	name, category string
	usd            dollars
	exits          []*Exit // largest dollar amount first
}

// services groups the exits, largest dollar amount first.
func (r *Report) services() []service {
	var list []service
	for i := range r.Exits {
		x := &r.Exits[i]
		n := slices.IndexFunc(list, func(s service) bool { return s.name == x.Service && s.category == x.Category })
		if n < 0 {
			n = len(list)
			list = append(list, service{name: x.Service, category: x.Category})
		}
		list[n].exits = append(list[n].exits, x)
		for k := range x.Amounts {
			list[n].usd.add(parseUSD(x.Amounts[k].USD))
		}
	}
	slices.SortStableFunc(list, func(a, b service) int { return cmp.Or(cmp.Compare(b.usd.sum, a.usd.sum), cmp.Compare(a.name, b.name)) })
	return list
}
