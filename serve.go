package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"scamtrace/functions"
	"scamtrace/functions/nodes"
	"scamtrace/graphstore"
	"scamtrace/tracer"
	"scamtrace/tracer/report"

	"github.com/spf13/cobra"
)

// server are the settings of scamtrace serve.
type server struct {
	addr, data, key                          string
	rpc, index, hookHosts                    []string
	rate                                     float64
	workers                                  int
	turn                                     time.Duration
	issuer, audience, jwks, wsClaim, roClaim string
	alertUSD, quotes                         string
	retention                                int
	quota                                    functions.Quota
}

func serveCommand() *cobra.Command {
	var s server
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the page and the API, with the tracing inside",
		Long: "Serve runs the whole service in one process: the page, the API, the tracing and the schedule of\n" +
			"re-traces. Everything is kept in a folder, or in a bucket of S3. Stopped at any moment, even by a\n" +
			"power cut, it goes on where it was when it is started again.\n\n" +
			"On this machine's own addresses (127.0.0.1) whoever opens the page is its only user. On any other\n" +
			"address it demands an issuer of tokens (--issuer), such as Amazon Cognito.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return s.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&s.addr, "addr", "127.0.0.1:8080", "the `ADDRESS` to listen at")
	fs.StringVar(&s.data, "data", "scamtrace-data", "the `FOLDER`, or s3://BUCKET, that everything is kept in")
	fs.StringArrayVar(&s.rpc, "rpc", nil, "endpoints of nodes: `CHAIN=URL`, or the URL of one of Ethereum; of several of a chain CHAIN=archive=URL\nis asked for old states and CHAIN=trace=URL for what contracts did")
	fs.StringSliceVar(&s.index, "index", nil, "indexers to ask before the nodes, of chains that they have: sqd, etherscan, blockscout, alchemy, trongrid,\n"+
		"or none. They learn which wallets are looked at. Keys stand in the environment, as\n"+
		"SCAMTRACE_ETHERSCAN_KEY and so on (default: sqd, but not for a node on this machine or in a private network)")
	fs.Float64Var(&s.rate, "rate", 0, "calls a second that all traces together send (default: as fast as the nodes answer)")
	fs.IntVar(&s.workers, "workers", 4, "cases that are traced at the same time")
	fs.DurationVar(&s.turn, "turn", 30*time.Second, "how long a case is traced before others have their turn")
	fs.StringVar(&s.key, "key", "", "the `FILE` of the Ed25519 key that signs reports (default: made beside the data)")
	fs.StringVar(&s.issuer, "issuer", "", "the `URL` of the issuer of tokens (OpenID Connect)")
	fs.StringVar(&s.audience, "audience", "", "whom tokens must be meant for: the client's id")
	fs.StringVar(&s.jwks, "jwks", "", "the `URL` of the issuer's keys (default: its /.well-known/jwks.json)")
	fs.StringVar(&s.wsClaim, "workspace-claim", "custom:workspace", "the claim that names the workspace")
	fs.StringVar(&s.roClaim, "role-claim", "custom:role", "the claim that names the roles")
	fs.StringSliceVar(&s.hookHosts, "webhook-hosts", nil, "the only `HOST`s that webhooks may lead to")
	fs.StringVar(&s.alertUSD, "alert-usd", "100", "alerts are of at least this many dollars")
	fs.StringVar(&s.quotes, "quotes", "chainlink", "whom to ask for prices that public/prices/ does not have: chainlink (feeds on the chain itself) or none")
	fs.IntVar(&s.retention, "retention-days", 180, "after this many days what a person gave with a case is erased")
	fs.IntVar(&s.quota.CasesPerDay, "cases-per-day", 200, "cases and re-traces a workspace may ask for in a day")
	return cmd
}

