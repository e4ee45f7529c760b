package functions

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"

	"scamtrace/graphstore"
)

// LoadAWS returns how to reach AWS, from the environment and the files of the
// AWS command line, as every program of AWS does: region, credentials,
// endpoints (AWS_ENDPOINT_URL_S3 and so on), and how often to try again
// (AWS_MAX_ATTEMPTS, 5 unless set). A server that has taken a request and says
// nothing for half a minute has failed.
func LoadAWS(ctx context.Context) (aws.Config, error) {
	client := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.ResponseHeaderTimeout = 30 * time.Second
	})
	cfg, err := config.LoadDefaultConfig(ctx, config.WithHTTPClient(client), config.WithLogger(logging.Nop{}))
	if err != nil {
		return aws.Config{}, fmt.Errorf("load the settings of AWS: %w", err)
	}
	if cfg.RetryMaxAttempts == 0 {
		cfg.RetryMaxAttempts = 5
	}
	return cfg, nil
}

// An S3 is a [graphstore.Bucket] in S3, or in a server that speaks its language
// and has conditional writes.
//
// Throttles, conflicts and lost connections are tried again. What was then
// written by whom is known by a mark on each write, unique to it: the object is
// read back, and if it has the mark of this write, this write was done.
type S3 struct {
	// Now is the clock that links and locks go by; nil means time.Now.
	Now func() time.Time

	// Lock says for how long nobody may delete an object that is created now:
	// Object Lock in governance mode, which the bucket must have. nil means that
	// none is locked, and so does no time.
	Lock func(key string) time.Duration

	bucket string
	client *s3.Client
}

var _ graphstore.Bucket = (*S3)(nil)

// NewS3 returns the Bucket with the given name. One at an endpoint of its own
// is addressed by path.
func NewS3(cfg aws.Config, bucket string) *S3 {
	return &S3{bucket: bucket, client: s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.UsePathStyle = o.BaseEndpoint != nil
		o.Retryer = retry.AddWithErrorCodes(o.Retryer, "ConditionalRequestConflict")
	})}
}

// Get implements [graphstore.Bucket].
func (b *S3) Get(ctx context.Context, key string) (data []byte, tag string, err error) {
	if err := graphstore.CheckKey(key); err != nil {
		return nil, "", fmt.Errorf("get: %w", err)
	}
	err = whole(ctx, func() error {
		data, tag, err = b.get(ctx, key)
		return err
	})
	if err != nil {
		return nil, "", fmt.Errorf("get %s: %w", key, err)
	}
	return data, tag, nil
}

var errBroken = errors.New("the answer is not whole")

// whole has f read something again, twice at most, if its answer broke off or
// was spoiled: the client tries again for an answer, but not for its body.
func whole(ctx context.Context, f func() error) (err error) {
	for range 3 {
		err = f()
		_, spoiled := errors.AsType[*smithy.DeserializationError](err)
		if !spoiled && !errors.Is(err, errBroken) || ctx.Err() != nil {
			break
		}
	}
	return err
}

func (b *S3) get(ctx context.Context, key string) ([]byte, string, error) {
	out, err := b.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.bucket, Key: &key})
	if _, ok := errors.AsType[*types.NoSuchKey](err); ok {
		return nil, "", fs.ErrNotExist
	}
	if err != nil {
		return nil, "", err
	}
	defer out.Body.Close()
	size := aws.ToInt64(out.ContentLength)
	if size > graphstore.MaxObject {
		return nil, "", fmt.Errorf("object of %d bytes: at most %d", size, graphstore.MaxObject)
	}
	data := bytes.NewBuffer(make([]byte, 0, max(0, size)+bytes.MinRead))
	// The client compares the checksum when the end is reached.
	if _, err := data.ReadFrom(io.LimitReader(out.Body, graphstore.MaxObject+1)); err != nil {
		return nil, "", fmt.Errorf("%w: %w", errBroken, err)
	}
	if data.Len() > graphstore.MaxObject {
		return nil, "", fmt.Errorf("object of more than %d bytes", graphstore.MaxObject)
	}
	return data.Bytes(), aws.ToString(out.ETag), nil
}

// Create implements [graphstore.Bucket].
func (b *S3) Create(ctx context.Context, key string, data []byte) (string, error) {
	in := &s3.PutObjectInput{Key: &key, IfNoneMatch: aws.String("*")}
	if b.Lock != nil {
		if d := b.Lock(key); d > 0 {
			in.ObjectLockMode = types.ObjectLockModeGovernance
			in.ObjectLockRetainUntilDate = aws.Time(b.now().Add(d))
		}
	}
	tag, err := b.put(ctx, in, data, graphstore.ErrExists)
	if err != nil {
		return "", fmt.Errorf("create %s: %w", key, err)
	}
	return tag, nil
}

func (b *S3) now() time.Time {
	if b.Now == nil {
		return time.Now()
	}
	return b.Now()
}

