package functions

import (
	"archive/zip"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"scamtrace/tracer/report"
)

// TestPipelineInAWS runs a case in servers of S3, SQS and KMS, to which every
// third request goes wrong. Its reports are those of an undisturbed run in a
// folder, and are signed.
func TestPipelineInAWS(t *testing.T) {
	s3Endpoint, sqsEndpoint := versitygw(t), localSQS(t)
	public, private, err := ed25519.GenerateKey(rand.NewChaCha8([32]byte{}))
	if err != nil {
		t.Fatal(err)
	}
	signer, err := OpenKMS(t.Context(), awsAt(t, "KMS", serve(t, &stubKMS{t: t, key: private, spec: "ECC_NIST_EDWARDS25519"})), "alias/reports")
	if err != nil {
		t.Fatal(err)
	}

	calm := newScene(t)
	calm.App.Signer = signer
	id := calm.submit(alice, 1)
	calm.settle()
	want := calm.reports("ngo", id)

	sqsConfig := awsAt(t, "SQS", sqsEndpoint)
	client := sqs.NewFromConfig(sqsConfig)
	for seed := range uint64(5) {
		made, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String(fmt.Sprintf("jobs-%d", seed))})
		if err != nil {
			t.Fatal(err)
		}
		s := newScene(t)
		good := newBucket(t, s3Endpoint)
		for key, data := range publicData(t, s.world) {
			if _, err := good.Create(t.Context(), key, data); err != nil {
				t.Fatal(err)
			}
		}
		s.bucket = good
		s.App = s.newApp()
		s.App.Queue, s.App.Signer, s.App.Turn = NewSQS(sqsConfig, *made.QueueUrl), signer, time.Second/2
		if got := s.submit(alice, 1); got != id {
			t.Fatalf("case %s, want %s", got, id)
		}

		bad := unreliable(t, s3Endpoint, seed)
		s.App.Bucket = NewS3(awsAt(t, "S3", serve(t, bad)), good.bucket)
		for failed := 0; ; {
			out, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: made.QueueUrl})
			if err != nil {
				t.Fatal(err)
			}
			if len(out.Messages) == 0 {
				break
			}
			m := out.Messages[0]
			var j Job
			if err := json.Unmarshal([]byte(*m.Body), &j); err != nil {
				t.Fatal(err)
			}
			for err = s.Work(t.Context(), j); err != nil; err = s.Work(t.Context(), j) {
				if failed++; failed > 100 {
					t.Fatal(err)
				}
			}
			if _, err := client.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: made.QueueUrl, ReceiptHandle: m.ReceiptHandle}); err != nil {
				t.Fatal(err)
			}
		}
		s.App.Bucket = good
		if c := s.find1("ngo", id); c.Status != StatusDone {
			t.Fatalf("seed %d: the case is %s: %s", seed, c.Status, c.Reason)
		}
		if differ(t, s.reports("ngo", id), want) {
			t.Fatalf("seed %d: %d of %d requests to S3 went wrong", seed, bad.spoiled, bad.requests)
		}
		if bad.spoiled == 0 {
			t.Errorf("seed %d: none of %d requests to S3 went wrong", seed, bad.requests)
		}
	}

	var whole string
	for name, data := range want {
		if strings.HasSuffix(name, "/"+bundleName) {
			whole = data
		}
	}
	bundle, err := zip.NewReader(strings.NewReader(whole), int64(len(whole)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := report.VerifyFS(bundle, public); err != nil {
		t.Error(err)
	}
}

// An unreliableServer is a proxy to a server; one request in three goes wrong.
type unreliableServer struct {
	server            http.Handler
	rng               *rand.Rand
	requests, spoiled int
	turn              chan struct{} // requests go one by one
}

func unreliable(t *testing.T, endpoint string, seed uint64) *unreliableServer {
	t.Helper()
	at, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	return &unreliableServer{server: httputil.NewSingleHostReverseProxy(at), rng: rand.New(rand.NewPCG(seed, 0)), turn: make(chan struct{}, 1)}
}

func (s *unreliableServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	s.requests++
	serve := fault(passed)
	if s.rng.IntN(3) == 0 {
		s.spoiled++
		serve = []fault{slowDown, neverArrives, answerLost, answerLost}[s.rng.IntN(4)]
	}
	serve(w, r, s.server)
}
