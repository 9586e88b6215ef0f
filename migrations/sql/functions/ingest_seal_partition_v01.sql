-- Gives a day that is over the index by which an outcome finds its user's events and an erasure finds them all.
-- On the open day it would cost every writer; on a sealed one it blocks only a writer that brings its own ingested_at.
create function ingest.seal_partition(p_partition text)
    returns text
    language plpgsql
    set search_path = pg_catalog, pg_temp
    set lock_timeout = '100ms'
as $$
begin
    if not exists (
        select from ingest.partitions() p, ingest.lifetime l
         where p.partition = p_partition and not p.sealed and p.ends_at <= now() - l.seal_after)
    then
        raise exception '% is no partition that can be sealed', p_partition
            using hint = 'select * from ingest.partitions()';
    end if;
    execute format('create index %I on ingest.%I (user_id, occurred_at)',
                   p_partition || '_user_id_occurred_at_idx', p_partition);
    return 'sealed';
exception when lock_not_available then
    return 'busy';
end
$$;

comment on function ingest.seal_partition(text) is
    'Indexes a partition whose day is over by user and time; returns sealed, or busy where a long transaction writes to it.';
