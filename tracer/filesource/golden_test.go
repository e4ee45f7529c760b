package filesource_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/filesource"

	"github.com/ethereum/go-ethereum/common"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares got with testdata/name, or rewrites it under -update.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("output differs from %s (run go test -update, then read git diff)\ngot:\n%s", file, got)
	}
}

func chain(t testing.TB, name string) tracer.Chain {
	t.Helper()
	c, err := tracer.ChainNamed(name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// all returns every transfer of a source, through its wallets.
func all(t testing.TB, s *filesource.Source) []tracer.Transfer {
	t.Helper()
	ans, err := s.Transfers(t.Context(), tracer.Query{Spans: everybody(s)})
	if err != nil {
		t.Fatal(err)
	}
	return ans.Transfers
}

// describe writes all that a source says.
func describe(t *testing.T, s *filesource.Source) []byte {
	t.Helper()
	var b bytes.Buffer
	pin, err := s.Pin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&b, "last block %d, time %d\n\n", pin.Number, pin.Time)
	short := func(h string) string { return h[:6] + "…" + h[len(h)-4:] }
	ts := all(t, s)
	for i := range ts {
		x := &ts[i]
		fmt.Fprintf(&b, "%d %d %s #%d %s %s: %s → %s %s of %s counts=%v\n", x.Block, x.Time, short(x.Tx.Hex()), x.TxIndex, x.Kind, x.Position,
			short(tracer.Hex(x.From)), short(tracer.Hex(x.To)), x.Amount.Dec(), x.Asset, x.Counts())
	}
	ans, err := s.Transfers(t.Context(), tracer.Query{Spans: everybody(s)})
	if err != nil {
		t.Fatal(err)
	}
	b.WriteByte('\n')
	seen := make(map[common.Address]bool)
	for i := range ts {
		seen[ts[i].From], seen[ts[i].To] = true, true
	}
	for _, u := range ans.Unread {
		who := short(tracer.Hex(u.Wallet))
		if u.Wallet == stranger {
			who = "anybody else"
		} else if !seen[u.Wallet] {
			continue
		}
		fmt.Fprintf(&b, "unread %s: %s (%s: %s)\n", who, u.Part, u.Reason, u.Detail)
	}
	b.WriteByte('\n')
	for _, n := range s.Names() {
		fmt.Fprintf(&b, "%s is called %q in %s\n", short(tracer.Hex(n.Address)), n.Name, n.File)
	}
	for _, n := range s.Notes() {
		fmt.Fprintln(&b, n)
	}
	return b.Bytes()
}

// TestFormats reads an example of each format, and sets of them that belong
// together, and compares all that the source says.
func TestFormats(t *testing.T) {
	for _, tt := range []struct {
		name, chain string
		files       []string
	}{
		{"own", "ethereum", []string{"own.csv"}},
		{"etl_tokens", "ethereum", []string{"etl_token_transfers.csv"}},
		{"etl_tokens_dated", "ethereum", []string{"etl_token_transfers.csv", "etl_blocks.csv"}},
		{"etl_native", "ethereum", []string{"etl_transactions.csv", "etl_traces.csv"}},
		{"explorer_old", "ethereum", []string{"export-old.csv"}},
		{"explorer_new", "bsc", []string{"export-new.csv"}},
		{"explorer_internal", "ethereum", []string{"export-internal.csv"}},
		{"explorer_token", "ethereum", []string{"export-token.csv"}},
		{"explorer_page", "ethereum", []string{"export-page.csv"}},
		{"explorer_all", "ethereum", []string{"export-token.csv", "export-internal.csv", "export-old.csv"}},
		{"flows", "ethereum", []string{"flows.csv"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var paths []string
			for _, f := range tt.files {
				paths = append(paths, filepath.Join("testdata", f))
			}
			s, err := filesource.Open(chain(t, tt.chain), paths...)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, tt.name+".golden", describe(t, s))
		})
	}
}

