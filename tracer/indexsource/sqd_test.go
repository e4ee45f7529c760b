package indexsource_test

import (
	"net/http"
	"testing"

	"scamtrace/tracer/devnet"
	"scamtrace/tracer/indexsource"
	"scamtrace/tracer/sourcetest"
)

func newSQD(t testing.TB, h http.Handler, o indexsource.Options) *indexsource.SQD {
	t.Helper()
	o.URL = serve(t, h) + "/datasets/devnet"
	s, err := indexsource.NewSQD(devnet.Chain(), indexsource.On(indexsource.NewClock(), o))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSQDContract(t *testing.T) {
	told := small
	told.NativeLogs = true
	for _, tt := range []struct {
		name  string
		world devnet.Config
		chunk uint64
	}{
		{"in one stream", devnet.Config{}, 0},
		{"in chunks", small, 3000},
		{"native coin in logs", told, 20_000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := openBook(t, made(tt.world))
			sourcetest.Test(t, b.World, newSQD(t, &portal{Book: b, Chunk: tt.chunk}, indexsource.Options{}), sourcetest.Options{NoTransactions: true})
		})
	}
}
