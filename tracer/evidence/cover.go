package evidence

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// The calls whose answers can be put together from others'.
const (
	getLogs     = "eth_getLogs"
	traceFilter = "trace_filter"
)

// A set is values of a position of a filter, in lower case; nil is all.
type set struct {
	values []string // sorted
}

func (s *set) has(v string) bool {
	if s == nil {
		return true
	}
	_, ok := slices.BinarySearch(s.values, v)
	return ok
}

// covers reports whether everything in o is in s.
func (s *set) covers(o *set) bool {
	if s == nil || s == o {
		return true
	}
	return o != nil && !slices.ContainsFunc(o.values, func(v string) bool { return !s.has(v) })
}

// A box is what a filter asks for: blocks, and at each position a set. For
// eth_getLogs all positions must fit, the address and then the topics; for
// trace_filter one of sender and receiver.
type box struct {
	from, to uint64
	at       []*set
	answer   sum
}

// cover keeps which logs or traces a question with a result is about.
func (n *Node) cover(method string, params json.RawMessage, e *asked) error {
	if method != getLogs && method != traceFilter {
		return nil
	}
	b, ok := n.parse(method, params)
	if !ok {
		return nil
	}
	b.answer = e.last()
	key := e.host + " " + method
	n.boxes[key] = append(n.boxes[key], b)
	return nil
}

// parse reads the parameters of a filter. ok is false where an answer could not
// be put together: tags in place of numbers, a hash, pages.
func (n *Node) parse(method string, params json.RawMessage) (b box, ok bool) {
	var args []map[string]json.RawMessage
	if json.Unmarshal(params, &args) != nil || len(args) != 1 {
		return b, false
	}
	if method == getLogs {
		b.at = []*set{nil}
	} else {
		b.at = []*set{{}, {}}
	}
	for name, raw := range args[0] {
		good := true
		switch {
		case name == "fromBlock":
			b.from, good = number(raw)
		case name == "toBlock":
			b.to, good = number(raw)
		case name == "address" && method == getLogs:
			b.at[0], good = n.set(raw)
		case name == "topics" && method == getLogs:
			var topics []json.RawMessage
			good = json.Unmarshal(raw, &topics) == nil && len(topics) <= 4
			for _, t := range topics {
				s, ok := n.set(t)
				good = good && ok
				b.at = append(b.at, s)
			}
		case name == "fromAddress" && method == traceFilter:
			b.at[0], good = n.set(raw)
		case name == "toAddress" && method == traceFilter:
			b.at[1], good = n.set(raw)
		default:
			good = false
		}
		if !good {
			return b, false
		}
	}
	if method == traceFilter && (b.at[0] == nil || b.at[1] == nil) {
		return b, false
	}
	return b, args[0]["fromBlock"] != nil && args[0]["toBlock"] != nil && b.from <= b.to
}

func number(raw json.RawMessage) (uint64, bool) {
	var s string
	if json.Unmarshal(raw, &s) != nil || !strings.HasPrefix(s, "0x") {
		return 0, false
	}
	v, err := strconv.ParseUint(s[2:], 16, 64)
	return v, err == nil
}

// set reads a value, a list of values, or null for all. The same list is kept
// once, because a wallet's topics are asked for in many windows.
func (n *Node) set(raw json.RawMessage) (*set, bool) {
	if bytes.Equal(raw, null) {
		return nil, true
	}
	n.mu.Lock()
	s := n.sets[string(raw)]
	n.mu.Unlock()
	if s != nil {
		return s, true
	}
	var values []string
	if len(raw) > 0 && raw[0] == '"' {
		values = make([]string, 1)
		if json.Unmarshal(raw, &values[0]) != nil {
			return nil, false
		}
	} else if json.Unmarshal(raw, &values) != nil {
		return nil, false
	}
	if len(values) == 0 || slices.Contains(values, "") {
		return nil, len(values) == 0
	}
	for i := range values {
		values[i] = strings.ToLower(values[i])
	}
	slices.Sort(values)
	s = &set{slices.Compact(values)}
	n.mu.Lock()
	n.sets[string(raw)] = s
	n.mu.Unlock()
	return s, true
}

// covered puts the answer to a call together from the results of others, or
// returns nil where they do not cover it.
func (n *Node) covered(c *call, hosts ...string) ([]byte, error) {
	want, ok := n.parse(c.Method, c.Params)
	var boxes []box
	for _, h := range hosts {
		boxes = append(boxes, n.boxes[h+" "+c.Method]...)
	}
	if !ok || len(boxes) == 0 {
		return nil, nil
	}
	use := make(map[sum]bool)
	if c.Method == getLogs {
		ok = coverLogs(want, boxes, use)
	} else {
		ok = coverTraces(want, boxes, use)
	}
	if !ok {
		return nil, nil
	}
	var rows []row
	for _, b := range boxes {
		if !use[b.answer] {
			continue
		}
		delete(use, b.answer)
		content, err := n.spool.get(b.answer)
		if err != nil {
			return nil, err
		}
		var page struct {
			Result []json.RawMessage `json:"result"`
		}
		if json.Unmarshal(content, &page) != nil || page.Result == nil {
			return nil, nil // a refusal, or none: it covers nothing
		}
		for _, raw := range page.Result {
			r, ok := readRow(raw)
			if !ok {
				return nil, nil
			}
			if r.in(&want, c.Method) {
				rows = append(rows, r)
			}
		}
	}
	slices.SortFunc(rows, func(a, b row) int {
		return cmp.Or(slices.Compare(a.order, b.order), bytes.Compare(a.raw, b.raw))
	})
	rows = slices.CompactFunc(rows, func(a, b row) bool {
		// Two nodes write down the same log in two ways.
		return bytes.Equal(a.raw, b.raw) || len(hosts) > 1 && c.Method == getLogs && slices.Equal(a.order, b.order)
	})
	list := []byte("[")
	for i, r := range rows {
		if i > 0 {
			list = append(list, ',')
		}
		list = append(list, r.raw...)
	}
	return member("result", append(list, ']')), nil
}

