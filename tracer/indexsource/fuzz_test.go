package indexsource_test

import (
	"bytes"
	"io"
	"net/http"
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/indexsource"

	"github.com/ethereum/go-ethereum/common"
)

// said answers everything with the same.
type said []byte

func (s said) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(s)), Request: r}, nil
}

// FuzzAnswers gives all indexers any answer: none panics or goes on for ever,
// and nothing is found twice or out of order.
func FuzzAnswers(f *testing.F) {
	for _, s := range []string{
		`{"number":9,"hash":"0x0900000000000000000000000000000000000000000000000000000000000000"}`,
		`{"header":{"number":9,"hash":"0x0900000000000000000000000000000000000000000000000000000000000000","timestamp":7},"logs":[{"topics":[null]}],"traces":[{"transactionIndex":0,"traceAddress":[-1]}]}` + "\n",
		`{"status":"1","message":"OK","result":[{"blockNumber":"1"}]}`, `{"status":"0","message":"NOTOK","result":"Max rate limit reached"}`,
		`{"jsonrpc":"2.0","id":1,"result":"0x134e1d9"}`, `{"jsonrpc":"2.0","id":1,"result":null}`, `[{"id":1,"result":{}}]`,
		`{"success":true,"data":[{"txID":"00","block_timestamp":1}],"meta":{"fingerprint":"a"}}`, `<html>`, ``, `null`, `[]`, `"`,
	} {
		f.Add([]byte(s))
	}
	pin := tracer.Block{Number: 9}
	f.Fuzz(func(t *testing.T, b []byte) {
		o := indexsource.On(indexsource.NewClock(), indexsource.Options{URL: "http://host/datasets/devnet", Pin: &pin, HTTP: &http.Client{Transport: said(b)}})
		for _, open := range []func() (tracer.Source, error){
			func() (tracer.Source, error) { return indexsource.NewSQD(devnet.Chain(), o) },
			func() (tracer.Source, error) { return indexsource.NewEtherscan(devnet.Chain(), o) },
			func() (tracer.Source, error) { return indexsource.NewBlockscout(devnet.Chain(), o) },
			func() (tracer.Source, error) { return indexsource.NewAlchemy(devnet.Chain(), o) },
			func() (tracer.Source, error) { return indexsource.NewTronGrid(devnet.Chain(), o) },
		} {
			s, err := open()
			if err != nil {
				t.Fatal(err)
			}
			ans, _ := s.Transfers(t.Context(), tracer.Query{MaxRequests: 50, MaxTransfers: 5, Spans: []tracer.Span{{Wallet: common.Address{1}, To: 9}}})
			if ans.Requests > 50 {
				t.Errorf("%d requests of 50", ans.Requests)
			}
			for i := 1; i < len(ans.Transfers); i++ {
				if ans.Transfers[i-1].Compare(&ans.Transfers[i]) >= 0 {
					t.Errorf("out of order: %+v", ans.Transfers)
				}
			}
			s.Transactions(t.Context(), []common.Hash{{1}}, 0) // whatever it says
		}
	})
}
