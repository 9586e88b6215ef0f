-- The daily partitions of the events: what they span, what they weigh, and whether they are sealed.
create function ingest.partitions()
    returns table (
        partition text, starts_at timestamptz, ends_at timestamptz, events bigint, bytes bigint, sealed boolean)
    language sql
    stable
    set search_path = pg_catalog, pg_temp
as $$
    select c.relname, b.bounds[1]::timestamptz, b.bounds[2]::timestamptz,
           -- An estimate: counting would read all of them.
           greatest(c.reltuples::bigint, pg_stat_get_live_tuples(c.oid), 0), pg_total_relation_size(c.oid),
           to_regclass(format('ingest.%I', c.relname || '_user_id_occurred_at_idx')) is not null
      from pg_inherits i
      join pg_class c on c.oid = i.inhrelid
     cross join lateral regexp_match(
           pg_get_expr(c.relpartbound, c.oid), $re$FROM \('([^']+)'\) TO \('([^']+)'\)$re$) as b(bounds)
     where i.inhparent = 'ingest.behaviour_events'::regclass and b.bounds is not null
     order by 2
$$;

comment on function ingest.partitions() is
    'The daily partitions of behaviour_events, oldest first; the number of events is an estimate.';
