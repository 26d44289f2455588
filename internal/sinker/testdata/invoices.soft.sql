SELECT "id", "_seq" FROM "harvest"."invoices" WHERE "account_id" = $1 AND "id" = ANY($2);

SELECT "id", "_seq", "account_id" FROM "harvest"."invoices" WHERE "id" BETWEEN $1 AND $2 ORDER BY "id" LIMIT $3;

SELECT "id", "seq", "deleted_at" FROM "harvest"."_deleted" WHERE "stream" = $1 AND "account_id" = $2 AND "id" = ANY($3);

COPY "harvest"."invoices" ("id", "account_id", "client_key", "number", "purchase_order", "amount", "due_amount", "tax", "tax_amount", "tax2", "tax2_amount", "discount", "discount_amount", "subject", "notes", "state", "period_start", "period_end", "issue_date", "due_date", "payment_term", "sent_at", "paid_at", "closed_at", "recurring_invoice_id", "created_at", "updated_at", "paid_date", "currency", "payment_options", "client_id", "client_name", "estimate_id", "retainer_id", "creator_id", "creator_name", "line_items", "extra", "_seq", "_observed_at", "_loaded_at", "_deleted_at") FROM STDIN (FORMAT binary);

CREATE TEMPORARY TABLE IF NOT EXISTS "pg_temp"."stage_invoices" ("id" bigint, "account_id" bigint, "client_key" text, "number" text, "purchase_order" text, "amount" numeric, "due_amount" numeric, "tax" numeric, "tax_amount" numeric, "tax2" numeric, "tax2_amount" numeric, "discount" numeric, "discount_amount" numeric, "subject" text, "notes" text, "state" text, "period_start" date, "period_end" date, "issue_date" date, "due_date" date, "payment_term" text, "sent_at" timestamptz, "paid_at" timestamptz, "closed_at" timestamptz, "recurring_invoice_id" bigint, "created_at" timestamptz, "updated_at" timestamptz, "paid_date" date, "currency" text, "payment_options" text[], "client_id" bigint, "client_name" text, "estimate_id" bigint, "retainer_id" bigint, "creator_id" bigint, "creator_name" text, "line_items" jsonb, "extra" jsonb, "_seq" bigint, "_observed_at" timestamptz, "_loaded_at" timestamptz, "_deleted_at" timestamptz) ON COMMIT DELETE ROWS;

INSERT INTO "harvest"."invoices" AS t ("id", "account_id", "client_key", "number", "purchase_order", "amount", "due_amount", "tax", "tax_amount", "tax2", "tax2_amount", "discount", "discount_amount", "subject", "notes", "state", "period_start", "period_end", "issue_date", "due_date", "payment_term", "sent_at", "paid_at", "closed_at", "recurring_invoice_id", "created_at", "updated_at", "paid_date", "currency", "payment_options", "client_id", "client_name", "estimate_id", "retainer_id", "creator_id", "creator_name", "line_items", "extra", "_seq", "_observed_at", "_loaded_at", "_deleted_at")
SELECT "id", "account_id", "client_key", "number", "purchase_order", "amount", "due_amount", "tax", "tax_amount", "tax2", "tax2_amount", "discount", "discount_amount", "subject", "notes", "state", "period_start", "period_end", "issue_date", "due_date", "payment_term", "sent_at", "paid_at", "closed_at", "recurring_invoice_id", "created_at", "updated_at", "paid_date", "currency", "payment_options", "client_id", "client_name", "estimate_id", "retainer_id", "creator_id", "creator_name", "line_items", "extra", "_seq", "_observed_at", "_loaded_at", "_deleted_at" FROM "pg_temp"."stage_invoices"
ON CONFLICT ("id", "account_id") DO UPDATE SET "client_key" = excluded."client_key", "number" = excluded."number", "purchase_order" = excluded."purchase_order", "amount" = excluded."amount", "due_amount" = excluded."due_amount", "tax" = excluded."tax", "tax_amount" = excluded."tax_amount", "tax2" = excluded."tax2", "tax2_amount" = excluded."tax2_amount", "discount" = excluded."discount", "discount_amount" = excluded."discount_amount", "subject" = excluded."subject", "notes" = excluded."notes", "state" = excluded."state", "period_start" = excluded."period_start", "period_end" = excluded."period_end", "issue_date" = excluded."issue_date", "due_date" = excluded."due_date", "payment_term" = excluded."payment_term", "sent_at" = excluded."sent_at", "paid_at" = excluded."paid_at", "closed_at" = excluded."closed_at", "recurring_invoice_id" = excluded."recurring_invoice_id", "created_at" = excluded."created_at", "updated_at" = excluded."updated_at", "paid_date" = excluded."paid_date", "currency" = excluded."currency", "payment_options" = excluded."payment_options", "client_id" = excluded."client_id", "client_name" = excluded."client_name", "estimate_id" = excluded."estimate_id", "retainer_id" = excluded."retainer_id", "creator_id" = excluded."creator_id", "creator_name" = excluded."creator_name", "line_items" = excluded."line_items", "extra" = excluded."extra", "_seq" = excluded."_seq", "_observed_at" = excluded."_observed_at", "_loaded_at" = excluded."_loaded_at", "_deleted_at" = excluded."_deleted_at"
WHERE excluded."_seq" > t."_seq";

