-- What the benchmarks of windows write and read.

-- make_past_days --
-- Partitions of the last 29 days, beside today's.
do $$
begin
    for day in 1..29 loop
        execute format('create table if not exists ingest.%I partition of ingest.behaviour_events for values from (%L) to (%L)',
                       'behaviour_events_' || to_char(current_date - day, 'YYYYMMDD'), current_date - day, current_date - day + 1);
    end loop;
end
$$

-- insert_past --
-- So many events, in order of time, over the last 29 days.
insert into ingest.behaviour_events (user_id, item_id, event_type, occurred_at, ingested_at)
select 'user-' || n %% 5000, 'item-' || n %% 3000, 'view', at, at
  from generate_series(1, %(n)s) n
 cross join lateral (select current_date - interval '29 days' + n * (interval '29 days' / (%(n)s + 1)) as at) t

-- insert_here --
-- So many events of a stream, now, in one statement.
insert into ingest.behaviour_events (stream, user_id, item_id, event_type)
select %(stream)s, 'user-' || n %% 5000, 'item-' || n %% 3000, 'view' from generate_series(1, %(n)s) n

-- insert_one_here --
-- One event, a batch of its own.
insert into ingest.behaviour_events (user_id, item_id, event_type) values ('user', 'item', 'view')

-- read_window --
-- A window as its materialisation reads it, all columns and no way over the wire.
select count(e.*) from learning.read_window(%(window)s) e

-- read_range --
-- The same rows as a plain range of ids, which knows its partition too.
select count(e.*)
  from ingest.behaviour_events e
 where e.event_id between %(lo)s and %(hi)s and e.ingested_at between %(t0)s and %(t1)s and e.stream = 'default'

-- bounds --
-- What the plain range read must know of a window.
select lower(ids) as lo, upper(ids) - 1 as hi, t0, t1 from learning.windows where window_id = %(window)s

-- cut --
-- Cut what waits.
select learning.cut_window('default', null, true)

-- make_plain_ledger --
-- The least that a cut could do: take rows of the ledger's shape out of a bare table.
create table bare_ledger (like ingest.batches)

-- fill_plain_ledger --
-- The same rows.
insert into bare_ledger select * from ingest.batches

-- empty_plain_ledger --
-- Take them out.
with taken as (delete from bare_ledger returning n) select sum(n) from taken
