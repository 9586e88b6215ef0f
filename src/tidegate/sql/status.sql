-- Status: what an operator asks.

-- status --
-- Everything at once, as of one snapshot.
select jsonb_build_object(
    'streams', (select coalesce(jsonb_agg(jsonb_build_object(
        'stream', s.stream,
        'waiting', (select coalesce(sum(b.n), 0) from ingest.batches b where b.stream = s.stream),
        'threshold', s.threshold,
        'max_age_seconds', extract(epoch from s.max_age),
        'oldest_waiting_seconds', (select extract(epoch from clock_timestamp() - min(b.t0))
                                     from ingest.batches b where b.stream = s.stream),
        'hold', learning.hold(s.stream),
        'schedule', s.schedule,
        'next_cut_at', s.next_cut_at,
        'waiting_figures', (select to_jsonb(f) from learning.waiting_figures(s.stream) f
                             where s.new_item_share is not null or s.mix_drift is not null),
        'repeats', s.repeats,
        'windows', (select coalesce(jsonb_object_agg(w.state, w.n), '{}')
                      from (select state, count(*) as n from learning.windows
                             where stream = s.stream group by state) w),
        'oldest_unfinished_seconds', (select extract(epoch from clock_timestamp() - min(w.cut_at))
                                        from learning.windows w
                                       where w.stream = s.stream and w.state in ('cut', 'ready')),
        'last_event_at', (select c.last_event_at from features.clocks c where c.stream = s.stream),
        'live', (select jsonb_build_object('version_id', v.version_id, 'number', v.number,
                                           'live_from', d.live_from, 'reason', d.reason)
                   from serving.deployments d join learning.versions v using (version_id)
                  where d.stream = s.stream and d.live_until is null),
        'versions', (select count(*) from learning.versions v where v.stream = s.stream),
        'metrics', (select coalesce(jsonb_object_agg(m.subject, m.figures), '{}')
                      from (select e.subject, jsonb_object_agg(e.metric, e.value) as figures
                              from learning.evaluations e
                             where e.slice = 'window' and e.run_id = (
                                   select max(o.run_id) from learning.evaluations o
                                     join learning.runs r on r.run_id = o.run_id
                                     join learning.windows w on w.window_id = r.window_id
                                    where w.stream = s.stream and o.slice = 'window')
                             group by e.subject) m)
        ) order by s.stream), '[]') from learning.streams s),
    'unfolded_batches', (select count(*) from features.unfolded_batches),
    'unfolded_events', (select coalesce(sum(n), 0) from features.unfolded_batches),
    'quarantined', (select coalesce(jsonb_object_agg(q.reason, q.n), '{}')
                      from (select reason, count(*) as n from ingest.quarantined_events
                             where redriven_at is null group by reason) q),
    'parked', (select coalesce(jsonb_agg(to_jsonb(p)), '[]')
                 from (select w.window_id, w.stream, w.n, w.finished_at as parked_at, w.reason,
                              (select count(*) from learning.runs r where r.window_id = w.window_id) as runs
                         from learning.windows w where w.state = 'parked'
                        order by w.window_id desc limit 20) p),
    'suspicious', (select coalesce(jsonb_agg(to_jsonb(p)), '[]')
                     from (select w.window_id, w.stream, w.state, w.cut_at, f.figure, f.value, f.median, f.z
                             from learning.windows w
                             left join lateral (
                                  select f.* from learning.window_figures f
                                   where f.window_id = w.window_id and f.suspicious
                                   order by abs(f.z) desc limit 1) f on true
                            where w.suspicious
                            order by w.window_id desc limit 5) p),
    'leases', (select coalesce(jsonb_agg(jsonb_build_object(
                          'run_id', r.run_id, 'window_id', r.window_id, 'stream', w.stream, 'attempt', r.attempt,
                          'worker', r.worker, 'step', r.step,
                          'seconds', extract(epoch from clock_timestamp() - r.claimed_at),
                          'heartbeat_seconds', extract(epoch from clock_timestamp() - r.heartbeat_at),
                          'lease_seconds_left', extract(epoch from
                              learning.lease_ends(r.lease_until, r.heartbeat_at) - clock_timestamp()))
                      order by r.run_id), '[]')
                 from learning.runs r join learning.windows w using (window_id) where r.state = 'running'))

-- list_versions --
-- The versions, newest first, with the figures that the gate looked at.
select v.version_id, v.stream, v.number, v.parent_id, v.window_id, w.n as events, v.verdict, v.reason, v.created_at,
       exists (select from serving.deployments d where d.version_id = v.version_id and d.live_until is null) as live,
       exists (select from serving.item_vectors i where i.version_id = v.version_id) as deployable
  from learning.versions v
  join learning.windows w on w.window_id = v.window_id
 where %(stream)s::text is null or v.stream = %(stream)s
 order by v.version_id desc
 limit %(limit)s

-- show_version --
-- All about one version, its figures and its deployments.
select v.version_id, v.stream, v.number, v.parent_id, v.window_id, v.run_id, v.weights_hash, h.n_bytes,
       v.scoring, v.manifest, v.verdict, v.reason, v.created_at,
       exists (select from serving.item_vectors i where i.version_id = v.version_id) as deployable,
       (select coalesce(jsonb_agg(jsonb_build_object('subject', e.subject, 'slice', e.slice, 'metric', e.metric,
                                                     'value', e.value) order by e.slice, e.metric, e.subject), '[]')
          from learning.evaluations e where e.run_id = v.run_id) as evaluations,
       (select coalesce(jsonb_agg(jsonb_build_object('live_from', d.live_from, 'live_until', d.live_until,
                                                     'reason', d.reason, 'actor', d.actor)
                                  order by d.deployment_id), '[]')
          from serving.deployments d where d.version_id = v.version_id) as deployments
  from learning.versions v
  join learning.weights h using (weights_hash)
 where v.version_id = %(version)s
