package functions

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// TestMain sees to it that no test can reach AWS: unless a test names a server
// of its own, every service is at a port where nobody listens, and there are no
// credentials but these.
func TestMain(m *testing.M) {
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL":            "http://127.0.0.1:9",
		"AWS_REGION":                  "us-east-1",
		"AWS_ACCESS_KEY_ID":           "test",
		"AWS_SECRET_ACCESS_KEY":       "testtest",
		"AWS_EC2_METADATA_DISABLED":   "true",
		"AWS_CONFIG_FILE":             os.DevNull,
		"AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
	} {
		os.Setenv(name, value)
	}
	for _, name := range []string{"AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_SQS", "AWS_ENDPOINT_URL_SNS", "AWS_ENDPOINT_URL_KMS"} {
		os.Unsetenv(name)
	}
	os.Exit(m.Run())
}

// awsAt returns the settings with which the service, such as S3, is found at
// an endpoint, as a function in AWS would get them, but tries again at once.
func awsAt(t *testing.T, service, endpoint string) aws.Config {
	t.Helper()
	t.Setenv("AWS_ENDPOINT_URL_"+service, endpoint)
	cfg, err := LoadAWS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cfg.Retryer = func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) {
			o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
		})
	}
	return cfg
}

func TestNoTestReachesAWS(t *testing.T) {
	cfg, err := LoadAWS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var hosts []string
	cfg.HTTPClient = doer(func(r *http.Request) (*http.Response, error) {
		hosts = append(hosts, r.URL.Host)
		return http.DefaultClient.Do(r)
	})
	cfg.RetryMaxAttempts = 1
	_, s3Err := NewS3(cfg, "bucket").Create(t.Context(), "key", nil)
	_, kmsErr := OpenKMS(t.Context(), cfg, "key")
	for service, err := range map[string]error{
		"S3":  s3Err,
		"SQS": NewSQS(cfg, "https://sqs.us-east-1.amazonaws.com/123456789012/queue").Send(t.Context(), Job{}),
		"SNS": NewSNS(cfg, "arn:aws:sns:us-east-1:123456789012:topic").Publish(t.Context(), Alert{}),
		"KMS": kmsErr,
	} {
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%s: %v, want connection refused", service, err)
		}
	}
	if slices.Sort(hosts); !slices.Equal(slices.Compact(hosts), []string{"127.0.0.1:9"}) {
		t.Errorf("asked %v", hosts)
	}
}

type doer func(*http.Request) (*http.Response, error)

func (d doer) Do(r *http.Request) (*http.Response, error) { return d(r) }

// fakeS3 is an S3 server in memory, which takes whatever signature it is given.
func fakeS3() http.Handler {
	return gofakes3.New(s3mem.New(), gofakes3.WithLogger(gofakes3.DiscardLog())).Server()
}

// serve runs a server until the test ends.
func serve(t *testing.T, h http.Handler) (endpoint string) {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

// versitygw starts an S3 server that keeps its objects in files.
func versitygw(t *testing.T) (endpoint string) {
	t.Helper()
	program := tool(t, "SCAMTRACE_VERSITYGW", "versitygw", "go install github.com/versity/versitygw/cmd/versitygw@v1.8.0")
	dir := t.TempDir()
	versions := t.TempDir()
	addr := freeAddr(t)
	start(t, addr, exec.Command(program, "--port", addr, "--access", "test", "--secret", "testtest", "--quiet",
		"posix", "--versioning-dir", versions, dir))
	return "http://" + addr
}

var buckets atomic.Int32

// newBucket makes a Bucket of its own in a server of S3.
func newBucket(t *testing.T, endpoint string) *S3 {
	t.Helper()
	cfg := awsAt(t, "S3", endpoint)
	name := fmt.Sprintf("bucket-%d", buckets.Add(1))
	client := s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true })
	if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name}); err != nil {
		t.Fatal(err)
	}
	return NewS3(cfg, name)
}

// tool returns the program at the path in the environment variable env, or
// in PATH, and skips the test where there is none.
func tool(t *testing.T, env, name, install string) (path string) {
	t.Helper()
	if path := os.Getenv(env); path != "" {
		return path
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not in PATH: %s, or set %s to where it is", name, install, env)
	}
	return path
}

// nodeModules returns the folder with the npm package name in it, and skips the
// test where there is none.
func nodeModules(t *testing.T, env, name, install string) (dir string) {
	t.Helper()
	dir = os.Getenv(env)
	if dir == "" {
		dir = filepath.Join("..", "node_modules")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
		t.Skipf("%s is not in %s: %s, or set %s to the node_modules it is in", name, dir, install, env)
	}
	return dir
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// start runs a server until the test ends, and returns when it takes
// connections at addr.
func start(t *testing.T, addr string, cmd *exec.Cmd) {
	t.Helper()
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended, stop := context.WithCancelCause(context.Background())
	go func() { stop(fmt.Errorf("%s ended: %v", filepath.Base(cmd.Path), cmd.Wait())) }()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended.Done()
	})
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
			return
		}
		select {
		case <-tick.C:
		case <-ended.Done():
			t.Fatal(context.Cause(ended))
		}
	}
}
