package ethsource

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/rpc"
)

// A kind says what to do about an error of a node.
type kind uint8

const (
	kindUnknown   kind = iota // nobody knows; try once or twice more
	kindOther                 // asking again does not help
	kindTransient             // it may
	kindUnusable              // likewise: the answer is broken, or is not what was asked for
	kindRate                  // it may, later
	kindBehind                // it may, when the node has caught up
	kindQuota                 // not before the next day
	kindRange                 // ask for fewer blocks, never again for that many
	kindDense                 // ask for fewer blocks: too much happened in these
	kindTopics                // ask for fewer wallets
	kindBatch                 // put fewer calls in a request
	kindPruned                // the node has thrown away what it would take to answer
	kindMissing               // the node does not have the method
	kindDenied                // the key or the plan does not allow it
)

var kindTexts = [...]string{
	kindUnknown:   "the endpoint refuses",
	kindOther:     "the endpoint refuses",
	kindTransient: "the endpoint fails",
	kindUnusable:  "the endpoint's answer is not usable",
	kindRate:      "the endpoint limits how often it may be asked",
	kindBehind:    "the endpoint does not have the newest blocks",
	kindQuota:     "the endpoint's allowance is used up",
	kindRange:     "the endpoint refuses that many blocks at once",
	kindDense:     "the endpoint finds too much in that many blocks",
	kindTopics:    "the endpoint refuses that many wallets at once",
	kindBatch:     "the endpoint refuses that many calls in one request",
	kindPruned:    "the endpoint does not keep blocks or states that old",
	kindMissing:   "the endpoint does not offer this method",
	kindDenied:    "the endpoint does not accept the key, or its plan does not include this",
}

// A nodeError is an error of a node, in words without the endpoint's address.
type nodeError struct {
	kind  kind
	text  string
	said  string        // the endpoint's own words in lower case, for [nodeError.fewer]
	tries []uint64      // numbers of blocks that are known to work there, falling
	after time.Duration // how long the endpoint asks to wait; zero when it does not say
	late  bool          // there was no time to try again
	fork  bool          // the endpoint shows more than one chain
	inner bool          // it is within an answer, and says nothing of the method
	ill   bool          // it counts as a failure of the node
	// silent: there was not even a connection
	silent bool
	node   int // the index of whoever says it
}

func (e *nodeError) Error() string { return e.text }

// A refusal is a row of the table of what endpoints say. It matches when each
// of its fields that is set matches.
type refusal struct {
	kind   kind
	text   *regexp.Regexp // in the message, data and body, in lower case
	code   int            // JSON-RPC
	status int            // HTTP
	tries  []uint64       // numbers of blocks to ask for when the text names none
}

func (r *refusal) matches(status, code int, said string) bool {
	return (r.text == nil || r.text.MatchString(said)) && (r.code == 0 || r.code == code) && (r.status == 0 || r.status == status)
}

func says(s string) *regexp.Regexp { return regexp.MustCompile(s) }

