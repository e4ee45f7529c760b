package main

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
)

// plant writes a file in which a case stands among strangers, and returns its
// name. The strangers' payments have sizes and times like those of the case.
//
//   - Exchanges that nobody labelled: tens of thousands of payments in and out,
//     through a deposit address of each customer. They pay out more than they
//     are seen to get.
//   - Small services with hundreds of payments, too few to be known by that.
//   - People who withdraw from an exchange, pay each other, some of them many
//     and some in a circle, and deposit again.
//   - People who pay wallets of the case, before and while the case runs, and a
//     few whom these pay small sums, with money coming back.
//   - Where the case ends, most wallets turn out to be deposit addresses of an
//     exchange or a small service, and pass on what they get.
//   - Dust from look-alikes of wallets of the case.
func (c *launderCase) plant(t *testing.T) string {
	t.Helper()
	p := newPlanter(c)
	const exchanges, services, perExchange, perService = 4, 4, 8_000, 700
	var hot, small []common.Address
	for range exchanges {
		hot = append(hot, p.address())
	}
	for range services {
		small = append(small, p.address())
	}
	people := make([]common.Address, 4*len(c.wallets))
	for i := range people {
		people[i] = p.address()
	}
	// somebody is one of the people, some far more often than others.
	somebody := func() common.Address { return people[int(float64(len(people))*math.Pow(p.rng.Float64(), 3))] }
	for i, h := range slices.Concat(hot, small) {
		n := perExchange
		if i >= exchanges {
			n = perService
		}
		for range n / 3 { // a deposit is two payments
			deposit, at, v := p.address(), p.time(), p.cents()
			p.pay(somebody(), deposit, at, v)
			p.pay(deposit, h, at+p.wait(1), v)
			p.pay(h, somebody(), p.time(), p.cents())
		}
	}
	for _, a := range people {
		at := p.time()
		for range 1 + int(4*math.Pow(p.rng.Float64(), 4)) {
			b := somebody()
			at += p.wait(24)
			p.pay(a, b, at, p.cents())
			if p.rng.IntN(5) == 0 {
				p.pay(b, a, at+p.wait(24), p.cents())
			}
		}
	}
	for _, a := range p.sorted(c.wallets) {
		if c.terminals[a] {
			continue
		}
		if p.rng.IntN(3) == 0 {
			for range 1 + p.rng.IntN(3) {
				p.pay(somebody(), a, p.time(), p.cents())
			}
		}
		if p.rng.IntN(20) == 0 {
			b, at, v := somebody(), p.time(), 1+p.rng.Uint64N(5_000)
			p.pay(a, b, at, v)
			p.pay(b, a, at+p.wait(24), v)
		}
		if p.rng.IntN(5) == 0 {
			twin := p.address()
			copy(twin[:2], a[:2])
			copy(twin[18:], a[18:])
			p.pay(twin, a, p.time(), 1)
		}
	}
	to := make(map[common.Address]common.Address)
	for _, a := range p.sorted(c.terminals) {
		switch n := p.rng.IntN(10); {
		case n < 6:
			to[a] = hot[p.rng.IntN(len(hot))]
		case n < 7:
			to[a] = small[p.rng.IntN(len(small))]
		}
	}
	for _, r := range c.records {
		if b, ok := to[r.to]; ok {
			p.pay(r.to, b, r.time+p.wait(2), r.cents)
		}
	}
	file := filepath.Join(t.TempDir(), "planted.csv")
	if err := os.WriteFile(file, p.csv(), 0o666); err != nil {
		t.Fatal(err)
	}
	return file
}

// A planter makes up payments.
type planter struct {
	rng         *rand.Rand
	records     []record
	first, last record // of the case, by time
	mean, sigma float64
	blocks      []record // of the case, one a block, in order
}

func newPlanter(c *launderCase) *planter {
	p := &planter{rng: rand.New(rand.NewPCG(uint64(len(c.records)), 1)), records: slices.Clone(c.records)}
	byTime := func(a, b record) int { return cmp.Compare(a.time, b.time) }
	p.first, p.last = slices.MinFunc(c.records, byTime), slices.MaxFunc(c.records, byTime)
	for _, r := range c.records {
		p.mean += math.Log(float64(r.cents)) / float64(len(c.records))
	}
	for _, r := range c.records {
		d := math.Log(float64(r.cents)) - p.mean
		p.sigma += d * d / float64(len(c.records))
	}
	p.sigma = math.Sqrt(p.sigma)
	p.blocks = slices.Clone(c.records)
	slices.SortFunc(p.blocks, func(a, b record) int { return cmp.Compare(a.block, b.block) })
	p.blocks = slices.CompactFunc(p.blocks, func(a, b record) bool { return a.block == b.block })
	return p
}

func (p *planter) bytes(dst []byte) {
	for i := 0; i < len(dst); i += 8 {
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], p.rng.Uint64())
		copy(dst[i:], b[:])
	}
}

func (p *planter) address() (a common.Address) {
	p.bytes(a[:])
	return a
}

func (p *planter) sorted(set map[common.Address]bool) []common.Address {
	var as []common.Address
	for a := range set {
		as = append(as, a)
	}
	slices.SortFunc(as, common.Address.Cmp)
	return as
}

// cents is the size of a payment, spread like those of the case.
func (p *planter) cents() uint64 {
	return max(1, uint64(math.Exp(min(p.mean+p.sigma*p.rng.NormFloat64(), 25))))
}

// time is a moment from a month before the case to a month after.
func (p *planter) time() uint64 {
	const month = 30 * 24 * 3600
	return p.first.time - month + p.rng.Uint64N(p.last.time-p.first.time+2*month)
}

// wait is up to so many hours, in seconds.
func (p *planter) wait(hours uint64) uint64 { return 60 + p.rng.Uint64N(hours*3600) }

// pay adds a payment in a transaction of its own.
func (p *planter) pay(from, to common.Address, at, cents uint64) {
	if from == to {
		return
	}
	r := record{flow: flow{from: from, to: to}, cents: cents}
	r.block, r.time = p.block(at)
	p.bytes(r.tx[:])
	p.records = append(p.records, r)
}

// block returns a block of about a time, and its time: in step with the blocks
// of the case, and twelve seconds each before and after.
func (p *planter) block(at uint64) (number, time uint64) {
	first, last := p.blocks[0], p.blocks[len(p.blocks)-1]
	switch {
	case at <= first.time:
		n := (first.time - at) / 12
		return first.block - n, first.time - 12*n
	case at >= last.time:
		n := (at - last.time) / 12
		return last.block + n, last.time + 12*n
	}
	i := sort.Search(len(p.blocks), func(i int) bool { return p.blocks[i].time > at })
	a, b := p.blocks[i-1], p.blocks[i]
	n := (at - a.time) * (b.block - a.block) / (b.time - a.time)
	return a.block + n, a.time + n*(b.time-a.time)/(b.block-a.block)
}

// csv writes all payments in the form of the case's own file.
func (p *planter) csv() []byte {
	slices.SortStableFunc(p.records, func(a, b record) int { return cmp.Compare(a.block, b.block) })
	var b strings.Builder
	b.WriteString("Timestamp,Block,Tx_hash,From,From_label,To,To_label,Value_in_USD\n")
	for _, r := range p.records {
		fmt.Fprintf(&b, "%s,%d,%s,%s,,%s,,%d.%02d\n", time.Unix(int64(r.time), 0).UTC().Format(time.DateTime), r.block, r.tx.Hex(), r.from.Hex(), r.to.Hex(), r.cents/100, r.cents%100)
	}
	return []byte(b.String())
}
