// Package functions is the pipeline: it takes cases, traces them in turns of
// some minutes, writes their reports, looks again later, and says what moved; where
// it proves that nothing did, it says that, and writes no other report.
// The same [App] runs as four Lambda functions and as one local server.
//
//	POST /v1/cases ─▶ [App.Handler] ─Job▶ queue ─▶ [App.Work] ──────────────────────┐
//	                       ▲                          │ near the deadline: save the  │
//	the clock ─▶ [App.Schedule] ─Job▶ queue ◀─────────┘ state, send the next Job     ▼
//	                                                                              bucket
//	GET …/reports/… ─▶ [App.Handler] ─302▶ a link of 15 minutes ◀──────────────── reports
//
// Queues carry ids, the bucket carries data, and it is the only database:
//
//	workspaces/<ws>/cases/<case>/case.json        a [Case]; replaced only if unchanged
//	workspaces/<ws>/cases/<case>/state/<n>.snap   the walk after turn n; immutable
//	workspaces/<ws>/cases/<case>/reports/<block>/ a bundle; immutable
//	workspaces/<ws>/cases/<case>/diffs/<block>.json what changed since the report before; immutable
//	workspaces/<ws>/tables/transfers/<case>/<block>.parquet  its transfers once more, for questions across cases; immutable
//	workspaces/<ws>/list/…, own/<who>/…           names of the cases, newest first
//	workspaces/<ws>/once/<key>.json               the case an idempotency key made
//	workspaces/<ws>/quota/<day>.json              how much was asked for that day
//	workspaces/<ws>/audit/<n>.json                who did what; each names the hash of the one before
//	workspaces/<ws>/settings.json                 webhooks and limits of the workspace
//	personal/<ws>/<case>.json                     the reference a person gave; all that erasure must find
//	due/<minute>/<ws>/<case>                      when the schedule must look at a case
//	public/chains.json, labels/, prices/          what all cases may know
//	private/rpc.json                              the nodes' endpoints; read by package nodes alone
//	private/endpoints.json                        what was learnt of them; of package nodes too
//
// What it promises:
//
//   - Killed anywhere, a trace finishes with the bytes of an undisturbed run
//     (P3). The block is written down before anything is read at it, a state is
//     created once, under the next epoch, and case.json moves only from the
//     version that was read; whoever comes second finds that out and leaves.
//   - Duplicate, late and reordered messages change nothing (P4). A Job names
//     an epoch; one of another epoch is dropped. The queue is only a hint: every
//     case at work has a marker under due/, and the schedule sends its Job again.
//   - No workspace can read, or learn of, another's cases (P7). Every key begins
//     with the workspace of the verified token, never with one from a request,
//     and what is another's is answered as what is not there.
//   - A person's words are in personal/ alone, and neither they nor wallets, keys
//     or endpoints are in a log line.
package functions
