package ledger

// poison makes all money traced that is in an account with traced money. What
// it taints counts as reported ([Receipt.Tainted]), so its sums are above what
// was taken from anybody: it is an upper bound, and no court's rule.
var poison = Policy{name: "poison", past: true, taints: true, pay: PIFO.pay}
