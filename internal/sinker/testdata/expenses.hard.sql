SELECT "id", "_seq" FROM "harvest"."expenses" WHERE "account_id" = $1 AND "id" = ANY($2);

SELECT "id", "_seq", "account_id" FROM "harvest"."expenses" WHERE "id" BETWEEN $1 AND $2 ORDER BY "id" LIMIT $3;

SELECT "id", "seq", "deleted_at" FROM "harvest"."_deleted" WHERE "stream" = $1 AND "account_id" = $2 AND "id" = ANY($3);

COPY "harvest"."expenses" ("id", "account_id", "spent_date", "notes", "total_cost", "units", "billable", "receipt_url", "receipt_file_name", "receipt_file_size", "receipt_content_type", "approval_status", "is_closed", "is_locked", "is_explicitly_locked", "is_billed", "locked_reason", "reimbursement", "created_at", "updated_at", "user_id", "user_name", "client_id", "client_name", "client_currency", "project_id", "project_name", "project_code", "expense_category_id", "expense_category_name", "expense_category_unit_price", "expense_category_unit_name", "user_assignment_id", "user_assignment_is_project_manager", "user_assignment_is_active", "user_assignment_use_default_rates", "user_assignment_budget", "user_assignment_created_at", "user_assignment_updated_at", "user_assignment_hourly_rate", "invoice_id", "invoice_number", "extra", "_seq", "_observed_at", "_loaded_at") FROM STDIN (FORMAT binary);

CREATE TEMPORARY TABLE IF NOT EXISTS "pg_temp"."stage_expenses" ("id" bigint, "account_id" bigint, "spent_date" date, "notes" text, "total_cost" numeric, "units" numeric, "billable" boolean, "receipt_url" text, "receipt_file_name" text, "receipt_file_size" bigint, "receipt_content_type" text, "approval_status" text, "is_closed" boolean, "is_locked" boolean, "is_explicitly_locked" boolean, "is_billed" boolean, "locked_reason" text, "reimbursement" boolean, "created_at" timestamptz, "updated_at" timestamptz, "user_id" bigint, "user_name" text, "client_id" bigint, "client_name" text, "client_currency" text, "project_id" bigint, "project_name" text, "project_code" text, "expense_category_id" bigint, "expense_category_name" text, "expense_category_unit_price" numeric, "expense_category_unit_name" text, "user_assignment_id" bigint, "user_assignment_is_project_manager" boolean, "user_assignment_is_active" boolean, "user_assignment_use_default_rates" boolean, "user_assignment_budget" numeric, "user_assignment_created_at" timestamptz, "user_assignment_updated_at" timestamptz, "user_assignment_hourly_rate" numeric, "invoice_id" bigint, "invoice_number" text, "extra" jsonb, "_seq" bigint, "_observed_at" timestamptz, "_loaded_at" timestamptz) ON COMMIT DELETE ROWS;

