SELECT "id", "_seq" FROM "harvest"."users" WHERE "account_id" = $1 AND "id" = ANY($2);

SELECT "id", "_seq", "account_id" FROM "harvest"."users" WHERE "id" BETWEEN $1 AND $2 ORDER BY "id" LIMIT $3;

SELECT "id", "seq", "deleted_at" FROM "harvest"."_deleted" WHERE "stream" = $1 AND "account_id" = $2 AND "id" = ANY($3);

COPY "harvest"."users" ("id", "account_id", "first_name", "last_name", "employee_id", "email", "telephone", "timezone", "weekly_capacity", "has_access_to_all_future_projects", "is_contractor", "is_active", "calendar_integration_enabled", "calendar_integration_source", "created_at", "updated_at", "can_create_projects", "default_hourly_rate", "cost_rate", "roles", "access_roles", "permissions_claims", "avatar_url", "saml_exempt", "extra", "_seq", "_observed_at", "_loaded_at") FROM STDIN (FORMAT binary);

CREATE TEMPORARY TABLE IF NOT EXISTS "pg_temp"."stage_users" ("id" bigint, "account_id" bigint, "first_name" text, "last_name" text, "employee_id" text, "email" text, "telephone" text, "timezone" text, "weekly_capacity" bigint, "has_access_to_all_future_projects" boolean, "is_contractor" boolean, "is_active" boolean, "calendar_integration_enabled" boolean, "calendar_integration_source" text, "created_at" timestamptz, "updated_at" timestamptz, "can_create_projects" boolean, "default_hourly_rate" numeric, "cost_rate" numeric, "roles" text[], "access_roles" text[], "permissions_claims" text[], "avatar_url" text, "saml_exempt" boolean, "extra" jsonb, "_seq" bigint, "_observed_at" timestamptz, "_loaded_at" timestamptz) ON COMMIT DELETE ROWS;

INSERT INTO "harvest"."users" AS t ("id", "account_id", "first_name", "last_name", "employee_id", "email", "telephone", "timezone", "weekly_capacity", "has_access_to_all_future_projects", "is_contractor", "is_active", "calendar_integration_enabled", "calendar_integration_source", "created_at", "updated_at", "can_create_projects", "default_hourly_rate", "cost_rate", "roles", "access_roles", "permissions_claims", "avatar_url", "saml_exempt", "extra", "_seq", "_observed_at", "_loaded_at")
SELECT "id", "account_id", "first_name", "last_name", "employee_id", "email", "telephone", "timezone", "weekly_capacity", "has_access_to_all_future_projects", "is_contractor", "is_active", "calendar_integration_enabled", "calendar_integration_source", "created_at", "updated_at", "can_create_projects", "default_hourly_rate", "cost_rate", "roles", "access_roles", "permissions_claims", "avatar_url", "saml_exempt", "extra", "_seq", "_observed_at", "_loaded_at" FROM "pg_temp"."stage_users"
ON CONFLICT ("id", "account_id") DO UPDATE SET "first_name" = excluded."first_name", "last_name" = excluded."last_name", "employee_id" = excluded."employee_id", "email" = excluded."email", "telephone" = excluded."telephone", "timezone" = excluded."timezone", "weekly_capacity" = excluded."weekly_capacity", "has_access_to_all_future_projects" = excluded."has_access_to_all_future_projects", "is_contractor" = excluded."is_contractor", "is_active" = excluded."is_active", "calendar_integration_enabled" = excluded."calendar_integration_enabled", "calendar_integration_source" = excluded."calendar_integration_source", "created_at" = excluded."created_at", "updated_at" = excluded."updated_at", "can_create_projects" = excluded."can_create_projects", "default_hourly_rate" = excluded."default_hourly_rate", "cost_rate" = excluded."cost_rate", "roles" = excluded."roles", "access_roles" = excluded."access_roles", "permissions_claims" = excluded."permissions_claims", "avatar_url" = excluded."avatar_url", "saml_exempt" = excluded."saml_exempt", "extra" = excluded."extra", "_seq" = excluded."_seq", "_observed_at" = excluded."_observed_at", "_loaded_at" = excluded."_loaded_at"
WHERE excluded."_seq" > t."_seq";

