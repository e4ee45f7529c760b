package indextest

import (
	"cmp"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
)

// A Portal is SQD Portal as its documentation has it (the API page of
// docs.sqd.dev and the Portal's README, 2026): it shows the first and the last
// block of what it scanned, ends where it likes, and picks fields by name.
type Portal struct {
	*Book
	Chunk uint64 // blocks that it scans for a request; 0: all
	Last  uint64 // in place of the book's
}

type portalQuery struct {
	Type   string                     `json:"type"`
	From   uint64                     `json:"fromBlock"`
	To     *uint64                    `json:"toBlock"`
	Fields map[string]map[string]bool `json:"fields"`
	Logs   []struct {
		Address, Topic0, Topic1, Topic2, Topic3 []string
		Transaction                             bool
	} `json:"logs"`
	Txs []struct {
		From, To []string
	} `json:"transactions"`
	Traces []struct {
		Type, CallFrom, CallTo, CreateFrom, CreateResultAddress, SuicideAddress, SuicideRefundAddress []string
		Transaction, Parents                                                                          bool
	} `json:"traces"`
}

const maxQuery = 256 << 10 // of a worker

func (f *Portal) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	head := f.Book.Last
	if f.Last > 0 {
		head = f.Last
	}
	switch {
	case r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/finalized-head"):
		writeJSON(w, map[string]any{"number": head, "hash": f.World.Blocks[head].Hash})
		return
	case r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, "/datasets/devnet/finalized-stream"):
		http.Error(w, "not found", http.StatusNotFound)
		return
	}
	raw, err := io.ReadAll(r.Body)
	var q portalQuery
	if err == nil {
		err = json.Unmarshal(raw, &q)
	}
	switch {
	case err != nil || q.Type != "evm" || r.Header.Get("Content-Type") != "application/json":
		http.Error(w, "couldn't parse the query: "+fmt.Sprint(err), http.StatusBadRequest)
		return
	case len(raw) > maxQuery:
		http.Error(w, "query is too large", http.StatusBadRequest)
		return
	case q.From > head:
		w.WriteHeader(http.StatusNoContent)
		return
	}
	to := head
	if q.To != nil {
		to = min(to, *q.To)
	}
	if f.Chunk > 0 {
		to = min(to, q.From+f.Chunk-1)
	}
	w.Header().Set("X-Sqd-Finalized-Head-Number", fmt.Sprint(head))
	w.Header().Set("X-Sqd-Finalized-Head-Hash", f.World.Blocks[head].Hash.Hex())
	out := io.Writer(w)
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		defer z.Close()
		out = z
	}
	match := newPortalMatch(&q)
	blocks := f.candidates(&q, to)
	line := func(n uint64, items map[string]any) {
		items["header"] = pick(q.Fields["block"], map[string]any{"number": n, "hash": f.World.Blocks[n].Hash, "timestamp": f.World.Blocks[n].Time})
		json.NewEncoder(out).Encode(items)
	}
	wrote := false
	for _, b := range blocks {
		if items := match.block(b, q.Fields); len(items) > 0 || b.Number == q.From || b.Number == to {
			if !wrote && b.Number > q.From {
				line(q.From, map[string]any{})
			}
			wrote = true
			line(b.Number, items)
			if b.Number == to {
				return
			}
		}
	}
	if !wrote && q.From < to {
		line(q.From, map[string]any{})
	}
	line(to, map[string]any{})
}

// candidates returns the blocks with only those transactions in which somebody
// is met whom the query names.
func (f *Portal) candidates(q *portalQuery, to uint64) (blocks []*bookBlock) {
	who := make(map[common.Address]bool)
	add := func(lists ...[]string) {
		for _, a := range slices.Concat(lists...) {
			who[common.HexToAddress(a)] = true
		}
	}
	for _, l := range q.Logs {
		add(l.Topic1, l.Topic2, l.Topic3)
	}
	for _, x := range q.Txs {
		add(x.From, x.To)
	}
	for _, r := range q.Traces {
		add(r.CallFrom, r.CallTo, r.CreateFrom, r.CreateResultAddress, r.SuicideAddress, r.SuicideRefundAddress)
	}
	var txs []*bookTx
	for a := range who {
		txs = append(txs, f.with(a, q.From, to)...)
	}
	slices.SortFunc(txs, func(a, b *bookTx) int {
		return cmp.Or(cmp.Compare(a.block.Number, b.block.Number), cmp.Compare(a.Index, b.Index))
	})
	for _, x := range slices.Compact(txs) {
		if n := len(blocks); n == 0 || blocks[n-1].Number != x.block.Number {
			blocks = append(blocks, &bookBlock{Block: x.block.Block})
		}
		last := blocks[len(blocks)-1]
		last.txs = append(last.txs, x)
	}
	return blocks
}

// pick keeps the fields that were asked for.
func pick(fields map[string]bool, all map[string]any) map[string]any {
	out := make(map[string]any)
	for k, v := range all {
		if fields[k] {
			out[k] = v
		}
	}
	return out
}

