// Package price says what an amount was worth in US dollars when it moved.
//
// Dollar tokens of the chain table are worth a dollar; a wrapped coin is worth
// the coin; everything else has the prices it was given, each from a day on.
// What it promises: integer arithmetic throughout, rounded half up to a
// millionth of a dollar; and a missing price is missing, never zero.
package price

import (
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
	"strings"
	"time"

	"scamtrace/tracer"

	"github.com/holiman/uint256"
)

// MaxAge is how long a price holds.
const MaxAge = 48 * time.Hour

// MaxFile bounds a price file, in bytes.
const MaxFile = 64 << 20

// A Book knows prices. Make one with [New]. It is safe for concurrent reads
// once it is filled.
type Book struct {
	chains map[uint64]tracer.Chain
	days   map[tracer.Asset][]point // by time
}

// A point is a price from a time on, in millionths of a dollar per whole unit.
type point struct {
	time  uint64
	price tracer.Micros
}

// New returns a book that knows the dollar tokens and the decimals of chains.
func New(chains ...tracer.Chain) *Book {
	b := &Book{chains: make(map[uint64]tracer.Chain), days: make(map[tracer.Asset][]point)}
	for _, c := range chains {
		b.chains[c.ID] = c
	}
	return b
}

// Set says that from a time on (Unix seconds) a whole unit of an asset is
// worth price. It replaces a price for the same time. Prices that are not
// positive are ignored.
func (b *Book) Set(a tracer.Asset, time uint64, price tracer.Micros) {
	if price <= 0 {
		return
	}
	ps := b.days[a]
	i, ok := slices.BinarySearchFunc(ps, time, func(p point, t uint64) int { return cmp.Compare(p.time, t) })
	if ok {
		ps[i].price = price
		return
	}
	b.days[a] = slices.Insert(ps, i, point{time, price})
}

// USD returns what an amount of base units was worth at a time (Unix seconds),
// and where the price is from: "stablecoin", "value" for an asset that is
// dollars, or "price list". ok is false where no price is known that is at
// most [MaxAge] old. Values above what [tracer.Micros] can hold stay at its
// largest.
func (b *Book) USD(a tracer.Asset, amount *uint256.Int, time uint64) (usd tracer.Micros, source string, ok bool) {
	c, known := b.chains[a.Chain]
	if !known {
		return 0, "", false
	}
	_, decimals, known := c.Describe(a)
	if !known {
		return 0, "", false
	}
	price := tracer.Dollar
	switch t, _ := c.Token(a); {
	case a.Kind == tracer.USD:
		source = "value"
	case t.Stable:
		source = "stablecoin"
	default:
		if t.Wrapped {
			a = tracer.NativeOf(a.Chain)
		}
		if price, ok = b.at(a, time); !ok {
			return 0, "", false
		}
		source = "price list"
	}
	unit := new(uint256.Int).Exp(uint256.NewInt(10), uint256.NewInt(uint64(decimals)))
	v, overflow := new(uint256.Int).MulDivOverflow(amount, uint256.NewInt(uint64(price)), unit)
	rest := new(uint256.Int).MulMod(amount, uint256.NewInt(uint64(price)), unit)
	if half := rest.Lsh(rest, 1); !half.Lt(unit) {
		v.AddUint64(v, 1)
	}
	if overflow || !v.IsUint64() || v.Uint64() > math.MaxInt64 {
		return math.MaxInt64, source, true
	}
	return tracer.Micros(v.Uint64()), source, true
}

// at returns the latest price at or before a time.
func (b *Book) at(a tracer.Asset, at uint64) (tracer.Micros, bool) {
	ps := b.days[a]
	i, ok := slices.BinarySearchFunc(ps, at, func(p point, t uint64) int { return cmp.Compare(p.time, t) })
	if !ok {
		i--
	}
	if i < 0 || at-ps[i].time > uint64(MaxAge/time.Second) {
		return 0, false
	}
	return ps[i].price, true
}

// SHA256 names the prices of the book, in hexadecimal.
func (b *Book) SHA256() string {
	h := sha256.New()
	for _, a := range slices.SortedFunc(maps.Keys(b.days), tracer.Asset.Compare) {
		for _, p := range b.days[a] {
			fmt.Fprintf(h, "%s,%d,%d\n", a, p.time, p.price)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// ReadCSV adds prices from a file with the columns asset (CAIP-19, as in
// eip155:1/slip44:60), time (2026-01-31, RFC 3339 or Unix seconds) and usd (a
// decimal number per whole unit, at most six decimals). name is the file's, for
// errors, which name its line and wrap [tracer.ErrUsage].
func (b *Book) ReadCSV(r io.Reader, name string) error {
	cr := csv.NewReader(io.LimitReader(r, MaxFile))
	cr.ReuseRecord = true
	for first := true; ; first = false {
		row, err := cr.Read()
		if err == io.EOF && !first {
			return nil
		}
		line := 1
		if err == nil {
			line, _ = cr.FieldPos(0)
		}
		fail := func(format string, args ...any) error {
			return fmt.Errorf("%w: %s, line %d: "+format, append([]any{tracer.ErrUsage, name, line}, args...)...)
		}
		if pe, ok := errors.AsType[*csv.ParseError](err); ok {
			line = pe.Line
			return fail("%v", pe.Err)
		}
		if err != nil && err != io.EOF {
			return fmt.Errorf("read %s: %w", name, err)
		}
		if first {
			if !slices.Equal(row, []string{"asset", "time", "usd"}) {
				return fail("the columns must be asset, time and usd")
			}
			continue
		}
		a, err := tracer.ParseAsset(row[0])
		if err != nil {
			return fail("%v", err)
		}
		t, err := parseTime(row[1])
		if err != nil {
			return fail("%q is not a time; write 2026-01-31", tracer.CleanText(row[1], 40))
		}
		p, ok := parseUSD(row[2])
		if !ok {
			return fail("%q is not a price in dollars; write 1234.5", tracer.CleanText(row[2], 40))
		}
		b.Set(a, t, p)
	}
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

// parseUSD reads a positive decimal number of dollars.
func parseUSD(s string) (tracer.Micros, bool) {
	whole, frac, _ := strings.Cut(s, ".")
	if len(frac) > 6 || len(whole) > 12 || strings.ContainsAny(s, "+-") {
		return 0, false
	}
	n, err := strconv.ParseInt(whole+frac+strings.Repeat("0", 6-len(frac)), 10, 64)
	return tracer.Micros(n), err == nil && n > 0
}
