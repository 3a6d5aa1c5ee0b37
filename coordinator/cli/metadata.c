/* See metadata.h. */
#include "coordinator/cli/metadata.h"

#include <stdio.h>
#include <string.h>

#include "tasks/data/utf8.h"

static int add_characters(struct bytes *out, const struct dataset *d)
{
	int rc = TK_OK;

	for (uint32_t i = 0; i < d->classes && rc == TK_OK; i++) {
		char text[4];
		size_t n = utf8_encode(text, d->vocabulary[i]);

		rc = bytes_append(out, text, n);
	}
	return rc;
}

static int add_names(struct bytes *out, const struct dataset *d)
{
	int rc = TK_OK;

	for (uint32_t i = 0; i < d->classes && rc == TK_OK; i++) {
		if (i != 0)
			rc = bytes_append(out, "\n", 1);
		if (rc == TK_OK)
			rc = bytes_append(out, d->class_names[i], strlen(d->class_names[i]));
	}
	return rc;
}

/* Nine digits give a float32 back. */
static void add_target(struct metadata *m, const char **pair, const struct dataset *d)
{
	snprintf(m->mean, sizeof(m->mean), "%.9g", (double)d->target_mean);
	snprintf(m->deviation, sizeof(m->deviation), "%.9g", (double)d->target_deviation);
	*pair++ = "talkoot.target_mean";
	*pair++ = m->mean;
	*pair++ = "talkoot.target_deviation";
	*pair++ = m->deviation;
}

int metadata_init(struct metadata *m, const struct recipe *recipe, const struct digest *model,
	uint32_t rounds_done, const char *verification)
{
	const struct dataset *d = &recipe->data;
	const char **pair = m->pairs;
	int rc = TK_OK;

	memset(m, 0, sizeof(*m));
	if (d->vocabulary != NULL)
		rc = add_characters(&m->classes, d);
	else if (d->class_names != NULL)
		rc = add_names(&m->classes, d);
	if (rc == TK_OK)
		rc = bytes_append(&m->classes, "", 1);
	if (rc != TK_OK)
		return rc;
	snprintf(m->progress, sizeof(m->progress), "%u of %u", rounds_done, recipe->train.rounds);
	*pair++ = "format";
	*pair++ = "pt";
	*pair++ = "talkoot.project";
	*pair++ = recipe->name;
	if (model != NULL) {
		digest_hex(m->digest, model);
		*pair++ = "talkoot.model_digest";
		*pair++ = m->digest;
	}
	*pair++ = "talkoot.rounds";
	*pair++ = m->progress;
	*pair++ = "talkoot.verification";
	*pair++ = verification;
	if (d->label == LABEL_NUMBER) {
		add_target(m, pair, d);
	} else if (d->token == TOKEN_BYTE) {
		*pair++ = "talkoot.tokens";
		*pair++ = "bytes";
	} else {
		*pair++ = d->vocabulary != NULL ? "talkoot.vocabulary" : "talkoot.classes";
		*pair++ = (const char *)m->classes.data;
	}
	return TK_OK;
}

void metadata_close(struct metadata *m)
{
	bytes_close(&m->classes);
}
