package graphstore_test

import (
	"testing"
	"time"

	"scamtrace/graphstore"
	"scamtrace/graphstore/buckettest"
)

func TestDir(t *testing.T) {
	open := func(t *testing.T) *graphstore.Dir {
		t.Helper()
		d, err := graphstore.OpenDir(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { d.Close() })
		return d
	}
	buckettest.Test(t, func(t *testing.T) graphstore.Bucket { return open(t) })
	buckettest.TestLinks(t, func(t *testing.T, now func() time.Time) graphstore.Bucket {
		d := open(t)
		d.Now = now
		return d
	})
}
