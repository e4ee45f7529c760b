package graphstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"mime"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// A Bucket keeps objects by key. It is the only database there is: everything
// a trace leaves between two moments of work lies in one. [Dir] is a Bucket in
// a folder; another is in S3.
//
// An object is whole or not there: no reader sees half a write, and once a
// write has returned, every later Get and List sees it, also after a crash.
// Of any number of writers with the same Create, or the same Replace, exactly
// one succeeds; a write that was done but whose answer was lost on the way is
// found out and is a success. Any other error leaves open whether the write
// was done: read again before going on.
//
// Methods check keys with [CheckKey] and sizes against [MaxObject], and are
// safe for concurrent use.
type Bucket interface {
	// Get returns the object and its tag, which changes when the object does
	// and means something only to Replace. Content that comes back may have
	// its old tag back. Where there is no object the error wraps fs.ErrNotExist.
	Get(ctx context.Context, key string) (data []byte, tag string, err error)

	// Create writes an object that is not there yet. Where one is, the error
	// wraps ErrExists and nothing changes, even if it holds the same bytes.
	Create(ctx context.Context, key string, data []byte) (tag string, err error)

	// Replace writes an object if it still has the tag. Where it has another
	// one, or is gone, the error wraps ErrChanged and nothing changes.
	Replace(ctx context.Context, key string, data []byte, tag string) (newTag string, err error)

	// Delete removes the object, if it is there.
	Delete(ctx context.Context, key string) error

	// List yields the keys that begin with prefix and come after the key
	// after, in the order of their bytes. Keys that come or go meanwhile may be
	// among them or not. An error is last and ends the list.
	List(ctx context.Context, prefix, after string) iter.Seq2[string, error]

	// Link returns an address at which anybody can download the object, under
	// the name filename, until life has passed; life is whole seconds, at
	// most MaxLife. It is not checked that the object exists. Whoever has the
	// address has the object: it is for one click, and in no log.
	Link(ctx context.Context, key, filename string, life time.Duration) (string, error)
}

const (
	// MaxObject is the size in bytes of the largest object. Objects are held in
	// memory whole, in functions that have little of it.
	MaxObject = 512 << 20

	// MaxKey is the length in bytes of the longest key, that of S3.
	MaxKey = 1024

	// MaxLife is the longest life of a link.
	MaxLife = 15 * time.Minute

	// maxName is the length in bytes of the longest name between two slashes
	// of a key: what file systems allow, less what encryption of names takes.
	maxName = 143
)

var (
	// ErrExists reports that there is an object where one was to be created.
	ErrExists = errors.New("object exists")

	// ErrChanged reports that an object is not any more what it was when read.
	ErrChanged = errors.New("object changed since it was read")
)

// CheckKey returns an error unless key is the key of an object: names joined by
// single slashes, together at most [MaxKey] bytes. A name has at most 143 bytes
// of UTF-8, does not begin with a dot, and has no backslash and no control
// character. So a key is the same in a folder, in S3 and in a log, and leads out
// of nowhere. No key may be the folder of another: where there is "a/b", there is
// no "a".
func CheckKey(key string) error {
	if len(key) > MaxKey {
		return fmt.Errorf("key of %d bytes: at most %d", len(key), MaxKey)
	}
	for name := range strings.SplitSeq(key, "/") {
		if err := checkName(name); err != nil {
			return fmt.Errorf("key %q: %w", key, err)
		}
	}
	return nil
}

func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("a name is empty")
	case name[0] == '.':
		return errors.New("a name begins with a dot")
	case len(name) > maxName:
		return fmt.Errorf("a name has %d bytes: at most %d", len(name), maxName)
	case !utf8.ValidString(name):
		return errors.New("it is not UTF-8")
	case strings.ContainsFunc(name, func(r rune) bool { return r == '\\' || r == '/' || unicode.IsControl(r) }):
		return errors.New("a name has a character that names do not have")
	}
	return nil
}

// Attachment checks what [Bucket].Link is asked for and returns the header
// Content-Disposition that makes a browser save an object as filename.
func Attachment(key, filename string, life time.Duration) (string, error) {
	if err := CheckKey(key); err != nil {
		return "", err
	}
	if err := checkName(filename); err != nil {
		return "", fmt.Errorf("file name %q: %w", filename, err)
	}
	if life < time.Second || life > MaxLife || life%time.Second != 0 {
		return "", fmt.Errorf("link for %v: between 1s and %v, in whole seconds", life, MaxLife)
	}
	return mime.FormatMediaType("attachment", map[string]string{"filename": filename}), nil
}
