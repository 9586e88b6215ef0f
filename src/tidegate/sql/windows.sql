-- Windows: cutting, materialising, leases.

-- cut_window --
-- Cut a window if the stream is over its threshold; the seconds are those from the crossing insert to the task's start.
select w.window_id, w.n, extract(epoch from w.cut_at - w.crossed_at)::float8
  from learning.cut_window(%(stream)s, %(crossed_at)s::timestamptz) as cut
  join learning.windows w on w.window_id = cut

-- materialise_window --
-- Materialise the oldest cut window of the stream up to this one.
select features.materialise_window(%(window)s)

-- window_to_go_online --
-- The position of a materialised window whose values have not reached the online store.
select position from learning.windows where window_id = %(window)s and position is not null and online_at is null

-- stream_to_train --
-- The stream of a window, if it has a window to train and nobody trains one: only then is a trainer worth its start.
select w.stream
  from learning.windows w
 where w.window_id = %(window)s
   and exists (select from learning.windows r where r.stream = w.stream and r.state = 'ready')
   and not exists (select from learning.runs r
                     join learning.windows t on t.window_id = r.window_id
                    where r.state = 'running' and t.stream = w.stream
                      and learning.lease_ends(r.lease_until, r.heartbeat_at) > clock_timestamp())

-- claim_window --
-- Take a lease on the next window of a stream.
select run_id, token, window_id, attempt from learning.claim_window(%(stream)s, %(worker)s, %(lease)s)

-- renew_lease --
-- Prolong a lease that is still held; one that has ended is over, whether or not anybody has taken the window since.
update learning.runs
   set heartbeat_at = clock_timestamp(), lease_until = clock_timestamp() + %(lease)s
 where token = %(token)s and state = 'running'
   and learning.lease_ends(lease_until, heartbeat_at) > clock_timestamp()

-- enter_step --
-- Say where a run is, if it still holds its lease.
update learning.runs set step = %(step)s
 where token = %(token)s and state = 'running'
   and learning.lease_ends(lease_until, heartbeat_at) > clock_timestamp()

-- lease_seconds_left --
-- How long a run may still be silent; no row where it has ended.
select extract(epoch from learning.lease_ends(lease_until, heartbeat_at) - clock_timestamp())::float8
  from learning.runs where token = %(token)s and state = 'running'

-- fail_run --
-- End a run with its error; parked, failed, or null where it is not its holder's any more.
select learning.fail_run(%(token)s, %(error)s)

-- release_run --
-- Give a run back for a reason outside of its window.
select learning.release_run(%(token)s, %(reason)s)

-- begin_materialisation --
-- Count an attempt at the oldest cut window of the stream up to this one.
select window_id, attempt from learning.begin_materialisation(%(window)s)

-- fail_materialisation --
-- Keep what went wrong; parked, failed, or null where the window is materialised.
select learning.fail_materialisation(%(window)s, %(error)s)

-- take_turn --
-- Materialise alone: an attempt that waits for another must not be counted. The lock is the session's, because the count
-- commits before the work begins; a worker that freezes in between loses both.
select set_config('idle_session_timeout', '60s', false), pg_advisory_lock(hashtext('tidegate.materialise'))

-- end_turn --
-- Let the next one materialise.
select pg_advisory_unlock(hashtext('tidegate.materialise')), set_config('idle_session_timeout', '0', false)

-- note_online --
-- Remember that a window's values have reached the online store.
update learning.windows set online_at = clock_timestamp() where window_id = %(window)s

-- sweep --
-- Close the gaps that nudges leave; says what it did.
select what, subject from learning.sweep(nudge_after => make_interval(secs => %(nudge_after)s))

-- verify_windows --
-- What windows hold now against what they held when they became features; all that have a hash unless some are named.
select w.window_id, w.stream, w.position, w.n, w.content_hash, learning.window_hash(w.window_id) as found,
       (select count(*) from learning.read_window(w.window_id)) as events_left
  from learning.windows w
 where case when %(windows)s::bigint[] is null then w.content_hash is not null
            else w.window_id = any (%(windows)s::bigint[]) end
 order by w.window_id

-- list_windows --
-- The windows, newest first, with their last run.
select w.window_id, w.stream, w.position, w.n as events, w.state, w.cause, w.reason, w.cut_at, w.ready_at,
       w.finished_at, r.attempt, r.state as run_state, v.number as version_number, v.verdict
  from learning.windows w
  left join lateral (select * from learning.runs r where r.window_id = w.window_id
                      order by attempt desc limit 1) r on true
  left join learning.versions v on v.run_id = r.run_id
 where (%(stream)s::text is null or w.stream = %(stream)s) and (%(state)s::text is null or w.state = %(state)s)
 order by w.window_id desc
 limit %(limit)s

-- show_window --
-- All about one window: what it is, its unusual figures, its runs and their versions.
select to_jsonb(w) - 'ids' || jsonb_build_object(
           'id_ranges', (select count(*) from unnest(w.ids)),
           'first_id', lower(w.ids),
           'last_id', upper(w.ids) - 1,
           'figures', (select coalesce(jsonb_agg(to_jsonb(f) - 'window_id' order by abs(f.z) desc), '[]')
                         from learning.window_figures f where f.window_id = w.window_id and f.suspicious),
           'runs', (select coalesce(jsonb_agg(to_jsonb(r) - 'window_id' || jsonb_build_object(
                                        'seconds', extract(epoch from coalesce(r.finished_at, clock_timestamp())
                                                                      - r.claimed_at)) order by r.attempt), '[]')
                      from learning.runs r where r.window_id = w.window_id),
           'versions', (select coalesce(jsonb_agg(jsonb_build_object(
                                  'version_id', v.version_id, 'number', v.number, 'run_id', v.run_id,
                                  'verdict', v.verdict, 'reason', v.reason) order by v.version_id), '[]')
                          from learning.versions v where v.window_id = w.window_id))
  from learning.windows w where w.window_id = %(window)s

-- force_window --
-- Cut a window, full or not where forced.
select learning.cut_window(%(stream)s, null, %(force)s)

-- waiting_events --
-- How full the next window of a stream is, and what holds it.
select coalesce((select sum(n) from ingest.batches b where b.stream = s.stream), 0)::bigint, s.threshold,
       learning.hold(s.stream)
  from learning.streams s where s.stream = %(stream)s

-- retry_window --
-- Give a parked window another round of attempts: its old runs count no more.
select learning.retry_window(%(window)s)

-- skip_window --
-- Give a parked window up.
select learning.skip_window(%(window)s)

-- window_state --
-- The state of a window, its events, its reason, and how many windows of its stream wait.
select w.state, w.stream, w.n, w.reason,
       (select count(*) from learning.windows o where o.stream = w.stream and o.state in ('cut', 'ready'))
  from learning.windows w where w.window_id = %(window)s

-- window_figures --
-- What a window measured, the most unusual first.
select figure, value, median, mad, z, suspicious from learning.window_figures
 where window_id = %(window)s
 order by suspicious desc, abs(z) desc nulls last, figure
