package devnet

import (
	"fmt"
	"testing"
	"time"
)

func TestZZ(t *testing.T) {
	for _, cfg := range []Config{{}, {Seed: 1}, {Seed: 2}} {
		st := time.Now()
		w := Generate(cfg)
		fmt.Println(time.Since(st), len(w.Blocks), len(w.chain.txs), len(w.chain.events), len(w.chain.calls), len(w.Transfers()), len(w.chain.addrs))
		for _, v := range w.Truth.Victims {
			fmt.Println(v.Name, v.Syndicate, v.Unambiguous, len(v.Payments), len(v.Exits), len(v.Held), len(v.Pooled), len(v.Conversions))
			for _, e := range v.Exits {
				fmt.Println("   exit", e.Service, e.Deposit != e.Wallet, e.Asset.Kind, e.Asset.Token.Hex()[:6], e.Amount.Dec())
			}
			for _, e := range v.Held {
				o := w.Truth.Owner[e.Wallet]
				fmt.Println("   held", o, e.Asset.Kind, e.Asset.Token.Hex()[:6], e.Amount.Dec())
			}
		}
		for _, g := range w.Truth.Groups {
			fmt.Println("group", g.Victims, len(g.Exits), len(g.Held), len(g.Conversions))
		}
	}
}
