// Package walk follows money: it reads transfers where they matter most, and
// stops when what is left is not worth a request.
//
// One step accounts for everything known ([ledger.Run]), chooses the wallets
// that hold traced money at a time that was not read yet, largest dollar
// amount first, and reads them together. Depth is never the reason to stop:
// value and budget are (true laundering runs 9 to 19 hops). Money stops at
// services and hubs.
//
// [Run] walks to the end. [New] and [Walk.Step] do the same a step at a time;
// [Walk.Save] and [Load] put any number of pauses, and other processes, in
// between, and [Extend] goes on when the chain has grown: it reads only what is
// new, and not even that of wallets to which provably nothing happened.
//
// What it promises: every unit of reported money ends as arrived at a service,
// held, spent on fees, or in a gap with its reason; the result depends on the
// chain, the seeds and the options alone, not on how many reads run at once or
// where the walk was paused; no budget is exceeded; and whatever ends a walk
// early, what was found until then is in the result, and the walk can go on.
package walk

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"scamtrace/graphstore"
	"scamtrace/tracer"
	"scamtrace/tracer/ledger"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
)

// Limits bound a walk. Zero fields mean the defaults.
type Limits struct {
	Requests int           // sent to the source; default 10,000
	Wallets  int           // read; default 10,000
	MinUSD   tracer.Micros // a wallet with less traced money is not read; default one dollar
	// Hub is how many transfers a wallet may have in the time that is read of
	// it; one with more is a hub, where strangers' money is pooled; default
	// 3,000. Seeds may have ten times as many.
	Hub int
}

// WithDefaults returns l with zero fields filled in.
func (l Limits) WithDefaults() Limits {
	return Limits{
		Requests: cmp.Or(l.Requests, 10_000),
		Wallets:  cmp.Or(l.Wallets, 10_000),
		MinUSD:   cmp.Or(l.MinUSD, tracer.Dollar),
		Hub:      cmp.Or(l.Hub, 3_000),
	}
}

// Options are the settings of a walk.
type Options struct {
	Chain        tracer.Chain
	Policy       ledger.Policy
	Since, Until uint64 // Unix seconds, both included: which receipts of a seed wallet are the victim's; zero means all
	Limits       Limits
	Spent        int // requests of Limits that were spent before
	// Drift is by how many percent money may rise in price while a wallet
	// holds it, where a source gives dollar values in place of amounts
	// ([tracer.USD]). Zero means 5, and a number below zero none.
	Drift int
	// Unseen is for sources that lack some transfers, such as a list of the
	// flows that matter: what a wallet pays beyond all it was seen to receive is
	// followed too, where at least half of what it received is traced. It then
	// counts as reported, though it is other people's money most likely.
	Unseen bool
	// Service says whether a wallet is a known service, its name, and whether
	// money stays there or may pass through in one transaction. nil: none is.
	Service func(tracer.Wallet) (name string, stop ledger.Stop)
	// Worth is the dollar value of an amount at a time; nil: not known.
	Worth func(a tracer.Asset, amount *uint256.Int, time uint64) (tracer.Micros, bool)
	// Lacks reports whether Worth lacked what Learn was not asked for yet, and
	// Learn, with the requests that it may send, finds that out; it reports how
	// many it sent, and whether Worth now answers more. Nothing is decided while
	// it may. nil: Worth knows all that there is to know.
	Lacks func() bool
	Learn func(ctx context.Context, requests int) (spent int, more bool)
	// Watch says that the walk will be extended: at its end it notes the states of
	// the wallets whose next move matters, where the source can tell them
	// ([tracer.QuietSource]). It takes up to three requests for each.
	Watch bool
	// Progress is called in every step, from the goroutine of the walk.
	Progress func(Progress)
}

// Progress is how far a walk has come.
type Progress struct {
	Step, Wallets, Transfers, Requests int
	Waiting                            int           // wallets with traced money not read yet
	Followed                           tracer.Micros // arrived at services so far
}

const (
	batch = 500 // wallets per read
	// Windows in which one wallet is read: money moves within hours or days,
	// so the first is short.
	firstWindow  = 3 * 24 * time.Hour
	secondWindow = 30 * 24 * time.Hour
	// Two times in which a wallet held traced money are read as one when less
	// than this lies between them.
	near = 12 * time.Hour
	// A wallet that more than manyParties paid, and that paid as many, pools
	// their money when most of what it got is not traced.
	manyParties = 100
	// wholeTransactions is how many transactions that paid contracts are
	// fetched at once.
	wholeTransactions = 200
)