// A portalMatch is a query ready to look things up.
type portalMatch struct {
	logs   [][5]set
	txs    [][2]set
	traces []func(*bookTrace) bool
}

func newPortalMatch(q *portalQuery) *portalMatch {
	m := new(portalMatch)
	for _, f := range q.Logs {
		m.logs = append(m.logs, [5]set{setOf(f.Address), setOf(f.Topic0), setOf(f.Topic1), setOf(f.Topic2), setOf(f.Topic3)})
	}
	for _, f := range q.Txs {
		m.txs = append(m.txs, [2]set{setOf(f.From), setOf(f.To)})
	}
	for _, f := range q.Traces {
		kinds := setOf(f.Type)
		side := []struct {
			kind string
			from bool
			in   set
		}{{"call", true, setOf(f.CallFrom)}, {"call", false, setOf(f.CallTo)}, {"create", true, setOf(f.CreateFrom)},
			{"create", false, setOf(f.CreateResultAddress)}, {"suicide", true, setOf(f.SuicideAddress)}, {"suicide", false, setOf(f.SuicideRefundAddress)}}
		m.traces = append(m.traces, func(r *bookTrace) bool {
			from, to, _ := r.parties()
			for _, s := range side {
				if s.in == nil {
					continue
				}
				if s.kind != r.Type || s.from && !s.in.has(tracer.Hex(from)) || !s.from && (to == nil || !s.in.has(tracer.Hex(*to))) {
					return false
				}
			}
			return kinds.has(r.Type)
		})
	}
	return m
}

func (m *portalMatch) block(b *bookBlock, fields map[string]map[string]bool) map[string]any {
	var logs, txs, traces []map[string]any
	for _, x := range b.txs {
		show := slices.ContainsFunc(m.txs, func(f [2]set) bool {
			return f[0].has(tracer.Hex(x.From)) && (f[1] == nil || x.To != nil && f[1].has(tracer.Hex(*x.To)))
		})
		for _, l := range x.logs {
			if !slices.ContainsFunc(m.logs, func(f [5]set) bool {
				for i, s := range f[1:] {
					if s != nil && (i >= len(l.Topics) || !s.has(l.Topics[i].Hex())) {
						return false
					}
				}
				return f[0].has(tracer.Hex(l.Address))
			}) {
				continue
			}
			logs = append(logs, pick(fields["log"], map[string]any{"address": tracer.Hex(l.Address), "topics": l.Topics, "data": l.Data,
				"logIndex": uint64(l.Index), "transactionIndex": uint64(x.Index), "transactionHash": x.Hash}))
		}
		want := make([]bool, len(x.traces))
		for i := range x.traces {
			if !slices.ContainsFunc(m.traces, func(f func(*bookTrace) bool) bool { return f(&x.traces[i]) }) {
				continue
			}
			show = true
			for k := range x.traces { // with parents
				up := x.traces[k].Path
				want[k] = want[k] || len(up) <= len(x.traces[i].Path) && slices.Equal(up, x.traces[i].Path[:len(up)])
			}
		}
		for i := range x.traces {
			if want[i] {
				traces = append(traces, portalTrace(x, &x.traces[i]))
			}
		}
		if show {
			txs = append(txs, pick(fields["transaction"], map[string]any{"transactionIndex": uint64(x.Index), "hash": x.Hash, "from": tracer.Hex(x.From),
				"to": hexOf(x.To), "value": x.Value, "status": x.status, "type": 2, "gasUsed": hexutil.Uint64(x.used), "gasPrice": x.GasPrice,
				"effectiveGasPrice": x.GasPrice, "contractAddress": hexOf(x.contract), "nonce": uint64(x.Nonce), "input": x.Input}))
		}
	}
	out := make(map[string]any)
	for k, v := range map[string][]map[string]any{"logs": logs, "transactions": txs, "traces": traces} {
		if len(v) > 0 {
			out[k] = v
		}
	}
	return out
}

func portalTrace(x *bookTx, r *bookTrace) map[string]any {
	action := map[string]any{}
	row := map[string]any{"transactionIndex": uint64(x.Index), "traceAddress": append([]int{}, r.Path...), "type": r.Type, "action": action}
	switch r.Type {
	case "suicide":
		action["address"], action["refundAddress"], action["balance"] = tracer.Hex(r.Action.Address), hexOf(r.Action.Refund), r.Action.Balance
	case "create":
		action["from"], action["value"] = tracer.Hex(r.Action.From), r.Action.Value
		if r.Result != nil {
			row["result"] = map[string]any{"address": hexOf(r.Result.Address)}
		}
	default:
		action["from"], action["to"], action["value"], action["callType"] = tracer.Hex(r.Action.From), hexOf(r.Action.To), r.Action.Value, r.Action.CallType
	}
	if r.Error != "" {
		row["error"] = r.Error
	}
	return row
}
