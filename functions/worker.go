package functions

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"scamtrace/graphstore"
	"scamtrace/tracer"
	"scamtrace/tracer/evidence"
	"scamtrace/tracer/ledger"
	"scamtrace/tracer/walk"
)

// maxTries is how many turns in a row may end without any progress.
const maxTries = 8

// errNode marks trouble with the chain's node: the case waits, and the message
// has done its work.
var errNode = errors.New("the node")

// Work gives a case a turn: it reads until nothing is left, which ends in a
// report, or until the deadline of ctx nears, which ends in a saved state and
// the next Job.
//
// An error means that the Job should come again: the bucket, the queue or the
// signer failed, or ctx ended. Whatever else goes wrong is written into the
// case, and a Job that is void is dropped.
func (a *App) Work(ctx context.Context, j Job) error {
	log := a.log().With("case", j.Case, "epoch", j.Epoch)
	c, _, err := a.load(ctx, j.Workspace, j.Case)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, errDamaged):
		log.ErrorContext(ctx, "job dropped", "err", err)
		return nil
	case err != nil:
		return err
	case c.Epoch != j.Epoch:
		log.InfoContext(ctx, "job dropped: of another epoch", "now", c.Epoch)
		return nil
	case !c.working():
		return a.deliver(ctx, c)
	}
	start := time.Now()
	err = a.turn(ctx, c)
	a.metric(ctx, map[string]string{"Chain": c.Chain}, map[string]float64{"Turns": 1, "TurnSeconds": time.Since(start).Seconds()})
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errStale):
		log.InfoContext(ctx, "job dropped: another worker was first")
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("case %s: %w", c.ID, context.Cause(ctx))
	case errors.Is(err, errNode):
		log.WarnContext(ctx, "the node fails", "err", err)
		return a.wait(ctx, c, err)
	case errors.Is(err, tracer.ErrUsage):
		return a.fail(ctx, c, sentence(strings.TrimPrefix(err.Error(), tracer.ErrUsage.Error()+": ")))
	}
	if ce, ok := errors.AsType[*ledger.ConservationError](err); ok {
		log.ErrorContext(ctx, "the books do not add up", "err", ce)
		return a.fail(ctx, c, "The sums of this trace do not add up. This is a fault of the program; please report it with the number of the case.")
	}
	return fmt.Errorf("case %s: %w", c.ID, err)
}

// turn is one turn of a case that is at work.
func (a *App) turn(ctx context.Context, c *Case) error {
	want := ""
	if c.Pinned != nil {
		want = c.Pinned.Known
	}
	k, err := a.knowledge(ctx, want)
	if err != nil {
		return err
	}
	chain, err := k.chain(c.Chain)
	if err != nil {
		return err
	}
	rec, err := evidence.NewRecorder(a.now)
	if err != nil {
		return err
	}
	defer rec.Close()
	if c.Pinned == nil {
		c, src, err := a.pin(ctx, c, chain, k, rec)
		if err != nil || c == nil {
			return err
		}
		return a.walk(ctx, &turn{c: c, chain: chain, k: k, src: src, rec: rec})
	}
	if c.Pinned.Known != k.id {
		return a.again(ctx, c, c.Moved, c.Alone, c.Spent, "The labels or prices changed while it was traced, so it was traced again with the new ones.")
	}
	if c, err = a.adopt(ctx, c); err != nil {
		return err
	}
	src, err := a.Open(ctx, chain, c.Pinned.tracer(), rec)
	if errors.Is(err, tracer.ErrReorg) {
		if c.Moved {
			return a.fail(ctx, c, "The chain gave up a final block twice while it was traced, so nothing can be proven now. Please try again tomorrow.")
		}
		return a.again(ctx, c, true, c.Alone, c.Spent, "The chain gave up a final block while it was traced, so it was traced again up to another one.")
	}
	if err != nil {
		return node(err)
	}
	return a.walk(ctx, &turn{c: c, chain: chain, k: k, src: c.reading(src), rec: rec})
}

// A planned source has indexers before its node.
type planned interface {
	Names() []string // of the indexers
	Unwrap() tracer.Source
	About() string
	Asked() []evidence.Endpoint
}