const (
	ownHeader = "chain_id,block_number,block_time,tx_hash,tx_index,log_index,kind,token_address,token_symbol,token_decimals,from_address,to_address,value,status\n"
	etlHeader = "token_address,from_address,to_address,value,transaction_hash,log_index,block_number\n"
	oldHeader = `"Txhash","Blockno","UnixTimestamp","DateTime","From","To","ContractAddress","Value_IN(ETH)","Value_OUT(ETH)","CurrentValue @ $1/Eth","TxnFee(ETH)","TxnFee(USD)","Historical $Price/Eth","Status","ErrCode"` + "\n"
	ercHeader = "Txhash,Blockno,UnixTimestamp,DateTime,From,To,TokenValue,USDValueDayOfTx,ContractAddress,TokenName,TokenSymbol\n"
	usdHeader = "Timestamp,Block,Tx_hash,From,From_label,To,To_label,Value_in_USD\n"
	usdt      = "0xdac17f958d2ee523a2206206994597c13d831ec7"
	key       = "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"
)

// a and h make addresses and hashes.
func a(n int) string { return "0x" + strings.Repeat(fmt.Sprintf("%02x", n), 20) }
func h(n int) string { return "0x" + strings.Repeat(fmt.Sprintf("%02x", n), 32) }

// own writes a row of our own columns from name=value pairs over a good one.
func own(set ...string) string {
	cells := map[string]string{"chain_id": "1", "block_number": "10", "block_time": "1700000000", "tx_hash": h(1), "tx_index": "0",
		"log_index": "5", "kind": "token", "token_address": usdt, "token_symbol": "USDT", "token_decimals": "6",
		"from_address": a(0xa1), "to_address": a(0xa2), "value": "1", "status": "1"}
	for _, s := range set {
		k, v, _ := strings.Cut(s, "=")
		cells[k] = v
	}
	var row []string
	for name := range strings.SplitSeq(strings.TrimSpace(ownHeader), ",") {
		row = append(row, cells[name])
	}
	return strings.Join(row, ",") + "\n"
}

