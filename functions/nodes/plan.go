package nodes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"scamtrace/tracer"
	"scamtrace/tracer/ethsource"
	"scamtrace/tracer/evidence"
	"scamtrace/tracer/indexsource"
)

// A Planned source has indexers before its node.
type Planned struct {
	*indexsource.Planner
	asked []evidence.Endpoint
	node  string // in words
}

// A nodeSource is a source that knows where it reads.
type nodeSource struct {
	*ethsource.Source
	endpoints []string
}

// At returns the source with the addresses that it reads from.
func At(src *ethsource.Source, list []ethsource.Endpoint) tracer.Source {
	return &nodeSource{src, ethsource.URLs(list)}
}

// Archive reports whether a node shows old states.
func (s *nodeSource) Archive() bool {
	for _, a := range s.Learned() {
		if a.Archive {
			return true
		}
	}
	return false
}

// Endpoints are the URLs that are asked; a report keeps their hosts.
func (s *nodeSource) Endpoints() []string { return s.endpoints }

// About says what is read, in words.
func (s *nodeSource) About() string {
	n := 0
	for _, x := range s.Setup() {
		if x.Known != nil { // it was not left out
			n++
		}
	}
	if n > 1 {
		return fmt.Sprintf("%d JSON-RPC nodes", n)
	}
	return "a JSON-RPC node"
}

// Asked is who is asked, as [Reopen] wants to know it.
func (s *nodeSource) Asked() (asked []evidence.Endpoint) {
	for _, n := range s.Setup() {
		e := evidence.Endpoint{Host: n.Host, Role: n.Role}
		if n.Known != nil {
			e.Known, _ = json.Marshal(n.Known) // texts and numbers
		}
		asked = append(asked, e)
	}
	return asked
}

// Plan puts indexers before a node that [At] made, or returns it if there are
// none. They read up to its block.
func Plan(ctx context.Context, chain tracer.Chain, node tracer.Source, list []indexsource.Index, o indexsource.Options) (tracer.Source, error) {
	if len(list) == 0 {
		return node, nil
	}
	pinned, err := node.Pin(ctx)
	if err != nil {
		return nil, err
	}
	o.Pin = &pinned
	p := new(Planned)
	if n, ok := node.(*nodeSource); ok {
		p.asked, p.node = n.Asked(), n.About()
	}
	var faster []tracer.Source
	for _, x := range list {
		s, err := x.Open(chain, o)
		if err != nil {
			return nil, err
		}
		faster = append(faster, s)
	}
	p.Planner = indexsource.Plan(node, faster...)
	for i, e := range p.Planner.Endpoints() {
		p.asked = append(p.asked, evidence.Endpoint{Name: list[i].Name, Host: host(e), Public: list[i].URL == ""})
	}
	return p, p.Look(ctx)
}

// Endpoints are the URLs that are asked; a report keeps their hosts.
func (p *Planned) Endpoints() []string {
	return append(endpoints(p.Unwrap()), p.Planner.Endpoints()...)
}

// Asked is who is asked, as [Reopen] wants to know it.
func (p *Planned) Asked() []evidence.Endpoint { return p.asked }

// About says what is read, in words.
func (p *Planned) About() string {
	names := p.Names()
	if len(names) == 0 {
		return p.node
	}
	return strings.Join(names, ", ") + " and " + p.node
}

// Reopen opens what was asked anew, in a recording. asked is empty if that was
// one node of which nothing was known.
func Reopen(ctx context.Context, chain tracer.Chain, rec *evidence.Node, pin *tracer.Block, asked []evidence.Endpoint) (tracer.Source, error) {
	var setup []ethsource.SetupNode
	var list []indexsource.Index
	for _, e := range asked {
		switch x := (indexsource.Index{Name: e.Name}); {
		case e.Name == "":
			n := ethsource.SetupNode{Host: e.Host, Role: e.Role}
			if len(e.Known) > 0 && json.Unmarshal(e.Known, &n.Known) != nil {
				return nil, errors.New("the recording does not say what was known of a node")
			}
			setup = append(setup, n)
		case !e.Public:
			x.URL = address(e.Host)
			fallthrough
		default:
			list = append(list, x)
		}
	}
	if len(setup) == 0 {
		setup = []ethsource.SetupNode{{Host: rec.Host()}}
	}
	node, at, err := ethsource.Reopen(ctx, chain, setup, ethsource.Options{Pin: pin, Wrap: rec.WrapNode})
	if err != nil {
		return nil, err
	}
	return Plan(ctx, chain, At(node, at), list, indexsource.Options{Wrap: rec.WrapAt, Recorded: true})
}

func endpoints(src tracer.Source) []string {
	if e, ok := src.(interface{ Endpoints() []string }); ok {
		return e.Endpoints()
	}
	return nil
}

// host is the host of an address.
func host(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// address is one of a host.
func address(host string) string {
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return "http://" + host
}
