package walk_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/ledger"
	"scamtrace/tracer/walk"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
)

// world is a generated world with what a trace of it needs.
type world struct {
	*devnet.World
	src  *listSource
	opts walk.Options
}

func newWorld(t testing.TB, cfg devnet.Config) *world {
	t.Helper()
	w := &world{World: devnet.Generate(cfg)}
	w.src = newListSource(w.Transfers(), w.Blocks[w.Head()])
	w.src.contracts = make(map[common.Address]bool)
	for a, o := range w.Truth.Owner {
		switch o.Role {
		case devnet.RolePool, devnet.RoleRouter, devnet.RoleContract, devnet.RoleBridge, devnet.RoleMixer, devnet.RoleToken:
			w.src.contracts[a] = true
		}
	}
	services := make(map[common.Address]devnet.Service)
	for _, s := range w.Services {
		for _, a := range s.Addresses {
			services[a] = s
		}
	}
	chain := devnet.Chain()
	w.opts = walk.Options{
		Chain: chain,
		Service: func(x tracer.Wallet) (string, ledger.Stop) {
			s, ok := services[x.Address]
			switch {
			case !ok:
				return "", ledger.Follow
			case s.Category == "swap":
				return s.Name, ledger.Through
			}
			return s.Name, ledger.Sink
		},
		Worth: func(a tracer.Asset, amount *uint256.Int, time uint64) (tracer.Micros, bool) {
			_, decimals, ok := chain.Describe(a)
			if !ok {
				return 0, false
			}
			price := tracer.Dollar
			if t, ok := chain.Token(a); !ok || !t.Stable {
				price = w.Price(time)
			}
			var usd uint256.Int
			usd.MulDivOverflow(amount, uint256.NewInt(uint64(price)), new(uint256.Int).Exp(uint256.NewInt(10), uint256.NewInt(uint64(decimals))))
			return tracer.Micros(usd.Uint64()), true
		},
	}
	return w
}

func payments(v devnet.Victim) []tracer.Seed {
	var seeds []tracer.Seed
	for _, p := range v.Payments {
		seeds = append(seeds, tracer.Seed{Tx: p.Tx}, tracer.Seed{Wallet: p.Wallet})
	}
	return seeds
}

// sums are amounts by a readable key.
type sums map[string]*uint256.Int

func (s sums) add(key string, v *uint256.Int) {
	if s[key] == nil {
		s[key] = new(uint256.Int)
	}
	s[key].Add(s[key], v)
}

func (s sums) String() string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(s)) {
		fmt.Fprintf(&b, "%s %s\n", k, s[k].Dec())
	}
	return b.String()
}

// found writes a result as truth would: arrivals per service wallet, held,
// pooled and fees.
func found(r *walk.Result) sums {
	s := make(sums)
	for _, a := range r.Arrivals {
		s.add(fmt.Sprint("exit ", r.Store.Wallet(a.Wallet), " ", r.Store.Asset(a.Asset)), &a.Amount)
	}
	for _, h := range r.Held {
		s.add(fmt.Sprint("held ", r.Store.Wallet(h.Wallet), " ", r.Store.Asset(h.Asset)), &h.Amount)
	}
	for _, g := range r.Gaps {
		for _, m := range g.Money {
			s.add(fmt.Sprint(g.Reason, " ", r.Store.Wallet(g.Wallet), " ", r.Store.Asset(m.Asset)), &m.Amount)
		}
	}
	for i, t := range r.Books.Totals {
		if !t.Fees.IsZero() {
			s.add(fmt.Sprint("fees ", r.Store.Asset(uint32(i))), &t.Fees)
		}
	}
	return s
}

