package devnet

import (
	"encoding/binary"
	"math/bits"
	"time"

	"scamtrace/tracer"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
)

// ChainID is the id of the built-in chain. It is made up; no real chain has it.
const ChainID = 20241337

// TronID is the id of the real chain that [Config.Tron] is about.
const TronID = 728126428

const (
	genesisTime  = 1740960000 // 2025-03-03 00:00 UTC, a Monday
	blockTime    = 12         // seconds
	blocksPerDay = 24 * 3600 / blockTime

	// quiet is how many blocks at the end of the chain are empty, so that what
	// the [Truth] says at the head holds at the finalized block too.
	quiet = 160
)

// Chain returns the chain table's row for the built-in chain. Its tokens are
// made up, and the same in every world.
func Chain() tracer.Chain {
	return tracer.Chain{
		ID: ChainID, Name: "devnet", Title: "the built-in chain", Symbol: "ETH", Decimals: 18,
		BlockTime: blockTime * time.Second, FinalityDepth: 64,
		Tokens: []tracer.Token{
			{Address: tokenAddress("USDT"), Symbol: "USDT", Decimals: 6, Stable: true},
			{Address: tokenAddress("USDC"), Symbol: "USDC", Decimals: 6, Stable: true},
			{Address: tokenAddress("DAI"), Symbol: "DAI", Decimals: 18, Stable: true},
			{Address: tokenAddress("WETH"), Symbol: "WETH", Decimals: 18, Wrapped: true},
		},
	}
}

// tokenAddress derives the address of a token from its name alone.
func tokenAddress(symbol string) common.Address {
	return common.BytesToAddress(crypto.Keccak256([]byte("scamtrace devnet token " + symbol)))
}

// Config shapes a world. The zero value is the world of the demo.
type Config struct {
	Seed       uint64
	Victims    int // default 6
	Syndicates int // default 2
	Noise      int // ordinary users; the default grows with Transfers
	Layers     int // the least number of hops before money may leave at a service; default 4
	Days       int // default 21, at least 7
	// Transfers is about how many transfers the world holds, fees included;
	// ordinary life fills what the crimes leave. Default 15,000; a world of
	// 1,000,000 is built in seconds.
	Transfers int
	// NativeLogs makes every move of native coin leave a log as well, as from
	// EIP-7708 on. [World.Transfers] then names these moves by their log.
	NativeLogs bool
	// Tron gives the chain the id of Tron, and its dollar tokens the addresses
	// that they have there. Its coin stays what it is, so that there are more base
	// units of it than there could be of TRX.
	Tron bool
}

func (c *Config) chainID() uint64 {
	if c.Tron {
		return TronID
	}
	return ChainID
}

func (c Config) withDefaults() Config {
	def := func(p *int, n, least, most int) {
		if *p <= 0 {
			*p = n
		}
		*p = min(max(*p, least), most)
	}
	def(&c.Transfers, 15_000, 1, 20_000_000)
	def(&c.Victims, 6, 1, 10_000)
	def(&c.Syndicates, 2, 1, 100)
	def(&c.Noise, c.Transfers/40, 60, 200_000)
	def(&c.Layers, 4, 1, 12)
	def(&c.Days, 21, 7, 120)
	return c
}

// A World is a generated chain and the truth about it. It does not change
// after [Generate] and is safe for concurrent use, as long as nobody writes to
// its fields.
type World struct {
	Config   Config          // with the defaults filled in
	Blocks   []tracer.Block  // by number, from the genesis block
	Services []Service       // what the public knows, in a fixed order
	Prices   []tracer.Micros // of one whole ETH, by day since the genesis block
	Truth    Truth

	chain *chain
}

// A Service is a business whose wallets are publicly known, as a label set
// would have it. The deposit addresses of its customers are not among them;
// [Truth] knows those.
type Service struct {
	Name      string
	Category  string // exchange, swap, bridge or mixer
	Addresses []common.Address
}

// Generate makes a world. The same configuration gives the same world, to the
// last hash. Numbers out of range are moved into it.
func Generate(cfg Config) *World {
	s := newSim(cfg.withDefaults())
	s.populate()
	s.run()
	return s.world()
}

// Head returns the number of the last block.
func (w *World) Head() uint64 { return uint64(len(w.Blocks) - 1) }

// Transfers returns everything that moved, in chain order: fees, native coin
// with and without a contract, tokens, also counterfeit ones, and NFTs; zero
// amounts of tokens too. Wrapping is a token transfer from the wrapped token's
// contract to the owner, unwrapping one back. Logs that no wallet could read
// as a transfer are not in it. The caller owns the slice.
func (w *World) Transfers() []tracer.Transfer { return w.chain.transfers() }

// Price returns the price of one whole ETH at a time in Unix seconds. Before
// and after the chain's life it is that of the first and the last day.
func (w *World) Price(at uint64) tracer.Micros {
	day := 0
	if at > genesisTime {
		day = int(min((at-genesisTime)/(24*3600), uint64(len(w.Prices)-1)))
	}
	return w.Prices[day]
}

// prices is a random walk in millionths of a dollar.
func prices(seed uint64, days int) []tracer.Micros {
	rng := newRand(seed, "prices")
	ps := make([]tracer.Micros, days)
	p := int64(2400 * tracer.Dollar)
	for d := range ps {
		ps[d] = tracer.Micros(p / 10_000 * 10_000)
		p += p / 1000 * (rng.Int64N(71) - 35)
		p = min(max(p, int64(1200*tracer.Dollar)), int64(4800*tracer.Dollar))
	}
	return ps
}

// baseFee is the gas price of a block in wei: a daily wave between 5 and 13
// gwei with some jitter. There are no tips, so it is what everybody pays.
func baseFee(seed, block uint64) uint64 {
	const half = blocksPerDay / 2
	at := block % blocksPerDay
	if at > half {
		at = blocksPerDay - at
	}
	return 5e9 + at*2_000_000 + mix(seed, block)%1_000_000_000
}

// mix is a hash of two numbers, good enough to jitter.
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a^0x9e3779b97f4a7c15, b^0xbf58476d1ce4e5b9)
	x := hi ^ lo
	x ^= x >> 29
	x *= 0x94d049bb133111eb
	return x ^ x>>32
}

// address derives an address from the seed and a name.
func address(seed uint64, name string) common.Address {
	b := binary.BigEndian.AppendUint64([]byte("scamtrace devnet address "), seed)
	return common.BytesToAddress(crypto.Keccak256(b, []byte(name)))
}
