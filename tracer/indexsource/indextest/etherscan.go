package indextest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
)

// An Explorer is Etherscan V2 (docs.etherscan.io, July 2026) or Blockscout
// (docs.blockscout.com, 2026). Etherscan's rows of token transfers and internal transactions have
// no log index and no place of the transaction, its logs write zero as 0x;
// Blockscout's internal rows have no trace path, its logs have four topics.
type Explorer struct {
	*Book
	Blockscout bool
	Rows       int  // of a page at most
	NoTopics   bool // logs are not searched without an address
	NoTraceIDs bool
	PerSecond  int // more requests in a second of Now are refused; 0: none is
	Now        func() time.Time

	mu     sync.Mutex
	second int64
	count  int
}

func (f *Explorer) limited() bool {
	if f.PerSecond == 0 {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := f.Now().Unix(); s != f.second {
		f.second, f.count = s, 0
	}
	f.count++
	return f.count > f.PerSecond
}

func (f *Explorer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f.Blockscout && strings.HasSuffix(r.URL.Path, "/eth-rpc") {
		f.rpcServe(w, r)
		return
	}
	no := func(format string, args ...any) {
		writeJSON(w, map[string]any{"status": "0", "message": "NOTOK", "result": fmt.Sprintf(format, args...)})
	}
	q := r.URL.Query()
	switch {
	case !f.Blockscout && q.Get("apikey") != Key:
		no("Invalid API Key (#err2)|%s", q.Get("apikey"))
	case !f.Blockscout && q.Get("chainid") != fmt.Sprint(uint64(devnet.ChainID)):
		no("Missing or unsupported chainid parameter")
	case f.limited():
		no("Max calls per sec rate limit reached (%d/sec)", f.PerSecond)
	case q.Get("module") == "proxy" && !f.Blockscout:
		f.proxy(w, q)
	case q.Get("module") == "logs", q.Get("module") == "account":
		rows, nothing, bad := f.find(q)
		if bad != "" {
			no("%s", bad)
			return
		}
		page, _ := strconv.Atoi(q.Get("page"))
		size, _ := strconv.Atoi(q.Get("offset"))
		if size == 0 {
			size = f.Rows
		}
		page = max(page, 1)
		if page*size > 10_000 {
			no("Result window is too large, PageNo x Offset size must be less than or equal to 10000")
			return
		}
		size = min(size, f.Rows)
		rows = rows[min((page-1)*size, len(rows)):]
		rows = rows[:min(size, len(rows))]
		if len(rows) == 0 {
			writeJSON(w, map[string]any{"status": "0", "message": nothing, "result": []any{}})
			return
		}
		writeJSON(w, map[string]any{"status": "1", "message": "OK", "result": rows})
	default:
		no("Error! Missing Or invalid Module name")
	}
}

func (f *Explorer) rpcServe(w http.ResponseWriter, r *http.Request) {
	var body any
	raw, _ := io.ReadAll(r.Body)
	if json.Unmarshal(raw, &body) != nil {
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(f.rpc(body))
}

func (f *Explorer) proxy(w http.ResponseWriter, q url.Values) {
	params := []any{}
	switch q.Get("action") {
	case "eth_getBlockByNumber":
		params = []any{q.Get("tag"), q.Get("boolean") == "true"}
	case "eth_getTransactionByHash", "eth_getTransactionReceipt":
		params = []any{q.Get("txhash")}
	case "eth_blockNumber":
	default:
		writeJSON(w, map[string]any{"status": "0", "message": "NOTOK-Missing/Invalid API action", "result": "Error! Missing Or invalid Action name"})
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(f.rpc(map[string]any{"jsonrpc": "2.0", "id": 1, "method": q.Get("action"), "params": params}))
}

// find returns all rows of a question in order.
func (f *Explorer) find(q url.Values) (rows []map[string]any, nothing, bad string) {
	get := func(name string, def uint64) uint64 {
		n, err := strconv.ParseUint(q.Get(name), 10, 64)
		if err != nil {
			return def
		}
		return n
	}
	a := strings.ToLower(q.Get("address"))
	is := func(s string) bool { return a == "" || strings.EqualFold(s, a) }
	logs := q.Get("module") == "logs"
	from, to := get("startblock", 0), get("endblock", 1<<40)
	if logs {
		from, to = get("fromBlock", 0), get("toBlock", 1<<40)
		if a == "" && f.NoTopics {
			return nil, "", "Error! Missing address"
		}
		if q.Get("action") != "getLogs" || q.Get("topic0") == "" {
			return nil, "", "Error! Missing topics"
		}
	} else if a == "" && q.Get("action") != "txlistinternal" {
		return nil, "", "Error! Missing address parameter"
	}
	var txs []*bookTx
	switch who := cmp.Or(q.Get("topic1"), q.Get("topic2"), a); who {
	case "":
		for _, b := range f.in(from, to) {
			txs = append(txs, b.txs...)
		}
	default:
		txs = f.with(common.HexToAddress(who), from, to)
	}
	for _, x := range txs {
		b := x.block
		base := map[string]any{"blockNumber": fmt.Sprint(b.Number), "timeStamp": fmt.Sprint(b.Time), "hash": x.Hash}
		row := func(more map[string]any) {
			for k, v := range base {
				if _, ok := more[k]; !ok {
					more[k] = v
				}
			}
			rows = append(rows, more)
		}
		to := ""
		if x.To != nil {
			to = tracer.Hex(*x.To)
		}
		contract := ""
		if x.contract != nil {
			contract = tracer.Hex(*x.contract)
		}
		full := map[string]any{"blockHash": b.Hash, "transactionIndex": fmt.Sprint(uint64(x.Index)), "nonce": fmt.Sprint(uint64(x.Nonce)),
			"gas": fmt.Sprint(uint64(x.Gas)), "gasPrice": dec(x.GasPrice), "gasUsed": fmt.Sprint(x.used), "confirmations": "1"}
		with := func(more map[string]any) map[string]any {
			for k, v := range full {
				if _, ok := more[k]; !ok {
					more[k] = v
				}
			}
			return more
		}
		switch action := q.Get("action"); action {
		case "getLogs":
			for _, l := range x.logs {
				if !is(tracer.Hex(l.Address)) || !f.topics(q, &l) {
					continue
				}
				index, place := l.Index.String(), x.Index.String()
				topics := []any{}
				for _, h := range l.Topics {
					topics = append(topics, h)
				}
				hash := any(b.Hash)
				if f.Blockscout {
					for len(topics) < 4 {
						topics = append(topics, nil)
					}
				} else {
					index, place = strings.Replace(index, "0x0", "0x", 1), strings.Replace(place, "0x0", "0x", 1)
				}
				rows = append(rows, map[string]any{"address": tracer.Hex(l.Address), "topics": topics, "data": l.Data, "blockNumber": hexutil.Uint64(b.Number),
					"blockHash": hash, "timeStamp": hexutil.Uint64(b.Time), "gasPrice": x.GasPrice, "gasUsed": hexutil.Uint64(x.used),
					"logIndex": index, "transactionHash": x.Hash, "transactionIndex": place})
			}
		case "txlist":
			if is(tracer.Hex(x.From)) || is(to) || is(contract) {
				row(with(map[string]any{"from": tracer.Hex(x.From), "to": to, "contractAddress": contract, "value": dec(x.Value), "input": x.Input,
					"isError": fmt.Sprint(1 - x.status), "txreceipt_status": fmt.Sprint(x.status)}))
			}
		case "txlistinternal":
			for i := range x.traces {
				r := &x.traces[i]
				from, to, value := r.parties()
				if len(r.Path) == 0 || value.IsZero() || to == nil || !is(tracer.Hex(from)) && !is(tracer.Hex(*to)) {
					continue
				}
				failed := "0"
				if !r.alive {
					failed = "1"
				}
				m := map[string]any{"from": tracer.Hex(from), "to": tracer.Hex(*to), "value": value.Dec(), "contractAddress": "", "input": "", "type": r.Type,
					"gas": "1", "gasUsed": "1", "isError": failed, "errCode": ""}
				switch {
				case f.Blockscout:
					m["index"], m["callType"], m["transactionHash"], m["hash"] = fmt.Sprint(i), r.Action.CallType, x.Hash, nil
				case !f.NoTraceIDs:
					var path []string
					for _, n := range r.Path {
						path = append(path, strconv.Itoa(n))
					}
					m["traceId"] = strings.Join(path, "_")
				}
				row(m)
			}
		case "tokentx", "tokennfttx":
			for _, l := range x.logs {
				nft := len(l.Topics) == 4
				if nft != (action == "tokennfttx") || len(l.Topics) < 3 || l.Topics[0] != transferTopic || !nft && len(l.Data) < 32 || nft && len(l.Data) > 0 {
					continue
				}
				from, to := l.Topics[1].Hex(), l.Topics[2].Hex()
				if from[:26] != zeros || to[:26] != zeros || !is("0x"+from[26:]) && !is("0x"+to[26:]) {
					continue
				}
				m := map[string]any{"from": "0x" + from[26:], "to": "0x" + to[26:], "contractAddress": tracer.Hex(l.Address), "tokenName": "x", "tokenSymbol": "USDT"}
				if nft {
					m["tokenID"] = l.Topics[3].Big().String()
				} else {
					m["value"] = new(big.Int).SetBytes(l.Data[:32]).String()
				}
				if f.Blockscout {
					m["logIndex"] = fmt.Sprint(uint64(l.Index))
				}
				row(with(m))
			}
		default:
			return nil, "", "Error! Missing Or invalid Action name"
		}
	}
	return rows, map[string]string{"getLogs": "No records found", "txlist": "No transactions found", "txlistinternal": "No transactions found"}[q.Get("action")] +
		map[bool]string{true: "No token transfers found"}[strings.HasPrefix(q.Get("action"), "token")], ""
}

func (f *Explorer) topics(q url.Values, l *bookLog) bool {
	for i := range 4 {
		want := q.Get("topic" + strconv.Itoa(i))
		if want != "" && (i >= len(l.Topics) || !strings.EqualFold(l.Topics[i].Hex(), want)) {
			return false
		}
	}
	return true
}
