package main

import (
	"os/exec"
	"strings"
	"testing"
)

// TestLayers holds the map of the README: imports run one way.
func TestLayers(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	// Who may import what; the command may import everything.
	const m = "scamtrace/"
	verbs := []string{m + "tracer/ledger", m + "tracer/label", m + "tracer/price", m + "graphstore"}
	allowed := map[string][]string{
		m + "tracer":                       nil,
		m + "tracer/walk":                  append([]string{m + "tracer", m + "tracer/balance"}, verbs...),
		m + "tracer/cluster":               append([]string{m + "tracer", m + "tracer/walk"}, verbs...),
		m + "tracer/report":                append([]string{m + "tracer", m + "tracer/walk", m + "tracer/cluster", m + "tracer/report/chart", m + "tracer/token"}, verbs...),
		m + "tracer/report/chart":          nil,
		m + "tracer/devnet":                {m + "tracer"},
		m + "graphstore":                   {m + "tracer"},
		m + "graphstore/buckettest":        {m + "graphstore"},
		m + "tracer/ledger":                {m + "tracer"},
		m + "tracer/label":                 {m + "tracer"},
		m + "tracer/price":                 {m + "tracer"},
		m + "tracer/abi":                   {m + "tracer"},
		m + "tracer/token":                 {m + "tracer", m + "tracer/abi"},
		m + "tracer/balance":               {m + "tracer", m + "tracer/abi"},
		m + "tracer/ethsource":             {m + "tracer", m + "tracer/abi", m + "tracer/balance"},
		m + "tracer/filesource":            {m + "tracer"},
		m + "tracer/evidence":              {m + "tracer"},
		m + "tracer/indexsource":           {m + "tracer", m + "tracer/balance"},
		m + "tracer/indexsource/indextest": {m + "tracer", m + "tracer/devnet"},
		m + "infra":                        nil,
		m + "infra/pack":                   nil,
		m + "tracer/sourcetest":            {m + "tracer", m + "tracer/devnet"},
	}
	// Modules that only some packages may know.
	only := map[string][]string{
		"github.com/aws/":                           {m + "functions"},
		"github.com/dominikbraun/graph":             {m + "graphstore"},
		"github.com/ethereum/go-ethereum/rpc":       {m + "tracer/ethsource", m + "tracer/devnet"},
		"github.com/ethereum/go-ethereum/ethclient": {m + "tracer/ethsource", m + "tracer/devnet"},
	}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		pkg, imports := f[0], f[1:]
		may, known := allowed[pkg]
		if !known && pkg != "scamtrace" && !strings.HasPrefix(pkg, m+"functions") {
			t.Errorf("package %s is not on the map", pkg)
		}
		for _, imp := range imports {
			if strings.HasPrefix(imp, m) && known && !contains(may, imp) {
				t.Errorf("%s imports %s, which the map does not allow", pkg, imp)
			}
			for module, who := range only {
				if strings.HasPrefix(imp, module) && !contains(who, pkg) {
					t.Errorf("%s imports %s, which only %s may", pkg, imp, strings.Join(who, " and "))
				}
			}
		}
	}
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if s == x || strings.HasSuffix(x, "functions") && strings.HasPrefix(s, x) {
			return true
		}
	}
	return false
}
