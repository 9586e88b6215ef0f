-- The partitions that lie wholly before the retention horizon, and what keeps each of them.
create function ingest.retention_plan()
    returns table (
        partition text, starts_at timestamptz, ends_at timestamptz, events bigint, bytes bigint, needed_by text)
    language sql
    stable
    set search_path = pg_catalog, pg_temp
as $$
    select p.partition, p.starts_at, p.ends_at, p.events, p.bytes,
           (select string_agg(n.what, ', ' order by n.t0, n.what)
              from ingest.needed() n
             where n.t0 < p.ends_at and n.t1 >= p.starts_at)
      from ingest.partitions() p
      join ingest.lifetime l on p.ends_at <= now() - l.keep_events
     order by p.starts_at
$$;

comment on function ingest.retention_plan() is
    'The partitions past keep_events, oldest first; needed_by says why one stays all the same, null where it may go.';
