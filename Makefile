# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#
# make              the library and the program, under build/
# make run          a real file through a ring, with and without kills [FILE=...]
# make run-vm       the same through /dev/ringq, in a guest [KERNEL=6.12]
# make check        all the tests, guests included
# make step         a kill at every instruction of every operation: hours
# make soak         wake-ups, and deaths, under random delays [TIME=600, in seconds, of both]
# make sim          ports that die, interleaved as a seed says [TIME=600, in seconds]
# make examples     build/examples/, of the sources in tools/examples/; some need other libraries
# make modules      the kernel module, for the kernel of KDIR=/lib/modules/.../build
# make install      [DESTDIR=] [PREFIX=/usr/local]
# make compile_commands.json    for editors
# make clean, make distclean
#
# run, run-vm and check install the Debian packages that are missing, and say so.
# BUILD=build/asan SANITIZE=address,undefined makes a second tree, with sanitizers.
# BUILD=build/delays DELAYS=1 makes one for soak, where steps of protocols take long by chance.
# BUILD=build/sim SIM=1 makes one for build/sim/sim, where ports are interleaved as a seed says.

BUILD ?= build
PREFIX ?= /usr/local
TOOL_LIBS := -lxxhash -lm
KERNEL ?= 6.12
TIME ?= 600
KDIR ?= /lib/modules/$(shell uname -r)/build
CFLAGS ?= -O2 -g
VERSION := 0.1

CPPFLAGS += -D_GNU_SOURCE -Iinclude -Iinclude/uapi $(if $(DELAYS),-DRINGQ_DELAYS) \
	$(if $(SIM),-DRINGQ_DELAYS -include tests/sim/sim.h)
WARN := -std=gnu11 -Wall -Wextra -Werror -Wmissing-prototypes -Wstrict-prototypes
SAN := $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer \
	$(if $(filter thread,$(SANITIZE)),-Wno-tsan))
COMPILE = $(CC) $(CPPFLAGS) $(CFLAGS) $(WARN) $(SAN) -MMD -MP
LINK = $(CC) $(CFLAGS) $(SAN) $(LDFLAGS)

