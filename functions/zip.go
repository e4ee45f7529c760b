package functions

import (
	"archive/zip"
	"bytes"

	"scamtrace/tracer/report"
)

// bundleName is the file of a report that holds all the others, for whoever
// takes a bundle away whole. Unpacked, scamtrace verify checks it.
const bundleName = "bundle.zip"

// packed packs files in their order, without times, so that the same files give
// the same bytes.
func packed(name string, files []report.NamedFile) (report.NamedFile, error) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, f := range files {
		w, err := z.CreateHeader(&zip.FileHeader{Name: f.Name, Method: zip.Deflate})
		if err != nil {
			return report.NamedFile{}, err
		}
		if _, err := w.Write(f.Data); err != nil {
			return report.NamedFile{}, err
		}
	}
	err := z.Close()
	return report.NamedFile{Name: name, Data: b.Bytes()}, err
}
