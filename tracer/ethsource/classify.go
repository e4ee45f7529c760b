package ethsource

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/ethereum/go-ethereum/rpc"
)

// A class says what an error of an endpoint means for the next step.
type class uint8

const (
	classUnknown     class = iota // nothing that is known: once more, then give up
	classRange                    // too many blocks: ask for fewer from now on
	classResults                  // too much in these blocks: ask for a part
	classTopics                   // too many wallets at once
	classHead                     // the node has not got so far: it lags behind another of its pool
	classPruned                   // the node no longer has this
	classRate                     // too fast
	classDenied                   // not without paying, not from here, not at all
	classUnsupported              // no such method
	classSize                     // a batch or an answer too large
	classTransient                // the network or the server failed
	classBad                      // an answer that makes no sense
)

// tries is how often a request of a class is sent before its error counts.
var tries = [...]int{
	classUnknown: 2, classRange: 1, classResults: 1, classTopics: 1, classHead: 4, classPruned: 1,
	classRate: 6, classDenied: 1, classUnsupported: 1, classSize: 1, classTransient: 6, classBad: 4,
}

// A rule gives the errors whose text matches a class.
type rule struct {
	class   class
	pattern string // without regard to case
}

// rules are the texts of the endpoints in use, first match first. The codes
// are of no help: -32005 alone has four meanings.
var rules = []rule{
	// Who speaks of a rate or a quota may speak of a limit or a range as well.
	{classRate, `rate.?limit|too many requests|requests? limit reached|request count exceeded|exceeded (its|your|the) (throughput|compute|concurrent)|compute units per second|throughput|capacity exceeded|credits limited|quota|try again in \d+|temporarily banned|backend .*busy`},
	{classDenied, `personal token|api.?key|unauthorized|forbidden|payment required|not whitelisted|requires? (an? )?(paid|upgrade|archive (plan|add))`},
	{classResults, `query returned more than|exceeds max results|max results|too many (logs|results)|logs matched by query exceeds|log response size exceeded|response is too big|response size (should|exceed|is larger)|response too large|backend response too large|query timeout exceeded|query must be smaller than size|more than \d+ logs|returned too many|execution timeout|timed? ?out while`},
	{classTopics, `max(imum)? (addresses|topics)|max addresses or topics|addresses or topics per search|specify less number of address|query contains \d+ filters|too many (topics|addresses)`},
	{classHead, `beyond current head|beyond (the )?head|after last accepted block|ahead of (the )?(head|latest)|unknown block|header not found|header for hash not found|indexing is not yet complete|indexing is in progress|block not found|not yet available|end \(\d+\) < begin|blockoutofrange`},
	{classPruned, `pruned|missing trie node|historical state|state .*(is )?not available|history (is )?unavailable|archive|older than .* blocks? not|required historical`},
	{classSize, `batch (is )?too large|batch size|batch (requests? )?(is |are )?(not supported|disabled|limit)|exceeded max limit of|content length too large|request entity too large|request too large|payload too large|too many (calls|requests) in|larger than 64 mb`},
	{classUnsupported, `does not exist|not available|method not found|not supported|unsupported method|not implemented|unimplemented|not (allowed|enabled|whitelisted)|is disabled|method .* (is )?(unavailable|not)`},
	{classRange, `(block )?range|blocks? distance|too many blocks|number of requested blocks|limit(ed)? (the query )?to (at most )?(an? )?[\d,_]+k? blocks?|maximum allowed is|exceeded max allowed|max(imum)? (is )?[\d,]+k?(/[\d,]+k)? blocks`},
	{classTransient, `no backend|no healthy|bad gateway|service unavailable|gateway time-?out|internal (server )?error|connection re(set|fused)|eof|overloaded|upstream|try again`},
}

// refusals are range errors that end with the words of another class.
var refusals = regexp.MustCompile(`(?i)ranges? over [\d,]+ blocks|exceeds the range allowed|block range|blocks? range|range .* exceeds limit|is limited to`)

