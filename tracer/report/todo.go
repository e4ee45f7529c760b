package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"scamtrace/tracer"
)

// A step is something to do today.
type step struct {
	Title string
	Text  []string
	Asks  []ask
}

// An ask is what to ask of whom.
type ask struct {
	Who   string
	What  string
	Where []holding // addresses to name
	More  int       // addresses that are not shown
	Link  string    // the id of a part of the page
}

// A holding is an amount in a wallet.
type holding struct {
	Address, Amount string
	usd             tracer.Micros
}

// issuer is who can freeze a token where it lies, if anybody can. Tether and
// Circle have a list of frozen addresses in the contracts that they issue
// themselves (addBlackList, blacklist); in the copies that bridges make, and in
// DAI and coins, nobody has.
func issuer(asset, symbol string) string {
	a, err := tracer.ParseAsset(asset)
	if err != nil || a.Kind != tracer.ERC20 {
		return ""
	}
	tether, circle := []uint64{1, 43114}, []uint64{1, 10, 137, 8453, 42161, 43114}
	_, real := tracer.ChainByID(a.Chain)
	switch {
	case symbol == "USDT" && (!real || slices.Contains(tether, a.Chain)):
		return "Tether"
	case symbol == "USDC" && (!real || slices.Contains(circle, a.Chain)):
		return "Circle"
	}
	return ""
}

// nearHops is how far from a reported wallet coins are asked to be frozen on a
// chain where no service is known: exchanges are seldom nearer.
const nearHops = 2

