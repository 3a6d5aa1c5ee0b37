# Builds Talkoot. Everything lands under build/ (or build/asan, build/tsan …); see README.md.
#   make            the two programs: build/talkoot and build/talkoot-peer
#   make check      builds and runs every test program
#   make check-long scripts/check with nothing shortened; scripts/check itself takes slices under sanitizers
#   make lab        a grid behind NATs, on slow links and through outages (after `scripts/setup lab`)
#   make asan tsan  the tests under AddressSanitizer + UBSan, ThreadSanitizer
#   make sim        the overlay under virtual time: SIM_PEERS peers, figures and curves in build/sim
#   make bench      the programs that measure: build/tests/bench/bench_*
#   make fuzz       every reader of foreign bytes under libFuzzer (clang): FUZZ_S seconds each, or FUZZ_RUNS inputs in all
#   make golden aarch64  the tests that pin bits, under other compilers and another processor
#   make warnings   what CC warns of, without code; CC=clang for the other opinion
#   make tidy tidy-quick format install
# V=1 shows the commands. CI=1 turns warnings into errors.
MAKEFLAGS += --no-builtin-rules

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
CFLAGS_LIBS := $(shell pkg-config --cflags $(PACKAGES) openblas)
ALL_CFLAGS  = $(CFLAGS) $(MODE) $(WARN) $(BASE) $(CFLAGS_LIBS)
LIBS_TASKS := $(shell pkg-config --libs libsodium yaml-0.1 jansson) -lmsgpackc -lm
# Only the volunteer's agent asks routers for ports.
LIBS_PORTS := -Wl,--push-state,--as-needed -lnatpmp -lminiupnpc -Wl,--pop-state
LIBS_ALL   := $(shell pkg-config --libs $(PACKAGES)) -lmsgpackc -lm -pthread $(LIBS_PORTS)
# Loaded only by programs that call engine_blas(); talkoot-peer links without it.
LIBS_BLAS  := -Wl,--push-state,--as-needed $(shell pkg-config --libs openblas) -Wl,--pop-state

KERNEL_SOURCES := tasks/math/kernels tasks/base/blake2b_kernel
TASKS := $(filter-out $(KERNEL_SOURCES:=.c) tasks/math/gemm_blas.c,$(wildcard tasks/*/*.c))
PEER  := $(filter-out peer/agent/main.c,$(wildcard peer/*/*.c))
COORD := $(filter-out coordinator/cli/main.c,$(wildcard coordinator/*.c coordinator/*/*.c))
# KERNEL_SOURCES are compiled once for each instruction set; equal bits are a promise that tests keep.
ARCH  := $(shell $(CC) -dumpmachine | cut -d- -f1)
KERNELS := baseline
OPT_KERNELS ?= -O3
ifeq ($(ARCH),x86_64)
KERNELS += avx2 avx512
endif
# Neither -fno flag changes a value: they only drop errno and exception flags, which nobody reads.
# Sanitizers may keep clang from vectorising, which is slower but as right.
FLAGS_KERNELS  := $(OPT_KERNELS) -fno-math-errno -fno-trapping-math -Wno-pass-failed
FLAGS_baseline :=
FLAGS_avx2     := -mavx2 -mfma
FLAGS_avx512   := -mavx512f -mavx512dq -mavx512bw -mavx512vl -mfma -mprefer-vector-width=512
KERNEL_OBJS := $(foreach source,$(KERNEL_SOURCES),$(KERNELS:%=$(BUILD)/$(source)_%.o))

ifndef V
.SILENT:
endif
tell = printf '  %-5s %s\n' $(1) $(2)

