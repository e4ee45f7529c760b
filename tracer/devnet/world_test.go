package devnet

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
	"github.com/google/go-cmp/cmp"
	"github.com/holiman/uint256"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares got with testdata/name, or rewrites it under -update.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o777); err != nil {
			t.Fatal(err)
		}
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

// small are worlds that differ in every setting and take no time to make.
var small = []Config{
	{},
	{Seed: 1, Days: 12, Transfers: 6000},
	{Seed: 2, Victims: 12, Syndicates: 3, Layers: 2, Transfers: 4000, NativeLogs: true},
	{Seed: 3, Victims: 1, Noise: 1, Days: 1, Transfers: 1, Syndicates: 1},
	{Seed: 4, Victims: 30, Syndicates: 4, Layers: 6, Days: 10, Transfers: 9000},
}

var worlds sync.Map

// made is Generate, once for each configuration. Tests only read worlds.
func made(c Config) *World {
	once, _ := worlds.LoadOrStore(c, sync.OnceValue(func() *World { return Generate(c) }))
	return once.(func() *World)()
}

func name(c Config) string { return fmt.Sprintf("seed %d", c.Seed) }

type account struct {
	wallet common.Address
	asset  tracer.Asset
}

// TestBalances plays all transfers and finds nobody overdrawn.
func TestBalances(t *testing.T) {
	chain := Chain()
	for _, cfg := range small {
		t.Run(name(cfg), func(t *testing.T) {
			w := made(cfg)
			balances := opening(w)
			for i, tr := range w.Transfers() {
				if !chain.Known(tr.Asset) {
					continue // a counterfeit token says what it likes
				}
				from := balances[account{tr.From, tr.Asset}]
				issues := tr.Asset.Kind == tracer.ERC20 && (tr.From == common.Address{} || tr.From == tr.Asset.Token)
				if from.Lt(&tr.Amount) && !issues {
					t.Fatalf("transfer %d: %s of %s sent by %s, who has %s", i, tr.Amount.Dec(), tr.Asset, tr.From, from.Dec())
				}
				apply(balances, &tr)
			}
			for _, v := range w.Truth.Victims {
				for _, h := range v.Held {
					if b := balances[account{h.Wallet, h.Asset}]; b.Lt(&h.Amount) {
						t.Errorf("%s: %s is said to hold %s of %s and has %s", v.Name, h.Wallet, h.Amount.Dec(), h.Asset, b.Dec())
					}
				}
			}
		})
	}
}

func opening(w *World) map[account]uint256.Int {
	balances := make(map[account]uint256.Int)
	for id, have := range w.chain.alloc {
		for a := range assets {
			if !have[a].IsZero() {
				balances[account{w.chain.addrs[id], w.chain.asset(a)}] = have[a]
			}
		}
	}
	return balances
}

func apply(balances map[account]uint256.Int, tr *tracer.Transfer) {
	from := balances[account{tr.From, tr.Asset}]
	from.Sub(&from, &tr.Amount)
	balances[account{tr.From, tr.Asset}] = from
	if tr.Kind == tracer.KindFee {
		return // burned
	}
	to := balances[account{tr.To, tr.Asset}]
	to.Add(&to, &tr.Amount)
	balances[account{tr.To, tr.Asset}] = to
}

// TestOrder holds Transfers to the order and the identities of the tracer, and
// nonces and hashes to those of a chain.
func TestOrder(t *testing.T) {
	for _, cfg := range small {
		t.Run(name(cfg), func(t *testing.T) {
			w := made(cfg)
			ts := w.Transfers()
			for i := 1; i < len(ts); i++ {
				if ts[i-1].Compare(&ts[i]) >= 0 {
					t.Fatalf("transfer %d %v does not come after %v", i, ts[i].ID(), ts[i-1].ID())
				}
			}
			nonces := make(map[addr]uint32)
			hashes := make(map[common.Hash]bool)
			for i := range w.chain.txs {
				x := &w.chain.txs[i]
				if x.nonce != nonces[x.from] {
					t.Fatalf("transaction %d of %s has nonce %d, want %d", i, w.chain.addrs[x.from], x.nonce, nonces[x.from])
				}
				nonces[x.from]++
				if got, want := x.hash, w.chain.typed(uint32(i)).Hash(); got != want || hashes[got] {
					t.Fatalf("transaction %d has hash %s, want %s and no other to have it", i, got, want)
				}
				hashes[x.hash] = true
			}
			last := w.Blocks[w.Head()]
			for _, tr := range ts {
				if tr.Block > last.Number-100 {
					t.Fatalf("a transfer in block %d, too close to the head %d", tr.Block, last.Number)
				}
				if b := w.Blocks[tr.Block]; tr.BlockHash != b.Hash || tr.Time != b.Time {
					t.Fatalf("transfer %v is dated %d %s, its block %d %s", tr.ID(), tr.Time, tr.BlockHash, b.Time, b.Hash)
				}
			}
		})
	}
}

