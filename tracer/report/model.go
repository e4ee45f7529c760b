package report

import _ "embed"

// Schema is the version of the report format, the value of [Report.Schema].
const Schema = "scamtrace-report/1"

//go:embed schema.json
var jsonSchema string

// JSONSchema returns the JSON Schema (2020-12) of report.json.
func JSONSchema() string { return jsonSchema }

// The field tag is says what a string holds; shape.go has the list. It is
// what [Bundle] and [Verify] hold a report to, and the JSON Schema is made from
// it and from the comments here.

// A Report is everything a trace found: report.json, and what every other file
// of a bundle is written from. All lists are sorted and the order is part of
// the format. Amounts are whole base units as decimal strings, with a readable
// form beside them. Dollars have cents and are empty where no price is known;
// every movement is rounded to cents by itself, and sums are sums of those.
// Times are RFC 3339 in UTC. Addresses and hashes are in lower case;
// on Tron addresses are in base58 and hashes of transactions without 0x, the forms that its own tools join on.
type Report struct {
	Schema      string       `json:"schema" is:"word 64"`  // the version of this format
	Tool        Tool         `json:"tool"`                 // what made the report
	Case        Case         `json:"case"`                 // the user's reference
	Chains      []Chain      `json:"chains"`               // the chains that were read
	Parameters  Parameters   `json:"parameters"`           // the settings the report depends on
	Outcome     Outcome      `json:"outcome"`              // the result in words
	Seeds       []Seed       `json:"seeds"`                // what was reported; by address, then transaction
	Totals      Totals       `json:"totals"`               // where all of the reported money is
	Exits       []Exit       `json:"exits"`                // largest dollar amount first
	Wallets     []Wallet     `json:"wallets"`              // by hop, then dollars received, falling, then address
	Flows       []Flow       `json:"flows"`                // traced flows only; by from, to, asset
	Transfers   []Transfer   `json:"transfers"`            // traced transfers only; chain order
	Conversions []Conversion `json:"conversions"`          // chain order
	Clusters    []Cluster    `json:"clusters"`             // largest first
	Gaps        []Gap        `json:"gaps"`                 // largest dollar amount first
	Policies    []Policy     `json:"policies"`             // exits and held money per accounting rule, side by side
	Tokens      []Token      `json:"tokens"`               // that are not in the chain table, and what they say of themselves; by asset
	Uncounted   []Uncounted  `json:"uncounted"`            // what the wallets of this report got or sent that is no money; by hop, address, reason
	Rules       []Rule       `json:"rules"`                // how wallets were linked, and how well that works
	Notes       []string     `json:"notes" is:"text 1000"` // assumptions and limits of this report, one sentence each
}

// A Tool says what made the report.
type Tool struct {
	Name    string `json:"name" is:"word 64"`     // scamtrace
	Version string `json:"version" is:"text 100"` // of the tool
}

// A Case is the reference the user gave. It holds nothing about the victim.
type Case struct {
	Reference string `json:"reference" is:"text? 80"` // as given; may be empty
}

// A Chain is a chain that was read and the block it was read up to.
type Chain struct {
	ID        string   `json:"id" is:"chain"`            // CAIP-2
	Name      string   `json:"name" is:"word 64"`        // as on the command line
	Title     string   `json:"title" is:"text 80"`       // for people
	Symbol    string   `json:"symbol" is:"text 32"`      // of the native coin
	Pinned    Block    `json:"pinned"`                   // the last block that was read: what happened later is not in the report
	Source    string   `json:"source" is:"text? 200"`    // what was read, in words: a JSON-RPC node, exported files
	Endpoints []string `json:"endpoints" is:"word? 255"` // the hosts that were asked, sorted, without anything else of their addresses
}

// A Block is a block.
type Block struct {
	Number uint64 `json:"number"`                    // height
	Hash   string `json:"hash,omitempty" is:"hash?"` // absent when the source does not know it
	Time   string `json:"time,omitempty" is:"time?"` // absent when the source does not know it
}

