package ethsource

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"scamtrace/tracer"
)

// An Ability is what is known of an endpoint: what it can do, and what it takes
// at once. It is safe to write down, as JSON.
//
// A wrong one is harmless. An endpoint that can do less than it says is asked
// the next best way after its first refusal. One that can do more is asked
// again after a day; until then what it was not known to show is read another
// way or, as in a run that found the same, reported as unread. Windows and
// batches only make requests smaller. And from which block on the chain tells
// moves of native coin in logs, every run looks up in that block.
type Ability struct {
	Traces  bool     `json:"traces,omitempty"`  // trace_filter
	Index   bool     `json:"index,omitempty"`   // ots_searchTransactionsAfter
	Archive bool     `json:"archive,omitempty"` // old states
	ByBlock string   `json:"byBlock,omitempty"` // the method that traces a block, if there is one
	Lacks   []string `json:"lacks,omitempty"`   // methods that it does not offer, sorted
	Told    *uint64  `json:"told,omitempty"`    // the first block known to tell moves of native coin in logs
	Logs    uint64   `json:"logs,omitempty"`    // blocks that it takes in eth_getLogs; 0: any number
	Traced  uint64   `json:"traced,omitempty"`  // the same in trace_filter
	Batch   int      `json:"batch,omitempty"`   // calls that it takes in a request
	Asked   int64    `json:"asked,omitempty"`   // when, in Unix seconds

	unsure bool // a question was not answered
}

// inside reports whether the endpoint shows what contracts did.
func (a *Ability) inside() bool { return a.Traces || a.Index || a.ByBlock != "" }

// staleAfter is how long an ability is known.
const staleAfter = 24 * time.Hour

// known returns what earlier runs have learnt of a node.
func (s *Source) known(n *node, o *Options) (Ability, bool) {
	if o.Recorded {
		a, ok := o.Known[n.name]
		return a, ok
	}
	a, ok := o.Known[s.key(n)]
	if !ok {
		return a, false
	}
	age := time.Since(time.Unix(a.Asked, 0))
	return a, age >= 0 && age < staleAfter && (a.ByBlock == "" || slices.Contains(blockMethods, a.ByBlock))
}

// key is a node's in [Options.Known]: chain, host, and a hash of the address,
// because a host may do more for one key than for another. Keys are long and
// random, and so few bits of a hash fit countless others.
func (s *Source) key(n *node) string {
	sum := sha256.Sum256([]byte(n.endpoint))
	host, _, _ := strings.Cut(n.name, "#")
	return fmt.Sprintf("%d/%s#%x", s.chain.ID, host, sum[:6])
}

// adopt gives a node an ability.
func (s *Source) adopt(n *node, a Ability) {
	n.mu.Lock()
	n.can = a
	for _, m := range a.Lacks {
		n.lacks[m] = true
	}
	if a.Batch > 0 {
		n.most = min(n.most, a.Batch)
		n.batch = min(n.batch, n.most)
	}
	n.mu.Unlock()
	narrow := func(w *window, most uint64) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if x := w.at(n.index); most > 0 {
			x.max, x.now = min(x.max, most), min(x.now, most)
		}
	}
	narrow(s.logs, a.Logs)
	narrow(s.traced, a.Traced)
}

// learned is what is known of a node now.
func (s *Source) learned(n *node) Ability {
	n.mu.Lock()
	a := n.can
	a.Lacks = slices.Sorted(maps.Keys(n.lacks))
	a.Batch = 0
	if n.most < maxBatch {
		a.Batch = n.most
	}
	n.mu.Unlock()
	widest := func(w *window) uint64 {
		w.mu.Lock()
		defer w.mu.Unlock()
		if most := w.at(n.index).max; most < anyWidth {
			return most
		}
		return 0
	}
	a.Logs, a.Traced = widest(s.logs), widest(s.traced)
	if a.Told = nil; !a.Traces {
		told := s.toldFrom()
		a.Told = &told
	}
	return a
}