// reading is what a case is read from: a source, or of a planned one the node
// alone.
func (c *Case) reading(src tracer.Source) tracer.Source {
	if p, ok := src.(planned); ok && c.Alone {
		return p.Unwrap()
	}
	return src
}

// A turn is a turn of a case under way.
type turn struct {
	c     *Case
	chain tracer.Chain
	k     *knowledge
	src   tracer.Source
	rec   *evidence.Recorder // of what src asks

	w        *walk.Walk
	before   string // the hash of the state that it went on from; empty: none
	steps    int    // of the walk
	settled  bool   // after them
	cut      bool   // the deadline ended the last of them
	unlooked bool   // the deadline ended the questions about what is not counted
	spent    int    // requests of the run, at its end
	progress Progress
}

// pin chooses the block that this run reads up to, and writes it down before
// anything is read at it. A nil Case: nothing is final that was not before.
func (a *App) pin(ctx context.Context, c *Case, chain tracer.Chain, k *knowledge, rec *evidence.Recorder) (*Case, tracer.Source, error) {
	var gone bool
	if c.Base != nil {
		_, err := a.Open(ctx, chain, c.Base.tracer(), nil)
		if gone = errors.Is(err, tracer.ErrReorg); err != nil && !gone {
			return nil, nil, node(err)
		}
	}
	src, err := a.Open(ctx, chain, nil, rec)
	if err != nil {
		return nil, nil, node(err)
	}
	src = c.reading(src)
	b, err := src.Pin(ctx)
	if err != nil {
		return nil, nil, node(err)
	}
	if n := len(c.Reports); n > 0 && !gone && (b.Number <= c.Reports[n-1].Block || c.Base != nil && b.Number <= c.Base.Number) {
		_, err := a.step(ctx, c, func(c *Case) {
			c.rest(c.Reports[n-1].Status, "There was no new final block to read.", a.next(c))
			if c.Base != nil {
				c.Pinned, c.Base = &Pin{Block: *c.Base}, nil
			}
		})
		return nil, nil, err
	}
	c, err = a.step(ctx, c, func(c *Case) {
		c.Status, c.Due = StatusTracing, a.now().Add(lost)
		c.Pinned = &Pin{Block: Block(b), Known: k.id, Notes: notes(src)}
		if gone {
			c.State, c.Base = 0, nil
			c.Notes = append(c.Notes, "The block up to which the report before this one was read is no longer on the chain, so everything was read anew.")
		}
	})
	return c, src, err
}

// again begins the run anew, at a new block and from nothing.
func (a *App) again(ctx context.Context, c *Case, moved, alone bool, spent int, note string) error {
	c, err := a.step(ctx, c, func(c *Case) {
		c.Pinned, c.Base, c.State, c.Moved, c.Alone, c.Spent = nil, nil, 0, moved, alone, spent
		c.Notes = append(c.Notes, note)
		c.Progress = Progress{}
		c.Epoch++
		c.Due = a.now().Add(lost)
	})
	if err != nil {
		return err
	}
	return a.send(ctx, c)
}

// begin goes on with the walk of a case, or begins it.
func (a *App) begin(ctx context.Context, t *turn) error {
	t.k = t.k.asking(a.Quoters, t.chain, t.src)
	seeds, o, err := t.c.walkOptions(t.chain, t.k)
	if err != nil {
		return err
	}
	t.progress = t.c.Progress
	o.Progress = func(p walk.Progress) {
		t.progress = Progress{p.Wallets, p.Transfers, p.Requests, p.Waiting, p.Followed}
	}
	t.w, t.before, err = a.resume(ctx, t.c, t.k, t.src, seeds, o)
	return err
}

