package report

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"slices"
	"strings"

	"scamtrace/tracer"
	"scamtrace/tracer/report/chart"
)

//go:embed page/page.html
var pageHTML string

//go:embed page/page.css
var pageCSS string

//go:embed page/page.js
var pageJS string

// What the page shows at most. The other files have everything.
const (
	mostCoins       = 8
	mostServices    = 100
	mostAddresses   = 20 // of one service
	mostTexts       = 60 // transactions in the text for one address
	mostWays        = 200
	mostGaps        = 50
	mostWallets     = 300
	mostClusters    = 30
	mostLinks       = 20
	mostTransfers   = 300
	mostConversions = 100
	mostDays        = 120
	mostPayments    = 10 // of one seed
)

// pageView is what the template shows beside the report.
type pageView struct {
	R                     *Report
	Style                 template.CSS
	Script                template.JS
	StyleHash, ScriptHash string
	Defs, Drawing         template.HTML

	Reported, Exited, Held, NotFollowed worth

	Coins     []string
	Sums      []sumRow
	MoreCoins int
	Bar       []barPart
	Todo      []step
	Chart     chart.Chart
	Tiles     []tile
	Folded    string

	Ways                           []wayRow
	Shown                          int
	MoreWays                       int
	Services                       []serviceCard
	Gaps                           []gapCard
	MoreGaps                       int
	Wallets                        []Wallet
	MoreWallets                    int
	Clusters                       []clusterPart
	Transfers                      []Transfer
	Conversions                    []Conversion
	Seen                           []seenPart
	Days                           []day
	MoreDays                       int
	Seeds                          []seedRow
	Policy                         string
	Verified                       int
	Nothing                        bool   // was found that came to what was reported
	Alone                          string // what rests on no node
	Priced                         bool   // with prices that were given
	MoreTransfers, MoreConversions int
}

type sumRow struct {
	Name  string
	Cells []string // dollars, then the coins
	Sum   bool
}

type barPart struct {
	Class, Title string
	X, W         int // thousandths
}

// A tile is a part of a wide drawing, on a sheet of its own in print.
type tile struct{ N, Of, X, W int }

type wayRow struct {
	From, To, Amount, USD, Value, When, Until string
	Transfers                                 int
	Swap                                      bool
}

type serviceCard struct {
	ID, Name, Category, USD, Text string
	Exits                         []Exit
	More                          int
}

type gapCard struct {
	Gap       Gap
	Words     string
	Addresses []string // one, or several with nothing known at stake
	More      int      // addresses that are not shown
}

type clusterPart struct {
	Cluster
	First                  []string
	Some                   []Link
	MoreWallets, MoreLinks int
}

type seedRow struct {
	Seed
	Some []Payment
	More int
}

// A day is what happened on one, in dollars; the bars are in 300ths of the most.
type day struct {
	Day                        string
	In, Moved, Exited          string
	InBar, MovedBar, ExitedBar int
}

// page writes report.html: one page for people, which needs no network. Its
// style and its script are named by hash, and nothing else may run or be
// loaded. Without its script it shows all the same.
func page(r *Report) ([]byte, error) {
	v := pageView{
		R: r, Style: template.CSS(pageCSS), Script: template.JS(pageJS), StyleHash: pageHash(pageCSS), ScriptHash: pageHash(pageJS),
		Reported: r.reported(), Exited: r.exited(), Held: r.held(), NotFollowed: r.notFollowed(),
		Defs: template.HTML(chart.Defs()), Todo: todo(r), Bar: bar(r), Policy: policyWords(r.Parameters.Policy),
	}
	v.Alone = r.alone()
	v.Nothing = r.arrived() == 0
	v.Priced = r.Parameters.Prices.SHA256 != hexSum(nil)
	v.sums()
	v.draw()
	v.Services = cards(r)
	v.Gaps, v.MoreGaps = gapCards(r)
	v.Wallets = r.Wallets[:min(len(r.Wallets), mostWallets)]
	v.MoreWallets = len(r.Wallets) - len(v.Wallets)
	for i := range r.Clusters[:min(len(r.Clusters), mostClusters)] {
		c := r.Clusters[i]
		p := clusterPart{Cluster: c, First: c.Wallets[:min(len(c.Wallets), mostLinks)], Some: c.Links[:min(len(c.Links), mostLinks)]}
		p.MoreWallets, p.MoreLinks = len(c.Wallets)-len(p.First), len(c.Links)-len(p.Some)
		v.Clusters = append(v.Clusters, p)
	}
	v.Transfers = largest(r.Transfers, mostTransfers)
	v.MoreTransfers = len(r.Transfers) - len(v.Transfers)
	v.Conversions = r.Conversions[:min(len(r.Conversions), mostConversions)]
	v.MoreConversions = len(r.Conversions) - len(v.Conversions)
	v.Seen = sightings(r)
	v.Days = days(r)
	if n := len(v.Days) - mostDays; n > 0 {
		v.Days, v.MoreDays = v.Days[:mostDays], n
	}
	for i := range r.Seeds {
		s := seedRow{Seed: r.Seeds[i], Some: r.Seeds[i].Payments}
		if n := len(s.Some) - mostPayments; n > 0 {
			s.Some, s.More = s.Some[:mostPayments], n
		}
		v.Seeds = append(v.Seeds, s)
	}
	for i := range r.Transfers {
		if r.Transfers[i].Verified {
			v.Verified++
		}
	}
	// The template is no variable of the package, which would be linked into
	// programs that write no page.
	t, err := template.New("page").Funcs(template.FuncMap{
		"addr": spelled, "spelling": spelling, "differs": differing, "dollar": dollar, "role": roleWords, "when": when,
		"icon":   func(name string) template.HTML { return template.HTML(chart.Icon(name)) },
		"people": func(a Amount) string { return r.people(&a) },
		"traced": func(t Transfer) string { return r.people(t.amount()) },
		"value":  func(s string) string { return cmp.Or(s, "-1") },
	}).Parse(pageHTML)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = t.Execute(&b, &v)
	return b.Bytes(), err
}

