/* portmap.h: UPnP's Internet Gateway Device, through miniupnpc. */
#include <miniupnpc/miniupnpc.h>
#include <miniupnpc/upnpcommands.h>
#include <miniupnpc/upnperrors.h>

#include <stdio.h>
#include <string.h>

#include "peer/agent/portmap.h"

#define ONLY_FOR_EVER 725 /* OnlyPermanentLeasesSupported */

struct gateway {
	struct UPNPUrls urls;
	struct IGDdatas data;
	char here[64]; /* our address in its network */
};

/* Looks for a router that is connected. Its urls are to be freed. */
static int gateway_find(struct gateway *g, struct errmsg *msg)
{
	int error = 0, kind = 0;
	struct UPNPDev *devices =
		upnpDiscover(PORTMAP_ANSWER_MS, NULL, NULL, UPNP_LOCAL_PORT_ANY, 0, 2, &error);

	memset(g, 0, sizeof(*g));
	if (devices != NULL) {
#if MINIUPNPC_API_VERSION >= 18
		char outside[64];

		kind = UPNP_GetValidIGD(devices, &g->urls, &g->data, g->here, sizeof(g->here),
			outside, sizeof(outside));
#else
		kind = UPNP_GetValidIGD(devices, &g->urls, &g->data, g->here, sizeof(g->here));
#endif
	}
	freeUPNPDevlist(devices);
	if (kind == 1)
		return TK_OK;
	if (kind != 0)
		FreeUPNPUrls(&g->urls);
	return errmsg_set(msg, TK_EIO, "%s",
		kind == 0 ? "UPnP: no router answers: it is switched off there, or there is none"
			  : "UPnP: the router says that it is not connected to the internet");
}

static int add(const struct gateway *g, const char *port, uint32_t lifetime_s)
{
	char lease[16];
	int rc;

	snprintf(lease, sizeof(lease), "%u", lifetime_s);
	rc = UPNP_AddPortMapping(g->urls.controlURL, g->data.first.servicetype, port, port, g->here,
		"talkoot", "TCP", NULL, lease);
	if (rc == ONLY_FOR_EVER)
		rc = UPNP_AddPortMapping(g->urls.controlURL, g->data.first.servicetype, port, port,
			g->here, "talkoot", "TCP", NULL, "0");
	return rc;
}

static int map(const struct gateway *g, struct portmap *out, uint16_t port, uint32_t lifetime_s,
	struct errmsg *msg)
{
	struct portmap p = {.mapped = true, .how = "UPnP", .lifetime_s = lifetime_s};
	char number[8], outside[40] = "", text[64];
	int rc;

	snprintf(number, sizeof(number), "%u", port);
	if (UPNP_GetExternalIPAddress(g->urls.controlURL, g->data.first.servicetype, outside) != 0)
		return errmsg_set(msg, TK_EIO, "UPnP: the router does not know its own address");
	rc = add(g, number, lifetime_s);
	if (rc != 0)
		return errmsg_set(msg, TK_EIO, "UPnP: the router refuses: %s",
			strupnperror(rc) != NULL ? strupnperror(rc) : "it does not say why");
	snprintf(text, sizeof(text), "%s:%u", outside, port);
	if (endpoint_from_text(&p.at, text) != TK_OK)
		return errmsg_set(msg, TK_EIO, "UPnP: the router has no address itself");
	*out = p;
	return TK_OK;
}

int portmap_upnp(struct portmap *out, uint16_t port, uint32_t lifetime_s, struct errmsg *msg)
{
	struct gateway g;
	char number[8];
	int rc = gateway_find(&g, msg);

	if (rc != TK_OK)
		return rc;
	snprintf(number, sizeof(number), "%u", port);
	if (lifetime_s != 0)
		rc = map(&g, out, port, lifetime_s, msg);
	else
		(void)UPNP_DeletePortMapping(
			g.urls.controlURL, g.data.first.servicetype, number, "TCP", NULL);
	FreeUPNPUrls(&g.urls);
	return rc;
}
