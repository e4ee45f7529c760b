package main

import (
	"bytes"
	"context"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
)

func noEnvironment(string) (string, bool) { return "", false }

func command(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = run(ctx, args, noEnvironment, &out, &err)
	return code, out.String(), err.String()
}

// TestDemo runs the demo twice and wants the same bytes, a short summary and a
// bundle that verifies until a byte of it changes.
func TestDemo(t *testing.T) {
	dirs := []string{filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "a")}
	for _, dir := range dirs {
		code, out, errs := command(t.Context(), "demo", "--out", dir)
		if code != exitDone || errs != "" {
			t.Fatalf("demo ends with %d: %s", code, errs)
		}
		if n := strings.Count(out, "\n"); n >= 20 {
			t.Errorf("the summary has %d lines", n)
		}
		for _, want := range []string{"We followed $85,500.00", "Aurora Exchange", "report.html"} {
			if !strings.Contains(out, want) {
				t.Errorf("the summary has no %q:\n%s", want, out)
			}
		}
	}
	files, err := os.ReadDir(dirs[0])
	if err != nil || len(files) != 14 {
		t.Fatalf("the bundle has %d files, %v", len(files), err)
	}
	for _, f := range files {
		a, err1 := os.ReadFile(filepath.Join(dirs[0], f.Name()))
		b, err2 := os.ReadFile(filepath.Join(dirs[1], f.Name()))
		if err1 != nil || err2 != nil || !bytes.Equal(a, b) {
			t.Errorf("two runs differ in %s", f.Name())
		}
	}
	if code, _, errs := command(t.Context(), "verify", dirs[0]); code != exitDone {
		t.Errorf("verify ends with %d: %s", code, errs)
	}
	for _, f := range files {
		name := filepath.Join(dirs[0], f.Name())
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		changed := bytes.Clone(b)
		changed[len(b)/2] ^= 1
		if err := os.WriteFile(name, changed, 0o600); err != nil {
			t.Fatal(err)
		}
		code, _, errs := command(t.Context(), "verify", dirs[0])
		if code == exitDone && f.Name() != manifestFile || f.Name() != manifestFile && !strings.Contains(errs, f.Name()) {
			t.Errorf("verify of a changed %s ends with %d: %s", f.Name(), code, errs)
		}
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

const manifestFile = "manifest.json"

// secretKey is nobody's: the digits of pi in hexadecimal.
const secretKey = "243f6a8885a308d313198a2e03707344a4093822299f31d0082efa98ec4e6c89"

// TestWrongUsage wants one clear sentence, exit code 2 and no report.
func TestWrongUsage(t *testing.T) {
	srv := httptest.NewServer(devnet.NewNode(devnet.Generate(devnet.Config{}), devnet.NodeOptions{}))
	defer srv.Close()
	ethereum := httptest.NewServer(devnet.NewNode(devnet.Generate(devnet.Config{}), devnet.NodeOptions{Faults: devnet.Method("eth_chainId", devnet.FaultChainID)}))
	defer ethereum.Close()
	list := filepath.Join(t.TempDir(), "keys.txt")
	if err := os.WriteFile(list, []byte("# mine\n"+secretKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := "0xdac17f958d2ee523a2206206994597c13d831ec7"
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"no seed", []string{"trace"}, "name at least one wallet"},
		{"41 digits", []string{"trace", good + "0"}, "41 digits"},
		{"39 digits", []string{"trace", good[:41]}, "39 digits"},
		{"a wrong checksum", []string{"trace", "0xdAC17F958D2ee523a2206206994597C13D831eC7"}, "checksum is wrong"},
		{"Bitcoin", []string{"trace", "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq"}, "Bitcoin"},
		{"a zero-width character", []string{"trace", good[:20] + "\u200b" + good[20:]}, "invisible character (U+200B)"},
		{"full-width digits", []string{"trace", "０ｘ" + good[2:]}, "not a plain digit"},
		{"a hash where an address belongs", []string{"transfers", "0x" + strings.Repeat("ab", 32)}, "transaction hash, not an address"},
		{"a private key", []string{"trace", secretKey}, "private key"},
		{"a private key in a list", []string{"trace", "@" + list}, "keys.txt, line 2"},
		{"a service", []string{"trace", "0x28C6c06298d514Db089934071355E5743bf21d60", "--rpc", ethereum.URL}, "a service that many people use"},
		{"Tron", []string{"trace", "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"}, "Tron"},
		{"a seed phrase", []string{"trace", "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about"}, "secret recovery phrase"},
		{"another chain", []string{"trace", good, "--rpc", srv.URL + "/the-key"}, "not Ethereum"},
		{"no endpoint", []string{"trace", good}, "--rpc"},
		{"an unknown chain", []string{"trace", good, "--chain", "bitcoin"}, "is not known"},
		{"two sources", []string{"trace", good, "--rpc", srv.URL, "--transfers", "x.csv"}, "not both"},
		{"a bad block", []string{"transfers", good, "--from", "soon"}, "neither a block nor a time"},
		{"a bad format", []string{"transfers", good, "--format", "xml"}, "csv or jsonl"},
		{"no labels", []string{"trace", good, "--rpc", srv.URL, "--labels", "none.csv"}, "labels cannot be read"},
		{"strange labels", []string{"trace", good, "--rpc", srv.URL, "--labels", "none.exe"}, ".csv, .yaml"},
		{"a bad amount", []string{"trace", good, "--min-usd", "a lot"}, "--min-usd"},
		{"an unknown rule", []string{"trace", good, "--policy", "highest"}, "is not known; use one of pifo, lifo"},
		{"a bad date", []string{"trace", good, "--since", "soon"}, "is not a time"},
		{"a list that is not there", []string{"trace", "@nothing.txt"}, "cannot be read"},
		{"an unknown flag", []string{"trace", good, "--fast"}, "unknown flag"},
		{"an unknown command", []string{"follow"}, "unknown command"},
		{"a limit that is no number", []string{"trace", good, "--max-requests", "abc"}, `--max-requests: "abc" is not a number that it can take; run scamtrace trace -h`},
		{"a folder with other files", []string{"trace", good, "--rpc", srv.URL, "--out", filepath.Dir(list)}, "scamtrace: the folder " + filepath.Dir(list) + " holds other files"},
		{"a file for the report", []string{"trace", good, "--rpc", srv.URL, "--out", list}, "scamtrace: " + list + " is not a folder"},
		{"no report", []string{"verify", "nowhere"}, "not a folder with a report"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "out")
			args := tt.args
			if args[0] == "trace" && !slices.Contains(args, "--out") {
				args = append(args, "--out", dir)
			}
			code, out, errs := command(t.Context(), args...)
			if code != exitUsage || out != "" || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, tt.want) {
				t.Errorf("%v ends with %d and says %q %q, want %d and %q", tt.args, code, out, errs, exitUsage, tt.want)
			}
			if strings.Contains(errs, "the-key") || strings.Contains(errs, "abandon") || strings.Contains(errs, secretKey) {
				t.Errorf("the error repeats a secret: %s", errs)
			}
			if _, err := os.Stat(dir); err == nil {
				t.Error("a report was written")
			}
		})
	}
}

