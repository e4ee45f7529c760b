package indexsource_test

import (
	"net/http"
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/indexsource"
	"scamtrace/tracer/sourcetest"
)

func newAlchemy(t testing.TB, f *alchemy, h http.Handler, o indexsource.Options) *indexsource.Alchemy {
	t.Helper()
	o.URL, o.Key = serve(t, h)+"/v2", secretKey
	s, err := indexsource.NewAlchemy(devnet.Chain(), indexsource.On(indexsource.NewClock(), o))
	if err != nil {
		t.Fatal(err)
	}
	if f.Inside {
		indexsource.Inside(s)
	}
	return s
}

func TestAlchemyContract(t *testing.T) {
	told := small
	told.NativeLogs = true
	native := []tracer.Part{tracer.PartNative}
	for _, tt := range []struct {
		name  string
		world devnet.Config
		fake  alchemy
		opts  sourcetest.Options
	}{
		{"with internal transfers", devnet.Config{}, alchemy{Rows: 1000, Inside: true}, sourcetest.Options{Maybe: native}},
		{"small pages", small, alchemy{Rows: 30, Inside: true}, sourcetest.Options{Maybe: native}},
		{"native coin in logs", told, alchemy{Rows: 1000, Inside: true}, sourcetest.Options{Maybe: native}},
		{"without internal transfers", small, alchemy{Rows: 1000}, sourcetest.Options{Blind: []tracer.Part{tracer.PartInternal}, Maybe: []tracer.Part{tracer.PartNative, tracer.PartTokens}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := &tt.fake
			f.Book = openBook(t, made(tt.world))
			sourcetest.Test(t, f.World, newAlchemy(t, f, f, indexsource.Options{}), tt.opts)
		})
	}
}
