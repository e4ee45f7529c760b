package cluster_test

import (
	"bytes"
	"flag"
	"fmt"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"scamtrace/graphstore"
	"scamtrace/tracer"
	"scamtrace/tracer/cluster"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/price"

	"github.com/ethereum/go-ethereum/common"
	"github.com/google/go-cmp/cmp"
	"github.com/holiman/uint256"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares got with a file, or rewrites it under -update.
func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("output differs from %s (run go test -update, then read git diff)\n%s", file, diff)
	}
}

// The rules are measured on worlds whose seeds nobody may look at while
// changing them; worlds 0 to 99 are for that.
const (
	worlds    = 16
	firstSeed = 1000
)

// a town is a world with what the rules may know of it.
type town struct {
	*devnet.World
	owner map[common.Address]devnet.Owner // of the world and of the bystanders
	store *graphstore.Store
	in    cluster.Input // without wallets and seeds
}

func newTown(seed uint64) *town {
	w := devnet.Generate(devnet.Config{Seed: seed, Victims: 6 + int(seed%3)*3, Syndicates: 2 + int(seed%2), Transfers: 6000 + int(seed%4)*3000})
	t := &town{World: w, owner: maps.Clone(w.Truth.Owner), store: graphstore.New()}
	t.store.Add(w.Transfers())
	names, custodian := make(map[common.Address]string), make(map[common.Address]bool)
	for _, s := range w.Services {
		for _, a := range s.Addresses {
			names[a] = s.Name
			custodian[a] = s.Category == "exchange"
		}
	}
	chain := devnet.Chain()
	book := price.New(chain)
	for day, p := range w.Prices {
		book.Set(tracer.NativeOf(chain.ID), w.Blocks[0].Time+uint64(day)*24*3600, p)
	}
	t.in = cluster.Input{
		Chain:     chain,
		Service:   func(x tracer.Wallet) (string, bool) { n, ok := names[x.Address]; return n, ok },
		Custodian: func(x tracer.Wallet) bool { return custodian[x.Address] },
		Hub:       func(x tracer.Wallet) bool { return slices.Contains(w.Truth.Hubs, x.Address) },
		Contract:  t.code,
		Account:   func(x tracer.Wallet) bool { return t.owner[x.Address].Role != "" && !t.code(x) },
		USD: func(a tracer.Asset, amount *uint256.Int, at uint64) (tracer.Micros, bool) {
			v, _, ok := book.USD(a, amount, at)
			return v, ok
		},
	}
	t.bystanders(seed)
	return t
}

// code reports whether a wallet is a contract.
func (t *town) code(x tracer.Wallet) bool {
	switch t.owner[x.Address].Role {
	case devnet.RoleToken, devnet.RolePool, devnet.RoleRouter, devnet.RoleContract:
		return true
	}
	return false
}

func (t *town) wallet(a common.Address) tracer.Wallet {
	return tracer.Wallet{Chain: t.in.Chain.ID, Address: a}
}

func (t *town) actor(w tracer.Wallet) string { return t.owner[w.Address].Actor }

func (t *town) syndicate(w tracer.Wallet) bool {
	switch t.owner[w.Address].Role {
	case devnet.RoleSeed, devnet.RoleCollector, devnet.RoleLayer, devnet.RolePeel, devnet.RoleGas:
		return true
	}
	return false
}

// downstream returns the wallets that money from the seeds could reach: all
// that they paid after they were paid, and so on, up to services and hubs.
func (t *town) downstream(seeds []tracer.Wallet) []tracer.Wallet {
	reached := make(map[common.Address]bool)
	for _, s := range seeds {
		reached[s.Address] = true
	}
	ws := slices.Clone(seeds)
	for tr := range t.store.Transfers() {
		if !reached[tr.From] || reached[tr.To] || tr.Kind == tracer.KindFee || !tr.Counts() || !t.in.Chain.Known(tr.Asset) {
			continue
		}
		from := t.wallet(tr.From)
		if _, stop := t.in.Service(from); stop || t.in.Hub(from) || t.in.Contract(from) {
			continue
		}
		reached[tr.To] = true
		ws = append(ws, t.wallet(tr.To))
	}
	return ws
}

// cases returns one input for each victim.
func (t *town) cases() []cluster.Input {
	var ins []cluster.Input
	for _, v := range t.Truth.Victims {
		in := t.in
		for _, s := range v.Seeds {
			in.Seeds = append(in.Seeds, t.wallet(s))
		}
		in.Wallets = t.downstream(in.Seeds)
		ins = append(ins, in)
	}
	return ins
}

