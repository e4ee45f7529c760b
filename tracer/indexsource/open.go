package indexsource

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"scamtrace/tracer"
)

// An Index is an indexer to ask: its name, and where and as whom.
type Index struct {
	Name string // sqd, etherscan, blockscout, alchemy or trongrid
	URL  string // in place of the public endpoint
	Key  string
	Rate float64 // requests in a second; 0: what the free plan allows
}

// None is the name in a list that stands for no indexer.
const None = "none"

// indexes are the indexers there are, the cheapest first.
var indexes = []struct {
	name, title string
	open        func(tracer.Chain, Options) (tracer.Source, error)
	has         func(chain uint64) bool // at the public endpoint
	needs       bool                    // a key, there
}{
	{"sqd", "SQD Portal", opener(NewSQD), func(id uint64) bool { return datasets[id] != "" }, false},
	{"etherscan", "Etherscan", opener(NewEtherscan), explored, true},
	{"blockscout", "Blockscout", opener(NewBlockscout), explored, true},
	{"alchemy", "Alchemy", opener(NewAlchemy), func(id uint64) bool { return networks[id] != "" }, true},
	{"trongrid", "TronGrid", opener(NewTronGrid), func(id uint64) bool { return id == tronID }, false},
}

func opener[S tracer.Source](open func(tracer.Chain, Options) (S, error)) func(tracer.Chain, Options) (tracer.Source, error) {
	return func(chain tracer.Chain, o Options) (tracer.Source, error) { return open(chain, o) }
}

// explored are the chains with an explorer of both kinds.
func explored(id uint64) bool {
	_, known := tracer.ChainByID(id)
	return known && id != tronID
}

// Choose reads a list of names, the first to be asked first. Keys and addresses
// are those that lookup has as SCAMTRACE_ with the name in capitals and _KEY or
// _URL, such as SCAMTRACE_ETHERSCAN_KEY; _RATE is how many requests in a second a
// paid plan or a server of one's own allows. A name that is not known, or comes
// twice, is an error that wraps [tracer.ErrUsage].
func Choose(names []string, lookup func(string) (string, bool)) ([]Index, error) {
	var out []Index
	for _, name := range names {
		if name == None && len(names) == 1 {
			return nil, nil
		}
		if name == None {
			return nil, fmt.Errorf("%w: none is no indexer; leave the others out", tracer.ErrUsage)
		}
		var known []string
		for _, x := range indexes {
			known = append(known, x.name)
		}
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("%w: %q is not an indexer; choose from %s, or none", tracer.ErrUsage, tracer.CleanText(name, 20), strings.Join(known, ", "))
		}
		if slices.ContainsFunc(out, func(x Index) bool { return x.Name == name }) {
			return nil, fmt.Errorf("%w: %s is named twice", tracer.ErrUsage, name)
		}
		x := Index{Name: name}
		env := "SCAMTRACE_" + strings.ToUpper(name)
		x.URL, _ = lookup(env + "_URL")
		x.Key, _ = lookup(env + "_KEY")
		if v, ok := lookup(env + "_RATE"); ok {
			var err error
			if x.Rate, err = strconv.ParseFloat(v, 64); err != nil || !(x.Rate > 0) {
				return nil, fmt.Errorf("%w: %s_RATE: write how many requests in a second, like 5", tracer.ErrUsage, env)
			}
		}
		out = append(out, x)
	}
	return out, nil
}

// Default are the names that are asked where nobody says which: SQD Portal,
// where it has the chain, and nobody where a node is on this machine or in a
// private network, as of tests, or may be: what is looked at there is no business
// of others. It looks the names of the nodes up.
func Default(ctx context.Context, chain tracer.Chain, nodes ...string) []string {
	return byDefault(ctx, net.DefaultResolver.LookupNetIP, chain, nodes...)
}

// A lookup finds the addresses of a name, as [net.Resolver.LookupNetIP] does.
type lookup = func(ctx context.Context, network, host string) ([]netip.Addr, error)

func byDefault(ctx context.Context, find lookup, chain tracer.Chain, nodes ...string) []string {
	if datasets[chain.ID] == "" || len(nodes) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for _, node := range nodes {
		u, err := url.Parse(node)
		if err != nil || Private(u.Hostname()) {
			return nil
		}
		if _, err := netip.ParseAddr(u.Hostname()); err == nil {
			continue
		}
		ips, err := find(ctx, "ip", u.Hostname())
		if err != nil || slices.ContainsFunc(ips, inside) { // where nobody can tell, it may be
			return nil
		}
	}
	return []string{"sqd"}
}

// Private reports whether a host may be one that only some can reach, as far as
// its name or address tells.
func Private(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return inside(ip)
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	last := host[strings.LastIndexByte(host, '.')+1:]
	if last == host || strings.ContainsAny(last[:min(1, len(last))], "0123456789") { // localhost, names that only a network at home has, and 127.1
		return true
	}
	return slices.Contains([]string{"", "localhost", "local", "internal", "lan", "home", "corp", "test"}, last) || strings.HasSuffix(host, ".home.arpa")
}

// shared are the addresses between carriers and their customers, and of overlay
// networks: RFC 6598.
var shared = netip.MustParsePrefix("100.64.0.0/10")

// inside reports whether an address is one of this machine or of a private network.
func inside(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	return !ip.IsGlobalUnicast() || ip.IsPrivate() || shared.Contains(ip)
}

// Has reports whether the indexer has a chain, as far as that is known: an
// address in place of the public one may be of any.
func (x Index) Has(chain tracer.Chain) bool {
	for _, k := range indexes {
		if k.name == x.Name {
			return x.URL != "" || k.has(chain.ID)
		}
	}
	return false
}

// Check says in an error that wraps [tracer.ErrUsage] why the indexer cannot be
// asked about a chain: it does not have it, or there is no key.
func (x Index) Check(chain tracer.Chain) error {
	for _, k := range indexes {
		if k.name != x.Name || x.URL != "" {
			continue
		}
		env := "SCAMTRACE_" + strings.ToUpper(x.Name)
		switch {
		case !x.Has(chain):
			return fmt.Errorf("%w: %s does not have %s; leave it out, or name an endpoint that has in %s_URL", tracer.ErrUsage, k.title, cmp.Or(chain.Title, chain.Name), env)
		case k.needs && x.Key == "":
			return fmt.Errorf("%w: %s needs a key; set %s_KEY in the environment, or leave it out", tracer.ErrUsage, k.title, env)
		}
	}
	return nil
}

// Open makes the source. Its errors wrap [tracer.ErrUsage].
func (x Index) Open(chain tracer.Chain, o Options) (tracer.Source, error) {
	for _, k := range indexes {
		if k.name == x.Name {
			if err := x.Check(chain); err != nil && !o.Recorded {
				return nil, err
			}
			o.URL, o.Key, o.Rate = x.URL, x.Key, x.Rate
			return k.open(chain, o)
		}
	}
	return nil, fmt.Errorf("%w: %q is no indexer", tracer.ErrUsage, tracer.CleanText(x.Name, 20))
}
