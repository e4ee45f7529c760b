package graphstore

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gofrs/flock"
)

// LinkPath is the path under which a server mounts a [Dir] for its links to lead
// to.
const LinkPath = "/objects"

// What a Dir keeps for itself, in a folder that no key leads to.
const (
	ownDir  = ".scamtrace"
	lockIn  = ownDir + "/lock"
	linkKey = ownDir + "/link.key" // signs links
	tempDir = ownDir + "/temp"     // writes that are under way
)

// A Dir is a [Bucket] in a folder: the object with the key a/b is the file a/b.
// One process has it at a time.
//
// A write goes to a file apart, reaches the disk, and then takes its place in
// one step, so that a process killed, or a computer switched off, at any moment
// leaves objects whole. The file takes its place as a second link to it, which
// can be made only where there is nothing. Files belong to their user alone.
//
// Its links are paths, signed with a key that is in the folder; a Dir as an
// [http.Handler] at [LinkPath] serves them.
type Dir struct {
	// Now is the clock that links go by; nil means time.Now.
	Now func() time.Time

	root   *os.Root
	lock   *flock.Flock
	secret []byte

	mu    sync.Mutex // held for the last step of a write
	temps int        // temporary files made; under mu
}

// OpenDir opens the Bucket in the folder, which it makes if need be.
func OpenDir(folder string) (*Dir, error) {
	d := &Dir{}
	if err := d.open(folder); err != nil {
		d.Close()
		return nil, fmt.Errorf("open folder %s: %w", folder, inWords(err))
	}
	return d, nil
}

func (d *Dir) open(folder string) error {
	if err := os.MkdirAll(filepath.Join(folder, ownDir), 0o700); err != nil {
		return err
	}
	d.lock = flock.New(filepath.Join(folder, lockIn), flock.SetPermissions(0o600))
	if locked, err := d.lock.TryLock(); err != nil {
		return err
	} else if !locked {
		return errors.New("another scamtrace is using it: stop that one, or choose another folder")
	}
	var err error
	if d.root, err = os.OpenRoot(folder); err != nil {
		return err
	}
	if err := d.root.RemoveAll(tempDir); err != nil { // of a process that was killed
		return err
	}
	if err := d.root.Mkdir(tempDir, 0o700); err != nil {
		return err
	}
	if d.secret, err = d.root.ReadFile(linkKey); errors.Is(err, fs.ErrNotExist) {
		d.secret = make([]byte, 32)
		rand.Read(d.secret)
		err = d.write(linkKey, d.secret, d.root.Link)
	}
	return err
}

// Close gives the folder free for other processes.
func (d *Dir) Close() error {
	var err error
	if d.root != nil {
		err = d.root.Close()
	}
	if d.lock != nil {
		err = cmp.Or(err, d.lock.Close())
	}
	return err
}

// Get implements [Bucket].
func (d *Dir) Get(ctx context.Context, key string) ([]byte, string, error) {
	data, err := d.get(ctx, key)
	if err != nil {
		return nil, "", fmt.Errorf("get %s: %w", key, inWords(err))
	}
	return data, tagOf(data), nil
}

func (d *Dir) get(ctx context.Context, key string) ([]byte, error) {
	if err := cmp.Or(ctx.Err(), CheckKey(key)); err != nil {
		return nil, err
	}
	f, err := d.root.Open(key)
	if errors.Is(err, syscall.ENOTDIR) { // a/b, where a is an object
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, fs.ErrNotExist
	}
	if err := checkSize(st.Size()); err != nil {
		return nil, err
	}
	data := make([]byte, st.Size())
	_, err = io.ReadFull(f, data)
	return data, err
}

