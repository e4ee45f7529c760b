package functions

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"scamtrace/tracer"
	"scamtrace/tracer/label"
	"scamtrace/tracer/price"

	"github.com/ethereum/go-ethereum/common"
)

// knowledge is the public data that results depend on beside the chain: the
// chain table, the labels and the prices, built in or from public/.
type knowledge struct {
	id     string // of exactly this data
	at     time.Time
	chains []tracer.Chain
	labels *label.Set
	prices *price.Book
	notes  []string
	files  map[string][]byte // as they are in the bucket
}

// stays is how long public data is taken for unchanged.
const stays = 10 * time.Minute

// knowledge returns the public data. Unless want is empty, it reads again when
// what it has is not that.
func (a *App) knowledge(ctx context.Context, want string) (*knowledge, error) {
	a.public.Lock()
	defer a.public.Unlock()
	if k := a.known; k != nil && a.now().Sub(k.at) < stays && (want == "" || want == k.id) {
		return k, nil
	}
	k, err := a.readKnowledge(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the public data: %w", err)
	}
	a.known = k
	return k, nil
}

func (a *App) readKnowledge(ctx context.Context) (*knowledge, error) {
	var keys []string
	for key, err := range a.Bucket.List(ctx, "public/", "") {
		if err != nil {
			return nil, err
		}
		if dir := path.Dir(key); key == "public/chains.json" || dir == "public/labels" || dir == "public/prices" {
			keys = append(keys, key)
		}
	}
	k := &knowledge{at: a.now(), chains: tracer.Chains(), labels: label.New()}
	sum := sha256.New()
	fmt.Fprintln(sum, k.labels.SHA256())
	files := make(map[string][]byte)
	for _, key := range keys {
		data, _, err := a.Bucket.Get(ctx, key)
		if err != nil {
			return nil, err
		}
		files[key] = data
		fmt.Fprintf(sum, "%s %x\n", key, sha256.Sum256(data))
	}
	k.files = files
	k.id = hex.EncodeToString(sum.Sum(nil))
	if data, ok := files["public/chains.json"]; ok {
		if err := k.addChains(data); err != nil {
			return nil, err
		}
	}
	k.prices = price.New(k.chains...)
	k.labels.Also(k.chains...)
	for _, key := range keys {
		name, data := path.Base(key), bytes.NewReader(files[key])
		var notes []string
		var err error
		switch {
		case path.Dir(key) == "public/prices":
			err = k.prices.ReadCSV(data, name)
		case path.Dir(key) == "public/labels" && strings.HasSuffix(name, ".csv"):
			notes, err = k.labels.ReadCSV(data, name)
		case path.Dir(key) == "public/labels":
			notes, err = k.labels.ReadTagPack(data, name)
		}
		if err != nil {
			return nil, err
		}
		k.notes = append(k.notes, notes...)
	}
	k.notes = append(k.notes, k.labels.ConflictNotes()...)
	return k, nil
}

// addChains adds the rows of chains.json to the chain table, or replaces those
// with the same id: a private chain, a test chain, more tokens.
func (k *knowledge) addChains(data []byte) error {
	var rows []struct {
		ID            uint64         `json:"id"`
		Name          string         `json:"name"`
		Title         string         `json:"title"`
		Symbol        string         `json:"symbol"`
		Decimals      uint8          `json:"decimals"`
		BlockSeconds  float64        `json:"blockSeconds"`
		FinalityDepth uint64         `json:"finalityDepth"`
		Tokens        []tracer.Token `json:"tokens"`
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&rows); err != nil {
		return fmt.Errorf("chains.json: %w", err)
	}
	for _, r := range rows {
		if r.ID == 0 || !isWorkspace.MatchString(r.Name) || r.BlockSeconds <= 0 {
			return fmt.Errorf("chains.json: chain %d needs an id, a name of small letters and blockSeconds", r.ID)
		}
		k.chains = slices.DeleteFunc(k.chains, func(c tracer.Chain) bool { return c.ID == r.ID || c.Name == r.Name })
		k.chains = append(k.chains, tracer.Chain{
			ID: r.ID, Name: r.Name, Title: cmp.Or(r.Title, r.Name), Symbol: cmp.Or(r.Symbol, "coin"), Decimals: r.Decimals,
			BlockTime: time.Duration(r.BlockSeconds * float64(time.Second)), FinalityDepth: r.FinalityDepth, Tokens: r.Tokens,
		})
	}
	return nil
}

// chain returns the row of a chain by its name.
func (k *knowledge) chain(name string) (tracer.Chain, error) {
	i := slices.IndexFunc(k.chains, func(c tracer.Chain) bool { return c.Name == name })
	if i < 0 {
		return tracer.Chain{}, fmt.Errorf("%w: the chain %q is not known here", tracer.ErrUsage, tracer.CleanText(name, 40))
	}
	return k.chains[i], nil
}

// Knows reports whether a chain of this name can be traced here, with an endpoint.
func (a *App) Knows(ctx context.Context, chain string) (bool, error) {
	k, err := a.knowledge(ctx, "")
	if err != nil {
		return false, err
	}
	_, err = k.chain(chain)
	return err == nil, nil
}

// declines says why a wallet is not traced as a seed: it would follow the money
// of strangers. It is empty for all others.
func (k *knowledge) declines(c tracer.Chain, s tracer.Seed) string {
	if s.IsTx() {
		return ""
	}
	if s.Wallet == (common.Address{}) {
		return "this is the zero address; nobody has the key to it"
	}
	if l, ok := k.labels.Service(tracer.Wallet{Chain: c.ID, Address: s.Wallet}); ok {
		return fmt.Sprintf("this is %s, which many people use; please give the hash of the payment instead", l.Name)
	}
	return ""
}
