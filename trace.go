package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"scamtrace/functions/nodes"
	"scamtrace/tracer"
	"scamtrace/tracer/evidence"
	"scamtrace/tracer/label"
	"scamtrace/tracer/ledger"
	"scamtrace/tracer/price"
	"scamtrace/tracer/report"
	"scamtrace/tracer/walk"

	"github.com/spf13/cobra"
)

// A job is one trace: what to read, from where, and where the report goes.
type job struct {
	reading
	seeds     []tracer.Seed
	policy    ledger.Policy
	since     uint64
	until     uint64
	limits    walk.Limits
	spent     int           // requests of the limits that were spent before
	unseen    bool          // see [walk.Options.Unseen]
	maxGap    tracer.Micros // more than this in gaps ends with errPartial; negative: no bound
	labels    *label.Set
	prices    *price.Book
	reference string
	out       string
	version   string             // of the tool, in the report
	prove     bool               // hold the transfers of the report against their blocks
	agree     bool               // ask a second endpoint for them
	recorder  *evidence.Recorder // nil: what the report rests on is not kept
	signer    report.Signer      // nil: the report is not signed
	doubtful  bool               // found out: the sums rest on transfers that the node denies
}

// run traces, writes the bundle and prints what was found. It returns
// errPartial when the report is written and the walk ended early.
func (j *job) run(ctx context.Context, stdout, stderr io.Writer) error {
	res, r, err := j.trace(ctx, stderr)
	if err != nil {
		return err
	}
	var others []report.NamedFile
	if j.recorder != nil {
		f, err := j.evidence()
		if err != nil {
			return fmt.Errorf("write what the report rests on: %w; with --record=false the report is written without", err)
		}
		others = append(others, f)
	}
	if f, ok := j.priceFile(); ok {
		others = append(others, f)
	}
	if err := report.WriteBundle(context.WithoutCancel(ctx), j.out, r, j.signer, others...); errors.Is(err, tracer.ErrUsage) {
		return err
	} else if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if err := report.Summary(stdout, r, j.out); err != nil {
		return err
	}
	gaps, err := tracer.ParseDollars(r.Totals.USD.Gaps)
	if err != nil {
		return fmt.Errorf("the sum of the gaps: %w", err)
	}
	if !res.Complete() || j.doubtful || j.maxGap >= 0 && gaps > j.maxGap {
		return errPartial
	}
	return nil
}

// trace follows the money, and has what the report cites confirmed and proven.
func (j *job) trace(ctx context.Context, stderr io.Writer) (*walk.Result, *report.Report, error) {
	res, r, left, err := j.follow(ctx, stderr)
	if err != nil {
		return nil, nil, err
	}
	if p, ok := j.source.(*nodes.Planned); ok {
		if res, r, left, err = j.confirm(ctx, p, res, r, left, stderr); err != nil {
			return nil, nil, err
		}
	}
	if j.prove {
		why, err := j.unproven(ctx, r)
		if err != nil {
			return nil, nil, fmt.Errorf("prove the transfers: %w", err)
		}
		r.Prove(why)
	}
	if !j.agree {
		return res, r, nil
	}
	cited, err := r.Cited()
	if err != nil {
		return nil, nil, err
	}
	src, ok := tracer.As[interface {
		Agree(context.Context, []tracer.Transfer, int) ([]string, int, error)
	}](j.source)
	if !ok {
		return nil, nil, usage("--agree: only nodes can be asked for transactions")
	}
	disputes, alone, err := src.Agree(ctx, cited, left)
	if err != nil {
		return nil, nil, fmt.Errorf("ask a second endpoint for the transfers: %w", err)
	}
	r.Agree(disputes, alone)
	return res, r, nil
}

