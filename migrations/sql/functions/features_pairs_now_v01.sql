-- User-item pairs as the feature view user_item_activity, fresh at commit: p_users[n] with p_items[n]. An online store
-- serves it as it is and hands over an array for each join key, in the order of their names.
-- In PL/pgSQL, so that the usual case, nothing waiting, is one prepared look-up by key.
create function features.pairs_now(p_items text[], p_users text[])
    returns table (
        user_id text,
        item_id text,
        event_timestamp timestamptz,
        pair_events bigint,
        pair_decayed_day double precision,
        pair_decayed_week double precision,
        pair_decayed_month double precision,
        pair_event_at double precision)
    language plpgsql
    stable
    set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    if not exists (select from features.unfolded_batches) then
        return query
        select p.user_id, p.item_id, p.last_event_at, p.n_events, p.decayed_day, p.decayed_week, p.decayed_month,
               extract(epoch from p.last_event_at)::double precision
          from (select distinct a.user_id, a.item_id from unnest(p_items, p_users) as a (item_id, user_id)) asked
          join features.user_item_activity p using (user_id, item_id);
        return;
    end if;

    return query
    with asked as materialized (
        select distinct a.user_id, a.item_id from unnest(p_items, p_users) as a (item_id, user_id)
    ), merged as materialized (
        -- The fresh events are read once: those of the one user that is asked for, or of all.
        select m.*
          from (select case when count(distinct a.user_id) = 1 then min(a.user_id) end as only_user from asked a) one
         cross join lateral features.merged_pairs(one.only_user) m
    ), found as (
        select m.* from merged m join asked a using (user_id, item_id)
         union all
        select p.*
          from asked a
          join features.user_item_activity p using (user_id, item_id)
         where not exists (select from merged m where m.user_id = a.user_id and m.item_id = a.item_id)
    )
    select f.user_id, f.item_id, f.last_event_at, f.n_events, f.decayed_day, f.decayed_week, f.decayed_month,
           extract(epoch from f.last_event_at)::double precision
      from found f;
end
$$;

comment on function features.pairs_now(text[], text[]) is
    'Live features of user-item pairs by their names in Feast, as of this commit; no row for an unknown pair.';