// walk reads until the end or the deadline.
func (a *App) walk(ctx context.Context, t *turn) error {
	start := time.Now()
	within, cancel := a.within(ctx)
	defer cancel()
	if err := a.begin(ctx, t); err != nil {
		return err
	}
	for more := true; more && within.Err() == nil; t.steps++ {
		var err error
		if more, err = t.w.Step(within); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if within.Err() != nil {
		t.cut = true
		return a.pause(ctx, t, "")
	}
	t.settled = true
	res, err := t.w.Settle(within)
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if t.k.prices.Lacks() {
		return a.pause(ctx, t, "")
	}
	if trouble, tries := unread(res, t.k); trouble != "" && t.c.Tries+1 < tries {
		return a.pause(ctx, t, trouble)
	}
	if done, err := a.still(ctx, t, res); done || err != nil {
		return err
	}
	if end, ok := ctx.Deadline(); ok && time.Until(end) < time.Since(start) {
		return a.pause(ctx, t, "") // the report gets a whole turn
	}
	return a.finish(ctx, t, res)
}

// unread says what the node did not let the walk read, and how many turns in a
// row that may happen before the report is written without it: many while
// nothing can be read, few when it is some wallets, which may stay so.
func unread(res *walk.Result, k *knowledge) (trouble string, tries int) {
	if res.Stopped.Reason == tracer.ReasonSource {
		return res.Stopped.Detail, maxTries
	}
	for _, g := range res.Gaps {
		if g.Reason == tracer.ReasonSource {
			return g.Detail, 3
		}
	}
	if trouble = k.prices.Trouble(); trouble != "" {
		return trouble, 3
	}
	return "", 0
}

// resume begins a walk, goes on with a saved one, or extends that of an
// earlier run. before is the hash of the saved one.
func (a *App) resume(ctx context.Context, c *Case, k *knowledge, src tracer.Source, seeds []tracer.Seed, o walk.Options) (w *walk.Walk, before string, err error) {
	if c.State == 0 {
		w, err = walk.New(ctx, src, seeds, o)
		if err != nil && !errors.Is(err, tracer.ErrUsage) {
			err = node(err)
		}
		return w, "", err
	}
	data, _, err := a.Bucket.Get(ctx, c.stateKey(c.State))
	if err != nil {
		return nil, "", err
	}
	before = hashBytes(data)
	if data, err = k.takeQuotes(data); err != nil {
		return nil, "", err
	}
	if k.prices.Asks() {
		k.prices.Again(c.Base != nil)
	}
	resume := walk.Load
	if c.Base != nil {
		resume = walk.Extend
	}
	w, err = resume(ctx, bytes.NewReader(data), src, seeds, o)
	return w, before, err
}

// pause saves the walk under the next epoch. Without trouble the next turn
// follows at once; else the case waits.
func (a *App) pause(ctx context.Context, t *turn, trouble string) error {
	state, err := t.state()
	if err != nil {
		return err
	}
	run := a.run(t, state, false)
	if _, err := a.record(ctx, t, run); err != nil {
		return err
	}
	if err := a.save(ctx, t.c, state); err != nil {
		return err
	}
	if trouble == "" && run.To.SHA256 == t.before {
		if trouble = "a turn is too short to read anything"; t.c.Tries+1 >= maxTries {
			return a.fail(ctx, t.c, "The chain is too slow: "+trouble+". You can have it tried again.")
		}
	}
	next, err := a.step(ctx, t.c, func(c *Case) {
		if p := t.progress; p.Wallets > c.Progress.Wallets || p.Transfers > c.Progress.Transfers {
			c.Tries = 0
		}
		c.Status, c.Reason = StatusTracing, ""
		c.Epoch++
		c.State, c.Base, c.Progress = c.Epoch, nil, t.progress
		c.Due = a.now().Add(lost)
		if trouble != "" {
			c.troubled(a.now(), trouble)
		}
	})
	if err != nil || trouble != "" {
		return err
	}
	return a.send(ctx, next)
}

// state is what the next turn goes on from.
func (t *turn) state() ([]byte, error) {
	var b bytes.Buffer
	t.k.giveQuotes(&b)
	err := t.w.Save(&b)
	return b.Bytes(), err
}

// save writes the state of the next epoch. If it is there, another worker was
// first.
func (a *App) save(ctx context.Context, c *Case, state []byte) error {
	_, err := a.Bucket.Create(ctx, c.stateKey(c.Epoch+1), state)
	if errors.Is(err, graphstore.ErrExists) {
		return errStale
	}
	return err
}

// adopt goes on with the state of the next epoch if it is there: whoever wrote
// it died before it could say so, or is about to find out that it is late.
func (a *App) adopt(ctx context.Context, c *Case) (*Case, error) {
	_, _, err := a.Bucket.Get(ctx, c.stateKey(c.Epoch+1))
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return nil, err
	}
	return a.step(ctx, c, func(c *Case) {
		c.Status = StatusTracing
		c.Epoch++
		c.State, c.Base = c.Epoch, nil
		c.Due = a.now().Add(lost)
	})
}

