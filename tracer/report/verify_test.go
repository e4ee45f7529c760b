package report

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"

	"scamtrace/tracer"
)

// key is a key that never changes, so that signatures do not.
func key(first byte) Key {
	seed := make([]byte, ed25519.SeedSize)
	seed[0] = first
	return Key{ed25519.NewKeyFromSeed(seed)}
}

// bundle is the signed bundle of a small case, as a file system.
func bundle(t *testing.T, s Signer) fstest.MapFS {
	t.Helper()
	files, err := Bundle(t.Context(), small(t), s)
	if err != nil {
		t.Fatal(err)
	}
	fsys := fstest.MapFS{}
	for _, f := range files {
		fsys[f.Name] = &fstest.MapFile{Data: f.Data, Mode: 0o644}
	}
	return fsys
}

func TestVerify(t *testing.T) {
	signed, plain := bundle(t, key(1)), bundle(t, nil)
	v, err := VerifyFS(signed, nil)
	if err != nil || !v.Signer.Equal(key(1).Public()) || len(v.Manifest.Files) != len(writers()) || v.SHA256 != hexSum(signed[manifestName].Data) {
		t.Fatalf("VerifyFS = %+v, %v", v, err)
	}
	if v.Manifest.Status != "partial" || v.Manifest.Counts.Wallets == 0 || v.Manifest.Chains[0].Endpoints[0] != "node.example" {
		t.Errorf("the manifest says %+v", v.Manifest)
	}
	if bytes.Contains(signed[manifestName].Data, []byte("the-key")) || bytes.Contains(signed["report.json"].Data, []byte("the-key")) {
		t.Error("the key of the endpoint is in the bundle")
	}
	if v, err := VerifyFS(signed, key(1).Public()); err != nil || v.Signer == nil {
		t.Errorf("with the right key: %v", err)
	}
	if v, err := VerifyFS(plain, nil); err != nil || v.Signer != nil {
		t.Errorf("a bundle without a signature: %+v, %v", v, err)
	}
	if _, err := VerifyFS(signed, key(2).Public()); err == nil || !strings.Contains(err.Error(), "another key") {
		t.Errorf("with another key: %v", err)
	}
	if _, err := VerifyFS(plain, key(1).Public()); err == nil || !strings.Contains(err.Error(), "not signed") {
		t.Errorf("no signature where one is wanted: %v", err)
	}
}

