package indexsource_test

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"scamtrace/tracer/devnet"
	"scamtrace/tracer/indexsource/indextest"
)

// The fakes.
type (
	book     = indextest.Book
	portal   = indextest.Portal
	explorer = indextest.Explorer
	alchemy  = indextest.Alchemy
	trongrid = indextest.TronGrid
)

const secretKey = indextest.Key

// small is the world of most tests.
var small = devnet.Config{Days: 7, Transfers: 4000, Victims: 2, Syndicates: 1, Noise: 60}

// made returns a world, and the same one to everybody who asks.
var made = func() func(devnet.Config) *devnet.World {
	var mu sync.Mutex
	worlds := make(map[devnet.Config]*devnet.World)
	return func(c devnet.Config) *devnet.World {
		mu.Lock()
		defer mu.Unlock()
		if worlds[c] == nil {
			worlds[c] = devnet.Generate(c)
		}
		return worlds[c]
	}
}()

var books sync.Map // of worlds

// openBook writes a world down, once.
func openBook(t testing.TB, w *devnet.World) *book {
	t.Helper()
	if b, ok := books.Load(w); ok {
		return b.(*book)
	}
	b, err := indextest.Open(w)
	if err != nil {
		t.Fatal(err)
	}
	books.Store(w, b)
	return b
}

// A fake counts the requests of a fake server and lets a test spoil them.
type fake struct {
	http.Handler
	spoil    func(n int, w http.ResponseWriter, r *http.Request, honest http.Handler) // nil: never
	requests atomic.Int64
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := int(f.requests.Add(1)) - 1
	if f.spoil == nil {
		f.Handler.ServeHTTP(w, r)
		return
	}
	f.spoil(n, w, r, f.Handler)
}

func serve(t testing.TB, h http.Handler) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL
}