obj = $(patsubst %.c,$(BUILD)/%.o,$(1))
LIB_TASKS := $(BUILD)/libtasks.a
LIB_BLAS  := $(BUILD)/libblas.a
LIB_PEER  := $(BUILD)/libpeer.a
LIB_COORD := $(BUILD)/libcoordinator.a
TESTS     := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/*/test_*.c))
TESTLIB   := $(call obj,$(wildcard tests/lib/*.c))

all: $(BUILD)/talkoot $(BUILD)/talkoot-peer

$(BUILD)/%.o: %.c
	mkdir -p $(@D)
	$(call tell,CC,$<)
	$(CC) $(ALL_CFLAGS) -c $< -o $@

define kernels
$(KERNELS:%=$(BUILD)/$(1)_%.o): $(BUILD)/$(1)_%.o: $(1).c
	mkdir -p $$(@D)
	$$(call tell,CC,"$$< for $$*")
	$$(CC) $$(ALL_CFLAGS) $$(FLAGS_KERNELS) $$(FLAGS_$$*) -DKERNEL_ENGINE=$$* -c $$< -o $$@
endef
$(foreach source,$(KERNEL_SOURCES),$(eval $(call kernels,$(source))))

# The status page travels inside the program.
PAGE_FILES := index.html talkoot.css curve.js values.js talkoot.js
$(BUILD)/page_files.o: $(PAGE_FILES:%=web/%)
	mkdir -p $(@D)
	$(call tell,LD,web)
	cd web && ld -r -b binary -z noexecstack -o "$(abspath $@)" $(PAGE_FILES)

$(LIB_TASKS): $(call obj,$(TASKS)) $(KERNEL_OBJS)
$(LIB_BLAS): $(BUILD)/tasks/math/gemm_blas.o
$(LIB_PEER): $(call obj,$(PEER))
$(LIB_COORD): $(call obj,$(COORD)) $(BUILD)/page_files.o
$(BUILD)/%.a:
	rm -f $@
	$(call tell,AR,$@)
	ar rcs $@ $^

$(BUILD)/talkoot: $(call obj,coordinator/cli/main.c) $(LIB_COORD) $(LIB_PEER) $(LIB_BLAS) $(LIB_TASKS)
	$(call tell,LINK,$@)
	$(CC) $(CFLAGS) $(MODE) $^ -o $@ $(LIBS_ALL) $(LIBS_BLAS)

$(BUILD)/talkoot-peer: $(call obj,peer/agent/main.c) $(LIB_PEER) $(LIB_TASKS)
	$(call tell,LINK,$@)
	$(CC) $(CFLAGS) $(MODE) $^ -o $@ $(LIBS_ALL)

$(BUILD)/tests/%: $(BUILD)/tests/%.o $(TESTLIB) $(LIB_COORD) $(LIB_PEER) $(LIB_TASKS)
	$(call tell,LINK,$@)
	$(CC) $(CFLAGS) $(MODE) $^ -o $@ $(LIBS_ALL) $(shell pkg-config --libs cmocka)

$(BUILD)/tests/bench/%: $(BUILD)/tests/bench/%.o $(LIB_BLAS) $(LIB_TASKS)
	$(call tell,LINK,$@)
	$(CC) $(CFLAGS) $(MODE) $^ -o $@ $(LIBS_TASKS) $(LIBS_BLAS) -pthread

BENCH_NET := $(call obj,$(addprefix tests/bench/,bench_net.c net_raw_sodium.c net_node_uv.c))
$(BUILD)/tests/bench/bench_net: $(BENCH_NET) $(LIB_PEER) $(LIB_TASKS)
	$(call tell,LINK,$@)
	$(CC) $(CFLAGS) $(MODE) $^ -o $@ $(LIBS_ALL)

# Tests of tasks/ alone need no more than that, so that they also build where the other libraries are missing.
TESTLIB_TASKS := $(addprefix $(BUILD)/tests/lib/,accused.o tiny.o model64.o model_bench.o model_cases.o)
define tasks_alone
$(BUILD)/tests/$(1)/%: $(BUILD)/tests/$(1)/%.o $(TESTLIB_TASKS) $(LIB_TASKS)
	$$(call tell,LINK,$$@)
	$$(CC) $$(CFLAGS) $$(MODE) $$^ -o $$@ $$(LIBS_TASKS) -pthread -lcmocka
endef
$(foreach room,base math model unit,$(eval $(call tasks_alone,$(room))))
$(BUILD)/tests/math/%_blas: $(BUILD)/tests/math/%_blas.o $(LIB_BLAS) $(LIB_TASKS)
	$(call tell,LINK,$@)
	$(CC) $(CFLAGS) $(MODE) $^ -o $@ $(LIBS_TASKS) $(LIBS_BLAS) -pthread -lcmocka

# The simulator drives the cores of peer/, and needs no more than they do.
SIM := $(filter-out tests/sim/sim.c tests/sim/test_%.c,$(wildcard tests/sim/*.c))
SIM_PROGRAMS := $(patsubst %.c,$(BUILD)/%,tests/sim/sim.c $(wildcard tests/sim/test_*.c))
$(SIM_PROGRAMS): $(BUILD)/tests/sim/%: $(BUILD)/tests/sim/%.o $(call obj,$(SIM)) $(LIB_PEER) $(LIB_TASKS)
	$(call tell,LINK,$@)
	$(CC) $(CFLAGS) $(MODE) $^ -o $@ $(LIBS_TASKS) $(if $(findstring /test_,$@),-lcmocka)

# What tests/torch compares PyTorch with.
$(BUILD)/tests/torch/dump: $(BUILD)/tests/torch/dump.o $(LIB_TASKS)
	$(call tell,LINK,$@)
	$(CC) $(CFLAGS) $(MODE) $^ -o $@ $(LIBS_TASKS) -pthread

# The lab's own programs: a slow link, a probe that says what a network really does, a bare node.
LAB := $(BUILD)/tests/lab/tun_link $(BUILD)/tests/lab/probe $(BUILD)/tests/lab/meet
$(BUILD)/tests/lab/tun_link: $(BUILD)/tests/lab/tun_link.o
$(BUILD)/tests/lab/probe: $(call obj,$(addprefix tests/lab/,probe.c probe_serve.c sockets.c))
$(BUILD)/tests/lab/meet: $(BUILD)/tests/lab/meet_uv.o $(LIB_PEER) $(LIB_TASKS)
$(LAB):
	$(call tell,LINK,$@)
	$(CC) $(CFLAGS) $(MODE) $^ -o $@ $(if $(filter %_uv.o,$^),$(LIBS_ALL))

tests: $(LAB) $(TESTS) $(BUILD)/tests/tree/train_only $(BUILD)/tests/torch/dump $(BUILD)/tests/sim/sim

# Programs that measure, and print CSV; nothing runs them but a person or scripts/bench.
BENCHES := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/bench/bench_*.c))
bench: $(BENCHES)

# Every scenario beside other work: what it measured, what is wanted of it, curves. A missed figure is no error here.
SIM_PEERS ?= 10000
SIM_SEED  ?= 1
sim: $(BUILD)/tests/sim/sim
	mkdir -p $(BUILD)/sim
	nice -n 10 $< all --peers $(SIM_PEERS) --seed $(SIM_SEED) \
		--csv $(BUILD)/sim/figures-$(SIM_PEERS).csv --svg $(BUILD)/sim/curves-$(SIM_PEERS).svg || [ $$? = 3 ]

# The coordinator's core against every strategy of cheaters, under virtual time. Two million units a run take hours.
SIMULATE_UNITS ?= 2000000
SIMULATE_PEERS ?= 1000
SIMULATE_SEEDS ?= 3
simulate: all
	scripts/simulate $(SIMULATE_UNITS) $(SIMULATE_PEERS) $(SIMULATE_SEEDS)

# `talkoot train` alone: what it is made of needs neither libuv nor SQLite, and this link proves it.
TRAIN_ONLY := $(call obj,tests/tree/train_only.c $(addprefix coordinator/cli/,train_command.c cli.c metadata.c))
$(BUILD)/tests/tree/train_only: $(TRAIN_ONLY) $(LIB_BLAS) $(LIB_TASKS)
	$(call tell,LINK,$@)
	$(CC) $(CFLAGS) $(MODE) $^ -o $@ $(LIBS_TASKS) $(LIBS_BLAS) -pthread

check: all tests
	scripts/run-tests $(BUILD)
check-long:
	scripts/check --long

# Twenty peers behind NATs, in namespaces of this machine; skips where they are not permitted.
lab: all $(LAB)
	TALKOOT_BUILD="$(abspath $(BUILD))" tests/lab/run

# The same tests where memory errors, undefined behaviour and data races do not go unseen.
ASAN := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
TSAN := -fsanitize=thread
# Kernels that are unrolled or optimised much take minutes to compile where each access is checked.
OPT_CHECKED := -O1 -DUNROLL=
build-asan:
	$(MAKE) BUILD=build/asan MODE="$(ASAN)" CFLAGS="-O1 -g" OPT_KERNELS="$(OPT_CHECKED)" all tests
# Of the tests, those that begin threads, and those that run loops, whose library may: cores have none.
THREADED = $(sort $(wildcard tests/*/test_*_uv.c) $(shell grep -lE 'pthread|threads|pool_|worker_serve' tests/*/test_*.c))
build-tsan:
	$(MAKE) BUILD=build/tsan MODE="$(TSAN)" CFLAGS="-O1 -g" all $(THREADED:%.c=build/tsan/%)
asan: build-asan
	scripts/run-tests --no-scripts build/asan
tsan: build-tsan
	scripts/run-tests --built build/tsan

# Each reader of foreign bytes under clang's fuzzer: FUZZ_S seconds each, or FUZZ_RUNS inputs in all; prints a table.
FUZZ_S	?= 60
FUZZ_RUNS ?=
FUZZ_TARGETS ?=
FUZZ	:= build/fuzz/fuzz
# Small enough to be filled by one input, and to be made and cleared thousands of times a second.
FUZZ_TABLES := -DDIRECTORY_PEERS_MAX=160u -DDIRECTORY_TOLD_MAX=40u -DDIRECTORY_BODIES_MAX=200u \
	-DEXCHANGE_BLOBS_MAX=8u -DEXCHANGE_PEERS_MAX=6u -DEXCHANGE_WAITING_MAX=16u -DEXCHANGE_WAITING_EACH=6u
build-fuzz:
	$(MAKE) BUILD=build/fuzz CC=clang CFLAGS="-O2 -g $(FUZZ_TABLES)" OPT_KERNELS="$(OPT_CHECKED)" \
		MODE="-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all" $(FUZZ) $(FUZZ)_clear
# What stands in for cryptography, so that inputs get behind it: linked before the libraries, whose own it replaces.
CLEAR := $(call obj,tests/fuzz/clear_key_sodium.c tests/fuzz/clear_noise.c)
ifeq ($(BUILD),build/fuzz)
$(FUZZ)_clear: $(CLEAR)
$(FUZZ) $(FUZZ)_clear: $(call obj,tests/fuzz/fuzz.c) $(TESTLIB) $(LIB_COORD) $(LIB_PEER) $(LIB_TASKS)
	$(call tell,LINK,$@)
	$(CC) $(CFLAGS) -fsanitize=fuzzer,address,undefined $(filter %.o,$^) $(filter %.a,$^) -o $@ $(LIBS_ALL)
endif
$(BUILD)/tests/fuzz/%_clear: $(BUILD)/tests/fuzz/%_clear.o $(CLEAR) $(TESTLIB) $(LIB_COORD) $(LIB_PEER) $(LIB_TASKS)
	$(call tell,LINK,$@)
	$(CC) $(CFLAGS) $(MODE) $^ -o $@ $(LIBS_ALL) $(shell pkg-config --libs cmocka)
fuzz: build-fuzz
	scripts/fuzz $(if $(FUZZ_RUNS),--inputs $(FUZZ_RUNS),--seconds $(FUZZ_S)) $(FUZZ_TARGETS)
# What build/fuzz holds that is worth keeping becomes tests/fuzz/corpus, which tests/fuzz/test_corpus*.c run again.
fuzz-corpus: build-fuzz
	scripts/fuzz --keep $(FUZZ_TARGETS)

# The golden digests under both compilers, optimised little and much. scripts/check takes one diagonal, and a slice of it.
GOLDEN := $(patsubst %.c,%,$(wildcard tests/*/test_golden*.c))
GOLDEN_BUILDS ?= gcc-O1 gcc-O3 clang-O1 clang-O3
GOLDEN_SLICE ?=
golden:
	for b in $(GOLDEN_BUILDS); do \
		$(MAKE) BUILD=build/golden clean && \
		$(MAKE) CC=$${b%-*} BUILD=build/golden CFLAGS="-$${b#*-} -g" OPT_KERNELS="-$${b#*-}" $(GOLDEN:%=build/golden/%) && \
		scripts/run-tests $(GOLDEN_SLICE) --built build/golden || exit 1; \
	done