// run serves until ctx ends.
func (s *server) run(ctx context.Context, stdout, stderr io.Writer) error {
	app := &functions.App{
		Version: version(), Turn: s.turn, Retention: time.Duration(s.retention) * 24 * time.Hour, Quota: s.quota,
		Hooks: functions.HookRules{Hosts: s.hookHosts}, Log: functions.NewLogger(stderr),
	}
	var err error
	if app.AlertUSD, err = tracer.ParseDollars(s.alertUSD); err != nil {
		return usage("--alert-usd: write a number of dollars, like 250")
	}
	if s.workers < 1 || s.rate < 0 || s.retention < 1 || s.turn < time.Second {
		return usage("--workers and --retention-days must be at least 1, --turn at least 1s, and --rate not negative")
	}
	if app.Quoters, err = functions.ParseQuotes(s.quotes); err != nil {
		return usage("--quotes: %v", err)
	}
	chains, err := nodes.ParseEndpoints(s.rpc...)
	if err != nil {
		return usage("--rpc: %v", err)
	}
	if err := chains.Ask(s.index, environment(ctx)); err != nil {
		return usage("--index: %s", strings.TrimPrefix(err.Error(), tracer.ErrUsage.Error()+": "))
	}
	local, err := s.loopback()
	switch {
	case err != nil:
		return err
	case s.issuer != "":
		if s.audience == "" {
			return usage("--issuer needs --audience: whom the tokens are meant for")
		}
		j := functions.NewJWT(s.issuer, s.audience, s.jwks, nil)
		j.WorkspaceClaim, j.RoleClaim = s.wsClaim, s.roClaim
		app.Auth = j
	case !local:
		return usage("at %s others can reach this server, so it must know who they are: give --issuer and --audience, or listen at 127.0.0.1", s.addr)
	default:
		app.Quota.PerSecond = 500 // the one user is no crowd
	}
	mux := http.NewServeMux()
	if name, ok := strings.CutPrefix(s.data, "s3://"); ok {
		cfg, err := functions.LoadAWS(ctx)
		if err != nil {
			return err
		}
		app.Bucket = functions.NewS3(cfg, name)
		if s.key == "" {
			s.key = "scamtrace.key"
		}
	} else {
		dir, err := graphstore.OpenDir(s.data)
		if err != nil {
			return err
		}
		defer dir.Close()
		app.Bucket = dir
		mux.Handle(graphstore.LinkPath, dir)
		if s.key == "" {
			s.key = filepath.Join(s.data, ".scamtrace", "signing.key")
		}
	}
	if app.Signer, err = report.OpenKey(s.key); err != nil {
		return err
	}
	chains.Bucket, chains.Limiter = app.Bucket, nodes.Limit(s.rate)
	app.Open, app.Chains = chains.Open, chains.Names()
	for _, name := range app.Chains {
		if known, err := app.Knows(ctx, name); err != nil {
			return err
		} else if !known {
			return usage("--rpc: %q is neither a role (archive, trace) nor a chain; public/chains.json is where chains of your own are named", tracer.CleanText(name, 40))
		}
	}
	queue := functions.NewLocal()
	app.Queue = queue
	mux.Handle("/", app.Handler())

	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		return fmt.Errorf("listen at %s: %w", s.addr, err)
	}
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, WriteTimeout: 5 * time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 2)
	go func() { done <- srv.Serve(l) }()
	go func() { done <- queue.Run(ctx, app, s.workers, time.Minute) }()
	fmt.Fprintf(stdout, "scamtrace is at http://%s; everything is kept in %s. Press Ctrl-C to stop.\n", l.Addr(), s.data)

	// Whichever ends first ends the other.
	var first error
	select {
	case first = <-done:
		stop()
		_ = srv.Close()
	case <-ctx.Done():
		last, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = srv.Shutdown(last)
		first = <-done
	}
	second := <-done
	for _, err := range []error{first, second} {
		if err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, context.Canceled) {
			return err
		}
	}
	return nil
}

// loopback reports whether the address can be reached from this machine only.
func (s *server) loopback() (bool, error) {
	host, _, err := net.SplitHostPort(s.addr)
	if err != nil {
		return false, usage("--addr: %q is not an address; write it like 127.0.0.1:8080", tracer.CleanText(s.addr, 60))
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback(), nil
}