// Create implements [Bucket].
func (d *Dir) Create(ctx context.Context, key string, data []byte) (string, error) {
	err := cmp.Or(ctx.Err(), CheckKey(key), checkSize(int64(len(data))))
	if err == nil {
		err = d.write(key, data, func(temp, key string) error {
			if err := d.mkdir(path.Dir(key)); err != nil {
				return err
			}
			return d.root.Link(temp, key)
		})
	}
	if errors.Is(err, fs.ErrExist) {
		err = ErrExists
	}
	if err != nil {
		return "", fmt.Errorf("create %s: %w", key, inWords(err))
	}
	return tagOf(data), nil
}

// Replace implements [Bucket].
func (d *Dir) Replace(ctx context.Context, key string, data []byte, tag string) (string, error) {
	err := cmp.Or(ctx.Err(), CheckKey(key), checkSize(int64(len(data))))
	if err == nil {
		err = d.write(key, data, func(temp, key string) error {
			switch old, err := d.get(ctx, key); {
			case errors.Is(err, fs.ErrNotExist), err == nil && tagOf(old) != tag:
				return ErrChanged
			case err != nil:
				return err
			}
			return d.root.Rename(temp, key)
		})
	}
	if err != nil {
		return "", fmt.Errorf("replace %s: %w", key, inWords(err))
	}
	return tagOf(data), nil
}

// write puts data into a temporary file, on the disk, and has place put that in
// its place, alone.
func (d *Dir) write(key string, data []byte, place func(temp, key string) error) error {
	d.mu.Lock()
	d.temps++
	temp := fmt.Sprintf("%s/%d", tempDir, d.temps)
	d.mu.Unlock()

	defer d.root.Remove(temp)
	f, err := d.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = cmp.Or(err, f.Sync(), f.Close()); err != nil {
		return err
	}

	d.mu.Lock()
	defer d.mu.Unlock()
	if err := place(temp, key); err != nil {
		return err
	}
	return d.sync(path.Dir(key))
}

// mkdir makes a folder, and those that it is in, on the disk.
func (d *Dir) mkdir(dir string) error {
	err := d.root.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrNotExist) {
		if err = d.mkdir(path.Dir(dir)); err == nil {
			err = d.root.Mkdir(dir, 0o700)
		}
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return d.sync(path.Dir(dir))
}

// sync has what changed in a folder reach the disk.
func (d *Dir) sync(dir string) error {
	if runtime.GOOS == "windows" { // which does it by itself, and lets nobody ask
		return nil
	}
	f, err := d.root.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); !errors.Is(err, syscall.EINVAL) { // EINVAL: it cannot be asked
		return err
	}
	return nil
}

// Delete implements [Bucket]. Folders that are empty then go too.
func (d *Dir) Delete(ctx context.Context, key string) error {
	err := cmp.Or(ctx.Err(), CheckKey(key))
	if err == nil {
		err = d.remove(key)
	}
	if err != nil {
		return fmt.Errorf("delete %s: %w", key, inWords(err))
	}
	return nil
}

func (d *Dir) remove(key string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	st, err := d.root.Lstat(key)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || err == nil && st.IsDir() {
		return nil
	}
	if err == nil {
		err = d.root.Remove(key)
	}
	if err != nil {
		return err
	}
	dir := path.Dir(key)
	for dir != "." && d.root.Remove(dir) == nil {
		dir = path.Dir(dir)
	}
	return d.sync(dir)
}

// List implements [Bucket]. What is in the folder without being an object,
// because its name cannot be in a key, is left out.
func (d *Dir) List(ctx context.Context, prefix, after string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		dir := "."
		if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
			dir = prefix[:i]
		}
		if dir != "." && CheckKey(dir) != nil {
			return // no key has this prefix
		}
		err := d.list(ctx, dir, prefix, after, func(key string) bool { return yield(key, nil) })
		if err != nil && err != errStopped {
			yield("", fmt.Errorf("list %q: %w", prefix, inWords(err)))
		}
	}
}

var errStopped = errors.New("the caller has enough")