UPDATE "harvest"."invoices" AS t SET "client_key" = s."client_key", "number" = s."number", "purchase_order" = s."purchase_order", "amount" = s."amount", "due_amount" = s."due_amount", "tax" = s."tax", "tax_amount" = s."tax_amount", "tax2" = s."tax2", "tax2_amount" = s."tax2_amount", "discount" = s."discount", "discount_amount" = s."discount_amount", "subject" = s."subject", "notes" = s."notes", "state" = s."state", "period_start" = s."period_start", "period_end" = s."period_end", "issue_date" = s."issue_date", "due_date" = s."due_date", "payment_term" = s."payment_term", "sent_at" = s."sent_at", "paid_at" = s."paid_at", "closed_at" = s."closed_at", "recurring_invoice_id" = s."recurring_invoice_id", "created_at" = s."created_at", "updated_at" = s."updated_at", "paid_date" = s."paid_date", "currency" = s."currency", "payment_options" = s."payment_options", "client_id" = s."client_id", "client_name" = s."client_name", "estimate_id" = s."estimate_id", "retainer_id" = s."retainer_id", "creator_id" = s."creator_id", "creator_name" = s."creator_name", "line_items" = s."line_items", "extra" = s."extra", "_seq" = s."_seq", "_observed_at" = s."_observed_at", "_loaded_at" = s."_loaded_at", "_deleted_at" = s."_deleted_at"
FROM "pg_temp"."stage_invoices" AS s
WHERE t."id" = s."id" AND t."account_id" = s."account_id" AND s."_seq" > t."_seq";

INSERT INTO "harvest"."_deleted" AS d ("stream", "id", "account_id", "seq", "deleted_at")
SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::timestamptz[])
ON CONFLICT ("stream", "id", "account_id") DO UPDATE SET "seq" = excluded."seq", "deleted_at" = excluded."deleted_at"
WHERE excluded."seq" > d."seq";

COPY "harvest"."_deleted" ("stream", "id", "account_id", "seq", "deleted_at") FROM STDIN (FORMAT binary);

DELETE FROM "harvest"."invoices" AS t USING unnest($2::bigint[], $3::bigint[]) AS gone ("id", "seq")
WHERE t."account_id" = $1 AND t."id" = ANY($2) AND t."id" = gone."id" AND t."_seq" < gone."seq";

UPDATE "harvest"."invoices" AS t SET "_deleted_at" = gone."at", "_loaded_at" = $5
FROM unnest($2::bigint[], $3::bigint[], $4::timestamptz[]) AS gone ("id", "seq", "at")
WHERE t."account_id" = $1 AND t."id" = ANY($2) AND t."id" = gone."id" AND t."_seq" < gone."seq";

SELECT EXISTS (SELECT FROM pg_catalog.pg_attribute WHERE attrelid = '"harvest"."invoices"'::regclass AND atthasdef AND attname = ANY($1));

DELETE FROM "harvest"."invoice_line_items" WHERE "account_id" = $1 AND "invoice_id" = ANY($2);

