/* A simulation's report as JSON. See simulate.h. */
#include <inttypes.h>
#include <jansson.h>

#include "coordinator/simulate/expect.h"

static json_t *spread_json(const struct simulate_spread *s)
{
	return json_pack("{s:I, s:f, s:f, s:f, s:f, s:f}", "count", (json_int_t)s->count, "median",
		s->median, "p90", s->p90, "p99", s->p99, "most", s->most, "mean", s->mean);
}

static json_t *options_json(const struct simulate_options *o)
{
	return json_pack("{s:I, s:I, s:s, s:f, s:f, s:f, s:I}", "peers", (json_int_t)o->peers,
		"units", (json_int_t)o->units, "strategy", strategy_name(o->strategy), "cheaters",
		o->cheaters, "churn", o->churn, "rate", strategy_rate(o), "seed",
		(json_int_t)o->seed);
}

static json_t *expectations_json(const struct simulate_report *r, const struct simulate_options *o)
{
	struct expectation e[EXPECTATIONS_MAX];
	uint32_t count = expect(e, r, o);
	json_t *list = json_array();

	for (uint32_t i = 0; i < count; i++)
		(void)json_array_append_new(
			list, json_pack("{s:s, s:f, s:f, s:f, s:b}", "what", e[i].what, "measured",
				      e[i].measured, e[i].kind == EXPECT_MOST ? "at_most" : "about",
				      e[i].expected, "within", e[i].within, "holds",
				      (int)expectation_holds(&e[i])));
	return list;
}

static json_t *report_json(const struct simulate_report *r, const struct simulate_options *o)
{
	char digest[17];
	json_t *j;

	snprintf(digest, sizeof(digest), "%016" PRIx64, r->digest);
	j = json_pack("{s:o, s:b, s:s, s:I, s:I, s:I, s:I, s:f, s:f, s:f}", "options",
		options_json(o), "finished", (int)r->done, "reason", r->reason, "rounds",
		(json_int_t)r->rounds_done, "units", (json_int_t)r->end.units, "computed",
		(json_int_t)r->end.computed, "messages", (json_int_t)r->messages_all, "hours",
		r->end.hours, "round_hours", r->round_h, "busy", r->busy);
	if (j == NULL)
		return NULL;
	if (json_object_update_new(
		    j, json_pack("{s:f, s:f, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s}",
			       "overhead", r->overhead, "overhead_last_fifth", r->overhead_end,
			       "disputes", (json_int_t)r->end.disputes, "referee_units",
			       (json_int_t)r->referee_units, "referee_steps",
			       (json_int_t)r->referee_steps, "wrong_results", (json_int_t)r->wrong,
			       "standing", (json_int_t)r->end.standing, "standing_most",
			       (json_int_t)r->peak, "identities_cheating", (json_int_t)r->cheaters,
			       "retired_wrong", (json_int_t)r->end.caught, "retired_right",
			       (json_int_t)r->end.retired_ok, "digest", digest)) != 0 ||
		json_object_update_new(j,
			json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "wrong_until_retired",
				spread_json(&r->bad), "wrong_until_proven", spread_json(&r->proven),
				"hours_until_retired", spread_json(&r->caught_h), "hours_stood",
				spread_json(&r->stood_h), "dispute_messages",
				spread_json(&r->messages), "expected", expectations_json(r, o))) !=
			0 ||
		json_object_update_new(
			j, json_pack("{s:I, s:I, s:I}", "rollbacks", (json_int_t)r->rollbacks,
				   "merges_taken_back", (json_int_t)r->taken_back, "computed_again",
				   (json_int_t)r->computed_again)) != 0) {
		json_decref(j);
		return NULL;
	}
	return j;
}

int simulate_json(const struct simulate_report *r, const struct simulate_options *o, FILE *out)
{
	json_t *j = report_json(r, o);
	int rc = j != NULL && json_dumpf(j, out, JSON_INDENT(2)) == 0 ? TK_OK : TK_ENOMEM;

	if (rc == TK_OK)
		fputc('\n', out);
	json_decref(j);
	return rc;
}
