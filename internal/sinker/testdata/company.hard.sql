SELECT "id", "_seq" FROM "harvest"."company" WHERE "account_id" = $1 AND "id" = ANY($2);

SELECT "id", "_seq", "account_id" FROM "harvest"."company" WHERE "id" BETWEEN $1 AND $2 ORDER BY "id" LIMIT $3;

SELECT "id", "seq", "deleted_at" FROM "harvest"."_deleted" WHERE "stream" = $1 AND "account_id" = $2 AND "id" = ANY($3);

COPY "harvest"."company" ("id", "account_id", "base_uri", "full_domain", "name", "is_active", "week_start_day", "wants_timestamp_timers", "time_format", "date_format", "plan_type", "expense_feature", "invoice_feature", "estimate_feature", "team_feature", "weekly_capacity", "approval_feature", "clock", "currency", "currency_code_display", "currency_symbol_display", "decimal_symbol", "thousands_separator", "color_scheme", "saml_sign_in_required", "day_entry_notes_required", "extra", "_seq", "_observed_at", "_loaded_at") FROM STDIN (FORMAT binary);

CREATE TEMPORARY TABLE IF NOT EXISTS "pg_temp"."stage_company" ("id" bigint, "account_id" bigint, "base_uri" text, "full_domain" text, "name" text, "is_active" boolean, "week_start_day" text, "wants_timestamp_timers" boolean, "time_format" text, "date_format" text, "plan_type" text, "expense_feature" boolean, "invoice_feature" boolean, "estimate_feature" boolean, "team_feature" boolean, "weekly_capacity" bigint, "approval_feature" boolean, "clock" text, "currency" text, "currency_code_display" text, "currency_symbol_display" text, "decimal_symbol" text, "thousands_separator" text, "color_scheme" text, "saml_sign_in_required" boolean, "day_entry_notes_required" boolean, "extra" jsonb, "_seq" bigint, "_observed_at" timestamptz, "_loaded_at" timestamptz) ON COMMIT DELETE ROWS;

INSERT INTO "harvest"."company" AS t ("id", "account_id", "base_uri", "full_domain", "name", "is_active", "week_start_day", "wants_timestamp_timers", "time_format", "date_format", "plan_type", "expense_feature", "invoice_feature", "estimate_feature", "team_feature", "weekly_capacity", "approval_feature", "clock", "currency", "currency_code_display", "currency_symbol_display", "decimal_symbol", "thousands_separator", "color_scheme", "saml_sign_in_required", "day_entry_notes_required", "extra", "_seq", "_observed_at", "_loaded_at")
SELECT "id", "account_id", "base_uri", "full_domain", "name", "is_active", "week_start_day", "wants_timestamp_timers", "time_format", "date_format", "plan_type", "expense_feature", "invoice_feature", "estimate_feature", "team_feature", "weekly_capacity", "approval_feature", "clock", "currency", "currency_code_display", "currency_symbol_display", "decimal_symbol", "thousands_separator", "color_scheme", "saml_sign_in_required", "day_entry_notes_required", "extra", "_seq", "_observed_at", "_loaded_at" FROM "pg_temp"."stage_company"
ON CONFLICT ("id", "account_id") DO UPDATE SET "base_uri" = excluded."base_uri", "full_domain" = excluded."full_domain", "name" = excluded."name", "is_active" = excluded."is_active", "week_start_day" = excluded."week_start_day", "wants_timestamp_timers" = excluded."wants_timestamp_timers", "time_format" = excluded."time_format", "date_format" = excluded."date_format", "plan_type" = excluded."plan_type", "expense_feature" = excluded."expense_feature", "invoice_feature" = excluded."invoice_feature", "estimate_feature" = excluded."estimate_feature", "team_feature" = excluded."team_feature", "weekly_capacity" = excluded."weekly_capacity", "approval_feature" = excluded."approval_feature", "clock" = excluded."clock", "currency" = excluded."currency", "currency_code_display" = excluded."currency_code_display", "currency_symbol_display" = excluded."currency_symbol_display", "decimal_symbol" = excluded."decimal_symbol", "thousands_separator" = excluded."thousands_separator", "color_scheme" = excluded."color_scheme", "saml_sign_in_required" = excluded."saml_sign_in_required", "day_entry_notes_required" = excluded."day_entry_notes_required", "extra" = excluded."extra", "_seq" = excluded."_seq", "_observed_at" = excluded."_observed_at", "_loaded_at" = excluded."_loaded_at"
WHERE excluded."_seq" > t."_seq";

