package walk

import (
	"scamtrace/tracer"
	"scamtrace/tracer/label"
	"scamtrace/tracer/ledger"
	"scamtrace/tracer/price"

	"github.com/holiman/uint256"
)

// Know fills in Service from labels, and Worth, Lacks and Learn from prices.
// Money passes through swap contracts and stays at every other service.
func (o *Options) Know(labels *label.Set, prices *price.Book) {
	o.Service = func(w tracer.Wallet) (string, ledger.Stop) {
		l, ok := labels.Service(w)
		switch {
		case !ok:
			return "", ledger.Follow
		case l.Category == label.Swap:
			return l.Name, ledger.Through
		}
		return l.Name, ledger.Sink
	}
	o.Worth = func(a tracer.Asset, amount *uint256.Int, time uint64) (tracer.Micros, bool) {
		usd, _, ok := prices.USD(a, amount, time)
		return usd, ok
	}
	o.Lacks, o.Learn = prices.Lacks, prices.Ask
}
