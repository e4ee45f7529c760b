// Package price says what an amount was worth in US dollars when it moved.
//
// Dollar tokens of the chain table are taken to be worth a dollar, at all times;
// a wrapped coin is worth the coin; everything else has the prices it was
// given, each from a time on and from a source ([Quote]). A token that is not
// in the chain table has no price, whatever anybody quotes for it.
//
// What a [Book] was not given, it can ask for: the feeds of Chainlink through the
// chain's own node ([Chainlink]), or DefiLlama ([Llama]). [Book.USD] itself asks
// nobody. It notes what it lacks, and [Book.Ask] then asks for all of that at
// once: one price an asset and [Day], that of the day's beginning (UTC). A price
// costs four calls of a node, or eight of one that keeps no old states: 250 for
// two months. One an hour would be closer to the moment of each transfer, and cost
// up to 6,000, more than most traces spend on everything else.
//
// What it promises: integer arithmetic throughout, rounded half up to a
// millionth of a dollar; a missing price is missing, never zero, and [Book.Notes]
// says why; every value names its source; the same values whatever the order of
// questions, and again from what [Book.Save] wrote, which nobody needs to be
// asked for; and a file of prices is read whole or not at all.
package price

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"

	"scamtrace/tracer"

	"github.com/holiman/uint256"
)

// MaxAge is how long a price holds.
const MaxAge = 48 * time.Hour

// MaxFile bounds a price file, in bytes.
const MaxFile = 64 << 20

// List is the source of quotes that name none.
const List = "price list"

// A Quote says what a whole unit of an asset was worth from a time on, until
// the next quote or for [MaxAge].
type Quote struct {
	Asset  tracer.Asset
	Time   uint64        // Unix seconds
	Price  tracer.Micros // more than zero
	Source string        // who says so; empty: [List]
}

// A Book knows prices. Make one with [New]. [Book.USD] is safe for concurrent
// use, and everything once it is filled.
type Book struct {
	chains  map[uint64]tracer.Chain
	quotes  map[tracer.Asset][]Quote // by time
	quoters []Quoter

	mu     sync.Mutex
	asked  map[moment]Answer
	wanted map[moment]bool
}

// New returns a book that knows the dollar tokens and the decimals of chains.
func New(chains ...tracer.Chain) *Book {
	b := &Book{chains: make(map[uint64]tracer.Chain), quotes: make(map[tracer.Asset][]Quote), asked: make(map[moment]Answer), wanted: make(map[moment]bool)}
	for _, c := range chains {
		b.chains[c.ID] = c
	}
	return b
}

// Set adds a quote of the [List].
func (b *Book) Set(a tracer.Asset, time uint64, price tracer.Micros) {
	b.Add(Quote{Asset: a, Time: time, Price: price})
}

// Add adds quotes. One replaces another of the same asset and time. A price that
// is not more than zero is no price, and ignored.
func (b *Book) Add(quotes ...Quote) {
	touched := make(map[tracer.Asset]bool)
	for _, q := range quotes {
		if q.Price > 0 {
			q.Source = cmp.Or(tidy(q.Source, maxSource), List)
			b.quotes[q.Asset] = append(b.quotes[q.Asset], q)
			touched[q.Asset] = true
		}
	}
	for a := range touched {
		qs := b.quotes[a]
		slices.Reverse(qs) // of the same time the last one counts
		slices.SortStableFunc(qs, func(x, y Quote) int { return cmp.Compare(x.Time, y.Time) })
		b.quotes[a] = slices.CompactFunc(qs, func(x, y Quote) bool { return x.Time == y.Time })
	}
}

// USD returns what an amount of base units was worth at a time (Unix seconds),
// and where the price is from: "stablecoin", "value" for an asset that is
// dollars, or the source of the quote. ok is false where no price is known that
// is at most [MaxAge] old. Values above what [tracer.Micros] can hold stay at
// its largest.
func (b *Book) USD(a tracer.Asset, amount *uint256.Int, time uint64) (usd tracer.Micros, source string, ok bool) {
	return b.usd(a, amount, time, true)
}

// Given is [Book.USD] by what the book was given alone. It is for questions about
// so many amounts that nobody can be asked for the prices of all.
func (b *Book) Given(a tracer.Asset, amount *uint256.Int, time uint64) (usd tracer.Micros, source string, ok bool) {
	return b.usd(a, amount, time, false)
}

func (b *Book) usd(a tracer.Asset, amount *uint256.Int, time uint64, ask bool) (usd tracer.Micros, source string, ok bool) {
	c, known := b.chains[a.Chain]
	if !known {
		return 0, "", false
	}
	_, decimals, known := c.Describe(a)
	if !known {
		return 0, "", false
	}
	q := Quote{Price: tracer.Dollar}
	switch t, _ := c.Token(a); {
	case a.Kind == tracer.USD:
		q.Source = "value"
	case t.Stable:
		q.Source = "stablecoin"
	default:
		if t.Wrapped {
			a = tracer.NativeOf(a.Chain)
		}
		if q, ok = b.at(a, time); !ok && ask {
			q, ok = b.ofDay(a, time)
		}
		if !ok {
			return 0, "", false
		}
	}
	unit := new(uint256.Int).Exp(uint256.NewInt(10), uint256.NewInt(uint64(decimals)))
	v, overflow := new(uint256.Int).MulDivOverflow(amount, uint256.NewInt(uint64(q.Price)), unit)
	rest := new(uint256.Int).MulMod(amount, uint256.NewInt(uint64(q.Price)), unit)
	if half := rest.Lsh(rest, 1); !half.Lt(unit) {
		v.AddUint64(v, 1)
	}
	if overflow || !v.IsUint64() || v.Uint64() > math.MaxInt64 {
		return math.MaxInt64, q.Source, true
	}
	return tracer.Micros(v.Uint64()), q.Source, true
}

