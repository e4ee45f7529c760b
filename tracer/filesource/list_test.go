package filesource_test

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/filesource"

	"github.com/ethereum/go-ethereum/common"
)

// row writes a row of the explorer's older export of transactions.
func row(tx, block int, from, to, in, out, status string) string {
	return strings.Join([]string{h(tx), decimal(block), decimal(1_700_000_000 + 12*block), "x", from, to, `""`, in, out, "0", "0.001", "0", "0", status, ""}, ",") + "\n"
}

// erc writes a row of the explorer's export of ERC-20 transfers.
func erc(tx, block int, from, to, value string) string {
	return strings.Join([]string{h(tx), decimal(block), decimal(1_700_000_000 + 12*block), "x", from, to, value, "0", usdt, "Tether", "USDT"}, ",") + "\n"
}

func decimal(n int) string { return strconv.Itoa(n) }

// TestOnce lists what happened more than once, in one file and in several: it
// counts once, and so does what failed or is nothing, which does not count.
func TestOnce(t *testing.T) {
	dup := erc(1, 10, a(0xa1), a(0xa2), "5")
	native := own("kind=native", "token_address=", "token_symbol=", "token_decimals=", "log_index=")
	for _, tt := range []struct {
		name  string
		files map[string]string
		money int    // transfers that count, fees not
		note  string // among the notes
	}{
		{"a row twice", map[string]string{"l": ownHeader + own() + own()}, 1, "1 row was found more than once"},
		{"a row twice, without a log index", map[string]string{"l": ownHeader + own("log_index=") + own("log_index=")}, 1, "In l, 1 row that repeats another"},
		{"and once with one", map[string]string{"l": ownHeader + own() + own("log_index=")}, 1, "1 row was found more than once"},
		{"two log indexes are two transfers", map[string]string{"l": ownHeader + own() + own("log_index=6")}, 2, ""},
		{"and two rows without any do not add to them", map[string]string{"l": ownHeader + own() + own("log_index=6") + own("log_index=") + own("log_index=")}, 2, "In l, 1 row that repeats another"},
		{"two kinds", map[string]string{"l": ownHeader + own() + native}, 2, ""},
		{"an export joined to itself", map[string]string{"l": ercHeader + dup + erc(2, 11, a(0xa1), a(0xa2), "5") + dup}, 2, "In l, 1 row that repeats another"},
		{"the exports of both sides", map[string]string{"l" + a(0xa1): ercHeader + dup, "l" + a(0xa2): ercHeader + dup}, 1, "1 row was found more than once"},
		{"an export beside an exact list", map[string]string{"l": ercHeader + dup, "m": etlHeader + usdt + "," + a(0xa1) + "," + a(0xa2) + ",5000000," + h(1) + ",7,10\n"}, 1, "1 row was found more than once"},
		{"failed", map[string]string{"l": oldHeader + row(1, 10, a(1), a(2), "0", "3", "Error(0)")}, 0, "In l, 1 row failed"},
		{"failed, ours", map[string]string{"l": ownHeader + own("status=0")}, 0, "In l, 1 row failed"},
		{"nothing", map[string]string{"l": ownHeader + own("value=0")}, 0, "In l, 1 row is of value zero"},
		{"to itself", map[string]string{"l": ownHeader + own("to_address="+a(0xa1))}, 0, ""},
		{"an NFT", map[string]string{"l": ownHeader + own("kind=nft", "token_decimals=")}, 0, ""},
		{"native coin in logs and values", map[string]string{"l": ownHeader + own("token_address="+tracer.Hex(tracer.NativeLogs), "token_symbol=", "token_decimals=") + native}, 1, "1 row was found more than once"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := filesource.Open(chain(t, "ethereum"), write(t, tt.files)...)
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for _, x := range all(t, s) {
				if x.Counts() && x.Kind != tracer.KindFee {
					n++
				}
			}
			if n != tt.money {
				t.Errorf("%d transfers count, want %d", n, tt.money)
			}
			if !slices.ContainsFunc(s.Notes(), func(n string) bool { return strings.Contains(n, tt.note) }) && tt.note != "" {
				t.Errorf("Notes = %q, want one with %q", s.Notes(), tt.note)
			}
		})
	}
}

