package functions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"scamtrace/graphstore"
	"scamtrace/tracer"
	"scamtrace/tracer/ethsource"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"golang.org/x/time/rate"
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
		s.bad("SCAMTRACE_DATA", "it must be s3:// and the name of a bucket")
	}
	s.App.Bucket = NewS3(s.aws, name)
	s.App.Retention = time.Duration(s.number("SCAMTRACE_RETENTION_DAYS")) * 24 * time.Hour
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

func (s *Setup) bad(key, why string) { s.errs = append(s.errs, fmt.Errorf("%s: %s", key, why)) }

func (s *Setup) text(key string) string { v, _ := s.lookup(key); return v }

func (s *Setup) need(key string) string {
	v := s.text(key)
	if v == "" {
		s.bad(key, "it is not set")
	}
	return v
}

// number reads a whole number; 0 if it is not set.
func (s *Setup) number(key string) int {
	v := s.text(key)
	if v == "" {
		return 0
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 {
		s.bad(key, "it must be a whole number")
	}
	return n
}

// split cuts a setting at commas and spaces.
func split(v string) []string {
	return strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ' ' })
}

// WithAuth verifies tokens: SCAMTRACE_ISSUER, SCAMTRACE_AUDIENCE, SCAMTRACE_JWKS
// (the issuer's /.well-known/jwks.json unless set), SCAMTRACE_WORKSPACE_CLAIM and
// SCAMTRACE_ROLE_CLAIM; and the quotas SCAMTRACE_CASES_PER_DAY,
// SCAMTRACE_MAX_REQUESTS and SCAMTRACE_MAX_WALLETS.
func WithAuth(s *Setup) {
	issuer := s.need("SCAMTRACE_ISSUER")
	j := NewJWT(issuer, s.need("SCAMTRACE_AUDIENCE"), s.text("SCAMTRACE_JWKS"), nil)
	if v := s.text("SCAMTRACE_WORKSPACE_CLAIM"); v != "" {
		j.WorkspaceClaim = v
	}
	if v := s.text("SCAMTRACE_ROLE_CLAIM"); v != "" {
		j.RoleClaim = v
	}
	s.App.Auth = j
	s.App.Quota = Quota{CasesPerDay: s.number("SCAMTRACE_CASES_PER_DAY"), MaxRequests: s.number("SCAMTRACE_MAX_REQUESTS"), MaxWallets: s.number("SCAMTRACE_MAX_WALLETS")}
}

// WithQueue sends Jobs to the queue with the URL in SCAMTRACE_QUEUE.
func WithQueue(s *Setup) { s.App.Queue = NewSQS(s.aws, s.need("SCAMTRACE_QUEUE")) }

// WithLock keeps the files of reports from everybody for SCAMTRACE_LOCK_DAYS days
// after they are written, if it is set.
func WithLock(s *Setup) {
	if days := s.number("SCAMTRACE_LOCK_DAYS"); days > 0 {
		s.App.Bucket.(*S3).Lock = func(key string) time.Duration {
			if !isReportFile.MatchString(key) {
				return 0
			}
			return time.Duration(days) * 24 * time.Hour
		}
	}
}

var isReportFile = regexp.MustCompile(`^workspaces/[^/]+/cases/[^/]+/reports/`)

// WithHooks names the hosts that webhooks may lead to: SCAMTRACE_WEBHOOK_HOSTS,
// with commas between.
func WithHooks(s *Setup) {
	s.App.Hooks.Hosts = split(s.text("SCAMTRACE_WEBHOOK_HOSTS"))
}

// WithAlerts publishes alerts of at least SCAMTRACE_ALERT_USD dollars to the
// topic in SCAMTRACE_TOPIC, if it is set, and to webhooks.
func WithAlerts(s *Setup) {
	WithHooks(s)
	if topic := s.text("SCAMTRACE_TOPIC"); topic != "" {
		s.App.Alerts = NewSNS(s.aws, topic)
	}
	if v := s.text("SCAMTRACE_ALERT_USD"); v != "" {
		m, err := tracer.ParseDollars(v)
		if err != nil {
			s.bad("SCAMTRACE_ALERT_USD", "it must be a number of dollars")
		}
		s.App.AlertUSD = m
	}
}

