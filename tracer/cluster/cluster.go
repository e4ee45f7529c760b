// Package cluster says which wallets likely act as one, and why.
//
// [Deposits] finds the addresses that forward only to one service: an account
// somebody has there. [Find] links wallets by rules ([RuleDeposit],
// [RuleFunder]), each link with its confidence, its transactions and a
// sentence, and joins linked wallets into clusters. A rule's precision on
// worlds whose truth is known is [Measured]. All of it is inference: no sum of
// money may depend on it.
//
// What it promises: the result depends on the transfers and the [Input] alone,
// in whatever order wallets are given. A known service, a hub, a contract and
// a deposit address are in no cluster, nor is a wallet that paid a seed with
// money of its own, a later look-alike of another wallet, or one that sends
// nothing but dust. And nobody is accused on one inferred link: a wallet that
// the traced money did not reach joins only as the gas funder of most of those
// it funded, and every link between two others rests on two observations that
// do not follow from each other.
package cluster

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
)

// Join is the confidence, in percent, that a link needs to be reported and to
// join its wallets. At 75 a deposit address must on average have forwarded
// exact amounts within half of the window, and a common gas funder needs more
// beside it than coins sent at the same time.
const Join = 75

// A Graph holds transfers.
type Graph interface {
	// Of yields all known transfers in or out of a wallet in chain order, each
	// once.
	Of(tracer.Wallet) iter.Seq[tracer.Transfer]
}

// Input is what is known beside the transfers. Functions may be nil; they must
// answer the same every time. Wallets of other chains than Chain are ignored.
type Input struct {
	Chain tracer.Chain
	// Wallets are those that traced money reached, in any order. Services,
	// hubs and deposit addresses may be among them.
	Wallets []tracer.Wallet
	// Seeds are the reported wallets.
	Seeds []tracer.Wallet

	// Service returns the business whose wallet this is: the same name for all
	// wallets of one business. nil: none is known.
	Service func(tracer.Wallet) (name string, ok bool)
	// Custodian says whether the business of a wallet gives its customers
	// deposit addresses, as exchanges do and bridges, mixers and swaps do not.
	// nil: all do.
	Custodian func(tracer.Wallet) bool
	// Hub says whether a wallet pools the money of many. nil: none does.
	Hub func(tracer.Wallet) bool
	// Contract says whether a wallet is a contract. nil: none is.
	Contract func(tracer.Wallet) bool
	// Complete says whether everything that a wallet did was read. A deposit
	// address that is not complete counts less, a gas funder that is not
	// complete does not count; see [Funders]. nil: all are.
	Complete func(tracer.Wallet) bool
	// USD is the value of an amount at a time in Unix seconds. nil, and where
	// ok is false: the chain's dollar tokens are worth a dollar and nothing
	// else has a price.
	USD func(a tracer.Asset, amount *uint256.Int, time uint64) (usd tracer.Micros, ok bool)
}

// A Link is why two wallets likely act as one.
type Link struct {
	A, B       tracer.Wallet // A before B
	Rule       Rule
	Confidence int           // percent, at least [Join]
	Evidence   []common.Hash // transactions, chain order, at most 16
	Detail     string        // one sentence for people
}

// A Cluster is wallets that likely act as one.
type Cluster struct {
	ID      string          // c1, c2, …
	Wallets []tracer.Wallet // sorted, at least two
	// Links hold the cluster together: of each rule the strongest that
	// do, so at most one fewer than there are wallets. By A, B, rule.
	Links []Link
}

// Find returns the clusters among the wallets of in, the largest first, then
// by first wallet.
func Find(g Graph, in Input) []Cluster {
	f := newFinder(g, in)
	f.deposits()
	f.suspects()
	f.common = f.shared()
	links := slices.Concat(f.sharedDeposits(), f.gasFunders())
	sets := join(links)
	return name(sets, append(links, f.funders(sets)...))
}

// finder is the state of one [Find] or [Deposits].
type finder struct {
	Input
	g       Graph
	wallets []tracer.Wallet // Wallets and Seeds of the chain, sorted
	has     map[tracer.Wallet]bool
	seed    map[tracer.Wallet]bool
	facts   map[tracer.Wallet]*facts
	stops   map[tracer.Wallet]bool
	valid   map[tracer.Wallet]bool // gas funders that were judged

	deposit map[tracer.Wallet]Deposit
	suspect map[tracer.Wallet]bool // may join
	fake    map[tracer.Wallet]bool // later look-alikes
	passed  map[common.Hash]bool   // transactions in which a wallet of has sent money
	common  map[pair][]Deposit     // that two suspects pay into, the surest first
}

