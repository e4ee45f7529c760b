package graphstore

import (
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"scamtrace/tracer"

	"github.com/dominikbraun/graph"
	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
)

// engineVar makes the test binary a process that does the whole job with one
// engine, for BenchmarkWhole: "ours" or "library", a colon, and the input file.
const engineVar = "GRAPHSTORE_BENCH_ENGINE"

// A record in the input file: two addresses, an amount of 96 bits, a block, a
// count and an asset.
const recordLen = 20 + 20 + 8 + 4 + 4 + 2 + 1

func writeRecords(file string, rs []record) error {
	le := binary.LittleEndian
	b := make([]byte, 0, recordLen*len(rs))
	for i := range rs {
		r := &rs[i]
		b = append(b, r.from[:]...)
		b = append(b, r.to[:]...)
		b = le.AppendUint64(b, r.amount[0])
		b = le.AppendUint32(b, uint32(r.amount[1]))
		b = le.AppendUint32(b, r.block)
		b = le.AppendUint16(b, uint16(r.count))
		b = append(b, r.asset)
	}
	return os.WriteFile(file, b, 0o600)
}

// read calls f with what writeRecords wrote, one flow after the other, until f
// returns false.
func read(file string, f func(*Pair, *Flow) bool) {
	in, err := os.Open(file)
	if err != nil {
		panic(err)
	}
	defer in.Close()
	le := binary.LittleEndian
	pair := Pair{From: tracer.Wallet{Chain: 1}, To: tracer.Wallet{Chain: 1}}
	var flow Flow
	buf := make([]byte, 4000*recordLen)
	for {
		n, err := io.ReadFull(in, buf)
		for in := buf[:n]; len(in) > 0; in = in[recordLen:] {
			b := (*[recordLen]byte)(in)
			pair.From.Address, pair.To.Address = common.Address(b[:20]), common.Address(b[20:40])
			flow.Amount = uint256.Int{le.Uint64(b[40:]), uint64(le.Uint32(b[48:]))}
			flow.First, flow.Transfers = uint64(le.Uint32(b[52:])), uint32(le.Uint16(b[56:]))
			flow.Last = flow.First + uint64(flow.Transfers)
			flow.Asset = benchAssets[b[58]]
			if !f(&pair, &flow) {
				return
			}
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return
		} else if err != nil {
			panic(err)
		}
	}
}

// TestMain runs the tests, or the job of a process that BenchmarkWhole started.
func TestMain(m *testing.M) {
	if engine, file, ok := strings.Cut(os.Getenv(engineVar), ":"); ok {
		whole(engine, file)
		return
	}
	os.Exit(m.Run())
}

// whole loads and builds, searches from one wallet, and finds the components.
// It prints the answer.
func whole(engine, file string) {
	var first common.Address
	read(file, func(p *Pair, _ *Flow) bool {
		first = p.From.Address
		return false
	})
	reached, components := 0, 0
	switch engine {
	case "ours":
		s := New()
		l := s.Loader()
		read(file, func(p *Pair, f *Flow) bool {
			l.Add(p, f)
			return true
		})
		l.Close()
		v := s.Freeze()
		from, _ := v.ID(tracer.Wallet{Chain: 1, Address: first})
		for _, d := range v.Depths([]uint32{from}, -1) {
			if d >= 0 {
				reached++
			}
		}
		_, components = v.Components()
	case library:
		g := graph.New(stringHash, graph.Directed())
		read(file, func(p *Pair, f *Flow) bool {
			addLibrary(g, *p, *f)
			return true
		})
		err := graph.BFS(g, string(first[:]), func(string) bool { reached++; return false })
		if err != nil {
			panic(err)
		}
		components = libraryComponents(g)
	}
	// The kernel's own figure: what a parent is told of its child's peak
	// begins at the parent's.
	if status, err := os.ReadFile("/proc/self/status"); err == nil {
		_, hwm, _ := strings.Cut(string(status), "VmHWM:")
		fields := strings.Fields(hwm)
		if len(fields) > 0 {
			fmt.Println("peak", fields[0])
		}
	}
	fmt.Println("answer", reached, components)
}

var wholeFlows = flag.Int("flows", million, "how many flows BenchmarkWhole works on")

// BenchmarkWhole does the whole job in a process of its own with each engine,
// and compares their processor times and their peaks of memory. More flows than
// the library has memory for are worked on with
//
//	go test -run '^$' -bench Whole/ours ./graphstore -flows 10000000
func BenchmarkWhole(b *testing.B) {
	rs := millionFlows()
	if *wholeFlows != million {
		rs = powerLaw(*wholeFlows, 1)
	}
	file := filepath.Join(b.TempDir(), "flows")
	if err := writeRecords(file, rs); err != nil {
		b.Fatal(err)
	}
	c := make(costs)
	peaks := make(map[string]float64)
	answers := make(map[string]string)
	for _, engine := range []string{library, "ours"} {
		b.Run(engine, func(b *testing.B) {
			var cpu time.Duration
			var peak float64
			for b.Loop() {
				cmd := exec.Command(os.Args[0])
				cmd.Env = append(os.Environ(), engineVar+"="+engine+":"+file)
				out, err := cmd.CombinedOutput()
				if err != nil {
					b.Fatalf("%v\n%s", err, out)
				}
				_, answer, _ := strings.Cut(string(out), "answer ")
				answers[engine] = strings.TrimSpace(answer)
				cpu += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
				var kb float64
				if _, err := fmt.Sscanf(string(out), "peak %f", &kb); err == nil {
					peak = max(peak, kb/1024)
				}
			}
			c.report(b, engine, cpu/time.Duration(b.N))
			peaks[engine] = peak
			b.ReportMetric(peak, "peak-MiB")
			if lib := peaks[library]; lib > 0 && engine != library {
				b.ReportMetric(lib/peaks[engine], "x-library-peak")
			}
		})
	}
	if a, b2 := answers["ours"], answers[library]; a != "" && b2 != "" && a != b2 {
		b.Errorf("our answer is %q, the library's %q", a, b2)
	}
}
