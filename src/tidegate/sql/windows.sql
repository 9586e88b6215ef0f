-- Windows: cutting, materialising, leases.

-- cut_window --
-- Cut a window if the stream is over its threshold; the seconds are those from the crossing insert to the task's start.
select w.window_id, w.n, extract(epoch from w.cut_at - w.crossed_at)::float8
  from learning.cut_window(%(stream)s, %(crossed_at)s::timestamptz) as cut
  join learning.windows w on w.window_id = cut

-- materialise_window --
-- Materialise the oldest cut window of the stream up to this one.
select features.materialise_window(%(window)s)

-- window_position --
-- The position of a window, null before it was materialised.
select position from learning.windows where window_id = %(window)s

-- window_stream --
-- The stream of a window.
select stream from learning.windows where window_id = %(window)s

-- claim_window --
-- Take a lease on the next window of a stream.
select run_id, token, window_id, attempt from learning.claim_window(%(stream)s, %(worker)s, %(lease)s)

-- renew_lease --
-- Prolong a lease that is still held.
update learning.runs
   set heartbeat_at = clock_timestamp(), lease_until = clock_timestamp() + %(lease)s
 where token = %(token)s and state = 'running'

-- fail_run --
-- End a run with its error.
update learning.runs
   set state = 'failed', error = %(error)s, finished_at = clock_timestamp()
 where token = %(token)s and state = 'running'

-- park_window --
-- Take a window that keeps failing out of the way of its stream.
update learning.windows w
   set state = 'parked', finished_at = clock_timestamp(),
       reason = %(attempts)s || ' runs did not finish; the last error: ' || %(error)s::text
 where w.window_id = %(window)s and w.state = 'ready'
   and %(attempts)s <= (select count(*) from learning.runs r
                         where r.window_id = w.window_id and r.claimed_at > coalesce(w.retried_at, '-infinity'))

-- sweep --
-- Close the gaps that nudges leave; says what it did.
select what, subject from learning.sweep()
