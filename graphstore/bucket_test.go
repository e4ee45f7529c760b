package graphstore

import (
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"
)

// FuzzKey checks that a key that passes stays where it belongs, in a folder and
// in a URL, and that one that does not pass leaves nothing behind.
func FuzzKey(f *testing.F) {
	for _, key := range []string{
		"workspaces/ngo/cases/0abc/case.json", "a b+c%20&d", "案件/報告", "a\u0301", "\u202e", "a:b", "CON", "~", "-",
		"", "/", "/etc/passwd", "..", "a/../../b", "a//b", "a/.", ".scamtrace/link.key", `a\..\b`, "C:", "a\x00b", "a\xff", "\u0085",
		strings.Repeat("n", 144), strings.Repeat("a/", 512) + "b",
	} {
		f.Add(key)
	}
	folder := f.TempDir()
	d, err := OpenDir(folder)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { d.Close() })
	f.Fuzz(func(t *testing.T, key string) {
		if bad := CheckKey(key); bad != nil {
			if _, err := d.Create(t.Context(), key, nil); err == nil {
				t.Errorf("created %q, although %v", key, bad)
			}
		} else {
			if len(key) > 1024 || !utf8.ValidString(key) || strings.ContainsAny(key, "\x00\r\n\\") ||
				slices.Contains(strings.Split(key, "/"), "..") || !fs.ValidPath(key) || !filepath.IsLocal(key) || path.Clean(key) != key {
				t.Errorf("CheckKey(%q) = nil", key)
			}
			u := url.URL{Scheme: "https", Host: "host", Path: "/bucket/" + key}
			if back, err := url.Parse(u.String()); err != nil || back.Path != u.Path || back.RawQuery != "" || back.Fragment != "" {
				t.Errorf("key %q in a URL is %q, %v", key, back, err)
			}
			if _, err := d.Create(t.Context(), key, []byte(key)); err != nil {
				t.Fatal(err)
			}
			if data, _, err := d.Get(t.Context(), key); err != nil || string(data) != key {
				t.Errorf("Get(%q) = %q, %v", key, data, err)
			}
			if data, err := os.ReadFile(filepath.Join(folder, filepath.FromSlash(key))); err != nil || string(data) != key {
				t.Errorf("the file of %q: %q, %v", key, data, err)
			}
			for got, err := range d.List(t.Context(), "", "") {
				if err != nil || got != key {
					t.Errorf("List yields %q, %v, want %q", got, err, key)
				}
			}
			if err := d.Delete(t.Context(), key); err != nil {
				t.Fatal(err)
			}
		}
		left, err := os.ReadDir(folder)
		if err != nil || len(left) != 1 || left[0].Name() != ownDir {
			t.Errorf("after key %q there are %v, %v", key, left, err)
		}
	})
}

func TestInWords(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&fs.PathError{Op: "write", Path: "f", Err: syscall.ENOSPC}, "the disk is full: "},
		{&fs.PathError{Op: "write", Path: "f", Err: syscall.EDQUOT}, "the disk is full: "},
		{&fs.PathError{Op: "openat", Path: "f", Err: syscall.EROFS}, "the disk cannot be written to: "},
		{&fs.PathError{Op: "openat", Path: "f", Err: syscall.EACCES}, "this user may not: "},
		{&os.LinkError{Op: "linkat", Old: "f", New: "g", Err: syscall.EPERM}, "this disk cannot hold two links to one file, choose a folder on another one: "},
		{&os.LinkError{Op: "renameat", Old: "f", New: "g", Err: syscall.EPERM}, "this user may not: "},
		{&fs.PathError{Op: "read", Path: "f", Err: syscall.EIO}, ""},
	} {
		got := inWords(tt.err)
		if got.Error() != tt.want+tt.err.Error() || !errors.Is(got, tt.err) {
			t.Errorf("inWords(%v) = %v", tt.err, got)
		}
	}
}
