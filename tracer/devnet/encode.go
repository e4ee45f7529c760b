package devnet

import (
	"bytes"
	"slices"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/holiman/uint256"
)

// The answers are written by hand: reflection would take most of the time of a
// benchmark that is about the client.

func (b encodedJSON) big(key string, n *uint256.Int) encodedJSON {
	b = append(append(b, key...), '"')
	return append(append(b, n.Hex()...), '"')
}

func (b encodedJSON) comma(first bool) encodedJSON {
	if first {
		return b
	}
	return append(b, ',')
}

func (v view) appendBlock(b encodedJSON, n uint64, full bool) encodedJSON {
	c := v.w.chain
	h := v.header(n)
	if v.opts.Tron {
		h = bareHeader(h)
	}
	b = b.num(`{"number":`, n).hash(`,"hash":`, v.hash(n)).hash(`,"parentHash":`, h.ParentHash)
	b = b.bytes(`,"nonce":`, h.Nonce[:]).hash(`,"mixHash":`, h.MixDigest).hash(`,"sha3Uncles":`, h.UncleHash)
	b = b.bytes(`,"logsBloom":`, h.Bloom[:]).hash(`,"stateRoot":`, h.Root).address(`,"miner":`, h.Coinbase)
	b = b.num(`,"difficulty":`, 0).bytes(`,"extraData":`, h.Extra).num(`,"gasLimit":`, h.GasLimit).num(`,"gasUsed":`, h.GasUsed)
	b = b.num(`,"timestamp":`, h.Time).hash(`,"transactionsRoot":`, h.TxHash).hash(`,"receiptsRoot":`, h.ReceiptHash)
	b = b.num(`,"baseFeePerGas":`, h.BaseFee.Uint64()).num(`,"size":`, uint64(h.Size()))
	b = append(b, `,"uncles":[],"transactions":[`...)
	first := c.firstTx[n]
	for i := first; i < c.firstTx[n+1]; i++ {
		b = b.comma(i == first)
		if full {
			b = v.appendTx(b, i)
		} else {
			b = b.hash("", c.txs[i].hash)
		}
	}
	return append(b, `]}`...)
}

func (v view) header(n uint64) *types.Header {
	if v.fault == FaultReorg {
		if h := v.Node.fork().header(v.w.chain, n); h != nil {
			return h
		}
	}
	var parent common.Hash
	if n > 0 {
		parent = v.w.Blocks[n-1].Hash
	}
	return v.w.chain.header(n, parent, nil)
}

func (v view) appendTx(b encodedJSON, i uint32) encodedJSON {
	c := v.w.chain
	t := &c.txs[i]
	n := uint64(t.block)
	if v.opts.Tron {
		return v.appendTronTx(b, i)
	}
	b = b.hash(`{"blockHash":`, v.hash(n)).num(`,"blockNumber":`, n).num(`,"blockTimestamp":`, v.w.Blocks[n].Time)
	b = b.address(`,"from":`, c.addrs[t.from])
	b = v.appendTo(b, t).num(`,"gas":`, uint64(t.gas)).num(`,"gasPrice":`, t.price)
	b = b.num(`,"maxFeePerGas":`, t.price*2).num(`,"maxPriorityFeePerGas":`, 0).hash(`,"hash":`, t.hash)
	b = b.bytes(`,"input":`, c.input(i)).num(`,"nonce":`, uint64(t.nonce))
	b = b.num(`,"transactionIndex":`, uint64(i-c.firstTx[n])).big(`,"value":`, &t.value)
	var r uint256.Int
	r.SetBytes(c.addrs[t.from][:])
	b = b.num(`,"type":`, types.DynamicFeeTxType).num(`,"chainId":`, c.id)
	b = b.num(`,"v":`, 0).big(`,"r":`, &r).num(`,"s":`, 1).num(`,"yParity":`, 0)
	return append(b, `,"accessList":[]}`...)
}

// appendTo appends the receiver, which a creation has none of.
func (v view) appendTo(b encodedJSON, t *txn) encodedJSON {
	if t.creates {
		return append(b, `,"to":null`...)
	}
	return b.address(`,"to":`, v.w.chain.addrs[t.to])
}

func (v view) appendReceipts(b encodedJSON, n uint64) encodedJSON {
	c := v.w.chain
	first := c.firstTx[n]
	b = append(b, '[')
	for k, r := range c.receipts(n) {
		b = v.appendReceipt(b.comma(k == 0), first+uint32(k), r)
	}
	return append(b, ']')
}

func (v view) appendReceipt(b encodedJSON, i uint32, r *types.Receipt) encodedJSON {
	c := v.w.chain
	t := &c.txs[i]
	n := uint64(t.block)
	b = b.hash(`{"blockHash":`, v.hash(n)).num(`,"blockNumber":`, n).hash(`,"transactionHash":`, t.hash)
	b = b.num(`,"transactionIndex":`, uint64(i-c.firstTx[n])).address(`,"from":`, c.addrs[t.from])
	b = v.appendTo(b, t).num(`,"gasUsed":`, uint64(t.used)).num(`,"cumulativeGasUsed":`, r.CumulativeGasUsed)
	if t.creates {
		b = b.address(`,"contractAddress":`, c.addrs[t.to])
	} else {
		b = append(b, `,"contractAddress":null`...)
	}
	b = b.bytes(`,"logsBloom":`, r.Bloom[:]).num(`,"type":`, uint64(r.Type)).num(`,"effectiveGasPrice":`, t.price)
	b = b.num(`,"status":`, r.Status)
	b = append(b, `,"logs":[`...)
	for j := t.event; j < c.firstEvent(i+1); j++ {
		b = v.appendLog(b.comma(j == t.event), j, false)
	}
	return append(b, `]}`...)
}

// appendLog appends a log; a forged one says another amount.
func (v view) appendLog(b encodedJSON, i uint32, forged bool) encodedJSON {
	c := v.w.chain
	at, topics, data := c.log(i)
	if forged && len(data) > 0 {
		data = append([]byte(nil), data...)
		data[len(data)-1] ^= 1
	}
	t := &c.txs[c.events[i].tx]
	n := uint64(t.block)
	b = b.address(`{"address":`, at)
	b = append(b, `,"topics":[`...)
	for k, h := range topics {
		b = b.comma(k == 0).hash("", h)
	}
	b = append(b, ']')
	b = b.bytes(`,"data":`, data).num(`,"blockNumber":`, n).hash(`,"transactionHash":`, t.hash)
	b = b.num(`,"transactionIndex":`, uint64(c.events[i].tx-c.firstTx[n])).hash(`,"blockHash":`, v.hash(n))
	if !v.opts.NoTimestamps {
		b = b.num(`,"blockTimestamp":`, v.w.Blocks[n].Time)
	}
	b = b.num(`,"logIndex":`, uint64(c.logIndex(i)))
	return append(b, `,"removed":false}`...)
}

func (v view) appendLogs(logs []uint32) encodedJSON {
	b := append(make(encodedJSON, 0, 760*len(logs)+2), '[')
	for k, i := range logs {
		b = v.appendLog(b.comma(k == 0), i, v.fault == FaultForged)
	}
	if at := bytes.LastIndex(b, []byte(`"data":"0x0`)); v.fault == FaultMalformed && at >= 0 {
		b = slices.Delete(b, at+len(`"data":"0x`), at+len(`"data":"0x0`))
	}
	return append(b, ']')
}