func truth(o *devnet.Outcome) sums {
	s := make(sums)
	w := func(a common.Address) tracer.Wallet { return tracer.Wallet{Chain: devnet.ChainID, Address: a} }
	for _, e := range o.Exits {
		s.add(fmt.Sprint("exit ", w(e.Wallet), " ", e.Asset), &e.Amount)
	}
	for _, h := range o.Held {
		s.add(fmt.Sprint("held ", w(h.Wallet), " ", h.Asset), &h.Amount)
	}
	for _, h := range o.Pooled {
		s.add(fmt.Sprint("hub ", w(h.Wallet), " ", h.Asset), &h.Amount)
	}
	for _, f := range o.WrittenOff {
		s.add(fmt.Sprint("fees ", f.Asset), &f.Amount)
	}
	return s
}

// TestTruth traces each victim whose money met nobody else's, and wants every
// base unit where it really went.
func TestTruth(t *testing.T) {
	for seed := range uint64(4) {
		w := newWorld(t, devnet.Config{Seed: seed})
		n := 0
		for i := range w.Truth.Victims {
			v := &w.Truth.Victims[i]
			if !v.Unambiguous {
				continue
			}
			n++
			o := w.opts
			o.Limits = walk.Limits{MinUSD: 1, Hub: 300} // a millionth of a dollar: follow all of it
			r, err := walk.Run(t.Context(), w.src, payments(*v), o)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := found(r).String(), truth(&v.Outcome).String(); got != want {
				t.Errorf("seed %d, %s: the trace says\n%sthe truth is\n%s", seed, v.Name, got, want)
			}
			if !r.Complete() {
				t.Errorf("seed %d, %s: stopped early: %v", seed, v.Name, r.Stopped)
			}
		}
		if n == 0 {
			t.Errorf("seed %d: no victim has a forced outcome", seed)
		}
	}
}

// TestGroups traces victims whose money met, together: the sums of the group
// are true whoever's coin went first.
func TestGroups(t *testing.T) {
	w := newWorld(t, devnet.Config{})
	for _, g := range w.Truth.Groups {
		var seeds []tracer.Seed
		for _, i := range g.Victims {
			seeds = append(seeds, payments(w.Truth.Victims[i])...)
		}
		o := w.opts
		o.Limits = walk.Limits{MinUSD: 1, Hub: 300}
		r, err := walk.Run(t.Context(), w.src, seeds, o)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := found(r).String(), truth(&g.Outcome).String(); got != want {
			t.Errorf("group %v: the trace says\n%sthe truth is\n%s", g.Victims, got, want)
		}
	}
}

func TestSameEveryTime(t *testing.T) {
	w := newWorld(t, devnet.Config{})
	var first string
	for range 3 {
		r, err := walk.Run(t.Context(), w.src, payments(w.Truth.Victims[0]), w.opts)
		if err != nil {
			t.Fatal(err)
		}
		s := fmt.Sprint(found(r), r.Seeds, r.Steps, r.Books.Moves, r.Gaps)
		if first == "" {
			first = s
		} else if s != first {
			t.Fatalf("two walks of one case differ")
		}
	}
}

// TestBudgets runs out of each budget and wants everything found until then,
// with the rest in gaps that name the budget.
func TestBudgets(t *testing.T) {
	w := newWorld(t, devnet.Config{})
	v := w.Truth.Victims[0]
	for _, tt := range []struct {
		name   string
		limits walk.Limits
		reason tracer.Reason
	}{
		{"requests", walk.Limits{Requests: 12}, tracer.ReasonBudget},
		{"wallets", walk.Limits{Wallets: 2}, tracer.ReasonBudget},
		{"dust", walk.Limits{MinUSD: 1e9 * tracer.Dollar}, tracer.ReasonDust},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := w.opts
			o.Limits = tt.limits
			r, err := walk.Run(t.Context(), w.src, payments(v), o)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(r.Gaps, func(g walk.Gap) bool { return g.Reason == tt.reason && len(g.Money) > 0 }) {
				t.Errorf("gaps are %v, want one for %q with its amount", r.Gaps, tt.reason)
			}
			if tt.limits.Requests > 0 && r.Requests > tt.limits.Requests {
				t.Errorf("%d requests sent, budget %d", r.Requests, tt.limits.Requests)
			}
			if tt.limits.Wallets > 0 && r.WalletsRead > tt.limits.Wallets {
				t.Errorf("%d wallets read, budget %d", r.WalletsRead, tt.limits.Wallets)
			}
			accounted(t, r, v)
		})
	}
}

