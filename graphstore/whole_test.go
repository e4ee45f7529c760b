package graphstore

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"iter"
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

const recordLen = 20 + 20 + 1 + 16 + 4 + 4

func writeRecords(file string, rs []record) error {
	var b bytes.Buffer
	for i := range rs {
		r := &rs[i]
		b.Write(r.from[:])
		b.Write(r.to[:])
		b.WriteByte(r.asset)
		amount := r.amount.Bytes32()
		b.Write(amount[16:])
		binary.Write(&b, binary.BigEndian, r.count)
		binary.Write(&b, binary.BigEndian, r.block)
	}
	return os.WriteFile(file, b.Bytes(), 0o600)
}

// records yields what writeRecords wrote.
func records(file string) iter.Seq2[Pair, Flow] {
	return func(yield func(Pair, Flow) bool) {
		f, err := os.Open(file)
		if err != nil {
			panic(err)
		}
		defer f.Close()
		buf := make([]byte, 1000*recordLen)
		for {
			n, err := io.ReadFull(f, buf)
			for b := buf[:n]; len(b) > 0; b = b[recordLen:] {
				first, count := binary.BigEndian.Uint32(b[61:]), binary.BigEndian.Uint32(b[57:])
				if !yield(Pair{
					tracer.Wallet{Chain: 1, Address: common.Address(b[:20])},
					tracer.Wallet{Chain: 1, Address: common.Address(b[20:40])},
				}, Flow{
					Asset:     benchAssets[b[40]],
					Amount:    uint256.Int{binary.BigEndian.Uint64(b[49:]), binary.BigEndian.Uint64(b[41:])},
					Transfers: count, First: uint64(first), Last: uint64(first + count),
				}) {
					return
				}
			}
			if err != nil {
				return
			}
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
	for p := range records(file) {
		first = p.From.Address
		break
	}
	reached, components := 0, 0
	switch engine {
	case "ours":
		s := New()
		s.AddFlows(records(file))
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
		for p, f := range records(file) {
			addLibrary(g, p, f)
		}
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
// and compares their processor times and peaks of memory. More flows than the
// library has memory for are worked on with
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
					peaks[engine] = max(peaks[engine], kb/1024)
				}
			}
			c.report(b, engine, cpu/time.Duration(b.N))
			b.ReportMetric(peaks[engine], "peak-MiB")
			if lib := peaks[library]; lib > 0 && engine != library {
				b.ReportMetric(lib/peaks[engine], "x-library-peak")
			}
		})
	}
	if a, b2 := answers["ours"], answers[library]; a != "" && b2 != "" && a != b2 {
		b.Errorf("our answer is %q, the library's %q", a, b2)
	}
}
