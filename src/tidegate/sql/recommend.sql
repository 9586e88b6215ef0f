-- Recommendations and live features.

-- recommend --
-- The best items for a user, logged as an impression.
select * from serving.recommend(%(user)s, %(k)s, %(stream)s, %(source)s)

-- user_features --
-- A user's live features, fresh at commit.
select * from features.user_features(%(user)s)

-- schema_present --
-- Whether the schema is there: the newest table that this program needs.
select to_regclass('ingest.files') is not null and to_regclass('serving.deployments') is not null
