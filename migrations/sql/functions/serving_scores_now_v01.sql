-- Scores as the feature view scores, fresh at commit and at the flip of the pointer: p_users[n] with p_items[n] in
-- p_streams[n]. An online store serves it as it is and hands over an array for each join key, in the order of
-- their names.
--
-- It asks serving.rank, once for each user, and so cannot differ from what would be shown now: what is not for this
-- user, or beyond the thousand best, has no row.
create function serving.scores_now(p_items text[], p_streams text[], p_users text[])
    returns table (
        stream text,
        user_id text,
        item_id text,
        event_timestamp timestamptz,
        score double precision,
        place bigint,
        score_version bigint)
    language sql
    stable
    set search_path = pg_catalog, pg_temp
as $$
    with asked as materialized (
        select distinct a.stream, a.user_id, a.item_id
          from unnest(p_items, p_streams, p_users) as a (item_id, stream, user_id)
          join learning.streams s on s.stream = a.stream
         where length(a.user_id) between 1 and 256  -- others rank refuses; a look-up knows nothing of them
    )
    select a.stream, a.user_id, a.item_id, statement_timestamp(), r.score::double precision, r.place::bigint,
           r.version_id
      from (select distinct asked.stream, asked.user_id from asked) one
     cross join lateral serving.rank(one.user_id, 1000, one.stream) r
      join asked a on a.stream = one.stream and a.user_id = one.user_id and a.item_id = r.item_id
$$;

comment on function serving.scores_now(text[], text[], text[]) is
    'Scores and places of items for users by the live version, as of this commit, by their names in Feast.';
