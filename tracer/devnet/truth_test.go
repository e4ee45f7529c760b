package devnet

import (
	"maps"
	"testing"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
)

// cases returns every outcome of a world with the payments it is about.
func cases(w *World) []story {
	var all []story
	for _, v := range w.Truth.Victims {
		if v.Unambiguous {
			all = append(all, story{v.Name, v.Payments, v.Outcome})
		}
	}
	for _, g := range w.Truth.Groups {
		s := story{name: "group", outcome: g.Outcome}
		for _, v := range g.Victims {
			s.name += " " + w.Truth.Victims[v].Name
			s.payments = append(s.payments, w.Truth.Victims[v].Payments...)
		}
		all = append(all, s)
	}
	return all
}

type story struct {
	name     string
	payments []Payment
	outcome  Outcome
}

// TestTruthAddsUp checks the sums of every victim and asset.
func TestTruthAddsUp(t *testing.T) {
	for _, cfg := range small {
		w := made(cfg)
		n := 0
		for _, s := range cases(w) {
			in, out := make(map[tracer.Asset]*uint256.Int), make(map[tracer.Asset]*uint256.Int)
			for _, p := range s.payments {
				add(in, p.Asset, &p.Amount)
				n++
			}
			for _, c := range s.outcome.Conversions {
				add(in, c.In.Asset, &c.In.Amount)
				add(out, c.Out.Asset, &c.Out.Amount)
			}
			for _, e := range s.outcome.Exits {
				add(out, e.Asset, &e.Amount)
			}
			for _, h := range append(s.outcome.Held, s.outcome.Pooled...) {
				add(out, h.Asset, &h.Amount)
			}
			for _, f := range s.outcome.WrittenOff {
				add(out, f.Asset, &f.Amount)
			}
			if !maps.EqualFunc(in, out, func(a, b *uint256.Int) bool { return a.Eq(b) }) {
				t.Errorf("seed %d, %s: in %v, out %v", cfg.Seed, s.name, in, out)
			}
		}
		if n == 0 {
			t.Errorf("seed %d: nobody paid anything", cfg.Seed)
		}
	}
}

// TestTruthOnChain follows the money again, over the transfers and by the rule
// "traced money leaves first", with nothing of the generator but payments,
// services and which transactions are swaps, and arrives where the truth says.
func TestTruthOnChain(t *testing.T) {
	for _, cfg := range small {
		w := made(cfg)
		ts := w.Transfers()
		for _, s := range cases(w) {
			got, want := follow(w, ts, s), make(map[account]uint256.Int)
			put := func(wallet common.Address, a tracer.Asset, n uint256.Int) {
				sum := want[account{wallet, a}]
				sum.Add(&sum, &n)
				want[account{wallet, a}] = sum
			}
			for _, e := range s.outcome.Exits {
				put(e.Wallet, e.Asset, e.Amount)
			}
			for _, h := range append(s.outcome.Held, s.outcome.Pooled...) {
				put(h.Wallet, h.Asset, h.Amount)
			}
			for _, f := range s.outcome.WrittenOff {
				put(common.Address{}, f.Asset, f.Amount)
			}
			for k, n := range got {
				if m := want[k]; m != n {
					t.Errorf("seed %d, %s: followed %s of %s to %s (%v), the truth is %s", cfg.Seed, s.name, n.Dec(), k.asset, k.wallet, w.Truth.Owner[k.wallet], m.Dec())
				}
			}
			if len(got) != len(want) {
				t.Errorf("seed %d, %s: followed to %d places, the truth has %d", cfg.Seed, s.name, len(got), len(want))
			}
		}
	}
}

// follow returns where the money of a story is in the end; fees are at the
// zero address.
func follow(w *World, ts []tracer.Transfer, s story) map[account]uint256.Int {
	stop := map[common.Address]bool{}
	for _, v := range w.Services {
		for _, a := range v.Addresses {
			stop[a] = v.Category != "swap"
		}
	}
	for _, h := range w.Truth.Hubs {
		stop[h] = true
	}
	paid := make(map[common.Hash]Payment)
	for _, p := range s.payments {
		paid[p.Tx] = p
	}
	swaps := make(map[common.Hash]Conversion)
	for _, c := range s.outcome.Conversions {
		swaps[c.Tx] = c
	}
	has := make(map[account]uint256.Int)
	move := func(from, to account, gave, got uint256.Int) {
		have := has[from]
		if have.IsZero() || gave.IsZero() || stop[from.wallet] {
			return
		}
		if have.Lt(&gave) {
			gave, got = have, have
		}
		have.Sub(&have, &gave)
		if has[from] = have; have.IsZero() {
			delete(has, from)
		}
		sum := has[to]
		sum.Add(&sum, &got)
		has[to] = sum
	}
	for _, tr := range ts {
		if tr.Kind == tracer.KindFee {
			move(account{tr.From, tr.Asset}, account{common.Address{}, tr.Asset}, tr.Amount, tr.Amount)
		} else if c, ok := swaps[tr.Tx]; ok {
			move(account{c.Wallet, c.Out.Asset}, account{c.Receiver, c.In.Asset}, c.Out.Amount, c.In.Amount)
			delete(swaps, tr.Tx)
			swaps[tr.Tx] = Conversion{} // once
		} else if p, ok := paid[tr.Tx]; ok && p.Wallet == tr.To && p.Asset == tr.Asset {
			has[account{tr.To, tr.Asset}] = *new(uint256.Int).Add(new(has[account{tr.To, tr.Asset}]), &tr.Amount)
		} else {
			move(account{tr.From, tr.Asset}, account{tr.To, tr.Asset}, tr.Amount, tr.Amount)
		}
	}
	return has
}