comma := ,
objects = $(patsubst %.c,$(BUILD)/%.o,$(wildcard $(1)/*.c))
KSELFTEST_PARTS := tests/kselftest/common.c tests/kselftest/iou.c
KSELFTESTS := $(patsubst tests/kselftest/%.c,$(BUILD)/kselftest/%, \
	$(filter-out $(KSELFTEST_PARTS),$(wildcard tests/kselftest/*.c)))
EXAMPLES := $(patsubst tools/examples/%.c,$(BUILD)/examples/%,$(wildcard tools/examples/*.c))
# Those that need somebody else's library, and its name for pkg-config.
EXAMPLES_WITH := io_uring:liburing loop_glib:glib-2.0 loop_libevent:libevent loop_libuv:libuv \
	loop_sd_event:libsystemd
UNIT_TESTS := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(wildcard tests/unit/*.c))

all: lib program

lib: $(BUILD)/libringq.a $(BUILD)/libringq.so
program: $(BUILD)/ringq
tests: $(UNIT_TESTS) $(addprefix $(BUILD)/,conformance stream handover step kills) examples
examples: $(EXAMPLES)
kselftest: $(KSELFTESTS)

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(COMPILE) -c -o $@ $<

$(BUILD)/lib/%.o: CFLAGS += -fPIC -fvisibility=hidden -pthread

$(BUILD)/libringq.a: $(call objects,lib)
	rm -f $@
	$(AR) rcs $@ $^

# It has threads, which end a little later than what they are for: not to be unmapped under them.
$(BUILD)/libringq.so.0: $(call objects,lib) lib/libringq.map
	$(LINK) -shared -pthread -Wl,-soname,$(@F) -Wl,--version-script=lib/libringq.map \
		-Wl,-z,nodelete $(if $(SANITIZE),,-Wl,-z,defs) -o $@ $(filter %.o,$^)

$(BUILD)/libringq.so: $(BUILD)/libringq.so.0
	ln -sf $(<F) $@

$(BUILD)/ringq: $(call objects,tools) $(BUILD)/libringq.a
	$(LINK) -pthread -o $@ $^ $(TOOL_LIBS)

$(BUILD)/unit/%: $(BUILD)/tests/unit/%.o $(BUILD)/libringq.a
	@mkdir -p $(@D)
	$(LINK) -pthread -o $@ $^ -lcmocka

# To cancel a thread the C library loads this one; a guest has only what is linked.
$(BUILD)/unit/certificate: LDFLAGS += -Wl,--push-state,--no-as-needed -lgcc_s -Wl,--pop-state

$(BUILD)/conformance: $(call objects,tests/conformance) $(BUILD)/libringq.a
	$(LINK) -pthread -o $@ $^

$(BUILD)/stream $(BUILD)/handover: $(BUILD)/%: $(BUILD)/tests/strace/%.o $(BUILD)/libringq.a
	$(LINK) -pthread -o $@ $^

# Bound when it starts: an operation is not to be stepped through the linker.
$(BUILD)/step: $(call objects,tests/step) $(BUILD)/libringq.a
	$(LINK) -pthread -Wl,-z,now -o $@ $^

soak_parts = $(patsubst %,$(BUILD)/tests/soak/%.o,$(1))
$(BUILD)/soak: $(call soak_parts,main side delay) $(BUILD)/libringq.a
	$(LINK) -pthread -o $@ $^ -luring

$(BUILD)/kills: $(call soak_parts,kills ledger worker delay) $(BUILD)/libringq.a
	$(LINK) -pthread -o $@ $^

# In that build only (SIM=1); what its files put in the place of others begins with __wrap_.
SIM_WRAPS := pthread_mutex_lock pthread_mutex_trylock pthread_mutex_unlock sched_yield \
	clock_gettime ringq_places_alive
$(BUILD)/sim: $(call objects,tests/sim) $(BUILD)/libringq.a
	$(LINK) -pthread $(addprefix -Wl$(comma)--wrap=,$(SIM_WRAPS)) -o $@ $^

$(BUILD)/examples/%: $(BUILD)/tools/examples/%.o $(BUILD)/libringq.a
	@mkdir -p $(@D)
	$(LINK) -pthread -o $@ $^

# Where that library is not installed the example is left out, and that is said.
module = $(patsubst $*:%,%,$(filter $*:%,$(EXAMPLES_WITH)))
$(foreach e,$(EXAMPLES_WITH),$(BUILD)/examples/$(firstword $(subst :, ,$e))): \
$(BUILD)/examples/%: tools/examples/%.c $(BUILD)/libringq.a
	@mkdir -p $(@D) $(BUILD)/tools/examples
	$(if $(shell pkg-config --exists $(module) && echo yes), \
		$(COMPILE) $(shell pkg-config --cflags $(module)) -pthread $(LDFLAGS) \
			-MF $(BUILD)/tools/examples/$*.d -o $@ $< $(BUILD)/libringq.a \
			$(shell pkg-config --libs $(module)), \
		@echo "$@: left out, for pkg-config finds no $(module) (tests/setup check installs it)")

# Their harness is the kernel's (tests/vm/fetch kselftest), and jumps out of its own functions.
$(BUILD)/tests/kselftest/%.o: CPPFLAGS += -isystem build/vm/kselftest
$(BUILD)/tests/kselftest/%.o: WARN += -Wno-clobbered -Wno-missing-prototypes -Wno-unused-parameter

$(BUILD)/kselftest/%: $(BUILD)/tests/kselftest/%.o $(KSELFTEST_PARTS:%.c=$(BUILD)/%.o)
	@mkdir -p $(@D)
	$(LINK) -pthread -o $@ $^

# The kernel's own build writes beside its sources: it gets links to ours.
KRELEASE = $(shell cat $(KDIR)/include/config/kernel.release 2>/dev/null)
KBUILD_DIR = $(abspath $(BUILD))/kmod/$(KRELEASE)
modules:
	@test -n "$(KRELEASE)" || { echo "make modules: no kernel headers in $(KDIR)" \
		"(install linux-headers, or set KDIR)" >&2; exit 1; }
	mkdir -p $(KBUILD_DIR)
	ln -sfn $(CURDIR)/include $(KBUILD_DIR)/include
	ln -sf $(CURDIR)/Kbuild $(KBUILD_DIR)/Kbuild
	mkdir -p $(KBUILD_DIR)/kmod
	ln -sf $(CURDIR)/kmod/* $(KBUILD_DIR)/kmod/
	$(MAKE) -C $(KDIR) M=$(KBUILD_DIR) $(KFLAGS) modules

run:
	@tests/setup build
	@$(MAKE) --no-print-directory -s all
	@tools/run.sh $(FILE)

run-vm:
	@tests/setup build vm
	@$(MAKE) --no-print-directory -s all
	@tests/vm/job $(KERNEL) $(FILE)

check:
	@tests/setup build check vm
	@tests/check

step:
	@tests/setup build
	@$(MAKE) --no-print-directory -s build/step
	@build/step --every=1
	@build/step --pairs --every=1

soak:
	@tests/setup build check
	@$(MAKE) --no-print-directory -s BUILD=build/delays DELAYS=1 build/delays/soak \
		build/delays/kills
	@build/delays/soak --seconds=$$(($(TIME) / 2))
	@build/delays/kills --seconds=$$(($(TIME) / 2))

sim:
	@tests/setup build
	@$(MAKE) --no-print-directory -s BUILD=build/sim SIM=1 build/sim/sim
	@build/sim/sim --seconds=$(TIME)

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/pkgconfig \
		$(DESTDIR)$(PREFIX)/include/ringq $(DESTDIR)$(PREFIX)/include/linux \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions \
		$(addprefix $(DESTDIR)$(PREFIX)/share/man/man,1 4 7) \
		$(DESTDIR)$(PREFIX)/lib/udev/rules.d $(DESTDIR)$(PREFIX)/lib/modules-load.d
	install $(BUILD)/ringq $(DESTDIR)$(PREFIX)/bin/
	install -m 644 $(BUILD)/libringq.a $(BUILD)/libringq.so.0 $(DESTDIR)$(PREFIX)/lib/
	ln -sf libringq.so.0 $(DESTDIR)$(PREFIX)/lib/libringq.so
	sed 's|@PREFIX@|$(PREFIX)|; s|@VERSION@|$(VERSION)|' lib/libringq.pc.in \
		> $(DESTDIR)$(PREFIX)/lib/pkgconfig/libringq.pc
	install -m 644 include/ringq.h $(DESTDIR)$(PREFIX)/include/
	install -m 644 include/ringq/*.h $(DESTDIR)$(PREFIX)/include/ringq/
	install -m 644 include/uapi/linux/ringq.h $(DESTDIR)$(PREFIX)/include/linux/
	install -m 644 tools/completion.bash \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/ringq
	install -m 644 tools/ringq.1 $(DESTDIR)$(PREFIX)/share/man/man1/
	install -m 644 kmod/ringq.4 $(DESTDIR)$(PREFIX)/share/man/man4/
	install -m 644 lib/man/ringq.7 $(DESTDIR)$(PREFIX)/share/man/man7/
	install -m 644 kmod/60-ringq.rules $(DESTDIR)$(PREFIX)/lib/udev/rules.d/
	install -m 644 kmod/ringq.conf $(DESTDIR)$(PREFIX)/lib/modules-load.d/

compile_commands.json: EXAMPLE_CFLAGS = $(foreach e,$(EXAMPLES_WITH), \
	$(shell pkg-config --cflags $(lastword $(subst :, ,$e)) 2>/dev/null))
compile_commands.json: Makefile
	@sep='['; for f in lib/*.c tools/*.c tools/examples/*.c tests/unit/*.c tests/conformance/*.c; do \
		printf '%s\n{"directory":"%s","file":"%s","command":"cc %s -c %s"}' \
			"$$sep" "$(CURDIR)" $$f "$(CPPFLAGS) $(CFLAGS) $(WARN) $(EXAMPLE_CFLAGS)" $$f; \
		sep=','; \
	done > $@; printf '\n]\n' >> $@

# What was downloaded for the guests stays; distclean takes that too.
clean:
	test ! -d $(BUILD) || find $(BUILD) -mindepth 1 -maxdepth 1 ! -name vm -exec rm -rf {} +
	rm -f compile_commands.json

distclean:
	rm -rf build compile_commands.json

-include $(shell find $(BUILD)/lib $(BUILD)/tools $(BUILD)/tests -name '*.d' 2>/dev/null)
.PHONY: all lib program tests examples kselftest modules run run-vm check step soak sim install clean distclean
