-- What happens to behaviour events in their writer's own transaction: bad rows go to quarantine, repeats go, good ones
-- get one ledger row a stream, and now and then a stream over its threshold gets a cut task.
-- Nearly every statement takes the short way: one scan of what arrived, one row in each ledger. A single insert pays for
-- whatever is evaluated on that way, and an expression of PL/pgSQL is set up anew in each transaction, for about 1 us.
-- So the scan itself says whether the short way is open, no variable has a default, and what it asks is about rows of now
-- in the stream `default`; any other answer costs a second scan.
create or replace function ingest.receive_events()
    returns trigger
    language plpgsql
    -- An application holds INSERT on the events and nothing else.
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    short boolean;
    looking text;
    n integer;
    odd integer;
    lo bigint;
    hi bigint;
    first_stream text;
    last_stream text;
    t0 timestamptz;
    t1 timestamptz;
    plain boolean;
    bad bigint[];
    reasons text[];
    unsound bigint[];
    repeated bigint[];
    found_by record;
    due text;
begin
    select f.n, f.lo, f.hi, f.odd,
           -- The threshold is looked at when ids cross a multiple of 512: that is the long way.
           f.odd = 0 and f.hi - f.lo + 1 = f.n and f.hi >> 9 = (f.lo - 1) >> 9 and ingest.looking_rules() is null
      into n, lo, hi, odd, short
      from (select count(*) as n, min(a.event_id) as lo, max(a.event_id) as hi,
                   count(*) filter (where (
                       a.stream = 'default' and a.ingested_at = now()
                       and ingest.plain(a.user_id, a.item_id, a.event_type, a.value, a.occurred_at, a.context,
                                        a.client_key)
                       and ingest.broken_rule(a.stream, a.user_id, a.item_id, a.event_type, a.value, a.occurred_at,
                                              a.context, a.client_key) is null
                       and ingest.warned_rules(a.stream, a.user_id, a.item_id, a.event_type, a.value, a.occurred_at,
                                               a.context, a.client_key) is null) is not true) as odd
              from arrived a) f;
    if short then
        insert into ingest.batches values ('default', n, lo, hi, null, now(), now());
        insert into features.unfolded_batches values ('default', n, lo, hi, null, now(), now());
        return null;
    end if;
    if n = 0 then
        return null;
    end if;

    looking := ingest.looking_rules();
    first_stream := 'default';
    last_stream := 'default';
    t0 := now();
    t1 := now();
    if odd > 0 then
        -- Perhaps only another stream, or another time of ingestion.
        select min(a.stream collate "C"), max(a.stream collate "C"), min(a.ingested_at), max(a.ingested_at),
               count(*) filter (where (
                   a.stream is not null
                   and ingest.plain(a.user_id, a.item_id, a.event_type, a.value, a.occurred_at, a.context, a.client_key)
                   and ingest.broken_rule(a.stream, a.user_id, a.item_id, a.event_type, a.value, a.occurred_at,
                                          a.context, a.client_key) is null
                   and ingest.warned_rules(a.stream, a.user_id, a.item_id, a.event_type, a.value, a.occurred_at,
                                           a.context, a.client_key) is null) is not true)
          into first_stream, last_stream, t0, t1, odd
          from arrived a;
    end if;
    plain := odd = 0 and looking is null and hi - lo + 1 = n and first_stream = last_stream;
    -- Apart, because an expression with a query in it costs a single insert 15 us.
    if plain and first_stream <> 'default' then
        plain := exists (select from learning.streams s where s.stream = first_stream);
    end if;

    if plain then
        insert into ingest.batches values (first_stream, n, lo, hi, null, t0, t1);
        insert into features.unfolded_batches values (first_stream, n, lo, hi, null, t0, t1);
    else
        -- What each row says by itself.
        select coalesce(array_agg(j.event_id order by j.event_id), '{}'), array_agg(j.reason order by j.event_id)
          into bad, reasons
          from (select a.event_id, coalesce(
                           ingest.flaw(a.stream, a.user_id, a.item_id, a.event_type, a.value, a.occurred_at, a.context,
                                       a.client_key),
                           case when s.stream is null then 'stream is not in learning.streams' end,
                           ingest.broken_rule(a.stream, a.user_id, a.item_id, a.event_type, a.value, a.occurred_at,
                                              a.context, a.client_key)) as reason
                  from arrived a
                  left join learning.streams s using (stream)) j
         where j.reason is not null;
        unsound := bad;

        -- Keys that a stream has seen. Sorted, so that two statements never wait for each other in a circle.
        with claimed as (
            insert into ingest.client_keys (stream, client_key, event_id)
            select a.stream, a.client_key, min(a.event_id)
              from arrived a
             where a.client_key <> '' and not exists (select from unnest(bad) as b (id) where b.id = a.event_id)
             group by a.stream, a.client_key
             order by a.stream collate "C", a.client_key collate "C"
                on conflict do nothing
            returning event_id
        )
        select array_agg(a.event_id order by a.event_id) into repeated
          from arrived a
         where a.client_key <> ''
           and not exists (select from claimed c where c.event_id = a.event_id)
           and not exists (select from unnest(bad) as b (id) where b.id = a.event_id);
        if repeated is not null then
            perform ingest.warn('client_key was seen before', repeated, t0, t1);
            delete from ingest.behaviour_events e
             using unnest(repeated) as r (id)
             where e.event_id = r.id and e.ingested_at between t0 and t1;
        end if;

        -- What the catalogue and earlier events say. Refusals come before warnings.
        if looking is not null then
            for found_by in
                execute format('select * from (%s) as f (rule, severity, kind, ids) where ids is not null', looking)
                  using bad || coalesce(repeated, '{}')
            loop
                if found_by.severity = 'warn' then
                    perform ingest.warn(found_by.rule, array_agg(f.id order by f.id), t0, t1)
                       from unnest(found_by.ids) as f (id)
                      where not exists (select from unnest(bad) as b (id) where b.id = f.id)
                     having count(*) > 0;
                    continue;
                end if;
                bad := bad || found_by.ids;
                reasons := reasons || array_fill(found_by.rule, array[cardinality(found_by.ids)]);
                if found_by.kind = 'reference' then
                    unsound := unsound || found_by.ids;
                end if;
            end loop;
            -- A bot that is refused goes on being counted; what was never sound does not.
            if ingest.memory_horizon() is not null then
                insert into ingest.recent_events (stream, user_id, item_id, event_type, occurred_at)
                select a.stream, a.user_id, a.item_id, a.event_type, a.occurred_at
                  from arrived a
                 where not exists (
                       select from unnest(unsound || repeated) as u (id) where u.id = a.event_id);
            end if;
        end if;

        perform ingest.warn(w.rule, array_agg(a.event_id order by a.event_id), t0, t1)
           from arrived a
          cross join lateral unnest(
                ingest.warned_rules(a.stream, a.user_id, a.item_id, a.event_type, a.value, a.occurred_at, a.context,
                                    a.client_key)) as w (rule)
          where not exists (select from unnest(bad || repeated) as b (id) where b.id = a.event_id)
          group by w.rule;
        if bad <> '{}' then
            perform ingest.refuse(bad, reasons, t0, t1);
        end if;

        -- The ledger of the rest: ids only where they are not one run.
        with kept as (
            select a.stream, a.event_id, a.ingested_at,
                   a.event_id - row_number() over (partition by a.stream order by a.event_id) as island
              from arrived a
             where not exists (select from unnest(bad || repeated) as b (id) where b.id = a.event_id)
        ), runs as (
            select k.stream, count(*) as n, min(k.event_id) as lo, max(k.event_id) as hi,
                   min(k.ingested_at) as t0, max(k.ingested_at) as t1
              from kept k
             group by k.stream, k.island
        ), good as (
            select r.stream, sum(r.n) as n, min(r.lo) as lo, max(r.hi) as hi,
                   case when count(*) > 1 then range_agg(int8range(r.lo, r.hi, '[]')) end as ids,
                   min(r.t0) as t0, max(r.t1) as t1
              from runs r
             group by r.stream
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
             where s.stream collate "C" between first_stream and last_stream and learning.due_by_rows(s.stream)
        loop
            perform learning.send_task('features', 'tidegate.cut_window',
                jsonb_build_object('stream', due, 'crossed_at', clock_timestamp()));
        end loop;
    end if;
    return null;
end
$$;

comment on function ingest.receive_events() is
    'Quarantines bad rows, drops repeats, writes the ledger and nudges the cutter, in the writer''s own transaction.';
