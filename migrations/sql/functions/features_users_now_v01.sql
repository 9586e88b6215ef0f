-- Live rows of some users, fresh at commit: merged where batches are waiting, else as they are folded.
-- In PL/pgSQL, so that the usual case, nothing waiting, is one prepared look-up by key.
create function features.users_now(p_users text[])
    returns setof features.user_activity
    language plpgsql
    stable
    set search_path = pg_catalog, pg_temp
as $$
begin
    if not exists (select from features.unfolded_batches) then
        return query select u.* from features.user_activity u where u.user_id = any(p_users);
        return;
    end if;

    return query
    with merged as materialized (
        select m.*
          from features.merged_users(case when cardinality(p_users) = 1 then p_users[1] end) m
         where m.user_id = any(p_users)
    )
    select * from merged
     union all
    select u.* from features.user_activity u
     where u.user_id = any(p_users) and not exists (select from merged m where m.user_id = u.user_id);
end
$$;

comment on function features.users_now(text[]) is
    'Live features of some users as of this commit; no row for an unknown user. What Feast''s online store serves.';
