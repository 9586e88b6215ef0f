-- What still needs events, as spans of ingestion time: batches that no window owns, batches that no live feature has
-- counted, and windows that have not been trained, or are parked and may be retried.
create function ingest.needed()
    returns table (what text, t0 timestamptz, t1 timestamptz)
    language sql
    stable
    set search_path = pg_catalog, pg_temp
as $$
    select 'ledger of ' || stream, min(t0), max(t1) from ingest.batches group by stream
    union all
    select 'unfolded batches of ' || stream, min(t0), max(t1) from features.unfolded_batches group by stream
    union all
    select format('window %s (%s)', window_id, state), t0, t1 from learning.windows where state in ('cut', 'ready')
    union all
    select format('window %s (parked)', window_id), t0, t1 from learning.windows where state = 'parked'
$$;

comment on function ingest.needed() is 'The spans of ingestion time whose events something still needs.';
