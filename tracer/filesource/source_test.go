package filesource_test

import (
	"scamtrace/tracer"
	"scamtrace/tracer/filesource"

	"github.com/ethereum/go-ethereum/common"
)

// everybody asks for every wallet that the tests use, over all blocks.
func everybody(*filesource.Source) []tracer.Span {
	var spans []tracer.Span
	for n := range 256 {
		var w common.Address
		for i := range w {
			w[i] = byte(n)
		}
		spans = append(spans, tracer.Span{Wallet: w, To: 1 << 62})
	}
	return spans
}
