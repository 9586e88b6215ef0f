-- Types an event that came as text or JSON. `reasons` names every value that its column cannot take; null for none.
-- What is empty is missing, and names that are not ours go into the context. Inlined into the statement that calls it,
-- which sets TimeZone and DateStyle.
create function ingest.typed(event jsonb)
    returns table (
        stream text, user_id text, item_id text, event_type text, value double precision, occurred_at timestamptz,
        context jsonb, client_key text, reasons text[])
    language sql
    stable
as $$
    select coalesce(nullif(ingest.as_text(event -> 'stream'), ''), 'default'),
           ingest.as_text(event -> 'user_id'),
           ingest.as_text(event -> 'item_id'),
           ingest.as_text(event -> 'event_type'),
           ingest.as_number(nullif(event ->> 'value', '')),
           ingest.as_moment(nullif(event ->> 'occurred_at', '')),
           case when r.rest is null then c.context
                when c.context is null then r.rest
                when jsonb_typeof(c.context) = 'object' then r.rest || c.context
                else c.context end,
           nullif(ingest.as_text(event -> 'client_key'), ''),
           nullif(array_remove(array[
               case when jsonb_typeof(event -> 'stream') in ('object', 'array', 'boolean')
                    then ingest.complaint('stream', 'text', event -> 'stream') end,
               case when jsonb_typeof(event -> 'user_id') in ('object', 'array', 'boolean')
                    then ingest.complaint('user_id', 'text', event -> 'user_id') end,
               case when jsonb_typeof(event -> 'item_id') in ('object', 'array', 'boolean')
                    then ingest.complaint('item_id', 'text', event -> 'item_id') end,
               case when jsonb_typeof(event -> 'event_type') in ('object', 'array', 'boolean')
                    then ingest.complaint('event_type', 'text', event -> 'event_type') end,
               case when event ->> 'value' <> '' and ingest.as_number(event ->> 'value') is null
                    then ingest.complaint('value', 'a number', event -> 'value') end,
               case when event ->> 'occurred_at' <> '' and ingest.as_moment(event ->> 'occurred_at') is null
                    then ingest.complaint('occurred_at', 'a time', event -> 'occurred_at') end,
               case when jsonb_typeof(event -> 'context') = 'string' and event ->> 'context' <> ''
                         and ingest.as_json(event ->> 'context') is null
                    then ingest.complaint('context', 'JSON', event -> 'context') end,
               case when jsonb_typeof(event -> 'client_key') in ('object', 'array', 'boolean')
                    then ingest.complaint('client_key', 'text', event -> 'client_key') end], null), '{}')
      from (select case
                when jsonb_typeof(event -> 'context') = 'null' or event ->> 'context' = '' then null
                when jsonb_typeof(event -> 'context') <> 'string' then event -> 'context'
                else ingest.as_json(event ->> 'context')
                end as context) as c
     cross join (select case
                -- Most events name nothing else: then there is nothing to take apart.
                when event - array['stream', 'user_id', 'item_id', 'event_type', 'value', 'occurred_at', 'context',
                                   'client_key', 'event_id', 'ingested_at'] <> '{}'
                then (select jsonb_object_agg(o.key, o.value)
                        from jsonb_each(event - array[
                                 'stream', 'user_id', 'item_id', 'event_type', 'value', 'occurred_at', 'context',
                                 'client_key', 'event_id', 'ingested_at']) as o
                       where o.value not in ('null', '""'))
                end as rest) as r
$$;

comment on function ingest.typed(jsonb) is
    'An event that came as text or JSON, typed; reasons says what its columns cannot take.';
