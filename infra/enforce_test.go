package infra

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"scamtrace/functions"
	"scamtrace/functions/nodes"
	"scamtrace/graphstore"
	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/report"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
)

// TestPermissionsSuffice gives each function a user of a real S3 server, with
// the permissions of the plan and no others, and has them do the whole job:
// submit, trace, download, trace again, erase. Then it has each of them try what
// is not theirs.
func TestPermissionsSuffice(t *testing.T) {
	p := loadPlan(t)
	server := startS3(t)
	const bucket = "scamtrace-" + account + "-" + region
	owner := s3.NewFromConfig(server.as("owner"), func(o *s3.Options) { o.UsePathStyle = true })
	if _, err := owner.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String(bucket)}); err != nil {
		t.Fatal(err)
	}
	if _, err := owner.PutBucketPolicy(t.Context(), &s3.PutBucketPolicyInput{Bucket: aws.String(bucket), Policy: aws.String(bucketPolicy(t, p))}); err != nil {
		t.Fatal(err)
	}
	s := newPipeline(t, func(f string) graphstore.Bucket { return functions.NewS3(server.as(f), bucket) })

	s.ask("submit", "root admin", "PUT", "/v1/workspace", `{"webhooks": [], "casesPerDay": 50}`, 200)
	s.ask("submit", "alice advocate", "POST", "/v1/parse", `{"text": "nothing", "chain": "devnet"}`, 200)
	s.ask("submit", "alice advocate", "GET", "/v1/cases/000000000000000000000000000000000000", "", 404)
	id := s.submit("file 7")
	s.work()
	c := s.read(id)
	if len(c.Reports) != 1 || c.Reference != "file 7" {
		t.Fatalf("the case is %+v", c)
	}
	for _, file := range []string{"report.json", "manifest.sig"} {
		to := s.ask("download", "alice advocate", "GET", fmt.Sprintf("/v1/cases/%s/reports/%d/%s", id, c.Reports[0].Block, file), "", 302).Header.Get("Location")
		resp, err := http.Get(to)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Errorf("the link to %s answers %d", file, resp.StatusCode)
		}
	}

	s.node.SetHead(s.world.Head())
	for range 3 { // the marker of the trace, if it is left, then that of the re-trace
		s.later(6 * time.Hour)
		s.work()
	}
	if c = s.read(id); len(c.Reports) != 2 || c.Reports[1].Changes == "" || len(s.alerts) != 1 {
		t.Errorf("after the re-trace there are %d alerts and the case is %+v", len(s.alerts), c)
	}
	s.ask("submit", "ivan investigator", "GET", "/v1/cases", "", 200)
	s.ask("submit", "ivan investigator", "POST", "/v1/cases/"+id+"/retrace", `{}`, 202)
	s.work()
	s.ask("submit", "alice advocate", "DELETE", "/v1/cases/"+id, "", 204)
	s.ask("submit", "root admin", "GET", "/v1/audit", "", 200)

	// One that nobody erases is erased by the schedule.
	id = s.submit("file 8")
	s.work()
	s.later(200 * 24 * time.Hour)
	if _, _, err := s.bucket("owner").Get(t.Context(), "personal/ngo/"+id+".json"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what a person gave, after the retention: %v, want that it is not there", err)
	}

	folder := "workspaces/ngo/cases/" + id + "/"
	reports := folder + fmt.Sprintf("reports/%d/", c.Reports[1].Block)
	for _, tt := range []struct{ who, does, key string }{
		{"submit", "read", folder + "state/1.snap"},
		{"submit", "read", reports + "report.json"},
		{"submit", "read", "private/rpc.json"},
		{"submit", "read", "private/endpoints.json"},
		{"submit", "write", reports + "report.json"},
		{"submit", "delete", folder + "case.json"},
		{"trace", "read", "personal/ngo/" + id + ".json"},
		{"trace", "write", "private/rpc.json"},
		{"trace", "delete", folder + "case.json"},
		{"trace", "delete", folder + "state/1.snap"},
		{"trace", "delete", reports + "report.json"},
		{"retrace", "read", reports + "report.json"},
		{"retrace", "read", "private/rpc.json"},
		{"retrace", "write", folder + "state/9.snap"},
		{"download", "read", folder + "state/1.snap"},
		{"download", "read", "private/rpc.json"},
		{"download", "read", "personal/ngo/" + id + ".json"},
		{"download", "write", folder + "case.json"},
		{"download", "delete", reports + "report.json"},
	} {
		b := s.bucket(tt.who)
		var err error
		switch tt.does {
		case "read":
			_, _, err = b.Get(t.Context(), tt.key)
		case "write":
			_, err = b.Create(t.Context(), tt.key, []byte("x"))
		case "delete":
			err = b.Delete(t.Context(), tt.key)
		}
		if e, ok := errors.AsType[smithy.APIError](err); !ok || e.ErrorCode() != "AccessDenied" && e.ErrorCode() != "Forbidden" {
			t.Errorf("%s may %s %s: %v", tt.who, tt.does, tt.key, err)
		}
	}
}

