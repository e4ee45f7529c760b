package ethsource

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/rpc"
)

// A plainLog is a log as encoding/json and go-ethereum's types read it.
type plainLog struct {
	Address *common.Address `json:"address"`
	Topics  *[]common.Hash  `json:"topics"`
	Data    *hexutil.Bytes  `json:"data"`
	Block   *hexutil.Uint64 `json:"blockNumber"`
	Hash    *common.Hash    `json:"blockHash"`
	Time    *hexutil.Uint64 `json:"blockTimestamp"`
	Tx      *common.Hash    `json:"transactionHash"`
	TxIndex *hexutil.Uint64 `json:"transactionIndex"`
	Index   *hexutil.Uint64 `json:"logIndex"`
	Removed bool            `json:"removed"`
}

// plainLogs is what the scanner must read, and whether it must.
func plainLogs(in []byte) ([]log, bool) {
	var list []plainLog
	if err := json.NewDecoder(bytes.NewReader(in)).Decode(&list); err != nil || list == nil {
		return nil, false
	}
	out := []log{}
	for _, p := range list {
		if p.Address == nil || p.Topics == nil || p.Data == nil || p.Block == nil || p.Hash == nil || p.Tx == nil || p.TxIndex == nil || p.Index == nil || len(*p.Topics) > 4 {
			return nil, false
		}
		l := log{Address: *p.Address, Size: len(*p.Data), Block: uint64(*p.Block), Hash: *p.Hash, Tx: *p.Tx, TxIndex: uint64(*p.TxIndex),
			Index: uint64(*p.Index), NumTopics: len(*p.Topics), Removed: p.Removed, present: hasAll}
		copy(l.Topics[:], *p.Topics)
		copy(l.Data[:], *p.Data)
		if p.Time != nil {
			l.Time = uint64(*p.Time)
		}
		out = append(out, l)
	}
	return out, true
}

func scanLogs(r io.Reader) ([]log, error) {
	out := []log{}
	err := newScanner(r).logs(func(l *log) error {
		out = append(out, *l)
		return nil
	})
	return out, err
}

const sampleLog = `{"address":"0xdac17f958d2ee523a2206206994597c13d831ec7","topics":["0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef","0x00000000000000000000000028c6c06298d514db089934071355e5743bf21d60","0x000000000000000000000000aabbccddeeff00112233445566778899aabbccdd"],"data":"0x000000000000000000000000000000000000000000000000000000003b9aca00","blockNumber":"0x10a0b1c","transactionHash":"0x5c504ed432cb51138bcf09aa5e8a410dd4a1e204ef84bfed1be16dfba1b22060","transactionIndex":"0x1f","blockHash":"0x4e3a3754410177e6937ef1f84bba68ea139e8d1a2258c5f85db9f1cd715a1bdd","blockTimestamp":"0x64b0c1a3","logIndex":"0x5a","removed":false}`

