package main

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"

	"scamtrace/tracer/report"

	"github.com/spf13/cobra"
)

func verifyCommand() *cobra.Command {
	var key string
	cmd := &cobra.Command{
		Use:   "verify DIR",
		Short: "Check that nothing in a report was changed and that its sums add up",
		Long: "Verify checks a report without the network: that its files are those of its manifest and unchanged, that the\n" +
			"sums add up at every wallet and in total, that transfers marked as proven are, from the evidence in the report,\n" +
			"and the signature, if there is one. With --key only a report signed with that key passes.",
		Args: needArgs(1, "the folder of a report"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var want ed25519.PublicKey
			if key != "" {
				var err error
				if want, err = report.ParsePublicKey(key); err != nil {
					return usage("--key: %v", err)
				}
			}
			v, err := report.Verify(args[0], want)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			fmt.Fprintf(out, "%d files are as they were written, and the sums add up.\n", len(v.Manifest.Files))
			if n := v.Manifest.Counts.Verified; n > 0 {
				if err := proveAgain(cmd.Context(), args[0]); err != nil {
					return fmt.Errorf("the proof of %d transfers: %w", n, err)
				}
				fmt.Fprintf(out, "%d of %d transfers are proven against the headers of their blocks.\n", n, v.Manifest.Counts.Transfers)
			}
			if v.Signer == nil {
				fmt.Fprintln(out, "The report is not signed, so anybody can have made it.")
			} else {
				fmt.Fprintf(out, "The report is signed with the key %s.\n", base64.StdEncoding.EncodeToString(v.Signer))
			}
			fmt.Fprintf(out, "SHA-256 of its manifest: %s\n", v.SHA256)
			return nil
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "the public `KEY` it must be signed with, in base64 as verify prints it")
	return cmd
}
