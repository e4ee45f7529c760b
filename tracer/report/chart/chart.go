// Package chart draws a flow as SVG: boxes in columns from left to right, and
// between them curves whose width says how much goes there.
//
// [Draw] orders each column by barycenters so that few curves cross, leads long
// curves through the gaps, and draws those that go back dashed. What it
// promises: integers throughout, so that the same chart has the same bytes on
// any machine; every text is escaped; no script, no style of its own and
// nothing from outside: the page gives the classes their looks.
package chart

import (
	"cmp"
	"html"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/text/width"
)

// A Box is a box of a chart.
type Box struct {
	Column  int    // from 0, left to right; columns without boxes take no room
	Class   string // of the page's style
	Icon    string // a name of [Icons]; empty: none
	Hatched bool   // not all of it is known
	Lines   []Line
	Title   string // the long text: shown when pointed at, and read aloud
}

// A Line is a line of text in a box.
type Line struct {
	Class, Text string
}

// An Edge is a curve from one box to another.
type Edge struct {
	From, To int    // boxes
	Weight   uint64 // the curve is wider where it is more, on a logarithmic scale
	Label    string // for the heaviest curves only; see [Draw]
	Title    string
}

// A Chart is what [Draw] drew.
type Chart struct {
	SVG           string // one g element with the id flow
	Width, Height int    // of its coordinates, which begin at 0
	Columns       []int  // left edges of the columns
	Numbers       []int  // the Column of the boxes in each
}

// The measures of a chart, in pixels of a screen.
const (
	boxWidth   = 150
	padding    = 8
	lineHeight = 15
	rowGap     = 16
	columnGap  = 66
	margin     = 14
	header     = 26
	laneHeight = 10 // of a curve that passes a column
	textRunes  = 22 // in a line of a box, on average
)

// A node is a box, or a place in a column where a long curve passes.
type node struct {
	box    int // -1: a place
	column int
	h      int
	y      int   // top
	in     []int // nodes in the column before
	out    []int // nodes in the column after
	rank   int   // in its column
}

// Draw draws a chart. The labels heaviest edges get their label; heading is what
// stands over a column, by the number of its boxes.
func Draw(boxes []Box, edges []Edge, labels int, heading func(column int) string) Chart {
	d := &drawing{boxes: boxes, edges: edges}
	d.columns()
	d.lanes()
	d.order()
	d.place()
	return d.chart(labels, heading)
}

type drawing struct {
	boxes   []Box
	edges   []Edge
	numbers []int   // Box.Column of each column
	column  [][]int // nodes, top to bottom
	nodes   []node  // the boxes first
	ways    [][]int // of each edge that goes forward: the nodes it passes
}

func (d *drawing) columns() {
	for _, b := range d.boxes {
		d.numbers = append(d.numbers, b.Column)
	}
	slices.Sort(d.numbers)
	d.numbers = slices.Compact(d.numbers)
	d.column = make([][]int, len(d.numbers))
	for i, b := range d.boxes {
		c, _ := slices.BinarySearch(d.numbers, b.Column)
		d.nodes = append(d.nodes, node{box: i, column: c, h: 2*padding + lineHeight*len(b.Lines)})
		d.column[c] = append(d.column[c], i)
	}
}

// lanes gives every curve that goes forward a place in each column it passes.
func (d *drawing) lanes() {
	d.ways = make([][]int, len(d.edges))
	for i, e := range d.edges {
		from, to := d.nodes[e.From].column, d.nodes[e.To].column
		if from >= to {
			continue
		}
		way := []int{e.From}
		for c := from + 1; c < to; c++ {
			n := len(d.nodes)
			d.nodes = append(d.nodes, node{box: -1, column: c, h: laneHeight})
			d.column[c] = append(d.column[c], n)
			way = append(way, n)
		}
		way = append(way, e.To)
		for k := range len(way) - 1 {
			d.nodes[way[k]].out = append(d.nodes[way[k]].out, way[k+1])
			d.nodes[way[k+1]].in = append(d.nodes[way[k+1]].in, way[k])
		}
		d.ways[i] = way
	}
}

