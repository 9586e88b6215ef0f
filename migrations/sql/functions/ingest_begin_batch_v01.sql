-- Begins a batch that must count once: true in the transaction that begins it, false after that has committed.
-- In `insert … select … where ingest.begin_batch('k')` it is called for each row: it stays true in its transaction.
-- A writer with the same key at the same time waits until the first has committed or rolled back.
create function ingest.begin_batch(key text)
    returns boolean
    language plpgsql
    -- An application holds EXECUTE on this function and nothing on its table.
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    mine constant bigint := pg_current_xact_id()::text::bigint;
begin
    if coalesce(length(key), 0) not between 1 and 256 then
        raise exception 'a batch key has 1 to 256 characters'
            using errcode = 'invalid_parameter_value', hint = 'Name the batch by something that you will know again.';
    end if;
    -- The time beside the number: after a restore into another cluster numbers come again.
    if not exists (select from ingest.batch_keys b
                    where b.batch_key = key and b.begun_by = mine and b.begun_at = now())
    then
        insert into ingest.batch_keys as b (batch_key, begun_by, begun_at) values (key, mine, now())
            on conflict do nothing;
        return found;
    end if;
    return true;
end
$$;

comment on function ingest.begin_batch(text) is
    'Whether a batch is to be written: false if one of this key has been committed within the horizon.';

revoke execute on function ingest.begin_batch(text) from public;
