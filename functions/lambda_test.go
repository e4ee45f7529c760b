package functions

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"context"
	"crypto/ed25519"
	"crypto/md5"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"scamtrace/tracer/devnet"
	"scamtrace/tracer/report"

	"github.com/aws/aws-lambda-go/events"
	"github.com/go-jose/go-jose/v4"
)

// A function is a bootstrap that runs as a process, and the Runtime API that
// feeds it, as in AWS.
type function struct {
	t       *testing.T
	name    string
	events  chan invocation
	replies chan string // kind and body
	polled  chan time.Time
	logs    *bytes.Buffer
	n       int
}

type invocation struct {
	id       string
	event    []byte
	deadline time.Time
}

// run starts a bootstrap.
func run(t *testing.T, bootstrap string, env ...string) *function {
	t.Helper()
	f := &function{t: t, name: filepath.Base(bootstrap), events: make(chan invocation), replies: make(chan string, 1), polled: make(chan time.Time, 1), logs: new(bytes.Buffer)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", func(w http.ResponseWriter, r *http.Request) {
		select {
		case f.polled <- time.Now():
		default:
		}
		select {
		case e := <-f.events:
			w.Header().Set("Lambda-Runtime-Aws-Request-Id", e.id)
			w.Header().Set("Lambda-Runtime-Deadline-Ms", fmt.Sprint(e.deadline.UnixMilli()))
			w.Header().Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:111122223333:function:scamtrace-"+f.name)
			w.Write(e.event)
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/{kind}", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusAccepted)
		f.replies <- r.PathValue("kind") + " " + string(body)
	})
	srv := httptest.NewServer(mux)
	ctx, kill := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, bootstrap)
	cmd.Env = append(os.Environ(), "AWS_LAMBDA_RUNTIME_API="+strings.TrimPrefix(srv.URL, "http://"), "AWS_LAMBDA_FUNCTION_NAME=scamtrace-"+f.name)
	cmd.Env = append(cmd.Env, env...)
	cmd.Stdout, cmd.Stderr = f.logs, f.logs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		kill()
		_ = cmd.Wait()
		srv.CloseClientConnections()
		srv.Close()
		if t.Failed() {
			t.Logf("%s: %s", f.name, f.logs)
		}
	})
	return f
}

// invoke has the function handle an event within some time, and returns what it
// answers.
func (f *function) invoke(event []byte, within time.Duration) (kind, body string) {
	f.t.Helper()
	f.n++
	ctx, cancel := context.WithTimeout(f.t.Context(), 2*time.Minute)
	defer cancel()
	select {
	case f.events <- invocation{fmt.Sprintf("%s-%d", f.name, f.n), event, time.Now().Add(within)}:
	case <-ctx.Done():
		f.t.Fatalf("%s does not poll", f.name)
	}
	select {
	case r := <-f.replies:
		kind, body, _ = strings.Cut(r, " ")
	case <-ctx.Done():
		f.t.Fatalf("%s does not answer", f.name)
	}
	return kind, body
}

func event[T any](t *testing.T, name string) T {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "testdata", "events", name))
	if err != nil {
		t.Fatal(err)
	}
	return decode[T](t, string(data))
}

// ask sends a request as API Gateway does.
func (f *function) ask(token, method, path string, body any, header ...string) events.APIGatewayV2HTTPResponse {
	f.t.Helper()
	e := event[events.APIGatewayV2HTTPRequest](f.t, "http-api.json")
	u, err := url.Parse(path)
	if err != nil {
		f.t.Fatal(err)
	}
	e.RawPath, e.RawQueryString, e.RequestContext.HTTP.Method, e.RequestContext.HTTP.Path = u.Path, u.RawQuery, method, u.Path
	e.Body = ""
	if body != nil {
		e.Body, e.IsBase64Encoded = base64.StdEncoding.EncodeToString(mustBytes(f.t, body)), true
	}
	delete(e.Headers, "authorization")
	if token != "" {
		e.Headers["authorization"] = "Bearer " + token
	}
	for i := 0; i+1 < len(header); i += 2 {
		e.Headers[strings.ToLower(header[i])] = header[i+1]
	}
	kind, reply := f.invoke(mustBytes(f.t, e), 29*time.Second)
	if kind != "response" {
		f.t.Fatalf("%s answers %s: %s", f.name, kind, reply)
	}
	return decode[events.APIGatewayV2HTTPResponse](f.t, reply)
}

// A stubSQS is one queue, and answers as SQS does.
type stubSQS struct {
	mu       sync.Mutex
	messages []string
}

