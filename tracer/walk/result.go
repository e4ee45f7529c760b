package walk

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"scamtrace/graphstore"
	"scamtrace/tracer"
	"scamtrace/tracer/ledger"

	"github.com/ethereum/go-ethereum/common"
)

// A Seed is what was reported, resolved: a wallet, and the payment to it when
// that is what was reported.
type Seed struct {
	Wallet tracer.Wallet
	Tx     common.Hash // zero: everything the wallet received in the time span
}

// Stopped says why a walk ended early. The zero value: it did not.
type Stopped struct {
	Reason tracer.Reason
	Detail string // one clause
}

// A Result is what a walk found. Wallets, assets and transactions are the
// numbers of Store; entries of Books are indexes into Entries.
type Result struct {
	Chain    tracer.Chain
	Pinned   tracer.Block
	Policy   ledger.Policy
	Limits   Limits
	From, To uint64 // blocks whose receipts of seed wallets count as reported
	Seeds    []Seed

	Store   *graphstore.Store // every transfer that was read
	Entries []ledger.Entry
	Rows    []int // entry → row of Store
	Books   *ledger.Result

	Arrivals []ledger.Arrival // at services; in order of entries
	Held     []ledger.Balance // known to be held; by address, then asset
	Gaps     []Gap            // by address
	Stopped  Stopped

	Requests, Steps int
	WalletsRead     int
	Drift           int  // percent; see [Options]
	Unseen          bool // see [Options]
	// Blind counts the wallets whose internal receipts could not be read.
	Blind int
	// Unchecked counts the wallets of which something was read and could not be
	// compared with their balances, see [tracer.Answer].
	Unchecked int

	input ledger.Input
	read  map[common.Address]*reading
	code  map[common.Address]bool
	why   map[common.Address]Status
}

// Under returns the books of the same transfers by another rule. What was read
// was chosen by the result's own rule, so money that another sends elsewhere
// may be held where nobody looked any further.
func (r *Result) Under(p ledger.Policy) (*ledger.Result, error) {
	in := r.input
	in.Policy = p
	return ledger.Run(in)
}

// A Gap is traced money at a wallet that was not followed.
type Gap struct {
	Wallet uint32
	Money  []ledger.Balance // may be empty: money passed through that was not checked
	Reason tracer.Reason
	Detail string // one sentence
}

// A Status says what is known of a wallet.
type Status struct {
	Complete bool          // everything it did while it held traced money was read
	Reason   tracer.Reason // why not
	Detail   string        // in a sentence
	Hub      bool
	Contract bool // false also when the source cannot tell
}

// Status returns what is known of a wallet. Wallets that hold no traced money
// at any time are complete.
func (r *Result) Status(a common.Address) Status {
	s, ok := r.why[a]
	if !ok {
		s = Status{Complete: true}
	}
	s.Contract = r.code[a]
	if x := r.read[a]; x != nil {
		s.Hub = x.hub
	}
	return s
}

// Complete reports whether the walk ended because nothing worth reading was
// left.
func (r *Result) Complete() bool { return r.Stopped.Reason == "" }

// Result returns what was found so far, with all traced money sorted into
// arrived, held and gaps. It shares memory with the walk and is good until the
// next [Walk.Step]. It asks nobody: where Options.Lacks says so afterwards, a
// result after [Options.Learn] is a better one. The only error is a [*ledger.ConservationError].
func (w *Walk) Result() (*Result, error) {
	if err := w.account(func() bool { return false }); err != nil {
		return nil, err
	}
	res := &Result{
		Chain: w.o.Chain, Pinned: w.pinned, Policy: w.o.Policy, Limits: w.o.Limits, From: w.since, To: w.until, Seeds: w.seeds,
		Store: w.store, Entries: w.entries, Rows: w.rows, Books: w.books, Stopped: w.stopped,
		Requests: w.requests, Steps: w.steps, WalletsRead: w.wallets(), Drift: max(w.o.Drift, 0), Unseen: w.o.Unseen,
		input: w.input, read: w.read, code: w.code, why: make(map[common.Address]Status),
	}
	if !w.done && w.stopped.Reason == "" {
		res.Stopped = Stopped{tracer.ReasonStopped, "the trace has not come to its end"}
	}
	for _, r := range w.read {
		if r.internal != "" {
			res.Blind++
		}
		if r.unchecked || len(r.doubtful) > 0 {
			res.Unchecked++
		}
	}
	gaps := make(map[uint32]*Gap)
	gap := func(id uint32, s Status, money ...ledger.Balance) {
		g := gaps[id]
		if g == nil {
			g = &Gap{Wallet: id, Reason: s.Reason, Detail: s.Detail}
			gaps[id] = g
		}
		g.Money = append(g.Money, money...)
	}
	for _, a := range w.books.Arrivals {
		x := w.store.Wallet(a.Wallet).Address
		if r := w.read[x]; r != nil && r.hub {
			s := Status{Reason: tracer.ReasonCrowded, Detail: w.crowd(r)}
			res.why[x] = s
			gap(a.Wallet, s, ledger.Balance{Wallet: a.Wallet, Part: a.Part, Time: w.entries[a.Entry].Time})
			continue
		}
		res.Arrivals = append(res.Arrivals, a)
	}
	some, past := make(map[uint32]bool), w.past()
	for id, all := range w.holders() {
		_, _, some[id] = w.unread(w.known(w.store.Wallet(id).Address), all, past, w.pinned.Number)
	}
	stakes := w.stakes(some)
	for id := range w.holders() {
		if s := w.status(id, some[id], stakes[id], res.Stopped); !s.Complete {
			res.why[w.store.Wallet(id).Address] = s
			if s.Reason != tracer.ReasonDust && s.Reason != tracer.ReasonNoTraces {
				gap(id, s)
			}
		}
	}
	// A seed that was not read may hold anything.
	for _, seed := range w.seeds {
		a := seed.Wallet.Address
		r := w.known(a)
		if _, missing := r.missing(w.since, w.pinned.Number); !missing || r.hub || seed.Tx != (common.Hash{}) {
			continue
		}
		if _, known := res.why[a]; !known {
			res.why[a] = w.whyUnread(r, math.MaxInt64, res.Stopped)
			if id, ok := w.store.WalletID(seed.Wallet); ok {
				gap(id, res.why[a])
			}
		}
	}
	for _, h := range w.books.Held {
		x := w.store.Wallet(h.Wallet).Address
		s, partial := res.why[x]
		r := w.read[x]
		native := w.store.Asset(h.Asset).Kind == tracer.Native
		switch {
		case !partial:
			res.Held = append(res.Held, h)
		case r != nil && r.native != "" && !native, s.Reason == tracer.ReasonNoTraces && !native:
			res.Held = append(res.Held, h) // only the native coin is in doubt
		default:
			gap(h.Wallet, s, h)
		}
	}
	for _, g := range gaps {
		res.Gaps = append(res.Gaps, *g)
	}
	if res.Stopped.Reason == "" {
		res.Stopped = w.unreadable(res.why)
	}
	// Numbers of the store are of this process; addresses are not.
	slices.SortFunc(res.Gaps, func(a, b Gap) int { return w.compareWallets(a.Wallet, b.Wallet) })
	slices.SortStableFunc(res.Held, w.compareBalances)
	for i := range res.Gaps {
		slices.SortStableFunc(res.Gaps[i].Money, w.compareBalances)
	}
	return res, nil
}

