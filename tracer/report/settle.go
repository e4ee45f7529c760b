package report

import (
	"context"
	"slices"
)

// Settle builds a report and asks for the prices that it lacks, with what the
// walk left of its budget of requests, until it lacks none: it is then what
// [Build] makes of the same input and the same book of prices, without asking
// anybody. The report notes which prices are missing, and why. left is what is
// left of the budget then.
func Settle(ctx context.Context, in Input) (r *Report, left int) {
	notes, left := in.Notes, in.left()
	for {
		in.Notes = slices.Concat(notes, in.Prices.Notes())
		r = Build(in)
		if !in.Prices.Lacks() {
			return r, max(left, 0)
		}
		spent, more := in.Prices.Ask(ctx, max(left, 0))
		if left -= spent; !more {
			in.Prices.Forgo("the run was interrupted")
		}
	}
}
