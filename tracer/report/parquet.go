package report

import (
	"bytes"
	"encoding/hex"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"
)

// A parquetRow is a transfer as a row of transfers.parquet. Addresses and
// hashes are bytes, which take half of what their digits would; in Athena,
// from_hex('dac17f…') makes some and to_hex reads them. Base units do not fit
// any number and are decimal strings.
type parquetRow struct {
	Chain       string `parquet:"chain,dict"`
	Block       int64  `parquet:"block,delta"`
	BlockHash   []byte `parquet:"block_hash,dict,optional"`
	Time        int64  `parquet:"time,timestamp(millisecond:utc),delta,optional"`
	Tx          []byte `parquet:"tx_hash,dict"`
	Position    string `parquet:"position"`
	Kind        string `parquet:"kind,dict"`
	From        []byte `parquet:"from_address,dict"`
	To          []byte `parquet:"to_address,dict"`
	Asset       string `parquet:"asset,dict"`
	Symbol      string `parquet:"symbol,dict"`
	Amount      string `parquet:"amount"`
	Traced      string `parquet:"traced"`
	TracedUSD   *int64 `parquet:"traced_usd,decimal(2:18),optional"`
	PriceSource string `parquet:"price_source,dict,optional"`
	Verified    bool   `parquet:"verified"`
	Basis       string `parquet:"basis,dict,optional"`
}

// transfersParquet writes the traced transfers for Athena, DuckDB and pandas.
func transfersParquet(r *Report) ([]byte, error) {
	var b bytes.Buffer
	w := parquet.NewGenericWriter[parquetRow](&b,
		parquet.Compression(&zstd.Codec{Level: zstd.SpeedFastest, Concurrency: 1}),
		// The library's own default names its version and its build.
		parquet.CreatedBy("scamtrace", "1", "0"),
	)
	const batch = 1000
	rows := make([]parquetRow, 0, batch)
	raw := make([]byte, 0, batch*(2*32+2*20))
	usd := make([]int64, batch)
	bytesOf := func(s string) []byte {
		if s == "" {
			return nil
		}
		n := len(raw)
		raw, _ = hex.AppendDecode(raw, []byte(s[2:])) // digits, as hold saw to
		return raw[n:len(raw):len(raw)]
	}
	var last string // time
	var millis int64
	for i := range r.Transfers {
		t := &r.Transfers[i]
		if t.Time != last {
			last, millis = t.Time, 0
			if at, err := time.Parse(time.RFC3339, t.Time); err == nil {
				millis = at.UnixMilli()
			}
		}
		row := parquetRow{
			Chain: t.Chain, Block: int64(t.Block), BlockHash: bytesOf(t.BlockHash), Time: millis, Tx: bytesOf(t.Tx),
			Position: t.Position, Kind: t.Kind, From: bytesOf(t.From), To: bytesOf(t.To), Asset: t.Asset, Symbol: t.Symbol,
			Amount: t.Amount, Traced: t.Traced, PriceSource: t.PriceSource, Verified: t.Verified, Basis: t.Basis,
		}
		if v, ok := parseUSD(t.USD); ok {
			usd[len(rows)] = int64(v) / 10_000
			row.TracedUSD = &usd[len(rows)]
		}
		if rows = append(rows, row); len(rows) == batch || i == len(r.Transfers)-1 {
			if _, err := w.Write(rows); err != nil {
				return nil, err
			}
			rows, raw = rows[:0], raw[:0]
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