// A Walk is a trace under way. It is not safe for concurrent use.
type Walk struct {
	o      Options // Limits with defaults
	src    tracer.Source
	pinned tracer.Block
	asked  []tracer.Seed // wallets, then transactions, sorted, each once
	since  uint64        // block
	until  uint64
	seeds  []Seed

	store *graphstore.Store
	read  map[common.Address]*reading
	code  map[common.Address]bool // wallets whose code was asked for: is it a contract
	whole map[common.Hash]bool    // transactions that were fetched whole
	plan  *plan                   // what is being read; nil between steps
	watch watch
	quiet bool // see [Walk.Quiet]

	services []ledger.Stop // by wallet of the store, as far as it was asked
	entries  []ledger.Entry
	rows     []int // entry → row of the store
	input    ledger.Input
	books    *ledger.Result

	requests, steps int
	stopped         Stopped
	done            bool // nothing worth reading is left
}

// A plan is the work of one step, decided before any of it is done. What an
// interruption leaves of it belongs to the state of the walk, so that a walk
// that was interrupted reads what it would have read.
type plan struct {
	spans   []planned     // to read; best first
	seeds   bool          // they are of seed wallets
	looked  bool          // it is known which are contracts, and txs holds what paid those
	txs     []common.Hash // to be fetched whole before anything is read
	learned bool          // they brought something new: account again before reading
}

// A planned span is what to read of one wallet.
type planned struct {
	tracer.Span
	// Window is the last block of the window that begins with the span, which
	// the chain may not have reached; zero when none begins.
	Window uint64 `json:",omitempty"`
}

// New begins a walk: it pins the block, and fetches the reported payments.
//
// An error means that nothing can be traced: it wraps [tracer.ErrUsage] when
// the seeds are at fault (a service, a transaction that is not there).
func New(ctx context.Context, src tracer.Source, seeds []tracer.Seed, o Options) (*Walk, error) {
	w := newWalk(src, o)
	if err := w.start(ctx, seeds); err != nil {
		return nil, err
	}
	return w, nil
}

func newWalk(src tracer.Source, o Options) *Walk {
	o.Limits = o.Limits.WithDefaults()
	o.Drift = cmp.Or(o.Drift, 5)
	return &Walk{
		o:        o,
		requests: o.Spent,
		src:      src,
		store:    graphstore.New(),
		read:     make(map[common.Address]*reading),
		code:     make(map[common.Address]bool),
		whole:    make(map[common.Hash]bool),
	}
}

// Run walks from the seeds until nothing worth reading is left, the budget is
// spent, or ctx ends. A budget, an interruption or a source that fails end the
// walk with what is known: the result's Stopped says why, and err is nil. An
// error is one of [New].
func Run(ctx context.Context, src tracer.Source, seeds []tracer.Seed, o Options) (*Result, error) {
	w, err := New(ctx, src, seeds, o)
	if err != nil {
		return nil, err
	}
	for {
		more, err := w.Step(ctx)
		if err != nil {
			return nil, err
		}
		if !more {
			return w.Settle(ctx)
		}
	}
}

// Settle is [Walk.Result] after everything was learned that it depends on, as
// far as the budget goes and until ctx ends.
func (w *Walk) Settle(ctx context.Context) (*Result, error) {
	for {
		res, err := w.Result()
		if err != nil || !w.learn(ctx) {
			return res, err
		}
	}
}

