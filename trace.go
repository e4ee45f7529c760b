package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"scamtrace/tracer"
	"scamtrace/tracer/ethsource"
	"scamtrace/tracer/filesource"
	"scamtrace/tracer/label"
	"scamtrace/tracer/ledger"
	"scamtrace/tracer/price"
	"scamtrace/tracer/report"
	"scamtrace/tracer/walk"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// A job is one trace: what to read, from where, and where the report goes.
type job struct {
	chain     tracer.Chain
	source    tracer.Source
	about     string // the source, in words
	seeds     []tracer.Seed
	policy    ledger.Policy
	since     uint64
	until     uint64
	limits    walk.Limits
	labels    *label.Set
	prices    *price.Book
	reference string
	out       string
	notes     []string // what the source had to leave out
}

// run traces, writes the bundle and prints what was found. It returns
// errPartial when the report is written and the walk ended early.
func (j *job) run(ctx context.Context, stdout, stderr io.Writer) error {
	bar := newProgress(stderr)
	o := j.options()
	o.Progress = bar.show
	res, err := walk.Run(ctx, j.source, j.seeds, o)
	bar.done()
	if err != nil {
		return err
	}
	r := report.Build(j.input(res))
	if _, err := report.WriteBundle(j.out, r); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if err := report.Summary(stdout, r, j.out); err != nil {
		return err
	}
	if !res.Complete() {
		return errPartial
	}
	return nil
}

// options are the settings of the walk.
func (j *job) options() walk.Options {
	o := walk.Options{Chain: j.chain, Policy: j.policy, Since: j.since, Until: j.until, Limits: j.limits}
	o.Know(j.labels, j.prices)
	return o
}

// input adds to a walk's result what is known beside it.
func (j *job) input(res *walk.Result) report.Input {
	return report.Input{
		Walk: res, Labels: j.labels, Prices: j.prices,
		Version: version(), Reference: j.reference, Source: j.about, Since: j.since, Until: j.until, Notes: j.notes,
	}
}

// progress shows how far a walk has come: a line that is written over on a
// terminal, else a line every ten seconds.
type progress struct {
	w    io.Writer
	bar  *progressbar.ProgressBar
	next time.Time
}

func newProgress(w io.Writer) *progress {
	p := &progress{w: w}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.bar = progressbar.NewOptions(-1, progressbar.OptionSetWriter(w), progressbar.OptionClearOnFinish(), progressbar.OptionSpinnerType(14))
	}
	return p
}

func (p *progress) show(s walk.Progress) {
	text := fmt.Sprintf("looked at %d wallets and %d transfers; %s has reached services so far; %d wallets to look at", s.Wallets, s.Transfers, s.Followed, s.Waiting)
	if p.bar != nil {
		p.bar.Describe(text)
		_ = p.bar.Add(1)
		return
	}
	if now := time.Now(); now.After(p.next) {
		if !p.next.IsZero() {
			fmt.Fprintln(p.w, text)
		}
		p.next = now.Add(10 * time.Second)
	}
}

func (p *progress) done() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}

// sourceFlags are the flags of commands that read a chain.
type sourceFlags struct {
	chain, rpc string
	files      []string
}

func (f *sourceFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.chain, "chain", "ethereum", "the chain: its name or its number")
	cmd.Flags().StringSliceVar(&f.files, "transfers", nil, "read these CSV `FILE`s of transfers instead of a node")
	cmd.Flags().StringVar(&f.rpc, "rpc", "", "the `URL` of a node's JSON-RPC endpoint")
}

// open opens the files, or connects to the endpoint, and says which in words.
func (f *sourceFlags) open(ctx context.Context, j *job) error {
	var err error
	if j.chain, err = tracer.ChainNamed(f.chain); err != nil {
		return err
	}
	j.labels = label.New()
	switch {
	case len(f.files) > 0 && f.rpc != "":
		return usage("--transfers and --rpc: name files or a node, not both")
	case len(f.files) > 0:
		src, err := filesource.Open(j.chain, f.files...)
		if err != nil {
			return err
		}
		j.source, j.about, j.notes = src, "exported files", src.Notes()
		return nil
	case f.rpc == "":
		return usage("name the endpoint of a node of %s with --rpc or in SCAMTRACE_RPC, or files with --transfers", j.chain.Title)
	}
	src, err := ethsource.Open(ctx, j.chain, f.rpc, ethsource.Options{})
	if err != nil {
		return err
	}
	j.source, j.about, j.notes = src, "a JSON-RPC node", src.Notes()
	return nil
}

func traceCommand() *cobra.Command {
	var f sourceFlags
	var policy, since, until, minUSD, out, reference string
	var prices []string
	var limits walk.Limits
	cmd := &cobra.Command{
		Use:   "trace SEED…",
		Short: "Follow the money from wallets or payments and write a report",
		Long: "Trace follows the money from each SEED: a wallet that was paid (0x and 40 digits), the hash of a\n" +
			"payment (0x and 64 digits), or @FILE with one of them in a line. With the hash of a payment only\n" +
			"that payment is followed; with a wallet, everything it received.",
		Args: needArgs(1, "at least one wallet or transaction that was paid"),
		RunE: func(cmd *cobra.Command, args []string) error {
			j := job{limits: limits, out: filepath.Clean(out), reference: reference}
			var err error
			if j.seeds, err = readSeeds(args); err != nil {
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
				n, err := strconv.ParseUint(minUSD, 10, 32)
				if err != nil || n == 0 {
					return usage("--min-usd: %q is not a whole number of dollars above zero", tracer.CleanText(minUSD, 20))
				}
				j.limits.MinUSD = tracer.Micros(n) * tracer.Dollar
			}
			if limits.Requests < 0 || limits.Wallets < 0 || limits.Hub < 0 {
				return usage("a limit cannot be negative")
			}
			if err := f.open(cmd.Context(), &j); err != nil {
				return err
			}
			j.prices = price.New(j.chain)
			for _, name := range prices {
				if err := readPrices(j.prices, name); err != nil {
					return err
				}
			}
			return j.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f.add(cmd)
	fs := cmd.Flags()
	fs.StringVar(&policy, "policy", "pifo", "accounting rule; pifo: the victim's money leaves a wallet first")
	fs.StringVar(&since, "since", "", "a wallet's receipts count from this day or time on (UTC)")
	fs.StringVar(&until, "until", "", "a wallet's receipts count up to this day or time (UTC)")
	fs.IntVar(&limits.Requests, "max-requests", 0, "stop after this many requests (default 10,000)")
	fs.IntVar(&limits.Wallets, "max-wallets", 0, "stop after looking at this many wallets (default 10,000)")
	fs.IntVar(&limits.Hub, "hub", 0, "a wallet with more transfers in the time read is a hub (default 3,000)")
	fs.StringVar(&minUSD, "min-usd", "", "do not follow less than this many dollars (default 1)")
	fs.StringSliceVar(&prices, "prices", nil, "dollar prices: CSV `FILE`s with asset,time,usd")
	fs.StringVar(&out, "out", "scamtrace-report", "`DIR` for the report")
	fs.StringVar(&reference, "case", "", "a reference of your own for the report; no names")
	return cmd
}

func readPrices(b *price.Book, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return usage("the prices cannot be read: %v", err)
	}
	defer f.Close()
	return b.ReadCSV(f, filepath.Base(name))
}
