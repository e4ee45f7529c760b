package filesource

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"

	"scamtrace/tracer"
)

// header is the columns of [WriteCSV], in order.
var header = []string{
	"chain_id", "block_number", "block_time", "tx_hash", "tx_index", "log_index", "kind", "token_address",
	"token_symbol", "token_decimals", "from_address", "to_address", "value", "status",
}

// WriteCSV writes transfers in our own columns, so that [Read] gives the same
// transfers again, but for block hashes, which have no column. Symbols and decimals are those of
// the chain's table; text that a spreadsheet would run as a formula gets an
// apostrophe before it. Rows are in the order of ts.
func WriteCSV(w io.Writer, chain tracer.Chain, ts []tracer.Transfer) error {
	out := csv.NewWriter(w)
	if err := out.Write(header); err != nil {
		return err
	}
	for i := range ts {
		t := &ts[i]
		if t.Asset.Chain != chain.ID {
			return fmt.Errorf("write transfer of %s: it is on chain %d, not on %s", tracer.ShowTx(t.Asset.Chain, t.Tx), t.Asset.Chain, chain.Title)
		}
		token, digits := "", ""
		switch {
		case t.Asset.Kind == tracer.ERC20 || t.Asset.Kind == tracer.NFT:
			token = tracer.Text(chain.ID, t.Asset.Token)
		case t.Asset.Kind == tracer.Native && t.Kind == tracer.KindToken: // EIP-7708
			token = tracer.Text(chain.ID, tracer.NativeLogs)
		}
		symbol, decimals, known := chain.Describe(t.Asset)
		if known {
			digits = decimal(decimals)
		}
		if err := out.Write([]string{
			strconv.FormatUint(chain.ID, 10), strconv.FormatUint(t.Block, 10), stamp(t.Time), tracer.ShowTx(chain.ID, t.Tx),
			strconv.FormatUint(uint64(t.TxIndex), 10), t.Position, t.Kind.String(), token, guard(symbol), digits,
			tracer.Text(chain.ID, t.From), tracer.Text(chain.ID, t.To), t.Amount.Dec(), "1",
		}); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// A line is one transfer as JSON: a transfer of the report without what only
// a trace knows.
type line struct {
	Chain     string `json:"chain"`
	Block     uint64 `json:"block"`
	BlockHash string `json:"blockHash,omitempty"`
	Time      string `json:"time"`
	Tx        string `json:"tx"`
	Position  string `json:"position"`
	Kind      string `json:"kind"`
	Asset     string `json:"asset"`
	Symbol    string `json:"symbol"`
	From      string `json:"from"`
	To        string `json:"to"`
	Amount    string `json:"amount"`
	Readable  string `json:"readable"`
	USD       string `json:"usd"`
	Verified  bool   `json:"verified"`
}

// WriteJSONL writes transfers as JSON lines with the fields of the report's
// transfers: time is RFC 3339 or empty, amount is base units, readable is
// empty for a token that is not in the chain's table, usd is empty and
// verified false, because neither a price nor a proof was asked for. Lines are
// in the order of ts.
func WriteJSONL(w io.Writer, chain tracer.Chain, ts []tracer.Transfer) error {
	enc := json.NewEncoder(w)
	for i := range ts {
		t := &ts[i]
		l := line{
			Chain: tracer.ChainID(t.Asset.Chain), Block: t.Block, Time: stamp(t.Time), Tx: tracer.ShowTx(t.Asset.Chain, t.Tx),
			Position: t.Position, Kind: t.Kind.String(), Asset: t.Asset.String(), From: tracer.Text(t.Asset.Chain, t.From), To: tracer.Text(t.Asset.Chain, t.To),
			Amount: t.Amount.Dec(),
		}
		if t.BlockHash != ([32]byte{}) {
			l.BlockHash = t.BlockHash.Hex()
		}
		if symbol, decimals, ok := chain.Describe(t.Asset); ok {
			l.Symbol, l.Readable = symbol, tracer.Readable(&t.Amount, decimals)
		}
		if err := enc.Encode(l); err != nil {
			return fmt.Errorf("write transfer of %s: %w", l.Tx, err)
		}
	}
	return nil
}