// refusals is the table; the first match counts. The texts are those of the
// nodes and providers themselves, as collected in alloy, eRPC, ponder,
// rindexer, subsquid and viem. Codes decide only where no text does: -32005
// alone means a rate, a number of results, or a method that is switched off.
var refusals = []refusal{
	// Questions that are wrong: asking again does not help.
	{kind: kindOther, text: says(`invalid (block range|argument|params|topic|address)[^:]*$|cannot unmarshal|redirect|execution reverted|reverted with|out of gas|invalid opcode`)},

	// Batches, before "too large" means something else.
	{kind: kindBatch, text: says(`\bbatch(es)?\b.*(too |limit|size|more than|exceed|max|not |unsupported|disabled)|too many (batch|calls)|content length too large|payload too large|request entity too large`)},

	// The newest blocks.
	{kind: kindBehind, text: says(`beyond current head|end \(\d+\) < begin|transaction indexing is not yet complete|block not found|unknown block|header not found|header for hash not found|not yet (available|synced)|block is out of range`)},

	// Too many wallets.
	{kind: kindTopics, text: says(`exceed max (topics|addresses)|max topics|max addresses|too many (topics|addresses)|less number of address|query contains \d+ filters`)},

	// Data that is gone.
	{kind: kindPruned, text: says(`pruned|missing trie node|historical state|state .*(not available|unavailable)|archive|blockoutofrange|state already been discarded|distance to target block exceeds|just support tag as latest|tag \[[^\]]*\] not supported`)},
	{kind: kindPruned, code: 4444},

	// Too much found in these blocks.
	{kind: kindDense, text: says(`query returned more than|exceeds max results|more than \d+ (logs|results)|too many (logs|results|traces)|response (is too big|is too large|(byte )?size|too large)|max limit of \d+|logs matched by query|query timeout|request timed out|took too long|answer is too large|size exceeded|size limit|context deadline exceeded|execution timeout`)},

	// Rates, before "limit" means a range.
	{kind: kindQuota, text: says(`payment required|daily (request )?(limit|cap)|monthly|quota|out of credits|insufficient credits`)},
	{kind: kindQuota, status: http.StatusPaymentRequired},
	{kind: kindQuota, code: 402},
	{kind: kindRate, text: says(`rate.?limit|too many requests|request(s)? (count|limit)|/(sec|second)\b|per second|credits|throttl|compute units|capacity|exceeded its|slow down|back off`)},

	// Fewer blocks, with what is known to work where the text has no number.
	{kind: kindRange, text: says(`range is too wide`), tries: []uint64{3000}},
	{kind: kindRange, text: says(`block range limit exceeded`), tries: []uint64{10_000, 100}},
	{kind: kindRange, text: says(`block range (is )?too large$`), tries: []uint64{2000}},
	{kind: kindRange, text: says(`(block|blocks|query)[ -]?(range|distance)|range .*(exceed|limit|too (large|wide|big)|max|threshold)|max(imum)?[ _]?(block )?range|limited to .*(range|block)|range(s)? over \d|blocks range|too many blocks|number of requested blocks|blocks distance|at most [\d,]+ blocks|maximum allowed is|query must be smaller than|exceed(s|ed)? (the )?(max|range)|exceeded max`)},

	// Methods that are not there. A bare "limit exceeded" is how the public
	// endpoints of BSC say that they do not serve logs.
	{kind: kindMissing, text: says(`method .*(not exist|not found|not supported|not available|unavailable|unsupported|disabled|not allowed)|unsupported method|unimplemented|not implemented|not whitelisted|does not support|is not supported|not available on`)},
	{kind: kindMissing, text: says(`^limit exceeded$`)},
	{kind: kindMissing, code: -32601},
	{kind: kindMissing, code: -32004},

	// Keys and plans.
	{kind: kindDenied, text: says(`personal token|api.?key|unauthori[sz]ed|not authori[sz]ed|authenticat|forbidden|access denied|invalid token|project id|upgrade|your plan|paid plan|free plan|free tier|permission`)},
	{kind: kindDenied, status: http.StatusUnauthorized},

	// What passes.
	{kind: kindTransient, text: says(`no backend|currently healthy|temporar|try again|please retry|unavailable|overloaded|internal (server )?error|connection|reset by peer|broken pipe|eof|timeout|bad gateway|busy`)},

	// Codes and statuses without a telling text.
	{kind: kindRate, status: http.StatusTooManyRequests},
	{kind: kindRate, status: http.StatusForbidden},
	{kind: kindRate, code: 429},
	{kind: kindRate, code: 1008},
	{kind: kindRate, code: 1015},
	{kind: kindRate, code: 15},
	{kind: kindRate, code: -32007},
	{kind: kindRate, code: -32012},
	{kind: kindRate, code: -32016},
	{kind: kindRate, code: -32029},
	{kind: kindRate, code: -32055},
	{kind: kindBatch, status: http.StatusRequestEntityTooLarge},
	{kind: kindDense, code: -32008},
	{kind: kindTransient, status: http.StatusInternalServerError},
	{kind: kindTransient, status: http.StatusBadGateway},
	{kind: kindTransient, status: http.StatusServiceUnavailable},
	{kind: kindTransient, status: http.StatusGatewayTimeout},
	{kind: kindTransient, status: http.StatusRequestTimeout},
	{kind: kindTransient, status: 520},
	{kind: kindTransient, status: 521},
	{kind: kindTransient, status: 522},
	{kind: kindTransient, status: 524},
	{kind: kindTransient, code: -32603},
	{kind: kindRate, code: -32005},
}

