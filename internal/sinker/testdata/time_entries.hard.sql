SELECT "id", "_seq" FROM "harvest"."time_entries" WHERE "account_id" = $1 AND "id" = ANY($2);

SELECT "id", "_seq", "account_id" FROM "harvest"."time_entries" WHERE "id" BETWEEN $1 AND $2 ORDER BY "id" LIMIT $3;

SELECT "id", "seq", "deleted_at" FROM "harvest"."_deleted" WHERE "stream" = $1 AND "account_id" = $2 AND "id" = ANY($3);

COPY "harvest"."time_entries" ("id", "account_id", "spent_date", "hours", "hours_without_timer", "rounded_hours", "notes", "is_locked", "is_explicitly_locked", "locked_reason", "approval_status", "is_closed", "is_billed", "timer_started_at", "started_time", "ended_time", "is_running", "billable", "budgeted", "billable_rate", "cost_rate", "created_at", "updated_at", "user_id", "user_name", "client_id", "client_name", "client_currency", "project_id", "project_name", "project_code", "task_id", "task_name", "user_assignment_id", "user_assignment_is_project_manager", "user_assignment_is_active", "user_assignment_use_default_rates", "user_assignment_budget", "user_assignment_created_at", "user_assignment_updated_at", "user_assignment_hourly_rate", "task_assignment_id", "task_assignment_billable", "task_assignment_is_active", "task_assignment_created_at", "task_assignment_updated_at", "task_assignment_hourly_rate", "task_assignment_budget", "invoice_id", "invoice_number", "external_reference_id", "external_reference_group_id", "external_reference_account_id", "external_reference_permalink", "external_reference_service", "external_reference_service_icon_url", "extra", "_seq", "_observed_at", "_loaded_at") FROM STDIN (FORMAT binary);

CREATE TEMPORARY TABLE IF NOT EXISTS "pg_temp"."stage_time_entries" ("id" bigint, "account_id" bigint, "spent_date" date, "hours" numeric, "hours_without_timer" numeric, "rounded_hours" numeric, "notes" text, "is_locked" boolean, "is_explicitly_locked" boolean, "locked_reason" text, "approval_status" text, "is_closed" boolean, "is_billed" boolean, "timer_started_at" timestamptz, "started_time" text, "ended_time" text, "is_running" boolean, "billable" boolean, "budgeted" boolean, "billable_rate" numeric, "cost_rate" numeric, "created_at" timestamptz, "updated_at" timestamptz, "user_id" bigint, "user_name" text, "client_id" bigint, "client_name" text, "client_currency" text, "project_id" bigint, "project_name" text, "project_code" text, "task_id" bigint, "task_name" text, "user_assignment_id" bigint, "user_assignment_is_project_manager" boolean, "user_assignment_is_active" boolean, "user_assignment_use_default_rates" boolean, "user_assignment_budget" numeric, "user_assignment_created_at" timestamptz, "user_assignment_updated_at" timestamptz, "user_assignment_hourly_rate" numeric, "task_assignment_id" bigint, "task_assignment_billable" boolean, "task_assignment_is_active" boolean, "task_assignment_created_at" timestamptz, "task_assignment_updated_at" timestamptz, "task_assignment_hourly_rate" numeric, "task_assignment_budget" numeric, "invoice_id" bigint, "invoice_number" text, "external_reference_id" text, "external_reference_group_id" text, "external_reference_account_id" text, "external_reference_permalink" text, "external_reference_service" text, "external_reference_service_icon_url" text, "extra" jsonb, "_seq" bigint, "_observed_at" timestamptz, "_loaded_at" timestamptz) ON COMMIT DELETE ROWS;