CREATE TABLE IF NOT EXISTS "harvest"."invoices" (
  "id" bigint NOT NULL,
  "account_id" bigint NOT NULL,
  "client_key" text,
  "number" text,
  "purchase_order" text,
  "amount" numeric,
  "due_amount" numeric,
  "tax" numeric,
  "tax_amount" numeric,
  "tax2" numeric,
  "tax2_amount" numeric,
  "discount" numeric,
  "discount_amount" numeric,
  "subject" text,
  "notes" text,
  "state" text,
  "period_start" date,
  "period_end" date,
  "issue_date" date,
  "due_date" date,
  "payment_term" text,
  "sent_at" timestamptz,
  "paid_at" timestamptz,
  "closed_at" timestamptz,
  "recurring_invoice_id" bigint,
  "created_at" timestamptz,
  "updated_at" timestamptz,
  "paid_date" date,
  "currency" text,
  "payment_options" text[],
  "client_id" bigint,
  "client_name" text,
  "estimate_id" bigint,
  "retainer_id" bigint,
  "creator_id" bigint,
  "creator_name" text,
  "line_items" jsonb,
  "extra" jsonb,
  "_seq" bigint NOT NULL,
  "_observed_at" timestamptz,
  "_loaded_at" timestamptz NOT NULL,
  "_deleted_at" timestamptz,
  PRIMARY KEY ("id", "account_id")
);

UPDATE "harvest"."invoices" AS t SET "amount" = (CASE WHEN abs(CASE WHEN jsonb_typeof((t.extra -> 'amount')) = 'number' THEN (t.extra -> 'amount')::numeric END) < 1e29 THEN trim_scale(round(CASE WHEN jsonb_typeof((t.extra -> 'amount')) = 'number' THEN (t.extra -> 'amount')::numeric END, 9)) END), extra = nullif(t.extra - 'amount', '{}')
WHERE t.extra IS NOT NULL AND (CASE WHEN abs(CASE WHEN jsonb_typeof((t.extra -> 'amount')) = 'number' THEN (t.extra -> 'amount')::numeric END) < 1e29 THEN trim_scale(round(CASE WHEN jsonb_typeof((t.extra -> 'amount')) = 'number' THEN (t.extra -> 'amount')::numeric END, 9)) END) IS NOT NULL;

CREATE TABLE IF NOT EXISTS "harvest"."invoice_line_items" (
  "invoice_id" bigint NOT NULL,
  "account_id" bigint NOT NULL,
  "ordinal" bigint NOT NULL,
  "id" bigint,
  "kind" text,
  "description" text,
  "quantity" numeric,
  "unit_price" numeric,
  "amount" numeric,
  "taxed" boolean,
  "taxed2" boolean,
  "project_id" bigint,
  "project_name" text,
  "project_code" text,
  "extra" jsonb,
  PRIMARY KEY ("invoice_id", "account_id", "ordinal")
);

