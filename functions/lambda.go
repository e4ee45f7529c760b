package functions

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

// ServeEvent answers an event of an HTTP API (payload format 2.0) by h.
func ServeEvent(h http.Handler) func(context.Context, events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
	return func(ctx context.Context, e events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
		body := []byte(e.Body)
		if e.IsBase64Encoded {
			var err error
			if body, err = base64.StdEncoding.DecodeString(e.Body); err != nil {
				return events.APIGatewayV2HTTPResponse{StatusCode: http.StatusBadRequest}, nil
			}
		}
		target := (&url.URL{Path: e.RawPath, RawQuery: e.RawQueryString}).RequestURI()
		r, err := http.NewRequestWithContext(ctx, e.RequestContext.HTTP.Method, target, bytes.NewReader(body))
		if err != nil {
			return events.APIGatewayV2HTTPResponse{StatusCode: http.StatusBadRequest}, nil
		}
		for k, v := range e.Headers { // repeated ones come joined by commas
			r.Header.Set(k, v)
		}
		if len(e.Cookies) > 0 {
			r.Header.Set("Cookie", strings.Join(e.Cookies, "; "))
		}
		r.Host, r.RemoteAddr, r.RequestURI = e.RequestContext.DomainName, e.RequestContext.HTTP.SourceIP, target
		w := &reply{header: make(http.Header)}
		h.ServeHTTP(w, r)
		resp := events.APIGatewayV2HTTPResponse{StatusCode: cmp.Or(w.status, http.StatusOK), Headers: make(map[string]string), Cookies: w.header["Set-Cookie"]}
		for k, v := range w.header {
			if k != "Set-Cookie" {
				resp.Headers[k] = strings.Join(v, ",")
			}
		}
		if resp.Body = w.body.String(); !utf8.ValidString(resp.Body) {
			resp.Body, resp.IsBase64Encoded = base64.StdEncoding.EncodeToString(w.body.Bytes()), true
		}
		return resp, nil
	}
}

// A reply keeps what a handler answers.
type reply struct {
	status int
	header http.Header
	body   bytes.Buffer
}

func (w *reply) Header() http.Header         { return w.header }
func (w *reply) WriteHeader(status int)      { w.status = cmp.Or(w.status, status) }
func (w *reply) Write(b []byte) (int, error) { return w.body.Write(b) }

// HandleSQS works at the Jobs of a batch and returns those that should come
// again.
func (a *App) HandleSQS(ctx context.Context, e events.SQSEvent) (events.SQSEventResponse, error) {
	resp := events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{}} // null would mean that all failed
	for _, m := range e.Records {
		log := a.log().With("message", m.MessageId)
		j, err := decodeJob(m.Body)
		if err != nil {
			log.ErrorContext(ctx, "job dropped", "err", err)
			continue
		}
		if err := a.Work(ctx, j); err != nil {
			log.WarnContext(ctx, "job will come again", "case", j.Case, "err", err)
			resp.BatchItemFailures = append(resp.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: m.MessageId})
		}
	}
	return resp, nil
}

// decodeJob reads a message: a Job and nothing else.
func decodeJob(body string) (Job, error) {
	var j Job
	d := json.NewDecoder(strings.NewReader(body))
	d.DisallowUnknownFields()
	if len(body) > 1<<10 || d.Decode(&j) != nil || d.Decode(new(any)) != io.EOF || !isWorkspace.MatchString(j.Workspace) || !isCaseID.MatchString(j.Case) {
		return Job{}, fmt.Errorf("a message of %d bytes is not a job", len(body))
	}
	return j, nil
}

// HandleSchedule runs [App.Schedule]; the event says nothing.
func (a *App) HandleSchedule(ctx context.Context, _ json.RawMessage) error { return a.Schedule(ctx) }

// requestID is the id that API Gateway, Lambda or this process gave the
// request under way.
func (a *App) requestID(ctx context.Context) string {
	if lc, ok := lambdacontext.FromContext(ctx); ok {
		return lc.AwsRequestID
	}
	b := make([]byte, 8)
	if _, err := io.ReadFull(a.random(), b); err != nil {
		return ""
	}
	return fmt.Sprintf("%x", b)
}
