package graphstore

import (
	"encoding/binary"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
)

// walletRows are wallets by their numbers. Few graphs are on more than one
// chain, so chains stand apart. A copy stays as it is when wallets are added.
type walletRows struct {
	addresses    column[common.Address]
	chains       []uint64       // all that there are, in the order they were met
	chain        column[uint32] // where in chains each wallet's is; empty while there is but one
	chainNumbers map[uint64]uint32
}

func (r *walletRows) len() int { return r.addresses.n }

func (r *walletRows) at(id uint32) tracer.Wallet {
	return tracer.Wallet{Chain: r.chains[r.chainNumber(id)], Address: *r.addresses.at(id)}
}

// chainNumber tells where in chains the chain of a wallet is.
func (r *walletRows) chainNumber(id uint32) uint32 {
	if r.chain.n == 0 {
		return 0
	}
	return *r.chain.at(id)
}

// is reports whether id, which may be above all numbers, is that of w.
func (r *walletRows) is(id uint32, w *tracer.Wallet) bool {
	return r.has(id, &w.Address) && r.chains[r.chainNumber(id)] == w.Chain
}

// has is is but for the chain.
func (r *walletRows) has(id uint32, a *common.Address) bool {
	return id < uint32(r.addresses.n) && differ(r.addresses.at(id), a) == 0
}

// differ returns 0 if two addresses are the same. It does not branch, and is
// many times as fast as ==.
func differ(a, b *common.Address) uint64 {
	le := binary.LittleEndian
	return (le.Uint64(a[:]) ^ le.Uint64(b[:])) | (le.Uint64(a[8:]) ^ le.Uint64(b[8:])) | uint64(le.Uint32(a[16:])^le.Uint32(b[16:]))
}

// add gives a number to a wallet that is not there.
func (r *walletRows) add(w *tracer.Wallet) uint32 {
	chain := uint32(len(r.chains) - 1) // it is mostly that of the last
	if len(r.chains) == 0 || r.chains[chain] != w.Chain {
		var ok bool
		if chain, ok = r.chainNumbers[w.Chain]; !ok {
			chain = r.addChain(w.Chain)
		}
	}
	if len(r.chains) > 1 {
		r.chain.add(chain)
	}
	return r.addresses.add(w.Address)
}

func (r *walletRows) addChain(chain uint64) uint32 {
	if r.chainNumbers == nil {
		r.chainNumbers = make(map[uint64]uint32)
	}
	if len(r.chains) == 1 {
		for range r.addresses.n {
			r.chain.add(0)
		}
	}
	n := uint32(len(r.chains))
	r.chainNumbers[chain] = n
	r.chains = append(r.chains, chain)
	return n
}

// Wallets returns how many wallet numbers were given out: they are 0 to
// Wallets()-1.
func (s *Store) Wallets() int { return s.wallets.len() }

// Wallet returns the wallet with a number, which must be below [Store.Wallets].
func (s *Store) Wallet(id uint32) tracer.Wallet { return s.wallets.at(id) }

// WalletID returns the number of a wallet, if the store has it.
func (s *Store) WalletID(w tracer.Wallet) (uint32, bool) {
	for _, id := range s.lastWallets {
		if s.wallets.is(id, &w) {
			return id, !s.isGone(id)
		}
	}
	for p := s.walletIndex.probe(s.keys.wallet(&w)); p.next(); {
		if s.wallets.is(p.number, &w) {
			return p.number, !s.isGone(p.number)
		}
	}
	return 0, false
}

func (s *Store) isGone(id uint32) bool {
	if len(s.gone) == 0 {
		return false
	}
	_, gone := s.gone[id]
	return gone
}

// wallet returns the number of w, a new one if need be.
func (s *Store) wallet(w *tracer.Wallet) uint32 { return s.walletHashed(w, s.keys.wallet(w)) }

// walletHashed is wallet, given the hash.
func (s *Store) walletHashed(w *tracer.Wallet, h uint64) uint32 {
	p := s.walletIndex.probe(h)
	for p.next() {
		if s.wallets.is(p.number, w) {
			if len(s.gone) > 0 {
				delete(s.gone, p.number)
			}
			return p.number
		}
	}
	id := s.wallets.add(w)
	if !s.walletIndex.full() {
		s.walletIndex.put(p.i, h, id)
		return id
	}
	s.walletIndex = s.walletIndex.larger()
	for id := range uint32(s.wallets.len()) {
		w := s.wallets.at(id)
		s.walletIndex.insert(s.keys.wallet(&w), id)
	}
	return id
}
