// Package indexsource reads transfers from indexers, services that keep tables
// of what happened on a chain and answer faster than a node, and plans which
// source to ask for what.
//
// [SQD] reads hundreds of wallets in one stream. [Explorer] (Etherscan V2 and
// Blockscout), [Alchemy] and [TronGrid] are asked about one wallet at a time, and one
// request after another. [Plan] puts any of them before a node. Each answers as
// [tracer.Source] says, and:
//
//   - A transfer has the identity that a node gives it: the index of its log, the
//     path of its trace. Where an indexer's list does not show that, it is read from another
//     endpoint of the indexer; where no endpoint does, the list only says in which
//     blocks something is unread.
//   - Nothing is taken for complete because it is short: pages that are full, or
//     cut at a round number, are followed by another, pages that go round in a
//     circle or out of order are refused, and a stream is read to its last block.
//   - Requests are counted, repeated ones too, and never more than a query
//     allows; each call of a batch counts. What net/http sends again by itself,
//     over a connection that the other side had closed, is not seen.
//   - Answers depend on the question alone, not on what else is asked meanwhile.
//   - No error holds an address or a key.
//
// What each shows, what it was tried on, and when its documentation was read:
//
//	SQD Portal    tokens, values, fees, internal transfers; no fee of      a fake, by documentation only;
//	              transactions with blobs; nothing by hash                 November 2026
//	Etherscan V2  tokens by getLogs, or by tokentx and tokennfttx with     a fake, by documentation only;
//	              receipts; values, fees; internal transfers where rows    November 2026
//	              have a traceId; no fees on Optimism and Base
//	Blockscout    the same; of internal transfers only the blocks          a fake, by documentation only;
//	                                                                       November 2026
//	Alchemy       all that is in receipts of listed transactions; internal a fake, by documentation only;
//	              transfers on Ethereum and Polygon; nonces and balances   November 2026
//	              tell where failed transactions are missing
//	TronGrid      tokens, values, fees; of internal transfers only the     a fake, by documentation only;
//	              blocks; neither freezing nor votes                       November 2026
//
// None was run live, and no recordings of them exist. Taken on trust from the
// documentation, because no second endpoint shows it: that Etherscan marks the rows
// inside a failed call as errors, and that its traceId and the end of Alchemy's
// uniqueId are trace paths as nodes count them.
package indexsource
