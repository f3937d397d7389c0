/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What the service web says, without a socket: figures as Prometheus reads
 * them, what a state means, and by which names it may be asked.
 */
#include "config.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "plugins/services/web.h"

static struct web_metrics metrics;
static struct web_text text;

static void teardown(void)
{
	web_text_free(&metrics.text);
	web_text_free(&text);
}

static const char *added(const struct bursar_figure *figure)
{
	web_text_free(&metrics.text);
	metrics = (struct web_metrics){ .name = "", };
	web_metrics_add(&metrics, figure);
	return metrics.text.data != NULL ? metrics.text.data : "";
}

/* --- figures -------------------------------------------------------------- */

START_TEST(a_family_has_one_head)
{
	struct bursar_figure figure = {
		.name = "a_total", .help = "A.", .type = BURSAR_COUNTER,
		.labels = { { "source", "in" }, { "outcome", "stored" } },
		.value = 7,
	};

	web_metrics_add(&metrics, &figure);
	figure.labels[1][1] = "refused";
	figure.value = 0;
	web_metrics_add(&metrics, &figure);
	figure = (struct bursar_figure){
		.name = "b", .help = "B.", .value = -3,
	};
	web_metrics_add(&metrics, &figure);

	ck_assert_str_eq(metrics.text.data,
	                 "# HELP a_total A.\n# TYPE a_total counter\n"
	                 "a_total{source=\"in\",outcome=\"stored\"} 7\n"
	                 "a_total{source=\"in\",outcome=\"refused\"} 0\n"
	                 "# HELP b B.\n# TYPE b gauge\nb -3\n");
}
END_TEST

START_TEST(labels_and_help_are_escaped)
{
	const struct bursar_figure figure = {
		.name = "a", .help = "Back\\slash, \"quotes\",\nline \xff.",
		.labels = { { "l", "a\"b\\c\nd\xc3\xa9\xe9" } }, .value = 1,
	};

	ck_assert_str_eq(added(&figure),
	                 "# HELP a Back\\\\slash, \"quotes\",\\nline ?.\n"
	                 "# TYPE a gauge\n"
	                 "a{l=\"a\\\"b\\\\c\\nd\xc3\xa9?\"} 1\n");
}
END_TEST

static const struct {
	int64_t     value;
	unsigned    decimals;
	const char *want;
} numbers[] = {
	{ 0, 0, "0" }, { 0, 6, "0" }, { 1500000, 6, "1.5" },
	{ 1, 6, "0.000001" }, { -1500, 3, "-1.5" }, { -1, 3, "-0.001" },
	{ 100, 3, "0.1" }, { 1000, 3, "1" },
	{ INT64_MAX, 0, "9223372036854775807" },
	{ INT64_MAX, 6, "9223372036854.775807" },
	{ INT64_MIN, 6, "-9223372036854.775808" },
	{ INT64_MIN, 18, "-9.223372036854775808" },
};

START_TEST(numbers_are_exact)
{
	char want[100];
	const struct bursar_figure figure = {
		.name = "a", .help = "A.", .value = numbers[_i].value,
		.decimals = numbers[_i].decimals,
	};

	snprintf(want, sizeof(want), "# HELP a A.\n# TYPE a gauge\na %s\n",
	         numbers[_i].want);
	ck_assert_str_eq(added(&figure), want);
}
END_TEST

START_TEST(buckets_add_up)
{
	static const int64_t bounds[] = { 1000, 2500000 };
	static const uint64_t counts[] = { 2, 0, 5 };
	struct bursar_figure figure = {
		.name = "h_seconds", .help = "H.", .type = BURSAR_HISTOGRAM,
		.decimals = 6, .labels = { { "sink", "s" } },
		.value = 20000001, .bounds = bounds, .counts = counts,
		.bound_count = 2,
	};

	ck_assert_str_eq(added(&figure),
	                 "# HELP h_seconds H.\n# TYPE h_seconds histogram\n"
	                 "h_seconds_bucket{sink=\"s\",le=\"0.001\"} 2\n"
	                 "h_seconds_bucket{sink=\"s\",le=\"2.5\"} 2\n"
	                 "h_seconds_bucket{sink=\"s\",le=\"+Inf\"} 7\n"
	                 "h_seconds_sum{sink=\"s\"} 20.000001\n"
	                 "h_seconds_count{sink=\"s\"} 7\n");
	figure.labels[0][0] = NULL;
	ck_assert_ptr_nonnull(strstr(added(&figure),
	                             "h_seconds_bucket{le=\"0.001\"} 2\n"));
	ck_assert_ptr_nonnull(strstr(added(&figure), "h_seconds_count 7\n"));
}
END_TEST

