package functions

import (
	"errors"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
)

// TestLock writes a report and a case through the settings of trace, and tries to
// delete both for good.
func TestLock(t *testing.T) {
	cfg := awsAt(t, "S3", versitygw(t))
	client := s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true })
	name := aws.String("locked")
	if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: name, ObjectLockEnabledForBucket: aws.Bool(true)}); err != nil {
		t.Fatal(err)
	}
	settings := map[string]string{"SCAMTRACE_DATA": "s3://locked", "SCAMTRACE_LOCK_DAYS": "365"}
	app, err := Open(t.Context(), func(key string) (string, bool) { v, ok := settings[key]; return v, ok }, WithLock)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Truncate(time.Second)
	app.Bucket.(*S3).Now = func() time.Time { return now }

	const folder = "workspaces/reports/cases/1/"
	for key, locked := range map[string]bool{folder + "reports/7/report.json": true, folder + "case.json": false, "personal/reports/1.json": false} {
		if _, err := app.Bucket.Create(t.Context(), key, []byte("x")); err != nil {
			t.Fatal(err)
		}
		head, err := client.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: name, Key: &key})
		if err != nil {
			t.Fatal(err)
		}
		until := aws.ToTime(head.ObjectLockRetainUntilDate)
		if locked != (head.ObjectLockMode == types.ObjectLockModeGovernance) || locked && !until.Equal(now.Add(365*24*time.Hour)) {
			t.Errorf("%s is in mode %q until %v", key, head.ObjectLockMode, until)
		}
		_, err = client.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: name, Key: &key, VersionId: head.VersionId})
		if e, ok := errors.AsType[smithy.APIError](err); locked && (!ok || e.ErrorCode() != "AccessDenied") || !locked && err != nil {
			t.Errorf("delete %s for good: %v", key, err)
		}
	}
}

// TestLockIsNotForReplaced: what may be replaced is never locked.
func TestLockIsNotForReplaced(t *testing.T) {
	b := newBucket(t, serve(t, fakeS3()))
	tag, err := b.Create(t.Context(), "key", []byte("a"))
	if err != nil {
		t.Fatal(err)
	}
	b.Lock = func(key string) time.Duration { t.Errorf("asked for a lock of %s", key); return time.Hour }
	if _, err := b.Replace(t.Context(), "key", []byte("b"), tag); err != nil {
		t.Fatal(err)
	}
}
