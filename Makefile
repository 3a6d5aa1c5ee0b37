# Builds Talkoot. Everything lands under build/ (or build/asan, build/tsan …); see README.md.
#   make            the two programs: build/talkoot and build/talkoot-peer
#   make check      builds and runs every test program
#   make asan tsan  the tests under AddressSanitizer + UBSan, ThreadSanitizer
#   make tidy format install
CC      ?= gcc
BUILD   ?= build
PREFIX  ?= /usr/local
MODE    ?=

PACKAGES := libsodium libuv sqlite3 yaml-0.1 jansson
# Canonical arithmetic forbids contraction and every value-changing optimisation (tasks/math/NUMERICS.md).
CFLAGS   ?= -O2 -g
WARN     := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla
ifdef CI
WARN     += -Werror
endif
BASE     := -std=c17 -D_GNU_SOURCE -I. -ffp-contract=off -fno-fast-math -fno-strict-aliasing -pthread -MMD -MP
ALL_CFLAGS = $(CFLAGS) $(MODE) $(WARN) $(BASE) $(shell pkg-config --cflags $(PACKAGES) cmocka)
LIBS_TASKS = $(shell pkg-config --libs libsodium yaml-0.1) -lmsgpackc -lm
LIBS_ALL   = $(shell pkg-config --libs $(PACKAGES)) -lmsgpackc -lm -pthread

TASKS := $(filter-out tasks/math/kernels.c,$(wildcard tasks/*/*.c))
PEER  := $(filter-out peer/agent/main.c,$(wildcard peer/*/*.c))
COORD := $(filter-out coordinator/cli/main.c,$(wildcard coordinator/*.c coordinator/*/*.c))
# One source, compiled once for each instruction set; equal bits are a promise that tests keep.
ARCH  := $(shell $(CC) -dumpmachine | cut -d- -f1)
KERNELS := baseline
ifeq ($(ARCH),x86_64)
KERNELS += avx2 avx512
endif
# Neither flag after -O3 changes a value: they only drop errno and exception flags, which nobody reads.
FLAGS_KERNELS  := -O3 -fno-math-errno -fno-trapping-math
FLAGS_baseline :=
FLAGS_avx2     := -mavx2 -mfma
FLAGS_avx512   := -mavx512f -mavx512dq -mavx512bw -mavx512vl -mfma -mprefer-vector-width=512
KERNEL_OBJS := $(KERNELS:%=$(BUILD)/tasks/math/kernels_%.o)

obj = $(patsubst %.c,$(BUILD)/%.o,$(1))
LIB_TASKS := $(BUILD)/libtasks.a
LIB_PEER  := $(BUILD)/libpeer.a
LIB_COORD := $(BUILD)/libcoordinator.a
TESTS     := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/*/test_*.c))
TESTLIB   := $(call obj,$(wildcard tests/lib/*.c))

all: $(BUILD)/talkoot $(BUILD)/talkoot-peer

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -c $< -o $@

$(BUILD)/tasks/math/kernels_%.o: tasks/math/kernels.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(FLAGS_KERNELS) $(FLAGS_$*) -DKERNEL_ENGINE=$* -c $< -o $@

# The status page travels inside the program.
PAGE_FILES := index.html talkoot.css curve.js talkoot.js
$(BUILD)/page_files.o: $(PAGE_FILES:%=web/%)
	@mkdir -p $(@D)
	cd web && ld -r -b binary -z noexecstack -o $(abspath $@) $(PAGE_FILES)

$(LIB_TASKS): $(call obj,$(TASKS)) $(KERNEL_OBJS)
$(LIB_PEER): $(call obj,$(PEER))
$(LIB_COORD): $(call obj,$(COORD)) $(BUILD)/page_files.o
$(BUILD)/%.a:
	@rm -f $@
	ar rcs $@ $^

$(BUILD)/talkoot: $(call obj,coordinator/cli/main.c) $(LIB_COORD) $(LIB_PEER) $(LIB_TASKS)
	$(CC) $(CFLAGS) $(MODE) $^ -o $@ $(LIBS_ALL)

$(BUILD)/talkoot-peer: $(call obj,peer/agent/main.c) $(LIB_PEER) $(LIB_TASKS)
	$(CC) $(CFLAGS) $(MODE) $^ -o $@ $(LIBS_ALL)

$(BUILD)/tests/%: $(BUILD)/tests/%.o $(TESTLIB) $(LIB_COORD) $(LIB_PEER) $(LIB_TASKS)
	$(CC) $(CFLAGS) $(MODE) $^ -o $@ $(LIBS_ALL) $(shell pkg-config --libs cmocka)

tests: $(TESTS)

check: all tests
	scripts/run-tests $(BUILD)

clean:
	rm -rf $(BUILD)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
.PHONY: all tests check clean
.SECONDARY:
