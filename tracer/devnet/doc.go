// Package devnet is a small EVM chain that never existed, made from a seed,
// with the truth about who owns what and where each victim's money went.
//
// [Generate] makes a [World]; [NewNode] serves it as a JSON-RPC node that any
// Ethereum client can read, and that fails and lies when [NodeOptions] say so.
// It carries the demo and most tests.
//
// The world of the demo, which is that of the zero [Config], is three weeks of
// 12-second blocks with some 15,000 transfers:
//
//   - Six victims buy coins at an exchange and pay scam wallets, in USDT or in
//     ether, once through a contract. One gets a little back, to trust the more.
//   - Two syndicates collect, split and merge the money, let it rest for
//     minutes, hours or days, peel it, send it in a circle, wrap and unwrap it,
//     swap it in one transaction, once for another receiver, and pay it out in
//     batches. Their gas funders send most wallets their first coins.
//   - It ends at deposit addresses of four exchanges, some of them used by many
//     wallets and for several victims, at a bridge, in a mixer, with merchants,
//     in a payment processor that nobody has labeled (the hub), or it stays.
//   - Three of the victims pay into one collector. From there on nobody can say
//     whose coin is whose; see [Group].
//   - About 375 ordinary users pay each other, trade, and use the same services
//     as the syndicates. Exchanges empty deposit addresses and top up their gas.
//   - There is poison (zero amounts, counterfeit tokens and dust from look-alike
//     addresses), and tokens of no value are sent to wallets that were just
//     paid: one to many at once, one that passes for tether, others whose names
//     are missing, endless or no text at all. There are failed transactions,
//     undone calls, delegated calls that carry a value, a contract made with
//     money and destroyed, NFTs, and logs that begin like a transfer and are none.
//   - The last 160 blocks are empty, so what is true at the head is true at the
//     finalized block.
//
// Nothing is executed: the generator writes transactions, logs and traces
// itself, and of calls the node knows those that ask a token for its name,
// symbol and decimals, also through Multicall3. What it promises is that they
// agree. Nobody ever spends what they do not have, nonces have no holes, fees are
// gas times price, every root and bloom in a header is that of its block and
// every hash is the real one of what it names. Two things are made up: there is no
// state root, and no signature can be checked, because nobody has the keys.
package devnet
