SELECT "id", "_seq" FROM "harvest"."user_billable_rates" WHERE "account_id" = $1 AND "id" = ANY($2);

SELECT "id", "_seq", "account_id" FROM "harvest"."user_billable_rates" WHERE "id" BETWEEN $1 AND $2 ORDER BY "id" LIMIT $3;

SELECT "id", "seq", "deleted_at" FROM "harvest"."_deleted" WHERE "stream" = $1 AND "account_id" = $2 AND "id" = ANY($3);

COPY "harvest"."user_billable_rates" ("id", "account_id", "user_id", "amount", "start_date", "end_date", "created_at", "updated_at", "extra", "_seq", "_observed_at", "_loaded_at", "_deleted_at") FROM STDIN (FORMAT binary);

CREATE TEMPORARY TABLE IF NOT EXISTS "pg_temp"."stage_user_billable_rates" ("id" bigint, "account_id" bigint, "user_id" bigint, "amount" numeric, "start_date" date, "end_date" date, "created_at" timestamptz, "updated_at" timestamptz, "extra" jsonb, "_seq" bigint, "_observed_at" timestamptz, "_loaded_at" timestamptz, "_deleted_at" timestamptz) ON COMMIT DELETE ROWS;

INSERT INTO "harvest"."user_billable_rates" AS t ("id", "account_id", "user_id", "amount", "start_date", "end_date", "created_at", "updated_at", "extra", "_seq", "_observed_at", "_loaded_at", "_deleted_at")
SELECT "id", "account_id", "user_id", "amount", "start_date", "end_date", "created_at", "updated_at", "extra", "_seq", "_observed_at", "_loaded_at", "_deleted_at" FROM "pg_temp"."stage_user_billable_rates"
ON CONFLICT ("id", "account_id") DO UPDATE SET "user_id" = excluded."user_id", "amount" = excluded."amount", "start_date" = excluded."start_date", "end_date" = excluded."end_date", "created_at" = excluded."created_at", "updated_at" = excluded."updated_at", "extra" = excluded."extra", "_seq" = excluded."_seq", "_observed_at" = excluded."_observed_at", "_loaded_at" = excluded."_loaded_at", "_deleted_at" = excluded."_deleted_at"
WHERE excluded."_seq" > t."_seq";

UPDATE "harvest"."user_billable_rates" AS t SET "user_id" = s."user_id", "amount" = s."amount", "start_date" = s."start_date", "end_date" = s."end_date", "created_at" = s."created_at", "updated_at" = s."updated_at", "extra" = s."extra", "_seq" = s."_seq", "_observed_at" = s."_observed_at", "_loaded_at" = s."_loaded_at", "_deleted_at" = s."_deleted_at"
FROM "pg_temp"."stage_user_billable_rates" AS s
WHERE t."id" = s."id" AND t."account_id" = s."account_id" AND s."_seq" > t."_seq";

INSERT INTO "harvest"."_deleted" AS d ("stream", "id", "account_id", "seq", "deleted_at")
SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::timestamptz[])
ON CONFLICT ("stream", "id", "account_id") DO UPDATE SET "seq" = excluded."seq", "deleted_at" = excluded."deleted_at"
WHERE excluded."seq" > d."seq";

COPY "harvest"."_deleted" ("stream", "id", "account_id", "seq", "deleted_at") FROM STDIN (FORMAT binary);

DELETE FROM "harvest"."user_billable_rates" AS t USING unnest($2::bigint[], $3::bigint[]) AS gone ("id", "seq")
WHERE t."account_id" = $1 AND t."id" = ANY($2) AND t."id" = gone."id" AND t."_seq" < gone."seq";

UPDATE "harvest"."user_billable_rates" AS t SET "_deleted_at" = gone."at", "_loaded_at" = $5
FROM unnest($2::bigint[], $3::bigint[], $4::timestamptz[]) AS gone ("id", "seq", "at")
WHERE t."account_id" = $1 AND t."id" = ANY($2) AND t."id" = gone."id" AND t."_seq" < gone."seq";

SELECT EXISTS (SELECT FROM pg_catalog.pg_attribute WHERE attrelid = '"harvest"."user_billable_rates"'::regclass AND atthasdef AND attname = ANY($1));

CREATE TABLE IF NOT EXISTS "harvest"."user_billable_rates" (
  "id" bigint NOT NULL,
  "account_id" bigint NOT NULL,
  "user_id" bigint,
  "amount" numeric,
  "start_date" date,
  "end_date" date,
  "created_at" timestamptz,
  "updated_at" timestamptz,
  "extra" jsonb,
  "_seq" bigint NOT NULL,
  "_observed_at" timestamptz,
  "_loaded_at" timestamptz NOT NULL,
  "_deleted_at" timestamptz,
  PRIMARY KEY ("id", "account_id")
);

UPDATE "harvest"."user_billable_rates" AS t SET "end_date" = (CASE WHEN jsonb_typeof((t.extra -> 'end_date')) = 'string' AND CASE WHEN ((t.extra -> 'end_date') #>> '{}') ~ '^(?!0000)\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$' THEN substr(((t.extra -> 'end_date') #>> '{}'), 9, 2)::int <= extract(day FROM make_date(substr(((t.extra -> 'end_date') #>> '{}'), 1, 4)::int, substr(((t.extra -> 'end_date') #>> '{}'), 6, 2)::int, 1) + interval '1 month -1 day') ELSE false END THEN ((t.extra -> 'end_date') #>> '{}')::date END), extra = nullif(t.extra - 'end_date', '{}')
WHERE t.extra IS NOT NULL AND (CASE WHEN jsonb_typeof((t.extra -> 'end_date')) = 'string' AND CASE WHEN ((t.extra -> 'end_date') #>> '{}') ~ '^(?!0000)\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$' THEN substr(((t.extra -> 'end_date') #>> '{}'), 9, 2)::int <= extract(day FROM make_date(substr(((t.extra -> 'end_date') #>> '{}'), 1, 4)::int, substr(((t.extra -> 'end_date') #>> '{}'), 6, 2)::int, 1) + interval '1 month -1 day') ELSE false END THEN ((t.extra -> 'end_date') #>> '{}')::date END) IS NOT NULL;
