-- Wallets that received traced money in more than one case. Set the workspace.
SELECT 1
