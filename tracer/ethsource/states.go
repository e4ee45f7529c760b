package ethsource

import (
	"context"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
)

// States returns the nonces and balances of native coin that wallets had at the
// ends of blocks, one of each for every wallet, in at most most requests; 0 is
// no bound. The int is the number of requests spent. A node that keeps no old states makes it an error.
func (s *Source) States(ctx context.Context, wallets []common.Address, blocks []uint64, most int) ([]uint64, []uint256.Int, int, error) {
	spent := new(counter)
	return payer{s, newPurse(most, spent), spent}.States(ctx, wallets, blocks, most)
}

// States is [Source.States], paid from the purse.
func (n payer) States(ctx context.Context, wallets []common.Address, blocks []uint64, _ int) ([]uint64, []uint256.Int, int, error) {
	before := n.spent.count()
	at := make([]change, len(wallets))
	for i, w := range wallets {
		at[i] = change{wallet: w, to: blocks[i]}
	}
	got, err := n.states(ctx, n.p, at, func(c *change) uint64 { return c.to }, true)
	spent := n.spent.count() - before
	if err != nil {
		return nil, nil, spent, err
	}
	nonces, balances := make([]uint64, len(got)), make([]uint256.Int, len(got))
	for i, st := range got {
		nonces[i], balances[i] = st.nonce, st.balance
	}
	return nonces, balances, spent, nil
}
