package report_test

import (
	"fmt"
	"strings"
	"testing"

	"scamtrace/tracer/report"
)

func TestSentence(t *testing.T) {
	eighteen := uint8(18)
	total := []report.AssetTotal{{Asset: "eip155:1/slip44:60", Symbol: "ETH", Decimals: &eighteen, Reported: "1"}}
	ether := func(usd, units string) []report.Amount {
		return []report.Amount{{Asset: total[0].Asset, Symbol: "ETH", Amount: units, USD: usd}}
	}
	for _, tt := range []struct {
		name string
		r    report.Report
		want string
	}{
		{"nothing came", report.Report{Seeds: []report.Seed{{Address: "0x1"}}},
			"We found no money that came to the wallet you reported. Check the address, the network and the dates."},
		{"no price", report.Report{
			Seeds:   []report.Seed{{Address: "0x1", Amounts: ether("", "1000000000000000000")}},
			Wallets: []report.Wallet{{Held: ether("", "600000000000000000")}},
			Gaps:    []report.Gap{{Amounts: ether("", "400000000000000000")}},
			Totals:  report.Totals{Assets: total, USD: report.USDTotal{Reported: "0.00", Held: "0.00", Gaps: "0.00"}}},
			"We followed 1 ETH from the wallet you reported. 0.6 ETH is still held in one wallet. 0.4 ETH was not followed; the gaps say why. What is named in coins has no known price in dollars."},
		{"no price for a part", report.Report{
			Seeds:   []report.Seed{{Address: "0x1", Amounts: ether("5.00", "7")}, {Address: "0x1", Amounts: ether("", "6120000000000000000")}},
			Wallets: []report.Wallet{{Held: ether("", "6120000000000000000")}, {Held: ether("5.00", "7")}},
			Totals:  report.Totals{Assets: total, USD: report.USDTotal{Reported: "5.00", Held: "5.00"}}},
			"We followed $5.00 and 6.12 ETH from the wallet you reported. $5.00 and 6.12 ETH are still held in 2 wallets. What is named in coins has no known price in dollars."},
		{"everything", report.Report{
			Seeds:   []report.Seed{{Address: "0x1"}, {Address: "0x2"}},
			Exits:   []report.Exit{{Service: "A"}, {Service: "B"}, {Service: "A"}},
			Wallets: []report.Wallet{{Held: ether("12400.50", "1")}, {}},
			Totals:  report.Totals{Assets: total, USD: report.USDTotal{Reported: "61400.00", Exited: "48100.00", Held: "12400.50", Gaps: "900.00"}}},
			"We followed $61,400.00 from the 2 wallets you reported. $48,100.00 reached addresses that look like A and B. $12,400.50 is still held in one wallet. $900.00 was not followed; the gaps say why."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := report.Sentence(&tt.r); got != tt.want {
				t.Errorf("Sentence = %q,\nwant %q", got, tt.want)
			}
		})
	}
	for _, tt := range []struct {
		basis []string
		want  string // empty: nothing is said
	}{
		{[]string{"", "node", "confirmed"}, ""},
		{[]string{"indexer", "node"}, "Not confirmed: 1 of 2 transfers rest on an indexer’s word alone, and no node has confirmed them"},
		{[]string{"indexer", "indexer", "denied"}, "2 of 3 transfers rest on an indexer’s word alone, and no node has confirmed them; 1 of 3 transfers are not what the node shows"},
	} {
		var r report.Report
		for _, b := range tt.basis {
			r.Transfers = append(r.Transfers, report.Transfer{Basis: b})
		}
		var out strings.Builder
		if err := report.Summary(&out, &r, "dir"); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); strings.Contains(got, "Not confirmed") != (tt.want != "") || !strings.Contains(got, tt.want) {
			t.Errorf("of transfers by %q the summary is %q, want %q", tt.basis, got, tt.want)
		}
	}
	if s := fmt.Sprint(report.Schema); !strings.HasPrefix(s, "scamtrace-report/") {
		t.Errorf("Schema = %q", s)
	}
}
