//go:build !unix

package graphstore

import "os"

// peakMemory returns 0: it is measured on Unix only.
func peakMemory(*os.ProcessState) float64 { return 0 }
