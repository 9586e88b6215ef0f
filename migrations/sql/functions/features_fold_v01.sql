-- Folds all unfolded batches into the live rows, in one transaction of the keeper.
-- It must run in REPEATABLE READ: each statement then sees the same batches, and the last one deletes only those.
create function features.fold()
    returns bigint
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    folded bigint;
begin
    if current_setting('transaction_isolation') <> 'repeatable read' then
        raise exception 'features.fold() must run in a REPEATABLE READ transaction'
            using hint = 'begin isolation level repeatable read; select features.fold(); commit;';
    end if;
    -- One folder at a time: a second one would merge into rows that the first is about to replace.
    if not pg_try_advisory_xact_lock(hashtext('tidegate.fold')) then
        return 0;
    end if;
    select coalesce(sum(n), 0) into folded from features.unfolded_batches;
    if folded = 0 then
        return 0;
    end if;

    insert into catalogue.items (item_id, adopted)
    select distinct e.item_id, true
      from features.fresh_events() e
     where not exists (select from catalogue.items i where i.item_id = e.item_id)
        on conflict do nothing;

    insert into features.user_activity as u
    select * from features.merged_users() order by user_id
        on conflict (user_id) do update
       set (n_events, n_view, n_click, n_cart, n_purchase, n_rating, decayed_day, decayed_week, decayed_month,
            spend, rating_sum, first_event_at, last_event_at, recent_items, recent_types, recent_times,
            category_affinity, folded_at)
         = (excluded.n_events, excluded.n_view, excluded.n_click, excluded.n_cart, excluded.n_purchase,
            excluded.n_rating, excluded.decayed_day, excluded.decayed_week, excluded.decayed_month,
            excluded.spend, excluded.rating_sum, excluded.first_event_at, excluded.last_event_at,
            excluded.recent_items, excluded.recent_types, excluded.recent_times,
            excluded.category_affinity, excluded.folded_at);

    insert into features.item_activity as i
    select * from features.merged_items() order by item_id
        on conflict (item_id) do update
       set (n_events, n_view, n_click, n_cart, n_purchase, n_rating, decayed_day, decayed_week, decayed_month,
            spend, rating_sum, first_event_at, last_event_at, folded_at)
         = (excluded.n_events, excluded.n_view, excluded.n_click, excluded.n_cart, excluded.n_purchase,
            excluded.n_rating, excluded.decayed_day, excluded.decayed_week, excluded.decayed_month,
            excluded.spend, excluded.rating_sum, excluded.first_event_at, excluded.last_event_at, excluded.folded_at);

    insert into features.user_item_activity as p
    select * from features.merged_pairs() order by user_id, item_id
        on conflict (user_id, item_id) do update
       set (n_events, decayed_day, decayed_week, decayed_month, first_event_at, last_event_at)
         = (excluded.n_events, excluded.decayed_day, excluded.decayed_week, excluded.decayed_month,
            excluded.first_event_at, excluded.last_event_at);

    insert into features.clocks as c (stream, last_event_at)
    select stream, max(occurred_at) from features.fresh_events() group by stream
        on conflict (stream) do update set last_event_at = greatest(c.last_event_at, excluded.last_event_at);

    delete from features.unfolded_batches;
    return folded;
end
$$;

comment on function features.fold() is
    'Folds unfolded batches into the live features; returns the number of events. REPEATABLE READ only.';
