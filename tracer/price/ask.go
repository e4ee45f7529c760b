package price

import (
	"cmp"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"scamtrace/tracer"
)

// Day is how long a price that was asked for holds, from midnight UTC on.
const Day = 24 * time.Hour

const daySeconds = uint64(Day / time.Second)

// maxStale is how old a price may be at the moment that it is asked for: longer
// than any heartbeat of the feeds in the table, and what Liquity, a lender that
// lives by the same feed, takes for a feed that has stopped.
const maxStale = 4 * 60 * 60

// How long the source of a quote may be, and the reason why there is none, in
// characters.
const (
	maxSource = 80
	maxWhy    = 240
)

// tidy makes a text safe to show, also to a spreadsheet.
func tidy(s string, limit int) string {
	return tracer.CleanText(strings.TrimLeft(tracer.CleanText(s, limit), "=+-@ "), limit)
}

// A Quoter says what assets were worth. Implementations are safe for
// concurrent use.
type Quoter interface {
	// Covers reports whether the quoter may know prices of an asset.
	Covers(a tracer.Asset) bool

	// Quotes returns the price of an asset at each of some times (Unix
	// seconds, rising), in order, and the requests spent, which are at most
	// most. The only errors are those of ctx.
	Quotes(ctx context.Context, a tracer.Asset, times []uint64, most int) ([]Answer, int, error)
}

// An Answer is what a [Quoter] knows of an asset at a time.
type Answer struct {
	Price   tracer.Micros // of a whole unit; 0: there is none
	Source  string        // who says so, or, without a price, why there is none, in a clause
	Passing bool          // there is no price because of trouble that may pass
}

// A moment is an asset at a time.
type moment struct {
	asset tracer.Asset
	time  uint64
}

func (m moment) compare(n moment) int {
	return cmp.Or(m.asset.Compare(n.asset), cmp.Compare(m.time, n.time))
}

// From names who is asked for the prices that the book lacks, those first whose
// word counts most. Nobody is asked before [Book.Ask].
func (b *Book) From(quoters ...Quoter) { b.quoters = quoters }

// Asks reports whether the book has anybody to ask.
func (b *Book) Asks() bool { return len(b.quoters) > 0 }

// Clone returns a book that knows the same and asks the same.
func (b *Book) Clone() *Book {
	c := New()
	maps.Copy(c.chains, b.chains)
	for a, qs := range b.quotes {
		c.quotes[a] = slices.Clone(qs)
	}
	c.quoters = slices.Clone(b.quoters)
	b.mu.Lock()
	defer b.mu.Unlock()
	maps.Copy(c.asked, b.asked)
	return c
}

// ofDay returns the quote that was asked for of the day of a time. Where nobody
// was asked it notes that somebody should be.
func (b *Book) ofDay(a tracer.Asset, at uint64) (Quote, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	m := moment{a, at - at%daySeconds}
	x, asked := b.asked[m]
	if !asked && slices.ContainsFunc(b.quoters, func(q Quoter) bool { return q.Covers(a) }) {
		b.wanted[m] = true
	}
	return Quote{Price: x.Price, Source: x.Source}, x.Price > 0
}

// Ask asks for all prices that [Book.USD] lacked since the last time, and
// reports the requests spent, which are at most most, and whether the book knows
// more now, were it only that there is no price. Each is asked for once, of the
// first quoter and then, for those without a price, of the next. When ctx ends
// meanwhile, the book is as it was.
func (b *Book) Ask(ctx context.Context, most int) (requests int, more bool) {
	b.mu.Lock()
	todo := slices.SortedFunc(maps.Keys(b.wanted), moment.compare)
	b.mu.Unlock()
	found := make(map[moment]Answer)
	for len(todo) > 0 {
		a, n := todo[0].asset, 0
		for n < len(todo) && todo[n].asset == a {
			n++
		}
		spent, err := b.askFor(ctx, a, todo[:n], most-requests, found)
		if requests += spent; err != nil {
			return requests, false
		}
		todo = todo[n:]
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	maps.Copy(b.asked, found)
	for m := range found {
		delete(b.wanted, m)
	}
	return requests, len(found) > 0
}

// askFor asks one quoter after another for an asset.
func (b *Book) askFor(ctx context.Context, a tracer.Asset, todo []moment, most int, found map[moment]Answer) (requests int, err error) {
	for _, q := range b.quoters {
		if len(todo) == 0 || !q.Covers(a) {
			continue
		}
		times := make([]uint64, len(todo))
		for i, m := range todo {
			times[i] = m.time
		}
		answers, spent, err := q.Quotes(ctx, a, times, most-requests)
		if requests += spent; cmp.Or(err, ctx.Err()) != nil {
			return requests, cmp.Or(err, ctx.Err())
		}
		var left []moment
		for i, m := range todo {
			x := answers[i]
			if x.Price > 0 {
				found[m] = Answer{Price: x.Price, Source: cmp.Or(tidy(x.Source, maxSource), List)}
				continue
			}
			if before, ok := found[m]; ok {
				x.Source = before.Source + "; " + x.Source
				x.Passing = x.Passing || before.Passing
			}
			found[m] = Answer{Source: cmp.Or(tidy(x.Source, maxWhy), "nobody knows"), Passing: x.Passing}
			left = append(left, m)
		}
		todo = left
	}
	return requests, nil
}

// Again forgets that there is no price where that was because of trouble that
// may pass, or, with all, for whatever reason: it may be asked for again.
func (b *Book) Again(all bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	maps.DeleteFunc(b.asked, func(_ moment, x Answer) bool { return x.Passing || all && x.Price == 0 })
}

// Asked reports whether the book holds anything that was asked for.
func (b *Book) Asked() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.asked) > 0
}

