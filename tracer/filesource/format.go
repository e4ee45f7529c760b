package filesource

import (
	"fmt"
	"slices"
	"strings"
)

// A field is what a column means, whatever its file calls it.
type field uint8

const (
	ignored field = iota
	fChain
	fBlock
	fTime
	fTx
	fIndex
	fPosition
	fKind
	fToken
	fSymbol
	fDecimals
	fFrom
	fTo
	fCreated // the contract that a transaction or call created
	fValue
	fIn
	fOut
	fFee
	fStatus
	fErrCode
	fNonce
	fTraceType
	fCallType
	fGasUsed
	fGasPrice
	fFromLabel
	fToLabel
	fields // their number
)

// A column is a header cell in lower case, and its field. A * stands for any
// text: explorers write the coin's symbol and the day's price into headers.
type column struct {
	name     string
	field    field
	optional bool
}

// A format is a set of columns, in any order.
type format struct {
	name    string // for errors and notes
	columns []column
	row     func(*reader)
	parts   parts // what such a file can hold
	wallet  bool  // the export of one wallet
	rounded bool  // amounts as a page shows them
}

// formats are told apart by their headers. No header fits two of them.
var formats = []format{
	{name: "scamtrace's own columns", row: (*reader).own, parts: allParts, columns: []column{
		{"chain_id", fChain, false}, {"block_number", fBlock, false}, {"block_time", fTime, false},
		{"tx_hash", fTx, false}, {"tx_index", fIndex, false}, {"log_index", fPosition, false},
		{"kind", fKind, false}, {"token_address", fToken, false}, {"token_symbol", fSymbol, true},
		{"token_decimals", fDecimals, true}, {"from_address", fFrom, false}, {"to_address", fTo, false},
		{"value", fValue, false}, {"status", fStatus, false}, {"from_label", fFromLabel, true}, {"to_label", fToLabel, true},
	}},
	{name: "ethereum-etl token transfers", row: (*reader).etlTokens, parts: tokenPart, columns: []column{
		{"token_address", fToken, false}, {"from_address", fFrom, false}, {"to_address", fTo, false},
		{"value", fValue, false}, {"transaction_hash", fTx, false}, {"log_index", fPosition, false},
		{"block_number", fBlock, false}, {"block_timestamp", fTime, true}, {"block_hash", ignored, true},
		{"transaction_index", fIndex, true}, {"item_id", ignored, true}, {"item_timestamp", ignored, true},
		{"type", ignored, true},
	}},
	{name: "ethereum-etl transactions", row: (*reader).etlTransaction, parts: nativePart, columns: []column{
		{"hash", fTx, false}, {"nonce", fNonce, false}, {"block_number", fBlock, false},
		{"transaction_index", fIndex, false}, {"from_address", fFrom, false}, {"to_address", fTo, false},
		{"value", fValue, false}, {"receipt_status", fStatus, false},
		{"block_timestamp", fTime, true}, {"receipt_contract_address", fCreated, true},
		{"receipt_gas_used", fGasUsed, true}, {"receipt_effective_gas_price", fGasPrice, true},
		{"block_hash", ignored, true}, {"gas", ignored, true}, {"gas_price", ignored, true}, {"input", ignored, true},
		{"max_fee_per_gas", ignored, true}, {"max_priority_fee_per_gas", ignored, true}, {"transaction_type", ignored, true},
		{"max_fee_per_blob_gas", ignored, true}, {"blob_versioned_hashes", ignored, true},
		{"receipt_cumulative_gas_used", ignored, true}, {"receipt_root", ignored, true},
		{"receipt_l1_*", ignored, true}, {"receipt_blob_gas_*", ignored, true},
		{"item_id", ignored, true}, {"item_timestamp", ignored, true}, {"type", ignored, true},
	}},
	{name: "ethereum-etl traces", row: (*reader).etlTrace, parts: nativePart | internalPart, columns: []column{
		{"block_number", fBlock, false}, {"transaction_hash", fTx, false}, {"transaction_index", fIndex, false},
		{"from_address", fFrom, false}, {"to_address", fTo, false}, {"value", fValue, false},
		{"trace_type", fTraceType, false}, {"call_type", fCallType, false}, {"trace_address", fPosition, false},
		{"status", fStatus, false}, {"block_timestamp", fTime, true}, {"block_hash", ignored, true},
		{"input", ignored, true}, {"output", ignored, true}, {"reward_type", ignored, true},
		{"gas", ignored, true}, {"gas_used", ignored, true}, {"subtraces", ignored, true},
		{"error", ignored, true}, {"trace_id", ignored, true}, {"trace_index", ignored, true},
		{"item_id", ignored, true}, {"item_timestamp", ignored, true}, {"type", ignored, true},
	}},
	{name: "ethereum-etl blocks", row: (*reader).etlBlock, columns: []column{
		{"number", fBlock, false}, {"timestamp", fTime, false}, {"hash", ignored, false}, {"parent_hash", ignored, false},
		{"nonce", ignored, true}, {"sha3_uncles", ignored, true}, {"logs_bloom", ignored, true},
		{"transactions_root", ignored, true}, {"state_root", ignored, true}, {"receipts_root", ignored, true},
		{"miner", ignored, true}, {"difficulty", ignored, true}, {"total_difficulty", ignored, true},
		{"size", ignored, true}, {"extra_data", ignored, true}, {"gas_limit", ignored, true}, {"gas_used", ignored, true},
		{"transaction_count", ignored, true}, {"base_fee_per_gas", ignored, true},
		{"withdrawals_root", ignored, true}, {"withdrawals", ignored, true},
		{"blob_gas_used", ignored, true}, {"excess_blob_gas", ignored, true},
		{"item_id", ignored, true}, {"item_timestamp", ignored, true}, {"type", ignored, true},
	}},
	{name: "explorer export of transactions", row: (*reader).explorerTransaction, parts: nativePart, wallet: true, columns: explorer(
		column{"to", fTo, false}, column{"txnfee(usd)", ignored, true}, column{"txnfee(*)", fFee, false},
		column{"method", ignored, true},
	)},
	{name: "explorer export of internal transactions", row: (*reader).explorerInternal, parts: internalPart, wallet: true, columns: explorer(
		column{"parenttxfrom", ignored, false}, column{"parenttxto", ignored, false}, column{"parenttx*_value", ignored, true},
		column{"txto", fTo, false}, column{"type", ignored, true},
	)},
	{name: "explorer export of ERC-20 transfers", row: (*reader).explorerToken, parts: tokenPart, wallet: true, columns: []column{
		{"txhash", fTx, false}, {"transaction hash", fTx, false}, {"blockno", fBlock, false},
		{"unixtimestamp", fTime, false}, {"datetime", ignored, true}, {"datetime (utc)", ignored, true},
		{"from", fFrom, false}, {"to", fTo, false}, {"tokenvalue", fValue, false}, {"value", fValue, false},
		{"usdvaluedayoftx", ignored, true}, {"contractaddress", fToken, false}, {"tokenname", ignored, true},
		{"tokensymbol", ignored, false}, {"method", ignored, true}, {"privatenote", ignored, true},
		{"from_privatetag", fFromLabel, true}, {"to_privatetag", fToLabel, true},
		{"from_nametag", fFromLabel, true}, {"to_nametag", fToLabel, true},
	}},
	{name: "page of an explorer's transactions", row: (*reader).explorerPage, wallet: true, rounded: true, columns: []column{
		{"transaction hash", fTx, false}, {"status", fStatus, false}, {"method", ignored, true},
		{"blockno", fBlock, false}, {"datetime (utc)", fTime, false}, {"from", fFrom, false}, {"to", fTo, false},
		{"from_nametag", fFromLabel, true}, {"to_nametag", fToLabel, true},
		{"from_privatetag", fFromLabel, true}, {"to_privatetag", fToLabel, true},
		{"amount", fValue, false}, {"value (usd)", ignored, true}, {"txn fee", fFee, false},
	}},
	{name: "flow records in dollars", row: (*reader).flow, parts: allParts, columns: []column{
		{"timestamp", fTime, false}, {"block", fBlock, false}, {"tx_hash", fTx, false}, {"from", fFrom, false},
		{"from_label", fFromLabel, true}, {"to", fTo, false}, {"to_label", fToLabel, true}, {"value_in_usd", fValue, false},
	}},
}

