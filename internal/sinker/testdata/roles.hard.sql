SELECT "id", "_seq" FROM "harvest"."roles" WHERE "account_id" = $1 AND "id" = ANY($2);

SELECT "id", "_seq", "account_id" FROM "harvest"."roles" WHERE "id" BETWEEN $1 AND $2 ORDER BY "id" LIMIT $3;

SELECT "id", "seq", "deleted_at" FROM "harvest"."_deleted" WHERE "stream" = $1 AND "account_id" = $2 AND "id" = ANY($3);

COPY "harvest"."roles" ("id", "account_id", "name", "created_at", "updated_at", "user_ids", "extra", "_seq", "_observed_at", "_loaded_at") FROM STDIN (FORMAT binary);

CREATE TEMPORARY TABLE IF NOT EXISTS "pg_temp"."stage_roles" ("id" bigint, "account_id" bigint, "name" text, "created_at" timestamptz, "updated_at" timestamptz, "user_ids" bigint[], "extra" jsonb, "_seq" bigint, "_observed_at" timestamptz, "_loaded_at" timestamptz) ON COMMIT DELETE ROWS;

INSERT INTO "harvest"."roles" AS t ("id", "account_id", "name", "created_at", "updated_at", "user_ids", "extra", "_seq", "_observed_at", "_loaded_at")
SELECT "id", "account_id", "name", "created_at", "updated_at", "user_ids", "extra", "_seq", "_observed_at", "_loaded_at" FROM "pg_temp"."stage_roles"
ON CONFLICT ("id", "account_id") DO UPDATE SET "name" = excluded."name", "created_at" = excluded."created_at", "updated_at" = excluded."updated_at", "user_ids" = excluded."user_ids", "extra" = excluded."extra", "_seq" = excluded."_seq", "_observed_at" = excluded."_observed_at", "_loaded_at" = excluded."_loaded_at"
WHERE excluded."_seq" > t."_seq";

UPDATE "harvest"."roles" AS t SET "name" = s."name", "created_at" = s."created_at", "updated_at" = s."updated_at", "user_ids" = s."user_ids", "extra" = s."extra", "_seq" = s."_seq", "_observed_at" = s."_observed_at", "_loaded_at" = s."_loaded_at"
FROM "pg_temp"."stage_roles" AS s
WHERE t."id" = s."id" AND t."account_id" = s."account_id" AND s."_seq" > t."_seq";

INSERT INTO "harvest"."_deleted" AS d ("stream", "id", "account_id", "seq", "deleted_at")
SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::timestamptz[])
ON CONFLICT ("stream", "id", "account_id") DO UPDATE SET "seq" = excluded."seq", "deleted_at" = excluded."deleted_at"
WHERE excluded."seq" > d."seq";

COPY "harvest"."_deleted" ("stream", "id", "account_id", "seq", "deleted_at") FROM STDIN (FORMAT binary);

DELETE FROM "harvest"."roles" AS t USING unnest($2::bigint[], $3::bigint[]) AS gone ("id", "seq")
WHERE t."account_id" = $1 AND t."id" = ANY($2) AND t."id" = gone."id" AND t."_seq" < gone."seq";

UPDATE "harvest"."roles" AS t SET "_deleted_at" = gone."at", "_loaded_at" = $5
FROM unnest($2::bigint[], $3::bigint[], $4::timestamptz[]) AS gone ("id", "seq", "at")
WHERE t."account_id" = $1 AND t."id" = ANY($2) AND t."id" = gone."id" AND t."_seq" < gone."seq";

SELECT EXISTS (SELECT FROM pg_catalog.pg_attribute WHERE attrelid = '"harvest"."roles"'::regclass AND atthasdef AND attname = ANY($1));

CREATE TABLE IF NOT EXISTS "harvest"."roles" (
  "id" bigint NOT NULL,
  "account_id" bigint NOT NULL,
  "name" text,
  "created_at" timestamptz,
  "updated_at" timestamptz,
  "user_ids" bigint[],
  "extra" jsonb,
  "_seq" bigint NOT NULL,
  "_observed_at" timestamptz,
  "_loaded_at" timestamptz NOT NULL,
  PRIMARY KEY ("id", "account_id")
);

UPDATE "harvest"."roles" AS t SET "user_ids" = (CASE WHEN jsonb_typeof((t.extra -> 'user_ids')) = 'array' THEN CASE WHEN NOT EXISTS (SELECT FROM jsonb_array_elements((t.extra -> 'user_ids')) AS i (e) WHERE NOT CASE WHEN jsonb_typeof(e) = 'number' THEN e::numeric BETWEEN -9223372036854775808 AND 9223372036854775807 AND e::numeric = trunc(e::numeric) ELSE false END) THEN ARRAY(SELECT e::numeric::bigint FROM jsonb_array_elements((t.extra -> 'user_ids')) AS i (e)) END END), extra = nullif(t.extra - 'user_ids', '{}')
WHERE t.extra IS NOT NULL AND (CASE WHEN jsonb_typeof((t.extra -> 'user_ids')) = 'array' THEN CASE WHEN NOT EXISTS (SELECT FROM jsonb_array_elements((t.extra -> 'user_ids')) AS i (e) WHERE NOT CASE WHEN jsonb_typeof(e) = 'number' THEN e::numeric BETWEEN -9223372036854775808 AND 9223372036854775807 AND e::numeric = trunc(e::numeric) ELSE false END) THEN ARRAY(SELECT e::numeric::bigint FROM jsonb_array_elements((t.extra -> 'user_ids')) AS i (e)) END END) IS NOT NULL;