// accounted checks that the payments of a victim are all accounted for.
func accounted(t *testing.T, r *walk.Result, v devnet.Victim) {
	t.Helper()
	want := make(sums)
	for _, p := range v.Payments {
		want.add(p.Asset.String(), &p.Amount)
	}
	got := make(sums)
	for i, total := range r.Books.Totals {
		if !total.Reported.IsZero() {
			got.add(r.Store.Asset(uint32(i)).String(), &total.Reported)
		}
	}
	// What the syndicate had sent back and the victim paid again is traced
	// already, and not reported a second time.
	for _, m := range r.Books.Moves {
		e := &r.Entries[m.Entry]
		if slices.ContainsFunc(v.Payments, func(p devnet.Payment) bool {
			return p.Tx == r.Store.Tx(e.Tx) && p.Wallet == r.Store.Wallet(e.To).Address
		}) {
			got.add(r.Store.Asset(e.Asset).String(), &m.Traced)
		}
	}
	if got.String() != want.String() {
		t.Errorf("reported\n%swant\n%s", got, want)
	}
	for i, total := range r.Books.Totals {
		var sum uint256.Int
		add := func(asset uint32, v *uint256.Int) {
			if asset == uint32(i) {
				sum.Add(&sum, v)
			}
		}
		for _, a := range r.Arrivals {
			add(a.Asset, &a.Amount)
		}
		for _, h := range r.Held {
			add(h.Asset, &h.Amount)
		}
		for _, g := range r.Gaps {
			for _, m := range g.Money {
				add(m.Asset, &m.Amount)
			}
		}
		sum.Add(&sum, &total.Fees)
		sum.Add(&sum, &total.ConvertedOut)
		sum.Sub(&sum, &total.ConvertedIn)
		if !sum.Eq(&total.Reported) {
			t.Errorf("%v: %s reported, %s accounted for", r.Store.Asset(uint32(i)), total.Reported.Dec(), sum.Dec())
		}
	}
}