// everything returns the hard input: all wallets of the world.
func (t *town) everything() cluster.Input {
	in := t.in
	for a := range t.owner { // in any order
		in.Wallets = append(in.Wallets, t.wallet(a))
	}
	for _, v := range t.Truth.Victims {
		for _, s := range v.Seeds {
			in.Seeds = append(in.Seeds, t.wallet(s))
		}
	}
	return in
}

// a tally counts what was right.
type tally struct {
	cases, clusters, mixed, innocent  int // innocent: clusters of a syndicate with somebody else in it
	wallets, joined                   int // of syndicates
	rules                             map[cluster.Rule]*[6]cluster.Precision
	others                            map[devnet.Role]*[3]int // not of syndicates: all, joined, joined with a syndicate
	deposits, rightDeposits, trueDeps int
}

func newTally() *tally {
	return &tally{rules: make(map[cluster.Rule]*[6]cluster.Precision), others: make(map[devnet.Role]*[3]int)}
}

var buckets = [6]string{"all", "75-79", "80-84", "85-89", "90-94", "95-99"}

func (y *tally) other(t *town, w tracer.Wallet, i int) {
	role := t.owner[w.Address].Role
	if y.others[role] == nil {
		y.others[role] = new([3]int)
	}
	y.others[role][i]++
}

func (y *tally) add(t *town, in cluster.Input) {
	y.cases++
	joined := make(map[tracer.Wallet]bool)
	for _, c := range cluster.Find(t.store, in) {
		y.clusters++
		actors := make(map[string]bool)
		syndicate := slices.ContainsFunc(c.Wallets, t.syndicate)
		for _, w := range c.Wallets {
			joined[w] = true
			actors[t.actor(w)] = true
			if !t.syndicate(w) {
				y.other(t, w, 1)
				if syndicate {
					y.other(t, w, 2)
				}
			}
		}
		if len(actors) > 1 {
			y.mixed++
			if syndicate {
				y.innocent++
			}
		}
		for _, l := range c.Links {
			if y.rules[l.Rule] == nil {
				y.rules[l.Rule] = new([6]cluster.Precision)
			}
			for _, i := range []int{0, (l.Confidence - 70) / 5} {
				p := &y.rules[l.Rule][i]
				p.Links++
				if t.actor(l.A) == t.actor(l.B) {
					p.True++
				}
			}
		}
	}
	for _, d := range cluster.Deposits(t.store, in) {
		y.deposits++
		if o := t.owner[d.Wallet.Address]; o.Role == devnet.RoleDeposit && o.Actor == d.Service {
			y.rightDeposits++
		}
	}
	for _, w := range slices.Compact(slices.SortedFunc(slices.Values(in.Wallets), tracer.Wallet.Compare)) {
		if t.owner[w.Address].Role == devnet.RoleDeposit {
			y.trueDeps++
		}
		if !t.syndicate(w) {
			y.other(t, w, 0)
			continue
		}
		y.wallets++
		if joined[w] {
			y.joined++
		}
	}
}

func (y *tally) write(b *bytes.Buffer, title string) {
	fmt.Fprintf(b, "%s\n\n", title)
	fmt.Fprintf(b, "  %-24s %-6s %6s %6s %10s\n", "rule", "conf.", "links", "true", "precision")
	for _, r := range cluster.Rules() {
		for i, p := range y.rules[r] {
			if p.Links > 0 {
				fmt.Fprintf(b, "  %-24s %-6s %6d %6d %10.4f\n", r, buckets[i], p.Links, p.True, float64(p.True)/float64(p.Links))
			}
		}
	}
	fmt.Fprintf(b, "\n  cases %d, clusters %d, with more than one owner %d, of a syndicate with somebody else %d\n", y.cases, y.clusters, y.mixed, y.innocent)
	fmt.Fprintf(b, "  wallets of syndicates %d, joined %d (%.1f%%)\n", y.wallets, y.joined, 100*float64(y.joined)/float64(y.wallets))
	fmt.Fprintf(b, "  deposit addresses %d, found %d, of these right %d\n\n", y.trueDeps, y.deposits, y.rightDeposits)
	fmt.Fprintf(b, "  %-46s %8s %8s %18s\n", "wallets of others", "reached", "joined", "with a syndicate")
	for _, r := range slices.Sorted(maps.Keys(y.others)) {
		n := y.others[r]
		fmt.Fprintf(b, "  %-46s %8d %8d %18d\n", r, n[0], n[1], n[2])
	}
	b.WriteByte('\n')
}

