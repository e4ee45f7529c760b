package label_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"scamtrace/tracer"
	"scamtrace/tracer/label"

	"github.com/ethereum/go-ethereum/common"
	"github.com/google/go-cmp/cmp"
)

const (
	addr1 = "0x1111111111111111111111111111111111111111"
	addr2 = "0x2222222222222222222222222222222222222222"
)

func wallet(chain uint64, address string) tracer.Wallet {
	return tracer.Wallet{Chain: chain, Address: common.HexToAddress(address)}
}

// A reader is one of the two imports.
type reader func(*label.Set, io.Reader, string) ([]string, error)

var (
	readCSV     reader = (*label.Set).ReadCSV
	readTagPack reader = (*label.Set).ReadTagPack
)

func TestReadCSV(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     []label.Label
		notes    []string
	}{
		{
			"all columns",
			"chain,address,name,category,confidence,source\nethereum," + addr1 + ",Some Exchange,exchange,80,our own payment\n",
			[]label.Label{{wallet(1, addr1), "Some Exchange", label.Exchange, 80, "my.csv: our own payment"}}, nil,
		},
		{
			"another order, fewer columns, a mark of the spreadsheet",
			"\ufeffname,category,chain,address\n a ,scam,56, " + addr2 + " \n",
			[]label.Label{{wallet(56, addr2), "a", label.Scam, label.MinService, "my.csv"}}, nil,
		},
		{
			"hostile text is cleaned",
			"chain,address,name,category,source\n1," + addr1 + ",\"x\u202ey\x1b[31m\nz\",other,\"a\tb\"\n",
			[]label.Label{{wallet(1, addr1), "xy[31m z", label.Other, label.MinService, "my.csv: a b"}}, nil,
		},
		{
			"other chains are counted",
			"chain,address,name,category\n100," + addr1 + ",a,exchange\n250," + addr1 + ",a,exchange\n100," + addr2 + ",a,exchange\n",
			nil, []string{"my.csv: 3 labels of chains that are not traced left out (chain 100: 2, chain 250: 1)"},
		},
		{"only a head line", "chain,address,name,category\n", nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var s label.Set
			notes, err := s.ReadCSV(strings.NewReader(tt.in), "my.csv")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, slices.Collect(s.All())); diff != "" {
				t.Errorf("labels (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.notes, notes); diff != "" {
				t.Errorf("notes (-want +got):\n%s", diff)
			}
		})
	}
}

const pack = `# a comment
title: Exchanges
creator: somebody
network: eth
label: Some Exchange
confidence: ownership
category: exchange
source: https://example.org/a
tags:
- address: '` + addr1 + `'
- address: "` + addr2 + ` "
  network: BSC
  label: Fake Exchange
  confidence: web_crawl
  abuse: phishing
  source: null
`