// TestVerifyBytes flips bytes all over every file: the error names it.
func TestVerifyBytes(t *testing.T) {
	for _, s := range []Signer{nil, key(1)} {
		fsys := bundle(t, s)
		for name, f := range fsys {
			was := f.Data
			step := max(1, len(was)/100)
			if name == manifestName || name == signatureName {
				step = 7
			}
			for i := 0; i < len(was); i += step {
				f.Data = bytes.Clone(was)
				f.Data[i] ^= 1 << (i % 7)
				_, err := VerifyFS(fsys, nil)
				if err == nil || !strings.Contains(err.Error(), name) && name != manifestName {
					t.Fatalf("byte %d of %s is another: %v", i, name, err)
				}
			}
			f.Data = was
		}
		if _, err := VerifyFS(fsys, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// TestVerifyFiles takes away, adds and renames files.
func TestVerifyFiles(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(fstest.MapFS)
		want   string
	}{
		{"missing", func(f fstest.MapFS) { delete(f, "exits.csv") }, "exits.csv is missing"},
		{"report.json missing", func(f fstest.MapFS) { delete(f, "report.json") }, "report.json is missing"},
		{"added", func(f fstest.MapFS) { f["evil.html"] = &fstest.MapFile{} }, "evil.html was added"},
		{"added below", func(f fstest.MapFS) { f["letters/evil.txt"] = &fstest.MapFile{} }, "letters/evil.txt was added"},
		{"renamed", func(f fstest.MapFS) { f["exits2.csv"] = f["exits.csv"]; delete(f, "exits.csv") }, "exits.csv is missing; exits2.csv was added"},
		{"exchanged", func(f fstest.MapFS) { f["exits.csv"], f["wallets.csv"] = f["wallets.csv"], f["exits.csv"] }, "exits.csv was changed after the report was made; wallets.csv was changed"},
		{"longer", func(f fstest.MapFS) { f["exits.csv"].Data = append(bytes.Clone(f["exits.csv"].Data), '\n') }, "exits.csv was changed"},
		{"empty", func(f fstest.MapFS) { f["exits.csv"].Data = nil }, "exits.csv was changed"},
		{"a link", func(f fstest.MapFS) { f["exits.csv"].Mode = fs.ModeSymlink | 0o644 }, "exits.csv"},
		{"a pipe", func(f fstest.MapFS) { f["exits.csv"].Mode = fs.ModeNamedPipe | 0o644 }, "exits.csv was changed"},
		{"a folder", func(f fstest.MapFS) { f["exits.csv"] = &fstest.MapFile{Mode: fs.ModeDir | 0o755} }, "exits.csv was changed"},
		{"an added link", func(f fstest.MapFS) {
			f["x"] = &fstest.MapFile{Data: []byte("/etc/passwd"), Mode: fs.ModeSymlink | 0o777}
		}, "x was added"},
		{"no manifest", func(f fstest.MapFS) { delete(f, manifestName) }, "no manifest.json"},
		{"a huge manifest", func(f fstest.MapFS) { f[manifestName].Data = make([]byte, maxManifest+1) }, "manifest.json is not a file of at most"},
		{"a deep manifest", func(f fstest.MapFS) { f[manifestName].Data = bytes.Repeat([]byte("["), 1<<20) }, "manifest.json was changed"},
		{"a huge signature", func(f fstest.MapFS) { f[signatureName].Data = make([]byte, maxManifest+1) }, "manifest.sig is not a file of at most"},
		{"no signature", func(f fstest.MapFS) { delete(f, signatureName) }, "not signed"},
		{"a hostile name", func(f fstest.MapFS) { f["\u202egnp.exe"] = &fstest.MapFile{} }, "gnp.exe was added"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := bundle(t, key(1))
			tt.change(f)
			_, err := VerifyFS(f, key(1).Public())
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("VerifyFS: %v, want %q", err, tt.want)
			}
			if safe(err.Error(), false) != nil || len(err.Error()) > 600 {
				t.Errorf("the error is %.300q", err)
			}
		})
	}
}

