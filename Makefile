# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#
# make              the library and the program, under build/
# make run          a real file through a ring, with and without a kill (installs what is missing)
# make run-vm       the same through /dev/ringq, in a guest of KERNEL=6.12
# make check        all the tests, guests included (installs what is missing)
# make modules      the kernel module, against KDIR=/lib/modules/.../build
# make install      DESTDIR= PREFIX=/usr/local
# make clean
#
# BUILD=build/x SANITIZE=address,undefined builds a second tree with sanitizers.

BUILD ?= build
PREFIX ?= /usr/local
KERNEL ?= 6.12
KDIR ?= /lib/modules/$(shell uname -r)/build
MODDIR ?= $(BUILD)/kmod
CFLAGS ?= -O2 -g
VERSION := 0.1

CPPFLAGS += -D_GNU_SOURCE -Iinclude -Iinclude/uapi
WARN := -std=gnu11 -Wall -Wextra -Werror -Wmissing-prototypes -Wstrict-prototypes
COMPILE = $(CC) $(CPPFLAGS) $(CFLAGS) $(WARN) $(if $(SANITIZE),-fsanitize=$(SANITIZE) \
	-fno-sanitize-recover=all -fno-omit-frame-pointer) -MMD -MP
LINK = $(CC) $(CFLAGS) $(if $(SANITIZE),-fsanitize=$(SANITIZE)) $(LDFLAGS)

LIB_OBJS := $(patsubst %.c,$(BUILD)/%.o,$(wildcard lib/*.c))
TOOL_OBJS := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tools/*.c))
UNIT_OBJS := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/unit/*.c))
CONF_OBJS := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/conformance/*.c))

all: $(BUILD)/libringq.a $(BUILD)/libringq.so $(BUILD)/ringq $(BUILD)/libringq.pc

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(COMPILE) -c -o $@ $<

$(BUILD)/lib/%.o: CFLAGS += -fPIC -fvisibility=hidden

$(BUILD)/libringq.a: $(LIB_OBJS)
	rm -f $@
	$(AR) rcs $@ $^

$(BUILD)/libringq.so.0: $(LIB_OBJS) lib/libringq.map
	$(LINK) -shared -Wl,-soname,libringq.so.0 -Wl,--version-script=lib/libringq.map \
		-Wl,-z,defs -o $@ $(LIB_OBJS)

$(BUILD)/libringq.so: $(BUILD)/libringq.so.0
	ln -sf libringq.so.0 $@

clean:
	rm -rf $(BUILD)

-include $(wildcard $(BUILD)/*/*.d $(BUILD)/*/*/*.d)
.PHONY: all clean