UPDATE "harvest"."invoice_line_items" AS t SET "description" = (CASE WHEN jsonb_typeof((t.extra -> 'description')) = 'string' THEN ((t.extra -> 'description') #>> '{}') END), extra = nullif(t.extra - 'description', '{}')
WHERE t.extra IS NOT NULL AND (CASE WHEN jsonb_typeof((t.extra -> 'description')) = 'string' THEN ((t.extra -> 'description') #>> '{}') END) IS NOT NULL;

WITH lifted AS (
UPDATE "harvest"."invoices" AS t SET "line_items" = coalesce((SELECT jsonb_agg(jsonb_build_object('id', (e -> 'id'), 'kind', (e -> 'kind'), 'description', (e -> 'description'), 'quantity', (e -> 'quantity'), 'unit_price', (e -> 'unit_price'), 'amount', (e -> 'amount'), 'taxed', (e -> 'taxed'), 'taxed2', (e -> 'taxed2'), 'project_id', (e -> 'project_id'), 'project_name', (e -> 'project_name'), 'project_code', (e -> 'project_code'), 'extra', (e -> 'extra')) ORDER BY n) FROM jsonb_array_elements((t.extra -> 'line_items')) WITH ORDINALITY AS i (e, n)), '[]'),
extra = nullif(t.extra - 'line_items', '{}')
WHERE t.extra IS NOT NULL AND t."line_items" IS NULL AND CASE WHEN jsonb_typeof((t.extra -> 'line_items')) = 'array' THEN NOT EXISTS (SELECT FROM jsonb_array_elements((t.extra -> 'line_items')) AS i (e) WHERE CASE WHEN jsonb_typeof(e) = 'object' THEN e - '{id,kind,description,quantity,unit_price,amount,taxed,taxed2,project_id,project_name,project_code,extra}'::text[] <> '{}' OR coalesce(jsonb_typeof((e -> 'id')), 'null') <> 'null' AND (CASE WHEN (CASE WHEN jsonb_typeof((e -> 'id')) = 'number' THEN (e -> 'id')::numeric END) BETWEEN -9223372036854775808 AND 9223372036854775807 AND (CASE WHEN jsonb_typeof((e -> 'id')) = 'number' THEN (e -> 'id')::numeric END) = trunc(CASE WHEN jsonb_typeof((e -> 'id')) = 'number' THEN (e -> 'id')::numeric END) THEN (CASE WHEN jsonb_typeof((e -> 'id')) = 'number' THEN (e -> 'id')::numeric END)::bigint END) IS NULL OR coalesce(jsonb_typeof((e -> 'kind')), 'null') <> 'null' AND (CASE WHEN jsonb_typeof((e -> 'kind')) = 'string' THEN ((e -> 'kind') #>> '{}') END) IS NULL OR coalesce(jsonb_typeof((e -> 'description')), 'null') <> 'null' AND (CASE WHEN jsonb_typeof((e -> 'description')) = 'string' THEN ((e -> 'description') #>> '{}') END) IS NULL OR coalesce(jsonb_typeof((e -> 'quantity')), 'null') <> 'null' AND (CASE WHEN abs(CASE WHEN jsonb_typeof((e -> 'quantity')) = 'number' THEN (e -> 'quantity')::numeric END) < 1e29 THEN trim_scale(round(CASE WHEN jsonb_typeof((e -> 'quantity')) = 'number' THEN (e -> 'quantity')::numeric END, 9)) END) IS NULL OR coalesce(jsonb_typeof((e -> 'unit_price')), 'null') <> 'null' AND (CASE WHEN abs(CASE WHEN jsonb_typeof((e -> 'unit_price')) = 'number' THEN (e -> 'unit_price')::numeric END) < 1e29 THEN trim_scale(round(CASE WHEN jsonb_typeof((e -> 'unit_price')) = 'number' THEN (e -> 'unit_price')::numeric END, 9)) END) IS NULL OR coalesce(jsonb_typeof((e -> 'amount')), 'null') <> 'null' AND (CASE WHEN abs(CASE WHEN jsonb_typeof((e -> 'amount')) = 'number' THEN (e -> 'amount')::numeric END) < 1e29 THEN trim_scale(round(CASE WHEN jsonb_typeof((e -> 'amount')) = 'number' THEN (e -> 'amount')::numeric END, 9)) END) IS NULL OR coalesce(jsonb_typeof((e -> 'taxed')), 'null') <> 'null' AND (CASE WHEN jsonb_typeof((e -> 'taxed')) = 'boolean' THEN (e -> 'taxed')::boolean END) IS NULL OR coalesce(jsonb_typeof((e -> 'taxed2')), 'null') <> 'null' AND (CASE WHEN jsonb_typeof((e -> 'taxed2')) = 'boolean' THEN (e -> 'taxed2')::boolean END) IS NULL OR coalesce(jsonb_typeof((e -> 'project_id')), 'null') <> 'null' AND (CASE WHEN (CASE WHEN jsonb_typeof((e -> 'project_id')) = 'number' THEN (e -> 'project_id')::numeric END) BETWEEN -9223372036854775808 AND 9223372036854775807 AND (CASE WHEN jsonb_typeof((e -> 'project_id')) = 'number' THEN (e -> 'project_id')::numeric END) = trunc(CASE WHEN jsonb_typeof((e -> 'project_id')) = 'number' THEN (e -> 'project_id')::numeric END) THEN (CASE WHEN jsonb_typeof((e -> 'project_id')) = 'number' THEN (e -> 'project_id')::numeric END)::bigint END) IS NULL OR coalesce(jsonb_typeof((e -> 'project_name')), 'null') <> 'null' AND (CASE WHEN jsonb_typeof((e -> 'project_name')) = 'string' THEN ((e -> 'project_name') #>> '{}') END) IS NULL OR coalesce(jsonb_typeof((e -> 'project_code')), 'null') <> 'null' AND (CASE WHEN jsonb_typeof((e -> 'project_code')) = 'string' THEN ((e -> 'project_code') #>> '{}') END) IS NULL ELSE true END) ELSE false END
RETURNING t."id", t."account_id", t."line_items" AS list)
INSERT INTO "harvest"."invoice_line_items" ("invoice_id", "account_id", "ordinal", "id", "kind", "description", "quantity", "unit_price", "amount", "taxed", "taxed2", "project_id", "project_name", "project_code", "extra") SELECT l."id", l."account_id", n, (CASE WHEN (CASE WHEN jsonb_typeof((e -> 'id')) = 'number' THEN (e -> 'id')::numeric END) BETWEEN -9223372036854775808 AND 9223372036854775807 AND (CASE WHEN jsonb_typeof((e -> 'id')) = 'number' THEN (e -> 'id')::numeric END) = trunc(CASE WHEN jsonb_typeof((e -> 'id')) = 'number' THEN (e -> 'id')::numeric END) THEN (CASE WHEN jsonb_typeof((e -> 'id')) = 'number' THEN (e -> 'id')::numeric END)::bigint END), (CASE WHEN jsonb_typeof((e -> 'kind')) = 'string' THEN ((e -> 'kind') #>> '{}') END), (CASE WHEN jsonb_typeof((e -> 'description')) = 'string' THEN ((e -> 'description') #>> '{}') END), (CASE WHEN abs(CASE WHEN jsonb_typeof((e -> 'quantity')) = 'number' THEN (e -> 'quantity')::numeric END) < 1e29 THEN trim_scale(round(CASE WHEN jsonb_typeof((e -> 'quantity')) = 'number' THEN (e -> 'quantity')::numeric END, 9)) END), (CASE WHEN abs(CASE WHEN jsonb_typeof((e -> 'unit_price')) = 'number' THEN (e -> 'unit_price')::numeric END) < 1e29 THEN trim_scale(round(CASE WHEN jsonb_typeof((e -> 'unit_price')) = 'number' THEN (e -> 'unit_price')::numeric END, 9)) END), (CASE WHEN abs(CASE WHEN jsonb_typeof((e -> 'amount')) = 'number' THEN (e -> 'amount')::numeric END) < 1e29 THEN trim_scale(round(CASE WHEN jsonb_typeof((e -> 'amount')) = 'number' THEN (e -> 'amount')::numeric END, 9)) END), (CASE WHEN jsonb_typeof((e -> 'taxed')) = 'boolean' THEN (e -> 'taxed')::boolean END), (CASE WHEN jsonb_typeof((e -> 'taxed2')) = 'boolean' THEN (e -> 'taxed2')::boolean END), (CASE WHEN (CASE WHEN jsonb_typeof((e -> 'project_id')) = 'number' THEN (e -> 'project_id')::numeric END) BETWEEN -9223372036854775808 AND 9223372036854775807 AND (CASE WHEN jsonb_typeof((e -> 'project_id')) = 'number' THEN (e -> 'project_id')::numeric END) = trunc(CASE WHEN jsonb_typeof((e -> 'project_id')) = 'number' THEN (e -> 'project_id')::numeric END) THEN (CASE WHEN jsonb_typeof((e -> 'project_id')) = 'number' THEN (e -> 'project_id')::numeric END)::bigint END), (CASE WHEN jsonb_typeof((e -> 'project_name')) = 'string' THEN ((e -> 'project_name') #>> '{}') END), (CASE WHEN jsonb_typeof((e -> 'project_code')) = 'string' THEN ((e -> 'project_code') #>> '{}') END), nullif((e -> 'extra'), 'null') FROM lifted AS l, jsonb_array_elements(l.list) WITH ORDINALITY AS i (e, n) ON CONFLICT DO NOTHING;