// Step does one round and reports whether the walk can go on. It cannot when
// nothing worth reading is left, a budget is spent, ctx ends, or the source
// fails; [Walk.Result] says which. After the last three, Step may be called
// again, and takes up the round where it stopped. The only error is a
// [*ledger.ConservationError].
func (w *Walk) Step(ctx context.Context) (more bool, err error) {
	w.stopped = Stopped{}
	learn := func() bool { return w.learn(ctx) }
	if w.plan == nil {
		if !w.check(ctx) {
			return false, nil
		}
		if err := w.account(learn); err != nil {
			return false, err
		}
		todo, followed := w.choose(w.pinned.Number), w.arrived()
		for learn() {
			todo, followed = w.choose(w.pinned.Number), w.arrived()
		}
		if w.lacks() && !w.may(ctx) {
			return false, nil
		}
		if w.o.Progress != nil {
			w.o.Progress(Progress{w.steps, w.wallets(), w.store.Len(), w.requests, len(todo), followed})
		}
		if len(todo) == 0 {
			w.done = w.audit(ctx) && w.note(ctx)
			return false, nil
		}
		if !w.may(ctx) {
			return false, nil
		}
		todo = w.room(todo)
		if len(todo) == 0 {
			if w.audit(ctx) {
				w.stopped = Stopped{tracer.ReasonBudget, fmt.Sprintf("the budget of %d wallets ran out", w.o.Limits.Wallets)}
			}
			return false, nil
		}
		w.begin(todo)
		w.steps++
	}
	if w.books == nil { // a plan of another process
		if err := w.account(learn); err != nil {
			return false, err
		}
	}
	return w.work(ctx), nil
}

// begin plans to read the best of todo. Seeds are read first, for they have a
// bound of their own.
func (w *Walk) begin(todo []choice) {
	w.plan, w.quiet = &plan{seeds: todo[0].seed}, false
	for _, c := range todo[:min(len(todo), batch)] {
		if c.seed != w.plan.seeds {
			break
		}
		w.plan.spans = append(w.plan.spans, planned{tracer.Span{Wallet: c.wallet, From: c.from, To: c.to}, c.window})
	}
}

// may reports whether another request may be sent, and if not, says why.
func (w *Walk) may(ctx context.Context) bool {
	switch {
	case ctx.Err() != nil:
		w.stopped = Stopped{tracer.ReasonStopped, "the run was interrupted"}
	case w.requests >= w.o.Limits.Requests:
		w.stopped = w.outOfRequests()
	default:
		return true
	}
	return false
}

func (w *Walk) outOfRequests() Stopped {
	return Stopped{tracer.ReasonBudget, fmt.Sprintf("the budget of %d requests ran out", w.o.Limits.Requests)}
}

// room leaves of todo what the budget of wallets allows.
func (w *Walk) room(todo []choice) []choice {
	room := w.o.Limits.Wallets - w.wallets()
	return slices.DeleteFunc(todo, func(c choice) bool {
		if r := w.read[c.wallet]; r != nil && len(r.covered) > 0 {
			return false
		}
		room--
		return room < 0
	})
}

// wallets counts the wallets that were read.
func (w *Walk) wallets() int {
	n := 0
	for _, r := range w.read {
		if len(r.covered) > 0 {
			n++
		}
	}
	return n
}

func (w *Walk) wallet(a common.Address) tracer.Wallet {
	return tracer.Wallet{Chain: w.o.Chain.ID, Address: a}
}

// service asks Options.Service.
func (w *Walk) service(x tracer.Wallet) (string, ledger.Stop) {
	if w.o.Service == nil {
		return "", ledger.Follow
	}
	return w.o.Service(x)
}

func (w *Walk) worth(asset uint32, amount *uint256.Int, time uint64) (tracer.Micros, bool) {
	if w.o.Worth == nil {
		return 0, false
	}
	return w.o.Worth(w.store.Asset(asset), amount, time)
}

// lacks reports whether there is something to learn.
func (w *Walk) lacks() bool { return w.o.Lacks != nil && w.o.Lacks() }

// learn asks for what Worth lacked and reports whether it knows more now.
func (w *Walk) learn(ctx context.Context) bool {
	if !w.lacks() || ctx.Err() != nil {
		return false
	}
	spent, more := w.o.Learn(ctx, max(w.o.Limits.Requests-w.requests, 0))
	w.requests += spent
	w.quiet = w.quiet && !more
	return more
}

// arrived is the dollar value of what reached services.
func (w *Walk) arrived() tracer.Micros {
	var sum tracer.Micros
	for _, a := range w.books.Arrivals {
		if r := w.read[w.store.Wallet(a.Wallet).Address]; r == nil || !r.hub {
			usd, _ := w.worth(a.Asset, &a.Amount, w.entries[a.Entry].Time)
			sum += usd
		}
	}
	return sum
}