func (c *Case) stateKey(epoch int) string { return c.key("state/%d.snap", epoch) }

// rest puts the case to rest.
func (c *Case) rest(s Status, reason string, due time.Time) {
	c.Status, c.Reason, c.Tries, c.Due = s, reason, 0, due
}

// wait writes trouble with the node into the case and leaves it to the
// schedule.
func (a *App) wait(ctx context.Context, c *Case, trouble error) error {
	text := strings.TrimPrefix(trouble.Error(), errNode.Error()+": ")
	if c.Tries+1 >= maxTries {
		return a.fail(ctx, c, sentence("The chain could not be read: "+text)+" You can have it tried again.")
	}
	_, err := a.step(ctx, c, func(c *Case) { c.troubled(a.now(), text) })
	return stale(err)
}

// troubled counts a try and sets the time of the next: a minute later, then
// two, four, and so on up to an hour.
func (c *Case) troubled(now time.Time, trouble string) {
	c.Due = now.Add(min(time.Minute<<c.Tries, time.Hour))
	c.Tries++
	c.Reason = sentence("The chain cannot be read now, and it will be tried again: " + trouble)
}

// fail ends the run. What was read stays for whoever resumes it.
func (a *App) fail(ctx context.Context, c *Case, reason string) error {
	a.log().WarnContext(ctx, "case failed", "case", c.ID)
	a.metric(ctx, map[string]string{"Chain": c.Chain}, map[string]float64{"Failures": 1})
	_, err := a.step(ctx, c, func(c *Case) {
		c.rest(StatusFailed, reason, c.Created.Add(a.retention()))
		c.Epoch++
	})
	return stale(err)
}

func stale(err error) error {
	if errors.Is(err, errStale) {
		return nil
	}
	return err
}

func (a *App) send(ctx context.Context, c *Case) error {
	return a.Queue.Send(ctx, Job{c.Workspace, c.ID, c.Epoch})
}

// walkOptions are the seeds and the settings of the walk.
func (c *Case) walkOptions(chain tracer.Chain, k *knowledge) ([]tracer.Seed, walk.Options, error) {
	o := walk.Options{Chain: chain, Since: c.Options.Since, Until: c.Options.Until, Watch: !c.Options.Once}
	o.Spent = c.Spent
	o.Limits = walk.Limits{Requests: c.Options.MaxRequests, Wallets: c.Options.MaxWallets, Hub: c.Options.Hub}
	var err error
	if c.Options.Policy != "" {
		if o.Policy, err = ledger.ParsePolicy(c.Options.Policy); err != nil {
			return nil, o, err
		}
	}
	if c.Options.MinUSD != "" {
		if o.Limits.MinUSD, err = tracer.ParseDollars(c.Options.MinUSD); err != nil {
			return nil, o, err
		}
	}
	o.Know(k.labels, k.prices)
	var seeds []tracer.Seed
	for _, text := range c.Seeds {
		s, err := chain.ParseSeed(text)
		if err != nil {
			return nil, o, err
		}
		seeds = append(seeds, s)
	}
	return seeds, o, nil
}

// errDenied reports that a node shows other transfers than an indexer.
var errDenied = errors.New("the node denies what an indexer showed")

// node marks an error of the chain's node, unless the asker can mend it.
func node(err error) error {
	if errors.Is(err, tracer.ErrUsage) && !errors.Is(err, tracer.ErrWrongChain) {
		return err
	}
	return fmt.Errorf("%w: %w", errNode, err)
}

// sentence begins a text with a capital and ends it with a full stop.
func sentence(s string) string {
	if s == "" {
		return ""
	}
	s = strings.ToUpper(s[:1]) + s[1:]
	if !strings.HasSuffix(s, ".") {
		s += "."
	}
	return s
}
