-- When a run's silence ends its lease. Nobody can be heard while the server is down, so that each holder has a whole
-- lease from the server's start: an outage takes no window away from those who work on it.
create function learning.lease_ends(lease_until timestamptz, heartbeat_at timestamptz)
    returns timestamptz
    stable
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    select greatest(lease_until, pg_postmaster_start_time() + (lease_until - heartbeat_at))
$$;

comment on function learning.lease_ends(timestamptz, timestamptz) is
    'When a lease ends: as renewed, or one lease after the server started.';