// spelling says how the page writes addresses.
func spelling(r *Report) string {
	if strings.HasPrefix(r.Chains[0].ID, "tron:") {
		return "Addresses are written in base58, which has a checksum, as everywhere on Tron."
	}
	return "Addresses are written with the checksum of EIP-55."
}

// amount is the traced part of a transfer.
func (t *Transfer) amount() *Amount {
	return &Amount{t.Asset, t.Symbol, t.Traced, t.TracedReadable, t.USD}
}

func pageHash(s string) string {
	h := sha256.Sum256([]byte(s))
	return base64.StdEncoding.EncodeToString(h[:])
}

// sums makes the table that adds up: a column of dollars and one for each coin.
func (v *pageView) sums() {
	t := &v.R.Totals
	assets := t.Assets[:min(len(t.Assets), mostCoins)]
	v.MoreCoins = len(t.Assets) - len(assets)
	for i := range assets {
		v.Coins = append(v.Coins, assets[i].Symbol)
	}
	row := func(name string, x worth, units func(*AssetTotal) string, sum bool) {
		r := sumRow{Name: name, Sum: sum, Cells: []string{""}}
		if x.usd != "" {
			r.Cells[0] = x.Dollars()
		}
		for i := range assets {
			s := ""
			if units != nil {
				s = grouped(assets[i].readable(units(&assets[i])), 255)
			}
			r.Cells = append(r.Cells, s)
		}
		v.Sums = append(v.Sums, r)
	}
	var usd dollars
	for _, s := range []string{t.USD.Exited, t.USD.Held, t.USD.Gaps, t.USD.WrittenOff} {
		usd.add(parseUSD(s))
	}
	plus := func(parts ...string) string {
		sum := newTally("")
		for _, s := range parts {
			sum.add("", "", s)
		}
		total := sum.of(place{})
		return total.Dec()
	}
	change := "+ change of prices meanwhile"
	if t.USD.Unpriced {
		change += ", and what has no known price"
	}
	none, all := worth{}, worth{usd: usd.String()}
	row("Reported by the victim", v.Reported, func(a *AssetTotal) string { return a.Reported }, false)
	if slices.ContainsFunc(t.Assets, func(a AssetTotal) bool { return a.Assumed != "0" }) {
		row("+ reported by nobody, counted in", worth{usd: t.USD.Assumed}, func(a *AssetTotal) string { return a.Assumed }, false)
	}
	row(change, worth{usd: t.USD.PriceChange}, nil, false)
	row("+ got in swaps for another coin", none, func(a *AssetTotal) string { return a.ConvertedIn }, false)
	row("= to be accounted for", all, func(a *AssetTotal) string { return plus(a.Reported, a.Assumed, a.ConvertedIn) }, true)
	row("Reached services (exits)", v.Exited, func(a *AssetTotal) string { return a.Exited }, false)
	row("+ still held in wallets", v.Held, func(a *AssetTotal) string { return a.Held }, false)
	row("+ not followed (gaps)", v.NotFollowed, func(a *AssetTotal) string { return a.Gaps }, false)
	row("+ fees and burned coins", v.R.writtenOff(), func(a *AssetTotal) string { return a.WrittenOff }, false)
	row("+ given in swaps for another coin", none, func(a *AssetTotal) string { return a.ConvertedOut }, false)
	row("= accounted for", all, func(a *AssetTotal) string {
		return plus(a.Exited, a.Held, a.Gaps, a.WrittenOff, a.ConvertedOut)
	}, true)
}