// confirm asks the node for the transfers of a report that indexers showed.
// Where it denies some, the money is followed anew with the node alone, as far
// as the budget goes. It returns what is left of that.
func (j *job) confirm(ctx context.Context, p *nodes.Planned, res *walk.Result, r *report.Report, left int, stderr io.Writer) (*walk.Result, *report.Report, int, error) {
	denied, spent, err := r.Confirm(ctx, p.Unwrap(), p.FromNode, left)
	if err != nil {
		return nil, nil, 0, fmt.Errorf("confirm the transfers: %w", err)
	}
	r.Notes = append(r.Notes, shares(p))
	if denied == 0 {
		return res, r, left - spent, nil
	}
	doubt := func(why string) (*walk.Result, *report.Report, int, error) {
		j.doubtful = true
		r.Notes = slices.Insert(r.Notes, 0, fmt.Sprintf("The sums of this report are not to be relied on: transfers that %s showed are not what the node shows, and %s.", strings.Join(p.Names(), " or "), why))
		return res, r, left - spent, nil
	}
	switch {
	case ctx.Err() != nil:
		return doubt("the run was interrupted before the money could be followed anew")
	case left <= spent:
		return doubt("the budget of requests was spent, so the money was not followed anew; trace again with more (--max-requests), or with --index none")
	}
	alone := *j
	alone.source, alone.spent = p.Unwrap(), res.Limits.Requests-left+spent
	alone.notes = append(slices.Clip(alone.notes), fmt.Sprintf("Transfers that %s showed are not what the node shows, so the money was followed anew with the node alone.", strings.Join(p.Names(), " or ")))
	again, anew, rest, err := alone.follow(ctx, stderr)
	if errors.Is(err, tracer.ErrUsage) { // not even the payments could be read again
		return doubt("the budget of requests was too small to follow the money anew; trace again with more (--max-requests), or with --index none")
	}
	if err != nil {
		return nil, nil, 0, err
	}
	_, _, err = anew.Confirm(ctx, p.Unwrap(), func(*tracer.Transfer) bool { return true }, 0)
	return again, anew, rest, err
}

// follow walks, looks into who acts as one, and builds the report. left is what
// is left of the budget of requests.
func (j *job) follow(ctx context.Context, stderr io.Writer) (res *walk.Result, r *report.Report, left int, err error) {
	bar := newProgress(stderr)
	o := j.options()
	o.Progress = bar.show
	res, err = walk.Run(ctx, j.source, j.seeds, o)
	bar.done()
	if err != nil {
		return nil, nil, 0, err
	}
	in := j.input(res)
	in.LookInto(ctx, j.source)
	r, left = report.Settle(ctx, in)
	return res, r, left, nil
}

// options are the settings of the walk.
func (j *job) options() walk.Options {
	o := walk.Options{Chain: j.chain, Policy: j.policy, Since: j.since, Until: j.until, Limits: j.limits, Spent: j.spent, Unseen: j.unseen}
	o.Know(j.labels, j.prices)
	return o
}

// input adds to a walk's result what is known beside it.
func (j *job) input(res *walk.Result) report.Input {
	return report.Input{
		Walk: res, Labels: j.labels, Prices: j.prices,
		Version: cmp.Or(j.version, version()), Reference: j.reference, Source: j.about, Endpoints: j.endpoints, Since: j.since, Until: j.until, Compared: report.Compares(j.source), Notes: j.notes,
	}
}