func (d *Dir) list(ctx context.Context, dir, prefix, after string, yield func(string) bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	entries, err := fs.ReadDir(d.root.FS(), dir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	if err != nil {
		return err
	}
	// A folder's name with its slash sorts as the keys that begin with it do.
	var names []string
	for _, e := range entries {
		switch name := path.Join(dir, e.Name()); {
		case CheckKey(name) != nil:
		case e.IsDir():
			names = append(names, name+"/")
		case e.Type().IsRegular():
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		folder, isFolder := strings.CutSuffix(name, "/")
		switch {
		case !isFolder:
			if strings.HasPrefix(name, prefix) && name > after && !yield(name) {
				return errStopped
			}
		case !strings.HasPrefix(name, prefix) && !strings.HasPrefix(prefix, name):
		case name < after && !strings.HasPrefix(after, name): // all before after
		default:
			if err := d.list(ctx, folder, prefix, after, yield); err != nil {
				return err
			}
		}
	}
	return nil
}

// Link implements [Bucket]. The address is a path, for the server that the Dir
// is mounted in.
func (d *Dir) Link(ctx context.Context, key, filename string, life time.Duration) (string, error) {
	if _, err := Attachment(key, filename, life); err != nil {
		return "", fmt.Errorf("link: %w", err)
	}
	until := strconv.FormatInt(d.now().Add(life).Unix(), 10)
	return LinkPath + "?" + d.query(key, filename, until), nil
}

// query returns the query of a link, which ends with the signature of the rest.
func (d *Dir) query(key, filename, until string) string {
	q := url.Values{"key": {key}, "name": {filename}, "until": {until}}.Encode()
	mac := hmac.New(sha256.New, d.secret)
	io.WriteString(mac, q)
	return q + "&sign=" + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// ServeHTTP serves the links that Link returned, for downloading only: what a
// file holds is never shown as a page of this server.
func (d *Dir) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("Referrer-Policy", "no-referrer")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "This address is for downloading.", http.StatusMethodNotAllowed)
		return
	}
	q := r.URL.Query()
	key, name, until := q.Get("key"), q.Get("name"), q.Get("until")
	signed := hmac.Equal([]byte(r.URL.RawQuery), []byte(d.query(key, name, until)))
	if end, err := strconv.ParseInt(until, 10, 64); !signed || err != nil || d.now().Unix() >= end {
		http.Error(w, "This link has expired, or is not whole. Open the case again for a new one.", http.StatusForbidden)
		return
	}
	data, tag, err := d.Get(r.Context(), key)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		http.Error(w, "This file is not there any more.", http.StatusNotFound)
		return
	case err != nil:
		http.Error(w, "This file cannot be read now.", http.StatusInternalServerError)
		return
	}
	disposition, _ := Attachment(key, name, MaxLife)
	h.Set("Content-Disposition", disposition)
	h.Set("Content-Type", "application/octet-stream")
	h.Set("ETag", `"`+tag+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}

func (d *Dir) now() time.Time {
	if d.Now != nil {
		return d.Now()
	}
	return time.Now()
}

func tagOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func checkSize(n int64) error {
	if n > MaxObject {
		return fmt.Errorf("object of %d bytes: at most %d", n, MaxObject)
	}
	return nil
}

// inWords says what an error of the file system means for who sees it.
func inWords(err error) error {
	switch le, ok := errors.AsType[*os.LinkError](err); {
	case ok && strings.HasPrefix(le.Op, "link") && isAny(le.Err, syscall.EPERM, syscall.EOPNOTSUPP, syscall.ENOSYS):
		return fmt.Errorf("this disk cannot hold two links to one file, choose a folder on another one: %w", err)
	case isAny(err, syscall.ENOSPC, syscall.EDQUOT):
		return fmt.Errorf("the disk is full: %w", err)
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("the disk cannot be written to: %w", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("this user may not: %w", err)
	}
	return err
}

func isAny(err error, kinds ...syscall.Errno) bool {
	return slices.ContainsFunc(kinds, func(k syscall.Errno) bool { return errors.Is(err, k) })
}
