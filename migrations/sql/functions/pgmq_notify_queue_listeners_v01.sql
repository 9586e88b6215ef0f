-- Wakes whoever listens to a queue, and does nothing else.
-- PGMQ's own updates a throttle row first. Our interval is zero, and that one row would make every transaction that
-- sends wait for the commit of the one before, and fail REPEATABLE READ writers outright.
create or replace function pgmq.notify_queue_listeners()
    returns trigger
    language plpgsql
as $$
begin
    perform pg_notify('pgmq.' || tg_table_name || '.' || tg_op, null);
    return new;
end
$$;

comment on function pgmq.notify_queue_listeners() is
    'Notifies the listeners of a queue without a throttle row, which would serialise writers.';
