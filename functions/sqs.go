package functions

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// An SQS is a [Queue] in SQS, which brings Jobs to a function as [App.HandleSQS]
// takes them. A Job may be sent twice when the answer of SQS is lost.
type SQS struct {
	url    string
	client *sqs.Client
}

var _ Queue = (*SQS)(nil)

// NewSQS returns the queue with the given URL.
func NewSQS(cfg aws.Config, url string) *SQS {
	return &SQS{url, sqs.NewFromConfig(cfg)}
}

// Send implements [Queue].
func (q *SQS) Send(ctx context.Context, j Job) error {
	body, err := json.Marshal(j)
	if err == nil {
		_, err = q.client.SendMessage(ctx, &sqs.SendMessageInput{
			QueueUrl:    &q.url,
			MessageBody: aws.String(string(body)),
		})
	}
	if err != nil {
		return fmt.Errorf("send the job of case %s: %w", j.Case, err)
	}
	return nil
}
