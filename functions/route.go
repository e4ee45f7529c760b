package functions

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// op describes an operation. roles are those of which the asker needs one.
func op(id, method, path, summary string, status int, body int64, roles ...Role) huma.Operation {
	o := huma.Operation{
		OperationID: id, Method: method, Path: path, Summary: summary, DefaultStatus: status, MaxBodyBytes: body,
		Security: []map[string][]string{{"token": {}}}, Metadata: map[string]any{"roles": roles},
		Errors: []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests, http.StatusServiceUnavailable},
	}
	if strings.Contains(path, "{id}") {
		o.Errors = append(o.Errors, http.StatusNotFound)
	}
	return o
}

// add registers an operation. Errors that are not problem details are trouble
// of ours: they are logged, and the asker learns only that.
func add[I, O any](api huma.API, o huma.Operation, f func(context.Context, *I) (*O, error)) {
	huma.Register(api, o, func(ctx context.Context, in *I) (*O, error) {
		out, err := f(ctx, in)
		if err == nil {
			return out, nil
		}
		if _, ok := errors.AsType[huma.StatusError](err); ok {
			return nil, err
		}
		request(ctx).err = err
		if errors.Is(err, ErrNewer) {
			return nil, huma.Error503ServiceUnavailable("This case is in the hands of a later version of the service; please try again in a few minutes.")
		}
		return nil, huma.Error503ServiceUnavailable("The service has trouble now, and nothing was lost; please try again in a minute.")
	})
}

// permit refuses whoever has none of the operation's roles.
func (a *App) permit(api huma.API) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		req := request(ctx.Context())
		req.op = ctx.Operation().OperationID
		if id := ctx.Param("id"); isCaseID.MatchString(id) {
			req.caseID = id
		}
		roles, _ := ctx.Operation().Metadata["roles"].([]Role)
		if !identity(ctx.Context()).is(roles...) {
			_ = huma.WriteErr(api, ctx, http.StatusForbidden, "Your role in this workspace does not allow this.")
			return
		}
		next(ctx)
	}
}

// withoutValues takes what the asker sent out of errors: it may be a secret.
func withoutValues(_ huma.Context, _ string, v any) (any, error) {
	if m, ok := v.(*huma.ErrorModel); ok {
		for _, e := range m.Errors {
			e.Value = nil
		}
	}
	return v, nil
}

// problem answers with a problem detail outside of huma.
func problem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(&huma.ErrorModel{Title: http.StatusText(status), Status: status, Detail: detail})
}

// A requestLog is what is logged of a request when it is answered.
type requestLog struct {
	id, op, caseID string
	err            error
}

type requestKey struct{}

func request(ctx context.Context) *requestLog {
	if r, ok := ctx.Value(requestKey{}).(*requestLog); ok {
		return r
	}
	return new(requestLog)
}

type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(s int) { w.status = s; w.ResponseWriter.WriteHeader(s) }

func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// observe bounds the time of a request, logs it, and keeps the process alive
// through a panic. It logs no path, query or body, which may hold anything.
func (a *App) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		info := &requestLog{id: a.requestID(r.Context())}
		ctx, cancel := context.WithTimeout(context.WithValue(r.Context(), requestKey{}, info), maxTime)
		defer cancel()
		sw := &statusWriter{w, http.StatusOK}
		h := sw.Header()
		h.Set("X-Request-Id", info.id)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		if !open(r.URL.Path) {
			h.Set("Cache-Control", "no-store")
		}
		defer func() {
			log, level := a.log(), slog.LevelInfo
			if p := recover(); p != nil {
				log.ErrorContext(ctx, "panic", "op", info.op, "stack", string(debug.Stack()))
				problem(sw, http.StatusInternalServerError, "The service made a mistake. It was written down; please try again.")
			}
			if info.caseID != "" {
				log = log.With("case", info.caseID)
			}
			if info.err != nil {
				log, level = log.With("err", info.err), slog.LevelError
			}
			took := time.Since(start)
			log.Log(ctx, level, "request", "op", info.op, "method", r.Method, "status", sw.status, "ms", took.Milliseconds())
			if info.op != "" {
				a.metric(ctx, map[string]string{"Operation": info.op}, map[string]float64{"Requests": 1, "RequestSeconds": took.Seconds(), "Errors": float64(min(1, sw.status/500))})
			}
		}()
		next.ServeHTTP(sw, r.WithContext(ctx))
	})
}