// Parameters are the settings the report depends on.
type Parameters struct {
	Policy       string   `json:"policy" is:"word 32"`        // the accounting rule
	Since        string   `json:"since,omitempty" is:"time?"` // receipts of reported wallets count from here on
	Until        string   `json:"until,omitempty" is:"time?"` // and up to here
	MaxRequests  int      `json:"maxRequests"`                // the budget of requests
	MaxWallets   int      `json:"maxWallets"`                 // the budget of wallets
	MinUSD       string   `json:"minUsd" is:"usd"`            // a wallet with less traced money is not followed
	HubTransfers int      `json:"hubTransfers"`               // a wallet with more transfers is a hub
	Labels       LabelSet `json:"labels"`                     // the labels that were used
	Prices       PriceSet `json:"prices"`                     // the prices that were used
}

// A LabelSet identifies the labels that were used.
type LabelSet struct {
	Version string `json:"version" is:"text 40"` // of the built-in set
	SHA256  string `json:"sha256" is:"sha256"`   // of all labels
	Count   int    `json:"count"`                // of all labels

	Services int `json:"services"` // labels of services where a trail ends, on the chain of the report
}

// A PriceSet identifies the prices that were used.
type PriceSet struct {
	SHA256 string `json:"sha256" is:"sha256"` // of all prices that were given
}

// An Outcome is the result in words and in one glance.
type Outcome struct {
	Sentence string   `json:"sentence" is:"text 1000"`          // for people
	Status   string   `json:"status" is:"one complete partial"` // partial: the trace ended before everything worth reading was read
	Reasons  []string `json:"reasons,omitempty" is:"text 400"`  // why it is partial, one sentence each
}

// A Seed is what the victim reported and what it amounted to.
type Seed struct {
	Address  string    `json:"address" is:"address"`    // the wallet that was paid
	Chain    string    `json:"chain" is:"chain"`        // of the wallet
	Tx       string    `json:"tx,omitempty" is:"hash?"` // present when a payment was reported
	Amounts  []Amount  `json:"amounts"`                 // by asset
	USD      string    `json:"usd" is:"usd?"`           // of amounts
	Payments []Payment `json:"payments"`                // what the amounts are made of; chain order
}

// A Payment is reported money arriving at a reported wallet. Who paid is left out.
type Payment struct {
	Block    uint64 `json:"block"`                  // height
	Time     string `json:"time" is:"time?"`        // of the block
	Tx       string `json:"tx" is:"hash"`           // the payment; with unseen, what the wallet paid out
	Asset    string `json:"asset" is:"asset"`       // CAIP-19
	Symbol   string `json:"symbol" is:"text 32"`    // of the asset
	Amount   string `json:"amount" is:"units"`      // base units
	Readable string `json:"readable" is:"decimal?"` // with the asset's decimals; empty when they are not known
	USD      string `json:"usd" is:"usd?"`          // at that time
	Unseen   bool   `json:"unseen"`                 // no payment was seen, but the wallet paid out more than it was seen to receive
}

// An Amount is an amount of one asset.
type Amount struct {
	Asset    string `json:"asset" is:"asset"`       // CAIP-19
	Symbol   string `json:"symbol" is:"text 32"`    // "token" for an asset that is not in the chain table
	Amount   string `json:"amount" is:"units"`      // base units
	Readable string `json:"readable" is:"decimal?"` // with the asset's decimals; empty when they are not known
	USD      string `json:"usd" is:"usd?"`          // at the time of the movements; empty, and in no sum, unless all of it has a price
}

// Totals say where all of the reported money is. Per asset
//
//	reported + assumed + converted in = exited + held + written off + gaps + converted out
//
// holds in whole base units. In dollars each column is valued at the time of
// its own movements, so the difference is what prices did meanwhile.
type Totals struct {
	Assets []AssetTotal `json:"assets"` // by asset id
	USD    USDTotal     `json:"usd"`    // the same in dollars
}

// An AssetTotal is the balance of one asset, in base units.
type AssetTotal struct {
	Asset        string `json:"asset" is:"asset"`        // CAIP-19
	Symbol       string `json:"symbol" is:"text 32"`     // of the asset
	Decimals     *uint8 `json:"decimals"`                // null when not known
	Reported     string `json:"reported" is:"units"`     // by the victim
	Assumed      string `json:"assumed" is:"units"`      // reported by nobody, counted in by the accounting rule, or because a list of transfers has holes
	ConvertedIn  string `json:"convertedIn" is:"units"`  // got in swaps for another asset
	ConvertedOut string `json:"convertedOut" is:"units"` // given in swaps for another asset
	Exited       string `json:"exited" is:"units"`       // arrived at services
	Held         string `json:"held" is:"units"`         // still in wallets
	WrittenOff   string `json:"writtenOff" is:"units"`   // fees and burns
	Gaps         string `json:"gaps" is:"units"`         // not followed
}

