//go:build node

package ethsource_test

import (
	"testing"

	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/core/vm/program"
	"github.com/ethereum/go-ethereum/eth/ethconfig"
	"github.com/ethereum/go-ethereum/ethclient/simulated"
	"github.com/ethereum/go-ethereum/node"
)

func TestSimulated(t *testing.T) {
	b := simulated.NewBackend(types.GenesisAlloc{}, func(n *node.Config, _ *ethconfig.Config) { n.HTTPHost = "127.0.0.1" })
	defer b.Close()
	_ = program.New()
}
