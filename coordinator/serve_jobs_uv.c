/* Runs the core's jobs on libuv's thread pool; see serve_state.h and jobs.h. What a job needs is copied
 * before it starts, so nothing is shared with the loop's thread. */
#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "coordinator/jobs.h"
#include "coordinator/serve_state.h"
#include "peer/wire/messages.h"
#include "tasks/base/mem.h"

struct job {
	uv_work_t work;
	struct serve *serve;
	uint64_t generation;
	enum core_effect_type type;
	struct blob_store blobs;
	struct project_row project;
	uint32_t unit;
	uint64_t seed;
	struct digest selftest[SELFTEST_OPERATIONS];
	struct merge_input *inputs;
	struct merge_output merged;
	struct bytes claim;
	/* REFEREE_STEP */
	struct step_request step;
	struct step_output stepped;
	struct digest state; /* blob */
	struct digest *leaves;
	struct bytes before;
	uint64_t id;
	int rc;
	struct errmsg msg;
};

static void job_free(struct job *j)
{
	mem_free(j->inputs);
	mem_free(j->merged.state_digests);
	bytes_close(&j->claim);
	step_output_close(&j->stepped);
	bytes_close(&j->before);
	mem_free(j->leaves);
	mem_free(j);
}

static int step(struct job *j)
{
	int rc = TK_OK;

	if (j->step.from > 0)
		rc = blob_store_get(&j->blobs, &j->state, BLOB_BYTES_MAX, &j->before, &j->msg);
	j->step.before = bytes_span(&j->before);
	return rc == TK_OK ? job_step(&j->blobs, &j->project, &j->step, &j->stepped, &j->msg) : rc;
}

static void work(uv_work_t *w)
{
	struct job *j = w->data;

	if (j->type == CORE_SELFTEST)
		j->rc = job_selftest(j->seed, j->selftest, &j->msg);
	else if (j->type == CORE_REFEREE_STEP)
		j->rc = step(j);
	else if (j->type == CORE_MERGE)
		j->rc = job_merge(&j->blobs, &j->project, j->inputs, &j->merged, &j->msg);
	else
		j->rc = job_referee(&j->blobs, &j->project, j->unit, &j->claim, &j->msg);
}

static void answer(const struct job *j)
{
	const struct evaluation *v = &j->merged.validation;
	struct core_event event = {
		.type = j->type == CORE_MERGE ? CORE_MERGED : CORE_REFEREED,
		.project = j->project.id,
		.round = j->project.round,
		.unit = j->unit,
		.code = j->rc,
		.text = j->msg.text,
		.parameters = j->merged.parameters,
		.outer_state = j->merged.outer_state,
		.model = j->merged.model,
		.states = j->merged.states,
		.state_list = j->merged.state_digests,
		.loss = j->merged.loss,
		.validation_samples = v->samples,
		.validation_loss = v->loss,
		.validation_accuracy = v->accuracy,
		.merged = j->merged.merged,
		.claim = bytes_span(&j->claim),
		.seed = j->seed,
		.selftest = j->selftest,
		.job = j->id,
	};

	if (j->type == CORE_SELFTEST)
		event.type = CORE_SELFTESTED;
	if (j->type == CORE_REFEREE_STEP) {
		event.type = CORE_STEPPED;
		event.claim = bytes_span(&j->stepped.claim);
		event.state = j->stepped.after;
	}
	serve_step(j->serve, &event);
}

static void done(uv_work_t *w, int status)
{
	struct job *j = w->data;

	(void)status;
	serve_job_count(j->serve, -1);
	/* A core that was forgotten meanwhile asks again by itself, so a full disk is waited out here as
	 * everywhere: nobody has to resume anything when there is room again. */
	if (j->generation == serve_generation(j->serve) && j->rc == TK_ENOSPC)
		serve_stall(j->serve, j->msg.text);
	else if (j->generation == serve_generation(j->serve))
		answer(j);
	job_free(j);
}

/* The claims of the round's units, by index. */
struct claims {
	struct merge_input *inputs;
	uint32_t count, next;
};

static int add_claim(void *context, const void *row)
{
	const struct unit_row *u = row;
	struct claims *c = context;

	if (u->index != c->next || c->next == c->count)
		return TK_ECORRUPT;
	memcpy(c->inputs[c->next].claim, u->claim, u->claim_bytes);
	c->inputs[c->next].claim_bytes = u->claim_bytes;
	c->next++;
	return TK_OK;
}

