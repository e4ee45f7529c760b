package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"
)

//go:embed report.html.tmpl
var page string

var pageTemplate = template.Must(template.New("report").Funcs(template.FuncMap{
	"amounts": amounts,
	"dollars": func(s string) string {
		if s == "" {
			return "not known"
		}
		if rest, negative := strings.CutPrefix(s, "-"); negative {
			return "-$" + commas(rest)
		}
		return "$" + commas(s)
	},
	"join":  strings.Join,
	"first": func(n int, ts []Transfer) []Transfer { return ts[:min(n, len(ts))] },
}).Parse(page))

// writeHTML writes the page that people read. It needs no network and no
// script, and may load nothing.
func writeHTML(w io.Writer, r *Report) error { return pageTemplate.Execute(w, r) }

// Summary prints what was found in under twenty lines.
func Summary(w io.Writer, r *Report, dir string) error {
	var b strings.Builder
	fmt.Fprintln(&b, r.Outcome.Sentence)
	for i, x := range r.Exits {
		if i == 5 {
			fmt.Fprintf(&b, "  … and %d more addresses in exits.csv\n", len(r.Exits)-i)
			break
		}
		if i == 0 {
			fmt.Fprintln(&b, "Exits:")
		}
		fmt.Fprintf(&b, "  %-24s %s  %14s  %s\n", x.Service, x.Address, "$"+commas(x.USD), x.Rule)
	}
	if n := len(r.Clusters); n > 0 {
		fmt.Fprintf(&b, "Clusters: %d; the largest has %d wallets that likely act as one.\n", n, len(r.Clusters[0].Wallets))
	}
	reasons := make(map[string]int)
	for _, g := range r.Gaps {
		reasons[g.Reason]++
	}
	for _, reason := range []string{"hub", "budget", "stopped", "source", "internal", "dust", "unpriced"} {
		if n := reasons[reason]; n > 0 {
			fmt.Fprintf(&b, "Gap: %d wallets not followed (%s).\n", n, reason)
		}
	}
	for _, s := range r.Outcome.Reasons {
		fmt.Fprintf(&b, "Partial: %s\n", s)
	}
	fmt.Fprintf(&b, "Report: %s/report.html\n", dir)
	_, err := io.WriteString(w, b.String())
	return err
}
