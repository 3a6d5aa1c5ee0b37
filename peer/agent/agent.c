/* The agent's core: which part hears which event. See agent.h. */
#include "peer/agent/agent.h"

#include <stdio.h>

#include "peer/agent/agent_state.h"
#include "tasks/base/mem.h"
#include "tasks/base/require.h"

struct agent *agent_new(const struct identity *id, const struct link *hosts, const char *engine)
{
	struct agent *a = mem_calloc(1, sizeof(*a));

	if (a == NULL)
		return NULL;
	a->id = id;
	a->link = hosts;
	a->memory_max = UINT64_MAX;
	a->checkpoint_ms = AGENT_CHECKPOINT_MS;
	a->link_state = LINK_DOWN;
	snprintf(a->engine, sizeof(a->engine), "%s", engine);
	return a;
}

void agent_free(struct agent *a)
{
	if (a == NULL)
		return;
	for (uint32_t i = 0; i < AGENT_JOBS_MAX; i++)
		mem_free(a->jobs[i].shards);
	dispute_forget(a, NULL, NULL);
	if (a->has_recipe)
		recipe_close(&a->recipe);
	bytes_close(&a->selftest_answer);
	secret_wipe(a, sizeof(*a)); /* salts */
	mem_free(a);
}

int agent_load_lease(struct agent *a, const struct digest *nonce, const struct digest *unit)
{
	if (result_find(a, nonce) != NULL)
		return TK_EEXIST;
	for (uint32_t i = 0; i < a->checkpoint_count; i++)
		if (digest_equal(&a->checkpoints[i], unit))
			return TK_OK;
	if (a->abandoned_count == AGENT_ABANDONED_MAX)
		return TK_ELIMIT;
	a->abandoned[a->abandoned_count++] = (struct old_lease){*nonce, *unit};
	return TK_OK;
}

void agent_limit_memory(struct agent *a, uint64_t bytes)
{
	a->memory_max = bytes;
}

void agent_join_team(struct agent *a, const char *team)
{
	REQUIRE(team[0] == '\0' || team_name_valid(team));
	snprintf(a->team, sizeof(a->team), "%s", team);
}

void agent_load_totals(struct agent *a, const struct agent_totals *totals)
{
	a->totals = *totals;
}

static void take_message(
	struct agent *a, const struct agent_event *event, struct agent_effects *out)
{
	char text[TEXT_MAX];

	if (!link_is_up(a))
		return; /* the end of a session that we have left */
	switch (event->message->type) {
	case MESSAGE_PING:
	case MESSAGE_PONG:
		break; /* the node answers them */
	case MESSAGE_GOODBYE:
		link_goodbye(a, event, out);
		break;
	case MESSAGE_NO_WORK:
		link_no_work(a, event, out);
		break;
	case MESSAGE_LEASE:
		job_lease(a, event, out);
		break;
	case MESSAGE_HOST_CERTIFICATE:
		link_host(a, event, out);
		break;
	case MESSAGE_SELFTEST_REQUEST:
		selftest_asked(a, event, out);
		break;
	case MESSAGE_COMMITTED:
	case MESSAGE_REVEAL_REQUEST:
	case MESSAGE_UPLOAD_REQUEST:
	case MESSAGE_UPLOADED:
	case MESSAGE_SETTLED:
		result_message(a, event, out);
		break;
	case MESSAGE_TRACE_REQUEST:
	case MESSAGE_SEGMENT_REQUEST:
	case MESSAGE_STATE_REQUEST:
		dispute_message(a, event, out);
		break;
	default:
		snprintf(text, sizeof(text), "%s is not for a coordinator to say",
			message_name(event->message->type));
		link_drop(a, event, GOODBYE_PROTOCOL, text, out);
		break;
	}
}

static void tick(struct agent *a, const struct agent_event *event, struct agent_effects *out)
{
	link_tick(a, event, out);
	job_tick(a, event, out);
	checkpoint_tick(a, event->now_ms, out);
}

int agent_step(struct agent *a, const struct agent_event *event, struct agent_effects *out)
{
	switch (event->type) {
	case AGENT_START:
		a->checkpoints_end_ms = event->now_ms + AGENT_CHECKPOINTS_MS;
		link_start(a, event->now_ms, out);
		break;
	case AGENT_UP:
		link_up(a, event, out);
		break;
	case AGENT_DOWN:
	case AGENT_DIAL_FAILED:
		link_lost(a, event, event->text, out);
		break;
	case AGENT_MESSAGE:
		take_message(a, event, out);
		break;
	case AGENT_SENT:
		result_sent(a, out);
		dispute_sent(a, out);
		break;
	case AGENT_BLOB_FOUND:
	case AGENT_BLOB_ABSENT:
	case AGENT_BLOB_STORED:
	case AGENT_BLOB_FAILED:
		prepare_blob(a, event, out);
		break;
	case AGENT_SELFTESTED:
		selftest_done(a, event, out);
		break;
	case AGENT_WORKER_PROGRESS:
	case AGENT_WORKER_DONE:
	case AGENT_WORKER_FAILED:
	case AGENT_WORKER_LACKS:
	case AGENT_WORKER_GONE:
	case AGENT_WORKER_CHECKPOINT:
	case AGENT_WORKER_REPLAYED:
		job_worker(a, event, out);
		break;
	case AGENT_RESULT_SAVED:
	case AGENT_RESULT_FAILED:
	case AGENT_PAYLOAD_READ:
	case AGENT_PAYLOAD_FAILED:
		result_disk(a, event, out);
		break;
	case AGENT_TRACE_READ:
	case AGENT_TRACE_FAILED:
		dispute_disk(a, event, out);
		break;
	case AGENT_TICK:
		tick(a, event, out);
		break;
	case AGENT_ANNOUNCED:
		ahead_news(a, event->announcement, out);
		patience_news(a, event);
		break;
	case AGENT_ISOLATED:
		link_isolated(a, event);
		break;
	case AGENT_STOPPING:
		checkpoint_ask(a, event->now_ms, out);
		return out->error; /* nothing new is begun */
	}
	dispute_advance(a, out);
	job_advance(a, event->now_ms, out);
	ahead_advance(a, out);
	link_ask(a, event->now_ms, out);
	return out->error;
}
