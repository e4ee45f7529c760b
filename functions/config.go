package functions

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"scamtrace/tracer"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
)

// A Setup reads the settings of the functions from the environment.
type Setup struct {
	App    *App
	ctx    context.Context
	aws    aws.Config
	lookup func(string) (string, bool)
	errs   []error
}

// Open sets up an App from the environment, which lookup reads; it is
// [os.LookupEnv] outside of tests. Every App has the bucket that SCAMTRACE_DATA
// names, s3://name, and the parts asked for: no function can do more than it
// must. Every bad setting is reported, not only the first.
func Open(ctx context.Context, lookup func(string) (string, bool), parts ...func(*Setup)) (*App, error) {
	s := &Setup{ctx: ctx, lookup: lookup, App: &App{Version: version(), Log: NewLogger(os.Stderr), Metrics: os.Stdout}}
	var err error
	if s.aws, err = LoadAWS(ctx); err != nil {
		return nil, err
	}
	name, ok := strings.CutPrefix(s.need("SCAMTRACE_DATA"), "s3://")
	if !ok || name == "" {
		s.Bad("SCAMTRACE_DATA", "it must be s3:// and the name of a bucket")
	}
	s.App.Bucket = NewS3(s.aws, name)
	s.App.Retention = time.Duration(s.Number("SCAMTRACE_RETENTION_DAYS")) * 24 * time.Hour
	for _, part := range parts {
		part(s)
	}
	return s.App, errors.Join(s.errs...)
}

// Main is the main of a function: it sets up an App, once for each start of the
// process, and serves events by the handler made of it.
func Main(handler func(*App) any, parts ...func(*Setup)) {
	app, err := Open(context.Background(), os.LookupEnv, parts...)
	if err != nil {
		NewLogger(os.Stderr).Error("start", "err", err)
		os.Exit(1)
	}
	lambda.Start(handler(app))
}

// version is the module's version as the build recorded it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "devel"
	}
	return info.Main.Version
}

// Bad reports a bad setting. why must not repeat what may be a key.
func (s *Setup) Bad(key, why string) { s.errs = append(s.errs, fmt.Errorf("%s: %s", key, why)) }

// Text is a setting, or empty.
func (s *Setup) Text(key string) string { v, _ := s.lookup(key); return v }

func (s *Setup) need(key string) string {
	v := s.Text(key)
	if v == "" {
		s.Bad(key, "it is not set")
	}
	return v
}

// Number is a setting that is a whole number; 0 if it is not set.
func (s *Setup) Number(key string) int {
	v := s.Text(key)
	if v == "" {
		return 0
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 {
		s.Bad(key, "it must be a whole number")
	}
	return n
}

// List is a setting with commas or spaces between.
func (s *Setup) List(key string) []string {
	return strings.FieldsFunc(s.Text(key), func(r rune) bool { return r == ',' || r == ' ' })
}

// WithAuth verifies tokens: SCAMTRACE_ISSUER, SCAMTRACE_AUDIENCE, SCAMTRACE_JWKS
// (the issuer's /.well-known/jwks.json unless set), SCAMTRACE_WORKSPACE_CLAIM and
// SCAMTRACE_ROLE_CLAIM; and the quotas SCAMTRACE_CASES_PER_DAY,
// SCAMTRACE_MAX_REQUESTS and SCAMTRACE_MAX_WALLETS.
func WithAuth(s *Setup) {
	issuer := s.need("SCAMTRACE_ISSUER")
	j := NewJWT(issuer, s.need("SCAMTRACE_AUDIENCE"), s.Text("SCAMTRACE_JWKS"), nil)
	if v := s.Text("SCAMTRACE_WORKSPACE_CLAIM"); v != "" {
		j.WorkspaceClaim = v
	}
	if v := s.Text("SCAMTRACE_ROLE_CLAIM"); v != "" {
		j.RoleClaim = v
	}
	s.App.Auth = j
	s.App.Quota = Quota{CasesPerDay: s.Number("SCAMTRACE_CASES_PER_DAY"), MaxRequests: s.Number("SCAMTRACE_MAX_REQUESTS"), MaxWallets: s.Number("SCAMTRACE_MAX_WALLETS")}
}

// WithQueue sends Jobs to the queue with the URL in SCAMTRACE_QUEUE.
func WithQueue(s *Setup) { s.App.Queue = NewSQS(s.aws, s.need("SCAMTRACE_QUEUE")) }

// WithLock keeps the files of reports from everybody for SCAMTRACE_LOCK_DAYS days
// after they are written, if it is set.
func WithLock(s *Setup) {
	if days := s.Number("SCAMTRACE_LOCK_DAYS"); days > 0 {
		s.App.Bucket.(*S3).Lock = func(key string) time.Duration {
			if !isReportFile.MatchString(key) {
				return 0
			}
			return time.Duration(days) * 24 * time.Hour
		}
	}
}

var isReportFile = regexp.MustCompile(`^workspaces/[^/]+/cases/[^/]+/reports/`)

// WithHooks says what alerts are about and where they may go: at least
// SCAMTRACE_ALERT_USD dollars, and SCAMTRACE_WEBHOOK_HOSTS, the hosts that webhooks
// may lead to, with commas between.
func WithHooks(s *Setup) {
	s.App.Hooks.Hosts = s.List("SCAMTRACE_WEBHOOK_HOSTS")
	if v := s.Text("SCAMTRACE_ALERT_USD"); v != "" {
		m, err := tracer.ParseDollars(v)
		if err != nil {
			s.Bad("SCAMTRACE_ALERT_USD", "it must be a number of dollars")
		}
		s.App.AlertUSD = m
	}
}

// WithAlerts sends alerts to webhooks and publishes them to the topic in
// SCAMTRACE_TOPIC, if it is set.
func WithAlerts(s *Setup) {
	WithHooks(s)
	if topic := s.Text("SCAMTRACE_TOPIC"); topic != "" {
		s.App.Alerts = NewSNS(s.aws, topic)
	}
}

// WithSigner signs bundles by the KMS key in SCAMTRACE_KEY, if it is set.
func WithSigner(s *Setup) {
	key := s.Text("SCAMTRACE_KEY")
	if key == "" {
		return
	}
	k, err := OpenKMS(s.ctx, s.aws, key)
	if err != nil {
		s.Bad("SCAMTRACE_KEY", err.Error())
		return
	}
	s.App.Signer = k
}
