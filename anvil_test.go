package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"scamtrace/tracer/report"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/rpc"
)

// anvil starts a node of Foundry: SCAMTRACE_ANVIL, node_modules/.bin/anvil, or
// anvil in the path. Without one the test is skipped.
func anvil(t *testing.T) string {
	t.Helper()
	name := os.Getenv("SCAMTRACE_ANVIL")
	if name == "" {
		name = filepath.Join("node_modules", ".bin", "anvil")
		if _, err := os.Stat(name); err != nil {
			if name, err = exec.LookPath("anvil"); err != nil {
				t.Skip("anvil is not installed: npm install --no-save @foundry-rs/anvil brings it")
			}
		}
	}
	cmd := exec.Command(name, "--port", "0", "--no-mining")
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if _, at, ok := strings.Cut(lines.Text(), "Listening on "); ok {
			go func() {
				for lines.Scan() { // so that it is never held up
				}
			}()
			return "http://" + strings.TrimSpace(at)
		}
	}
	t.Fatalf("anvil ends without listening: %v", lines.Err())
	return ""
}

// TestAnvil traces a payment in coins and one in a token on a real node, from
// the victim over a wallet and a contract to an exchange that a file of labels
// names.
func TestAnvil(t *testing.T) {
	url := anvil(t)
	c, err := rpc.Dial(url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	call := func(result any, method string, args ...any) {
		t.Helper()
		if err := c.CallContext(t.Context(), result, method, args...); err != nil {
			t.Fatalf("%s: %v", method, err)
		}
	}
	var who []common.Address // accounts that anvil signs for
	call(&who, "eth_accounts")
	send := func(from common.Address, to *common.Address, value uint64, data []byte) (tx common.Hash, made common.Address) {
		t.Helper()
		msg := map[string]any{"from": from, "value": hexutil.Uint64(value), "input": hexutil.Bytes(data), "gas": hexutil.Uint64(1_000_000)}
		if to != nil {
			msg["to"] = to
		}
		call(&tx, "eth_sendTransaction", msg)
		call(nil, "evm_mine")
		var r struct {
			Status   hexutil.Uint64
			Contract *common.Address `json:"contractAddress"`
		}
		call(&r, "eth_getTransactionReceipt", tx)
		if r.Status != 1 {
			t.Fatalf("transaction %s failed", tx.Hex())
		}
		if r.Contract != nil {
			made = *r.Contract
		}
		return tx, made
	}
	word := func(a common.Address) []byte { return common.LeftPadBytes(a[:], 32) }

	// forward passes its value to the address in its first word: CALLs it with
	// CALLVALUE and no data, and stops.
	forward := common.FromHex("6000600060006000346000355af100")
	_, pass := send(who[0], nil, 0, deployed(forward))
	// token moves the caller's balance of word 0x24 to the address in word 0x04
	// and logs a Transfer. An account may go below zero.
	token := common.FromHex("602435803354033355" + "8060043554016004355560005260043533" +
		"7fddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef60206000a300")
	_, coin := send(who[0], nil, 0, deployed(token))
	pay := func(to common.Address, n byte) []byte {
		return append(append(common.FromHex("a9059cbb"), word(to)...), common.LeftPadBytes([]byte{n}, 32)...)
	}

	victim, scam, layer, exchange := who[1], who[2], who[3], who[4]
	const ether = 1e18
	coins, _ := send(victim, &scam, 5*ether, nil)
	tokens, _ := send(victim, &coin, 0, pay(scam, 100))
	send(scam, &pass, 4*ether, word(layer)) // through a contract
	send(scam, &coin, 0, pay(layer, 60))
	send(layer, &exchange, 3*ether, nil)
	send(layer, &coin, 0, pay(exchange, 45))
	call(nil, "anvil_mine", hexutil.Uint64(100)) // so that all of it is final

	dir := t.TempDir()
	labels := filepath.Join(dir, "labels.csv")
	if err := writeRows(labels, [][]string{
		{"chain", "address", "name", "category", "confidence", "source"},
		{"31337", exchange.Hex(), "Test Exchange", "exchange", "100", "the test"},
	}); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "report")
	code, stdout, stderr := command(t.Context(), "trace", coins.Hex(), tokens.Hex(), scam.Hex(), "--chain", "31337", "--rpc", url, "--labels", labels, "--out", out)
	if code != exitDone {
		t.Fatalf("trace ends with %d: %s%s", code, stdout, stderr)
	}
	b, err := os.ReadFile(filepath.Join(out, "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	var r report.Report
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	for _, x := range r.Exits {
		for _, a := range x.Amounts {
			got[x.Service+" "+a.Asset] = a.Amount
		}
	}
	want := map[string]string{
		"Test Exchange eip155:31337/slip44:60":                            "3000000000000000000",
		"Test Exchange eip155:31337/erc20:" + strings.ToLower(coin.Hex()): "45",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("exits = %v, want %v; trace says\n%s%s%s", got, want, stdout, stderr, b)
	}
	if code, stdout, stderr := command(t.Context(), "verify", out); code != exitDone {
		t.Errorf("verify ends with %d: %s%s", code, stdout, stderr)
	}
}

// deployed is code that makes a contract of other code.
func deployed(code []byte) []byte {
	return append([]byte{0x60, byte(len(code)), 0x80, 0x60, 0x0b, 0x60, 0, 0x39, 0x60, 0, 0xf3}, code...)
}