// samples are inputs around what nodes send.
func samples() []string {
	l := sampleLog
	out := []string{
		"[]", "[ ]", " [\n]\t", "null", "", "[", "]", "{}", "[{}]", "[null]", "[1]", `["a"]`, "[" + l, "[" + l + "]", "[" + l + ",]", "[," + l + "]", "[" + l + "," + l + "]", "[" + l + " , " + l + " ] trailing",
		"[" + strings.Replace(l, `"removed":false`, `"removed":true`, 1) + "]",
		"[" + strings.Replace(l, `"removed":false`, `"removed":null`, 1) + "]",
		"[" + strings.Replace(l, `"removed":false`, `"removed":0`, 1) + "]",
		"[" + strings.Replace(l, `"0x1f"`, `"0x01f"`, 1) + "]",
		"[" + strings.Replace(l, `"0x1f"`, `"0X1F"`, 1) + "]",
		"[" + strings.Replace(l, `"0x1f"`, `"1f"`, 1) + "]",
		"[" + strings.Replace(l, `"0x1f"`, `31`, 1) + "]",
		"[" + strings.Replace(l, `"0x1f"`, `""`, 1) + "]",
		"[" + strings.Replace(l, `"0x1f"`, `"0x"`, 1) + "]",
		"[" + strings.Replace(l, `"0x1f"`, `"0x0"`, 1) + "]",
		"[" + strings.Replace(l, `"0x1f"`, `"0xffffffffffffffff"`, 1) + "]",
		"[" + strings.Replace(l, `"0x1f"`, `"0x10000000000000000"`, 1) + "]",
		"[" + strings.Replace(l, `"0x64b0c1a3"`, `null`, 1) + "]",
		"[" + strings.Replace(l, `"blockTimestamp":"0x64b0c1a3",`, ``, 1) + "]",
		"[" + strings.Replace(l, `"blockHash"`, `"blockHash2"`, 1) + "]",
		"[" + strings.Replace(l, `"logIndex"`, `"log\u0049ndex"`, 1) + "]",
		"[" + strings.Replace(l, `"logIndex":`, `"logIndex" : `, 1) + "]",
		"[" + strings.Replace(l, `"0x5a"`, `"\u0030x5a"`, 1) + "]",
		"[" + strings.Replace(l, `"topics":[`, `"topics":[],"topics":[`, 1) + "]",
		"[" + strings.Replace(l, `,"data":`, `,"topics":null,"data":`, 1) + "]",
		"[" + strings.Replace(l, `"data":"0x`, `"data":"0x`+strings.Repeat("ab", 200), 1) + "]",
		"[" + strings.Replace(l, `"data":"0x`, `"data":"0x`+strings.Repeat("ab", 200_000), 1) + "]",
		"[" + strings.Replace(l, `"data":"0x`, `"data":"0xzz`, 1) + "]",
		"[" + strings.Replace(l, `"data":"0x0`, `"data":"0x`, 1) + "]",
		"[" + strings.Replace(l, `ddf252ad`, `ddf252zz`, 1) + "]",
		"[" + strings.Replace(l, `{"address"`, `{"a":{"b":[1,-2.5e+3,0.1,true,false,null,"\"\\\u12aF\/",{}],"c":{}},"address"`, 1) + "]",
		"[" + strings.Replace(l, `{"address"`, `{"a":[01],"address"`, 1) + "]",
		"[" + strings.Replace(l, `{"address"`, `{"a":"`+"\x01"+`","address"`, 1) + "]",
		"[" + strings.Replace(l, `{"address"`, `{"a":"\x","address"`, 1) + "]",
		"[" + strings.Replace(l, `{"address"`, `{"a":nul,"address"`, 1) + "]",
		"[" + strings.Replace(l, `{"address"`, `{"a":-,"address"`, 1) + "]",
		"[" + strings.Replace(l, `{"address"`, `{"a":1.,"address"`, 1) + "]",
		"[" + strings.Replace(l, `{"address"`, `{"a":1e,"address"`, 1) + "]",
		"[" + strings.Replace(l, `{"address"`, `{"`+strings.Repeat("k", 100_000)+`":1,"address"`, 1) + "]",
		"[" + strings.Replace(l, `{"address"`, `{"a":`+strings.Repeat("[", 9000)+strings.Repeat("]", 9000)+`,"address"`, 1) + "]",
		"[" + strings.Replace(l, `{"address"`, `{"a":`+strings.Repeat("[", 11_000)+strings.Repeat("]", 11_000)+`,"address"`, 1) + "]",
	}
	topic := `"0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef",`
	for n := 1; n < 4; n++ {
		out = append(out, "["+strings.Replace(l, topic, strings.Repeat(topic, n), 1)+"]")
	}
	return out
}

// folded reports whether encoding/json takes a key for a member's name that is
// not: it does not tell capital letters from small ones.
func folded(in []byte) bool {
	d := json.NewDecoder(bytes.NewReader(in))
	for {
		tok, err := d.Token()
		if err != nil {
			return false
		}
		for _, name := range []string{"address", "topics", "data", "blockNumber", "blockHash", "blockTimestamp", "transactionHash", "transactionIndex", "logIndex", "removed"} {
			if s, ok := tok.(string); ok && s != name && strings.EqualFold(s, name) {
				return true
			}
		}
	}
}

