package label

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"scamtrace/tracer"

	"go.yaml.in/yaml/v3"
)

// ReadTagPack adds labels from a GraphSense TagPack: a YAML map of which every
// field but tags holds for each of the tags that does not say otherwise. Of a
// tag, these are read:
//
//	address     of the wallet; a tag of a transaction is left out
//	network     its chain; where it is absent, currency
//	label       the name, unless the tag has an actor and is of a service
//	actor       an id of GraphSense's list of actors; gives all wallets of a
//	            business one name, that of the built-in set if it has it
//	abuse, category, concepts
//	            the first that this package knows gives the category, in this order
//	confidence  an id of GraphSense's list, from ownership to unknown
//	source      who says so
//
// A pack is somebody else's, so a tag that cannot be used does not spoil it:
// tags of other chains, of transactions, and with a broken address are left
// out, and notes say how many, in a sentence each. What is no TagPack is an
// error that names the line and wraps [tracer.ErrUsage]; the set is then as it
// was. YAML aliases are refused. name is the file's.
func (s *Set) ReadTagPack(r io.Reader, name string) (notes []string, err error) {
	name = tracer.CleanText(name, 200)
	p := pack{name: name, actors: s.actors(), elsewhere: make(map[string]int), levels: make(map[string]int)}
	in := &capped{r: r, left: MaxTagPack}
	dec := yaml.NewDecoder(in)
	var doc, more yaml.Node
	if err = dec.Decode(&doc); err == nil {
		if err = dec.Decode(&more); err == nil {
			return nil, p.fail(&more, "a second YAML document begins here; a TagPack is one")
		}
		if err == io.EOF {
			err = nil
		}
	}
	switch {
	case in.left < 0:
		return nil, fmt.Errorf("%w: %s is larger than %d MB; please split it", tracer.ErrUsage, name, MaxTagPack>>20)
	case in.err != nil:
		return nil, fmt.Errorf("read %s: %w", name, in.err)
	case err == io.EOF:
		return nil, fmt.Errorf("%w: %s is empty", tracer.ErrUsage, name)
	case err != nil:
		return nil, fmt.Errorf("%w: %s is not YAML: %s", tracer.ErrUsage, name, tracer.CleanText(strings.TrimPrefix(err.Error(), "yaml: "), 200))
	}
	if err := p.read(&doc); err != nil {
		return nil, err
	}
	s.add(p.labels)
	return p.notes(), nil
}

// A pack is a TagPack while it is read.
type pack struct {
	name      string
	actors    map[string]string // ids → names of services
	header    fields
	labels    []Label
	elsewhere map[string]int // tags of chains that are not traced, by network
	payments  int            // tags of transactions
	broken    int            // tags with a broken address
	firstBad  string         // about the first of them
	levels    map[string]int // tags by confidence ids that are not known
}

func (p *pack) notes() []string {
	notes := leftOut(p.name, "tag", p.elsewhere)
	if p.payments > 0 {
		notes = append(notes, fmt.Sprintf("%s: %s of transactions left out", p.name, count(p.payments, "tag")))
	}
	if p.broken > 0 {
		notes = append(notes, fmt.Sprintf("%s: %s with a broken address left out (%s)", p.name, count(p.broken, "tag"), p.firstBad))
	}
	if n := len(p.levels); n > 0 {
		total, first := 0, ""
		for id, k := range p.levels {
			total += k
			if first == "" || id < first {
				first = id
			}
		}
		notes = append(notes, fmt.Sprintf("%s: %s with a confidence that is not known, such as %q, taken as %d%%", p.name, count(total, "tag"), first, confidences["unknown"]))
	}
	return notes
}

func (p *pack) fail(at *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("%w: %s, line %d: "+format, append([]any{tracer.ErrUsage, p.name, at.Line}, args...)...)
}

// fields are the texts of a map, and its concepts, by key.
type fields map[string]string

func (p *pack) read(doc *yaml.Node) error {
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return p.fail(doc, "a TagPack is a map with title, creator and tags")
	}
	header, tags, err := p.fields(doc.Content[0])
	if err != nil {
		return err
	}
	if tags == nil {
		return p.fail(doc.Content[0], "tags is missing, so this is no TagPack")
	}
	if tags.Kind != yaml.SequenceNode {
		return p.fail(tags, "tags is not a list")
	}
	p.header = header
	for _, t := range tags.Content {
		if t.Kind != yaml.MappingNode {
			return p.fail(t, "a tag is not a map of fields")
		}
		f, inner, err := p.fields(t)
		if err != nil {
			return err
		}
		if inner != nil {
			return p.fail(inner, "a tag holds tags")
		}
		if err := p.tag(t, f); err != nil {
			return err
		}
	}
	return nil
}

// fields reads a map; it returns the value of the key tags apart.
func (p *pack) fields(m *yaml.Node) (f fields, tags *yaml.Node, err error) {
	f = make(fields)
	seen := make(map[string]bool)
	for i := 0; i+1 < len(m.Content); i += 2 {
		k, v := m.Content[i], m.Content[i+1]
		if k.Kind != yaml.ScalarNode || v.Kind == yaml.AliasNode {
			return nil, nil, p.fail(k, "only plain fields are read, no aliases and no maps as keys")
		}
		if seen[k.Value] {
			return nil, nil, p.fail(k, "the field %q stands twice", tracer.CleanText(k.Value, 40))
		}
		seen[k.Value] = true
		switch {
		case k.Value == "tags":
			tags = v
		case !slices.Contains(read, k.Value) || v.ShortTag() == "!!null":
		case k.Value == "concepts":
			if v.Kind != yaml.SequenceNode {
				return nil, nil, p.fail(v, "concepts is not a list of ids")
			}
			var ids []string
			for _, c := range v.Content {
				if c.Kind != yaml.ScalarNode {
					return nil, nil, p.fail(c, "a concept is not an id")
				}
				ids = append(ids, c.Value)
			}
			f[k.Value] = strings.Join(ids, " ")
		case v.Kind != yaml.ScalarNode:
			return nil, nil, p.fail(v, "%s is not a text", k.Value)
		default:
			f[k.Value] = strings.TrimSpace(v.Value)
		}
	}
	return f, tags, nil
}