func traceCommand() *cobra.Command {
	var f sourceFlags
	var policy, since, until, minUSD, maxGap, out, reference, key string
	var prices, labelFiles, quotes []string
	var limits walk.Limits
	var unseen, record, prove, agree bool
	cmd := &cobra.Command{
		Use:   "trace SEED…",
		Short: "Follow the money from wallets or payments and write a report",
		Long: "Trace follows the money from each SEED: a wallet that was paid (0x and 40 digits; T and 33 on Tron), the\n" +
			"hash of a payment (0x and 64 digits; without 0x on Tron), or @FILE with one of them in a line. With the hash of a payment only\n" +
			"that payment is followed; with a wallet, everything it received.",
		Args: needArgs(1, "at least one wallet or transaction that was paid"),
		RunE: func(cmd *cobra.Command, args []string) error {
			j := job{limits: limits, unseen: unseen, prove: prove, agree: agree, out: filepath.Clean(out), reference: reference}
			chain, err := f.named()
			if err != nil {
				return err
			}
			if j.seeds, err = readSeeds(&chain, args); err != nil {
				return err
			}
			if err := report.Writable(j.out); err != nil {
				return err
			}
			if j.policy, err = ledger.ParsePolicy(policy); err != nil {
				return err
			}
			if j.since, err = parseTime("since", since, false); err != nil {
				return err
			}
			if j.until, err = parseTime("until", until, true); err != nil {
				return err
			}
			if minUSD != "" {
				if j.limits.MinUSD, err = parseDollars("min-usd", minUSD); err != nil {
					return err
				}
				if j.limits.MinUSD == 0 {
					return usage("--min-usd: it must be above zero")
				}
			}
			if limits.Requests < 0 || limits.Wallets < 0 || limits.Hub < 0 {
				return usage("a limit cannot be negative")
			}
			j.maxGap = -1
			if maxGap != "" {
				if j.maxGap, err = parseDollars("max-gap", maxGap); err != nil {
					return err
				}
			}
			if key != "" {
				if j.signer, err = report.OpenKey(key); err != nil {
					return fmt.Errorf("the signing key: %w", err)
				}
			}
			labels, notes, err := readLabels(chain, labelFiles)
			if err != nil {
				return err
			}
			if prove && tracer.Tron(chain.ID) {
				return usage("--prove: the blocks of %s cannot be checked as Ethereum's can; leave it out", chain.Title)
			}
			if prove && len(f.rpc) == 0 {
				return usage("--prove: transfers can be proven with a node only; name one with --rpc")
			}
			if agree && len(strings.Split(strings.Join(f.rpc, ","), ",")) < 2 {
				return usage("--agree: it takes two endpoints; name a second one with --rpc")
			}
			if record && len(f.rpc) > 0 {
				if j.recorder, err = evidence.NewRecorder(clock()); err != nil {
					return err
				}
				defer j.recorder.Close()
				f.wrap, f.wrapAt = j.recorder.WrapNode, j.recorder.WrapAt
			}
			if j.reading, err = f.open(cmd.Context()); err != nil {
				return err
			}
			j.labels, j.notes = labels, append(j.notes, notes...)
			if j.prices, err = readPrices(j.chain, prices); err != nil {
				return err
			}
			if err := j.askFor(quotes); err != nil {
				return err
			}
			defer j.cache.save(j.node)
			return j.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f.add(cmd)
	fs := cmd.Flags()
	fs.StringVar(&policy, "policy", "pifo", "accounting rule: pifo (the victim's money leaves a wallet first), lifo, fifo, libr, haircut or poison")
	fs.StringVar(&since, "since", "", "a wallet's receipts count from this day or time on (UTC)")
	fs.StringVar(&until, "until", "", "a wallet's receipts count up to this day or time (UTC)")
	fs.IntVar(&limits.Requests, "max-requests", 0, "stop after this many requests (default 10,000)")
	fs.IntVar(&limits.Wallets, "max-wallets", 0, "stop after looking at this many wallets (default 10,000)")
	fs.IntVar(&limits.Hub, "hub", 0, "a wallet with more transfers in the time read is a hub (default 3,000)")
	fs.StringVar(&minUSD, "min-usd", "", "do not follow less than this many dollars (default 1)")
	fs.BoolVar(&unseen, "unseen", false, "for lists that lack transfers: what a wallet pays beyond all it was seen to get counts as\nreported, if at least half of what it got is traced")
	fs.StringVar(&maxGap, "max-gap", "", "end with exit code 3 when more than this many dollars were not followed")
	fs.StringSliceVar(&labelFiles, "labels", nil, "labels of your own: TagPack or CSV `FILE`s")
	fs.StringSliceVar(&prices, "prices", nil, "dollar prices: CSV `FILE`s with asset,time,usd")
	fs.StringSliceVar(&quotes, "quotes", nil, "whom to ask for prices that no file has, the first first: chainlink (feeds on the chain itself),\ndefillama (which learns which coins and tokens are looked at, and of what days), or none\n(default: chainlink, where the chain has a feed and is read with --rpc)")
	fs.StringVar(&out, "out", "scamtrace-report", "`DIR` for the report")
	fs.BoolVar(&record, "record", true, "keep what the node answered in the report, for replay")
	fs.BoolVar(&agree, "agree", false, "ask two endpoints for the transactions of every transfer of the report, and say where they differ")
	fs.BoolVar(&prove, "prove", false, "hold every transfer of the report against the header of its block (two calls a block)")
	fs.StringVar(&key, "sign", "", "sign the report with the Ed25519 key in `FILE`, which is made if it is not there")
	fs.StringVar(&reference, "case", "", "a reference of your own for the report; no names")
	return cmd
}