func sameLogs(t *testing.T, in []byte) {
	t.Helper()
	if folded(in) {
		return
	}
	want, ok := plainLogs(in)
	for name, r := range map[string]io.Reader{"at once": bytes.NewReader(in), "by halves": iotest.HalfReader(bytes.NewReader(in))} {
		got, err := scanLogs(r)
		if (err == nil) != ok {
			t.Fatalf("%s: %.300q: the scanner says %v, encoding/json takes it: %v", name, in, err, ok)
		}
		if err == nil && fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%s: %.300q is %v, want %v", name, in, got, want)
		}
	}
}

func TestScan(t *testing.T) {
	for _, in := range samples() {
		sameLogs(t, []byte(in))
		if len(in) < 3000 { // every cut and, of short ones, every byte by itself
			for cut := range len(in) {
				sameLogs(t, []byte(in[:cut]))
			}
			want, _ := scanLogs(strings.NewReader(in))
			got, _ := scanLogs(iotest.OneByteReader(strings.NewReader(in)))
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("byte by byte, %q is %v, want %v", in, got, want)
			}
		}
	}
	if got, _ := scanLogs(strings.NewReader("[" + sampleLog + "]")); len(got) != 1 || got[0].Index != 0x5a || got[0].Size != 32 {
		t.Errorf("the sample is %+v", got)
	}
}

// TestScanLarge reads far more than a buffer holds, with long values anywhere.
func TestScanLarge(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	var b strings.Builder
	b.WriteByte('[')
	for i := range 2000 {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strings.Replace(sampleLog, `"data":"0x`, `"data":"0x`+strings.Repeat("cd", rng.IntN(2000)), 1))
	}
	b.WriteByte(']')
	sameLogs(t, []byte(b.String()))
}

// TestScanStops passes on what emit and the reader say.
func TestScanStops(t *testing.T) {
	stop := errors.New("stop")
	n := 0
	err := newScanner(strings.NewReader("[" + sampleLog + "," + sampleLog + "]")).logs(func(*log) error { n++; return stop })
	if !errors.Is(err, stop) || n != 1 {
		t.Errorf("after %d logs: %v", n, err)
	}
	if _, err := scanLogs(io.MultiReader(strings.NewReader("["+sampleLog), iotest.ErrReader(errTooLarge))); !errors.Is(err, errTooLarge) {
		t.Errorf("the reader's error becomes %v", err)
	}
	if _, err := scanLogs(strings.NewReader("[" + sampleLog)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("an end in the midst is %v", err)
	}
}

// TestUnhex tries every byte in every place.
func TestUnhex(t *testing.T) {
	for n := 1; n <= 9; n++ {
		digits := bytes.Repeat([]byte("5"), 2*n)
		for at := range digits {
			for c := range 256 {
				digits[at] = byte(c)
				got, want := make([]byte, n), make([]byte, n)
				_, err := hex.Decode(want, digits)
				if ok := unhex(got, digits); ok != (err == nil) || ok && !bytes.Equal(got, want) {
					t.Fatalf("unhex(%q) = %x, %v, want %x, %v", digits, got, ok, want, err)
				}
			}
			digits[at] = "0123456789abcdefABCDEF"[(at*7+n)%22]
		}
	}
}

func FuzzScan(f *testing.F) {
	for _, in := range samples() {
		if len(in) < 10_000 {
			f.Add([]byte(in))
		}
	}
	f.Fuzz(func(t *testing.T, in []byte) { sameLogs(t, in) })
}

// FuzzValue skips any JSON as encoding/json would, and returns it as it is.
func FuzzValue(f *testing.F) {
	for _, in := range []string{`{"a":[1,2.5e-3,"x\u00e9\n",null,true,false,{}]}`, `"\ud800"`, "1e5", "-0", "00", `{"a":1,}`, "tru", "[[[]]]", " 1 ", "\"\xff\""} {
		f.Add([]byte(in))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var want json.RawMessage
		ok := json.NewDecoder(bytes.NewReader(in)).Decode(&want) == nil
		for _, r := range []io.Reader{bytes.NewReader(in), iotest.OneByteReader(bytes.NewReader(in))} {
			got, err := newScanner(r).value()
			if (err == nil) != ok || ok && !bytes.Equal(got, want) {
				t.Fatalf("%q is %q, %v, want %q, %v", in, got, err, want, ok)
			}
		}
	})
}

