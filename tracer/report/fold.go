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
	"github.com/holiman/uint256"
)

// The picture shows at most mostBoxes boxes. What does not fit is folded, in
// this order: exits at one service, leaves of one wallet, wallets of one
// cluster, and last the smallest of each hop.
const (
	mostBoxes  = 60
	mostLabels = 20
	leastFan   = 4 // leaves that fold
)

// A picture is the flow graph on its way to a chart: every wallet that is drawn
// has the key of its box.
type picture struct {
	r     *Report
	index map[string]int // wallets by address
	exit  map[int]*Exit  // by wallet
	key   []string       // by wallet; empty: not drawn
	boxes map[string]*pictureBox
	ways  map[[2]string]*way
	total tracer.Micros // reported

	lookAlike map[string]bool
}

// A pictureBox is one wallet or several.
type pictureBox struct {
	key     string
	wallets []int
	hop     int
	usd     dollars // that came in
	first   string
	seed    bool
	exits   int // wallets that are exits
	out, in int // ways
	column  int
}

// A way is everything that went from one box to another.
type way struct {
	from, to  string
	usd       dollars
	amounts   map[string]*uint256.Int // traced, by symbol and asset
	flows     int
	transfers int
	swap      bool
	first     string
	last      string
}

// draw draws the picture of a report.
func draw(r *Report) (chart.Chart, []way) {
	p := &picture{r: r, index: make(map[string]int), exit: make(map[int]*Exit)}
	for i := range r.Wallets {
		p.index[r.Wallets[i].Address] = i
	}
	for i := range r.Exits {
		if n, ok := p.index[r.Exits[i].Address]; ok {
			p.exit[n] = &r.Exits[i]
		}
	}
	p.total, _ = parseUSD(r.Totals.USD.Reported)
	p.key = make([]string, len(r.Wallets))
	for i := range r.Wallets {
		p.key[i] = r.Wallets[i].Address
	}
	p.gather()
	p.foldFans()
	p.foldServices(false)
	for _, fold := range []func(){func() { p.foldServices(true) }, p.foldClusters, p.foldFans, p.foldTails} {
		if len(p.boxes) <= mostBoxes {
			break
		}
		fold()
	}
	return p.chart()
}

// gather makes boxes and ways from the keys.
func (p *picture) gather() {
	p.boxes, p.ways = make(map[string]*pictureBox), make(map[[2]string]*way)
	for kind, f := range p.r.edges {
		from, known := p.index[f.From]
		to, too := p.index[f.To]
		if !known || !too || p.key[from] == "" || p.key[to] == "" || p.key[from] == p.key[to] || p.sweep(from, to) {
			continue
		}
		k := [2]string{p.key[from], p.key[to]}
		w := p.ways[k]
		if w == nil {
			w = &way{from: k[0], to: k[1], amounts: make(map[string]*uint256.Int), first: f.First}
			p.ways[k] = w
		}
		w.usd.add(parseUSD(f.USD))
		name := f.Asset + " " + f.Symbol
		if w.amounts[name] == nil {
			w.amounts[name] = new(uint256.Int)
		}
		if v, err := uint256.FromDecimal(f.Traced); err == nil {
			w.amounts[name].Add(w.amounts[name], v)
		}
		w.flows++
		w.transfers += f.Transfers
		w.swap = w.swap || kind == "conversion"
		w.first, w.last = min(w.first, f.First), max(w.last, f.Last)
	}
	for i := range p.r.Wallets {
		w := &p.r.Wallets[i]
		b := p.boxes[p.key[i]]
		if b == nil {
			b = &pictureBox{key: p.key[i], hop: w.Hop, first: w.First}
			p.boxes[p.key[i]] = b
		}
		b.wallets = append(b.wallets, i)
		b.hop, b.first = min(b.hop, w.Hop), min(b.first, w.First)
		b.seed = b.seed || w.Role == "seed"
		if x := p.exit[i]; x != nil {
			b.exits++
			b.usd.add(parseUSD(x.USD))
		} else {
			b.usd.add(parseUSD(w.USD))
		}
	}
	for _, w := range p.ways {
		p.boxes[w.from].out++
		p.boxes[w.to].in++
	}
	// A service's own wallet that only its deposit addresses paid is not drawn.
	for k, b := range p.boxes {
		if b.in+b.out == 0 && !b.seed && b.exits == 0 {
			delete(p.boxes, k)
		}
	}
	for _, b := range p.boxes {
		b.column = b.hop
	}
	for _, w := range p.ways {
		if to := p.boxes[w.to]; to.exits == len(to.wallets) && to.out == 0 {
			to.column = max(to.column, p.boxes[w.from].hop+1)
		}
	}
}

