-- The overload that Celery's remote control needs: the transport passes headers and no delay.
create or replace function pgmq.send_topic(routing_key text, msg jsonb, headers jsonb)
    returns integer
    language sql
as $$
    select pgmq.send_topic(routing_key, msg, headers, 0)
$$;

comment on function pgmq.send_topic(text, jsonb, jsonb) is 'As send_topic with a delay of zero.';
