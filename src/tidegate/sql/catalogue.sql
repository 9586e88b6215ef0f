-- The catalogue: items and users, by upsert.

-- stage_items --
-- A place for a batch of items, gone at the end of the transaction.
create temporary table incoming_items (
    place bigint, item_id text, title text, category text, price double precision, attributes jsonb,
    available boolean, given text[]) on commit drop

-- copy_items --
-- Stream a batch of items into that place.
copy pg_temp.incoming_items (place, item_id, title, category, price, attributes, available, given) from stdin

-- merge_items --
-- Bring the batch into the catalogue: only what was given is set, only rows that differ are touched, the last row
-- of an item counts, and rows are taken in the order of their key so that two batches cannot deadlock.
with batch as (
    select distinct on (n.item_id)
           n.item_id,
           case when 'title' = any (n.given) then n.title else i.title end as title,
           case when 'category' = any (n.given) then n.category else i.category end as category,
           case when 'price' = any (n.given) then n.price else i.price end as price,
           case when 'attributes' = any (n.given) then n.attributes else i.attributes end as attributes,
           case when 'available' = any (n.given) then n.available else i.available end as available
      from pg_temp.incoming_items n
      left join catalogue.items i on i.item_id = n.item_id
     order by n.item_id, n.place desc
), merged as (
    insert into catalogue.items as i (item_id, title, category, price, attributes, available)
    select item_id, title, category, price, coalesce(attributes, '{}'), coalesce(available, true) from batch
     order by item_id
        on conflict (item_id) do update
       set title = excluded.title, category = excluded.category, price = excluded.price,
           attributes = excluded.attributes, available = excluded.available, adopted = false,
           updated_at = clock_timestamp()
     where (i.title, i.category, i.price, i.attributes, i.available, i.adopted)
           is distinct from
           (excluded.title, excluded.category, excluded.price, excluded.attributes, excluded.available, false)
    returning i.item_id
)
select count(*), (select count(*) from merged) from batch

-- stage_users --
-- A place for a batch of users, gone at the end of the transaction.
create temporary table incoming_users (place bigint, user_id text, attributes jsonb, given text[]) on commit drop

-- copy_users --
-- Stream a batch of users into that place.
copy pg_temp.incoming_users (place, user_id, attributes, given) from stdin

-- merge_users --
-- Bring the batch into the catalogue, as items are.
with batch as (
    select distinct on (n.user_id)
           n.user_id, case when 'attributes' = any (n.given) then n.attributes else u.attributes end as attributes
      from pg_temp.incoming_users n
      left join catalogue.users u on u.user_id = n.user_id
     order by n.user_id, n.place desc
), merged as (
    insert into catalogue.users as u (user_id, attributes)
    select user_id, coalesce(attributes, '{}') from batch order by user_id
        on conflict (user_id) do update set attributes = excluded.attributes
     where u.attributes is distinct from excluded.attributes
    returning u.user_id
)
select count(*), (select count(*) from merged) from batch
