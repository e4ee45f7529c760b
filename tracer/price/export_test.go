package price

import (
	"context"
	"time"
)

// Fuzzed decoders, and the table.
var (
	DecodeRound = decodeRound
	DecodeText  = decodeText
	DecodeUint  = decodeUint
	DecodeLlama = decodeLlama
	MicrosOf    = micros
	Feeds       = feeds
	Selectors   = map[string][]byte{
		"latestRoundData()": latestRoundData, "getRoundData(uint80)": getRoundData, "decimals()": decimalsOf,
		"description()": description, "phaseId()": phaseID, "phaseAggregators(uint16)": phaseAggregators,
	}
)

// Waiting returns options under which pause is called in place of sleeping.
func Waiting(o LlamaOptions, pause func(context.Context, time.Duration) error) LlamaOptions {
	o.pause = pause
	return o
}
