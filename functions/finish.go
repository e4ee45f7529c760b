package functions

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"scamtrace/graphstore"
	"scamtrace/tracer"
	"scamtrace/tracer/report"
	"scamtrace/tracer/walk"
)

// finish writes the report and puts the case to rest.
func (a *App) finish(ctx context.Context, t *turn, res *walk.Result) error {
	c := t.c
	rep, files, err := a.bundle(ctx, t, res)
	if p, ok := t.src.(planned); ok && errors.Is(err, errDenied) {
		return a.again(ctx, c, c.Moved, true, t.spent, fmt.Sprintf("Transfers that %s showed are not what the node shows, so the money was followed anew with the node alone.", strings.Join(p.Names(), " or ")))
	}
	if err != nil {
		return err
	}
	row := Row{
		Block: c.Pinned.Number, Hash: c.Pinned.Hash.Hex(), Time: time.Unix(int64(c.Pinned.Time), 0).UTC(),
		Status: StatusDone, Sentence: rep.Outcome.Sentence, Known: t.k.id,
	}
	trouble, _ := unread(res, t.k)
	reason := sentence(cmp.Or(res.Stopped.Detail, trouble))
	if reason != "" {
		row.Status = StatusPartial
	}
	d, err := a.compare(ctx, c, rep, t.src)
	if err != nil {
		return err
	}
	if d != nil {
		row.Changes = d.Sentence
	}
	whole, err := packed(bundleName, files)
	if err != nil {
		return err
	}
	for _, f := range append(files, whole) {
		if err := a.put(ctx, c.key("reports/%d/%s", row.Block, f.Name), f.Data); err != nil {
			return err
		}
		if f.Name == "transfers.parquet" { // Athena reads whole folders
			if err := a.put(ctx, c.tableKey(row.Block), f.Data); err != nil {
				return err
			}
		}
		row.Files = append(row.Files, f.Name)
	}
	state, err := t.state()
	if err != nil {
		return err
	}
	run := a.run(t, state, true)
	archive, err := a.record(ctx, t, run)
	if err != nil {
		return err
	}
	trail, err := a.trail(ctx, t, run, archive)
	if err != nil {
		return err
	}
	for _, f := range trail { // that of who was here before shows the same
		if _, err := a.Bucket.Create(ctx, c.key("reports/%d/%s", row.Block, f.Name), f.Data); err != nil && !errors.Is(err, graphstore.ErrExists) {
			return err
		}
		row.Files = append(row.Files, f.Name)
	}
	slices.Sort(row.Files)
	if err := a.save(ctx, c, state); err != nil {
		return err
	}
	to, err := a.recipients(ctx, c.Workspace, d)
	if err != nil {
		return err
	}
	c, err = a.step(ctx, c, func(c *Case) {
		c.Epoch++
		c.State, c.Base, c.Progress, row.At = c.Epoch, nil, t.progress, a.now()
		c.Reports = append(c.Reports, row)
		c.rest(row.Status, reason, a.next(c))
		for _, to := range to {
			c.Alerts = append(c.Alerts, Parcel{ID: fmt.Sprintf("%s-%d", c.ID, row.Block), Block: row.Block, To: to})
			c.Due = a.now().Add(lost)
		}
	})
	if err != nil {
		return err
	}
	a.log().InfoContext(ctx, "report", "case", c.ID, "status", c.Status, "block", row.Block, "requests", t.progress.Requests, "wallets", t.progress.Wallets)
	a.metric(ctx, map[string]string{"Chain": c.Chain}, map[string]float64{"Reports": 1, "Requests": float64(t.progress.Requests), "Wallets": float64(t.progress.Wallets)})
	return a.deliver(ctx, c)
}

// put creates an object that is a pure function of the case; that it is there
// with the same bytes is as good.
func (a *App) put(ctx context.Context, key string, data []byte) error {
	_, err := a.Bucket.Create(ctx, key, data)
	if !errors.Is(err, graphstore.ErrExists) {
		return err
	}
	have, _, err := a.Bucket.Get(ctx, key)
	if err == nil && !bytes.Equal(have, data) {
		err = fmt.Errorf("%w: %s is there with other bytes than the same trace gives now", tracer.ErrUsage, key[strings.LastIndexByte(key, '/')+1:])
	}
	return err
}

// bundle looks into who acts as one, builds the report and its files, the
// manifest and its signature last.
func (a *App) bundle(ctx context.Context, t *turn, res *walk.Result) (*report.Report, []report.NamedFile, error) {
	c, k, src := t.c, t.k, t.src
	in := report.Input{
		Walk: res, Labels: k.labels, Prices: k.prices, Version: a.Version, Reference: c.ID, Source: about(src),
		Since: c.Options.Since, Until: c.Options.Until,
		Compared: report.Compares(src), Notes: slices.Concat(c.Pinned.Notes, notes(src), k.notes, c.Notes),
	}
	if e, ok := src.(interface{ Endpoints() []string }); ok {
		in.Endpoints = e.Endpoints()
	}
	last, cancel := a.toTheEnd(ctx)
	defer cancel()
	in.LookInto(last, src)
	t.unlooked = slices.Contains(in.Notes, report.Unlooked)
	slices.Sort(in.Notes)
	in.Notes = slices.Compact(in.Notes)
	rep, left := report.Settle(last, in)
	if p, ok := src.(planned); ok && ctx.Err() == nil {
		// Who showed what in the turns before is not known, so the node is asked for
		// all of it.
		denied, n, err := rep.Confirm(last, p.Unwrap(), nil, left)
		t.spent = res.Limits.Requests - left + n
		if err == nil && denied > 0 {
			err = errDenied
		}
		if err != nil {
			return nil, nil, err
		}
	}
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	files, err := report.Bundle(ctx, rep, a.Signer, k.quotesFile()...)
	return rep, files, err
}

// about says what a source is.
func about(src tracer.Source) string {
	if p, ok := src.(planned); ok {
		return p.About()
	}
	return "a JSON-RPC node"
}

// notes are what a source could not do.
func notes(src tracer.Source) []string {
	if s, ok := src.(interface{ Notes() []string }); ok {
		return s.Notes()
	}
	return nil
}
