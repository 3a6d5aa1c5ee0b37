/* The doctor's findings as JSON; see doctor.h. */
#include <jansson.h>

#include "peer/agent/doctor.h"

static json_t *step_object(const struct doctor_step *s)
{
	static const char *const words[] = {"ok", "warning", "bad", "skipped"};

	return json_pack("{s:s, s:s, s:s, s:s?}", "step", s->name, "result", words[s->result],
		"text", s->text, "advice", s->advice);
}

int doctor_encode(const struct doctor *d, struct bytes *out)
{
	json_t *all = json_pack("{s:b, s:[]}", "well", doctor_is_well(d), "steps");
	char *text = NULL;
	int rc = all != NULL ? TK_OK : TK_ENOMEM;

	for (size_t i = 0; rc == TK_OK && i < d->count; i++) {
		if (json_array_append_new(
			    json_object_get(all, "steps"), step_object(&d->steps[i])) != 0)
			rc = TK_ENOMEM;
	}
	if (rc == TK_OK)
		text = json_dumps(all, JSON_COMPACT);
	if (text == NULL)
		rc = TK_ENOMEM;
	if (rc == TK_OK)
		rc = bytes_append(out, text, span_text(text).len);
	if (rc == TK_OK)
		rc = bytes_append(out, "\n", 1);
	free(text);
	json_decref(all);
	return rc;
}
