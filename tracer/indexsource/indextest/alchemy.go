package indextest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/holiman/uint256"
)

// An Alchemy is Alchemy's endpoint as its documentation has it (the Transfers
// API, 2026): transfers that happened, one address a question, with a float for
// people and the raw value beside it. Failed transactions have no rows.
type Alchemy struct {
	*Book
	Rows   int  // of a page at most
	Inside bool // internal transfers are listed
	Loop   bool // the second page names itself as the next
}

func (f *Alchemy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer "+Key {
		w.WriteHeader(http.StatusUnauthorized)
		writeJSON(w, map[string]any{"jsonrpc": "2.0", "error": map[string]any{"code": -32600, "message": "Must be authenticated! " + r.Header.Get("Authorization")}})
		return
	}
	raw, _ := io.ReadAll(r.Body)
	var call struct {
		ID     json.RawMessage `json:"id"`
		Method string          `json:"method"`
		Params []struct {
			FromBlock, ToBlock     string
			FromAddress, ToAddress string
			Category               []string
			ExcludeZeroValue       *bool
			WithMetadata           bool
			Order, MaxCount        string
			PageKey                string
		} `json:"params"`
	}
	if json.Unmarshal(raw, &call) != nil || call.Method != "alchemy_getAssetTransfers" {
		w.Header().Set("Content-Type", "application/json")
		w.Write(f.rpc(json.RawMessage(raw)))
		return
	}
	fail := func(text string) {
		writeJSON(w, map[string]any{"jsonrpc": "2.0", "id": call.ID, "error": map[string]any{"code": -32602, "message": text}})
	}
	q := call.Params[0]
	from, err1 := hexutil.DecodeUint64(q.FromBlock)
	to, err2 := hexutil.DecodeUint64(q.ToBlock)
	size, err3 := hexutil.DecodeUint64(q.MaxCount)
	if err1 != nil || err2 != nil || err3 != nil || size > 1000 || len(q.Category) == 0 || q.ExcludeZeroValue == nil {
		fail("invalid params")
		return
	}
	if slices.Contains(q.Category, "internal") && !f.Inside {
		fail("The 'internal' category is only supported for ETH and MATIC.")
		return
	}
	rows := f.find(q.FromAddress, q.ToAddress, from, to, setOf(q.Category), q.WithMetadata)
	skip := 0
	if key, ok := strings.CutPrefix(q.PageKey, "page-"); ok {
		skip, _ = strconv.Atoi(key)
	}
	rows = rows[min(skip, len(rows)):]
	result := map[string]any{"transfers": rows}
	if n := min(int(size), f.Rows); len(rows) > n {
		result["transfers"] = rows[:n]
		result["pageKey"] = fmt.Sprint("page-", skip+n)
		if f.Loop && skip > 0 {
			result["pageKey"] = q.PageKey
		}
	}
	writeJSON(w, map[string]any{"jsonrpc": "2.0", "id": call.ID, "result": result})
}

func (f *Alchemy) find(sender, receiver string, from, to uint64, category set, metadata bool) []map[string]any {
	rows := []map[string]any{}
	var txs []*bookTx
	if sender+receiver == "" {
		for _, b := range f.in(from, to) {
			txs = append(txs, b.txs...)
		}
	} else {
		txs = f.with(common.HexToAddress(sender+receiver), from, to)
	}
	for _, x := range txs {
		if x.status != 1 {
			continue
		}
		add := func(kind, id string, from common.Address, to *common.Address, value *uint256.Int, token *common.Address) {
			if !category.has(kind) || sender != "" && !strings.EqualFold(sender, from.Hex()) ||
				receiver != "" && (to == nil || !strings.EqualFold(receiver, to.Hex())) {
				return
			}
			row := map[string]any{"blockNum": hexutil.Uint64(x.block.Number), "uniqueId": x.Hash.Hex() + id, "hash": x.Hash, "from": tracer.Hex(from), "to": hexOf(to),
				"value": value.Float64() / 1e18, "erc721TokenId": nil, "erc1155Metadata": nil, "tokenId": nil, "asset": "ETH", "category": kind,
				"rawContract": map[string]any{"value": value.Hex(), "address": hexOf(token), "decimal": "0x12"}}
			if metadata {
				row["metadata"] = map[string]any{"blockTimestamp": time.Unix(int64(x.block.Time), 0).UTC().Format("2006-01-02T15:04:05.000Z")}
			}
			rows = append(rows, row)
		}
		add("external", ":external", x.From, x.To, (*uint256.Int)(x.Value), nil)
		for i := range x.traces {
			r := &x.traces[i]
			if from, to, value := r.parties(); len(r.Path) > 0 && r.alive && !value.IsZero() {
				var path []string
				for _, n := range r.Path {
					path = append(path, strconv.Itoa(n))
				}
				add("internal", ":internal:"+strings.Join(path, "_"), from, to, &value, nil)
			}
		}
		for _, l := range x.logs {
			nft := len(l.Topics) == 4
			if len(l.Topics) < 3 || l.Topics[0] != transferTopic || !nft && len(l.Data) < 32 || nft && len(l.Data) > 0 ||
				l.Topics[1].Hex()[:26] != zeros || l.Topics[2].Hex()[:26] != zeros {
				continue
			}
			kind, value, to := "erc20", new(uint256.Int), common.BytesToAddress(l.Topics[2][:])
			if nft {
				kind = "erc721"
			} else {
				value.SetBytes(l.Data[:32])
			}
			add(kind, fmt.Sprintf(":log:%d", uint64(l.Index)), common.BytesToAddress(l.Topics[1][:]), &to, value, &l.Address)
		}
	}
	return rows
}
