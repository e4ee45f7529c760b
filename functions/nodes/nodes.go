// Package nodes connects the pipeline to the nodes of chains. Only programs that
// read a chain link it.
package nodes

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"reflect"
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
// of chain names and, for each, an address or a list of them; at most
// SCAMTRACE_RATE calls a second. Indexers
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

// Endpoints are the JSON-RPC endpoints of chains. What is learnt of them is kept
// in the object private/endpoints.json, by host.
type Endpoints struct {
	Bucket  graphstore.Bucket // of private/rpc.json and of what was learnt; nil: there is none
	Limiter *rate.Limiter     // of all calls together; nil: none

	index  []string // of indexers; none: the default
	lookup func(string) (string, bool)

	private func(host string) bool // what is learnt there is not written down

	mu       sync.Mutex
	list     []ethsource.Endpoint
	settings map[string]string            // of indexers, by their names
	last     map[string]*ethsource.Source // by chain name
	known    map[string]ethsource.Ability
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
		v, ok = e.settings[name]
	}
	return v, ok
}

// ParseEndpoints reads endpoints as [ethsource.ParseEndpoints] does: chain=URL,
// or chain=role=URL. Without a chain it is Ethereum. No error holds the URL,
// which may hold a key.
func ParseEndpoints(list ...string) (*Endpoints, error) {
	e := &Endpoints{last: make(map[string]*ethsource.Source), private: indexsource.Private}
	if len(list) == 0 {
		return e, nil
	}
	var err error
	if e.list, err = ethsource.ParseEndpoints(list...); err != nil {
		return e, errors.New(strings.TrimPrefix(err.Error(), tracer.ErrUsage.Error()+": "))
	}
	for i := range e.list {
		e.list[i].Chain = cmp.Or(e.list[i].Chain, "ethereum")
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
func (e *Endpoints) Names() []string {
	var names []string
	for _, x := range e.list {
		names = append(names, x.Chain)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Open is a [functions.Opener].
func (e *Endpoints) Open(ctx context.Context, chain tracer.Chain, pin *tracer.Block, rec *evidence.Recorder) (tracer.Source, error) {
	list, err := e.of(ctx, chain.Name)
	if err != nil {
		return nil, err
	}
	src, err := ethsource.OpenPool(ctx, chain, list, ethsource.Options{Pin: pin, Limiter: e.Limiter, Wrap: rec.WrapNode, Known: e.remembered(ctx)})
	if err != nil {
		return nil, err
	}
	e.remember(ctx, chain.Name, src)
	index, err := e.indexes(ctx, chain, list)
	if err != nil {
		return nil, err
	}
	return Plan(ctx, chain, At(src, list), index, indexsource.Options{Wrap: rec.WrapAt})
}

// indexes are the indexers to ask about a chain.
func (e *Endpoints) indexes(ctx context.Context, chain tracer.Chain, nodes []ethsource.Endpoint) ([]indexsource.Index, error) {
	names := e.index
	if len(names) == 0 {
		names = Default(ctx, chain, nodes)
	}
	list, err := indexsource.Choose(names, e.setting)
	return slices.DeleteFunc(list, func(x indexsource.Index) bool { return !x.Has(chain) }), err
}

// Default is [indexsource.Default] for several nodes: one that is private is
// reason enough to tell nobody.
func Default(ctx context.Context, chain tracer.Chain, nodes []ethsource.Endpoint) []string {
	return indexsource.Default(ctx, chain, ethsource.URLs(nodes)...)
}

// of returns the endpoints of a chain.
func (e *Endpoints) of(ctx context.Context, chain string) ([]ethsource.Endpoint, error) {
	e.mu.Lock()
	all := e.list
	e.mu.Unlock()
	if len(all) == 0 && e.Bucket != nil {
		data, _, err := e.Bucket.Get(ctx, "private/rpc.json")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if err == nil {
			var settings map[string]string
			if all, settings, err = parsePrivate(data); err != nil {
				return nil, err
			}
			e.mu.Lock()
			e.list, e.settings = all, settings
			e.mu.Unlock()
		}
	}
	list := slices.DeleteFunc(slices.Clone(all), func(x ethsource.Endpoint) bool { return x.Chain != chain })
	if len(list) == 0 {
		return nil, fmt.Errorf("%w: no node of the chain %s is configured here", tracer.ErrUsage, chain)
	}
	return list, nil
}

var errPrivate = errors.New("private/rpc.json is not an object of chain names and addresses, or lists of addresses")

// parsePrivate reads an object of chain names and addresses, and of settings of
// indexers, which begin with SCAMTRACE_. No error repeats what is in it.
func parsePrivate(data []byte) (list []ethsource.Endpoint, settings map[string]string, err error) {
	var rows map[string]json.RawMessage
	if json.Unmarshal(data, &rows) != nil {
		return nil, nil, errPrivate
	}
	settings = make(map[string]string)
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		var one string
		var texts []string
		if json.Unmarshal(rows[name], &one) == nil {
			texts = []string{one}
		} else if json.Unmarshal(rows[name], &texts) != nil || len(texts) == 0 {
			return nil, nil, errPrivate
		}
		if strings.HasPrefix(name, "SCAMTRACE_") {
			settings[name] = one
			continue
		}
		some, err := ethsource.ParseEndpoints(texts...)
		if err != nil {
			return nil, nil, errPrivate
		}
		for _, x := range some {
			x.Chain = name
			list = append(list, x)
		}
	}
	return list, settings, nil
}

// learntKey is the object with what was learnt of endpoints.
const learntKey = "private/endpoints.json"

// Lasting returns, of what was learnt of endpoints, what is worth keeping: those on
// this machine or in a private network cost nothing to ask, and another one may be
// there the next time.
func Lasting(learned map[string]ethsource.Ability) map[string]ethsource.Ability {
	return lasting(learned, indexsource.Private)
}

func lasting(learned map[string]ethsource.Ability, private func(host string) bool) map[string]ethsource.Ability {
	out := maps.Clone(learned)
	maps.DeleteFunc(out, func(key string, _ ethsource.Ability) bool {
		_, name, _ := strings.Cut(key, "/")
		host, _, _ := strings.Cut(name, "#")
		return private(host)
	})
	return out
}

// remembered returns what was learnt of endpoints, as far as it can be read.
func (e *Endpoints) remembered(ctx context.Context) map[string]ethsource.Ability {
	e.mu.Lock()
	known := e.known
	e.mu.Unlock()
	if known != nil || e.Bucket == nil {
		return maps.Clone(known)
	}
	data, _, err := e.Bucket.Get(ctx, learntKey)
	if err != nil || json.Unmarshal(data, &known) != nil {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.known = ethsource.MergeAbilities(known, e.known) // of who was faster
	return maps.Clone(e.known)
}

// remember keeps what was learnt of endpoints up to now: by a source that was
// opened, and by the one before it since. Who loses a race to write loses
// nothing but a few calls of the next run.
func (e *Endpoints) remember(ctx context.Context, chain string, src *ethsource.Source) {
	now := e.learn(chain, src)
	if now = lasting(now, e.private); len(now) == 0 || e.Bucket == nil {
		return
	}
	data, tag, err := e.Bucket.Get(ctx, learntKey)
	var theirs map[string]ethsource.Ability
	if err == nil && json.Unmarshal(data, &theirs) != nil {
		theirs = nil
	}
	more, jsonErr := json.Marshal(ethsource.MergeAbilities(theirs, now))
	switch {
	case jsonErr != nil:
	case err == nil:
		_, _ = e.Bucket.Replace(ctx, learntKey, more, tag)
	default: // not there, which S3 tells nobody who may not list the folder
		_, _ = e.Bucket.Create(ctx, learntKey, more)
	}
}

// learn returns all that is known now, or nothing if that is nothing new.
func (e *Endpoints) learn(chain string, src *ethsource.Source) map[string]ethsource.Ability {
	e.mu.Lock()
	defer e.mu.Unlock()
	learned := make(map[string]ethsource.Ability)
	if before := e.last[chain]; before != nil {
		maps.Copy(learned, before.Learned())
	}
	for key, a := range src.Learned() {
		if _, known := learned[key]; !known {
			learned[key] = a
		}
	}
	e.last[chain] = src
	now := ethsource.MergeAbilities(e.known, learned)
	if reflect.DeepEqual(now, e.known) {
		return nil
	}
	e.known = now
	return now
}
