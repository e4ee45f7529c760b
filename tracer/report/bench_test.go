//go:build unix

package report

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"strconv"
	"syscall"
	"testing"
	"time"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/label"
	"scamtrace/tracer/price"
	"scamtrace/tracer/walk"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/holiman/uint256"
)

// A wide is a source with one payment that spreads over n transfers: the seed
// pays a thousandth as many wallets, each of which pays a hundred others ten
// times. Two transfers share a transaction, and twenty a block.
type wide struct {
	ts []tracer.Transfer
	by map[common.Address][]int
}

func newWide(n int) *wide {
	w := &wide{by: make(map[common.Address][]int)}
	usdt := tracer.TokenOf(devnet.ChainID, devnet.Chain().Tokens[0].Address)
	address := func(kind, i int) common.Address {
		return common.BytesToAddress(crypto.Keccak256(fmt.Append(nil, kind, " ", i)))
	}
	add := func(from, to common.Address, amount uint64) {
		k := len(w.ts)
		w.ts = append(w.ts, tracer.Transfer{
			Asset: usdt, From: from, To: to, Amount: *uint256.NewInt(amount), Kind: tracer.KindToken, Position: strconv.Itoa(k % 20),
			Block: uint64(k/20 + 1), BlockHash: crypto.Keccak256Hash([]byte("block"), fmt.Append(nil, k/20)), Time: uint64(1740960000 + k/20*12),
			Tx: crypto.Keccak256Hash(fmt.Append(nil, k/2)), TxIndex: uint32(k % 20 / 2),
		})
		w.by[from] = append(w.by[from], k)
		w.by[to] = append(w.by[to], k)
	}
	add(address(0, 1), address(0, 0), uint64(n)*1_000_000)
	add(address(0, 1), address(0, 2), 1) // alone with the payment in its transaction
	for i := range n / 1000 {
		add(address(0, 0), address(1, i), 1000*1_000_000)
	}
	for i := range n / 1000 {
		for k := range 1000 {
			add(address(1, i), address(2, i*100+k%100), 1_000_000-uint64(k))
		}
	}
	return w
}

func (w *wide) Pin(context.Context) (tracer.Block, error) {
	last := w.ts[len(w.ts)-1]
	return tracer.Block{Number: last.Block, Hash: last.BlockHash, Time: last.Time}, nil
}

func (w *wide) BlockAt(context.Context, uint64) (uint64, error) { return 0, nil }

func (w *wide) Transfers(_ context.Context, q tracer.Query) (tracer.Answer, error) {
	ans := tracer.Answer{Requests: 1}
	for _, s := range q.Spans {
		for _, k := range w.by[s.Wallet] {
			if t := &w.ts[k]; s.From <= t.Block && t.Block <= s.To {
				ans.Transfers = append(ans.Transfers, *t)
			}
		}
	}
	ans.Transfers = tracer.SortTransfers(ans.Transfers)
	return ans, nil
}

func (w *wide) Transactions(_ context.Context, txs []common.Hash, _ int) (tracer.Answer, error) {
	ans := tracer.Answer{Requests: 1}
	for _, tx := range txs {
		for i := range w.ts {
			if w.ts[i].Tx == tx {
				ans.Transfers = append(ans.Transfers, w.ts[i])
			}
		}
	}
	return ans, nil
}

// wideInput walks a case of about n traced transfers.
func wideInput(tb testing.TB, n int) Input {
	tb.Helper()
	w := newWide(n)
	o := walk.Options{Chain: devnet.Chain(), Limits: walk.Limits{Hub: n * 2, Wallets: n, MinUSD: 100 * tracer.Dollar}}
	labels, prices := new(label.Set), price.New(devnet.Chain())
	o.Know(labels, prices)
	res, err := walk.Run(tb.Context(), w, []tracer.Seed{{Tx: w.ts[0].Tx}, {Wallet: w.ts[0].To}}, o)
	if err != nil {
		tb.Fatal(err)
	}
	if got := len(res.Books.Moves); got < n {
		tb.Fatalf("the case has %d traced transfers, want %d", got, n)
	}
	return Input{Walk: res, Labels: labels, Prices: prices, Version: "test", Source: "a list"}
}

// BenchmarkBuild builds a report. ns/transfer stays the same however many there are.
func BenchmarkBuild(b *testing.B) {
	for _, n := range []int{10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			in := wideInput(b, n)
			b.ReportAllocs()
			for b.Loop() {
				if r := Build(in); len(r.Transfers) < n {
					b.Fatal("transfers are missing")
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/transfer")
		})
	}
}

// BenchmarkWrite writes each file of a report with 1,000,000 traced transfers
// between 100,000 wallets, and beside it encoding/json and encoding/xml the same.
func BenchmarkWrite(b *testing.B) {
	const n = 1_000_000
	r := Build(wideInput(b, n))
	if err := r.hold(); err != nil {
		b.Fatal(err)
	}
	run := func(name string, write func() (int, error)) {
		b.Run(name, func(b *testing.B) {
			size, before := 0, cpu(b)
			for b.Loop() {
				var err error
				if size, err = write(); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(int64(size))
			b.ReportMetric(float64((cpu(b)-before).Milliseconds())/float64(b.N), "cpu-ms/op")
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "transfers/s")
			b.ReportMetric(float64(size)/n, "B/transfer")
		})
	}
	for _, w := range writers() {
		run(w.name, func() (int, error) {
			data, err := w.write(r)
			return len(data), err
		})
	}
	run("encoding-json", func() (int, error) {
		data, err := json.Marshal(r)
		return len(data), err
	})
	// What GraphML the library would write of the same wallets and flows.
	type data struct {
		Key   string `xml:"key,attr"`
		Value string `xml:",chardata"`
	}
	type node struct {
		XMLName xml.Name `xml:"node"`
		ID      string   `xml:"id,attr"`
		Data    []data   `xml:"data"`
	}
	type edge struct {
		XMLName xml.Name `xml:"edge"`
		ID      string   `xml:"id,attr"`
		Source  string   `xml:"source,attr"`
		Target  string   `xml:"target,attr"`
		Data    []data   `xml:"data"`
	}
	run("encoding-xml", func() (int, error) {
		var out bytes.Buffer
		e := xml.NewEncoder(&out)
		for i := range r.Wallets {
			x := node{ID: r.Wallets[i].Address}
			for _, a := range nodeAttributes {
				if v := a.value(&r.Wallets[i]); v != "" {
					x.Data = append(x.Data, data{"n." + a.name, v})
				}
			}
			if err := e.Encode(x); err != nil {
				return 0, err
			}
		}
		k := 0
		for kind, f := range r.edges {
			x := edge{ID: "f" + strconv.Itoa(k), Source: f.From, Target: f.To, Data: []data{{"e.kind", kind}}}
			for _, a := range edgeAttributes {
				if v := a.value(f); v != "" {
					x.Data = append(x.Data, data{"e." + a.name, v})
				}
			}
			if err := e.Encode(x); err != nil {
				return 0, err
			}
			k++
		}
		return out.Len(), e.Close()
	})
	run("sums-and-shapes", func() (int, error) { return 0, errors.Join(r.hold(), r.check()) })
	run("verify", func() (int, error) {
		data, err := appendJSON(nil, r)
		if err != nil {
			return 0, err
		}
		return len(data), decode(data, new(Report))
	})
}

// cpu is the processor time of the process so far: on a machine that is shared,
// what may be compared.
func cpu(tb testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
