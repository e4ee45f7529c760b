package report

import (
	"bytes"
	"encoding/xml"
	"slices"
	"strconv"
	"strings"
)

// edges yields what the graph files draw between wallets: the flows, then the
// conversions that paid somebody else. kind is transfer or conversion.
func (r *Report) edges(yield func(kind string, f *Flow) bool) {
	for i := range r.Flows {
		if !yield("transfer", &r.Flows[i]) {
			return
		}
	}
	for i := range r.Conversions {
		c := &r.Conversions[i]
		for n := range c.In {
			if a := &c.In[n]; c.Wallet != c.Receiver && !yield("conversion", &Flow{
				From: c.Wallet, To: c.Receiver, Chain: c.Chain, Asset: a.Asset, Symbol: a.Symbol,
				Amount: a.Amount, Traced: a.Amount, Readable: a.Readable, USD: a.USD, Transfers: 1, First: c.Time, Last: c.Time,
			}) {
				return
			}
		}
	}
}

// An attribute is a column of a graph file. The kinds are those of GraphML;
// text is a string that has to be quoted.
type attribute[T any] struct {
	name, kind string
	value      func(*T) string // empty: left out
}

// typeName is what the files call the kind.
func (a *attribute[T]) typeName() string { return strings.Replace(a.kind, "text", "string", 1) }

var nodeAttributes = []attribute[Wallet]{
	{"role", "string", func(w *Wallet) string { return w.Role }},
	{"hop", "int", func(w *Wallet) string { return number(w.Hop) }},
	{"name", "text", nodeName},
	{"name_source", "text", func(w *Wallet) string {
		if len(w.Labels) == 0 {
			return ""
		}
		return w.Labels[0].Source
	}},
	{"cluster", "string", func(w *Wallet) string { return w.Cluster }},
	{"received_usd", "double", func(w *Wallet) string { return w.USD }},
	{"held", "text", func(w *Wallet) string { return amounts(w.Held) }},
	{"gap", "text", func(w *Wallet) string { return amounts(w.Gap) }},
	{"first", "string", func(w *Wallet) string { return w.First }},
	{"last", "string", func(w *Wallet) string { return w.Last }},
	{"complete", "boolean", func(w *Wallet) string { return strconv.FormatBool(w.Complete) }},
	{"reason", "text", func(w *Wallet) string { return w.Reason }},
	{"look_alike", "string", func(w *Wallet) string { return w.LookAlike }},
}

var edgeAttributes = []attribute[Flow]{
	{"asset", "string", func(f *Flow) string { return f.Asset }},
	{"symbol", "text", func(f *Flow) string { return f.Symbol }},
	{"traced", "string", func(f *Flow) string { return f.Readable }},
	{"traced_raw", "string", func(f *Flow) string { return f.Traced }},
	{"usd", "double", func(f *Flow) string { return f.USD }},
	{"transfers", "int", func(f *Flow) string { return number(f.Transfers) }},
	{"first", "string", func(f *Flow) string { return f.First }},
	{"last", "string", func(f *Flow) string { return f.Last }},
}

// plainXML are the bytes that stand for themselves in text and in quotes.
var plainXML = plain(`<>&"'`)

// plain is printable ASCII without some of it.
func plain(but string) (set [256]bool) {
	for c := ' '; c <= '~'; c++ {
		set[c] = !strings.ContainsRune(but, c)
	}
	return set
}

// appendXML writes s as text or inside double quotes.
func appendXML(b []byte, s string) []byte {
	for i := range len(s) {
		if !plainXML[s[i]] {
			var e bytes.Buffer
			_ = xml.EscapeText(&e, []byte(s)) // a buffer takes everything
			return append(b, e.Bytes()...)
		}
	}
	return append(b, s...)
}

// appendAll writes strings, every second one, from the second on, as XML text.
func appendAll(b []byte, parts ...string) []byte {
	for i, s := range parts {
		if i%2 == 0 {
			b = append(b, s...)
		} else {
			b = appendXML(b, s)
		}
	}
	return b
}

// appendAttributes writes the values that x has, each as before, its name,
// between, the value, after.
func appendAttributes[T any](b []byte, list []attribute[T], x *T, before, between, after string) []byte {
	for i := range list {
		a := &list[i]
		v := a.value(x)
		if v == "" {
			continue
		}
		b = append(append(append(b, before...), a.name...), between...)
		if a.kind == "text" {
			b = appendXML(b, v)
		} else {
			b = append(b, v...)
		}
		b = append(b, after...)
	}
	return b
}