struct find_project {
	uint64_t id;
	struct project_row *row;
	bool found;
};

static int find_by_id(void *context, const void *row)
{
	struct find_project *f = context;
	const struct project_row *p = row;

	if (p->id == f->id) {
		*f->row = *p;
		f->found = true;
	}
	return 0;
}

static int step_prepare(struct job *j, const struct core_effect *effect)
{
	size_t count = effect->bytes.len / sizeof(*j->leaves);

	if (count > 0 && (j->leaves = mem_calloc(count, sizeof(*j->leaves))) == NULL)
		return errmsg_set(&j->msg, TK_ENOMEM, "not enough memory for a step");
	if (count > 0)
		memcpy(j->leaves, effect->bytes.data, effect->bytes.len);
	j->state = effect->digest;
	j->step = (struct step_request){.unit = effect->unit_index,
		.from = effect->step,
		.agreed = effect->state,
		.leaves = j->leaves,
		.leaf_count = (uint32_t)count};
	return TK_OK;
}

struct find_round {
	uint32_t round;
	struct project_row *as; /* gets what that round starts from */
	bool found;
};

static int find_start(void *context, const void *row)
{
	struct find_round *f = context;
	const struct round_row *r = row;

	if (r->round != f->round)
		return TK_OK;
	f->as->round = r->round;
	f->as->parameters = r->start;
	f->as->outer_state = r->start_outer;
	f->as->states = r->states;
	f->found = true;
	return TK_OK;
}

/* The project as it was when the round began: a round that is merged may still be in doubt. */
static int round_of(struct job *j, struct store *store, uint32_t round)
{
	struct find_round find = {.round = round, .as = &j->project};
	int rc = TK_OK;

	if (j->project.round == round)
		return rc;
	if (j->project.round > round)
		rc = store_rounds(store, j->project.id, find_start, &find, &j->msg);
	return rc != TK_OK || find.found
		       ? rc
		       : errmsg_set(&j->msg, TK_ECORRUPT, "the store has no such round");
}

/* Everything the job reads, from the store's committed rows. */
static int job_prepare(struct job *j, struct store *store, const struct core_effect *effect)
{
	struct find_project find = {.id = effect->project_id, .row = &j->project};
	struct claims claims = {0};
	int rc;

	if (j->type == CORE_SELFTEST)
		return TK_OK;
	rc = store_projects(store, find_by_id, &find, &j->msg);

	if (rc == TK_OK && !find.found)
		rc = errmsg_set(&j->msg, TK_ECORRUPT, "the store has no such project");
	if (rc == TK_OK)
		rc = round_of(j, store, effect->round_index);
	if (rc == TK_OK && j->type == CORE_REFEREE_STEP)
		rc = step_prepare(j, effect);
	if (rc != TK_OK || j->type != CORE_MERGE)
		return rc;
	j->inputs = mem_calloc(j->project.units_per_round, sizeof(*j->inputs));
	if (j->inputs == NULL)
		return errmsg_set(&j->msg, TK_ENOMEM, "not enough memory to merge");
	claims = (struct claims){j->inputs, j->project.units_per_round, 0};
	rc = store_units(store, j->project.id, j->project.round, add_claim, &claims, &j->msg);
	if (rc == TK_OK && claims.next != claims.count)
		rc = errmsg_set(&j->msg, TK_ECORRUPT, "the store lacks units of the round");
	return rc;
}

void serve_start_job(struct serve *s, const struct core_effect *effect)
{
	struct job *j = mem_calloc(1, sizeof(*j));

	if (j == NULL) {
		serve_stall(s, "not enough memory to start a job");
		return;
	}
	j->work.data = j;
	j->serve = s;
	j->generation = serve_generation(s);
	j->type = effect->type;
	j->blobs = serve_home(s)->blobs;
	j->unit = effect->unit_index;
	j->seed = effect->seed;
	j->id = effect->job;
	if (job_prepare(j, serve_home(s)->store, effect) != TK_OK ||
		uv_queue_work(serve_loop(s), &j->work, work, done) != 0) {
		serve_stall(s, j->msg.text[0] != '\0' ? j->msg.text : "cannot start a job");
		job_free(j);
		return;
	}
	serve_job_count(s, 1);
}
