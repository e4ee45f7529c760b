package functions

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"scamtrace/graphstore"
	"scamtrace/tracer"
	"scamtrace/tracer/price"
	"scamtrace/tracer/report"
)

// Feeds is an [App.Quoters] that asks the feed of Chainlink on the chain itself.
// What a feed said once stays on the chain, so a trace that was killed gets the
// same prices again. That is not so of DefiLlama, which is for the command alone.
func Feeds(chain tracer.Chain, src tracer.Source) []price.Quoter {
	node, ok := tracer.As[price.Node](src)
	feed, known := price.FeedOf(chain.ID)
	if !ok || !known {
		return nil
	}
	return []price.Quoter{price.NewChainlink(feed, node)}
}

// ParseQuotes reads a setting of [App.Quoters]: chainlink, which it is if empty,
// or none.
func ParseQuotes(s string) (func(tracer.Chain, tracer.Source) []price.Quoter, error) {
	switch s {
	case "", "chainlink":
		return Feeds, nil
	case "none":
		return nil, nil
	}
	return nil, fmt.Errorf("%q is not chainlink or none", tracer.CleanText(s, 20))
}

// WithQuotes asks for the prices that public/prices/ does not have: SCAMTRACE_QUOTES
// is chainlink, which it is unless set, or none.
func WithQuotes(s *Setup) {
	q, err := ParseQuotes(s.Text("SCAMTRACE_QUOTES"))
	if err != nil {
		s.Bad("SCAMTRACE_QUOTES", err.Error())
	}
	s.App.Quoters = q
}

// asking returns the same knowledge with a book of prices of its own, for one
// case, that asks the quoters of a source.
func (k *knowledge) asking(quoters func(tracer.Chain, tracer.Source) []price.Quoter, chain tracer.Chain, src tracer.Source) *knowledge {
	if quoters == nil {
		return k
	}
	own := *k
	own.prices = k.prices.Clone()
	own.prices.From(quoters(chain, src)...)
	return &own
}

// A state begins with the prices that were asked for, if there are any: this, the
// length of the file of them, 4 bytes little endian, and the file. The walk
// follows.
const quotesMagic = "STQUOTES"

// giveQuotes writes the prices that were asked for.
func (k *knowledge) giveQuotes(out *bytes.Buffer) {
	if !k.prices.Asked() {
		return
	}
	var file bytes.Buffer
	_ = k.prices.SaveAsked(&file) // a buffer takes everything
	out.WriteString(quotesMagic)
	out.Write(binary.LittleEndian.AppendUint32(nil, uint32(file.Len())))
	out.Write(file.Bytes())
}

// takeQuotes reads what giveQuotes wrote and returns what follows it. Where
// nobody is asked any more, the prices of a state are left out.
func (k *knowledge) takeQuotes(state []byte) (walk []byte, err error) {
	rest, ok := bytes.CutPrefix(state, []byte(quotesMagic))
	if !ok {
		return state, nil
	}
	if len(rest) < 4 || uint64(len(rest)) < 4+uint64(binary.LittleEndian.Uint32(rest)) {
		return nil, fmt.Errorf("read the saved prices: %w: it ends early", graphstore.ErrCorrupt)
	}
	n := 4 + int(binary.LittleEndian.Uint32(rest))
	if k.prices.Asks() {
		if err := k.prices.ReadCSV(bytes.NewReader(rest[4:n]), "saved prices"); err != nil {
			return nil, fmt.Errorf("read the saved prices: %w: %w", graphstore.ErrCorrupt, err)
		}
	}
	return rest[n:], nil
}

// quotesFile is the file of a bundle with the prices that it rests on, where some
// were asked for.
func (k *knowledge) quotesFile() []report.NamedFile {
	if !k.prices.Asked() {
		return nil
	}
	var file bytes.Buffer
	_ = k.prices.Save(&file)
	return []report.NamedFile{{Name: "prices.csv", Data: file.Bytes()}}
}