// graphML writes the graph for Gephi, yEd and i2.
func graphML(r *Report) []byte {
	b := slices.Grow([]byte(nil), 1<<12+800*(len(r.Wallets)+len(r.Flows)))
	b = append(b, xml.Header+`<graphml xmlns="http://graphml.graphdrawing.org/xmlns">`+"\n"...)
	key := func(id, of, name, kind string) {
		b = appendAll(b, `<key id="`, id, `" for="`, of, `" attr.name="`, name, `" attr.type="`, kind, "\"/>\n")
	}
	for _, a := range nodeAttributes {
		key("n."+a.name, "node", a.name, a.typeName())
	}
	key("e.kind", "edge", "kind", "string")
	for _, a := range edgeAttributes {
		key("e."+a.name, "edge", a.name, a.typeName())
	}
	b = append(b, `<graph id="money" edgedefault="directed">`+"\n"...)
	for i := range r.Wallets {
		w := &r.Wallets[i]
		b = append(append(append(b, `<node id="`...), w.Address...), `">`...)
		b = appendAttributes(b, nodeAttributes, w, `<data key="n.`, `">`, `</data>`)
		b = append(b, "</node>\n"...)
	}
	n := 0
	for kind, f := range r.edges {
		b = strconv.AppendInt(append(b, `<edge id="f`...), int64(n), 10)
		b = append(append(b, `" source="`...), f.From...)
		b = append(append(b, `" target="`...), f.To...)
		b = append(append(append(b, `"><data key="e.kind">`...), kind...), `</data>`...)
		b = appendAttributes(b, edgeAttributes, f, `<data key="e.`, `">`, `</data>`)
		b = append(b, "</edge>\n"...)
		n++
	}
	return append(b, "</graph>\n</graphml>\n"...)
}

// gexf writes the graph for Gephi, whose own format it is (GEXF 1.3).
func gexf(r *Report) []byte {
	b := slices.Grow([]byte(nil), 1<<12+1000*(len(r.Wallets)+len(r.Flows)))
	b = append(b, xml.Header+`<gexf xmlns="http://gexf.net/1.3" version="1.3">`+"\n"+
		"<meta><creator>scamtrace</creator><description>the way of the money</description></meta>\n"+
		`<graph mode="static" defaultedgetype="directed" idtype="string">`+"\n"...)
	column := func(name, kind string) {
		b = appendAll(b, `<attribute id="`, name, `" title="`, name, `" type="`, kind, "\"/>\n")
	}
	b = append(b, "<attributes class=\"node\">\n"...)
	for _, a := range nodeAttributes {
		column(a.name, strings.Replace(a.typeName(), "int", "integer", 1))
	}
	b = append(b, "</attributes>\n<attributes class=\"edge\">\n"...)
	column("kind", "string")
	for _, a := range edgeAttributes {
		column(a.name, strings.Replace(a.typeName(), "int", "integer", 1))
	}
	b = append(b, "</attributes>\n<nodes>\n"...)
	for i := range r.Wallets {
		w := &r.Wallets[i]
		b = appendAll(b, `<node id="`, w.Address, `" label="`, strings.TrimSpace(nodeName(w)+" "+w.Address), `"><attvalues>`)
		b = appendAttributes(b, nodeAttributes, w, `<attvalue for="`, `" value="`, `"/>`)
		b = append(b, "</attvalues></node>\n"...)
	}
	b = append(b, "</nodes>\n<edges>\n"...)
	n := 0
	for kind, f := range r.edges {
		b = strconv.AppendInt(append(b, `<edge id="f`...), int64(n), 10)
		b = appendAll(b, `" source="`, f.From, `" target="`, f.To, `"`)
		if f.USD != "" {
			b = appendAll(b, ` weight="`, f.USD, `"`)
		}
		b = appendAll(b, `><attvalues><attvalue for="kind" value="`, kind, `"/>`)
		b = appendAttributes(b, edgeAttributes, f, `<attvalue for="`, `" value="`, `"/>`)
		b = append(b, "</attvalues></edge>\n"...)
		n++
	}
	return append(b, "</edges>\n</graph>\n</gexf>\n"...)
}

func nodeName(w *Wallet) string {
	if len(w.Labels) == 0 {
		return ""
	}
	return w.Labels[0].Name
}

// dotText quotes a text for DOT, where only the quote and the backslash mean
// anything inside quotes.
var dotText = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// dot writes the graph for Graphviz.
func dot(r *Report) []byte {
	b := []byte("digraph money {\n  rankdir=LR;\n  node [shape=box];\n")
	quote := func(before, s string) { b = append(append(append(b, before...), dotText.Replace(s)...), '"') }
	for i := range r.Wallets {
		w := &r.Wallets[i]
		quote(`  "`, w.Address)
		quote(` [label="`, strings.TrimSpace(nodeName(w)+" "+w.Address)+" ("+w.Role+")")
		b = append(b, "];\n"...)
	}
	for kind, f := range r.edges {
		quote(`  "`, f.From)
		quote(` -> "`, f.To)
		text := f.Readable + " " + f.Symbol
		if f.Readable == "" {
			text = f.Traced + " base units"
		}
		if kind == "conversion" {
			text += " by a swap"
		}
		quote(` [label="`, text)
		b = append(b, "];\n"...)
	}
	return append(b, "}\n"...)
}
