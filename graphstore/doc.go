// Package graphstore is the memory of a trace: every transfer read so far, and
// the flows between wallets that they add up to.
//
// The walk puts transfers into a [Store]; the ledger plays them in chain order
// ([Store.Rows]), and clusters and reports read flows ([Store.Flows],
// [Store.Out], [Store.In]) and what a wallet did ([Store.Of]). Questions about
// the graph as a whole, what can be reached, by which way, and what hangs
// together, go to a [View], which [Store.Freeze] returns. [Store.Graph] hands
// out the view of the library github.com/dominikbraun/graph, whose Store
// interface the [Store] implements. [Store.WriteSnapshot] and [ReadSnapshot] are
// how a trace stops and goes on. What it leaves meanwhile lies in a [Bucket], of
// which [Dir] is one in a folder.
//
// What it promises: a transfer is kept exactly as it was read, and counted
// once; whatever order transfers come in, every list comes out in one order
// and a snapshot in the same bytes; a snapshot of any earlier version can be
// read, and one that is damaged, of a later version, or made to do harm is an
// error, found without much memory; and reads are safe at the same time.
//
// # What it costs
//
// 1,000,000 flows between about 230,000 wallets whose degrees follow a power
// law, beside the library's own store, which holds the same flows under string
// keys, both in one run of
//
//	go test -run '^$' -bench . ./graphstore
//
// on two shared cores (AMD EPYC, linux/amd64, Go 1.26). Times are of the
// processor, all threads together; ratios carry over to other machines, times do
// not, and a busy neighbor moves both by a tenth or two.
//
//	                                     here       the library   ratio
//	build and merge, AddFlows            100 ms     5.2 s         52
//	build, AddEdge of the library        690 ms     5.2 s         7.6
//	heap, merged                         45 B/flow  690 B/flow    15
//	heap, waiting to be merged           39 B/flow
//	reach of the largest sender          4.1 ms     2.7 s         660
//	the same, four hops                  1.5 ms     (has none)
//	weak components                      6.1 ms     4.1 s         670
//	the whole, processor                 99 ms      11.3 s        113
//	the whole, peak memory               63 MiB     1,727 MiB     27
//
// The heap is what stays alive after a collection; flows wait to be merged
// until one is first asked for by its wallets. The whole is a process that
// reads the flows from a file, builds, searches and finds the components
// (-bench Whole -benchtime 5x; with -flows 10000000 ours needs 3.6 s and 570
// MiB). A [View] takes 14 ms and 6 bytes a flow. What each of 64 wallets
// reaches takes 14 ms the first time and 3.6 ms from then on, 1.3 times the
// mean of one search.
//
// A million transfers, two in a transaction and ten in a block, take 96 bytes
// each with their transactions, blocks, wallets and flows. They are added at
// 2.4 million and read in chain order at 67 million a second. Their snapshot
// has 28 bytes for each and is written at 146 MB/s and read at 113 MB/s; that of
// the flows has 19 bytes for each, at 81 and 190 MB/s.
//
// Beside the graphs of gonum.org/v1/gonum (testdata/gonum, a module of its own)
// building is 26 times as fast, reach 81 and components 270 times.
package graphstore
