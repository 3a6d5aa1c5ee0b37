/* What `talkoot audit FILE` does without recomputing, over bytes. Included after cmocka.h. */
#ifndef TESTS_COORDINATOR_LEDGER_VERIFY_H
#define TESTS_COORDINATOR_LEDGER_VERIFY_H

#include "coordinator/audit_run.h"

static inline int ledger_verify(const struct bytes *bytes, struct errmsg *msg)
{
	FILE *file = fmemopen(bytes->data, bytes->len, "rb");
	struct ledger_summary sum;
	struct audit audit;
	int rc;

	assert_non_null(file);
	msg->text[0] = '\0';
	rc = ledger_file_check(file, NULL, &sum, msg);
	if (rc == TK_OK) {
		rc = audit_load(&audit, file, NULL, NULL, msg);
		if (rc == TK_OK)
			audit_close(&audit);
	}
	fclose(file);
	return rc;
}

#endif
