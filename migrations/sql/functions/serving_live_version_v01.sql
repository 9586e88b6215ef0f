-- The version that answers for a stream, or null before the first one.
create function serving.live_version(p_stream text)
    returns bigint
    language sql
    stable
as $$
    select d.version_id from serving.deployments d where d.stream = p_stream and d.live_until is null
$$;

comment on function serving.live_version(text) is 'The live version of a stream; null before the first.';
