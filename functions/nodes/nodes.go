// Package nodes connects the pipeline to the nodes of chains. Only programs that
// read a chain link it.
package nodes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"scamtrace/functions"
	"scamtrace/graphstore"
	"scamtrace/tracer"
	"scamtrace/tracer/ethsource"
	"scamtrace/tracer/evidence"
	"scamtrace/tracer/indexsource"

	"golang.org/x/time/rate"
)

// WithChains reads chains from the endpoints in SCAMTRACE_RPC, as
// [ParseEndpoints] has them, or else in the object private/rpc.json, an object
// of chain names and addresses; at most SCAMTRACE_RATE calls a second. Indexers
// are asked before the nodes: those in SCAMTRACE_INDEX that have the chain, as
// [indexsource.Choose] has them, or else [indexsource.Default]. Their keys stand in the environment,
// or in private/rpc.json under the same names.
func WithChains(s *functions.Setup) {
	e, err := ParseEndpoints(s.List("SCAMTRACE_RPC")...)
	if err != nil {
		s.Bad("SCAMTRACE_RPC", err.Error())
	}
	e.Bucket, e.Limiter = s.App.Bucket, Limit(float64(s.Number("SCAMTRACE_RATE")))
	if err := e.Ask(s.List("SCAMTRACE_INDEX"), func(key string) (string, bool) { v := s.Text(key); return v, v != "" }); err != nil {
		s.Bad("SCAMTRACE_INDEX", strings.TrimPrefix(err.Error(), tracer.ErrUsage.Error()+": "))
	}
	s.App.Open = e.Open
}

var isName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// Endpoints are the JSON-RPC endpoints of chains.
type Endpoints struct {
	Bucket  graphstore.Bucket // of private/rpc.json; nil: there is none
	Limiter *rate.Limiter     // of all calls together; nil: none

	index  []string // of indexers; none: the default
	lookup func(string) (string, bool)

	mu   sync.Mutex
	urls map[string]string // by chain name, and settings of indexers by theirs
}

// Ask names the indexers to ask, with settings that lookup has.
func (e *Endpoints) Ask(index []string, lookup func(string) (string, bool)) error {
	e.index, e.lookup = index, lookup
	_, err := indexsource.Choose(index, lookup)
	return err
}

// setting looks up a setting of an indexer.
func (e *Endpoints) setting(name string) (v string, ok bool) {
	if e.lookup != nil {
		v, ok = e.lookup(name)
	}
	if !ok {
		e.mu.Lock()
		defer e.mu.Unlock()
		v, ok = e.urls[name]
	}
	return v, ok
}

// ParseEndpoints reads chain=URL, or a URL alone, which is one of Ethereum. No
// error holds the URL, which may hold a key.
func ParseEndpoints(list ...string) (*Endpoints, error) {
	e := &Endpoints{urls: make(map[string]string)}
	for _, text := range list {
		chain, url, ok := strings.Cut(text, "=")
		if !ok || !isName.MatchString(chain) {
			chain, url = "ethereum", text
		}
		if !strings.HasPrefix(url, "http://") && !strings.HasPrefix(url, "https://") {
			return e, errors.New("an endpoint is a chain's name, = and a web address: ethereum=https://host/path")
		}
		e.urls[chain] = url
	}
	return e, nil
}

// Limit is a limit of calls a second; 0 is none.
func Limit(perSecond float64) *rate.Limiter {
	if perSecond <= 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond)))
}

// Names are the chains that have an endpoint of their own, sorted.
func (e *Endpoints) Names() []string { return slices.Sorted(maps.Keys(e.urls)) }

// Open is a [functions.Opener].
func (e *Endpoints) Open(ctx context.Context, chain tracer.Chain, pin *tracer.Block, rec *evidence.Recorder) (tracer.Source, error) {
	url, err := e.url(ctx, chain.Name)
	if err != nil {
		return nil, err
	}
	src, err := ethsource.Open(ctx, chain, url, ethsource.Options{Pin: pin, Limiter: e.Limiter, Wrap: rec.Wrap})
	if err != nil {
		return nil, err
	}
	list, err := e.indexes(chain, url)
	if err != nil {
		return nil, err
	}
	return Plan(ctx, chain, &nodeSource{src, url}, list, indexsource.Options{Wrap: rec.WrapAt})
}

// indexes are the indexers to ask about a chain.
func (e *Endpoints) indexes(chain tracer.Chain, node string) ([]indexsource.Index, error) {
	names := e.index
	if len(names) == 0 {
		names = indexsource.Default(chain, node)
	}
	list, err := indexsource.Choose(names, e.setting)
	return slices.DeleteFunc(list, func(x indexsource.Index) bool { return !x.Has(chain) }), err
}

// A nodeSource is a source that knows where it reads.
type nodeSource struct {
	*ethsource.Source
	endpoint string
}

// Endpoints are the URLs that are asked; a report keeps their hosts.
func (s *nodeSource) Endpoints() []string { return []string{s.endpoint} }

func (e *Endpoints) url(ctx context.Context, chain string) (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.urls) == 0 && e.Bucket != nil {
		data, _, err := e.Bucket.Get(ctx, "private/rpc.json")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		if err == nil && json.Unmarshal(data, &e.urls) != nil {
			return "", errors.New("private/rpc.json is not an object of chain names and addresses")
		}
	}
	if url, ok := e.urls[chain]; ok {
		return url, nil
	}
	return "", fmt.Errorf("%w: no node of the chain %s is configured here", tracer.ErrUsage, chain)
}
