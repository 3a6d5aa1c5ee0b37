/* reach.h: what we know about ourselves, and what we say of it. */
#include <stdio.h>
#include <string.h>

#include "peer/overlay/reach_state.h"
#include "tasks/base/require.h"

const char *reach_nat_text(enum reach_nat nat)
{
	static const char *const texts[] = {
		[NAT_UNKNOWN] = "not known yet",
		[NAT_NONE] = "none: this computer has the address that others see",
		[NAT_INDEPENDENT] = "one that keeps one port for all destinations",
		[NAT_DEPENDENT] = "one that takes another port for each destination (symmetric)",
	};

	return texts[nat];
}

bool reach_is_public(const struct reach *r)
{
	return (r->record.flags & RECORD_PUBLIC) != 0;
}

bool reach_is_tested(const struct reach *r)
{
	for (size_t i = 0; i < r->candidate_count; i++) {
		if (r->candidates[i].tested)
			return true;
	}
	return false;
}

const char *reach_why(const struct reach *r)
{
	return r->why;
}

void reach_words(const struct reach *r, char out[TEXT_MAX])
{
	char at[ENDPOINT_TEXT_MAX];

	if (reach_is_public(r)) {
		endpoint_text(at, &r->record.endpoints[0]);
		snprintf(out, TEXT_MAX, "at %s", at);
	} else if (r->record.relay_count != 0) {
		snprintf(out, TEXT_MAX, "through %u relay%s (router: %s)",
			(unsigned)r->record.relay_count, r->record.relay_count == 1 ? "" : "s",
			reach_nat_text(reach_nat(r)));
	} else if (!reach_is_tested(r)) {
		snprintf(out, TEXT_MAX, "in a way that is not known yet");
	} else {
		snprintf(out, TEXT_MAX, "not yet: %.200s",
			r->why[0] != '\0' ? r->why : "nobody got through");
	}
}

bool reach_wants_mapping(const struct reach *r, uint64_t now_ms)
{
	return !reach_is_public(r) && r->listening != 0 && r->first_ms != 0 &&
	       now_ms - r->first_ms >= REACH_MAPPING_MS && r->widest > SCOPE_LOOPBACK;
}

const struct record *reach_record(const struct reach *r)
{
	return &r->record;
}

static bool is_local(const struct reach *r, const struct endpoint *at)
{
	for (size_t i = 0; i < r->local_count; i++) {
		if (endpoint_equal(&r->locals[i], at))
			return true;
	}
	return false;
}

/* Two who see one host of ours at two ports: each destination has its own mapping. */
enum reach_nat reach_nat(const struct reach *r)
{
	enum reach_nat nat = NAT_UNKNOWN;

	for (const struct reach_session *a = r->sessions; a != NULL; a = a->next) {
		if (!a->from_port || a->seen.family == 0)
			continue;
		if (is_local(r, &a->seen))
			return NAT_NONE;
		for (const struct reach_session *b = a->next; b != NULL; b = b->next) {
			if (!b->from_port || !reach_same_host(&a->seen, &b->seen) ||
				endpoint_equal(&a->remote, &b->remote))
				continue;
			if (a->seen.port != b->seen.port)
				return NAT_DEPENDENT;
			nat = NAT_INDEPENDENT;
		}
	}
	return nat;
}

static bool has(const struct endpoint *list, size_t count, const struct endpoint *at)
{
	for (size_t i = 0; i < count; i++) {
		if (endpoint_equal(&list[i], at))
			return true;
	}
	return false;
}

static void put(struct endpoint *list, size_t *count, size_t max, const struct endpoint *at)
{
	if (*count < max && !has(list, *count, at))
		list[(*count)++] = *at;
}

/* May strangers come in at an address that stands? Where a router translates, whoever dialled us back was let
 * in perhaps only because we had called it from the same port ("address-dependent filtering", RFC 4787); there
 * it takes a port that the router was asked for, or the word of one whom that port has not called. */
static bool is_open(const struct reach *r, const struct candidate *c)
{
	return (c->sources & (SOURCE_LOCAL | SOURCE_MAPPED)) != 0 || c->stranger ||
	       endpoint_scope(&c->at) == SCOPE_LOOPBACK || is_local(r, &c->at);
}

/* What stands, then a private address of ours for neighbours behind the same router. A loopback address is
 * public only where nobody comes from farther away. */
static void write_endpoints(const struct reach *r, struct record *out)
{
	size_t count = 0;

	for (size_t i = 0; i < r->candidate_count; i++) {
		const struct candidate *c = &r->candidates[i];

		if (!c->stands || endpoint_scope(&c->at) < r->widest)
			continue;
		if (is_open(r, c))
			out->flags |= RECORD_PUBLIC | (r->config.relay ? RECORD_RELAY : 0);
		put(out->endpoints, &count, RECORD_ENDPOINTS_MAX - 1, &c->at);
	}
	for (size_t i = 0; i < r->local_count; i++) {
		if (r->listening != 0 && endpoint_scope(&r->locals[i]) == SCOPE_PRIVATE)
			put(out->endpoints, &count, RECORD_ENDPOINTS_MAX, &r->locals[i]);
	}
	out->endpoint_count = (uint32_t)count;
}