func (q *stubSQS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in struct{ QueueUrl, MessageBody, MessageGroupId string }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || r.Header.Get("X-Amz-Target") != "AmazonSQS.SendMessage" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.messages = append(q.messages, in.MessageBody)
	sum := md5.Sum([]byte(in.MessageBody))
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	_ = json.NewEncoder(w).Encode(map[string]string{"MessageId": fmt.Sprint(len(q.messages)), "MD5OfMessageBody": hex.EncodeToString(sum[:])})
}

// take empties the queue.
func (q *stubSQS) take() []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	m := q.messages
	q.messages = nil
	return m
}

// build builds the four functions, and one that is the runtime only, as they
// are deployed but for the processor.
func build(t *testing.T) map[string]string {
	t.Helper()
	dir := t.TempDir()
	bare := filepath.Join(dir, "bare.go")
	if err := os.WriteFile(bare, []byte("package main\n\nimport \"github.com/aws/aws-lambda-go/lambda\"\n\nfunc main() { lambda.Start(func() {}) }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := make(map[string]string)
	for name, pkg := range map[string]string{"submit": "./submit", "trace": "./trace", "retrace": "./retrace", "download": "./download", "bare": bare} {
		out[name] = filepath.Join(dir, name)
		cmd := exec.Command("go", "build", "-trimpath", "-tags", "lambda.norpc", "-ldflags", "-s -w", "-o", out[name], pkg)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if b, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v\n%s", name, err, b)
		}
	}
	return out
}

// TestFunctions runs the deployed programs themselves against servers on
// loopback: submit, trace over several turns, report, download, look again,
// alert.
func TestFunctions(t *testing.T) {
	bootstraps := build(t)
	world := theWorld()
	node := devnet.NewNode(world, devnet.NodeOptions{})
	chain := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-time.After(10 * time.Millisecond) // as from another city
		node.ServeHTTP(w, r)
	}))
	s3 := serve(t, fakeS3())
	bucket := newBucket(t, s3)
	queue := new(stubSQS)
	sqs := serve(t, queue)
	var published []url.Values
	sns := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		published = append(published, r.Form)
		fmt.Fprint(w, `<PublishResponse><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>`)
	}))
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	kms := serve(t, &stubKMS{t: t, key: private, spec: "ECC_NIST_EDWARDS25519"})
	iss := newIssuer(t, time.Now)
	for key, data := range publicData(t, world) {
		if _, err := bucket.Create(t.Context(), key, data); err != nil {
			t.Fatal(err)
		}
	}
	const secret = "SECRETKEY"
	if _, err := bucket.Create(t.Context(), "private/rpc.json", mustBytes(t, map[string]string{"devnet": chain + "/" + secret})); err != nil {
		t.Fatal(err)
	}
	env := []string{
		"SCAMTRACE_DATA=s3://" + bucket.bucket, "AWS_ENDPOINT_URL_S3=" + s3, "AWS_ENDPOINT_URL_SQS=" + sqs, "AWS_ENDPOINT_URL_SNS=" + sns, "AWS_ENDPOINT_URL_KMS=" + kms,
		"SCAMTRACE_QUEUE=" + sqs + "/111122223333/scamtrace-jobs", "SCAMTRACE_TOPIC=arn:aws:sns:us-east-1:111122223333:alerts", "SCAMTRACE_KEY=alias/reports",
		"SCAMTRACE_ISSUER=" + iss.url, "SCAMTRACE_AUDIENCE=" + audience, "SCAMTRACE_ALERT_USD=1000",
	}
	functions := make(map[string]*function)
	for _, name := range []string{"submit", "trace", "retrace", "download"} {
		functions[name] = run(t, bootstraps[name], env...)
	}
	submit, trace, download := functions["submit"], functions["trace"], functions["download"]
	advocate := sign(t, jose.RS256, iss.rsa, "rsa", iss.claims("ngo", "alice", "advocate"))
	stranger := sign(t, jose.ES256, iss.ec, "ec", iss.claims("other", "alice", "advocate"))

	// The page, the description, and a text.
	if r := submit.ask("", "GET", "/", nil); r.StatusCode != 200 || !strings.Contains(r.Body, "<html") {
		t.Errorf("GET / answers %d", r.StatusCode)
	}
	if r := submit.ask("", "GET", "/v1/openapi.json", nil); r.StatusCode != 200 || !strings.Contains(r.Body, `"openapi":"3.1.0"`) {
		t.Errorf("GET /v1/openapi.json answers %d: %.200s", r.StatusCode, r.Body)
	}
	if r := submit.ask("", "GET", "/v1/cases", nil); r.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a token GET /v1/cases answers %d", r.StatusCode)
	}
	if r := submit.ask(advocate, "POST", "/v1/parse", map[string]any{"chain": "devnet", "text": strings.Join(victimSeeds(world, 0), ", ")}); r.StatusCode != 200 || strings.Count(r.Body, `"seed"`) != 5 {
		t.Errorf("POST /v1/parse answers %d: %s", r.StatusCode, r.Body)
	}

	// A case, traced in several turns.
	node.SetHead(7 * 7200)
	sub := Submission{Chain: "devnet", Reference: "Jane Canary", Seeds: victimSeeds(world, 0), Hub: 1000}
	var id string
	for range 2 { // API Gateway, or the page, may send it twice
		r := submit.ask(advocate, "POST", "/v1/cases", sub, "Idempotency-Key", "one")
		if r.StatusCode != http.StatusAccepted {
			t.Fatalf("POST /v1/cases answers %d: %s", r.StatusCode, r.Body)
		}
		v := decode[CaseView](t, r.Body)
		if id != "" && v.ID != id {
			t.Fatalf("the same key made the cases %s and %s", id, v.ID)
		}
		id = v.ID
	}
	status := func() CaseView {
		t.Helper()
		r := submit.ask(advocate, "GET", "/v1/cases/"+id, nil)
		if r.StatusCode != 200 {
			t.Fatalf("GET answers %d: %s", r.StatusCode, r.Body)
		}
		return decode[CaseView](t, r.Body)
	}
	within := 250 * time.Millisecond
	work := func() (turns int) {
		t.Helper()
		for waiting := queue.take(); len(waiting) > 0; waiting = append(waiting, queue.take()...) {
			e := event[events.SQSEvent](t, "sqs.json")
			e.Records[0].Body = waiting[0]
			kind, body := trace.invoke(mustBytes(t, e), within)
			within += within / 2
			if turns++; kind != "response" || turns > 40 {
				t.Fatalf("after %d turns trace answers %s: %s", turns, kind, body)
			}
			if strings.Contains(body, e.Records[0].MessageId) {
				continue // comes again
			}
			if body != `{"batchItemFailures":[]}` {
				t.Fatalf("trace answers %s", body)
			}
			waiting = waiting[1:]
		}
		return turns
	}
	turns := work()
	v := status()
	if v.Status != StatusDone || len(v.Reports) != 1 || v.Reference != sub.Reference {
		t.Fatalf("after %d turns the case is %s: %s", turns, v.Status, v.Reason)
	}
	if turns < 3 {
		t.Errorf("it took %d turns, want several", turns)
	}
	t.Logf("%d turns: %s", turns, v.Reports[0].Sentence)

	// Every file by its link, and the bundle verifies.
	bundle := func(row ReportRow) {
		t.Helper()
		dir := t.TempDir()
		for _, name := range row.Files {
			r := download.ask(advocate, "GET", fmt.Sprintf("/v1/cases/%s/reports/%d/%s", id, row.Block, url.PathEscape(name)), nil)
			if r.StatusCode != http.StatusFound {
				t.Fatalf("GET %s answers %d: %s", name, r.StatusCode, r.Body)
			}
			resp, err := http.Get(r.Headers["Location"])
			if err != nil {
				t.Fatal(err)
			}
			data, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != 200 {
				t.Fatalf("the link of %s answers %d, %v", name, resp.StatusCode, err)
			}
			if strings.Contains(string(data), sub.Reference) || strings.Contains(string(data), secret) {
				t.Errorf("%s holds what a person gave, or a key", name)
			}
			if name == bundleName {
				whole, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
				if err != nil {
					t.Fatal(err)
				}
				if _, err := report.VerifyFS(whole, public); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				continue
			}
			if name == evidenceName {
				told, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
				if err != nil {
					t.Fatal(err)
				}
				if _, err := Replay(t.Context(), told, version(), openRecorded); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				continue
			}
			path := filepath.Join(dir, filepath.FromSlash(name))
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := report.Verify(dir, public); err != nil {
			t.Fatal(err)
		}
	}
	bundle(v.Reports[0])
	file := fmt.Sprintf("/v1/cases/%s/reports/%d/report.html", id, v.Reports[0].Block)
	if r := download.ask(stranger, "GET", file, nil); r.StatusCode != http.StatusNotFound {
		t.Errorf("a stranger's download answers %d", r.StatusCode)
	}

	// Time passes: the schedule finds the case, and it is traced again.
	node.SetHead(12 * 7200)
	mine := &App{Bucket: bucket, Queue: new(list)}
	if _, err := mine.change(t.Context(), "ngo", id, func(c *Case) error { c.Due = time.Now().Add(-time.Hour); return nil }); err != nil {
		t.Fatal(err)
	}
	schedule, err := os.ReadFile(filepath.Join("..", "testdata", "events", "schedule.json"))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if kind, body := functions["retrace"].invoke(schedule, time.Minute); kind != "response" {
			t.Fatalf("retrace answers %s: %s", kind, body)
		}
	}
	within = 2 * time.Second
	work()
	v = status()
	if v.Status != StatusDone || len(v.Reports) != 2 || v.Reports[1].Changes == "" {
		t.Fatalf("after the re-trace the case is %s (%s) with %d reports", v.Status, v.Reason, len(v.Reports))
	}
	bundle(v.Reports[1])
	if r := download.ask(advocate, "GET", fmt.Sprintf("/v1/cases/%s/reports/%d/diff.json", id, v.Reports[1].Block), nil); r.StatusCode != http.StatusFound {
		t.Errorf("the diff's download answers %d", r.StatusCode)
	}
	if len(published) != 1 || !strings.Contains(published[0].Get("Message"), v.Reports[1].Changes[:20]) {
		t.Fatalf("%d alerts were published: %v", len(published), published)
	}
	t.Log(v.Reports[1].Changes)

	// One bad message of several: it alone comes again.
	newer := strings.Repeat("1", 36)
	if _, err := bucket.Create(t.Context(), caseKey("ngo", newer), []byte(`{"schema": 99}`)); err != nil {
		t.Fatal(err)
	}
	e := event[events.SQSEvent](t, "sqs.json")
	for n, body := range []string{"nonsense", mustJSON(t, Job{"ngo", id, 1}), mustJSON(t, Job{"ngo", newer, 1}), mustJSON(t, Job{"ngo", strings.Repeat("2", 36), 1})} {
		m := e.Records[0]
		m.MessageId, m.Body = fmt.Sprintf("m%d", n), body
		e.Records = append(e.Records, m)
	}
	e.Records = e.Records[1:]
	if kind, body := trace.invoke(mustBytes(t, e), time.Minute); kind != "response" || body != `{"batchItemFailures":[{"itemIdentifier":"m2"}]}` {
		t.Errorf("trace answers %s: %s", kind, body)
	}
	if r := submit.ask(advocate, "DELETE", "/v1/cases/"+id, nil); r.StatusCode != http.StatusNoContent {
		t.Errorf("DELETE answers %d: %s", r.StatusCode, r.Body)
	}

	// What they wrote to the log.
	for name, f := range functions {
		logs := f.logs.String()
		for _, word := range []string{secret, "Canary", "eyJ", "alice", strings.ToLower(sub.Seeds[1]), "testtest"} {
			if strings.Contains(strings.ToLower(logs), strings.ToLower(word)) {
				t.Errorf("%s logs %q", name, word)
			}
		}
		for line := range strings.Lines(logs) {
			if !json.Valid([]byte(line)) {
				t.Errorf("%s logs what is not JSON: %s", name, line)
			}
		}
		if name != "retrace" && !strings.Contains(logs, "CloudWatchMetrics") {
			t.Errorf("%s writes no metrics", name)
		}
	}
	if !strings.Contains(trace.logs.String(), id) {
		t.Error("the case is not in the log of trace")
	}

	t.Run("start and size", func(t *testing.T) { startAndSize(t, bootstraps, env) })
}

// startAndSize prints, for each function, how long it takes from its start to
// its first poll and how large its package is, beside a function with the
// runtime only. It is target 10 of what the project set itself.
func startAndSize(t *testing.T, bootstraps map[string]string, env []string) {
	const rounds = 7
	took := make(map[string][]time.Duration)
	for range rounds { // in turn, so that what else the machine does hits all
		for name, path := range bootstraps {
			begin := time.Now()
			f := run(t, path, env...)
			select {
			case at := <-f.polled:
				took[name] = append(took[name], at.Sub(begin))
			case <-time.After(time.Minute):
				t.Fatalf("%s does not start", name)
			}
		}
	}
	best := func(name string) time.Duration { return slices.Min(took[name]) }
	for _, name := range []string{"bare", "submit", "trace", "retrace", "download"} {
		st, err := os.Stat(bootstraps[name])
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%-9s start to first poll %6.1f ms (%.1f of bare), %5.1f MB, zipped %4.1f MB", name,
			float64(best(name).Microseconds())/1000, float64(best(name))/float64(best("bare")), float64(st.Size())/1e6, float64(zipped(t, bootstraps[name]))/1e6)
	}
}

// zipped is the size of a program in a package.
func zipped(t *testing.T, path string) int {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Len()
}
