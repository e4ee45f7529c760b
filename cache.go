package main

import (
	"encoding/json"
	"os"
	"path/filepath"

	"scamtrace/functions/nodes"
	"scamtrace/tracer/ethsource"
)

// A cache keeps what was learnt of endpoints, by host, in a file of the user's.
// Nobody misses one that cannot be read or written: endpoints are asked again.
type cache struct {
	file  string // empty: there is no place for one
	known map[string]ethsource.Ability
}

func openCache() *cache {
	c := &cache{}
	if dir, err := os.UserCacheDir(); err == nil {
		c.file = filepath.Join(dir, "scamtrace", "endpoints.json")
	}
	c.known = c.read()
	return c
}

func (c *cache) read() map[string]ethsource.Ability {
	var known map[string]ethsource.Ability
	if b, err := os.ReadFile(c.file); err != nil || json.Unmarshal(b, &known) != nil {
		return nil
	}
	return known
}

// save adds what a source has learnt, as far as [nodes.Lasting] has it.
func (c *cache) save(src *ethsource.Source) {
	if c == nil || src == nil || c.file == "" {
		return
	}
	learned := nodes.Lasting(src.Learned())
	if len(learned) == 0 {
		return
	}
	b, err := json.Marshal(ethsource.MergeAbilities(c.read(), learned))
	if err != nil || os.MkdirAll(filepath.Dir(c.file), 0o700) != nil {
		return
	}
	f, err := os.CreateTemp(filepath.Dir(c.file), "endpoints-")
	if err != nil {
		return
	}
	_, err = f.Write(b)
	if f.Close() != nil || err != nil || os.Rename(f.Name(), c.file) != nil {
		os.Remove(f.Name())
	}
}
