package cluster

import (
	"cmp"
	"math"
	"slices"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
)

const (
	// dust is what a transfer must be worth to be evidence: bait is sent in
	// thousandths of a cent, and a dollar is the least a trace follows.
	dust = tracer.Dollar

	// maxGas is the most that counts as a wallet's first gas, and not as
	// money. A hundred dollars paid for some twenty swaps when gas on Ethereum
	// was dearest, in 2021.
	maxGas = 100 * tracer.Dollar

	// refs bounds the transactions kept as evidence for one fact, evidence
	// those of one link.
	refs     = 3
	evidence = 16
)

var (
	// The same bounds in native coin where it has no price, in wei: a
	// ten-thousandth and a tenth of a coin.
	dustCoin   = uint256.NewInt(1e14)
	maxGasCoin = uint256.NewInt(1e17)

	// minGas is the least that pays for a transaction where no fee is known:
	// 21,000 gas, the least there is, at 0.005 gwei.
	minGas = uint256.NewInt(105e9)
)

// usd returns what a transfer was worth, if that is known.
func (f *finder) usd(t *tracer.Transfer) (tracer.Micros, bool) {
	if f.USD != nil {
		if v, ok := f.USD(t.Asset, &t.Amount, t.Time); ok {
			return max(v, 0), true
		}
	}
	if tok, _ := f.Chain.Token(t.Asset); t.Asset.Kind != tracer.USD && !tok.Stable {
		return 0, false
	}
	_, decimals, _ := f.Chain.Describe(t.Asset)
	one := new(uint256.Int).Exp(uint256.NewInt(10), uint256.NewInt(uint64(decimals)))
	v, over := new(uint256.Int).MulDivOverflow(&t.Amount, uint256.NewInt(uint64(tracer.Dollar)), one)
	if over || !v.IsUint64() || v.Uint64() > math.MaxInt64 {
		return math.MaxInt64, true
	}
	return tracer.Micros(v.Uint64()), true
}

// moves reports whether a transfer moves anything that can be money: a fee, a
// zero amount, an NFT and a token that anybody made do not.
func (f *finder) moves(t *tracer.Transfer) bool {
	return t.Kind != tracer.KindFee && t.Counts() && f.Chain.Known(t.Asset)
}

// money reports whether a transfer is money and not dust.
func (f *finder) money(t *tracer.Transfer) bool {
	if !f.moves(t) {
		return false
	}
	if v, ok := f.usd(t); ok {
		return v >= dust
	}
	return t.Asset.Kind != tracer.Native || !t.Amount.Lt(dustCoin)
}

// gasSized reports whether a transfer is native coin and no more than a wallet
// needs for gas.
func (f *finder) gasSized(t *tracer.Transfer) bool {
	if t.Asset.Kind != tracer.Native {
		return false
	}
	if v, ok := f.usd(t); ok {
		return v <= maxGas
	}
	return !t.Amount.Gt(maxGasCoin)
}

// A ref is a transaction and its place on the chain.
type ref struct {
	block uint64
	index uint32
	tx    common.Hash
}

func refOf(t *tracer.Transfer) ref { return ref{t.Block, t.TxIndex, t.Tx} }

func (r ref) compare(o ref) int {
	return cmp.Or(cmp.Compare(r.block, o.block), cmp.Compare(r.index, o.index), r.tx.Cmp(o.tx))
}

// hashes puts transactions in chain order, each once.
func hashes(rs ...[]ref) []common.Hash {
	all := slices.Concat(rs...)
	slices.SortFunc(all, ref.compare)
	all = slices.Compact(all)
	var txs []common.Hash
	for _, r := range all[:min(len(all), evidence)] {
		txs = append(txs, r.tx)
	}
	return txs
}

// sums are amounts of money: dollars where a price is known, else by asset.
type sums struct {
	usd  tracer.Micros
	rest map[tracer.Asset]*uint256.Int
}

func (s *sums) add(f *finder, t *tracer.Transfer) {
	if v, ok := f.usd(t); ok {
		s.usd += min(v, math.MaxInt64-s.usd)
		return
	}
	if s.rest == nil {
		s.rest = make(map[tracer.Asset]*uint256.Int)
	}
	n := s.rest[t.Asset]
	if n == nil {
		n = new(uint256.Int)
		s.rest[t.Asset] = n
	}
	if _, over := n.AddOverflow(n, &t.Amount); over {
		n.SetAllOne()
	}
}

func (s *sums) zero() bool { return s.usd == 0 && len(s.rest) == 0 }

