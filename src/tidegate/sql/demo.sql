-- The demo: what it writes and what it asks.

-- copy_demo_items --
-- Stream in the catalogue.
copy catalogue.items (item_id, title, category, attributes) from stdin

-- copy_demo_events --
-- Stream in purchases.
copy ingest.behaviour_events (user_id, item_id, event_type, value, occurred_at) from stdin

-- set_demo_stream --
-- Change how many events make a window, and how long a first version takes.
update learning.streams set threshold = %(threshold)s, settings = %(settings)s where stream = %(stream)s

-- demo_idle --
-- Whether every window is finished and no stream is over its threshold.
select not exists (select from learning.windows where state in ('cut', 'ready'))
   and not exists (
       select from learning.streams s
        where s.threshold <= (select sum(b.n) from ingest.batches b where b.stream = s.stream))
   and not exists (select from features.unfolded_batches having sum(n) > 100000)

-- demo_recommend --
-- What a user would be shown, without logging it.
select item_id, title, category, score, why, version_number from serving.rank(%(user)s, 10, 'default') order by place

-- demo_progress --
-- The figures of now, for the live view.
select jsonb_build_object(
    'events', (select coalesce(sum(n), 0) from learning.windows) + (select coalesce(sum(n), 0) from ingest.batches),
    'waiting', (select coalesce(sum(n), 0) from ingest.batches),
    'threshold', (select threshold from learning.streams where stream = 'default'),
    'unfolded', (select coalesce(sum(n), 0) from features.unfolded_batches),
    'quarantined', (select count(*) from ingest.quarantined_events),
    'windows', (
        select coalesce(jsonb_agg(jsonb_build_object(
                   'window', w.window_id, 'n', w.n, 'state', w.state,
                   'running', exists (select from learning.runs r where r.window_id = w.window_id and r.state = 'running'),
                   'version', v.number, 'verdict', v.verdict, 'seconds', v.manifest -> 'seconds' -> 'total',
                   'ndcg', (select jsonb_object_agg(e.subject || ' ' || e.slice, e.value) from learning.evaluations e
                             where e.run_id = v.run_id and e.metric = 'ndcg@10')) order by w.window_id), '[]')
          from learning.windows w
          left join learning.versions v on v.window_id = w.window_id))

-- demo_summary --
-- The figures of the whole story.
select jsonb_build_object(
    'events', (select coalesce(sum(n), 0) from learning.windows) + (select coalesce(sum(n), 0) from ingest.batches),
    'windows', (select count(*) from learning.windows),
    'versions', (select count(*) from learning.versions),
    'promoted', (select count(*) from learning.versions where verdict = 'promote'),
    'refused', (select count(*) from learning.versions where verdict = 'refuse'),
    'per_window', (
        select coalesce(jsonb_agg(jsonb_build_object(
                   'window', w.window_id, 'events', w.n, 'version', v.number, 'verdict', v.verdict,
                   'slice', f.slice, 'recall@10', f.recall, 'ndcg@10', f.ndcg) order by w.window_id), '[]')
          from learning.windows w
          join learning.versions v on v.window_id = w.window_id
         cross join lateral (
               select case when v.parent_id is null then 'holdout' else 'window' end as slice) s
         cross join lateral (
               select s.slice,
                      jsonb_object_agg(case e.subject when 'candidate' then 'live' else e.subject end, round(e.value::numeric, 4))
                          filter (where e.metric = 'recall@10') as recall,
                      jsonb_object_agg(case e.subject when 'candidate' then 'live' else e.subject end, round(e.value::numeric, 4))
                          filter (where e.metric = 'ndcg@10') as ndcg
                 from learning.evaluations e
                where e.run_id = v.run_id and e.slice = s.slice) f),
    'seconds_from_crossing_to_start_p50', (
        select round(percentile_cont(0.5) within group (order by extract(epoch from cut_at - crossed_at))::numeric, 4)
          from learning.windows where crossed_at is not null),
    'seconds_per_increment', (
        select coalesce(jsonb_agg(round((manifest -> 'seconds' ->> 'total')::numeric, 1) order by version_id), '[]')
          from learning.versions where parent_id is not null),
    'seconds_first_version', (
        select round((manifest -> 'seconds' ->> 'total')::numeric, 1) from learning.versions where parent_id is null
         order by version_id limit 1))