INSERT INTO "harvest"."expenses" AS t ("id", "account_id", "spent_date", "notes", "total_cost", "units", "billable", "receipt_url", "receipt_file_name", "receipt_file_size", "receipt_content_type", "approval_status", "is_closed", "is_locked", "is_explicitly_locked", "is_billed", "locked_reason", "reimbursement", "created_at", "updated_at", "user_id", "user_name", "client_id", "client_name", "client_currency", "project_id", "project_name", "project_code", "expense_category_id", "expense_category_name", "expense_category_unit_price", "expense_category_unit_name", "user_assignment_id", "user_assignment_is_project_manager", "user_assignment_is_active", "user_assignment_use_default_rates", "user_assignment_budget", "user_assignment_created_at", "user_assignment_updated_at", "user_assignment_hourly_rate", "invoice_id", "invoice_number", "extra", "_seq", "_observed_at", "_loaded_at")
SELECT "id", "account_id", "spent_date", "notes", "total_cost", "units", "billable", "receipt_url", "receipt_file_name", "receipt_file_size", "receipt_content_type", "approval_status", "is_closed", "is_locked", "is_explicitly_locked", "is_billed", "locked_reason", "reimbursement", "created_at", "updated_at", "user_id", "user_name", "client_id", "client_name", "client_currency", "project_id", "project_name", "project_code", "expense_category_id", "expense_category_name", "expense_category_unit_price", "expense_category_unit_name", "user_assignment_id", "user_assignment_is_project_manager", "user_assignment_is_active", "user_assignment_use_default_rates", "user_assignment_budget", "user_assignment_created_at", "user_assignment_updated_at", "user_assignment_hourly_rate", "invoice_id", "invoice_number", "extra", "_seq", "_observed_at", "_loaded_at" FROM "pg_temp"."stage_expenses"
ON CONFLICT ("id", "account_id") DO UPDATE SET "spent_date" = excluded."spent_date", "notes" = excluded."notes", "total_cost" = excluded."total_cost", "units" = excluded."units", "billable" = excluded."billable", "receipt_url" = excluded."receipt_url", "receipt_file_name" = excluded."receipt_file_name", "receipt_file_size" = excluded."receipt_file_size", "receipt_content_type" = excluded."receipt_content_type", "approval_status" = excluded."approval_status", "is_closed" = excluded."is_closed", "is_locked" = excluded."is_locked", "is_explicitly_locked" = excluded."is_explicitly_locked", "is_billed" = excluded."is_billed", "locked_reason" = excluded."locked_reason", "reimbursement" = excluded."reimbursement", "created_at" = excluded."created_at", "updated_at" = excluded."updated_at", "user_id" = excluded."user_id", "user_name" = excluded."user_name", "client_id" = excluded."client_id", "client_name" = excluded."client_name", "client_currency" = excluded."client_currency", "project_id" = excluded."project_id", "project_name" = excluded."project_name", "project_code" = excluded."project_code", "expense_category_id" = excluded."expense_category_id", "expense_category_name" = excluded."expense_category_name", "expense_category_unit_price" = excluded."expense_category_unit_price", "expense_category_unit_name" = excluded."expense_category_unit_name", "user_assignment_id" = excluded."user_assignment_id", "user_assignment_is_project_manager" = excluded."user_assignment_is_project_manager", "user_assignment_is_active" = excluded."user_assignment_is_active", "user_assignment_use_default_rates" = excluded."user_assignment_use_default_rates", "user_assignment_budget" = excluded."user_assignment_budget", "user_assignment_created_at" = excluded."user_assignment_created_at", "user_assignment_updated_at" = excluded."user_assignment_updated_at", "user_assignment_hourly_rate" = excluded."user_assignment_hourly_rate", "invoice_id" = excluded."invoice_id", "invoice_number" = excluded."invoice_number", "extra" = excluded."extra", "_seq" = excluded."_seq", "_observed_at" = excluded."_observed_at", "_loaded_at" = excluded."_loaded_at"
WHERE excluded."_seq" > t."_seq";

UPDATE "harvest"."expenses" AS t SET "spent_date" = s."spent_date", "notes" = s."notes", "total_cost" = s."total_cost", "units" = s."units", "billable" = s."billable", "receipt_url" = s."receipt_url", "receipt_file_name" = s."receipt_file_name", "receipt_file_size" = s."receipt_file_size", "receipt_content_type" = s."receipt_content_type", "approval_status" = s."approval_status", "is_closed" = s."is_closed", "is_locked" = s."is_locked", "is_explicitly_locked" = s."is_explicitly_locked", "is_billed" = s."is_billed", "locked_reason" = s."locked_reason", "reimbursement" = s."reimbursement", "created_at" = s."created_at", "updated_at" = s."updated_at", "user_id" = s."user_id", "user_name" = s."user_name", "client_id" = s."client_id", "client_name" = s."client_name", "client_currency" = s."client_currency", "project_id" = s."project_id", "project_name" = s."project_name", "project_code" = s."project_code", "expense_category_id" = s."expense_category_id", "expense_category_name" = s."expense_category_name", "expense_category_unit_price" = s."expense_category_unit_price", "expense_category_unit_name" = s."expense_category_unit_name", "user_assignment_id" = s."user_assignment_id", "user_assignment_is_project_manager" = s."user_assignment_is_project_manager", "user_assignment_is_active" = s."user_assignment_is_active", "user_assignment_use_default_rates" = s."user_assignment_use_default_rates", "user_assignment_budget" = s."user_assignment_budget", "user_assignment_created_at" = s."user_assignment_created_at", "user_assignment_updated_at" = s."user_assignment_updated_at", "user_assignment_hourly_rate" = s."user_assignment_hourly_rate", "invoice_id" = s."invoice_id", "invoice_number" = s."invoice_number", "extra" = s."extra", "_seq" = s."_seq", "_observed_at" = s."_observed_at", "_loaded_at" = s."_loaded_at"
FROM "pg_temp"."stage_expenses" AS s
WHERE t."id" = s."id" AND t."account_id" = s."account_id" AND s."_seq" > t."_seq";

