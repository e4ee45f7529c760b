package ledger

import (
	"fmt"

	"scamtrace/tracer"

	"github.com/holiman/uint256"
)

// A Policy is an accounting rule: which part of a payment is traced when the
// account holds other money too. One policy holds for the whole of a run.
type Policy struct {
	name string
	// take removes amount from the account and returns how much of it is
	// traced: at most the amount, and at most what the account holds traced.
	take func(a *account, amount *uint256.Int) uint256.Int
	// clean says that the rule needs to know what else the account holds.
	clean bool
}

// String returns the policy's name as on the command line.
func (p Policy) String() string {
	if p.name == "" {
		return PIFO.name
	}
	return p.name
}

// PIFO is "poison in, first out": traced money leaves first (United States v.
// Banco Cafetero, 797 F.2d 1154, 2d Cir. 1986; MFTracer, SIGMETRICS 2026).
var PIFO = Policy{name: "pifo", take: func(a *account, amount *uint256.Int) uint256.Int {
	t := *amount
	if a.traced.Lt(&t) {
		t = a.traced
	}
	a.traced.Sub(&a.traced, &t)
	var rest uint256.Int
	rest.Sub(amount, &t)
	if a.clean.Lt(&rest) {
		rest = a.clean
	}
	a.clean.Sub(&a.clean, &rest)
	return t
}}

// Policies returns the policies of this version, the default first.
func Policies() []Policy { return []Policy{PIFO} }

// ParsePolicy returns the policy with a name; the empty name is the default.
func ParsePolicy(name string) (Policy, error) {
	if name == "" {
		return PIFO, nil
	}
	for _, p := range Policies() {
		if p.name == name {
			return p, nil
		}
	}
	return Policy{}, fmt.Errorf("%w: the accounting rule %q is not in this version; use pifo", tracer.ErrUsage, tracer.CleanText(name, 20))
}
