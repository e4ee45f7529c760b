package report_test

import (
	"fmt"
	"strings"
	"testing"

	"scamtrace/tracer/report"
)

func TestSentence(t *testing.T) {
	total := []report.AssetTotal{{Asset: "eip155:1/slip44:60", Reported: "1"}}
	for _, tt := range []struct {
		name string
		r    report.Report
		want string
	}{
		{"nothing came", report.Report{Seeds: []report.Seed{{Address: "0x1"}}},
			"We found no money that came to the wallet you reported."},
		{"no price", report.Report{Seeds: []report.Seed{{Address: "0x1"}}, Totals: report.Totals{Assets: total, USD: report.USDTotal{Reported: "0.00"}}},
			"We followed money from the wallet you reported. Its value in dollars is not known; the amounts are in the tables."},
		{"everything", report.Report{
			Seeds:   []report.Seed{{Address: "0x1"}, {Address: "0x2"}},
			Exits:   []report.Exit{{Service: "A"}, {Service: "B"}, {Service: "A"}},
			Wallets: []report.Wallet{{Held: []report.Amount{{}}}, {}},
			Totals:  report.Totals{Assets: total, USD: report.USDTotal{Reported: "61400.00", Exited: "48100.00", Held: "12400.50", Gaps: "900.00"}}},
			"We followed $61,400.00 from the 2 wallets you reported. $48,100.00 reached addresses that look like A and B. $12,400.50 is still held in one wallet. $900.00 was not followed; the gaps say why."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := report.Sentence(&tt.r); got != tt.want {
				t.Errorf("Sentence = %q,\nwant %q", got, tt.want)
			}
		})
	}
	if s := fmt.Sprint(report.Schema); !strings.HasPrefix(s, "scamtrace-report/") {
		t.Errorf("Schema = %q", s)
	}
}
