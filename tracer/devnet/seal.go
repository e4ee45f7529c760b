package devnet

import (
	"bytes"
	"runtime"
	"sync"
	"sync/atomic"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/trie"
)

// A seal is what the header of a block says about its transactions.
type seal struct {
	txs, receipts common.Hash
	bloom         types.Bloom
	used          uint64
}

// seal hashes transactions, receipts and headers.
func (c *chain) seal(head uint64) {
	c.firstTx = make([]uint32, head+2)
	c.sealOf = make([]int32, head+1)
	c.blocks = make([]tracer.Block, head+1)
	var full []uint64
	at := uint32(0)
	for n := range head + 1 {
		c.firstTx[n], c.sealOf[n] = at, -1
		for int(at) < len(c.txs) && uint64(c.txs[at].block) == n {
			at++
		}
		if at > c.firstTx[n] {
			c.sealOf[n] = int32(len(full))
			full = append(full, n)
		}
	}
	c.firstTx[head+1] = at
	c.sealed = make([]seal, len(full))

	// The blocks do not depend on each other until their headers are chained.
	const chunk = 64
	var next atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			h := trie.NewListHasher()
			for {
				from := int(next.Add(chunk)) - chunk
				if from >= len(full) {
					return
				}
				for i := from; i < min(from+chunk, len(full)); i++ {
					c.sealed[i] = c.sealBlock(full[i], h)
				}
			}
		})
	}
	wg.Wait()

	var parent common.Hash
	for n := range head + 1 {
		h := c.header(n, parent, nil)
		parent = h.Hash()
		c.blocks[n] = tracer.Block{Number: n, Hash: parent, Time: h.Time}
	}
}

// encoded is a list of encoded elements whose root can be derived.
type encoded [][]byte

func (e encoded) Len() int                           { return len(e) }
func (e encoded) EncodeIndex(i int, w *bytes.Buffer) { w.Write(e[i]) }

func (c *chain) sealBlock(n uint64, h types.ListHasher) seal {
	var s seal
	var txs encoded
	for i := c.firstTx[n]; i < c.firstTx[n+1]; i++ {
		b, err := c.typed(i).MarshalBinary()
		if err != nil {
			panic("devnet: encode a transaction: " + err.Error()) // numbers only, it cannot fail
		}
		c.txs[i].hash = crypto.Keccak256Hash(b)
		txs = append(txs, b)
	}
	receipts := c.receipts(n)
	for _, r := range receipts {
		s.used = r.CumulativeGasUsed
		for i := range s.bloom {
			s.bloom[i] |= r.Bloom[i]
		}
	}
	s.txs = types.DeriveSha(txs, h)
	s.receipts = types.DeriveSha(receipts, h)
	return s
}

// receipts returns the consensus fields of the receipts of a block.
func (c *chain) receipts(n uint64) types.Receipts {
	var rs types.Receipts
	used := uint64(0)
	for i := c.firstTx[n]; i < c.firstTx[n+1]; i++ {
		t := &c.txs[i]
		used += uint64(t.used)
		r := &types.Receipt{Type: types.DynamicFeeTxType, Status: types.ReceiptStatusSuccessful, CumulativeGasUsed: used}
		if t.failed {
			r.Status = types.ReceiptStatusFailed
		}
		for j := t.event; j < c.firstEvent(i+1); j++ {
			a, topics, data := c.log(j)
			r.Logs = append(r.Logs, &types.Log{Address: a, Topics: topics, Data: data})
		}
		r.Bloom = types.CreateBloom(r)
		rs = append(rs, r)
	}
	return rs
}
