package report

import (
	"slices"

	"scamtrace/tracer"

	"github.com/holiman/uint256"
)

// mostUSD is where dollars stop counting, so that no sum overflows.
const mostUSD = 999_999_999_999 * tracer.Dollar

func plus(a, b tracer.Micros) tracer.Micros { return min(a+b, mostUSD) }

// dollars is a sum of amounts, some of which may have no price.
type dollars struct {
	sum            tracer.Micros
	known, missing bool
}

func (d *dollars) add(usd tracer.Micros, ok bool) {
	if ok {
		d.sum, d.known = plus(d.sum, usd), true
	} else {
		d.missing = true
	}
}

// String is empty where no part has a price.
func (d dollars) String() string {
	if d.missing && !d.known {
		return ""
	}
	return d.sum.Decimal()
}

// money is amounts, each asset once.
type money []sum

type sum struct {
	asset  uint32
	amount uint256.Int
	usd    dollars
}

func (m *money) add(asset uint32, amount *uint256.Int, usd tracer.Micros, ok bool) {
	i := slices.IndexFunc(*m, func(s sum) bool { return s.asset == asset })
	if i < 0 {
		i = len(*m)
		*m = append(*m, sum{asset: asset})
	}
	s := &(*m)[i]
	s.amount.Add(&s.amount, amount)
	s.usd.add(usd, ok)
}

// of is the amount of one asset.
func (m money) of(asset uint32) *uint256.Int {
	for i := range m {
		if m[i].asset == asset {
			return &m[i].amount
		}
	}
	return new(uint256.Int)
}

// dollars adds up the assets that have a price for all of their amount.
func (m money) dollars() (d dollars) {
	for i := range m {
		if !m[i].amount.IsZero() {
			d.add(m[i].usd.sum, !m[i].usd.missing)
		}
	}
	return d
}
