package indexsource_test

import (
	"context"
	"fmt"

	"scamtrace/tracer"
	"scamtrace/tracer/ethsource"
	"scamtrace/tracer/indexsource"
)

// A node decides up to which block all read; the indexers before it make it
// fast.
func ExamplePlan() {
	read := func(ctx context.Context, url string, q tracer.Query) (tracer.Answer, error) {
		chain, err := tracer.ChainNamed("ethereum")
		if err != nil {
			return tracer.Answer{}, err
		}
		node, err := ethsource.Open(ctx, chain, url, ethsource.Options{})
		if err != nil {
			return tracer.Answer{}, err
		}
		pinned, err := node.Pin(ctx)
		if err != nil {
			return tracer.Answer{}, err
		}
		sqd, err := indexsource.NewSQD(chain, indexsource.Options{Pin: &pinned})
		if err != nil {
			return tracer.Answer{}, err
		}
		return indexsource.Plan(node, sqd).Transfers(ctx, q)
	}
	_, err := read(context.Background(), "no address", tracer.Query{})
	fmt.Println(err)
	// Output: usage: the endpoint is not a web address; write it like https://host/path
}
