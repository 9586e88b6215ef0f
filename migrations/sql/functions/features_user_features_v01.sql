-- A user's live row, fresh at commit: merged where batches are waiting, else as it is folded.
create function features.user_features(p_user text)
    returns setof features.user_activity
    language sql
    stable
    set search_path = pg_catalog, pg_temp
as $$
    with merged as materialized (
        select * from features.merged_users(p_user)
    )
    select * from merged
     union all
    select u.* from features.user_activity u
     where u.user_id = p_user and not exists (select from merged)
$$;

comment on function features.user_features(text) is 'A user''s live features as of this commit; no row for an unknown user.';
