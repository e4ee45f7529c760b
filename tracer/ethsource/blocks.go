package ethsource

import (
	"fmt"
	"sync"

	"github.com/ethereum/go-ethereum/common"
)

// maxBlocks bounds the memory of known blocks, about 60 bytes each.
const maxBlocks = 1 << 20

// blocks remembers hashes and times of final blocks. One block has one hash: a
// pool of nodes that disagree about it is found out here.
type blocks struct {
	mu    sync.Mutex
	known map[uint64]blockInfo
}

type blockInfo struct {
	hash common.Hash
	time uint64 // 0 is not known
}

// note adds what an answer says of a block, and fails if an earlier answer
// said otherwise.
func (b *blocks) note(number uint64, hash common.Hash, time uint64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	old, ok := b.known[number]
	switch {
	case !ok:
		if b.known == nil || len(b.known) >= maxBlocks {
			b.known = make(map[uint64]blockInfo)
		}
		b.known[number] = blockInfo{hash, time}
		return nil
	case old.hash != hash:
		return fmt.Errorf("two hashes for the final block %d", number)
	case old.time != 0 && time != 0 && old.time != time:
		return fmt.Errorf("two times for the final block %d", number)
	case old.time == 0 && time != 0:
		b.known[number] = blockInfo{hash, time}
	}
	return nil
}

// time returns the time of a block, if it is known.
func (b *blocks) time(number uint64) (uint64, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := b.known[number]
	return i.time, i.time != 0
}