// TestForged changes a file and makes the manifest and the signature anew, as
// somebody would who has the program.
func TestForged(t *testing.T) {
	manifestOf := func(f fstest.MapFS) map[string]any {
		m := make(map[string]any)
		if err := json.Unmarshal(f[manifestName].Data, &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	put := func(f fstest.MapFS, m map[string]any) {
		b, err := canonical(m)
		if err != nil {
			t.Fatal(err)
		}
		f[manifestName].Data = b
	}
	file := func(m map[string]any, name string) map[string]any {
		for _, x := range m["files"].([]any) {
			if x := x.(map[string]any); x["name"] == name {
				return x
			}
		}
		t.Fatalf("the manifest has no %s", name)
		return nil
	}
	// seal makes the manifest say what the files are.
	seal := func(f fstest.MapFS, name string) {
		m := manifestOf(f)
		x := file(m, name)
		x["sha256"], x["size"] = hexSum(f[name].Data), len(f[name].Data)
		put(f, m)
	}
	edit := func(old, new string) func(fstest.MapFS) {
		return func(f fstest.MapFS) {
			b := bytes.Replace(f["report.json"].Data, []byte(old), []byte(new), 1)
			if bytes.Equal(b, f["report.json"].Data) {
				t.Fatalf("report.json has no %s", old)
			}
			f["report.json"].Data = b
			seal(f, "report.json")
		}
	}
	rename := func(name string) func(fstest.MapFS) {
		return func(f fstest.MapFS) {
			m := manifestOf(f)
			file(m, "wallets.csv")["name"] = name
			put(f, m)
		}
	}
	for _, tt := range []struct {
		name   string
		change func(fstest.MapFS)
		want   string
	}{
		{"a name that leads out", rename("../wallets.csv"), `names "../wallets.csv"`},
		{"a name that leads out on the way", rename("w/../../wallets.csv"), "names"},
		{"an empty part of a name", rename("w//wallets.csv"), "names"},
		{"a name that ends in a slash", rename("wallets.csv/"), "names"},
		{"an absolute name", rename("/etc/passwd"), `names "/etc/passwd"`},
		{"a name of Windows", rename(`..\\wallets.csv`), "names"},
		{"a drive", rename(`C:wallets.csv`), "names"},
		{"a name twice", rename("transfers.csv"), "names"},
		{"the manifest itself", rename("manifest.json"), "names"},
		{"a hostile name", rename("w\u202eallets.csv"), "names"},
		{"no name", rename(""), "names"},
		{"not in order", func(f fstest.MapFS) {
			m := manifestOf(f)
			l := m["files"].([]any)
			l[0], l[1] = l[1], l[0]
			put(f, m)
		}, "names"},
		{"without report.json", func(f fstest.MapFS) {
			m := manifestOf(f)
			var keep []any
			for _, x := range m["files"].([]any) {
				if x.(map[string]any)["name"] != "report.json" {
					keep = append(keep, x)
				}
			}
			m["files"] = keep
			put(f, m)
			delete(f, "report.json")
		}, "does not name report.json"},
		{"another block", func(f fstest.MapFS) {
			m := manifestOf(f)
			m["chains"].([]any)[0].(map[string]any)["pinned"].(map[string]any)["number"] = 1
			put(f, m)
		}, "does not say what report.json says"},
		{"called complete", func(f fstest.MapFS) { m := manifestOf(f); m["status"] = "complete"; put(f, m) }, "does not say what report.json says"},
		{"another count", func(f fstest.MapFS) { m := manifestOf(f); m["counts"].(map[string]any)["gaps"] = 0; put(f, m) }, "does not say what report.json says"},
		{"a key more", func(f fstest.MapFS) { m := manifestOf(f); m["note"] = "x"; put(f, m) }, "manifest.json was changed"},
		{"of another version", func(f fstest.MapFS) { m := manifestOf(f); m["schema"] = "scamtrace-bundle/9"; put(f, m) }, "another version"},
		{"a key twice", func(f fstest.MapFS) {
			f[manifestName].Data = bytes.Replace(f[manifestName].Data, []byte(`"status":"partial"`), []byte(`"status":"complete","status":"partial"`), 1)
		}, "manifest.json was changed"},
		{"a space", func(f fstest.MapFS) { f[manifestName].Data = append(f[manifestName].Data, ' ') }, "manifest.json was changed"},

		{"the outcome", edit(`We followed $`, `We followed €`), ""}, // words can lie; only a signature tells
		{"an amount held", edit(`"held":"`, `"held":"1`), "do not add up"},
		{"an amount exited", edit(`"exited":"`, `"exited":"1`), "do not add up"},
		{"the dollars", edit(`"exited":"500.00"`, `"exited":"900.00"`), "dollars do not add up"},
		{"a payment", edit(`"payments":[{"block":`, `"payments":[{"block":1`), ""},
		{"a report key twice", edit(`"status":"partial"`, `"status":"complete","status":"partial"`), "was not written by scamtrace"},
		{"a report key in capitals", edit(`"status":"partial"`, `"Status":"partial"`), "was not written by scamtrace"},
		{"a report key more", edit(`"status":"partial"`, `"status":"partial","evil":1`), "not a report of this version"},
		{"hostile text", edit(`"title":"the`, `"title":"\u202ethe`), "was not written by scamtrace"},
		{"markup unescaped", edit(`"title":"the`, `"title":"<b>the`), "was not written by scamtrace"},
		{"an address that is none", edit(`"address":"0x`, `"address":"0X`), "is not address"},
		{"something after the end", func(f fstest.MapFS) {
			f["report.json"].Data = append(f["report.json"].Data, "{}"...)
			seal(f, "report.json")
		}, "something follows"},
		{"not JSON", func(f fstest.MapFS) { f["report.json"].Data = []byte("<html>"); seal(f, "report.json") }, "not a report of this version"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := bundle(t, nil)
			tt.change(f)
			_, err := VerifyFS(f, nil)
			if tt.want == "" {
				if err != nil {
					t.Fatalf("VerifyFS: %v", err)
				}
			} else if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("VerifyFS: %v, want %q", err, tt.want)
			}
			if err != nil && safe(err.Error(), false) != nil {
				t.Errorf("the error is %.300q", err)
			}
			// Whatever it was, who forged it has not the key.
			signed := bundle(t, key(1))
			f[signatureName] = signed[signatureName]
			if _, err := VerifyFS(f, nil); err == nil {
				t.Error("an old signature is good for a new manifest")
			}
		})
	}
}

