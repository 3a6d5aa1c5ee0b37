/* See link.h. Host names follow RFC 1123, section 2.1; a name whose last label is a number is taken
 * for an IPv4 address and must be one. Nothing is resolved. */
#include "peer/wire/link.h"

#include <arpa/inet.h>
#include <string.h>

#define SCHEME	       "talkoot://"
#define HOST_BYTES_MAX 253u
#define LABEL_MAX      63u
#define HEX_DIGITS     64u

static const char remedy[] = "copy the whole line that `talkoot invite` printed";

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* For error sentences: what of a span fits, unprintable bytes as '?'. */
struct quote {
	char text[80];
};

static struct quote quote(struct span s)
{
	struct quote q;
	size_t n = s.len < sizeof(q.text) - 1 ? s.len : sizeof(q.text) - 1;

	for (size_t i = 0; i < n; i++)
		q.text[i] = s.data[i] >= 0x20 && s.data[i] < 0x7f ? (char)s.data[i] : '?';
	q.text[n] = '\0';
	return q;
}

static bool ip_valid(int family, struct span host)
{
	unsigned char address[16];
	char text[64];

	if (host.len >= sizeof(text) || memchr(host.data, 0, host.len) != NULL)
		return false;
	memcpy(text, host.data, host.len);
	text[host.len] = '\0';
	return inet_pton(family, text, address) == 1;
}

static bool label_valid(struct span label)
{
	if (label.len == 0 || label.len > LABEL_MAX)
		return false;
	for (size_t i = 0; i < label.len; i++)
		if (!is_letter(label.data[i]) && !is_digit(label.data[i]) && label.data[i] != '-')
			return false;
	return label.data[0] != '-' && label.data[label.len - 1] != '-';
}

static bool label_is_number(struct span label)
{
	for (size_t i = 0; i < label.len; i++)
		if (!is_digit(label.data[i]))
			return false;
	return true;
}

/* Splits s at its first c: head gets what stands before, and s what follows. */
static struct span split(struct span *s, char c)
{
	const uint8_t *at = s->len != 0 ? memchr(s->data, c, s->len) : NULL;
	struct span head = *s;

	if (at == NULL) {
		*s = span_of(s->data + s->len, 0);
		return head;
	}
	head.len = (size_t)(at - s->data);
	*s = span_of(at + 1, s->len - head.len - 1);
	return head;
}

static bool name_valid(struct span host)
{
	struct span rest = host, label = {0};

	if (host.len == 0 || host.len > HOST_BYTES_MAX || host.data[host.len - 1] == '.')
		return false;
	while (rest.len != 0) {
		label = split(&rest, '.');
		if (!label_valid(label))
			return false;
	}
	return !label_is_number(label) || ip_valid(AF_INET, host);
}

static bool port_valid(struct span port)
{
	uint32_t v = 0;

	if (port.len == 0 || port.len > 5 || port.data[0] == '0')
		return false;
	for (size_t i = 0; i < port.len; i++) {
		if (!is_digit(port.data[i]))
			return false;
		v = v * 10 + (port.data[i] - '0');
	}
	return v <= 65535;
}

int link_address_check(struct span address, struct errmsg *msg)
{
	bool v6 = address.len != 0 && address.data[0] == '[';
	struct span rest = address, host;

	if (v6) {
		rest = span_of(address.data + 1, address.len - 1);
		host = split(&rest, ']');
		if (rest.len == 0 || rest.data[0] != ':' || !ip_valid(AF_INET6, host))
			return errmsg_set(msg, TK_EINVAL,
				"\"%s\" is no address: an IPv6 host is written [2001:db8::1]:7777",
				quote(address).text);
		rest = span_of(rest.data + 1, rest.len - 1);
	} else {
		host = split(&rest, ':');
		if (!name_valid(host))
			return errmsg_set(msg, TK_EINVAL,
				"\"%s\" is no address: before the port stands a host name, an IPv4 "
				"address, or an IPv6 address in brackets",
				quote(address).text);
	}
	if (!port_valid(rest))
		return errmsg_set(msg, TK_EINVAL,
			"\"%s\" is no address: after the host stand a colon and a port from 1 to "
			"65535",
			quote(address).text);
	return TK_OK;
}

