package report

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"scamtrace/tracer"
	"scamtrace/tracer/report/chart"

	"github.com/ethereum/go-ethereum/common"
)

// alike finds the wallets that stand alone in a box and show the same first
// and last digits as another one that does.
func (p *picture) alike(list []*pictureBox) map[string]bool {
	seen, out := make(map[string]string), make(map[string]bool)
	for _, b := range list {
		if len(b.wallets) == 1 {
			a := p.r.Wallets[b.wallets[0]].Address
			short := shorten(a)
			if other, ok := seen[short]; ok {
				out[a], out[other] = true, true
			}
			seen[short] = a
		}
	}
	return out
}

// differing shows the digits from where an address differs from one that looks
// like it.
func differing(a, b string) string {
	i := 0
	for i < len(a)-8 && i < len(b) && a[i] == b[i] {
		i++
	}
	return "…" + a[i:i+min(8, len(a)-i)] + "…"
}

// shorten shows the first and last four digits of an address, or, in base58,
// where all begin with T, the first six.
func shorten(address string) string {
	if len(address) < 12 {
		return address
	}
	return address[:6] + "…" + address[len(address)-4:]
}

// spelled writes an address for people: EIP-55, or the base58 that it is in.
func spelled(address string) string {
	if !hexed(address, 40) {
		return address
	}
	return common.HexToAddress(address).Hex() // all 40 digits are there
}

// short writes dollars in few letters: $950, $14.9k, $1.23M.
func short(usd tracer.Micros) string {
	cents := int64(usd) / 10_000
	for _, u := range []struct {
		unit int64 // cents
		name string
	}{{100_000_000_000, "B"}, {100_000_000, "M"}, {100_000, "k"}} {
		if cents >= u.unit {
			whole := cents / u.unit
			tenth := cents % u.unit * 10 / u.unit
			if whole >= 100 || tenth == 0 {
				return fmt.Sprintf("$%d%s", whole, u.name)
			}
			return fmt.Sprintf("$%d.%d%s", whole, tenth, u.name)
		}
	}
	if cents < 100 && cents > 0 {
		return "<$1"
	}
	return fmt.Sprintf("$%d", cents/100)
}

// short is the label of a way.
func (w *way) short() string {
	if w.usd.known {
		return short(w.usd.sum)
	}
	return ""
}

// what writes the amounts of a way, for reading, or exactly and with their dollars.
func (w *way) what(r *Report, reading bool) string {
	decimals := make(map[string]uint8)
	for _, t := range r.Totals.Assets {
		if t.Decimals != nil {
			decimals[t.Asset] = *t.Decimals
		}
	}
	var out []string
	names := make([]string, 0, len(w.amounts))
	for n := range w.amounts {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		asset, symbol, _ := strings.Cut(n, " ")
		a := Amount{Asset: asset, Symbol: symbol, Amount: w.amounts[n].Dec()}
		if d, ok := decimals[asset]; ok {
			a.Readable = tracer.Readable(w.amounts[n], d)
		}
		if reading {
			out = append(out, people(&a))
		} else {
			out = append(out, amount(&a))
		}
	}
	s := strings.Join(out, "; ")
	if w.usd.known && !reading {
		s += " (" + dollar(w.usd.String()) + ")"
	}
	return s
}

func (w *way) when() string {
	if w.first == w.last {
		return when(w.first)
	}
	return when(w.first) + " to " + when(w.last)
}

// when writes a time for people: "2025-03-09 13:41:24".
func when(t string) string {
	if t == "" {
		return "at an unknown time"
	}
	return strings.TrimSuffix(strings.Replace(t, "T", " ", 1), "Z")
}

// name is what a box is called in text.
func (p *picture) name(b *pictureBox) string {
	w := &p.r.Wallets[b.wallets[0]]
	one := len(b.wallets) == 1
	switch {
	case b.exits == len(b.wallets) && one:
		return p.exit[b.wallets[0]].Service + " " + spelled(w.Address)
	case b.exits == len(b.wallets) && !strings.HasPrefix(b.key, "tail"):
		return fmt.Sprintf("%s (%d addresses)", p.exit[b.wallets[0]].Service, len(b.wallets))
	case b.exits == len(b.wallets):
		return fmt.Sprintf("%d addresses of services", len(b.wallets))
	case strings.HasPrefix(b.key, "tail reported"):
		return fmt.Sprintf("%d reported wallets", len(b.wallets))
	case one:
		return spelled(w.Address)
	case strings.HasPrefix(b.key, "cluster"):
		return fmt.Sprintf("%d wallets of cluster %s", len(b.wallets), w.Cluster)
	}
	return fmt.Sprintf("%d wallets", len(b.wallets))
}