// sweep reports whether money goes from a deposit address to its service.
func (p *picture) sweep(from, to int) bool {
	x := p.exit[from]
	return x != nil && x.Rule == "deposit" && p.r.Wallets[to].Role == "service"
}

// sorted returns the boxes in one order: by column, then time, then key.
func (p *picture) sorted() []*pictureBox {
	list := make([]*pictureBox, 0, len(p.boxes))
	for _, b := range p.boxes {
		list = append(list, b)
	}
	slices.SortFunc(list, func(a, b *pictureBox) int {
		return cmp.Or(cmp.Compare(a.column, b.column), cmp.Compare(a.first, b.first), cmp.Compare(a.key, b.key))
	})
	return list
}

func (p *picture) fold(b *pictureBox, key string) {
	for _, i := range b.wallets {
		p.key[i] = key
	}
}

// foldServices folds the exits at one service, of one column or of all.
func (p *picture) foldServices(all bool) {
	for _, b := range p.sorted() {
		if b.exits == 0 || b.exits < len(b.wallets) || b.out > 0 || b.seed {
			continue
		}
		x := p.exit[b.wallets[0]]
		key := "service " + x.Category + " " + x.Service
		if !all {
			key += " " + strconv.Itoa(b.column)
		}
		p.fold(b, key)
	}
	p.gather()
}

// foldFans folds leaves that one box paid, except those with a part of the
// money that matters.
func (p *picture) foldFans() {
	payer := make(map[string]string)
	for _, w := range p.ways {
		payer[w.to] = w.from
	}
	fans := make(map[string][]*pictureBox)
	for _, b := range p.sorted() {
		if b.in != 1 || b.out > 0 || b.seed || b.exits > 0 || b.usd.sum > p.total/20 {
			continue
		}
		w := &p.r.Wallets[b.wallets[0]]
		fans[fmt.Sprintf("fan %s %s %v", payer[b.key], w.Role, w.Complete)] = append(fans[fmt.Sprintf("fan %s %s %v", payer[b.key], w.Role, w.Complete)], b)
	}
	for key, fan := range fans {
		if len(fan) >= leastFan {
			for _, b := range fan {
				p.fold(b, key)
			}
		}
	}
	p.gather()
}

// foldClusters folds the wallets of one cluster at one hop.
func (p *picture) foldClusters() {
	for _, b := range p.sorted() {
		if w := &p.r.Wallets[b.wallets[0]]; len(b.wallets) == 1 && w.Cluster != "" && !b.seed && b.exits == 0 {
			p.fold(b, fmt.Sprintf("cluster %s %d", w.Cluster, b.hop))
		}
	}
	p.gather()
}

