package ledger

import (
	"fmt"
	"slices"
	"strings"

	"scamtrace/tracer"

	"github.com/holiman/uint256"
)

// A Policy is an accounting rule: which part of a payment is traced when the
// account holds other money too. One policy holds for the whole of a run. The
// zero value is [PIFO].
type Policy struct {
	name string
	// pay returns how much of a payment from the account is traced: at most the
	// amount, and at most what the account holds traced. What a payment takes
	// beyond all that the account holds is not traced. It keeps account.lots,
	// if the policy uses them; the sums of the account are kept for it.
	pay func(a *account, amount *uint256.Int) uint256.Int
	// past says that the rule looks at what else the account holds.
	past bool
	// lots says that the rule looks at the order of receipts.
	lots bool
	// taints says that other money beside traced money becomes traced.
	taints bool
}

// A lot is one receipt of an account, or what is left of it. Its traced part
// leaves before the other.
type lot struct{ traced, clean uint256.Int }

// policies are the rules of this version, the default first.
var policies = []Policy{PIFO, lifo, fifo, libr, haircut, poison}

// Policies returns the policies of this version, the default first.
func Policies() []Policy { return slices.Clone(policies) }

// ParsePolicy returns the policy with a name; the empty name is the default.
func ParsePolicy(name string) (Policy, error) {
	if name == "" {
		return PIFO, nil
	}
	var names []string
	for _, p := range policies {
		if p.name == name {
			return p, nil
		}
		names = append(names, p.name)
	}
	return Policy{}, fmt.Errorf("%w: the accounting rule %q is not known; use one of %s", tracer.ErrUsage, tracer.CleanText(name, 20), strings.Join(names, ", "))
}

// String returns the policy's name as on the command line.
func (p Policy) String() string {
	if p.name == "" {
		return PIFO.name
	}
	return p.name
}

// Past reports whether the policy depends on all that a wallet was seen to
// receive, not only on what is traced.
func (p Policy) Past() bool { return p.past }

// take takes a payment from a lot, the traced part first, and returns how much
// of it was traced.
func (l *lot) take(amount *uint256.Int) (traced uint256.Int) {
	traced = least(amount, &l.traced)
	l.traced.Sub(&l.traced, &traced)
	amount.Sub(amount, &traced)
	clean := least(amount, &l.clean)
	l.clean.Sub(&l.clean, &clean)
	amount.Sub(amount, &clean)
	return traced
}

func (l *lot) empty() bool { return l.traced.IsZero() && l.clean.IsZero() }

// least returns the smaller of two amounts.
func least(a, b *uint256.Int) uint256.Int {
	if a.Lt(b) {
		return *a
	}
	return *b
}
