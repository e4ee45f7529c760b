package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"scamtrace/functions/nodes"
	"scamtrace/tracer"
	"scamtrace/tracer/ethsource"
	"scamtrace/tracer/indexsource"
)

// wrapAt wraps what goes to an endpoint that is asked by address, as
// [indexsource.Options.Wrap] does.
type wrapAt = func(base *url.URL, key string, next http.RoundTripper) http.RoundTripper

// choose returns the indexers that --index names, or those that are asked
// unless it does; each has the chain and what it needs.
func (f *sourceFlags) choose(ctx context.Context, chain tracer.Chain, rpc []ethsource.Endpoint) ([]indexsource.Index, error) {
	names := f.index
	if len(names) == 0 {
		names = nodes.Default(ctx, chain, rpc)
	}
	list, err := indexsource.Choose(names, environment(ctx))
	if err != nil {
		return nil, usage("--index: %s", strings.TrimPrefix(err.Error(), tracer.ErrUsage.Error()+": "))
	}
	for _, x := range list {
		if err := x.Check(chain); err != nil {
			return nil, usage("--index: %s", strings.TrimPrefix(err.Error(), tracer.ErrUsage.Error()+": "))
		}
	}
	return list, nil
}

// read says what is read: a node, or one with indexers before it.
func (r *reading) read(src tracer.Source) {
	r.source, r.about = src, "a JSON-RPC node"
	if p, ok := src.(interface{ About() string }); ok {
		r.about = p.About()
	}
	if n, ok := src.(interface{ Notes() []string }); ok {
		r.notes = n.Notes()
	}
	if e, ok := src.(interface{ Endpoints() []string }); ok {
		r.endpoints = e.Endpoints()
	}
}

// shares says what each source contributed.
func shares(p *nodes.Planned) string {
	var parts []string
	for _, s := range p.Shares() {
		things := "transfers"
		if s.Transfers == 1 {
			things = "transfer"
		}
		text := fmt.Sprintf("%s showed %d %s", s.Name, s.Transfers, things)
		if s.Trouble != "" {
			text = fmt.Sprintf("%s was not asked for transfers (%s)", s.Name, s.Trouble)
		}
		parts = append(parts, text)
	}
	text := strings.Join(parts, "; ") + "."
	return strings.ToUpper(text[:1]) + text[1:]
}

type environmentKey struct{}

// environment looks up settings that are no flags, as keys are: the arguments
// of a process are for everybody on the machine to see.
func environment(ctx context.Context) func(string) (string, bool) {
	if lookup, ok := ctx.Value(environmentKey{}).(func(string) (string, bool)); ok {
		return lookup
	}
	return func(string) (string, bool) { return "", false }
}