func TestInterruptedAndFailing(t *testing.T) {
	w := newWorld(t, devnet.Config{})
	v := w.Truth.Victims[0]

	ctx, cancel := context.WithCancel(t.Context())
	o := w.opts
	o.Progress = func(p walk.Progress) {
		if p.Step == 3 {
			cancel()
		}
	}
	r, err := walk.Run(ctx, w.src, payments(v), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Stopped.Reason != tracer.ReasonStopped {
		t.Errorf("stopped for %q, want %q", r.Stopped.Reason, tracer.ReasonStopped)
	}
	accounted(t, r, v)

	w.src.fail, w.src.ops = w.src.ops, 0 // about half of what a whole walk takes
	r, err = walk.Run(t.Context(), w.src, payments(v), w.opts)
	if err != nil {
		t.Fatal(err)
	}
	if r.Stopped.Reason != tracer.ReasonSource || len(r.Gaps) == 0 {
		t.Errorf("stopped for %q with %d gaps, want %q and some", r.Stopped.Reason, len(r.Gaps), tracer.ReasonSource)
	}
	accounted(t, r, v)
}

// TestUnder looks at one walk by every accounting rule.
func TestUnder(t *testing.T) {
	w := newWorld(t, devnet.Config{})
	v := w.Truth.Victims[0]
	r, err := walk.Run(t.Context(), w.src, payments(v), w.opts)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for _, p := range ledger.Policies() {
		books, err := r.Under(p)
		if err != nil {
			t.Fatal(err)
		}
		if p.String() == "pifo" && !reflect.DeepEqual(books, r.Books) {
			t.Error("by the walk's own rule the books differ")
		}
		for i := range books.Totals {
			if got, want := books.Totals[i].Reported, r.Books.Totals[i].Reported; got != want && p.String() != "poison" {
				t.Errorf("%s: %s reported, want %s", p, got.Dec(), want.Dec())
			}
		}
		seen[fmt.Sprint(books.Arrivals, books.Held)] = true
	}
	if len(seen) < 4 {
		t.Errorf("the rules find %d different things; the test shows little", len(seen))
	}
}

// TestPolicyOfAWalk walks by rules that must know all that a wallet received.
func TestPolicyOfAWalk(t *testing.T) {
	w := newWorld(t, devnet.Config{})
	v := w.Truth.Victims[0]
	for _, p := range ledger.Policies() {
		o := w.opts
		o.Policy = p
		r, err := walk.Run(t.Context(), w.fresh(), payments(v), o)
		if err != nil {
			t.Fatal(err)
		}
		if !r.Complete() {
			t.Errorf("%s: stopped for %q", p, r.Stopped)
		}
		if p.String() != "poison" { // which counts in what is not the victim's
			accounted(t, r, v)
		}
	}
}

// TestRefused meets wallets that the source cannot read. The walk reads all
// others, says that it is not complete, and asks again when it is loaded.
func TestRefused(t *testing.T) {
	w := newWorld(t, devnet.Config{})
	v := w.Truth.Victims[0]
	whole, err := walk.Run(t.Context(), w.src, payments(v), w.opts)
	if err != nil {
		t.Fatal(err)
	}
	middle := whole.Store.Wallet(whole.Held[len(whole.Held)/2].Wallet).Address
	seed := v.Payments[0].Wallet
	for _, tt := range []struct {
		name  string
		seeds []tracer.Seed
		who   common.Address
	}{
		{"a wallet on the way", payments(v), middle},
		{"a seed", []tracer.Seed{{Wallet: seed}}, seed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			src := w.fresh()
			src.refuses = func(a common.Address) bool { return a == tt.who }
			x, err := walk.New(t.Context(), src, tt.seeds, w.opts)
			if err != nil {
				t.Fatal(err)
			}
			r := run(t, t.Context(), x)
			if r.Complete() || r.Stopped.Reason != tracer.ReasonSource {
				t.Errorf("stopped for %q, want %q", r.Stopped.Reason, tracer.ReasonSource)
			}
			if !slices.ContainsFunc(r.Gaps, func(g walk.Gap) bool {
				return r.Store.Wallet(g.Wallet).Address == tt.who && g.Reason == tracer.ReasonSource && strings.Contains(g.Detail, "nobody knows")
			}) {
				t.Errorf("there is no gap at %s, only %v", tt.who, r.Gaps)
			}
			if s := r.Status(tt.who); s.Complete {
				t.Error("its status is complete")
			}
			on, err := walk.Load(t.Context(), bytes.NewReader(save(t, x)), w.fresh(), tt.seeds, w.opts)
			if err != nil {
				t.Fatal(err)
			}
			want, err := walk.Run(t.Context(), w.fresh(), tt.seeds, w.opts)
			if err != nil {
				t.Fatal(err)
			}
			if got := run(t, t.Context(), on); !got.Complete() || found(got).String() != found(want).String() {
				t.Errorf("asked again, the walk finds\n%swant\n%s", found(got), found(want))
			}
		})
	}
}

func TestSeedsThatCannotBeTraced(t *testing.T) {
	w := newWorld(t, devnet.Config{})
	var hot common.Address
	for _, s := range w.Services {
		if s.Category == "exchange" {
			hot = s.Addresses[0]
		}
	}
	for _, tt := range []struct {
		name string
		seed tracer.Seed
		want string
	}{
		{"a service", tracer.Seed{Wallet: hot}, "a service that many people use"},
		{"the zero address", tracer.Seed{}, "a service that many people use"},
		{"a transaction of another chain", tracer.Seed{Tx: common.Hash{1}}, "check the hash and the chain"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := walk.Run(t.Context(), w.src, []tracer.Seed{tt.seed}, w.opts)
			if !errors.Is(err, tracer.ErrUsage) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Run says %v, want a usage error with %q", err, tt.want)
			}
		})
	}
}
