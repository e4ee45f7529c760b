package report

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// A Signer signs with one Ed25519 key. Sign returns the signature of message
// itself, or, where the message is too long for it, of its SHA-512. Readers are
// told which.
type Signer interface {
	Sign(ctx context.Context, message []byte) (signature []byte, err error)
	Public() ed25519.PublicKey
}

// A Signature is manifest.sig: who signed the exact bytes of manifest.json.
type Signature struct {
	Algorithm string `json:"algorithm"` // Ed25519 or Ed25519 of SHA-512
	PublicKey []byte `json:"publicKey"` // base64
	Signature []byte `json:"signature"` // base64
}

// verify reports whether the signature is one of message.
func (s *Signature) verify(message []byte) bool {
	if len(s.PublicKey) != ed25519.PublicKeySize {
		return false
	}
	switch s.Algorithm {
	case "Ed25519":
		return ed25519.Verify(s.PublicKey, message, s.Signature)
	case "Ed25519 of SHA-512":
		digest := sha512.Sum512(message)
		return ed25519.Verify(s.PublicKey, digest[:], s.Signature)
	}
	return false
}

// sign makes manifest.sig, and checks it before anybody else does.
func sign(ctx context.Context, s Signer, manifest []byte) ([]byte, error) {
	raw, err := s.Sign(ctx, manifest)
	if err != nil {
		return nil, fmt.Errorf("sign the manifest: %w", err)
	}
	for _, algorithm := range []string{"Ed25519", "Ed25519 of SHA-512"} {
		if sig := (Signature{algorithm, s.Public(), raw}); sig.verify(manifest) {
			return canonical(sig)
		}
	}
	return nil, errors.New("sign the manifest: the signature is not one of its key")
}

// A Key is a [Signer] whose private key is in memory.
type Key struct{ private ed25519.PrivateKey }

// Public returns the public key.
func (k Key) Public() ed25519.PublicKey { return k.private.Public().(ed25519.PublicKey) }

// Sign signs message. It never fails.
func (k Key) Sign(_ context.Context, message []byte) ([]byte, error) {
	return ed25519.Sign(k.private, message), nil
}

const pemType = "PRIVATE KEY" // PKCS #8

// OpenKey reads a key from a file (PKCS #8 in PEM). If there is no file, it
// makes a key and writes it there, readable by its owner only. It never writes
// over a file, and of two processes that make a key at once both get the same.
func OpenKey(name string) (Key, error) {
	k, err := readKey(name)
	if !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return Key{}, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return Key{}, err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return Key{}, err
	}
	tmp, err := os.CreateTemp(filepath.Dir(name), ".key-") // 0600
	if err != nil {
		return Key{}, err
	}
	defer os.Remove(tmp.Name())
	err = pem.Encode(tmp, &pem.Block{Type: pemType, Bytes: der})
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return Key{}, fmt.Errorf("write the signing key: %w", err)
	}
	// Unlike a rename, a link does not replace what somebody else made.
	if err := os.Link(tmp.Name(), name); err != nil && !errors.Is(err, fs.ErrExist) {
		return Key{}, fmt.Errorf("write the signing key: %w", err)
	}
	return readKey(name)
}

func readKey(name string) (Key, error) {
	f, err := os.Open(name)
	if err != nil {
		return Key{}, fmt.Errorf("read the signing key: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return Key{}, fmt.Errorf("read the signing key: %w", err)
	}
	if st.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows" {
		return Key{}, fmt.Errorf("the signing key %s can be read by others; make a new one, or chmod 600 if nobody did", name)
	}
	b, err := io.ReadAll(io.LimitReader(f, 64<<10))
	if err != nil {
		return Key{}, fmt.Errorf("read the signing key: %w", err)
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != pemType {
		return Key{}, fmt.Errorf("%s holds no key in PEM (%s)", name, pemType)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	private, ok := key.(ed25519.PrivateKey)
	if err != nil || !ok {
		return Key{}, fmt.Errorf("%s holds no Ed25519 key", name)
	}
	return Key{private}, nil
}

// ParsePublicKey reads an Ed25519 public key: SubjectPublicKeyInfo in PEM, as
// openssl pkey -pubout writes it, or the base64 of manifest.sig.
func ParsePublicKey(text string) (ed25519.PublicKey, error) {
	if block, _ := pem.Decode([]byte(text)); block != nil {
		if key, err := x509.ParsePKIXPublicKey(block.Bytes); err == nil {
			if public, ok := key.(ed25519.PublicKey); ok {
				return public, nil
			}
		}
	}
	if raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text)); err == nil && len(raw) == ed25519.PublicKeySize {
		return raw, nil
	}
	return nil, errors.New("this is no Ed25519 public key; give the 44 characters of publicKey in manifest.sig, or a PEM file")
}
