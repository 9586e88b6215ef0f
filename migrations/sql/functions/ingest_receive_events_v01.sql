-- What happens to behaviour events in their writer's own transaction: bad rows go to quarantine, good ones get
-- one ledger row a stream, and now and then a stream over its threshold gets a cut task.
create function ingest.receive_events()
    returns trigger
    language plpgsql
    -- An application holds INSERT on the events and nothing else.
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    n integer;
    flawed integer;
    lo bigint;
    hi bigint;
    first_stream text;
    last_stream text;
    t0 timestamptz;
    t1 timestamptz;
    bad bigint[];
    due text;
begin
    select count(*), min(event_id), max(event_id), min(stream), max(stream), min(ingested_at), max(ingested_at),
           count(ingest.flaw(stream, user_id, item_id, event_type, value, occurred_at, context))
      into n, lo, hi, first_stream, last_stream, t0, t1, flawed
      from arrived;
    if n = 0 then
        return null;
    end if;

    if flawed = 0 and first_stream = last_stream and hi - lo + 1 = n
        and (first_stream = 'default' or exists (select from learning.streams s where s.stream = first_stream))
    then
        -- Nearly every statement: one stream, one run of ids, nothing wrong.
        insert into ingest.batches values (first_stream, n, lo, hi, null, t0, t1);
        insert into features.unfolded_batches values (first_stream, n, lo, hi, null, t0, t1);
    else
        with judged as materialized (
            select a.event_id, to_jsonb(a) as event, coalesce(
                       ingest.flaw(a.stream, a.user_id, a.item_id, a.event_type, a.value, a.occurred_at, a.context),
                       case when s.stream is null then 'stream is not in learning.streams' end) as reason
              from arrived a
              left join learning.streams s using (stream)
        ), quarantined as (
            insert into ingest.quarantined_events (event, reason)
            select event, reason from judged where reason is not null order by event_id
        )
        select coalesce(array_agg(event_id), '{}') into bad from judged where reason is not null;

        delete from ingest.behaviour_events e
         where e.event_id = any (bad) and e.ingested_at between t0 and t1;

        with good as (
            select a.stream, count(*) as n, min(a.event_id) as lo, max(a.event_id) as hi,
                   range_agg(int8range(a.event_id, a.event_id, '[]')) as ids,
                   min(a.ingested_at) as t0, max(a.ingested_at) as t1
              from arrived a
             where a.event_id <> all (bad)
             group by a.stream
        ), entered as (
            insert into ingest.batches select * from good
        )
        insert into features.unfolded_batches select * from good;
    end if;

    -- Summing the ledger on each statement costs 26 times the insert. Two writers that each see "not yet" can both be
    -- right and the sum wrong: the keeper's sweep closes that gap.
    if hi >> 9 <> (lo - 1) >> 9 then
        for due in
            select s.stream
              from learning.streams s
             where s.stream between first_stream and last_stream
               and s.threshold <= (select sum(b.n) from ingest.batches b where b.stream = s.stream)
        loop
            perform learning.send_task('features', 'tidegate.cut_window',
                jsonb_build_object('stream', due, 'crossed_at', clock_timestamp()));
        end loop;
    end if;
    return null;
end
$$;

comment on function ingest.receive_events() is
    'Quarantines bad rows, writes the ledger and nudges the cutter, in the writer''s own transaction.';
