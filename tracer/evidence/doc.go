// Package evidence keeps what nodes answered, and answers in their place.
//
// A [Recorder] stands between a source and the network. It writes down every
// JSON-RPC call a report rests on: the host that was asked, the method, its
// parameters, and the answer as it came, be it a result, a refusal or no answer
// at all. [Recorder.Write] makes an archive of it: JSON lines under zstd, with
// every answer named by its SHA-256 and kept once. [Open] reads an archive back
// as a [Node]: an http.RoundTripper that answers as the recorded node did,
// whatever the order or the batching of the calls, and touches no network.
//
//	{"format":"scamtrace-evidence/2","run":{…}}
//	{"host":"node.example","method":"eth_getCode","params":[…],"answers":[{"sha256":"…","at":"2026-01-31T15:04:05Z"}]}
//	{"sha256":"…","result":"0x"}
//	…
//	{"calls":1,"answers":1,"sha256":"…"}
//
// The SHA-256 of an answer is that of its line without the member sha256; that
// in the last line is of all lines before. A call that was made several times
// and answered differently lists its answers in order, without failures that
// were overcome. The time of an answer is that of the recorder's clock when it
// first came.
//
// Several nodes at one host are told apart by their order: node.example,
// node.example#2. A port is not written down, because that of a node on the same
// machine is another one every time.
//
// Indexers are asked by address. Their questions have as their method that of
// HTTP with what follows the address of the endpoint, and their answers are kept
// with their status, as they came:
//
//	{"host":"index.example","method":"GET list?wallet=0x…","params":[],"answers":[{"sha256":"…","at":"…"}]}
//	{"sha256":"…","status":200,"body":"…"}
//
// What it promises: no path, query or user of the address of an endpoint, no
// key and no header is in an archive, not even where a node repeats one; the same answers at
// the same times make the same archive, byte for byte; an archive in which
// anything was changed, left out, added or moved is not opened; and no more
// than an answer or two are in memory at once, because the rest is in a
// temporary file.
package evidence
