SELECT "id", "_seq" FROM "harvest"."projects" WHERE "account_id" = $1 AND "id" = ANY($2);

SELECT "id", "_seq", "account_id" FROM "harvest"."projects" WHERE "id" BETWEEN $1 AND $2 ORDER BY "id" LIMIT $3;

SELECT "id", "seq", "deleted_at" FROM "harvest"."_deleted" WHERE "stream" = $1 AND "account_id" = $2 AND "id" = ANY($3);

COPY "harvest"."projects" ("id", "account_id", "name", "code", "is_active", "is_billable", "is_fixed_fee", "bill_by", "budget", "budget_by", "budget_is_monthly", "notify_when_over_budget", "over_budget_notification_percentage", "show_budget_to_all", "created_at", "updated_at", "starts_on", "ends_on", "over_budget_notification_date", "currency", "notes", "cost_budget", "cost_budget_include_expenses", "hourly_rate", "fee", "client_id", "client_name", "client_currency", "extra", "_seq", "_observed_at", "_loaded_at", "_deleted_at") FROM STDIN (FORMAT binary);

CREATE TEMPORARY TABLE IF NOT EXISTS "pg_temp"."stage_projects" ("id" bigint, "account_id" bigint, "name" text, "code" text, "is_active" boolean, "is_billable" boolean, "is_fixed_fee" boolean, "bill_by" text, "budget" numeric, "budget_by" text, "budget_is_monthly" boolean, "notify_when_over_budget" boolean, "over_budget_notification_percentage" numeric, "show_budget_to_all" boolean, "created_at" timestamptz, "updated_at" timestamptz, "starts_on" date, "ends_on" date, "over_budget_notification_date" date, "currency" text, "notes" text, "cost_budget" numeric, "cost_budget_include_expenses" boolean, "hourly_rate" numeric, "fee" numeric, "client_id" bigint, "client_name" text, "client_currency" text, "extra" jsonb, "_seq" bigint, "_observed_at" timestamptz, "_loaded_at" timestamptz, "_deleted_at" timestamptz) ON COMMIT DELETE ROWS;

INSERT INTO "harvest"."projects" AS t ("id", "account_id", "name", "code", "is_active", "is_billable", "is_fixed_fee", "bill_by", "budget", "budget_by", "budget_is_monthly", "notify_when_over_budget", "over_budget_notification_percentage", "show_budget_to_all", "created_at", "updated_at", "starts_on", "ends_on", "over_budget_notification_date", "currency", "notes", "cost_budget", "cost_budget_include_expenses", "hourly_rate", "fee", "client_id", "client_name", "client_currency", "extra", "_seq", "_observed_at", "_loaded_at", "_deleted_at")
SELECT "id", "account_id", "name", "code", "is_active", "is_billable", "is_fixed_fee", "bill_by", "budget", "budget_by", "budget_is_monthly", "notify_when_over_budget", "over_budget_notification_percentage", "show_budget_to_all", "created_at", "updated_at", "starts_on", "ends_on", "over_budget_notification_date", "currency", "notes", "cost_budget", "cost_budget_include_expenses", "hourly_rate", "fee", "client_id", "client_name", "client_currency", "extra", "_seq", "_observed_at", "_loaded_at", "_deleted_at" FROM "pg_temp"."stage_projects"
ON CONFLICT ("id", "account_id") DO UPDATE SET "name" = excluded."name", "code" = excluded."code", "is_active" = excluded."is_active", "is_billable" = excluded."is_billable", "is_fixed_fee" = excluded."is_fixed_fee", "bill_by" = excluded."bill_by", "budget" = excluded."budget", "budget_by" = excluded."budget_by", "budget_is_monthly" = excluded."budget_is_monthly", "notify_when_over_budget" = excluded."notify_when_over_budget", "over_budget_notification_percentage" = excluded."over_budget_notification_percentage", "show_budget_to_all" = excluded."show_budget_to_all", "created_at" = excluded."created_at", "updated_at" = excluded."updated_at", "starts_on" = excluded."starts_on", "ends_on" = excluded."ends_on", "over_budget_notification_date" = excluded."over_budget_notification_date", "currency" = excluded."currency", "notes" = excluded."notes", "cost_budget" = excluded."cost_budget", "cost_budget_include_expenses" = excluded."cost_budget_include_expenses", "hourly_rate" = excluded."hourly_rate", "fee" = excluded."fee", "client_id" = excluded."client_id", "client_name" = excluded."client_name", "client_currency" = excluded."client_currency", "extra" = excluded."extra", "_seq" = excluded."_seq", "_observed_at" = excluded."_observed_at", "_loaded_at" = excluded."_loaded_at", "_deleted_at" = excluded."_deleted_at"
WHERE excluded."_seq" > t."_seq";

