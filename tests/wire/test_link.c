/* Invitation links: what is accepted, what is refused and why, there and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "peer/wire/link.h"
#include "tasks/base/mem.h"

#define KEY    "00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef"
#define SECRET "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"

/* A name of 253 bytes, the longest there is. */
static void longest_name(char out[254])
{
	for (int i = 0; i < 253; i++)
		out[i] = i % 64 == 63 ? '.' : 'a';
	out[253] = '\0';
}

static void good_links_go_there_and_back(void **state)
{
	static const char *const links[] = {
		"talkoot://" KEY "@localhost:1",
		"talkoot://" KEY "@127.0.0.1:65535",
		"talkoot://" KEY "@[::1]:7777",
		"talkoot://" KEY "." SECRET "@[::1]:7777,grid.example.org:80",
		"talkoot://" KEY "@[2001:db8::ff00:42:8329]:7777,grid.example.org:80",
		"talkoot://" KEY "@a:1,b:2,c:3,d:4,e:5,f:6,g:7,h:8",
		"talkoot://" KEY "@xn--4gbrim.example:7777",
		"talkoot://" KEY "@3com.com:7777",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
		struct errmsg msg = {""};
		struct bytes out = {0};
		struct link l;

		if (link_parse(&l, links[i], &msg) != TK_OK)
			fail_msg("%s: %s", links[i], msg.text);
		assert_int_equal(link_format(&l, &out, &msg), TK_OK);
		assert_true(span_equal(bytes_span(&out), span_text(links[i])));
		bytes_close(&out);
	}
}

static void parts_of_a_link_are_found(void **state)
{
	struct link l;

	(void)state;
	assert_int_equal(
		link_parse(&l, "talkoot://" KEY "@grid.example.org:80,[::1]:7777", NULL), TK_OK);
	assert_int_equal(l.network.b[0], 0x00);
	assert_int_equal(l.network.b[31], 0xef);
	assert_int_equal(l.host_count, 2);
	assert_string_equal(l.hosts[0], "grid.example.org:80");
	assert_string_equal(l.hosts[1], "[::1]:7777");
	assert_false(l.has_secret);
	assert_int_equal(link_parse(&l, "talkoot://" KEY "." SECRET "@a:1", NULL), TK_OK);
	assert_true(l.has_secret);
	assert_int_equal(l.secret[0], 0xfe);
	assert_int_equal(l.secret[31], 0x10);
}

static void longest_host_fits(void **state)
{
	char name[254], text[512];
	struct link l;

	(void)state;
	longest_name(name);
	snprintf(text, sizeof(text), "talkoot://" KEY "@%s:65535", name);
	assert_int_equal(link_parse(&l, text, NULL), TK_OK);
	assert_int_equal(strlen(l.hosts[0]), 259);
	snprintf(text, sizeof(text), "talkoot://" KEY "@a%s:65535", name);
	assert_int_equal(link_parse(&l, text, NULL), TK_EINVAL);
}