# The tests that pin bits, compiled for 64-bit ARM and run under qemu.
aarch64:
	scripts/aarch64

SOURCES := $(wildcard */*.[ch] */*/*.[ch])
# Every C file once, each kernel for each instruction set.
WARNED := $(filter-out $(KERNEL_SOURCES:=.c),$(filter %.c,$(SOURCES)))
WARNINGS := $(addprefix warnings/,$(WARNED) $(foreach source,$(KERNEL_SOURCES),$(KERNELS:%=$(source)_%)))
warnings: $(WARNINGS)
$(WARNED:%=warnings/%): warnings/%:
	$(CC) $(filter-out -MMD -MP,$(ALL_CFLAGS)) -fsyntax-only $*
define kernel_warnings
$(KERNELS:%=warnings/$(1)_%): warnings/$(1)_%:
	$$(CC) $$(filter-out -MMD -MP,$$(ALL_CFLAGS)) $$(FLAGS_KERNELS) $$(FLAGS_$$*) -DKERNEL_ENGINE=$$* -fsyntax-only $(1).c
endef
$(foreach source,$(KERNEL_SOURCES),$(eval $(call kernel_warnings,$(source))))

# .clang-tidy says what is looked for, and what is not and why.
TIDY := $(addprefix tidy/,$(filter-out tests/%,$(filter %.c,$(SOURCES))))
tidy: $(TIDY)
$(TIDY): tidy/%:
	$(call tell,TIDY,$*)
	clang-tidy --quiet --warnings-as-errors='*' $* -- $(BASE) $(CFLAGS_LIBS) -DKERNEL_ENGINE=baseline $(TIDY_FLAGS)
# Nearly all of its time goes into following paths through functions. Each is given up after a tenth of the usual number
# of nodes, which takes an eighth of the time; all other checks are made as ever.
tidy-quick:
	$(MAKE) tidy TIDY_FLAGS='-Xclang -analyzer-config -Xclang max-nodes=22500'

format:
	clang-format -i $(SOURCES)

install: all
	install -D -m 755 -t $(DESTDIR)$(PREFIX)/bin $(BUILD)/talkoot $(BUILD)/talkoot-peer

clean:
	rm -rf $(BUILD)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
.PHONY: all tests bench sim simulate lab check check-long warnings $(WARNINGS) tidy-quick asan tsan fuzz fuzz-corpus golden aarch64 build-asan build-tsan build-fuzz tidy $(TIDY) format install clean
.SECONDARY:
