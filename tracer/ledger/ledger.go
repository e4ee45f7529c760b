// Package ledger decides which part of every transfer is the victim's money.
//
// It plays all known transfers in chain order over accounts, one per wallet
// and asset, in whole base units. Money that was reported enters an account as
// traced; when the account pays, a [Policy] says how much of the payment is
// traced; a swap inside one transaction carries the traced part from what was
// given to what was got. Traced money that reaches a stop (a service, a hub)
// stays there.
//
// What it promises: it is pure, so the same input gives the same result on any
// machine; it never rounds money away silently (a swap rounds the traced part
// of what was got down to a base unit); and the sums add up. Per asset,
//
//	reported + converted in = stopped + held + fees + converted out
//
// and the same at every account. [Run] recomputes both from its own output
// before it returns, and a difference is a [*ConservationError].
//
// Wallets, assets and transactions are small numbers here, given by the
// caller; see [Entry].
package ledger

import (
	"cmp"
	"fmt"
	"slices"

	"scamtrace/tracer"

	"github.com/holiman/uint256"
)

// An Entry is one transfer, by the caller's numbers for wallets, assets and
// transactions.
type Entry struct {
	From, To uint32
	Asset    uint32
	Tx       uint32 // entries of one transaction stand together and share it
	Block    uint64
	Time     uint64      // Unix seconds
	Amount   uint256.Int // base units
	Kind     tracer.Kind
}

// An Asset is what the ledger must know of an asset.
type Asset struct {
	// Known marks assets whose value can be relied on. Only they convert, and
	// only they count when a seed wallet receives something: anybody can make
	// a token and send it to anybody.
	Known bool
	// Value marks amounts that are the dollar value of a movement at its time,
	// not units of a thing; see [Input.Drift].
	Value bool
}

// A Stop says what traced money does at a wallet.
type Stop uint8

// The stops.
const (
	Follow  Stop = iota // it moves on when the wallet pays
	Through             // it may move on in the same transaction, else it stays: a swap contract
	Sink                // it stays: a service, a hub, a burn address
)

// A Seed is a reported wallet: what it receives in the given blocks is the
// victim's money, except what is traced already.
type Seed struct {
	Wallet   uint32
	From, To uint64 // blocks, both included
	// Unseen counts what the wallet pays beyond all that it was seen to
	// receive as reported too. It is for wallets whose whole history was read.
	Unseen bool
}

// A Payment is a reported payment: what Wallet receives in Tx is the victim's money.
type Payment struct {
	Tx     uint32
	Wallet uint32
}

// Input is everything the result depends on.
type Input struct {
	Entries  []Entry // chain order, each transfer once, without NFTs
	Wallets  int     // wallet numbers are below it
	Assets   []Asset // by asset number
	Seeds    []Seed
	Payments []Payment
	Stop     func(wallet uint32) Stop // nil means Follow everywhere
	// Worth returns the dollar value of an amount at a time. It is used to
	// tell a swap from a payment that happens to have change, and to weigh
	// several assets given in one swap. nil, or not ok, means not known.
	Worth  func(asset uint32, amount *uint256.Int, time uint64) (tracer.Micros, bool)
	Policy Policy // zero means PIFO
	// Drift is by how many percent the value of money may rise while a wallet
	// holds it. It is for assets that are a Value, and only for what a wallet
	// pays beyond everything it was seen to receive.
	Drift int
	// Unseen is for lists of transfers that lack some: what any wallet pays
	// beyond all it was seen to receive counts as reported, if at least half of
	// what it received is traced. It is an assumption: other people's money in
	// the same hands, most likely.
	Unseen bool
	// Near joins two holding intervals of a wallet that are at most this many
	// blocks apart.
	Near uint64
}

// A Move is a transfer that moved traced money.
type Move struct {
	Entry  int         // index into Input.Entries
	Traced uint256.Int // base units, more than zero, at most the entry's amount
}

// A Part is a traced amount of one asset.
type Part struct {
	Asset  uint32
	Amount uint256.Int // base units
}

