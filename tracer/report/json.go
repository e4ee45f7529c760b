package report

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"
)

// appendJSON writes report.json: what encoding/json would write of r, with
// every element of a list at the top on a line of its own, so that two reports
// can be compared and a large one searched line by line.
func appendJSON(b []byte, r *Report) ([]byte, error) {
	v := reflect.ValueOf(r).Elem()
	b = append(b, '{')
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, "\n\""...)
		b = append(b, name...)
		b = append(b, `":`...)
		var err error
		switch list := v.Field(i).Addr().Interface().(type) {
		case *[]Transfer:
			b = appendLines(b, len(*list), func(b []byte, n int) []byte { return appendTransfer(b, &(*list)[n]) })
		case *[]Flow:
			b = appendLines(b, len(*list), func(b []byte, n int) []byte { return appendFlow(b, &(*list)[n]) })
		case *[]Wallet:
			b = appendLines(b, len(*list), func(b []byte, n int) []byte { return appendWallet(b, &(*list)[n]) })
		default:
			if x := v.Field(i); x.Kind() == reflect.Slice {
				b = appendLines(b, x.Len(), func(b []byte, n int) []byte {
					line, e := json.Marshal(x.Index(n).Interface())
					if e != nil {
						err = e
					}
					return append(b, line...)
				})
				break
			}
			var part []byte
			part, err = json.Marshal(list)
			b = append(b, part...)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return append(b, "\n}\n"...), nil
}

func appendLines(b []byte, n int, line func(b []byte, n int) []byte) []byte {
	b = append(b, '[')
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		b = line(append(b, '\n'), i)
	}
	return append(b, ']')
}

// The lists that grow with the case are written by hand, several times as fast
// as encoding/json does. A test holds them to the same bytes.

func appendTransfer(b []byte, t *Transfer) []byte {
	b = appendString(b, `{"chain":`, t.Chain)
	b = strconv.AppendUint(append(b, `,"block":`...), t.Block, 10)
	b = appendOptional(b, `,"blockHash":`, t.BlockHash)
	b = appendString(b, `,"time":`, t.Time)
	b = appendString(b, `,"tx":`, t.Tx)
	b = appendString(b, `,"position":`, t.Position)
	b = appendString(b, `,"kind":`, t.Kind)
	b = appendString(b, `,"asset":`, t.Asset)
	b = appendString(b, `,"symbol":`, t.Symbol)
	b = appendString(b, `,"from":`, t.From)
	b = appendString(b, `,"to":`, t.To)
	b = appendString(b, `,"amount":`, t.Amount)
	b = appendString(b, `,"readable":`, t.Readable)
	b = appendString(b, `,"traced":`, t.Traced)
	b = appendString(b, `,"tracedReadable":`, t.TracedReadable)
	b = appendString(b, `,"usd":`, t.USD)
	b = appendOptional(b, `,"priceSource":`, t.PriceSource)
	b = strconv.AppendBool(append(b, `,"verified":`...), t.Verified)
	return append(b, '}')
}

func appendFlow(b []byte, f *Flow) []byte {
	b = appendString(b, `{"from":`, f.From)
	b = appendString(b, `,"to":`, f.To)
	b = appendString(b, `,"chain":`, f.Chain)
	b = appendString(b, `,"asset":`, f.Asset)
	b = appendString(b, `,"symbol":`, f.Symbol)
	b = appendString(b, `,"amount":`, f.Amount)
	b = appendString(b, `,"traced":`, f.Traced)
	b = appendString(b, `,"readable":`, f.Readable)
	b = appendString(b, `,"usd":`, f.USD)
	b = strconv.AppendInt(append(b, `,"transfers":`...), int64(f.Transfers), 10)
	b = appendString(b, `,"first":`, f.First)
	b = appendString(b, `,"last":`, f.Last)
	return append(b, '}')
}

func appendWallet(b []byte, w *Wallet) []byte {
	b = appendString(b, `{"address":`, w.Address)
	b = appendString(b, `,"chain":`, w.Chain)
	b = appendString(b, `,"role":`, w.Role)
	b = strconv.AppendInt(append(b, `,"hop":`...), int64(w.Hop), 10)
	b = append(b, `,"labels":`...)
	b = append(b, '[')
	for i, l := range w.Labels {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, `{"name":`, l.Name)
		b = appendString(b, `,"category":`, l.Category)
		b = strconv.AppendInt(append(b, `,"confidence":`...), int64(l.Confidence), 10)
		b = appendString(b, `,"source":`, l.Source)
		b = append(b, '}')
	}
	b = append(b, ']')
	b = appendOptional(b, `,"cluster":`, w.Cluster)
	b = strconv.AppendBool(append(b, `,"contract":`...), w.Contract)
	b = appendAmounts(b, `,"received":`, w.Received)
	if len(w.Assumed) > 0 {
		b = appendAmounts(b, `,"assumed":`, w.Assumed)
	}
	b = appendAmounts(b, `,"sent":`, w.Sent)
	b = appendAmounts(b, `,"held":`, w.Held)
	b = appendAmounts(b, `,"exited":`, w.Exited)
	b = appendAmounts(b, `,"writtenOff":`, w.WrittenOff)
	b = appendAmounts(b, `,"gap":`, w.Gap)
	b = appendString(b, `,"usd":`, w.USD)
	b = appendString(b, `,"first":`, w.First)
	b = appendString(b, `,"last":`, w.Last)
	b = strconv.AppendBool(append(b, `,"complete":`...), w.Complete)
	b = appendOptional(b, `,"reason":`, w.Reason)
	b = appendOptional(b, `,"lookAlike":`, w.LookAlike)
	return append(b, '}')
}

func appendAmounts(b []byte, key string, list []Amount) []byte {
	b = append(append(b, key...), '[')
	for i := range list {
		a := &list[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, `{"asset":`, a.Asset)
		b = appendString(b, `,"symbol":`, a.Symbol)
		b = appendString(b, `,"amount":`, a.Amount)
		b = appendString(b, `,"readable":`, a.Readable)
		b = appendString(b, `,"usd":`, a.USD)
		b = append(b, '}')
	}
	return append(b, ']')
}

func appendOptional(b []byte, key, s string) []byte {
	if s == "" {
		return b
	}
	return appendString(b, key, s)
}

// appendString writes a key and a string as encoding/json does: what HTML
// would take for its own is escaped too.
func appendString(b []byte, key, s string) []byte {
	b = append(b, key...)
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, _ := json.Marshal(s) // a string never fails
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
