-- Streams: what makes them train, and when a schedule is due.

-- list_streams --
-- The streams, what makes them train, and what holds them now.
select stream, threshold, extract(epoch from max_age)::float8 as max_age_seconds, new_item_share, mix_drift, schedule,
       next_cut_at, extract(epoch from min_interval)::float8 as min_interval_seconds, budget_seconds, max_attempts,
       on_parked, suspicion, suspicion_z, repeats, keep_events, learning.hold(stream) as hold, created_at
  from learning.streams order by stream

-- add_stream --
-- Make a stream; what is null has its default. A figure of 0 is none, as in change_stream.
insert into learning.streams (stream, threshold, max_age, new_item_share, mix_drift, schedule, min_interval,
                              budget_seconds, max_attempts, on_parked, suspicion, suspicion_z, repeats, keep_events)
values (%(stream)s, coalesce(%(threshold)s, 10000), make_interval(secs => nullif(%(max_age)s::float8, 0)),
        nullif(%(new_item_share)s::float8, 0), nullif(%(mix_drift)s::float8, 0), nullif(%(schedule)s, ''),
        make_interval(secs => nullif(%(min_interval)s::float8, 0)), nullif(%(budget_seconds)s::integer, 0),
        coalesce(%(max_attempts)s, 3), coalesce(%(on_parked)s, 'continue'), coalesce(%(suspicion)s, 'tighten'),
        coalesce(%(suspicion_z)s::float8, 8), coalesce(%(repeats)s, true),
        coalesce(%(keep_events)s, false))
    on conflict do nothing

-- change_stream --
-- Change what makes a stream train; null leaves a value as it is, 0 or an empty schedule takes it away.
update learning.streams
   set threshold = coalesce(%(threshold)s, threshold),
       max_age = case when %(max_age)s::float8 is null then max_age
                      else make_interval(secs => nullif(%(max_age)s::float8, 0)) end,
       new_item_share = case when %(new_item_share)s::float8 is null then new_item_share
                             else nullif(%(new_item_share)s::float8, 0) end,
       mix_drift = case when %(mix_drift)s::float8 is null then mix_drift else nullif(%(mix_drift)s::float8, 0) end,
       schedule = case when %(schedule)s::text is null then schedule else nullif(%(schedule)s, '') end,
       min_interval = case when %(min_interval)s::float8 is null then min_interval
                           else make_interval(secs => nullif(%(min_interval)s::float8, 0)) end,
       budget_seconds = case when %(budget_seconds)s::integer is null then budget_seconds
                             else nullif(%(budget_seconds)s::integer, 0) end,
       max_attempts = coalesce(%(max_attempts)s, max_attempts),
       on_parked = coalesce(%(on_parked)s, on_parked),
       suspicion = coalesce(%(suspicion)s, suspicion),
       suspicion_z = coalesce(%(suspicion_z)s::float8, suspicion_z),
       repeats = coalesce(%(repeats)s, repeats),
       keep_events = coalesce(%(keep_events)s, keep_events)
 where stream = %(stream)s

-- unplanned_schedules --
-- Schedules of which nobody knows when they are due next.
select stream, schedule from learning.streams where schedule is not null and next_cut_at is null order by stream

-- plan_cut --
-- Say when a schedule is due next, unless somebody has changed it meanwhile.
update learning.streams
   set next_cut_at = %(at)s
 where stream = %(stream)s and schedule = %(schedule)s and next_cut_at is null

-- cut_changed --
-- Cut the streams whose waiting events are new in kind; says what it did.
select what, subject from learning.cut_changed()
