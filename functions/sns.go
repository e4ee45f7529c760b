package functions

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
)

// An SNS is [Alerts] on a topic of SNS. Programs that subscribe get the
// [Alert] as JSON, people who get e-mail its sentence.
type SNS struct {
	topic  string
	client *sns.Client
}

var _ Alerts = (*SNS)(nil)

// NewSNS returns the topic with the given ARN.
func NewSNS(cfg aws.Config, topic string) *SNS {
	return &SNS{topic, sns.NewFromConfig(cfg)}
}

// Publish implements [Alerts].
func (s *SNS) Publish(ctx context.Context, a Alert) error {
	program, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("publish alert %s: %w", a.ID, err)
	}
	message, err := json.Marshal(map[string]string{
		"default": string(program),
		"email":   fmt.Sprintf("%s\n\nCase %s of workspace %s, report as of block %d.\n", a.Sentence, a.Case, a.Workspace, a.Block),
	})
	if err != nil {
		return fmt.Errorf("publish alert %s: %w", a.ID, err)
	}
	if _, err := s.client.Publish(ctx, &sns.PublishInput{
		TopicArn:         &s.topic,
		Subject:          aws.String("scamtrace: traced money moved"),
		Message:          aws.String(string(message)),
		MessageStructure: aws.String("json"),
	}); err != nil {
		return fmt.Errorf("publish alert %s: %w", a.ID, err)
	}
	return nil
}
