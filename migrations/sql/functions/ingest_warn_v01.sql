-- Notes that some events of a statement broke a rule and stayed, or were repeats and went: one row, one example.
create function ingest.warn(rule text, ids bigint[], t0 timestamptz, t1 timestamptz)
    returns void
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    insert into ingest.warnings (rule, n, example)
    select warn.rule, cardinality(ids), to_jsonb(e)
      from ingest.behaviour_events e
     where e.event_id = ids[1] and e.ingested_at between t0 and t1
$$;

comment on function ingest.warn(text, bigint[], timestamptz, timestamptz) is
    'Writes one warning for events of the running statement.';
