package functions

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha512"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// A stubKMS has one key, and answers as KMS does.
type stubKMS struct {
	t    *testing.T
	key  crypto.Signer
	spec string
	lie  atomic.Bool // sign something else
}

const keyARN = "arn:aws:kms:us-east-1:123456789012:key/1234abcd"

func (s *stubKMS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	refuse := func(kind string) {
		w.WriteHeader(http.StatusBadRequest)
		json.NewEncoder(w).Encode(map[string]string{"__type": kind, "message": "no"})
	}
	var in struct {
		KeyId, MessageType, SigningAlgorithm string
		Message                              []byte
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		refuse("SerializationException")
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	switch r.Header.Get("X-Amz-Target") {
	case "TrentService.GetPublicKey":
		if in.KeyId != "alias/reports" {
			refuse("NotFoundException")
			return
		}
		der, err := x509.MarshalPKIXPublicKey(s.key.Public())
		if err != nil {
			s.t.Error(err)
		}
		json.NewEncoder(w).Encode(map[string]any{"KeyId": keyARN, "KeySpec": s.spec, "KeyUsage": "SIGN_VERIFY", "PublicKey": der})
	case "TrentService.Sign":
		if in.KeyId != keyARN || in.MessageType != "RAW" || in.SigningAlgorithm != "ED25519_SHA_512" || len(in.Message) == 0 || len(in.Message) > 4096 {
			refuse("ValidationException")
			return
		}
		if s.lie.Load() {
			in.Message = append(in.Message, '!')
		}
		sig, err := s.key.Sign(nil, in.Message, crypto.Hash(0))
		if err != nil {
			s.t.Error(err)
		}
		json.NewEncoder(w).Encode(map[string]any{"KeyId": keyARN, "Signature": sig, "SigningAlgorithm": in.SigningAlgorithm})
	default:
		refuse("UnknownOperationException")
	}
}

func TestKMS(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	stub := &stubKMS{t: t, key: private, spec: "ECC_NIST_EDWARDS25519"}
	server := &faulty{server: stub, asked: map[string]int{}}
	cfg := awsAt(t, "KMS", serve(t, server))

	server.faults = map[string][]fault{"POST": {slowDown}}
	k, err := OpenKMS(t.Context(), cfg, "alias/reports")
	if err != nil {
		t.Fatal(err)
	}
	if !public.Equal(k.Public()) {
		t.Errorf("public key %x, want %x", k.Public(), public)
	}
	longest := bytes.Repeat([]byte("m"), 4096)
	tooLong := append(longest, 'm')
	digest := sha512.Sum512(tooLong)
	for _, tt := range []struct{ message, signed []byte }{
		{[]byte("m"), []byte("m")},
		{longest, longest},
		{tooLong, digest[:]},
	} {
		server.faults = map[string][]fault{"POST": {slowDown, answerLost}}
		sig, err := k.Sign(t.Context(), tt.message)
		if err != nil {
			t.Fatal(err)
		}
		if !ed25519.Verify(public, tt.signed, sig) {
			t.Errorf("the signature of %d bytes is wrong", len(tt.message))
		}
	}

	for _, tt := range []struct {
		name   string
		faults map[string][]fault
		lie    bool
		want   string // in the error
	}{
		{"denied", map[string][]fault{"POST*": {denied}}, false, "403"},
		{"always throttled", map[string][]fault{"POST*": {slowDown}}, false, "503"},
		{"a signature of something else", nil, true, "not a signature"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server.faults = tt.faults
			stub.lie.Store(tt.lie)
			sig, err := k.Sign(t.Context(), []byte("m"))
			if sig != nil || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Sign = %x, %v, want an error with %q", sig, err, tt.want)
			}
		})
	}
	server.faults = nil
	stub.lie.Store(false)

	if _, err := OpenKMS(t.Context(), cfg, "alias/none"); err == nil {
		t.Error("opened a key that is not there")
	}
	if stub.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	stub.spec = "ECC_NIST_P256"
	if _, err := OpenKMS(t.Context(), cfg, "alias/reports"); err == nil || !strings.Contains(err.Error(), "ECC_NIST_P256") {
		t.Errorf("opened a key for ECDSA: %v", err)
	}
}
