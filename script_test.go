package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"scamtrace/tracer"
	"scamtrace/tracer/devnet"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"scamtrace": main})
}

// TestScripts runs the command as people do, one script a subject. The scripts
// find nodes of one built-in world in $RPC, in $DYING (fails half way), in
// $SLOW, in $PLAIN (no traces) and in $OTHER (another chain); the first
// victim's payments in $TX1, $TX2, … and the wallets paid in $WALLET1, …; the
// victim's own wallet in $VICTIM; and labels.csv and prices.csv of the world.
func TestScripts(t *testing.T) {
	w := devnet.Generate(devnet.Config{})
	serve := func(o devnet.NodeOptions) string {
		srv := httptest.NewServer(devnet.NewNode(w, o))
		t.Cleanup(srv.Close)
		return srv.URL
	}
	busy := make(chan struct{})
	slow := func(r devnet.Request) devnet.Fault {
		if r.N == 12 {
			close(busy)
		}
		return devnet.From(8, devnet.FaultSlow)(r)
	}
	vars := map[string]string{
		"RPC":   serve(devnet.NodeOptions{}),
		"DYING": serve(devnet.NodeOptions{Faults: devnet.From(12, devnet.FaultHTML)}),
		"SLOW":  serve(devnet.NodeOptions{Delay: 500 * time.Millisecond, Faults: slow}),
		"PLAIN": serve(devnet.NodeOptions{NoTraces: true}),
		"OTHER": serve(devnet.NodeOptions{Faults: devnet.From(0, devnet.FaultChainID)}),
	}
	v := w.Truth.Victims[0]
	vars["VICTIM"] = v.Wallet.Hex()
	for i, p := range v.Payments {
		vars["TX"+strconv.Itoa(i+1)] = p.Tx.Hex()
		vars["WALLET"+strconv.Itoa(i+1)] = p.Wallet.Hex()
		vars["BLOCK"+strconv.Itoa(i+1)] = fmt.Sprint(p.Block)
	}
	for _, s := range w.Services {
		if s.Category == "exchange" {
			vars["HOT"] = s.Addresses[0].Hex()
			break
		}
	}
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			// code N command…: the command ends with exit code N.
			"code": func(ts *testscript.TestScript, _ bool, args []string) {
				got := 0
				if err := ts.Exec(args[1], args[2:]...); err != nil {
					exit, ok := errors.AsType[*exec.ExitError](err)
					if !ok {
						ts.Fatalf("%v", err)
					}
					got = exit.ExitCode()
				}
				if strconv.Itoa(got) != args[0] {
					ts.Fatalf("exit code %d, want %s", got, args[0])
				}
			},
			// busy: the slow node has been asked a dozen times.
			"busy": func(*testscript.TestScript, bool, []string) { <-busy },
		},
		Setup: func(e *testscript.Env) error {
			for k, v := range vars {
				e.Setenv(k, v)
			}
			if err := writeRows(filepath.Join(e.WorkDir, "labels.csv"), labelRows(w)); err != nil {
				return err
			}
			return writeRows(filepath.Join(e.WorkDir, "prices.csv"), priceRows(w))
		},
	})
}

func labelRows(w *devnet.World) [][]string {
	rows := [][]string{{"chain", "address", "name", "category", "confidence", "source"}}
	for _, s := range w.Services {
		for _, a := range s.Addresses {
			rows = append(rows, []string{fmt.Sprint(devnet.ChainID), a.Hex(), s.Name, s.Category, "100", "the world"})
		}
	}
	return rows
}

func priceRows(w *devnet.World) [][]string {
	rows := [][]string{{"asset", "time", "usd"}}
	for day, p := range w.Prices {
		at := w.Blocks[0].Time + uint64(day)*86_400
		rows = append(rows, []string{tracer.NativeOf(devnet.ChainID).String(), fmt.Sprint(at), p.Decimal()})
	}
	return rows
}

func writeRows(name string, rows [][]string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	if err := csv.NewWriter(f).WriteAll(rows); err != nil {
		return err
	}
	return f.Close()
}