INSERT INTO "harvest"."time_entries" AS t ("id", "account_id", "spent_date", "hours", "hours_without_timer", "rounded_hours", "notes", "is_locked", "is_explicitly_locked", "locked_reason", "approval_status", "is_closed", "is_billed", "timer_started_at", "started_time", "ended_time", "is_running", "billable", "budgeted", "billable_rate", "cost_rate", "created_at", "updated_at", "user_id", "user_name", "client_id", "client_name", "client_currency", "project_id", "project_name", "project_code", "task_id", "task_name", "user_assignment_id", "user_assignment_is_project_manager", "user_assignment_is_active", "user_assignment_use_default_rates", "user_assignment_budget", "user_assignment_created_at", "user_assignment_updated_at", "user_assignment_hourly_rate", "task_assignment_id", "task_assignment_billable", "task_assignment_is_active", "task_assignment_created_at", "task_assignment_updated_at", "task_assignment_hourly_rate", "task_assignment_budget", "invoice_id", "invoice_number", "external_reference_id", "external_reference_group_id", "external_reference_account_id", "external_reference_permalink", "external_reference_service", "external_reference_service_icon_url", "extra", "_seq", "_observed_at", "_loaded_at")
SELECT "id", "account_id", "spent_date", "hours", "hours_without_timer", "rounded_hours", "notes", "is_locked", "is_explicitly_locked", "locked_reason", "approval_status", "is_closed", "is_billed", "timer_started_at", "started_time", "ended_time", "is_running", "billable", "budgeted", "billable_rate", "cost_rate", "created_at", "updated_at", "user_id", "user_name", "client_id", "client_name", "client_currency", "project_id", "project_name", "project_code", "task_id", "task_name", "user_assignment_id", "user_assignment_is_project_manager", "user_assignment_is_active", "user_assignment_use_default_rates", "user_assignment_budget", "user_assignment_created_at", "user_assignment_updated_at", "user_assignment_hourly_rate", "task_assignment_id", "task_assignment_billable", "task_assignment_is_active", "task_assignment_created_at", "task_assignment_updated_at", "task_assignment_hourly_rate", "task_assignment_budget", "invoice_id", "invoice_number", "external_reference_id", "external_reference_group_id", "external_reference_account_id", "external_reference_permalink", "external_reference_service", "external_reference_service_icon_url", "extra", "_seq", "_observed_at", "_loaded_at" FROM "pg_temp"."stage_time_entries"
ON CONFLICT ("id", "account_id") DO UPDATE SET "spent_date" = excluded."spent_date", "hours" = excluded."hours", "hours_without_timer" = excluded."hours_without_timer", "rounded_hours" = excluded."rounded_hours", "notes" = excluded."notes", "is_locked" = excluded."is_locked", "is_explicitly_locked" = excluded."is_explicitly_locked", "locked_reason" = excluded."locked_reason", "approval_status" = excluded."approval_status", "is_closed" = excluded."is_closed", "is_billed" = excluded."is_billed", "timer_started_at" = excluded."timer_started_at", "started_time" = excluded."started_time", "ended_time" = excluded."ended_time", "is_running" = excluded."is_running", "billable" = excluded."billable", "budgeted" = excluded."budgeted", "billable_rate" = excluded."billable_rate", "cost_rate" = excluded."cost_rate", "created_at" = excluded."created_at", "updated_at" = excluded."updated_at", "user_id" = excluded."user_id", "user_name" = excluded."user_name", "client_id" = excluded."client_id", "client_name" = excluded."client_name", "client_currency" = excluded."client_currency", "project_id" = excluded."project_id", "project_name" = excluded."project_name", "project_code" = excluded."project_code", "task_id" = excluded."task_id", "task_name" = excluded."task_name", "user_assignment_id" = excluded."user_assignment_id", "user_assignment_is_project_manager" = excluded."user_assignment_is_project_manager", "user_assignment_is_active" = excluded."user_assignment_is_active", "user_assignment_use_default_rates" = excluded."user_assignment_use_default_rates", "user_assignment_budget" = excluded."user_assignment_budget", "user_assignment_created_at" = excluded."user_assignment_created_at", "user_assignment_updated_at" = excluded."user_assignment_updated_at", "user_assignment_hourly_rate" = excluded."user_assignment_hourly_rate", "task_assignment_id" = excluded."task_assignment_id", "task_assignment_billable" = excluded."task_assignment_billable", "task_assignment_is_active" = excluded."task_assignment_is_active", "task_assignment_created_at" = excluded."task_assignment_created_at", "task_assignment_updated_at" = excluded."task_assignment_updated_at", "task_assignment_hourly_rate" = excluded."task_assignment_hourly_rate", "task_assignment_budget" = excluded."task_assignment_budget", "invoice_id" = excluded."invoice_id", "invoice_number" = excluded."invoice_number", "external_reference_id" = excluded."external_reference_id", "external_reference_group_id" = excluded."external_reference_group_id", "external_reference_account_id" = excluded."external_reference_account_id", "external_reference_permalink" = excluded."external_reference_permalink", "external_reference_service" = excluded."external_reference_service", "external_reference_service_icon_url" = excluded."external_reference_service_icon_url", "extra" = excluded."extra", "_seq" = excluded."_seq", "_observed_at" = excluded."_observed_at", "_loaded_at" = excluded."_loaded_at"
WHERE excluded."_seq" > t."_seq";

