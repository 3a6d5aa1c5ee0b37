/* See lease_check.h. */
#include "peer/agent/lease_check.h"

#include "tasks/math/engine.h"

/* What the manifest says of the round must be what the unit says. */
static int unit_in_round(
	const struct unit *unit, const struct round_manifest *round, struct errmsg *msg)
{
	if (!digest_equal(&unit->recipe, &round->recipe))
		return errmsg_set(msg, TK_EPROTO, "the unit's recipe is not the signed round's");
	if (unit->round != round->round)
		return errmsg_set(msg, TK_EPROTO, "the unit is of round %u, the signed round is %u",
			(unsigned)unit->round, (unsigned)round->round);
	if (!digest_equal(&unit->parameters, &round->parameters))
		return errmsg_set(
			msg, TK_EPROTO, "the unit's parameters are not the signed round's");
	if (unit->index >= round->unit_count)
		return errmsg_set(msg, TK_EPROTO, "unit %u of a round that has %u",
			(unsigned)unit->index, (unsigned)round->unit_count);
	return TK_OK;
}

int lease_check(const struct message_lease *lease, const struct public_key *root, struct unit *unit,
	struct round_manifest *round, struct errmsg *msg)
{
	struct round_manifest manifest;
	struct unit u;
	struct digest leaf;
	int rc;

	if (!round_verify(root, &lease->signature, lease->manifest))
		return errmsg_set(
			msg, TK_EAUTH, "the round is not signed by the network's root key");
	rc = round_decode(&manifest, lease->manifest, msg);
	if (rc == TK_OK)
		rc = unit_decode(&u, lease->unit, msg);
	if (rc != TK_OK)
		return rc;
	if (!key_equal(&manifest.network, root))
		return errmsg_set(msg, TK_EAUTH, "the round is another network's");
	rc = unit_in_round(&u, &manifest, msg);
	if (rc != TK_OK)
		return rc;
	unit_digest(&leaf, lease->unit);
	if (!merkle_verify(&manifest.units, &leaf, u.index, manifest.unit_count, lease->path,
		    lease->path_steps))
		return errmsg_set(
			msg, TK_EAUTH, "the unit is not among those that the round authorises");
	if (u.numerics != NUMERICS_VERSION)
		return errmsg_set(msg, TK_EUNSUPPORTED,
			"the unit wants arithmetic of version %u; this talkoot-peer has version "
			"%u: "
			"install the current release",
			(unsigned)u.numerics, (unsigned)NUMERICS_VERSION);
	*unit = u;
	*round = manifest;
	return TK_OK;
}
