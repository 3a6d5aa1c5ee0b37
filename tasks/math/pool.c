/* See compute.h and pool.h. A mutex guards everything. Threads look at the number of the job for a few
 * microseconds before they go to sleep on a condition, because the next operation of a training step
 * mostly follows at once; nobody looks for longer than that. */
#include "tasks/math/pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include "tasks/base/mem.h"
#include "tasks/base/require.h"

#define LOOKS 500 /* before sleeping; each is a pause of some 20 ns */

struct pool {
	pthread_mutex_t lock;
	pthread_cond_t begun;	 /* a job, or the end */
	pthread_cond_t finished; /* a job or a start */
	atomic_uint number;	 /* of the present job */
	atomic_uint active;	 /* threads inside it, the caller not counted */
	bool open;		 /* may still be entered */
	bool closing;
	void (*job)(void *);
	void *context;
	uint32_t starting;    /* threads that have not said yet whether they can compute */
	int error;	      /* of a thread that cannot */
	struct errmsg reason; /* its sentence */
	uint32_t helpers;
	pthread_t helper[];
};

static atomic_uint_fast64_t jobs; /* of all pools */

static void look_away(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/* Until *value differs from present, but not for long. */
static void look_for_change(atomic_uint *value, unsigned present)
{
	for (int i = 0; i < LOOKS && atomic_load(value) == present; i++)
		look_away();
}

static void *help(void *argument)
{
	struct pool *p = argument;
	struct errmsg reason;
	int error = engine_enter_thread(&reason);
	unsigned seen = 0;

	pthread_mutex_lock(&p->lock);
	if (error != 0) {
		p->error = error;
		p->reason = reason;
	}
	p->starting--;
	pthread_cond_signal(&p->finished);
	while (!p->closing) {
		if (p->open && atomic_load(&p->number) != seen) {
			seen = atomic_load(&p->number);
			atomic_fetch_add(&p->active, 1);
			pthread_mutex_unlock(&p->lock);
			p->job(p->context);
			pthread_mutex_lock(&p->lock);
			if (atomic_fetch_sub(&p->active, 1) == 1)
				pthread_cond_signal(&p->finished);
		} else {
			unsigned present = atomic_load(&p->number);

			pthread_mutex_unlock(&p->lock);
			look_for_change(&p->number, present);
			pthread_mutex_lock(&p->lock);
			if (atomic_load(&p->number) == present && !p->closing)
				pthread_cond_wait(&p->begun, &p->lock);
		}
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* Signals are for the threads that the program made itself. */
static int start(struct pool *p)
{
	sigset_t all, before;
	int error = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (error == 0 && p->starting < p->helpers) {
		error = pthread_create(&p->helper[p->starting], NULL, help, p);
		if (error == 0)
			p->starting++;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return error;
}

int pool_new(struct pool **out, uint32_t threads, struct errmsg *msg)
{
	struct pool *p;
	uint32_t wanted;
	int error;

	if (threads < 1 || threads > COMPUTE_THREADS_MAX)
		return errmsg_set(msg, TK_EINVAL, "threads: %u is not a number from 1 to %u",
			threads, COMPUTE_THREADS_MAX);
	p = mem_calloc(1, sizeof(*p) + (threads - 1) * sizeof(p->helper[0]));
	if (p == NULL)
		return errmsg_set(msg, TK_ENOMEM, "out of memory for %u threads", threads);
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->begun, NULL);
	pthread_cond_init(&p->finished, NULL);
	wanted = p->helpers = threads - 1;
	pthread_mutex_lock(&p->lock); /* the new threads wait here until all are there */
	error = start(p);
	p->helpers = p->starting;
	while (p->starting > 0)
		pthread_cond_wait(&p->finished, &p->lock);
	pthread_mutex_unlock(&p->lock);
	if (p->helpers == wanted && p->error == 0) {
		*out = p;
		return TK_OK;
	}
	if (p->error != 0)
		error = errmsg_set(msg, p->error, "%s", p->reason.text);
	else
		error = errmsg_set(msg, TK_ENOMEM,
			"cannot start thread %u of %u (%s); ask for fewer threads", p->helpers + 2,
			threads, strerror(error));
	pool_free(p);
	return error;
}

void pool_free(struct pool *p)
{
	if (p == NULL)
		return;
	pthread_mutex_lock(&p->lock);
	p->closing = true;
	atomic_fetch_add(&p->number, 1);
	pthread_cond_broadcast(&p->begun);
	pthread_mutex_unlock(&p->lock);
	for (uint32_t i = 0; i < p->helpers; i++)
		pthread_join(p->helper[i], NULL);
	pthread_cond_destroy(&p->finished);
	pthread_cond_destroy(&p->begun);
	pthread_mutex_destroy(&p->lock);
	mem_free(p);
}

uint32_t pool_threads(const struct pool *p)
{
	return p->helpers + 1;
}

uint64_t pool_jobs(void)
{
	return atomic_load_explicit(&jobs, memory_order_relaxed);
}

void pool_run(struct pool *p, void (*job)(void *context), void *context)
{
	atomic_fetch_add_explicit(&jobs, 1, memory_order_relaxed);
	pthread_mutex_lock(&p->lock);
	REQUIRE(!p->open);
	p->job = job;
	p->context = context;
	p->open = true;
	atomic_fetch_add(&p->number, 1);
	pthread_cond_broadcast(&p->begun);
	pthread_mutex_unlock(&p->lock);
	job(context);
	pthread_mutex_lock(&p->lock);
	p->open = false; /* who has not come by now finds nothing left to do */
	for (unsigned n; (n = atomic_load(&p->active)) > 0;) {
		pthread_mutex_unlock(&p->lock);
		look_for_change(&p->active, n);
		pthread_mutex_lock(&p->lock);
		if (atomic_load(&p->active) == n)
			pthread_cond_wait(&p->finished, &p->lock);
	}
	pthread_mutex_unlock(&p->lock);
}
