package devnet

import (
	"context"
	"strconv"
	"strings"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/rpc"
)

// traceAPI answers the trace_ methods in the shape that Parity gave them.
type traceAPI struct{ n *Node }

type traceFilter struct {
	FromBlock   *rpc.BlockNumber `json:"fromBlock"`
	ToBlock     *rpc.BlockNumber `json:"toBlock"`
	FromAddress addressList      `json:"fromAddress"`
	ToAddress   addressList      `json:"toAddress"`
	After       *uint64          `json:"after"`
	Count       *uint64          `json:"count"`
}

// Filter returns traces from any of the senders or to any of the receivers.
func (api *traceAPI) Filter(ctx context.Context, q traceFilter) (any, error) {
	v := api.n.view(ctx)
	f := filter{from: rpc.EarliestBlockNumber, to: rpc.LatestBlockNumber}
	if q.FromBlock != nil {
		f.from = *q.FromBlock
	}
	if q.ToBlock != nil {
		f.to = *q.ToBlock
	}
	from, to, err := v.span(f)
	if err != nil {
		return nil, err
	}
	if limit := v.opts.MaxTraceRange; limit > 0 && to-from+1 > limit {
		return nil, invalidParams("Block range too large; currently limited to %d blocks", limit)
	}
	found := v.x.traces(from, to, q.FromAddress, q.ToAddress)
	if q.After != nil {
		found = found[min(*q.After, uint64(len(found))):]
	}
	if q.Count != nil {
		found = found[:min(*q.Count, uint64(len(found)))]
	}
	return v.appendTraces(found), nil
}

// Transaction returns the traces of one transaction, null when it is not there.
func (api *traceAPI) Transaction(ctx context.Context, h common.Hash) (any, error) {
	v := api.n.view(ctx)
	i, ok := v.tx(h)
	if !ok || v.fault == FaultNull {
		return nil, nil
	}
	return v.appendTraces(span(v.x.firstTrace[i], v.x.firstTrace[i+1])), nil
}

// Block returns the traces of one block.
func (api *traceAPI) Block(ctx context.Context, b rpc.BlockNumber) (any, error) {
	v := api.n.view(ctx)
	n, ok, err := v.resolve(b)
	if err != nil || !ok {
		return nil, err
	}
	c := v.w.chain
	return v.appendTraces(span(v.x.firstTrace[c.firstTx[n]], v.x.firstTrace[c.firstTx[n+1]])), nil
}

func span(from, to uint32) []uint32 {
	list := make([]uint32, 0, to-from)
	for i := from; i < to; i++ {
		list = append(list, i)
	}
	return list
}

func (v view) appendTraces(traces []uint32) encodedJSON {
	b := append(make(encodedJSON, 0, 600*len(traces)+2), '[')
	for k, i := range traces {
		if k > 0 {
			b = append(b, ',')
		}
		b = v.appendTrace(b, i)
	}
	return append(b, ']')
}

func (v view) appendTrace(b encodedJSON, trace uint32) encodedJSON {
	c := v.w.chain
	tx := v.x.txOf(trace)
	t := &c.txs[tx]
	calls := c.calls[t.call:c.firstCall(tx+1)]
	path, failed := "", t.failed
	kind := "call"
	b = append(b, `{"action":{`...)
	if k := trace - v.x.firstTrace[tx]; k > 0 {
		call := &calls[k-1]
		path, failed = call.path, call.failed
		if call.op == opSuicide {
			kind = "suicide"
			b = b.address(`"address":`, c.addrs[call.from]).big(`,"balance":`, &call.value).address(`,"refundAddress":`, c.addrs[call.to])
		} else {
			b = append(b, `"callType":"`+[...]string{"call", "delegatecall", "staticcall"}[call.op]+`"`...)
			b = b.address(`,"from":`, c.addrs[call.from]).num(`,"gas":`, uint64(t.gas/2)).bytes(`,"input":`, nil)
			b = b.address(`,"to":`, c.addrs[call.to]).big(`,"value":`, &call.value)
		}
	} else if t.creates {
		kind = "create"
		b = b.address(`"from":`, c.addrs[t.from]).num(`,"gas":`, uint64(t.gas)).bytes(`,"init":`, c.input(tx)).big(`,"value":`, &t.value)
	} else {
		b = append(b, `"callType":"call"`...)
		b = b.address(`,"from":`, c.addrs[t.from]).num(`,"gas":`, uint64(t.gas)).bytes(`,"input":`, c.input(tx))
		b = b.address(`,"to":`, c.addrs[t.to]).big(`,"value":`, &t.value)
	}
	b = append(b, '}')
	b = b.hash(`,"blockHash":`, v.hash(uint64(t.block))).int(`,"blockNumber":`, uint64(t.block))
	switch {
	case failed:
		b = append(b, `,"error":"Reverted"`...)
	case kind == "suicide":
		b = append(b, `,"result":null`...)
	case kind == "create":
		b = b.address(`,"result":{"address":`, c.addrs[t.to]).bytes(`,"code":`, c.codes[t.to].bytes).num(`,"gasUsed":`, uint64(t.used))
		b = append(b, '}')
	case path == "":
		b = b.num(`,"result":{"gasUsed":`, uint64(t.used)).bytes(`,"output":`, nil)
		b = append(b, '}')
	default:
		b = append(b, `,"result":{"gasUsed":"0x5208","output":"0x"}`...)
	}
	children := uint64(0)
	for i := range calls {
		up := ""
		if dot := strings.LastIndexByte(calls[i].path, '.'); dot >= 0 {
			up = calls[i].path[:dot]
		}
		if up == path {
			children++
		}
	}
	b = b.int(`,"subtraces":`, children)
	b = append(b, `,"traceAddress":[`+strings.ReplaceAll(path, ".", ",")+`]`...)
	b = b.hash(`,"transactionHash":`, t.hash).int(`,"transactionPosition":`, uint64(tx-c.firstTx[t.block]))
	return append(b, `,"type":"`+kind+`"}`...)
}

// encodedJSON is JSON that is written already.
type encodedJSON []byte

// MarshalJSON returns b itself.
func (b encodedJSON) MarshalJSON() ([]byte, error) { return b, nil }

func (b encodedJSON) bytes(key string, data []byte) encodedJSON {
	const digits = "0123456789abcdef"
	b = append(append(b, key...), `"0x`...)
	for _, c := range data {
		b = append(b, digits[c>>4], digits[c&15])
	}
	return append(b, '"')
}

func (b encodedJSON) hash(key string, h common.Hash) encodedJSON       { return b.bytes(key, h[:]) }
func (b encodedJSON) address(key string, a common.Address) encodedJSON { return b.bytes(key, a[:]) }

// num appends a quantity in hex, int one in decimal.
func (b encodedJSON) num(key string, n uint64) encodedJSON {
	b = append(append(b, key...), `"0x`...)
	return append(strconv.AppendUint(b, n, 16), '"')
}

func (b encodedJSON) int(key string, n uint64) encodedJSON {
	return strconv.AppendUint(append(b, key...), n, 10)
}
