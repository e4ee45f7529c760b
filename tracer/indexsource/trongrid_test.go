package indexsource_test

import (
	"net/http"
	"strings"
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/ethsource"
	"scamtrace/tracer/indexsource"
	"scamtrace/tracer/sourcetest"
)

func newTronGrid(t testing.TB, h http.Handler, o indexsource.Options) *indexsource.TronGrid {
	t.Helper()
	o.URL, o.Key = serve(t, h), secretKey
	s, err := indexsource.NewTronGrid(devnet.Chain(), indexsource.On(indexsource.NewClock(), o))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTronGridContract(t *testing.T) {
	for _, tt := range []struct {
		name  string
		world devnet.Config
		rows  int
	}{
		{"pages of 200", devnet.Config{}, 200},
		{"pages of 7", small, 7},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := &trongrid{Book: openBook(t, made(tt.world)), Rows: tt.rows}
			sourcetest.Test(t, f.World, newTronGrid(t, f, indexsource.Options{}), sourcetest.Options{Maybe: []tracer.Part{tracer.PartInternal}})
		})
	}
}

// TestPlanTron puts TronGrid before a node like java-tron: the node tells
// tokens, TronGrid TRX and fees, and the two together all but what contracts
// pass on.
func TestPlanTron(t *testing.T) {
	world := small
	world.Tron = true
	b := openBook(t, made(world))
	chain, err := tracer.ChainNamed("tron")
	if err != nil {
		t.Fatal(err)
	}
	node, err := ethsource.Open(t.Context(), chain, serve(t, devnet.NewNode(b.World, devnet.NodeOptions{Tron: true, Finality: 64})), ethsource.Options{})
	if err != nil {
		t.Fatal(err)
	}
	o := pinOf(t, node)
	o.URL, o.Key = serve(t, &trongrid{Book: b, Rows: 200}), secretKey
	grid, err := indexsource.NewTronGrid(chain, indexsource.On(indexsource.NewClock(), o))
	if err != nil {
		t.Fatal(err)
	}
	plan := indexsource.Plan(node, grid)
	sourcetest.Test(t, b.World, plan, sourcetest.Options{Maybe: []tracer.Part{tracer.PartInternal}})
	if notes := strings.Join(plan.Notes(), " "); strings.Contains(notes, "compared with nonces") || !strings.Contains(notes, "TronGrid") {
		t.Errorf("the notes are %q", notes)
	}
}
