/* See audit_run.h: what comes before recomputing, and what is said after it. */
#include <math.h>

#include "coordinator/audit_run.h"

int audit_load(struct audit *a, FILE *file,
	void (*see)(void *context, uint32_t round, uint64_t sequence), void *context,
	struct errmsg *msg)
{
	struct ledger_reader reader = {0};
	struct ledger_record record;
	struct audit got = {0};
	bool end = false;
	int rc = ledger_reader_begin(&reader, file, msg);

	while (rc == TK_OK) {
		uint64_t at = reader.at;

		rc = ledger_reader_next(&reader, &record, &end, msg);
		if (rc != TK_OK || end)
			break;
		if (record.type == RECORD_HEADER)
			rc = audit_init(&got, &record.network, record.recipe, msg);
		else if (record.type == RECORD_ENTRY)
			rc = audit_take(&got, record.sequence, at, record.content, msg);
		if (rc == TK_OK && see != NULL && record.type == RECORD_ENTRY)
			see(context, got.round, record.sequence);
	}
	ledger_reader_close(&reader);
	if (rc == TK_OK)
		rc = audit_at_end(&got, msg);
	if (rc == TK_OK)
		*a = got;
	else
		audit_close(&got);
	return rc;
}

/* The chance of at most `wrong` hits in n draws of chance p. */
static double few(uint64_t n, uint64_t wrong, double p)
{
	double sum = 0;
	double log_choose = 0;

	for (uint64_t k = 0; k <= wrong; k++) {
		if (k > 0)
			log_choose += log((double)(n - k + 1)) - log((double)k);
		sum += exp(log_choose + (double)k * log(p) + (double)(n - k) * log1p(-p));
	}
	return sum;
}

double audit_bound(uint64_t settled, uint64_t n, uint64_t wrong)
{
	double low = 0, high = 1;

	if (n == 0 || wrong >= n)
		return 1;
	if (n >= settled)
		return (double)wrong / (double)n;
	if (wrong == 0)
		return -expm1(log(0.05) / (double)n);
	for (int i = 0; i < 200; i++) {
		double p = (low + high) / 2;

		if (few(n, wrong, p) > 0.05)
			low = p;
		else
			high = p;
	}
	return high;
}