// box is how a box looks: what it is, its address, and what became of the
// money there. An icon and a word say what the color does.
func (p *picture) box(b *pictureBox) chart.Box {
	w := &p.r.Wallets[b.wallets[0]]
	x := p.exit[b.wallets[0]]
	n := len(b.wallets)
	c := chart.Box{Column: b.column, Title: p.title(b)}
	line := func(class, text string) { c.Lines = append(c.Lines, chart.Line{Class: class, Text: text}) }
	usd := "value not known"
	if b.usd.known || !b.usd.missing {
		usd = short(b.usd.sum)
	}
	address := func() {
		line("address", shorten(spelled(w.Address)))
		if p.lookAlike[w.Address] {
			line("alike", "look-alike: "+differing(w.Address, w.LookAlike))
		}
	}
	switch {
	case b.exits == n && n > 1 && strings.HasPrefix(b.key, "tail"):
		c.Class, c.Icon = "exit", "stack"
		line("head", fmt.Sprintf("+%d exits", n))
		line("sum", usd+" arrived")
	case b.exits == n && n > 1:
		c.Class, c.Icon = "exit", "service"
		line("head", x.Service)
		line("note", fmt.Sprintf("%s, %d addresses", x.Category, n))
		line("sum", usd+" arrived")
	case b.exits == n:
		c.Class, c.Icon = "exit", "service"
		line("head", x.Service)
		if x.Rule == "deposit" {
			line("note", "deposit address")
		} else {
			line("note", x.Category+"'s own")
		}
		address()
		line("sum", usd+" arrived")
	case n > 1:
		c.Class, c.Icon = "many", "stack"
		switch {
		case strings.HasPrefix(b.key, "cluster"):
			line("head", fmt.Sprintf("%d of cluster %s", n, w.Cluster))
		case strings.HasPrefix(b.key, "tail reported"):
			c.Class = "seed"
			line("head", fmt.Sprintf("+%d reported", n))
		default:
			line("head", fmt.Sprintf("+%d wallets", n))
		}
		held, partial := dollars{}, 0
		for _, i := range b.wallets {
			for k := range p.r.Wallets[i].Held {
				held.add(parseUSD(p.r.Wallets[i].Held[k].USD))
			}
			if !p.r.Wallets[i].Complete {
				partial++
			}
		}
		if held.sum > b.usd.sum/20 {
			line("sum", "hold "+short(held.sum))
		} else {
			line("sum", usd)
		}
		if partial == n {
			c.Hatched = true
			line("why", p.why(w))
		}
	default:
		c.Class, c.Icon = "wallet", "wallet"
		head := "Wallet"
		sum := usd
		switch {
		case b.seed:
			c.Class, c.Icon, head, sum = "seed", "flag", "Reported wallet", usd+" received"
		case w.Role == "hub":
			c.Class, c.Icon, head = "hub", "hub", "Busy wallet (hub)"
		case w.Role == "service":
			c.Class, c.Icon, head = "exit", "swap", nodeName(w)
		case w.Role == "deposit":
			c.Icon, head = "door", "Deposit address"
		case len(w.Held) > 0:
			var held dollars
			for k := range w.Held {
				held.add(parseUSD(w.Held[k].USD))
			}
			switch {
			case held.known && held.sum < b.usd.sum/20:
				sum += ", " + short(held.sum) + " left"
			case held.known:
				sum = short(held.sum) + " held"
				fallthrough
			default:
				c.Class, c.Icon, head = "holding", "coins", "Still held here"
			}
		case len(w.Labels) > 0:
			head = nodeName(w)
		}
		line("head", head)
		address()
		line("sum", sum)
		if !w.Complete {
			c.Hatched = true
			line("why", p.why(w))
		}
	}
	return c
}

// why says in a few words why a wallet is not complete.
func (p *picture) why(w *Wallet) string {
	for i := range p.r.Gaps {
		if g := &p.r.Gaps[i]; g.Address == w.Address {
			switch g.Reason {
			case "hub":
				return "? pooled money"
			case "budget":
				return "? budget ran out"
			case "stopped":
				return "? run was stopped"
			case "source", "internal":
				return "? could not be read"
			case "unpriced":
				return "? unknown token"
			case "dust":
				return "? too little to follow"
			}
			return "? " + g.Reason
		}
	}
	return "? not read fully"
}

// title is the long text of a box: every address in full.
func (p *picture) title(b *pictureBox) string {
	var out []string
	for k, i := range b.wallets {
		if k == 40 {
			out = append(out, fmt.Sprintf("and %d more", len(b.wallets)-k))
			break
		}
		w := &p.r.Wallets[i]
		s := spelled(w.Address) + " (" + w.Role
		if w.Cluster != "" {
			s += ", cluster " + w.Cluster
		}
		s += "): received " + cmp.Or(amounts(w.Received), "nothing")
		if len(w.Held) > 0 {
			s += ", holds " + amounts(w.Held)
		}
		if x := p.exit[i]; x != nil {
			s += ", " + x.Service + " by " + x.Rule + ", " + strconv.Itoa(x.Confidence) + "%"
		}
		if len(w.Labels) > 0 {
			s += ", " + w.Labels[0].Name + " (" + w.Labels[0].Source + ")"
		}
		if w.LookAlike != "" {
			s += ", looks like " + spelled(w.LookAlike)
		}
		if w.Reason != "" {
			s += ". " + w.Reason
		}
		out = append(out, s)
	}
	return strings.Join(out, "\n")
}
