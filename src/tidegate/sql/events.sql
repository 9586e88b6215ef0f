-- Behaviour events: writing them and hearing which were quarantined.

-- quarantine_mark --
-- The newest quarantined row that this transaction sees: whatever it adds comes later.
select coalesce(max(quarantine_id), 0) from ingest.quarantined_events

-- insert_events --
-- Write events in one statement, so that the trigger runs once; the ids come back in the order of the rows.
insert into ingest.behaviour_events
    (stream, user_id, item_id, event_type, value, occurred_at, context, client_key)
select stream, user_id, item_id, event_type, value, coalesce(occurred_at, now()), context, client_key
  from unnest(%(stream)s::text[], %(user_id)s::text[], %(item_id)s::text[], %(event_type)s::text[],
              %(value)s::double precision[], %(occurred_at)s::timestamptz[], %(context)s::jsonb[],
              %(client_key)s::text[])
       with ordinality as e (stream, user_id, item_id, event_type, value, occurred_at, context, client_key, place)
 order by place
returning event_id

-- quarantined_of --
-- What became of these events in quarantine.
select i.event_id, q.reason
  from ingest.quarantined_events q
  join unnest(%(ids)s::bigint[]) as i (event_id) on i.event_id::text = q.event ->> 'event_id'
 where q.quarantine_id > %(mark)s

-- count_events --
-- How many of the events that this transaction wrote are there: not quarantined, and no repeats.
select count(*) from ingest.behaviour_events where event_id = any (%(ids)s) and ingested_at = now()

-- begin_batch --
-- Whether a batch is to be written: not if one of this key has been.
select ingest.begin_batch(%(key)s)

-- forget --
-- Forget keys and warnings past the horizon, and events that no rule remembers.
select f.what, f.n from ingest.lifetime l cross join lateral ingest.forget(l.keep_keys) f

-- quarantine_events --
-- Quarantine rows that cannot even be typed, as they were given.
insert into ingest.quarantined_events (event, reason)
select event, reason from unnest(%(events)s::jsonb[], %(reasons)s::text[]) as q (event, reason)

-- quarantined_here --
-- Reasons and counts of the rows that this transaction quarantined; it must not hold savepoints.
select reason, count(*)
  from ingest.quarantined_events
 where quarantine_id > %(mark)s and xmin = pg_current_xact_id()::xid
 group by reason

-- copy_events --
-- Stream in events with the time that each of them says.
copy ingest.behaviour_events
    (stream, user_id, item_id, event_type, value, context, client_key, occurred_at) from stdin

-- copy_events_of_now --
-- Stream in events that happen as they are written.
copy ingest.behaviour_events
    (stream, user_id, item_id, event_type, value, context, client_key) from stdin

-- open_file --
-- Find or make the row of a file that is read in one way.
insert into ingest.files as f (path, n_bytes, content_hash, reading)
values (%(path)s, %(n_bytes)s, %(content_hash)s, %(reading)s)
    on conflict (content_hash, reading) do update set path = excluded.path
returning f.file_id, f.rows_done, f.rows_refused, f.finished_at

-- file_state --
-- How far a file is in, without making a row for it.
select file_id, rows_done, rows_refused, finished_at
  from ingest.files where content_hash = %(content_hash)s and reading = %(reading)s

-- restart_file --
-- Read a finished file again from its first row.
update ingest.files set rows_done = 0, rows_refused = 0, started_at = clock_timestamp(), finished_at = null
 where file_id = %(file)s and finished_at is not null

-- advance_file --
-- Take the next rows of a file, unless another process has taken them.
update ingest.files
   set rows_done = rows_done + %(rows)s
 where file_id = %(file)s and rows_done = %(done)s and finished_at is null

-- refuse_rows --
-- Count the rows of a chunk that were refused.
update ingest.files set rows_refused = rows_refused + %(refused)s where file_id = %(file)s

-- finish_file --
-- Mark a file as wholly in.
update ingest.files set finished_at = clock_timestamp() where file_id = %(file)s and rows_done = %(done)s