// A Conversion is a swap of traced money inside one transaction.
type Conversion struct {
	Entry    int    // index of the first entry of the transaction
	Payer    uint32 // gave Out
	Receiver uint32 // got In; the payer itself, most often
	Out, In  []Part // traced parts, in the order of the transaction
}

// A Receipt is money that was reported: it enters the books here.
type Receipt struct {
	Entry  int // the entry that brought it; for Unseen the entry that paid it out
	Wallet uint32
	Asset  uint32
	Amount uint256.Int
	Unseen bool // nothing was seen to bring it; see [Seed.Unseen] and [Input.Unseen]
	// Tainted is money that is not the victim's and that the policy counts in:
	// poison, no other. It was in the wallet.
	Tainted bool
}

// An Arrival is traced money that stayed at a stop.
type Arrival struct {
	Entry  int // the last entry that brought some of it
	Wallet uint32
	Part
}

// A Balance is traced money that a wallet still holds after the last entry.
type Balance struct {
	Wallet uint32
	Part
	Time uint64 // of the last traced receipt, Unix seconds
}

// An Interval is a time in which a wallet held traced money.
type Interval struct {
	Wallet   uint32
	From, To uint64 // blocks, both included
	Open     bool   // it still does after the last entry; To is then that of the last receipt
}

// A Total is the sum of one asset over all accounts, in base units.
type Total struct {
	Reported, ConvertedIn             uint256.Int
	Stopped, Held, Fees, ConvertedOut uint256.Int
}

// A Result is what the ledger found.
type Result struct {
	Receipts    []Receipt    // in order of entries
	Moves       []Move       // in order of entries, each entry at most once
	Conversions []Conversion // in order of entries
	Arrivals    []Arrival    // in order of entries
	Held        []Balance    // by wallet, then asset
	Intervals   []Interval   // by wallet, then From
	Totals      []Total      // by asset number
}

// A ConservationError reports that the sums of an account do not add up. It is
// a bug in this package, never a fault of the data.
type ConservationError struct {
	Wallet, Asset uint32
	Detail        string
}

func (e *ConservationError) Error() string {
	return fmt.Sprintf("the sums of wallet %d and asset %d do not add up: %s", e.Wallet, e.Asset, e.Detail)
}

// Run plays the entries and returns what became of the reported money. The
// only errors are [*ConservationError] and an input that names a wallet or an
// asset it does not have.
func Run(in Input) (*Result, error) {
	if in.Policy.pay == nil {
		in.Policy = PIFO
	}
	for i := range in.Entries {
		e := &in.Entries[i]
		if int(e.From) >= in.Wallets || int(e.To) >= in.Wallets || int(e.Asset) >= len(in.Assets) {
			return nil, fmt.Errorf("entry %d names wallet %d, wallet %d or asset %d, which the input does not have", i, e.From, e.To, e.Asset)
		}
	}
	r := &run{
		Input:    in,
		stops:    make([]Stop, in.Wallets),
		watched:  make([]bool, in.Wallets),
		hot:      make([]int32, in.Wallets),
		open:     make([]int32, in.Wallets),
		latest:   make([]*account, in.Wallets),
		accounts: make(map[uint64]*account),
		seeds:    make(map[uint32][]Seed),
		payments: make(map[Payment]bool),
		paid:     make(map[uint32]bool),
		res:      &Result{Totals: make([]Total, len(in.Assets))},
	}
	r.clean = in.Policy.past || in.Unseen || slices.ContainsFunc(in.Assets, func(a Asset) bool { return a.Value })
	if in.Stop != nil {
		for w := range r.stops {
			r.stops[w] = in.Stop(uint32(w))
		}
	}
	for _, s := range in.Seeds {
		r.watched[s.Wallet] = true
		r.seeds[s.Wallet] = append(r.seeds[s.Wallet], s)
	}
	for _, p := range in.Payments {
		r.payments[p] = true
		r.paid[p.Tx] = true
	}
	for i := 0; i < len(in.Entries); {
		j := i + 1
		for j < len(in.Entries) && in.Entries[j].Tx == in.Entries[i].Tx {
			j++
		}
		if r.concerns(i, j) {
			r.transaction(i, j)
		}
		i = j
	}
	r.finish()
	return r.res, r.check()
}

