-- Recommendations and live features.

-- recommend --
-- The best items for a user, logged as an impression.
select * from serving.recommend(%(user)s::text, %(k)s::integer, %(stream)s::text, %(source)s::text)

-- user_features --
-- A user's live features, fresh at commit.
select * from features.user_features(%(user)s)

-- schema_present --
-- Whether the schema is there: the newest table that this program needs.
select to_regclass('ingest.files') is not null and to_regclass('serving.deployments') is not null