UPDATE "harvest"."time_entries" AS t SET "spent_date" = s."spent_date", "hours" = s."hours", "hours_without_timer" = s."hours_without_timer", "rounded_hours" = s."rounded_hours", "notes" = s."notes", "is_locked" = s."is_locked", "is_explicitly_locked" = s."is_explicitly_locked", "locked_reason" = s."locked_reason", "approval_status" = s."approval_status", "is_closed" = s."is_closed", "is_billed" = s."is_billed", "timer_started_at" = s."timer_started_at", "started_time" = s."started_time", "ended_time" = s."ended_time", "is_running" = s."is_running", "billable" = s."billable", "budgeted" = s."budgeted", "billable_rate" = s."billable_rate", "cost_rate" = s."cost_rate", "created_at" = s."created_at", "updated_at" = s."updated_at", "user_id" = s."user_id", "user_name" = s."user_name", "client_id" = s."client_id", "client_name" = s."client_name", "client_currency" = s."client_currency", "project_id" = s."project_id", "project_name" = s."project_name", "project_code" = s."project_code", "task_id" = s."task_id", "task_name" = s."task_name", "user_assignment_id" = s."user_assignment_id", "user_assignment_is_project_manager" = s."user_assignment_is_project_manager", "user_assignment_is_active" = s."user_assignment_is_active", "user_assignment_use_default_rates" = s."user_assignment_use_default_rates", "user_assignment_budget" = s."user_assignment_budget", "user_assignment_created_at" = s."user_assignment_created_at", "user_assignment_updated_at" = s."user_assignment_updated_at", "user_assignment_hourly_rate" = s."user_assignment_hourly_rate", "task_assignment_id" = s."task_assignment_id", "task_assignment_billable" = s."task_assignment_billable", "task_assignment_is_active" = s."task_assignment_is_active", "task_assignment_created_at" = s."task_assignment_created_at", "task_assignment_updated_at" = s."task_assignment_updated_at", "task_assignment_hourly_rate" = s."task_assignment_hourly_rate", "task_assignment_budget" = s."task_assignment_budget", "invoice_id" = s."invoice_id", "invoice_number" = s."invoice_number", "external_reference_id" = s."external_reference_id", "external_reference_group_id" = s."external_reference_group_id", "external_reference_account_id" = s."external_reference_account_id", "external_reference_permalink" = s."external_reference_permalink", "external_reference_service" = s."external_reference_service", "external_reference_service_icon_url" = s."external_reference_service_icon_url", "extra" = s."extra", "_seq" = s."_seq", "_observed_at" = s."_observed_at", "_loaded_at" = s."_loaded_at"
FROM "pg_temp"."stage_time_entries" AS s
WHERE t."id" = s."id" AND t."account_id" = s."account_id" AND s."_seq" > t."_seq";

INSERT INTO "harvest"."_deleted" AS d ("stream", "id", "account_id", "seq", "deleted_at")
SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::timestamptz[])
ON CONFLICT ("stream", "id", "account_id") DO UPDATE SET "seq" = excluded."seq", "deleted_at" = excluded."deleted_at"
WHERE excluded."seq" > d."seq";

COPY "harvest"."_deleted" ("stream", "id", "account_id", "seq", "deleted_at") FROM STDIN (FORMAT binary);

