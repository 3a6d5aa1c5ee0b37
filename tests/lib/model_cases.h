/* Small models that between them have every type of layer in every place that matters, and two that are
 * large enough for threads to share their operations. */
#ifndef TESTS_LIB_MODEL_CASES_H
#define TESTS_LIB_MODEL_CASES_H

#include "tests/lib/model_bench.h"

extern const struct model_case model_cases[];
extern const size_t model_case_count;
extern const struct model_case large_cases[];
extern const size_t large_case_count;

#endif