// run is the state of one [Run].
type run struct {
	Input
	stops    []Stop
	watched  []bool  // seed wallets: their accounts are kept from the start
	hot      []int32 // by wallet: how many of its assets hold traced money
	open     []int32 // by wallet: 1 + index of its open interval, 0 for none
	accounts map[uint64]*account
	latest   []*account        // by wallet: the account last asked for
	rooms    [][]account       // where the accounts are
	seeds    map[uint32][]Seed // by wallet
	payments map[Payment]bool
	paid     map[uint32]bool // transactions of payments
	clean    bool            // the accounts hold all that was seen, not only what is traced
	resting  []*account      // of Through wallets that got traced money in this transaction
	res      *Result
}

// An account is what one wallet holds of one asset.
type account struct {
	wallet, asset uint32
	traced        uint256.Int
	clean         uint256.Int // seen to be received and not traced; kept for seeds and by policies that need it
	last          uint64      // time of the last traced receipt
	entry         int         // of the last traced receipt
	// All traced receipts, all receipts, and by how much the value of the
	// former rose. Kept when the run keeps all that was seen.
	received, seen, drifted uint256.Int
	lots                    []lot // receipts, for policies that look at their order
}

// account returns the account, a new one if need be.
func (r *run) account(wallet, asset uint32) *account {
	a := r.latest[wallet]
	if a != nil && a.asset == asset {
		return a
	}
	k := uint64(wallet)<<32 | uint64(asset)
	if a = r.accounts[k]; a == nil {
		last := len(r.rooms) - 1
		if last < 0 || len(r.rooms[last]) == cap(r.rooms[last]) {
			r.rooms = append(r.rooms, make([]account, 0, 1024)) // which never moves
			last++
		}
		room := append(r.rooms[last], account{wallet: wallet, asset: asset})
		r.rooms[last] = room
		a = &room[len(room)-1]
		r.accounts[k] = a
	}
	r.latest[wallet] = a
	return a
}

// concerns reports whether the transaction of entries i to j can touch traced
// money. Most transactions that a trace reads do not.
func (r *run) concerns(i, j int) bool {
	if r.clean {
		return true
	}
	for k := i; k < j; k++ {
		e := &r.Entries[k]
		if r.hot[e.From] > 0 || r.watched[e.To] || r.watched[e.From] {
			return true
		}
	}
	return r.paid[r.Entries[i].Tx]
}

// transfer plays one entry on its own.
func (r *run) transfer(i int) {
	e := &r.Entries[i]
	if e.Amount.IsZero() || e.From == e.To {
		return
	}
	traced := r.take(i, e.From, e.Asset, &e.Amount)
	r.move(i, &traced)
	if e.Kind == tracer.KindFee {
		t := &r.res.Totals[e.Asset]
		t.Fees.Add(&t.Fees, &traced)
		return
	}
	r.put(i, e.To, e.Asset, &e.Amount, &traced, true)
}

// take removes amount from an account and returns how much of it is traced.
func (r *run) take(i int, wallet, asset uint32, amount *uint256.Int) uint256.Int {
	if r.hot[wallet] == 0 && !r.watched[wallet] && !r.clean {
		return uint256.Int{}
	}
	a := r.account(wallet, asset)
	if r.Assets[asset].Value {
		r.drift(i, a, amount)
	}
	r.unseen(i, a, amount)
	had := !a.traced.IsZero()
	if had && r.Policy.taints {
		r.taint(i, a, amount)
	}
	traced := r.Policy.pay(a, amount)
	a.traced.Sub(&a.traced, &traced)
	var clean uint256.Int
	clean.Sub(amount, &traced)
	clean = least(&clean, &a.clean)
	a.clean.Sub(&a.clean, &clean)
	if had && a.traced.IsZero() {
		r.cool(wallet, r.Entries[i].Block)
	}
	return traced
}

