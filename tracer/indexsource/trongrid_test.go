package indexsource_test

import (
	"net/http"
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
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