// TestSums changes every amount of a report, one at a time, and wants the sums
// to notice.
func TestSums(t *testing.T) {
	r := small(t)
	if err := r.check(); err != nil {
		t.Fatal(err)
	}
	// What no sum rests on: amounts of whole transfers, the comparison of policies, and what is not counted.
	free := []string{"Report.Transfers.Amount", "Report.Flows.Amount", "Report.Policies", "Report.Uncounted"}
	n := 0
	for path, list := range texts(r) {
		for _, x := range list {
			skip := x.rule.name != "units" || x.v.String() == ""
			for _, p := range free {
				skip = skip || strings.HasPrefix(path, p)
			}
			if skip {
				continue
			}
			n++
			was := x.v.String()
			for _, other := range []string{was + "0", "1" + was, "115792089237316195423570985008687907853269984665640564039457584007913129639935"} {
				if was == "0" && other == "00" {
					other = "1"
				}
				x.v.SetString(other)
				if err := r.check(); err == nil {
					t.Errorf("%s may be %s for %s", path, other, was)
				}
			}
			x.v.SetString(was)
		}
	}
	if n < 60 {
		t.Errorf("only %d amounts were tried", n)
	}
	// A payment to somebody else, in the list and in the flow.
	for i := range r.Flows {
		f := &r.Flows[i]
		for k := range r.Transfers {
			x := &r.Transfers[k]
			if f.Transfers != 1 || x.From != f.From || x.To != f.To || x.Asset != f.Asset {
				continue
			}
			for _, end := range [][2]*string{{&f.To, &x.To}, {&f.From, &x.From}} {
				was := *end[0]
				*end[0], *end[1] = r.Seeds[0].Address, r.Seeds[0].Address
				if was != r.Seeds[0].Address && r.check() == nil {
					t.Errorf("a transfer of %s may be another's", was)
				}
				*end[0], *end[1] = was, was
			}
		}
	}
	// A fee that is more than what is written off.
	in, err := demoWalk()
	if err != nil {
		t.Fatal(err)
	}
	whole := Build(in)
	fees := 0
	for i := range whole.Transfers {
		if x := &whole.Transfers[i]; x.Kind == "fee" {
			fees++
			was := x.Traced
			x.Traced = was + "0"
			if whole.check() == nil {
				t.Errorf("a fee of %s may be %s", was, x.Traced)
			}
			x.Traced = was
		}
	}
	if fees == 0 {
		t.Error("the demo has no fees")
	}
	for path, list := range texts(r) {
		if strings.HasPrefix(path, "Report.Totals.USD") {
			was := list[0].v.String()
			list[0].v.SetString("123456.78")
			if err := r.check(); err == nil {
				t.Errorf("%s may be anything", path)
			}
			list[0].v.SetString(was)
		}
	}
}