// TestWhose finds out for whom explorers' exports are complete. Taking a list
// to be complete for a wallet whose export it is not would say that money is
// where it went on from.
func TestWhose(t *testing.T) {
	one := row(1, 10, a(1), a(2), "0", "3", "")
	full := oldHeader + one + strings.Repeat(row(2, 11, a(1), a(3), "0", "1", ""), 4999)
	for _, tt := range []struct {
		name  string
		files map[string]string
		whose []int // a(n) whose native transfers are all there
		note  string
	}{
		{"in every row", map[string]string{"l": oldHeader + one + row(2, 11, a(3), a(1), "1", "0", "")}, []int{1}, ""},
		{"two are in every row", map[string]string{"l": oldHeader + one}, nil, "l can be the export of"},
		{"the file's name decides", map[string]string{"export-" + a(2) + ".csv": oldHeader + one}, []int{2}, ""},
		{"the name of a stranger does not", map[string]string{"export-" + a(9) + ".csv": oldHeader + one}, nil, "can be the export of"},
		{"another file decides", map[string]string{"l": oldHeader + one, "m": ercHeader + erc(5, 10, a(1), a(4), "1") + erc(6, 10, a(1), a(5), "1")}, []int{1}, ""},
		{"exports joined into one file", map[string]string{"l": oldHeader + one + row(3, 12, a(3), a(4), "0", "1", "")}, nil, "l is not the export of one wallet"},
		{"a full file", map[string]string{"l": full}, nil, "l has 5000 rows, the most that explorers export"},
		{"a full file and the next", map[string]string{"l": full, "m": oldHeader + row(3, 13, a(1), a(4), "0", "1", "") + row(4, 14, a(1), a(5), "0", "1", "")}, []int{1}, "l has 5000 rows"},
		{"an export without rows, and another", map[string]string{"export-" + a(7) + ".csv": oldHeader, "m": ownHeader + own()}, []int{1, 2, 3, 7}, ""},
		{"an export without rows", map[string]string{"export-" + a(7) + ".csv": oldHeader, "m": ercHeader + erc(5, 10, a(7), a(4), "1") + erc(6, 10, a(7), a(5), "1")}, []int{7}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := filesource.Open(chain(t, "ethereum"), write(t, tt.files)...)
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range []int{1, 2, 3, 7} {
				w := common.HexToAddress(a(n))
				ans, err := s.Transfers(t.Context(), tracer.Query{Spans: []tracer.Span{{Wallet: w, To: 100}}})
				if err != nil {
					t.Fatal(err)
				}
				open := slices.ContainsFunc(ans.Unread, func(u tracer.Unread) bool { return u.Part == tracer.PartNative || u.Part == tracer.PartAll })
				if want := !slices.Contains(tt.whose, n); open != want {
					t.Errorf("native transfers of %s are unread: %v, want %v (%v)", w, open, want, ans.Unread)
				}
			}
			if !slices.ContainsFunc(s.Notes(), func(n string) bool { return strings.Contains(n, tt.note) }) && tt.note != "" {
				t.Errorf("Notes = %q, want one with %q", s.Notes(), tt.note)
			}
		})
	}
}