func TestReadTagPack(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     []label.Label
		notes    []string
	}{
		{
			"the header is inherited", pack,
			[]label.Label{
				{wallet(1, addr1), "Some Exchange", label.Exchange, 100, "p.yaml: https://example.org/a"},
				{wallet(56, addr2), "Fake Exchange", label.Scam, 20, "p.yaml: https://example.org/a"},
			}, nil,
		},
		{
			"concepts, no confidence, an address without quotes",
			"currency: MATIC\ntags:\n- {address: " + addr1 + ", label: a, concepts: [hosting, mixing_service]}\n",
			[]label.Label{{wallet(137, addr1), "a", label.Mixer, 5, "p.yaml"}}, nil,
		},
		{
			"an unknown abuse is no category of ours, whatever the category says",
			"network: base\ntags: [{address: " + addr1 + ", label: a, category: exchange, abuse: extremism}]\n",
			[]label.Label{{wallet(8453, addr1), "a", label.Other, 5, "p.yaml"}}, nil,
		},
		{
			"what cannot be used is counted",
			`label: a
tags:
- {address: bc1x, currency: BTC}
- {address: 1x, currency: BTC}
- {address: Tx, network: SOL}
- {tx_hash: '0x12', network: ETH}
- {address: '0x12', network: ETH}
- {address: '` + addr1 + `', network: ETH, confidence: gut_feeling}
`,
			[]label.Label{{wallet(1, addr1), "a", label.Other, 5, "p.yaml"}},
			[]string{
				"p.yaml: 3 tags of chains that are not traced left out (BTC: 2, SOL: 1)",
				"p.yaml: 1 tag of transactions left out",
				`p.yaml: 1 tag with a broken address left out (line 7: "0x12": this has 2 digits after 0x, an address has 40; please copy it again)`,
				`p.yaml: 1 tag with a confidence that is not known, such as "gut_feeling", taken as 5%`,
			},
		},
		{"an empty list", "tags: []\n", nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var s label.Set
			notes, err := s.ReadTagPack(strings.NewReader(tt.in), "p.yaml")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, slices.Collect(s.All())); diff != "" {
				t.Errorf("labels (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.notes, notes); diff != "" {
				t.Errorf("notes (-want +got):\n%s", diff)
			}
		})
	}
}

