package chart

import (
	"encoding/xml"
	"fmt"
	"io"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func heading(column int) string { return fmt.Sprint("column ", column) }

// parse reads the SVG with a real parser and returns its texts.
func parse(t *testing.T, c Chart) (texts []string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(`<svg>` + Defs() + Icon("flag") + c.SVG + `</svg>`))
	for {
		tok, err := d.Token()
		if err == io.EOF {
			return texts
		}
		if err != nil {
			t.Fatalf("the drawing is no XML: %v", err)
		}
		switch tok := tok.(type) {
		case xml.CharData:
			if s := strings.TrimSpace(string(tok)); s != "" {
				texts = append(texts, s)
			}
		case xml.StartElement:
			for _, a := range tok.Attr {
				if a.Name.Local == "style" || strings.HasPrefix(a.Name.Local, "on") || a.Name.Local == "href" && !strings.HasPrefix(a.Value, "#") {
					t.Errorf("%s has %s=%q", tok.Name.Local, a.Name.Local, a.Value)
				}
			}
		case xml.Directive, xml.ProcInst, xml.Comment:
			t.Errorf("the drawing has a %T", tok)
		}
	}
}

// TestDraw draws a small chart: columns from left to right, one curve forward
// over a column between, one back and one inside a column.
func TestDraw(t *testing.T) {
	boxes := []Box{
		{Column: 0, Class: "seed", Icon: "flag", Lines: []Line{{"head", "A"}}, Title: "a"},
		{Column: 1, Class: "wallet", Lines: []Line{{"head", "B"}}, Title: "b"},
		{Column: 1, Class: "wallet", Lines: []Line{{"head", "C"}}, Title: "c", Hatched: true},
		{Column: 7, Class: "exit", Lines: []Line{{"head", "D"}, {"sum", "$5"}}, Title: "d"},
	}
	edges := []Edge{
		{0, 1, 1000, "$10", "a to b"}, {0, 3, 100_000, "$1k", "a to d"}, {1, 2, 10, "$0", "b to c"}, {2, 0, 500, "$5", "c to a"}, {1, 3, 1, "", "b to d"},
	}
	c := Draw(boxes, edges, 3, heading)
	texts := parse(t, c)
	for _, want := range []string{"column 0", "column 1", "column 7", "A", "B", "C", "D", "$5", "$10", "$1k", "a to b", "c to a"} {
		if !slices.Contains(texts, want) {
			t.Errorf("the drawing does not say %q: %q", want, texts)
		}
	}
	if slices.Contains(texts, "$0") {
		t.Error("a light edge has a label")
	}
	if n := strings.Count(c.SVG, `class="edge back"`); n != 2 {
		t.Errorf("%d edges go back or stay in their column, want 2", n)
	}
	if n := strings.Count(c.SVG, `class="hatch"`); n != 1 {
		t.Errorf("%d boxes are hatched", n)
	}
	if len(c.Columns) != 3 || !slices.Equal(c.Numbers, []int{0, 1, 7}) || !slices.IsSorted(c.Columns) || c.Columns[2] >= c.Width {
		t.Errorf("the columns are at %v of %d, by number %v", c.Columns, c.Width, c.Numbers)
	}
	widths := make(map[string]float64)
	for _, m := range regexp.MustCompile(`stroke-width="([0-9.]+)"><title>([^<]*)<`).FindAllStringSubmatch(c.SVG, -1) {
		widths[m[2]], _ = strconv.ParseFloat(m[1], 64)
	}
	if !(widths["a to d"] > widths["a to b"] && widths["a to b"] > widths["b to d"]) || widths["a to d"] != 6 || widths["b to d"] != 1 {
		t.Errorf("the widths are %v", widths)
	}
}

func TestEmpty(t *testing.T) {
	if c := Draw(nil, nil, 20, heading); c.Width <= 0 || c.Height <= 0 || len(parse(t, c)) != 0 {
		t.Errorf("nothing is drawn as %+v", c)
	}
}

// TestHostile puts markup into every text.
func TestHostile(t *testing.T) {
	evil := `"><script>alert(1)</script>&'` + "`"
	c := Draw([]Box{{Class: evil, Icon: evil, Lines: []Line{{evil, evil}}, Title: evil}, {Column: 1, Lines: []Line{{evil, evil}}}},
		[]Edge{{0, 1, 5, evil, evil}}, 5, func(int) string { return evil })
	n := 0
	for _, s := range parse(t, c) {
		if s == evil {
			n++
		}
	}
	if n < 4 || strings.Contains(c.SVG, "<script") {
		t.Errorf("%d texts are whole: %s", n, c.SVG)
	}
	if strings.Contains(Icon(evil), "<script") {
		t.Error("an icon has markup")
	}
}

