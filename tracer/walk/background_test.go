package walk_test

import (
	"context"
	"slices"
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/walk"

	"github.com/ethereum/go-ethereum/common"
)

func TestBackground(t *testing.T) {
	w := newWorld(t, devnet.Config{})
	w.opts.Limits.Hub = 400
	res, err := walk.Run(t.Context(), w.src, []tracer.Seed{{Wallet: w.Truth.Victims[0].Seeds[0]}}, w.opts)
	if err != nil {
		t.Fatal(err)
	}
	before := slices.Collect(res.Store.Transfers())
	b := walk.NewBackground(res)
	if !slices.Equal(slices.Collect(b.Store.Transfers()), before) {
		t.Fatal("the background begins with something else than the trace")
	}
	wallet := func(a common.Address) tracer.Wallet { return tracer.Wallet{Chain: w.opts.Chain.ID, Address: a} }
	var funder common.Address
	for a, o := range w.Truth.Owner {
		if o.Role == devnet.RoleGas && o.Actor == w.Truth.Victims[0].Syndicate {
			funder = a
		}
	}
	hot, other := w.Services[0].Addresses[0], tracer.Wallet{Chain: 99, Address: common.Address{9}}
	if b.Whole(funder) {
		t.Error("the gas funder is whole before it was read")
	}
	more, err := b.Read(t.Context(), w.src, []tracer.Wallet{wallet(funder), wallet(hot), other})
	if !more || err != nil {
		t.Errorf("Read = %v, %v", more, err)
	}
	var got []tracer.Transfer
	for x := range b.Store.Of(wallet(funder)) {
		got = append(got, x)
	}
	if len(got) != len(w.src.of[funder]) || !b.Whole(funder) {
		t.Errorf("%d transfers of the funder, want %d; whole: %v", len(got), len(w.src.of[funder]), b.Whole(funder))
	}
	if b.Whole(hot) || b.Whole(other.Address) {
		t.Error("a crowded wallet, or one of another chain, is whole")
	}
	if more, err := b.Read(t.Context(), w.src, []tracer.Wallet{wallet(funder), wallet(hot)}); more || err != nil {
		t.Errorf("Read of the same = %v, %v, want nothing to do", more, err)
	}
	if !slices.Equal(slices.Collect(res.Store.Transfers()), before) {
		t.Error("reading more changed the trace")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	late := w.Truth.Victims[1].Seeds[0]
	if _, err := b.Read(ctx, w.src, []tracer.Wallet{wallet(late)}); err == nil || b.Whole(late) {
		t.Errorf("Read with a context that has ended says %v; whole: %v", err, b.Whole(late))
	}
}