// coverLogs finds the boxes that hold everything a filter of logs asks for,
// value by value of its position with the most values.
func coverLogs(want box, boxes []box, use map[sum]bool) bool {
	wide := 0
	for i, s := range want.at {
		if s != nil && (want.at[wide] == nil || len(s.values) > len(want.at[wide].values)) {
			wide = i
		}
	}
	values := []string{""}
	if want.at[wide] != nil {
		values = want.at[wide].values
	}
	for _, v := range values {
		if !stretch(want, boxes, use, func(b *box) bool {
			if len(b.at) > len(want.at) {
				return false // it asks for more topics, and leaves logs out that have fewer
			}
			for i, s := range b.at {
				if i == wide && want.at[i] != nil && !s.has(v) || (i != wide || want.at[i] == nil) && !s.covers(want.at[i]) {
					return false
				}
			}
			return true
		}) {
			return false
		}
	}
	return true
}

// coverTraces does so for a filter of traces, address by address.
func coverTraces(want box, boxes []box, use map[sum]bool) bool {
	if len(want.at[0].values)+len(want.at[1].values) == 0 {
		return false
	}
	for side, s := range want.at {
		for _, v := range s.values {
			if !stretch(want, boxes, use, func(b *box) bool { return b.at[side].has(v) }) {
				return false
			}
		}
	}
	return true
}

// stretch reports whether the blocks of the boxes that fit are all that are
// wanted, and marks them.
func stretch(want box, boxes []box, use map[sum]bool, fits func(*box) bool) bool {
	var some []*box
	for i := range boxes {
		if b := &boxes[i]; b.from <= want.to && b.to >= want.from && fits(b) {
			some = append(some, b)
		}
	}
	slices.SortFunc(some, func(a, b *box) int { return cmp.Compare(a.from, b.from) })
	next := want.from
	for _, b := range some {
		if b.from > next {
			return false
		}
		use[b.answer] = true
		if b.to >= want.to {
			return true
		}
		next = max(next, b.to+1)
	}
	return false
}

// A row is a log or a trace.
type row struct {
	raw     []byte
	order   []uint64
	block   uint64
	at      []string // the address and the topics
	senders []string
	payees  []string
}

func readRow(raw json.RawMessage) (row, bool) {
	var in struct {
		Block  json.RawMessage `json:"blockNumber"`
		Index  json.RawMessage `json:"logIndex"`
		Tx     uint64          `json:"transactionPosition"`
		Path   []uint64        `json:"traceAddress"`
		At     string          `json:"address"`
		Topics []string        `json:"topics"`
		Action struct {
			From    string `json:"from"`
			To      string `json:"to"`
			Address string `json:"address"`
			Refund  string `json:"refundAddress"`
			Author  string `json:"author"`
		} `json:"action"`
		Result *struct {
			Address string `json:"address"`
		} `json:"result"`
	}
	if json.Unmarshal(raw, &in) != nil {
		return row{}, false
	}
	r := row{raw: raw}
	if len(in.Index) > 0 {
		index, ok1 := number(in.Index)
		block, ok2 := number(in.Block)
		r.block, r.order, r.at = block, []uint64{block, index}, []string{strings.ToLower(in.At)}
		for _, t := range in.Topics {
			r.at = append(r.at, strings.ToLower(t))
		}
		return r, ok1 && ok2
	}
	if json.Unmarshal(in.Block, &r.block) != nil {
		return r, false
	}
	r.order = append([]uint64{r.block, in.Tx}, in.Path...)
	add := func(list *[]string, s string) {
		if s != "" {
			*list = append(*list, strings.ToLower(s))
		}
	}
	add(&r.senders, in.Action.From)
	add(&r.senders, in.Action.Address)
	add(&r.payees, in.Action.To)
	add(&r.payees, in.Action.Refund)
	add(&r.payees, in.Action.Author)
	if in.Result != nil {
		add(&r.payees, in.Result.Address)
	}
	return r, true
}

// in reports whether a filter asks for a row.
func (r *row) in(want *box, method string) bool {
	if r.block < want.from || r.block > want.to {
		return false
	}
	if method == traceFilter {
		return slices.ContainsFunc(r.senders, want.at[0].has) || slices.ContainsFunc(r.payees, want.at[1].has)
	}
	if len(r.at) < len(want.at) {
		return false
	}
	for i, s := range want.at {
		if !s.has(r.at[i]) {
			return false
		}
	}
	return true
}
