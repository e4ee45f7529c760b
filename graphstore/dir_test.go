package graphstore_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"scamtrace/graphstore"
	"scamtrace/graphstore/buckettest"
)

func openDir(t *testing.T, folder string) *graphstore.Dir {
	t.Helper()
	d, err := graphstore.OpenDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func TestDir(t *testing.T) {
	buckettest.Test(t, func(t *testing.T) graphstore.Bucket { return openDir(t, t.TempDir()) })
	buckettest.TestLinks(t, func(t *testing.T, now func() time.Time) graphstore.Bucket {
		d := openDir(t, t.TempDir())
		d.Now = now
		return d
	})
}

// TestDirFiles checks how objects lie in the folder, and that what else is in
// it is left alone.
func TestDirFiles(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "new", "folder")
	d := openDir(t, folder)
	if _, err := d.Create(t.Context(), "a/b", []byte("object")); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(filepath.Join(folder, "a", "b")); err != nil || string(data) != "object" {
		t.Errorf("the file holds %q, %v", data, err)
	}
	for name, want := range map[string]fs.FileMode{"": fs.ModeDir | 0o700, "a": fs.ModeDir | 0o700, "a/b": 0o600, ".scamtrace/link.key": 0o600, ".scamtrace/lock": 0o600} {
		st, err := os.Stat(filepath.Join(folder, name))
		if err != nil || st.Mode() != want && runtime.GOOS != "windows" {
			t.Errorf("%q: mode %v, %v, want %v", name, st.Mode(), err, want)
		}
	}

	outside := filepath.Join(t.TempDir(), "outside")
	if err := errors.Join(
		os.WriteFile(outside, []byte("of another"), 0o600),
		os.Symlink(outside, filepath.Join(folder, "a", "link")),
		os.Symlink(filepath.Dir(outside), filepath.Join(folder, "away")),
		os.WriteFile(filepath.Join(folder, ".DS_Store"), nil, 0o600),
	); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"a/link", "away/outside"} {
		if data, _, err := d.Get(t.Context(), key); err == nil {
			t.Errorf("Get(%q), which leads out of the folder, is %q", key, data)
		}
		if _, err := d.Replace(t.Context(), key, []byte("x"), "x"); err == nil {
			t.Errorf("Replace(%q), which leads out of the folder", key)
		}
	}
	if _, err := d.Create(t.Context(), "away/new", nil); err == nil {
		t.Error("created an object out of the folder")
	}
	for key, err := range d.List(t.Context(), "", "") {
		if key != "a/b" || err != nil {
			t.Errorf("List yields %q, %v", key, err)
		}
	}
	if entries, err := os.ReadDir(filepath.Dir(outside)); err != nil || len(entries) != 1 {
		t.Errorf("out of the folder there are %v, %v", entries, err)
	}
	// A file that grew too big while nobody looked is not read.
	if err := os.Truncate(filepath.Join(folder, "a", "b"), graphstore.MaxObject+1); err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.Get(t.Context(), "a/b"); err == nil || !strings.Contains(err.Error(), "at most") {
		t.Errorf("Get of a file that is too big: %v", err)
	}
}

func TestDirOneProcess(t *testing.T) {
	folder := t.TempDir()
	d := openDir(t, folder)
	if d, err := graphstore.OpenDir(folder); err == nil {
		d.Close()
		t.Fatal("opened a folder twice")
	} else if want := "open folder " + folder + ": another scamtrace is using it: stop that one, or choose another folder"; err.Error() != want {
		t.Errorf("OpenDir = %v, want %s", err, want)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	openDir(t, folder)
}

// TestDirLinksLive checks that links outlive the process, but not the key that
// signs them, and that nothing but GET and HEAD has an effect.
func TestDirLinksLive(t *testing.T) {
	folder := t.TempDir()
	d := openDir(t, folder)
	if _, err := d.Create(t.Context(), "k", []byte("object")); err != nil {
		t.Fatal(err)
	}
	link, err := d.Link(t.Context(), "k", "name.html", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	status := func(d *graphstore.Dir, method string) int {
		w := httptest.NewRecorder()
		d.ServeHTTP(w, httptest.NewRequest(method, link, nil))
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Content-Security-Policy": "default-src 'none'; sandbox"} {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", method, name, got, want)
			}
		}
		return w.Code
	}
	for method, want := range map[string]int{"GET": 200, "HEAD": 200, "POST": 405, "PUT": 405, "DELETE": 405} {
		if got := status(d, method); got != want {
			t.Errorf("%s: status %d, want %d", method, got, want)
		}
	}
	d.Close()
	d = openDir(t, folder)
	if got := status(d, "GET"); got != 200 {
		t.Errorf("after the folder was opened again: status %d", got)
	}
	if got := status(openDir(t, t.TempDir()), "GET"); got != 403 {
		t.Errorf("in another folder: status %d, want 403", got)
	}
}

