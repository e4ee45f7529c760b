package price

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"scamtrace/tracer"
)

// LlamaURL is the address of DefiLlama's prices.
const LlamaURL = "https://coins.llama.fi"

const (
	// minConfidence is the least confidence of a price, out of 1; DefiLlama
	// gives 0.99 to prices of the large exchanges and less to those of pools.
	minConfidence = "0.9"
	maxAnswer     = 1 << 20 // bytes of an answer; one coin's is 200
	llamaTries    = 4
	longestWait   = 30 * time.Second
)

// llamaChains are DefiLlama's names of chains.
var llamaChains = map[uint64]string{
	1: "ethereum", 10: "optimism", 56: "bsc", 137: "polygon", 8453: "base", 42161: "arbitrum", 43114: "avax", 728126428: "tron",
}

// LlamaOptions are settings of a [Llama]. The zero value asks DefiLlama itself.
type LlamaOptions struct {
	URL  string       // default [LlamaURL]
	HTTP *http.Client // default one with a timeout of 30 seconds

	pause func(context.Context, time.Duration) error // in place of sleeping, for tests
}

// Llama quotes the coin and the tokens of a chain's table from DefiLlama, which
// thereby learns which of them is looked at, and of what days. It has no bound
// that is published: one that it says is kept to. A price that is more than four
// hours off the moment asked for, that DefiLlama has little confidence in, or that
// is of other decimals than the table's, is refused. Unlike those of a feed, its
// prices may be others when it is asked again.
type Llama struct {
	chain tracer.Chain
	o     LlamaOptions
}

var _ Quoter = (*Llama)(nil)

// NewLlama returns a quoter for a chain. ok is false if DefiLlama does not have
// the chain.
func NewLlama(c tracer.Chain, o LlamaOptions) (l *Llama, ok bool) {
	o.URL = cmp.Or(o.URL, LlamaURL)
	if o.HTTP == nil {
		o.HTTP = &http.Client{Timeout: 30 * time.Second}
	}
	if o.pause == nil {
		o.pause = pause
	}
	_, ok = llamaChains[c.ID]
	return &Llama{c, o}, ok
}

// Covers is of the chain's coin and the tokens of its table.
func (l *Llama) Covers(a tracer.Asset) bool { return l.coin(a) != "" }

// coin is DefiLlama's name of an asset: a coin goes by its wrapped token.
func (l *Llama) coin(a tracer.Asset) string {
	i := slices.IndexFunc(l.chain.Tokens, func(t tracer.Token) bool {
		return a.Kind == tracer.Native && t.Wrapped || a.Kind == tracer.ERC20 && t.Address == a.Token
	})
	name, known := llamaChains[l.chain.ID]
	if !known || a.Chain != l.chain.ID || i < 0 {
		return ""
	}
	return name + ":" + tracer.Text(l.chain.ID, l.chain.Tokens[i].Address)
}

// Quotes sends a request for each time.
func (l *Llama) Quotes(ctx context.Context, a tracer.Asset, times []uint64, most int) ([]Answer, int, error) {
	_, decimals, _ := l.chain.Describe(a)
	answers := make([]Answer, len(times))
	spent := 0
	var down error
	for i, at := range times {
		body, n, err := []byte(nil), 0, down
		if err == nil {
			body, n, err = l.get(ctx, l.coin(a), at, most-spent)
		}
		spent += n
		if err := context.Cause(ctx); err != nil {
			return nil, spent, err
		}
		if err == nil {
			answers[i], err = decodeLlama(body, l.coin(a), decimals, at)
		} else if errors.Is(err, errDown) {
			down = err // and it need not be asked for the others
		}
		if err != nil {
			answers[i] = Answer{Source: "defillama: " + err.Error(), Passing: errors.Is(err, errDown)}
		}
	}
	return answers, spent, nil
}

// errDown is trouble that may pass.
var errDown = errors.New("it could not be asked")

