/* See pack.h. The door to msgpack-c, whose packer we use; reading is mpread.c's. */
#include "tasks/base/pack.h"

#include <msgpack/pack.h>
#include <string.h>

static int append(void *data, const char *buf, size_t len)
{
	struct packer *p = data;

	if (p->error == TK_OK)
		p->error = bytes_append(p->out, buf, len);
	return p->error;
}

static msgpack_packer packer_for(struct packer *p)
{
	msgpack_packer pk;

	msgpack_packer_init(&pk, p, append);
	return pk;
}

void pack_begin(struct packer *p, struct bytes *out)
{
	*p = (struct packer){.out = out};
}

void pack_array(struct packer *p, uint32_t count)
{
	msgpack_packer pk = packer_for(p);

	msgpack_pack_array(&pk, count);
}

void pack_u64(struct packer *p, uint64_t v)
{
	msgpack_packer pk = packer_for(p);

	msgpack_pack_uint64(&pk, v);
}

void pack_bool(struct packer *p, bool v)
{
	msgpack_packer pk = packer_for(p);

	(void)(v ? msgpack_pack_true(&pk) : msgpack_pack_false(&pk));
}

void pack_f32(struct packer *p, float v)
{
	msgpack_packer pk = packer_for(p);

	msgpack_pack_float(&pk, v);
}

void pack_f64(struct packer *p, double v)
{
	msgpack_packer pk = packer_for(p);

	msgpack_pack_double(&pk, v);
}

void pack_bin(struct packer *p, const void *data, size_t n)
{
	msgpack_packer pk = packer_for(p);

	msgpack_pack_bin(&pk, n);
	msgpack_pack_bin_body(&pk, data, n);
}

void pack_span(struct packer *p, struct span s)
{
	pack_bin(p, s.data, s.len);
}

void pack_text(struct packer *p, const char *text)
{
	size_t n = strlen(text);
	msgpack_packer pk = packer_for(p);

	msgpack_pack_str(&pk, n);
	msgpack_pack_str_body(&pk, text, n);
}

void pack_digest(struct packer *p, const struct digest *d)
{
	pack_bin(p, d->b, DIGEST_BYTES);
}

int pack_end(const struct packer *p)
{
	return p->error;
}