INSERT INTO "harvest"."_deleted" AS d ("stream", "id", "account_id", "seq", "deleted_at")
SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::timestamptz[])
ON CONFLICT ("stream", "id", "account_id") DO UPDATE SET "seq" = excluded."seq", "deleted_at" = excluded."deleted_at"
WHERE excluded."seq" > d."seq";

COPY "harvest"."_deleted" ("stream", "id", "account_id", "seq", "deleted_at") FROM STDIN (FORMAT binary);

DELETE FROM "harvest"."expenses" AS t USING unnest($2::bigint[], $3::bigint[]) AS gone ("id", "seq")
WHERE t."account_id" = $1 AND t."id" = ANY($2) AND t."id" = gone."id" AND t."_seq" < gone."seq";

UPDATE "harvest"."expenses" AS t SET "_deleted_at" = gone."at", "_loaded_at" = $5
FROM unnest($2::bigint[], $3::bigint[], $4::timestamptz[]) AS gone ("id", "seq", "at")
WHERE t."account_id" = $1 AND t."id" = ANY($2) AND t."id" = gone."id" AND t."_seq" < gone."seq";

SELECT EXISTS (SELECT FROM pg_catalog.pg_attribute WHERE attrelid = '"harvest"."expenses"'::regclass AND atthasdef AND attname = ANY($1));

CREATE TABLE IF NOT EXISTS "harvest"."expenses" (
  "id" bigint NOT NULL,
  "account_id" bigint NOT NULL,
  "spent_date" date,
  "notes" text,
  "total_cost" numeric,
  "units" numeric,
  "billable" boolean,
  "receipt_url" text,
  "receipt_file_name" text,
  "receipt_file_size" bigint,
  "receipt_content_type" text,
  "approval_status" text,
  "is_closed" boolean,
  "is_locked" boolean,
  "is_explicitly_locked" boolean,
  "is_billed" boolean,
  "locked_reason" text,
  "reimbursement" boolean,
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
  "expense_category_id" bigint,
  "expense_category_name" text,
  "expense_category_unit_price" numeric,
  "expense_category_unit_name" text,
  "user_assignment_id" bigint,
  "user_assignment_is_project_manager" boolean,
  "user_assignment_is_active" boolean,
  "user_assignment_use_default_rates" boolean,
  "user_assignment_budget" numeric,
  "user_assignment_created_at" timestamptz,
  "user_assignment_updated_at" timestamptz,
  "user_assignment_hourly_rate" numeric,
  "invoice_id" bigint,
  "invoice_number" text,
  "extra" jsonb,
  "_seq" bigint NOT NULL,
  "_observed_at" timestamptz,
  "_loaded_at" timestamptz NOT NULL,
  PRIMARY KEY ("id", "account_id")
);

UPDATE "harvest"."expenses" AS t SET "units" = (CASE WHEN abs(CASE WHEN jsonb_typeof((t.extra -> 'units')) = 'number' THEN (t.extra -> 'units')::numeric END) < 1e29 THEN trim_scale(round(CASE WHEN jsonb_typeof((t.extra -> 'units')) = 'number' THEN (t.extra -> 'units')::numeric END, 9)) END), extra = nullif(t.extra - 'units', '{}')
WHERE t.extra IS NOT NULL AND (CASE WHEN abs(CASE WHEN jsonb_typeof((t.extra -> 'units')) = 'number' THEN (t.extra -> 'units')::numeric END) < 1e29 THEN trim_scale(round(CASE WHEN jsonb_typeof((t.extra -> 'units')) = 'number' THEN (t.extra -> 'units')::numeric END, 9)) END) IS NOT NULL;
