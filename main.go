// Scamtrace follows the money that a victim of a pig-butchering scam paid, on
// chains like Ethereum, and writes a report of where it went.
//
// Run scamtrace -h for the commands.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"scamtrace/tracer"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The exit codes.
const (
	exitDone    = 0
	exitFailed  = 1
	exitUsage   = 2
	exitPartial = 3 // a report was written, and it is not the whole story
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.LookupEnv, os.Stdout, os.Stderr))
}

// errPartial ends a command whose report is written but partial.
var errPartial = errors.New("the report is partial")

// run is main without the process. Settings that are not among the arguments
// are looked up as SCAMTRACE_NAME.
func run(ctx context.Context, args []string, lookup func(string) (string, bool), stdout, stderr io.Writer) int {
	root := &cobra.Command{
		Use:   "scamtrace",
		Short: "Follow the money of a scam and report where it went",
		Long: "Scamtrace takes the wallets or payments that a victim of a scam reports, follows the money\n" +
			"on chain, and writes a report: where it went, how much of it, and what is not known.",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.AddCommand(demoCommand(), traceCommand(), transfersCommand(), serveCommand(), verifyCommand(), replayCommand(), versionCommand())
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		var bad *pflag.InvalidValueError
		if errors.As(err, &bad) {
			return usage("--%s: %q is not %s; run %s -h for help", bad.GetFlag().Name, tracer.CleanText(bad.GetValue(), 40), kind(bad.GetFlag().Value.Type()), cmd.CommandPath())
		}
		return usage("%v; run %s -h for help", err, cmd.CommandPath())
	})
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error { return fromEnvironment(cmd.Flags(), lookup) }
	err := root.ExecuteContext(context.WithValue(ctx, environmentKey{}, lookup))
	if err == nil {
		return exitDone
	}
	if errors.Is(err, errPartial) {
		return exitPartial
	}
	if !errors.Is(err, tracer.ErrUsage) && strings.HasPrefix(err.Error(), "unknown command") {
		err = usage("%s; run scamtrace -h for help", strings.SplitN(err.Error(), "\n", 2)[0])
	}
	fmt.Fprintln(stderr, "scamtrace:", strings.TrimPrefix(err.Error(), tracer.ErrUsage.Error()+": "))
	if errors.Is(err, tracer.ErrUsage) {
		return exitUsage
	}
	return exitFailed
}

// usage is an error that the caller can mend by asking differently.
func usage(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{tracer.ErrUsage}, args...)...)
}

// kind says what a flag of a type takes.
func kind(flagType string) string {
	switch flagType {
	case "int", "uint64", "float64":
		return "a number that it can take"
	case "bool":
		return "true or false"
	}
	return "what it takes"
}

// needArgs is cobra.MinimumNArgs with a sentence that helps.
func needArgs(n int, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) < n {
			return usage("name %s", what)
		}
		return nil
	}
}

// fromEnvironment sets each flag that was not given from SCAMTRACE_ and the
// flag's name in capitals, with _ for -.
func fromEnvironment(flags *pflag.FlagSet, lookup func(string) (string, bool)) error {
	var err error
	flags.VisitAll(func(f *pflag.Flag) {
		name := "SCAMTRACE_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		if v, ok := lookup(name); ok && !f.Changed && f.Name != "help" && err == nil {
			if e := flags.Set(f.Name, v); e != nil {
				err = usage("the environment variable %s does not suit --%s: %v", name, f.Name, e)
			}
		}
	})
	return err
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		Run:   func(cmd *cobra.Command, _ []string) { fmt.Fprintln(cmd.OutOrStdout(), "scamtrace", version()) },
	}
}

// version is the module's version as the build recorded it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "devel"
	}
	return info.Main.Version
}
