/* See compute.h. Decides how the work of an operation is cut; pool.c runs the pieces. */
#include "tasks/math/compute.h"

#include "tasks/base/require.h"
#include "tasks/math/pool.h"

#define BLOCK 4096 /* of a sum (NUMERICS.md) */

/* Operations below which waking a thread costs more than it brings, and those of the longest range, so
 * that a stop is seen within tens of milliseconds on the slowest computers, too. */
#define OPERATIONS_SHARED 200000.0
#define OPERATIONS_RANGE  30000000.0

/* Of a range of C: vectors of every engine are whole, and a product remains one that packs (gemm). */
#define GEMM_ROWS    8u
#define GEMM_COLUMNS 32u
#define GEMM_LEAST   64u

#define LEAVES_TOGETHER 8u /* that suits every way of hashing them (digest.h) */

bool compute_stopped(const struct compute *c)
{
	return c->stop != NULL && atomic_load_explicit(c->stop, memory_order_relaxed);
}

struct ranges {
	const struct compute *compute;
	compute_part *part;
	void *context;
	size_t n, length;
	atomic_size_t next; /* never far beyond n: each thread adds length once too often */
};

static void ranges_take(void *context)
{
	struct ranges *r = context;

	while (!compute_stopped(r->compute)) {
		size_t first = atomic_fetch_add(&r->next, r->length);

		if (first >= r->n)
			return;
		r->part(r->context, first, r->n - first < r->length ? r->n - first : r->length);
	}
}

uint32_t compute_threads(const struct compute *c)
{
	return c->pool == NULL ? 1 : pool_threads(c->pool);
}

static size_t round_up(size_t n, size_t unit)
{
	return n / unit * unit + (n % unit != 0 ? unit : 0);
}

void compute_each(const struct compute *c, size_t n, size_t grain, double cost, compute_part *part,
	void *context)
{
	uint32_t threads = compute_threads(c);
	struct ranges r = {.compute = c, .part = part, .context = context, .n = n, .length = n};
	double most = cost > 0 ? OPERATIONS_RANGE / cost : (double)n;

	if (n == 0)
		return;
	if (threads > 1 && n > grain && (double)n * cost >= OPERATIONS_SHARED)
		r.length = (n - 1) / (4 * (size_t)threads) + 1;
	else
		threads = 1;
	if ((double)r.length > most)
		r.length = (size_t)most + 1;
	r.length = round_up(r.length, grain);
	if (threads > 1)
		pool_run(c->pool, ranges_take, &r);
	else
		ranges_take(&r);
}

struct product {
	const struct compute *compute;
	bool ta, tb, accumulate;
	size_t M, N, K, lda, ldb, ldc;
	const float *A, *B;
	float *C;
};

static void product_rows(void *context, size_t first, size_t count)
{
	const struct product *p = context;

	p->compute->engine->gemm(p->ta, p->tb, count, p->N, p->K,
		p->A + (p->ta ? first : first * p->lda), p->lda, p->B, p->ldb,
		p->C + first * p->ldc, p->ldc, p->accumulate);
}

static void product_columns(void *context, size_t first, size_t count)
{
	const struct product *p = context;

	p->compute->engine->gemm(p->ta, p->tb, p->M, count, p->K, p->A, p->lda,
		p->B + (p->tb ? first * p->ldb : first), p->ldb, p->C + first, p->ldc,
		p->accumulate);
}

/* Two ranges for each thread even them out; more would pack the other factor once more each. */
static size_t product_grain(size_t n, size_t unit, size_t ranges)
{
	size_t length;

	REQUIRE(ranges > 0);
	length = (n - (n != 0)) / ranges + 1;
	return round_up(length < GEMM_LEAST ? GEMM_LEAST : length, unit);
}

void compute_gemm(const struct compute *c, bool ta, bool tb, size_t M, size_t N, size_t K,
	const float *A, size_t lda, const float *B, size_t ldb, float *C, size_t ldc,
	bool accumulate)
{
	struct product p = {c, ta, tb, accumulate, M, N, K, lda, ldb, ldc, A, B, C};
	size_t ranges = 2 * (size_t)compute_threads(c);
	double chain = 2.0 * (double)K;

	if (M >= N || M / GEMM_LEAST >= ranges)
		compute_each(c, M, product_grain(M, GEMM_ROWS, ranges), chain * (double)N,
			product_rows, &p);
	else
		compute_each(c, N, product_grain(N, GEMM_COLUMNS, ranges), chain * (double)M,
			product_columns, &p);
}

