/* See ledger_export.h. */
#include "coordinator/ledger_export.h"

#include <inttypes.h>

#include "coordinator/jobs.h"
#include "tasks/base/file.h"

struct exporting {
	struct file_writer *writer;
	uint64_t project;
	struct ledger_summary sum;
	struct bytes encoded;
	struct errmsg *msg;
};

static int put(struct exporting *x, const struct ledger_record *record)
{
	int rc;

	x->encoded.len = 0;
	rc = ledger_record_encode(record, &x->encoded);
	if (rc != TK_OK)
		return errmsg_set(x->msg, rc, "not enough memory to write the ledger");
	return file_writer_add(x->writer, bytes_span(&x->encoded), x->msg);
}

/* The chain is followed on the way: what is handed out as a ledger is one. */
static int put_entry(void *context, const struct ledger_row *row, struct span content)
{
	struct exporting *x = context;
	bool ours = row->project == x->project;
	struct ledger_record record = {
		.type = ours ? RECORD_ENTRY : RECORD_LINK,
		.sequence = x->sum.head.sequence + 1,
		.link = x->sum.head.digest,
		.content = content,
		.is_signed = ours && row->is_signed,
		.signature = row->signature,
	};

	struct ledger_entry entry;
	int rc = ledger_decode(&entry, content, x->msg);

	if (rc != TK_OK)
		return errmsg_prefix(
			x->msg, rc, "entry %" PRIu64 " of the store's ledger", record.sequence);
	record.project = entry.project;
	ledger_content_digest(&record.digest, content);
	ledger_head_add(&x->sum.head, &record.project, &record.digest);
	if (row->head.sequence != x->sum.head.sequence ||
		!digest_equal(&row->head.digest, &x->sum.head.digest))
		return errmsg_set(x->msg, TK_ECORRUPT,
			"the store's ledger is broken at entry %" PRIu64
			": restore the home from a backup",
			record.sequence);
	x->sum.entries += ours;
	x->sum.links += !ours;
	x->sum.heads += record.is_signed;
	return put(x, &record);
}

static int put_all(struct exporting *x, const struct home *home, const struct key_pair *root,
	struct span recipe)
{
	struct ledger_record header = {
		.type = RECORD_HEADER, .network = root->public, .recipe = recipe};
	struct ledger_record head = {.type = RECORD_HEAD, .is_signed = true};
	int rc =
		file_writer_add(x->writer, span_of(LEDGER_MAGIC, sizeof(LEDGER_MAGIC) - 1), x->msg);

	if (rc == TK_OK)
		rc = put(x, &header);
	if (rc == TK_OK)
		rc = store_ledger(home->store, 0, put_entry, x, x->msg);
	if (rc != TK_OK)
		return rc;
	head.sequence = x->sum.head.sequence;
	head.link = x->sum.head.digest;
	ledger_head_sign(&head.signature, root, &x->sum.head);
	x->sum.heads++;
	return put(x, &head);
}

int ledger_export(const struct home *home, const struct key_pair *root, const char *name,
	const char *path, struct ledger_summary *out, struct errmsg *msg)
{
	struct exporting x = {.sum = {.network = root->public}, .msg = msg};
	struct file_writer writer;
	struct project_row row;
	struct bytes recipe = {0};
	int rc = store_find_project(home->store, name, &row, msg);

	if (rc == TK_OK)
		rc = job_recipe(&home->blobs, &row.recipe, NULL, &recipe, msg);
	if (rc == TK_OK)
		rc = file_writer_begin(&writer, path, msg);
	if (rc != TK_OK) {
		bytes_close(&recipe);
		return rc;
	}
	x.writer = &writer;
	x.project = row.id;
	x.sum.recipe = row.recipe;
	rc = put_all(&x, home, root, bytes_span(&recipe));
	if (rc == TK_OK)
		rc = file_writer_end(&writer, 0644, msg);
	if (rc != TK_OK)
		file_writer_drop(&writer);
	else
		*out = x.sum;
	bytes_close(&x.encoded);
	bytes_close(&recipe);
	return rc;
}