var compiled = func() []*regexp.Regexp {
	list := make([]*regexp.Regexp, len(rules))
	for i, r := range rules {
		list[i] = regexp.MustCompile("(?i)" + r.pattern)
	}
	return list
}()

// classifyText finds the class of an error's text. status is that of the HTTP
// answer, 200 when the error came inside of one.
func classifyText(status int, text string) class {
	for i, re := range compiled {
		c := rules[i].class
		if !re.MatchString(text) {
			continue
		}
		if c >= classUnsupported && c != classRange && refusals.MatchString(text) {
			continue // the rule about ranges follows
		}
		return c
	}
	switch {
	case status == http.StatusTooManyRequests:
		return classRate
	case status == http.StatusRequestEntityTooLarge:
		return classSize
	case status == http.StatusUnauthorized, status == http.StatusPaymentRequired, status == http.StatusForbidden,
		status == http.StatusNotFound, status >= 300 && status < 400:
		return classDenied
	case status >= 500, status == http.StatusRequestTimeout:
		return classTransient
	}
	return classUnknown
}

// A callError is the error of one call, classified.
type callError struct {
	class  class
	method string
	text   string // safe to show
	raw    string // with the numbers that the text may have lost
}

func (e *callError) Error() string {
	if e.text == "" {
		return e.method + ": " + e.class.words()
	}
	return fmt.Sprintf("%s: %s: %s", e.method, e.class.words(), e.text)
}

// words is one clause for people.
func (c class) words() string {
	switch c {
	case classRange, classResults, classTopics, classSize:
		return "the endpoint refused so much at once"
	case classHead:
		return "the endpoint has not got to these blocks yet"
	case classPruned:
		return "the endpoint no longer has these blocks"
	case classRate:
		return "the endpoint kept refusing because of its rate limit"
	case classDenied:
		return "the endpoint does not allow this"
	case classUnsupported:
		return "the endpoint has no such method"
	case classTransient:
		return "the endpoint did not answer"
	case classBad:
		return "the endpoint gave answers that make no sense"
	}
	return "the endpoint refused"
}

// detail is the error as one clause for a report, without the address of the
// endpoint.
func (e *callError) detail() string {
	switch e.class {
	case classUnknown, classDenied, classBad:
		if e.text != "" {
			return e.class.words() + " (" + e.text + ")"
		}
	}
	return e.class.words()
}

var (
	hexBracket = regexp.MustCompile(`(?i)\[\s*0x([0-9a-f]{1,16}),\s*0x([0-9a-f]{1,16})\s*\]`)
	decRange   = regexp.MustCompile(`(?i)range (\d{1,19})-(\d{1,19})`)
	integers   = regexp.MustCompile(`(?i)(?:^|[^0-9a-fx,_])(\d[\d,_]{0,18})(k?)\b`)
)

// suggest returns how many blocks from from on the endpoint says it would
// take of a request for from to to, less than the request has; 0 if it does
// not say. Suggestions are taken only when they begin where the request did:
// some endpoints offer ranges that are upside down or elsewhere.
func (e *callError) suggest(from, to uint64) uint64 {
	parse := func(a, b string, base int) uint64 {
		lo, err1 := strconv.ParseUint(a, base, 64)
		hi, err2 := strconv.ParseUint(b, base, 64)
		if err1 != nil || err2 != nil || lo != from || hi < lo || hi >= to {
			return 0
		}
		return hi - lo + 1
	}
	if m := hexBracket.FindStringSubmatch(e.raw); m != nil {
		if n := parse(m[1], m[2], 16); n > 0 {
			return n
		}
	}
	if m := decRange.FindStringSubmatch(e.raw); m != nil {
		if n := parse(m[1], m[2], 10); n > 0 {
			return n
		}
	}
	if e.class != classRange {
		return 0
	}
	var last uint64
	for _, m := range integers.FindAllStringSubmatch(e.raw, 20) {
		n, err := strconv.ParseUint(strings.NewReplacer(",", "", "_", "").Replace(m[1]), 10, 64)
		if err != nil || n == 0 || n > 1<<40 {
			continue
		}
		if m[2] != "" {
			n *= 1000
		}
		if n <= to-from {
			last = n
		}
	}
	return last
}