// read are the fields that are read.
var read = []string{"address", "tx_hash", "network", "currency", "label", "actor", "abuse", "category", "concepts", "confidence", "source"}

// field is a field of a tag or else of the header.
func (p *pack) field(f fields, name string) string {
	if v, ok := f[name]; ok {
		return v
	}
	return p.header[name]
}

func (p *pack) tag(at *yaml.Node, f fields) error {
	if f["address"] == "" {
		if f["tx_hash"] != "" {
			p.payments++
			return nil
		}
		return p.fail(at, "a tag has no address")
	}
	network := cmp.Or(p.field(f, "network"), p.field(f, "currency"))
	if network == "" {
		return p.fail(at, "a tag has neither network nor currency, so its chain is not known")
	}
	l := Label{Name: p.field(f, "label"), Category: p.category(f)}
	if id := p.field(f, "actor"); id != "" && l.Category.Service() {
		l.Name = cmp.Or(p.actors[plain(id)], id)
	}
	known := false
	if l.Wallet.Chain, known = networks[strings.ToLower(network)]; !known {
		p.elsewhere[tracer.CleanText(network, 20)]++
		return nil
	}
	var err error
	if l.Wallet.Address, err = (&tracer.Chain{ID: l.Wallet.Chain}).ParseAddress(f["address"]); err != nil {
		if p.broken++; p.broken == 1 {
			p.firstBad = fmt.Sprintf("line %d: %v", at.Line, err)
		}
		return nil
	}
	id := cmp.Or(p.field(f, "confidence"), "unknown")
	if l.Confidence, known = confidences[id]; !known {
		p.levels[tracer.CleanText(id, 40)]++
		l.Confidence = confidences["unknown"]
	}
	if l.Source, err = origin(p.name, p.field(f, "source")); err != nil {
		return p.fail(at, "%v", err)
	}
	if l, err = l.clean(); err != nil {
		return p.fail(at, "%s", reason(err))
	}
	p.labels = append(p.labels, l)
	return nil
}

// actors returns the names of the built-in services in s by actor ids.
func (s *Set) actors() map[string]string {
	names := make(map[string]string)
	for l := range s.All() {
		if l.Source == Builtin {
			names[plain(l.Name)] = l.Name
		}
	}
	for id, name := range renamed {
		if names[plain(name)] == name {
			names[id] = name
		}
	}
	return names
}

// renamed are the ids of GraphSense's actors whose names are others now, or
// longer.
var renamed = map[string]string{
	"bitmax": "AscendEX", "gate": "Gate.io", "huobi": "HTX", "kyber": "KyberSwap", "mxc": "MEXC", "okex": "OKX", "tornado": "Tornado Cash",
}

// plain leaves the letters and digits of a name, as ids of actors do.
func plain(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
			return r
		case 'A' <= r && r <= 'Z':
			return r + 'a' - 'A'
		}
		return -1
	}, name)
}

// category reads the fields that say what a tagged wallet is. An abuse comes
// first: a service that is said to be a fraud is not taken for a service.
func (p *pack) category(f fields) Category {
	if abuse := p.field(f, "abuse"); abuse != "" {
		return cmp.Or(concepts[abuse], Other)
	}
	if c, ok := concepts[p.field(f, "category")]; ok {
		return c
	}
	for id := range strings.FieldsSeq(p.field(f, "concepts")) {
		if c, ok := concepts[id]; ok {
			return c
		}
	}
	return Other
}

// networks are the names that TagPacks give the traced chains. Older packs
// have no network and name the chain by its coin or by its token standard.
var networks = map[string]uint64{
	"eth": 1, "ethereum": 1, "erc20": 1,
	"bsc": 56, "bep20": 56,
	"matic": 137, "pol": 137, "polygon": 137,
	"arb": 42161, "arbitrum": 42161,
	"op": 10, "optimism": 10,
	"base": 8453,
	"avax": 43114, "avalanche": 43114,
	"trx": tron, "tron": tron, "trc20": tron,
}

const tron = 728126428

// confidences are the levels of GraphSense's list of confidence ids, in
// percent. What can be read off the ledger itself is as sure as can be.
var confidences = map[string]int{
	"override": 100, "ownership": 100, "ledger_immanent": 100,
	"manual_transaction": 90, "service_api": 70, "authority_data": 60,
	"trusted_provider": 50, "service_data": 50, "forensic": 50,
	"untrusted_transaction": 40, "web_crawl": 20, "heuristic": 10, "unknown": 5,
}

// concepts are the ids of GraphSense's concepts that say something to a trace.
var concepts = map[string]Category{
	"exchange": Exchange, "atm": Exchange, "defi_bridge": Bridge, "mixing_service": Mixer, "mixing": Mixer, "coinjoin": Mixer,
	"defi_dex": Swap, "gambling": Gambling, "payment_processor": Payment, "defi_lending": Lending,
	"sanction": Sanctioned,
	"scam":     Scam, "phishing": Scam, "ponzi_scheme": Scam, "pyramid_scheme": Scam, "investment_fraud": Scam,
	"financial_crime": Scam, "money_laundering": Scam, "payment_card_fraud": Scam, "service_hack": Scam,
	"ransomware": Scam, "extortion": Scam, "sextortion": Scam, "perpetrator": Scam,
}
