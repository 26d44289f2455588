SELECT "id", "_seq" FROM "harvest"."task_assignments" WHERE "account_id" = $1 AND "id" = ANY($2);

SELECT "id", "_seq", "account_id" FROM "harvest"."task_assignments" WHERE "id" BETWEEN $1 AND $2 ORDER BY "id" LIMIT $3;

SELECT "id", "seq", "deleted_at" FROM "harvest"."_deleted" WHERE "stream" = $1 AND "account_id" = $2 AND "id" = ANY($3);

COPY "harvest"."task_assignments" ("id", "account_id", "billable", "is_active", "created_at", "updated_at", "hourly_rate", "budget", "project_id", "project_name", "project_code", "task_id", "task_name", "extra", "_seq", "_observed_at", "_loaded_at") FROM STDIN (FORMAT binary);

CREATE TEMPORARY TABLE IF NOT EXISTS "pg_temp"."stage_task_assignments" ("id" bigint, "account_id" bigint, "billable" boolean, "is_active" boolean, "created_at" timestamptz, "updated_at" timestamptz, "hourly_rate" numeric, "budget" numeric, "project_id" bigint, "project_name" text, "project_code" text, "task_id" bigint, "task_name" text, "extra" jsonb, "_seq" bigint, "_observed_at" timestamptz, "_loaded_at" timestamptz) ON COMMIT DELETE ROWS;

INSERT INTO "harvest"."task_assignments" AS t ("id", "account_id", "billable", "is_active", "created_at", "updated_at", "hourly_rate", "budget", "project_id", "project_name", "project_code", "task_id", "task_name", "extra", "_seq", "_observed_at", "_loaded_at")
SELECT "id", "account_id", "billable", "is_active", "created_at", "updated_at", "hourly_rate", "budget", "project_id", "project_name", "project_code", "task_id", "task_name", "extra", "_seq", "_observed_at", "_loaded_at" FROM "pg_temp"."stage_task_assignments"
ON CONFLICT ("id", "account_id") DO UPDATE SET "billable" = excluded."billable", "is_active" = excluded."is_active", "created_at" = excluded."created_at", "updated_at" = excluded."updated_at", "hourly_rate" = excluded."hourly_rate", "budget" = excluded."budget", "project_id" = excluded."project_id", "project_name" = excluded."project_name", "project_code" = excluded."project_code", "task_id" = excluded."task_id", "task_name" = excluded."task_name", "extra" = excluded."extra", "_seq" = excluded."_seq", "_observed_at" = excluded."_observed_at", "_loaded_at" = excluded."_loaded_at"
WHERE excluded."_seq" > t."_seq";

UPDATE "harvest"."task_assignments" AS t SET "billable" = s."billable", "is_active" = s."is_active", "created_at" = s."created_at", "updated_at" = s."updated_at", "hourly_rate" = s."hourly_rate", "budget" = s."budget", "project_id" = s."project_id", "project_name" = s."project_name", "project_code" = s."project_code", "task_id" = s."task_id", "task_name" = s."task_name", "extra" = s."extra", "_seq" = s."_seq", "_observed_at" = s."_observed_at", "_loaded_at" = s."_loaded_at"
FROM "pg_temp"."stage_task_assignments" AS s
WHERE t."id" = s."id" AND t."account_id" = s."account_id" AND s."_seq" > t."_seq";

INSERT INTO "harvest"."_deleted" AS d ("stream", "id", "account_id", "seq", "deleted_at")
SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::timestamptz[])
ON CONFLICT ("stream", "id", "account_id") DO UPDATE SET "seq" = excluded."seq", "deleted_at" = excluded."deleted_at"
WHERE excluded."seq" > d."seq";

COPY "harvest"."_deleted" ("stream", "id", "account_id", "seq", "deleted_at") FROM STDIN (FORMAT binary);

DELETE FROM "harvest"."task_assignments" AS t USING unnest($2::bigint[], $3::bigint[]) AS gone ("id", "seq")
WHERE t."account_id" = $1 AND t."id" = ANY($2) AND t."id" = gone."id" AND t."_seq" < gone."seq";

UPDATE "harvest"."task_assignments" AS t SET "_deleted_at" = gone."at", "_loaded_at" = $5
FROM unnest($2::bigint[], $3::bigint[], $4::timestamptz[]) AS gone ("id", "seq", "at")
WHERE t."account_id" = $1 AND t."id" = ANY($2) AND t."id" = gone."id" AND t."_seq" < gone."seq";

SELECT EXISTS (SELECT FROM pg_catalog.pg_attribute WHERE attrelid = '"harvest"."task_assignments"'::regclass AND atthasdef AND attname = ANY($1));

CREATE TABLE IF NOT EXISTS "harvest"."task_assignments" (
  "id" bigint NOT NULL,
  "account_id" bigint NOT NULL,
  "billable" boolean,
  "is_active" boolean,
  "created_at" timestamptz,
  "updated_at" timestamptz,
  "hourly_rate" numeric,
  "budget" numeric,
  "project_id" bigint,
  "project_name" text,
  "project_code" text,
  "task_id" bigint,
  "task_name" text,
  "extra" jsonb,
  "_seq" bigint NOT NULL,
  "_observed_at" timestamptz,
  "_loaded_at" timestamptz NOT NULL,
  PRIMARY KEY ("id", "account_id")
);

UPDATE "harvest"."task_assignments" AS t SET "updated_at" = (CASE WHEN jsonb_typeof((t.extra -> 'updated_at')) = 'string' AND CASE WHEN ((t.extra -> 'updated_at') #>> '{}') ~ '^(?!0000)\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?(Z|[+-](0\d|1[0-4]):[0-5]\d)$' THEN substr(((t.extra -> 'updated_at') #>> '{}'), 9, 2)::int <= extract(day FROM make_date(substr(((t.extra -> 'updated_at') #>> '{}'), 1, 4)::int, substr(((t.extra -> 'updated_at') #>> '{}'), 6, 2)::int, 1) + interval '1 month -1 day') ELSE false END THEN date_trunc('milliseconds', ((t.extra -> 'updated_at') #>> '{}')::timestamptz) END), extra = nullif(t.extra - 'updated_at', '{}')
WHERE t.extra IS NOT NULL AND (CASE WHEN jsonb_typeof((t.extra -> 'updated_at')) = 'string' AND CASE WHEN ((t.extra -> 'updated_at') #>> '{}') ~ '^(?!0000)\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?(Z|[+-](0\d|1[0-4]):[0-5]\d)$' THEN substr(((t.extra -> 'updated_at') #>> '{}'), 9, 2)::int <= extract(day FROM make_date(substr(((t.extra -> 'updated_at') #>> '{}'), 1, 4)::int, substr(((t.extra -> 'updated_at') #>> '{}'), 6, 2)::int, 1) + interval '1 month -1 day') ELSE false END THEN date_trunc('milliseconds', ((t.extra -> 'updated_at') #>> '{}')::timestamptz) END) IS NOT NULL;