// classify turns an error of the JSON-RPC client into a callError. calls is
// how many calls the request had.
func (r redactor) classify(method string, calls int, err error, x *exchange) *callError {
	made := func(c class, text string) *callError {
		return &callError{class: c, method: method, text: r.text(text), raw: text}
	}
	if he, ok := errors.AsType[rpc.HTTPError](err); ok {
		code, text := jsonError(he.Body)
		if text == "" {
			// A page for people says little; the status says the rest.
			text = he.Status
			if c := classifyText(he.StatusCode, string(he.Body[:min(len(he.Body), maxHead)])); c != classUnknown && c != classTransient {
				return made(c, text)
			}
		}
		return made(byCode(code, classifyText(he.StatusCode, text)), text)
	}
	if re, ok := errors.AsType[rpc.Error](err); ok {
		text := re.Error()
		if de, ok := err.(rpc.DataError); ok && de.ErrorData() != nil {
			if s := fmt.Sprint(de.ErrorData()); len(s) < maxHead {
				text += " " + s
			}
		}
		return made(byCode(re.ErrorCode(), classifyText(http.StatusOK, text)), text)
	}
	switch {
	case errors.Is(err, errBody):
		return made(classSize, "")
	case errors.Is(err, errTimeout):
		return made(classTransient, err.Error())
	case errors.Is(err, rpc.ErrMissingBatchResponse), errors.Is(err, rpc.ErrNoResult), errors.Is(err, errNull):
		return made(classBad, err.Error())
	}
	_, isType := errors.AsType[*json.UnmarshalTypeError](err)
	_, isSyntax := errors.AsType[*json.SyntaxError](err)
	if isType || isSyntax || errors.Is(err, io.ErrUnexpectedEOF) {
		code, text := jsonError(x.head)
		if text == "" || !isType {
			return made(classBad, "not JSON-RPC")
		}
		c := byCode(code, classifyText(http.StatusOK, text))
		if calls > 1 && (c == classUnknown || c == classUnsupported) {
			c = classSize // one error in answer to an array: it takes no arrays
		}
		return made(c, text)
	}
	return made(classTransient, "") // the network's own words may name the endpoint
}

// byCode settles what the text left open.
func byCode(code int, c class) class {
	if c != classUnknown {
		return c
	}
	switch code {
	case -32601, -32004: // method not found; Hardhat's for methods it has not
		return classUnsupported
	case 429, 1015, 15, -32016, -32007, -32012, -32029, -32055:
		return classRate
	case 402:
		return classDenied
	case 4444: // EIP-4444
		return classPruned
	case -32603, -32000:
		return classUnknown
	}
	return c
}

// jsonError returns the code and text of a JSON-RPC error in a body, which may
// be cut off.
func jsonError(body []byte) (code int, text string) {
	var one struct {
		Error struct {
			Code    json.RawMessage `json:"code"`
			Message string          `json:"message"`
			Data    json.RawMessage `json:"data"`
		} `json:"error"`
	}
	if err := json.NewDecoder(strings.NewReader(string(body))).Decode(&one); err != nil {
		var many []json.RawMessage
		if json.Unmarshal(body, &many) != nil || len(many) == 0 || json.Unmarshal(many[0], &one) != nil {
			return 0, ""
		}
	}
	json.Unmarshal(one.Error.Code, &code) // some send a string; then there is no code
	text = one.Error.Message
	if d := string(one.Error.Data); d != "" && d != "null" && len(d) < maxHead {
		text += " " + d
	}
	return code, text
}