// order sorts each column by the mean rank of the neighbors in the column
// before, then after, and so on, and keeps the order with the fewest crossings.
func (d *drawing) order() {
	d.ranks()
	best, fewest := d.snapshot(), d.crossings()
	for sweep := range 12 {
		forward := sweep%2 == 0
		for k := range d.column {
			c := k
			if !forward {
				c = len(d.column) - 1 - k
			}
			key := make(map[int]int)
			for _, n := range d.column[c] {
				near := d.nodes[n].in
				if !forward {
					near = d.nodes[n].out
				}
				key[n] = d.nodes[n].rank << 10
				if len(near) > 0 {
					sum := 0
					for _, m := range near {
						sum += d.nodes[m].rank
					}
					key[n] = (sum << 10) / len(near)
				}
			}
			slices.SortStableFunc(d.column[c], func(a, b int) int { return cmp.Compare(key[a], key[b]) })
			for rank, n := range d.column[c] {
				d.nodes[n].rank = rank
			}
		}
		if n := d.crossings(); n < fewest {
			best, fewest = d.snapshot(), n
		}
	}
	d.column = best
	d.ranks()
}

func (d *drawing) ranks() {
	for _, column := range d.column {
		for rank, n := range column {
			d.nodes[n].rank = rank
		}
	}
}

func (d *drawing) snapshot() [][]int {
	s := make([][]int, len(d.column))
	for c := range d.column {
		s[c] = slices.Clone(d.column[c])
	}
	return s
}

// crossings counts the pairs of curves that cross between two columns: those
// whose ends are in another order on one side than on the other.
func (d *drawing) crossings() int {
	total := 0
	for c, column := range d.column[:max(len(d.column)-1, 0)] {
		var ends [][2]int // ranks of both ends
		for _, n := range column {
			for _, m := range d.nodes[n].out {
				ends = append(ends, [2]int{d.nodes[n].rank, d.nodes[m].rank})
			}
		}
		slices.SortFunc(ends, func(a, b [2]int) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) })
		// sums is a Fenwick tree: how many curves so far end at each rank or below.
		sums := make([]int, len(d.column[c+1])+1)
		for i, e := range ends {
			below := 0
			for k := e[1] + 1; k > 0; k -= k & -k {
				below += sums[k]
			}
			total += i - below
			for k := e[1] + 1; k < len(sums); k += k & -k {
				sums[k]++
			}
		}
	}
	return total
}

// place sets the heights: as near to the neighbors as the order allows.
func (d *drawing) place() {
	for _, column := range d.column {
		y := 0
		for _, n := range column {
			d.nodes[n].y = y
			y += d.nodes[n].h + rowGap
		}
	}
	for sweep := range 16 {
		for k := range d.column {
			c := k
			if sweep%2 == 1 {
				c = len(d.column) - 1 - k
			}
			d.settle(d.column[c])
		}
	}
	top := 0
	for _, column := range d.column {
		if len(column) > 0 {
			top = min(top, d.nodes[column[0]].y)
		}
	}
	for i := range d.nodes {
		d.nodes[i].y += header + margin - top
	}
}

// settle moves the nodes of a column to the mean middle of their neighbors,
// with the least squares of what is left to want: neighbors that would overlap
// move as one block (pool adjacent violators).
func (d *drawing) settle(column []int) {
	type block struct{ sum, n, first int }
	var blocks []block
	offset := 0
	offsets := make([]int, len(column))
	for i, n := range column {
		x := &d.nodes[n]
		offsets[i] = offset
		offset += x.h + rowGap
		sum, count := 0, 0
		for _, m := range slices.Concat(x.in, x.out) {
			sum += d.nodes[m].y + d.nodes[m].h/2
			count++
		}
		want := x.y
		if count > 0 {
			want = sum/count - x.h/2
		}
		b := block{want - offsets[i], 1, i}
		for len(blocks) > 0 {
			last := blocks[len(blocks)-1]
			if last.sum*b.n <= b.sum*last.n {
				break
			}
			b = block{last.sum + b.sum, last.n + b.n, last.first}
			blocks = blocks[:len(blocks)-1]
		}
		blocks = append(blocks, b)
	}
	for k, b := range blocks {
		end := len(column)
		if k+1 < len(blocks) {
			end = blocks[k+1].first
		}
		for i := b.first; i < end; i++ {
			d.nodes[column[i]].y = b.sum/b.n + offsets[i]
		}
	}
}

