package tracer_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"slices"
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/ethsource"

	"github.com/ethereum/go-ethereum/common"
)

// TestConfirm lets nodes say which of the transfers that somebody else showed
// happened: every third is changed, or never was.
func TestConfirm(t *testing.T) {
	w := devnet.Generate(devnet.Config{Days: 7, Transfers: 4000, Victims: 2, Syndicates: 1, Noise: 60})
	hashless := func(r devnet.Request) devnet.Fault {
		if r.Method == "eth_getTransactionByHash" {
			return devnet.FaultNull
		}
		return devnet.NoFault
	}
	for _, tt := range []struct {
		name  string
		node  devnet.NodeOptions
		blind bool // to internal transfers
	}{
		{"an honest node", devnet.NodeOptions{}, false},
		{"no traces", devnet.NodeOptions{NoTraces: true}, true},
		{"nothing by hash", devnet.NodeOptions{Faults: hashless}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := httptest.NewServer(devnet.NewNode(w, tt.node))
			defer srv.Close()
			node, err := ethsource.Open(t.Context(), devnet.Chain(), srv.URL, ethsource.Options{Recorded: true}) // waits for nothing
			if err != nil {
				t.Fatal(err)
			}
			ts := slices.Clone(w.Transfers()[1000:1120])
			want := make([]tracer.Verdict, len(ts))
			count := make(map[tracer.Verdict]int)
			for i := range ts {
				want[i] = tracer.Confirmed
				switch x := &ts[i]; i % 12 {
				case 0:
					x.Amount.AddUint64(&x.Amount, 1)
					want[i] = tracer.Denied
				case 3:
					x.Tx[0] ^= 1
					want[i] = tracer.Denied
				case 6:
					x.To[3] ^= 1
					want[i] = tracer.Denied
				case 1:
					x.BlockHash, x.TxIndex = common.Hash{}, 0
				}
				if tt.blind && ts[i].Kind == tracer.KindInternal {
					want[i] = tracer.Untold
				}
				count[want[i]]++
			}
			if count[tracer.Denied] < 20 || tt.blind && count[tracer.Untold] == 0 {
				t.Fatalf("nothing to see: %v", count)
			}
			got, whole, err := tracer.Confirm(t.Context(), node, ts, 0)
			if err != nil || whole == 0 {
				t.Fatal(whole, err)
			}
			for i := range got {
				if got[i] != want[i] {
					t.Errorf("the verdict on transfer %d is %v, want %v (%s %+v)", i, got[i], want[i], ts[i].Kind, ts[i])
				}
			}
			// With too few requests it says less, and nothing else.
			last := 0
			for most := 1; most < whole; most += 1 + whole/20 {
				some, spent, err := tracer.Confirm(t.Context(), node, ts, most)
				if err != nil || spent > most {
					t.Fatalf("%d requests of %d, %v", spent, most, err)
				}
				told := 0
				for i := range some {
					if some[i] != tracer.Untold {
						told++
					}
					if some[i] != tracer.Untold && some[i] != want[i] {
						t.Errorf("with %d requests the verdict on transfer %d is %v, want %v", most, i, some[i], want[i])
					}
				}
				last = max(last, told)
			}
			if last == 0 {
				t.Error("no budget was enough for anything")
			}
			srv.Close()
			if _, _, err := tracer.Confirm(t.Context(), node, ts, 0); err == nil {
				t.Error("a node that is gone is no error")
			}
		})
	}
}

// broken finds nothing by hash, and fails where blocks are read.
type broken struct{ tracer.Source }

func (broken) Transactions(context.Context, []common.Hash, int) (tracer.Answer, error) {
	return tracer.Answer{}, tracer.ErrNotFound
}

var errBroken = errors.New("broken")

func (broken) Transfers(context.Context, tracer.Query) (tracer.Answer, error) {
	return tracer.Answer{Requests: 1}, errBroken
}

// TestConfirmBroken: a source that fails denies nothing.
func TestConfirmBroken(t *testing.T) {
	verdicts, spent, err := tracer.Confirm(t.Context(), broken{}, make([]tracer.Transfer, 1), 0)
	if !errors.Is(err, errBroken) || spent != 1 || verdicts[0] != tracer.Untold {
		t.Errorf("Confirm says %v for %d requests, %v", verdicts, spent, err)
	}
}
