package evidence

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// A sum is a SHA-256.
type sum = [sha256.Size]byte

// A spool keeps texts in a temporary file, each once, by their SHA-256. It is
// safe for concurrent use.
type spool struct {
	enc *zstd.Encoder
	dec *zstd.Decoder

	mu   sync.Mutex
	file *os.File
	end  int64
	at   map[sum]place
}

// A place is where a text is; one that is packed is so in zstd.
type place struct {
	off          int64
	size, packed int32
}

func newSpool() (*spool, error) {
	f, err := os.CreateTemp("", "scamtrace-evidence-")
	if err != nil {
		return nil, fmt.Errorf("keep what nodes answer: %w", err)
	}
	s := &spool{file: f, at: make(map[sum]place)}
	// Neither can fail with these options.
	s.enc, _ = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2), zstd.WithWindowSize(1<<20))
	s.dec, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(maxLine))
	return s, nil
}

// smallest is what it is worth to compress.
const smallest = 512

// put keeps a text.
func (s *spool) put(b []byte) (sum, error) {
	key := sha256.Sum256(b)
	s.mu.Lock()
	_, known := s.at[key]
	s.mu.Unlock()
	if known {
		return key, nil
	}
	packed := b
	if len(b) >= smallest {
		packed = s.enc.EncodeAll(b, nil)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.at[key]; known {
		return key, nil
	}
	if _, err := s.file.WriteAt(packed, s.end); err != nil {
		return key, fmt.Errorf("keep what nodes answer: %w", err)
	}
	s.at[key] = place{s.end, int32(len(b)), int32(len(packed))}
	s.end += int64(len(packed))
	return key, nil
}

// get returns a text that was put.
func (s *spool) get(key sum) ([]byte, error) {
	s.mu.Lock()
	p, ok := s.at[key]
	s.mu.Unlock()
	if !ok {
		return nil, errors.New("the recording has lost an answer")
	}
	b := make([]byte, p.packed)
	if _, err := s.file.ReadAt(b, p.off); err != nil {
		return nil, fmt.Errorf("read the recording: %w", err)
	}
	if p.size < smallest {
		return b, nil
	}
	return s.dec.DecodeAll(b, make([]byte, 0, p.size))
}

func (s *spool) close() error {
	s.dec.Close()
	return errors.Join(s.enc.Close(), s.file.Close(), os.Remove(s.file.Name()))
}
