package report

import (
	"bytes"
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares got with a file, or rewrites it under -update.
func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("output differs from %s (run go test -update, then read git diff)", file)
	}
}

// TestSchema makes the JSON Schema from the types of model.go and their
// comments, and wants schema.json to be that.
func TestSchema(t *testing.T) {
	docs := comments(t)
	defs := make(map[string]any)
	var object func(reflect.Type) map[string]any
	var value func(reflect.Type, string) map[string]any
	value = func(f reflect.Type, is string) map[string]any {
		switch f.Kind() {
		case reflect.String:
			r, err := parseRule(is)
			if err != nil {
				t.Fatalf("%s: %v", is, err)
			}
			s := map[string]any{"type": "string"}
			switch {
			case r.name == "one":
				s["enum"] = r.among
			case r.empty:
				s["pattern"] = "^$|" + r.pattern
			default:
				s["pattern"] = r.pattern
			}
			if r.most > 0 {
				s["maxLength"] = r.most
				if r.name == "text" {
					s["maxLength"] = r.most + 1 // the mark of what was cut
				}
			}
			return s
		case reflect.Slice:
			return map[string]any{"type": "array", "items": value(f.Elem(), is)}
		case reflect.Struct:
			if defs[f.Name()] == nil {
				defs[f.Name()] = true // while it is made
				defs[f.Name()] = object(f)
			}
			return map[string]any{"$ref": "#/$defs/" + f.Name()}
		case reflect.Pointer:
			return map[string]any{"type": []string{"integer", "null"}, "minimum": 0, "maximum": 255}
		case reflect.Bool:
			return map[string]any{"type": "boolean"}
		case reflect.Int, reflect.Uint64:
			return map[string]any{"type": "integer", "minimum": 0}
		}
		t.Fatalf("a report holds a %s", f)
		return nil
	}
	object = func(o reflect.Type) map[string]any {
		properties := make(map[string]any)
		required := []string{}
		for f := range o.Fields() {
			name, option, _ := strings.Cut(f.Tag.Get("json"), ",")
			p := value(f.Type, f.Tag.Get("is"))
			if p["description"] = docs[o.Name()+"."+f.Name]; p["description"] == "" {
				t.Errorf("%s.%s has no comment", o.Name(), f.Name)
			}
			properties[name] = p
			if option != "omitempty" {
				required = append(required, name)
			}
		}
		if docs[o.Name()] == "" {
			t.Errorf("%s has no comment", o.Name())
		}
		return map[string]any{"type": "object", "description": docs[o.Name()], "properties": properties, "required": required, "additionalProperties": false}
	}
	schema := object(reflect.TypeFor[Report]())
	schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	schema["$id"] = "urn:" + strings.ReplaceAll(Schema, "/", ":")
	schema["title"] = Schema
	schema["$defs"] = defs
	schema["properties"].(map[string]any)["schema"] = map[string]any{"const": Schema, "description": docs["Report.Schema"]}
	got, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "schema.json", append(got, '\n'))
}

// comments are those of the types of model.go and their fields, by Type and
// Type.Field.
func comments(t *testing.T) map[string]string {
	file, err := parser.ParseFile(token.NewFileSet(), "model.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	docs := make(map[string]string)
	for _, d := range file.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.TYPE {
			continue
		}
		for _, s := range g.Specs {
			spec := s.(*ast.TypeSpec)
			docs[spec.Name.Name] = strings.Join(strings.Fields(g.Doc.Text()), " ")
			for _, f := range spec.Type.(*ast.StructType).Fields.List {
				docs[spec.Name.Name+"."+f.Names[0].Name] = strings.TrimSpace(f.Comment.Text())
			}
		}
	}
	return docs
}

// validate holds report.json to the JSON Schema.
func validate(t *testing.T, b []byte) {
	t.Helper()
	if err := validator(t).Validate(parsed(t, b)); err != nil {
		t.Errorf("report.json is not as its schema wants it: %v", err)
	}
}

func validator(t *testing.T) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", parsed(t, []byte(JSONSchema()))); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func parsed(t *testing.T, b []byte) any {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// FuzzShapes wants the pattern of every shape and its function to agree.
func FuzzShapes(f *testing.F) {
	for _, s := range []string{"", "0", "00", "10", "1.5", "1.50", "-1.50", "0.00", "01.00", "0x", "eip155:1", "eip155:1/slip44:60", "eip155:1/erc20:0xdac17f958d2ee523a2206206994597c13d831ec7",
		"2025-03-09T13:41:24Z", "2025-03-09 13:41:24", "pifo", "0xdac17f958d2ee523a2206206994597c13d831ec7", "0xDAC17F958D2ee523a2206206994597c13d831ec7",
		strings.Repeat("9", 78), strings.Repeat("9", 79), "0x" + strings.Repeat("a", 64), strings.Repeat("a", 64), "1\n", "eip155:1\n", "é", "\xff"} {
		f.Add(s)
	}
	patterns := make(map[string]*regexp.Regexp)
	for name, s := range shapes {
		if s.ok != nil {
			patterns[name] = regexp.MustCompile(s.pattern)
		}
	}
	f.Fuzz(func(t *testing.T, s string) {
		for name, p := range patterns {
			if got, want := shapes[name].ok(s), p.MatchString(s); got != want {
				t.Errorf("%q is %s: %v, by its pattern %v", s, name, got, want)
			}
		}
		r, err := parseRule("text? 40")
		if err != nil {
			t.Fatal(err)
		}
		once, _ := r.hold(s)
		if twice, _ := r.hold(once); once != twice {
			t.Errorf("%+q becomes %+q and then %+q", s, once, twice)
		}
		if once != "" && !regexp.MustCompile(shapes["text"].pattern).MatchString(once) {
			t.Errorf("%q becomes %q", s, once)
		}
	})
}