// A USDTotal is the same in dollars. PriceChange is what makes it add up:
// reported + assumed + price change = exited + held + written off + gaps.
type USDTotal struct {
	Reported    string `json:"reported" is:"usd"`     // sum over seeds
	Assumed     string `json:"assumed" is:"usd"`      // sum over wallets
	Exited      string `json:"exited" is:"usd"`       // sum over exits
	Held        string `json:"held" is:"usd"`         // sum over wallets
	WrittenOff  string `json:"writtenOff" is:"usd"`   // sum over wallets
	Gaps        string `json:"gaps" is:"usd"`         // sum over gaps
	PriceChange string `json:"priceChange" is:"±usd"` // may be negative
	Unpriced    bool   `json:"unpriced"`              // some amounts have no price and are in no column
}

// An Exit is traced money that arrived at a service.
type Exit struct {
	Address      string   `json:"address" is:"address"`        // the deposit address, or the service's own wallet
	Chain        string   `json:"chain" is:"chain"`            // of the address
	Service      string   `json:"service" is:"text 100"`       // its name
	Category     string   `json:"category" is:"word 32"`       // exchange, bridge, mixer, swap, …
	Rule         string   `json:"rule" is:"one label deposit"` // label: the address is labelled; deposit: it forwards only to the service
	Confidence   int      `json:"confidence"`                  // percent, of the label or of the deposit rule
	Source       string   `json:"source" is:"text? 400"`       // of the label
	Amounts      []Amount `json:"amounts"`                     // that arrived at the service; by asset
	USD          string   `json:"usd" is:"usd?"`               // of amounts
	First        string   `json:"first" is:"time?"`            // traced receipt of the address
	Last         string   `json:"last" is:"time?"`             // traced receipt of the address
	Transactions []string `json:"transactions" is:"hash"`      // that brought traced money to the address; chain order
	Path         []string `json:"path" is:"address"`           // from a seed to the address, fewest hops
}

// A Wallet is a wallet that the traced money touched. Per asset
//
//	received = sent + held + exited + written off + gap
//
// holds in whole base units.
type Wallet struct {
	Address    string   `json:"address" is:"address"`                                        // lower case; base58 on Tron
	Chain      string   `json:"chain" is:"chain"`                                            // of the address
	Role       string   `json:"role" is:"one seed intermediary holding deposit service hub"` // in this report
	Hop        int      `json:"hop"`                                                         // fewest transfers from a seed; a seed is 0
	Labels     []Label  `json:"labels"`                                                      // what is said of it; surest first
	Cluster    string   `json:"cluster,omitempty" is:"word? 16"`                             // the id of its cluster
	Contract   bool     `json:"contract"`                                                    // false also when the source cannot tell
	Received   []Amount `json:"received"`                                                    // traced; payments, transfers and what swaps gave
	Assumed    []Amount `json:"assumed,omitempty"`                                           // part of received: reported by nobody, counted in all the same
	Sent       []Amount `json:"sent"`                                                        // traced; transfers and what swaps took
	Held       []Amount `json:"held"`                                                        // traced, at the pinned block
	Exited     []Amount `json:"exited"`                                                      // traced, of a service: stays here
	WrittenOff []Amount `json:"writtenOff"`                                                  // traced; fees it paid, or burned here
	Gap        []Amount `json:"gap"`                                                         // traced, not followed from here
	USD        string   `json:"usd" is:"usd?"`                                               // of received
	First      string   `json:"first" is:"time?"`                                            // traced movement
	Last       string   `json:"last" is:"time?"`                                             // traced movement
	Complete   bool     `json:"complete"`                                                    // everything it did while it held traced money was read
	Reason     string   `json:"reason,omitempty" is:"text? 400"`                             // why it is not complete
	LookAlike  string   `json:"lookAlike,omitempty" is:"address?"`                           // another wallet of this report that shows the same first and last digits
}

// A Label is what somebody said about an address.
type Label struct {
	Name       string `json:"name" is:"text 100"`    // of the service or person
	Category   string `json:"category" is:"word 32"` // exchange, bridge, mixer, swap, …
	Confidence int    `json:"confidence"`            // percent
	Source     string `json:"source" is:"text? 200"` // who said so
}

