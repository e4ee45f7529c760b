package devnet

import (
	"os"
	"path/filepath"
)

// EvalData returns the folder of real cases that tests measure on, and whether
// it is there: SCAMTRACE_EVAL_DATA, or shared/data beside the project's folder.
// Nothing in it is part of the project; tests that need it skip without it.
func EvalData() (string, bool) {
	dir := os.Getenv("SCAMTRACE_EVAL_DATA")
	if dir == "" {
		at, err := os.Getwd()
		if err != nil {
			return "", false
		}
		for {
			if _, err := os.Stat(filepath.Join(at, "go.mod")); err == nil {
				break
			}
			if at == filepath.Dir(at) {
				return "", false
			}
			at = filepath.Dir(at)
		}
		dir = filepath.Join(filepath.Dir(at), "shared", "data")
	}
	st, err := os.Stat(dir)
	return dir, err == nil && st.IsDir()
}
