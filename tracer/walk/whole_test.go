package walk_test

import (
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/walk"

	"github.com/ethereum/go-ethereum/common"
)

// TestWhole: what was never asked for is not whole, though it is complete, and
// nobody knows whether it is a contract.
func TestWhole(t *testing.T) {
	w := newWorld(t, devnet.Config{})
	seed := w.Truth.Victims[0].Seeds[0]
	res, err := walk.Run(t.Context(), w.src, []tracer.Seed{{Wallet: seed}}, w.opts)
	if err != nil {
		t.Fatal(err)
	}
	stranger := common.Address{1, 2, 3}
	if !res.Status(stranger).Complete || res.Whole(stranger) || res.Account(stranger) {
		t.Errorf("a wallet that nobody asked for: Status %v, Whole %v, Account %v", res.Status(stranger), res.Whole(stranger), res.Account(stranger))
	}
	whole, accounts, contracts := 0, 0, 0
	for id := range uint32(res.Store.Wallets()) {
		a := res.Store.Wallet(id).Address
		if res.Whole(a) {
			whole++
			n := 0
			for range res.Store.Of(res.Store.Wallet(id)) {
				n++
			}
			if want := len(w.src.of[a]); n != want {
				t.Errorf("%s is whole with %d transfers, and has %d", a, n, want)
			}
		}
		switch {
		case res.Account(a) && w.src.contracts[a]:
			t.Errorf("%s is an account and a contract", a)
		case res.Account(a):
			accounts++
		case w.src.contracts[a]:
			contracts++
		}
	}
	if accounts < 20 || contracts == 0 {
		t.Errorf("%d accounts and %d contracts, want more", accounts, contracts)
	}
	t.Logf("%d whole wallets, %d accounts, %d contracts", whole, accounts, contracts)
}