func left(column int) int { return margin + column*(boxWidth+columnGap) }

// An end is where a curve meets a box.
type end struct{ edge, other int } // other: the middle of the far end

// ports spreads the curves over the sides of the boxes, by where they lead.
func (d *drawing) ports() (from, to []int) {
	from, to = make([]int, len(d.edges)), make([]int, len(d.edges))
	out, in := make(map[int][]end), make(map[int][]end)
	middle := func(n int) int { return d.nodes[n].y + d.nodes[n].h/2 }
	for i, way := range d.ways {
		if way == nil {
			continue
		}
		last := len(way) - 1
		out[way[0]] = append(out[way[0]], end{i, middle(way[1])})
		in[way[last]] = append(in[way[last]], end{i, middle(way[last-1])})
	}
	spread := func(ends map[int][]end, y []int) {
		for n, list := range ends {
			slices.SortStableFunc(list, func(a, b end) int { return cmp.Or(cmp.Compare(a.other, b.other), cmp.Compare(a.edge, b.edge)) })
			x := &d.nodes[n]
			for k, e := range list {
				y[e.edge] = x.y + x.h*(k+1)/(len(list)+1)
			}
		}
	}
	spread(out, from)
	spread(in, to)
	return from, to
}

// width is that of a curve, in tenths of a pixel: 1 to 6 pixels, in steps of
// the logarithm.
func (d *drawing) width(e *Edge) int {
	least, most := 64, 0
	for i := range d.edges {
		n := bits.Len64(d.edges[i].Weight)
		least, most = min(least, n), max(most, n)
	}
	if most == least {
		return 25
	}
	return 10 + 50*(bits.Len64(e.Weight)-least)/(most-least)
}

// A label is a text beside a curve.
type label struct {
	x, y int
	text string
}

func (d *drawing) chart(labels int, heading func(int) string) Chart {
	var b strings.Builder
	bottom := 0
	for _, n := range d.nodes {
		bottom = max(bottom, n.y+n.h)
	}
	heaviest := make([]int, len(d.edges))
	for i := range heaviest {
		heaviest[i] = i
	}
	slices.SortStableFunc(heaviest, func(i, j int) int { return cmp.Compare(d.edges[j].Weight, d.edges[i].Weight) })
	labeled := make(map[int]bool)
	for _, i := range heaviest[:min(labels, len(heaviest))] {
		labeled[i] = d.edges[i].Label != ""
	}
	b.WriteString(`<g id="flow">`)
	for k, n := range d.numbers {
		b.WriteString(`<text class="column" x="` + strconv.Itoa(left(k)) + `" y="` + strconv.Itoa(margin+6) + `">` + html.EscapeString(heading(n)) + "</text>\n")
	}
	texts := make(map[int][]label) // by column
	from, to := d.ports()
	// The heaviest come last, on top.
	for _, i := range slices.Backward(heaviest) {
		e := &d.edges[i]
		path, x, y := d.path(i, from[i], to[i], &bottom)
		class := "edge"
		if d.ways[i] == nil {
			class = "edge back"
		}
		w := d.width(e)
		if d.ways[i] == nil {
			w = min(w, 25)
		}
		b.WriteString(`<path class="` + class + `" d="` + path + `" stroke-width="` + strconv.Itoa(w/10) + "." + strconv.Itoa(w%10) + `"><title>` + html.EscapeString(e.Title) + "</title></path>\n")
		if labeled[i] {
			c := (x - margin) / (boxWidth + columnGap)
			texts[c] = append(texts[c], label{x, y, e.Label})
		}
	}
	for i := range d.boxes {
		d.box(&b, &d.boxes[i], left(d.nodes[i].column), d.nodes[i].y, d.nodes[i].h)
	}
	for c := range d.column {
		list := texts[c]
		slices.SortFunc(list, func(a, b label) int {
			return cmp.Or(cmp.Compare(a.y, b.y), cmp.Compare(a.x, b.x), cmp.Compare(a.text, b.text))
		})
		y := 0
		for _, l := range list {
			if y > 0 {
				l.y = max(l.y, y+12)
			}
			y = l.y
			b.WriteString(`<text class="amount" x="` + strconv.Itoa(l.x) + `" y="` + strconv.Itoa(l.y+4) + `">` + html.EscapeString(l.text) + "</text>\n")
			bottom = max(bottom, l.y+4)
		}
	}
	b.WriteString("</g>")
	c := Chart{SVG: b.String(), Width: left(max(len(d.column), 1)) - columnGap/3, Height: bottom + margin, Numbers: d.numbers}
	for k := range d.column {
		c.Columns = append(c.Columns, left(k))
	}
	return c
}

