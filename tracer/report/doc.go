// Package report writes down what a walk found, for people and for programs.
//
// [Build] makes a [Report] from a walk, [Bundle] makes all files of it in
// memory, [WriteBundle] puts them into a folder, and [Verify] checks such a
// folder without the network. report.json is the report itself, described by
// [JSONSchema]; every other file is written from it:
//
//	report.html        one page for people: outcome, what to do, drawing, tables, method
//	exits.csv, wallets.csv, clusters.csv, transfers.csv
//	uncounted.csv, tokens.csv: what is in no sum, and what tokens say of themselves
//	transfers.parquet  for Athena and the like; addresses and hashes are bytes
//	graph.graphml, graph.gexf, graph.dot
//	manifest.json      every file's SHA-256, and what the report depends on
//	manifest.sig       if the bundle is signed
//
// What it promises: the same report gives the same bytes on any machine; sums
// add up, in base units at every wallet and in total, and in the dollars that
// are printed; no text from a chain or a user runs, or reorders anything, in
// any file; and one changed byte in a bundle is found and named.
package report