static int parse_digits(
	uint8_t out[KEY_BYTES], struct span digits, const char *what, struct errmsg *msg)
{
	char hex[HEX_DIGITS + 1];
	int rc = TK_EINVAL;

	if (digits.len == HEX_DIGITS) {
		memcpy(hex, digits.data, HEX_DIGITS);
		hex[HEX_DIGITS] = '\0';
		rc = hex_decode(out, KEY_BYTES, hex);
		secret_wipe(hex, sizeof(hex));
	}
	if (rc == TK_OK)
		return rc;
	return errmsg_set(msg, rc,
		"the network's %s in the link must be 64 hexadecimal digits, these are %zu "
		"characters; %s",
		what, digits.len, remedy);
}

/* The network's key, and its secret if a point says that there is one. */
static int parse_key(struct link *l, struct span *rest, struct errmsg *msg)
{
	struct span digits, key;
	int rc;

	if (memchr(rest->data, '@', rest->len) == NULL)
		return errmsg_set(msg, TK_EINVAL,
			"the link has no \"@\" between the network's key and its hosts; %s",
			remedy);
	digits = split(rest, '@');
	if (memchr(rest->data, '@', rest->len) != NULL) /* and what it parts may be a secret */
		return errmsg_set(msg, TK_EINVAL, "the link has more than one \"@\"; %s", remedy);
	l->has_secret = digits.len != 0 && memchr(digits.data, '.', digits.len) != NULL;
	key = split(&digits, '.');
	rc = parse_digits(l->network.b, key, "key", msg);
	return rc == TK_OK && l->has_secret ? parse_digits(l->secret, digits, "secret", msg) : rc;
}

static int parse_hosts(struct link *l, struct span rest, struct errmsg *msg)
{
	bool more = true;

	while (more) {
		const uint8_t *end = rest.data + rest.len;
		struct span address = split(&rest, ',');
		int rc;

		more = address.data + address.len != end;
		if (l->host_count == LINK_HOSTS_MAX)
			return errmsg_set(msg, TK_ELIMIT,
				"the link names more than %u hosts; leave some out",
				LINK_HOSTS_MAX);
		rc = link_address_check(address, msg);
		if (rc != TK_OK)
			return errmsg_prefix(msg, rc, "host %u of the link", l->host_count + 1);
		memcpy(l->hosts[l->host_count], address.data, address.len);
		l->hosts[l->host_count++][address.len] = '\0';
	}
	return TK_OK;
}

int link_parse(struct link *out, const char *text, struct errmsg *msg)
{
	struct span rest = span_text(text);
	struct link l = {0};
	int rc;

	if (strncmp(text, SCHEME, sizeof(SCHEME) - 1) != 0)
		return errmsg_set(
			msg, TK_EINVAL, "the link does not begin with \"%s\"; %s", SCHEME, remedy);
	rest = span_of(rest.data + sizeof(SCHEME) - 1, rest.len - (sizeof(SCHEME) - 1));
	rc = parse_key(&l, &rest, msg);
	if (rc == TK_OK)
		rc = parse_hosts(&l, rest, msg);
	if (rc == TK_OK)
		*out = l;
	secret_wipe(&l, sizeof(l));
	return rc;
}

int link_format(const struct link *l, struct bytes *out, struct errmsg *msg)
{
	char hex[HEX_DIGITS + 1];
	size_t before = out->len;
	int rc;

	if (l->host_count == 0 || l->host_count > LINK_HOSTS_MAX)
		return errmsg_set(msg, TK_EINVAL, "a link names 1 to %u hosts, not %u",
			LINK_HOSTS_MAX, l->host_count);
	hex_encode(hex, l->network.b, KEY_BYTES);
	rc = bytes_append(out, SCHEME, sizeof(SCHEME) - 1);
	if (rc == TK_OK)
		rc = bytes_append(out, hex, HEX_DIGITS);
	if (rc == TK_OK && l->has_secret) {
		hex_encode(hex, l->secret, LINK_SECRET);
		rc = bytes_append(out, ".", 1);
		if (rc == TK_OK)
			rc = bytes_append(out, hex, HEX_DIGITS);
		secret_wipe(hex, sizeof(hex));
	}
	for (uint32_t i = 0; i < l->host_count && rc == TK_OK; i++) {
		rc = link_address_check(span_text(l->hosts[i]), msg);
		if (rc == TK_OK)
			rc = bytes_append(out, i == 0 ? "@" : ",", 1);
		if (rc == TK_OK)
			rc = bytes_append(out, l->hosts[i], strlen(l->hosts[i]));
	}
	if (rc == TK_ENOMEM)
		errmsg_set(msg, rc, "%s", error_text(rc));
	if (rc != TK_OK && out->len > before) {
		secret_wipe(out->data + before, out->len - before);
		out->len = before;
	}
	return rc;
}
