// Package cluster says which wallets likely act as one, and why.
//
// [Deposits] finds the addresses that forward only to one service: an account
// somebody has there. [Find] links wallets by rules, each link with its
// confidence, its transactions and a sentence, and joins linked wallets into
// clusters. [Wanted] says whose history must be read first. A rule's precision
// where the truth is known is [Measured]. All of it is inference: no sum of
// money may depend on it.
//
// # Who may join
//
// Only a conduit: a seed, or a wallet that has at least half of all the money
// it ever saw from conduits, or from wallets with the same private gas funder.
// It must have been read completely, and be known to be no contract. A known
// service, a hub, a deposit address, any other wallet that pays one service
// and nobody else, a later look-alike of another wallet, and one that sends
// nothing but dust are in no cluster. Victims and other people have money of
// their own, and so are no conduits.
//
// # Rules
//
// [RuleDeposit]: two wallets pay into the same deposit address, and also into
// another one, or their first gas came from the same private wallet, or one
// passed money to the other that was paid in there. The confidence is that of
// the surest common address; see [Deposit.Confidence] for the formula, which is
// that of Tutela (arXiv 2201.06811) after Victor ("Address Clustering
// Heuristics for Ethereum", FC 2020). An address that more than 30 wallets pay
// into counts for nothing.
//
// [RuleFunder]: the first gas of two wallets came from the same private wallet,
// and there is a second signal: a payment between them that was at least half
// of what one of them ever got (85), most of the money of both went to the same
// private wallet (85), a common deposit address (its confidence), the same
// amount of gas within an hour (60). With p for the numbers, in percent, the
// confidence is 1 - ∏(1-p). That a common funder is worth nothing alone was
// seen on a labelled heist (6 of 89 wallets); that it is a fact in court is
// level 2 of the B.A.T.S. notation. The numbers are a judgement; what they are
// worth is measured.
//
// The funder itself joins if at least 75 in 100 of the wallets that it ever
// sent coins to, and one more, are of one cluster.
//
// Links of less than [Join] percent are not made. Nobody is accused on one
// inferred link: a wallet that traced money did not reach joins only as the
// funder of most of those it funded, and every other link rests on two
// observations that do not follow from each other.
//
// # How it goes wrong
//
// Two people with one client, one source of gas and money between them look
// like one. So does a mule who passes money into an account of somebody else,
// and so do the deposit addresses of an exchange so small that nobody labeled
// it and fewer than 30 wallets pay into it. What is not seen: syndicates that buy gas
// at an exchange for every wallet, or have an account for each. testdata/quality.txt
// counts these, on made-up worlds whose seeds were not used to choose any number above.
//
// What it promises: the result depends on the transfers and the [Input] alone,
// in whatever order wallets are given.
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
	// Account says whether a wallet is known to be no contract. nil, and where
	// it is false: the wallets that paid a fee are known.
	Account func(tracer.Wallet) bool
	// Complete says whether everything that a wallet ever did was read, up to
	// the block of the trace, not only while it held traced money. A wallet
	// that is not complete joins nothing and no link rests on it; see [Wanted].
	// nil: all are.
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

// Wanted returns the wallets that are not complete and on whose whole history
// the answers of [Find] and [Deposits] rest, sorted: those that may act as one,
// those that seem to be deposit addresses, and those that sent one of these
// its first gas. Who has read them asks again, for there may be more behind
// them. Those that cannot be read completely stay in the list.
func Wanted(g Graph, in Input) []tracer.Wallet {
	complete := in.Complete
	if complete == nil {
		return nil
	}
	in.Complete = nil
	f := newFinder(g, in)
	f.hopeful = true
	f.deposits()
	f.suspects()
	want := make(map[tracer.Wallet]bool)
	for _, w := range f.wallets {
		if _, deposit := f.deposit[w]; !deposit && !f.suspect[w] {
			continue
		}
		want[w] = true
		if x := f.of(w).funding; x != nil && f.private(x.from) {
			want[x.from] = true
		}
	}
	maps.DeleteFunc(want, func(w tracer.Wallet, _ bool) bool { return complete(w) })
	return slices.SortedFunc(maps.Keys(want), tracer.Wallet.Compare)
}

// finder is the state of one [Find], [Wanted] or [Deposits].
type finder struct {
	Input
	g       Graph
	hopeful bool            // what was not seen yet may still turn out well
	wallets []tracer.Wallet // Wallets and Seeds of the chain, sorted
	has     map[tracer.Wallet]bool
	seed    map[tracer.Wallet]bool
	facts   map[tracer.Wallet]*facts
	stops   map[tracer.Wallet]bool
	crowds  map[tracer.Wallet]bool // too many pay it
	valid   map[tracer.Wallet]bool // gas funders that were judged
	gassed  map[tracer.Wallet]map[tracer.Wallet]bool

	deposit map[tracer.Wallet]Deposit
	onlyOne map[tracer.Wallet]bool // that pay one service and nobody else
	fake    map[tracer.Wallet]bool // later look-alikes
	conduit map[tracer.Wallet]bool
	suspect map[tracer.Wallet]bool // may join
	common  map[pair][]Deposit     // that two suspects pay into, the surest first
}

