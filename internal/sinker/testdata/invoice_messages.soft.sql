SELECT "id", "_seq" FROM "harvest"."invoice_messages" WHERE "account_id" = $1 AND "id" = ANY($2);

SELECT "id", "_seq", "account_id" FROM "harvest"."invoice_messages" WHERE "id" BETWEEN $1 AND $2 ORDER BY "id" LIMIT $3;

SELECT "id", "seq", "deleted_at" FROM "harvest"."_deleted" WHERE "stream" = $1 AND "account_id" = $2 AND "id" = ANY($3);

COPY "harvest"."invoice_messages" ("id", "account_id", "invoice_id", "sent_by", "sent_by_email", "sent_from", "sent_from_email", "include_link_to_client_invoice", "send_me_a_copy", "thank_you", "reminder", "send_reminder_on", "created_at", "updated_at", "attach_pdf", "event_type", "recipients", "subject", "body", "extra", "_seq", "_observed_at", "_loaded_at", "_deleted_at") FROM STDIN (FORMAT binary);

CREATE TEMPORARY TABLE IF NOT EXISTS "pg_temp"."stage_invoice_messages" ("id" bigint, "account_id" bigint, "invoice_id" bigint, "sent_by" text, "sent_by_email" text, "sent_from" text, "sent_from_email" text, "include_link_to_client_invoice" boolean, "send_me_a_copy" boolean, "thank_you" boolean, "reminder" boolean, "send_reminder_on" date, "created_at" timestamptz, "updated_at" timestamptz, "attach_pdf" boolean, "event_type" text, "recipients" jsonb, "subject" text, "body" text, "extra" jsonb, "_seq" bigint, "_observed_at" timestamptz, "_loaded_at" timestamptz, "_deleted_at" timestamptz) ON COMMIT DELETE ROWS;

INSERT INTO "harvest"."invoice_messages" AS t ("id", "account_id", "invoice_id", "sent_by", "sent_by_email", "sent_from", "sent_from_email", "include_link_to_client_invoice", "send_me_a_copy", "thank_you", "reminder", "send_reminder_on", "created_at", "updated_at", "attach_pdf", "event_type", "recipients", "subject", "body", "extra", "_seq", "_observed_at", "_loaded_at", "_deleted_at")
SELECT "id", "account_id", "invoice_id", "sent_by", "sent_by_email", "sent_from", "sent_from_email", "include_link_to_client_invoice", "send_me_a_copy", "thank_you", "reminder", "send_reminder_on", "created_at", "updated_at", "attach_pdf", "event_type", "recipients", "subject", "body", "extra", "_seq", "_observed_at", "_loaded_at", "_deleted_at" FROM "pg_temp"."stage_invoice_messages"
ON CONFLICT ("id", "account_id") DO UPDATE SET "invoice_id" = excluded."invoice_id", "sent_by" = excluded."sent_by", "sent_by_email" = excluded."sent_by_email", "sent_from" = excluded."sent_from", "sent_from_email" = excluded."sent_from_email", "include_link_to_client_invoice" = excluded."include_link_to_client_invoice", "send_me_a_copy" = excluded."send_me_a_copy", "thank_you" = excluded."thank_you", "reminder" = excluded."reminder", "send_reminder_on" = excluded."send_reminder_on", "created_at" = excluded."created_at", "updated_at" = excluded."updated_at", "attach_pdf" = excluded."attach_pdf", "event_type" = excluded."event_type", "recipients" = excluded."recipients", "subject" = excluded."subject", "body" = excluded."body", "extra" = excluded."extra", "_seq" = excluded."_seq", "_observed_at" = excluded."_observed_at", "_loaded_at" = excluded."_loaded_at", "_deleted_at" = excluded."_deleted_at"
WHERE excluded."_seq" > t."_seq";

UPDATE "harvest"."invoice_messages" AS t SET "invoice_id" = s."invoice_id", "sent_by" = s."sent_by", "sent_by_email" = s."sent_by_email", "sent_from" = s."sent_from", "sent_from_email" = s."sent_from_email", "include_link_to_client_invoice" = s."include_link_to_client_invoice", "send_me_a_copy" = s."send_me_a_copy", "thank_you" = s."thank_you", "reminder" = s."reminder", "send_reminder_on" = s."send_reminder_on", "created_at" = s."created_at", "updated_at" = s."updated_at", "attach_pdf" = s."attach_pdf", "event_type" = s."event_type", "recipients" = s."recipients", "subject" = s."subject", "body" = s."body", "extra" = s."extra", "_seq" = s."_seq", "_observed_at" = s."_observed_at", "_loaded_at" = s."_loaded_at", "_deleted_at" = s."_deleted_at"
FROM "pg_temp"."stage_invoice_messages" AS s
WHERE t."id" = s."id" AND t."account_id" = s."account_id" AND s."_seq" > t."_seq";

INSERT INTO "harvest"."_deleted" AS d ("stream", "id", "account_id", "seq", "deleted_at")
SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::timestamptz[])
ON CONFLICT ("stream", "id", "account_id") DO UPDATE SET "seq" = excluded."seq", "deleted_at" = excluded."deleted_at"
WHERE excluded."seq" > d."seq";