UPDATE "harvest"."users" AS t SET "first_name" = s."first_name", "last_name" = s."last_name", "employee_id" = s."employee_id", "email" = s."email", "telephone" = s."telephone", "timezone" = s."timezone", "weekly_capacity" = s."weekly_capacity", "has_access_to_all_future_projects" = s."has_access_to_all_future_projects", "is_contractor" = s."is_contractor", "is_active" = s."is_active", "calendar_integration_enabled" = s."calendar_integration_enabled", "calendar_integration_source" = s."calendar_integration_source", "created_at" = s."created_at", "updated_at" = s."updated_at", "can_create_projects" = s."can_create_projects", "default_hourly_rate" = s."default_hourly_rate", "cost_rate" = s."cost_rate", "roles" = s."roles", "access_roles" = s."access_roles", "permissions_claims" = s."permissions_claims", "avatar_url" = s."avatar_url", "saml_exempt" = s."saml_exempt", "extra" = s."extra", "_seq" = s."_seq", "_observed_at" = s."_observed_at", "_loaded_at" = s."_loaded_at"
FROM "pg_temp"."stage_users" AS s
WHERE t."id" = s."id" AND t."account_id" = s."account_id" AND s."_seq" > t."_seq";

INSERT INTO "harvest"."_deleted" AS d ("stream", "id", "account_id", "seq", "deleted_at")
SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::timestamptz[])
ON CONFLICT ("stream", "id", "account_id") DO UPDATE SET "seq" = excluded."seq", "deleted_at" = excluded."deleted_at"
WHERE excluded."seq" > d."seq";

COPY "harvest"."_deleted" ("stream", "id", "account_id", "seq", "deleted_at") FROM STDIN (FORMAT binary);

DELETE FROM "harvest"."users" AS t USING unnest($2::bigint[], $3::bigint[]) AS gone ("id", "seq")
WHERE t."account_id" = $1 AND t."id" = ANY($2) AND t."id" = gone."id" AND t."_seq" < gone."seq";

UPDATE "harvest"."users" AS t SET "_deleted_at" = gone."at", "_loaded_at" = $5
FROM unnest($2::bigint[], $3::bigint[], $4::timestamptz[]) AS gone ("id", "seq", "at")
WHERE t."account_id" = $1 AND t."id" = ANY($2) AND t."id" = gone."id" AND t."_seq" < gone."seq";

SELECT EXISTS (SELECT FROM pg_catalog.pg_attribute WHERE attrelid = '"harvest"."users"'::regclass AND atthasdef AND attname = ANY($1));

CREATE TABLE IF NOT EXISTS "harvest"."users" (
  "id" bigint NOT NULL,
  "account_id" bigint NOT NULL,
  "first_name" text,
  "last_name" text,
  "employee_id" text,
  "email" text,
  "telephone" text,
  "timezone" text,
  "weekly_capacity" bigint,
  "has_access_to_all_future_projects" boolean,
  "is_contractor" boolean,
  "is_active" boolean,
  "calendar_integration_enabled" boolean,
  "calendar_integration_source" text,
  "created_at" timestamptz,
  "updated_at" timestamptz,
  "can_create_projects" boolean,
  "default_hourly_rate" numeric,
  "cost_rate" numeric,
  "roles" text[],
  "access_roles" text[],
  "permissions_claims" text[],
  "avatar_url" text,
  "saml_exempt" boolean,
  "extra" jsonb,
  "_seq" bigint NOT NULL,
  "_observed_at" timestamptz,
  "_loaded_at" timestamptz NOT NULL,
  PRIMARY KEY ("id", "account_id")
);

UPDATE "harvest"."users" AS t SET "email" = (CASE WHEN jsonb_typeof((t.extra -> 'email')) = 'string' THEN ((t.extra -> 'email') #>> '{}') END), extra = nullif(t.extra - 'email', '{}')
WHERE t.extra IS NOT NULL AND (CASE WHEN jsonb_typeof((t.extra -> 'email')) = 'string' THEN ((t.extra -> 'email') #>> '{}') END) IS NOT NULL;
