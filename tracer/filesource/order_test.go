package filesource

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
)

// A move of one dollar or more in a block: transaction, sender, receiver, cents.
type step struct{ tx, from, to, cents int }

// block reads steps as one block of a list without transaction indexes, but
// for those that index gives, and returns the transactions in the order found.
func block(t testing.TB, steps []step, index map[int]int) []int {
	t.Helper()
	var b strings.Builder
	b.WriteString("chain_id,block_number,block_time,tx_hash,tx_index,log_index,kind,token_address,token_symbol,from_address,to_address,value,status\n")
	for i, s := range steps {
		place := ""
		if n, ok := index[s.tx]; ok {
			place = fmt.Sprint(n)
		}
		fmt.Fprintf(&b, "1,7,1700000000,%s,%s,%d,token,,USD,%s,%s,%d,1\n", hashOf(s.tx).Hex(), place, i, walletOf(s.from), walletOf(s.to), s.cents)
	}
	chain, _ := tracer.ChainByID(1)
	src, err := Read(chain, "l", strings.NewReader(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	var txs []int
	for i := range src.txs {
		txs = append(txs, int(binary.BigEndian.Uint32(src.txs[i].hash[28:])))
		if src.txs[i].index != uint32(i) && index == nil {
			t.Errorf("transaction %d of the block has index %d", i, src.txs[i].index)
		}
	}
	return txs
}

// hashOf is never the empty hash.
func hashOf(n int) (h common.Hash) {
	h[0] = 1
	binary.BigEndian.PutUint32(h[28:], uint32(n))
	return h
}

func walletOf(n int) string {
	a := common.Address{0: 1}
	binary.BigEndian.PutUint32(a[16:], uint32(n))
	return tracer.Hex(a)
}

func TestArrange(t *testing.T) {
	for _, tt := range []struct {
		name  string
		steps []step
		index map[int]int
		want  []int
	}{
		{"a chain, written backward", []step{{1, 3, 4, 5}, {2, 2, 3, 5}, {3, 1, 2, 5}}, nil, []int{3, 2, 1}},
		{"nothing to do with each other", []step{{1, 1, 2, 5}, {2, 3, 4, 5}, {3, 5, 6, 5}}, nil, []int{1, 2, 3}},
		{"a circle stays as it is", []step{{1, 2, 1, 5}, {2, 1, 2, 5}}, nil, []int{1, 2}},
		{"into a circle and out of it", []step{{1, 2, 9, 5}, {2, 1, 2, 5}, {3, 2, 1, 5}, {4, 8, 1, 5}}, nil, []int{4, 2, 3, 1}},
		{"a pass-through inside one transaction is no purse", []step{{1, 2, 3, 5}, {2, 1, 2, 5}, {2, 2, 4, 5}}, nil, []int{1, 2}},
		{"known places hold", []step{{1, 3, 4, 5}, {2, 2, 3, 5}, {3, 1, 2, 5}}, map[int]int{1: 4, 2: 5}, []int{1, 3, 2}},
		{"between known places", []step{{1, 1, 2, 5}, {2, 3, 4, 5}, {3, 2, 3, 5}}, map[int]int{1: 1, 2: 9}, []int{1, 3, 2}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := block(t, tt.steps, tt.index); !slices.Equal(got, tt.want) {
				t.Errorf("the order is %v, want %v", got, tt.want)
			}
		})
	}
}

// TestArrangeRandom shuffles blocks in which every wallet is filled before it
// is emptied: in the order found, nobody may spend what has not come yet.
func TestArrangeRandom(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		var steps []step
		for tx := range 2 + rng.IntN(40) {
			from := rng.IntN(20) // money runs from low numbers to high ones only
			steps = append(steps, step{tx, from, from + 1 + rng.IntN(6), 100})
		}
		rng.Shuffle(len(steps), func(i, j int) { steps[i], steps[j] = steps[j], steps[i] })
		of := make(map[int]step)
		fills := make(map[int]int) // still to come, by wallet
		for _, s := range steps {
			of[s.tx] = s
			fills[s.to]++
		}
		for _, tx := range block(t, steps, nil) {
			if s := of[tx]; fills[s.from] > 0 {
				t.Fatalf("in %v, %d is emptied before it is filled", steps, s.from)
			} else {
				fills[s.to]--
			}
		}
	}
}

// A chain of any length must not take the stack, or forever.
func TestArrangeLongChain(t *testing.T) {
	const n = 100_000
	steps := make([]step, n)
	for i := range steps {
		steps[i] = step{i, n - i, n - i + 1, 5} // the last one first
	}
	got := block(t, steps, nil)
	for i, tx := range got {
		if tx != n-1-i {
			t.Fatalf("transaction %d of the block is %d", i, tx)
		}
	}
}

// TestFormatsAreApart: no header may fit two formats, and each format's own
// fits it, with its optional columns and without.
func TestFormatsAreApart(t *testing.T) {
	for i := range formats {
		f := &formats[i]
		var all, least []string
		taken := make(map[field]bool)
		for _, c := range f.columns {
			name := strings.ReplaceAll(c.name, "*", "eth")
			if c.field != ignored && taken[c.field] {
				continue // another name for the same
			}
			taken[c.field] = true
			all = append(all, name)
			if !c.optional {
				least = append(least, name)
			}
		}
		for _, header := range [][]string{all, least} {
			got, _, err := detect(header)
			if err != nil || got != f {
				t.Errorf("%s: detect(%v) = %v, %v", f.name, header, got, err)
			}
		}
		for k := range formats {
			_, missing := formats[k].missing(least)
			fits := !missing && !slices.ContainsFunc(least, func(c string) bool { _, ok := formats[k].find(c); return !ok })
			if fits != (k == i) {
				t.Errorf("the header of %s fits %s: %v", f.name, formats[k].name, fits)
			}
		}
	}
}