// A Flow is all traced transfers of one asset between two wallets.
type Flow struct {
	From      string `json:"from" is:"address"`      // the sender
	To        string `json:"to" is:"address"`        // the receiver
	Chain     string `json:"chain" is:"chain"`       // of both
	Asset     string `json:"asset" is:"asset"`       // CAIP-19
	Symbol    string `json:"symbol" is:"text 32"`    // of the asset
	Amount    string `json:"amount" is:"units"`      // base units, of all transfers of the flow that were read
	Traced    string `json:"traced" is:"units"`      // the part that is the victim's money
	Readable  string `json:"readable" is:"decimal?"` // of traced
	USD       string `json:"usd" is:"usd?"`          // of traced
	Transfers int    `json:"transfers"`              // how many moved traced money
	First     string `json:"first" is:"time?"`       // of them
	Last      string `json:"last" is:"time?"`        // of them
}

// A Transfer is a transfer that moved traced money on.
type Transfer struct {
	Chain          string `json:"chain" is:"chain"`                     // CAIP-2
	Block          uint64 `json:"block"`                                // height
	BlockHash      string `json:"blockHash,omitempty" is:"hash?"`       // absent when the source does not know it
	Time           string `json:"time" is:"time?"`                      // of the block
	Tx             string `json:"tx" is:"hash"`                         // transaction
	Position       string `json:"position" is:"word? 4096"`             // log index in the block, or trace path
	Kind           string `json:"kind" is:"word 16"`                    // fee, native, internal or token
	Asset          string `json:"asset" is:"asset"`                     // CAIP-19
	Symbol         string `json:"symbol" is:"text 32"`                  // of the asset
	From           string `json:"from" is:"address"`                    // the sender
	To             string `json:"to" is:"address"`                      // the receiver; the zero address for a fee
	Amount         string `json:"amount" is:"units"`                    // base units
	Readable       string `json:"readable" is:"decimal?"`               // of amount
	Traced         string `json:"traced" is:"units"`                    // base units, the victim's part
	TracedReadable string `json:"tracedReadable" is:"decimal?"`         // of traced
	USD            string `json:"usd" is:"usd?"`                        // of traced
	PriceSource    string `json:"priceSource,omitempty" is:"text? 100"` // of usd
	Verified       bool   `json:"verified"`                             // proven against the block's receipts root
	Basis          string `json:"basis,omitempty" is:"word? 16"`        // where indexers were asked: node (read from the node itself), confirmed (an indexer showed it, and the node does too), indexer (no node confirmed it) or denied (the node shows it otherwise)
}

// A Conversion is a swap inside one transaction: what a wallet gave and what
// it, or the receiver it named, got. A swap with several receivers is several
// conversions, and the first has what was given.
type Conversion struct {
	Chain    string   `json:"chain" is:"chain"`      // CAIP-2
	Block    uint64   `json:"block"`                 // height
	Time     string   `json:"time" is:"time?"`       // of the block
	Tx       string   `json:"tx" is:"hash"`          // transaction
	Wallet   string   `json:"wallet" is:"address"`   // gave
	Receiver string   `json:"receiver" is:"address"` // got; the wallet itself, most often
	Out      []Amount `json:"out"`                   // given, traced part
	In       []Amount `json:"in"`                    // got, traced part
}

// A Cluster is a set of wallets that likely act as one.
type Cluster struct {
	ID      string   `json:"id" is:"word 16"`      // c1, c2, …
	Wallets []string `json:"wallets" is:"address"` // sorted
	Links   []Link   `json:"links"`                // that hold it together
}

// A Link says why two wallets are in one cluster.
type Link struct {
	A          string   `json:"a" is:"address"`          // one wallet
	B          string   `json:"b" is:"address"`          // the other
	Rule       string   `json:"rule" is:"text 64"`       // the name of a rule
	Confidence int      `json:"confidence"`              // percent, from the rule's own formula
	Precision  string   `json:"precision" is:"text 100"` // of the rule, measured where the truth is known: "0.98 of 412 links"
	Evidence   []string `json:"evidence" is:"hash"`      // transactions; chain order
	Detail     string   `json:"detail" is:"text 1000"`   // one sentence
}