// BenchmarkDecode decodes an answer of 10,000 logs: by this package, with all
// checks and into transfers; by the scanner alone; and by go-ethereum's client,
// beside which x-ethclient is how many times as fast the others are.
func BenchmarkDecode(b *testing.B) {
	const n = 10_001 // 10,000 would look like a limit
	var text strings.Builder
	text.WriteByte('[')
	for i := range n {
		if i > 0 {
			text.WriteByte(',')
		}
		text.WriteString(strings.NewReplacer(`"0x5a"`, fmt.Sprintf(`"0x%x"`, i%500), `"0x10a0b1c"`, fmt.Sprintf(`"0x%x"`, 0x10a0b1c+i/500), "4e3a3754", fmt.Sprintf("%08x", i/500)).Replace(sampleLog))
	}
	text.WriteByte(']')
	logs := text.String()
	transport := pipe(func(r *http.Request) (*http.Response, error) {
		var q question
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			return nil, err
		}
		return reply(200, `{"jsonrpc":"2.0","id":`+string(q.ID)+`,"result":`+logs+"}"), nil
	})
	client := 0.0
	measure := func(b *testing.B, decode func() (int, error)) {
		b.SetBytes(int64(len(logs)))
		b.ReportAllocs()
		for b.Loop() {
			if got, err := decode(); err != nil || got != n {
				b.Fatalf("%d logs, %v", got, err)
			}
		}
		took := b.Elapsed().Seconds() / float64(b.N)
		client = cmp.Or(client, took) // the first
		b.ReportMetric(n/took, "logs/s")
		b.ReportMetric(client/took, "x-ethclient")
	}
	b.Run("ethclient", func(b *testing.B) {
		c, err := rpc.DialOptions(b.Context(), "http://127.0.0.1:1", rpc.WithHTTPClient(&http.Client{Transport: transport}))
		if err != nil {
			b.Fatal(err)
		}
		e := ethclient.NewClient(c)
		measure(b, func() (int, error) {
			got, err := e.FilterLogs(b.Context(), ethereum.FilterQuery{})
			return len(got), err
		})
	})
	b.Run("transfers", func(b *testing.B) {
		c := newClient(b, "http://127.0.0.1:1")
		c.nodes[0].http.Transport = transport
		s := &Source{c: c, chain: tracer.Chain{ID: 1}, hashes: make(map[uint64]common.Hash)}
		all := &filter{topics: []any{}, matches: func(*log) bool { return true }}
		measure(b, func() (int, error) {
			got, err := s.fetchLogs(b.Context(), newPurse(0, new(counter)), all, stretch{0, 0x10a0b1c + n})
			s.reuse(got.ts) // as when they were copied
			return len(got.ts), err
		})
	})
	b.Run("scanner", func(b *testing.B) {
		measure(b, func() (got int, err error) {
			err = newScanner(strings.NewReader(logs)).logs(func(*log) error { got++; return nil })
			return got, err
		})
	})
}

// TestScanLong reads values that are far longer than a buffer, in small parts,
// and does not look at them again and again.
func TestScanLong(t *testing.T) {
	long := strings.Repeat("ab", 20<<20)
	start := time.Now()
	raw, err := newScanner(&dribble{strings.NewReader(`"` + long + `"`)}).value()
	if err != nil || len(raw) != len(long)+2 {
		t.Fatalf("%d bytes, %v", len(raw), err)
	}
	got, err := scanLogs(&dribble{strings.NewReader("[" + strings.Replace(sampleLog, `"data":"0x`, `"data":"0x`+long, 1) + "]")})
	if err != nil || len(got) != 1 || got[0].Size != 20<<20+32 {
		t.Fatalf("%d logs, %v", len(got), err)
	}
	t.Log(time.Since(start))
}

// dribble reads a little at a time.
type dribble struct{ r io.Reader }

func (d *dribble) Read(p []byte) (int, error) { return d.r.Read(p[:min(len(p), 4096)]) }
