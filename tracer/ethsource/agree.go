package ethsource

import (
	"context"
	"fmt"

	"scamtrace/tracer"
)

// Agree asks the nodes, one after the other, for the transactions of transfers
// until two have shown each transfer. It returns for each, in order, how one of
// them differs, or nothing, and how many transfers no two have shown, be it that
// the requests, which are at most most, were too few. It is an error when ctx
// ends. A node that fails shows nothing.
func (s *Source) Agree(ctx context.Context, ts []tracer.Transfer, most int) (disputes []string, alone int, err error) {
	out := make([]string, len(ts))
	shown := make([]int, len(ts))
	for _, n := range s.c.nodes {
		var some []tracer.Transfer
		var at []int
		for i := range ts {
			if shown[i] < 2 && out[i] == "" {
				some, at = append(some, ts[i]), append(at, i)
			}
		}
		if len(some) == 0 || most <= 0 {
			break
		}
		// What it does not get to say when it fails is untold.
		verdicts, spent, _ := tracer.Confirm(ctx, s.of(n), some, most)
		most -= spent
		if ctx.Err() != nil {
			return nil, 0, context.Cause(ctx)
		}
		for k, i := range at {
			switch verdicts[k] {
			case tracer.Confirmed:
				shown[i]++
			case tracer.Denied:
				out[i] = fmt.Sprintf("the endpoint at %s shows the transaction otherwise, or not at all", n.name)
			}
		}
	}
	for i := range out {
		if out[i] == "" && shown[i] < 2 {
			alone++
		}
	}
	return out, alone, nil
}