// Every wrong file is refused whole, in one sentence that says where.
func TestReadRefuses(t *testing.T) {
	const head = "chain,address,name,category,confidence,source\n"
	good := "1," + addr1 + ",a,exchange,90,x\n"
	tag := "- {address: '" + addr1 + "', network: ETH, label: a}\n"
	for _, tt := range []struct {
		name string
		read reader
		in   string
		want string // in the error
	}{
		{"no CSV", readCSV, "", "f, line 1: the file is empty"},
		{"an unknown column", readCSV, "chain,address,name,category,king\n", `f, line 1: the column "king" is not known`},
		{"a missing column", readCSV, "chain,address,name\n", "f, line 1: the column category is missing"},
		{"a column twice", readCSV, "chain,chain,address,name,category\n", "f, line 1: the column chain stands twice"},
		{"too few fields", readCSV, head + good + "1\n", "f, line 3: wrong number of fields"},
		{"an open quote", readCSV, head + good + "\"1\n", `f, line 3: extraneous or missing " in quoted-field`},
		{"an unknown chain", readCSV, head + good + "etherium," + addr1 + ",a,exchange,,\n", `f, line 3: chain "etherium" is not known; use one of ethereum`},
		{"a broken address", readCSV, head + good + "1," + addr1[:41] + ",a,exchange,,\n", "f, line 3: \"" + addr1[:41] + "\": this has 39 digits"},
		{"a wrong checksum", readCSV, head + good + "1,0xDAC17F958D2ee523a2206206994597C13D831ec7,a,exchange,,\n", "f, line 3: \"0xDAC17F958D2ee523a2206206994597C13D831ec7\": the checksum is wrong"},
		{"no name", readCSV, head + good + "1," + addr1 + ",\u200b,exchange,,\n", "f, line 3: the label of eip155:1:" + addr1 + " has no name"},
		{"an unknown category", readCSV, head + good + "1," + addr1 + ",a,king,,\n", `f, line 3: the label of eip155:1:` + addr1 + ` has the unknown category "king"`},
		{"a confidence with a dot", readCSV, head + good + "1," + addr1 + ",a,exchange,0.5,\n", `f, line 3: the confidence "0.5" is not a whole number of percent`},
		{"a confidence above all", readCSV, head + good + "1," + addr1 + ",a,exchange,101,\n", "has a confidence of 101, which is not between 0 and 100"},
		{"a CSV that is too large", readCSV, head + good + "1," + strings.Repeat("a", label.MaxCSV), "f is larger than 64 MB"},

		{"no TagPack", readTagPack, "", "f is empty"},
		{"no YAML", readTagPack, "tags: [\n", "f is not YAML: line 1: did not find"},
		{"no map", readTagPack, "- a\n", "f, line 1: a TagPack is a map"},
		{"no tags", readTagPack, "title: a\n", "f, line 1: tags is missing"},
		{"tags that are no list", readTagPack, "title: a\ntags: a\n", "f, line 2: tags is not a list"},
		{"a tag that is no map", readTagPack, "tags:\n" + tag + "- a\n", "f, line 3: a tag is not a map"},
		{"a tag without an address", readTagPack, "tags:\n" + tag + "- {network: ETH, label: a}\n", "f, line 3: a tag has no address"},
		{"a tag without a chain", readTagPack, "tags:\n" + tag + "- {address: '" + addr1 + "', label: a}\n", "f, line 3: a tag has neither network nor currency"},
		{"a tag without a label", readTagPack, "tags:\n" + tag + "- {address: '" + addr1 + "', network: ETH}\n", "f, line 3: the label of eip155:1:" + addr1 + " has no name"},
		{"an alias", readTagPack, "tags:\n- &a {address: '" + addr1 + "', network: ETH, label: a}\n- *a\n", "f, line 3: a tag is not a map"},
		{"an alias as a field", readTagPack, "label: &a a\ntags:\n" + tag + "- {address: '" + addr1 + "', network: ETH, label: *a}\n", "f, line 4: only plain fields are read"},
		{"a merged map", readTagPack, "x: &a {network: ETH, label: a}\ntags:\n" + tag + "- {<<: *a, address: '" + addr1 + "'}\n", "f, line 4: only plain fields are read"},
		{"a field twice", readTagPack, "label: a\nlabel: b\ntags: []\n", `f, line 2: the field "label" stands twice`},
		{"tags inside a tag", readTagPack, "tags:\n- tags: []\n", "f, line 2: a tag holds tags"},
		{"a map as a concept", readTagPack, "tags:\n- concepts: [{}]\n", "f, line 2: a concept is not an id"},
		{"a list as a label", readTagPack, "tags:\n- {address: '" + addr1 + "', network: ETH,\n   label: [a]}\n", "f, line 3: label is not a text"},
		{"a map as an address", readTagPack, "tags:\n- {address: {a: b}, network: ETH, label: a}\n", "f, line 2: address is not a text"},
		{"a list as a confidence, for all", readTagPack, "confidence: [ownership]\ntags:\n" + tag, "f, line 1: confidence is not a text"},
		{"a map as an actor", readTagPack, "tags:\n- {actor: {a: b}}\n", "f, line 2: actor is not a text"},
		{"a text as concepts", readTagPack, "tags:\n- {concepts: exchange}\n", "f, line 2: concepts is not a list of ids"},
		{"a map as tags", readTagPack, "tags: {a: b}\n", "f, line 1: tags is not a list"},
		{"a bomb", readTagPack, bomb(), "f, line 10: only plain fields are read"},
		{"two documents", readTagPack, "tags:\n" + tag + "---\ntags: []\n", "f, line 3: a second YAML document begins here"},
		{"a TagPack that is too deep", readTagPack, strings.Repeat("[", 20_000), "f is not YAML: exceeded max depth"},
		{"a TagPack that is too large", readTagPack, "tags:\n" + strings.Repeat(tag, label.MaxTagPack/len(tag)), "f is larger than 2 MB"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := label.New()
			before := s.SHA256()
			_, err := tt.read(s, strings.NewReader(tt.in), "f")
			if !errors.Is(err, tracer.ErrUsage) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("the error is %v, want %q", err, tt.want)
			}
			if err != nil && (strings.Contains(err.Error(), "\n") || strings.Count(err.Error(), "usage: ") != 1) {
				t.Errorf("the error %q is no single sentence", err)
			}
			if s.SHA256() != before {
				t.Error("the set changed")
			}
		})
	}
}

