package graphstore

import (
	"iter"
	"runtime"
	"slices"

	"scamtrace/tracer"

	"github.com/holiman/uint256"
)

// A Pair is two wallets in the direction of the money.
type Pair struct {
	From, To tracer.Wallet
}

// A Flow is all that moved of one asset from one wallet to another.
type Flow struct {
	Asset       tracer.Asset
	Amount      uint256.Int // base units; a sum above 2^256-1 stays there
	Transfers   uint32      // how many; more than 2^32-1 stays there
	First, Last uint64      // block numbers
}

// AddFlows merges flows whose transfers the store need not hold: sums add up,
// First and Last widen. A flow that the transfers of the store already make
// up would count twice. Unlike those, it may have any count, also 0, and go
// from a wallet to itself.
func (s *Store) AddFlows(flows iter.Seq2[Pair, Flow]) {
	l := s.Loader()
	defer l.Close()
	for p, f := range flows {
		l.Add(&p, &f)
	}
}

// A Loader is [Store.AddFlows] for flows that come one by one, and somewhat
// quicker. Until it is closed, nothing else may use the store.
type Loader struct {
	// Nearly all of the time goes into waiting for memory: wallets and slots
	// lie where their hashes put them. Taking many flows through one step after
	// the other, and reading ahead what the next step needs, lets the processor
	// wait for many at once.
	s      *Store
	n      int
	pairs  [batchLen]Pair
	rows   [batchLen]flowRow
	hashes [2 * batchLen]uint64 // of senders and receivers, in turn
	ids    [2 * batchLen]uint32
	of     [batchLen]pair
}

// Loader returns a Loader of flows into s.
func (s *Store) Loader() *Loader {
	s.ownFlows = true
	return &Loader{s: s}
}

// Add merges a flow. It keeps neither p nor f.
func (l *Loader) Add(p *Pair, f *Flow) {
	s, i := l.s, l.n
	l.pairs[i] = *p
	l.hashes[2*i], l.hashes[2*i+1] = s.keys.wallet(&p.From), s.keys.wallet(&p.To)
	asset := s.lastAsset
	if asset >= uint32(s.assets.n) || !sameAsset(s.assets.at(asset), &f.Asset) {
		asset = s.asset(&f.Asset)
	}
	if r := &l.rows[i]; !r.set(&f.Amount, f.First, f.Last, f.Transfers, asset) {
		r.setWide(s.addWide(&flowValue{f.Amount, f.First, f.Last, f.Transfers, asset}))
	}
	if l.n++; l.n == batchLen {
		l.flush()
	}
}

// Close completes the store. The Loader must not be used afterwards.
func (l *Loader) Close() {
	l.flush()
	l.s.changed()
}

const batchLen = 128

// flush adds the last flows to those that wait to be merged.
func (l *Loader) flush() {
	s, ws, ids := l.s, &l.s.wallets, l.ids[:2*l.n]
	s.walletIndex.guess(ids, l.hashes[:])
	if n := uint32(ws.len()); n > 0 {
		var read byte
		for _, id := range ids {
			read ^= ws.addresses.at(min(id, n-1))[0]
		}
		runtime.KeepAlive(read)
	}
	plain := len(ws.chains) == 1 && len(s.gone) == 0
	for i := range l.pairs[:l.n] {
		p := &l.pairs[i]
		from, to := ids[2*i], ids[2*i+1]
		if !plain || !ws.has(from, &p.From.Address) || p.From.Chain != ws.chains[0] {
			from = s.walletHashed(&p.From, l.hashes[2*i])
		}
		if !plain || !ws.has(to, &p.To.Address) || p.To.Chain != ws.chains[0] {
			to = s.walletHashed(&p.To, l.hashes[2*i+1])
		}
		l.of[i] = pair{from, to}
	}
	s.pairs.addAll(l.of[:l.n])
	s.flows.addAll(l.rows[:l.n])
	l.n = 0
	if s.flows.n-s.merged >= max(maxWaiting, s.merged) {
		s.merge()
	}
}

// Flows yields every flow, by sender, receiver and asset. Pairs that the graph
// library added without flows are not among them.
func (s *Store) Flows() iter.Seq2[Pair, Flow] {
	return func(yield func(Pair, Flow) bool) {
		s.settle()
		v := s.Freeze()
		var flows []Flow
		for p, head := range s.heads(v) {
			flows = s.flowsOf(flows[:0], head)
			for _, f := range flows {
				if !yield(Pair{v.Wallet(p.from), v.Wallet(p.to)}, f) {
					return
				}
			}
		}
	}
}

// heads yields the pairs of the view in order, by the view's numbers, with
// their heads.
func (s *Store) heads(v *View) iter.Seq2[pair, uint32] {
	return func(yield func(pair, uint32) bool) {
		var b batch // of which it uses what a search needs
		var of [batchLen]pair
		var ids [batchLen]uint32
		flush := func() bool {
			s.hashBatch(&b)
			s.flowIndex.guess(ids[:b.n], b.hashes[:])
			var read uint32
			for _, id := range ids[:b.n] {
				id = min(id, uint32(s.flows.n-1))
				read ^= s.pairs.at(id).from ^ s.flows.at(id).first
			}
			runtime.KeepAlive(read)
			for i := range b.n {
				head, _ := s.findPair(b.pairs[i], b.hashes[i])
				if !yield(of[i], head) {
					return false
				}
			}
			b.n = 0
			return true
		}
		for from := range uint32(v.Len()) {
			for _, to := range v.Out(from) {
				of[b.n], b.pairs[b.n] = pair{from, to}, pair{v.order[from], v.order[to]}
				if b.n++; b.n == batchLen && !flush() {
					return
				}
			}
		}
		flush()
	}
}

// Out yields what w sent: the receiver and the flow, by receiver and asset.
func (s *Store) Out(w tracer.Wallet) iter.Seq2[tracer.Wallet, Flow] {
	return func(yield func(tracer.Wallet, Flow) bool) {
		s.settle()
		v := s.Freeze()
		a, ok := v.ID(w)
		if !ok {
			return
		}
		for _, b := range v.Out(a) {
			for _, f := range s.flowsOf(nil, s.head(v.order[a], v.order[b])) {
				if !yield(v.Wallet(b), f) {
					return
				}
			}
		}
	}
}

// In yields what w received: the sender and the flow, by sender and asset.
func (s *Store) In(w tracer.Wallet) iter.Seq2[tracer.Wallet, Flow] {
	return func(yield func(tracer.Wallet, Flow) bool) {
		s.settle()
		v := s.Freeze()
		b, ok := v.ID(w)
		if !ok {
			return
		}
		for _, a := range v.In(b) {
			for _, f := range s.flowsOf(nil, s.head(v.order[a], v.order[b])) {
				if !yield(v.Wallet(a), f) {
					return
				}
			}
		}
	}
}

// flowsOf appends the flows of a pair to dst in the order of their assets,
// given its head. A pair without flows has none.
func (s *Store) flowsOf(dst []Flow, head uint32) []Flow {
	first := len(dst)
	for id, ok := head, true; ok; id, ok = s.next(id) {
		if v := s.value(s.flows.at(id)); v.asset != bare {
			dst = append(dst, Flow{Asset: *s.assets.at(v.asset), Amount: v.amount, Transfers: v.count, First: v.first, Last: v.last})
		}
	}
	slices.SortFunc(dst[first:], func(a, b Flow) int { return a.Asset.Compare(b.Asset) })
	return dst
}
