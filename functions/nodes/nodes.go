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

	"golang.org/x/time/rate"
)

// WithChains reads chains from the endpoints in SCAMTRACE_RPC, as
// [ParseEndpoints] has them, or else in the object private/rpc.json, an object
// of chain names and addresses; at most SCAMTRACE_RATE calls a second.
func WithChains(s *functions.Setup) {
	e, err := ParseEndpoints(s.List("SCAMTRACE_RPC")...)
	if err != nil {
		s.Bad("SCAMTRACE_RPC", err.Error())
	}
	e.Bucket, e.Limiter = s.App.Bucket, Limit(float64(s.Number("SCAMTRACE_RATE")))
	s.App.Open = e.Open
}

var isName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// Endpoints are the JSON-RPC endpoints of chains.
type Endpoints struct {
	Bucket  graphstore.Bucket // of private/rpc.json; nil: there is none
	Limiter *rate.Limiter     // of all calls together; nil: none

	mu   sync.Mutex
	urls map[string]string // by chain name
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
func (e *Endpoints) Open(ctx context.Context, chain tracer.Chain, pin *tracer.Block, wrap functions.Wrap) (tracer.Source, error) {
	url, err := e.url(ctx, chain.Name)
	if err != nil {
		return nil, err
	}
	src, err := ethsource.Open(ctx, chain, url, ethsource.Options{Pin: pin, Limiter: e.Limiter, Wrap: wrap})
	if err != nil {
		return nil, err
	}
	return At(src, url), nil
}

// At returns the source with the address that it reads from.
func At(src *ethsource.Source, url string) tracer.Source { return &nodeSource{src, url} }

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