// bomb is a file whose tags would be ten to the ninth, if aliases were followed.
func bomb() string {
	var b strings.Builder
	b.WriteString("a: &a [x, x, x, x, x, x, x, x, x, x]\n")
	for c := 'b'; c < 'j'; c++ {
		fmt.Fprintf(&b, "%c: &%c [%s*%c]\n", c, c, strings.Repeat(fmt.Sprintf("*%c, ", c-1), 9), c-1)
	}
	return b.String() + "tags: *i\n"
}

// Actors give the wallets of a business one name.
func TestActors(t *testing.T) {
	var b strings.Builder
	b.WriteString("network: ETH\nconfidence: service_data\ncategory: exchange\nactor: okex\ntags:\n")
	for i, actor := range []string{"", ", actor: cryptocom", ", actor: bybit", ", actor: lazarus, abuse: service_hack", ", actor: ''"} {
		fmt.Fprintf(&b, "- {address: '0x%040x', label: wallet %d%s}\n", 0xabc0+i, i, actor)
	}
	in := b.String()
	s := label.New()
	if _, err := s.ReadTagPack(strings.NewReader(in), "p.yaml"); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"OKX", "Crypto.com", "bybit", "wallet 3", "wallet 4"} {
		ls := s.Of(wallet(1, fmt.Sprintf("0x%040x", 0xabc0+i)))
		if len(ls) != 1 || ls[0].Name != want {
			t.Errorf("tag %d is %v, want the name %q", i, ls, want)
		}
	}
	// Without the built-in set there are no names, but the ids.
	var bare label.Set
	if _, err := bare.ReadTagPack(strings.NewReader(in), "p.yaml"); err != nil {
		t.Fatal(err)
	}
	if ls := bare.Of(wallet(1, fmt.Sprintf("0x%040x", 0xabc0))); len(ls) != 1 || ls[0].Name != "okex" {
		t.Errorf("tag 0 is %v, want the name okex", ls)
	}
}

// A file cannot pass itself off as the built-in set.
func TestNoFileIsBuiltin(t *testing.T) {
	for name, in := range map[string]struct {
		read reader
		text string
	}{
		"Built-In":          {readCSV, "chain,address,name,category\n1," + addr1 + ",a,exchange\n"},
		"built\u200b-in":    {readCSV, "chain,address,name,category\n1," + addr1 + ",a,exchange\n"},
		label.Builtin:       {readTagPack, "tags: [{address: '" + addr1 + "', network: ETH, label: a}]\n"},
		label.Builtin + ":": {readCSV, "chain,address,name,category,confidence\n1," + addr1 + ",a,exchange,1\n"},
	} {
		var s label.Set
		_, err := in.read(&s, strings.NewReader(in.text), name)
		if _, service := s.Service(wallet(1, addr1)); service {
			t.Errorf("%q: the label counts as built-in", name)
		}
		if reserved := !strings.HasSuffix(name, ":"); reserved != errors.Is(err, tracer.ErrUsage) {
			t.Errorf("%q: the error is %v", name, err)
		}
	}
}

