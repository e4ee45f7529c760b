package devnet

import (
	"fmt"
	"testing"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
	"github.com/google/go-cmp/cmp"
)

// TestSpread holds a world to its levels: each is what the money reaches next,
// the exchanges get all of it, and the truth is true.
func TestSpread(t *testing.T) {
	for _, tt := range []struct {
		wallets, hops int
		want          []int
	}{
		{500, 5, []int{1, 3, 16, 80, 400}},
		{7, 5, []int{1, 1, 1, 1, 3}},
		{0, 0, []int{1}},
	} {
		t.Run(fmt.Sprintf("%d wallets, %d hops", tt.wallets, tt.hops), func(t *testing.T) {
			w, levels := Spread(3, tt.wallets, tt.hops)
			var sizes []int
			at := make(map[common.Address]int)
			for hop, level := range levels {
				sizes = append(sizes, len(level))
				for _, a := range level {
					at[a] = hop
				}
			}
			if diff := cmp.Diff(tt.want, sizes); diff != "" {
				t.Errorf("wallets by hop: %s", diff)
			}
			chain, moves := Chain(), 0
			reached := make(map[common.Address]bool)
			for _, x := range w.Transfers() {
				from, known := at[x.From]
				if _, also := at[x.To]; known || also {
					moves++
				}
				if !known || !x.Counts() || !chain.Known(x.Asset) || x.Kind == tracer.KindFee {
					continue
				}
				to, inside := at[x.To]
				switch o := w.Truth.Owner[x.To]; {
				case inside && to > from+1:
					t.Errorf("hop %d pays hop %d", from, to)
				case inside && to == from+1:
					reached[x.To] = true
				case !inside && o.Role != RoleHot:
					t.Errorf("hop %d pays %s, %s", from, o.Actor, o.Role)
				}
			}
			if want := len(at) - len(levels[0]); len(reached) != want {
				t.Errorf("%d wallets are reached from the hop before, want %d", len(reached), want)
			}
			if len(w.Truth.Victims) != 1 || len(w.Truth.Victims[0].Seeds) != len(levels[0]) {
				t.Errorf("victims: %+v", w.Truth.Victims)
			}
			for _, v := range w.Truth.Victims {
				if !v.Unambiguous || len(v.Exits) == 0 || len(v.Held)+len(v.Pooled)+len(v.WrittenOff)+len(v.Conversions) > 0 {
					t.Errorf("outcome: %+v", v.Outcome)
				}
			}
			if again, _ := Spread(3, tt.wallets, tt.hops); again.Blocks[again.Head()].Hash != w.Blocks[w.Head()].Hash {
				t.Error("the same numbers make another world")
			}
			for _, s := range cases(w) {
				got := follow(w, w.Transfers(), s)
				for _, e := range s.outcome.Exits {
					if n := got[account{e.Wallet, e.Asset}]; n != e.Amount {
						t.Errorf("followed %s to %s, the truth is %s", n.Dec(), e.Wallet, e.Amount.Dec())
					}
				}
			}
			t.Logf("%d transfers of the wallets, %d of all", moves, len(w.Transfers()))
		})
	}
}