// TestWriteBundle writes into a folder, over an earlier bundle, and not over
// anything else.
func TestWriteBundle(t *testing.T) {
	r := small(t)
	dir := filepath.Join(t.TempDir(), "a", "report")
	for range 2 {
		if err := WriteBundle(t.Context(), dir, r, key(1)); err != nil {
			t.Fatal(err)
		}
		if _, err := Verify(dir, key(1).Public()); err != nil {
			t.Fatal(err)
		}
	}
	if left, err := os.ReadDir(filepath.Dir(dir)); err != nil || len(left) != 1 {
		t.Errorf("beside the bundle there is %v, %v", left, err)
	}
	if runtime.GOOS != "windows" {
		if err := os.Remove(filepath.Join(dir, "exits.csv")); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("/etc/hostname", filepath.Join(dir, "exits.csv")); err != nil {
			t.Fatal(err)
		}
		if _, err := Verify(dir, nil); err == nil || !strings.Contains(err.Error(), "exits.csv") {
			t.Errorf("Verify follows a link: %v", err)
		}
	}
	for name, fill := range map[string]func(dir string) error{
		"another manifest": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, manifestName), []byte(`{"manifest_version":3,"name":"thesis"}`), 0o600)
		},
		"a file": func(dir string) error { return os.WriteFile(filepath.Join(dir, "thesis.txt"), nil, 0o600) },
		"a file in a bundle": func(dir string) error {
			if err := WriteBundle(t.Context(), dir, r, nil); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(dir, "thesis.txt"), nil, 0o600)
		},
	} {
		dir := t.TempDir()
		if err := fill(dir); err != nil {
			t.Fatal(err)
		}
		before, _ := os.ReadDir(dir)
		if err := WriteBundle(t.Context(), dir, r, nil); !errors.Is(err, tracer.ErrUsage) {
			t.Errorf("WriteBundle over %s: %v", name, err)
		}
		if after, _ := os.ReadDir(dir); len(after) != len(before) {
			t.Errorf("WriteBundle over %s left %v", name, after)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := WriteBundle(t.Context(), file, r, nil); !errors.Is(err, tracer.ErrUsage) {
		t.Errorf("WriteBundle over a file: %v", err)
	}
	if _, err := Verify(file, nil); !errors.Is(err, tracer.ErrUsage) {
		t.Errorf("Verify of a file: %v", err)
	}
	if _, err := Verify(t.TempDir(), nil); !errors.Is(err, tracer.ErrUsage) {
		t.Errorf("Verify of an empty folder: %v", err)
	}
}

// TestOthers takes other files along, and none that leads out of the bundle.
func TestOthers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "report")
	if err := WriteBundle(t.Context(), dir, small(t), nil, NamedFile{"evidence/a/1.zst", []byte("x")}, NamedFile{"evidence/2.zst", nil}); err != nil {
		t.Fatal(err)
	}
	v, err := Verify(dir, nil)
	if err != nil || len(v.Manifest.Files) != len(writers())+2 {
		t.Errorf("Verify = %+v, %v", v, err)
	}
	if err := WriteBundle(t.Context(), dir, small(t), nil); err != nil {
		t.Errorf("over a bundle with folders: %v", err)
	}
	for _, name := range []string{"", ".", "..", "../x", "/x", "a/../../x", "a//x", "a/", `a\x`, "C:x", "manifest.json", "manifest.sig", "report.json", "\u202ex", "a b", "a\x00"} {
		if files, err := Bundle(t.Context(), small(t), nil, NamedFile{Name: name}); err == nil || files != nil {
			t.Errorf("a bundle takes a file called %q along", name)
		}
	}
}