// path returns a curve and where its label belongs.
func (d *drawing) path(i, from, to int, bottom *int) (path string, x, y int) {
	var b strings.Builder
	point := func(before string, numbers ...int) {
		b.WriteString(before)
		for k, n := range numbers {
			if k > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(strconv.Itoa(n))
		}
	}
	e := &d.edges[i]
	a, z := &d.nodes[e.From], &d.nodes[e.To]
	if way := d.ways[i]; way != nil {
		x0, y0 := left(a.column)+boxWidth, from
		point("M", x0, y0)
		for k, n := range way[1:] {
			m := &d.nodes[n]
			x1, y1 := left(m.column), m.y+m.h/2
			if k == len(way)-2 {
				y1 = to
				x1 -= 8 // the head of the arrow
			}
			bend := columnGap / 2
			point("C", x0+bend, y0, x1-bend, y1, x1, y1)
			if k == 0 {
				x, y = (x0+x1)/2, (y0+y1)/2
			}
			x0, y0 = x1, y1
			if m.box < 0 {
				x0 += boxWidth
				point("H", x0)
			}
		}
		return b.String(), x, y
	}
	if a.column == z.column {
		x0, y0, y1 := left(a.column)+boxWidth, a.y+a.h/2, z.y+z.h/2
		point("M", x0, y0)
		point("C", x0+columnGap/2, y0, x0+columnGap/2, y1, x0+8, y1)
		return b.String(), x0 + columnGap/3, (y0 + y1) / 2
	}
	// Back: below everything between.
	low := max(a.y+a.h, z.y+z.h)
	for n := range d.nodes {
		if m := &d.nodes[n]; m.column >= z.column && m.column <= a.column && m.box >= 0 {
			low = max(low, m.y+m.h)
		}
	}
	low += 14 + 5*(i%5)
	*bottom = max(*bottom, low+4)
	x0, x1 := left(a.column)+boxWidth*2/3, left(z.column)+boxWidth/3
	point("M", x0, a.y+a.h)
	point("C", x0, low, x0, low, x0-30, low)
	point("H", min(x1+30, x0-30))
	point("C", x1, low, x1, low, x1, z.y+z.h+8)
	return b.String(), (x0 + x1) / 2, low
}