// Replace implements [graphstore.Bucket].
func (b *S3) Replace(ctx context.Context, key string, data []byte, tag string) (string, error) {
	newTag, err := b.put(ctx, &s3.PutObjectInput{Key: &key, IfMatch: &tag}, data, graphstore.ErrChanged)
	if err != nil {
		return "", fmt.Errorf("replace %s: %w", key, err)
	}
	return newTag, nil
}

// markIn is the name under which an object keeps the mark of its write.
const markIn = "write"

// put writes data on the condition in in; unmet is the error if it is not met.
func (b *S3) put(ctx context.Context, in *s3.PutObjectInput, data []byte, unmet error) (string, error) {
	if err := graphstore.CheckKey(*in.Key); err != nil {
		return "", err
	}
	if len(data) > graphstore.MaxObject {
		return "", fmt.Errorf("object of %d bytes: at most %d", len(data), graphstore.MaxObject)
	}
	if in.IfMatch != nil && !isTag(*in.IfMatch) { // "" and "*" would match everything
		return "", unmet
	}
	mark, sum := rand.Text(), sha256.Sum256(data)
	in.Bucket = &b.bucket
	in.Body = bytes.NewReader(data)
	// In a header: what the client does by itself comes after the body over TLS,
	// which not every server knows.
	in.ChecksumSHA256 = aws.String(base64.StdEncoding.EncodeToString(sum[:]))
	in.Metadata = map[string]string{markIn: mark}
	out, err := b.client.PutObject(ctx, in)
	if err == nil {
		return aws.ToString(out.ETag), nil
	}

	// Whatever this says, a try before it may have been done.
	head, headErr := b.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &b.bucket, Key: in.Key})
	if headErr == nil && head.Metadata[markIn] == mark {
		return aws.ToString(head.ETag), nil
	}
	if _, gone := errors.AsType[*types.NotFound](headErr); headErr != nil && !gone {
		return "", fmt.Errorf("%w, and then: %w", err, headErr)
	}
	switch code := codeOf(err); {
	case code == "PreconditionFailed", code == "NoSuchKey" && in.IfMatch != nil:
		return "", unmet
	}
	return "", err
}

// isTag says whether tag is one entity tag as S3 gives them.
func isTag(tag string) bool {
	inner, ok := strings.CutPrefix(tag, `"`)
	inner, ok2 := strings.CutSuffix(inner, `"`)
	return ok && ok2 && inner != "" && !strings.ContainsAny(inner, `", `)
}

func codeOf(err error) string {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return e.ErrorCode()
	}
	return ""
}

// Delete implements [graphstore.Bucket].
func (b *S3) Delete(ctx context.Context, key string) error {
	err := graphstore.CheckKey(key)
	if err == nil {
		_, err = b.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &b.bucket, Key: &key})
	}
	if err != nil {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	return nil
}

// List implements [graphstore.Bucket]. Objects of others whose keys are none
// for [graphstore.CheckKey] are left out.
func (b *S3) List(ctx context.Context, prefix, after string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		in := &s3.ListObjectsV2Input{Bucket: &b.bucket, Prefix: &prefix}
		if after != "" {
			in.StartAfter = &after
		}
		for pages := s3.NewListObjectsV2Paginator(b.client, in); pages.HasMorePages(); {
			var page *s3.ListObjectsV2Output
			err := whole(ctx, func() (err error) {
				page, err = pages.NextPage(ctx)
				return err
			})
			if err != nil {
				yield("", fmt.Errorf("list %q: %w", prefix, err))
				return
			}
			for _, o := range page.Contents {
				if key := aws.ToString(o.Key); graphstore.CheckKey(key) == nil && !yield(key, nil) {
					return
				}
			}
		}
	}
}

// Link implements [graphstore.Bucket]. It ends earlier when the credentials
// that sign it do.
func (b *S3) Link(ctx context.Context, key, filename string, life time.Duration) (string, error) {
	disposition, err := graphstore.Attachment(key, filename, life)
	if err != nil {
		return "", fmt.Errorf("link: %w", err)
	}
	req, err := s3.NewPresignClient(b.client).PresignGetObject(ctx, &s3.GetObjectInput{
		Bucket:                     &b.bucket,
		Key:                        &key,
		ResponseCacheControl:       aws.String("no-store"),
		ResponseContentDisposition: &disposition,
		ResponseContentType:        aws.String("application/octet-stream"),
	}, func(o *s3.PresignOptions) {
		o.Expires = life
		if b.Now != nil {
			o.Presigner = clock{o.Presigner, b.Now}
		}
	})
	if err != nil {
		return "", fmt.Errorf("link to %s: %w", key, err)
	}
	return req.URL, nil
}

// A clock is a signer that goes by another clock.
type clock struct {
	s3.HTTPPresignerV4
	now func() time.Time
}

func (c clock) PresignHTTP(ctx context.Context, creds aws.Credentials, r *http.Request, hash, service, region string, _ time.Time, opts ...func(*v4.SignerOptions)) (string, http.Header, error) {
	return c.HTTPPresignerV4.PresignHTTP(ctx, creds, r, hash, service, region, c.now(), opts...)
}
