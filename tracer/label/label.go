// Package label knows what has been said about addresses: which are services,
// who said so, and how sure they are.
//
// Labels come from the built-in set of facts, from TagPack files and from CSV
// files. Every label keeps its source. What it promises: a built-in service is
// a service whatever an imported file says, so no import can turn an exchange
// into a suspect or hide one; and a [Set] has one SHA-256 that names exactly
// the labels a report used.
package label