// unseen reports what a wallet pays beyond everything it was seen to receive,
// if that counts.
func (r *run) unseen(i int, a *account, amount *uint256.Int) {
	e := &r.Entries[i]
	var have, missing uint256.Int
	have.Add(&a.traced, &a.clean)
	if !have.Lt(amount) || e.Kind == tracer.KindFee || !r.Assets[a.asset].Known || !r.counts(a, e) {
		return
	}
	missing.Sub(amount, &have)
	r.report(Receipt{Entry: i, Wallet: a.wallet, Asset: a.asset, Amount: missing, Unseen: true})
	r.credit(i, a, &missing, &uint256.Int{})
}

// counts reports whether what nobody saw come to an account is reported money.
func (r *run) counts(a *account, e *Entry) bool {
	if r.watched[a.wallet] && slices.ContainsFunc(r.seeds[a.wallet], func(s Seed) bool {
		return s.Unseen && s.From <= e.Block && e.Block <= s.To
	}) {
		return true
	}
	if !r.Unseen || r.stops[a.wallet] != Follow || a.received.IsZero() {
		return false
	}
	var other uint256.Int
	return !a.received.Lt(other.Sub(&a.seen, &a.received))
}

func (r *run) report(v Receipt) {
	r.res.Receipts = append(r.res.Receipts, v)
	t := &r.res.Totals[v.Asset]
	t.Reported.Add(&t.Reported, &v.Amount)
}

// put adds amount to an account, traced of it traced. A receipt, unlike the
// far side of the wallet's own swap, may be reported money.
func (r *run) put(i int, wallet, asset uint32, amount, traced *uint256.Int, receipt bool) {
	e := &r.Entries[i]
	t := *traced
	var rest uint256.Int
	rest.Sub(amount, &t)
	if receipt && !rest.IsZero() && r.reported(wallet, asset, e) {
		r.report(Receipt{Entry: i, Wallet: wallet, Asset: asset, Amount: rest})
		t, rest = *amount, uint256.Int{}
	}
	if r.stops[wallet] == Sink {
		if !t.IsZero() {
			r.arrive(i, wallet, asset, &t)
		}
		return
	}
	if t.IsZero() && !r.watched[wallet] && !r.clean {
		return
	}
	a := r.account(wallet, asset)
	a.seen.Add(&a.seen, amount)
	a.received.Add(&a.received, &t)
	r.credit(i, a, &t, &rest)
	if r.Policy.taints && !a.traced.IsZero() {
		r.taint(i, a, &uint256.Int{})
	}
}

// taint makes all money of an account traced, and as much more as a payment of
// amount takes.
func (r *run) taint(i int, a *account, amount *uint256.Int) {
	var all, other uint256.Int
	all.Add(&a.traced, &a.clean)
	if all.Lt(amount) {
		all = *amount
	}
	other.Sub(&all, &a.traced)
	if other.IsZero() {
		return
	}
	a.clean.Clear()
	r.report(Receipt{Entry: i, Wallet: a.wallet, Asset: a.asset, Amount: other, Tainted: true})
	r.credit(i, a, &other, &uint256.Int{})
}

// reported reports whether an untraced receipt is the victim's by what was reported.
func (r *run) reported(wallet, asset uint32, e *Entry) bool {
	if r.paid[e.Tx] && r.payments[Payment{e.Tx, wallet}] {
		return true
	}
	return r.watched[wallet] && r.Assets[asset].Known && slices.ContainsFunc(r.seeds[wallet], func(s Seed) bool {
		return s.From <= e.Block && e.Block <= s.To
	})
}

// credit adds money to an account that is not a sink.
func (r *run) credit(i int, a *account, traced, clean *uint256.Int) {
	if r.Policy.lots && !(traced.IsZero() && clean.IsZero()) {
		a.lots = append(a.lots, lot{*traced, *clean})
	}
	a.clean.Add(&a.clean, clean)
	if traced.IsZero() {
		return
	}
	e := &r.Entries[i]
	if a.traced.IsZero() {
		r.warm(a.wallet, e.Block)
		if r.stops[a.wallet] == Through {
			r.resting = append(r.resting, a)
		}
	}
	if n := r.open[a.wallet]; n > 0 {
		r.res.Intervals[n-1].To = max(r.res.Intervals[n-1].To, e.Block)
	}
	a.traced.Add(&a.traced, traced)
	a.last, a.entry = e.Time, i
}