// explorer returns the columns that Etherscan's exports of transactions and of
// internal transactions share, through all generations of their headers, and more.
func explorer(more ...column) []column {
	return append([]column{
		{"txhash", fTx, false}, {"transaction hash", fTx, false}, {"blockno", fBlock, false},
		{"unixtimestamp", fTime, false}, {"datetime", ignored, true}, {"datetime (utc)", ignored, true},
		{"from", fFrom, false}, {"contractaddress", fCreated, false},
		{"value_in(*)", fIn, false}, {"value_out(*)", fOut, false}, {"currentvalue*", ignored, true},
		{"historical $price/*", ignored, true}, {"status", fStatus, false}, {"errcode", fErrCode, true},
		{"privatenote", ignored, true},
		{"from_privatetag", fFromLabel, true}, {"to_privatetag", fToLabel, true},
		{"from_nametag", fFromLabel, true}, {"to_nametag", fToLabel, true},
	}, more...)
}

// find returns the column that a header cell names.
func (f *format) find(cell string) (column, bool) {
	for _, c := range f.columns {
		before, after, pattern := strings.Cut(c.name, "*")
		if c.name == cell || pattern && len(cell) >= len(before)+len(after) &&
			strings.HasPrefix(cell, before) && strings.HasSuffix(cell, after) {
			return c, true
		}
	}
	return column{}, false
}

