-- What the benchmarks write and compare with.

-- make_bare_table --
-- The same columns, key and partitioning as behaviour_events, and no trigger.
create schema bare;
create table bare.behaviour_events
    (like ingest.behaviour_events including defaults including identity including indexes)
    partition by range (ingested_at);
create table bare.today partition of bare.behaviour_events
    for values from ('2000-01-01') to ('2100-01-01');

-- make_triggered_tables --
-- The bare table with a trigger that does nothing, and with one that counts what arrived; and rows to insert.
create schema captured;
create table captured.behaviour_events
    (like ingest.behaviour_events including defaults including identity including indexes)
    partition by range (ingested_at);
create table captured.today partition of captured.behaviour_events
    for values from ('2000-01-01') to ('2100-01-01');
create function captured.nothing() returns trigger language plpgsql as $$ begin return null; end $$;
create trigger nothing after insert on captured.behaviour_events referencing new table as arrived
    for each statement execute function captured.nothing();
create schema counted;
create table counted.behaviour_events
    (like ingest.behaviour_events including defaults including identity including indexes)
    partition by range (ingested_at);
create table counted.today partition of counted.behaviour_events
    for values from ('2000-01-01') to ('2100-01-01');
create function counted.count() returns trigger language plpgsql as $$
declare
    found record;
begin
    select count(*), min(event_id), max(event_id), min(ingested_at), max(ingested_at) into found from arrived;
    return null;
end $$;
create trigger count after insert on counted.behaviour_events referencing new table as arrived
    for each statement execute function counted.count();
create table bare.rows as
select n, 'user-' || floor(random() * 5000) as user_id, 'item-' || floor(random() * 5000) as item_id,
       'view' as event_type, n::float8 as value
  from generate_series(1, 100000) n;
create unique index on bare.rows (n);
analyze bare.rows

-- insert_some_bare --
-- A statement of so many rows, without tidegate.
insert into bare.behaviour_events (user_id, item_id, event_type, value)
select user_id, item_id, event_type, value from bare.rows where n <= %(n)s

-- insert_some_tidegate --
-- The same into tidegate's table.
insert into ingest.behaviour_events (user_id, item_id, event_type, value)
select user_id, item_id, event_type, value from bare.rows where n <= %(n)s

-- pgbench_one_bare --
-- One row, without tidegate, as a script of pgbench.
\set u random(1, 5000)
\set i random(1, 5000)
insert into bare.behaviour_events (user_id, item_id, event_type, value)
values ('user-' || :u, 'item-' || :i, 'view', 1);

-- pgbench_one_tidegate --
-- The same into tidegate's table.
\set u random(1, 5000)
\set i random(1, 5000)
insert into ingest.behaviour_events (user_id, item_id, event_type, value)
values ('user-' || :u, 'item-' || :i, 'view', 1);

-- pgbench_one_captured --
-- The same where a trigger does nothing.
\set u random(1, 5000)
\set i random(1, 5000)
insert into captured.behaviour_events (user_id, item_id, event_type, value)
values ('user-' || :u, 'item-' || :i, 'view', 1);

-- pgbench_one_counted --
-- The same where a trigger counts.
\set u random(1, 5000)
\set i random(1, 5000)
insert into counted.behaviour_events (user_id, item_id, event_type, value)
values ('user-' || :u, 'item-' || :i, 'view', 1);

-- insert_history --
-- Synthetic purchases over the last year: few users and items have most of them.
insert into ingest.behaviour_events (user_id, item_id, event_type, value, occurred_at)
select 'user-' || floor(%(users)s * power(random(), 2))::int, 'item-' || floor(%(items)s * power(random(), 2))::int,
       'purchase', 1 + floor(random() * 20), now() - random() * interval '365 days'
  from generate_series(1, %(n)s)

-- insert_items --
-- A catalogue of so many items.
insert into catalogue.items (item_id, title, category)
select 'item-' || n, 'Item ' || n, 'category-' || n %% 40 from generate_series(0, %(items)s - 1) n

-- forget_unfolded --
-- Have neither the keeper's ledger nor the queue grow from round to round.
truncate ingest.batches, features.unfolded_batches, pgmq.q_features

-- top_k --
-- The least that a recommender by vectors can do: the nearest items of one version, and nothing else.
select v.item_id, -(v.vector <#> (
           select u.vector from serving.user_vectors u where u.version_id = %(version)s and u.user_id = %(user)s)) as score
  from serving.item_vectors v
 where v.version_id = %(version)s
 order by score desc
 limit 10

-- recommend --
-- What an application calls.
select * from serving.recommend(%(user)s, 10)

-- rank --
-- The same answer without its impression.
select * from serving.rank(%(user)s, 10, 'default')

-- newest_cut --
-- When the newest window was cut, in unix seconds.
select extract(epoch from cut_at)::float8 from learning.windows order by window_id desc limit 1

-- send_tasks --
-- Send tasks that find nothing to cut.
select count(learning.send_task('features', 'tidegate.cut_window', '{"stream": "nobody"}'))
  from generate_series(1, %(n)s)

-- wide_user --
-- A user's live features as of the last commit: what is folded, merged with what is not.
select n_events from features.user_features(%(user)s)

-- folded_user --
-- The folded row alone: what a read costs that need not see the last commit.
select n_events from features.user_activity where user_id = %(user)s

-- record_one --
-- One event of a user, committed.
insert into ingest.behaviour_events (user_id, item_id, event_type) values (%(user)s, %(item)s, 'view')

-- keep_place --
-- Let the windows that are trained here have positions above those of a history that is made later.
insert into learning.windows (stream, n, ids, t0, t1, position, state, ready_at, finished_at)
values ('default', 1, '{[-1,0)}', now(), now(), %(position)s, 'trained', now(), now())

-- insert_earlier_windows --
-- Windows that were trained long ago.
insert into learning.windows (stream, n, ids, t0, t1, position, state, ready_at, finished_at)
select 'default', %(n)s, int8multirange(int8range(-1000000 * p - %(n)s, -1000000 * p)), now(), now(), p, 'trained',
       now(), now()
  from generate_series(1, %(windows)s::bigint) p

-- insert_earlier_timelines --
-- What those windows left of each user: some events a day, a window a day.
insert into features.user_timelines (user_id, position, stream, bucket, n, item_ids, event_types, occurred, event_values)
select 'user-' || u, p, 'default', hashtextextended('user-' || u, 0) & 1023, %(each)s,
       array(select 'item-' || floor(%(items)s * power(random(), 2))::int
               from generate_series(1, %(each)s) n where u + p > 0),
       array_fill(3::smallint, array[%(each)s]),
       array(select %(newest)s - 86400.0 * (%(windows)s - p + 1) + n * 60 + u from generate_series(1, %(each)s) n),
       array_fill(1::real, array[%(each)s])
  from generate_series(0, %(users)s - 1) u cross join generate_series(1, %(windows)s) p

-- insert_earlier_features --
-- And the rows of their features.
insert into features.user_activity_history
    (user_id, event_timestamp, n_events, n_purchase, decayed_day, decayed_week, decayed_month, spend,
     first_event_at, position)
select t.user_id, to_timestamp(t.occurred[t.n]), t.n * t.position, t.n * t.position, 1, 2, 3, t.n * t.position,
       to_timestamp(t.occurred[1]), t.position
  from features.user_timelines t where t.position < %(before)s

-- analyze_history --
-- Let the planner know.
analyze features.user_timelines, features.user_activity_history, learning.windows
