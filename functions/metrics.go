package functions

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// metric writes measurements as one line of CloudWatch's embedded metric
// format, from which CloudWatch makes metrics without a call: a name that ends
// with Seconds is in seconds, every other is a count. Dimensions never name a
// case, a workspace or a wallet.
func (a *App) metric(_ context.Context, dimensions map[string]string, values map[string]float64) {
	if a.Metrics == nil {
		return
	}
	type metric struct{ Name, Unit string }
	var ms []metric
	line := make(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(values)) {
		unit := "Count"
		if strings.HasSuffix(name, "Seconds") {
			unit = "Seconds"
		}
		ms = append(ms, metric{name, unit})
		line[name] = values[name]
	}
	for k, v := range dimensions {
		line[k] = v
	}
	names := slices.Sorted(maps.Keys(dimensions))
	if names == nil {
		names = []string{}
	}
	line["_aws"] = map[string]any{
		"Timestamp": a.now().UnixMilli(),
		"CloudWatchMetrics": []any{map[string]any{
			"Namespace": "Scamtrace", "Dimensions": [][]string{names}, "Metrics": ms,
		}},
	}
	b, err := json.Marshal(line)
	if err != nil {
		return // a value that is not a number
	}
	_, _ = a.Metrics.Write(append(b, '\n'))
}
