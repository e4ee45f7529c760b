package ethsource_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"scamtrace/tracer"
	"scamtrace/tracer/ethsource"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
)

// A torrent is a node with nothing but logs: ten in each block, sent by the
// wallets in turn, 10,000 of them in an answer at most.
type torrent struct{ head uint64 }

const torrentLogs, torrentWallets = 10, 500

func torrentWallet(n uint64) common.Address {
	return common.BigToAddress(new(big.Int).SetUint64(1e9 + n))
}

func torrentHash(n uint64) common.Hash {
	return common.BigToHash(new(big.Int).SetUint64(1e12 + n))
}

func (n *torrent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	one := func(c call) string {
		head := fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,`, c.ID)
		switch c.Method {
		case "eth_chainId":
			return head + `"result":"0x1"}`
		case "trace_filter":
			return head + `"result":[]}`
		case "eth_getBlockByNumber":
			var tag string
			json.Unmarshal(c.Params[0], &tag)
			at, err := hexutil.DecodeUint64(tag)
			if err != nil {
				at = n.head
			}
			return head + fmt.Sprintf(`"result":{"number":"0x%x","hash":"%s","timestamp":"0x%x"}}`, at, torrentHash(at), 1e9+12*at)
		}
		return head + `"error":{"code":-32601,"message":"the method does not exist/is not available"}}`
	}
	var raw json.RawMessage
	var c call
	var many []call
	json.NewDecoder(r.Body).Decode(&raw)
	if json.Unmarshal(raw, &many) == nil {
		var answers []string
		for _, c := range many {
			answers = append(answers, one(c))
		}
		fmt.Fprintf(w, "[%s]", strings.Join(answers, ","))
		return
	}
	json.Unmarshal(raw, &c)
	if c.Method != "eth_getLogs" {
		fmt.Fprint(w, one(c))
		return
	}
	var q struct {
		FromBlock, ToBlock hexutil.Uint64
		Topics             []json.RawMessage
	}
	json.Unmarshal(c.Params[0], &q)
	out := bufio.NewWriter(w)
	defer out.Flush()
	fmt.Fprintf(out, `{"jsonrpc":"2.0","id":%s,`, c.ID)
	if most := uint64(9_990 / torrentLogs); uint64(q.ToBlock-q.FromBlock) >= most {
		fmt.Fprintf(out, `"error":{"code":-32005,"message":"query returned more than 9990 results. Try with this block range [0x%x, 0x%x]."}}`, uint64(q.FromBlock), uint64(q.FromBlock)+most-1)
		return
	}
	fmt.Fprint(out, `"result":[`)
	// What is sent to the wallets is nothing; neither are logs of native coin.
	if len(q.Topics) == 2 {
		first := true
		for b := uint64(q.FromBlock); b <= uint64(q.ToBlock); b++ {
			for i := range uint64(torrentLogs) {
				if !first {
					out.WriteByte(',')
				}
				first = false
				n := b*torrentLogs + i
				fmt.Fprintf(out, `{"address":"0xdac17f958d2ee523a2206206994597c13d831ec7","topics":["0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef","%s","0x000000000000000000000000%040x"],`+
					`"data":"0x%064x","blockNumber":"0x%x","transactionHash":"%s","transactionIndex":"0x%x","blockHash":"%s","blockTimestamp":"0x%x","logIndex":"0x%x","removed":false}`,
					common.BytesToHash(torrentWallet(n%torrentWallets).Bytes()), 7e15+n, n+1, b, torrentHash(1<<40+n), i, torrentHash(b), 1e9+12*b, i)
			}
		}
	}
	fmt.Fprint(out, "]}")
}

// TestMemory reads 1,000,000 logs in one sweep, in a process of its own, which
// must never take more than 300 MB. The transfers that it answers with are 208
// of these, so the collector is told not to let garbage pile up to as much again.
func TestMemory(t *testing.T) {
	const logs, most = 1_000_000, 300e6
	if url := os.Getenv("SCAMTRACE_TORRENT"); url != "" {
		s, err := ethsource.Open(t.Context(), tracer.Chain{ID: 1}, url, ethsource.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var q tracer.Query
		for n := range uint64(torrentWallets) {
			q.Spans = append(q.Spans, tracer.Span{Wallet: torrentWallet(n), To: 1 << 40})
		}
		ans, err := s.Transfers(t.Context(), q)
		if err != nil || len(ans.Unread) > 0 || len(ans.Transfers) != logs {
			t.Fatalf("%d transfers, unread %v, %v", len(ans.Transfers), ans.Unread, err)
		}
		status, err := os.ReadFile("/proc/self/status")
		if err != nil {
			t.Fatal(err)
		}
		_, peak, _ := strings.Cut(string(status), "VmHWM:")
		peak, _, _ = strings.Cut(peak, "kB")
		fmt.Println("peak", strings.TrimSpace(peak), "requests", ans.Requests)
		return
	}
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("this system does not say how much memory a process took")
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "-test.run=^TestMemory$")
	cmd.Env = append(os.Environ(), "GOMEMLIMIT=240MiB", "SCAMTRACE_TORRENT="+serve(t, &torrent{head: logs/torrentLogs - 1}))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	_, rest, _ := strings.Cut(string(out), "peak ")
	kb, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Logf("%d MB, %s", kb*1024/1e6, rest)
	if kb*1024 > most {
		t.Errorf("%d MB at the most, want %d", kb*1024/1e6, int(most/1e6))
	}
}