// WithSigner signs bundles by the KMS key in SCAMTRACE_KEY, if it is set.
func WithSigner(s *Setup) {
	key := s.text("SCAMTRACE_KEY")
	if key == "" {
		return
	}
	k, err := OpenKMS(s.ctx, s.aws, key)
	if err != nil {
		s.bad("SCAMTRACE_KEY", err.Error())
		return
	}
	s.App.Signer = k
}

// WithChains reads chains from the endpoints in SCAMTRACE_RPC, as
// [ParseEndpoints] has them, or else in the object private/rpc.json, an object
// of chain names and addresses; at most SCAMTRACE_RATE calls a second.
func WithChains(s *Setup) {
	e, err := ParseEndpoints(split(s.text("SCAMTRACE_RPC"))...)
	if err != nil {
		s.bad("SCAMTRACE_RPC", err.Error())
	}
	e.Bucket, e.Limiter = s.App.Bucket, Limit(float64(s.number("SCAMTRACE_RATE")))
	s.App.Open = e.Open
}

// Endpoints are the JSON-RPC endpoints of chains.
type Endpoints struct {
	Bucket  graphstore.Bucket // of private/rpc.json; nil: there is none
	Limiter *rate.Limiter     // of all calls together; nil: none

	mu   sync.Mutex
	urls map[string]string // by chain name
}

// ParseEndpoints reads chain=URL, or a URL alone, which is one of Ethereum. No
// error holds the URL, which may hold a key.
func ParseEndpoints(list ...string) (*Endpoints, error) {
	e := &Endpoints{urls: make(map[string]string)}
	for _, text := range list {
		chain, url, ok := strings.Cut(text, "=")
		if !ok || !isWorkspace.MatchString(chain) {
			chain, url = "ethereum", text
		}
		if !strings.HasPrefix(url, "http://") && !strings.HasPrefix(url, "https://") {
			return e, errors.New("an endpoint is a chain's name, = and a web address: ethereum=https://host/path")
		}
		e.urls[chain] = url
	}
	return e, nil
}

// Limit is a limit of calls a second; 0 is none.
func Limit(perSecond float64) *rate.Limiter {
	if perSecond <= 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond)))
}

// Names are the chains that have an endpoint of their own, sorted.
func (e *Endpoints) Names() []string { return slices.Sorted(maps.Keys(e.urls)) }

// Open is an [Opener].
func (e *Endpoints) Open(ctx context.Context, chain tracer.Chain, pin *tracer.Block) (tracer.Source, error) {
	url, err := e.url(ctx, chain.Name)
	if err != nil {
		return nil, err
	}
	src, err := ethsource.Open(ctx, chain, url, ethsource.Options{Pin: pin, Limiter: e.Limiter})
	if err != nil {
		return nil, err
	}
	return &nodeSource{src, url}, nil
}

// A nodeSource is a source that knows where it reads.
type nodeSource struct {
	*ethsource.Source
	endpoint string
}

// Endpoints are the URLs that are asked; a report keeps their hosts.
func (s *nodeSource) Endpoints() []string { return []string{s.endpoint} }

func (e *Endpoints) url(ctx context.Context, chain string) (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.urls) == 0 && e.Bucket != nil {
		data, _, err := e.Bucket.Get(ctx, "private/rpc.json")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		if err == nil && json.Unmarshal(data, &e.urls) != nil {
			return "", errors.New("private/rpc.json is not an object of chain names and addresses")
		}
	}
	if url, ok := e.urls[chain]; ok {
		return url, nil
	}
	return "", fmt.Errorf("%w: no node of the chain %s is configured here", tracer.ErrUsage, chain)
}
