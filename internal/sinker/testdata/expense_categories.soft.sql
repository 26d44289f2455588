SELECT "id", "_seq" FROM "harvest"."expense_categories" WHERE "account_id" = $1 AND "id" = ANY($2);

SELECT "id", "_seq", "account_id" FROM "harvest"."expense_categories" WHERE "id" BETWEEN $1 AND $2 ORDER BY "id" LIMIT $3;

SELECT "id", "seq", "deleted_at" FROM "harvest"."_deleted" WHERE "stream" = $1 AND "account_id" = $2 AND "id" = ANY($3);

COPY "harvest"."expense_categories" ("id", "account_id", "name", "unit_name", "unit_price", "is_active", "created_at", "updated_at", "extra", "_seq", "_observed_at", "_loaded_at", "_deleted_at") FROM STDIN (FORMAT binary);

CREATE TEMPORARY TABLE IF NOT EXISTS "pg_temp"."stage_expense_categories" ("id" bigint, "account_id" bigint, "name" text, "unit_name" text, "unit_price" numeric, "is_active" boolean, "created_at" timestamptz, "updated_at" timestamptz, "extra" jsonb, "_seq" bigint, "_observed_at" timestamptz, "_loaded_at" timestamptz, "_deleted_at" timestamptz) ON COMMIT DELETE ROWS;

INSERT INTO "harvest"."expense_categories" AS t ("id", "account_id", "name", "unit_name", "unit_price", "is_active", "created_at", "updated_at", "extra", "_seq", "_observed_at", "_loaded_at", "_deleted_at")
SELECT "id", "account_id", "name", "unit_name", "unit_price", "is_active", "created_at", "updated_at", "extra", "_seq", "_observed_at", "_loaded_at", "_deleted_at" FROM "pg_temp"."stage_expense_categories"
ON CONFLICT ("id", "account_id") DO UPDATE SET "name" = excluded."name", "unit_name" = excluded."unit_name", "unit_price" = excluded."unit_price", "is_active" = excluded."is_active", "created_at" = excluded."created_at", "updated_at" = excluded."updated_at", "extra" = excluded."extra", "_seq" = excluded."_seq", "_observed_at" = excluded."_observed_at", "_loaded_at" = excluded."_loaded_at", "_deleted_at" = excluded."_deleted_at"
WHERE excluded."_seq" > t."_seq";

UPDATE "harvest"."expense_categories" AS t SET "name" = s."name", "unit_name" = s."unit_name", "unit_price" = s."unit_price", "is_active" = s."is_active", "created_at" = s."created_at", "updated_at" = s."updated_at", "extra" = s."extra", "_seq" = s."_seq", "_observed_at" = s."_observed_at", "_loaded_at" = s."_loaded_at", "_deleted_at" = s."_deleted_at"
FROM "pg_temp"."stage_expense_categories" AS s
WHERE t."id" = s."id" AND t."account_id" = s."account_id" AND s."_seq" > t."_seq";

INSERT INTO "harvest"."_deleted" AS d ("stream", "id", "account_id", "seq", "deleted_at")
SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::timestamptz[])
ON CONFLICT ("stream", "id", "account_id") DO UPDATE SET "seq" = excluded."seq", "deleted_at" = excluded."deleted_at"
WHERE excluded."seq" > d."seq";

COPY "harvest"."_deleted" ("stream", "id", "account_id", "seq", "deleted_at") FROM STDIN (FORMAT binary);

DELETE FROM "harvest"."expense_categories" AS t USING unnest($2::bigint[], $3::bigint[]) AS gone ("id", "seq")
WHERE t."account_id" = $1 AND t."id" = ANY($2) AND t."id" = gone."id" AND t."_seq" < gone."seq";

UPDATE "harvest"."expense_categories" AS t SET "_deleted_at" = gone."at", "_loaded_at" = $5
FROM unnest($2::bigint[], $3::bigint[], $4::timestamptz[]) AS gone ("id", "seq", "at")
WHERE t."account_id" = $1 AND t."id" = ANY($2) AND t."id" = gone."id" AND t."_seq" < gone."seq";

SELECT EXISTS (SELECT FROM pg_catalog.pg_attribute WHERE attrelid = '"harvest"."expense_categories"'::regclass AND atthasdef AND attname = ANY($1));

CREATE TABLE IF NOT EXISTS "harvest"."expense_categories" (
  "id" bigint NOT NULL,
  "account_id" bigint NOT NULL,
  "name" text,
  "unit_name" text,
  "unit_price" numeric,
  "is_active" boolean,
  "created_at" timestamptz,
  "updated_at" timestamptz,
  "extra" jsonb,
  "_seq" bigint NOT NULL,
  "_observed_at" timestamptz,
  "_loaded_at" timestamptz NOT NULL,
  "_deleted_at" timestamptz,
  PRIMARY KEY ("id", "account_id")
);

UPDATE "harvest"."expense_categories" AS t SET "is_active" = (CASE WHEN jsonb_typeof((t.extra -> 'is_active')) = 'boolean' THEN (t.extra -> 'is_active')::boolean END), extra = nullif(t.extra - 'is_active', '{}')
WHERE t.extra IS NOT NULL AND (CASE WHEN jsonb_typeof((t.extra -> 'is_active')) = 'boolean' THEN (t.extra -> 'is_active')::boolean END) IS NOT NULL;
