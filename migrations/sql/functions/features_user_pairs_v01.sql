-- A user's live rows with items, fresh at commit.
create function features.user_pairs(p_user text)
    returns setof features.user_item_activity
    language sql
    stable
    set search_path = pg_catalog, pg_temp
as $$
    with merged as materialized (
        select * from features.merged_pairs(p_user)
    )
    select * from merged
     union all
    select p.* from features.user_item_activity p
     where p.user_id = p_user and not exists (select from merged m where m.item_id = p.item_id)
$$;

comment on function features.user_pairs(text) is 'A user''s live features with each item, as of this commit.';
