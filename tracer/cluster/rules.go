package cluster

// A Rule is a reason to link two wallets.
type Rule string

// The rules. Their names are part of the report format.
const (
	// RuleDeposit links wallets that pay into the same deposit address and
	// have a second thing in common: another such address, the gas funder, or
	// money that one passed to the other and that was paid in there.
	RuleDeposit Rule = "shared deposit address"

	// RuleFunder links wallets whose first gas came from the same private
	// wallet and that have a second thing in common, and the funder itself to
	// these wallets, if they are most of the ones it ever sent native coin to.
	RuleFunder Rule = "gas funder"
)

// Rules returns all rules in the order in which reports tell them.
func Rules() []Rule { return []Rule{RuleDeposit, RuleFunder} }

// Method says in a few sentences what a rule does and how it goes wrong.
func (r Rule) Method() string {
	switch r {
	case RuleDeposit:
		return "Two wallets likely act as one when both pay into the same account at a service and also share a second such account or the sender of their first gas, or when most of one's money came from the other and was paid in there. " +
			"It goes wrong when somebody passes money into another person's account, and it sees nothing where every wallet has an account of its own."
	case RuleFunder:
		return "Two wallets likely act as one when their first gas came from the same private wallet and also most of one's money came from the other, both collect most of their money in the same private wallet, or both pay into the same account at a service. " +
			"It goes wrong with people who share a source of gas and pay each other large parts of what they have, and it sees nothing where gas comes straight from an exchange."
	}
	return ""
}