func newFinder(g Graph, in Input) *finder {
	f := &finder{
		Input: in, g: g,
		has:     make(map[tracer.Wallet]bool),
		seed:    make(map[tracer.Wallet]bool),
		facts:   make(map[tracer.Wallet]*facts),
		stops:   make(map[tracer.Wallet]bool),
		valid:   make(map[tracer.Wallet]bool),
		deposit: make(map[tracer.Wallet]Deposit),
		suspect: make(map[tracer.Wallet]bool),
		passed:  make(map[common.Hash]bool),
	}
	for i, w := range slices.Concat(in.Seeds, in.Wallets) {
		if w.Chain != in.Chain.ID || w.Address == (common.Address{}) {
			continue
		}
		f.has[w] = true
		if i < len(in.Seeds) {
			f.seed[w] = true
		}
	}
	f.wallets = slices.SortedFunc(maps.Keys(f.has), tracer.Wallet.Compare)
	return f
}

func (f *finder) wallet(a common.Address) tracer.Wallet {
	return tracer.Wallet{Chain: f.Chain.ID, Address: a}
}

func (f *finder) service(w tracer.Wallet) (string, bool) {
	if f.Service == nil {
		return "", false
	}
	return f.Service(w)
}

func (f *finder) complete(w tracer.Wallet) bool { return f.Complete == nil || f.Complete(w) }

// stop reports whether a wallet is many people's: a service, a hub, a
// contract, or nobody's.
func (f *finder) stop(w tracer.Wallet) bool {
	s, known := f.stops[w]
	if !known {
		_, s = f.service(w)
		s = s || w.Address == (common.Address{}) || w.Address == tracer.NativeLogs ||
			f.Hub != nil && f.Hub(w) || f.Contract != nil && f.Contract(w)
		f.stops[w] = s
	}
	return s
}

// suspects decides who may join a cluster.
func (f *finder) suspects() {
	for _, w := range f.wallets {
		if f.stop(w) {
			continue
		}
		for _, r := range f.of(w).sent {
			f.passed[r] = true
		}
	}
	f.fake = f.lookAlikes()
	for _, w := range f.wallets {
		_, deposit := f.deposit[w]
		f.suspect[w] = !f.stop(w) && !deposit && f.eligible(w)
	}
}

// eligible reports whether what a wallet did is neither a poisoner's nor a
// victim's.
func (f *finder) eligible(w tracer.Wallet) bool {
	return !f.fake[w] && !f.of(w).duster() && !f.payer(w, f.seed)
}

// payer reports whether a wallet, not a seed itself, paid some wallets more
// than it got from those the traced money reached: what a victim does to the
// seeds, whatever the syndicate sent back as bait.
func (f *finder) payer(w tracer.Wallet, whom map[tracer.Wallet]bool) bool {
	if f.seed[w] {
		return false
	}
	var paid, got sums
	for t := range f.g.Of(w) {
		switch {
		case !f.money(&t):
		case t.From == w.Address && whom[f.wallet(t.To)] && !f.gasSized(&t):
			paid.add(f, &t)
		case t.To == w.Address && f.has[f.wallet(t.From)] && !f.stop(f.wallet(t.From)):
			got.add(f, &t)
		}
	}
	return !got.covers(&paid, 1)
}

// conduit reports whether at least half of what passed through a wallet came
// from the wallets that the traced money reached. A shop or a trader that the
// syndicate paid has business of its own; seeds are taken to have none.
func (f *finder) conduit(w tracer.Wallet) bool {
	if f.seed[w] {
		return true
	}
	gave := make(map[common.Hash]bool) // what a swap pays back is no income
	for _, tx := range f.of(w).sent {
		gave[tx] = true
	}
	var in, out, got sums
	for t := range f.g.Of(w) {
		from := f.wallet(t.From)
		switch {
		case !f.money(&t) || f.gasSized(&t):
		case t.From == w.Address:
			out.add(f, &t)
		case gave[t.Tx]:
		default:
			in.add(f, &t)
			if f.has[from] && !f.stop(from) || f.passed[t.Tx] {
				got.add(f, &t)
			}
		}
	}
	// A coin that only went out was swapped for, at a price nobody told.
	for a := range out.rest {
		if in.rest[a] == nil {
			delete(out.rest, a)
		}
	}
	return got.covers(&in, 2) && got.covers(&out, 2)
}

