package main

import (
	"fmt"
	"time"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/ethsource"
	"scamtrace/tracer/evidence"
	"scamtrace/tracer/label"
	"scamtrace/tracer/ledger"
	"scamtrace/tracer/price"
	"scamtrace/tracer/walk"

	"github.com/spf13/cobra"
)

func demoCommand() *cobra.Command {
	var out string
	var open, prove bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Trace a made-up scam on a built-in chain; no network, no key",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			world := devnet.Generate(devnet.Config{})
			url, stop, err := devnet.NewNode(world, devnet.NodeOptions{}).Start()
			if err != nil {
				return err
			}
			defer stop()
			j, err := demoJob(world)
			if err != nil {
				return err
			}
			j.out, j.prove = out, prove
			now := time.Unix(int64(world.Blocks[world.Head()].Time), 0) // of a chain that does not move
			if j.recorder, err = evidence.NewRecorder(func() time.Time { return now }); err != nil {
				return err
			}
			defer j.recorder.Close()
			src, err := ethsource.Open(cmd.Context(), j.chain, url, ethsource.Options{Wrap: j.recorder.WrapNode})
			if err != nil {
				return err
			}
			j.source, j.notes = src, src.Notes()
			fmt.Fprintf(cmd.OutOrStdout(), "A made-up chain of %d blocks; a made-up victim reports %d payments.\n", world.Head(), len(j.seeds)/2)
			if err := j.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr()); err != nil || !open {
				return err
			}
			return show(cmd.Context(), out)
		},
	}
	cmd.Flags().BoolVar(&open, "open", false, "open the report in the browser")
	cmd.Flags().BoolVar(&prove, "prove", false, "hold every transfer of the report against the header of its block")
	cmd.Flags().StringVar(&out, "out", "scamtrace-demo", "`DIR` for the report")
	return cmd
}

// demoJob is the case of the world's first victim, with the labels and prices
// that everybody there knows.
func demoJob(w *devnet.World) (*job, error) {
	j := &job{
		reading:   reading{chain: devnet.Chain(), about: "the built-in node over JSON-RPC"},
		reference: "demo", policy: ledger.PIFO, maxGap: -1,
		labels: new(label.Set), prices: price.New(devnet.Chain()),
		limits: walk.Limits{Hub: 1000},
	}
	for _, s := range w.Services {
		for _, a := range s.Addresses {
			if err := j.labels.Add(label.Label{
				Wallet: tracer.Wallet{Chain: devnet.ChainID, Address: a}, Name: s.Name, Category: label.Category(s.Category), Confidence: 100, Source: label.Builtin,
			}); err != nil {
				return nil, err
			}
		}
	}
	for day, p := range w.Prices {
		j.prices.Set(tracer.NativeOf(devnet.ChainID), w.Blocks[0].Time+uint64(day)*86_400, p)
	}
	for _, p := range w.Truth.Victims[0].Payments {
		j.seeds = append(j.seeds, tracer.Seed{Tx: p.Tx}, tracer.Seed{Wallet: p.Wallet})
	}
	return j, nil
}
