-- The events of a window, always the same rows.
-- Each run of ids is one short range scan, and t0 and t1 leave all other partitions untouched; a plain join on the
-- multirange reads the whole history. What retention has dropped comes from the kept events, where the stream keeps them.
-- It has no search_path of its own, so that PostgreSQL can make it part of the statement that reads: a function with a
-- setting is run apart, and its rows are written down before they are read (1.6 times the plain range read against 1.0).
-- Every table is named with its schema, and pg_catalog's operators come first in any path.
create or replace function learning.read_window(p_window bigint)
    returns setof ingest.behaviour_events
    language sql
    stable
as $$
    select e.*
      from learning.windows w
     cross join lateral unnest(w.ids) as run
     cross join lateral (
           select b.*
             from ingest.behaviour_events b
            where b.event_id >= lower(run) and b.event_id < upper(run)
              and b.ingested_at between w.t0 and w.t1
           offset 0) e
     where w.window_id = p_window and e.stream = w.stream
    union all
    select e.*
      from learning.windows w
     cross join lateral unnest(w.ids) as run
     cross join lateral (
           select k.*
             from ingest.kept_events k
            where k.event_id >= lower(run) and k.event_id < upper(run)
           offset 0) e
     where w.window_id = p_window and e.stream = w.stream
       -- One probe for all other windows, instead of one a run.
       and exists (select from ingest.kept_events k
                    where k.event_id >= lower(w.ids) and k.event_id < upper(w.ids))
       -- Copied already and not dropped yet: the first half has it.
       and (select b.event_id from ingest.behaviour_events b
             where b.event_id = e.event_id and b.ingested_at = e.ingested_at) is null
$$;

comment on function learning.read_window(bigint) is 'The events of a window; reading it twice gives the same rows.';
