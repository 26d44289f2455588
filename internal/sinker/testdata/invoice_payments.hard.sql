SELECT "id", "_seq" FROM "harvest"."invoice_payments" WHERE "account_id" = $1 AND "id" = ANY($2);

SELECT "id", "_seq", "account_id" FROM "harvest"."invoice_payments" WHERE "id" BETWEEN $1 AND $2 ORDER BY "id" LIMIT $3;

SELECT "id", "seq", "deleted_at" FROM "harvest"."_deleted" WHERE "stream" = $1 AND "account_id" = $2 AND "id" = ANY($3);

COPY "harvest"."invoice_payments" ("id", "account_id", "invoice_id", "amount", "paid_at", "recorded_by", "recorded_by_email", "notes", "transaction_id", "created_at", "updated_at", "paid_date", "payment_gateway_id", "payment_gateway_name", "extra", "_seq", "_observed_at", "_loaded_at") FROM STDIN (FORMAT binary);

CREATE TEMPORARY TABLE IF NOT EXISTS "pg_temp"."stage_invoice_payments" ("id" bigint, "account_id" bigint, "invoice_id" bigint, "amount" numeric, "paid_at" timestamptz, "recorded_by" text, "recorded_by_email" text, "notes" text, "transaction_id" text, "created_at" timestamptz, "updated_at" timestamptz, "paid_date" date, "payment_gateway_id" bigint, "payment_gateway_name" text, "extra" jsonb, "_seq" bigint, "_observed_at" timestamptz, "_loaded_at" timestamptz) ON COMMIT DELETE ROWS;

INSERT INTO "harvest"."invoice_payments" AS t ("id", "account_id", "invoice_id", "amount", "paid_at", "recorded_by", "recorded_by_email", "notes", "transaction_id", "created_at", "updated_at", "paid_date", "payment_gateway_id", "payment_gateway_name", "extra", "_seq", "_observed_at", "_loaded_at")
SELECT "id", "account_id", "invoice_id", "amount", "paid_at", "recorded_by", "recorded_by_email", "notes", "transaction_id", "created_at", "updated_at", "paid_date", "payment_gateway_id", "payment_gateway_name", "extra", "_seq", "_observed_at", "_loaded_at" FROM "pg_temp"."stage_invoice_payments"
ON CONFLICT ("id", "account_id") DO UPDATE SET "invoice_id" = excluded."invoice_id", "amount" = excluded."amount", "paid_at" = excluded."paid_at", "recorded_by" = excluded."recorded_by", "recorded_by_email" = excluded."recorded_by_email", "notes" = excluded."notes", "transaction_id" = excluded."transaction_id", "created_at" = excluded."created_at", "updated_at" = excluded."updated_at", "paid_date" = excluded."paid_date", "payment_gateway_id" = excluded."payment_gateway_id", "payment_gateway_name" = excluded."payment_gateway_name", "extra" = excluded."extra", "_seq" = excluded."_seq", "_observed_at" = excluded."_observed_at", "_loaded_at" = excluded."_loaded_at"
WHERE excluded."_seq" > t."_seq";

UPDATE "harvest"."invoice_payments" AS t SET "invoice_id" = s."invoice_id", "amount" = s."amount", "paid_at" = s."paid_at", "recorded_by" = s."recorded_by", "recorded_by_email" = s."recorded_by_email", "notes" = s."notes", "transaction_id" = s."transaction_id", "created_at" = s."created_at", "updated_at" = s."updated_at", "paid_date" = s."paid_date", "payment_gateway_id" = s."payment_gateway_id", "payment_gateway_name" = s."payment_gateway_name", "extra" = s."extra", "_seq" = s."_seq", "_observed_at" = s."_observed_at", "_loaded_at" = s."_loaded_at"
FROM "pg_temp"."stage_invoice_payments" AS s
WHERE t."id" = s."id" AND t."account_id" = s."account_id" AND s."_seq" > t."_seq";

INSERT INTO "harvest"."_deleted" AS d ("stream", "id", "account_id", "seq", "deleted_at")
SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::timestamptz[])
ON CONFLICT ("stream", "id", "account_id") DO UPDATE SET "seq" = excluded."seq", "deleted_at" = excluded."deleted_at"
WHERE excluded."seq" > d."seq";

COPY "harvest"."_deleted" ("stream", "id", "account_id", "seq", "deleted_at") FROM STDIN (FORMAT binary);

DELETE FROM "harvest"."invoice_payments" AS t USING unnest($2::bigint[], $3::bigint[]) AS gone ("id", "seq")
WHERE t."account_id" = $1 AND t."id" = ANY($2) AND t."id" = gone."id" AND t."_seq" < gone."seq";

UPDATE "harvest"."invoice_payments" AS t SET "_deleted_at" = gone."at", "_loaded_at" = $5
FROM unnest($2::bigint[], $3::bigint[], $4::timestamptz[]) AS gone ("id", "seq", "at")
WHERE t."account_id" = $1 AND t."id" = ANY($2) AND t."id" = gone."id" AND t."_seq" < gone."seq";

SELECT EXISTS (SELECT FROM pg_catalog.pg_attribute WHERE attrelid = '"harvest"."invoice_payments"'::regclass AND atthasdef AND attname = ANY($1));

CREATE TABLE IF NOT EXISTS "harvest"."invoice_payments" (
  "id" bigint NOT NULL,
  "account_id" bigint NOT NULL,
  "invoice_id" bigint,
  "amount" numeric,
  "paid_at" timestamptz,
  "recorded_by" text,
  "recorded_by_email" text,
  "notes" text,
  "transaction_id" text,
  "created_at" timestamptz,
  "updated_at" timestamptz,
  "paid_date" date,
  "payment_gateway_id" bigint,
  "payment_gateway_name" text,
  "extra" jsonb,
  "_seq" bigint NOT NULL,
  "_observed_at" timestamptz,
  "_loaded_at" timestamptz NOT NULL,
  PRIMARY KEY ("id", "account_id")
);

UPDATE "harvest"."invoice_payments" AS t SET "recorded_by" = (CASE WHEN jsonb_typeof((t.extra -> 'recorded_by')) = 'string' THEN ((t.extra -> 'recorded_by') #>> '{}') END), extra = nullif(t.extra - 'recorded_by', '{}')
WHERE t.extra IS NOT NULL AND (CASE WHEN jsonb_typeof((t.extra -> 'recorded_by')) = 'string' THEN ((t.extra -> 'recorded_by') #>> '{}') END) IS NOT NULL;