static const struct bursar_figure bad[] = {
	{ .name = "", .help = "A." },
	{ .name = "1a", .help = "A." },
	{ .name = "a-b", .help = "A." },
	{ .name = "a\nb", .help = "A." },
	{ .name = "a", .help = "A.", .labels = { { "a:b", "v" } } },
	{ .name = "a", .help = "A.", .labels = { { "", "v" } } },
	{ .name = "a", .help = "A.", .labels = { { "l", NULL } } },
	{ .name = "a", .help = "A.", .decimals = 19 },
};

START_TEST(what_would_spoil_the_rest_is_left_out)
{
	ck_assert_str_eq(added(&bad[_i]), "");
}
END_TEST

START_TEST(a_family_has_one_type)
{
	struct bursar_figure figure = {
		.name = "a_total", .help = "A.", .type = BURSAR_COUNTER,
	};

	web_metrics_add(&metrics, &figure);
	figure.type = BURSAR_GAUGE;
	web_metrics_add(&metrics, &figure);

	ck_assert_str_eq(metrics.text.data, "# HELP a_total A.\n"
	                 "# TYPE a_total counter\na_total 0\n");
}
END_TEST

START_TEST(a_text_has_an_end)
{
	static char much[1 << 20];

	for (int i = 0; i < 15; i++) {
		web_text_put(&text, much, sizeof(much));
	}
	ck_assert(!text.failed);
	web_text_put(&text, much, sizeof(much));
	web_text_put(&text, "x", 1);
	ck_assert(text.failed);
	ck_assert_uint_le(text.size, WEB_MAX_TEXT);
}
END_TEST

/* --- health --------------------------------------------------------------- */

static const char state[] =
	"{\"ready\":false,\"config\":\"/etc/x\","
	"\"routes\":[{\"name\":\"metering\",\"sinks\":[\"a\"],"
	"\"state\":\"held\",\"why\":\"sink 'a': away\"}],"
	"\"sinks\":[{\"name\":\"a\",\"state\":\"held\",\"why\":\"away\"}],"
	"\"sources\":[{\"name\":\"in\",\"state\":\"open\",\"why\":\"\","
	"\"read\":7}],"
	"\"threads\":[{\"name\":\"main\",\"busy_ms\":900},"
	"{\"name\":\"sink a\",\"busy_ms\":60000}]}";

START_TEST(a_thread_that_hangs_is_named)
{
	ck_assert_uint_eq(web_is_live(state, 60000, &text), 200);
	ck_assert_str_eq(text.data, "live\n");
	web_text_free(&text);
	ck_assert_uint_eq(web_is_live(state, 59999, &text), 503);
	ck_assert_str_eq(text.data, "stalled: sink a has been at one thing for "
	                            "60 seconds\n");
}
END_TEST

START_TEST(what_tells_no_state_is_neither_live_nor_ready)
{
	static const char *const none[] = { NULL, "", "{", "[1]" };

	ck_assert_uint_eq(web_is_ready(none[_i], true, &text), 503);
	if (_i < 3) {
		ck_assert_uint_eq(web_is_live(none[_i], 1000, &text), 503);
	}
}
END_TEST

START_TEST(what_is_not_ready_says_why)
{
	ck_assert_uint_eq(web_is_ready(state, true, &text), 503);
	ck_assert_str_eq(text.data,
	                 "{\"ready\":false,\"routes\":[{\"name\":\"metering\","
	                 "\"state\":\"held\",\"why\":\"sink 'a': away\"}],"
	                 "\"sinks\":[{\"name\":\"a\",\"state\":\"held\","
	                 "\"why\":\"away\"}],\"sources\":[{\"name\":\"in\","
	                 "\"state\":\"open\",\"why\":\"\"}]}\n");
	web_text_free(&text);
	ck_assert_uint_eq(web_is_ready("{\"ready\":true}", false, &text), 200);
	ck_assert_str_eq(text.data, "{\"ready\":true}\n");
	web_text_free(&text);
	ck_assert_uint_eq(web_is_ready(state, false, &text), 503);
	ck_assert_str_eq(text.data, "{\"ready\":false}\n");
}
END_TEST

