package indexsource_test

import (
	"context"
	"net/http"
	"sync"
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/indexsource"
	"scamtrace/tracer/sourcetest"
)

func newExplorer(t testing.TB, h http.Handler, o indexsource.Options, blockscout bool) *indexsource.Explorer {
	t.Helper()
	return explorerOn(t, indexsource.NewClock(), h, o, blockscout)
}

func explorerOn(t testing.TB, clock *indexsource.Clock, h http.Handler, o indexsource.Options, blockscout bool) *indexsource.Explorer {
	t.Helper()
	o.URL, o.Key = serve(t, h)+"/api", secretKey
	open := indexsource.NewEtherscan
	if blockscout {
		open = indexsource.NewBlockscout
	}
	s, err := open(devnet.Chain(), indexsource.On(clock, o))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestExplorerContract(t *testing.T) {
	told := small
	told.NativeLogs = true
	inside := []tracer.Part{tracer.PartInternal}
	for _, tt := range []struct {
		name  string
		world devnet.Config
		fake  *explorer
		opts  sourcetest.Options
	}{
		{name: "Etherscan", fake: &explorer{Rows: 1000}},
		{name: "Etherscan, tiny pages", world: small, fake: &explorer{Rows: 100}},
		{name: "Etherscan, at its rate", world: small, fake: &explorer{Rows: 1000, PerSecond: 3}},
		{name: "Etherscan, no search by topic", world: small, fake: &explorer{Rows: 1000, NoTopics: true}},
		{name: "Etherscan, no trace ids", world: small, fake: &explorer{Rows: 1000, NoTraceIDs: true}, opts: sourcetest.Options{Blind: inside}},
		{name: "Etherscan, native coin in logs", world: told, fake: &explorer{Rows: 1000}},
		{name: "Blockscout", world: small, fake: &explorer{Rows: 1000, Blockscout: true}, opts: sourcetest.Options{Blind: inside}},
		{name: "Blockscout, no search by topic", world: small, fake: &explorer{Rows: 1000, Blockscout: true, NoTopics: true}, opts: sourcetest.Options{Blind: inside}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := tt.fake
			f.Book = openBook(t, made(tt.world))
			clock := indexsource.NewClock()
			f.Now = clock.Now
			src := tracer.Source(explorerOn(t, clock, f, indexsource.Options{}, f.Blockscout))
			if f.PerSecond > 0 { // a clock that nobody waits for lets all ask in the same second
				src = &serial{Source: src}
			}
			sourcetest.Test(t, f.World, src, tt.opts)
		})
	}
}

// serial asks one query after another.
type serial struct {
	tracer.Source
	mu sync.Mutex
}

func (s *serial) Transfers(ctx context.Context, q tracer.Query) (tracer.Answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Source.Transfers(ctx, q)
}
