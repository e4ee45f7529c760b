package ethsource

import (
	"cmp"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"scamtrace/tracer"
)

// A Role is what an endpoint is asked for first. Where the endpoints of a role
// fail or lack something, the others are asked.
type Role uint8

// The roles.
const (
	RolePrimary Role = iota // logs, blocks, transactions, receipts
	RoleArchive             // states of old blocks
	RoleTrace               // what contracts did: trace_, debug_ and ots_ methods
)

var roleNames = [...]string{"primary", "archive", "trace"}

// String returns the role's name.
func (r Role) String() string {
	if int(r) < len(roleNames) {
		return roleNames[r]
	}
	return fmt.Sprintf("role(%d)", uint8(r))
}

// An Endpoint is the address of a node's JSON-RPC. The URL may hold a key;
// nothing prints it.
type Endpoint struct {
	Chain string // the chain's name; empty: whichever is asked for
	Role  Role
	URL   string
}

var isName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// ParseEndpoints reads endpoints, one or several in a text with commas between
// them, each written as a web address, with the name of its role before it where
// it has one, and before that the name of its chain:
//
//	https://host/path
//	archive=https://host/path
//	bsc=trace=https://host/path
//
// An error wraps [tracer.ErrUsage] and does not repeat what it is about, which
// may hold a key.
func ParseEndpoints(list ...string) ([]Endpoint, error) {
	var out []Endpoint
	list = strings.Split(strings.Join(list, ","), ",")
	for i, text := range list {
		e := Endpoint{URL: strings.TrimSpace(text)}
		named := false
		for {
			word, rest, ok := strings.Cut(e.URL, "=")
			if !ok || !isName.MatchString(word) {
				break
			}
			if r := slices.Index(roleNames[:], word); r >= 0 && !named {
				e.Role, named = Role(r), true
			} else if e.Chain == "" && !named {
				e.Chain = word
			} else {
				break
			}
			e.URL = rest
		}
		if _, err := parseURL(e.URL); err != nil {
			return nil, fmt.Errorf("%w: endpoint %d of %d is not a web address; write it like https://host/path, archive=https://host/path or bsc=https://host/path", tracer.ErrUsage, i+1, len(list))
		}
		out = append(out, e)
	}
	return out, nil
}

// Misnamed is an error if an endpoint names a chain that is none of this
// version's and not one of some others: it was meant to be a role, and would be
// left out. It wraps [tracer.ErrUsage].
func Misnamed(list []Endpoint, others ...string) error {
	for _, c := range tracer.Chains() {
		others = append(others, c.Name)
	}
	for _, e := range list {
		if e.Chain != "" && !slices.Contains(others, e.Chain) {
			return fmt.Errorf("%w: %s is neither a role (archive or trace) nor a chain; write an endpoint like https://host/path, archive=https://host/path or bsc=https://host/path", tracer.ErrUsage, e.Chain)
		}
	}
	return nil
}

// EndpointsOf are the endpoints of a chain: those that name it, and those that
// name none.
func EndpointsOf(chain string, list []Endpoint) []Endpoint {
	return slices.DeleteFunc(slices.Clone(list), func(e Endpoint) bool { return cmp.Or(e.Chain, chain) != chain })
}

// URLs are the addresses of endpoints, keys and all.
func URLs(list []Endpoint) []string {
	out := make([]string, len(list))
	for i, e := range list {
		out[i] = e.URL
	}
	return out
}

// names tells endpoints apart without their keys: by host, and those of one
// host by their order. A port is left out: a node on this machine has another
// one every time, and a report is to be the same.
func names(urls []*url.URL) []string {
	count := make(map[string]int)
	out := make([]string, len(urls))
	for i, u := range urls {
		out[i] = u.Hostname()
		if count[out[i]]++; count[out[i]] > 1 {
			out[i] = fmt.Sprintf("%s#%d", u.Hostname(), count[u.Hostname()])
		}
	}
	return out
}

func parseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%w: the endpoint is not a web address; write it like https://host/path", tracer.ErrUsage)
	}
	return u, nil
}

// What the methods of a role begin with, or are.
var (
	tracePrefixes = []string{"trace_", "debug_", "ots_"}
	stateMethods  = []string{"eth_getBalance", "eth_getTransactionCount", "eth_getCode", "eth_call"}
)

// A want is what a try at a call needs of a node.
type want struct {
	method string
	role   Role
	calls  func() int // how many it is about; nil: one
	tour   *tour      // the tries before it, when the answers to these were no good
}

// wanted is what a call needs. A state is an old one unless the newest is asked
// for: nodes throw the finalized block's away within minutes.
func wanted(method string, args []any) want {
	w := want{method: method}
	switch {
	case slices.ContainsFunc(tracePrefixes, func(p string) bool { return strings.HasPrefix(method, p) }):
		w.role = RoleTrace
	case slices.Contains(stateMethods, method) && len(args) > 1 && args[len(args)-1] != "latest":
		w.role = RoleArchive
	}
	return w
}
