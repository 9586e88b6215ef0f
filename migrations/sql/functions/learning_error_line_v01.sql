-- Says in one line what a Python traceback says: the line after its last frame. What a database adds below (LINE, CONTEXT,
-- HINT) explains the error and does not name it. Of a text that is no traceback, the last line.
create function learning.error_line(traceback text)
    returns text
    immutable
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    select coalesce(
        substring(traceback from '^.*\n  File [^\n]*\n(?:    [^\n]*\n)*([^\n]+)'),
        substring(rtrim(traceback, E' \n') from '[^\n]*$'))
$$;

comment on function learning.error_line(text) is 'The one line of a traceback that names the error.';