// A disk that fails is not the caller's mistake.
func TestReadFails(t *testing.T) {
	broken := errors.New("broken disk")
	for name, read := range map[string]reader{"csv": readCSV, "tagpack": readTagPack} {
		_, err := read(new(label.Set), io.MultiReader(strings.NewReader("tags:\n"), iotest.ErrReader(broken)), "f")
		if name == "csv" {
			_, err = read(new(label.Set), io.MultiReader(strings.NewReader("chain,address,name,category\n"), iotest.ErrReader(broken)), "f")
		}
		if !errors.Is(err, broken) || errors.Is(err, tracer.ErrUsage) {
			t.Errorf("%s: the error is %v, want %v", name, err, broken)
		}
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a.csv":  "chain,address,name,category\n1," + addr1 + ",a,exchange\n",
		"b.YML":  pack,
		"c.yaml": "tags: [{address: x, currency: BTC}]\n",
		"d.json": "{}",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		file   string
		labels int
		notes  int
		want   string // in the error
	}{
		{"a.csv", 1, 0, ""},
		{"b.YML", 2, 0, ""},
		{"c.yaml", 0, 1, ""},
		{"d.json", 0, 0, "labels are read from .csv, .yaml and .yml files"},
		{"e.csv", 0, 0, "the labels cannot be read"},
	} {
		var s label.Set
		notes, err := s.Load(filepath.Join(dir, tt.file))
		if (err != nil) != (tt.want != "") || err != nil && (!errors.Is(err, tracer.ErrUsage) || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("Load(%s) says %v, want %q", tt.file, err, tt.want)
		}
		if s.Len() != tt.labels || len(notes) != tt.notes {
			t.Errorf("Load(%s) gives %d labels and %q", tt.file, s.Len(), notes)
		}
		for l := range s.All() {
			if source, _, _ := strings.Cut(l.Source, ": "); source != tt.file {
				t.Errorf("Load(%s): the source is %q", tt.file, l.Source)
			}
		}
	}
}

func fuzz(f *testing.F, read reader) {
	f.Fuzz(func(t *testing.T, in string) {
		var s, twice label.Set
		if _, err := read(&s, strings.NewReader(in), "f"); err != nil {
			if !errors.Is(err, tracer.ErrUsage) {
				t.Fatalf("the error %v is not the file's", err)
			}
			if s.Len() != 0 {
				t.Fatalf("%d labels beside the error %v", s.Len(), err)
			}
			return
		}
		n := 0
		for l := range s.All() {
			n++
			if l.Name == "" || l.Name != tracer.CleanText(l.Name, 65) || l.Source == label.Builtin || l.Confidence < 0 || l.Confidence > 100 {
				t.Fatalf("bad label %+v", l)
			}
			if err := twice.Add(l); err != nil {
				t.Fatalf("a label that was read cannot be added: %v", err)
			}
		}
		if n != s.Len() || twice.Len() != n || twice.SHA256() != s.SHA256() {
			t.Fatalf("%d labels read, %d counted, %d added again", n, s.Len(), twice.Len())
		}
	})
}

func FuzzReadCSV(f *testing.F) {
	f.Add("chain,address,name,category,confidence,source\nethereum," + addr1 + ",Some Exchange,exchange,80,x\n")
	f.Add("\ufeffname,category,chain,address\n\"a\nb\",scam,100," + addr2 + "\n")
	fuzz(f, readCSV)
}

func FuzzReadTagPack(f *testing.F) {
	f.Add(pack)
	f.Add("currency: MATIC\ntags:\n- {address: " + addr1 + ", label: a, concepts: [hosting, mixing_service]}\n- {tx_hash: a}\n")
	f.Add("x: &a {network: ETH}\ntags: [{<<: *a}]\n---\n")
	fuzz(f, readTagPack)
}

func TestLabelsOfAnOwnChain(t *testing.T) {
	own := tracer.Chain{ID: 4242, Name: "mine"}
	const rows = "chain,address,name,category\nmine,0x00000000000000000000000000000000000000a1,Bank,exchange\n4242,0x00000000000000000000000000000000000000a2,Bank,exchange\n"
	s := new(label.Set)
	s.Also(own)
	if notes, err := s.ReadCSV(strings.NewReader(rows), "own.csv"); err != nil || len(notes) > 0 || s.Len() != 2 {
		t.Errorf("ReadCSV with the chain known: %d labels, %q, %v", s.Len(), notes, err)
	}
	for l := range s.All() {
		if l.Wallet.Chain != own.ID {
			t.Errorf("a label is of chain %d, want %d", l.Wallet.Chain, own.ID)
		}
	}
	if _, err := new(label.Set).ReadCSV(strings.NewReader(rows), "own.csv"); err == nil {
		t.Error("ReadCSV takes a chain that nobody knows")
	}
}
