/* internet.h: what home routers do with packets. */
#include <string.h>

#include "tasks/base/require.h"
#include "tests/lib/internet.h"

static bool has_router(const struct host *h)
{
	return h->nat != NAT_KIND_NONE && h->nat != NAT_KIND_CLOSED;
}

struct endpoint internet_go_out(
	struct internet *net, size_t host, uint16_t port, const struct endpoint *to)
{
	struct host *h = &net->hosts[host];
	struct endpoint from = h->outside;
	struct mapping *m = NULL;

	from.port = port;
	for (size_t i = 0; i < net->mapping_count && has_router(h); i++) {
		struct mapping *o = &net->mappings[i];

		if (o->host == host && o->inner == port &&
			(h->nat != NAT_KIND_SYMMETRIC || endpoint_equal(&o->to, to)))
			m = o;
	}
	if (m == NULL && has_router(h)) {
		REQUIRE(net->mapping_count < MAPPINGS_MAX);
		m = &net->mappings[net->mapping_count++];
		*m = (struct mapping){host, port, h->next_port++, *to};
	}
	if (m != NULL)
		from.port = m->outer;
	REQUIRE(net->spoken_count < MAPPINGS_MAX);
	net->spoken[net->spoken_count][0] = from;
	net->spoken[net->spoken_count++][1] = *to;
	return from;
}

static bool has_spoken(
	const struct internet *net, const struct endpoint *from, const struct endpoint *to)
{
	for (size_t i = 0; i < net->spoken_count; i++) {
		if (endpoint_equal(&net->spoken[i][0], from) &&
			endpoint_equal(&net->spoken[i][1], to))
			return true;
	}
	return false;
}

static bool same_ip(const struct endpoint *a, const struct endpoint *b)
{
	return a->family == b->family && memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

static bool has_spoken_to_host(
	const struct internet *net, const struct endpoint *from, const struct endpoint *to)
{
	for (size_t i = 0; i < net->spoken_count; i++) {
		if (endpoint_equal(&net->spoken[i][0], from) && same_ip(&net->spoken[i][1], to))
			return true;
	}
	return false;
}

size_t internet_come_in(const struct internet *net, const struct endpoint *from,
	const struct endpoint *to, uint16_t *port)
{
	for (size_t i = 0; i < net->host_count; i++) {
		const struct host *h = &net->hosts[i];

		if (!same_ip(&h->outside, to) || h->dead)
			continue;
		*port = to->port;
		if (h->nat == NAT_KIND_NONE ||
			(h->nat == NAT_KIND_CLOSED && has_spoken(net, to, from)))
			return i;
		for (size_t k = 0; k < net->mapping_count && has_router(h); k++) {
			const struct mapping *m = &net->mappings[k];

			if (m->host != i || m->outer != to->port)
				continue;
			*port = m->inner;
			if (h->nat == NAT_KIND_FULL_CONE || has_spoken(net, to, from) ||
				(h->nat == NAT_KIND_ADDRESS_RESTRICTED &&
					has_spoken_to_host(net, to, from)))
				return i;
		}
	}
	return HOSTS_MAX;
}
