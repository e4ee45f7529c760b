package filesource_test

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/filesource"
)

// FuzzRead reads any bytes. What cannot be read is an error about one place of
// the file; what can is in order, counts once, and survives being written.
func FuzzRead(f *testing.F) {
	files, err := filepath.Glob("testdata/*.csv")
	if err != nil || len(files) < 8 {
		f.Fatalf("%d examples, %v", len(files), err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(ownHeader + own() + own("value=2")))
	f.Add([]byte(ownHeader + own("log_index=") + own("log_index=0.2.1", "kind=internal", "token_address=", "token_symbol=", "token_decimals=")))
	f.Add([]byte("\xef\xbb\xbf" + usdHeader + "2023-06-02 21:49:23,10," + h(1) + "," + a(1) + ",x," + a(2) + ",y,-1e-3\n"))
	f.Fuzz(checkRead)
}

// checkRead reads bytes and holds what is promised of every list.
func checkRead(t *testing.T, in []byte) {
	eth := chain(t, "ethereum")
	s, err := filesource.Read(eth, "dir/in.csv", bytes.NewReader(in))
	if err != nil {
		re, ok := errors.AsType[*filesource.RowError](err)
		if !ok || !errors.Is(err, tracer.ErrUsage) || re.File != "in.csv" || re.Reason == "" {
			t.Fatalf("the error %v is not about a place in the file", err)
		}
		if lines := 1 + bytes.Count(in, []byte("\n")) + bytes.Count(in, []byte("\r")); re.Line > lines {
			t.Fatalf("line %d of a file with %d: %v", re.Line, lines, err)
		}
		if strings.Count(err.Error(), "\n") > 4 || strings.ContainsAny(err.Error(), "\r\x00\x1b\u202e") || len(err.Error()) > 4000 {
			t.Fatalf("the error is not fit to be shown: %q", err)
		}
		return
	}
	pin, err := s.Pin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ts := all(t, s)
	for i := range ts {
		x := &ts[i]
		if x.Block > pin.Number || x.Asset.Chain != 1 || i > 0 && ts[i-1].Compare(x) >= 0 {
			t.Fatalf("a transfer is out of place: %+v", *x)
		}
	}
	if len(s.Notes()) > 101 {
		t.Fatalf("%d notes", len(s.Notes()))
	}
	if len(ts) == 0 {
		return
	}
	var out bytes.Buffer
	if err := filesource.WriteCSV(&out, eth, ts); err != nil {
		t.Fatal(err)
	}
	again, err := filesource.Read(eth, "again.csv", &out)
	if err != nil {
		t.Fatalf("what was written cannot be read: %v", err)
	}
	if !slices.Equal(all(t, again), ts) {
		t.Fatalf("%v comes back as %v", ts, all(t, again))
	}
}

// TestMutants changes cells of good lists into strange ones.
func TestMutants(t *testing.T) {
	files, err := filepath.Glob("testdata/*.csv")
	if err != nil {
		t.Fatal(err)
	}
	strange := []string{"", "0", "1", "-1", "00", "1e9", "1.5", "0x", "null", "NaN", "Success", "Error", "call", "create", "row.aaaa", "0.0", "1,1", "2.a.b",
		strings.Repeat("9", 78), strings.Repeat("9", 20), "4294967296", "4611686018427387905", a(0), a(0xa1), h(1), tracer.Hex(tracer.NativeLogs), usdt,
		"\u202e", "'=1", "1970-01-01T00:00:00Z", "9999-12-31 23:59:59 UTC", "-0.0", "1 ETH", "5 gwei", "native", "fee", "nft", "token", "USD", key}
	rng := rand.New(rand.NewPCG(7, 8))
	read := 0
	for range 4000 {
		b, err := os.ReadFile(files[rng.IntN(len(files))])
		if err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")))).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for range 1 + rng.IntN(2) {
			row := rows[1+rng.IntN(len(rows)-1)]
			if i := rng.IntN(len(row)); rng.IntN(2) == 0 {
				row[i] = strange[rng.IntN(len(strange))]
			} else {
				row[i] = rows[1+rng.IntN(len(rows)-1)][i]
			}
		}
		var out bytes.Buffer
		if err := csv.NewWriter(&out).WriteAll(rows); err != nil {
			t.Fatal(err)
		}
		if _, err := filesource.Read(chain(t, "ethereum"), "in.csv", bytes.NewReader(out.Bytes())); err == nil {
			read++
		}
		if checkRead(t, out.Bytes()); t.Failed() {
			t.Fatalf("the list was\n%s", out.String())
		}
	}
	if read < 500 || read > 3500 {
		t.Errorf("%d of 4000 lists can be read, so there is little to see", read)
	}
}

// BenchmarkRead reads a world of a hundred thousand transfers; BenchmarkCSV
// reads the same bytes with encoding/csv and does nothing with them.
func BenchmarkRead(b *testing.B) {
	in := export(b, devnet.Generate(devnet.Config{Transfers: 100_000}))
	bench(b, in, func() {
		if _, err := filesource.Read(devnet.Chain(), "list.csv", bytes.NewReader(in)); err != nil {
			b.Fatal(err)
		}
	})
}

func BenchmarkCSV(b *testing.B) {
	in := export(b, devnet.Generate(devnet.Config{Transfers: 100_000}))
	bench(b, in, func() {
		r := csv.NewReader(bytes.NewReader(in))
		r.ReuseRecord = true
		for {
			if _, err := r.Read(); err == io.EOF {
				return
			} else if err != nil {
				b.Fatal(err)
			}
		}
	})
}

func bench(b *testing.B, in []byte, f func()) {
	rows := float64(bytes.Count(in, []byte("\n")))
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		f()
	}
	b.ReportMetric(rows*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