// lookAlikes returns the wallets that show the same digits as another one
// that was seen before them, or in the same transaction.
func (f *finder) lookAlikes() map[tracer.Wallet]bool {
	seen := make(map[common.Address]ref) // first
	for _, w := range f.wallets {
		for t := range f.g.Of(w) {
			r := refOf(&t)
			for _, a := range [...]common.Address{t.From, t.To} {
				if old, ok := seen[a]; !ok || r.compare(old) < 0 {
					seen[a] = r
				}
			}
		}
	}
	alike := make(map[[4]byte][]common.Address)
	for a := range seen {
		k := [4]byte{a[0], a[1], a[18], a[19]}
		alike[k] = append(alike[k], a)
	}
	fake := make(map[tracer.Wallet]bool)
	for _, group := range alike {
		for _, a := range group {
			fake[f.wallet(a)] = slices.ContainsFunc(group, func(b common.Address) bool {
				return tracer.LookAlike(a, b) && seen[b].compare(seen[a]) <= 0
			})
		}
	}
	return fake
}

// A pair is two wallets, the lower one first.
type pair struct{ a, b tracer.Wallet }

func pairOf(a, b tracer.Wallet) pair {
	if a.Compare(b) > 0 {
		a, b = b, a
	}
	return pair{a, b}
}

func (p pair) compare(o pair) int { return cmp.Or(p.a.Compare(o.a), p.b.Compare(o.b)) }

// sets is a union-find over wallets. A wallet that is not in it stands alone.
type sets map[tracer.Wallet]tracer.Wallet

func (s sets) find(w tracer.Wallet) tracer.Wallet {
	for {
		up, ok := s[w]
		if !ok || up == w {
			return w
		}
		if next, ok := s[up]; ok {
			s[w] = next
		}
		w = up
	}
}

// union joins two sets and reports whether they were apart.
func (s sets) union(a, b tracer.Wallet) bool {
	a, b = s.find(a), s.find(b)
	if a == b {
		return false
	}
	p := pairOf(a, b)
	s[p.a], s[p.b] = p.a, p.a
	return true
}

func join(links []Link) sets {
	s := make(sets)
	for _, l := range links {
		s.union(l.A, l.B)
	}
	return s
}

// name makes clusters of the sets and the links that hold them together.
func name(s sets, links []Link) []Cluster {
	for _, l := range links {
		s.union(l.A, l.B)
	}
	of := make(map[tracer.Wallet]*Cluster)
	for _, w := range slices.SortedFunc(maps.Keys(s), tracer.Wallet.Compare) {
		root := s.find(w)
		c := of[root]
		if c == nil {
			c = new(Cluster)
			of[root] = c
		}
		c.Wallets = append(c.Wallets, w)
	}
	for _, l := range strongest(links) {
		c := of[s.find(l.A)]
		c.Links = append(c.Links, l)
	}
	cs := make([]Cluster, 0, len(of))
	for _, c := range of {
		cs = append(cs, *c)
	}
	slices.SortFunc(cs, func(a, b Cluster) int {
		return cmp.Or(cmp.Compare(len(b.Wallets), len(a.Wallets)), a.Wallets[0].Compare(b.Wallets[0]))
	})
	for i := range cs {
		cs[i].ID = fmt.Sprintf("c%d", i+1)
	}
	return cs
}

// strongest keeps, rule by rule, the strongest links that connect whatever all
// links of the rule connect: n wallets that share one deposit address are told
// in n-1 links, not in n². The result is sorted by A, B, rule.
func strongest(links []Link) []Link {
	links = slices.Clone(links)
	slices.SortFunc(links, func(a, b Link) int {
		return cmp.Or(cmp.Compare(b.Confidence, a.Confidence), pair{a.A, a.B}.compare(pair{b.A, b.B}), cmp.Compare(a.Rule, b.Rule))
	})
	tree := make(map[Rule]sets)
	links = slices.DeleteFunc(links, func(l Link) bool {
		if tree[l.Rule] == nil {
			tree[l.Rule] = make(sets)
		}
		return !tree[l.Rule].union(l.A, l.B)
	})
	slices.SortFunc(links, func(a, b Link) int {
		return cmp.Or(pair{a.A, a.B}.compare(pair{b.A, b.B}), cmp.Compare(a.Rule, b.Rule))
	})
	return links
}
