-- Live rows of some items, fresh at commit: merged where batches are waiting, else as they are folded.
create function features.items_now(p_items text[])
    returns setof features.item_activity
    language plpgsql
    stable
    set search_path = pg_catalog, pg_temp
as $$
begin
    if not exists (select from features.unfolded_batches) then
        return query select i.* from features.item_activity i where i.item_id = any(p_items);
        return;
    end if;

    return query
    with merged as materialized (
        select m.* from features.merged_items() m where m.item_id = any(p_items)
    )
    select * from merged
     union all
    select i.* from features.item_activity i
     where i.item_id = any(p_items) and not exists (select from merged m where m.item_id = i.item_id);
end
$$;

comment on function features.items_now(text[]) is
    'Live features of some items as of this commit; no row for an unknown item. What Feast''s online store serves.';
