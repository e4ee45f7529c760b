package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
)

// corpus is what somebody puts where a name belongs (H8).
var corpus = []struct{ name, text string }{
	{"script", `<script>alert(1)</script>`},
	{"end of script", `</script><script>fetch("https://evil.example/")</script>`},
	{"end of style", `</style><img src=x onerror=alert(1)>`},
	{"end of title", `</title><svg onload=alert(1)>`},
	{"end of text area", `</pre></textarea><iframe src="javascript:alert(1)">`},
	{"attribute", `" onload="alert(1)" x="`},
	{"attribute, single quotes", `' onmouseover='alert(1)`},
	{"script address", `javascript:alert(1)`},
	{"SVG", `<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`},
	{"CSS", `}</style><style>*{background:url(https://evil.example/)}`},
	{"template", `{{.}}{{template "page"}}${alert(1)}`},
	{"markdown", `[click](javascript:alert(1)) ![x](https://evil.example/x.png)`},
	{"entity", `&lt;script&gt;&amp;&#x202e;`},
	{"XML entity", `<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>&e;`},
	{"CDATA", `]]><script>alert(1)</script><![CDATA[`},
	{"comment", `--><script>alert(1)</script><!--`},
	{"terminal", "\x1b[2J\x1b]0;evil\x07\x9b31mred"},
	{"NUL", "a\x00b"},
	{"controls", "a\x01\x08\x0b\x0c\x0e\x1f\x7f\u0080\u009fb"},
	{"lines", "a\nb\r\nc\rd\u2028e\u2029f\tg\u0085h"},
	{"bidi", "abc\u202exe.cod\u202c \u2066x\u2069 \u200f\u061c"},
	{"zero width", "Bi\u200bna\u200cn\u200dce\ufeff\u2060\u00ad"},
	{"tags", "a\U000e0041\U000e0042\ufff9b"},
	{"combining", "a" + strings.Repeat("\u0301\u0489", 200)},
	{"invalid UTF-8", "a\xff\xfe\xc0\x80\xed\xa0\x80b"},
	{"no characters", "a\ufffe\uffff\U0001ffff\ufdd0b"},
	{"private use", "a\ue000\U000f0000b"},
	{"only invisible", "\u200b\u200b\u202e"},
	{"right to left", "שלום 123 مرحبا"},
	{"homoglyphs", "Віnаnсе"},
	{"full width", "＝ＳＵＭ（１）"},
	{"formula", `=HYPERLINK("https://evil.example/","click")`},
	{"formula, plus", `+1+cmd|' /C calc'!A0`},
	{"formula, minus", `-2+3+cmd|' /C calc'!A0`},
	{"formula, at", `@SUM(1)`},
	{"formula, tab", "\t=1+1"},
	{"formula, return", "\r=1+1"},
	{"formula, quoted", `"=1+1`},
	{"CSV", `a","b` + "\n" + `=1+1,"c`},
	{"semicolon", `a;=1+1`},
	{"DOT", `a" ]; evil [label="\`},
	{"DOT record", `{a|<b>c}\N\G\n\l`},
	{"DOT end", "a\\"},
	{"Cypher", `') DETACH DELETE n //`},
	{"YAML", "a: !!python/object/apply:os.system ['x']\n- b"},
	{"LaTeX", `\input{/etc/passwd}$\write18{x}$`},
	{"path", `../../../etc/passwd`},
	{"format", `%s%n%x%!d(MISSING)`},
	{"long", strings.Repeat("A", 1<<20)},
	{"long, wide", strings.Repeat("𝔘", 1<<18)},
	{"long, combining", strings.Repeat("a\u0301", 1<<19)},
	{"long, spaces", "a" + strings.Repeat(" ", 1<<20) + "b"},
}

// texts returns every string of a report with its rule, by its path.
func texts(r *Report) map[string][]textAt {
	out := make(map[string][]textAt)
	var visit func(v reflect.Value, path string, is string)
	visit = func(v reflect.Value, path, is string) {
		switch v.Kind() {
		case reflect.String:
			rule, err := parseRule(is)
			if err != nil {
				panic(err)
			}
			out[path] = append(out[path], textAt{v, rule})
		case reflect.Struct:
			for f, x := range v.Fields() {
				visit(x, path+"."+f.Name, f.Tag.Get("is"))
			}
		case reflect.Slice:
			for i := range v.Len() {
				visit(v.Index(i), path, is)
			}
		}
	}
	visit(reflect.ValueOf(r).Elem(), "Report", "")
	return out
}

type textAt struct {
	v    reflect.Value
	rule rule
}

// TestCorpus puts every hostile text into every field for text at once, makes
// the bundle, and reads each file with a parser of its format.
func TestCorpus(t *testing.T) {
	for _, h := range corpus {
		t.Run(h.name, func(t *testing.T) {
			r := hostile(t, h.text)
			files, err := Bundle(t.Context(), r, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				if n := len(f.Data); n > 4<<20 {
					t.Errorf("%s has %d bytes", f.Name, n)
				}
				read, ok := readers[f.Name]
				if !ok {
					t.Fatalf("no reader for %s", f.Name)
				}
				if err := read(r, f.Data); err != nil {
					t.Errorf("%s: %v", f.Name, err)
				}
				if f.Name != "transfers.parquet" {
					if err := safe(string(f.Data), true); err != nil {
						t.Errorf("%s: %v", f.Name, err)
					}
				}
			}
			validate(t, files[slices.IndexFunc(files, func(f NamedFile) bool { return f.Name == "report.json" })].Data)
			var b bytes.Buffer
			if err := Summary(&b, r, "dir"); err != nil {
				t.Fatal(err)
			}
			if err := safe(b.String(), true); err != nil || strings.ContainsAny(b.String(), "שم") {
				t.Errorf("the summary: %v: %q", err, b.String())
			}
		})
	}
}

// hostile is a report with one text in every field for text.
func hostile(t *testing.T, text string) *Report {
	t.Helper()
	r := small(t)
	n := 0
	for _, list := range texts(r) {
		for _, x := range list {
			if x.rule.name == "text" {
				x.v.SetString(text)
				n++
			}
		}
	}
	if n < 100 {
		t.Fatalf("only %d fields take text", n)
	}
	return r
}

// TestOnlyWhatItSays puts hostile text into each other field, one at a time:
// there is no bundle, and the error says which.
func TestOnlyWhatItSays(t *testing.T) {
	r := small(t)
	fields := 0
	for path, list := range texts(r) {
		if list[0].rule.name == "text" {
			continue
		}
		fields++
		x := list[len(list)-1]
		was := x.v.String()
		for _, h := range corpus[:40] {
			x.v.SetString(h.text)
			if files, err := Bundle(t.Context(), r, nil); err == nil || files != nil {
				t.Errorf("%s may be %q", path, h.text)
			} else if n := len(err.Error()); n > 400 || safe(err.Error(), false) != nil {
				t.Errorf("the error for %s is %.400q", path, err)
			}
		}
		x.v.SetString(was)
	}
	if fields < 60 {
		t.Errorf("only %d fields were tried", fields)
	}
	if _, err := Bundle(t.Context(), r, nil); err != nil {
		t.Errorf("as it was: %v", err)
	}
}

// safe reports a character that a text for people must not have.
func safe(s string, lines bool) error {
	if !utf8.ValidString(s) {
		return errors.New("invalid UTF-8")
	}
	marks := 0
	for _, r := range s {
		switch {
		case r == '\n' && lines:
		case unicode.In(r, unicode.C, unicode.Zl, unicode.Zp), r == '\ufffe', r == '\uffff':
			return fmt.Errorf("has %U", r)
		}
		if unicode.Is(unicode.M, r) {
			if marks++; marks > 2 {
				return errors.New("has more than two combining marks in a row")
			}
		} else {
			marks = 0
		}
	}
	return nil
}

// readers read each file of a bundle back and compare it with the report.
var readers = map[string]func(*Report, []byte) error{
	"report.json": func(r *Report, b []byte) error {
		got := new(Report)
		if err := decode(b, got); err != nil {
			return err
		}
		want, err1 := json.Marshal(r)
		again, err2 := json.Marshal(got)
		if err1 != nil || err2 != nil || !bytes.Equal(want, again) {
			return errors.New("is not the report")
		}
		for path, list := range texts(got) {
			for _, x := range list {
				if err := safe(x.v.String(), false); err != nil {
					return fmt.Errorf("%s %w", path, err)
				}
			}
		}
		return nil
	},
	"manifest.json": func(r *Report, b []byte) error {
		var m Manifest
		if err := decode(b, &m); err != nil {
			return err
		}
		if m.Tool != r.Tool || m.Case != r.Case || !reflect.DeepEqual(m.Chains, r.Chains) {
			return errors.New("is not that of the report")
		}
		return nil
	},
	"transfers.csv": cells(func(r *Report) (int, []string) {
		var want []string
		for _, t := range r.Transfers {
			want = append(want, t.Symbol)
		}
		return slices.Index(header("transfers.csv"), "symbol"), want
	}),
	"wallets.csv": cells(func(r *Report) (int, []string) {
		var want []string
		for i := range r.Wallets {
			want = append(want, nodeName(&r.Wallets[i]))
		}
		return slices.Index(header("wallets.csv"), "label"), want
	}),
	"exits.csv": cells(func(r *Report) (int, []string) {
		var want []string
		for _, x := range r.Exits {
			want = append(want, x.Service)
		}
		return slices.Index(header("exits.csv"), "service"), want
	}),
	"clusters.csv": cells(func(r *Report) (int, []string) {
		var want []string
		for _, c := range r.Clusters {
			for _, l := range c.Links {
				want = append(want, l.Detail)
			}
		}
		return slices.Index(header("clusters.csv"), "detail"), want
	}),
	"tokens.csv": cells(func(r *Report) (int, []string) {
		var want []string
		for _, t := range r.Tokens {
			want = append(want, t.Name)
		}
		return slices.Index(header("tokens.csv"), "name"), want
	}),
	"uncounted.csv": cells(func(r *Report) (int, []string) {
		var want []string
		for _, u := range r.Uncounted {
			for _, s := range u.Samples {
				want = append(want, s.Claim)
			}
		}
		return slices.Index(header("uncounted.csv"), "sample_claim"), want
	}),
	"graph.graphml": readGraphML,
	"graph.gexf":    readGEXF,
	"graph.dot":     readDOT,
	"report.html":   readHTML,
	"transfers.parquet": func(r *Report, b []byte) error {
		rows, err := parquet.Read[parquetRow](bytes.NewReader(b), int64(len(b)))
		if err != nil || len(rows) != len(r.Transfers) {
			return fmt.Errorf("%d rows, %v", len(rows), err)
		}
		for i, t := range r.Transfers {
			row := &rows[i]
			if row.Symbol != t.Symbol || row.PriceSource != t.PriceSource || fmt.Sprintf("0x%x", row.Tx) != t.Tx || fmt.Sprintf("0x%x", row.From) != t.From ||
				row.Traced != t.Traced || row.Block != int64(t.Block) || row.Position != t.Position {
				return fmt.Errorf("row %d is %+v, the transfer %+v", i, row, t)
			}
			if err := errors.Join(safe(row.Symbol, false), safe(row.PriceSource, false)); err != nil {
				return err
			}
		}
		return nil
	},
}

func header(name string) []string {
	for _, w := range writers() {
		if w.name == name {
			b, _ := w.write(new(Report))
			head, _ := csv.NewReader(bytes.NewReader(b)).Read()
			return head
		}
	}
	return nil
}

// cells reads a CSV file: every row has every column, no cell is a formula,
// and the texts in one column are those of the report.
func cells(column func(*Report) (int, []string)) func(*Report, []byte) error {
	number := regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?$`)
	return func(r *Report, b []byte) error {
		rows, err := csv.NewReader(bytes.NewReader(b)).ReadAll() // which wants rows of one length
		if err != nil {
			return err
		}
		at, want := column(r)
		if len(rows) != len(want)+1 || len(want) == 0 {
			return fmt.Errorf("has %d rows, want %d", len(rows)-1, len(want))
		}
		for i, row := range rows[1:] {
			for _, c := range row {
				if c != "" && strings.ContainsRune("=+-@\t\r＝＋－＠", []rune(c)[0]) && !number.MatchString(c) {
					return fmt.Errorf("the cell %.80q is a formula", c)
				}
				if err := safe(c, false); err != nil {
					return err
				}
			}
			if row[at] != want[i] && row[at] != "'"+want[i] {
				return fmt.Errorf("the cell is %.80q, want %.80q", row[at], want[i])
			}
		}
		return nil
	}
}

// elements reads XML strictly: no directives, no processing instructions but
// the first, and only the elements and attributes that are expected.
func elements(b []byte, allowed map[string]string, each func(xml.StartElement, string)) error {
	d := xml.NewDecoder(bytes.NewReader(b))
	type open struct {
		e    xml.StartElement
		text strings.Builder
	}
	var stack []*open
	for first := true; ; first = false {
		tok, err := d.Token()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			attributes, ok := allowed[tok.Name.Local]
			if !ok {
				return fmt.Errorf("has the element %s", tok.Name.Local)
			}
			for _, a := range tok.Attr {
				if !slices.Contains(strings.Fields(attributes), a.Name.Local) {
					return fmt.Errorf("has the attribute %s of %s", a.Name.Local, tok.Name.Local)
				}
				if err := safe(a.Value, false); err != nil {
					return err
				}
			}
			stack = append(stack, &open{e: tok.Copy()})
		case xml.EndElement:
			top := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			each(top.e, top.text.String())
		case xml.CharData:
			if len(stack) > 0 {
				stack[len(stack)-1].text.Write(tok)
			}
		case xml.ProcInst:
			if !first {
				return errors.New("has a processing instruction")
			}
		default:
			return fmt.Errorf("has a %T", tok)
		}
	}
}

func attr(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// wantGraph compares what a graph file says of its nodes and edges.
func wantGraph(r *Report, nodes, edges, names map[string]string, n int) error {
	count := 0
	for range r.edges {
		count++
	}
	if len(nodes) != len(r.Wallets) || n != count {
		return fmt.Errorf("has %d nodes and %d edges, want %d and %d", len(nodes), n, len(r.Wallets), count)
	}
	for i := range r.Wallets {
		w := &r.Wallets[i]
		if got, want := names[w.Address], strings.Map(xmlRune, nodeName(w)); got != want {
			return fmt.Errorf("the name of %s is %.80q, want %.80q", w.Address, got, want)
		}
	}
	for to, from := range edges {
		if nodes[from] == "" || nodes[strings.Fields(to)[0]] == "" {
			return errors.New("an edge leads to no node")
		}
	}
	return nil
}

// xmlRune is what XML can say of a character.
func xmlRune(r rune) rune {
	if r == '\ufffe' || r == '\uffff' {
		return '\ufffd'
	}
	return r
}

func readGraphML(r *Report, b []byte) error {
	keys := make(map[string]string) // id → for
	nodes, edges, names := make(map[string]string), make(map[string]string), make(map[string]string)
	data := make(map[string]string)
	var bad error
	n := 0
	err := elements(b, map[string]string{
		"graphml": "xmlns", "key": "id for attr.name attr.type", "graph": "id edgedefault",
		"node": "id", "edge": "id source target", "data": "key",
	}, func(e xml.StartElement, text string) {
		switch e.Name.Local {
		case "key":
			keys[attr(e, "id")] = attr(e, "for")
		case "data":
			k := attr(e, "key")
			if keys[k] == "" {
				bad = fmt.Errorf("the key %q is not declared", k)
			}
			data[k] = text
			bad = errors.Join(bad, safe(text, false))
		case "node", "edge":
			for k := range data {
				if keys[k] != e.Name.Local {
					bad = fmt.Errorf("%s of %s stands at a %s", k, keys[k], e.Name.Local)
				}
			}
			if e.Name.Local == "node" {
				nodes[attr(e, "id")], names[attr(e, "id")] = "yes", data["n.name"]
			} else {
				n++
				edges[attr(e, "target")+" "+attr(e, "id")] = attr(e, "source")
			}
			data = make(map[string]string)
		}
	})
	if err := errors.Join(err, bad); err != nil {
		return err
	}
	return wantGraph(r, nodes, edges, names, n)
}

func readGEXF(r *Report, b []byte) error {
	columns := make(map[string]bool)
	nodes, edges, names := make(map[string]string), make(map[string]string), make(map[string]string)
	data := make(map[string]string)
	var bad error
	n := 0
	err := elements(b, map[string]string{
		"gexf": "xmlns version", "meta": "", "creator": "", "description": "", "graph": "mode defaultedgetype idtype",
		"attributes": "class", "attribute": "id title type", "nodes": "", "edges": "", "attvalues": "", "attvalue": "for value",
		"node": "id label", "edge": "id source target weight",
	}, func(e xml.StartElement, _ string) {
		switch e.Name.Local {
		case "attribute":
			columns[attr(e, "id")] = true
		case "attvalue":
			if !columns[attr(e, "for")] {
				bad = fmt.Errorf("the attribute %q is not declared", attr(e, "for"))
			}
			data[attr(e, "for")] = attr(e, "value")
		case "node":
			nodes[attr(e, "id")], names[attr(e, "id")] = "yes", data["name"]
			data = make(map[string]string)
		case "edge":
			n++
			edges[attr(e, "target")+" "+attr(e, "id")] = attr(e, "source")
			data = make(map[string]string)
		}
	})
	if err := errors.Join(err, bad); err != nil {
		return err
	}
	return wantGraph(r, nodes, edges, names, n)
}

func readDOT(r *Report, b []byte) error {
	const quoted = `"((?:[^"\\]|\\["\\])*)"`
	line := regexp.MustCompile(`^  ` + quoted + `(?: -> ` + quoted + `)? \[label=` + quoted + `\];$`)
	text, ok := strings.CutPrefix(string(b), "digraph money {\n  rankdir=LR;\n  node [shape=box];\n")
	text, ok2 := strings.CutSuffix(text, "}\n")
	if !ok || !ok2 {
		return errors.New("does not begin or end as it should")
	}
	nodes, edges, names := make(map[string]string), make(map[string]string), make(map[string]string)
	n := 0
	for l := range strings.Lines(text) {
		m := line.FindStringSubmatch(strings.TrimSuffix(l, "\n"))
		if m == nil {
			return fmt.Errorf("has the line %.100q", l)
		}
		label := strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(m[3])
		if err := safe(label, false); err != nil {
			return err
		}
		if m[2] == "" {
			nodes[m[1]] = "yes"
			name, _, _ := strings.Cut(label, m[1])
			names[m[1]] = strings.Map(xmlRune, strings.TrimSuffix(name, " "))
			continue
		}
		n++
		edges[m[2]+" "+fmt.Sprint(n)] = m[1]
	}
	return wantGraph(r, nodes, edges, names, n)
}

// readHTML finds every tag of the page. What a browser makes of it is tried in
// a browser; see TestChromium.
func readHTML(_ *Report, b []byte) error {
	known := strings.Fields(`!DOCTYPE html head meta link title style body a svg defs symbol g path circle pattern marker use text rect div header strong span main h1 h2 h3 bdi p ul ol li b
		nav code table caption thead tbody tr th td br figure figcaption section details summary pre footer script`)
	script := 0
	for _, m := range regexp.MustCompile(`(?s)<(/?)([a-zA-Z!][^\s>/]*)([^>]*)>`).FindAllSubmatch(b, -1) {
		name, attributes := string(m[2]), string(m[3])
		if !slices.Contains(known, name) {
			return fmt.Errorf("has the element %.60q", name)
		}
		if name == "script" && len(m[1]) == 0 {
			script++
		}
		if bad := regexp.MustCompile(`(?i)\s(on[a-z]+|style|src|srcdoc|formaction)\s*=`).FindString(regexp.MustCompile(`"[^"]*"`).ReplaceAllString(attributes, `""`)); bad != "" {
			return fmt.Errorf("has the attribute %q of %s", bad, name)
		}
		if href := regexp.MustCompile(`href="([^"]*)"`).FindStringSubmatch(attributes); href != nil && !strings.HasPrefix(href[1], "#") && href[1] != "data:," {
			return fmt.Errorf("links to %.80q", href[1])
		}
	}
	if script != 1 {
		return fmt.Errorf("has %d scripts", script)
	}
	return nil
}
