package report

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"scamtrace/tracer"
	"scamtrace/tracer/report/chart"

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
