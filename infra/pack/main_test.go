package main

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// module writes a module with two functions and a package that is none.
func module(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "src")
	for name, text := range map[string]string{
		"go.mod":                   "module example.org/m\n\ngo 1.26\n",
		"functions/app.go":         "package functions\n\nimport \"runtime\"\n\nfunc Where() string { _, file, _, _ := runtime.Caller(0); return file }\n",
		"functions/submit/main.go": "package main\n\nimport \"example.org/m/functions\"\n\nfunc main() { println(functions.Where(), \"submit\") }\n",
		"functions/trace/main.go":  "package main\n\nimport \"example.org/m/functions\"\n\nfunc main() { println(functions.Where(), \"trace\") }\n",
	} {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestReproducible packs the same sources in two folders.
func TestReproducible(t *testing.T) {
	var first map[string][]byte
	var dir string
	for range 2 {
		dir = module(t)
		out := filepath.Join(t.TempDir(), "dist")
		var list bytes.Buffer
		if err := run(t.Context(), dir, out, &list); err != nil {
			t.Fatal(err)
		}
		if lines := strings.Count(list.String(), "\n"); lines != 2 {
			t.Errorf("list has %d lines, want 2:\n%s", lines, list.String())
		}
		got := make(map[string][]byte)
		for _, name := range []string{"submit.zip", "trace.zip", "SHA256SUMS"} {
			data, err := os.ReadFile(filepath.Join(out, name))
			if err != nil {
				t.Fatal(err)
			}
			got[name] = data
			if first != nil && !bytes.Equal(data, first[name]) {
				t.Errorf("%s differs from that of the other folder", name)
			}
		}
		want := fmt.Sprintf("%x  submit.zip\n%x  trace.zip\n", sha256.Sum256(got["submit.zip"]), sha256.Sum256(got["trace.zip"]))
		if string(got["SHA256SUMS"]) != want {
			t.Errorf("SHA256SUMS is\n%swant\n%s", got["SHA256SUMS"], want)
		}
		if bytes.Equal(got["submit.zip"], got["trace.zip"]) {
			t.Error("both packages hold the same program")
		}
		first = got
	}
	checkArchive(t, first["submit.zip"], dir)
}

// checkArchive looks at a package of the module in dir.
func checkArchive(t *testing.T, data []byte, dir string) {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	if len(z.File) != 1 || z.File[0].Name != "bootstrap" {
		t.Fatalf("archive holds %d files, want bootstrap alone", len(z.File))
	}
	f := z.File[0]
	if f.Mode() != 0o755 {
		t.Errorf("bootstrap has mode %v, want -rwxr-xr-x", f.Mode())
	}
	if want := time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC); !f.Modified.Equal(want) {
		t.Errorf("bootstrap is of %v, want %v", f.Modified, want)
	}
	r, err := f.Open()
	if err != nil {
		t.Fatal(err)
	}
	program, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(program, []byte("\x7fELF\x02\x01")) || program[18] != 183 {
		t.Error("bootstrap is no 64-bit ELF program for arm64")
	}
	if !bytes.Contains(program, []byte("example.org/m/functions/app.go")) || bytes.Contains(program, []byte(dir)) {
		t.Error("bootstrap names its sources by the folder they were in")
	}
}

func TestNothingToPack(t *testing.T) {
	dir := module(t)
	if err := os.RemoveAll(filepath.Join(dir, "functions", "submit")); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "functions", "trace")); err != nil {
		t.Fatal(err)
	}
	err := run(t.Context(), dir, t.TempDir(), io.Discard)
	if want := "there is no command under functions/"; err == nil || err.Error() != want {
		t.Errorf("run = %v, want %s", err, want)
	}
}