// maxSaid bounds what is looked at of an endpoint's own words.
const maxSaid = 5000

// refuse makes an error of what an endpoint says: an HTTP status, 0 if it was
// a good one, a JSON-RPC code, 0 if there was none, and its words.
func (c *client) refuse(status, code int, words ...string) *nodeError {
	said := strings.TrimSpace(strings.Join(words, " "))
	said = said[:min(len(said), maxSaid)]
	e := new(nodeError)
	if i := slices.IndexFunc(refusals, func(r refusal) bool { return r.matches(status, code, strings.ToLower(said)) }); i >= 0 {
		e.kind, e.tries = refusals[i].kind, refusals[i].tries
	}
	e.text = kindTexts[e.kind]
	said = c.scrub(said)
	e.said = strings.ToLower(said)
	if said = tracer.CleanText(said, 160); strings.HasPrefix(said, "<") {
		said = "" // a web page
	}
	switch {
	case said != "":
		e.text += fmt.Sprintf("; it says %q", said)
	case status != 0:
		e.text += fmt.Sprintf(" (status %d)", status)
	}
	return e
}

// classify finds out what an error means.
func (c *client) classify(err error) *nodeError {
	if e, ok := errors.AsType[*nodeError](err); ok {
		return e
	}
	if errors.Is(err, errTooLarge) {
		return c.refuse(0, 0, errTooLarge.Error())
	}
	if e, ok := errors.AsType[rpc.HTTPError](err); ok {
		return c.refuseHTTP(e.StatusCode, e.Body)
	}
	if e, ok := errors.AsType[rpc.Error](err); ok {
		words := []string{e.Error()}
		if d, ok := e.(rpc.DataError); ok && d.ErrorData() != nil {
			data, _ := json.Marshal(d.ErrorData()) // it came as JSON
			words = append(words, string(data))
		}
		return c.refuse(0, e.ErrorCode(), words...)
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		if e.Timeout() {
			return &nodeError{kind: kindUnknown, text: "the endpoint does not answer in time"}
		}
		return &nodeError{kind: kindTransient, silent: true, text: fmt.Sprintf("the endpoint cannot be reached (%s); check its address and that it runs, or name another", c.why(e.Err))}
	}
	return c.unusable("%v", err)
}

// why says in plain words why there is no connection.
func (c *client) why(err error) string {
	if e, ok := errors.AsType[*net.DNSError](err); ok && e.IsNotFound {
		return "there is no host of that name"
	}
	for no, text := range map[syscall.Errno]string{syscall.ECONNREFUSED: "nothing listens there", syscall.ENETUNREACH: "there is no network", syscall.EHOSTUNREACH: "there is no way to the host", syscall.ECONNRESET: "the connection was cut"} {
		if errors.Is(err, no) {
			return text
		}
	}
	return tracer.CleanText(c.scrub(err.Error()), 160)
}

// refuseHTTP reads the body of an answer with a bad status: many providers put
// a JSON-RPC error there.
func (c *client) refuseHTTP(status int, body []byte) *nodeError {
	if status >= 300 && status < 400 {
		return c.refuse(status, 0, "redirect: the endpoint has moved; name the address that it moved to")
	}
	if web(body) {
		return c.refuse(status, 0)
	}
	type answer struct {
		Error *rpcError `json:"error"`
	}
	one, many := answer{}, []answer{}
	if json.Unmarshal(body, &one) != nil && json.Unmarshal(body, &many) == nil && len(many) > 0 {
		one = many[0]
	}
	if one.Error != nil {
		return c.refuse(status, one.Error.Code, one.Error.words()...)
	}
	return c.refuse(status, 0, string(body[:min(len(body), maxSaid)]))
}

