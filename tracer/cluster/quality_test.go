package cluster_test

import (
	"bytes"
	"flag"
	"fmt"
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

// worlds is how many built-in worlds the rules are measured on.
const worlds = 16

// a town is a world with what the rules may know of it.
type town struct {
	*devnet.World
	store *graphstore.Store
	in    cluster.Input // without wallets and seeds
}

func newTown(seed uint64) *town {
	w := devnet.Generate(devnet.Config{Seed: seed, Victims: 6 + int(seed%3)*3, Syndicates: 2 + int(seed%2), Transfers: 6000 + int(seed%4)*3000})
	t := &town{World: w, store: graphstore.New()}
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
		Contract: func(x tracer.Wallet) bool {
			r := w.Truth.Owner[x.Address].Role
			return r == devnet.RoleToken || r == devnet.RolePool || r == devnet.RoleRouter || r == devnet.RoleContract
		},
		USD: func(a tracer.Asset, amount *uint256.Int, at uint64) (tracer.Micros, bool) {
			v, _, ok := book.USD(a, amount, at)
			return v, ok
		},
	}
	return t
}

func (t *town) wallet(a common.Address) tracer.Wallet {
	return tracer.Wallet{Chain: t.in.Chain.ID, Address: a}
}

func (t *town) actor(w tracer.Wallet) string { return t.Truth.Owner[w.Address].Actor }

func (t *town) syndicate(w tracer.Wallet) bool {
	switch t.Truth.Owner[w.Address].Role {
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
func (t *town) everything() []cluster.Input {
	in := t.in
	for a := range t.Truth.Owner {
		in.Wallets = append(in.Wallets, t.wallet(a))
	}
	for _, v := range t.Truth.Victims {
		for _, s := range v.Seeds {
			in.Seeds = append(in.Seeds, t.wallet(s))
		}
	}
	return []cluster.Input{in}
}

// a tally counts what was right.
type tally struct {
	cases, clusters, mixed, innocent  int // innocent: clusters of a syndicate with somebody else in it
	wallets, joined                   int // of syndicates
	strangers                         int // wallets not of syndicates that joined a cluster
	rules                             map[cluster.Rule]*[6]cluster.Precision
	deposits, rightDeposits, trueDeps int
}

var buckets = [6]string{"all", "75-79", "80-84", "85-89", "90-94", "95-99"}

func (y *tally) add(t *town, in cluster.Input) {
	y.cases++
	joined := make(map[tracer.Wallet]bool)
	for _, c := range cluster.Find(t.store, in) {
		y.clusters++
		actors := make(map[string]bool)
		syndicate := false
		for _, w := range c.Wallets {
			joined[w] = true
			actors[t.actor(w)] = true
			syndicate = syndicate || t.syndicate(w)
			if !t.syndicate(w) {
				y.strangers++
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
		if o := t.Truth.Owner[d.Wallet.Address]; o.Role == devnet.RoleDeposit && o.Actor == d.Service {
			y.rightDeposits++
		}
	}
	for _, w := range slices.Compact(slices.SortedFunc(slices.Values(in.Wallets), tracer.Wallet.Compare)) {
		if t.Truth.Owner[w.Address].Role == devnet.RoleDeposit {
			y.trueDeps++
		}
		if t.syndicate(w) {
			y.wallets++
			if joined[w] {
				y.joined++
			}
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
	fmt.Fprintf(b, "  wallets of syndicates %d, joined %d (%.1f%%); others that joined something %d\n", y.wallets, y.joined, 100*float64(y.joined)/float64(y.wallets), y.strangers)
	fmt.Fprintf(b, "  deposit addresses %d, found %d, of these right %d\n\n", y.trueDeps, y.deposits, y.rightDeposits)
}

// TestQuality measures the rules on worlds whose truth is known, and keeps
// what it measured: a change of the rules shows in the golden files.
func TestQuality(t *testing.T) {
	cases := &tally{rules: make(map[cluster.Rule]*[6]cluster.Precision)}
	hard := &tally{rules: make(map[cluster.Rule]*[6]cluster.Precision)}
	for seed := range uint64(worlds) {
		w := newTown(seed)
		for _, in := range w.cases() {
			cases.add(w, in)
		}
		for _, in := range w.everything() {
			hard.add(w, in)
		}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "Clusters on %d built-in worlds\n\n", worlds)
	cases.write(&b, "One case for each victim: the wallets that the victim's money could reach")
	hard.write(&b, "All wallets of the world, the innocent too, as if money had reached them all")
	golden(t, filepath.Join("testdata", "quality.txt"), b.Bytes())

	var m bytes.Buffer
	for _, r := range cluster.Rules() {
		p := cases.rules[r][0]
		fmt.Fprintf(&m, "%d %d %q\n", p.True, p.Links, r)
	}
	golden(t, "precision.txt", m.Bytes())
	if cases.innocent > 0 {
		t.Errorf("%d clusters of a syndicate have somebody else's wallet in them, want 0", cases.innocent)
	}
	if hard.innocent > 0 {
		t.Errorf("among all wallets, %d clusters of a syndicate have somebody else's wallet in them, want 0", hard.innocent)
	}
}
