package graphstore

import (
	"bufio"
	"bytes"
	"encoding/binary"
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
func records(file string) iter.Seq[record] {
	return func(yield func(record) bool) {
		f, err := os.Open(file)
		if err != nil {
			panic(err)
		}
		defer f.Close()
		in := bufio.NewReaderSize(f, 1<<16)
		var buf [recordLen]byte
		for {
			if _, err := io.ReadFull(in, buf[:]); err == io.EOF {
				return
			} else if err != nil {
				panic(err)
			}
			r := record{asset: buf[40], count: binary.BigEndian.Uint32(buf[57:]), block: binary.BigEndian.Uint32(buf[61:])}
			copy(r.from[:], buf[:])
			copy(r.to[:], buf[20:])
			r.amount.SetBytes16(buf[41:57])
			if !yield(r) {
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
	for r := range records(file) {
		first = r.from
		break
	}
	reached, components := 0, 0
	switch engine {
	case "ours":
		info, err := os.Stat(file)
		if err != nil {
			panic(err)
		}
		s := New()
		s.Grow(int(info.Size() / recordLen))
		s.AddFlows(func(yield func(Pair, Flow) bool) {
			for r := range records(file) {
				if !yield(r.flow()) {
					return
				}
			}
		})
		v := s.Freeze()
		for range v.Reach([]tracer.Wallet{{Chain: 1, Address: first}}, -1) {
			reached++
		}
		_, components = v.Components()
	case "library":
		g := graph.New(stringHash, graph.Directed())
		for r := range records(file) {
			addLibrary(g, &r)
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

func BenchmarkWhole(b *testing.B) {
	file := filepath.Join(b.TempDir(), "flows")
	if err := writeRecords(file, millionFlows()); err != nil {
		b.Fatal(err)
	}
	answers := make(map[string]string)
	for _, engine := range []string{"ours", "library"} {
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
				answer, _, _ = strings.Cut(answer, "\n")
				answers[engine] = answer
				cpu += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
				var kb float64
				if _, err := fmt.Sscanf(string(out), "peak %f", &kb); err == nil {
					peak = max(peak, kb)
				}
			}
			b.ReportMetric(float64(cpu.Milliseconds())/float64(b.N), "cpu-ms/op")
			b.ReportMetric(peak/1024, "peak-MiB")
		})
	}
	if a, b2 := answers["ours"], answers["library"]; a != "" && b2 != "" && a != b2 {
		b.Errorf("our answer is %q, the library's %q", a, b2)
	}
}