func TestBlockAt(t *testing.T) {
	s := read(t, chain(t, "ethereum"), []byte(ownHeader+own("block_number=10", "block_time=1000")+own("tx_hash="+h(2), "block_number=20", "block_time=2000")))
	for at, want := range map[uint64]uint64{0: 10, 1: 10, 1000: 10, 1001: 20, 2000: 20, 2001: 21} {
		if got, err := s.BlockAt(t.Context(), at); got != want || err != nil {
			t.Errorf("BlockAt(%d) = %d, %v, want %d", at, got, err, want)
		}
	}
	s = read(t, chain(t, "ethereum"), []byte(ownHeader+own("block_time=")))
	if got, err := s.BlockAt(t.Context(), 0); got != 10 || err != nil {
		t.Errorf("BlockAt(0) = %d, %v, want 10", got, err)
	}
	if _, err := s.BlockAt(t.Context(), 5); !errors.Is(err, tracer.ErrUsage) || !strings.Contains(err.Error(), "list.csv") {
		t.Errorf("BlockAt of a list without times says %v", err)
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	good := writeFile(t, dir, "good.csv", ownHeader+own())
	for _, tt := range []struct {
		files []string
		want  string
	}{
		{nil, "no file with transfers was given"},
		{[]string{dir + "/none.csv"}, "none.csv: there is no such file"},
		{[]string{dir}, "this is a folder"},
		{[]string{good, dir + "/none.csv"}, "none.csv: there is no such file"},
		{[]string{good, writeFile(t, dir, "next.csv", ownHeader+own("value=2"))}, "next.csv, line 2: token transfer 5 of transaction"},
		{[]string{good, writeFile(t, dir, "time.csv", ownHeader+own("tx_hash="+h(2), "block_time=1700000012"))}, "block 10 is dated"},
		{[]string{good, writeFile(t, dir, "zone.csv", ownHeader+own("tx_hash="+h(2), "block_number=11", "block_time=1699990000"))}, "zone.csv: block 11 is dated 2023-11-14T19:26:40Z, before block 10 (2023-11-14T22:13:20Z in good.csv)"},
		{make([]string, 1<<16), "65536 files with transfers are too many"},
	} {
		_, err := filesource.Open(chain(t, "ethereum"), tt.files...)
		if !errors.Is(err, tracer.ErrUsage) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Open says %v, want %q", err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), dir) {
			t.Errorf("the error tells where the files lie: %v", err)
		}
	}
	// The same file twice is one.
	if s, err := filesource.Open(chain(t, "ethereum"), good, good); err != nil || len(s.Notes()) > 0 {
		t.Errorf("Open of one file twice says %v", err)
	}
}

// TestBounds reads what would never end.
func TestBounds(t *testing.T) {
	for name, tt := range map[string]struct{ head, again, want string }{
		"a quote that is never closed":  {ownHeader + "\"", "a,\n", "list.csv, line 2: a row is longer than 8 MiB"},
		"a line that never ends":        {ownHeader, "1,", "list.csv, line 2: a row is longer than 8 MiB"},
		"a first line that never ends":  {"", "chain_id,", "list.csv, line 1: the first line is longer than 64 KiB"},
		"broken rows that never end":    {ownHeader, "x\n", "list.csv, line 6: this row has 1 cells"},
		"a quote in a first line":       {"\"", "x", "list.csv, line 1: the first line is longer"},
		"a header that is all one cell": {"", "x", "list.csv, line 1: the first line is longer"},
	} {
		r := &endless{head: tt.head, again: tt.again}
		_, err := filesource.Read(chain(t, "ethereum"), "list.csv", r)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Read says %v, want %q", name, err, tt.want)
		}
		most := 9 << 20
		if strings.Contains(tt.want, "first line") {
			most = 1 << 20
		}
		if r.n > most {
			t.Errorf("%s: %d bytes were read", name, r.n)
		}
	}
}

// endless is a file without an end.
type endless struct {
	head, again string
	n           int
}

func (e *endless) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if e.head == "" {
			e.head = e.again
		}
		k := copy(p[n:], e.head)
		e.head = e.head[k:]
		n += k
	}
	e.n += n
	return n, nil
}

// The order of the files, and the folder they lie in, change nothing.
func TestFileOrder(t *testing.T) {
	files := map[string]string{
		"a.csv": ercHeader + erc(1, 10, a(0xa1), a(0xa2), "5") + erc(2, 10, a(0xa2), a(0xa3), "5"),
		"b.csv": oldHeader + row(3, 10, a(0xa1), a(0xa9), "0", "3", "") + row(4, 12, a(0xa1), a(0xa8), "0", "3", ""),
		"c.csv": ownHeader + own("tx_hash="+h(5), "block_time=", "tx_index="),
	}
	var want string
	for range 4 {
		s, err := filesource.Open(chain(t, "ethereum"), write(t, files)...)
		if err != nil {
			t.Fatal(err)
		}
		got := string(describe(t, s))
		if want == "" {
			want = got
		}
		if got != want {
			t.Errorf("got\n%s\nand before\n%s", got, want)
		}
	}
}