// missing returns the first required column that a header does not have.
// Columns of one field are alternatives.
func (f *format) missing(header []string) (string, bool) {
	for _, c := range f.columns {
		if c.optional || slices.ContainsFunc(header, func(cell string) bool {
			h, ok := f.find(cell)
			return ok && (h.name == c.name || h.field == c.field && c.field != ignored)
		}) {
			continue
		}
		return c.name, true
	}
	return "", false
}

// misread are headers of lists that cannot be used, by a column that only they
// have, with the reason.
var misread = []struct{ column, reason string }{
	{"tokenid", "this is a list of NFT transfers; NFTs are not money, so leave this file out"},
	{"token id", "this is a list of NFT transfers; NFTs are not money, so leave this file out"},
	{"parent transaction hash", "this is the page of internal transactions, with rounded amounts; download the CSV export instead, which has the columns UnixTimestamp and Value_IN"},
	{"quantity", "this list names no token contract; download the ERC-20 export of the wallet instead, which has the column ContractAddress"},
	{"token", "this list names its tokens by name only, and anybody can give a token any name; download the ERC-20 export of the wallet instead, which has the column ContractAddress"},
	{"topics", "this is a list of logs; give token_transfers.csv instead"},
	{"cumulative_gas_used", "this is a list of receipts; give token_transfers.csv and traces.csv instead"},
}

// detect finds the format of a header whose cells are in lower case. The
// error names the column (its place in header, or -1) and what to do.
func detect(header []string) (f *format, at int, err error) {
	best, score := -1, 0
	for i := range formats {
		f, n := &formats[i], 0
		unknown := false
		for _, cell := range header {
			if _, ok := f.find(cell); ok {
				n++
			} else {
				unknown = true
			}
		}
		_, missing := f.missing(header)
		if !unknown && !missing {
			return f, -1, nil
		}
		if missing {
			n--
		}
		if n > score {
			best, score = i, n
		}
	}
	for _, m := range misread {
		if i := slices.Index(header, m.column); i >= 0 {
			return nil, i, fmt.Errorf("%s", m.reason)
		}
	}
	if best < 0 || score < 3 {
		return nil, -1, fmt.Errorf("these columns are not those of any list of transfers that can be read; the first line must name the columns, for example chain_id,block_number,…,status")
	}
	f = &formats[best]
	if name, missing := f.missing(header); missing {
		if name == "receipt_status" {
			return nil, -1, fmt.Errorf("the column receipt_status is missing, so failed transactions cannot be told from others; give traces.csv instead, or add the column")
		}
		return nil, -1, fmt.Errorf("the column %s is missing; without it this list (%s) cannot be read", name, f.name)
	}
	for i, cell := range header {
		if _, ok := f.find(cell); !ok {
			return nil, i, fmt.Errorf("this column is not known in a list of this kind (%s); please remove it", f.name)
		}
	}
	return nil, -1, fmt.Errorf("the columns are not understood")
}
