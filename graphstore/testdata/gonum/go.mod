// A module of its own, so that nothing else depends on gonum.
module scamtrace/graphstore/testdata/gonum

go 1.26.0

require (
	github.com/ethereum/go-ethereum v1.17.10
	gonum.org/v1/gonum v0.17.0
	scamtrace v0.0.0
)

require (
	github.com/dominikbraun/graph v0.23.0 // indirect
	github.com/gofrs/flock v0.12.1 // indirect
	github.com/holiman/uint256 v1.3.2 // indirect
	github.com/klauspost/compress v1.20.3 // indirect
	golang.org/x/sys v0.49.0 // indirect
)

replace scamtrace => ../../..
