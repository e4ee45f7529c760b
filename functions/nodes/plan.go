package nodes

import (
	"context"
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
}

// At returns the source with the address that it reads from.
func At(src *ethsource.Source, url string) tracer.Source { return &nodeSource{src, url} }

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
	for _, e := range endpoints(node) {
		p.asked = append(p.asked, evidence.Endpoint{Host: host(e)})
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
	return p, nil
}

// Endpoints are the URLs that are asked; a report keeps their hosts.
func (p *Planned) Endpoints() []string {
	return append(endpoints(p.Unwrap()), p.Planner.Endpoints()...)
}

// Asked is who is asked, as [Reopen] wants to know it.
func (p *Planned) Asked() []evidence.Endpoint { return p.asked }

// About says what is read, in words.
func (p *Planned) About() string {
	return strings.Join(p.Names(), ", ") + " and a JSON-RPC node"
}

// Reopen opens what was asked anew, in a recording. asked is empty if that was
// one node.
func Reopen(ctx context.Context, chain tracer.Chain, rec *evidence.Node, pin *tracer.Block, asked []evidence.Endpoint) (tracer.Source, error) {
	at := rec.Host()
	var list []indexsource.Index
	for _, e := range asked {
		switch x := (indexsource.Index{Name: e.Name}); {
		case e.Name == "":
			at = e.Host
		case !e.Public:
			x.URL = address(e.Host)
			fallthrough
		default:
			list = append(list, x)
		}
	}
	node, err := ethsource.Open(ctx, chain, address(at), ethsource.Options{Pin: pin, Wrap: rec.Wrap, Recorded: true})
	if err != nil {
		return nil, err
	}
	return Plan(ctx, chain, At(node, address(at)), list, indexsource.Options{Wrap: rec.WrapAt, Recorded: true})
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