// TestErrors reads broken lists: every error names the file, is a usage error,
// repeats no secret, and says what the golden file says.
func TestErrors(t *testing.T) {
	erc := func(value string) string {
		return ercHeader + h(1) + ",10,1700000000,x," + a(0xa1) + "," + a(0xa2) + "," + value + ",0," + usdt + ",Tether,USDT\n"
	}
	var b bytes.Buffer
	for _, tt := range []struct{ name, text string }{
		{"nothing", ""},
		{"a header alone", ownHeader},
		{"only blank lines", "\n\n\n\n"},
		{"a workbook", "PK\x03\x04abc"},
		{"a gzip file", "\x1f\x8b\x08\x00"},
		{"a web page", "<!DOCTYPE html>"},
		{"UTF-16", "\xff\xfec\x00h\x00"},
		{"other columns", "name,age,town\nx,1,y\n"},
		{"semicolons", strings.ReplaceAll(ownHeader+own(), ",", ";")},
		{"an unknown column", strings.Replace(ownHeader, "status", "status,mood", 1) + own()},
		{"a nameless column", strings.Replace(ownHeader, "kind", "kind,", 1) + own()},
		{"a missing column", strings.Replace(ownHeader, ",status", "", 1) + own()},
		{"a column twice", strings.Replace(ownHeader, "status", "status,value", 1) + own()},
		{"transactions without status", "hash,nonce,block_hash,block_number,transaction_index,from_address,to_address,value,gas,gas_price,input\n"},
		{"an export of BNB", strings.ReplaceAll(oldHeader, "ETH", "BNB")},
		{"NFTs", "Txhash,Blockno,UnixTimestamp,DateTime,From,To,ContractAddress,TokenId,TokenName,TokenSymbol\n"},
		{"a token's page", "Transaction Hash,Status,Method,Blockno,DateTime (UTC),From,From_Nametag,To,To_Nametag,Amount,Value (USD),Token\n"},
		{"a token's export", "Txhash,Blockno,UnixTimestamp,DateTime,From,To,Quantity,Method\n"},
		{"too few cells", ownHeader + "1,2,3\n"},
		{"a comma in a cell", ownHeader + own("value=1,5")},
		{"a quote left open", ownHeader + "\"1,2\n" + own()},
		{"a quote inside", ownHeader + own("value=1\"2")},
		{"another chain", ownHeader + own("chain_id=56")},
		{"no block", ownHeader + own("block_number=")},
		{"a block in hex", ownHeader + own("block_number=0x10")},
		{"a bad time", ownHeader + own("block_time=yesterday")},
		{"milliseconds", ownHeader + own("block_time=1700000000000")},
		{"a short address", ownHeader + own("from_address="+a(0xa1)[:41])},
		{"a wrong checksum", ownHeader + own("to_address=0xDAC17F958D2ee523a2206206994597C13D831ec7")},
		{"a Tron address", ownHeader + own("to_address=TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t")},
		{"an address as hash", ownHeader + own("tx_hash="+a(0xa1))},
		{"a private key as hash", ownHeader + own("tx_hash="+key)},
		{"a private key as value", ownHeader + own("value="+key)},
		{"a private key as header", strings.Replace(ownHeader, "status", "status,"+key, 1) + own()},
		{"the zero hash", ownHeader + own("tx_hash="+h(0))},
		{"a readable amount", ownHeader + own("value=1.5")},
		{"a negative amount", ownHeader + own("value=-1")},
		{"a rounded amount", ownHeader + own("value=1.2E+29")},
		{"too large an amount", ownHeader + own("value="+strings.Repeat("9", 78))},
		{"other decimals", ownHeader + own("token_decimals=18")},
		{"a token without address", ownHeader + own("token_address=")},
		{"a coin with address", ownHeader + own("kind=native")},
		{"an unknown kind", ownHeader + own("kind=swap")},
		{"an unknown status", ownHeader + own("status=ok")},
		{"a bad position", ownHeader + own("log_index=-1")},
		{"a position with a zero", ownHeader + own("log_index=017")},
		{"a bad index", ownHeader + own("tx_index=first")},
		{"two blocks of a transaction", ownHeader + own() + own("block_number=11", "log_index=6")},
		{"two indexes of a transaction", ownHeader + own() + own("tx_index=1", "log_index=6")},
		{"two times of a block", ownHeader + own() + own("block_time=1700000001", "log_index=6")},
		{"two transfers at one position", ownHeader + own() + own("value=2")},
		{"two native values", ownHeader + own("kind=native", "token_address=", "token_symbol=", "token_decimals=") + own("kind=native", "token_address=", "token_symbol=", "token_decimals=", "value=2")},
		{"two transactions at one place", ownHeader + own() + own("tx_hash="+h(2))},
		{"many broken rows", ownHeader + strings.Repeat(own("status=2")+own("value=x"), 4)},
		{"an ETL position", etlHeader + usdt + "," + a(1) + "," + a(2) + ",1," + h(1) + ",0.1,7\n"},
		{"too many decimals", erc("1.2345678")},
		{"a comma out of place", erc(`"12,34.5"`)},
		{"a huge amount", erc("1e90")},
		{"an amount in words", erc("much")},
		{"a strange status", oldHeader + h(1) + ",10,1700000000,x," + a(1) + "," + a(2) + `,"",1,0,0,0,0,0,Pending,` + "\n"},
		{"in and out at once", oldHeader + h(1) + ",10,1700000000,x," + a(1) + "," + a(2) + `,"",1,2,0,0,0,0,,` + "\n"},
		{"no receiver", oldHeader + h(1) + ",10,1700000000,x," + a(1) + `,,"",1,0,0,0,0,0,,` + "\n"},
		{"no explorer's time", oldHeader + h(1) + ",10,,x," + a(1) + `,,"",1,0,0,0,0,0,,` + "\n"},
		{"no dollars", usdHeader + "2023-06-02 21:49:23,10," + h(1) + "," + a(1) + ",," + a(2) + ",,\n"},
		{"an invisible character", ownHeader + own("to_address="+a(0xa2)[:20]+"\u200b"+a(0xa2)[20:])},
		{"a NUL", ownHeader + own("value=1\x00")},
		{"a line end in a name", "tidy\u202ename,\"a\nb\"\n"},
	} {
		s, err := filesource.Read(chain(t, "ethereum"), "list.csv", strings.NewReader(tt.text))
		if err == nil {
			t.Errorf("%s: Read gives %d transfers, want an error", tt.name, len(all(t, s)))
			continue
		}
		re, ok := errors.AsType[*filesource.RowError](err)
		if !errors.Is(err, tracer.ErrUsage) || !ok || re.File != "list.csv" {
			t.Errorf("%s: Read gives %v, want a RowError of list.csv", tt.name, err)
		}
		if strings.Contains(err.Error(), key[:16]) {
			t.Errorf("%s: the error repeats a secret: %v", tt.name, err)
		}
		fmt.Fprintf(&b, "%s\n\t%s\n", tt.name, strings.ReplaceAll(err.Error(), "\n", "\n\t"))
	}
	golden(t, "errors.golden", b.Bytes())
}

func writeFile(t testing.TB, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
