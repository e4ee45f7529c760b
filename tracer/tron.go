package tracer

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/big"
	"strings"

	"github.com/ethereum/go-ethereum/common"
)

// Tron's addresses are those of an EVM chain with the byte 0x41 before them,
// written in base58 with a checksum: the first four bytes of SHA-256 of SHA-256.
// Its transactions are named by 64 hex digits without 0x.

// Tron reports whether a chain, by its id, is Tron or one of its test networks,
// Shasta and Nile. Ids: the CAIP-2 profile of the namespace tron.
func Tron(chain uint64) bool {
	return chain == 728126428 || chain == 2494104990 || chain == 3448148188
}

// Show writes an address of a chain as people there do: EIP-55, or base58 on Tron.
func Show(chain uint64, a common.Address) string {
	if Tron(chain) {
		return TronAddress(a)
	}
	return a.Hex()
}

// Text writes an address of a chain for JSON and for exports that other tools
// join on: in lower case, or, since there is no other form that Tron's tools
// join on, in base58.
func Text(chain uint64, a common.Address) string {
	if Tron(chain) {
		return TronAddress(a)
	}
	return Hex(a)
}

// ShowTx writes the hash of a transaction as people on the chain do: with 0x, or
// without it on Tron.
func ShowTx(chain uint64, h common.Hash) string {
	if Tron(chain) {
		return h.Hex()[2:]
	}
	return h.Hex()
}

const (
	tronPrefix = 0x41
	tronDigits = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
)

// TronAddress writes an address as Tron does: T and 33 letters and digits.
func TronAddress(a common.Address) string {
	b := append([]byte{tronPrefix}, a[:]...)
	b = append(b, tronSum(b)...)
	var out []byte // the prefix is not zero, so there are no leading ones
	n, digit, radix := new(big.Int).SetBytes(b), new(big.Int), big.NewInt(58)
	for n.Sign() > 0 {
		n.DivMod(n, radix, digit)
		out = append(out, tronDigits[digit.Int64()])
	}
	for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
		out[i], out[j] = out[j], out[i]
	}
	return string(out)
}

// ParseTronAddress reads an address of Tron: in base58, in hex with 41 before
// its 40 digits, or the way an EVM chain writes it. Anything else, also one with
// a wrong checksum, is an error.
func ParseTronAddress(s string) (common.Address, error) {
	bad := func(why string) (common.Address, error) {
		return common.Address{}, fmt.Errorf("%q is not an address of Tron: %s", CleanText(s, 60), why)
	}
	bare := strings.TrimPrefix(s, "0x")
	switch {
	case len(s) == 34 && s[0] == 'T':
		n, radix := new(big.Int), big.NewInt(58)
		for _, r := range s {
			i := strings.IndexRune(tronDigits, r)
			if i < 0 {
				return bad(fmt.Sprintf("%q is not a digit of base58", r))
			}
			n.Add(n.Mul(n, radix), big.NewInt(int64(i)))
		}
		if n.BitLen() > 25*8 {
			return bad("it is too long")
		}
		b := n.FillBytes(make([]byte, 25))
		if b[0] != tronPrefix {
			return bad("it does not begin as one")
		}
		if !bytes.Equal(tronSum(b[:21]), b[21:]) {
			return bad("the checksum is wrong, so a character differs from the real address")
		}
		return common.Address(b[1:21]), nil
	case len(bare) == 42 && strings.HasPrefix(bare, "41"):
		bare = bare[2:]
	case s == bare || len(bare) != 40:
		return bad("write T and 33 letters and digits, or 41 and 40 hex digits")
	}
	b, err := hex.DecodeString(bare)
	if err != nil {
		return bad("there is a character in it that is not a hex digit")
	}
	return common.Address(b), nil
}

func tronSum(b []byte) []byte {
	once := sha256.Sum256(b)
	twice := sha256.Sum256(once[:])
	return twice[:4]
}
