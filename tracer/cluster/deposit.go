package cluster

import (
	"maps"
	"slices"
	"time"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
)

const (
	// window is τ, within which a deposit address forwards: 3,200 blocks of
	// Ethereum (Victor, "Address Clustering Heuristics for Ethereum", FC 2020;
	// Tutela, arXiv 2201.06811).
	window = 3200 * 12 * time.Second

	// minDeposit is the confidence, in percent, that makes an address a
	// deposit address. Exact amounts that are forwarded late score just this.
	minDeposit = 50

	// partialDeposit is the most confidence in an address that was not read
	// completely: it may have paid somebody else. It is below [Join].
	partialDeposit = 70
)

// slack is α, what native coin a deposit address may keep or spend when it
// forwards, in wei: 0.01 coin (the same two sources). Tokens must match exactly.
var slack = uint256.NewInt(1e16)

// A Deposit is an address that forwards only to one service: likely the
// account of somebody there.
type Deposit struct {
	Wallet  tracer.Wallet
	Service string          // its name
	To      []tracer.Wallet // the service's wallets that it forwards to, sorted
	// Confidence, in percent, is the mean over all its forwards of
	//
	//	1 - ½(Δa/α) - ½(Δt/τ)
	//
	// where Δa is how far the amount is from what had come in since the last
	// forward, Δt the blocks since the first of that came in and at most τ,
	// and α 0.01 native coin. A forward of another amount (Δa above α, or not
	// zero for tokens) scores 0. Gas sent to the address, up to α at a time or
	// from a service, may be forwarded or not. It is at least 50, at most 99, and at most
	// 70 where the address was not read completely.
	Confidence int
	Evidence   []common.Hash // its forwards, chain order, at most 16
}

// Deposits returns the deposit addresses among the wallets and seeds of in, sorted. A
// service, a hub or a contract is none.
//
// Nor is a wallet that forwards tokens with gas from a wallet that also gave
// their first gas to others of in, which pay more than one service: there,
// somebody empties wallets of their own into an address that is labelled as
// the service's.
func Deposits(g Graph, in Input) []Deposit {
	f := newFinder(g, in)
	f.deposits()
	return slices.SortedFunc(maps.Values(f.deposit), func(a, b Deposit) int { return a.Wallet.Compare(b.Wallet) })
}

func (f *finder) deposits() {
	fueled := make(map[tracer.Wallet]tracer.Wallet) // that forward tokens only → gas funder
	others := make(map[tracer.Wallet]bool)          // gas funders of wallets that pay somebody else
	for _, w := range f.wallets {
		if f.stop(w) {
			continue
		}
		from := f.of(w).funding
		d, native, ok := f.forwards(w)
		switch {
		case !ok:
			if from != nil && len(f.of(w).paid) > 0 {
				others[from.from] = true
			}
			continue
		case d.Confidence >= minDeposit:
			f.deposit[w] = d
		}
		f.onlyOne[w] = true
		if !native && from != nil && !f.stop(from.from) {
			fueled[w] = from.from
		}
	}
	for w, from := range fueled {
		if others[from] {
			delete(f.deposit, w)
			delete(f.onlyOne, w)
		}
	}
}

// A batch is what a deposit address got of one asset and did not forward yet.
type batch struct {
	paid  uint256.Int
	gas   uint256.Int // native coin that may or may not be forwarded
	since uint64      // block of the first receipt
	open  bool        // there was one
}

// forwards scores a wallet as a deposit address. ok is false if it paid nobody,
// or not one service only; native says that it forwarded native coin.
func (f *finder) forwards(w tracer.Wallet) (d Deposit, native, ok bool) {
	d = Deposit{Wallet: w}
	pending := make(map[tracer.Asset]*batch)
	to := make(map[tracer.Wallet]bool)
	var rs []ref
	total, n := 0, 0
	for t := range f.g.Of(w) {
		if !f.moves(&t) {
			continue
		}
		coin := t.Asset.Kind == tracer.Native
		b := pending[t.Asset]
		if b == nil {
			b = new(batch)
			pending[t.Asset] = b
		}
		if t.To == w.Address {
			_, service := f.service(f.wallet(t.From))
			part := &b.paid
			if coin && (service || t.Amount.Lt(slack)) {
				part = &b.gas
			}
			if _, over := part.AddOverflow(part, &t.Amount); over {
				part.SetAllOne()
			}
			if !b.open {
				b.since, b.open = t.Block, true
			}
			continue
		}
		x := f.wallet(t.To)
		name, ok := f.service(x)
		if !ok || f.Custodian != nil && !f.Custodian(x) || n > 0 && name != d.Service {
			return Deposit{}, false, false
		}
		d.Service = name
		to[x] = true
		total += f.score(b, &t)
		n++
		if len(rs) < evidence {
			rs = append(rs, refOf(&t))
		}
		native = native || coin
		b.forward(&t.Amount)
	}
	if n == 0 {
		return Deposit{}, false, false
	}
	d.Confidence = min(99, total/n/10)
	if !f.complete(w) {
		d.Confidence = min(d.Confidence, partialDeposit)
	}
	d.Service = tracer.CleanText(d.Service, 64)
	d.To = slices.SortedFunc(maps.Keys(to), tracer.Wallet.Compare)
	d.Evidence = hashes(rs)
	return d, native, true
}

// score is the formula of [Deposit.Confidence] for one forward, in thousandths.
func (f *finder) score(b *batch, t *tracer.Transfer) int {
	var off uint256.Int
	switch most := new(uint256.Int).Add(&b.paid, &b.gas); {
	case !b.open:
		return 0
	case t.Amount.Lt(&b.paid):
		off.Sub(&b.paid, &t.Amount)
	case most.Lt(&b.paid): // overflow
	case t.Amount.Gt(most):
		off.Sub(&t.Amount, most)
	}
	if t.Asset.Kind != tracer.Native && !off.IsZero() || off.Gt(slack) {
		return 0
	}
	most := f.Chain.Blocks(window)
	late := min(t.Block-b.since, most)
	return 1000 - int(500*off.Uint64()/slack.Uint64()) - int(500*late/most)
}

// forward takes what was forwarded off what came in.
func (b *batch) forward(amount *uint256.Int) {
	over := new(uint256.Int)
	if amount.Gt(&b.paid) {
		over.Sub(amount, &b.paid)
	}
	if over.Gt(&b.gas) {
		over.Set(&b.gas)
	}
	b.gas.Sub(&b.gas, over)
	b.paid.Clear()
	b.open = false
}
