// Package indexsource reads transfers from indexers: services that keep tables
// of what happened on a chain and answer faster than a node.
package indexsource
