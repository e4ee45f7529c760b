package functions

import (
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"scamtrace/graphstore"
	"scamtrace/tracer"
	"scamtrace/tracer/evidence"
	"scamtrace/tracer/price"
	"scamtrace/tracer/report"

	"github.com/aws/aws-lambda-go/lambdacontext"
)

// A Job asks for the next turn of a case. It is a hint: whether there is
// anything to do, the case itself says.
type Job struct {
	Workspace string `json:"workspace"`
	Case      string `json:"case"`
	Epoch     int    `json:"epoch"`
}

// A Queue brings each Job to [App.Work] at some time, perhaps twice, perhaps
// never.
type Queue interface {
	Send(ctx context.Context, j Job) error
}

// Alerts tells the operator's subscribers. It may be told the same alert twice.
type Alerts interface {
	Publish(ctx context.Context, a Alert) error
}

// An Opener opens a chain to be read up to a block, or up to the last final
// one if pin is nil. A block that is gone is an error that wraps
// [tracer.ErrReorg]. What is asked and answered is recorded by rec, unless it is nil.
type Opener func(ctx context.Context, chain tracer.Chain, pin *tracer.Block, rec *evidence.Recorder) (tracer.Source, error)

// An App is the pipeline over whatever it is given. Bucket and Queue must be
// set, and for [App.Work] also Open. An App is safe for concurrent use once it
// is set up.
type App struct {
	Bucket graphstore.Bucket
	Queue  Queue
	Open   Opener
	Alerts Alerts        // nil: only webhooks are told
	Signer report.Signer // nil: bundles are not signed
	// Quoters are asked for the prices that public/prices/ does not have, such as
	// [Feeds]; what they say of a time must stay. nil: nobody is asked.
	Quoters func(chain tracer.Chain, src tracer.Source) []price.Quoter
	Chains  []string // names of those that the page offers; nil: all that are known

	Auth  Authenticator // nil: whoever asks is the only user, which a server may allow on loopback alone
	Hooks HookRules
	Quota Quota

	Version   string        // of the tool
	Turn      time.Duration // of work at a case when the caller sets no deadline; default 30 s
	Retention time.Duration // after which a case is erased; default 180 days
	AlertUSD  tracer.Micros // alerts are of at least this much; default $100

	Log     *slog.Logger     // nil: slog.Default
	Metrics io.Writer        // EMF lines; nil: none
	Now     func() time.Time // nil: time.Now
	Random  io.Reader        // nil: crypto/rand

	public  sync.Mutex
	known   *knowledge // under public
	limiter limiter
}

func (a *App) now() time.Time {
	if a.Now == nil {
		return time.Now().UTC().Truncate(time.Second)
	}
	return a.Now().UTC().Truncate(time.Second)
}

func (a *App) random() io.Reader {
	if a.Random == nil {
		return rand.Reader
	}
	return a.Random
}

func (a *App) log() *slog.Logger {
	if a.Log == nil {
		return slog.Default()
	}
	return a.Log
}

func (a *App) retention() time.Duration {
	if a.Retention <= 0 {
		return 180 * 24 * time.Hour
	}
	return a.Retention
}

func (a *App) alertUSD() tracer.Micros {
	if a.AlertUSD <= 0 {
		return 100 * tracer.Dollar
	}
	return a.AlertUSD
}

// deadline is when a turn at a case must be over, and how much of it is kept
// for writing down what was read.
func (a *App) deadline(ctx context.Context) (end time.Time, reserve time.Duration) {
	turn := a.Turn
	if turn <= 0 {
		turn = 30 * time.Second
	}
	end = time.Now().Add(turn)
	if d, ok := ctx.Deadline(); ok && (a.Turn <= 0 || d.Before(end)) {
		end = d
	}
	return end, min(max(time.Until(end), 0)/5, 30*time.Second)
}

// within returns a context that ends with ctx, or when the time for reading is
// over. It tells nobody its deadline: a source that knew it would call waiting
// past it a failure.
func (a *App) within(ctx context.Context) (context.Context, context.CancelFunc) {
	end, reserve := a.deadline(ctx)
	return until(ctx, end.Add(-reserve))
}

// toTheEnd is within for what cannot be done in turns: it has all the time that
// the caller of [App.Work] has.
func (a *App) toTheEnd(ctx context.Context) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	if !ok {
		return ctx, func() {}
	}
	return until(ctx, end.Add(-min(max(time.Until(end), 0)/5, 30*time.Second)))
}

func until(ctx context.Context, end time.Time) (context.Context, context.CancelFunc) {
	turn, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, cancel)
	timer := time.AfterFunc(time.Until(end), cancel)
	return turn, func() { timer.Stop(); stop(); cancel() }
}

// NewLogger returns a logger that writes JSON lines, each with the id of the
// request or the invocation that it is about.
func NewLogger(w io.Writer) *slog.Logger {
	return slog.New(withRequest{slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level(os.Getenv("SCAMTRACE_LOG"))})})
}

type withRequest struct{ slog.Handler }

func (h withRequest) Handle(ctx context.Context, r slog.Record) error {
	if id := request(ctx).id; id != "" {
		r.AddAttrs(slog.String("request", id))
	} else if lc, ok := lambdacontext.FromContext(ctx); ok {
		r.AddAttrs(slog.String("request", lc.AwsRequestID))
	}
	return h.Handler.Handle(ctx, r)
}

func (h withRequest) WithAttrs(attrs []slog.Attr) slog.Handler {
	return withRequest{h.Handler.WithAttrs(attrs)}
}

func (h withRequest) WithGroup(name string) slog.Handler {
	return withRequest{h.Handler.WithGroup(name)}
}

func level(s string) slog.Level {
	var l slog.Level
	if l.UnmarshalText([]byte(s)) != nil {
		return slog.LevelInfo
	}
	return l
}