DELETE FROM "harvest"."time_entries" AS t USING unnest($2::bigint[], $3::bigint[]) AS gone ("id", "seq")
WHERE t."account_id" = $1 AND t."id" = ANY($2) AND t."id" = gone."id" AND t."_seq" < gone."seq";

UPDATE "harvest"."time_entries" AS t SET "_deleted_at" = gone."at", "_loaded_at" = $5
FROM unnest($2::bigint[], $3::bigint[], $4::timestamptz[]) AS gone ("id", "seq", "at")
WHERE t."account_id" = $1 AND t."id" = ANY($2) AND t."id" = gone."id" AND t."_seq" < gone."seq";

SELECT EXISTS (SELECT FROM pg_catalog.pg_attribute WHERE attrelid = '"harvest"."time_entries"'::regclass AND atthasdef AND attname = ANY($1));

CREATE TABLE IF NOT EXISTS "harvest"."time_entries" (
  "id" bigint NOT NULL,
  "account_id" bigint NOT NULL,
  "spent_date" date,
  "hours" numeric,
  "hours_without_timer" numeric,
  "rounded_hours" numeric,
  "notes" text,
  "is_locked" boolean,
  "is_explicitly_locked" boolean,
  "locked_reason" text,
  "approval_status" text,
  "is_closed" boolean,
  "is_billed" boolean,
  "timer_started_at" timestamptz,
  "started_time" text,
  "ended_time" text,
  "is_running" boolean,
  "billable" boolean,
  "budgeted" boolean,
  "billable_rate" numeric,
  "cost_rate" numeric,
  "created_at" timestamptz,
  "updated_at" timestamptz,
  "user_id" bigint,
  "user_name" text,
  "client_id" bigint,
  "client_name" text,
  "client_currency" text,
  "project_id" bigint,
  "project_name" text,
  "project_code" text,
  "task_id" bigint,
  "task_name" text,
  "user_assignment_id" bigint,
  "user_assignment_is_project_manager" boolean,
  "user_assignment_is_active" boolean,
  "user_assignment_use_default_rates" boolean,
  "user_assignment_budget" numeric,
  "user_assignment_created_at" timestamptz,
  "user_assignment_updated_at" timestamptz,
  "user_assignment_hourly_rate" numeric,
  "task_assignment_id" bigint,
  "task_assignment_billable" boolean,
  "task_assignment_is_active" boolean,
  "task_assignment_created_at" timestamptz,
  "task_assignment_updated_at" timestamptz,
  "task_assignment_hourly_rate" numeric,
  "task_assignment_budget" numeric,
  "invoice_id" bigint,
  "invoice_number" text,
  "external_reference_id" text,
  "external_reference_group_id" text,
  "external_reference_account_id" text,
  "external_reference_permalink" text,
  "external_reference_service" text,
  "external_reference_service_icon_url" text,
  "extra" jsonb,
  "_seq" bigint NOT NULL,
  "_observed_at" timestamptz,
  "_loaded_at" timestamptz NOT NULL,
  PRIMARY KEY ("id", "account_id")
);

UPDATE "harvest"."time_entries" AS t SET "rounded_hours" = (CASE WHEN abs(CASE WHEN jsonb_typeof((t.extra -> 'rounded_hours')) = 'number' THEN (t.extra -> 'rounded_hours')::numeric END) < 1e29 THEN trim_scale(round(CASE WHEN jsonb_typeof((t.extra -> 'rounded_hours')) = 'number' THEN (t.extra -> 'rounded_hours')::numeric END, 9)) END), extra = nullif(t.extra - 'rounded_hours', '{}')
WHERE t.extra IS NOT NULL AND (CASE WHEN abs(CASE WHEN jsonb_typeof((t.extra -> 'rounded_hours')) = 'number' THEN (t.extra -> 'rounded_hours')::numeric END) < 1e29 THEN trim_scale(round(CASE WHEN jsonb_typeof((t.extra -> 'rounded_hours')) = 'number' THEN (t.extra -> 'rounded_hours')::numeric END, 9)) END) IS NOT NULL;