// TestKey makes a key file once and reads it after.
func TestKey(t *testing.T) {
	name := filepath.Join(t.TempDir(), "keys", "sign.pem")
	k, err := OpenKey(name)
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(name)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the key file has the mode %v, %v", st.Mode(), err)
	}
	again, err := OpenKey(name)
	if err != nil || !again.Public().Equal(k.Public()) {
		t.Errorf("read again: %v", err)
	}
	if after, _ := os.ReadFile(name); !bytes.Equal(before, after) {
		t.Error("the key was written over")
	}
	if left, _ := os.ReadDir(filepath.Dir(name)); len(left) != 1 {
		t.Errorf("beside the key there is %v", left)
	}
	if _, err := VerifyFS(bundle(t, k), k.Public()); err != nil {
		t.Error(err)
	}
	// Many at once get one key.
	name = filepath.Join(t.TempDir(), "one.pem")
	keys := make(chan string, 20)
	for range cap(keys) {
		go func() {
			k, err := OpenKey(name)
			keys <- string(k.private) + errorText(err)
		}()
	}
	first := <-keys
	for range cap(keys) - 1 {
		if k := <-keys; k != first {
			t.Errorf("two keys were made at once")
		}
	}
	for _, tt := range []struct {
		name, text string
		mode       fs.FileMode
		want       string
	}{
		{"readable by others", string(before), 0o644, "can be read by others"},
		{"not PEM", "hello", 0o600, "no key in PEM"},
		{"empty", "", 0o600, "no key in PEM"},
		{"another kind", "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n", 0o600, "no key in PEM"},
		{"broken", "-----BEGIN PRIVATE KEY-----\naGVsbG8=\n-----END PRIVATE KEY-----\n", 0o600, "no Ed25519 key"},
	} {
		name := filepath.Join(t.TempDir(), "key.pem")
		if err := os.WriteFile(name, []byte(tt.text), tt.mode); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenKey(name); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("OpenKey of a file that is %s: %v, want %q", tt.name, err, tt.want)
		}
		if got, _ := os.ReadFile(name); string(got) != tt.text {
			t.Errorf("the file that is %s was written over", tt.name)
		}
	}
}

func errorText(err error) string {
	if err != nil {
		return err.Error()
	}
	return ""
}

// A badSigner fails in a way.
type badSigner struct {
	Key
	sign func([]byte) ([]byte, error)
}

func (s badSigner) Sign(_ context.Context, m []byte) ([]byte, error) { return s.sign(m) }

func TestSigners(t *testing.T) {
	k := key(1)
	for name, sign := range map[string]func([]byte) ([]byte, error){
		"fails":            func([]byte) ([]byte, error) { return nil, errors.New("no") },
		"signs nothing":    func([]byte) ([]byte, error) { return nil, nil },
		"signs otherwise":  func(m []byte) ([]byte, error) { return ed25519.Sign(k.private, m[1:]), nil },
		"has another key":  func(m []byte) ([]byte, error) { return ed25519.Sign(key(2).private, m), nil },
		"signs for a name": func(m []byte) ([]byte, error) { return k.private.Sign(nil, m, &ed25519.Options{Context: "x"}) },
	} {
		if files, err := Bundle(t.Context(), small(t), badSigner{k, sign}); err == nil || files != nil {
			t.Errorf("a signer that %s makes a bundle", name)
		}
	}
	// A service may offer only the prehashed form.
	prehashed := badSigner{k, func(m []byte) ([]byte, error) {
		d := sha512.Sum512(m)
		return k.Sign(t.Context(), d[:])
	}}
	f := bundle(t, prehashed)
	if v, err := VerifyFS(f, k.Public()); err != nil || !strings.Contains(string(f[signatureName].Data), "Ed25519 of SHA-512") || !v.Signer.Equal(k.Public()) {
		t.Errorf("a prehashed signature: %v", err)
	}
	der, err := x509.MarshalPKIXPublicKey(k.Public())
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{base64.StdEncoding.EncodeToString(k.Public()) + "\n", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))} {
		if got, err := ParsePublicKey(text); err != nil || !got.Equal(k.Public()) {
			t.Errorf("ParsePublicKey(%q) = %x, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "hello", base64.StdEncoding.EncodeToString(k.private), "-----BEGIN PUBLIC KEY-----\naGVsbG8=\n-----END PUBLIC KEY-----\n"} {
		if _, err := ParsePublicKey(text); err == nil {
			t.Errorf("ParsePublicKey(%q) is a key", text)
		}
	}
}
