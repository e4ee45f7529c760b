package functions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"scamtrace/tracer"
	"scamtrace/tracer/report"
	"scamtrace/tracer/walk"
)

// still puts a case to rest whose re-trace found that nothing happened: another
// report would say what the last one says. It reports false when that is not
// so, also because the last report was not the whole story, the public data
// changed since, or an issuer froze a wallet, which moves nothing.
func (a *App) still(ctx context.Context, t *turn, res *walk.Result) (bool, error) {
	c, n := t.c, len(t.c.Reports)
	if n == 0 || !t.w.Quiet() || !res.Complete() || c.Reports[n-1].Status != StatusDone || c.Reports[n-1].Known != t.k.id {
		return false, nil
	}
	old, before, err := a.last(ctx, c)
	if err != nil || slices.Contains(old.Notes, report.Unfinished) {
		return false, err
	}
	if f, ok := tracer.As[freezer](t.src); ok {
		d := Compare(old, old)
		if err := d.freeze(ctx, f, before); err != nil {
			return false, node(err)
		}
		if slices.ContainsFunc(d.Frozen, func(x Frozen) bool { return x.New }) {
			return false, nil
		}
	}
	state, err := t.state()
	if err != nil {
		return false, err
	}
	if _, err := a.record(ctx, t, a.run(t, state, false)); err != nil {
		return false, err
	}
	if err := a.save(ctx, c, state); err != nil {
		return false, err
	}
	at := time.Unix(int64(c.Pinned.Time), 0).UTC()
	c, err = a.step(ctx, c, func(c *Case) {
		c.Epoch++
		c.State, c.Base, c.Progress = c.Epoch, nil, t.progress
		c.rest(StatusDone, fmt.Sprintf("Since the last report nothing moved, up to block %d of %s UTC.", c.Pinned.Number, at.Format("2 January 2006 15:04")), a.next(c))
	})
	if err != nil {
		return false, err
	}
	a.log().InfoContext(ctx, "nothing new", "case", c.ID, "block", c.Pinned.Number, "requests", t.progress.Requests)
	a.metric(ctx, map[string]string{"Chain": c.Chain}, map[string]float64{"Quiet": 1, "Requests": float64(t.progress.Requests)})
	return true, nil
}

// last returns the last report of a case, and what it changed; nil for the first.
func (a *App) last(ctx context.Context, c *Case) (*report.Report, *Diff, error) {
	block := c.Reports[len(c.Reports)-1].Block
	data, _, err := a.Bucket.Get(ctx, c.key("reports/%d/report.json", block))
	if err != nil {
		return nil, nil, err
	}
	r := new(report.Report)
	if err := json.Unmarshal(data, r); err != nil {
		return nil, nil, fmt.Errorf("read the report of block %d: %w", block, errDamaged)
	}
	d, err := a.readDiff(ctx, c.key("diffs/%d.json", block))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return r, d, err
}