// Learned returns what is known of the endpoints by now, for [Options.Known] of
// another run: by chain, host and a hash of the address. An endpoint that did
// not answer all questions, or not to this key, is not among them, nor is a
// method that it denied: another plan may have it.
func (s *Source) Learned() map[string]Ability {
	out := make(map[string]Ability)
	for _, n := range s.c.nodes {
		if a := s.learned(n); !a.unsure && !n.gone() {
			n.mu.Lock()
			a.Lacks = slices.DeleteFunc(a.Lacks, func(m string) bool { return n.denied[m] })
			n.mu.Unlock()
			out[s.key(n)] = a
		}
	}
	return out
}

// A SetupNode says how a node of a source was opened, without the rest of its
// address: with that and its recorded answers, a trace can be run again. It is
// safe to write down, as JSON.
type SetupNode struct {
	Host  string   `json:"host"`
	Role  string   `json:"role,omitempty"`  // empty: primary
	Known *Ability `json:"known,omitempty"` // before the first question of the trace; nil: it was left out, or is asked again
}

// Reopen opens nodes as they were, over a recording of what they answered. It
// returns addresses of theirs too, with nothing but the host.
func Reopen(ctx context.Context, chain tracer.Chain, nodes []SetupNode, o Options) (*Source, []Endpoint, error) {
	var texts []string
	for _, n := range nodes {
		if strings.Contains(n.Host, ":") {
			n.Host = "[" + n.Host + "]"
		}
		texts = append(texts, cmp.Or(n.Role, RolePrimary.String())+"=http://"+n.Host)
	}
	list, err := ParseEndpoints(texts...)
	if err != nil {
		return nil, nil, err
	}
	urls := make([]*url.URL, len(list))
	for i, e := range list {
		urls[i], _ = url.Parse(e.URL) // as it was just now
	}
	o.Recorded, o.Known = true, make(map[string]Ability)
	for i, name := range names(urls) {
		if a := nodes[i].Known; a != nil {
			o.Known[name] = *a
		}
	}
	src, err := OpenPool(ctx, chain, list, o)
	return src, list, err
}

// Setup returns how the nodes of the source were opened, in their order.
func (s *Source) Setup() []SetupNode { return slices.Clone(s.setup) }

// Compares reports whether what is read is held against balances: a node keeps
// old ones.
func (s *Source) Compares() bool {
	return slices.ContainsFunc(s.setup, func(n SetupNode) bool { return n.Known != nil && n.Known.Archive })
}

// abilities are what the nodes can do together.
func (s *Source) abilities() Ability {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.can
}

// unite finds out what the nodes can do together.
func (s *Source) unite() {
	var all Ability
	best := len(blockMethods)
	for _, n := range s.c.nodes {
		n.mu.Lock()
		a := n.can
		n.mu.Unlock()
		all.Traces, all.Index, all.Archive = all.Traces || a.Traces, all.Index || a.Index, all.Archive || a.Archive
		if i := slices.Index(blockMethods, a.ByBlock); i >= 0 && i < best {
			best, all.ByBlock = i, a.ByBlock
		}
	}
	s.mu.Lock()
	s.can = all
	s.mu.Unlock()
}

// forgo gives up one of the ways to read native coin, trace_filter or the index,
// after all nodes have refused it.
func (s *Source) forgo(way int) {
	for _, n := range s.c.nodes {
		n.mu.Lock()
		if way == 0 {
			n.can.Traces = false
		} else {
			n.can.Index = false
		}
		n.mu.Unlock()
	}
	s.unite()
}

// drop gives up a method that traces blocks, for the next that may be there.
func (s *Source) drop(method string) {
	next := ""
	if method == blockMethods[0] {
		next = blockMethods[1]
	}
	for _, n := range s.c.nodes {
		n.mu.Lock()
		if n.can.ByBlock == method {
			n.can.ByBlock = next
		}
		n.mu.Unlock()
	}
	s.unite()
}

// absent reports whether an error says that the method is not there.
func absent(err error) bool {
	e, ok := errors.AsType[*nodeError](err)
	return ok && !e.inner && (e.kind == kindMissing || e.kind == kindDenied)
}

// MergeAbilities adds what was learnt to what is written down, without what
// nobody can use any more.
func MergeAbilities(known, learned map[string]Ability) map[string]Ability {
	out := make(map[string]Ability)
	for _, m := range []map[string]Ability{known, learned} {
		for key, a := range m {
			if age := time.Since(time.Unix(a.Asked, 0)); age < staleAfter {
				out[key] = a
			}
		}
	}
	return out
}
