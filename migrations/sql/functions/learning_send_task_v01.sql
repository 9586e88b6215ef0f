-- Puts a Celery task on a queue in the caller's transaction.
-- A message that the caller rolls back was never sent; one that it commits wakes a worker at once.
create function learning.send_task(queue text, task text, kwargs jsonb)
    returns uuid
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    id constant uuid := gen_random_uuid();
    embed constant jsonb := '{"callbacks": null, "errbacks": null, "chain": null, "chord": null}';
    body constant text := jsonb_build_array('[]'::jsonb, kwargs, embed)::text;
begin
    perform pgmq.send(queue, jsonb_build_object(
        -- encode() breaks lines every 76 characters; JSON consumers want none.
        'body', translate(encode(convert_to(body, 'UTF8'), 'base64'), E'\n', ''),
        'content-encoding', 'utf-8',
        'content-type', 'application/json',
        'headers', jsonb_build_object(
            'lang', 'sql', 'task', task, 'id', id, 'root_id', id, 'parent_id', null, 'group', null,
            'argsrepr', '()', 'kwargsrepr', kwargs::text, 'origin', 'postgresql', 'retries', 0,
            'eta', null, 'expires', null, 'timelimit', jsonb_build_array(null, null)),
        'properties', jsonb_build_object(
            'correlation_id', id, 'reply_to', id, 'delivery_mode', 2, 'priority', 0,
            'delivery_info', jsonb_build_object('exchange', '', 'routing_key', queue),
            'body_encoding', 'base64', 'delivery_tag', gen_random_uuid())));
    return id;
end
$$;

comment on function learning.send_task(text, text, jsonb) is
    'Puts a Celery task (protocol 2, JSON) on a queue; it is sent if and when the caller commits.';
