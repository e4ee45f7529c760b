// Package filesource reads transfers from exported lists: a [Source] over CSV
// files, for those who hold the data but have no node.
//
// [Open] tells formats apart by their header line. Columns may stand in any
// order; upper and lower case, a byte order mark and the kind of line ends make
// no difference. A column that is not known, one that is missing, and a row
// that cannot be understood are errors that name file, line and column.
//
//	format                          told by the columns                            holds
//	our own columns                 chain_id … status, below                       everything
//	ethereum-etl token_transfers    token_address, transaction_hash, log_index     token transfers
//	ethereum-etl transactions       hash, nonce, receipt_status                    values and fees
//	ethereum-etl traces             trace_type, trace_address, status              values, internal transfers
//	ethereum-etl blocks             number, timestamp                              the times of the others' blocks
//	Etherscan: transactions         Txhash, Value_IN(ETH), TxnFee(ETH)             values and fees of one wallet
//	Etherscan: internal             ParentTxFrom, TxTo, Value_IN(ETH)              internal transfers of one wallet
//	Etherscan: ERC-20               Txhash, TokenValue, ContractAddress            token transfers of one wallet
//	Etherscan: page of transactions Transaction Hash, Amount, Txn Fee              the same, maybe rounded
//	dollar flows                    Timestamp, Block, Tx_hash, From, To, Value_in_USD   net flow per transaction, in cents
//
// The explorers built like Etherscan write the same columns with another coin.
// Etherscan's older headers (Txhash, DateTime) and its newer ones (Transaction
// Hash, DateTime (UTC)) are both read.
//
// Our own columns, which [WriteCSV] writes. Only the last four need not be
// there; a cell may be empty where the table says so.
//
//	chain_id        EIP-155 chain id, the same in every row
//	block_number    decimal
//	block_time      RFC 3339 or Unix seconds; empty: not known
//	tx_hash         0x and 64 hex digits
//	tx_index        place of the transaction in its block; empty: not known
//	log_index       log index in the block, or the trace path of an internal transfer (0.2.1);
//	                empty: not known. Not used for native and fee, of which a transaction has one each
//	kind            native, internal, token, nft or fee
//	token_address   empty for native, internal and fee; 0xff…fe for native coin that is logged (EIP-7708)
//	from_address    0x and 40 hex digits
//	to_address      the same; empty for fee
//	value           base units in decimal digits; the token id for nft
//	status          1 done, 0 failed
//	token_symbol    not used, but that a token without address and with symbol USD is a dollar value, in cents
//	token_decimals  checked against the chain's table
//	from_label      what the file calls the sender
//	to_label        what the file calls the receiver
//
// What it promises: every transfer counts once, however many rows and files
// show it. Failed transactions move nothing but their fee. Amounts are converted
// exactly or refused. What was assumed or left out stands in [Source.Notes], and
// what the files do not hold of a wallet is unread, never silently empty. No
// cell, however long or strange, breaks more than the reading of its file.
//
// What the files cannot tell:
//
//   - A list in our own columns, of ethereum-etl or of dollar flows is taken to
//     be complete for all wallets. An explorer's export is complete for its
//     wallet, unless it is one page or has the 5,000 rows that explorers export
//     at most; whose it is must show in its rows or in the file's name.
//   - Without log indexes, two equal transfers of one transaction look like one
//     that is listed twice, and count once.
//   - Tokens whose decimals nobody knows cannot be read from an explorer's
//     export; nobody can be paid in them either.
//   - Where a list has no transaction indexes, the order in a block is one in
//     which money arrives before it leaves.
//   - Native coin that is logged (EIP-7708) is not counted a second time from
//     values and traces.
package filesource
