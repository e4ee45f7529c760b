package report

import (
	"bytes"
	"encoding/csv"
	"strconv"
	"strings"

	"scamtrace/tracer"

	"github.com/holiman/uint256"
)

// cell defuses a text that a spreadsheet would take for a formula: one that
// begins with an operator, also a full-width one (OWASP, CSV injection).
// Numbers may be negative.
func cell(s string) string {
	if s == "" || !strings.ContainsRune("=+-@\t\r\n＝＋－＠", firstRune(s)) || s[0] == '-' && isDecimal(s[1:]) {
		return s
	}
	return "'" + s
}

func firstRune(s string) rune {
	for _, r := range s {
		return r
	}
	return -1
}

// table writes a CSV file. put defuses every cell.
func table(header string, rows func(put func(cells ...string))) []byte {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	put := func(cells ...string) {
		for i, c := range cells {
			cells[i] = cell(c)
		}
		_ = w.Write(cells) // a buffer takes everything
	}
	put(strings.Fields(header)...)
	rows(put)
	w.Flush()
	return b.Bytes()
}

// amounts writes a list for people: "1.5 ETH; 20 USDT".
func amounts(list []Amount) string {
	var b []byte
	for i := range list {
		if i > 0 {
			b = append(b, "; "...)
		}
		b = append(b, amount(&list[i])...)
	}
	return string(b)
}

func amount(a *Amount) string {
	if a.Readable == "" {
		return a.Amount + " base units of " + a.Asset
	}
	return a.Readable + " " + a.Symbol
}

func number[T int | uint64](n T) string { return strconv.FormatInt(int64(n), 10) }

func transfersCSV(r *Report) []byte {
	hop := make(map[string]int, len(r.Wallets))
	for i := range r.Wallets {
		hop[r.Wallets[i].Address] = r.Wallets[i].Hop
	}
	decimals := make(map[string]string)
	for _, t := range r.Totals.Assets {
		if t.Decimals != nil {
			decimals[t.Asset] = number(int(*t.Decimals))
		}
	}
	return table("chain block block_hash time_utc tx_hash position kind from to from_hop asset symbol decimals amount_raw amount traced_raw traced traced_usd price_source verified basis", func(put func(...string)) {
		for i := range r.Transfers {
			t := &r.Transfers[i]
			put(t.Chain, strconv.FormatUint(t.Block, 10), t.BlockHash, t.Time, t.Tx, t.Position, t.Kind, t.From, t.To, number(hop[t.From]),
				t.Asset, t.Symbol, decimals[t.Asset], t.Amount, t.Readable, t.Traced, t.TracedReadable, t.USD, t.PriceSource, strconv.FormatBool(t.Verified), t.Basis)
		}
	})
}

func walletsCSV(r *Report) []byte {
	return table("chain address role hop label label_category label_confidence_percent label_source cluster contract received assumed sent held exited written_off gap received_usd first_utc last_utc complete reason look_alike", func(put func(...string)) {
		for i := range r.Wallets {
			w := &r.Wallets[i]
			var l Label
			confidence := ""
			if len(w.Labels) > 0 {
				l = w.Labels[0]
				confidence = number(l.Confidence)
			}
			put(w.Chain, w.Address, w.Role, number(w.Hop), l.Name, l.Category, confidence, l.Source, w.Cluster, strconv.FormatBool(w.Contract),
				amounts(w.Received), amounts(w.Assumed), amounts(w.Sent), amounts(w.Held), amounts(w.Exited), amounts(w.WrittenOff), amounts(w.Gap),
				w.USD, w.First, w.Last, strconv.FormatBool(w.Complete), w.Reason, w.LookAlike)
		}
	})
}

func exitsCSV(r *Report) []byte {
	return table("chain address service category rule confidence_percent source amounts usd first_utc last_utc transactions path", func(put func(...string)) {
		for i := range r.Exits {
			x := &r.Exits[i]
			put(x.Chain, x.Address, x.Service, x.Category, x.Rule, number(x.Confidence), x.Source, amounts(x.Amounts), x.USD,
				x.First, x.Last, strings.Join(x.Transactions, " "), strings.Join(x.Path, " "))
		}
	})
}

func clustersCSV(r *Report) []byte {
	return table("cluster wallets a b rule confidence_percent precision evidence detail", func(put func(...string)) {
		for i := range r.Clusters {
			c := &r.Clusters[i]
			for n := range c.Links {
				l := &c.Links[n]
				put(c.ID, number(len(c.Wallets)), l.A, l.B, l.Rule, number(l.Confidence), l.Precision, strings.Join(l.Evidence, " "), l.Detail)
			}
		}
	})
}

func tokensCSV(r *Report) []byte {
	return table("asset asked name symbol decimals reads_as traced transfers_not_counted", func(put func(...string)) {
		for i := range r.Tokens {
			t := &r.Tokens[i]
			decimals := ""
			if t.Decimals != nil {
				decimals = number(int(*t.Decimals))
			}
			put(t.Asset, strconv.FormatBool(t.Asked), t.Name, t.Symbol, decimals, t.ReadsAs, strconv.FormatBool(t.Traced), number(t.Transfers))
		}
	})
}

func uncountedCSV(r *Report) []byte {
	return table("chain address reason transfers first_utc last_utc sample_block sample_time_utc sample_tx_hash sample_position sample_from sample_to sample_asset sample_symbol sample_claim sample_amount_raw sample_amount sample_look_alike", func(put func(...string)) {
		for i := range r.Uncounted {
			u := &r.Uncounted[i]
			for n := range u.Samples {
				s := &u.Samples[n]
				put(u.Chain, u.Address, u.Reason, number(u.Transfers), u.First, u.Last, strconv.FormatUint(s.Block, 10), s.Time, s.Tx, s.Position, s.From, s.To,
					s.Asset, s.Symbol, s.Claim, s.Amount, s.Readable, s.LookAlike)
			}
		}
	})
}

// readable writes base units of a total with the asset's decimals.
func (t *AssetTotal) readable(units string) string {
	v, err := uint256.FromDecimal(units)
	if err != nil || t.Decimals == nil {
		return units
	}
	return tracer.Readable(v, *t.Decimals)
}
