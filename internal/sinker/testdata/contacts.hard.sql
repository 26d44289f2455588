SELECT "id", "_seq" FROM "harvest"."contacts" WHERE "account_id" = $1 AND "id" = ANY($2);

SELECT "id", "_seq", "account_id" FROM "harvest"."contacts" WHERE "id" BETWEEN $1 AND $2 ORDER BY "id" LIMIT $3;

SELECT "id", "seq", "deleted_at" FROM "harvest"."_deleted" WHERE "stream" = $1 AND "account_id" = $2 AND "id" = ANY($3);

COPY "harvest"."contacts" ("id", "account_id", "title", "first_name", "last_name", "email", "phone_office", "phone_mobile", "fax", "invoice_recipient_status", "created_at", "updated_at", "client_id", "client_name", "extra", "_seq", "_observed_at", "_loaded_at") FROM STDIN (FORMAT binary);

CREATE TEMPORARY TABLE IF NOT EXISTS "pg_temp"."stage_contacts" ("id" bigint, "account_id" bigint, "title" text, "first_name" text, "last_name" text, "email" text, "phone_office" text, "phone_mobile" text, "fax" text, "invoice_recipient_status" text, "created_at" timestamptz, "updated_at" timestamptz, "client_id" bigint, "client_name" text, "extra" jsonb, "_seq" bigint, "_observed_at" timestamptz, "_loaded_at" timestamptz) ON COMMIT DELETE ROWS;

INSERT INTO "harvest"."contacts" AS t ("id", "account_id", "title", "first_name", "last_name", "email", "phone_office", "phone_mobile", "fax", "invoice_recipient_status", "created_at", "updated_at", "client_id", "client_name", "extra", "_seq", "_observed_at", "_loaded_at")
SELECT "id", "account_id", "title", "first_name", "last_name", "email", "phone_office", "phone_mobile", "fax", "invoice_recipient_status", "created_at", "updated_at", "client_id", "client_name", "extra", "_seq", "_observed_at", "_loaded_at" FROM "pg_temp"."stage_contacts"
ON CONFLICT ("id", "account_id") DO UPDATE SET "title" = excluded."title", "first_name" = excluded."first_name", "last_name" = excluded."last_name", "email" = excluded."email", "phone_office" = excluded."phone_office", "phone_mobile" = excluded."phone_mobile", "fax" = excluded."fax", "invoice_recipient_status" = excluded."invoice_recipient_status", "created_at" = excluded."created_at", "updated_at" = excluded."updated_at", "client_id" = excluded."client_id", "client_name" = excluded."client_name", "extra" = excluded."extra", "_seq" = excluded."_seq", "_observed_at" = excluded."_observed_at", "_loaded_at" = excluded."_loaded_at"
WHERE excluded."_seq" > t."_seq";

UPDATE "harvest"."contacts" AS t SET "title" = s."title", "first_name" = s."first_name", "last_name" = s."last_name", "email" = s."email", "phone_office" = s."phone_office", "phone_mobile" = s."phone_mobile", "fax" = s."fax", "invoice_recipient_status" = s."invoice_recipient_status", "created_at" = s."created_at", "updated_at" = s."updated_at", "client_id" = s."client_id", "client_name" = s."client_name", "extra" = s."extra", "_seq" = s."_seq", "_observed_at" = s."_observed_at", "_loaded_at" = s."_loaded_at"
FROM "pg_temp"."stage_contacts" AS s
WHERE t."id" = s."id" AND t."account_id" = s."account_id" AND s."_seq" > t."_seq";

INSERT INTO "harvest"."_deleted" AS d ("stream", "id", "account_id", "seq", "deleted_at")
SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::timestamptz[])
ON CONFLICT ("stream", "id", "account_id") DO UPDATE SET "seq" = excluded."seq", "deleted_at" = excluded."deleted_at"
WHERE excluded."seq" > d."seq";

COPY "harvest"."_deleted" ("stream", "id", "account_id", "seq", "deleted_at") FROM STDIN (FORMAT binary);

DELETE FROM "harvest"."contacts" AS t USING unnest($2::bigint[], $3::bigint[]) AS gone ("id", "seq")
WHERE t."account_id" = $1 AND t."id" = ANY($2) AND t."id" = gone."id" AND t."_seq" < gone."seq";

UPDATE "harvest"."contacts" AS t SET "_deleted_at" = gone."at", "_loaded_at" = $5
FROM unnest($2::bigint[], $3::bigint[], $4::timestamptz[]) AS gone ("id", "seq", "at")
WHERE t."account_id" = $1 AND t."id" = ANY($2) AND t."id" = gone."id" AND t."_seq" < gone."seq";

SELECT EXISTS (SELECT FROM pg_catalog.pg_attribute WHERE attrelid = '"harvest"."contacts"'::regclass AND atthasdef AND attname = ANY($1));

CREATE TABLE IF NOT EXISTS "harvest"."contacts" (
  "id" bigint NOT NULL,
  "account_id" bigint NOT NULL,
  "title" text,
  "first_name" text,
  "last_name" text,
  "email" text,
  "phone_office" text,
  "phone_mobile" text,
  "fax" text,
  "invoice_recipient_status" text,
  "created_at" timestamptz,
  "updated_at" timestamptz,
  "client_id" bigint,
  "client_name" text,
  "extra" jsonb,
  "_seq" bigint NOT NULL,
  "_observed_at" timestamptz,
  "_loaded_at" timestamptz NOT NULL,
  PRIMARY KEY ("id", "account_id")
);

UPDATE "harvest"."contacts" AS t SET "email" = (CASE WHEN jsonb_typeof((t.extra -> 'email')) = 'string' THEN ((t.extra -> 'email') #>> '{}') END), extra = nullif(t.extra - 'email', '{}')
WHERE t.extra IS NOT NULL AND (CASE WHEN jsonb_typeof((t.extra -> 'email')) = 'string' THEN ((t.extra -> 'email') #>> '{}') END) IS NOT NULL;
