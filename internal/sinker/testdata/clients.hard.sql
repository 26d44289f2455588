SELECT "id", "_seq" FROM "harvest"."clients" WHERE "account_id" = $1 AND "id" = ANY($2);

SELECT "id", "_seq", "account_id" FROM "harvest"."clients" WHERE "id" BETWEEN $1 AND $2 ORDER BY "id" LIMIT $3;

SELECT "id", "seq", "deleted_at" FROM "harvest"."_deleted" WHERE "stream" = $1 AND "account_id" = $2 AND "id" = ANY($3);

COPY "harvest"."clients" ("id", "account_id", "name", "is_active", "address", "statement_key", "created_at", "updated_at", "currency", "extra", "_seq", "_observed_at", "_loaded_at") FROM STDIN (FORMAT binary);

CREATE TEMPORARY TABLE IF NOT EXISTS "pg_temp"."stage_clients" ("id" bigint, "account_id" bigint, "name" text, "is_active" boolean, "address" text, "statement_key" text, "created_at" timestamptz, "updated_at" timestamptz, "currency" text, "extra" jsonb, "_seq" bigint, "_observed_at" timestamptz, "_loaded_at" timestamptz) ON COMMIT DELETE ROWS;

INSERT INTO "harvest"."clients" AS t ("id", "account_id", "name", "is_active", "address", "statement_key", "created_at", "updated_at", "currency", "extra", "_seq", "_observed_at", "_loaded_at")
SELECT "id", "account_id", "name", "is_active", "address", "statement_key", "created_at", "updated_at", "currency", "extra", "_seq", "_observed_at", "_loaded_at" FROM "pg_temp"."stage_clients"
ON CONFLICT ("id", "account_id") DO UPDATE SET "name" = excluded."name", "is_active" = excluded."is_active", "address" = excluded."address", "statement_key" = excluded."statement_key", "created_at" = excluded."created_at", "updated_at" = excluded."updated_at", "currency" = excluded."currency", "extra" = excluded."extra", "_seq" = excluded."_seq", "_observed_at" = excluded."_observed_at", "_loaded_at" = excluded."_loaded_at"
WHERE excluded."_seq" > t."_seq";

UPDATE "harvest"."clients" AS t SET "name" = s."name", "is_active" = s."is_active", "address" = s."address", "statement_key" = s."statement_key", "created_at" = s."created_at", "updated_at" = s."updated_at", "currency" = s."currency", "extra" = s."extra", "_seq" = s."_seq", "_observed_at" = s."_observed_at", "_loaded_at" = s."_loaded_at"
FROM "pg_temp"."stage_clients" AS s
WHERE t."id" = s."id" AND t."account_id" = s."account_id" AND s."_seq" > t."_seq";

INSERT INTO "harvest"."_deleted" AS d ("stream", "id", "account_id", "seq", "deleted_at")
SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::timestamptz[])
ON CONFLICT ("stream", "id", "account_id") DO UPDATE SET "seq" = excluded."seq", "deleted_at" = excluded."deleted_at"
WHERE excluded."seq" > d."seq";

COPY "harvest"."_deleted" ("stream", "id", "account_id", "seq", "deleted_at") FROM STDIN (FORMAT binary);

DELETE FROM "harvest"."clients" AS t USING unnest($2::bigint[], $3::bigint[]) AS gone ("id", "seq")
WHERE t."account_id" = $1 AND t."id" = ANY($2) AND t."id" = gone."id" AND t."_seq" < gone."seq";

UPDATE "harvest"."clients" AS t SET "_deleted_at" = gone."at", "_loaded_at" = $5
FROM unnest($2::bigint[], $3::bigint[], $4::timestamptz[]) AS gone ("id", "seq", "at")
WHERE t."account_id" = $1 AND t."id" = ANY($2) AND t."id" = gone."id" AND t."_seq" < gone."seq";

SELECT EXISTS (SELECT FROM pg_catalog.pg_attribute WHERE attrelid = '"harvest"."clients"'::regclass AND atthasdef AND attname = ANY($1));

CREATE TABLE IF NOT EXISTS "harvest"."clients" (
  "id" bigint NOT NULL,
  "account_id" bigint NOT NULL,
  "name" text,
  "is_active" boolean,
  "address" text,
  "statement_key" text,
  "created_at" timestamptz,
  "updated_at" timestamptz,
  "currency" text,
  "extra" jsonb,
  "_seq" bigint NOT NULL,
  "_observed_at" timestamptz,
  "_loaded_at" timestamptz NOT NULL,
  PRIMARY KEY ("id", "account_id")
);

UPDATE "harvest"."clients" AS t SET "statement_key" = (CASE WHEN jsonb_typeof((t.extra -> 'statement_key')) = 'string' THEN ((t.extra -> 'statement_key') #>> '{}') END), extra = nullif(t.extra - 'statement_key', '{}')
WHERE t.extra IS NOT NULL AND (CASE WHEN jsonb_typeof((t.extra -> 'statement_key')) = 'string' THEN ((t.extra -> 'statement_key') #>> '{}') END) IS NOT NULL;
