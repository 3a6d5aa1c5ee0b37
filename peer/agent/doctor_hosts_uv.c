/* Whom the doctor meets: each host of the link in turn, and, where none lets us in, peers that the home remembers; see
 * doctor_exam.h. A session tells at once how far the clocks are apart. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "peer/agent/doctor_exam.h"
#include "peer/agent/peer_cache.h"

#define HOST_MS	     15000u
#define KNOWN_MS     15000u
#define CLOCK_WARN_S 60
#define CLOCK_ALONE_S                                                                              \
	((long long)RECORD_LIFETIME_S) /* beyond, one way or the other, records are ignored */
#define CLOCK_BAD_S                                                                                \
	((long long)(RECORD_AHEAD_MAX_S - RECORD_LIFETIME_S)) /* fast: then sessions end */

/* Hosts */

static const char *host_name(const struct exam *x)
{
	return x->home->link.hosts[x->host];
}

/* Resolves the host by itself, so that a name that leads nowhere is told from a host that is silent. */
static bool resolve(struct exam *x)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_protocol = IPPROTO_TCP};
	char host[LINK_ADDRESS_SIZE], *colon;
	uv_getaddrinfo_t lookup;
	size_t count = 0;
	int rc;

	snprintf(host, sizeof(host), "%s", host_name(x));
	colon = strrchr(host, ':');
	*colon = '\0';
	if (host[0] == '[') {
		memmove(host, host + 1, strlen(host));
		host[strlen(host) - 1] = '\0';
	}
	rc = uv_getaddrinfo(x->loop, &lookup, NULL, host, colon + 1, &hints);
	if (rc != 0) {
		doctor_note(x->d, "name", DOCTOR_BAD,
			"is this computer online, and does its DNS work? If so the link is wrong "
			"or old: ask for a new one",
			"%s: %s", host, uv_strerror(rc));
		return false;
	}
	for (const struct addrinfo *a = lookup.addrinfo; a != NULL; a = a->ai_next)
		count++;
	uv_freeaddrinfo(lookup.addrinfo);
	doctor_note(x->d, "name", DOCTOR_OK, NULL, "%s leads to %zu address%s", host, count,
		count != 1 ? "es" : "");
	return true;
}

static void known_begin(struct exam *x);

/* With no host left this stage is over. */
static void hosts_end(struct exam *x)
{
	if (!x->met) {
		known_begin(x);
		return;
	}
	/* One way in is enough: what the other hosts lack stops nobody. */
	for (size_t i = 0; i < x->d->count; i++) {
		if (x->d->steps[i].result == DOCTOR_BAD && x->d->steps[i].of_host)
			x->d->steps[i].result = DOCTOR_WARNING;
	}
	if (!x->met_coordinator)
		doctor_note(x->d, "coordinator", DOCTOR_WARNING,
			"start all the same: it is looked for again and again",
			"away: a host lets this computer into the network, and work comes when the "
			"coordinator is back");
	exam_go(x, STAGE_DIALBACK);
}

/* Dials the next host that has an address. */
static void host_next(struct exam *x)
{
	struct errmsg msg = {""};

	x->dialling = 0;
	for (; x->host < x->home->link.host_count; x->host++) {
		if (!resolve(x))
			continue;
		x->host_ns = uv_hrtime();
		if (node_uv_dial_link(x->node, host_name(x), &x->home->link.network, &x->dialling,
			    &msg) == TK_OK)
			return;
		doctor_note(x->d, "connection", DOCTOR_BAD, NULL, "%s: %s", host_name(x), msg.text);
	}
	hosts_end(x);
}

static const char *dial_advice(const char *why)
{
	if (strstr(why, "cannot connect") != NULL)
		return "is the coordinator running, and does a firewall let this port out? Another "
		       "host of the link may do";
	if (strstr(why, "that network is private") != NULL)
		return "copy the whole link, KEY.SECRET@HOST:PORT: a private network's has a "
		       "secret after the key";
	if (strstr(why, "ours is a private network") != NULL)
		return "the link has a secret that this host's network does not know: ask the "
		       "network's owner for its link anew";
	if (strstr(why, "expire") != NULL || strstr(why, "clock") != NULL)
		return "set this computer's date and time";
	if (strstr(why, "another network") != NULL || strstr(why, "identity") != NULL)
		return "the link is wrong or old: ask the network's owner for a new one";
	if (strstr(why, "speaks version") != NULL)
		return "install the newer version of Talkoot on the older side";
	if (strstr(why, "does not speak Talkoot") != NULL)
		return "something else answers at that port: ask the network's owner";
	return "try again later; if it stays, send these lines to the network's owner";
}

static void host_failed(struct exam *x, const char *why)
{
	bool tcp = strstr(why, "cannot connect") != NULL;
	const char *advice = x->dialling != x->turned_away || x->dialling == 0
				     ? dial_advice(why)
				     : "it may be full: `talkoot-peer run` waits for a place there "
				       "and comes in by itself";

	if (!tcp)
		doctor_note(x->d, "connection", DOCTOR_OK, NULL, "%s answers", host_name(x));
	doctor_note(x->d, tcp ? "connection" : "handshake", DOCTOR_BAD, advice, "%s: %s",
		host_name(x), why);
	x->host++;
	host_next(x);
}

/* Clocks */

