package functions

import (
	"encoding/json"
	"fmt"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// localSQS starts an SQS server.
func localSQS(t *testing.T) (endpoint string) {
	t.Helper()
	const name = "local-aws-sqs"
	dir := nodeModules(t, "SCAMTRACE_SQS", name, "npm install --no-save local-aws-sqs@2.0.2")
	node := tool(t, "SCAMTRACE_NODE", "node", "install Node.js")
	addr := freeAddr(t)
	_, port, _ := strings.Cut(addr, ":")
	cmd := exec.Command(node, "-e", `require("`+name+`").createSqsServer({port: `+port+`, hostname: "127.0.0.1"})`)
	cmd.Env = append(cmd.Environ(), "NODE_PATH="+dir)
	start(t, addr, cmd)
	return "http://" + addr
}

func TestSQS(t *testing.T) {
	endpoint := localSQS(t)
	at, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	server := &faulty{server: httputil.NewSingleHostReverseProxy(at), asked: map[string]int{}}
	cfg := awsAt(t, "SQS", serve(t, server))
	client := sqs.NewFromConfig(cfg)
	// newQueue makes a queue; received takes all that can be had from it now.
	queues := 0
	newQueue := func(t *testing.T) *SQS {
		t.Helper()
		queues++
		out, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String(fmt.Sprintf("queue-%d", queues))})
		if err != nil {
			t.Fatal(err)
		}
		return NewSQS(cfg, *out.QueueUrl)
	}
	received := func(t *testing.T, q *SQS) (bodies []string) {
		t.Helper()
		for {
			out, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &q.url, MaxNumberOfMessages: 10})
			if err != nil {
				t.Fatal(err)
			}
			if len(out.Messages) == 0 {
				return bodies
			}
			for _, m := range out.Messages {
				bodies = append(bodies, *m.Body)
			}
		}
	}
	job := Job{Workspace: "ngo", Case: "0abc", Epoch: 3}

	for _, tt := range []struct {
		name   string
		faults []fault
		copies int // that arrive at least
		fails  bool
	}{
		{"sent", nil, 1, false},
		{"throttled, then sent", []fault{slowDown, neverArrives}, 1, false},
		{"sent, answer lost", []fault{answerLost}, 1, false},
		{"never sent", []fault{neverArrives, neverArrives, neverArrives, neverArrives, neverArrives}, 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q := newQueue(t)
			server.faults = map[string][]fault{"POST": tt.faults}
			if err := q.Send(t.Context(), job); (err != nil) != tt.fails {
				t.Errorf("Send: %v", err)
			}
			got := received(t, q)
			if len(got) < tt.copies {
				t.Errorf("%d messages arrived, want %d", len(got), tt.copies)
			}
			for _, body := range got {
				var j Job
				if err := json.Unmarshal([]byte(body), &j); err != nil || j != job {
					t.Errorf("message %q, %v, want %+v", body, err, job)
				}
			}
		})
	}

	t.Run("no queue", func(t *testing.T) {
		if err := NewSQS(cfg, endpoint+"/123456789012/none").Send(t.Context(), job); err == nil {
			t.Error("sent to a queue that is not there")
		}
	})
}
