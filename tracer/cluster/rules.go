package cluster

// A Rule is a reason to link two wallets.
type Rule string

// The rules. Their names are part of the report format.
const (
	// RuleDeposit links wallets that pay into the same deposit address and
	// have a second thing in common: another such address, the gas funder, or
	// money that one passed to the other and that was paid in there. The
	// confidence is that of the surest common address.
	RuleDeposit Rule = "shared deposit address"

	// RuleFunder links wallets whose first gas came from the same wallet and
	// that have a second thing in common; see the table of signals. It also
	// links the funder itself to those wallets, if they are most of the ones
	// it ever sent native coin to.
	RuleFunder Rule = "gas funder"
)

// Rules returns all rules in the order in which reports tell them.
func Rules() []Rule { return []Rule{RuleDeposit, RuleFunder} }

// Method says in a few sentences what a rule does and how it goes wrong.
func (r Rule) Method() string {
	switch r {
	case RuleDeposit:
		return "Two wallets likely act as one when both pay into the same account at a service and also share a second such account or the sender of their first gas, or one passed on to the other what was paid in. " +
			"It goes wrong when somebody is paid for a trade on another person's account, and it sees nothing where every wallet has an account of its own."
	case RuleFunder:
		return "Two wallets likely act as one when their first gas came from the same private wallet and they also paid each other, collect their money in the same wallet or share an account at a service. " +
			"It goes wrong when the funder is a gas service that few people use, and it sees nothing where gas comes straight from an exchange."
	}
	return ""
}
