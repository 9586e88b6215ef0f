-- Makes a version live: one row ended, one begun. Promotion and rollback are the same flip.
create function learning.deploy(p_version bigint, p_reason text)
    returns bigint
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    p_stream text;
    flipped bigint;
begin
    select v.stream into p_stream from learning.versions v where v.version_id = p_version;
    if not found then
        raise exception 'version % does not exist', p_version
            using hint = 'List the versions of a stream: select * from learning.versions order by version_id.';
    end if;
    if not exists (select from serving.item_vectors i where i.version_id = p_version) then
        raise exception 'version % has no item vectors', p_version
            using hint = 'Only a version whose vectors are kept can go live.';
    end if;
    update serving.deployments d set live_until = clock_timestamp()
     where d.stream = p_stream and d.live_until is null;
    insert into serving.deployments (stream, version_id, reason)
    values (p_stream, p_version, p_reason)
    returning deployment_id into flipped;
    return flipped;
end
$$;

comment on function learning.deploy(bigint, text) is
    'Makes a version live in its stream; the reason is kept. Rolling back is deploying an older version.';