// foldTails keeps the largest boxes of each part of the way and folds the
// others: reported wallets, services and the rest apart. The parts are columns,
// or several columns in a row where there are many, and all keep as many.
func (p *picture) foldTails() {
	const parts = mostBoxes / 4 // so that one of each kind, and one kept, fit everywhere
	list := p.sorted()
	last := list[len(list)-1].column
	part := func(b *pictureBox) int {
		if last < parts {
			return b.column
		}
		return b.column * parts / (last + 1)
	}
	kind := func(b *pictureBox) string {
		switch {
		case b.seed:
			return "reported"
		case b.exits == len(b.wallets):
			return "services"
		}
		return "wallets"
	}
	slices.SortStableFunc(list, func(a, b *pictureBox) int { return cmp.Compare(b.usd.sum, a.usd.sum) })
	keep := func(most int) (folded []*pictureBox, boxes int) {
		kept, tails := make(map[int]int), make(map[string]bool)
		for _, b := range list {
			if n := part(b); kept[n] < most {
				kept[n]++
				boxes++
				continue
			}
			folded = append(folded, b)
			tails[tailKey(kind(b), part(b))] = true
		}
		return folded, boxes + len(tails)
	}
	folded, _ := keep(1)
	for most := 2; ; most++ {
		f, boxes := keep(most)
		if boxes > mostBoxes {
			break
		}
		if folded = f; len(f) == 0 {
			break
		}
	}
	for _, b := range folded {
		p.fold(b, tailKey(kind(b), part(b)))
	}
	p.gather()
}

func tailKey(kind string, part int) string { return fmt.Sprintf("tail %s %d", kind, part) }

func (p *picture) chart() (chart.Chart, []way) {
	list := p.sorted()
	at := make(map[string]int)
	boxes := make([]chart.Box, 0, len(list))
	p.lookAlike = p.alike(list)
	for i, b := range list {
		at[b.key] = i
		boxes = append(boxes, p.box(b))
	}
	ways := make([]way, 0, len(p.ways))
	for _, w := range p.ways {
		ways = append(ways, *w)
	}
	slices.SortFunc(ways, func(a, b way) int {
		return cmp.Or(cmp.Compare(at[a.from], at[b.from]), cmp.Compare(at[a.to], at[b.to]))
	})
	edges := make([]chart.Edge, 0, len(ways))
	for i := range ways {
		w := &ways[i]
		e := chart.Edge{From: at[w.from], To: at[w.to], Label: w.short()}
		e.Weight = uint64(w.usd.sum / 10_000)
		w.from, w.to = p.name(list[e.From]), p.name(list[e.To])
		e.Title = w.from + " → " + w.to + ": " + w.what(p.r, false) + ", " + count(w.transfers, "transfer", "transfers") + ", " + w.when()
		edges = append(edges, e)
	}
	return chart.Draw(boxes, edges, mostLabels, func(hop int) string {
		if hop == 0 {
			return "reported"
		}
		return count(hop, "hop", "hops")
	}), ways
}

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

// shorten shows the first and last four digits of an address.
func shorten(address string) string {
	if len(address) < 12 {
		return address
	}
	return address[:6] + "…" + address[len(address)-4:]
}

// eip55 writes an address for people.
func eip55(address string) string {
	if !hexed(address, 40) {
		return address
	}
	return common.HexToAddress(address).Hex() // all 40 digits are there
}

// money writes dollars in few letters: $950, $14.9k, $1.23M.
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
		return p.exit[b.wallets[0]].Service + " " + eip55(w.Address)
	case b.exits == len(b.wallets) && !strings.HasPrefix(b.key, "tail"):
		return fmt.Sprintf("%s (%d addresses)", p.exit[b.wallets[0]].Service, len(b.wallets))
	case b.exits == len(b.wallets):
		return fmt.Sprintf("%d addresses of services", len(b.wallets))
	case strings.HasPrefix(b.key, "tail reported"):
		return fmt.Sprintf("%d reported wallets", len(b.wallets))
	case one:
		return eip55(w.Address)
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
		line("address", shorten(eip55(w.Address)))
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
		s := eip55(w.Address) + " (" + w.Role
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
			s += ", looks like " + eip55(w.LookAlike)
		}
		if w.Reason != "" {
			s += ". " + w.Reason
		}
		out = append(out, s)
	}
	return strings.Join(out, "\n")
}