// TestCrowded draws the line between a wallet and a crowd.
func TestCrowded(t *testing.T) {
	var b strings.Builder
	b.WriteString(ownHeader)
	for i := range 5 { // two transfers in block 12
		b.WriteString(own("tx_hash="+h(i+1), "block_number="+decimal(10+i-i/3), "tx_index="+decimal(i), "block_time="+decimal(1_700_000_000+12*(i-i/3))))
	}
	s := read(t, chain(t, "ethereum"), []byte(b.String()))
	w := common.HexToAddress(a(0xa1))
	for _, tt := range []struct {
		name  string
		most  int
		spans []tracer.Span
		want  int    // transfers
		from  uint64 // unread from here on; 0: nothing is
	}{
		{"no bound", 0, []tracer.Span{{Wallet: w, To: 99}}, 5, 0},
		{"as many as wanted", 5, []tracer.Span{{Wallet: w, To: 99}}, 5, 0},
		{"one more", 4, []tracer.Span{{Wallet: w, To: 99}}, 4, 13},
		{"in the middle of a block", 3, []tracer.Span{{Wallet: w, To: 99}}, 2, 12},
		{"at once", 1, []tracer.Span{{Wallet: w, From: 12, To: 99}}, 0, 12},
		{"spans that overlap count once", 5, []tracer.Span{{Wallet: w, To: 99}, {Wallet: w, From: 11, To: 12}}, 5, 0},
		{"spans apart", 2, []tracer.Span{{Wallet: w, From: 13, To: 13}, {Wallet: w, From: 10, To: 11}}, 2, 13},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ans, err := s.Transfers(t.Context(), tracer.Query{Spans: tt.spans, MaxTransfers: tt.most})
			if err != nil {
				t.Fatal(err)
			}
			from := uint64(0)
			for _, u := range ans.Unread {
				if u.Reason != tracer.ReasonCrowded || u.Wallet != w {
					t.Errorf("unread: %v", u)
				}
				from = u.From
			}
			if len(ans.Transfers) != tt.want || from != tt.from {
				t.Errorf("%d transfers, unread from %d, want %d and %d", len(ans.Transfers), from, tt.want, tt.from)
			}
		})
	}
}

func TestWriteJSONL(t *testing.T) {
	x := all(t, read(t, chain(t, "ethereum"), []byte(ownHeader+own("value=1500000"))))[0]
	known := x
	known.BlockHash = common.Hash{31: 7}
	fake := x
	fake.Asset.Token, fake.Time = common.Address{19: 9}, 0
	var b strings.Builder
	if err := filesource.WriteJSONL(&b, chain(t, "ethereum"), []tracer.Transfer{known, fake}); err != nil {
		t.Fatal(err)
	}
	rest := `"tx":"` + h(1) + `","position":"5","kind":"token","asset":"eip155:1/erc20:%","symbol":"%","from":"` + a(0xa1) + `","to":"` + a(0xa2) + `","amount":"1500000","readable":"%","usd":"","verified":false}` + "\n"
	fill := func(s string, with ...string) string {
		for _, w := range with {
			s = strings.Replace(s, "%", w, 1)
		}
		return s
	}
	want := `{"chain":"eip155:1","block":10,"blockHash":"0x` + strings.Repeat("0", 63) + `7","time":"2023-11-14T22:13:20Z",` + fill(rest, usdt, "USDT", "1.5") +
		`{"chain":"eip155:1","block":10,"time":"",` + fill(rest, "0x0000000000000000000000000000000000000009", "", "")
	if got := b.String(); got != want {
		t.Errorf("WriteJSONL gives\n%s\nwant\n%s", got, want)
	}
	if err := filesource.WriteCSV(&b, chain(t, "bsc"), []tracer.Transfer{x}); err == nil || !strings.Contains(err.Error(), "not on BNB Smart Chain") {
		t.Errorf("WriteCSV of another chain's transfer says %v", err)
	}
}
