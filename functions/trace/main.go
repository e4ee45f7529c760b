// Trace is the Lambda function behind the queue: it gives a case a turn.
package main

import (
	"scamtrace/functions"
	"scamtrace/functions/nodes"
)

func main() {
	functions.Main(func(a *functions.App) any { return a.HandleSQS },
		functions.WithQueue, nodes.WithChains, functions.WithQuotes, functions.WithSigner, functions.WithLock, functions.WithAlerts)
}
