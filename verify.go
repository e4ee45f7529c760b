package main

import (
	"archive/zip"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"os"
	"strings"

	"scamtrace/tracer/report"

	"github.com/spf13/cobra"
)

func verifyCommand() *cobra.Command {
	var key string
	cmd := &cobra.Command{
		Use:   "verify DIR|ZIP",
		Short: "Check that nothing in a report was changed and that its sums add up",
		Long: "Verify checks a report without the network: that its files are those of its manifest and unchanged, that the\n" +
			"sums add up at every wallet and in total, that transfers marked as proven are, from the evidence in the report,\n" +
			"and the signature, if there is one. With --key only a report signed with that key passes.",
		Args: needArgs(1, "the folder of a report, or its bundle.zip"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var want ed25519.PublicKey
			if key != "" {
				var err error
				if want, err = report.ParsePublicKey(key); err != nil {
					return usage("--key: %v", err)
				}
			}
			dir := args[0]
			if strings.HasSuffix(dir, ".zip") {
				var err error
				if dir, err = unpack(dir); err != nil {
					return err
				}
				defer os.RemoveAll(dir)
			}
			v, err := report.Verify(dir, want)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			fmt.Fprintf(out, "%d files are as they were written, and the sums add up.\n", len(v.Manifest.Files))
			if n := v.Manifest.Counts.Verified; n > 0 {
				if err := proveAgain(cmd.Context(), dir); err != nil {
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

// maxUnpacked bounds what a packed report may unpack to, in bytes.
const maxUnpacked = 4 << 30

// unpack unpacks a report into a folder of its own, which the caller removes.
func unpack(name string) (string, error) {
	z, err := zip.OpenReader(name)
	if err != nil {
		return "", usage("%s is not a packed report that can be read", name)
	}
	defer z.Close()
	var size uint64
	for _, f := range z.File {
		if size += min(f.UncompressedSize64, maxUnpacked+1); size > maxUnpacked {
			return "", usage("%s unpacks to more than %d GiB; unpack it yourself and name the folder", name, maxUnpacked>>30)
		}
	}
	dir, err := os.MkdirTemp("", "scamtrace-verify-")
	if err != nil {
		return "", err
	}
	if err := os.CopyFS(dir, z); err != nil {
		os.RemoveAll(dir)
		return "", fmt.Errorf("unpack %s: %w", name, err)
	}
	return dir, nil
}
