package report

// Schema is the version of the report format, the value of [Report.Schema].
const Schema = "scamtrace-report/1"

// A Report is everything a trace found: report.json, and what every other file
// of a bundle is written from. All lists are sorted and the order is part of
// the format. Amounts are whole base units as decimal strings, with a readable
// form beside them; dollars are decimal strings with cents, empty where no
// price is known; times are RFC 3339 in UTC; addresses and hashes are lower case.
type Report struct {
	Schema      string       `json:"schema"`
	Tool        Tool         `json:"tool"`
	Case        Case         `json:"case"`
	Chains      []Chain      `json:"chains"`
	Parameters  Parameters   `json:"parameters"`
	Outcome     Outcome      `json:"outcome"`
	Seeds       []Seed       `json:"seeds"`
	Totals      Totals       `json:"totals"`
	Exits       []Exit       `json:"exits"`       // largest dollar amount first
	Wallets     []Wallet     `json:"wallets"`     // by hop, then traced dollars falling, then address
	Flows       []Flow       `json:"flows"`       // traced flows only; by from, to, asset
	Transfers   []Transfer   `json:"transfers"`   // traced transfers only; chain order
	Conversions []Conversion `json:"conversions"` // chain order
	Clusters    []Cluster    `json:"clusters"`    // largest first
	Gaps        []Gap        `json:"gaps"`        // largest dollar amount first
	Policies    []Policy     `json:"policies"`    // exits and held money per policy, side by side
	Notes       []string     `json:"notes"`       // assumptions and limits of this report, one sentence each
}

// A Tool says what made the report.
type Tool struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// A Case is the reference the user gave. It holds nothing about the victim.
type Case struct {
	Reference string `json:"reference"`
}

// A Chain is a chain that was read and the block it was read up to.
type Chain struct {
	ID     string `json:"id"` // CAIP-2
	Name   string `json:"name"`
	Title  string `json:"title"`
	Symbol string `json:"symbol"`
	Pinned Block  `json:"pinned"`
	Source string `json:"source"` // what was read, in words: "JSON-RPC node", "exported files"
}

// A Block is a block.
type Block struct {
	Number uint64 `json:"number"`
	Hash   string `json:"hash,omitempty"` // empty when the source does not know it
	Time   string `json:"time"`
}

// Parameters are the settings the report depends on.
type Parameters struct {
	Policy       string   `json:"policy"`
	Since        string   `json:"since,omitempty"`
	Until        string   `json:"until,omitempty"`
	MaxRequests  int      `json:"maxRequests"` // 0 is no limit
	MaxWallets   int      `json:"maxWallets"`
	MinUSD       string   `json:"minUsd"`
	HubTransfers int      `json:"hubTransfers"` // a wallet with more is a hub
	Labels       LabelSet `json:"labels"`
}

// A LabelSet identifies the labels that were used.
type LabelSet struct {
	Version string `json:"version"`
	SHA256  string `json:"sha256"`
	Count   int    `json:"count"`
}

// An Outcome is the result in words and in one glance.
type Outcome struct {
	Sentence string   `json:"sentence"`
	Status   string   `json:"status"`            // complete or partial
	Reasons  []string `json:"reasons,omitempty"` // why it is partial, one sentence each
}

// A Seed is what the victim reported and what it amounted to.
type Seed struct {
	Address string   `json:"address"` // the wallet that was paid
	Chain   string   `json:"chain"`
	Tx      string   `json:"tx,omitempty"` // set when a payment was reported
	Amounts []Amount `json:"amounts"`
	USD     string   `json:"usd"`
}

// An Amount is an amount of one asset.
type Amount struct {
	Asset    string `json:"asset"` // CAIP-19
	Symbol   string `json:"symbol"`
	Amount   string `json:"amount"`   // base units
	Readable string `json:"readable"` // with the asset's decimals; empty when they are not known
	USD      string `json:"usd"`      // at the time of the movements
}

// Totals say where all of the reported money is. Per asset
//
//	reported + converted in = exited + held + written off + gaps + converted out
//
// holds in whole base units. In dollars, each column is valued at the time of
// its own movements, so the difference is what prices did meanwhile.
type Totals struct {
	Assets []AssetTotal `json:"assets"` // by asset id
	USD    USDTotal     `json:"usd"`
}

// An AssetTotal is the balance of one asset, in base units.
type AssetTotal struct {
	Asset        string `json:"asset"`
	Symbol       string `json:"symbol"`
	Decimals     *uint8 `json:"decimals"` // null when not known
	Reported     string `json:"reported"`
	ConvertedIn  string `json:"convertedIn"`
	ConvertedOut string `json:"convertedOut"`
	Exited       string `json:"exited"`
	Held         string `json:"held"`
	WrittenOff   string `json:"writtenOff"` // fees and burns
	Gaps         string `json:"gaps"`
}

// A USDTotal is the same in dollars. PriceChange is what makes it add up:
// reported + price change = exited + held + written off + gaps.
type USDTotal struct {
	Reported    string `json:"reported"`
	Exited      string `json:"exited"`
	Held        string `json:"held"`
	WrittenOff  string `json:"writtenOff"`
	Gaps        string `json:"gaps"`
	PriceChange string `json:"priceChange"`
	Unpriced    bool   `json:"unpriced"` // some amounts have no price and are in no column
}

