// Pack builds the Lambda functions: for each package under functions/ with a
// main, dist/<name>.zip with one file, bootstrap, for provided.al2023 on arm64,
// and dist/SHA256SUMS over all of them.
//
// The same commit, clean, and the same Go version give the same bytes on any
// machine and in any folder: paths and build ids are left out, and the archive
// has no clock. The commit is in the program, as go version -m shows.
//
//	go run ./infra/pack [-o dist]
package main

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"context"
	"crypto/sha256"
	"debug/elf"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	aim   = 6 << 20  // bytes of a package that starts quickly
	limit = 50 << 20 // bytes that Lambda takes
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	out := flag.String("o", "dist", "write the packages to `folder`")
	flag.Parse()
	if err := run(ctx, ".", *out, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}

// run packs the functions of the module in dir into the folder out, and lists
// their sizes.
func run(ctx context.Context, dir, out string, stdout io.Writer) error {
	pkgs, err := mains(ctx, dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o777); err != nil {
		return err
	}
	var sums bytes.Buffer
	var errs []error
	for _, pkg := range pkgs {
		name := path.Base(pkg)
		program, err := build(ctx, dir, pkg)
		if err != nil {
			return fmt.Errorf("build %s: %w", name, err)
		}
		pack, err := archive(program)
		if err != nil {
			return fmt.Errorf("pack %s: %w", name, err)
		}
		if err := os.WriteFile(filepath.Join(out, name+".zip"), pack, 0o666); err != nil {
			return err
		}
		note := ""
		switch {
		case len(pack) > limit:
			errs = append(errs, fmt.Errorf("%s.zip has %d bytes: Lambda takes at most %d", name, len(pack), limit))
		case len(pack) > aim:
			note = fmt.Sprintf("  over the %d MiB that start quickly", aim>>20)
		}
		fmt.Fprintf(&sums, "%x  %s.zip\n", sha256.Sum256(pack), name)
		fmt.Fprintf(stdout, "%-9s %6.2f MiB, %6.2f MiB packed%s\n", name, mib(program), mib(pack), note)
	}
	return errors.Join(append(errs, os.WriteFile(filepath.Join(out, "SHA256SUMS"), sums.Bytes(), 0o666))...)
}

func mib(b []byte) float64 { return float64(len(b)) / (1 << 20) }

// mains returns the commands under functions/, sorted.
func mains(ctx context.Context, dir string) ([]string, error) {
	out, err := command(ctx, dir, "list", "-f", `{{if eq .Name "main"}}{{.ImportPath}}{{end}}`, "./functions/...")
	if err != nil {
		return nil, fmt.Errorf("list the functions: %w", err)
	}
	pkgs := strings.Fields(string(out))
	if len(pkgs) == 0 {
		return nil, errors.New("there is no command under functions/")
	}
	slices.Sort(pkgs)
	return pkgs, nil
}

// build returns the program of a package, which must be one that Lambda runs.
func build(ctx context.Context, dir, pkg string) ([]byte, error) {
	tmp, err := os.MkdirTemp("", "pack")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	name := filepath.Join(tmp, "bootstrap")
	_, err = command(ctx, dir, "build", "-trimpath", "-buildvcs=auto", "-tags", "lambda.norpc", "-ldflags", "-s -w -buildid=", "-o", name, pkg)
	if err != nil {
		return nil, err
	}
	program, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	f, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		return nil, err
	}
	if libs, err := f.ImportedLibraries(); f.Machine != elf.EM_AARCH64 || err != nil || len(libs) > 0 {
		return nil, fmt.Errorf("a program for %v with libraries %v (%v): want one for arm64 with none", f.Machine, libs, err)
	}
	return program, nil
}

// command runs the go command for Linux on arm64. What is set here is set so
// that the user's own settings, also those of go env -w, do not count.
func command(ctx context.Context, dir string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "GOARM64=v8.0", "CGO_ENABLED=0", "GOFLAGS=-mod=readonly", "GOEXPERIMENT=", "GOWORK=off")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, nil
}

// archive returns a zip file with the program as an executable named bootstrap.
func archive(program []byte) ([]byte, error) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) {
		return flate.NewWriter(w, flate.BestCompression)
	})
	h := &zip.FileHeader{Name: "bootstrap", Method: zip.Deflate, Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)}
	h.SetMode(0o755)
	w, err := z.CreateHeader(h)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(program); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
