package indextest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
)

// A TronGrid is TronGrid as its documentation has it (developers.tron.network,
// 2026) with a world in place of Tron: ids without 0x, times in milliseconds,
// addresses in base58 in one list and with 41 in the other, pages of 200 and a
// fingerprint.
type TronGrid struct {
	*Book
	Rows int  // of a page at most
	Loop bool // the second page names itself as the next
}

func tronHex(a common.Address) string     { return "41" + tracer.Hex(a)[2:] }
func tronTxID(h common.Hash) string       { return h.Hex()[2:] }
func tronNumber(v string) json.RawMessage { return json.RawMessage(v) }

func (f *TronGrid) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("TRON-PRO-API-KEY") != Key {
		w.WriteHeader(http.StatusUnauthorized)
		writeJSON(w, map[string]any{"Error": "ApiKey not exists: " + r.Header.Get("TRON-PRO-API-KEY")})
		return
	}
	raw, _ := io.ReadAll(r.Body)
	var body struct{ Value string }
	json.Unmarshal(raw, &body) // jsonrpc has another
	switch path := r.URL.Path; {
	case path == "/jsonrpc":
		w.Header().Set("Content-Type", "application/json")
		w.Write(f.rpc(json.RawMessage(raw)))
	case path == "/walletsolidity/getnowblock":
		b := f.World.Blocks[f.Last]
		writeJSON(w, map[string]any{"blockID": tronTxID(b.Hash), "block_header": map[string]any{"raw_data": map[string]any{"number": b.Number, "timestamp": b.Time * 1000}}})
	case path == "/walletsolidity/gettransactionbyid", path == "/walletsolidity/gettransactioninfobyid":
		x := f.byHash[common.HexToHash(body.Value)]
		if x == nil || x.block.Number > f.Last {
			writeJSON(w, map[string]any{})
		} else if strings.HasSuffix(path, "infobyid") {
			writeJSON(w, f.info(x))
		} else {
			m := f.tx(x)
			delete(m, "block_timestamp")
			writeJSON(w, m)
		}
	case strings.HasPrefix(path, "/v1/accounts/"):
		f.list(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (f *TronGrid) tx(x *bookTx) map[string]any {
	kind, value := "TriggerSmartContract", map[string]any{"owner_address": tronHex(x.From)}
	v := tronNumber(dec(x.Value))
	switch {
	case x.To == nil:
		kind, value["new_contract"] = "CreateSmartContract", map[string]any{"call_value": v}
	case len(x.Input) == 0:
		kind, value["to_address"], value["amount"] = "TransferContract", tronHex(*x.To), v
	default:
		value["contract_address"], value["call_value"] = tronHex(*x.To), v
	}
	result := "SUCCESS"
	if x.status != 1 {
		result = "REVERT"
	}
	return map[string]any{"txID": tronTxID(x.Hash), "blockNumber": x.block.Number, "block_timestamp": x.block.Time * 1000,
		"ret":      []any{map[string]any{"contractRet": result, "fee": tronNumber(x.fee().Dec())}},
		"raw_data": map[string]any{"contract": []any{map[string]any{"type": kind, "parameter": map[string]any{"value": value}}}}}
}

func (f *TronGrid) info(x *bookTx) map[string]any {
	inner := []any{}
	for i := range x.traces {
		if _, to, v := x.traces[i].parties(); len(x.traces[i].Path) > 0 && to != nil {
			inner = append(inner, map[string]any{"callValueInfo": []any{map[string]any{"callValue": tronNumber(v.Dec())}}, "rejected": !x.traces[i].alive})
		}
	}
	return map[string]any{"id": tronTxID(x.Hash), "fee": tronNumber(x.fee().Dec()), "blockNumber": x.block.Number, "blockTimeStamp": x.block.Time * 1000, "internal_transactions": inner}
}

func (f *TronGrid) list(w http.ResponseWriter, r *http.Request) {
	who, list, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v1/accounts/"), "/")
	a, err := tracer.ParseTronAddress(who)
	q := r.URL.Query()
	size, _ := strconv.Atoi(q.Get("limit"))
	if err != nil || size > 200 || q.Get("only_confirmed") != "true" {
		w.WriteHeader(http.StatusBadRequest)
		writeJSON(w, map[string]any{"success": false, "error": "A valid account address is required.", "statusCode": 400})
		return
	}
	since, _ := strconv.ParseUint(q.Get("min_timestamp"), 10, 64)
	until, _ := strconv.ParseUint(q.Get("max_timestamp"), 10, 64)
	rows := []map[string]any{}
	for _, x := range f.with(a, 0, f.Last) {
		if t := x.block.Time * 1000; t < since || t > until {
			continue
		}
		switch list {
		case "transactions":
			if x.From == a || x.To != nil && *x.To == a || x.contract != nil && *x.contract == a {
				rows = append(rows, f.tx(x))
			}
		case "transactions/trc20":
			for _, l := range x.logs {
				nft := len(l.Topics) == 4
				if len(l.Topics) < 3 || l.Topics[0] != transferTopic || nft != (len(l.Data) == 0) || l.Topics[1].Hex()[:26] != zeros || l.Topics[2].Hex()[:26] != zeros {
					continue
				}
				from, to := common.BytesToAddress(l.Topics[1][:]), common.BytesToAddress(l.Topics[2][:])
				if from == a || to == a {
					if !nft && len(l.Data) < 32 {
						continue
					}
					value := l.Topics[len(l.Topics)-1].Big().String()
					if !nft {
						value = new(uint256.Int).SetBytes(l.Data[:32]).Dec()
					}
					rows = append(rows, map[string]any{"transaction_id": tronTxID(x.Hash), "block_timestamp": x.block.Time * 1000, "from": tracer.TronAddress(from),
						"to": tracer.TronAddress(to), "type": "Transfer", "value": value, "token_info": map[string]any{"symbol": "USDT", "address": tracer.TronAddress(l.Address), "decimals": 6}})
				}
			}
		case "internal-transactions":
			for i := range x.traces {
				t := &x.traces[i]
				if from, to, v := t.parties(); len(t.Path) > 0 && to != nil && (from == a || *to == a) {
					rows = append(rows, map[string]any{"internal_tx_id": strings.Repeat("ab", 32), "tx_id": tronTxID(x.Hash), "block_timestamp": x.block.Time * 1000,
						"from_address": tronHex(from), "to_address": tronHex(*to), "data": map[string]any{"note": "call", "rejected": !t.alive, "call_value": map[string]any{"_": tronNumber(v.Dec())}}})
				}
			}
		default:
			http.NotFound(w, r)
			return
		}
	}
	if !strings.HasSuffix(q.Get("order_by"), ",asc") {
		slices.Reverse(rows)
	}
	skip := 0
	if key, ok := strings.CutPrefix(q.Get("fingerprint"), "fp"); ok {
		skip, _ = strconv.Atoi(key)
	}
	rows = rows[min(skip, len(rows)):]
	meta := map[string]any{"at": f.World.Blocks[f.Last].Time * 1000, "page_size": min(len(rows), f.Rows, size)}
	if n := min(size, f.Rows); len(rows) > n {
		rows = rows[:n]
		meta["fingerprint"] = fmt.Sprint("fp", skip+n)
		if f.Loop && skip > 0 {
			meta["fingerprint"] = q.Get("fingerprint")
		}
	}
	writeJSON(w, map[string]any{"success": true, "data": rows, "meta": meta})
}
