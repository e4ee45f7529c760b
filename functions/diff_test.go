package functions

import (
	"testing"

	"scamtrace/tracer/report"
)

func TestCompare(t *testing.T) {
	holds := func(address, usd string) report.Wallet {
		w := report.Wallet{Address: address}
		if usd != "" {
			w.Held = []report.Amount{{USD: usd}}
		}
		return w
	}
	pays := func(tx, from, to, usd string) report.Transfer {
		return report.Transfer{Tx: tx, From: from, To: to, USD: usd}
	}
	at := func(r report.Report) *report.Report {
		r.Chains = []report.Chain{{Pinned: report.Block{Time: "2026-01-02T03:04:05Z"}}}
		return &r
	}
	const since = "Since 2 January 2026 03:04 UTC"
	for _, tt := range []struct {
		name     string
		old, now report.Report
		want     string
	}{
		{"nothing", report.Report{Wallets: []report.Wallet{holds("a", "10.00")}}, report.Report{Wallets: []report.Wallet{holds("a", "10.00")}},
			since + " nothing moved."},
		{"the same money over three wallets counts once",
			report.Report{Wallets: []report.Wallet{holds("a", "100.00"), holds("b", "5.00")}},
			report.Report{
				Wallets:   []report.Wallet{holds("a", ""), holds("b", "5.00"), holds("c", "100.00")},
				Transfers: []report.Transfer{pays("1", "a", "b", "100.00"), pays("2", "b", "c", "100.00")},
			},
			since + ", $100.00 moved on."},
		{"it reached a service",
			report.Report{Wallets: []report.Wallet{holds("a", "100.00")}, Exits: []report.Exit{{Address: "x", Service: "X", USD: "7.00", Transactions: []string{"0"}}}},
			report.Report{
				Wallets: []report.Wallet{holds("a", "40.00")}, Transfers: []report.Transfer{pays("1", "a", "x", "60.00")},
				Exits: []report.Exit{{Address: "x", Service: "X", USD: "67.00", Transactions: []string{"0", "1"}}},
			},
			since + ", $60.00 moved on; $60.00 reached addresses that look like X."},
		{"a wallet became a hub, and nothing that was traced moved",
			report.Report{Wallets: []report.Wallet{holds("a", "100.00")}, Gaps: []report.Gap{{Address: "g", USD: "3.00"}}},
			report.Report{Wallets: []report.Wallet{holds("a", "")}, Gaps: []report.Gap{{Address: "a", USD: "100.00"}, {Address: "g", USD: "3.00"}}},
			since + ", $100.00 can no longer be followed; the gaps of the report say why."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Compare(at(tt.old), at(tt.now)).Sentence; got != tt.want {
				t.Errorf("Compare says %q,\nwant %q", got, tt.want)
			}
		})
	}
}