// get asks for a coin at a time, and again where that can help.
func (l *Llama) get(ctx context.Context, coin string, at uint64, most int) (body []byte, spent int, err error) {
	address := fmt.Sprintf("%s/prices/historical/%d/%s?searchWidth=%dh", l.o.URL, at, coin, maxStale/3600)
	for {
		if spent >= most {
			return nil, spent, tracer.ErrBudget
		}
		spent++
		body, wait, err := l.once(ctx, address)
		if !errors.Is(err, errDown) || spent >= llamaTries || wait > longestWait {
			return body, spent, err
		}
		if err := l.o.pause(ctx, max(wait, time.Second<<(spent-1))); err != nil {
			return nil, spent, err
		}
	}
}

// once sends one request. wait is how long DefiLlama asks to wait.
func (l *Llama) once(ctx context.Context, address string) (body []byte, wait time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, 0, errors.New("its address is not usable")
	}
	req.Header.Set("User-Agent", "scamtrace")
	resp, err := l.o.HTTP.Do(req)
	if err != nil {
		why := err
		if e, ok := errors.AsType[*url.Error](err); ok {
			why = e.Err // without the address
		}
		return nil, 0, fmt.Errorf("%w: %s", errDown, tracer.CleanText(why.Error(), 100))
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= 500 {
		s, _ := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 31)
		return nil, time.Duration(s) * time.Second, fmt.Errorf("%w: status %d", errDown, resp.StatusCode)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, 0, fmt.Errorf("it refuses (status %d)", resp.StatusCode)
	}
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, 0, fmt.Errorf("%w: its answer broke off", errDown)
	}
	if len(body) > maxAnswer {
		return nil, 0, errors.New("its answer is too large")
	}
	return body, 0, nil
}

// decodeLlama reads the price of a coin at a time.
func decodeLlama(body []byte, coin string, decimals uint8, at uint64) (Answer, error) {
	var answer struct {
		Coins map[string]struct {
			Decimals   *json.Number `json:"decimals"`
			Price      json.Number  `json:"price"`
			Timestamp  json.Number  `json:"timestamp"`
			Confidence json.Number  `json:"confidence"`
		} `json:"coins"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return Answer{}, errors.New("its answer is not usable")
	}
	x, ok := answer.Coins[coin]
	if !ok {
		return Answer{}, errors.New("it knows no price")
	}
	when, err := strconv.ParseUint(x.Timestamp.String(), 10, 63)
	switch {
	case err != nil:
		return Answer{}, errors.New("its price has no time")
	case max(when, at)-min(when, at) > maxStale:
		return Answer{}, fmt.Errorf("its price is %d hours off", (max(when, at)-min(when, at))/3600)
	case x.Decimals != nil && x.Decimals.String() != strconv.Itoa(int(decimals)):
		return Answer{}, fmt.Errorf("it counts %s decimals, not %d", tracer.CleanText(x.Decimals.String(), 10), decimals)
	}
	confidence, ok := decimal(x.Confidence)
	least, _ := decimal(minConfidence)
	if !ok || confidence.Cmp(least) < 0 || confidence.Cmp(big.NewRat(1, 1)) > 0 {
		return Answer{}, fmt.Errorf("its confidence is %q", tracer.CleanText(x.Confidence.String(), 10))
	}
	price, ok := decimal(x.Price)
	if !ok {
		return Answer{}, errors.New("its price is no number")
	}
	price.Mul(price, big.NewRat(int64(tracer.Dollar), 1))
	price.Add(price, big.NewRat(1, 2))
	v := new(big.Int).Quo(price.Num(), price.Denom())
	if price.Sign() < 0 || v.Sign() <= 0 || v.Cmp(big.NewInt(int64(maxPrice))) > 0 {
		return Answer{}, fmt.Errorf("its price is %q", tracer.CleanText(x.Price.String(), 30))
	}
	return Answer{Price: tracer.Micros(v.Int64()), Source: "defillama, confidence " + confidence.FloatString(2)}, nil
}

// decimal reads a number of JSON, exactly. One of many digits, or with a large
// exponent, is none: it would only cost memory.
func decimal(n json.Number) (*big.Rat, bool) {
	f, err := n.Float64()
	if err != nil || len(n) > 40 || f != 0 && (f > 1e20 || f < 1e-30 && f > -1e-30 || f < -1e20) {
		return nil, false
	}
	return new(big.Rat).SetString(n.String())
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
