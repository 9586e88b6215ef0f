-- Makes the daily partitions from today to some days ahead. The default partition catches what none of them takes.
-- CREATE … PARTITION OF would lock the whole table against its writers, and wait for the longest of them meanwhile;
-- ATTACH lets them write. What it has to wait for all the same, it leaves to the next time.
create or replace function ingest.make_partitions(days_ahead integer)
    returns integer
    language plpgsql
    set search_path = pg_catalog, pg_temp
    set timezone = 'UTC'
    set lock_timeout = '100ms'
as $$
declare
    day date;
    name text;
    made integer := 0;
begin
    for day in select generate_series(current_date, current_date + days_ahead, interval '1 day')::date
    loop
        name := 'behaviour_events_' || to_char(day, 'YYYYMMDD');
        continue when to_regclass('ingest.' || name) is not null;
        -- Rows of that day in the default partition would refuse a new one: they stay where they are.
        continue when exists (
            select from ingest.behaviour_events_default where ingested_at >= day and ingested_at < day + 1);
        begin
            execute format('create table ingest.%I (like ingest.behaviour_events'
                           ' including defaults including constraints including storage)', name);
            execute format('alter table ingest.behaviour_events attach partition ingest.%I'
                           ' for values from (%L) to (%L)', name, day::timestamptz, (day + 1)::timestamptz);
            made := made + 1;
        exception when lock_not_available or check_violation then
            null;
        end;
    end loop;
    return made;
end
$$;

comment on function ingest.make_partitions(integer) is
    'Makes the daily partitions of behaviour_events up to so many days ahead; returns how many it made.';
