package functions

import (
	"context"
	"crypto/ed25519"
	"crypto/sha512"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"scamtrace/tracer/report"
)

// maxSigned is the length in bytes of the longest message that KMS signs.
const maxSigned = 4096

// A KMS is a [report.Signer] with a key that never leaves KMS: one of the kind
// ECC_NIST_EDWARDS25519, for signing. It is safe for concurrent use.
type KMS struct {
	key    string // ARN
	public ed25519.PublicKey
	client *kms.Client
}

var _ report.Signer = (*KMS)(nil)

// OpenKMS returns the signer with a key, which is named by its id, its ARN or
// an alias, and reads its public half. The signer stays with that key when the
// alias moves to another.
func OpenKMS(ctx context.Context, cfg aws.Config, key string) (*KMS, error) {
	client := kms.NewFromConfig(cfg)
	out, err := client.GetPublicKey(ctx, &kms.GetPublicKeyInput{KeyId: &key})
	if err != nil {
		return nil, fmt.Errorf("open the signing key: %w", err)
	}
	parsed, err := x509.ParsePKIXPublicKey(out.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("open the signing key: %w", err)
	}
	public, ok := parsed.(ed25519.PublicKey)
	if !ok || out.KeyUsage != types.KeyUsageTypeSignVerify {
		return nil, fmt.Errorf("open the signing key: it is %s for %s, not Ed25519 for signing", out.KeySpec, out.KeyUsage)
	}
	return &KMS{aws.ToString(out.KeyId), public, client}, nil
}

// Public returns the public key.
func (k *KMS) Public() ed25519.PublicKey { return k.public }

// Sign implements [report.Signer]. For a message of more than 4,096 bytes it
// returns the signature of its SHA-512: what KMS offers for them, Ed25519ph of a
// digest, hashes that digest once more, and is not Ed25519ph of the message. A
// signature that the public key does not verify is an error.
func (k *KMS) Sign(ctx context.Context, message []byte) ([]byte, error) {
	if len(message) > maxSigned {
		digest := sha512.Sum512(message)
		message = digest[:]
	}
	out, err := k.client.Sign(ctx, &kms.SignInput{
		KeyId:            &k.key,
		Message:          message,
		MessageType:      types.MessageTypeRaw,
		SigningAlgorithm: types.SigningAlgorithmSpecEd25519Sha512,
	})
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	if !ed25519.Verify(k.public, message, out.Signature) {
		return nil, errors.New("sign: what KMS returned is not a signature of the message")
	}
	return out.Signature, nil
}
