-- Forgets what nobody asks any more: keys and warnings past the horizon, and events that no rate or duplicate rule can
-- still need. Safe to run at any time, any number of times.
create function ingest.forget(horizon interval)
    returns table (what text, n bigint)
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    delete from ingest.client_keys k where k.seen_at < now() - horizon;
    get diagnostics n = row_count;
    what := 'client keys';
    return next;

    delete from ingest.batch_keys b where b.begun_at < now() - horizon;
    get diagnostics n = row_count;
    what := 'batch keys';
    return next;

    delete from ingest.warnings w where w.warned_at < now() - horizon;
    get diagnostics n = row_count;
    what := 'warnings';
    return next;

    delete from ingest.recent_events r where r.received_at < now() - coalesce(ingest.memory_horizon(), interval '0');
    get diagnostics n = row_count;
    what := 'recent events';
    return next;
end
$$;

comment on function ingest.forget(interval) is
    'Deletes keys and warnings older than the horizon, and events that no rule remembers; returns how many of each.';