static void bad_links_are_refused_with_a_reason(void **state)
{
	static const struct {
		const char *text;
		int code;
		const char *why;
	} bad[] = {
		{"", TK_EINVAL, "does not begin with \"talkoot://\""},
		{"talkoot:/" KEY "@a:1", TK_EINVAL, "does not begin with"},
		{"Talkoot://" KEY "@a:1", TK_EINVAL, "does not begin with"},
		{" talkoot://" KEY "@a:1", TK_EINVAL, "does not begin with"},
		{"talkoot://", TK_EINVAL, "has no \"@\""},
		{"talkoot://" KEY, TK_EINVAL, "has no \"@\""},
		{"talkoot://@a:1", TK_EINVAL, "these are 0 characters"},
		{"talkoot://0" KEY "@a:1", TK_EINVAL, "these are 65 characters"},
		{"talkoot://g0112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef@a:1",
			TK_EINVAL, "64 hexadecimal digits"},
		{"talkoot://" KEY "@", TK_EINVAL, "host 1 of the link"},
		{"talkoot://" KEY "@a", TK_EINVAL, "a colon and a port"},
		{"talkoot://" KEY "@a:", TK_EINVAL, "a colon and a port"},
		{"talkoot://" KEY "@a:0", TK_EINVAL, "port from 1 to 65535"},
		{"talkoot://" KEY "@a:01", TK_EINVAL, "port from 1 to 65535"},
		{"talkoot://" KEY "@a:65536", TK_EINVAL, "port from 1 to 65535"},
		{"talkoot://" KEY "@a:99999999999999999999", TK_EINVAL, "port"},
		{"talkoot://" KEY "@a:-1", TK_EINVAL, "port"},
		{"talkoot://" KEY "@a:1 ", TK_EINVAL, "port"},
		{"talkoot://" KEY "@a:1/", TK_EINVAL, "port"},
		{"talkoot://" KEY "@a:1\n", TK_EINVAL, "\"a:1?\""},
		{"talkoot://" KEY "@a:1,", TK_EINVAL, "host 2 of the link"},
		{"talkoot://" KEY "@,a:1", TK_EINVAL, "host 1 of the link"},
		{"talkoot://" KEY "@a:1,,b:2", TK_EINVAL, "host 2 of the link"},
		{"talkoot://" KEY "@a:1, b:2", TK_EINVAL, "host 2 of the link"},
		{"talkoot://" KEY "@a:1;b:2", TK_EINVAL, "host 1 of the link"},
		{"talkoot://" KEY "@" KEY "@a:1", TK_EINVAL, "more than one \"@\""},
		{"talkoot://" KEY "." SECRET "@b@a:1", TK_EINVAL, "more than one \"@\""},
		{"talkoot://" KEY ".@a:1", TK_EINVAL, "secret in the link must be 64"},
		{"talkoot://" KEY "." SECRET "0@a:1", TK_EINVAL, "these are 65 characters"},
		{"talkoot://" KEY "." SECRET "." SECRET "@a:1", TK_EINVAL,
			"these are 129 characters"},
		{"talkoot://." SECRET "@a:1", TK_EINVAL, "key in the link must be 64"},
		{"talkoot://" KEY SECRET "@a:1", TK_EINVAL, "these are 128 characters"},
		{"talkoot://" KEY "." SECRET, TK_EINVAL, "has no \"@\""},
		{"talkoot://" KEY "." SECRET "@", TK_EINVAL, "host 1 of the link"},
		{"talkoot://" KEY "@:1", TK_EINVAL, "before the port stands a host"},
		{"talkoot://" KEY "@-a:1", TK_EINVAL, "before the port stands a host"},
		{"talkoot://" KEY "@a-:1", TK_EINVAL, "before the port stands a host"},
		{"talkoot://" KEY "@a..b:1", TK_EINVAL, "before the port stands a host"},
		{"talkoot://" KEY "@.a:1", TK_EINVAL, "before the port stands a host"},
		{"talkoot://" KEY "@a.:1", TK_EINVAL, "before the port stands a host"},
		{"talkoot://" KEY "@a_b:1", TK_EINVAL, "before the port stands a host"},
		{"talkoot://" KEY "@1.2.3:1", TK_EINVAL, "before the port stands a host"},
		{"talkoot://" KEY "@1.2.3.256:1", TK_EINVAL, "before the port stands a host"},
		{"talkoot://" KEY "@1.2.3.4.5:1", TK_EINVAL, "before the port stands a host"},
		{"talkoot://" KEY "@::1:7777", TK_EINVAL, "IPv6 address in brackets"},
		{"talkoot://" KEY "@[::1]", TK_EINVAL, "an IPv6 host is written"},
		{"talkoot://" KEY "@[::1", TK_EINVAL, "an IPv6 host is written"},
		{"talkoot://" KEY "@[]:1", TK_EINVAL, "an IPv6 host is written"},
		{"talkoot://" KEY "@[1.2.3.4]:1", TK_EINVAL, "an IPv6 host is written"},
		{"talkoot://" KEY "@[fe80::1%eth0]:1", TK_EINVAL, "an IPv6 host is written"},
		{"talkoot://" KEY "@[::1]1:1", TK_EINVAL, "an IPv6 host is written"},
		{"talkoot://" KEY "@[::1]:x", TK_EINVAL, "port"},
		{"talkoot://" KEY "@a:1,b:2,c:3,d:4,e:5,f:6,g:7,h:8,i:9", TK_ELIMIT,
			"more than 8 hosts"},
		{"talkoot://" KEY
		 "@aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:1",
			TK_EINVAL, "before the port stands a host"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct link l = {.host_count = 77};
		struct errmsg msg = {""};
		int rc = link_parse(&l, bad[i].text, &msg);

		if (rc != bad[i].code || strstr(msg.text, bad[i].why) == NULL)
			fail_msg("%s: %s: %s", bad[i].text, error_name(rc), msg.text);
		assert_int_equal(l.host_count, 77);	   /* untouched */
		assert_null(strstr(msg.text, "fedcba98")); /* no sentence repeats a secret */
	}
}

static void format_refuses_what_parse_would_refuse(void **state)
{
	struct link l = {.host_count = 0};
	struct bytes out = {0};
	struct errmsg msg;

	(void)state;
	assert_int_equal(link_format(&l, &out, &msg), TK_EINVAL);
	l.host_count = LINK_HOSTS_MAX + 1;
	assert_int_equal(link_format(&l, &out, &msg), TK_EINVAL);
	l.host_count = 2;
	strcpy(l.hosts[0], "good:1");
	strcpy(l.hosts[1], "bad,host:1");
	assert_int_equal(link_format(&l, &out, &msg), TK_EINVAL);
	assert_int_equal(out.len, 0);
	bytes_close(&out);
}

static void formatting_without_memory_leaves_the_output(void **state)
{
	struct bytes out = {0};
	struct link l;
	int rc = TK_ENOMEM;

	(void)state;
	assert_int_equal(link_parse(&l, "talkoot://" KEY "@a:1,b:2", NULL), TK_OK);
	for (uint64_t after = 1; rc != TK_OK; after++) {
		mem_fail(after, 0);
		rc = link_format(&l, &out, NULL);
		mem_fail(0, 0);
		assert_true(rc == TK_OK || (rc == TK_ENOMEM && out.len == 0));
	}
	bytes_close(&out);
}

/* Any text is either refused or formats to a link that parses to the same text again. */
static void altered_links_never_upset_the_parser(void **state)
{
	static const char base[] =
		"talkoot://" KEY "." SECRET "@[2001:db8::1]:7777,grid.example.org:80";
	static const char set[] = "0a:.,[]@-/ \n\xff";

	(void)state;
	for (size_t at = 0; at < sizeof(base) - 1; at++)
		for (size_t c = 0; c < sizeof(set); c++) { /* the NUL too */
			struct bytes out = {0};
			char text[sizeof(base)];
			struct link l, again;

			memcpy(text, base, sizeof(base));
			text[at] = set[c];
			if (link_parse(&l, text, NULL) != TK_OK)
				continue;
			assert_int_equal(link_format(&l, &out, NULL), TK_OK);
			assert_true(span_equal(bytes_span(&out), span_text(text)));
			assert_int_equal(bytes_append(&out, "", 1), TK_OK);
			assert_int_equal(link_parse(&again, (const char *)out.data, NULL), TK_OK);
			bytes_close(&out);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_links_go_there_and_back),
		cmocka_unit_test(parts_of_a_link_are_found),
		cmocka_unit_test(longest_host_fits),
		cmocka_unit_test(bad_links_are_refused_with_a_reason),
		cmocka_unit_test(format_refuses_what_parse_would_refuse),
		cmocka_unit_test(formatting_without_memory_leaves_the_output),
		cmocka_unit_test(altered_links_never_upset_the_parser),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