func newFinder(g Graph, in Input) *finder {
	f := &finder{
		Input: in, g: g,
		has:     make(map[tracer.Wallet]bool),
		seed:    make(map[tracer.Wallet]bool),
		facts:   make(map[tracer.Wallet]*facts),
		stops:   make(map[tracer.Wallet]bool),
		crowds:  make(map[tracer.Wallet]bool),
		valid:   make(map[tracer.Wallet]bool),
		gassed:  make(map[tracer.Wallet]map[tracer.Wallet]bool),
		deposit: make(map[tracer.Wallet]Deposit),
		onlyOne: make(map[tracer.Wallet]bool),
		conduit: make(map[tracer.Wallet]bool),
		suspect: make(map[tracer.Wallet]bool),
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

// account reports whether a wallet is known to be somebody's and no code.
func (f *finder) account(w tracer.Wallet) bool {
	return f.hopeful || f.of(w).fees || f.Account != nil && f.Account(w)
}

// crowded reports whether more wallets pay a wallet than pay one person.
func (f *finder) crowded(w tracer.Wallet) bool {
	c, known := f.crowds[w]
	if !known {
		c = len(f.payers(w)) > maxPayers
		f.crowds[w] = c
	}
	return c
}

// payers returns the wallets that pay a wallet, no more than one above maxPayers.
func (f *finder) payers(w tracer.Wallet) map[tracer.Wallet]bool {
	all := make(map[tracer.Wallet]bool)
	for t := range f.g.Of(w) {
		if t.To == w.Address && f.money(&t) {
			if all[f.wallet(t.From)] = true; len(all) > maxPayers {
				break
			}
		}
	}
	return all
}

// suspects decides who may join a cluster.
func (f *finder) suspects() {
	f.fake = f.lookAlikes()
	f.conduits()
	for w := range f.conduit {
		_, deposit := f.deposit[w]
		f.suspect[w] = !deposit && !f.onlyOne[w] && !f.of(w).duster() && f.account(w) && f.complete(w)
	}
}

// conduits finds the wallets through which the syndicate's money runs: the
// seeds, and those that have at least half of all the money they ever saw from
// seeds, from such wallets, or from wallets that got gas from the same private
// funder as they: a collector has much from other victims, by way of wallets
// that this case knows nothing of. A victim that was baited, a shop, a trader
// and whoever they pay have money of their own. It grows from the seeds, so
// that wallets do not vouch for each other.
func (f *finder) conduits() {
	sent := make(map[common.Hash][]tracer.Wallet) // transaction → who sent money in it
	var open []tracer.Wallet
	for _, w := range f.wallets {
		if f.stop(w) || f.fake[w] {
			continue
		}
		for tx := range f.of(w).sent {
			sent[tx] = append(sent[tx], w)
		}
		if f.seed[w] {
			f.conduit[w] = true
		} else {
			open = append(open, w)
		}
	}
	for n := -1; n != len(f.conduit); {
		n = len(f.conduit)
		open = slices.DeleteFunc(open, func(w tracer.Wallet) bool {
			if f.mostly(w, sent) {
				f.conduit[w] = true
			}
			return f.conduit[w]
		})
	}
}

// mostly reports whether at least half of what a wallet got, and of what it
// paid, came from conduits or wallets with the same funder.
func (f *finder) mostly(w tracer.Wallet, sent map[common.Hash][]tracer.Wallet) bool {
	x := f.of(w)
	var siblings map[tracer.Wallet]bool
	if x.funding != nil && f.private(x.funding.from) {
		siblings = f.fundees(x.funding.from)
	}
	var got sums
	for t := range f.g.Of(w) {
		from := f.wallet(t.From)
		if t.To == w.Address && f.money(&t) && !f.gasSized(&t) && !x.sent[t.Tx] && (f.conduit[from] || siblings[from] && !f.stop(from) ||
			slices.ContainsFunc(sent[t.Tx], func(w tracer.Wallet) bool { return f.conduit[w] })) {
			got.add(f, &t)
		}
	}
	out := x.out.minus(&x.back)
	return !got.zero() && got.covers(&x.in, 2) && got.covers(&out, 2)
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
		slices.SortFunc(group, func(a, b common.Address) int { return seen[a].compare(seen[b]) })
		for i, a := range group {
			fake[f.wallet(a)] = i > 0 || len(group) > 1 && seen[a] == seen[group[1]]
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
