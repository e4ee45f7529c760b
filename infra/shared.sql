-- Wallets that received traced money in more than one case of a workspace, by
-- the latest report of each case. Put the name of your workspace below.
WITH transfers_of_cases AS (
  SELECT
    regexp_extract("$path", 'transfers/([0-9a-v]{36})/([0-9]+)\.parquet$', 1) AS case_id,
    CAST(regexp_extract("$path", 'transfers/([0-9a-v]{36})/([0-9]+)\.parquet$', 2) AS bigint) AS report,
    chain, to_address, traced_usd, "time"
  FROM transfers
  WHERE workspace = 'your-workspace'
),
latest AS (
  SELECT case_id, max(report) AS report FROM transfers_of_cases GROUP BY case_id
)
SELECT
  t.chain,
  '0x' || lower(to_hex(t.to_address)) AS wallet,
  count(DISTINCT t.case_id) AS cases,
  sum(t.traced_usd) AS usd,
  min(t."time") AS first,
  max(t."time") AS last
FROM transfers_of_cases t
JOIN latest l ON l.case_id = t.case_id AND l.report = t.report
GROUP BY t.chain, t.to_address
HAVING count(DISTINCT t.case_id) > 1
ORDER BY usd DESC
LIMIT 1000
