/* See blas.h. The only file that knows OpenBLAS; in an archive of its own, so that programs that do not
 * ask for this engine do not load the library. */
#include "tasks/math/blas.h"

#include <cblas.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>

#include "tasks/base/require.h"

static blasint blas_size(size_t n)
{
	REQUIRE(n <= INT_MAX);
	return (blasint)n;
}

/* OpenBLAS refuses an ld below the width even where there is only one row. */
static blasint blas_stride(size_t ld, size_t width)
{
	return blas_size(ld > width ? ld : width);
}

static void gemm(bool ta, bool tb, size_t M, size_t N, size_t K, const float *A, size_t lda,
	const float *B, size_t ldb, float *C, size_t ldc, bool accumulate)
{
	if (M == 0 || N == 0)
		return;
	if (K == 0) {
		for (size_t i = 0; !accumulate && i < M; i++)
			memset(C + i * ldc, 0, N * sizeof(*C));
		return;
	}
	cblas_sgemm(CblasRowMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans,
		blas_size(M), blas_size(N), blas_size(K), 1.0f, A, blas_stride(lda, ta ? M : K), B,
		blas_stride(ldb, tb ? K : N), accumulate ? 1.0f : 0.0f, C, blas_stride(ldc, N));
}

static struct engine blas;

static void blas_init(void)
{
	openblas_set_num_threads(1);
	blas = *engine_best();
	blas.name = "blas";
	blas.gemm = gemm;
}

const struct engine *engine_blas(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, blas_init);
	return &blas;
}
