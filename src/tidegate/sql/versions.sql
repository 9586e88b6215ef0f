-- Versions: publishing one, reading its weights.

-- finish_run --
-- End a run in success, if it still holds the window's newest fencing token.
update learning.runs
   set state = 'succeeded', finished_at = clock_timestamp()
 where token = %(token)s and state = 'running'
   and token = (select max(token) from learning.runs where window_id = %(window)s)

-- finish_window --
-- Mark a window as trained.
update learning.windows set state = 'trained', finished_at = clock_timestamp() where window_id = %(window)s

-- insert_weights --
-- Store weights under their hash.
insert into learning.weights (weights_hash, content) values (%(hash)s, %(content)s) on conflict do nothing

-- insert_version --
-- Add a version with the stream's next number.
insert into learning.versions
    (stream, number, parent_id, window_id, run_id, weights_hash, scoring, manifest, text_hashes, verdict, reason)
select %(stream)s, 1 + coalesce(max(number), 0), %(parent)s, %(window)s, %(run)s, %(hash)s,
       %(scoring)s, %(manifest)s, %(texts)s, %(verdict)s, %(reason)s
  from learning.versions where stream = %(stream)s
returning version_id

-- insert_evaluation --
-- Add one figure.
insert into learning.evaluations (run_id, subject, slice, metric, value, version_id)
values (%s, %s, %s, %s, %s, %s)

-- insert_ranking_head --
-- Add a version's ranking head.
insert into learning.ranking_heads (version_id, service, content, scoring, manifest)
values (%(version)s, %(service)s, %(content)s, %(scoring)s, %(manifest)s)

-- read_ranking_head --
-- The ranking head of a version, if it has one.
select content from learning.ranking_heads where version_id = %(version)s

-- copy_item_vectors --
-- Stream in the item vectors of a version, and what follows each item.
copy serving.item_vectors (version_id, item_id, vector, followers, follow_weights) from stdin

-- copy_user_vectors --
-- Stream in the user vectors of a version.
copy serving.user_vectors (version_id, user_id, vector, as_of) from stdin

-- deploy --
-- Flip the pointer.
select learning.deploy(%(version)s, %(reason)s)

-- read_weights --
-- The weights of a version, with the hash that names them.
select w.weights_hash, w.content
  from learning.versions v join learning.weights w using (weights_hash)
 where v.version_id = %(version)s

-- service_of_version --
-- The feature service that a version was trained on, the live one of a stream unless said otherwise; null before
-- manifests named it.
select manifest -> 'service'
  from learning.versions
 where version_id = coalesce(%(version)s::bigint, serving.live_version(%(stream)s))

-- version_to_replay --
-- What was recorded of a version when it was trained.
select stream, number, parent_id, weights_hash, manifest, text_hashes
  from learning.versions where version_id = %(version)s
