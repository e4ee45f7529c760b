package report

import (
	"bytes"
	_ "embed"
	"html/template"
	"strings"
)

//go:embed report.html.tmpl
var pageText string

var pageTemplate = template.Must(template.New("report").Funcs(template.FuncMap{
	"amounts": amounts,
	"dollars": dollar,
	"join":    strings.Join,
	"first":   func(n int, ts []Transfer) []Transfer { return ts[:min(n, len(ts))] },
}).Parse(pageText))

// page writes the page that people read. It needs no network and no script,
// and may load nothing.
func page(r *Report) ([]byte, error) {
	var b bytes.Buffer
	err := pageTemplate.Execute(&b, r)
	return b.Bytes(), err
}