func (d *drawing) box(b *strings.Builder, x *Box, left, top, h int) {
	at := func(name string, v int) string { return " " + name + `="` + strconv.Itoa(v) + `"` }
	b.WriteString(`<g class="box ` + html.EscapeString(x.Class) + `"><title>` + html.EscapeString(x.Title) + `</title><rect` +
		at("x", left) + at("y", top) + at("width", boxWidth) + at("height", h) + at("rx", 7) + "/>")
	if x.Hatched {
		b.WriteString(`<rect class="hatch"` + at("x", left) + at("y", top) + at("width", boxWidth) + at("height", h) + at("rx", 7) + "/>")
	}
	y := top + padding + 11
	for i, l := range x.Lines {
		indent := 0
		if i == 0 && icons[x.Icon] != "" {
			b.WriteString(`<use href="#i-` + x.Icon + `"` + at("x", left+padding) + at("y", top+padding-1) + at("width", 14) + at("height", 14) + "/>")
			indent = 19
		}
		b.WriteString(`<text class="` + html.EscapeString(l.Class) + `"` + at("x", left+padding+indent) + at("y", y) + `>` + html.EscapeString(fit(l.Text, textRunes-indent/6)) + "</text>")
		y += lineHeight
	}
	b.WriteString("</g>\n")
}

// fit cuts a text to a number of letters; wide ones count twice.
func fit(s string, most int) string {
	n, cut := 0, 0
	for i, r := range s {
		w := 1
		if k := width.LookupRune(r).Kind(); k == width.EastAsianWide || k == width.EastAsianFullwidth {
			w = 2
		}
		if n+w > most {
			return strings.TrimRight(s[:cut], " ") + "…"
		}
		n += w
		if n+1 <= most {
			cut = i + len(string(r))
		}
	}
	return s
}

// icons are drawn in a square of 16, in the color of the text.
var icons = map[string]string{
	"flag":    `<path d="M3 15V1.5M3 2h9l-2 3 2 3H3"/>`,
	"wallet":  `<path d="M2 4.5h12v9H2zM2 4.5 11 2v2.5M10 9h4"/>`,
	"coins":   `<circle cx="6" cy="6" r="4"/><path d="M10 4.2a4 4 0 1 1-5.6 5.6"/>`,
	"service": `<path d="M1.5 6 8 2l6.5 4zM3 6v7M8 6v7M13 6v7M1.5 14h13"/>`,
	"door":    `<path d="M7 2h7v12H7M1 8h8M6 5l3 3-3 3"/>`,
	"hub":     `<circle cx="8" cy="8" r="2.5"/><path d="M8 1v4M8 11v4M1 8h4M11 8h4M3 3l3 3M10 10l3 3M13 3l-3 3M6 10l-3 3"/>`,
	"stack":   `<path d="M1.5 5.5h9v9h-9zM4 3h9v9M6.5.8h8.7v8.7"/>`,
	"unknown": `<path d="M5 5.5a3 3 0 1 1 4.2 2.8C8.3 8.7 8 9.2 8 10.5M8 13v1"/>`,
	"swap":    `<path d="M2 5h11M10 2l3 3-3 3M14 11H3M6 8l-3 3 3 3"/>`,
	"twins":   `<path d="M1.5 3h6v10h-6zM8.5 3h6v10h-6zM4.5 6v4M11.5 6v4"/>`,
}

// Defs are what charts refer to: the icons, the hatching and the heads of the
// arrows. A page holds them once, in an SVG that is not hidden.
func Defs() string {
	var b strings.Builder
	b.WriteString(`<defs>`)
	names := make([]string, 0, len(icons))
	for n := range icons {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		b.WriteString(`<symbol id="i-` + n + `" viewBox="0 0 16 16"><g class="icon">` + icons[n] + `</g></symbol>`)
	}
	b.WriteString(`<pattern id="hatching" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><path class="stripe" d="M0 0V7"/></pattern>` +
		`<marker id="head" viewBox="0 0 10 10" refX="2" refY="5" markerWidth="10" markerHeight="10" markerUnits="userSpaceOnUse" orient="auto"><path class="head" d="M0 0 10 5 0 10z"/></marker></defs>`)
	return b.String()
}

// Icon returns an icon as an SVG element of its own, for a legend. It needs
// [Defs] in the same page.
func Icon(name string) string {
	return `<svg class="sign" viewBox="0 0 16 16" aria-hidden="true"><use href="#i-` + html.EscapeString(name) + `"/></svg>`
}