// bar is the shares of the money, in thousandths.
func bar(r *Report) []barPart {
	parts := []struct{ class, title, usd string }{
		{"e", "Reached services", r.Totals.USD.Exited}, {"h", "Still held", r.Totals.USD.Held},
		{"g", "Not followed", r.Totals.USD.Gaps}, {"o", "Fees and burned coins", r.Totals.USD.WrittenOff},
	}
	var all, sum tracer.Micros
	for _, p := range parts {
		usd, _ := parseUSD(p.usd)
		all = plus(all, usd)
	}
	if all < tracer.Dollar/100 {
		return nil
	}
	share := func(usd tracer.Micros) int { return int(int64(usd/10_000) * 1000 / int64(all/10_000)) }
	var out []barPart
	for _, p := range parts {
		usd, _ := parseUSD(p.usd)
		x := share(sum)
		sum = plus(sum, usd)
		out = append(out, barPart{p.class, p.title + ": " + dollar(p.usd), x, share(sum) - x})
	}
	return out
}

// draw draws the picture and its table, and cuts it into sheets.
func (v *pageView) draw() {
	c, ways := draw(v.R)
	v.Chart, v.Drawing = c, template.HTML(c.SVG)
	slices.SortStableFunc(ways, func(a, b way) int { return cmp.Compare(b.usd.sum, a.usd.sum) })
	for i := range ways[:min(len(ways), mostWays)] {
		w := &ways[i]
		row := wayRow{From: w.from, To: w.to, Amount: w.what(v.R, true), USD: dollar(w.usd.String()), Value: w.usd.sum.Decimal(), When: when(w.first), Transfers: w.transfers, Swap: w.swap}
		if w.last != w.first {
			row.Until = when(w.last)
		}
		v.Ways = append(v.Ways, row)
	}
	v.Shown, v.MoreWays = len(v.Ways), len(ways)-len(v.Ways)
	const perTile = 5 // columns, the last of which begins the next
	n := len(c.Columns)
	for from := 0; ; from += perTile {
		to := min(from+perTile, n-1)
		t := tile{N: len(v.Tiles) + 1}
		if n > 0 {
			t.X = c.Columns[from] - c.Columns[0]
			t.W = c.Width - t.X
			if to < n-1 {
				t.W = c.Columns[to+1] - c.Columns[0] - t.X
			}
		}
		v.Tiles = append(v.Tiles, t)
		if to >= n-1 {
			break
		}
	}
	for i := range v.Tiles {
		v.Tiles[i].Of = len(v.Tiles)
	}
}

// cards are the exits by service, with a text for each that can be copied.
func cards(r *Report) []serviceCard {
	paid := make(map[string][]*Transfer) // by receiver
	exit := make(map[string]bool)
	for i := range r.Exits {
		exit[r.Exits[i].Address] = true
	}
	for i := range r.Transfers {
		if t := &r.Transfers[i]; exit[t.To] && t.Kind != tracer.KindFee.String() {
			paid[t.To] = append(paid[t.To], t)
		}
	}
	var out []serviceCard
	for i, s := range r.services() {
		if i == mostServices {
			break
		}
		c := serviceCard{ID: fmt.Sprintf("exit-%d", i+1), Name: s.name, Category: s.category, USD: dollar(s.usd.String())}
		var text strings.Builder
		fmt.Fprintf(&text, "Service: %s (%s)\nAmount in US dollars at the time: %s\n", s.name, s.category, dollar(s.usd.String()))
		for n, x := range s.exits {
			if n == mostAddresses {
				c.More = len(s.exits) - n
				fmt.Fprintf(&text, "\nand %d more addresses, in exits.csv\n", c.More)
				break
			}
			c.Exits = append(c.Exits, *x)
			fmt.Fprintf(&text, "\nAddress: %s on %s\nArrived at the service: %s\n", spelled(x.Address), x.Chain, amounts(x.Amounts))
			txs := make(map[string]bool)
			for k, t := range paid[x.Address] {
				if k == mostTexts {
					fmt.Fprintf(&text, "and %d more, in transfers.csv\n", len(paid[x.Address])-k)
					break
				}
				txs[t.Tx] = true
				fmt.Fprintf(&text, "%s UTC  %s  transaction %s, block %d\n", when(t.Time), amount(t.amount()), t.Tx, t.Block)
			}
			for k, tx := range x.Transactions {
				if k == mostTexts {
					break
				}
				if !txs[tx] && len(paid[x.Address]) <= mostTexts {
					fmt.Fprintf(&text, "transaction %s\n", tx)
				}
			}
		}
		c.Text = text.String()
		out = append(out, c)
	}
	return out
}