// inProcess runs the test that calls it once more, alone, in a process with
// one more environment variable.
func inProcess(t *testing.T, env string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), env)
	cmd.Stderr = t.Output()
	return cmd
}

// TestDirKilled kills a process that writes, over and over. What a write had
// answered is there afterwards, and everything that is there is whole.
func TestDirKilled(t *testing.T) {
	const env = "DIR_TEST_KILLED"
	content := func(n int) []byte { return bytes.Repeat(fmt.Appendf(nil, "%d,", n), 10_000) }
	if folder := os.Getenv(env); folder != "" {
		writeForever(t, folder, content)
	}
	folder := t.TempDir()
	for round := range 25 {
		cmd := inProcess(t, env+"="+folder)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		acks := 0
		last := map[string]int{} // what was done last, by kind
		for lines := bufio.NewScanner(out); lines.Scan(); {
			what, number, ok := strings.Cut(lines.Text(), " ack ")
			if !ok {
				continue
			}
			n, err := strconv.Atoi(number)
			if err != nil {
				t.Fatal(err)
			}
			last[what] = n
			if acks == 0 {
				if d, err := graphstore.OpenDir(folder); err == nil {
					d.Close()
					t.Fatal("opened a folder that another process writes to")
				}
			}
			if acks++; acks == round+1 {
				cmd.Process.Kill()
			}
		}
		cmd.Wait()
		if acks <= round {
			t.Fatalf("round %d: the process ended after %d writes", round, acks)
		}

		d := openDir(t, folder)
		data, _, err := d.Get(t.Context(), "counter")
		n, _, _ := strings.Cut(string(data), ",")
		if count, convErr := strconv.Atoi(n); err != nil || convErr != nil || !bytes.Equal(data, content(count)) || count < last["replaced"] {
			t.Errorf("round %d: the counter is %d bytes of %q, %v, after %d was written", round, len(data), n, err, last["replaced"])
		}
		found := map[string]bool{}
		for key, err := range d.List(t.Context(), "", "") {
			if err != nil {
				t.Fatal(err)
			}
			found[key] = true
			data, _, err := d.Get(t.Context(), key)
			n, _, _ := strings.Cut(string(data), ",")
			if i, convErr := strconv.Atoi(n); err != nil || convErr != nil || !bytes.Equal(data, content(i)) {
				t.Errorf("round %d: %s is %d bytes of %q, %v", round, key, len(data), n, err)
			}
		}
		for what, n := range last {
			if key := fmt.Sprintf("k/%d/object", n); what == "created" && !found[key] || what == "deleted" && found[key] {
				t.Errorf("round %d: %s %s, but %s is there: %v", round, what, key, key, found[key])
			}
		}
		if temps, err := os.ReadDir(filepath.Join(folder, ".scamtrace", "temp")); err != nil || len(temps) > 0 {
			t.Errorf("round %d: temporary files %v, %v are left", round, temps, err)
		}
		d.Close()
	}
}

// writeForever creates, replaces and deletes, and says so after each.
func writeForever(t *testing.T, folder string, content func(int) []byte) {
	d := openDir(t, folder)
	must := func(err error, what string, n int) {
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("\n%s ack %d\n", what, n)
	}
	n := 0
	_, tag, err := d.Get(t.Context(), "counter")
	if errors.Is(err, fs.ErrNotExist) {
		tag, err = d.Create(t.Context(), "counter", content(0))
	}
	if err != nil {
		t.Fatal(err)
	}
	for key := range d.List(t.Context(), "k/", "") {
		i, _ := strconv.Atoi(strings.Split(key, "/")[1])
		n = max(n, i+1)
	}
	for ; ; n++ {
		_, err := d.Create(t.Context(), fmt.Sprintf("k/%d/object", n), content(n))
		must(err, "created", n)
		tag, err = d.Replace(t.Context(), "counter", content(n), tag)
		must(err, "replaced", n)
		if n >= 2 {
			must(d.Delete(t.Context(), fmt.Sprintf("k/%d/object", n-2)), "deleted", n-2)
		}
	}
}
