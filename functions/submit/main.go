// Submit is the Lambda function behind the page and the API, but for downloads:
// it takes cases and never reads a chain.
package main

import "scamtrace/functions"

func main() {
	functions.Main(func(a *functions.App) any { return functions.ServeEvent(a.Handler()) },
		functions.WithAuth, functions.WithQueue, functions.WithHooks)
}
