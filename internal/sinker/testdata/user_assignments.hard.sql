SELECT "id", "_seq" FROM "harvest"."user_assignments" WHERE "account_id" = $1 AND "id" = ANY($2);

SELECT "id", "_seq", "account_id" FROM "harvest"."user_assignments" WHERE "id" BETWEEN $1 AND $2 ORDER BY "id" LIMIT $3;

SELECT "id", "seq", "deleted_at" FROM "harvest"."_deleted" WHERE "stream" = $1 AND "account_id" = $2 AND "id" = ANY($3);

COPY "harvest"."user_assignments" ("id", "account_id", "is_project_manager", "is_active", "use_default_rates", "budget", "created_at", "updated_at", "hourly_rate", "project_id", "project_name", "project_code", "user_id", "user_name", "extra", "_seq", "_observed_at", "_loaded_at") FROM STDIN (FORMAT binary);

CREATE TEMPORARY TABLE IF NOT EXISTS "pg_temp"."stage_user_assignments" ("id" bigint, "account_id" bigint, "is_project_manager" boolean, "is_active" boolean, "use_default_rates" boolean, "budget" numeric, "created_at" timestamptz, "updated_at" timestamptz, "hourly_rate" numeric, "project_id" bigint, "project_name" text, "project_code" text, "user_id" bigint, "user_name" text, "extra" jsonb, "_seq" bigint, "_observed_at" timestamptz, "_loaded_at" timestamptz) ON COMMIT DELETE ROWS;

INSERT INTO "harvest"."user_assignments" AS t ("id", "account_id", "is_project_manager", "is_active", "use_default_rates", "budget", "created_at", "updated_at", "hourly_rate", "project_id", "project_name", "project_code", "user_id", "user_name", "extra", "_seq", "_observed_at", "_loaded_at")
SELECT "id", "account_id", "is_project_manager", "is_active", "use_default_rates", "budget", "created_at", "updated_at", "hourly_rate", "project_id", "project_name", "project_code", "user_id", "user_name", "extra", "_seq", "_observed_at", "_loaded_at" FROM "pg_temp"."stage_user_assignments"
ON CONFLICT ("id", "account_id") DO UPDATE SET "is_project_manager" = excluded."is_project_manager", "is_active" = excluded."is_active", "use_default_rates" = excluded."use_default_rates", "budget" = excluded."budget", "created_at" = excluded."created_at", "updated_at" = excluded."updated_at", "hourly_rate" = excluded."hourly_rate", "project_id" = excluded."project_id", "project_name" = excluded."project_name", "project_code" = excluded."project_code", "user_id" = excluded."user_id", "user_name" = excluded."user_name", "extra" = excluded."extra", "_seq" = excluded."_seq", "_observed_at" = excluded."_observed_at", "_loaded_at" = excluded."_loaded_at"
WHERE excluded."_seq" > t."_seq";

UPDATE "harvest"."user_assignments" AS t SET "is_project_manager" = s."is_project_manager", "is_active" = s."is_active", "use_default_rates" = s."use_default_rates", "budget" = s."budget", "created_at" = s."created_at", "updated_at" = s."updated_at", "hourly_rate" = s."hourly_rate", "project_id" = s."project_id", "project_name" = s."project_name", "project_code" = s."project_code", "user_id" = s."user_id", "user_name" = s."user_name", "extra" = s."extra", "_seq" = s."_seq", "_observed_at" = s."_observed_at", "_loaded_at" = s."_loaded_at"
FROM "pg_temp"."stage_user_assignments" AS s
WHERE t."id" = s."id" AND t."account_id" = s."account_id" AND s."_seq" > t."_seq";

INSERT INTO "harvest"."_deleted" AS d ("stream", "id", "account_id", "seq", "deleted_at")
SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::timestamptz[])
ON CONFLICT ("stream", "id", "account_id") DO UPDATE SET "seq" = excluded."seq", "deleted_at" = excluded."deleted_at"
WHERE excluded."seq" > d."seq";

COPY "harvest"."_deleted" ("stream", "id", "account_id", "seq", "deleted_at") FROM STDIN (FORMAT binary);

DELETE FROM "harvest"."user_assignments" AS t USING unnest($2::bigint[], $3::bigint[]) AS gone ("id", "seq")
WHERE t."account_id" = $1 AND t."id" = ANY($2) AND t."id" = gone."id" AND t."_seq" < gone."seq";

UPDATE "harvest"."user_assignments" AS t SET "_deleted_at" = gone."at", "_loaded_at" = $5
FROM unnest($2::bigint[], $3::bigint[], $4::timestamptz[]) AS gone ("id", "seq", "at")
WHERE t."account_id" = $1 AND t."id" = ANY($2) AND t."id" = gone."id" AND t."_seq" < gone."seq";

SELECT EXISTS (SELECT FROM pg_catalog.pg_attribute WHERE attrelid = '"harvest"."user_assignments"'::regclass AND atthasdef AND attname = ANY($1));

CREATE TABLE IF NOT EXISTS "harvest"."user_assignments" (
  "id" bigint NOT NULL,
  "account_id" bigint NOT NULL,
  "is_project_manager" boolean,
  "is_active" boolean,
  "use_default_rates" boolean,
  "budget" numeric,
  "created_at" timestamptz,
  "updated_at" timestamptz,
  "hourly_rate" numeric,
  "project_id" bigint,
  "project_name" text,
  "project_code" text,
  "user_id" bigint,
  "user_name" text,
  "extra" jsonb,
  "_seq" bigint NOT NULL,
  "_observed_at" timestamptz,
  "_loaded_at" timestamptz NOT NULL,
  PRIMARY KEY ("id", "account_id")
);

UPDATE "harvest"."user_assignments" AS t SET "budget" = (CASE WHEN abs(CASE WHEN jsonb_typeof((t.extra -> 'budget')) = 'number' THEN (t.extra -> 'budget')::numeric END) < 1e29 THEN trim_scale(round(CASE WHEN jsonb_typeof((t.extra -> 'budget')) = 'number' THEN (t.extra -> 'budget')::numeric END, 9)) END), extra = nullif(t.extra - 'budget', '{}')
WHERE t.extra IS NOT NULL AND (CASE WHEN abs(CASE WHEN jsonb_typeof((t.extra -> 'budget')) = 'number' THEN (t.extra -> 'budget')::numeric END) < 1e29 THEN trim_scale(round(CASE WHEN jsonb_typeof((t.extra -> 'budget')) = 'number' THEN (t.extra -> 'budget')::numeric END, 9)) END) IS NOT NULL;