// TestRandom draws random charts: boxes never overlap or leave the drawing,
// labels of one gap never cover each other, and the same chart is drawn the same.
func TestRandom(t *testing.T) {
	number := regexp.MustCompile(`<rect x="(-?\d+)" y="(-?\d+)" width="(\d+)" height="(\d+)" rx`)
	amount := regexp.MustCompile(`class="amount" x="(\d+)" y="(\d+)"`)
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 0))
		var boxes []Box
		for range 1 + rng.IntN(60) {
			b := Box{Column: rng.IntN(1 + rng.IntN(15)), Class: "wallet"}
			for range 1 + rng.IntN(4) {
				b.Lines = append(b.Lines, Line{"sum", "text"})
			}
			boxes = append(boxes, b)
		}
		var edges []Edge
		for range rng.IntN(120) {
			e := Edge{From: rng.IntN(len(boxes)), To: rng.IntN(len(boxes)), Weight: rng.Uint64() >> rng.IntN(64), Label: "$1"}
			if e.From != e.To {
				edges = append(edges, e)
			}
		}
		c := Draw(boxes, edges, 20, heading)
		parse(t, c)
		type rect struct{ x, y, w, h int }
		var rects []rect
		for _, m := range number.FindAllStringSubmatch(c.SVG, -1) {
			var q rect
			for i, p := range []*int{&q.x, &q.y, &q.w, &q.h} {
				*p, _ = strconv.Atoi(m[1+i])
			}
			if q.x < 0 || q.y < header || q.x+q.w > c.Width || q.y+q.h > c.Height {
				t.Fatalf("seed %d: a box is at %+v of %d by %d", seed, q, c.Width, c.Height)
			}
			for _, o := range rects {
				if q.x < o.x+o.w && o.x < q.x+q.w && q.y < o.y+o.h && o.y < q.y+q.h {
					t.Fatalf("seed %d: boxes overlap: %+v and %+v", seed, o, q)
				}
			}
			rects = append(rects, q)
		}
		if len(rects) != len(boxes) {
			t.Fatalf("seed %d: %d boxes, want %d", seed, len(rects), len(boxes))
		}
		gap := make(map[int][]int)
		for _, m := range amount.FindAllStringSubmatch(c.SVG, -1) {
			x, _ := strconv.Atoi(m[1])
			y, _ := strconv.Atoi(m[2])
			gap[(x-margin)/(boxWidth+columnGap)] = append(gap[(x-margin)/(boxWidth+columnGap)], y)
		}
		for _, ys := range gap {
			slices.Sort(ys)
			for i := range len(ys) - 1 {
				if ys[i+1]-ys[i] < 12 {
					t.Fatalf("seed %d: labels at %d and %d", seed, ys[i], ys[i+1])
				}
			}
		}
		if again := Draw(boxes, edges, 20, heading); again.SVG != c.SVG {
			t.Fatalf("seed %d: two drawings differ", seed)
		}
	}
}

// TestCrossings wants the order to undo a needless tangle.
func TestCrossings(t *testing.T) {
	var boxes []Box
	var edges []Edge
	const n = 8
	for c := range 3 {
		for range n {
			boxes = append(boxes, Box{Column: c, Lines: []Line{{"head", "x"}}})
		}
	}
	for i := range n {
		edges = append(edges, Edge{From: i, To: n + n - 1 - i, Weight: 1}, Edge{From: n + n - 1 - i, To: 2*n + (i*3)%n, Weight: 1})
	}
	d := &drawing{boxes: boxes, edges: edges}
	d.columns()
	d.lanes()
	d.ranks()
	before := d.crossings()
	d.order()
	if after := d.crossings(); after != 0 || before == 0 {
		t.Errorf("%d curves cross, %d before", after, before)
	}
}

func TestFit(t *testing.T) {
	for _, tt := range []struct {
		s    string
		most int
		want string
	}{
		{"", 5, ""}, {"abcde", 5, "abcde"}, {"abcdef", 5, "abcd…"}, {"ab cdef", 4, "ab…"}, {"0x12…34", 7, "0x12…34"}, {"日本語", 6, "日本語"}, {"日本語", 5, "日本…"}, {"日本語", 4, "日…"},
	} {
		if got := fit(tt.s, tt.most); got != tt.want {
			t.Errorf("fit(%q, %d) = %q, want %q", tt.s, tt.most, got, tt.want)
		}
	}
}
