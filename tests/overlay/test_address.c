/* Addresses as people write them: taken apart, or refused with a remedy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "peer/overlay/address.h"

static void host_and_port_are_taken_apart(void **state)
{
	static const struct {
		const char *text, *host;
		uint16_t port;
	} cases[] = {
		{"127.0.0.1:7000", "127.0.0.1", 7000},
		{"example.org:1", "example.org", 1},
		{"[::1]:0", "::1", 0},
		{"[fe80::1]:65535", "fe80::1", 65535},
	};
	struct errmsg msg;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct address a;

		assert_int_equal(address_split(&a, cases[i].text, &msg), TK_OK);
		assert_string_equal(a.host, cases[i].host);
		assert_int_equal(a.port, cases[i].port);
	}
}

static void nonsense_is_refused_with_a_remedy_and_changes_nothing(void **state)
{
	static const char *const nonsense[] = {"", ":", "host", "host:", ":80", "host:x",
		"host:65536", "host:-1", "host: 1", "::1:80", "[::1:80", "[]:80", "[::1]80",
		"host:000080"};
	struct address a = {"before", 1};
	struct errmsg msg;

	(void)state;
	for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
		assert_int_equal(address_split(&a, nonsense[i], &msg), TK_EINVAL);
		assert_non_null(strstr(msg.text, nonsense[i]));
		assert_non_null(strstr(msg.text, "write HOST:PORT"));
	}
	assert_string_equal(a.host, "before");
	assert_int_equal(a.port, 1);
}

static void host_longer_than_any_name_is_refused(void **state)
{
	char text[HOST_SIZE + 10];
	struct address a;
	struct errmsg msg;

	(void)state;
	memset(text, 'h', HOST_SIZE);
	strcpy(text + HOST_SIZE, ":80");
	assert_int_equal(address_split(&a, text, &msg), TK_EINVAL);
	assert_int_equal(address_split(&a, text + 1, &msg), TK_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(host_and_port_are_taken_apart),
		cmocka_unit_test(nonsense_is_refused_with_a_remedy_and_changes_nothing),
		cmocka_unit_test(host_longer_than_any_name_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
