package report

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// appendJSON writes report.json of a report that hold has seen: what encoding/json would write of r, with
// every element of a list at the top on a line of its own, so that two reports
// can be compared and a large one searched line by line.
func appendJSON(b []byte, r *Report) ([]byte, error) {
	// About what the elements take, so that the bytes are rarely moved.
	b = slices.Grow(b, 1<<16+640*len(r.Transfers)+480*len(r.Flows)+1024*len(r.Wallets))
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
	b = appendPlain(b, `{"chain":`, t.Chain)
	b = strconv.AppendUint(append(b, `,"block":`...), t.Block, 10)
	b = appendPlainOptional(b, `,"blockHash":`, t.BlockHash)
	b = appendPlain(b, `,"time":`, t.Time)
	b = appendPlain(b, `,"tx":`, t.Tx)
	b = appendPlain(b, `,"position":`, t.Position)
	b = appendPlain(b, `,"kind":`, t.Kind)
	b = appendPlain(b, `,"asset":`, t.Asset)
	b = appendString(b, `,"symbol":`, t.Symbol)
	b = appendPlain(b, `,"from":`, t.From)
	b = appendPlain(b, `,"to":`, t.To)
	b = appendPlain(b, `,"amount":`, t.Amount)
	b = appendPlain(b, `,"readable":`, t.Readable)
	b = appendPlain(b, `,"traced":`, t.Traced)
	b = appendPlain(b, `,"tracedReadable":`, t.TracedReadable)
	b = appendPlain(b, `,"usd":`, t.USD)
	b = appendOptional(b, `,"priceSource":`, t.PriceSource)
	b = strconv.AppendBool(append(b, `,"verified":`...), t.Verified)
	b = appendPlainOptional(b, `,"basis":`, t.Basis)
	return append(b, '}')
}

func appendFlow(b []byte, f *Flow) []byte {
	b = appendPlain(b, `{"from":`, f.From)
	b = appendPlain(b, `,"to":`, f.To)
	b = appendPlain(b, `,"chain":`, f.Chain)
	b = appendPlain(b, `,"asset":`, f.Asset)
	b = appendString(b, `,"symbol":`, f.Symbol)
	b = appendPlain(b, `,"amount":`, f.Amount)
	b = appendPlain(b, `,"traced":`, f.Traced)
	b = appendPlain(b, `,"readable":`, f.Readable)
	b = appendPlain(b, `,"usd":`, f.USD)
	b = strconv.AppendInt(append(b, `,"transfers":`...), int64(f.Transfers), 10)
	b = appendPlain(b, `,"first":`, f.First)
	b = appendPlain(b, `,"last":`, f.Last)
	return append(b, '}')
}

func appendWallet(b []byte, w *Wallet) []byte {
	b = appendPlain(b, `{"address":`, w.Address)
	b = appendPlain(b, `,"chain":`, w.Chain)
	b = appendPlain(b, `,"role":`, w.Role)
	b = strconv.AppendInt(append(b, `,"hop":`...), int64(w.Hop), 10)
	b = append(b, `,"labels":`...)
	b = append(b, '[')
	for i, l := range w.Labels {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, `{"name":`, l.Name)
		b = appendPlain(b, `,"category":`, l.Category)
		b = strconv.AppendInt(append(b, `,"confidence":`...), int64(l.Confidence), 10)
		b = appendString(b, `,"source":`, l.Source)
		b = append(b, '}')
	}
	b = append(b, ']')
	b = appendPlainOptional(b, `,"cluster":`, w.Cluster)
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
	b = appendPlain(b, `,"usd":`, w.USD)
	b = appendPlain(b, `,"first":`, w.First)
	b = appendPlain(b, `,"last":`, w.Last)
	b = strconv.AppendBool(append(b, `,"complete":`...), w.Complete)
	b = appendOptional(b, `,"reason":`, w.Reason)
	b = appendPlainOptional(b, `,"lookAlike":`, w.LookAlike)
	return append(b, '}')
}

func appendAmounts(b []byte, key string, list []Amount) []byte {
	b = append(append(b, key...), '[')
	for i := range list {
		a := &list[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = appendPlain(b, `{"asset":`, a.Asset)
		b = appendString(b, `,"symbol":`, a.Symbol)
		b = appendPlain(b, `,"amount":`, a.Amount)
		b = appendPlain(b, `,"readable":`, a.Readable)
		b = appendPlain(b, `,"usd":`, a.USD)
		b = append(b, '}')
	}
	return append(b, ']')
}

// appendPlain writes a key and a string that is no text for people: as hold
// sees to it, nothing in it needs quoting.
func appendPlain(b []byte, key, s string) []byte {
	b = append(append(b, key...), '"')
	return append(append(b, s...), '"')
}

func appendPlainOptional(b []byte, key, s string) []byte {
	if s == "" {
		return b
	}
	return appendPlain(b, key, s)
}

func appendOptional(b []byte, key, s string) []byte {
	if s == "" {
		return b
	}
	return appendString(b, key, s)
}

// plainJSON are the bytes that stand for themselves in a string. DEL does too,
// but nothing has it.
var plainJSON = plain(`"\<>&`)

// appendString writes a key and a string as encoding/json does: what HTML
// would take for its own is escaped too.
func appendString(b []byte, key, s string) []byte {
	b = append(b, key...)
	for i := range len(s) {
		if !plainJSON[s[i]] {
			quoted, _ := json.Marshal(s) // a string never fails
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