func TestDeterministic(t *testing.T) {
	a, b := Generate(Config{Seed: 7, Transfers: 3000}), Generate(Config{Seed: 7, Transfers: 3000})
	if diff := cmp.Diff(a.Transfers(), b.Transfers()); diff != "" {
		t.Errorf("two worlds of one seed differ in transfers: %s", diff)
	}
	if diff := cmp.Diff(a.Truth, b.Truth); diff != "" {
		t.Errorf("two worlds of one seed differ in truth: %s", diff)
	}
	if x, y := a.Blocks[a.Head()].Hash, b.Blocks[b.Head()].Hash; x != y {
		t.Errorf("two worlds of one seed end in blocks %s and %s", x, y)
	}
	if c := Generate(Config{Seed: 8, Transfers: 3000}); c.Blocks[c.Head()].Hash == a.Blocks[a.Head()].Hash {
		t.Error("two seeds give one world")
	}
}

// TestDemo pins the world of the demo: what it holds, in words and by digest.
func TestDemo(t *testing.T) {
	w := made(Config{})
	var b bytes.Buffer
	roles := make(map[Role]int)
	for _, o := range w.Truth.Owner {
		roles[o.Role]++
	}
	kinds := make(map[tracer.Kind]int)
	for _, tr := range w.Transfers() {
		kinds[tr.Kind]++
	}
	last := w.Blocks[w.Head()]
	fmt.Fprintf(&b, "last block %d %s\n", last.Number, last.Hash)
	fmt.Fprintf(&b, "transactions %d, logs %d, calls %d\n", len(w.chain.txs), len(w.chain.events), len(w.chain.calls))
	for k := tracer.KindFee; k <= tracer.KindNFT; k++ {
		fmt.Fprintf(&b, "%s transfers %d\n", k, kinds[k])
	}
	var rs []Role
	for r := range roles {
		rs = append(rs, r)
	}
	slices.Sort(rs)
	for _, r := range rs {
		fmt.Fprintf(&b, "%s: %d\n", r, roles[r])
	}
	chain := Chain()
	list := func(label string, a tracer.Asset, n uint256.Int, more string) {
		symbol, decimals, _ := chain.Describe(a)
		fmt.Fprintf(&b, "  %s %s %s%s\n", label, tracer.Readable(&n, decimals), symbol, more)
	}
	show := func(o Outcome) {
		for _, e := range o.Exits {
			list("exit", e.Asset, e.Amount, " at "+e.Service)
		}
		for _, h := range o.Held {
			list("held", h.Asset, h.Amount, " by "+string(w.Truth.Owner[h.Wallet].Role))
		}
		for _, h := range o.Pooled {
			list("pooled", h.Asset, h.Amount, "")
		}
		for _, f := range o.WrittenOff {
			list("written off", f.Asset, f.Amount, "")
		}
		fmt.Fprintf(&b, "  conversions %d\n", len(o.Conversions))
	}
	for _, v := range w.Truth.Victims {
		fmt.Fprintf(&b, "%s, unambiguous %t\n", v.Name, v.Unambiguous)
		for _, p := range v.Payments {
			list("paid", p.Asset, p.Amount, "")
		}
		if v.Unambiguous {
			show(v.Outcome)
		}
	}
	for _, g := range w.Truth.Groups {
		fmt.Fprintf(&b, "group of victims %v\n", g.Victims)
		show(g.Outcome)
	}
	data, err := json.Marshal(struct {
		Transfers []tracer.Transfer
		Victims   []Victim
		Groups    []Group
		Services  []Service
		Prices    []tracer.Micros
	}{w.Transfers(), w.Truth.Victims, w.Truth.Groups, w.Services, w.Prices})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&b, "digest %x\n", sha256.Sum256(data))
	golden(t, "demo.txt", b.Bytes())
}

