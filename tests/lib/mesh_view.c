/* What a test asks of a mesh: who is alive, whom the root reaches, what the links look like. */
#include "tests/lib/mesh.h"

#include <stdlib.h>

#include "tasks/base/require.h"

uint32_t mesh_alive(const struct mesh *mesh)
{
	uint32_t n = 0;

	for (uint32_t i = 1; i <= mesh->count; i++)
		n += mesh->nodes[i].core != NULL;
	return n;
}

uint32_t mesh_component(const struct mesh *mesh)
{
	uint8_t *seen = calloc(mesh->count + 1u, 1);
	peer_ref *queue = calloc(mesh->count + 1u, sizeof(*queue));
	uint32_t head = 0;
	uint32_t tail = 0;

	REQUIRE(seen != NULL && queue != NULL);
	queue[tail++] = 1;
	seen[1] = 1;
	while (head < tail) {
		peer_ref active[GOSSIP_ACTIVE_MAX];
		size_t n = gossip_active(mesh->nodes[queue[head++]].core, active);

		for (size_t i = 0; i < n; i++) {
			if (mesh->nodes[active[i]].core == NULL || seen[active[i]])
				continue;
			seen[active[i]] = 1;
			queue[tail++] = active[i];
		}
	}
	free(seen);
	free(queue);
	return tail;
}

static bool has_neighbour(const struct mesh *mesh, peer_ref node, peer_ref other)
{
	peer_ref active[GOSSIP_ACTIVE_MAX];
	size_t n;

	if (mesh->nodes[node].core == NULL)
		return false;
	n = gossip_active(mesh->nodes[node].core, active);
	for (size_t i = 0; i < n; i++) {
		if (active[i] == other)
			return true;
	}
	return false;
}

uint32_t mesh_one_sided(const struct mesh *mesh)
{
	uint32_t found = 0;

	for (uint32_t i = 1; i <= mesh->count; i++) {
		peer_ref active[GOSSIP_ACTIVE_MAX];
		size_t n;

		if (mesh->nodes[i].core == NULL)
			continue;
		n = gossip_active(mesh->nodes[i].core, active);
		for (size_t k = 0; k < n; k++)
			found += !has_neighbour(mesh, active[k], i);
	}
	return found;
}

unsigned mesh_hops(const struct mesh_body *b, unsigned thousandths)
{
	uint64_t wanted = (uint64_t)b->reached * thousandths;
	uint64_t seen = 0;
	unsigned h = 0;

	for (; h < GOSSIP_HOPS_MAX; h++) {
		seen += b->hops[h];
		if (seen * 1000 >= wanted)
			break;
	}
	return h;
}