// TestSeedLinks reads addresses and hashes out of the links of block explorers.
func TestSeedLinks(t *testing.T) {
	ethereum, ok := tracer.ChainByID(1)
	if !ok {
		t.Fatal("there is no Ethereum")
	}
	hash, wallet := "0x"+strings.Repeat("ab", 32), "0xdac17f958d2ee523a2206206994597c13d831ec7"
	for link, want := range map[string]string{
		"https://etherscan.io/tx/" + hash:                       hash,
		"https://etherscan.io/tx/" + hash + "?a=1#eventlog":     hash,
		"https://etherscan.io/address/" + wallet + "#tokentxns": wallet,
		"https://etherscan.io/tx/":                              "",
	} {
		seeds, err := readSeeds(&ethereum, []string{link})
		if want == "" {
			if err == nil {
				t.Errorf("%s is read as %v", link, seeds)
			}
			continue
		}
		if err != nil || len(seeds) != 1 || !strings.EqualFold(seeds[0].Show(1), want) {
			t.Errorf("%s is read as %v, %v; want %s", link, seeds, err, want)
		}
	}
}

// TestOtherFilesStay wants a folder that holds something else left alone.
func TestOtherFilesStay(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "thesis.txt"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := command(t.Context(), "demo", "--out", dir); code != exitUsage || !strings.Contains(errs, "other files") {
		t.Errorf("demo ends with %d: %s", code, errs)
	}
	if _, err := os.Stat(filepath.Join(dir, "thesis.txt")); err != nil {
		t.Error("a file was removed")
	}
}
