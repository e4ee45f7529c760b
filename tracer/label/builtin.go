package label

import (
	_ "embed"
	"fmt"
	"strings"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
)

// Version is the version of the built-in set. It changes whenever a label of
// it does.
const Version = "3"

// builtinCSV has the columns chain, address, name and category, sorted by
// chain, category, name and address.
//
//go:embed builtin.csv
var builtinCSV string

const (
	tableConfidence = 95  // two collections agree; both can be wrong
	factConfidence  = 100 // true by construction
)

// New returns a set that holds the built-in labels and nothing else.
func New() *Set {
	s := new(Set)
	ls, _, err := readCSV(strings.NewReader(builtinCSV), "builtin.csv")
	if err != nil {
		panic(fmt.Sprintf("label: the built-in table is broken: %v", err)) // a test reads it
	}
	for i := range ls {
		ls[i].Source, ls[i].Confidence = Builtin, tableConfidence
	}
	s.add(append(ls, facts()...))
	return s
}

// facts are the labels that follow from the protocol and the chain table.
func facts() []Label {
	var ls []Label
	for _, c := range tracer.Chains() {
		fact := func(a common.Address, name string, category Category) {
			ls = append(ls, Label{tracer.Wallet{Chain: c.ID, Address: a}, name, category, factConfidence, Builtin})
		}
		for _, t := range c.Tokens {
			// Coins sent to a wrapped coin's contract come back wrapped;
			// tokens sent to their own contract do not come back.
			category := TokenCode
			if t.Wrapped {
				category = Swap
			}
			fact(t.Address, t.Symbol+" contract", category)
		}
		// Nobody can sign for these: finding a key would take finding a
		// preimage of a given hash. The precompiled contracts 1 to 9 are on
		// all chains since Istanbul (Yellow Paper, appendix E; EIP-152), and
		// none of them can send.
		fact(common.Address{}, "Zero address", Burned)
		for i := byte(1); i <= 9; i++ {
			fact(common.Address{19: i}, fmt.Sprintf("Precompiled contract %d", i), Burned)
		}
		fact(common.HexToAddress("0x000000000000000000000000000000000000dEaD"), "Burn address 0x…dEaD", Burned)
	}
	return ls
}