// A Gap is traced money that was not followed, and why.
type Gap struct {
	Address string   `json:"address" is:"address"` // where it was last seen
	Chain   string   `json:"chain" is:"chain"`     // of the address
	Reason  string   `json:"reason" is:"word 32"`  // budget, stopped, source, internal, hub, dust, unpriced
	Amounts []Amount `json:"amounts"`              // by asset; empty when the amount cannot be known
	USD     string   `json:"usd" is:"usd?"`        // of amounts
	Detail  string   `json:"detail" is:"text 400"` // one sentence
}

// A Token is a contract that is not in the chain table. What it says of itself
// is a claim: anybody can make a token and give it any name.
type Token struct {
	Asset     string `json:"asset" is:"asset"`                // CAIP-19
	Asked     bool   `json:"asked"`                           // the contract was asked; with false the rest is not known
	Name      string `json:"name" is:"text? 64"`              // as it says
	Symbol    string `json:"symbol" is:"text? 64"`            // as it says
	Decimals  *uint8 `json:"decimals"`                        // as it says; null when it does not, or nothing sane
	ReadsAs   string `json:"readsAs,omitempty" is:"text? 32"` // the symbol in the chain table that its name or symbol reads as, though it is another contract
	Real      string `json:"real,omitempty" is:"asset?"`      // that one: CAIP-19
	Traced    bool   `json:"traced"`                          // reported or followed, and so in the sums of base units
	Transfers int    `json:"transfers"`                       // that are not counted
}

// An Uncounted is what one wallet got or sent that is no money, or that has no
// value which can be relied on, for one reason. It is in no sum.
type Uncounted struct {
	Address   string   `json:"address" is:"address"`                                              // a wallet of this report
	Chain     string   `json:"chain" is:"chain"`                                                  // of the wallet
	Reason    string   `json:"reason" is:"one counterfeit zero lookalike dust airdrop token nft"` // counterfeit: a token that passes for another; zero: moves nothing; lookalike: next to nothing, and from or to an address that resembles one the wallet dealt with; dust: next to nothing, to many at once; airdrop: a token given to many at once; token: one of no known value; nft: a collectible
	Transfers int      `json:"transfers"`                                                         // how many
	First     string   `json:"first" is:"time?"`                                                  // of them
	Last      string   `json:"last" is:"time?"`                                                   // of them
	Samples   []Sample `json:"samples"`                                                           // the first few; chain order
}

// A Sample is a transfer that is not counted.
type Sample struct {
	Block     uint64 `json:"block"`                             // height
	Time      string `json:"time" is:"time?"`                   // of the block
	Tx        string `json:"tx" is:"hash"`                      // transaction
	Position  string `json:"position" is:"word? 4096"`          // log index in the block, or trace path
	Asset     string `json:"asset" is:"asset"`                  // CAIP-19
	Symbol    string `json:"symbol" is:"text 32"`               // "token" for an asset that is not in the chain table
	Claim     string `json:"claim,omitempty" is:"text? 64"`     // the symbol that such a token gives itself
	From      string `json:"from" is:"address?"`                // as the log says; a token can say anything. Who paid reported money is left out
	To        string `json:"to" is:"address?"`                  // as the log says; likewise
	Amount    string `json:"amount" is:"units"`                 // base units; of a collectible, its number
	Readable  string `json:"readable" is:"decimal?"`            // with the asset's decimals; empty when they are not known
	LookAlike string `json:"lookAlike,omitempty" is:"address?"` // the address that the wallet dealt with and that the other one here resembles
}

// A Policy is the result under one accounting rule. What was read was chosen
// by the rule of the report, so money that another rule sends elsewhere may be
// held where nobody looked any further.
type Policy struct {
	Name      string   `json:"name" is:"word 32"`   // of the rule
	Exited    []Amount `json:"exited"`              // by asset
	ExitedUSD string   `json:"exitedUsd" is:"usd?"` // of exited
	Held      []Amount `json:"held"`                // still in wallets, or not followed from there; by asset
	HeldUSD   string   `json:"heldUsd" is:"usd?"`   // of held
}

// A Rule is a way in which wallets were linked to each other.
type Rule struct {
	Name      string `json:"name" is:"text 64"`       // as in links
	Method    string `json:"method" is:"text 1000"`   // what it does and how it goes wrong
	Precision string `json:"precision" is:"text 100"` // measured where the truth is known
}