struct squares {
	const struct engine *engine;
	const float *x;
	size_t n;
	float *sums; /* of the blocks */
};

static void squares_part(void *context, size_t first, size_t count)
{
	const struct squares *s = context;

	for (size_t i = first; i < first + count; i++) {
		size_t begin = i * BLOCK;

		s->sums[i] = s->engine->sum_squares(
			s->n - begin < BLOCK ? s->n - begin : BLOCK, s->x + begin);
	}
}

/* The recursion of NUMERICS.md: up to 4,096 pieces of 4,096^k elements, whose sums are summed. */
float compute_sum_squares(const struct compute *c, size_t n, const float *x)
{
	float sums[BLOCK];
	struct squares s = {c->engine, x, n, sums};
	size_t piece = BLOCK, pieces;

	if (n <= BLOCK)
		return c->engine->sum_squares(n, x);
	while (piece < n / BLOCK + (n % BLOCK != 0))
		piece *= BLOCK;
	pieces = n / piece + (n % piece != 0);
	if (piece == BLOCK)
		compute_each(c, pieces, 1, 2.0 * BLOCK, squares_part, &s);
	for (size_t i = 0; i < pieces && piece != BLOCK; i++)
		sums[i] = compute_sum_squares(
			c, n - i * piece < piece ? n - i * piece : piece, x + i * piece);
	return compute_stopped(c) ? 0.0f : c->engine->sum(pieces, sums);
}

struct columns {
	const struct engine *engine;
	size_t rows, ldx;
	const float *x;
	float *out;
};

static void columns_part(void *context, size_t first, size_t count)
{
	const struct columns *s = context;

	s->engine->column_sums(s->rows, count, s->x + first, s->ldx, s->out + first);
}

void compute_column_sums(
	const struct compute *c, size_t rows, size_t cols, const float *x, size_t ldx, float *out)
{
	struct columns s = {c->engine, rows, ldx, x, out};

	compute_each(c, cols, 64, (double)rows, columns_part, &s);
}

struct update {
	const struct engine *engine;
	const struct adamw_step *adamw;
	const struct sgd_step *sgd;
	const float *g;
	float *m, *v, *w;
};

static void adamw_part(void *context, size_t first, size_t count)
{
	const struct update *u = context;

	u->engine->adamw(count, u->adamw, u->g + first, u->m + first, u->v + first, u->w + first);
}

static void sgd_part(void *context, size_t first, size_t count)
{
	const struct update *u = context;

	u->engine->sgd(
		count, u->sgd, u->g + first, u->v == NULL ? NULL : u->v + first, u->w + first);
}

void compute_adamw(const struct compute *c, size_t n, const struct adamw_step *step, const float *g,
	float *m, float *v, float *w)
{
	struct update u = {.engine = c->engine, .adamw = step, .g = g, .m = m, .v = v, .w = w};

	compute_each(c, n, BLOCK, 20.0, adamw_part, &u);
}

void compute_sgd(const struct compute *c, size_t n, const struct sgd_step *step, const float *g,
	float *v, float *w)
{
	struct update u = {.engine = c->engine, .sgd = step, .g = g, .v = v, .w = w};

	compute_each(c, n, BLOCK, 8.0, sgd_part, &u);
}

struct leaves {
	struct digest *leaves;
	const struct digest_part *parts;
	size_t count;
};

static void leaves_part(void *context, size_t first, size_t count)
{
	struct leaves *l = context;

	digest_leaves(l->leaves + first, first, count, l->parts, l->count);
}

void compute_digest(const struct compute *c, struct digest *out, struct digest *leaves,
	const struct digest_part *parts, size_t count)
{
	struct leaves l = {leaves, parts, count};

	compute_each(c, digest_leaf_count(parts, count), LEAVES_TOGETHER, 2.0 * BLOB_LEAF,
		leaves_part, &l);
	if (compute_stopped(c))
		*out = (struct digest){0};
	else
		digest_fold(out, leaves, parts, count);
}