// crowd says in a sentence why money is not followed through a hub.
func (w *Walk) crowd(r *reading) string {
	if r.pool {
		return fmt.Sprintf("More than %d wallets paid this wallet and it paid more than %d, and most of what it got is not the victim's, so that money is mixed with that of many others here.", manyParties, manyParties)
	}
	return fmt.Sprintf("This wallet has more than %d transfers in the time that was read, so the victim's money is mixed with that of many others here.", w.o.Limits.Hub)
}

func (w *Walk) compareWallets(a, b uint32) int {
	return w.store.Wallet(a).Compare(w.store.Wallet(b))
}

func (w *Walk) compareBalances(a, b ledger.Balance) int {
	return cmp.Or(w.compareWallets(a.Wallet, b.Wallet), w.store.Asset(a.Asset).Compare(w.store.Asset(b.Asset)), cmp.Compare(a.Time, b.Time))
}

// status says whether a wallet that held traced money was read completely.
func (w *Walk) status(id uint32, unread bool, stake tracer.Micros, stopped Stopped) Status {
	a := w.store.Wallet(id).Address
	r := w.known(a)
	if unread {
		return w.whyUnread(r, stake, stopped)
	}
	switch {
	case r.native != "":
		reason := tracer.ReasonSource
		if r.blind {
			reason = tracer.ReasonNoTraces
		}
		return Status{Reason: reason, Detail: sentence("Its moves of " + w.o.Chain.Symbol + " could not be read: " + r.native)}
	case r.internal != "" && w.code[a]:
		return Status{Reason: tracer.ReasonNoTraces, Detail: sentence("A contract, and what it pays in " + w.o.Chain.Symbol + " could not be read: " + r.internal)}
	}
	return Status{Complete: true}
}

// whyUnread says why a wallet was not read, or not to the end.
func (w *Walk) whyUnread(r *reading, stake tracer.Micros, stopped Stopped) Status {
	switch {
	case r.failed != "":
		return Status{Reason: r.failed, Detail: sentence("The wallet could not be read: " + r.detail)}
	case stake < w.o.Limits.MinUSD:
		return Status{Reason: tracer.ReasonDust, Detail: fmt.Sprintf("Less than %s of traced money, too little to follow.", w.o.Limits.MinUSD)}
	case stopped.Reason != "":
		return Status{Reason: stopped.Reason, Detail: sentence("Not read any further: " + stopped.Detail)}
	}
	return Status{Reason: tracer.ReasonBudget, Detail: fmt.Sprintf("Not read any further: the budget of %d wallets ran out.", w.o.Limits.Wallets)}
}

// unreadable says that a walk which read all it could did not get to the end
// because the source refused some wallets.
func (w *Walk) unreadable(why map[common.Address]Status) Stopped {
	n := 0
	var first common.Address
	for a := range why {
		if r := w.read[a]; r != nil && r.failed != "" {
			if n++; n == 1 || a.Cmp(first) < 0 {
				first = a
			}
		}
	}
	switch n {
	case 0:
		return Stopped{}
	case 1:
		return Stopped{w.read[first].failed, "a wallet could not be read: " + w.read[first].detail}
	}
	return Stopped{w.read[first].failed, fmt.Sprintf("%d wallets could not be read; of %s: %s", n, w.wallet(first).Show(), w.read[first].detail)}
}

// sentence ends a text with a full stop.
func sentence(s string) string {
	if s != "" && s[len(s)-1] == '.' {
		return s
	}
	return s + "."
}