static void write_relays(const struct reach *r, struct record *out)
{
	for (const struct reach_session *s = r->sessions;
		s != NULL && out->relay_count < RECORD_RELAYS_MAX; s = s->next) {
		if (s->place == PLACE_HELD)
			out->relays[out->relay_count++] = (struct record_relay){s->key, s->remote};
	}
}

static bool same(const struct record *a, const struct record *b)
{
	if (a->flags != b->flags || a->endpoint_count != b->endpoint_count ||
		a->relay_count != b->relay_count)
		return false;
	for (uint32_t i = 0; i < a->endpoint_count; i++) {
		if (!endpoint_equal(&a->endpoints[i], &b->endpoints[i]))
			return false;
	}
	for (uint32_t i = 0; i < a->relay_count; i++) {
		if (!key_equal(&a->relays[i].key, &b->relays[i].key) ||
			!endpoint_equal(&a->relays[i].at, &b->relays[i].at))
			return false;
	}
	return true;
}

void reach_record_tick(struct reach *r)
{
	struct record fresh = {.key = r->config.id->key.public};

	write_endpoints(r, &fresh);
	if ((fresh.flags & RECORD_PUBLIC) == 0)
		write_relays(r, &fresh);
	if (r->said && same(&fresh, &r->record))
		return;
	r->said = true;
	r->record = fresh;
	r->port->record(r->port->context, &r->record);
}

size_t reach_punch_addresses(const struct reach *r, struct endpoint out[REACH_PUNCH_ADDRESSES])
{
	size_t count = 0;

	for (size_t i = 0; i < r->candidate_count; i++) {
		if (r->candidates[i].stands)
			put(out, &count, REACH_PUNCH_ADDRESSES, &r->candidates[i].at);
	}
	for (const struct reach_session *s = r->sessions; s != NULL; s = s->next) {
		if (s->from_port && s->seen.family != 0)
			put(out, &count, REACH_PUNCH_ADDRESSES - 1, &s->seen);
	}
	for (size_t i = 0; i < r->candidate_count; i++) {
		if ((r->candidates[i].sources & (SOURCE_MAPPED | SOURCE_SEEN)) != 0)
			put(out, &count, REACH_PUNCH_ADDRESSES - 1, &r->candidates[i].at);
	}
	for (size_t i = 0; i < r->local_count; i++) {
		if (r->listening != 0 && endpoint_scope(&r->locals[i]) == SCOPE_PRIVATE)
			put(out, &count, REACH_PUNCH_ADDRESSES, &r->locals[i]);
	}
	/* Without a port of ours the other side can only meet our dial, and knows it by its host. */
	for (const struct reach_session *o = r->sessions; o != NULL && count == 0; o = o->next) {
		if (o->seen.family != 0)
			put(out, &count, REACH_PUNCH_ADDRESSES, &o->seen);
	}
	return count;
}

/* Do others see us at this host, or does a router of ours, or we ourselves, have it? */
static bool is_our_host(const struct reach *r, const struct endpoint *at)
{
	for (const struct reach_session *s = r->sessions; s != NULL; s = s->next) {
		if (s->seen.family != 0 && reach_same_host(&s->seen, at))
			return true;
	}
	for (size_t i = 0; i < r->candidate_count; i++) {
		if ((r->candidates[i].sources & (SOURCE_MAPPED | SOURCE_LOCAL)) != 0 &&
			reach_same_host(&r->candidates[i].at, at))
			return true;
	}
	return false;
}

static bool shares_our_router(const struct reach *r, const struct endpoint *named, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (endpoint_scope(&named[i]) == SCOPE_GLOBAL && is_our_host(r, &named[i]))
			return true;
	}
	return false;
}

static bool is_our_network(const struct reach *r, const struct endpoint *at)
{
	for (size_t i = 0; i < r->local_count; i++) {
		if (endpoint_prefix(&r->locals[i]) == endpoint_prefix(at))
			return true;
	}
	return false;
}

bool reach_may_dial(const struct reach *r, const struct endpoint *at, const struct endpoint *named,
	size_t count)
{
	enum endpoint_scope scope = endpoint_scope(at);

	/* our own, in another home: from our own port it would even answer */
	if (at->port < REACH_PORT_MIN || is_local(r, at))
		return false;
	if (scope == SCOPE_GLOBAL || r->widest <= scope)
		return true;
	return scope == SCOPE_PRIVATE && is_our_network(r, at) &&
	       shares_our_router(r, named, count);
}