// TestContents looks for everything that the package comment promises of the
// demo world.
func TestContents(t *testing.T) {
	w := made(Config{})
	chain := Chain()
	has := make(map[string]int)
	for _, tr := range w.Transfers() {
		if !chain.Known(tr.Asset) && tr.Kind == tracer.KindToken {
			has["counterfeit"]++
		}
		if tr.Kind == tracer.KindToken && tr.Amount.IsZero() {
			has["zero"]++
		}
		if tr.From == tr.To {
			has["self"]++
		}
		if tr.To == w.Truth.Hubs[0] || tr.From == w.Truth.Hubs[0] {
			has["hub"]++
		}
		if w.Truth.Owner[tr.From].Role == RoleGas && w.Truth.Owner[tr.To].Actor == w.Truth.Owner[tr.From].Actor {
			has["gas"]++
		}
	}
	for i := range w.chain.txs {
		if x := &w.chain.txs[i]; x.failed {
			has["failed"]++
			if !x.value.IsZero() {
				has["failed with value"]++
			}
		} else if x.creates {
			has["create"]++
		}
	}
	for i := range w.chain.calls {
		c := &w.chain.calls[i]
		switch {
		case c.op == opSuicide:
			has["suicide"]++
		case c.op == opDelegate && !c.value.IsZero():
			has["delegatecall"]++
		case c.failed:
			has["undone call"]++
		}
	}
	shapes := make(map[int]int)
	for _, r := range w.chain.raws {
		shapes[len(r.topics)]++
	}
	lookAlikes := 0
	for a, o := range w.Truth.Owner {
		if o.Role == RolePoisoner && slices.ContainsFunc(w.chain.addrs, func(b common.Address) bool { return tracer.LookAlike(a, b) }) {
			lookAlikes++
		}
	}
	conversions := make(map[[2]string]int)
	third := 0
	outcomes := []Outcome{}
	for _, v := range w.Truth.Victims {
		outcomes = append(outcomes, v.Outcome)
	}
	for _, g := range w.Truth.Groups {
		outcomes = append(outcomes, g.Outcome)
	}
	categories := make(map[string]int)
	reused := make(map[common.Address]int)
	held, pooled := 0, 0
	for _, o := range outcomes {
		held, pooled = held+len(o.Held), pooled+len(o.Pooled)
		for _, c := range o.Conversions {
			x, _, _ := chain.Describe(c.Out.Asset)
			y, _, _ := chain.Describe(c.In.Asset)
			conversions[[2]string{x, y}]++
			if c.Wallet != c.Receiver {
				third++
			}
		}
		for _, e := range o.Exits {
			i := slices.IndexFunc(w.Services, func(s Service) bool { return s.Name == e.Service })
			categories[w.Services[i].Category]++
			if e.Deposit != (common.Address{}) {
				reused[e.Deposit]++
			}
		}
	}
	for _, want := range []struct {
		what  string
		got   int
		least int
	}{
		{"counterfeit transfers", has["counterfeit"], 5},
		{"zero amounts", has["zero"], 5},
		{"transfers to oneself", has["self"], 5},
		{"transfers of the hub", has["hub"], 1000},
		{"gas sent by the syndicate to itself", has["gas"], 30},
		{"failed transactions", has["failed"], 20},
		{"failed transactions with value", has["failed with value"], 5},
		{"creations", has["create"], 2},
		{"self-destructions", has["suicide"], 1},
		{"delegated calls with value", has["delegatecall"], 5},
		{"undone calls", has["undone call"], 5},
		{"logs with one topic", shapes[1], 1},
		{"logs with two topics", shapes[2], 1},
		{"logs with three topics", shapes[3], 3},
		{"logs with four topics", shapes[4], 2},
		{"look-alikes", lookAlikes, 20},
		{"swaps of USDT to ETH", conversions[[2]string{"USDT", "ETH"}], 1},
		{"swaps of USDT to DAI", conversions[[2]string{"USDT", "DAI"}], 1},
		{"swaps of ETH to USDT", conversions[[2]string{"ETH", "USDT"}], 1},
		{"wraps", conversions[[2]string{"ETH", "WETH"}], 1},
		{"unwraps", conversions[[2]string{"WETH", "ETH"}], 1},
		{"swaps for somebody else", third, 1},
		{"exits at exchanges", categories["exchange"], 10},
		{"exits at bridges", categories["bridge"], 1},
		{"exits at mixers", categories["mixer"], 1},
		{"money still held", held, 2},
		{"money in the hub", pooled, 1},
	} {
		if want.got < want.least {
			t.Errorf("the demo world has %d %s, want at least %d", want.got, want.what, want.least)
		}
	}
	if !slices.ContainsFunc(slices.Collect(values(reused)), func(n int) bool { return n > 1 }) {
		t.Error("no deposit address was used for the money of two victims")
	}
	if v := w.Truth.Victims[0]; !v.Unambiguous || len(v.Payments) != 3 || len(v.Seeds) != 2 {
		t.Errorf("the first victim paid %d times to %d wallets, unambiguous %t; want 3, 2, true", len(v.Payments), len(v.Seeds), v.Unambiguous)
	}
	if len(w.Truth.Groups) != 1 || !slices.Equal(w.Truth.Groups[0].Victims, []int{2, 3, 4}) {
		t.Errorf("groups are %v, want victims 2, 3 and 4 in one", w.Truth.Groups)
	}
}

func values[K comparable, V any](m map[K]V) func(func(V) bool) {
	return func(yield func(V) bool) {
		for _, v := range m {
			if !yield(v) {
				return
			}
		}
	}
}
