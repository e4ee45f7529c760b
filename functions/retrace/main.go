// Retrace is the Lambda function behind the schedule: it queues what is due.
package main

import "scamtrace/functions"

func main() {
	functions.Main(func(a *functions.App) any { return a.HandleSchedule }, functions.WithQueue)
}
