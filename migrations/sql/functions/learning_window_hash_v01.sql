-- Names what a window holds: sha256 over the sha256 of each of its events, in order of event_id. Hashing the hashes keeps
-- the memory at 32 bytes an event; the settings make the text of a row the same in every session.
create function learning.window_hash(p_window bigint)
    returns text
    language sql
    stable
    set search_path = pg_catalog, pg_temp
    set timezone = 'UTC'
    set datestyle = 'ISO, YMD'
    set extra_float_digits = 1
as $$
    select encode(sha256(string_agg(
               sha256(convert_to(row(e.event_id, e.stream, e.user_id, e.item_id, e.event_type, e.value,
                                     e.occurred_at, e.context, e.client_key)::text, 'UTF8')),
               ''::bytea order by e.event_id)), 'hex')
      from learning.read_window(p_window) e
    having count(*) = (select w.n from learning.windows w where w.window_id = p_window)
$$;

comment on function learning.window_hash(bigint) is
    'sha256 over a window''s events, in hexadecimal; null where not all of them are there any more.';
