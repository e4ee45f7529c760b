package graphstore_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"scamtrace/graphstore"
)

// TestDirDisk fills a disk, and takes away the right to write to it: a small
// one, which a process of its own sees alone.
func TestDirDisk(t *testing.T) {
	const env = "DIR_TEST_DISK"
	if folder := os.Getenv(env); folder != "" {
		if err := errors.Join(
			syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""),
			syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=256k"),
		); err != nil {
			t.Skipf("no disk of our own: %v", err)
		}
		useDisk(t, folder)
		return
	}
	cmd := inProcess(t, env+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if id := os.Getuid(); id != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: id, Size: 1}}
	}
	out, err := cmd.Output()
	switch {
	case errors.Is(err, syscall.EPERM), err == nil && strings.Contains(string(out), "--- SKIP"):
		t.Skipf("this user may not have a disk of its own: %v %s", err, out)
	case err != nil:
		t.Errorf("%v\n%s", err, out)
	}
}

func useDisk(t *testing.T, folder string) {
	const full, readOnly = "the disk is full", "the disk cannot be written to"
	check := func(what string, err error, want string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", what, err, want)
		}
	}
	d := openDir(t, folder)
	block := make([]byte, 16<<10)
	tag, err := d.Create(t.Context(), "first", []byte("small"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for ; err == nil && n < 100; n++ {
		_, err = d.Create(t.Context(), fmt.Sprintf("k/%d", n), block)
	}
	n-- // this one was not written
	check("Create", err, full)
	if n < 8 {
		t.Errorf("the disk was full after %d objects", n)
	}
	_, err = d.Replace(t.Context(), "first", block, tag)
	check("Replace", err, full)
	if data, _, err := d.Get(t.Context(), "first"); err != nil || string(data) != "small" {
		t.Errorf("after a Replace without room, Get = %q, %v", data, err)
	}
	keys := 0
	for key, err := range d.List(t.Context(), "k/", "") {
		if data, _, getErr := d.Get(t.Context(), key); err != nil || getErr != nil || len(data) != len(block) {
			t.Errorf("%s has %d bytes, %v, %v", key, len(data), err, getErr)
		}
		keys++
	}
	if keys != n {
		t.Errorf("%d objects, want %d", keys, n)
	}
	if err := d.Delete(t.Context(), "k/0"); err != nil {
		t.Error(err)
	}
	if tag, err = d.Replace(t.Context(), "first", block[:8<<10], tag); err != nil {
		t.Errorf("with room again: %v", err)
	}

	if err := d.Close(); err != nil { // a file open for writing would hold it
		t.Fatal(err)
	}
	d = openDir(t, folder)
	if err := syscall.Mount("", folder, "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if data, _, err := d.Get(t.Context(), "first"); err != nil || len(data) != 8<<10 {
		t.Errorf("Get = %d bytes, %v", len(data), err)
	}
	_, err = d.Create(t.Context(), "second", nil)
	check("Create", err, readOnly)
	_, err = d.Replace(t.Context(), "first", nil, tag)
	check("Replace", err, readOnly)
	check("Delete", d.Delete(t.Context(), "first"), readOnly)
	d.Close()
	_, err = graphstore.OpenDir(folder)
	check("OpenDir", err, readOnly)
}

// TestDirForbidden opens a folder that the user may not write to.
func TestDirForbidden(t *testing.T) {
	const env = "DIR_TEST_FORBIDDEN"
	if folder := os.Getenv(env); folder != "" {
		if os.Getuid() == 0 { // who may everything
			if err := syscall.Setuid(65534); err != nil {
				t.Fatal(err)
			}
		}
		_, err := graphstore.OpenDir(folder)
		if err == nil || !strings.HasPrefix(err.Error(), "open folder "+folder+": this user may not: ") {
			t.Errorf("OpenDir = %v", err)
		}
		return
	}
	folder := t.TempDir()
	if err := os.Chmod(folder, 0o500); err != nil {
		t.Fatal(err)
	}
	if err := inProcess(t, env+"="+folder).Run(); err != nil {
		t.Error(err)
	}
}