// at returns the latest quote at or before a time.
func (b *Book) at(a tracer.Asset, at uint64) (Quote, bool) {
	qs := b.quotes[a]
	i, ok := slices.BinarySearchFunc(qs, at, func(q Quote, t uint64) int { return cmp.Compare(q.Time, t) })
	if !ok {
		i--
	}
	if i < 0 || at-qs[i].Time > uint64(MaxAge/time.Second) {
		return Quote{}, false
	}
	return qs[i], true
}

// SHA256 names the quotes of the book, in hexadecimal.
func (b *Book) SHA256() string {
	h := sha256.New()
	for _, a := range slices.SortedFunc(maps.Keys(b.quotes), tracer.Asset.Compare) {
		for _, q := range b.quotes[a] {
			fmt.Fprintf(h, "%s,%d,%d", a, q.Time, q.Price)
			if q.Source != List {
				fmt.Fprintf(h, ",%q", q.Source)
			}
			fmt.Fprintln(h)
		}
	}
	for m, x := range b.answers() {
		fmt.Fprintf(h, "%s,%d,%d,%q,asked\n", m.asset, m.time, x.Price, x.Source)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// The columns of a file of prices; one need not have the last two.
var columns = []string{"asset", "time", "usd", "source", "asked"}

// ReadCSV adds prices from a file with the columns asset (CAIP-19, as in
// eip155:1/slip44:60), time (2026-01-31, RFC 3339 or Unix seconds) and usd (a
// decimal number per whole unit, at most six decimals), or from one that
// [Book.Save] wrote. name is the file's; it is the source of quotes that name
// none. Errors name the line and wrap [tracer.ErrUsage]; after one the book is
// as it was. Two prices of an asset at one time are an error, unless they are
// the same.
func (b *Book) ReadCSV(r io.Reader, name string) error {
	name = tidy(name, 200)
	in := bufio.NewReader(io.LimitReader(r, MaxFile+4))
	if head, _ := in.Peek(3); string(head) == "\ufeff" {
		_, _ = in.Discard(3) // the mark that some spreadsheets put before the text
	}
	cr := csv.NewReader(in)
	cr.ReuseRecord = true
	line := 1
	fail := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s, line %d: "+format, append([]any{tracer.ErrUsage, name, line}, args...)...)
	}
	given, asked := make(map[moment]Quote), make(map[moment]Answer)
	for first := true; ; first = false {
		row, err := cr.Read()
		if cr.InputOffset() > MaxFile {
			return fmt.Errorf("%w: %s is larger than %d MB; please split it", tracer.ErrUsage, name, MaxFile>>20)
		}
		if err == io.EOF && !first {
			break
		}
		if pe, ok := errors.AsType[*csv.ParseError](err); ok {
			line = pe.Line
			return fail("%v", pe.Err)
		}
		if err != nil && err != io.EOF {
			return fmt.Errorf("read %s: %w", name, err)
		}
		if first {
			if !slices.Equal(row, columns[:3]) && !slices.Equal(row, columns) {
				return fail("the columns must be asset, time and usd")
			}
			continue
		}
		line, _ = cr.FieldPos(0)
		q := Quote{Source: name}
		if q.Asset, err = tracer.ParseAsset(row[0]); err != nil {
			return fail("%q is not a CAIP-19 id like eip155:1/slip44:60", tracer.CleanText(row[0], 80))
		}
		if q.Time, err = parseTime(row[1]); err != nil {
			return fail("%q is not a time; write 2026-01-31", tracer.CleanText(row[1], 40))
		}
		state := ""
		if len(row) == len(columns) {
			q.Source, state = cmp.Or(tidy(row[3], maxWhy), name), row[4]
		}
		if q.Price, err = tracer.ParseDollars(row[2]); (err != nil || q.Price == 0) && (row[2] != "" || state == "") {
			return fail("%q is not a price in dollars; write 1234.5", tracer.CleanText(row[2], 40))
		}
		m := moment{q.Asset, q.Time}
		if state == "" {
			if x, twice := given[m]; twice && x.Price != q.Price {
				return fail("%s has another price at this time in a line above", q.Asset)
			}
			given[m] = q
			continue
		}
		x := Answer{Price: q.Price, Source: q.Source, Passing: state == passing}
		if x.Price > 0 {
			x.Source = cmp.Or(tidy(x.Source, maxSource), List)
		}
		if state != answered && !x.Passing || x.Passing && x.Price > 0 || m.time%daySeconds != 0 {
			return fail("it does not say what a day's price was, as scamtrace writes it")
		}
		if y, twice := asked[m]; twice && x != y {
			return fail("%s has another price at this time in a line above", q.Asset)
		}
		asked[m] = x
	}
	b.Add(slices.Collect(maps.Values(given))...)
	b.mu.Lock()
	defer b.mu.Unlock()
	maps.Copy(b.asked, asked)
	return nil
}

func parseTime(s string) (uint64, error) {
	if n, err := strconv.ParseUint(s, 10, 63); err == nil {
		return n, nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil && t.Unix() >= 0 {
			return uint64(t.Unix()), nil
		}
	}
	return 0, errors.New("no time")
}