// never are those that may not be in any cluster, whatever the rules say.
var never = []devnet.Role{devnet.RoleVictim, devnet.RoleHot, devnet.RoleTopUp, devnet.RoleDeposit, devnet.RoleHub, devnet.RolePoisoner,
	devnet.RoleToken, devnet.RolePool, devnet.RoleRouter, devnet.RoleContract, devnet.RoleBridge, devnet.RoleMixer, baited}

// TestQuality measures the rules on worlds whose truth is known, and keeps
// what it measured: a change of the rules shows in the golden files.
func TestQuality(t *testing.T) {
	cases, all := newTally(), newTally()
	for seed := range uint64(worlds) {
		w := newTown(firstSeed + seed)
		for _, in := range w.cases() {
			cases.add(w, in)
		}
		all.add(w, w.everything())
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "Clusters on %d built-in worlds with bystanders, seeds %d to %d\n\n", worlds, firstSeed, firstSeed+worlds-1)
	cases.write(&b, "One case for each victim: the wallets that the victim's money could reach")
	all.write(&b, "All wallets of a world, as if money had reached them all, and all seeds")
	golden(t, filepath.Join("testdata", "quality.txt"), b.Bytes())

	var m bytes.Buffer
	for _, r := range cluster.Rules() {
		p := cases.rules[r][0]
		fmt.Fprintf(&m, "%d %d %q\n", p.True, p.Links, r)
	}
	golden(t, "precision.txt", m.Bytes())
	for _, y := range []*tally{cases, all} {
		for _, r := range never {
			if n := y.others[r]; n != nil && n[1] > 0 {
				t.Errorf("%d wallets of the role %q joined a cluster, want none", n[1], r)
			}
		}
		if y.others[baited] == nil || y.others[baited][0] < 20 {
			t.Errorf("too few wallets to be mistaken about: %v", y.others[baited])
		}
		for r, p := range y.rules {
			if p[0].Links < 100 || 100*p[0].True < 95*p[0].Links {
				t.Errorf("%s: %d of %d links are right", r, p[0].True, p[0].Links)
			}
		}
	}
}

// partial shows of a store what was read: all of some wallets, and of others
// what they did once money had reached them.
type partial struct {
	*town
	whole map[tracer.Wallet]bool
	since map[tracer.Wallet]uint64
}

func (p *partial) Of(w tracer.Wallet) iter.Seq[tracer.Transfer] {
	return func(yield func(tracer.Transfer) bool) {
		for t := range p.store.Of(w) {
			for _, x := range [...]tracer.Wallet{p.wallet(t.From), p.wallet(t.To)} {
				if since, ok := p.since[x]; p.whole[x] || ok && t.Block >= since {
					if !yield(t) {
						return
					}
					break
				}
			}
		}
	}
}

// TestWantedIsEnough begins with what a trace reads, and reads what is wanted:
// in the end the clusters are those of one who has read everything.
func TestWantedIsEnough(t *testing.T) {
	w := newTown(2)
	for i, in := range w.cases()[:4] {
		want := cluster.Find(w.store, in)
		p := &partial{w, make(map[tracer.Wallet]bool), make(map[tracer.Wallet]uint64)}
		for _, x := range in.Wallets {
			for tr := range w.store.Of(x) {
				if tr.To == x.Address && tr.Counts() && w.in.Chain.Known(tr.Asset) {
					p.since[x] = tr.Block
					break
				}
			}
		}
		in.Complete = func(x tracer.Wallet) bool { return p.whole[x] }
		if cs := cluster.Find(p, in); len(cs) > 0 {
			t.Errorf("case %d: %d clusters before anything was read whole", i, len(cs))
		}
		rounds := 0
		for ws := cluster.Wanted(p, in); len(ws) > 0; ws = cluster.Wanted(p, in) {
			for _, x := range ws {
				p.whole[x] = true
			}
			rounds++
		}
		if diff := cmp.Diff(want, cluster.Find(p, in)); diff != "" || len(want) == 0 {
			t.Errorf("case %d: after %d rounds and %d of %d wallets (-want +got):\n%s", i, rounds, len(p.whole), len(in.Wallets), diff)
		}
		t.Logf("case %d: %d rounds, %d of %d wallets read whole, %d clusters", i, rounds, len(p.whole), len(in.Wallets), len(want))
	}
}