// todo is what to do today, in order: what can still be stopped comes first.
func todo(r *Report) []step {
	const shown = 8
	steps := []step{{
		Title: "Pay nothing more, and keep everything",
		Text: []string{
			"No tax, deposit or release fee will bring the money back. Keep chats, names, phone numbers, websites and bank slips.",
			"If a wallet of yours was ever connected to their site, withdraw its approvals, and move what it holds to a new one. Never show anybody a recovery phrase.",
		},
	}, {
		Title: "Report to the police today, and ask for a report number",
		Text: []string{
			"Give them the whole report, not this page alone: this folder, or the bundle.zip that stands beside this page where you got it from. In the USA also report at ic3.gov. Issuers and exchanges act on a request of the police; the number lets everybody speak of the same case.",
		},
	}}
	if r.arrived() == 0 {
		return append([]step{{
			Title: "Check what was reported: nothing was found there",
			Text: []string{
				"Compare the address with the payment, letter by letter: copied by hand, or from a look-alike in a wallet’s history, it is another one. Then the network: the same address exists on several, and the money is on the one it was paid on. Then the dates, if any were given (--since, --until): what came before or after them is not counted.",
				"The transaction hash of the payment, which the wallet or the exchange that paid shows, says all three. Trace that.",
			},
		}}, steps...)
	}
	freeze := make(map[string]*ask)
	var watched, paidIn, values, unsure []holding
	for i := range r.Wallets {
		w := &r.Wallets[i]
		for n := range w.Held {
			a := &w.Held[n]
			at := holding{Address: spelled(w.Address), Amount: r.people(a)}
			at.usd, _ = parseUSD(a.USD)
			who := issuer(a.Asset, a.Symbol)
			switch {
			case w.Role == "deposit":
				paidIn = append(paidIn, at)
			case strings.Contains(a.Asset, "/iso4217:"):
				values = append(values, at)
			case who != "" && r.blind() && w.Hop > nearHops:
				unsure = append(unsure, at)
			case who != "":
				if freeze[who] == nil {
					freeze[who] = &ask{Who: who, What: "freeze the " + a.Symbol + " in these wallets"}
				}
				freeze[who].Where = append(freeze[who].Where, at)
			default:
				watched = append(watched, at)
			}
		}
	}
	block := ""
	if len(r.Chains) > 0 {
		block = fmt.Sprintf(" All amounts are those of block %d of %s.", r.Chains[0].Pinned.Number, when(r.Chains[0].Pinned.Time))
	}
	cut := func(a ask) ask {
		slices.SortStableFunc(a.Where, func(x, y holding) int { return cmp.Compare(y.usd, x.usd) })
		if n := len(a.Where); n > shown {
			a.Where, a.More = a.Where[:shown], n-shown
		}
		return a
	}
	if len(freeze) > 0 {
		s := step{
			Title: "First: ask the issuer of the coins that are still there to freeze them",
			Text: []string{
				"They can be gone within minutes, so this comes before everything else that the police send. The request names the wallet, the token, the amount, the report number and the transactions (transfers.csv of the report)." + block,
			},
		}
		for _, who := range []string{"Tether", "Circle"} {
			if a := freeze[who]; a != nil {
				s.Asks = append(s.Asks, cut(*a))
			}
		}
		steps = append(steps, s)
	}
	if len(values) > 0 {
		steps = append(steps, step{
			Title: "First: find out which coins are still there, and have them frozen",
			Text:  []string{"The list that was read gives dollars, not coins. A block explorer shows what each wallet holds: Tether can freeze USDT, and Circle USDC, on a request of the police."},
			Asks:  []ask{cut(ask{Who: "Wallets to look up", Where: values})},
		})
	}
	if len(unsure) > 0 {
		steps = append(steps, step{
			Title: "Find out whose the other wallets are before anybody is asked to freeze them",
			Text:  []string{"No service is known on " + r.Chains[0].Title + ", so these may be an exchange’s own wallets, with the coins of all its customers. A block explorer names many of them. Ask for what is left, and ask the exchanges that you find for their records."},
			Asks:  []ask{cut(ask{Who: "Wallets to look up", Where: unsure})},
		})
	}
	var custodians, bridges, others []ask
	for i, x := range r.services() {
		a := ask{Who: x.name, Link: fmt.Sprintf("exit-%d", i+1)}
		a.What = dollar(x.usd.String()) + " at " + count(len(x.exits), "address", "addresses")
		switch x.category {
		case "exchange", "payment", "gambling", "lending", "other":
			custodians = append(custodians, a)
		case "bridge":
			bridges = append(bridges, a)
		default:
			others = append(others, a)
		}
	}
	if len(custodians) > 0 {
		title := "Ask each service to hold the money and keep its records"
		if len(freeze)+len(values) > 0 {
			title = "Then: a" + title[1:]
		}
		s := step{
			Title: title,
			Text: []string{
				"They know whose accounts these are. Each request names only that service's own addresses, with the transactions and amounts under Exits below. Copy them as text; pictures are refused.",
				"Ask to freeze the accounts, to keep everything about them, and for how long: some services end a freeze after 30 days.",
			},
			Asks: custodians,
		}
		if len(paidIn) > 0 {
			s.Asks = append(s.Asks, cut(ask{Who: "Not yet collected by the service", What: "still at deposit addresses, so it is the service that can hold it", Where: paidIn}))
		}
		steps = append(steps, s)
	}
	if len(bridges) > 0 {
		steps = append(steps, step{
			Title: "Ask an analyst to follow the money over the bridge",
			Text:  []string{"A bridge moves coins to another network. This report ends there; the transaction says where they went."},
			Asks:  bridges,
		})
	}
	if len(others) > 0 {
		steps = append(steps, step{
			Title: "Know what nobody can hold",
			Text:  []string{"A mixer or an exchange without accounts has nobody to ask. Tell the police about it all the same."},
			Asks:  others,
		})
	}
	if len(watched) > 0 {
		steps = append(steps, step{
			Title: "Have the rest watched",
			Text:  []string{"Nobody can freeze these coins where they are. When they move to a service, that service can be asked."},
			Asks:  []ask{cut(ask{Who: "Wallets to watch", Where: watched})},
		})
	}
	if len(freeze)+len(values)+len(custodians) > 0 {
		steps[1].Text = append(steps[1].Text, "Ask the officer to send the requests below in this order, or to let you send them with the number.")
	}
	again := "Money moves on for weeks. Trace again in a week, and then every week: what has moved by then can be asked for."
	if len(r.Gaps) > 0 {
		again += " Show the gaps below to the police or an analyst: there the trail can be taken up."
	}
	return append(steps, step{Title: "Look again in a week", Text: []string{again}})
}

// people writes an amount for reading: the digits of the whole in threes, and
// at most six decimals.
func people(a *Amount) string {
	if a.Readable == "" {
		return amount(a)
	}
	return grouped(a.Readable, 6) + " " + a.Symbol
}

// grouped puts commas into a decimal number, and cuts it after some decimals.
func grouped(decimal string, decimals int) string {
	whole, frac, _ := strings.Cut(decimal, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if len(frac) > decimals {
		frac = frac[:decimals] + "…"
	}
	if frac == "" {
		return whole
	}
	return whole + "." + frac
}
