//go:build node

package ethsource_test

import (
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/ethsource"
)

// TestProveSimulated proves everything that happened on go-ethereum itself but
// what was moved inside transactions.
func TestProveSimulated(t *testing.T) {
	b, url, s := simulate(t, 1<<40)
	s.play()
	for range 100 {
		b.Commit()
	}
	src, err := ethsource.Open(t.Context(), s.chain, url, ethsource.Hasty(ethsource.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	ts := s.truth()
	why, err := src.Prove(t.Context(), ts)
	if err != nil {
		t.Fatal(err)
	}
	kinds := make(map[tracer.Kind]int)
	for i := range ts {
		kinds[ts[i].Kind]++
		if (why[i] == "") == (ts[i].Kind == tracer.KindInternal) {
			t.Errorf("%+v: %q", ts[i], why[i])
		}
		forged := ts[i]
		forged.Amount.AddUint64(&forged.Amount, 1)
		ts[i] = forged
	}
	if kinds[tracer.KindNative] == 0 || kinds[tracer.KindFee] == 0 || kinds[tracer.KindToken] == 0 || kinds[tracer.KindNFT] == 0 {
		t.Fatalf("the scene has %v", kinds)
	}
	if why, err = src.Prove(t.Context(), ts); err != nil {
		t.Fatal(err)
	}
	for i := range ts {
		if why[i] == "" {
			t.Errorf("a forged transfer is proven: %+v", ts[i])
		}
	}
}
