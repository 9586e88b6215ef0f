-- What the benchmarks write and compare with.

-- make_bare_table --
-- The same columns, key and partitioning as behaviour_events, and no trigger.
create schema bare;
create table bare.behaviour_events
    (like ingest.behaviour_events including defaults including identity including indexes)
    partition by range (ingested_at);
create table bare.today partition of bare.behaviour_events
    for values from ('2000-01-01') to ('2100-01-01');

-- insert_rows_bare --
-- A statement of many rows, without tidegate.
insert into bare.behaviour_events (user_id, item_id, event_type, value)
select * from unnest(%s::text[], %s::text[], %s::text[], %s::float8[])

-- insert_rows_tidegate --
-- The same into tidegate's table.
insert into ingest.behaviour_events (user_id, item_id, event_type, value)
select * from unnest(%s::text[], %s::text[], %s::text[], %s::float8[])

-- insert_one_bare --
-- One row, without tidegate.
insert into bare.behaviour_events (user_id, item_id, event_type, value) values (%s, %s, %s, %s)

-- insert_one_tidegate --
-- The same into tidegate's table.
insert into ingest.behaviour_events (user_id, item_id, event_type, value) values (%s, %s, %s, %s)

-- copy_bare --
-- A stream of rows, without tidegate.
copy bare.behaviour_events (user_id, item_id, event_type, value) from stdin

-- copy_tidegate --
-- The same into tidegate's table.
copy ingest.behaviour_events (user_id, item_id, event_type, value) from stdin

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