func (r *run) arrive(i int, wallet, asset uint32, amount *uint256.Int) {
	r.res.Arrivals = append(r.res.Arrivals, Arrival{i, wallet, Part{asset, *amount}})
	t := &r.res.Totals[asset]
	t.Stopped.Add(&t.Stopped, amount)
}

func (r *run) move(i int, traced *uint256.Int) {
	if !traced.IsZero() {
		r.res.Moves = append(r.res.Moves, Move{i, *traced})
	}
}

// warm opens a holding interval when the first asset of a wallet becomes traced.
func (r *run) warm(wallet uint32, block uint64) {
	r.hot[wallet]++
	if r.hot[wallet] > 1 {
		return
	}
	if n := r.open[wallet]; n != 0 {
		// A closed interval is kept by its negated number, to be opened again
		// when the next one is near.
		v := &r.res.Intervals[-n-1]
		if block <= v.To || block-v.To <= r.Near {
			v.To, v.Open = max(v.To, block), true
			r.open[wallet] = -n
			return
		}
	}
	r.res.Intervals = append(r.res.Intervals, Interval{wallet, block, block, true})
	r.open[wallet] = int32(len(r.res.Intervals))
}

// cool closes the interval when the last traced asset of a wallet is gone.
func (r *run) cool(wallet uint32, block uint64) {
	r.hot[wallet]--
	if r.hot[wallet] > 0 {
		return
	}
	n := r.open[wallet]
	v := &r.res.Intervals[n-1]
	v.To, v.Open = max(v.To, block), false
	r.open[wallet] = -n
}

// settle ends a transaction: what rests at a swap contract stays there.
func (r *run) settle() {
	for _, a := range r.resting {
		if a.traced.IsZero() {
			continue
		}
		r.arrive(a.entry, a.wallet, a.asset, &a.traced)
		a.traced.Clear()
		for i := range a.lots {
			a.lots[i].traced.Clear()
		}
		r.cool(a.wallet, r.Entries[a.entry].Block)
	}
	r.resting = r.resting[:0]
}

// finish turns the accounts into balances and puts everything in order.
func (r *run) finish() {
	for _, room := range r.rooms {
		for i := range room {
			a := &room[i]
			if !a.traced.IsZero() {
				r.res.Held = append(r.res.Held, Balance{a.wallet, Part{a.asset, a.traced}, a.last})
				t := &r.res.Totals[a.asset]
				t.Held.Add(&t.Held, &a.traced)
			}
		}
	}
	slices.SortFunc(r.res.Held, func(a, b Balance) int {
		return cmp.Or(cmp.Compare(a.Wallet, b.Wallet), cmp.Compare(a.Asset, b.Asset))
	})
	slices.SortFunc(r.res.Intervals, func(a, b Interval) int {
		return cmp.Or(cmp.Compare(a.Wallet, b.Wallet), cmp.Compare(a.From, b.From))
	})
	// One entry carries one traced amount, even when the money of a swap
	// transaction passed over it more than once.
	slices.SortStableFunc(r.res.Moves, func(a, b Move) int { return cmp.Compare(a.Entry, b.Entry) })
	out := r.res.Moves[:0]
	for _, m := range r.res.Moves {
		if n := len(out); n > 0 && out[n-1].Entry == m.Entry {
			out[n-1].Traced.Add(&out[n-1].Traced, &m.Traced)
			continue
		}
		out = append(out, m)
	}
	r.res.Moves = out
	slices.SortStableFunc(r.res.Arrivals, func(a, b Arrival) int { return cmp.Compare(a.Entry, b.Entry) })
	slices.SortStableFunc(r.res.Receipts, func(a, b Receipt) int { return cmp.Compare(a.Entry, b.Entry) })
}