UPDATE "harvest"."company" AS t SET "base_uri" = s."base_uri", "full_domain" = s."full_domain", "name" = s."name", "is_active" = s."is_active", "week_start_day" = s."week_start_day", "wants_timestamp_timers" = s."wants_timestamp_timers", "time_format" = s."time_format", "date_format" = s."date_format", "plan_type" = s."plan_type", "expense_feature" = s."expense_feature", "invoice_feature" = s."invoice_feature", "estimate_feature" = s."estimate_feature", "team_feature" = s."team_feature", "weekly_capacity" = s."weekly_capacity", "approval_feature" = s."approval_feature", "clock" = s."clock", "currency" = s."currency", "currency_code_display" = s."currency_code_display", "currency_symbol_display" = s."currency_symbol_display", "decimal_symbol" = s."decimal_symbol", "thousands_separator" = s."thousands_separator", "color_scheme" = s."color_scheme", "saml_sign_in_required" = s."saml_sign_in_required", "day_entry_notes_required" = s."day_entry_notes_required", "extra" = s."extra", "_seq" = s."_seq", "_observed_at" = s."_observed_at", "_loaded_at" = s."_loaded_at"
FROM "pg_temp"."stage_company" AS s
WHERE t."id" = s."id" AND t."account_id" = s."account_id" AND s."_seq" > t."_seq";

INSERT INTO "harvest"."_deleted" AS d ("stream", "id", "account_id", "seq", "deleted_at")
SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::timestamptz[])
ON CONFLICT ("stream", "id", "account_id") DO UPDATE SET "seq" = excluded."seq", "deleted_at" = excluded."deleted_at"
WHERE excluded."seq" > d."seq";

COPY "harvest"."_deleted" ("stream", "id", "account_id", "seq", "deleted_at") FROM STDIN (FORMAT binary);

DELETE FROM "harvest"."company" AS t USING unnest($2::bigint[], $3::bigint[]) AS gone ("id", "seq")
WHERE t."account_id" = $1 AND t."id" = ANY($2) AND t."id" = gone."id" AND t."_seq" < gone."seq";

UPDATE "harvest"."company" AS t SET "_deleted_at" = gone."at", "_loaded_at" = $5
FROM unnest($2::bigint[], $3::bigint[], $4::timestamptz[]) AS gone ("id", "seq", "at")
WHERE t."account_id" = $1 AND t."id" = ANY($2) AND t."id" = gone."id" AND t."_seq" < gone."seq";

SELECT EXISTS (SELECT FROM pg_catalog.pg_attribute WHERE attrelid = '"harvest"."company"'::regclass AND atthasdef AND attname = ANY($1));

CREATE TABLE IF NOT EXISTS "harvest"."company" (
  "id" bigint NOT NULL,
  "account_id" bigint NOT NULL,
  "base_uri" text,
  "full_domain" text,
  "name" text,
  "is_active" boolean,
  "week_start_day" text,
  "wants_timestamp_timers" boolean,
  "time_format" text,
  "date_format" text,
  "plan_type" text,
  "expense_feature" boolean,
  "invoice_feature" boolean,
  "estimate_feature" boolean,
  "team_feature" boolean,
  "weekly_capacity" bigint,
  "approval_feature" boolean,
  "clock" text,
  "currency" text,
  "currency_code_display" text,
  "currency_symbol_display" text,
  "decimal_symbol" text,
  "thousands_separator" text,
  "color_scheme" text,
  "saml_sign_in_required" boolean,
  "day_entry_notes_required" boolean,
  "extra" jsonb,
  "_seq" bigint NOT NULL,
  "_observed_at" timestamptz,
  "_loaded_at" timestamptz NOT NULL,
  PRIMARY KEY ("id", "account_id")
);

UPDATE "harvest"."company" AS t SET "is_active" = (CASE WHEN jsonb_typeof((t.extra -> 'is_active')) = 'boolean' THEN (t.extra -> 'is_active')::boolean END), extra = nullif(t.extra - 'is_active', '{}')
WHERE t.extra IS NOT NULL AND (CASE WHEN jsonb_typeof((t.extra -> 'is_active')) = 'boolean' THEN (t.extra -> 'is_active')::boolean END) IS NOT NULL;
