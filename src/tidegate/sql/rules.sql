-- Rules and quarantine: what events must be, and those that were not.

-- list_rules --
-- The rules in the order in which they were made, each with what it holds in quarantine and has warned of.
select r.name, r.kind, r.severity, r.stream, r.event_type, r.field, r.type, r.lowest, r.highest, r.allowed, r.seconds,
       r.most, r.expression, r.enabled, r.created_at, ingest.rule_needs(r) as needs,
       (select count(*) from ingest.quarantined_events q where q.reason = r.name and q.redriven_at is null) as quarantined,
       (select coalesce(sum(w.n), 0) from ingest.warnings w where w.rule = r.name) as warned
  from ingest.rules r
 order by r.rule_id

-- remove_rule --
-- Take a rule away; the functions are compiled without it in the same transaction.
delete from ingest.rules where name = %(name)s

-- test_rule --
-- How many of the newest events would have broken a rule.
select looked, broken, examples from ingest.test_rule(%(name)s, %(last)s)

-- list_quarantine --
-- Quarantined events, newest first; those that have passed since only where they are asked for.
select quarantine_id, quarantined_at, reason, event, redriven_at, event_id
  from ingest.quarantined_events
 where (redriven_at is null or %(redriven)s)
   and (%(reason)s::text is null or reason ilike '%%' || %(reason)s || '%%')
 order by quarantine_id desc
 limit %(limit)s

-- count_quarantine --
-- Quarantined events by reason.
select reason, count(*) as events, max(quarantined_at) as last_at
  from ingest.quarantined_events where redriven_at is null group by reason order by events desc, reason

-- show_quarantined --
-- One quarantined event, and how it goes in.
select quarantine_id, quarantined_at, reason, event, redriven_at, event_id,
       format('select * from ingest.redrive(array[%%s])', quarantine_id) as redrive
  from ingest.quarantined_events where quarantine_id = %(id)s

-- explain_quarantined --
-- Every rule that a quarantined event breaks now.
select rule, severity, field, given, needed from ingest.explain(%(id)s)

-- find_quarantined --
-- What is to be redriven: by id, by reason or all.
select quarantine_id
  from ingest.quarantined_events
 where redriven_at is null
   and (%(ids)s::bigint[] is null or quarantine_id = any (%(ids)s))
   and (%(reason)s::text is null or reason ilike '%%' || %(reason)s || '%%')
 order by quarantine_id

-- redrive --
-- Send quarantined events through the rules again; how many passed, were repeats or are still refused, and why.
select outcome, case when outcome = 'refused' then reason end as reason, count(*) as events
  from ingest.redrive(%(ids)s) group by 1, 2 order by 1, 3 desc