UPDATE "harvest"."projects" AS t SET "name" = s."name", "code" = s."code", "is_active" = s."is_active", "is_billable" = s."is_billable", "is_fixed_fee" = s."is_fixed_fee", "bill_by" = s."bill_by", "budget" = s."budget", "budget_by" = s."budget_by", "budget_is_monthly" = s."budget_is_monthly", "notify_when_over_budget" = s."notify_when_over_budget", "over_budget_notification_percentage" = s."over_budget_notification_percentage", "show_budget_to_all" = s."show_budget_to_all", "created_at" = s."created_at", "updated_at" = s."updated_at", "starts_on" = s."starts_on", "ends_on" = s."ends_on", "over_budget_notification_date" = s."over_budget_notification_date", "currency" = s."currency", "notes" = s."notes", "cost_budget" = s."cost_budget", "cost_budget_include_expenses" = s."cost_budget_include_expenses", "hourly_rate" = s."hourly_rate", "fee" = s."fee", "client_id" = s."client_id", "client_name" = s."client_name", "client_currency" = s."client_currency", "extra" = s."extra", "_seq" = s."_seq", "_observed_at" = s."_observed_at", "_loaded_at" = s."_loaded_at", "_deleted_at" = s."_deleted_at"
FROM "pg_temp"."stage_projects" AS s
WHERE t."id" = s."id" AND t."account_id" = s."account_id" AND s."_seq" > t."_seq";

INSERT INTO "harvest"."_deleted" AS d ("stream", "id", "account_id", "seq", "deleted_at")
SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::timestamptz[])
ON CONFLICT ("stream", "id", "account_id") DO UPDATE SET "seq" = excluded."seq", "deleted_at" = excluded."deleted_at"
WHERE excluded."seq" > d."seq";

COPY "harvest"."_deleted" ("stream", "id", "account_id", "seq", "deleted_at") FROM STDIN (FORMAT binary);

DELETE FROM "harvest"."projects" AS t USING unnest($2::bigint[], $3::bigint[]) AS gone ("id", "seq")
WHERE t."account_id" = $1 AND t."id" = ANY($2) AND t."id" = gone."id" AND t."_seq" < gone."seq";

UPDATE "harvest"."projects" AS t SET "_deleted_at" = gone."at", "_loaded_at" = $5
FROM unnest($2::bigint[], $3::bigint[], $4::timestamptz[]) AS gone ("id", "seq", "at")
WHERE t."account_id" = $1 AND t."id" = ANY($2) AND t."id" = gone."id" AND t."_seq" < gone."seq";

SELECT EXISTS (SELECT FROM pg_catalog.pg_attribute WHERE attrelid = '"harvest"."projects"'::regclass AND atthasdef AND attname = ANY($1));

CREATE TABLE IF NOT EXISTS "harvest"."projects" (
  "id" bigint NOT NULL,
  "account_id" bigint NOT NULL,
  "name" text,
  "code" text,
  "is_active" boolean,
  "is_billable" boolean,
  "is_fixed_fee" boolean,
  "bill_by" text,
  "budget" numeric,
  "budget_by" text,
  "budget_is_monthly" boolean,
  "notify_when_over_budget" boolean,
  "over_budget_notification_percentage" numeric,
  "show_budget_to_all" boolean,
  "created_at" timestamptz,
  "updated_at" timestamptz,
  "starts_on" date,
  "ends_on" date,
  "over_budget_notification_date" date,
  "currency" text,
  "notes" text,
  "cost_budget" numeric,
  "cost_budget_include_expenses" boolean,
  "hourly_rate" numeric,
  "fee" numeric,
  "client_id" bigint,
  "client_name" text,
  "client_currency" text,
  "extra" jsonb,
  "_seq" bigint NOT NULL,
  "_observed_at" timestamptz,
  "_loaded_at" timestamptz NOT NULL,
  "_deleted_at" timestamptz,
  PRIMARY KEY ("id", "account_id")
);

UPDATE "harvest"."projects" AS t SET "is_billable" = (CASE WHEN jsonb_typeof((t.extra -> 'is_billable')) = 'boolean' THEN (t.extra -> 'is_billable')::boolean END), extra = nullif(t.extra - 'is_billable', '{}')
WHERE t.extra IS NOT NULL AND (CASE WHEN jsonb_typeof((t.extra -> 'is_billable')) = 'boolean' THEN (t.extra -> 'is_billable')::boolean END) IS NOT NULL;