// Trouble says why some price could not be asked for; empty: all could.
func (b *Book) Trouble() string {
	for _, x := range b.answers() {
		if x.Passing {
			return x.Source
		}
	}
	return ""
}

// Notes says, in sentences, which prices are missing and why.
func (b *Book) Notes() []string {
	type key struct{ coin, why string }
	days := make(map[key][]string)
	for m, x := range b.answers() {
		if x.Price == 0 {
			c := b.chains[m.asset.Chain]
			symbol, _, _ := c.Describe(m.asset)
			k := key{symbol, x.Source}
			days[k] = append(days[k], time.Unix(int64(m.time), 0).UTC().Format(time.DateOnly))
		}
	}
	var notes []string
	for k, d := range days {
		when := "on " + d[0]
		if n := len(d); n > 1 {
			when = fmt.Sprintf("on %d days from %s to %s", n, d[0], d[n-1])
		}
		notes = append(notes, fmt.Sprintf("What %s was worth %s is not known: %s.", cmp.Or(k.coin, "the coin"), when, strings.TrimSuffix(k.why, ".")))
	}
	slices.Sort(notes)
	return notes
}

// Lacks reports whether [Book.USD] lacked prices that nobody was asked for yet.
func (b *Book) Lacks() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.wanted) > 0
}

// Forgo gives up the prices that are lacking, and reports whether there were
// any: they are missing because of passing trouble, which why says in a clause.
func (b *Book) Forgo(why string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for m := range b.wanted {
		b.asked[m] = Answer{Source: cmp.Or(tidy(why, maxWhy), "nobody was asked"), Passing: true}
	}
	forgone := len(b.wanted) > 0
	clear(b.wanted)
	return forgone
}

// answers are what was asked for, in order.
func (b *Book) answers() iter.Seq2[moment, Answer] {
	b.mu.Lock()
	asked := maps.Clone(b.asked)
	b.mu.Unlock()
	return func(yield func(moment, Answer) bool) {
		for _, m := range slices.SortedFunc(maps.Keys(asked), moment.compare) {
			if !yield(m, asked[m]) {
				return
			}
		}
	}
}

// What the column asked says: nothing of a price that was given.
const (
	answered = "yes"
	passing  = "failed"
)

// Save writes the book as CSV, for [Book.ReadCSV]: what it was given, and what it
// asked for, also where there is no price; then source says why. The same book
// gives the same bytes.
func (b *Book) Save(w io.Writer) error {
	var rows [][]string
	for _, a := range slices.SortedFunc(maps.Keys(b.quotes), tracer.Asset.Compare) {
		for _, q := range b.quotes[a] {
			rows = append(rows, row(moment{a, q.Time}, q.Price, q.Source, ""))
		}
	}
	return write(w, append(rows, b.askedRows()...))
}

// SaveAsked is [Book.Save] of what was asked for alone.
func (b *Book) SaveAsked(w io.Writer) error { return write(w, b.askedRows()) }

func (b *Book) askedRows() (rows [][]string) {
	for m, x := range b.answers() {
		state := answered
		if x.Passing {
			state = passing
		}
		rows = append(rows, row(m, x.Price, x.Source, state))
	}
	return rows
}

func row(m moment, price tracer.Micros, source, asked string) []string {
	usd := ""
	if price > 0 {
		usd = fmt.Sprintf("%d.%06d", price/tracer.Dollar, price%tracer.Dollar)
	}
	when := strconv.FormatUint(m.time, 10)
	if t := time.Unix(int64(m.time), 0).UTC(); t.Year() <= 9999 {
		when = t.Format(time.RFC3339)
	}
	return []string{m.asset.String(), when, usd, source, asked}
}

func write(w io.Writer, rows [][]string) error {
	out := csv.NewWriter(w)
	if err := out.WriteAll(append([][]string{columns}, rows...)); err != nil {
		return fmt.Errorf("write the prices: %w", err)
	}
	return nil
}