// covers reports whether s is at least 1/n of o, in dollars and in every asset
// without a price.
func (s *sums) covers(o *sums, n uint64) bool {
	if s.usd < o.usd/tracer.Micros(n) {
		return false
	}
	for a, v := range o.rest {
		have := s.rest[a]
		if have == nil || have.Lt(new(uint256.Int).Div(v, uint256.NewInt(n))) {
			return false
		}
	}
	return true
}

// facts are what a wallet was seen to do.
type facts struct {
	funding   *funding
	paid      map[tracer.Wallet]*payments
	collector tracer.Wallet        // got most of the money it paid, or zero
	in, out   sums                 // money it got and paid, but no gas
	back      sums                 // money it got in a transaction in which it paid, as for a swap; not in in
	sent      map[common.Hash]bool // transactions in which it paid money
	dust      bool                 // it sent dust
	fees      bool                 // it paid one, as only somebody with a key can
}

// duster reports whether a wallet sends dust and nothing else.
func (x *facts) duster() bool { return x.dust && len(x.paid) == 0 }

// payments are what one wallet paid to another.
type payments struct {
	refs   []ref                 // the first few
	money  []ref                 // the first few that are no gas
	total  sums                  // of what is no gas
	assets map[tracer.Asset]bool // of what is no gas
}

// A funding is the first native coin that a wallet got and could pay a fee
// with.
type funding struct {
	from   tracer.Wallet
	amount uint256.Int
	time   uint64
	ref    ref
}

// of returns the facts of a wallet.
func (f *finder) of(w tracer.Wallet) *facts {
	if x := f.facts[w]; x != nil {
		return x
	}
	x := &facts{paid: make(map[tracer.Wallet]*payments), sent: make(map[common.Hash]bool)}
	f.facts[w] = x
	var got []tracer.Transfer // native coin received before the first fee
	var fee *uint256.Int
	for t := range f.g.Of(w) {
		switch {
		case t.Kind == tracer.KindFee:
			if t.From == w.Address && !x.fees {
				fee, x.fees = new(uint256.Int).Set(&t.Amount), true
			}
			continue
		case !f.moves(&t):
			continue
		case t.To == w.Address:
			if t.Asset.Kind == tracer.Native && fee == nil {
				got = append(got, t)
			}
			continue
		case !f.money(&t):
			x.dust = true
			continue
		}
		to := f.wallet(t.To)
		p := x.paid[to]
		if p == nil {
			p = &payments{assets: make(map[tracer.Asset]bool)}
			x.paid[to] = p
		}
		p.refs = note(p.refs, &t)
		x.sent[t.Tx] = true
		if !f.gasSized(&t) {
			p.money = note(p.money, &t)
			p.assets[t.Asset] = true
			p.total.add(f, &t)
			x.out.add(f, &t)
		}
	}
	for t := range f.g.Of(w) {
		switch {
		case t.To != w.Address || !f.money(&t) || f.gasSized(&t):
		case x.sent[t.Tx]:
			x.back.add(f, &t)
		default:
			x.in.add(f, &t)
		}
	}
	x.collector = x.biggest()
	if fee == nil {
		fee = minGas
	}
	for i := range got {
		if t := &got[i]; !t.Amount.Lt(fee) {
			if f.gasSized(t) {
				x.funding = &funding{f.wallet(t.From), t.Amount, t.Time, refOf(t)}
			}
			break
		}
	}
	return x
}

// note keeps the first few transactions.
func note(rs []ref, t *tracer.Transfer) []ref {
	r := refOf(t)
	if len(rs) >= refs || len(rs) > 0 && rs[len(rs)-1] == r {
		return rs
	}
	return append(rs, r)
}

// minus returns s less o, and nothing where o is more.
func (s *sums) minus(o *sums) sums {
	d := sums{usd: max(0, s.usd-o.usd), rest: make(map[tracer.Asset]*uint256.Int)}
	for a, v := range s.rest {
		n := o.rest[a]
		if n == nil {
			n = new(uint256.Int)
		}
		if v.Gt(n) {
			d.rest[a] = new(uint256.Int).Sub(v, n)
		}
	}
	return d
}

// biggest returns the wallet that got more than half of the money a wallet
// paid, in dollars and of every asset without a price, or the zero Wallet.
func (x *facts) biggest() tracer.Wallet {
	for to, p := range x.paid {
		rest := x.out.minus(&p.total)
		if p.total.covers(&rest, 1) && !rest.covers(&p.total, 1) {
			return to // there is only one such
		}
	}
	return tracer.Wallet{}
}
