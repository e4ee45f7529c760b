package report

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"scamtrace/tracer"
)

// A Verdict is what is known of a bundle in which everything is as it was
// written.
type Verdict struct {
	Manifest Manifest
	SHA256   string            // of manifest.json, in hexadecimal: one number for the whole bundle
	Signer   ed25519.PublicKey // nil: not signed, so anybody can have made it
}

// What [Verify] reads at most, in bytes.
const (
	maxManifest = 4 << 20
	maxReport   = 1 << 30
)

// Verify checks the bundle in a folder; see [VerifyFS]. No link leads it out of
// the folder. Where there is no bundle, the error wraps [tracer.ErrUsage].
func Verify(dir string, key ed25519.PublicKey) (*Verdict, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("%w: %s is not a folder with a report", tracer.ErrUsage, dir)
	}
	defer root.Close()
	return VerifyFS(root.FS(), key)
}

// VerifyFS checks a bundle, without the network: that its files are those of
// the manifest, unchanged and no others; that the manifest is that of the
// report; that the signature, if there is one, is one of the manifest; and that
// every sum of the report adds up. If key is not nil, the bundle must be signed
// with it. The error names every file that was changed, is missing or was added.
func VerifyFS(fsys fs.FS, key ed25519.PublicKey) (*Verdict, error) {
	b, err := readFile(fsys, manifestName, maxManifest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: there is no manifest.json, so this is not a report of scamtrace", tracer.ErrUsage)
	} else if err != nil {
		return nil, err
	}
	var m Manifest
	if err := decode(b, &m); err != nil {
		return nil, fmt.Errorf("manifest.json was changed, or is of another version of scamtrace: %w", err)
	}
	if m.Schema != BundleSchema || m.Report != Schema {
		return nil, fmt.Errorf("manifest.json is of another version of scamtrace (%s, %s)", clean(m.Schema, 40), clean(m.Report, 40))
	}
	if again, err := canonical(m); err != nil || !bytes.Equal(again, b) {
		return nil, errors.New("manifest.json was changed after the report was made")
	}
	if err := intact(fsys, m.Files); err != nil {
		return nil, err
	}
	v := &Verdict{Manifest: m, SHA256: hexSum(b)}
	if v.Signer, err = signer(fsys, b); err != nil {
		return nil, err
	}
	switch {
	case key != nil && v.Signer == nil:
		return nil, errors.New("the report is not signed")
	case key != nil && !v.Signer.Equal(key):
		return nil, errors.New("the report is signed with another key than the one that was expected")
	}
	raw, err := readFile(fsys, "report.json", maxReport)
	if err != nil {
		return nil, err
	}
	var r Report
	if err := decode(raw, &r); err != nil {
		return nil, fmt.Errorf("report.json is not a report of this version: %w", err)
	}
	if err := r.hold(); err != nil {
		return nil, fmt.Errorf("report.json is not as it should be: %w", err)
	}
	if again, err := appendJSON(make([]byte, 0, len(raw)), &r); err != nil || !bytes.Equal(again, raw) {
		return nil, errors.New("report.json was not written by scamtrace")
	}
	if again, err := canonical(manifest(&r, m.Files)); err != nil || !bytes.Equal(again, b) {
		return nil, errors.New("manifest.json was changed: it does not say what report.json says")
	}
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("report.json: %w", err)
	}
	return v, nil
}

func hexSum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// decode reads one JSON value that has no unknown keys and nothing after it.
func decode(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return errors.New(clean(err.Error(), 120))
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("something follows its end")
	}
	return nil
}

// intact holds the files of a bundle against its manifest.
func intact(fsys fs.FS, files []File) error {
	var bad []string
	say := func(name, what string) { bad = append(bad, clean(name, 80)+" "+what) }
	named := make(map[string]bool)
	last := ""
	for _, f := range files {
		if !validName(f.Name) || f.Name <= last {
			return fmt.Errorf("manifest.json was changed: it names %q", clean(f.Name, 80))
		}
		last = f.Name
		named[f.Name] = true
		switch changed, err := differs(fsys, f); {
		case errors.Is(err, fs.ErrNotExist):
			say(f.Name, "is missing")
		case err != nil:
			say(f.Name, "cannot be read")
		case changed:
			say(f.Name, "was changed after the report was made")
		}
	}
	if !named["report.json"] {
		return errors.New("manifest.json was changed: it does not name report.json")
	}
	err := fs.WalkDir(fsys, ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			say(name, "cannot be read")
		case !e.IsDir() && !named[name] && name != manifestName && name != signatureName:
			say(name, "was added to the report")
		}
		if len(bad) > 20 {
			return fs.SkipAll
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(bad) == 0 {
		return nil
	}
	slices.Sort(bad)
	if n := len(bad); n > 5 {
		bad = append(bad[:5], fmt.Sprintf("and %d more", n-5))
	}
	return errors.New(strings.Join(bad, "; "))
}

// differs reports whether a file is not the one that the manifest names. It
// reads no more of it than that one has.
func differs(fsys fs.FS, f File) (bool, error) {
	st, err := fs.Stat(fsys, f.Name) // before it is opened: a pipe would wait
	if err != nil {
		return false, err
	}
	if !st.Mode().IsRegular() || st.Size() != f.Size {
		return true, nil
	}
	file, err := fsys.Open(f.Name)
	if err != nil {
		return false, err
	}
	defer file.Close()
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(file, f.Size))
	return n != f.Size || hex.EncodeToString(h.Sum(nil)) != f.SHA256, err
}

// signer returns the key that signed the manifest, or nil where no signature is.
func signer(fsys fs.FS, manifest []byte) (ed25519.PublicKey, error) {
	b, err := readFile(fsys, signatureName, maxManifest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	var s Signature
	if err := decode(b, &s); err != nil {
		return nil, fmt.Errorf("manifest.sig was changed: %w", err)
	}
	if again, err := canonical(s); err != nil || !bytes.Equal(again, b) || !s.verify(manifest) {
		return nil, errors.New("manifest.sig is not a signature of manifest.json: one of the two was changed")
	}
	return s.PublicKey, nil
}

// readFile reads a plain file of at most most bytes.
func readFile(fsys fs.FS, name string, most int64) ([]byte, error) {
	st, err := fs.Stat(fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err != nil || !st.Mode().IsRegular() || st.Size() > most {
		return nil, fmt.Errorf("%s is not a file of at most %d bytes", name, most)
	}
	f, err := fsys.Open(name)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read", name)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read", name)
	}
	return b, nil
}