static void note_clock(struct exam *x, conn_id conn, const char *whose)
{
	long long ahead_s = node_uv_skew_s(x->node, conn), off_s = llabs(ahead_s);
	const char *way = ahead_s < 0 ? "fast" : "slow";
	static const char advice[] = "set this computer's date and time";

	x->unheard = off_s >= CLOCK_ALONE_S;
	if (off_s <= CLOCK_WARN_S)
		doctor_note(
			x->d, "clock", DOCTOR_OK, NULL, "agrees with %s within a minute", whose);
	else if (-ahead_s >= CLOCK_BAD_S)
		doctor_note(x->d, "clock", DOCTOR_BAD, advice,
			"%lld s %s by %s: who is so fast is shut out", off_s, way, whose);
	else if (off_s >= CLOCK_ALONE_S)
		doctor_note(x->d, "clock", DOCTOR_WARNING, advice,
			"%lld s %s by %s: other peers take no part with this one, and everything "
			"comes from the coordinator",
			off_s, way, whose);
	else
		doctor_note(x->d, "clock", DOCTOR_WARNING, advice, "%lld s %s by %s", off_s, way,
			whose);
}

/* Known peers */

static void known_end(struct exam *x)
{
	uint32_t up = x->known_up, count = x->known_count;

	if (count == 0)
		doctor_note(x->d, "known peers", DOCTOR_SKIPPED, NULL,
			"the home remembers none of this network");
	else if (up == 0)
		doctor_note(x->d, "known peers", DOCTOR_WARNING, "is this computer online?",
			"none of %u that were good neighbours answers", count);
	else
		doctor_note(x->d, "known peers", DOCTOR_OK, NULL,
			"%u of %u that were good neighbours answer%s: the network lives, and gives "
			"work again when its coordinator is back",
			up, count, up == 1 ? "s" : "");
	if (up == 0)
		doctor_note(x->d, "clock", DOCTOR_SKIPPED, NULL, "nobody's to compare it with");
	exam_go(x, STAGE_DIALBACK);
}

static void known_begin(struct exam *x)
{
	struct record cached[PEER_CACHE_MAX];
	size_t count = x->home->path[0] != '\0'
			       ? peer_cache_load(x->home->path, &x->home->link.network, cached)
			       : 0;
	uint32_t random;

	random_bytes(&random, sizeof(random));
	for (size_t i = 0; i < count && x->known_count < KNOWN_DIALS; i++) {
		if (node_uv_connect(x->node, &cached[(random + i) % count],
			    &x->known[x->known_count], NULL) == TK_OK)
			x->known_count++;
	}
	exam_go(x, STAGE_KNOWN);
}

static bool known_heard(struct exam *x, conn_id conn, bool up)
{
	for (uint32_t i = 0; i < x->known_count; i++) {
		if (x->known[i] != conn)
			continue;
		x->known[i] = 0;
		x->known_over++;
		x->known_up += up;
		return true;
	}
	return false;
}

/* What the node says */

void hosts_up(void *context, conn_id conn, const struct public_key *key, enum role role)
{
	struct exam *x = context;
	unsigned ms = (unsigned)((uv_hrtime() - x->host_ns) / 1000000);

	(void)key;
	if (known_heard(x, conn, true) && x->known_up == 1)
		note_clock(x, conn, "another peer's");
	if (conn != x->dialling || x->stage != STAGE_HOSTS)
		return;
	doctor_note(x->d, "connection", DOCTOR_OK, NULL, "%s answers, %u ms with the handshake",
		host_name(x), ms);
	if (role == ROLE_COORDINATOR) {
		doctor_note(x->d, "identity", DOCTOR_OK, NULL,
			"it proved to be the network's coordinator");
		if (!x->met)
			note_clock(x, conn, "the coordinator's");
		x->met = x->met_coordinator = true;
		x->coordinator = conn;
	} else {
		doctor_note(x->d, "identity", DOCTOR_OK, NULL,
			"it is a host of the link, by the coordinator's word: a way in");
		if (!x->met)
			note_clock(x, conn, "a host's");
		x->met = true;
	}
	x->host++;
	host_next(x);
}

void hosts_turned_away(void *context, conn_id conn)
{
	struct exam *x = context;

	x->turned_away = conn; /* its failure is next */
}

void hosts_dial_failed(void *context, conn_id conn, const char *why)
{
	struct exam *x = context;

	if (known_heard(x, conn, false))
		return;
	if (conn == x->dialling && !x->closing && x->stage == STAGE_HOSTS)
		host_failed(x, why);
}

/* A session that does not last is no way in. (The one before ends when a second host leads to the same
 * coordinator.) */
void hosts_down(void *context, conn_id conn, const char *why)
{
	struct exam *x = context;

	if (conn != x->coordinator || x->closing)
		return;
	x->coordinator = 0;
	doctor_note(x->d, "session", DOCTOR_BAD, dial_advice(why), "it ended: %s", why);
}

void hosts_begin(struct exam *x)
{
	host_next(x);
}

void hosts_tick(struct exam *x)
{
	if (x->stage == STAGE_HOSTS && x->dialling != 0 &&
		(uv_hrtime() - x->host_ns) / 1000000 >= HOST_MS)
		host_failed(x, "the handshake is not done in time");
	else if (x->stage == STAGE_KNOWN &&
		 (x->known_over == x->known_count || uv_now(x->loop) - x->since_ms >= KNOWN_MS))
		known_end(x);
}
