SELECT "id", "_seq" FROM "harvest"."invoice_item_categories" WHERE "account_id" = $1 AND "id" = ANY($2);

SELECT "id", "_seq", "account_id" FROM "harvest"."invoice_item_categories" WHERE "id" BETWEEN $1 AND $2 ORDER BY "id" LIMIT $3;

SELECT "id", "seq", "deleted_at" FROM "harvest"."_deleted" WHERE "stream" = $1 AND "account_id" = $2 AND "id" = ANY($3);

COPY "harvest"."invoice_item_categories" ("id", "account_id", "name", "use_as_service", "use_as_expense", "created_at", "updated_at", "extra", "_seq", "_observed_at", "_loaded_at", "_deleted_at") FROM STDIN (FORMAT binary);

CREATE TEMPORARY TABLE IF NOT EXISTS "pg_temp"."stage_invoice_item_categories" ("id" bigint, "account_id" bigint, "name" text, "use_as_service" boolean, "use_as_expense" boolean, "created_at" timestamptz, "updated_at" timestamptz, "extra" jsonb, "_seq" bigint, "_observed_at" timestamptz, "_loaded_at" timestamptz, "_deleted_at" timestamptz) ON COMMIT DELETE ROWS;

INSERT INTO "harvest"."invoice_item_categories" AS t ("id", "account_id", "name", "use_as_service", "use_as_expense", "created_at", "updated_at", "extra", "_seq", "_observed_at", "_loaded_at", "_deleted_at")
SELECT "id", "account_id", "name", "use_as_service", "use_as_expense", "created_at", "updated_at", "extra", "_seq", "_observed_at", "_loaded_at", "_deleted_at" FROM "pg_temp"."stage_invoice_item_categories"
ON CONFLICT ("id", "account_id") DO UPDATE SET "name" = excluded."name", "use_as_service" = excluded."use_as_service", "use_as_expense" = excluded."use_as_expense", "created_at" = excluded."created_at", "updated_at" = excluded."updated_at", "extra" = excluded."extra", "_seq" = excluded."_seq", "_observed_at" = excluded."_observed_at", "_loaded_at" = excluded."_loaded_at", "_deleted_at" = excluded."_deleted_at"
WHERE excluded."_seq" > t."_seq";

UPDATE "harvest"."invoice_item_categories" AS t SET "name" = s."name", "use_as_service" = s."use_as_service", "use_as_expense" = s."use_as_expense", "created_at" = s."created_at", "updated_at" = s."updated_at", "extra" = s."extra", "_seq" = s."_seq", "_observed_at" = s."_observed_at", "_loaded_at" = s."_loaded_at", "_deleted_at" = s."_deleted_at"
FROM "pg_temp"."stage_invoice_item_categories" AS s
WHERE t."id" = s."id" AND t."account_id" = s."account_id" AND s."_seq" > t."_seq";

INSERT INTO "harvest"."_deleted" AS d ("stream", "id", "account_id", "seq", "deleted_at")
SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::timestamptz[])
ON CONFLICT ("stream", "id", "account_id") DO UPDATE SET "seq" = excluded."seq", "deleted_at" = excluded."deleted_at"
WHERE excluded."seq" > d."seq";

COPY "harvest"."_deleted" ("stream", "id", "account_id", "seq", "deleted_at") FROM STDIN (FORMAT binary);

DELETE FROM "harvest"."invoice_item_categories" AS t USING unnest($2::bigint[], $3::bigint[]) AS gone ("id", "seq")
WHERE t."account_id" = $1 AND t."id" = ANY($2) AND t."id" = gone."id" AND t."_seq" < gone."seq";

UPDATE "harvest"."invoice_item_categories" AS t SET "_deleted_at" = gone."at", "_loaded_at" = $5
FROM unnest($2::bigint[], $3::bigint[], $4::timestamptz[]) AS gone ("id", "seq", "at")
WHERE t."account_id" = $1 AND t."id" = ANY($2) AND t."id" = gone."id" AND t."_seq" < gone."seq";

SELECT EXISTS (SELECT FROM pg_catalog.pg_attribute WHERE attrelid = '"harvest"."invoice_item_categories"'::regclass AND atthasdef AND attname = ANY($1));

CREATE TABLE IF NOT EXISTS "harvest"."invoice_item_categories" (
  "id" bigint NOT NULL,
  "account_id" bigint NOT NULL,
  "name" text,
  "use_as_service" boolean,
  "use_as_expense" boolean,
  "created_at" timestamptz,
  "updated_at" timestamptz,
  "extra" jsonb,
  "_seq" bigint NOT NULL,
  "_observed_at" timestamptz,
  "_loaded_at" timestamptz NOT NULL,
  "_deleted_at" timestamptz,
  PRIMARY KEY ("id", "account_id")
);

UPDATE "harvest"."invoice_item_categories" AS t SET "created_at" = (CASE WHEN jsonb_typeof((t.extra -> 'created_at')) = 'string' AND CASE WHEN ((t.extra -> 'created_at') #>> '{}') ~ '^(?!0000)\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?(Z|[+-](0\d|1[0-4]):[0-5]\d)$' THEN substr(((t.extra -> 'created_at') #>> '{}'), 9, 2)::int <= extract(day FROM make_date(substr(((t.extra -> 'created_at') #>> '{}'), 1, 4)::int, substr(((t.extra -> 'created_at') #>> '{}'), 6, 2)::int, 1) + interval '1 month -1 day') ELSE false END THEN date_trunc('milliseconds', ((t.extra -> 'created_at') #>> '{}')::timestamptz) END), extra = nullif(t.extra - 'created_at', '{}')
WHERE t.extra IS NOT NULL AND (CASE WHEN jsonb_typeof((t.extra -> 'created_at')) = 'string' AND CASE WHEN ((t.extra -> 'created_at') #>> '{}') ~ '^(?!0000)\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?(Z|[+-](0\d|1[0-4]):[0-5]\d)$' THEN substr(((t.extra -> 'created_at') #>> '{}'), 9, 2)::int <= extract(day FROM make_date(substr(((t.extra -> 'created_at') #>> '{}'), 1, 4)::int, substr(((t.extra -> 'created_at') #>> '{}'), 6, 2)::int, 1) + interval '1 month -1 day') ELSE false END THEN date_trunc('milliseconds', ((t.extra -> 'created_at') #>> '{}')::timestamptz) END) IS NOT NULL;