COPY "harvest"."_deleted" ("stream", "id", "account_id", "seq", "deleted_at") FROM STDIN (FORMAT binary);

DELETE FROM "harvest"."invoice_messages" AS t USING unnest($2::bigint[], $3::bigint[]) AS gone ("id", "seq")
WHERE t."account_id" = $1 AND t."id" = ANY($2) AND t."id" = gone."id" AND t."_seq" < gone."seq";

UPDATE "harvest"."invoice_messages" AS t SET "_deleted_at" = gone."at", "_loaded_at" = $5
FROM unnest($2::bigint[], $3::bigint[], $4::timestamptz[]) AS gone ("id", "seq", "at")
WHERE t."account_id" = $1 AND t."id" = ANY($2) AND t."id" = gone."id" AND t."_seq" < gone."seq";

SELECT EXISTS (SELECT FROM pg_catalog.pg_attribute WHERE attrelid = '"harvest"."invoice_messages"'::regclass AND atthasdef AND attname = ANY($1));

DELETE FROM "harvest"."invoice_message_recipients" WHERE "account_id" = $1 AND "invoice_message_id" = ANY($2);

CREATE TABLE IF NOT EXISTS "harvest"."invoice_messages" (
  "id" bigint NOT NULL,
  "account_id" bigint NOT NULL,
  "invoice_id" bigint,
  "sent_by" text,
  "sent_by_email" text,
  "sent_from" text,
  "sent_from_email" text,
  "include_link_to_client_invoice" boolean,
  "send_me_a_copy" boolean,
  "thank_you" boolean,
  "reminder" boolean,
  "send_reminder_on" date,
  "created_at" timestamptz,
  "updated_at" timestamptz,
  "attach_pdf" boolean,
  "event_type" text,
  "recipients" jsonb,
  "subject" text,
  "body" text,
  "extra" jsonb,
  "_seq" bigint NOT NULL,
  "_observed_at" timestamptz,
  "_loaded_at" timestamptz NOT NULL,
  "_deleted_at" timestamptz,
  PRIMARY KEY ("id", "account_id")
);

UPDATE "harvest"."invoice_messages" AS t SET "sent_from" = (CASE WHEN jsonb_typeof((t.extra -> 'sent_from')) = 'string' THEN ((t.extra -> 'sent_from') #>> '{}') END), extra = nullif(t.extra - 'sent_from', '{}')
WHERE t.extra IS NOT NULL AND (CASE WHEN jsonb_typeof((t.extra -> 'sent_from')) = 'string' THEN ((t.extra -> 'sent_from') #>> '{}') END) IS NOT NULL;

CREATE TABLE IF NOT EXISTS "harvest"."invoice_message_recipients" (
  "invoice_message_id" bigint NOT NULL,
  "account_id" bigint NOT NULL,
  "ordinal" bigint NOT NULL,
  "name" text,
  "email" text,
  "extra" jsonb,
  PRIMARY KEY ("invoice_message_id", "account_id", "ordinal")
);

WITH lifted AS (
UPDATE "harvest"."invoice_messages" AS t SET "recipients" = coalesce((SELECT jsonb_agg(jsonb_build_object('name', (e -> 'name'), 'email', (e -> 'email'), 'extra', (e -> 'extra')) ORDER BY n) FROM jsonb_array_elements((t.extra -> 'recipients')) WITH ORDINALITY AS i (e, n)), '[]'),
extra = nullif(t.extra - 'recipients', '{}')
WHERE t.extra IS NOT NULL AND t."recipients" IS NULL AND CASE WHEN jsonb_typeof((t.extra -> 'recipients')) = 'array' THEN NOT EXISTS (SELECT FROM jsonb_array_elements((t.extra -> 'recipients')) AS i (e) WHERE CASE WHEN jsonb_typeof(e) = 'object' THEN e - '{name,email,extra}'::text[] <> '{}' OR coalesce(jsonb_typeof((e -> 'name')), 'null') <> 'null' AND (CASE WHEN jsonb_typeof((e -> 'name')) = 'string' THEN ((e -> 'name') #>> '{}') END) IS NULL OR coalesce(jsonb_typeof((e -> 'email')), 'null') <> 'null' AND (CASE WHEN jsonb_typeof((e -> 'email')) = 'string' THEN ((e -> 'email') #>> '{}') END) IS NULL ELSE true END) ELSE false END
RETURNING t."id", t."account_id", t."recipients" AS list)
INSERT INTO "harvest"."invoice_message_recipients" ("invoice_message_id", "account_id", "ordinal", "name", "email", "extra") SELECT l."id", l."account_id", n, (CASE WHEN jsonb_typeof((e -> 'name')) = 'string' THEN ((e -> 'name') #>> '{}') END), (CASE WHEN jsonb_typeof((e -> 'email')) = 'string' THEN ((e -> 'email') #>> '{}') END), nullif((e -> 'extra'), 'null') FROM lifted AS l, jsonb_array_elements(l.list) WITH ORDINALITY AS i (e, n) ON CONFLICT DO NOTHING;
