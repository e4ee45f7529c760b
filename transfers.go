package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"

	"scamtrace/tracer"
	"scamtrace/tracer/filesource"

	"github.com/ethereum/go-ethereum/common"
	"github.com/spf13/cobra"
)

func transfersCommand() *cobra.Command {
	var f sourceFlags
	var from, to, format string
	var requests int
	cmd := &cobra.Command{
		Use:   "transfers ADDRESS…",
		Short: "List every movement in and out of wallets",
		Long: "Transfers lists every movement of coins and tokens in and out of each ADDRESS (0x and 40 digits; T and 33 on Tron), oldest\n" +
			"first, in the columns that scamtrace trace --transfers reads. What could not be read is said on standard\n" +
			"error, and the exit code is then 3.",
		Args: needArgs(1, "at least one wallet"),
		RunE: func(cmd *cobra.Command, args []string) error {
			write := filesource.WriteCSV
			switch format {
			case "csv":
			case "jsonl":
				write = filesource.WriteJSONL
			default:
				return usage("--format: %q is not known; use csv or jsonl", tracer.CleanText(format, 20))
			}
			if requests < 0 {
				return usage("--max-requests: a limit cannot be negative")
			}
			chain, err := f.named()
			if err != nil {
				return err
			}
			var wallets []common.Address
			for _, arg := range args {
				a, err := chain.ParseAddress(arg)
				if err != nil {
					return err
				}
				wallets = append(wallets, a)
			}
			first, err := parseBound("from", from, false)
			if err != nil {
				return err
			}
			last, err := parseBound("to", to, true)
			if err != nil {
				return err
			}
			r, err := f.open(cmd.Context())
			if err != nil {
				return err
			}
			defer r.cache.save(r.node)
			q := tracer.Query{MaxRequests: requests}
			span, err := r.span(cmd.Context(), first, last)
			if err != nil {
				return err
			}
			for _, a := range wallets {
				span.Wallet = a
				q.Spans = append(q.Spans, span)
			}
			return r.transfers(cmd.Context(), q, write, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f.add(cmd)
	fs := cmd.Flags()
	fs.StringVar(&from, "from", "", "the first block, day or time (UTC); default the chain's first block")
	fs.StringVar(&to, "to", "", "the last block, day or time (UTC); default the last final block")
	fs.StringVar(&format, "format", "csv", "csv or jsonl")
	fs.IntVar(&requests, "max-requests", 0, "stop after this many requests (default no limit)")
	return cmd
}

// A bound is one end of a span: a block, or a time that stands for one.
type bound struct {
	block uint64
	time  uint64 // Unix seconds; zero: block is set
	given bool
}

// parseBound reads a block number, or what [parseTime] reads.
func parseBound(flag, s string, end bool) (bound, error) {
	if s == "" {
		return bound{}, nil
	}
	if n, err := strconv.ParseUint(s, 10, 63); err == nil {
		return bound{block: n, given: true}, nil
	}
	t, err := parseTime(flag, s, end)
	if err != nil {
		return bound{}, usage("--%s: %q is neither a block nor a time; write 19000000, 2026-01-31 or 2026-01-31T15:04:05Z", flag, tracer.CleanText(s, 40))
	}
	return bound{time: t, given: true}, nil
}

// span turns two bounds into blocks, at most up to the pinned one.
func (r *reading) span(ctx context.Context, from, to bound) (tracer.Span, error) {
	pinned, err := r.source.Pin(ctx)
	if err != nil {
		return tracer.Span{}, fmt.Errorf("find the last final block: %w", err)
	}
	s := tracer.Span{From: from.block, To: pinned.Number}
	if from.time > 0 {
		if s.From, err = r.source.BlockAt(ctx, from.time); err != nil {
			return s, fmt.Errorf("find the first block: %w", err)
		}
	}
	switch {
	case to.time > 0 && to.time < math.MaxUint64:
		after, err := r.source.BlockAt(ctx, to.time+1)
		if err != nil {
			return s, fmt.Errorf("find the last block: %w", err)
		}
		s.To = min(s.To, max(after, 1)-1)
	case to.given:
		s.To = min(s.To, to.block)
	}
	if s.From > s.To {
		return s, usage("there is no final block between --from and --to; the last final block is %d", pinned.Number)
	}
	return s, nil
}

// transfers writes the answer to q, and says what it does not cover.
func (r *reading) transfers(ctx context.Context, q tracer.Query, write func(io.Writer, tracer.Chain, []tracer.Transfer) error, stdout, stderr io.Writer) error {
	ans, err := r.source.Transfers(ctx, q)
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("read transfers: %w", err)
	}
	asked := make(map[common.Address]bool)
	for _, s := range q.Spans {
		asked[s.Wallet] = true
	}
	ts := slices.DeleteFunc(ans.Transfers, func(t tracer.Transfer) bool { return !asked[t.From] && !asked[t.To] })
	if err := write(stdout, r.chain, ts); err != nil {
		return err
	}
	for _, n := range r.notes {
		fmt.Fprintln(stderr, n)
	}
	for _, u := range ans.Unread {
		fmt.Fprintf(stderr, "Not read: %s of %s in blocks %d to %d: %s.\n", u.Part, tracer.Show(r.chain.ID, u.Wallet), u.From, u.To, cmp.Or(u.Detail, string(u.Reason)))
	}
	if errors.Is(ctx.Err(), context.Canceled) || len(ans.Unread) > 0 {
		return errPartial
	}
	return nil
}
