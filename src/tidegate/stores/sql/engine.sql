-- The batch engine's statements. What stands in braces is put in as identifiers and expressions.

-- newest --
-- The newest row of each key within a closed range.
select distinct on ({keys}) {values}
  from {source} s
 where {timestamp} between {first} and {last} and {known}
 order by {keys}, {newest_first}

-- materialise --
-- The newest rows into an online table, never over newer ones: the guard of the online store's own writes.
insert into {table} as kept ({columns})
{newest}
    on conflict ({primary_key}) do update
   set {sets}
 where kept.{kept_timestamp} is null
    or excluded.{kept_timestamp} > kept.{kept_timestamp}
    or (excluded.{kept_timestamp} = kept.{kept_timestamp}
        and coalesce(excluded.{kept_created} >= kept.{kept_created}, true))

-- seconds_of_list --
-- The times of a list in whole seconds.
case when {list} is not null then
    (select coalesce(array_agg(date_trunc('second', each.moment) order by each.number), '{{}}')
       from unnest({list}) with ordinality each (moment, number))
end

-- set_of_list --
-- The values of a list, each once.
case when {list} is not null then
    (select coalesce(array_agg(distinct each.value), '{{}}') from unnest({list}) each (value) where each.value is not null)
end