// An Exit is traced money that arrived at a service.
type Exit struct {
	Address      string   `json:"address"` // the deposit address, or the service's own wallet
	Chain        string   `json:"chain"`
	Service      string   `json:"service"`
	Category     string   `json:"category"`
	Rule         string   `json:"rule"`       // label: the address is labelled; deposit: it forwards only to the service
	Confidence   int      `json:"confidence"` // percent, of the label or of the deposit rule
	Source       string   `json:"source"`     // of the label
	Amounts      []Amount `json:"amounts"`
	USD          string   `json:"usd"`
	First        string   `json:"first"`
	Last         string   `json:"last"`
	Transactions []string `json:"transactions"` // that brought the money there, chain order
	Path         []string `json:"path"`         // addresses from a seed to here, fewest hops
}

// A Wallet is a wallet that the traced money touched.
type Wallet struct {
	Address   string   `json:"address"`
	Chain     string   `json:"chain"`
	Role      string   `json:"role"` // seed, intermediary, holding, deposit, service, hub
	Hop       int      `json:"hop"`  // fewest transfers from a seed; a seed is 0
	Labels    []Label  `json:"labels"`
	Cluster   string   `json:"cluster,omitempty"`
	Contract  bool     `json:"contract"`
	Received  []Amount `json:"received"` // traced
	Sent      []Amount `json:"sent"`     // traced
	Held      []Amount `json:"held"`     // traced, at the pinned block
	USD       string   `json:"usd"`      // of received
	First     string   `json:"first"`
	Last      string   `json:"last"`
	Complete  bool     `json:"complete"`            // everything it did while it held traced money was read
	Reason    string   `json:"reason,omitempty"`    // why it is not complete
	LookAlike string   `json:"lookAlike,omitempty"` // another wallet of this report that shows the same first and last digits
}

// A Label is what somebody said about an address.
type Label struct {
	Name       string `json:"name"`
	Category   string `json:"category"`
	Confidence int    `json:"confidence"` // percent
	Source     string `json:"source"`
}

// A Flow is all traced transfers of one asset between two wallets.
type Flow struct {
	From      string `json:"from"`
	To        string `json:"to"`
	Chain     string `json:"chain"`
	Asset     string `json:"asset"`
	Symbol    string `json:"symbol"`
	Amount    string `json:"amount"`   // base units, of all transfers of the flow that were read
	Traced    string `json:"traced"`   // the part that is the victim's money
	Readable  string `json:"readable"` // of traced
	USD       string `json:"usd"`      // of traced
	Transfers int    `json:"transfers"`
	First     string `json:"first"`
	Last      string `json:"last"`
}

// A Transfer is a transfer that moved traced money.
type Transfer struct {
	Chain       string `json:"chain"`
	Block       uint64 `json:"block"`
	BlockHash   string `json:"blockHash,omitempty"`
	Time        string `json:"time"`
	Tx          string `json:"tx"`
	Position    string `json:"position"`
	Kind        string `json:"kind"`
	Asset       string `json:"asset"`
	Symbol      string `json:"symbol"`
	From        string `json:"from"`
	To          string `json:"to"`
	Amount      string `json:"amount"`   // base units
	Readable    string `json:"readable"` // of amount
	Traced      string `json:"traced"`   // base units
	USD         string `json:"usd"`      // of traced
	PriceSource string `json:"priceSource,omitempty"`
	Verified    bool   `json:"verified"` // proven against the block's receipts root
}

// A Conversion is a swap inside one transaction: what a wallet gave and what
// it, or the receiver it named, got.
type Conversion struct {
	Chain    string   `json:"chain"`
	Block    uint64   `json:"block"`
	Time     string   `json:"time"`
	Tx       string   `json:"tx"`
	Wallet   string   `json:"wallet"`
	Receiver string   `json:"receiver"` // the wallet itself, most often
	Out      []Amount `json:"out"`      // given, traced part
	In       []Amount `json:"in"`       // got, traced part
}

// A Cluster is a set of wallets that likely act as one.
type Cluster struct {
	ID      string   `json:"id"` // c1, c2, …
	Wallets []string `json:"wallets"`
	Links   []Link   `json:"links"`
}

// A Link says why two wallets are in one cluster.
type Link struct {
	A          string   `json:"a"`
	B          string   `json:"b"`
	Rule       string   `json:"rule"`
	Confidence int      `json:"confidence"` // percent, from the rule's own formula
	Precision  string   `json:"precision"`  // measured on the built-in world: "0.98 of 412 links"
	Evidence   []string `json:"evidence"`   // transactions
	Detail     string   `json:"detail"`     // one sentence
}

// A Gap is traced money that was not followed, and why.
type Gap struct {
	Address string   `json:"address"`
	Chain   string   `json:"chain"`
	Reason  string   `json:"reason"`
	Amounts []Amount `json:"amounts"` // may be empty when the amount cannot be known
	USD     string   `json:"usd"`
	Detail  string   `json:"detail"` // one sentence
}

// A Policy is the result under one accounting rule.
type Policy struct {
	Name   string   `json:"name"`
	Exited []Amount `json:"exited"`
	Held   []Amount `json:"held"`
}