/* --- names ---------------------------------------------------------------- */

static const struct {
	const char *host;
	bool        good;
} hosts[] = {
	{ "localhost", true }, { "LocalHost:8378", true },
	{ "127.0.0.1", true }, { "127.0.0.1:8378", true },
	{ "10.1.2.3:80", true }, { "[::1]", true }, { "[::1]:8378", true },
	{ "[fe80::1]:1", true }, { "metrics.example.org:443", true },
	{ "METRICS.example.org", true },
	{ "evil.example", false }, { "evil.example:8378", false },
	{ "localhost.evil.example", false }, { "127.0.0.1.evil.example", false },
	{ "metrics.example.org.evil.example", false },
	{ "", false }, { ":8378", false }, { "[::1", false }, { "::1", false },
	{ "localhost:8378x", false }, { "localhost:123456", false },
	{ "127.0.0.1 ", false }, { "1", false }, { "[127.0.0.1]", false },
	{ "[::1]evil.example", false }, { "evil.example]:1", false },
};

START_TEST(only_our_own_names_are_answered)
{
	static const char *const names[] = {
		"other.example.org", "metrics.example.org",
	};

	ck_assert_msg(web_is_host(hosts[_i].host, names, 2) == hosts[_i].good,
	              "%s", hosts[_i].host);
}
END_TEST

/* --- clients -------------------------------------------------------------- */

static const struct {
	const char *address;
	uint64_t    network;
} clients[] = {
	{ "2001:db8:1:2::1", UINT64_C(0x20010db800010002) },
	{ "2001:db8:1:2:ffff:ffff:ffff:ffff", UINT64_C(0x20010db800010002) },
	{ "2001:db8:1:3::1", UINT64_C(0x20010db800010003) },
	{ "::1", 0 }, { "::ffff:192.0.2.1", 0 }, { "64:ff9b::192.0.2.1", 0 },
};

START_TEST(a_client_of_ipv6_is_its_network)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6 };

	ck_assert_int_eq(inet_pton(AF_INET6, clients[_i].address,
	                           &six.sin6_addr), 1);
	ck_assert_uint_eq(http_place_network((struct sockaddr *)&six),
	                  clients[_i].network);
	six.sin6_family = AF_INET;
	ck_assert_uint_eq(http_place_network((struct sockaddr *)&six), 0);
}
END_TEST

#define COUNT(list) ((int)(sizeof(list) / sizeof((list)[0])))

int main(void)
{
	Suite *suite = suite_create("service web");
	TCase *tc = tcase_create("all");
	SRunner *runner = srunner_create(suite);

	tcase_add_checked_fixture(tc, NULL, teardown);
	tcase_add_test(tc, a_family_has_one_head);
	tcase_add_test(tc, labels_and_help_are_escaped);
	tcase_add_loop_test(tc, numbers_are_exact, 0, COUNT(numbers));
	tcase_add_test(tc, buckets_add_up);
	tcase_add_loop_test(tc, what_would_spoil_the_rest_is_left_out, 0,
	                    COUNT(bad));
	tcase_add_test(tc, a_family_has_one_type);
	tcase_add_test(tc, a_text_has_an_end);
	tcase_add_test(tc, a_thread_that_hangs_is_named);
	tcase_add_loop_test(tc, what_tells_no_state_is_neither_live_nor_ready,
	                    0, 4);
	tcase_add_test(tc, what_is_not_ready_says_why);
	tcase_add_loop_test(tc, only_our_own_names_are_answered, 0,
	                    COUNT(hosts));
	tcase_add_loop_test(tc, a_client_of_ipv6_is_its_network, 0,
	                    COUNT(clients));
	suite_add_tcase(suite, tc);

	srunner_run_all(runner, CK_ENV);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
