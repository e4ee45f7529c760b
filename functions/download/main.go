// Download is the Lambda function behind the files of reports: it answers with
// links that live for 15 minutes, and can change nothing but the audit log.
package main

import "scamtrace/functions"

func main() {
	functions.Main(func(a *functions.App) any { return functions.ServeEvent(a.Handler()) }, functions.WithAuth)
}
