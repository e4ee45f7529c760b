// Package tracer holds the nouns of a trace: wallets, assets, transfers, the
// chains they live on, and the [Source] that reads them.
//
// It does no I/O and knows no cloud. The packages below it are the verbs:
// walk searches, ledger accounts, cluster groups, report writes; ethsource and
// filesource are the two sources.
//
// What it promises: text becomes an address only through [ParseAddress] or
// [ParseSeed], which refuse what they do not understand and never repeat a
// secret; amounts are whole base units in 256 bits, never floating point; and
// every list this package sorts has one order, whatever the machine.
package tracer
