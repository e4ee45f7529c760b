package price_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"scamtrace/tracer"
	"scamtrace/tracer/price"
)

const weth = "ethereum:0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2"

var llamaPath = regexp.MustCompile(`^/prices/historical/(\d+)/([a-z]+:0x[0-9a-f]{40})$`)

// llama serves prices as the documentation of DefiLlama has them. body is the
// entry of the coin, with the time in place of T; say may answer first.
func llama(t *testing.T, body string, say func(w http.ResponseWriter, n int) bool) (url string, asked *[]string) {
	asked = new([]string)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked = append(*asked, r.URL.String())
		m := llamaPath.FindStringSubmatch(r.URL.Path)
		if m == nil || r.URL.Query().Get("searchWidth") != "4h" || r.Method != http.MethodGet {
			t.Errorf("asked for %s", r.URL)
			http.Error(w, `{"message":"Internal server error"}`, http.StatusBadRequest)
			return
		}
		if say != nil && say(w, len(*asked)) {
			return
		}
		entry := ""
		if body != "" {
			entry = fmt.Sprintf("%q:%s", m[2], strings.ReplaceAll(body, "T", m[1]))
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"coins":{%s}}`, entry)
	}))
	t.Cleanup(srv.Close)
	return srv.URL, asked
}

func TestLlama(t *testing.T) {
	eth, _ := tracer.ChainNamed("ethereum")
	for _, tt := range []struct {
		name, body string
		price      tracer.Micros
		source     string
	}{
		{"as documented", `{"decimals":18,"symbol":"WETH","price":3012.3456789,"timestamp":T,"confidence":0.99}`, 3_012_345_679, "defillama, confidence 0.99"},
		{"half up", `{"price":0.0000005,"timestamp":T,"confidence":0.9}`, 1, "defillama, confidence 0.90"},
		{"an exponent", `{"price":1.5e3,"timestamp":T,"confidence":1}`, 1500 * tracer.Dollar, "defillama, confidence 1.00"},
		{"nothing", ``, 0, "it knows no price"},
		{"zero", `{"price":0,"timestamp":T,"confidence":0.99}`, 0, `its price is "0"`},
		{"less than a millionth", `{"price":4e-7,"timestamp":T,"confidence":0.99}`, 0, `its price is "4e-7"`},
		{"negative", `{"price":-1,"timestamp":T,"confidence":0.99}`, 0, `its price is "-1"`},
		{"no price", `{"timestamp":T,"confidence":0.99}`, 0, `its price is no number`},
		{"far too much", `{"price":1e19,"timestamp":T,"confidence":0.99}`, 0, `its price is "1e19"`},
		{"an exponent that eats memory", `{"price":1e999999999,"timestamp":T,"confidence":0.99}`, 0, `its price is no number`},
		{"little confidence", `{"price":1,"timestamp":T,"confidence":0.89}`, 0, `its confidence is "0.89"`},
		{"too much confidence", `{"price":1,"timestamp":T,"confidence":99}`, 0, `its confidence is "99"`},
		{"no confidence", `{"price":1,"timestamp":T}`, 0, `its confidence is ""`},
		{"of another day", `{"price":1,"timestamp":1,"confidence":0.99}`, 0, `its price is 490919 hours off`},
		{"of no time", `{"price":1,"confidence":0.99}`, 0, `its price has no time`},
		{"other decimals", `{"decimals":6,"price":1,"timestamp":T,"confidence":0.99}`, 0, `it counts 6 decimals, not 18`},
		{"no JSON", `{"price":1`, 0, `its answer is not usable`},
		{"too large", `{"symbol":"` + strings.Repeat("x", 1<<20) + `"}`, 0, `its answer is too large`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url, asked := llama(t, tt.body, nil)
			l, ok := price.NewLlama(eth, price.LlamaOptions{URL: url})
			if !ok || !l.Covers(tracer.NativeOf(1)) || l.Covers(tracer.TokenOf(1, [20]byte{1})) || l.Covers(tracer.NativeOf(56)) {
				t.Fatal("Covers")
			}
			x, spent, err := l.Quotes(t.Context(), tracer.NativeOf(1), []uint64{newYear + day}, 10)
			if err != nil || spent != 1 || x[0].Price != tt.price || x[0].Passing || !strings.Contains(x[0].Source, tt.source) {
				t.Errorf("%+v, %d, %v, want %d %q", x, spent, err, tt.price, tt.source)
			}
			if want := fmt.Sprintf("/prices/historical/%d/%s?searchWidth=4h", newYear+day, weth); (*asked)[0] != want {
				t.Errorf("asked for %s, want %s", (*asked)[0], want)
			}
		})
	}
	if _, ok := price.NewLlama(tracer.Chain{ID: 5}, price.LlamaOptions{}); ok {
		t.Error("it has a chain that nobody has")
	}
}

// TestLlamaBacksOff: refusals for the rate and failures are waited for, as long as
// asked; what stays is trouble that passes, and then it is left in peace.
func TestLlamaBacksOff(t *testing.T) {
	const body = `{"price":2,"timestamp":T,"confidence":0.99}`
	eth, _ := tracer.ChainNamed("ethereum")
	refuse := func(status int, after string, most int) func(http.ResponseWriter, int) bool {
		return func(w http.ResponseWriter, n int) bool {
			if n <= most {
				w.Header().Set("Retry-After", after)
				w.WriteHeader(status)
			}
			return n <= most
		}
	}
	for _, tt := range []struct {
		name    string
		say     func(http.ResponseWriter, int) bool
		most    int
		waits   string
		spent   int
		prices  int
		passing bool
		why     string
	}{
		{"twice too often", refuse(429, "3", 2), 10, "[3s 3s]", 4, 2, false, ""},
		{"twice down", refuse(503, "", 2), 10, "[1s 2s]", 4, 2, false, ""},
		{"for ever", refuse(429, "", 99), 10, "[1s 2s 4s]", 4, 0, true, "it could not be asked: status 429"},
		{"not before tomorrow", refuse(429, "86400", 99), 10, "[]", 1, 0, true, "status 429"},
		{"refused", refuse(403, "", 99), 10, "[]", 2, 0, false, "it refuses (status 403)"},
		{"elsewhere", func(w http.ResponseWriter, n int) bool { panic(http.ErrAbortHandler) }, 10, "[1s 2s 4s]", 4, 0, true, "EOF"},
		{"a small budget", nil, 1, "[]", 1, 1, false, "budget"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url, _ := llama(t, body, tt.say)
			waits := []time.Duration{}
			l, _ := price.NewLlama(eth, price.Waiting(price.LlamaOptions{URL: url}, func(_ context.Context, d time.Duration) error {
				waits = append(waits, d)
				return nil
			}))
			xs, spent, err := l.Quotes(t.Context(), tracer.NativeOf(1), []uint64{newYear, newYear + day}, tt.most)
			prices := 0
			for _, x := range xs {
				if x.Price > 0 {
					prices++
				} else if x.Passing != tt.passing || !strings.Contains(x.Source, tt.why) || strings.Contains(x.Source, url) {
					t.Errorf("%+v, want %q", x, tt.why)
				}
			}
			if err != nil || spent != tt.spent || prices != tt.prices || fmt.Sprint(waits) != tt.waits {
				t.Errorf("%d requests, %d prices, %v, waited %v; want %d, %d, %s", spent, prices, err, waits, tt.spent, tt.prices, tt.waits)
			}
		})
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	url, _ := llama(t, body, refuse(429, "", 99))
	l, _ := price.NewLlama(eth, price.Waiting(price.LlamaOptions{URL: url}, func(context.Context, time.Duration) error {
		cancel(stop)
		return stop
	}))
	if _, _, err := l.Quotes(ctx, tracer.NativeOf(1), []uint64{newYear}, 9); !errors.Is(err, stop) {
		t.Errorf("an interrupted inquiry says %v", err)
	}
}

func FuzzLlama(f *testing.F) {
	f.Add([]byte(`{"coins":{"` + weth + `":{"decimals":18,"symbol":"WETH","price":3012.3456789,"timestamp":1,"confidence":0.99}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if x, err := price.DecodeLlama(b, weth, 18, 1); (err == nil) != (x.Price > 0) {
			t.Fatalf("%+v, %v", x, err)
		}
	})
}