// gapCards are the gaps; those of which no amount is known are one for each reason.
func gapCards(r *Report) (out []gapCard, more int) {
	type same struct{ reason, detail string }
	at := make(map[same]int)
	for i := range r.Gaps {
		g := &r.Gaps[i]
		k := same{g.Reason, g.Detail}
		n, ok := at[k]
		switch {
		case ok && len(g.Amounts) == 0 && len(out[n].Addresses) == mostAddresses:
			out[n].More++
			continue
		case ok && len(g.Amounts) == 0:
			out[n].Addresses = append(out[n].Addresses, g.Address)
			continue
		case len(out) == mostGaps:
			more++
			continue
		case len(g.Amounts) == 0:
			at[k] = len(out)
		}
		out = append(out, gapCard{Gap: *g, Words: gapTitle(g.Reason), Addresses: []string{g.Address}})
	}
	return out, more
}

func roleWords(role string) string {
	switch role {
	case "seed":
		return "reported"
	case "intermediary":
		return "passed it on"
	case "holding":
		return "still holds some"
	case "deposit":
		return "deposit address"
	case "hub":
		return "pooled with others’"
	}
	return role
}

func gapTitle(reason string) string {
	for _, x := range reasons {
		if x.reason == reason {
			return "Wallet " + x.words
		}
	}
	return "Wallet not followed: " + reason
}

func policyWords(name string) string {
	switch name {
	case "pifo":
		return "The rule is “poison in, first out” (pifo): when a wallet holds the victim’s money and other money, the victim’s leaves first."
	case "lifo":
		return "The rule is “last in, first out” (lifo): what came last leaves a wallet first."
	case "fifo":
		return "The rule is “first in, first out” (fifo): what came first leaves a wallet first."
	case "libr":
		return "The rule is the “lowest intermediate balance” (libr): the victim’s money leaves a wallet last, and is never more than the lowest balance since it came."
	case "haircut":
		return "The rule is “haircut”: every payment of a wallet holds the victim’s share in what the wallet had."
	case "poison":
		return "The rule is “poison”: everything that a wallet pays after it got the victim’s money counts."
	}
	return "The accounting rule is " + name + "."
}

// largest returns the transfers with the most dollars, in the order of ts.
func largest(ts []Transfer, most int) []Transfer {
	if len(ts) <= most {
		return ts
	}
	values := make([]tracer.Micros, len(ts))
	for i := range ts {
		values[i], _ = parseUSD(ts[i].USD)
	}
	order := make([]int, len(ts))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(values[j], values[i]) })
	order = order[:most]
	slices.Sort(order)
	out := make([]Transfer, 0, most)
	for _, i := range order {
		out = append(out, ts[i])
	}
	return out
}

// days adds up what happened on each day with movements.
func days(r *Report) []day {
	type sums struct{ in, moved, exited tracer.Micros }
	by := make(map[string]*sums)
	at := func(t string) *sums {
		d, _, _ := strings.Cut(t, "T")
		d = cmp.Or(d, "unknown")
		if by[d] == nil {
			by[d] = new(sums)
		}
		return by[d]
	}
	add := func(m *tracer.Micros, s string) {
		usd, _ := parseUSD(s)
		*m = plus(*m, usd)
	}
	service := make(map[string]bool)
	for i := range r.Wallets {
		if w := &r.Wallets[i]; w.Role == "service" && len(w.Exited) > 0 {
			service[w.Address] = true
		}
	}
	for i := range r.Seeds {
		for _, p := range r.Seeds[i].Payments {
			add(&at(p.Time).in, p.USD)
		}
	}
	for i := range r.Transfers {
		switch t := &r.Transfers[i]; {
		case t.Kind == tracer.KindFee.String():
		case service[t.To]:
			add(&at(t.Time).exited, t.USD)
		default:
			add(&at(t.Time).moved, t.USD)
		}
	}
	var most tracer.Micros = 1
	out := make([]day, 0, len(by))
	for _, s := range by {
		most = max(most, s.in, s.moved, s.exited)
	}
	for d, s := range by {
		width := func(m tracer.Micros) int { return int(int64(m/10_000) * 300 / max(int64(most/10_000), 1)) }
		show := func(m tracer.Micros) string {
			if m == 0 {
				return "–"
			}
			return m.String()
		}
		out = append(out, day{d, show(s.in), show(s.moved), show(s.exited), width(s.in), width(s.moved), width(s.exited)})
	}
	slices.SortFunc(out, func(a, b day) int { return cmp.Compare(a.Day, b.Day) })
	return out
}