// An rpcError is the error member of an answer. Some providers make it a text.
type rpcError struct {
	Code    int             `json:"code"`
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data"`
}

func (e *rpcError) UnmarshalJSON(b []byte) error {
	type plain rpcError
	if err := json.Unmarshal(b, (*plain)(e)); err != nil {
		*e = rpcError{Message: string(b)}
	}
	return nil
}

func (e *rpcError) words() []string {
	if len(e.Data) == 0 || string(e.Data) == "null" {
		return []string{e.Message}
	}
	return []string{e.Message, string(e.Data)}
}

// unusable makes an error of an answer that is none.
func (c *client) unusable(format string, args ...any) *nodeError {
	return &nodeError{kind: kindUnusable, text: kindTexts[kindUnusable] + ": " + tracer.CleanText(c.scrub(fmt.Sprintf(format, args...)), 160)}
}

// ladder are the limits that providers like.
var ladder = []uint64{100_000, 10_000, 5000, 2000, 1000, 500, 100, 50, 10, 5, 1}

var (
	saidRange  = regexp.MustCompile(`(?:\[|\brange )\s*(0x[0-9a-f]+|\d+)\s*[,-]\s*(0x[0-9a-f]+|\d+)`)
	saidNoise  = regexp.MustCompile(`https?://\S+|0x[0-9a-f]*|\[[^\]]*\]`)
	saidNumber = regexp.MustCompile(`(\d[\d,_]*)(k\b|m\b)?`)
)

// fewer returns how many blocks, at least 1 and fewer than there are from from
// to to, to ask for after e refused these; there must be more than one. What
// the endpoint proposes counts where it makes sense: some propose a range that
// is turned around, or the one that they refused.
func (e *nodeError) fewer(from, to uint64) uint64 {
	width := to - from + 1
	for _, m := range saidRange.FindAllStringSubmatch(e.said, -1) {
		a, err1 := strconv.ParseUint(m[1], 0, 64)
		b, err2 := strconv.ParseUint(m[2], 0, 64)
		if err1 == nil && err2 == nil && a == from && a <= b && b < to {
			return b - a + 1
		}
	}
	if e.kind != kindRange {
		return width / 2 // the numbers are of logs
	}
	numbers := saidNumber.FindAllStringSubmatch(saidNoise.ReplaceAllString(e.said, " "), -1)
	for _, m := range slices.Backward(numbers) {
		n, err := strconv.ParseUint(strings.NewReplacer(",", "", "_", "").Replace(m[1]), 10, 64)
		scale := map[string]uint64{"": 1, "k": 1000, "m": 1_000_000}[m[2]]
		if err != nil || n == 0 || n > math.MaxUint64/scale {
			continue
		}
		switch n *= scale; {
		case n == width:
			return width - 1 // they do not count the first or the last
		case n < width:
			return n
		}
	}
	for _, n := range slices.Concat(e.tries, ladder) {
		if n < width {
			return n
		}
	}
	return 1
}

// retryAfter reads the header: seconds, or a date.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := h.Get("Retry-After")
	if s, err := strconv.ParseUint(v, 10, 31); err == nil {
		return time.Duration(s) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}

// web reports whether a body is a web page rather than JSON.
func web(start []byte) bool {
	return bytes.HasPrefix(bytes.TrimSpace(start), []byte("<"))
}

var errTooLarge = errors.New("the answer is too large")

// capped reads at most left bytes and then fails.
type capped struct {
	io.ReadCloser
	left int64
}

func (c *capped) Read(p []byte) (int, error) {
	if c.left < 0 {
		return 0, errTooLarge
	}
	n, err := c.ReadCloser.Read(p[:min(int64(len(p)), c.left+1)])
	if c.left -= int64(n); c.left < 0 {
		return 0, errTooLarge
	}
	return n, err
}
