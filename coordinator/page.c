/* See page.h. The symbols come from `ld -r -b binary` over web/. */
#include "coordinator/page.h"

#include <stddef.h>

extern const uint8_t _binary_index_html_start[], _binary_index_html_end[];
extern const uint8_t _binary_talkoot_css_start[], _binary_talkoot_css_end[];
extern const uint8_t _binary_curve_js_start[], _binary_curve_js_end[];
extern const uint8_t _binary_values_js_start[], _binary_values_js_end[];
extern const uint8_t _binary_talkoot_js_start[], _binary_talkoot_js_end[];

const struct page_file page_files[] = {
	{"index.html", _binary_index_html_start, _binary_index_html_end},
	{"talkoot.css", _binary_talkoot_css_start, _binary_talkoot_css_end},
	{"curve.js", _binary_curve_js_start, _binary_curve_js_end},
	{"values.js", _binary_values_js_start, _binary_values_js_end},
	{"talkoot.js", _binary_talkoot_js_start, _binary_talkoot_js_end},
	{NULL, NULL, NULL},
};