// A pipeline is the four functions as four processes that share a bucket, a
// queue and a clock, and a made-up chain behind a real server.
type pipeline struct {
	t      *testing.T
	bucket func(f string) graphstore.Bucket // as a function sees it, or the owner
	world  *devnet.World
	node   *devnet.Node
	now    time.Time
	queue  jobs
	alerts told
	apps   map[string]*functions.App
}

func newPipeline(t *testing.T, bucket func(string) graphstore.Bucket) *pipeline {
	t.Helper()
	s := &pipeline{t: t, bucket: bucket, world: devnet.Generate(devnet.Config{}), apps: make(map[string]*functions.App)}
	s.now = time.Unix(int64(s.world.Blocks[s.world.Head()].Time), 0).UTC()
	// Soon after the last payment is final: most moves are yet to come.
	pays := s.world.Truth.Victims[0].Payments
	last := slices.MaxFunc(pays, func(a, b devnet.Payment) int { return cmp.Compare(a.Block, b.Block) })
	s.node = devnet.NewNode(s.world, devnet.NodeOptions{Head: last.Block + 100})
	url, stop, err := s.node.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	for key, data := range publicData(t, s.world, url) {
		if _, err := bucket("owner").Create(t.Context(), key, data); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range mains {
		s.apps[f] = &functions.App{
			Bucket: bucket(f), Queue: &s.queue, Version: "test", Auth: tokens{}, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
			Now: func() time.Time { return s.now }, Turn: time.Minute, AlertUSD: 1,
		}
	}
	chains, err := nodes.ParseEndpoints()
	if err != nil {
		t.Fatal(err)
	}
	chains.Bucket = bucket("trace") // private/rpc.json
	key, err := report.OpenKey(filepath.Join(t.TempDir(), "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	trace := s.apps["trace"]
	trace.Open, trace.Alerts, trace.Signer = chains.Open, &s.alerts, key
	return s
}

// ask sends a request to a function as somebody with a role.
func (s *pipeline) ask(f, who, method, path, body string, want int) *http.Response {
	s.t.Helper()
	r := httptest.NewRequestWithContext(s.t.Context(), method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+who)
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	s.apps[f].Handler().ServeHTTP(w, r)
	if w.Code != want {
		s.t.Fatalf("%s %s answers %d, want %d: %s", method, path, w.Code, want, w.Body)
	}
	return w.Result()
}

// submit makes a case of the payments of a victim.
func (s *pipeline) submit(reference string) (id string) {
	s.t.Helper()
	var seeds []string
	for _, p := range s.world.Truth.Victims[0].Payments {
		seeds = append(seeds, p.Tx.Hex())
	}
	body, err := json.Marshal(map[string]any{"reference": reference, "chain": "devnet", "seeds": seeds, "hub": 1000})
	if err != nil {
		s.t.Fatal(err)
	}
	return s.decode(s.ask("submit", "alice advocate", "POST", "/v1/cases", string(body), 202)).ID
}

func (s *pipeline) read(id string) functions.CaseView {
	s.t.Helper()
	return s.decode(s.ask("submit", "alice advocate", "GET", "/v1/cases/"+id, "", 200))
}

func (s *pipeline) decode(r *http.Response) (v functions.CaseView) {
	s.t.Helper()
	if err := json.NewDecoder(r.Body).Decode(&v); err != nil {
		s.t.Fatal(err)
	}
	return v
}

// work empties the queue.
func (s *pipeline) work() {
	s.t.Helper()
	for len(s.queue) > 0 {
		j := s.queue[0]
		s.queue = s.queue[1:]
		if err := s.apps["trace"].Work(s.t.Context(), j); err != nil {
			s.t.Fatal(err)
		}
	}
}

// later moves the clock and runs the schedule.
func (s *pipeline) later(d time.Duration) {
	s.t.Helper()
	s.now = s.now.Add(d)
	if err := s.apps["retrace"].Schedule(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// bucketPolicy is what the plan lets each function do in the bucket, as a policy
// of the bucket with users for roles. The server knows no conditions.
func bucketPolicy(t *testing.T, p plan) string {
	t.Helper()
	var all []map[string]any
	for _, f := range mains {
		for _, s := range p.document(t, role(f), "policy").Statement {
			if strings.HasPrefix(s.Action[0], "s3:") {
				all = append(all, map[string]any{"Effect": "Allow", "Principal": map[string]any{"AWS": []string{f}}, "Action": s.Action, "Resource": s.Resource})
			}
		}
	}
	b, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": all})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// An s3Server is versitygw with an owner and a user for each function.
type s3Server struct{ endpoint string }

func startS3(t *testing.T) s3Server {
	t.Helper()
	program := os.Getenv("SCAMTRACE_VERSITYGW")
	if program == "" {
		var err error
		if program, err = exec.LookPath("versitygw"); err != nil {
			t.Skip("versitygw is not in PATH: go install github.com/versity/versitygw/cmd/versitygw@v1.8.0, or set SCAMTRACE_VERSITYGW to where it is")
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	cmd := exec.Command(program, "--port", addr, "--access", "owner", "--secret", "testtest", "--quiet", "--iam-dir", t.TempDir(),
		"posix", "--sidecar", t.TempDir(), t.TempDir()) // a policy of this length fits no extended attribute
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
	})
	s := s3Server{"http://" + addr}
	for _, f := range mains {
		for {
			out, err := exec.Command(program, "admin", "--access", "owner", "--secret", "testtest", "--endpoint-url", s.endpoint,
				"create-user", "--access", f, "--secret", "testtest", "--role", "user").CombinedOutput()
			if err == nil {
				break
			}
			if !bytes.Contains(out, []byte("connection refused")) { // else it is about to listen
				t.Fatalf("make the user %s: %v\n%s", f, err, out)
			}
			select {
			case err := <-ended:
				ended <- err
				t.Fatalf("the server ended: %v", err)
			default:
			}
		}
	}
	return s
}

// as is the server as a user sees it.
func (s s3Server) as(user string) aws.Config {
	return aws.Config{
		Region: "us-east-1", BaseEndpoint: &s.endpoint, RetryMaxAttempts: 1,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: user, SecretAccessKey: "testtest"}, nil
		}),
	}
}

// publicData makes the made-up chain known, and its node.
func publicData(t *testing.T, w *devnet.World, url string) map[string][]byte {
	t.Helper()
	encode := func(v any) []byte {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	c := devnet.Chain()
	var labels, prices strings.Builder
	fmt.Fprintln(&labels, "chain,address,name,category,confidence")
	for _, s := range w.Services {
		for _, a := range s.Addresses {
			fmt.Fprintf(&labels, "%d,%s,%s,%s,100\n", c.ID, a.Hex(), s.Name, s.Category)
		}
	}
	fmt.Fprintln(&prices, "asset,time,usd")
	for day, p := range w.Prices {
		fmt.Fprintf(&prices, "%s,%d,%s\n", tracer.NativeOf(c.ID), w.Blocks[0].Time+uint64(day)*86_400, p.Decimal())
	}
	return map[string][]byte{
		"public/chains.json": encode([]map[string]any{{
			"id": c.ID, "name": c.Name, "title": c.Title, "symbol": c.Symbol, "decimals": c.Decimals,
			"blockSeconds": c.BlockTime.Seconds(), "finalityDepth": c.FinalityDepth, "tokens": c.Tokens,
		}}),
		"public/labels/devnet.csv": []byte(labels.String()),
		"public/prices/devnet.csv": []byte(prices.String()),
		"private/rpc.json":         encode(map[string]string{c.Name: url}),
	}
}

type jobs []functions.Job

func (q *jobs) Send(_ context.Context, j functions.Job) error {
	*q = append(*q, j)
	return nil
}

type told []functions.Alert

func (q *told) Publish(_ context.Context, a functions.Alert) error {
	*q = append(*q, a)
	return nil
}

// tokens are a subject and its role, all of one workspace.
type tokens struct{}

func (tokens) Identify(_ context.Context, token string) (functions.Identity, error) {
	who, role, ok := strings.Cut(token, " ")
	if !ok {
		return functions.Identity{}, errors.New("no such token")
	}
	return functions.Identity{Workspace: "ngo", Subject: who, Roles: []functions.Role{functions.Role(role)}}, nil
}
